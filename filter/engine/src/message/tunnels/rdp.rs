//! How RDP begins: a connection request or confirm of X.224 class 0 (RFC 905 §13.3, §13.4; RFC 2126) in a packet of TPKT
//! (RFC 1006 §6; [MS-RDPBCGR] §2.2.1.1, §2.2.1.2).

use super::prefix::{Parse, Prefix};

/// The header of TPKT, and the octet of X.224 that holds the length of what follows it.
const HEADERS: u64 = 5;

/// The header of a connection request without a variable part.
const LEAST: u64 = 6;

/// 255 is reserved.
const MOST: u64 = 254;

/// Both lengths, which agree; the code; a destination of 0, any source, and class 0.
pub(super) fn connection(prefix: &mut Prefix<'_>) -> Parse<()> {
    prefix.literal(&[3, 0])?;
    let packet = prefix.big_endian(2, HEADERS + LEAST..=HEADERS + MOST)?;
    prefix.byte(|indicator| u64::from(indicator) + HEADERS == packet)?;
    prefix.byte(|code| code == 0xe0 || code == 0xd0)?;
    prefix.literal(&[0, 0])?;
    prefix.skip(2)?;
    prefix.literal(&[0])
}
