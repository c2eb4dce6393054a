//! What a client of LDAP sends first (RFC 4511 §4.1.1, §5.1): a bind, a search, or an extended request such as StartTLS.
//!
//! A request with a name so long that its lengths disagree, or in the BER that §5.1 forbids, is not recognised.

use std::ops::RangeInclusive;

use super::prefix::{Miss, Parse, Prefix};

/// The most bytes of a message that is taken for a client's first.
const MOST: u64 = 0x00ff_ffff;

const BIND: u8 = 0x60;
const SEARCH: u8 = 0x63;
const EXTENDED: u8 = 0x77;

/// The lengths of a message, its id and its operation, each of which lies in the one around it, and the first field of it.
pub(super) fn request(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[0x30])?;
    let message = length(prefix, 7..=MOST)?;
    let start = prefix.at() as u64;
    message_id(prefix)?;
    let operation = prefix.byte(|tag| matches!(tag, BIND | SEARCH | EXTENDED))?;
    let left = (start + message).saturating_sub(prefix.at() as u64);
    let operation_len = length(prefix, 0..=left)?;
    let end = start + message;
    let operation_end = prefix.at() as u64 + operation_len;
    // Controls may follow an operation (RFC 4511 §4.1.11).
    if operation_end > end || operation_end + 1 == end {
        return Err(Miss::Differs);
    }
    match operation {
        BIND => {
            prefix.literal(&[2, 1])?;
            prefix.byte(|version| version == 2 || version == 3)?;
            octets(prefix, 0x04, operation_end)
        }
        SEARCH => octets(prefix, 0x04, operation_end),
        _ => {
            octets(prefix, 0x80, operation_end)?;
            prefix.literal(b"1.3.6.1.")
        }
    }
}

/// A number from 1 to 2^31 - 1.
fn message_id(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[2])?;
    let len = prefix.byte(|len| (1..=4).contains(&len))?;
    prefix.big_endian(len.into(), 1..=0x7fff_ffff).map(drop)
}

/// The tag and the length of a string that lies ahead of `end`.
fn octets(prefix: &mut Prefix<'_>, tag: u8, end: u64) -> Parse<()> {
    prefix.literal(&[tag])?;
    let left = end.saturating_sub(prefix.at() as u64 + 1);
    length(prefix, 0..=left).map(drop)
}

/// A definite length (RFC 4511 §5.1; X.690 §8.1.3), which Microsoft's clients write in four bytes, however small.
fn length(prefix: &mut Prefix<'_>, range: RangeInclusive<u64>) -> Parse<u64> {
    let first = prefix
        .byte(|first| (0x81..=0x84).contains(&first) || (first < 0x80 && range.contains(&first.into())))?;
    if first < 0x80 { Ok(first.into()) } else { prefix.big_endian(usize::from(first & 0x7f), range) }
}
