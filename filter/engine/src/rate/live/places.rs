//! The places of one connection: the caps that count it, and the violation where one does not let it in.

use std::time::Duration;

use postern_config::OnFull;

use super::{Acquired, Cap, LivePlace};
use crate::auth::claims::Claims;
use crate::decision::cause::{LimitExceeded, Measure};
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::peer::Peer;
use crate::rate::Shared;
use crate::rate::bucket_keys::Buckets;
use crate::ruleset::Ruleset;

/// The connections that a cap counts together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CountedLive {
    PerIp,
    PerPolicy,
    PerUser,
    UnauthenticatedPerIp,
}

/// The places of one connection, which must be given back when its stream is over.
#[derive(Clone, Debug, Default)]
pub(crate) struct Places(
    #[expect(clippy::box_collection, reason = "one word in every session, of which few have any")]
    Option<Box<Vec<(CountedLive, LivePlace)>>>,
);

/// The parts of a cap: who is counted, and how many may be.
#[derive(Clone, Copy)]
pub(crate) struct Counts<'c> {
    pub(crate) ruleset: &'c Ruleset,
    pub(crate) buckets: &'c Buckets,
    pub(crate) claims: Option<&'c Claims>,
}

impl Counts<'_> {
    /// Says by which cap a connection would have no place, if by any of these.
    pub(crate) fn look(
        self,
        counted: &[CountedLive],
        shared: &mut dyn Shared,
        findings: &mut Findings,
    ) -> Result<(), Violation> {
        for counted in counted {
            if let Some(cap) = self.cap(*counted)
                && let Err(full) = shared.has_room(&cap)
            {
                self.ruleset.measures().decided(counted.rule(), false);
                findings.enforce(counted.violation(&cap, full), &self.ruleset.policy)?;
            }
        }
        Ok(())
    }

    /// Returns the cap, where the policy has one.
    fn cap(self, counted: CountedLive) -> Option<Cap> {
        let connections = &self.ruleset.policy.connections;
        let limit = match counted {
            CountedLive::PerIp => connections.per_ip,
            CountedLive::PerPolicy => connections.per_policy,
            CountedLive::PerUser => connections.per_user,
            CountedLive::UnauthenticatedPerIp => connections.unauthenticated_per_ip,
        };
        let cap = self.buckets.cap(counted, limit?, self.claims);
        let replaces = cap.has_ages && connections.on_full == OnFull::Replace && !self.shadows(counted);
        Some(Cap { replaces, ..cap })
    }

    /// Says whether the cap is told and not enforced.
    fn shadows(self, counted: CountedLive) -> bool {
        counted.rule().is_shadowed_by(&self.ruleset.policy)
    }
}

impl Places {
    /// Counts the connection under these caps, up to the first that does not let it in. It keeps the places that
    /// it has got.
    pub(crate) fn acquire(
        &mut self,
        counted: &[CountedLive],
        counts: Counts<'_>,
        shared: &mut dyn Shared,
        findings: &mut Findings,
        now: Duration,
    ) -> Result<(), Violation> {
        for counted in counted {
            let Some(mut cap) = counts.cap(*counted) else { continue };
            if counts.shadows(*counted) {
                counts.look(&[*counted], shared, findings)?;
                // Who is let in counts, however many there are.
                cap.limit = u64::MAX;
            }
            let acquired = shared.acquire(&cap, now);
            let is_within = matches!(acquired, Acquired::Counted(_));
            counts.ruleset.measures().decided(counted.rule(), is_within);
            match acquired {
                Acquired::Counted(place) => self.0.get_or_insert_default().push((*counted, place)),
                full => findings.enforce(counted.violation(&cap, full), &counts.ruleset.policy)?,
            }
        }
        Ok(())
    }

    /// Gives back the place that counts those without a token.
    pub(crate) fn release_unauthenticated(&mut self, shared: &mut dyn Shared) {
        let is_given_back =
            |(counted, _): &mut (CountedLive, _)| *counted == CountedLive::UnauthenticatedPerIp;
        let places = self.0.iter_mut().flat_map(|places| places.extract_if(.., is_given_back));
        places.for_each(|(_, place)| shared.release(place));
    }

    /// Gives back all places.
    pub(crate) fn release(&mut self, shared: &mut dyn Shared) {
        let places = self.0.take();
        places.into_iter().flat_map(|places| *places).for_each(|(_, place)| shared.release(place));
    }

    /// Says whether one of the places keeps the age of the connection.
    pub(crate) fn may_make_way(&self) -> bool {
        self.0.iter().flat_map(|places| &**places).any(|(counted, _)| *counted == CountedLive::PerUser)
    }

    /// Says whether this place is among them.
    pub(crate) fn has(&self, place: LivePlace) -> bool {
        self.0.iter().flat_map(|places| &**places).any(|(_, own)| *own == place)
    }
}

impl CountedLive {
    /// Returns those of a client's address, and of the policy.
    pub(crate) fn of_address(awaits_first_message: bool) -> &'static [Self] {
        const ALL: [CountedLive; 3] =
            [CountedLive::PerIp, CountedLive::PerPolicy, CountedLive::UnauthenticatedPerIp];
        let [authenticated @ .., _] = &ALL;
        if awaits_first_message { &ALL } else { authenticated }
    }

    /// Returns the rule that sets the cap.
    fn rule(self) -> Rule {
        match self {
            Self::PerIp => Rule::ConnectionsPerIp,
            Self::PerPolicy => Rule::ConnectionsPerPolicy,
            Self::PerUser => Rule::ConnectionsPerUser,
            Self::UnauthenticatedPerIp => Rule::ConnectionsUnauthenticatedPerIp,
        }
    }

    /// Returns the violation by which a connection has no place under `cap`.
    fn violation(self, cap: &Cap, full: Acquired) -> Violation {
        let violation = Violation::by(Peer::Client, self.rule(), Reason::ConnectionLimit);
        match full {
            Acquired::Full(value) => {
                violation.because(LimitExceeded { measure: Measure::Connections, value, limit: cap.limit })
            }
            Acquired::Counted(_) | Acquired::Unavailable => violation,
        }
    }
}

/// Returns the violation of a connection that has made way for a newer one of its user.
pub(crate) fn replaced() -> Violation {
    Violation::new(Rule::ConnectionsPerUser, Reason::ConnectionReplaced)
}
