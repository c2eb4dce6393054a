//! The version of RFB, the protocol of VNC (RFC 6143 §7.1.1), which both ends send first.

use super::prefix::{Parse, Prefix};

/// `RFB xxx.yyy` and a line feed. Beside 3.3, 3.7 and 3.8 of the RFC, Apple says 3.889, and RealVNC 4.1 and 5.0.
pub(super) fn version(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(b"RFB 00")?;
    prefix.byte(|major| matches!(major, b'3'..=b'6'))?;
    prefix.literal(b".")?;
    for _ in 0..3 {
        prefix.byte(|digit| digit.is_ascii_digit())?;
    }
    prefix.literal(b"\n")
}
