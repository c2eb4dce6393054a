//! The hellos of TLS (RFC 8446 §4.1, §5.1; RFC 5246 §6.2.1, §7.4.1), of SSL 3.0 too.
//!
//! A hello whose first record holds fewer than six bytes is not recognised, nor is one in the format of SSL 2.0.

use super::prefix::{Parse, Prefix};

/// The most bytes in a record: 2^14 (RFC 8446 §5.1).
const MOST_IN_RECORD: u64 = 16_384;

/// The type of a handshake message, its length and the high byte of its version.
const START_OF_HELLO: u64 = 6;

/// Version, random, an empty session id, one cipher suite and one compression method (RFC 5246 §7.4.1.2).
const LEAST_CLIENT_HELLO: u64 = 41;

/// As much, but for the lengths of the two lists (RFC 5246 §7.4.1.3).
const LEAST_SERVER_HELLO: u64 = 38;

/// The most bytes of a hello: a list of extensions has a length of 16 bits.
const MOST_IN_HELLO: u64 = 0xffff;

/// A record of handshake messages, the first of which is a ClientHello. Nothing may follow that in the record.
pub(super) fn client_hello(prefix: &mut Prefix<'_>) -> Parse<()> {
    let record = record(prefix)?;
    prefix.literal(&[1])?;
    let least = LEAST_CLIENT_HELLO.max(record.saturating_sub(4));
    prefix.big_endian(3, least..=MOST_IN_HELLO)?;
    legacy_version(prefix)
}

/// A record of handshake messages, the first of which is a ServerHello.
pub(super) fn server_hello(prefix: &mut Prefix<'_>) -> Parse<()> {
    record(prefix)?;
    prefix.literal(&[2])?;
    prefix.big_endian(3, LEAST_SERVER_HELLO..=MOST_IN_HELLO)?;
    legacy_version(prefix)
}

/// The header of a record of handshake messages, and the number of bytes in it.
fn record(prefix: &mut Prefix<'_>) -> Parse<u64> {
    prefix.literal(&[22, 3])?;
    prefix.byte(|minor| minor <= 4)?;
    prefix.big_endian(2, START_OF_HELLO..=MOST_IN_RECORD)
}

/// SSL 3.0 to TLS 1.2; a hello of TLS 1.3 says 1.2.
fn legacy_version(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[3])?;
    prefix.byte(|minor| minor <= 3).map(drop)
}
