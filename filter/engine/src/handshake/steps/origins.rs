//! `origins`: the pages that may connect (RFC 6454, RFC 6455 §10.2).

use postern_config::OriginVerdict;

use super::Turn;
use crate::decision::cause::Shown;
use crate::decision::reason::Reason;
use crate::decision::{Cause, Rule, Violation};
use crate::handshake::Handshake;
use crate::handshake::waiting::Stop;
use crate::peer::Peer;

/// Refuses an origin that is not allowed.
pub(super) fn judge(handshake: &mut Handshake, _turn: &mut Turn<'_>) -> Result<(), Stop> {
    let headers = handshake.head.headers();
    let violation = |reason| Violation::by(Peer::Client, Rule::Origins, reason);
    match handshake.ruleset.policy.origins.judge(headers.all("origin")) {
        OriginVerdict::Allowed => Ok(()),
        OriginVerdict::Denied => {
            let origin = Cause::Origin(Shown::of(headers.all("origin")));
            Err(violation(Reason::OriginDenied).because(origin).into())
        }
        OriginVerdict::Missing => Err(violation(Reason::OriginMissing).into()),
    }
}
