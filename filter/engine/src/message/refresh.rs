//! A later message that has a new token in it: `auth.refresh`.

use super::{Context, Message, Verdict};
use crate::connection::grant::Renewal;

/// Judges a message that is meant for Postern; any other is the next rule's.
pub(super) fn judge(message: Message<'_>, context: &mut Context<'_>) -> Option<Verdict> {
    match context.grant.renew(message.text, context.findings, context.now) {
        Ok(Renewal::Ordinary) => None,
        Ok(Renewal::Renewed) => Some(Verdict::Renews { reply: context.grant.replies(context.now) }),
        Ok(Renewal::Waits) => Some(Verdict::Consumed),
        Err(violation) => Some(Verdict::Violates(violation)),
    }
}
