//! Workers whose steps mix in any order, against buckets of which none is ever forgotten.

use std::collections::HashMap;

use super::*;
use crate::rate::slots::testing::{Play, Random, crowd, interleave};

/// A bucket that is kept beside the table, and the tokens taken from it.
#[derive(Default)]
struct Kept {
    bucket: Bucket,
    taken: u64,
}

struct Buckets {
    keys: Vec<EntryKey>,
    quotas: [Quota; 3],
    kept: HashMap<usize, Kept>,
    /// The numbers of answers that took tokens, that had none to give, and that found no room.
    answers: [u32; 3],
}

#[derive(Clone, Copy)]
struct Question {
    client: usize,
    charge: BucketRequest,
}

impl Buckets {
    /// Creates this number of clients, all of them in two slots.
    fn of(clients: u64) -> Self {
        let quotas =
            [(2, 4), (2, 20), (3, 60)].map(|(limit, window)| quota(limit, Duration::from_secs(window)));
        Self { keys: crowd(clients, 7..9), quotas, kept: HashMap::new(), answers: [0; 3] }
    }

    /// Returns the number of buckets in use in the slot of `client`, but for its own.
    fn neighbours_in_use(&self, client: usize, now: Duration) -> usize {
        let slot = self.keys[client].slot();
        let neighbours = self.kept.iter().filter(|(i, _)| **i != client && self.keys[**i].slot() == slot);
        neighbours.filter(|(_, kept)| !kept.bucket.is_full(now.saturating_sub(DISORDER))).count()
    }
}

impl Play for Buckets {
    type Question = Question;
    type Answer = Outcome;

    fn ask(&mut self, random: &mut Random, _: Duration) -> (EntryKey, Question) {
        let client = usize::try_from(random.below(self.keys.len() as u64)).unwrap();
        let (key, quota) = (self.keys[client], self.quotas[client % self.quotas.len()]);
        (key, Question { client, charge: BucketRequest { key, quota, tokens: 1 + random.below(2) } })
    }

    fn decide(&self, slot: &[u8], question: &Question, now: Duration) -> (Outcome, Option<Vec<u8>>) {
        charge(slot, &question.charge, now)
    }

    fn answered(&mut self, question: &Question, answer: Outcome, now: Duration) {
        let Question { client, charge: BucketRequest { quota, tokens, .. } } = *question;
        let Outcome::Charged(charged) = answer else {
            assert!(self.neighbours_in_use(client, now) >= WAYS, "there was room");
            self.answers[2] += 1;
            return;
        };
        let kept = self.kept.entry(client).or_default();
        assert_eq!(charged, kept.bucket.take_out_of_order(quota, tokens, now, DISORDER), "client {client}");
        let is_taken = charged == Charged::Taken;
        kept.taken += if is_taken { tokens } else { 0 };
        self.answers[usize::from(!is_taken)] += 1;
        let [limit, window, burst] = quota.identity();
        let passed = (now + DISORDER - START).as_nanos();
        let refilled = passed * u128::from(limit) / u128::from(window);
        assert!(u128::from(kept.taken) <= u128::from(burst) + refilled, "client {client} got {}", kept.taken);
    }
}

#[test]
fn in_whatever_order_workers_come_no_client_gets_more_than_its_limit_and_no_bucket_is_lost() {
    for seed in 0..20 {
        let mut buckets = Buckets::of(40);
        interleave(&mut buckets, 6, 20_000, seed, START);
        let [taken, waits, full] = buckets.answers;
        assert!(taken > 1_000 && waits > 500 && full == 0, "{taken} {waits} {full}");
    }
}

#[test]
fn in_whatever_order_workers_come_they_are_refused_for_room_only_where_there_is_none() {
    for seed in 0..10 {
        let mut buckets = Buckets::of(300);
        interleave(&mut buckets, 6, 20_000, seed, START);
        let [taken, waits, full] = buckets.answers;
        assert!(taken > 1_000 && waits > 100 && full > 50, "{taken} {waits} {full}");
    }
}
