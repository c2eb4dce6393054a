//! The subprotocols of a client's offer that go up (RFC 6455 §4.1, item 10).

use std::collections::BTreeSet;

use postern_config::Subprotocols;

use super::{Offered, Turn};
use crate::decision::cause::HandshakeFault;
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::credentials::are_credentials;
use crate::handshake::waiting::Stop;
use crate::handshake::{Handshake, PROTOCOL};
use crate::http::headers::{HeaderEdit, is_token};
use crate::peer::Peer;

/// The names under which known programs carry another protocol inside a WebSocket: websockify and noVNC
/// (`binary`, `base64`), Guacamole, Kubernetes port forwarding, chisel, wstunnel, and plain names of the
/// protocols themselves.
const TUNNELS: [&str; 13] = [
    "base64",
    "binary",
    "guacamole",
    "portforward.k8s.io",
    "rdp",
    "rfb",
    "socks",
    "socks5",
    "spdy/3.1+portforward.k8s.io",
    "ssh",
    "tcp",
    "vnc",
    "wstunnel",
];

/// The beginning of the name of a tunnel that ends in a version.
const TUNNEL_PREFIX: &[u8] = b"chisel-";

/// The most subprotocols that a client may offer. Each that goes up is remembered until the upstream answers,
/// and costs many times the two bytes that it may have in the request.
const MOST: usize = 64;

/// Says whether each offer is a token, and made once (RFC 6455 §4.1, item 10). Some programs name theirs by
/// tokens with slashes between them (Kubernetes: `SPDY/3.1+portforward.k8s.io`).
fn are_well_formed(offers: &[&[u8]]) -> bool {
    let distinct: BTreeSet<_> = offers.iter().collect();
    distinct.len() == offers.len() && offers.iter().all(|offer| offer.split(|b| *b == b'/').all(is_token))
}

/// Returns the offers that go up, of those left after tokens were taken out.
pub(crate) fn judge<'a>(rule: &Subprotocols, offers: &[&'a [u8]]) -> Result<Vec<&'a [u8]>, Violation> {
    let left: Vec<_> = offers.iter().copied().filter(|offer| allowed(rule, offer)).collect();
    if left.is_empty() && (rule.require || !offers.is_empty()) {
        return Err(Violation::by(Peer::Client, Rule::Subprotocols, Reason::SubprotocolDenied));
    }
    Ok(left)
}

/// Refuses offers beside tokens that are not well formed, or too many offers.
pub(super) fn judge_form(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let are_few = handshake.head.headers().list(PROTOCOL).take(MOST + 1).count() <= MOST;
    let is_sound = are_few && {
        let offers = handshake.offers();
        let mut is_credential = are_credentials(&handshake.ruleset);
        let offers: Vec<_> = offers.iter().map(Vec::as_slice).filter(|offer| !is_credential(offer)).collect();
        are_well_formed(&offers)
    };
    if is_sound { Ok(()) } else { Err(Violation::from(HandshakeFault::Offers).into()) }
}

/// Refuses a handshake none of whose subprotocols may go up, if one must.
pub(super) fn judge_allowed(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let offers = handshake.offers();
    let mut is_credential = are_credentials(&handshake.ruleset);
    let (credentials, offers): (Vec<_>, Vec<_>) =
        offers.iter().map(Vec::as_slice).partition(|offer| is_credential(offer));
    let allowed = match judge(&handshake.ruleset.policy.subprotocols, &offers) {
        Ok(allowed) => allowed,
        Err(violation) => {
            handshake.findings.enforce(violation, &handshake.ruleset.policy)?;
            offers.clone()
        }
    };
    let owned = |offers: Vec<&[u8]>| offers.into_iter().map(<[u8]>::to_vec).collect();
    let some_denied = allowed.len() != offers.len();
    turn.found.subprotocols =
        Offered { credentials: owned(credentials), allowed: owned(allowed), some_denied };
    Ok(())
}

/// Returns the edit that sets the field `name` to these offers, or removes it without any.
pub(crate) fn edit<'a>(name: &str, offers: impl Iterator<Item = &'a [u8]>) -> HeaderEdit {
    let value = offers.collect::<Vec<_>>().join(&b", "[..]);
    if value.is_empty() {
        HeaderEdit::Remove(name.to_owned())
    } else {
        HeaderEdit::Set(name.to_owned(), value)
    }
}

fn allowed(rule: &Subprotocols, offer: &[u8]) -> bool {
    match &rule.allow {
        Some(allow) => allow.iter().any(|name| name.as_bytes() == offer),
        None => is_token(offer) && !is_tunnel(offer),
    }
}

/// Says whether `offer` is the name of a known tunnel.
pub(crate) fn is_tunnel(offer: &[u8]) -> bool {
    TUNNELS.iter().any(|name| offer.eq_ignore_ascii_case(name.as_bytes()))
        || offer.get(..TUNNEL_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(TUNNEL_PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(allow: Option<&[&str]>, require: bool) -> Subprotocols {
        Subprotocols { allow: allow.map(|names| names.iter().map(|&n| n.to_owned()).collect()), require }
    }

    #[test]
    fn an_offer_is_a_token_made_once() {
        let cases: [(&[&[u8]], bool); 8] = [
            (&[], true),
            (&[b"mqtt", b"chat.v2"], true),
            (&[b"mqtt", b"chat", b"mqtt"], false),
            (&[b"SPDY/3.1+portforward.k8s.io"], true),
            (&[b"a//b"], false),
            (&[b"/a"], false),
            (&[b"a b"], false),
            (&[b"\xff"], false),
        ];
        for (offers, expected) in cases {
            assert_eq!(are_well_formed(offers), expected, "{offers:?}");
        }
    }

    #[test]
    fn only_what_is_allowed_goes_up() {
        const DENIED: Result<Vec<&[u8]>, Reason> = Err(Reason::SubprotocolDenied);
        let chat = Some(&["chat.v2", "chat.v1"][..]);
        let cases: [(&str, Subprotocols, &[&[u8]], Result<Vec<&[u8]>, Reason>); 12] = [
            ("nothing offered", rule(chat, false), &[], Ok(vec![])),
            ("nothing offered, one required", rule(chat, true), &[], DENIED),
            ("one of two", rule(chat, false), &[b"soap", b"chat.v1"], Ok(vec![b"chat.v1"])),
            (
                "order of the client",
                rule(chat, true),
                &[b"chat.v1", b"chat.v2"],
                Ok(vec![b"chat.v1", b"chat.v2"]),
            ),
            ("none left", rule(chat, false), &[b"soap"], DENIED),
            ("case matters", rule(chat, false), &[b"CHAT.V2"], DENIED),
            ("any but tunnels", rule(None, false), &[b"mqtt", b"Binary"], Ok(vec![b"mqtt"])),
            ("a tunnel alone", rule(None, false), &[b"chisel-v3"], DENIED),
            ("a name with a slash", rule(None, false), &[b"chat/v2"], DENIED),
            ("a name with a slash among others", rule(None, false), &[b"a/b", b"chat"], Ok(vec![b"chat"])),
            ("a name with a slash, written out", rule(Some(&["a/b"]), true), &[b"a/b"], Ok(vec![b"a/b"])),
            ("a tunnel by name", rule(Some(&["ssh"]), false), &[b"ssh"], Ok(vec![b"ssh"])),
        ];
        for (name, rule, offers, expected) in cases {
            assert_eq!(judge(&rule, offers).map_err(|violation| violation.reason), expected, "{name}");
        }
    }
}
