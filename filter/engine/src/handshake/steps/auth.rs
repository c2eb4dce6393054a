//! `auth`: the token, whether it was revoked, the demands on its claims, and those claims that go up.

use super::Turn;
use crate::auth::admit::{self, admit};
use crate::decision::reason::Reason;
use crate::decision::{Rule, Violation};
use crate::handshake::Handshake;
use crate::handshake::credentials::Tokens;
use crate::handshake::waiting::Stop;
use crate::peer::Peer;

/// Judges the token, unless it comes in the first message.
pub(super) fn judge(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    let Some(auth) = &handshake.ruleset.policy.auth else { return Ok(()) };
    let token = match &handshake.credentials.tokens {
        Tokens::Missing if handshake.awaits_first_message() => {
            let prepared = admit::is_prepared(&handshake.ruleset, &mut handshake.findings, turn.now);
            return prepared.map_err(|rejected| Stop::from(*rejected));
        }
        Tokens::Missing => return Err(violation(Reason::TokenMissing).into()),
        Tokens::Ambiguous => return Err(violation(Reason::TokenAmbiguous).into()),
        Tokens::One(token) => token,
    };
    let client = (handshake.buckets.address(), None);
    match admit(token, auth, &handshake.ruleset, client, &mut handshake.findings, turn.now) {
        Ok(claims) => {
            if auth.single_use {
                let ticket = handshake.buckets.ticket(&claims);
                turn.found.ticket = match Rule::AuthSingleUse.is_shadowed_by(&handshake.ruleset.policy) {
                    true => ticket.ok(),
                    false => Some(ticket?),
                };
            }
            handshake.limit_by(&claims);
            turn.found.claims = Some(claims);
            Ok(())
        }
        Err(mut rejected) => {
            turn.found.claims = rejected.claims.take();
            if let Some(claims) = &turn.found.claims {
                handshake.limit_by(claims);
            }
            Err(Stop::from(*rejected))
        }
    }
}

/// Refuses claims that a service would read as others.
pub(super) fn judge_forward(handshake: &mut Handshake, turn: &mut Turn<'_>) -> Result<(), Stop> {
    if let (Some(auth), Some(claims)) = (&handshake.ruleset.policy.auth, &turn.found.claims) {
        turn.found.forwarded = claims.forward(&auth.forward)?;
    }
    Ok(())
}

fn violation(reason: Reason) -> Violation {
    Violation::by(Peer::Client, Rule::Auth, reason)
}
