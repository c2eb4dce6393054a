//! The first bytes of a direction, read field by field before all of them are there.
//!
//! A reader of an opening only asks for fields in their order, and passes on what it is told. So it says the same however
//! the bytes were cut: what differs goes on to differ, and what was read is read again with more bytes behind it.

use std::ops::RangeInclusive;

/// The number of payload bytes of a direction that are looked at.
pub(super) const MOST: usize = 64;

/// The reason for which a field was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Miss {
    /// The bytes are not what the field may hold, or it would lie beyond [`MOST`] bytes.
    Differs,
    /// More bytes, or the end of the message, have to come before that is known.
    Short,
}

/// A field, or the reason for which it was not read.
pub(super) type Parse<T> = Result<T, Miss>;

/// The first bytes of a direction, and how far they were read.
pub(super) struct Prefix<'b> {
    bytes: &'b [u8],
    /// The number of bytes that were read.
    at: usize,
    /// The length of the first message, once it has ended.
    first_message: Option<usize>,
}

impl<'b> Prefix<'b> {
    /// Bytes of which nothing was read, at most [`MOST`] of them.
    pub(super) fn new(bytes: &'b [u8], first_message: Option<usize>) -> Self {
        Self { bytes, at: 0, first_message }
    }

    /// The number of bytes that were read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    /// The next byte, which stays.
    pub(super) fn peek(&self) -> Parse<u8> {
        self.has_room(1)?;
        self.rest().first().copied().ok_or(Miss::Short)
    }

    /// A byte for which `fits` holds.
    pub(super) fn byte(&mut self, fits: impl Fn(u8) -> bool) -> Parse<u8> {
        let byte = self.peek()?;
        if !fits(byte) {
            return Err(Miss::Differs);
        }
        self.at += 1;
        Ok(byte)
    }

    /// Exactly these bytes.
    pub(super) fn literal(&mut self, literal: &[u8]) -> Parse<()> {
        self.compare(literal, <[u8]>::eq)
    }

    /// These letters, large or small.
    pub(super) fn literal_in_any_case(&mut self, literal: &[u8]) -> Parse<()> {
        self.compare(literal, <[u8]>::eq_ignore_ascii_case)
    }

    /// One of `literals`, none of which begins with another.
    pub(super) fn one_of<'l>(&mut self, literals: &[&'l [u8]]) -> Parse<&'l [u8]> {
        let mut miss = Miss::Differs;
        for literal in literals {
            match self.literal(literal) {
                Ok(()) => return Ok(literal),
                Err(Miss::Short) => miss = Miss::Short,
                Err(Miss::Differs) => {}
            }
        }
        Err(miss)
    }

    /// A number of `len` bytes, at most four, the highest first.
    pub(super) fn big_endian(&mut self, len: usize, range: RangeInclusive<u64>) -> Parse<u64> {
        self.has_room(len)?;
        let there = self.rest().iter().take(len);
        let free = 8 * (len - there.len());
        let least = there.fold(0, |value, byte| value << 8 | u64::from(*byte)) << free;
        let most = least | ((1 << free) - 1);
        if most < *range.start() || least > *range.end() {
            return Err(Miss::Differs);
        }
        self.skip(len)?;
        Ok(least)
    }

    /// A number of `len` bytes, at most four, the lowest first.
    pub(super) fn little_endian(&mut self, len: usize, range: RangeInclusive<u64>) -> Parse<u64> {
        self.has_room(len)?;
        let there = self.rest().iter().take(len);
        let step = 1_u64 << (8 * there.len());
        let low = there.rev().fold(0, |value, byte| value << 8 | u64::from(*byte));
        // The least number in the range of which these are the low bytes.
        let least = range.start() + (low.wrapping_sub(*range.start()) & (step - 1));
        if least > *range.end() {
            return Err(Miss::Differs);
        }
        self.skip(len)?;
        Ok(least)
    }

    /// Goes past `len` bytes, whatever they are.
    pub(super) fn skip(&mut self, len: usize) -> Parse<()> {
        self.has_room(len)?;
        if self.rest().len() < len {
            return Err(Miss::Short);
        }
        self.at += len;
        Ok(())
    }

    /// The bytes ahead of `end`, for each of which `fits` holds. Goes past `end`, which leaves room for `after` bytes.
    pub(super) fn until(&mut self, end: u8, fits: impl Fn(u8) -> bool, after: usize) -> Parse<&'b [u8]> {
        let from = self.at;
        loop {
            self.has_room(1 + after)?;
            let to = self.at;
            if self.byte(|byte| byte == end || fits(byte))? == end {
                return Ok(self.bytes.get(from..to).unwrap_or_default());
            }
        }
    }

    /// The bytes for which `fits` holds, as far as they are there.
    pub(super) fn run(&mut self, fits: impl Fn(u8) -> bool) -> &'b [u8] {
        let rest = self.rest();
        let len = rest.iter().position(|byte| !fits(*byte)).unwrap_or(rest.len());
        self.at += len;
        rest.get(..len).unwrap_or_default()
    }

    /// The end of the first message, exactly here.
    pub(super) fn end_of_first_message(&self) -> Parse<()> {
        match self.first_message {
            Some(len) if len == self.at => Ok(()),
            None if self.rest().is_empty() => Err(Miss::Short),
            Some(_) | None => Err(Miss::Differs),
        }
    }

    /// Fails where `len` more bytes would not all be looked at.
    pub(super) fn has_room(&self, len: usize) -> Parse<()> {
        if self.at + len <= MOST { Ok(()) } else { Err(Miss::Differs) }
    }

    fn compare(&mut self, literal: &[u8], is_equal: fn(&[u8], &[u8]) -> bool) -> Parse<()> {
        self.has_room(literal.len())?;
        let there = self.rest().len().min(literal.len());
        let (Some(bytes), Some(start)) = (self.rest().get(..there), literal.get(..there)) else {
            return Err(Miss::Differs);
        };
        if !is_equal(bytes, start) {
            return Err(Miss::Differs);
        }
        self.skip(literal.len())
    }

    fn rest(&self) -> &'b [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIFFERS: Parse<u64> = Err(Miss::Differs);
    const SHORT: Parse<u64> = Err(Miss::Short);

    #[test]
    fn a_number_differs_at_the_first_byte_that_leaves_its_range() {
        let cases: [(&[u8], Parse<u64>, Parse<u64>); 8] = [
            (&[], SHORT, SHORT),
            (&[0x02], SHORT, SHORT),
            (&[0x03], DIFFERS, SHORT),
            (&[0x00, 0x00], DIFFERS, DIFFERS),
            (&[0x01, 0x2b], DIFFERS, DIFFERS),
            (&[0x01, 0x2c], Ok(300), DIFFERS),
            (&[0x2c, 0x01, 0xff], DIFFERS, Ok(300)),
            (&[0x58, 0x02], DIFFERS, Ok(600)),
        ];
        for (bytes, big, little) in cases {
            assert_eq!(Prefix::new(bytes, None).big_endian(2, 300..=600), big, "{bytes:?}");
            assert_eq!(Prefix::new(bytes, None).little_endian(2, 300..=600), little, "{bytes:?}");
        }
    }

    #[test]
    fn a_literal_differs_at_its_first_wrong_byte_and_stays_unread() {
        for (bytes, expected) in
            [(&b"AM"[..], Err(Miss::Short)), (b"Am", Err(Miss::Differs)), (b"AMQP!", Ok(()))]
        {
            let mut prefix = Prefix::new(bytes, None);
            assert_eq!(prefix.literal(b"AMQP"), expected);
            assert_eq!(prefix.at(), if expected.is_ok() { 4 } else { 0 });
        }
        assert_eq!(Prefix::new(b"ehlO", None).literal_in_any_case(b"EHLO"), Ok(()));
    }

    #[test]
    fn a_field_beyond_the_bytes_that_are_looked_at_differs_at_once() {
        let mut prefix = Prefix::new(&[0; 60], None);
        assert_eq!(prefix.skip(60), Ok(()));
        assert_eq!(prefix.skip(4), Err(Miss::Short));
        assert_eq!(prefix.skip(5), Err(Miss::Differs));
        assert_eq!(prefix.until(0, |_| true, 3), Err(Miss::Short));
        assert_eq!(prefix.until(0, |_| true, 4), Err(Miss::Differs));
    }

    #[test]
    fn the_first_message_ends_in_one_place() {
        let end = |first_message, at| {
            let mut prefix = Prefix::new(b"abc", first_message);
            prefix.skip(at).and_then(|()| prefix.end_of_first_message())
        };
        assert_eq!(end(None, 3), Err(Miss::Short));
        assert_eq!(end(None, 2), Err(Miss::Differs));
        assert_eq!(end(Some(2), 2), Ok(()));
        assert_eq!(end(Some(2), 3), Err(Miss::Differs));
    }
}
