//! The table of buckets that all workers of an Envoy share.
//!
//! The host keeps a fixed number of slots, each a short list of buckets; this module says which
//! slot a bucket is in and what becomes of that slot's bytes. Whoever drives it swaps them in by
//! compare-and-swap. Memory is bounded by [`SLOTS`] times [`WAYS`] entries of 32 bytes (4 MiB)
//! however many clients there are. A bucket is forgotten only when it is full again, where that
//! loses nothing; a slot of which every bucket is in use refuses.

use std::hash::Hasher;
use std::time::Duration;

use siphasher::sip128::{Hasher128, SipHasher24};

use super::bucket::{Bucket, Charged, Quota};

/// How many slots the host keeps.
pub const SLOTS: u32 = 4096;

/// How many buckets a slot has room for.
const WAYS: usize = 32;

const ENTRY_LEN: usize = 32;

/// Names buckets so that nobody outside can tell, or choose, which share a slot.
#[derive(Clone)]
pub struct KeySpace {
    seed: [u8; 16],
}

/// The name of a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketKey([u8; 16]);

/// A question to the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charge {
    /// Whose bucket.
    pub key: BucketKey,
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
    /// A key space of the secret `seed`, which all workers of an Envoy must agree on.
    pub fn new(seed: [u8; 16]) -> Self {
        Self { seed }
    }

    /// The bucket of `subject` under the rule that `rule` and `quota` name.
    pub(crate) fn key(&self, rule: &[&[u8]], quota: &Quota, subject: &[u8]) -> BucketKey {
        let mut hasher = SipHasher24::new_with_key(&self.seed);
        for part in rule.iter().copied().chain([subject]) {
            // The length keeps neighbouring parts apart.
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        for number in quota.identity() {
            hasher.write(&number.to_le_bytes());
        }
        BucketKey(hasher.finish128().as_bytes())
    }
}

impl std::fmt::Debug for KeySpace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySpace(…)")
    }
}

impl BucketKey {
    /// The slot this bucket is in; less than [`SLOTS`].
    pub fn slot(&self) -> u32 {
        let [a, b, c, d, ..] = self.0;
        u32::from_le_bytes([a, b, c, d]) % SLOTS
    }
}

/// Takes tokens from a bucket of `slot`, and returns the slot's new bytes where they change.
/// Bytes that are no slot count as an empty one.
pub fn charge(slot: &[u8], question: &Charge, now: Duration) -> (Outcome, Option<Vec<u8>>) {
    let mut bucket = Bucket::default();
    let mut others = Vec::with_capacity(slot.len() + ENTRY_LEN);
    for entry in slot.chunks_exact(ENTRY_LEN) {
        let Some((key, stored)) = parse(entry) else { continue };
        if key == question.key {
            bucket = stored;
        } else if !stored.is_full(now) {
            others.extend_from_slice(entry);
        }
    }
    if others.len() >= WAYS * ENTRY_LEN {
        return (Outcome::Full, None);
    }
    let charged = bucket.take(question.quota, question.tokens, now);
    let changed = (charged == Charged::Taken).then(|| {
        others.extend_from_slice(&question.key.0);
        others.extend_from_slice(&bucket.full_at.to_le_bytes());
        others.extend_from_slice(&bucket.fraction.to_le_bytes());
        others
    });
    (Outcome::Charged(charged), changed)
}

fn parse(entry: &[u8]) -> Option<(BucketKey, Bucket)> {
    let (key, rest) = entry.split_first_chunk::<16>()?;
    let (full_at, rest) = rest.split_first_chunk::<8>()?;
    let fraction = rest.first_chunk::<8>()?;
    let bucket = Bucket { full_at: u64::from_le_bytes(*full_at), fraction: u64::from_le_bytes(*fraction) };
    Some((BucketKey(*key), bucket))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use postern_config::{Counted, OnExceed, Per, Rate};

    use super::*;

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
    fn a_slot_in_use_refuses_and_forgets_only_full_buckets() {
        let quota = quota(1, Duration::from_secs(60));
        let question = |i: u8| Charge { key: BucketKey([i; 16]), quota, tokens: 1 };
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
    fn parts_of_a_name_do_not_run_together() {
        let keys = KeySpace::new([1; 16]);
        let quota = quota(1, Duration::from_secs(60));
        assert_ne!(keys.key(&[b"ab"], &quota, b"c"), keys.key(&[b"a"], &quota, b"bc"));
    }

    #[test]
    fn bytes_that_are_no_slot_count_as_an_empty_one() {
        let question = Charge { key: BucketKey([1; 16]), quota: quota(1, Duration::from_secs(1)), tokens: 1 };
        for garbage in [&b"x"[..], &[0xff; 31], &[0xff; 33]] {
            let (outcome, changed) = charge(garbage, &question, START);
            assert_eq!(outcome, Outcome::Charged(Charged::Taken));
            assert!(changed.is_some_and(|slot| slot.len() <= 2 * ENTRY_LEN));
        }
    }
}
