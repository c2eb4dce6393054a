//! What a message may be sent with: `messages.allow`, by the claims of the newest token.

use serde_json::Value;

use postern_config::Allowance;

use crate::auth::claims::Claims;
use crate::decision::cause::{ClaimName, ContentFault};
use crate::decision::{Enforce, Violation};
use crate::json_order::equal;

use super::ContentRules;

/// The lines of `allow` whose claims a token does not have, each with the first claim that is wrong. Taken when the token is
/// accepted, since its claims are not kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Denied(Box<[Option<ClaimName>]>);

impl Denied {
    /// The lines that `claims` do not satisfy. Takes no memory where there are no lines.
    pub(crate) fn new(lines: &[Allowance], claims: &Claims) -> Self {
        let denied = |line: &Allowance| {
            let lacking = claims.lacks(&line.require)?;
            line.require.get(lacking).map(|requirement| ClaimName::from(&requirement.claim))
        };
        Self(lines.iter().map(denied).collect())
    }
}

/// Judges a message by every line that speaks of it. Before any token is accepted, all lines are denied.
pub(super) fn judge(
    message: &Value,
    rules: &ContentRules,
    denied: Option<&Denied>,
    enforce: Enforce<'_>,
) -> Result<(), Violation> {
    let lines = rules.allow.iter().enumerate();
    for (index, line) in lines.filter(|(_, line)| speaks_of(line, message)) {
        let lacking = match denied.and_then(|denied| denied.0.get(index)) {
            Some(lacking) => lacking.clone(),
            None => line.require.first().map(|requirement| ClaimName::from(&requirement.claim)),
        };
        if let Some(claim) = lacking {
            enforce(rules.not_allowed(index, ContentFault::Claim(claim)))?;
        }
    }
    Ok(())
}

/// Says whether a message has one of the line's values at each of its places.
fn speaks_of(line: &Allowance, message: &Value) -> bool {
    line.when.iter().all(|(place, values)| {
        let found = message.pointer(place.as_str());
        found.is_some_and(|found| values.iter().any(|value| equal(found, value)))
    })
}
