//! Short frames of Postern's own, as their receivers want them: masked to the upstream, not masked to the client.

/// Returns a frame of at most 125 bytes of payload (RFC 6455 §5.2) that begins with `first`, masked with `key` if there is
/// one. What is beyond 125 bytes is left out.
pub(crate) fn short_frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let len = payload.len().min(MAX_PAYLOAD);
    let masked = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first, masked | u8::try_from(len).unwrap_or(0)];
    frame.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().take(len).zip(key.into_iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// The longest payload of a short frame, in bytes.
pub(crate) const MAX_PAYLOAD: usize = 125;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_masked_where_there_is_a_key_and_never_longer_than_its_length_can_say() {
        assert_eq!(short_frame(0x81, b"ab", None), [0x81, 2, b'a', b'b']);
        assert_eq!(
            short_frame(0x81, b"ab", Some([1, 2, 3, 4])),
            [0x81, 0x82, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2]
        );
        assert_eq!(short_frame(0x88, &[7; 200], None).len(), 2 + 125);
    }
}
