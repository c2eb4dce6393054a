//! Close frames of Postern's own (RFC 6455 §5.5.1).

use crate::reason::Reason;

/// A Close frame towards the client: code and reason of `reason`, not masked.
pub(crate) fn to_client(reason: Reason) -> Vec<u8> {
    frame(reason, None)
}

/// A Close frame towards the upstream: the same, masked with `key` as a client must (§5.3).
pub(crate) fn to_upstream(reason: Reason, key: [u8; 4]) -> Vec<u8> {
    frame(reason, Some(key))
}

fn frame(reason: Reason, key: Option<[u8; 4]>) -> Vec<u8> {
    let consequence = reason.consequence();
    let text = consequence.id.as_bytes();
    // An id is far shorter than the 123 bytes that a control frame has room for.
    let len = u8::try_from(2 + text.len()).unwrap_or(2);
    let mut frame = vec![0x88, len | if key.is_some() { 0x80 } else { 0 }];
    frame.extend(key.iter().flatten());
    let payload = consequence.close.to_be_bytes().into_iter().chain(text.iter().copied());
    let key = key.unwrap_or_default();
    frame.extend(payload.take(usize::from(len)).zip(key.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_reads_code_and_reason() {
        let frame = to_client(Reason::FrameTooBig);
        assert_eq!(frame[..4], [0x88, 15, 0x03, 0xf1]);
        assert_eq!(&frame[4..], b"frame_too_big");
    }

    #[test]
    fn the_upstream_reads_the_same_under_its_mask() {
        let key = [0xa5, 0x5a, 0x01, 0xff];
        let frame = to_upstream(Reason::FrameTooBig, key);
        assert_eq!(frame[..6], [0x88, 0x80 | 15, 0xa5, 0x5a, 0x01, 0xff]);
        let payload: Vec<u8> =
            frame[6..].iter().zip(key.iter().cycle()).map(|(byte, mask)| byte ^ mask).collect();
        assert_eq!(payload, to_client(Reason::FrameTooBig)[2..]);
    }
}
