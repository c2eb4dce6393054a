//! `tls`: the way in which the client is connected, as Envoy tells.

use postern_config::Tls;

use super::Turn;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;
use crate::http::headers::Single;
use crate::peer::Peer;

const FORWARDED_PROTO: &str = "x-forwarded-proto";

/// Refuses a client whose connection is not as the policy asks.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let head = &handshake.head;
    // Some proxies tell the scheme of the socket (Traefik): `wss` is as secure as `https`.
    let is_secure =
        |scheme: &[u8]| [&b"https"[..], b"wss"].iter().any(|one| one.eq_ignore_ascii_case(scheme));
    let forwarded =
        || matches!(head.headers().single(FORWARDED_PROTO), Single::One(scheme) if is_secure(scheme));
    let met = match handshake.ruleset.policy.tls {
        Tls::Forwarded => head.connection.tls || forwarded(),
        Tls::Mutual => head.connection.tls && head.connection.mutual_tls,
        Tls::Optional => true,
        Tls::Required => head.connection.tls,
    };
    if met { Ok(()) } else { Err(Violation::by(Peer::Client, Rule::Tls, Reason::TlsRequired).into()) }
}
