//! The table of buckets that all workers of an Envoy share.
//!
//! Memory is bounded by [`SLOTS`](crate::rate::slots::SLOTS) times [`WAYS`](crate::rate::slots::WAYS) entries
//! of 24 bytes (72 MiB). A bucket is forgotten only when it is full again by the clock of every worker, so
//! that nothing is lost by that; a slot of which every bucket is in use refuses.

use std::time::Duration;

use super::bucket::{Bucket, Charged, Quota};
use crate::rate::slots::{DISORDER, EntryKey, KeySpace, Slot};

/// A request to take tokens from a bucket of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BucketRequest {
    /// The key of the bucket.
    pub key: EntryKey,
    /// The quota by which the bucket fills.
    pub quota: Quota,
    /// The number of tokens to take.
    pub tokens: u64,
}

/// The table's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The bucket's own answer.
    Charged(Charged),
    /// The table has no room for the bucket, or its slot could not be swapped: refuse.
    Full,
}

impl KeySpace {
    /// Returns the key of the bucket of `subject` under the rule that `rule` and the numbers name.
    pub(crate) fn key(&self, rule: &[&[u8]], numbers: [u64; 3], subject: &[u8]) -> EntryKey {
        self.entry(rule.iter().copied().chain([subject]), &numbers)
    }
}

/// Takes tokens from a bucket of `slot`, and returns the slot's new bytes if they change. Bytes that are no
/// slot count as an empty one.
pub fn charge(slot: &[u8], question: &BucketRequest, now: Duration) -> (Outcome, Option<Vec<u8>>) {
    // Another worker may have read the clock a little earlier, and would find the bucket fuller than it is.
    let earlier = now.saturating_sub(DISORDER);
    let slot = Slot::read(slot, question.key, |numbers| bucket_of(*numbers).is_full(earlier));
    if !slot.has_room() {
        return (Outcome::Full, None);
    }
    let mut bucket = slot.found().map(bucket_of).unwrap_or_default();
    let charged = bucket.take_out_of_order(question.quota, question.tokens, now, DISORDER);
    let changed = (charged == Charged::Taken).then(|| slot.put([bucket.full_at, bucket.fraction]));
    (Outcome::Charged(charged), changed)
}

/// Says what [`charge`] would answer.
pub fn look(slot: &[u8], request: &BucketRequest, now: Duration) -> Outcome {
    charge(slot, request, now).0
}

pub(super) fn bucket_of([full_at, fraction]: [u64; 2]) -> Bucket {
    Bucket { full_at, fraction }
}

#[cfg(test)]
mod tests;
