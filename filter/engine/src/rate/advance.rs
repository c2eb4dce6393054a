//! Tokens that a VM takes in advance out of shared buckets, so that most frames ask nobody.
//!
//! Only large buckets that are at least half full are drawn on so, by a small part of their size, and whatever
//! is not used comes back with the next tick. So no more tokens are ever taken than there are, and a bucket that
//! runs low is charged one by one. In the time of a tick a client may be refused for tokens that another VM has
//! taken in advance: at most one in 1024 of the bucket for each VM.

use std::collections::BTreeMap;
use std::time::Duration;

use super::bucket::{Bucket, Charged, Quota};
use super::slots::{DISORDER, EntryKey, Slot};
use super::table::{BucketRequest, Outcome, bucket_of};

/// The part of a bucket that a VM takes in advance at most: one in so many.
const PART: u64 = 1024;

/// The most charges that one advance is for.
const CHARGES: u64 = 64;

/// The tokens that one VM has in advance.
#[derive(Debug, Default)]
pub struct Advances {
    /// The tokens by their bucket, and by the quota that they were taken under: after a push two may be in force.
    tokens: BTreeMap<(EntryKey, Quota), u64>,
}

/// The slots of the table of buckets.
pub trait BucketTable {
    /// Swaps in what `decide` makes of the bytes of a slot, and returns its answer once that is in force; `None`
    /// if it does not get to be.
    fn change<T>(&mut self, slot: u32, decide: impl Fn(&[u8]) -> (T, Option<Vec<u8>>)) -> Option<T>;
}

impl Advances {
    /// Takes tokens for a frame: out of the advance if that has so many, and otherwise out of the table, with a
    /// new advance if the bucket can spare one.
    pub fn charge(
        &mut self,
        table: &mut impl BucketTable,
        request: &BucketRequest,
        now: Duration,
    ) -> Outcome {
        let bucket = (request.key, request.quota);
        let mut held = 0;
        if let Some(tokens) = self.tokens.get_mut(&bucket) {
            if let Some(left) = tokens.checked_sub(request.tokens) {
                *tokens = left;
                return Outcome::Charged(Charged::Taken);
            }
            held = *tokens;
        }
        let more = request.quota.advance_for(request.tokens).saturating_sub(held);
        let decide = |slot: &[u8]| charge(slot, request, more, now);
        let Some((outcome, taken)) = table.change(request.key.slot(), decide) else { return Outcome::Full };
        if taken > 0 {
            self.tokens.insert(bucket, held.saturating_add(taken));
        }
        outcome
    }

    /// Gives back all that was taken in advance and not used. Must be called several times a second.
    pub fn give_back(&mut self, table: &mut impl BucketTable, now: Duration) {
        for ((key, quota), tokens) in std::mem::take(&mut self.tokens) {
            if tokens > 0 {
                // What cannot be given back comes back as the bucket fills.
                let _ = table.change(key.slot(), |slot| ((), give_back(slot, key, quota, tokens, now)));
            }
        }
    }
}

impl Quota {
    /// Returns the number of tokens that a VM may have in advance for charges of `tokens` each: none where that
    /// is not enough for one.
    fn advance_for(&self, tokens: u64) -> u64 {
        let most = self.burst() / PART;
        if tokens <= most { most.min(tokens.saturating_mul(CHARGES)) } else { 0 }
    }
}

/// Takes the tokens of a request and, if the bucket is at least half full after that, `more` in advance. Returns
/// the answer, and how many were taken in advance.
fn charge(
    slot: &[u8],
    request: &BucketRequest,
    more: u64,
    now: Duration,
) -> ((Outcome, u64), Option<Vec<u8>>) {
    let mut both = BucketRequest { tokens: request.tokens.saturating_add(more), ..*request };
    let reserve = request.quota.burst() / 2;
    if more > 0 {
        both.tokens = both.tokens.saturating_add(reserve);
        let has_reserve = super::table::look(slot, &both, now) == Outcome::Charged(Charged::Taken);
        both.tokens = both.tokens.saturating_sub(reserve);
        if has_reserve {
            let (outcome, changed) = super::table::charge(slot, &both, now);
            return ((outcome, more), changed);
        }
    }
    let (outcome, changed) = super::table::charge(slot, request, now);
    ((outcome, 0), changed)
}

/// Returns the bytes of a slot in which a bucket has tokens back. A bucket that is not there is full.
fn give_back(slot: &[u8], key: EntryKey, quota: Quota, tokens: u64, now: Duration) -> Option<Vec<u8>> {
    let earlier = now.saturating_sub(DISORDER);
    let slot = Slot::read(slot, key, |numbers| bucket_of(*numbers).is_full(earlier));
    let mut bucket: Bucket = slot.found().map(bucket_of)?;
    bucket.give_back(quota, tokens);
    Some(slot.put([bucket.full_at, bucket.fraction]))
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(1_800_000_000);
    const HOUR: Duration = Duration::from_secs(3600);

    /// A table that counts how often it is asked.
    #[derive(Default)]
    struct Counted {
        slots: BTreeMap<u32, Vec<u8>>,
        asked: u32,
    }

    impl BucketTable for Counted {
        fn change<T>(&mut self, slot: u32, decide: impl Fn(&[u8]) -> (T, Option<Vec<u8>>)) -> Option<T> {
            self.asked += 1;
            let bytes = self.slots.entry(slot).or_default();
            let (answer, changed) = decide(bytes);
            changed.into_iter().for_each(|changed| *bytes = changed);
            Some(answer)
        }
    }

    fn request(limit: u64, tokens: u64) -> BucketRequest {
        use postern_config::{Counted, OnExceed, Per, Rate};
        let (count, per) = (Counted::Messages, Per::User);
        let rate =
            Rate { count, per, limit, window: HOUR, burst: limit, on_exceed: OnExceed::Close, twin: 0 };
        BucketRequest { key: EntryKey::of_bytes([1; 16]), quota: Quota::new(&rate), tokens }
    }

    const TAKEN: Outcome = Outcome::Charged(Charged::Taken);

    #[test]
    fn a_small_bucket_is_charged_one_by_one() {
        let (mut table, mut advances) = (Counted::default(), Advances::default());
        let request = request(1023, 1);
        for i in 1..=1023 {
            assert_eq!(advances.charge(&mut table, &request, START), TAKEN);
            assert_eq!(table.asked, i);
        }
        assert_ne!(advances.charge(&mut table, &request, START), TAKEN);
    }

    #[test]
    fn a_large_bucket_is_asked_seldom_while_it_is_half_full_and_gives_exactly_what_it_has() {
        let (mut table, mut advances) = (Counted::default(), Advances::default());
        let request = request(100_000, 1);
        for _ in 0..50_000 {
            assert_eq!(advances.charge(&mut table, &request, START), TAKEN);
        }
        assert!(table.asked <= 50_000 / 64 + 100, "{}", table.asked);
        let before = table.asked;
        for _ in 0..50_000 {
            assert_eq!(advances.charge(&mut table, &request, START), TAKEN);
        }
        assert!(table.asked - before > 49_000, "{}", table.asked);
        assert_ne!(advances.charge(&mut table, &request, START), TAKEN);
    }

    #[test]
    fn what_is_not_used_comes_back_to_the_others_and_vms_together_get_no_more_than_there_is() {
        let mut table = Counted::default();
        let mut vms = [Advances::default(), Advances::default(), Advances::default()];
        let request = request(100_000, 1);
        let mut taken = 0;
        for turn in 0..60_000 {
            let vm = &mut vms[turn % 3];
            taken += u64::from(vm.charge(&mut table, &request, START) == TAKEN);
            if turn % 1000 == 999 {
                vm.give_back(&mut table, START);
            }
        }
        for vm in &mut vms {
            vm.give_back(&mut table, START);
            assert!(vm.tokens.is_empty());
        }
        assert_eq!(taken, 60_000);
        let mut last = Advances::default();
        while last.charge(&mut table, &request, START) == TAKEN {
            taken += 1;
        }
        assert_eq!(taken, 100_000, "none was lost, and none came twice");
    }

    #[test]
    fn a_charge_that_is_larger_than_the_advance_is_taken_whole() {
        let (mut table, mut advances) = (Counted::default(), Advances::default());
        let mut left = 1_u64 << 30;
        for tokens in [64, 1 << 20, 64, 1 << 25, 1, 1 << 29] {
            let taken = advances.charge(&mut table, &request(1 << 30, tokens), START) == TAKEN;
            assert_eq!(taken, tokens <= left, "{tokens} of {left}");
            left -= if taken { tokens } else { 0 };
        }
        advances.give_back(&mut table, START);
        assert_eq!(advances.charge(&mut table, &request(1 << 30, left), START), TAKEN);
        assert_ne!(advances.charge(&mut table, &request(1 << 30, 1), START), TAKEN);
    }

    #[test]
    fn what_a_vm_has_in_advance_is_never_more_than_its_part_whatever_the_charges_are() {
        for sizes in [vec![1025, 2049, 4097, 8193], vec![600, 1000, 1024, 700], vec![1 << 16]] {
            let (mut table, mut advances) = (Counted::default(), Advances::default());
            for i in 0..64 {
                let charge = request(1 << 20, sizes[i % sizes.len()]);
                let _ = advances.charge(&mut table, &charge, START);
                let held: u64 = advances.tokens.values().sum();
                assert!(held <= (1 << 20) / PART, "{sizes:?}: {held}");
            }
        }
    }

    #[test]
    fn tokens_that_were_taken_under_one_quota_come_back_at_its_price() {
        let (mut table, mut advances) = (Counted::default(), Advances::default());
        let [dear, cheap] = [1024, 1 << 30].map(|limit| request(limit, 1));
        for _ in 0..256 {
            assert_eq!(advances.charge(&mut table, &dear, START), TAKEN);
        }
        for _ in 0..10 {
            assert_eq!(advances.charge(&mut table, &cheap, START), TAKEN);
            assert_eq!(advances.charge(&mut table, &dear, START), TAKEN);
        }
        advances.give_back(&mut table, START);
        let left = (0..2000).take_while(|_| advances.charge(&mut table, &dear, START) == TAKEN).count();
        assert!((755..=758).contains(&left), "{left}");
    }
}
