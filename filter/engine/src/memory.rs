//! What the sessions of one VM hold for their peers, against a budget.
//!
//! Knows no session but by its number, and ends none: it says whose turn it is to give back. Whoever holds most and has
//! not moved for longest goes first, by the product of both, so that neither a small thing that has long been still nor a
//! large one that is under way is ended where a large one stands still.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::moment::Moment;

/// For how long one who stands still has not moved.
const STILL: Duration = Duration::from_secs(1);

/// Sizes by their number of bits: within a class the one that has not moved for longest stands for all.
const CLASSES: usize = u64::BITS as usize + 1;

/// The holdings of all sessions of one VM.
#[derive(Debug)]
pub struct Holdings {
    /// In bytes.
    budget: u64,
    /// In bytes.
    held: u64,
    by_session: HashMap<u32, Holding>,
    /// Those of each class, by when they last moved.
    classes: Vec<BTreeSet<(Moment, u32)>>,
}

/// What one session holds.
#[derive(Clone, Copy, Debug)]
struct Holding {
    bytes: u64,
    moved: Moment,
}

impl Holdings {
    /// Nothing, against a budget of so many bytes.
    pub fn new(budget: u64) -> Self {
        Self { budget, held: 0, by_session: HashMap::new(), classes: vec![BTreeSet::new(); CLASSES] }
    }

    /// Sets the budget, in bytes.
    pub fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// The budget, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// How much is held, in bytes.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// Whether more is held than there may be.
    pub fn is_exceeded(&self) -> bool {
        self.held > self.budget
    }

    /// `session` holds so many bytes now. It has moved if it held nothing before.
    pub fn set(&mut self, session: u32, bytes: u64, now: Duration) {
        let moved = self.take(session).map_or(now.into(), |before| before.moved);
        self.put(session, Holding { bytes, moved });
    }

    /// Bytes of `session` have moved.
    pub fn touch(&mut self, session: u32, now: Duration) {
        if let Some(before) = self.take(session) {
            self.put(session, Holding { moved: now.into(), ..before });
        }
    }

    /// `session` holds nothing, or is over.
    pub fn remove(&mut self, session: u32) {
        self.take(session);
    }

    fn put(&mut self, session: u32, holding: Holding) {
        if holding.bytes == 0 {
            return;
        }
        self.held = self.held.saturating_add(holding.bytes);
        self.by_session.insert(session, holding);
        if let Some(class) = self.classes.get_mut(holding.class()) {
            class.insert((holding.moved, session));
        }
    }

    fn take(&mut self, session: u32) -> Option<Holding> {
        let holding = self.by_session.remove(&session)?;
        self.held = self.held.saturating_sub(holding.bytes);
        if let Some(class) = self.classes.get_mut(holding.class()) {
            class.remove(&(holding.moved, session));
        }
        Some(holding)
    }

    /// The session whose turn it is to give back all that it holds, as long as the budget is exceeded.
    pub fn next_to_give_back(&self, now: Duration) -> Option<u32> {
        if !self.is_exceeded() {
            return None;
        }
        self.stillest().max_by_key(|(_, holding)| holding.weight(now)).map(|(session, _)| session)
    }

    /// Whether nobody may begin to hold: what is left of the budget is for those who do, and none of them stands still,
    /// whose part could be had.
    pub fn is_full(&self, now: Duration) -> bool {
        let is_scarce = self.held > self.budget.saturating_sub(self.budget / 16);
        is_scarce && !self.stillest().any(|(_, holding)| holding.stands_for(now) >= STILL)
    }

    /// Of every class the one that has not moved for longest.
    fn stillest(&self) -> impl Iterator<Item = (u32, Holding)> {
        let firsts = self.classes.iter().filter_map(BTreeSet::first);
        firsts.filter_map(|(_, session)| Some((*session, *self.by_session.get(session)?)))
    }
}

impl Holding {
    fn class(&self) -> usize {
        (u64::BITS - self.bytes.leading_zeros()) as usize
    }

    /// For how long it has not moved.
    fn stands_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.moved.into())
    }

    /// Bytes times milliseconds.
    fn weight(&self, now: Duration) -> u128 {
        u128::from(self.bytes) * (self.stands_for(now).as_millis() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);

    fn at(millis: u64) -> Duration {
        START + Duration::from_millis(millis)
    }

    /// So many are to give back, in this order, each all that it holds.
    fn given_back(holdings: &mut Holdings, now: Duration) -> Vec<u32> {
        let mut order = Vec::new();
        while let Some(session) = holdings.next_to_give_back(now) {
            holdings.remove(session);
            order.push(session);
        }
        order
    }

    #[test]
    fn nobody_gives_back_within_the_budget_and_just_enough_do_beyond_it() {
        let mut holdings = Holdings::new(1000);
        holdings.set(1, 600, at(0));
        holdings.set(2, 400, at(0));
        assert_eq!((holdings.held(), holdings.is_exceeded()), (1000, false));
        assert_eq!(given_back(&mut holdings, at(60_000)), Vec::<u32>::new());
        holdings.set(3, 1, at(60_000));
        assert_eq!(given_back(&mut holdings, at(60_000)), [1]);
        assert_eq!(holdings.held(), 401);
    }

    #[test]
    fn the_largest_that_has_stood_still_for_longest_is_the_first() {
        let cases = [
            ("of the same size, who stands still", vec![(1, 500, 9_990), (2, 500, 0), (3, 500, 9_980)], 2),
            ("of those that stand still, the largest", vec![(1, 100, 0), (2, 900, 0), (3, 500, 0)], 2),
            ("a large one under way stays", vec![(1, 900, 10_000), (2, 200, 0)], 2),
            ("a small one that stands still stays", vec![(1, 5, 0), (2, 1200, 9_000)], 2),
        ];
        for (name, sessions, first) in cases {
            let mut holdings = Holdings::new(1000);
            for (session, bytes, moved) in sessions {
                holdings.set(session, bytes, at(moved));
            }
            assert_eq!(holdings.next_to_give_back(at(10_000)), Some(first), "{name}");
        }
    }

    #[test]
    fn what_a_session_holds_is_counted_once_however_often_it_changes() {
        let mut holdings = Holdings::new(1000);
        for (step, bytes) in [100, 5000, 0, 70, 70, 0, 64].into_iter().enumerate() {
            holdings.set(7, bytes, at(step as u64));
            assert_eq!(holdings.held(), bytes);
            assert_eq!(holdings.classes.iter().map(BTreeSet::len).sum::<usize>(), usize::from(bytes > 0));
        }
        holdings.remove(7);
        holdings.remove(7);
        assert_eq!((holdings.held(), holdings.by_session.len()), (0, 0));
    }

    #[test]
    fn nobody_begins_to_hold_while_all_that_is_left_is_under_way() {
        let mut holdings = Holdings::new(1600);
        holdings.set(1, 1500, at(0));
        assert!(!holdings.is_full(at(0)), "there is room");
        holdings.set(2, 1, at(0));
        assert!(holdings.is_full(at(999)), "nobody stands still");
        assert!(!holdings.is_full(at(1000)), "the part of one that stands still can be had");
        holdings.set(1, 1501, at(1500));
        assert!(!holdings.is_full(at(1500)), "to hold more is not to move");
        holdings.touch(1, at(1500));
        holdings.touch(2, at(1500));
        assert!(holdings.is_full(at(1500)));
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_older() {
        let mut holdings = Holdings::new(10);
        holdings.set(1, 8, at(5000));
        holdings.set(2, 9, at(0));
        assert_eq!(given_back(&mut holdings, Duration::ZERO), [2]);
    }
}
