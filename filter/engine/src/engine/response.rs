//! The response, and the route that Envoy took for its request.
//!
//! A change to a request makes Envoy choose the route anew, and the new route may be under another policy
//! than the one that judged. Nothing of that is known before the response comes.

use std::time::Duration;

use crate::decision::Violation;
use crate::http::headers::Field;
use crate::http::request::{ConnectionFacts, Entropy, RequestHead};
use crate::rate::Shared;
use crate::session::{Input, Output, Session};

use super::{Engine, RouteFacts, Selection};

const STATUS: &str = ":status";

/// The facts of a response, each asked for only if something depends on it: to ask a host costs more than
/// most answers.
pub trait ResponseFacts {
    /// Returns the value of `:status`.
    fn status(&self) -> Vec<u8>;
    /// Returns all fields of the response.
    fn fields(&self) -> Vec<Field>;
    /// Returns all fields of its request, as it went up.
    fn request_fields(&self) -> Vec<Field>;
    /// Returns the route that its request took.
    fn route(&self) -> RouteFacts;
}

impl Engine {
    /// Hands `session` the response to the request that it let go up. `before` is the route by which its
    /// policy was found.
    pub fn on_response(
        &self,
        session: &mut Session,
        before: Option<&RouteFacts>,
        facts: &dyn ResponseFacts,
        shared: &mut dyn Shared,
        now: Duration,
    ) {
        let fields = match session.reads_response() {
            true => facts.fields(),
            false => vec![(STATUS.to_owned(), facts.status())],
        };
        let switches = fields.iter().any(|(name, value)| name == STATUS && value == b"101");
        if switches && !self.still_applies(session, before, facts) {
            session.handle(Input::Rerouted, shared, now);
        }
        session.handle(Input::Response(fields), shared, now);
    }

    /// Takes the response to a request that passed with changes, since the route `before` gave it no policy.
    /// No other protocol may begin if it would have been judged on the route that it took.
    pub fn on_unjudged_response(&self, before: &RouteFacts, facts: &dyn ResponseFacts) -> Vec<Output> {
        if facts.status() != b"101" {
            return Vec::new();
        }
        let route = facts.route();
        if *before == route {
            return Vec::new();
        }
        let head = gone_up(facts);
        match self.select(&head, &route) {
            Selection::Pass(_) => Vec::new(),
            Selection::Judge(_) | Selection::Refuse(_) => self.refuse(&head, Violation::rerouted()),
        }
    }

    /// Says whether `session` judges by the policy that the request falls under on the route that it took.
    fn still_applies(
        &self,
        session: &Session,
        before: Option<&RouteFacts>,
        facts: &dyn ResponseFacts,
    ) -> bool {
        let route = facts.route();
        before == Some(&route)
            || matches!(self.ruleset(&gone_up(facts), &route), Ok(Some(ruleset)) if session.is_under(&ruleset))
    }
}

/// Returns the request as it went up. Facts that only its own callback could tell find no policy.
fn gone_up(facts: &dyn ResponseFacts) -> RequestHead {
    RequestHead {
        fields: facts.request_fields(),
        connection: ConnectionFacts::default(),
        entropy: Entropy::NONE,
    }
}
