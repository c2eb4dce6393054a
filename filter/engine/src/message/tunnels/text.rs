//! Lines of text, as the protocols that have them share them.

/// Says whether a byte may stand in a line: a printable one, a tab, or one of a character beyond ASCII.
pub(super) fn is_text(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

/// Says whether `word`, of small letters, is in `text` in any case.
pub(super) fn contains(text: &[u8], word: &[u8]) -> bool {
    text.windows(word.len()).any(|window| window.eq_ignore_ascii_case(word))
}
