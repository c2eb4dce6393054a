//! What a client of MongoDB sends first (MongoDB, "Wire Protocol"): OP_MSG, or OP_QUERY of older ones.

use super::prefix::{Miss, Parse, Prefix};

/// The header, flags, the kind of a section, and an empty document.
const LEAST: u64 = 16 + 4 + 1 + 5;

/// The most bytes of a message that is taken for a client's first. That says who the client is, in at most 512 bytes, and
/// may begin to authenticate it; a length beyond this would begin like any text.
const MOST: u64 = 0x1fff;

const OP_QUERY: &[u8] = &2004_u32.to_le_bytes();
const OP_MSG: &[u8] = &2013_u32.to_le_bytes();

/// The header of a request, and what follows it as far as a name or another length that fits into the first.
pub(super) fn request(prefix: &mut Prefix<'_>) -> Parse<()> {
    let len = prefix.little_endian(4, LEAST..=MOST)?;
    prefix.skip(4)?;
    prefix.literal(&[0; 4])?;
    if prefix.one_of(&[OP_QUERY, OP_MSG])? == OP_MSG { message(prefix, len) } else { query(prefix) }
}

/// Flags that exist, and the kind of the first section and its length.
fn message(prefix: &mut Prefix<'_>, len: u64) -> Parse<()> {
    prefix.byte(|flags| flags <= 3)?;
    prefix.literal(&[0])?;
    prefix.byte(|flags| flags <= 1)?;
    prefix.literal(&[0])?;
    prefix.byte(|kind| kind <= 1)?;
    prefix.little_endian(4, 5..=len - 21).map(drop)
}

/// Flags that exist, and the name of a collection with its database.
fn query(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.little_endian(4, 0..=0xff)?;
    let name = prefix.until(0, |byte| byte.is_ascii_graphic(), 0)?;
    let is_full =
        name.iter().position(|byte| *byte == b'.').is_some_and(|dot| dot > 0 && dot + 1 < name.len());
    if is_full { Ok(()) } else { Err(Miss::Differs) }
}
