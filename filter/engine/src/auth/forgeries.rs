//! The forgeries of each address: signatures that were not genuine.
//!
//! To verify a signature costs far more than to send one. So each that was verified in vain is charged to its
//! sender's address, and an address that has spent its share has to wait until more of its tokens are
//! verified. A genuine signature costs nothing, and a token that was verified before passes all the same. The
//! counts are those of one worker, whose time it is.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::rate::{Bucket, Charged, Quota};

/// The number of signatures of an address that may be verified in vain at once, and in each minute.
pub const FORGERIES_A_MINUTE: u64 = 100;

const QUOTA: Quota = Quota::per_minute(FORGERIES_A_MINUTE);

/// The number of addresses in a generation, half of those that are remembered at most: with about a hundred
/// bytes for each, 200 KiB in all.
const GENERATION: usize = 1024;

/// The charges of addresses; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Forgeries {
    generations: Rc<RefCell<Generations>>,
}

#[derive(Default)]
struct Generations {
    recent: HashMap<Box<[u8]>, Bucket>,
    /// The buckets that are forgotten as soon as the recent ones are too many.
    older: HashMap<Box<[u8]>, Bucket>,
}

impl Forgeries {
    /// Returns the time that `client` has to wait until another of its signatures is verified, if it has to
    /// wait.
    pub(super) fn wait(&self, client: &[u8], now: Duration) -> Option<Duration> {
        let generations = self.generations.borrow();
        let mut bucket = *generations.recent.get(client).or_else(|| generations.older.get(client))?;
        match bucket.take(QUOTA, 1, now) {
            Charged::Taken => None,
            Charged::Wait(wait) => Some(wait),
        }
    }

    /// Charges `client` for this number of signatures that were verified in vain.
    pub(super) fn charge(&self, client: &[u8], signatures: usize, now: Duration) {
        let generations = &mut *self.generations.borrow_mut();
        if !generations.recent.contains_key(client) {
            if generations.recent.len() >= GENERATION {
                generations.older = std::mem::take(&mut generations.recent);
            }
            let known = generations.older.remove(client).unwrap_or_default();
            generations.recent.insert(client.into(), known);
        }
        if let Some(bucket) = generations.recent.get_mut(client) {
            // Signatures are charged one by one, so that the last ones are not free.
            for _ in 0..signatures {
                bucket.take(QUOTA, 1, now);
            }
        }
    }
}

impl fmt::Debug for Forgeries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Forgeries(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn an_address_waits_once_it_has_spent_its_share_and_others_do_not() {
        let forgeries = Forgeries::default();
        for _ in 0..FORGERIES_A_MINUTE {
            assert_eq!(forgeries.wait(b"a", NOW), None);
            forgeries.charge(b"a", 1, NOW);
        }
        assert_eq!(forgeries.clone().wait(b"a", NOW), Some(Duration::from_millis(600)));
        assert_eq!(forgeries.wait(b"b", NOW), None);
        assert_eq!(forgeries.wait(b"a", NOW + Duration::from_millis(600)), None);
    }

    #[test]
    fn keys_that_were_tried_together_are_charged_one_by_one() {
        let forgeries = Forgeries::default();
        for _ in 0..FORGERIES_A_MINUTE / 4 + 1 {
            forgeries.charge(b"a", 4, NOW);
        }
        assert!(forgeries.wait(b"a", NOW).is_some());
        let forgeries = Forgeries::default();
        (0..FORGERIES_A_MINUTE / 3).for_each(|_| forgeries.charge(b"a", 3, NOW));
        assert_eq!(forgeries.wait(b"a", NOW), None);
        forgeries.charge(b"a", 3, NOW);
        assert!(forgeries.wait(b"a", NOW).is_some(), "one was left, and three were spent");
    }

    #[test]
    fn however_many_addresses_come_few_are_remembered_and_the_busy_ones_longest() {
        let forgeries = Forgeries::default();
        forgeries.charge(b"busy", 100, NOW);
        for number in 0..10 * GENERATION {
            forgeries.charge(&number.to_be_bytes(), 1, NOW);
            forgeries.charge(b"busy", 1, NOW);
            assert!(forgeries.wait(b"busy", NOW).is_some(), "{number}");
            let generations = forgeries.generations.borrow();
            assert!(generations.recent.len() + generations.older.len() <= 2 * GENERATION);
        }
    }
}
