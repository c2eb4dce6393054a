//! What a client of PostgreSQL sends first (PostgreSQL, "Frontend/Backend Protocol", Message Formats): StartupMessage,
//! SSLRequest, GSSENCRequest or CancelRequest.
//!
//! A server's first bytes answer these, and are not recognised by themselves.

use super::prefix::{Miss, Parse, Prefix};

/// The most bytes of a startup packet that a server takes (MAX_STARTUP_PACKET_LENGTH).
const MOST: u64 = 10_000;

/// Length and version, the shortest parameter with its value, and the end of the list.
const LEAST: u64 = 8 + 6;

/// The length, version 3.0 or 3.2, and the name of the first parameter, which fits into the length.
pub(super) fn startup(prefix: &mut Prefix<'_>) -> Parse<()> {
    let len = prefix.big_endian(4, LEAST..=MOST)?;
    prefix.literal(&[0, 3, 0])?;
    prefix.byte(|minor| minor == 0 || minor == 2)?;
    let name = prefix.until(0, |byte| byte.is_ascii_lowercase() || byte == b'_' || byte == b'.', 0)?;
    let least = LEAST - 2 + name.len() as u64;
    if name.len() < 2 || least > len { Err(Miss::Differs) } else { Ok(()) }
}

/// The length and the code of a request for TLS or GSSAPI.
pub(super) fn encryption(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[0, 0, 0, 8, 0x04, 0xd2, 0x16])?;
    prefix.byte(|code| code == 0x2f || code == 0x30).map(drop)
}

/// The length and the code of a request to cancel: a process, and a key of 4 bytes, or of up to 256 from version 3.2 on.
pub(super) fn cancel(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.big_endian(4, 16..=268)?;
    prefix.literal(&[0x04, 0xd2, 0x16, 0x2e])
}
