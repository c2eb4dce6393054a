//! The budget of log lines that a worker writes about what its peers do.
//!
//! Every client that is refused costs a line, and may come as often as it likes. So lines have a rate of
//! their own, and those that it holds back are counted, and told in one line for each policy.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::rate::{Bucket, Charged, Quota};

/// The time between two lines that tell what was held back.
const INTERVAL: Duration = Duration::from_secs(1);

/// The log budget of one worker.
#[derive(Clone, Debug)]
pub struct LogBudget {
    quota: Quota,
    bucket: Bucket,
    /// The number of lines that were held back, by policy, of which there are as many as are configured.
    held_back: BTreeMap<String, u64>,
    /// The time when held back lines were last told.
    told: Duration,
}

impl LogBudget {
    /// Creates a budget of `lines_per_second` lines a second, and as many at once.
    pub fn new(lines_per_second: u32) -> Self {
        let quota = Quota::per_second(u64::from(lines_per_second.max(1)));
        Self { quota, bucket: Bucket::default(), held_back: BTreeMap::new(), told: Duration::ZERO }
    }

    /// Sets the rate to `lines_per_second` from now on.
    pub fn set_limit(&mut self, lines_per_second: u32) {
        self.quota = Self::new(lines_per_second).quota;
    }

    /// Says whether a line about a request or connection under `policy` may be written at `now`, the time
    /// since the Unix epoch. A line that may not is counted.
    pub fn admits(&mut self, policy: &str, now: Duration) -> bool {
        if self.bucket.take(self.quota, 1, now) == Charged::Taken {
            return true;
        }
        self.hold_back(policy, 1);
        false
    }

    /// Counts `lines` under `policy` that were held back, here or by a worker that tells no more.
    pub fn hold_back(&mut self, policy: &str, lines: u64) {
        match self.held_back.get_mut(policy) {
            Some(count) => *count = count.saturating_add(lines),
            None => {
                self.held_back.insert(policy.to_owned(), lines);
            }
        }
    }

    /// Takes the numbers of lines that were held back and not told, for another worker to tell.
    pub fn hand_over(&mut self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.held_back)
    }

    /// Takes the number of lines that were held back under each policy since the last time; empty if that is
    /// less than a second ago.
    pub fn take_held_back(&mut self, now: Duration) -> BTreeMap<String, u64> {
        // A clock that was set back says nothing of how long ago the last time is.
        let is_due = now.checked_sub(self.told).is_none_or(|since| since >= INTERVAL);
        if self.held_back.is_empty() || !is_due {
            return BTreeMap::new();
        }
        self.told = now;
        std::mem::take(&mut self.held_back)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);

    fn written(budget: &mut LogBudget, lines: u32, now: Duration) -> u32 {
        (0..lines).map(|_| u32::from(budget.admits("chat", now))).sum()
    }

    fn held_back(budget: &mut LogBudget, now: Duration) -> Vec<(String, u64)> {
        budget.take_held_back(now).into_iter().collect()
    }

    #[test]
    fn lines_that_one_worker_held_back_are_told_by_another() {
        let (mut resting, mut told) = (LogBudget::new(1), LogBudget::new(1));
        assert_eq!(written(&mut resting, 4, START), 1);
        assert!(!told.admits("chat", START) || !told.admits("chat", START), "one line a second");
        for (policy, lines) in resting.hand_over() {
            told.hold_back(&policy, lines);
        }
        assert_eq!(held_back(&mut resting, START), []);
        assert_eq!(held_back(&mut told, START), [("chat".to_owned(), 4)]);
    }

    #[test]
    fn lines_beyond_the_rate_are_held_back_and_counted_by_policy() {
        let mut budget = LogBudget::new(3);
        assert_eq!(written(&mut budget, 5, START), 3);
        assert!(!budget.admits("feed", START));
        let told = [("chat".to_owned(), 2), ("feed".to_owned(), 1)];
        assert_eq!(held_back(&mut budget, START), told);
        assert_eq!(held_back(&mut budget, START + 2 * INTERVAL), []);
        assert_eq!(written(&mut budget, 9, START + INTERVAL / 2), 1);
        assert_eq!(written(&mut budget, 9, START + 10 * INTERVAL), 3);
    }

    #[test]
    fn however_many_lines_there_are_a_second_has_its_rate_and_one_count_of_each_policy() {
        let mut budget = LogBudget::new(50);
        let (mut lines, mut counted, mut counts) = (0, 0, 0);
        for tick in 0..40_u32 {
            let now = START + tick * Duration::from_millis(250);
            lines += written(&mut budget, 10_000, now);
            let held_back = held_back(&mut budget, now);
            counts += held_back.len();
            counted += held_back.iter().map(|(_, count)| count).sum::<u64>();
        }
        assert!((50 * 10..=50 * 11).contains(&lines), "{lines}");
        assert_eq!(counts, 10);
        assert!(counted <= 400_000 - u64::from(lines));
        let rest: u64 = held_back(&mut budget, START + 20 * INTERVAL).iter().map(|(_, count)| count).sum();
        assert_eq!(counted + rest, 400_000 - u64::from(lines));
    }

    #[test]
    fn a_clock_set_back_silences_nothing() {
        let mut budget = LogBudget::new(2);
        assert_eq!(written(&mut budget, 3, START), 2);
        assert_eq!(held_back(&mut budget, START).len(), 1);
        let earlier = START - Duration::from_secs(3600);
        assert_eq!(written(&mut budget, 3, earlier), 2);
        assert_eq!(held_back(&mut budget, earlier), [("chat".to_owned(), 1)]);
    }

    #[test]
    fn another_limit_holds_at_once() {
        let mut budget = LogBudget::new(1);
        assert_eq!(written(&mut budget, 3, START), 1);
        budget.set_limit(4);
        assert_eq!(written(&mut budget, 9, START + INTERVAL), 4);
    }
}
