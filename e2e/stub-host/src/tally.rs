//! The counts of what has become of streams.

use crate::script::Expected;

/// The counts of one worker, or of all.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) requests: u64,
    /// The streams of which every byte has passed.
    pub(crate) passed: u64,
    pub(crate) answered: u64,
    pub(crate) cut: u64,
    /// The streams that ended by an error of a peer's.
    pub(crate) ended: u64,
    /// The messages that had Pings of the module's between.
    pub(crate) pings: u64,
    /// The frames that the module has injected into connections, and those that did not come to their streams.
    pub(crate) injected: u64,
    pub(crate) kept: u64,
    pub(crate) panicked: u64,
    /// The streams that were cut where a frame of the module's own was to panic.
    pub(crate) own_panics: u64,
}

impl Tally {
    /// Counts a stream.
    pub(crate) fn note(&mut self, expected: Expected, reply: Option<u32>, cuts: u32, has_all: bool) {
        self.requests += 1;
        self.passed += u64::from(has_all);
        self.answered += u64::from(reply.is_some());
        self.cut += u64::from(cuts);
        self.ended += u64::from(matches!(expected, Expected::Ends(_)));
        self.panicked += u64::from(matches!(expected, Expected::Panics(_) | Expected::PanicsInOwnFrame));
    }

    /// Adds the counts of another.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.passed += other.passed;
        self.answered += other.answered;
        self.cut += other.cut;
        self.ended += other.ended;
        self.pings += other.pings;
        self.injected += other.injected;
        self.kept += other.kept;
        self.panicked += other.panicked;
        self.own_panics += other.own_panics;
    }
}
