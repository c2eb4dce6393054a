//! The header of AMQP, which both ends send first (AMQP 0-9-1 §4.2.2; AMQP 1.0 §2.2, §5.2.1, §5.3.2).

use super::prefix::{Parse, Prefix};

/// The name and a version that exists: 0-8, 0-9, 0-9-1, 0-10, or 1.0 plain, over TLS or with SASL.
pub(super) fn header(prefix: &mut Prefix<'_>) -> Parse<()> {
    const VERSIONS: [&[u8]; 8] = [
        &[1, 1, 8, 0],
        &[1, 1, 0, 9],
        &[1, 1, 9, 1],
        &[0, 0, 9, 1],
        &[1, 1, 0, 10],
        &[0, 1, 0, 0],
        &[2, 1, 0, 0],
        &[3, 1, 0, 0],
    ];
    prefix.literal(b"AMQP")?;
    prefix.one_of(&VERSIONS).map(drop)
}
