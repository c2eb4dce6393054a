//! The requests of SOCKS4 and SOCKS4a, which their clients send first. No RFC says what they are; the memoranda "SOCKS: A
//! protocol for TCP proxy across firewalls" (Y. Koblas, D. Koblas) and "SOCKS 4A" (Y. Lee) do.
//!
//! A server's reply is eight bytes that could be anything, and is not recognised; the request, without which it does not come,
//! is.

use super::prefix::{Miss, Parse, Prefix};

/// Ports that are worth a tunnel. A request without a user's id is only eight bytes and a zero; with any port at all, some
/// counters and times after a 4 and a 1 would look like one.
const PORTS: [u64; 29] = [
    21, 22, 23, 25, 53, 80, 110, 143, 389, 443, 445, 465, 587, 636, 853, 993, 995, 1080, 1433, 1521, 3128,
    3306, 3389, 5432, 5900, 6379, 8080, 8443, 9050,
];

/// CONNECT or BIND to an address, which is the whole of the first message: a port above 0, an address of a host that is
/// neither the first nor the last of its /24, and a user's id. Without a user's id, the port is one of [`PORTS`].
pub(super) fn request(prefix: &mut Prefix<'_>) -> Parse<()> {
    let port = command(prefix)?;
    prefix.byte(|byte| (1..224).contains(&byte))?;
    prefix.skip(2)?;
    prefix.byte(|byte| (1..255).contains(&byte))?;
    let user = prefix.until(0, |byte| byte.is_ascii_graphic(), 0)?;
    if user.is_empty() && !PORTS.contains(&port) {
        return Err(Miss::Differs);
    }
    prefix.end_of_first_message()
}

/// CONNECT or BIND to a name: an address 0.0.0.x, a user's id, and the first label of a name, a dot and one character more.
pub(super) fn request_by_name(prefix: &mut Prefix<'_>) -> Parse<()> {
    command(prefix)?;
    prefix.literal(&[0, 0, 0])?;
    prefix.byte(|byte| byte != 0)?;
    prefix.until(0, |byte| byte.is_ascii_graphic(), 3)?;
    prefix.byte(|byte| byte.is_ascii_alphanumeric())?;
    prefix.until(b'.', |byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_', 1)?;
    prefix.byte(|byte| byte.is_ascii_alphanumeric()).map(drop)
}

/// The version, the command, and the port, which is returned.
fn command(prefix: &mut Prefix<'_>) -> Parse<u64> {
    prefix.literal(&[4])?;
    prefix.byte(|command| command == 1 || command == 2)?;
    prefix.big_endian(2, 1..=0xffff)
}
