//! The identification string of SSH (RFC 4253 §4.2, §5.1), which both ends send first.
//!
//! Lines that a server may send ahead of it are not looked through.

use super::prefix::{Parse, Prefix};

/// `SSH-2.0-`, `SSH-1.99-` or another 1.x, and the beginning of a software's name.
pub(super) fn identification(prefix: &mut Prefix<'_>) -> Parse<()> {
    if prefix.one_of(&[b"SSH-2.0-", b"SSH-1."])?.ends_with(b".") {
        prefix.byte(|byte| byte.is_ascii_digit())?;
        if prefix.byte(|byte| byte.is_ascii_digit() || byte == b'-')? != b'-' {
            prefix.literal(b"-")?;
        }
    }
    prefix.byte(|byte| byte.is_ascii_graphic() && byte != b'-').map(drop)
}
