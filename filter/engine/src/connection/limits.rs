//! The limits by which each direction is judged: those of the policy, or of the tier of the newest token.
//!
//! A token may bring another tier at any time. A message that is under way goes on as it began, so that nothing is judged by
//! half of each: a direction comes under the new limits before its next message. [`grant`](super::grant) knows which they are.

use std::rc::Rc;

use crate::peer::Peer;
use crate::ruleset::Ruleset;

use super::Connection;
use super::deadlines::Deadlines;
use super::grant::{Grant, NewLimits};
use super::parking::MayAsk;

/// The rulesets of both directions. They differ in what a tier may have of its own, and in nothing else.
#[derive(Debug)]
pub(super) struct Limits {
    client: Rc<Ruleset>,
    upstream: Rc<Ruleset>,
    /// Says whether the client's next message comes under other limits.
    client_changes: bool,
    /// Says whether the upstream's next message does.
    upstream_changes: bool,
}

impl Limits {
    /// Creates the limits of a connection that begins under `ruleset`, if they depend on the token.
    pub(super) fn new(grant: &Grant, ruleset: &Rc<Ruleset>) -> Option<Box<Self>> {
        let (client, upstream) = (Rc::clone(ruleset), Rc::clone(ruleset));
        let limits = Self { client, upstream, client_changes: false, upstream_changes: false };
        grant.has_tiers().then(|| Box::new(limits))
    }
}

/// Returns the ruleset by which messages of `sender` are judged.
pub(super) fn of<'c>(limits: &'c Option<Box<Limits>>, deadlines: &'c Deadlines, sender: Peer) -> &'c Ruleset {
    match (limits, sender) {
        (None, _) => deadlines.ruleset(),
        (Some(limits), Peer::Client) => &limits.client,
        (Some(limits), Peer::Upstream) => &limits.upstream,
    }
}

impl Connection {
    /// Returns the ruleset by which messages of `sender` are judged.
    pub(super) fn limits_of(&self, sender: Peer) -> &Ruleset {
        of(&self.limits, &self.deadlines, sender)
    }

    /// Says whether the next message of `sender` comes under other limits.
    pub(super) fn limits_change(&self, sender: Peer) -> bool {
        self.limits.as_ref().is_some_and(|limits| match sender {
            Peer::Client => limits.client_changes,
            Peer::Upstream => limits.upstream_changes,
        })
    }

    /// Notes which limits the newest token has brought, if they are others.
    pub(super) fn note_limits(&mut self) {
        let (Some(limits), Some(grant)) = (&mut self.limits, &self.grant) else { return };
        limits.client_changes = grant.changes_limits();
        limits.upstream_changes = !Rc::ptr_eq(&limits.upstream, grant.newest_limits());
        self.deadlines.last_until(grant.session_ends_at());
    }

    /// Puts the limits of the newest token in force for what `sender` sends from here on, unless a message of its is under way.
    pub(super) fn renew_limits(&mut self, sender: Peer) {
        let (direction, _) = self.direction(sender);
        let has_begun = !(direction.reader.is_between_messages() && direction.reader.is_between_frames());
        if has_begun || direction.is_captured() {
            return;
        }
        match sender {
            Peer::Client => self.renew_limits_of_client(),
            Peer::Upstream => self.renew_limits_of_upstream(),
        }
        self.set_captures();
    }

    fn renew_limits_of_client(&mut self) {
        let (Some(limits), Some(grant)) = (&mut self.limits, &mut self.grant) else { return };
        limits.client_changes = false;
        let Some(NewLimits { ruleset, rates }) = grant.take_limits() else { return };
        if let Some(rates) = rates {
            self.rates.make_way(rates);
        }
        self.client.judge_by(&ruleset.policy);
        limits.client = ruleset;
    }

    fn renew_limits_of_upstream(&mut self) {
        let (Some(limits), Some(grant)) = (&mut self.limits, &self.grant) else { return };
        limits.upstream_changes = false;
        let ruleset = Rc::clone(grant.newest_limits());
        self.upstream.judge_by(&ruleset.policy);
        self.backlog.set_limit(ruleset.policy.backpressure);
        self.parking.let_ask(MayAsk::of(&ruleset.policy));
        limits.upstream = ruleset;
    }
}
