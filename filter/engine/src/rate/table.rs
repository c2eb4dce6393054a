//! The table of buckets that all workers of an Envoy share.
//!
//! Memory is bounded by [`SLOTS`](crate::slots::SLOTS) times [`WAYS`] entries of 32 bytes (4 MiB)
//! however many clients there are. A bucket is forgotten only when it is full again, where that
//! loses nothing; a slot of which every bucket is in use refuses.

use std::time::Duration;

use super::bucket::{Bucket, Charged, Quota};
use crate::slots::{DISORDER, EntryKey, KeySpace, Slot};

/// How many buckets a slot has room for.
const WAYS: usize = 32;

/// A question to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose bucket.
    pub key: EntryKey,
    /// How it fills.
    pub quota: Quota,
    /// How many tokens to take.
    pub tokens: u64,
}

/// The table's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What the bucket said.
    Charged(Charged),
    /// There was no room for the bucket, or its slot could not be swapped: refuse.
    Full,
}

impl KeySpace {
    /// The bucket of `subject` under the rule that `rule` and `quota` name.
    pub(crate) fn key(&self, rule: &[&[u8]], quota: &Quota, subject: &[u8]) -> EntryKey {
        self.entry(rule.iter().copied().chain([subject]), &quota.identity())
    }
}

/// Takes tokens from a bucket of `slot`, and returns the slot's new bytes where they change.
/// Bytes that are no slot count as an empty one.
pub fn charge(slot: &[u8], question: &Charge, now: Duration) -> (Outcome, Option<Vec<u8>>) {
    let slot = Slot::read(slot, question.key, |numbers| bucket_of(*numbers).is_full(now));
    if !slot.has_room(WAYS) {
        return (Outcome::Full, None);
    }
    let mut bucket = slot.found().map(bucket_of).unwrap_or_default();
    let charged = bucket.take_out_of_order(question.quota, question.tokens, now, DISORDER);
    let changed = (charged == Charged::Taken).then(|| slot.put([bucket.full_at, bucket.fraction]));
    (Outcome::Charged(charged), changed)
}

fn bucket_of([full_at, fraction]: [u64; 2]) -> Bucket {
    Bucket { full_at, fraction }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postern_config::{Counted, OnExceed, Per, Rate};

    use super::*;
    use crate::slots::SLOTS;

    const ENTRY_LEN: usize = Slot::<2>::ENTRY_LEN;

    const START: Duration = Duration::from_secs(1_800_000_000);

    fn quota(limit: u64, window: Duration) -> Quota {
        let (count, per, on_exceed) = (Counted::Handshakes, Per::Ip, OnExceed::Deny);
        Quota::new(&Rate { count, per, limit, window, burst: limit, on_exceed })
    }

    /// The host's side: slots by number.
    #[derive(Default)]
    struct Host(BTreeMap<u32, Vec<u8>>);

    impl Host {
        fn charge(&mut self, question: &Charge, now: Duration) -> Outcome {
            let slot = self.0.entry(question.key.slot()).or_default();
            let (outcome, changed) = charge(slot, question, now);
            if let Some(changed) = changed {
                *slot = changed;
            }
            outcome
        }
    }

    #[test]
    fn every_subject_has_a_bucket_of_its_own() {
        let keys = KeySpace::new([7; 16]);
        let quota = quota(2, Duration::from_secs(60));
        let mut host = Host::default();
        for subject in [b"198.51.100.1".as_slice(), b"198.51.100.2"] {
            let question = Charge { key: keys.key(&[b"chat"], &quota, subject), quota, tokens: 1 };
            let outcomes: Vec<_> = (0..3).map(|_| host.charge(&question, START)).collect();
            assert_eq!(outcomes[..2], [Outcome::Charged(Charged::Taken); 2]);
            assert_eq!(outcomes[2], Outcome::Charged(Charged::Wait(Duration::from_secs(30))));
        }
    }

    #[test]
    fn a_worker_that_read_the_clock_before_another_used_the_bucket_up_finds_it_used_up() {
        let quota = quota(40, Duration::from_secs(3600));
        let keys = KeySpace::new([7; 16]);
        let question = |tokens| Charge { key: keys.key(&[b"chat"], &quota, b"198.51.100.1"), quota, tokens };
        let mut host = Host::default();
        assert_eq!(host.charge(&question(40), START), Outcome::Charged(Charged::Taken));
        for earlier in [1, 1_000_000_000].map(|nanoseconds| START - Duration::from_nanos(nanoseconds)) {
            assert_ne!(host.charge(&question(1), earlier), Outcome::Charged(Charged::Taken));
        }
    }

    #[test]
    fn a_slot_in_use_refuses_and_forgets_only_full_buckets() {
        let quota = quota(1, Duration::from_secs(60));
        let question = |i: u8| Charge { key: EntryKey::of_bytes([i; 16]), quota, tokens: 1 };
        let mut slot = Vec::new();
        for i in 0..32 {
            let (outcome, changed) = charge(&slot, &question(i), START);
            assert_eq!(outcome, Outcome::Charged(Charged::Taken));
            slot = changed.unwrap();
        }
        assert_eq!(slot.len(), WAYS * ENTRY_LEN);
        assert_eq!(charge(&slot, &question(99), START), (Outcome::Full, None));
        let (outcome, _) = charge(&slot, &question(5), START);
        assert_eq!(outcome, Outcome::Charged(Charged::Wait(Duration::from_secs(60))));
        let later = START + Duration::from_secs(60);
        let (outcome, changed) = charge(&slot, &question(99), later);
        assert_eq!(outcome, Outcome::Charged(Charged::Taken));
        assert_eq!(changed.unwrap().len(), ENTRY_LEN);
    }

    #[test]
    fn sixty_five_thousand_clients_find_room() {
        let keys = KeySpace::new([1; 16]);
        let quota = quota(1, Duration::from_secs(60));
        let mut host = Host::default();
        let refused = (0..65_536u32)
            .filter(|i| {
                let question =
                    Charge { key: keys.key(&[b"chat"], &quota, &i.to_le_bytes()), quota, tokens: 1 };
                host.charge(&question, START) == Outcome::Full
            })
            .count();
        assert!(refused < 66, "{refused} of 65536 clients found a full slot");
        let bytes: usize = host.0.values().map(Vec::len).sum();
        assert!(bytes <= SLOTS as usize * WAYS * ENTRY_LEN);
    }

    #[test]
    fn bytes_that_are_no_slot_count_as_an_empty_one() {
        let question =
            Charge { key: EntryKey::of_bytes([1; 16]), quota: quota(1, Duration::from_secs(1)), tokens: 1 };
        for garbage in [&b"x"[..], &[0xff; 31], &[0xff; 33]] {
            let (outcome, changed) = charge(garbage, &question, START);
            assert_eq!(outcome, Outcome::Charged(Charged::Taken));
            assert!(changed.is_some_and(|slot| slot.len() <= 2 * ENTRY_LEN));
        }
    }
}
