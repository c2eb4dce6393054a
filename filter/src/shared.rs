//! What all workers of an Envoy share: the seed of bucket names, and the buckets.

use std::time::Duration;

use postern_engine::rate::{self, Charge, Outcome};

use crate::host;

/// How often a swap is tried. Each failure is another worker's success, so this many in a row
/// mean something else; the charge is refused then.
const ATTEMPTS: u32 = 64;

const SEED_KEY: &str = "postern.seed";

/// The seed that the first worker chose.
pub(crate) fn seed() -> Option<[u8; 16]> {
    if host::shared(SEED_KEY).1.is_none() {
        // Whether this worker or another was first, the one that is there now holds.
        host::swap_shared(SEED_KEY, &host::random_seed()?, None);
    }
    host::shared(SEED_KEY).0.try_into().ok()
}

/// Takes tokens from a shared bucket.
pub(crate) fn charge(question: &Charge, now: Duration) -> Outcome {
    let key = format!("postern.buckets.{}", question.key.slot());
    for _ in 0..ATTEMPTS {
        let (slot, cas) = host::shared(&key);
        let (outcome, changed) = rate::charge(&slot, question, now);
        let Some(changed) = changed else { return outcome };
        if host::swap_shared(&key, &changed, cas) {
            return outcome;
        }
    }
    Outcome::Full
}
