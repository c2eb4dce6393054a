//! The memory that the sessions of one VM hold for their peers, against a budget.
//!
//! Knows no session but by its number, and ends none: it decides whose turn it is to give back.
//!
//! Bytes *wait* until something is whole: parts of frames and messages, and bytes that came before
//! authentication. A wait stands still from the time on by which an honest peer would have brought as much,
//! whatever drips meanwhile. Of the sessions with bytes that wait the one goes first that holds most and has
//! stood still for longest, by the product of both. Bytes *rest* that an inflater keeps of earlier messages,
//! which idle peers hold as well; of the sessions with bytes that rest the one goes first that has most and
//! has not moved for longest. Each kind answers for more than its half of the budget, and once half of it
//! rests nobody else's bytes come to rest: so nobody whose bytes wait can have those ended whose bytes rest.

pub(crate) mod blocks;
pub(crate) mod worst_case;

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use crate::moment::Moment;
pub use blocks::Blocks;
pub use worst_case::{judge_budget, most_held};

/// The time after which a wait that stands still counts as one that has stood still.
const STILL: Duration = Duration::from_secs(1);

/// The least speed at which an honest peer brings the rest of what it has begun, in bytes per second.
const SLOWEST: u64 = 16 * 1024;

/// The number of classes of sizes, by their number of bits. Within a class the session that has stood still
/// for longest stands for all.
const CLASSES: usize = u64::BITS as usize + 1;

/// The holdings of all sessions of one VM.
#[derive(Debug)]
pub struct Holdings {
    /// The budget, in bytes.
    budget: u64,
    by_session: HashMap<u32, Holding>,
    waiting: Ranking,
    resting: Ranking,
}

/// The holding of one session.
#[derive(Clone, Copy, Debug)]
struct Holding {
    /// The bytes that wait.
    waiting: u64,
    /// The bytes that rest.
    resting: u64,
    /// The time at which the wait began.
    began: Moment,
    /// The last time that bytes of the session moved.
    moved: Moment,
}

/// The ranks of sessions by the size of one kind of holding, and by a time.
#[derive(Debug)]
struct Ranking {
    /// The sum of all holdings of the kind, in bytes.
    total: u64,
    classes: Vec<BTreeSet<(Moment, u32)>>,
}

impl Holdings {
    /// Creates empty holdings, against a budget of `budget` bytes.
    pub fn new(budget: u64) -> Self {
        let (waiting, resting) = (Ranking::new(), Ranking::new());
        Self { budget, by_session: HashMap::new(), waiting, resting }
    }

    /// Sets the budget, in bytes.
    pub fn set_budget(&mut self, budget: u64) {
        self.budget = budget;
    }

    /// Returns the budget, in bytes.
    pub fn budget(&self) -> u64 {
        self.budget
    }

    /// Returns the number of bytes that are held.
    pub fn held(&self) -> u64 {
        self.waiting.total.saturating_add(self.resting.total)
    }

    /// Says whether more is held than the budget allows.
    pub fn is_exceeded(&self) -> bool {
        self.held() > self.budget
    }

    /// Notes that `session` holds `bytes` now, of which `resting` rest. A wait begins now unless more waits
    /// than before: then the earlier wait goes on.
    pub fn set(&mut self, session: u32, bytes: u64, resting: u64, now: Duration) {
        let (now, before) = (Moment::from(now), self.take(session));
        let waiting = bytes.saturating_sub(resting);
        let goes_on = before.filter(|before| before.waiting > 0 && waiting > before.waiting);
        let began = goes_on.map_or(now, |before| before.began);
        let moved = before.map_or(now, |before| before.moved);
        self.put(session, Holding { waiting, resting: bytes.min(resting), began, moved });
    }

    /// Notes that bytes of `session` have moved.
    pub fn touch(&mut self, session: u32, now: Duration) {
        if let Some(before) = self.take(session) {
            self.put(session, Holding { moved: now.into(), ..before });
        }
    }

    /// Notes that `session` holds nothing, or is over.
    pub fn remove(&mut self, session: u32) {
        self.take(session);
    }

    fn put(&mut self, session: u32, holding: Holding) {
        if holding.waiting == 0 && holding.resting == 0 {
            return;
        }
        self.by_session.insert(session, holding);
        self.waiting.add(holding.waiting, (holding.began, session));
        self.resting.add(holding.resting, (holding.moved, session));
    }

    fn take(&mut self, session: u32) -> Option<Holding> {
        let holding = self.by_session.remove(&session)?;
        self.waiting.remove(holding.waiting, (holding.began, session));
        self.resting.remove(holding.resting, (holding.moved, session));
        Some(holding)
    }

    /// Returns the session whose turn it is to give back all that it holds, as long as the budget is
    /// exceeded.
    pub fn next_to_give_back(&self, now: Duration) -> Option<u32> {
        if !self.is_exceeded() {
            return None;
        }
        let first = |ranking: &Ranking, weight: fn(&Holding, Duration) -> u128| {
            let firsts = self.firsts(ranking);
            firsts.max_by_key(|(_, holding)| weight(holding, now)).map(|(session, _)| session)
        };
        let (waits, rests) =
            (first(&self.waiting, Holding::weight), first(&self.resting, Holding::weight_at_rest));
        if self.waiting.total > self.budget / 2 { waits.or(rests) } else { rests.or(waits) }
    }

    /// Says whether as much rests as may: no more compression with a memory of earlier messages must be
    /// agreed on from here on.
    pub fn rests_enough(&self) -> bool {
        self.resting.total >= self.budget / 2
    }

    /// Says whether nobody may begin to hold anything: what is left of the budget is for the sessions that
    /// hold something, and none stands still whose part could be had.
    pub fn is_full(&self, now: Duration) -> bool {
        let is_scarce = self.held() > self.budget.saturating_sub(self.budget / 16);
        let rests_too_much = self.waiting.total <= self.budget / 2;
        let can_be_had = self.firsts(&self.waiting).any(|(_, holding)| holding.is_late_by(now) >= STILL)
            || (rests_too_much
                && self.firsts(&self.resting).any(|(_, holding)| holding.is_idle_for(now) >= STILL));
        is_scarce && !can_be_had
    }

    /// Returns the first session of every class.
    fn firsts(&self, ranking: &Ranking) -> impl Iterator<Item = (u32, Holding)> {
        let firsts = ranking.classes.iter().filter_map(BTreeSet::first);
        firsts.filter_map(|(_, session)| Some((*session, *self.by_session.get(session)?)))
    }
}

impl Holding {
    /// Returns the time for which the wait has stood still.
    fn is_late_by(&self, now: Duration) -> Duration {
        let honest = Duration::from_millis(self.waiting.saturating_mul(1000) / SLOWEST);
        now.saturating_sub(self.began.into()).saturating_sub(honest)
    }

    /// Returns the time for which nothing has moved.
    fn is_idle_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.moved.into())
    }

    /// Returns the weight of what waits: bytes times milliseconds.
    fn weight(&self, now: Duration) -> u128 {
        u128::from(self.waiting) * (self.is_late_by(now).as_millis() + 1)
    }

    /// Returns the weight of what rests: bytes times milliseconds.
    fn weight_at_rest(&self, now: Duration) -> u128 {
        u128::from(self.resting) * (self.is_idle_for(now).as_millis() + 1)
    }
}

impl Ranking {
    fn new() -> Self {
        Self { total: 0, classes: vec![BTreeSet::new(); CLASSES] }
    }

    fn add(&mut self, bytes: u64, place: (Moment, u32)) {
        self.total = self.total.saturating_add(bytes);
        if let Some(class) = self.classes.get_mut(class(bytes)).filter(|_| bytes > 0) {
            class.insert(place);
        }
    }

    fn remove(&mut self, bytes: u64, place: (Moment, u32)) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(class) = self.classes.get_mut(class(bytes)) {
            class.remove(&place);
        }
    }
}

fn class(bytes: u64) -> usize {
    (u64::BITS - bytes.leading_zeros()) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);

    fn at(millis: u64) -> Duration {
        START + Duration::from_millis(millis)
    }

    /// Returns the sessions whose turn it is, one after the other, each of which gives back all that it
    /// holds.
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
        holdings.set(1, 600, 0, at(0));
        holdings.set(2, 400, 0, at(0));
        assert_eq!((holdings.held(), holdings.is_exceeded()), (1000, false));
        assert_eq!(given_back(&mut holdings, at(60_000)), Vec::<u32>::new());
        holdings.set(3, 1, 0, at(60_000));
        assert_eq!(given_back(&mut holdings, at(60_000)), [1]);
        assert_eq!(holdings.held(), 401);
    }

    #[test]
    fn of_those_that_wait_the_largest_that_has_stood_still_for_longest_is_the_first() {
        let cases = [
            ("of the same size, who stands still", vec![(1, 500, 9_500), (2, 500, 0), (3, 500, 9_000)], 2),
            ("of those that stand still, the largest", vec![(1, 100, 0), (2, 900, 0), (3, 500, 0)], 2),
            ("a large one under way stays", vec![(1, 900, 9_990), (2, 200, 0)], 2),
            ("a small one that stands still stays", vec![(1, 5, 0), (2, 1200, 8_000)], 2),
        ];
        for (name, sessions, first) in cases {
            let mut holdings = Holdings::new(1000);
            for (session, bytes, began) in sessions {
                holdings.set(session, bytes, 0, at(began));
            }
            assert_eq!(holdings.next_to_give_back(at(10_000)), Some(first), "{name}");
        }
    }

    #[test]
    fn who_drips_stands_still_and_who_brings_what_it_began_does_not() {
        let mut holdings = Holdings::new(90_000);
        for (drip, millis) in (0..100).map(|drip| (drip, drip * 100)) {
            holdings.set(1, 30_000 + drip, 0, at(millis));
            holdings.touch(1, at(millis));
        }
        // Session 2 is as slow as may be, and pauses once.
        holdings.set(2, 20_000, 0, at(8_000));
        holdings.set(2, 60_000, 0, at(9_900));
        assert_eq!(given_back(&mut holdings, at(10_000)), [1]);
    }

    #[test]
    fn what_is_held_anew_has_not_stood_still_with_what_was_before_it() {
        let mut holdings = Holdings::new(1000);
        holdings.set(1, 800, 0, at(0));
        holdings.set(1, 700, 0, at(10_000));
        holdings.set(2, 400, 0, at(8_000));
        assert_eq!(holdings.next_to_give_back(at(10_000)), Some(2));
    }

    #[test]
    fn each_kind_of_holding_answers_for_more_than_its_half() {
        let mut holdings = Holdings::new(1000);
        holdings.set(1, 300, 300, at(0));
        holdings.set(2, 100, 100, at(0));
        holdings.set(3, 700, 0, at(59_999));
        assert_eq!(given_back(&mut holdings, at(60_000)), [3], "those who rest are not ended for it");
        holdings.set(4, 400, 400, at(60_000));
        holdings.set(5, 300, 0, at(0));
        assert_eq!(given_back(&mut holdings, at(60_000)), [1], "who rests for longest makes room");
        holdings.touch(2, at(120_000));
        holdings.set(6, 400, 300, at(120_000));
        assert_eq!(given_back(&mut holdings, at(120_000)), [4], "who moves stays");
    }

    #[test]
    fn what_a_session_holds_is_counted_once_however_often_it_changes() {
        let mut holdings = Holdings::new(1000);
        for (step, (bytes, resting)) in
            [(100, 0), (5000, 40), (0, 0), (70, 70), (64, 1)].into_iter().enumerate()
        {
            holdings.set(7, bytes, resting, at(step as u64));
            assert_eq!((holdings.held(), holdings.resting.total), (bytes, resting));
            let places = |ranking: &Ranking| ranking.classes.iter().map(BTreeSet::len).sum::<usize>();
            assert_eq!(places(&holdings.waiting), usize::from(bytes > resting));
            assert_eq!(places(&holdings.resting), usize::from(resting > 0));
        }
        holdings.remove(7);
        holdings.remove(7);
        assert_eq!((holdings.held(), holdings.by_session.len()), (0, 0));
    }

    #[test]
    fn nobody_begins_to_hold_while_all_that_is_left_is_under_way() {
        let mut holdings = Holdings::new(1600);
        holdings.set(1, 1500, 0, at(0));
        assert!(!holdings.is_full(at(0)), "there is room");
        holdings.set(2, 1, 0, at(0));
        assert!(holdings.is_full(at(999)), "nobody stands still");
        assert!(!holdings.is_full(at(1500)), "the part of one that stands still can be had");
        holdings.touch(2, at(1500));
        assert!(!holdings.is_full(at(1500)), "to drip is not to move");
        let mut holdings = Holdings::new(1600);
        holdings.set(1, 1600, 1600, at(0));
        assert!(holdings.is_full(at(0)) && !holdings.is_full(at(1000)), "nor is anybody idle");
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nobody_older() {
        let mut holdings = Holdings::new(10);
        holdings.set(1, 8, 0, at(5000));
        holdings.set(2, 9, 0, at(0));
        assert_eq!(given_back(&mut holdings, Duration::ZERO), [2]);
    }

    #[test]
    fn nobody_who_waits_and_stands_still_has_those_ended_who_rest() {
        let mut holdings = Holdings::new(1000);
        assert!(!holdings.rests_enough());
        holdings.set(1, 250, 250, at(50_000));
        holdings.set(2, 250, 250, at(50_000));
        assert!(holdings.rests_enough(), "so that nobody comes to rest beside them");
        // Sessions 3 and 4 wait for a minute: within their half, and all of it dead.
        holdings.set(3, 200, 0, at(0));
        holdings.set(4, 301, 0, at(0));
        assert_eq!(given_back(&mut holdings, at(60_000)), [4]);
    }
}
