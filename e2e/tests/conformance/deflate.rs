//! The parameters of permessage-deflate that a handshake has agreed on (RFC 7692 §7.1), and the inflated
//! messages of a server (RFC 7692 §7.2.2).

use flate2::{Decompress, FlushDecompress, Status};

use crate::payload::TAIL;

/// The number of bytes that are inflated at a time.
const BLOCK: usize = 1 << 16;

/// Inflates what the server sends.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// Says whether a message may refer to earlier ones (RFC 7692 §7.1.1.1).
    takeover: bool,
    window_bits: u8,
    state: Decompress,
}

impl Inflater {
    /// Makes the inflater for a response with this Sec-WebSocket-Extensions. An answer that no server may
    /// give is an error.
    pub(crate) fn agreed(extensions: &str) -> Result<Self, String> {
        let mut parts = extensions.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return Err(format!("{extensions:?} is not permessage-deflate"));
        }
        let (mut takeover, mut window_bits) = (true, 15);
        for parameter in parts {
            match parameter.split_once('=') {
                None if parameter == "server_no_context_takeover" => takeover = false,
                None if parameter == "client_no_context_takeover" => {}
                Some(("server_max_window_bits", bits)) => window_bits = bits_of(bits, extensions)?,
                Some(("client_max_window_bits", bits)) => {
                    bits_of(bits, extensions)?;
                }
                _ => return Err(format!("{extensions:?} has a parameter {parameter:?}")),
            }
        }
        Ok(Self { takeover, window_bits, state: fresh(window_bits) })
    }

    /// Inflates a whole message; `None` for bytes that are not the compressed form of any.
    pub(crate) fn message(&mut self, wire: &[u8]) -> Option<Vec<u8>> {
        if !self.takeover {
            self.state = fresh(self.window_bits);
        }
        let input = [wire, &TAIL].concat();
        let (mut plain, mut read) = (Vec::new(), 0);
        loop {
            plain.reserve(BLOCK);
            let before = (self.state.total_in(), plain.len());
            let status = self.state.decompress_vec(&input[read..], &mut plain, FlushDecompress::Sync).ok()?;
            read += usize::try_from(self.state.total_in() - before.0).ok()?;
            let stuck = read < input.len() && before == (self.state.total_in(), plain.len());
            if status == Status::StreamEnd || stuck {
                return None;
            }
            if read == input.len() && plain.len() < plain.capacity() {
                return Some(plain);
            }
        }
    }
}

/// Returns a fresh inflater. zlib's windows have at least 512 bytes; a larger window reads all that a smaller
/// one does.
fn fresh(window_bits: u8) -> Decompress {
    Decompress::new_with_window_bits(false, window_bits.max(9))
}

fn bits_of(value: &str, extensions: &str) -> Result<u8, String> {
    let bits = value.parse().ok().filter(|bits: &u8| (8..=15).contains(bits) && value == bits.to_string());
    bits.ok_or_else(|| format!("{extensions:?} has a window of {value:?} bits"))
}
