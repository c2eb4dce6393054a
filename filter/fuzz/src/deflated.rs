//! What two peers say to each other that compress, made of an input: messages, mostly as they may
//! be, with and without compression.

use arbitrary::{Result, Unstructured};
use flate2::{Compress, Compression, FlushCompress};
use postern_engine::Peer;

use crate::script::{LENGTHS, Said, close_body, frame, mutate, no_text, raw, text};
use crate::stream::{Context, max_message_bytes};
use crate::wire::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT};

/// More would only make a run slow.
const MAX_FRAMES: usize = 40;

/// Marks the first frame of a compressed message (RFC 7692 §6).
const RSV1: u8 = 0x40;

/// What a peer compresses with.
struct Deflater {
    context: Context,
    zlib: Compress,
}

/// The script that an input stands for, of a client and an upstream that compress like this.
pub(crate) fn script(input: &mut Unstructured<'_>, client: Context, upstream: Context) -> Vec<Said> {
    let mut script = Vec::new();
    let mut deflaters = [Deflater::new(client), Deflater::new(upstream)];
    while script.len() < MAX_FRAMES && !input.is_empty() {
        if say(input, &mut deflaters, &mut script).is_err() {
            break;
        }
    }
    script
}

fn say(
    input: &mut Unstructured<'_>,
    [client, upstream]: &mut [Deflater; 2],
    script: &mut Vec<Said>,
) -> Result<()> {
    let [how, piece] = input.arbitrary::<[u8; 2]>()?;
    let (peer, deflater) = if how & 3 == 3 { (Peer::Upstream, upstream) } else { (Peer::Client, client) };
    let mut frames = Frames { peer, piece, script };
    let (first, payload) = match how >> 4 {
        0 => {
            frames.push(if how & 4 == 0 { PING } else { PONG }, true, &raw(input, 125)?);
            return Ok(());
        }
        1 => {
            frames.push(CLOSE, true, &close_body(input)?);
            return Ok(());
        }
        // Anything at all.
        2 => {
            frames.push_bytes(raw(input, 255)?);
            return Ok(());
        }
        3 => (TEXT, text(input)?),
        4 => (BINARY, raw(input, 255)?),
        what => {
            let opcode = if how & 4 == 0 { TEXT } else { BINARY };
            (opcode | RSV1, compressed(input, deflater, peer, what)?)
        }
    };
    let start = frames.script.len();
    frames.push_message(first, &payload, input.arbitrary()?);
    if how & 8 != 0 {
        let at = usize::from(input.arbitrary::<u8>()?) % (script.len() - start);
        mutate(input, &mut script[start + at].bytes)?;
    }
    if piece & 0x20 != 0 {
        // In the same pieces.
        let bytes = script.drain(start..).flat_map(|said| said.bytes).collect();
        script.push(Said::new(peer, bytes, piece));
    }
    Ok(())
}

/// The payload of a compressed message, or of what might be one.
fn compressed(
    input: &mut Unstructured<'_>,
    deflater: &mut Deflater,
    peer: Peer,
    what: u8,
) -> Result<Vec<u8>> {
    let plain = match what {
        5..=8 => text(input)?,
        9 => no_text(input)?,
        10 => raw(input, 255)?,
        // What compresses best, and what does not.
        11 => vec![b'0'; length(input, peer)?],
        12 => noise(length(input, peer)?),
        13 => {
            let mut payload = deflater.message(&text(input)?, 0);
            let [at, bit] = input.arbitrary::<[u8; 2]>()?;
            let at = usize::from(at) % payload.len();
            payload[at] ^= 1 << (bit & 7);
            return Ok(payload);
        }
        14 => {
            let mut payload = deflater.message(&text(input)?, 0);
            payload.truncate(input.arbitrary::<u8>()?.into());
            return Ok(payload);
        }
        // What no compressor says.
        _ => return raw(input, 255),
    };
    Ok(deflater.message(&plain, input.arbitrary()?))
}

/// About where the limit lies, or far beyond it, or much less.
fn length(input: &mut Unstructured<'_>, peer: Peer) -> Result<usize> {
    let which = usize::from(input.arbitrary::<u8>()?);
    let limit = usize::try_from(max_message_bytes(peer)).unwrap_or(usize::MAX);
    let lengths = [&LENGTHS[..], &[limit, limit + 1, 10 * limit]].concat();
    Ok(lengths[which % lengths.len()])
}

/// Bytes that look like chance (xorshift32).
fn noise(len: usize) -> Vec<u8> {
    let next = |bits: &u32| {
        let bits = bits ^ bits << 13;
        let bits = bits ^ bits >> 17;
        Some(bits ^ bits << 5)
    };
    std::iter::successors(Some(1), next).take(len).map(|bits: u32| bits.to_le_bytes()[1]).collect()
}

impl Deflater {
    fn new(context: Context) -> Self {
        // With a window of nine bits zlib refers to nothing beyond one of eight.
        let window_bits = context.window_bits.max(9);
        Self { context, zlib: Compress::new_with_window_bits(Compression::default(), false, window_bits) }
    }

    /// A message in one of the ways in which a compressor may say it (RFC 7692 §7.2.3).
    fn message(&mut self, plain: &[u8], how: u8) -> Vec<u8> {
        let mut payload = Vec::new();
        if !self.context.takeover {
            self.zlib.reset();
        }
        let (start, rest) = plain.split_at(if how & 4 == 0 { 0 } else { plain.len() / 2 });
        if !start.is_empty() {
            self.deflate(start, FlushCompress::Sync, &mut payload);
        }
        match how & 3 {
            // Where there is nothing to flush, zlib says nothing.
            0 | 1 if !rest.is_empty() => {
                self.deflate(rest, FlushCompress::Sync, &mut payload);
                payload.truncate(payload.len() - 4);
            }
            0..=2 => {
                // With the octets that may be taken off, and then another empty block.
                self.deflate(rest, FlushCompress::Full, &mut payload);
                payload.push(0);
            }
            _ => {
                self.deflate(rest, FlushCompress::Finish, &mut payload);
                payload.push(0);
                self.zlib.reset();
            }
        }
        payload
    }

    fn deflate(&mut self, plain: &[u8], flush: FlushCompress, payload: &mut Vec<u8>) {
        // More than any plain text here becomes.
        payload.reserve(plain.len() + 1024);
        self.zlib.compress_vec(plain, payload, flush).expect("there is room for it");
    }
}

/// Frames of a peer, put to the end of a script.
struct Frames<'s> {
    peer: Peer,
    piece: u8,
    script: &'s mut Vec<Said>,
}

impl Frames<'_> {
    fn push(&mut self, first: u8, fin: bool, payload: &[u8]) {
        let key = (self.peer == Peer::Client).then_some([self.piece, 0x5a, self.piece.rotate_left(3), 0]);
        self.push_bytes(frame(first, fin, key, payload));
    }

    fn push_bytes(&mut self, bytes: Vec<u8>) {
        self.script.push(Said::new(self.peer, bytes, self.piece));
    }

    /// A message in one to four fragments, perhaps with control frames between them.
    fn push_message(&mut self, first: u8, payload: &[u8], how: u8) {
        let (mut first, mut rest) = (first, payload);
        for _ in 0..how & 3 {
            let (fragment, after) = rest.split_at(usize::from(how >> 3) % (rest.len() + 1));
            self.push(first, false, fragment);
            if how & 4 != 0 {
                self.push(PING, true, b"between");
            }
            (first, rest) = (CONTINUATION, after);
        }
        self.push(first, true, rest);
    }
}
