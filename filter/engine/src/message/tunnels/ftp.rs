//! The greeting of a file server, and what its clients say first (RFC 959 §4.1.1, §4.2; RFC 4217 §4).

use super::prefix::{Miss, Parse, Prefix};
use super::text::{contains, is_text};

/// How known servers begin, in lines that may be longer than what is looked at.
const SERVERS: [&[u8]; 4] = [b"(vsFTPd ", b"FileZilla Server", b"Microsoft FTP Service", b"ProFTPD "];

/// How others call themselves within a line.
const NAMES: [&[u8]; 4] = [b"ftpd", b"ftp server", b"ftp service", b"ftp ready"];

/// A line of code 220 in which a server names itself, with the end of the line if it is none of the best known; or such a line
/// which says that more follow, and the beginning of another.
///
/// "220 people joined the FTP channel" is no server's name, and a chat has no ends of lines. A line of another server that
/// ends beyond what is looked at is not recognised.
pub(super) fn greeting(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(b"220")?;
    let has_more = prefix.byte(|byte| byte == b' ' || byte == b'-')? == b'-';
    let line = prefix.run(is_text);
    if SERVERS.iter().any(|server| line.starts_with(server)) {
        return Ok(());
    }
    prefix.literal(b"\r\n")?;
    if NAMES.iter().any(|name| contains(line, name)) {
        return Ok(());
    }
    if !has_more {
        return Err(Miss::Differs);
    }
    prefix.literal(b"220")?;
    prefix.byte(|byte| byte == b' ' || byte == b'-').map(drop)
}

/// `AUTH TLS` or `AUTH SSL`; `USER` for anybody; or `USER` and one word, and `PASS`. IRC's USER has four words, and a chat may
/// say "USER joined", so that a name alone is not enough.
pub(super) fn login(prefix: &mut Prefix<'_>) -> Parse<()> {
    if prefix.one_of(&[b"AUTH TLS\r\n", b"AUTH SSL\r\n", b"USER "])? != b"USER " {
        return Ok(());
    }
    let name = prefix.until(b'\r', |byte| byte.is_ascii_graphic(), 1)?;
    prefix.literal(b"\n")?;
    match name {
        b"" => Err(Miss::Differs),
        b"anonymous" | b"ftp" => Ok(()),
        _ => prefix.literal(b"PASS "),
    }
}
