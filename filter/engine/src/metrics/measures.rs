//! The measures of a policy: what all sessions under it count together, without a host call and without room of
//! their own.
//!
//! The sessions of one ruleset share them, and whoever takes them takes what all have counted.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;

use super::histogram::{Histogram, Scale, Sizes};
use super::tally::Tally;
use crate::decision::Rule;
use crate::peer::Peer;

/// The measures since they were last taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measures {
    /// The sizes of whole messages that passed, of the client and of the upstream, in bytes.
    pub sizes: [Histogram; 2],
    /// The times from an own Ping to its answer, of the client and of the upstream.
    pub round_trips: [Histogram; 2],
    /// The waits of handshakes that have come to an end, by what was awaited.
    pub waits: BTreeMap<Awaited, Histogram>,
    /// The handshakes that a step has stopped, by its id.
    pub steps: BTreeMap<(&'static str, Stopped), u64>,
    /// The last counts of sessions that nobody can take any more.
    pub last: Tally,
    /// The charges of rates and the questions for places: within and over, by [`place`].
    limits: Vec<[u64; 2]>,
}

/// A thing that handshakes wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Awaited {
    /// The keys of a provider.
    Keys,
    /// A revocation list.
    RevocationList,
    /// An answer of the rate limit service.
    RateLimitService,
}

/// The way in which a step has stopped a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopped {
    /// The handshake is refused.
    Refused,
    /// The handshake waits.
    Waits,
}

/// What a violation has led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A handshake was refused, or a connection ended.
    Enforced,
    /// Nothing, since the rule is in shadow.
    Shadow,
}

impl Awaited {
    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::RevocationList => "revocation_list",
            Self::RateLimitService => "rate_limit_service",
        }
    }
}

impl Stopped {
    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Waits => "waited",
        }
    }
}

impl Mode {
    /// Returns the name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Enforced => "enforced",
            Self::Shadow => "shadow",
        }
    }
}

impl Default for Measures {
    fn default() -> Self {
        let both = |scale| [Histogram::new(scale), Histogram::new(scale)];
        Self {
            sizes: both(Scale::Bytes),
            round_trips: both(Scale::Waits),
            waits: BTreeMap::new(),
            steps: BTreeMap::new(),
            last: Tally::default(),
            limits: Vec::new(),
        }
    }
}

impl Measures {
    /// Adds other measures to these.
    pub fn add(&mut self, other: &Self) {
        let pairs = self.sizes.iter_mut().zip(&other.sizes);
        pairs
            .chain(self.round_trips.iter_mut().zip(&other.round_trips))
            .for_each(|(sum, more)| sum.add(more));
        for (awaited, waits) in &other.waits {
            self.waits(*awaited).add(waits);
        }
        for (step, times) in &other.steps {
            add(self.steps.entry(*step).or_default(), *times);
        }
        self.last.add(&other.last);
        for (place, [within, over]) in other.limits.iter().enumerate() {
            self.limit(place, *within, *over);
        }
    }

    /// Returns the rates that were charged, and the caps that were asked for a place, with how often that was
    /// within the limit and over it.
    pub fn limits(&self) -> impl Iterator<Item = (Rule, [u64; 2])> {
        self.limits.iter().enumerate().map(|(place, counts)| (rule_at(place), *counts))
    }

    fn waits(&mut self, awaited: Awaited) -> &mut Histogram {
        self.waits.entry(awaited).or_insert_with(|| Histogram::new(Scale::Waits))
    }

    fn limit(&mut self, place: usize, within: u64, over: u64) {
        if self.limits.len() <= place {
            self.limits.resize(place.saturating_add(1), [0; 2]);
        }
        if let Some(counts) = self.limits.get_mut(place) {
            let [sum_within, sum_over] = counts;
            add(sum_within, within);
            add(sum_over, over);
        }
    }
}

/// The rules of caps, each at the place of its counts. Those of rates follow them.
const CAPS: [Rule; 4] = [
    Rule::ConnectionsPerIp,
    Rule::ConnectionsPerPolicy,
    Rule::ConnectionsPerUser,
    Rule::ConnectionsUnauthenticatedPerIp,
];

/// Returns the place of the counts of a rate or cap; `None` for other rules.
fn place(rule: Rule) -> Option<usize> {
    match rule {
        Rule::Rates(index) => index.checked_add(CAPS.len()),
        rule => CAPS.iter().position(|cap| *cap == rule),
    }
}

fn rule_at(place: usize) -> Rule {
    CAPS.get(place).copied().unwrap_or(Rule::Rates(place.saturating_sub(CAPS.len())))
}

fn add(sum: &mut u64, more: u64) {
    *sum = sum.saturating_add(more);
}

/// The measures that the sessions of one ruleset share.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Shared {
    measures: RefCell<Measures>,
    has_any: Cell<bool>,
}

impl Shared {
    /// Takes what was counted since the last call, if anything was.
    pub(crate) fn take(&self) -> Option<Box<Measures>> {
        self.has_any.take().then(|| Box::new(self.measures.take()))
    }

    /// Counts a message that passed, of `len` payload bytes.
    pub(crate) fn size(&self, sender: Peer, len: u64) {
        self.change(|measures| of(&mut measures.sizes, sender).record(len));
    }

    /// Counts messages that passed, of `bytes` payload bytes together.
    pub(crate) fn sizes(&self, sender: Peer, sizes: &Sizes, bytes: u64) {
        self.change(|measures| of(&mut measures.sizes, sender).record_sizes(sizes, bytes));
    }

    /// Counts the time in which `receiver` has answered an own Ping.
    pub(crate) fn round_trip(&self, receiver: Peer, time: Duration) {
        self.change(|measures| of(&mut measures.round_trips, receiver).record_time(time));
    }

    /// Counts a wait of a handshake that has come to an end.
    pub(crate) fn waited(&self, awaited: Awaited, time: Duration) {
        self.change(|measures| measures.waits(awaited).record_time(time));
    }

    /// Counts a handshake that the step of this id has stopped.
    pub(crate) fn stopped(&self, step: &'static str, stopped: Stopped) {
        self.change(|measures| add(measures.steps.entry((step, stopped)).or_default(), 1));
    }

    /// Counts a charge of a rate, or a question for a place under a cap.
    pub(crate) fn decided(&self, rule: Rule, is_within: bool) {
        if let Some(place) = place(rule) {
            let (within, over) = if is_within { (1, 0) } else { (0, 1) };
            self.change(|measures| measures.limit(place, within, over));
        }
    }

    /// Keeps the last counts of a session that is cut.
    pub(crate) fn keep(&self, tally: &Tally) {
        if !tally.is_empty() {
            self.change(|measures| measures.last.add(tally));
        }
    }

    fn change(&self, change: impl FnOnce(&mut Measures)) {
        self.has_any.set(true);
        change(&mut self.measures.borrow_mut());
    }
}

fn of(pair: &mut [Histogram; 2], peer: Peer) -> &mut Histogram {
    let [client, upstream] = pair;
    match peer {
        Peer::Client => client,
        Peer::Upstream => upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_counted_is_taken_once_and_adds_up() {
        let shared = Shared::default();
        assert_eq!(shared.take(), None);
        let mut sum = Measures::default();
        for _ in 0..2 {
            shared.size(Peer::Client, 7);
            shared.round_trip(Peer::Upstream, Duration::from_millis(3));
            shared.waited(Awaited::Keys, Duration::from_secs(1));
            shared.stopped("auth", Stopped::Waits);
            shared.decided(Rule::Rates(1), true);
            shared.decided(Rule::Rates(1), false);
            shared.decided(Rule::ConnectionsPerUser, true);
            shared.decided(Rule::Origins, false);
            sum.add(&shared.take().unwrap());
            assert_eq!(shared.take(), None);
        }
        let [client, upstream] = &sum.sizes;
        assert_eq!((client.len(), client.sum(), upstream.len()), (2, 14, 0));
        assert_eq!(sum.round_trips[1].sum(), 6000);
        assert_eq!(sum.waits[&Awaited::Keys].len(), 2);
        assert_eq!(sum.steps[&("auth", Stopped::Waits)], 2);
        let counted: Vec<_> = sum.limits().filter(|(_, counts)| *counts != [0, 0]).collect();
        assert_eq!(counted, [(Rule::ConnectionsPerUser, [2, 0]), (Rule::Rates(1), [2, 2])]);
    }

    #[test]
    fn every_rate_and_cap_has_counts_of_its_own() {
        for rule in CAPS.into_iter().chain([Rule::Rates(0), Rule::Rates(9)]) {
            assert_eq!(place(rule).map(rule_at), Some(rule));
        }
        assert_eq!(place(Rule::Rates(usize::MAX)), None);
    }

    #[test]
    fn a_session_that_had_nothing_to_count_leaves_nothing() {
        let shared = Shared::default();
        shared.keep(&Tally::default());
        assert_eq!(shared.take(), None);
    }
}
