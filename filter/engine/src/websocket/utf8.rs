//! The proof that a text is UTF-8 (RFC 6455 §8.1), which is read as it comes, in any pieces.
//!
//! A text is refused at the first byte that no continuation can make good. Masked bytes are judged masked:
//! one pass tells whether all is ASCII, and only blocks that are not are unmasked into a scratch on the
//! stack.

use crate::websocket::mask::Mask;

/// The error of bytes that are not UTF-8, whatever may follow them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InvalidUtf8;

/// A text of which a part has come.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Utf8 {
    /// The start of a character whose end has not come.
    tail: [u8; 3],
    tail_len: usize,
}

/// The number of bytes that are unmasked at a time.
const BLOCK: usize = 1024;

impl Utf8 {
    /// Says whether the text may end here.
    pub(crate) fn is_complete(&self) -> bool {
        self.tail_len == 0
    }

    /// Reads more of the text, which is masked with `mask`.
    pub(crate) fn push(&mut self, masked: &[u8], mut mask: Mask) -> Result<(), InvalidUtf8> {
        let rest = self.complete_tail(masked, &mut mask)?;
        let ascii = ascii_prefix(rest, mask);
        let rest = rest.get(ascii..).unwrap_or_default();
        // A scratch costs more than the check that nothing is left to go there.
        match rest.is_empty() {
            true => Ok(()),
            false if mask.is_none() => self.judge(rest),
            false => self.judge_masked(rest, mask.after(ascii)),
        }
    }

    /// Judges masked bytes that begin where a character does, and keeps the tail they end with.
    fn judge_masked(&mut self, mut rest: &[u8], mut mask: Mask) -> Result<(), InvalidUtf8> {
        // Once for all blocks, since it is cleared first.
        let mut scratch = [0; BLOCK];
        while !rest.is_empty() {
            let block = mask.remove(rest, &mut scratch);
            // Only the last block can leave a tail; the others are cut where a character ends.
            let is_last = block.len() == rest.len();
            let taken = if is_last {
                self.judge(block)?;
                block.len()
            } else {
                valid_prefix(block)?
            };
            rest = rest.get(taken..).unwrap_or_default();
            mask = mask.after(taken);
            let ascii = ascii_prefix(rest, mask);
            rest = rest.get(ascii..).unwrap_or_default();
            mask = mask.after(ascii);
        }
        Ok(())
    }

    /// Completes the character that earlier bytes began, and returns what follows it.
    fn complete_tail<'a>(&mut self, masked: &'a [u8], mask: &mut Mask) -> Result<&'a [u8], InvalidUtf8> {
        let mut rest = masked;
        while self.tail_len > 0 {
            let Some((byte, after)) = rest.split_first() else { break };
            let mut character = [0; 4];
            for (place, byte) in character.iter_mut().zip(self.tail.iter().take(self.tail_len)) {
                *place = *byte;
            }
            if let (Some(place), Some(key)) = (character.get_mut(self.tail_len), mask.bytes().next()) {
                *place = byte ^ key;
            }
            let len = self.tail_len + 1;
            self.judge(character.get(..len).unwrap_or_default())?;
            *mask = mask.after(1);
            rest = after;
        }
        Ok(rest)
    }

    /// Judges plain bytes that begin where a character does, and keeps the tail they end with.
    fn judge(&mut self, plain: &[u8]) -> Result<(), InvalidUtf8> {
        let valid = valid_prefix(plain)?;
        let tail = plain.get(valid..).unwrap_or_default();
        self.tail_len = tail.len();
        for (place, byte) in self.tail.iter_mut().zip(tail) {
            *place = *byte;
        }
        Ok(())
    }
}

/// Returns the number of bytes of `plain` that are whole characters; at most three bytes follow them, which
/// begin another.
fn valid_prefix(plain: &[u8]) -> Result<usize, InvalidUtf8> {
    match simdutf8::compat::from_utf8(plain) {
        Ok(_) => Ok(plain.len()),
        Err(error) if error.error_len().is_none() => Ok(error.valid_up_to()),
        Err(_) => Err(InvalidUtf8),
    }
}

/// Returns the number of bytes at the start of `masked` that are certainly ASCII: all of them, or a multiple
/// of eight.
fn ascii_prefix(masked: &[u8], mask: Mask) -> usize {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let key = mask.word();
    let (blocks, _) = masked.as_chunks::<64>();
    let mut len = 0;
    for block in blocks {
        let (words, _) = block.as_chunks::<8>();
        if words.iter().fold(0, |all, word| all | (u64::from_ne_bytes(*word) ^ key)) & HIGH != 0 {
            return len;
        }
        len += block.len();
    }
    let (words, tail) = masked.get(len..).unwrap_or_default().as_chunks::<8>();
    for word in words {
        if (u64::from_ne_bytes(*word) ^ key) & HIGH != 0 {
            return len;
        }
        len += word.len();
    }
    let all_ascii = tail.iter().zip(mask.bytes()).all(|(byte, key)| (byte ^ key).is_ascii());
    if all_ascii { masked.len() } else { len }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [[u8; 4]; 3] = [[0; 4], [0x37, 0xfa, 0x21, 0x3d], [0xff; 4]];

    /// Returns the number of bytes of `text` that are read before it is refused; `Ok` tells whether it may
    /// end.
    fn read(text: &[u8], key: [u8; 4], piece: usize) -> Result<bool, usize> {
        let mut masked = vec![0; text.len()];
        Mask::new(key).remove(text, &mut masked);
        let mut utf8 = Utf8::default();
        let mut at = 0;
        for piece in masked.chunks(piece) {
            utf8.push(piece, Mask::new(key).after(at)).map_err(|InvalidUtf8| at)?;
            at += piece.len();
        }
        Ok(utf8.is_complete())
    }

    #[test]
    fn a_text_reads_as_the_standard_library_reads_it_under_any_mask_and_in_any_pieces() {
        let long = "plain text and ".repeat(9) + &"κόσμε 𝄞 ".repeat(300) + &"plain again ".repeat(200);
        let texts: Vec<Vec<u8>> = vec![
            b"".to_vec(),
            b"hello".to_vec(),
            "κόσμε".into(),
            "\u{7f}\u{80}\u{7ff}\u{800}\u{d7ff}\u{e000}\u{ffff}\u{10000}\u{10ffff}".into(),
            long.clone().into_bytes(),
            [long.as_bytes(), b"\xf0\x9d\x84"].concat(),
            [long.as_bytes(), b"\xff", long.as_bytes()].concat(),
            vec![b'x'; 64],
            [vec![b'x'; 71], vec![0xce]].concat(),
        ];
        for text in texts {
            let expected = match std::str::from_utf8(&text) {
                Ok(_) => Ok(true),
                Err(error) if error.error_len().is_none() => Ok(false),
                Err(_) => Err(()),
            };
            for key in KEYS {
                for piece in [1, 2, 3, 5, 7, 64, 100, BLOCK - 1, BLOCK, BLOCK + 1, text.len().max(1)] {
                    let got = read(&text, key, piece).map_err(|_| ());
                    assert_eq!(got, expected, "{} bytes, {key:02x?}, pieces of {piece}", text.len());
                }
            }
        }
    }

    #[test]
    fn what_no_byte_can_make_good_is_refused_at_once() {
        // A case is the bytes, and the index of the one that decides.
        let cases: [(&[u8], usize); 16] = [
            (b"\x80", 0),
            (b"\xbf", 0),
            (b"\xc0\xaf", 0),
            (b"\xc1\xbf", 0),
            (b"\xfe", 0),
            (b"\xf5\x80", 0),
            (b"\xc3\x28", 1),
            (b"\xe0\x80\xaf", 1),
            (b"\xe0\x9f\xbf", 1),
            (b"\xed\xa0\x80", 1),
            (b"\xed\xbf\xbf", 1),
            (b"\xf0\x80\x80\xaf", 1),
            (b"\xf0\x8f\xbf\xbf", 1),
            (b"\xf4\x90\x80\x80", 1),
            (b"\xe2\x82\x28", 2),
            (b"\xf0\x9d\x84\x28", 3),
        ];
        for (text, decides) in cases {
            for before in ["", "x", "κ", &"x".repeat(200)] {
                let text = [before.as_bytes(), text].concat();
                for key in KEYS {
                    assert_eq!(
                        read(&text, key, 1),
                        Err(before.len() + decides),
                        "{text:02x?} behind {before:?}"
                    );
                }
            }
        }
    }
}
