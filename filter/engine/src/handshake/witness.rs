//! Whoever is told what the steps of a handshake come to.

use std::rc::Rc;

use postern_config::{Counted, Per};

use super::{Handshake, Stop};
use crate::auth::claims::Claims;
use crate::decision::Violation;
use crate::rate::slots::EntryKey;
use crate::ruleset::{HandshakeRate, Ruleset};

/// A witness of the judgement of a handshake. It changes nothing of it.
pub(crate) trait Witness {
    /// Is told what the step at `index` of the order has come to; `claims` are those of a token that is genuine.
    fn see(
        &mut self,
        index: usize,
        handshake: &Handshake,
        claims: Option<&Claims>,
        judged: &Result<(), Stop>,
    );
}

/// Nobody.
impl Witness for () {
    fn see(&mut self, _: usize, _: &Handshake, _: Option<&Claims>, _: &Result<(), Stop>) {}
}

impl Handshake {
    /// Returns the violations that have not refused the handshake.
    pub(crate) fn findings(&self) -> &[Violation] {
        self.findings.untold()
    }

    /// Returns the ruleset that is in force: that of the user's tier once the token is known.
    pub(crate) fn limits(&self) -> &Rc<Ruleset> {
        &self.limits
    }

    /// Returns the rates of handshakes and of refusals, each with the key of the bucket that it charges for this client.
    pub(crate) fn keyed_rates(&self, claims: Option<&Claims>) -> Vec<(EntryKey, HandshakeRate)> {
        let counted = [Counted::Handshakes, Counted::Refusals];
        let groups = [Per::Ip, Per::Policy, Per::User];
        let rates = counted
            .iter()
            .flat_map(|counted| groups.iter().flat_map(|per| self.limits.handshake_rates(*counted, *per)));
        rates.map(|rate| (self.buckets.of_handshake(rate, claims).key, *rate)).collect()
    }

    /// Returns the client's address, or its network, as rules of tokens take it.
    pub(crate) fn address(&self) -> &[u8] {
        self.buckets.address()
    }
}
