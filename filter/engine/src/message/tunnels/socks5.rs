//! What both ends of SOCKS5 send first (RFC 1928 §3, §4, §6; RFC 1929 §2).
//!
//! A client's greeting is three bytes or a few more, so that it is only recognised where the first message holds nothing
//! else, which is what programs send. Where it does not, the request that follows is, and ahead of that no connection is made.
//! A server's two bytes are less still, and are only recognised with its reply to a request behind them: `05 00` alone is an
//! ordinary message. So a client evades this that sends its greeting in pieces or with its request, and authenticates itself
//! in another way than with a password.

use super::prefix::{Parse, Prefix};

const VERSION: u8 = 5;

/// Methods as bits: no authentication, GSSAPI, and a password (RFC 1928 §3). Every client offers one of them.
const COMMON: u16 = 0b111;

/// The methods of a greeting that is recognised by itself: those, and CHAP.
const PLAIN: u16 = 0b1111;

/// The methods that IANA lists.
const LISTED: u16 = 0b11_1110_1111;

/// A greeting which is the whole of the first message.
pub(super) fn greeting(prefix: &mut Prefix<'_>) -> Parse<()> {
    methods(prefix, PLAIN)?;
    prefix.end_of_first_message()
}

/// A greeting, and a request or a password behind it, in whatever messages.
pub(super) fn greeting_and_request(prefix: &mut Prefix<'_>) -> Parse<()> {
    let methods = methods(prefix, LISTED)?;
    let takes_password = methods & 0b100 != 0;
    let is_next = |byte| byte == VERSION || (takes_password && byte == 1);
    if prefix.byte(is_next)? == VERSION {
        prefix.byte(|command| (1..=3).contains(&command))?;
        prefix.literal(&[0])?;
        address(prefix)?;
        prefix.big_endian(2, 1..=0xffff).map(drop)
    } else {
        credential(prefix, 2)?;
        credential(prefix, 0)
    }
}

/// The first message, which says nothing but the method that a server takes, and its reply to a request.
pub(super) fn replies(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[VERSION])?;
    prefix.byte(|method| method <= 2)?;
    prefix.end_of_first_message()?;
    prefix.literal(&[VERSION])?;
    prefix.byte(|reply| reply <= 8)?;
    prefix.literal(&[0])?;
    address(prefix)?;
    prefix.skip(2)
}

/// The version, and the methods that a client offers of those `known`, as bits: each once, one of [`COMMON`] among them.
fn methods(prefix: &mut Prefix<'_>, known: u16) -> Parse<u16> {
    let bit = |method: u8| 1_u16.checked_shl(method.into()).unwrap_or(0);
    prefix.literal(&[VERSION])?;
    let count = prefix.byte(|count| (1..=known.count_ones()).contains(&count.into()))?;
    let mut offered = 0;
    for left in (0..count).rev() {
        let is_new = |method| known & !offered & bit(method) != 0;
        let leaves_a_common_one = |method| left > 0 || (offered | bit(method)) & COMMON != 0;
        offered |= bit(prefix.byte(|method| is_new(method) && leaves_a_common_one(method))?);
    }
    Ok(offered)
}

/// The type of an address, and an address (RFC 1928 §5), which leaves room for a port.
fn address(prefix: &mut Prefix<'_>) -> Parse<()> {
    match prefix.byte(|kind| matches!(kind, 1 | 3 | 4))? {
        1 => prefix.skip(4),
        3 => text(prefix, 2, |byte| byte.is_ascii_alphanumeric() || b"-._:".contains(&byte)),
        _ => prefix.skip(16),
    }
}

/// A name or a password (RFC 1929 §2), which leaves room for `after` bytes.
fn credential(prefix: &mut Prefix<'_>, after: u8) -> Parse<()> {
    text(prefix, after, |byte| byte.is_ascii_graphic() || byte == b' ')
}

/// A length above 0, and as many bytes for which `fits` holds.
fn text(prefix: &mut Prefix<'_>, after: u8, fits: fn(u8) -> bool) -> Parse<()> {
    let len = prefix.byte(|len| len > 0)?;
    prefix.has_room(usize::from(len) + usize::from(after))?;
    for _ in 0..len {
        prefix.byte(fits)?;
    }
    Ok(())
}
