//! The tables that all workers of an Envoy share: the seed of their names, the buckets, and the tokens that
//! are spent. Live connections are counted in [`live`](crate::live).

use std::cell::RefCell;
use std::time::Duration;

use postern_engine::auth::single_use::{self, Spent, Ticket};
use postern_engine::rate::advance::{Advances, BucketTable};
use postern_engine::rate::live::{Acquired, Cap, LivePlace};
use postern_engine::rate::{self, BucketRequest, Outcome, Shared};
use postern_engine::{Input, Session};

use crate::{host, live, metrics};

thread_local! {
    /// The tokens that this VM has taken in advance: all its roots share them.
    static ADVANCES: RefCell<Advances> = RefCell::default();
}

/// The number of times that a swap is tried. Each failure is another worker's success, so this many in a row
/// mean something else; the request is refused then.
const ATTEMPTS: u32 = 64;

const SEED_KEY: &str = "postern.seed";

/// The names of the tables. The host keeps their slots over a new module under the same `vm_id`; so a table
/// whose entries come to look otherwise must be named otherwise.
const BUCKETS: &str = "postern.rates";
const TOKENS: &str = "postern.used";

/// Returns the seed that the first worker chose.
pub(crate) fn seed() -> Option<[u8; 16]> {
    if host::shared(SEED_KEY).1.is_none() {
        // The seed that is there now holds, whether this worker or another was first.
        host::swap_shared(SEED_KEY, &host::random_seed()?, None);
    }
    host::shared(SEED_KEY).0.try_into().ok()
}

/// The tables, as a session is given them.
#[derive(Debug, Default)]
pub(crate) struct Tables {
    /// The number of times that no bucket could be had.
    full_of_buckets: i64,
    /// The number of times that a token could not be spent.
    full_of_tokens: i64,
    /// The number of times that a connection could not be counted.
    full_of_connections: i64,
}

impl Tables {
    /// Counts, for `policy`, how often a table was full.
    pub(crate) fn count(&self, policy: &str) {
        if self.full_of_buckets > 0 {
            metrics::bucket_table_full(policy, self.full_of_buckets);
        }
        if self.full_of_tokens > 0 {
            metrics::single_use_table_full(policy, self.full_of_tokens);
        }
        if self.full_of_connections > 0 {
            metrics::connection_table_full(policy, self.full_of_connections);
        }
    }
}

impl Shared for Tables {
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let decide = |slot: &[u8]| rate::charge(slot, request, now);
        let outcome = change(BUCKETS, request.key.slot(), decide).unwrap_or(Outcome::Full);
        self.full_of_buckets += i64::from(outcome == Outcome::Full);
        outcome
    }

    fn charge_frame(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let charge = |advances: &mut Advances| advances.charge(&mut Buckets, request, now);
        let outcome = ADVANCES.with_borrow_mut(charge);
        self.full_of_buckets += i64::from(outcome == Outcome::Full);
        outcome
    }

    fn look(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let (slot, _) = host::shared(&format!("{BUCKETS}.{}", request.key.slot()));
        rate::look(&slot, request, now)
    }

    fn look_at_ticket(&mut self, ticket: &Ticket, now: Duration) -> Spent {
        let (slot, _) = host::shared(&format!("{TOKENS}.{}", ticket.slot()));
        single_use::spend(&slot, ticket, now).0
    }

    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent {
        let decide = |slot: &[u8]| single_use::spend(slot, ticket, now);
        let spent = change(TOKENS, ticket.slot(), decide).unwrap_or(Spent::Full);
        self.full_of_tokens += i64::from(spent == Spent::Full);
        spent
    }

    fn has_room(&mut self, cap: &Cap) -> Result<(), Acquired> {
        live::has_room(cap)
    }

    fn acquire(&mut self, cap: &Cap, now: Duration) -> Acquired {
        let acquired = live::acquire(cap, now);
        self.full_of_connections += i64::from(acquired == Acquired::Unavailable);
        acquired
    }

    fn release(&mut self, place: LivePlace) {
        live::release(place);
    }
}

/// Gives back the tokens that were taken in advance and not used.
pub(crate) fn tick(now: Duration) {
    ADVANCES.with_borrow_mut(|advances| advances.give_back(&mut Buckets, now));
}

struct Buckets;

impl BucketTable for Buckets {
    fn change<T>(&mut self, slot: u32, decide: impl Fn(&[u8]) -> (T, Option<Vec<u8>>)) -> Option<T> {
        change(BUCKETS, slot, decide)
    }
}

/// Hands `input` to a session, with the tables.
pub(crate) fn handle(session: &mut Session, input: Input, now: Duration) {
    let mut tables = Tables::default();
    session.handle(input, &mut tables, now);
    tables.count(session.policy());
}

/// Returns what `decide` makes of a slot of `table`, once the change to the slot is in force; `None` if it
/// does not get to be.
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
