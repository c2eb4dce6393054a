//! What peers agree on of permessage-deflate (RFC 7692 §7.1), and how they compress then.

use flate2::{Compress, Compression, FlushCompress};

use crate::numbers::Numbers;

/// What a client offers that compresses.
pub(crate) const OFFER: &str = "permessage-deflate; client_max_window_bits";

/// How both sides compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    pub(crate) client: Context,
    pub(crate) upstream: Context,
}

/// How one side compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Context {
    /// The base-two logarithm of the window.
    pub(crate) window_bits: u8,
    /// Whether a message may refer to earlier ones.
    pub(crate) takeover: bool,
}

impl Agreed {
    pub(crate) fn random(numbers: &mut Numbers) -> Self {
        Self { client: Context::random(numbers), upstream: Context::random(numbers) }
    }

    /// Makes every message of the client one that can be read without the ones before it, and gives
    /// what the client is told where the upstream did not.
    pub(crate) fn client_alone(&mut self) -> Option<String> {
        let told = format!("{}; client_no_context_takeover", self.written());
        std::mem::replace(&mut self.client.takeover, false).then_some(told)
    }

    /// As an upstream answers to [`OFFER`].
    pub(crate) fn written(&self) -> String {
        let Self { client, upstream } = self;
        let sides = [("client", client), ("server", upstream)];
        let parameters = sides.map(|(side, Context { window_bits, takeover })| {
            let alone = if *takeover { String::new() } else { format!("; {side}_no_context_takeover") };
            match window_bits {
                15 => alone,
                bits => format!("{alone}; {side}_max_window_bits={bits}"),
            }
        });
        format!("permessage-deflate{}", parameters.concat())
    }
}

impl Context {
    fn random(numbers: &mut Numbers) -> Self {
        Self { window_bits: numbers.of(&[8, 9, 9, 10, 15, 15]), takeover: !numbers.one_in(3) }
    }
}

/// Compresses what one side says, with zlib.
#[derive(Debug)]
pub(crate) struct Deflater {
    context: Context,
    zlib: Compress,
}

impl Deflater {
    pub(crate) fn new(context: Context, numbers: &mut Numbers) -> Self {
        let level = Compression::new(numbers.of(&[0, 1, 6, 9]));
        // With a window of nine bits zlib refers to nothing beyond one of eight.
        let window_bits = context.window_bits.max(9);
        Self { context, zlib: Compress::new_with_window_bits(level, false, window_bits) }
    }

    /// The payload of a message, in one of the ways in which it may be said (RFC 7692 §7.2.3).
    pub(crate) fn message(&mut self, numbers: &mut Numbers, plain: &[u8]) -> Vec<u8> {
        if !self.context.takeover {
            self.forget();
        }
        let mut payload = Vec::new();
        let (start, rest) = plain.split_at(if numbers.one_in(4) { numbers.len_to(plain.len()) } else { 0 });
        if !start.is_empty() {
            self.deflate(start, FlushCompress::Sync, &mut payload);
        }
        match numbers.to(7) {
            0 => {
                self.deflate(rest, FlushCompress::Finish, &mut payload);
                self.forget();
            }
            1 => self.deflate(rest, FlushCompress::Full, &mut payload),
            // Where there is nothing to flush, zlib says nothing.
            _ if !rest.is_empty() => {
                self.deflate(rest, FlushCompress::Sync, &mut payload);
                payload.truncate(payload.len() - 4);
                return payload;
            }
            _ => {}
        }
        // One more block, which is empty and has lost its end.
        payload.push(0);
        payload
    }

    /// Refers to nothing any more that was said before.
    pub(crate) fn forget(&mut self) {
        // It is slow, and often there is nothing to forget.
        if self.zlib.total_out() > 0 {
            self.zlib.reset();
        }
    }

    fn deflate(&mut self, plain: &[u8], flush: FlushCompress, payload: &mut Vec<u8>) {
        payload.reserve(plain.len() + plain.len() / 8 + 1024);
        let read = self.zlib.total_in();
        self.zlib.compress_vec(plain, payload, flush).unwrap();
        assert_eq!(self.zlib.total_in() - read, plain.len() as u64);
        assert!(payload.len() < payload.capacity(), "there was room for it");
    }
}
