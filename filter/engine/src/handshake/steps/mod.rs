//! The order in which a handshake is judged, as data: a file for each step.
//!
//! The first step that refuses wins. Steps that charge are taken all the same: brute force is an attack too.

mod auth;
mod compression;
mod connections;
mod csrf;
mod drain;
mod global_rate_limit;
mod memory;
mod origins;
pub(super) mod rates;
pub(super) mod shape;
mod single_use;
pub(super) mod subprotocols;
mod tls;

use std::time::Duration;

use super::Handshake;
use super::waiting::Stop;
use crate::auth::claims::Claims;
use crate::auth::single_use::Ticket;
use crate::http::headers::HeaderEdit;
use crate::rate::Shared;
use crate::rate::live::places::Places;

/// One step of the judgement.
pub(super) struct Step {
    /// The key of the policy that sets the rule, or the demand of the protocol.
    pub(super) id: &'static str,
    /// Says whether the step is taken even though an earlier one has refused.
    pub(super) is_always_taken: bool,
    /// Judges the handshake, or returns why the judgement goes no further.
    pub(super) judge: fn(&mut Handshake, &mut Turn<'_>) -> Result<(), Stop>,
}

/// One turn of the judgement. A handshake that has waited for something that is fetched takes the steps behind
/// the first [`ONCE`] anew; one that has waited for an answer goes on where it asked, with what it has found.
pub(super) struct Turn<'t> {
    pub(super) shared: &'t mut dyn Shared,
    /// The time of the turn, since the Unix epoch.
    pub(super) now: Duration,
    /// The places under caps that the connection has got.
    pub(super) places: Places,
    pub(super) found: Found,
}

/// The findings of the steps.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The claims of a token that is genuine.
    pub(super) claims: Option<Claims>,
    /// The token that must be spent.
    pub(super) ticket: Option<Ticket>,
    /// The headers in which claims go up.
    pub(super) forwarded: Vec<HeaderEdit>,
    /// The subprotocols that go up.
    pub(super) subprotocols: Offered,
}

/// The subprotocols that a handshake offers, as far as they go up.
#[derive(Debug, Default)]
pub(super) struct Offered {
    /// Tokens that stay in the request.
    pub(super) credentials: Vec<Vec<u8>>,
    /// The offers that the policy allows.
    pub(super) allowed: Vec<Vec<u8>>,
    /// Says whether there were offers that the policy does not allow.
    pub(super) some_denied: bool,
}

/// The id of what is asked of a request before all steps.
pub(crate) const REQUEST: &str = "request";

/// The id of what is asked of the answer to a handshake that went up, and of all that follows.
pub(crate) const RESPONSE: &str = "response";

/// The number of steps that are taken once, whatever the handshake waits for.
pub(super) const ONCE: usize = 10;

/// Every step, in order.
pub(super) const ORDER: [Step; 24] = [
    Step { id: "drain", is_always_taken: false, judge: drain::judge },
    Step { id: "tls", is_always_taken: false, judge: tls::judge },
    Step { id: "other_upgrades", is_always_taken: false, judge: shape::judge_protocol },
    Step { id: "shape", is_always_taken: false, judge: shape::judge_shape },
    Step { id: "compression", is_always_taken: false, judge: compression::judge },
    Step { id: "form of subprotocols", is_always_taken: false, judge: subprotocols::judge_form },
    Step { id: "rates by ip", is_always_taken: true, judge: rates::judge_address },
    Step { id: "refusals by ip", is_always_taken: false, judge: rates::judge_refusals_of_address },
    Step { id: "rates by policy", is_always_taken: true, judge: rates::judge_policy },
    Step { id: "connections by ip and policy", is_always_taken: false, judge: connections::judge_address },
    Step { id: "origins", is_always_taken: false, judge: origins::judge },
    Step { id: "subprotocols", is_always_taken: false, judge: subprotocols::judge_allowed },
    Step { id: "auth", is_always_taken: false, judge: auth::judge },
    Step { id: "refusals by user", is_always_taken: false, judge: rates::judge_refusals_of_user },
    Step { id: "csrf", is_always_taken: false, judge: csrf::judge },
    Step { id: "memory", is_always_taken: false, judge: memory::judge },
    Step { id: "auth.forward", is_always_taken: false, judge: auth::judge_forward },
    Step { id: "rates by user", is_always_taken: true, judge: rates::judge_user },
    Step { id: "connections by user", is_always_taken: false, judge: connections::judge_user },
    Step { id: "global_rate_limit", is_always_taken: false, judge: global_rate_limit::judge_handshake },
    Step {
        id: "global_rate_limit of connections",
        is_always_taken: false,
        judge: global_rate_limit::judge_connection,
    },
    Step {
        id: "global_rate_limit of tickets",
        is_always_taken: false,
        judge: global_rate_limit::judge_ticket,
    },
    Step { id: "connections", is_always_taken: false, judge: connections::acquire },
    Step { id: "auth.single_use", is_always_taken: false, judge: single_use::judge },
];
