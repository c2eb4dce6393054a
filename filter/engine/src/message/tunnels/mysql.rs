//! What a server of MySQL or MariaDB sends first ("MySQL Client/Server Protocol", Protocol::HandshakeV10).
//!
//! A client's first packet answers it, and is not recognised by itself.

use super::prefix::{Miss, Parse, Prefix};

/// The bytes behind the version, at least: connection, the two parts of a challenge, capabilities and a filler.
const LEAST_AFTER_VERSION: u64 = 31;

/// The length of a packet, number 0, which is a greeting of protocol 10, and a server's version, such as `8.0.36` or
/// `5.5.5-10.11.6-MariaDB`, which fits into the length.
pub(super) fn greeting(prefix: &mut Prefix<'_>) -> Parse<()> {
    let len = prefix.little_endian(3, LEAST_AFTER_VERSION + 5..=255)?;
    prefix.literal(&[0, 10])?;
    prefix.byte(|byte| byte.is_ascii_digit())?;
    let start = prefix.at();
    prefix.until(b'.', |byte| byte.is_ascii_digit(), 2)?;
    prefix.byte(|byte| byte.is_ascii_digit())?;
    prefix.until(0, |byte| byte.is_ascii_graphic(), 0)?;
    let version = (prefix.at() - start) as u64;
    if version + LEAST_AFTER_VERSION > len { Err(Miss::Differs) } else { Ok(()) }
}
