//! WebSocket frames as a test writes and reads them (RFC 6455 §5.2).

pub(crate) const TEXT: u8 = 0x1;
pub(crate) const BINARY: u8 = 0x2;
pub(crate) const CLOSE: u8 = 0x8;
pub(crate) const PING: u8 = 0x9;
pub(crate) const PONG: u8 = 0xa;

/// A frame as it was read, unmasked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) fin: bool,
    pub(crate) opcode: u8,
    pub(crate) masked: bool,
    pub(crate) payload: Vec<u8>,
}

/// A whole message from the client.
pub(crate) fn from_client(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, Some([0x37, 0xfa, 0x21, 0x3d]), payload)
}

/// A whole message from the upstream.
pub(crate) fn from_upstream(opcode: u8, payload: &[u8]) -> Vec<u8> {
    frame(0x80 | opcode, None, payload)
}

/// A frame with this first byte.
pub(crate) fn frame(first: u8, mask: Option<[u8; 4]>, payload: &[u8]) -> Vec<u8> {
    let bit = if mask.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    if let Some(len) = u8::try_from(payload.len()).ok().filter(|len| *len <= 125) {
        frame.push(bit | len);
    } else if let Ok(len) = u16::try_from(payload.len()) {
        frame.push(bit | 126);
        frame.extend(len.to_be_bytes());
    } else {
        frame.push(bit | 127);
        frame.extend((payload.len() as u64).to_be_bytes());
    }
    frame.extend(mask.iter().flatten());
    frame.extend(payload.iter().zip(mask.unwrap_or_default().iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// The frames that `bytes` are; panics where a frame is cut short.
pub(crate) fn read(mut bytes: &[u8]) -> Vec<Frame> {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let (first, second) = (bytes[0], bytes[1]);
        let (len, mut at) = match second & 0x7f {
            126 => (u16::from_be_bytes([bytes[2], bytes[3]]) as usize, 4),
            127 => (usize::try_from(u64::from_be_bytes(bytes[2..10].try_into().unwrap())).unwrap(), 10),
            len => (len as usize, 2),
        };
        let masked = second & 0x80 != 0;
        let mut key = [0; 4];
        if masked {
            key.copy_from_slice(&bytes[at..at + 4]);
            at += 4;
        }
        let payload = bytes[at..at + len].iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        frames.push(Frame {
            fin: first & 0x80 != 0,
            opcode: first & 0xf,
            masked,
            payload: payload.collect(),
        });
        bytes = &bytes[at + len..];
    }
    frames
}

/// A Close with this code and reason, as it is read.
pub(crate) fn close(masked: bool, code: u16, reason: &str) -> Frame {
    let payload = [&code.to_be_bytes(), reason.as_bytes()].concat();
    Frame { fin: true, opcode: CLOSE, masked, payload }
}

/// What a peer said among the bytes that went to the other, and how many Pings of Postern's own are
/// among them. Whatever is cut short at the end was said by the peer.
pub(crate) fn without_own_pings(bytes: &[u8]) -> (Vec<u8>, usize) {
    /// A Ping whose payload has 16 bytes.
    const HEADER: [u8; 2] = [0x80 | PING, 16];
    let (mut said, mut rest, mut pings) = (Vec::new(), bytes, 0);
    while let [_, second, ..] = rest {
        let long = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let header = 2 + long + if second & 0x80 == 0 { 0 } else { 4 };
        let Some(long) = rest.get(2..2 + long) else { break };
        let declared = long.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        let len = header + if long.is_empty() { usize::from(second & 0x7f) } else { declared };
        let Some(frame) = rest.get(..len) else { break };
        let is_own = [frame[0], second & 0x7f] == HEADER && read(frame)[0].payload.starts_with(b"postern:");
        if is_own {
            pings += 1;
        } else {
            said.extend_from_slice(frame);
        }
        rest = &rest[len..];
    }
    said.extend_from_slice(rest);
    (said, pings)
}
