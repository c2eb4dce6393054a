//! Where a whole message arrives that has to be judged by what it says, and the rules that judge it.
//!
//! A message comes here plain, in fragments or inflated, once all of it is there; how it is put together and held until
//! then is the connection's part. Owns the list of the rules, in their order. Forwards nothing, and keeps no message.

mod allow;
mod content;
mod first_message;
mod json;
mod refresh;
#[cfg(feature = "json-schema")]
mod schema;
#[cfg(not(feature = "json-schema"))]
#[path = "without_schema.rs"]
mod schema;
pub(crate) mod tunnels;

use std::time::Duration;

use crate::connection::grant::Grant;
use crate::connection::rates::Rates;
use crate::decision::{Findings, Violation};
use crate::rate::Shared;
use crate::rate::live::places::Places;
pub(crate) use allow::Denied;
pub(crate) use content::ContentRules;

/// A message whose text is to be judged.
#[derive(Clone, Copy)]
pub(crate) struct Message<'m> {
    /// The payloads of its frames, unmasked and inflated.
    pub(crate) text: &'m [u8],
}

/// Says whether the client that sent a message is authenticated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The client is, or need not be.
    Authenticated,
    /// The connection ended before the client was: nothing of it goes on.
    Ended,
    /// The client is to be authenticated by this message.
    Unauthenticated,
}

/// What rules may ask beside the message.
pub(crate) struct Context<'c> {
    pub(crate) standing: Standing,
    pub(crate) grant: &'c mut Grant,
    pub(crate) rates: &'c mut Rates,
    pub(crate) places: &'c mut Places,
    pub(crate) findings: &'c mut Findings,
    pub(crate) shared: &'c mut dyn Shared,
    /// Since the Unix epoch.
    pub(crate) now: Duration,
}

/// What becomes of a message that may be meant for Postern.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It authenticates the client.
    Authenticates,
    /// It goes no further.
    Consumed,
    /// It is not meant for Postern.
    Passes,
    /// It renews the right to the connection, and goes no further. Whether the client is told so.
    Renews {
        /// Says whether the client is told.
        reply: bool,
    },
    /// It ends the connection.
    Violates(Violation),
    /// It cannot be judged before something has been fetched.
    Waits,
}

/// A rule: what becomes of a message by it, or nothing where the next rule is to judge it.
type Rule = fn(Message<'_>, &mut Context<'_>) -> Option<Verdict>;

/// Every rule on messages that may be meant for Postern, in their order. [`ContentRules`] judge what passes them.
const RULES: [Rule; 2] = [first_message::judge, refresh::judge];

/// Judges a message of the client's by every rule, up to the first that decides.
pub(crate) fn judge(message: Message<'_>, mut context: Context<'_>) -> Verdict {
    RULES.iter().find_map(|rule| rule(message, &mut context)).unwrap_or(Verdict::Passes)
}

impl std::fmt::Debug for Message<'_> {
    /// Shows nothing of the text: there may be a token in it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Message(…)")
    }
}
