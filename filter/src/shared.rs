//! What all workers of an Envoy share: the seed of the tables' names, the buckets, and the tokens
//! that are spent.

use std::time::Duration;

use postern_engine::auth::single_use::{self, Spent, Ticket};
use postern_engine::rate::{self, Charge, Outcome};

use crate::host;

/// How often a swap is tried. Each failure is another worker's success, so this many in a row
/// mean something else; what was asked is refused then.
const ATTEMPTS: u32 = 64;

const SEED_KEY: &str = "postern.seed";

/// The names of the tables. The host keeps their slots over a new module under the same `vm_id`; so
/// a table whose entries come to look otherwise has to be named otherwise.
const BUCKETS: &str = "postern.rates";
const TOKENS: &str = "postern.used";

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
    change(BUCKETS, question.key.slot(), |slot| rate::charge(slot, question, now)).unwrap_or(Outcome::Full)
}

/// Spends a token.
pub(crate) fn spend(ticket: &Ticket, now: Duration) -> Spent {
    change(TOKENS, ticket.slot(), |slot| single_use::spend(slot, ticket, now)).unwrap_or(Spent::Full)
}

/// What `decide` makes of a slot of `table`, once what becomes of the slot by that is in force.
/// `None` where it does not get to be.
fn change<T>(table: &str, slot: u32, decide: impl Fn(&[u8]) -> (T, Option<Vec<u8>>)) -> Option<T> {
    let key = format!("{table}.{slot}");
    for _ in 0..ATTEMPTS {
        let (bytes, cas) = host::shared(&key);
        let (answer, changed) = decide(&bytes);
        let Some(changed) = changed else { return Some(answer) };
        if host::swap_shared(&key, &changed, cas) {
            return Some(answer);
        }
    }
    None
}
