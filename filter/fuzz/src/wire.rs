//! WebSocket frames, read by other code than the engine's.

/// A frame's opcode, and whether it is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Frame<'b> {
    pub(crate) opcode: u8,
    pub(crate) mask: Option<[u8; 4]>,
    pub(crate) payload: &'b [u8],
}

/// The whole frames that `bytes` begin with, and what follows them.
pub(crate) fn frames(mut bytes: &[u8]) -> (Vec<Frame<'_>>, &[u8]) {
    let mut frames = Vec::new();
    while let Some((frame, rest)) = frame(bytes) {
        frames.push(frame);
        bytes = rest;
    }
    (frames, bytes)
}

fn frame(bytes: &[u8]) -> Option<(Frame<'_>, &[u8])> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (len, rest) = match second & 0x7f {
        126 => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (u64::from(u16::from_be_bytes(*len)), rest)
        }
        127 => {
            let (len, rest) = rest.split_first_chunk::<8>()?;
            (u64::from_be_bytes(*len), rest)
        }
        len => (u64::from(len), rest),
    };
    let (mask, rest) = if second & 0x80 != 0 {
        let (mask, rest) = rest.split_first_chunk::<4>()?;
        (Some(*mask), rest)
    } else {
        (None, rest)
    };
    let (payload, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
    Some((Frame { opcode: first & 0xf, mask, payload }, rest))
}
