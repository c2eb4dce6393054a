//! The first message of a client that is not authenticated: `auth.from[].first_message`.

use super::{Context, Message, Standing, Verdict};
use crate::connection::grant::Entry;

/// Judges every message before the client is authenticated, and none after.
pub(super) fn judge(message: Message<'_>, context: &mut Context<'_>) -> Option<Verdict> {
    match context.standing {
        Standing::Authenticated => None,
        // It began before the service's Close.
        Standing::Ended => Some(Verdict::Consumed),
        Standing::Unauthenticated => {
            let Context { grant, rates, places, findings, shared, now, .. } = context;
            Some(match grant.enter(message.text, (rates, places, findings), *shared, *now) {
                Entry::Granted => Verdict::Authenticates,
                Entry::Refused(violation) => Verdict::Violates(violation),
                Entry::Wait => Verdict::Waits,
            })
        }
    }
}
