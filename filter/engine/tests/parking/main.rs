//! Random connections on a host that pauses streams as Envoy does, whose peers say only what they
//! may: everything must arrive as it was sent, at once, though Postern speaks in between; and who
//! answers stays, and who does not is told and gone in time.
//!
//! A seed determines what is sent in which pieces, how the peers answer Pings, and when time
//! passes. `POSTERN_SIMULATION_RUNS` says how many schedules are played, and
//! `POSTERN_SIMULATION_SEED` with which they begin: a failure names its seed, and
//! `POSTERN_SIMULATION_SEED=<seed> POSTERN_SIMULATION_RUNS=1` plays it alone.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod ear;
mod line;
mod mouth;
#[path = "../simulation/numbers.rs"]
mod numbers;
mod play;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use play::{Reached, play};

/// How many schedules an ordinary run plays.
const RUNS: u64 = 2_000;

#[test]
fn nobody_notices_that_postern_speaks_and_nobody_who_is_silent_stays() {
    let first = variable("POSTERN_SIMULATION_SEED").unwrap_or(0);
    let runs = variable("POSTERN_SIMULATION_RUNS").unwrap_or(RUNS);
    let mut reached = Reached::default();
    for seed in first..first.saturating_add(runs) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed, &mut reached))) {
            eprintln!("run it alone: POSTERN_SIMULATION_SEED={seed} POSTERN_SIMULATION_RUNS=1");
            resume_unwind(panic);
        }
    }
    println!("{reached:#?}");
    if runs >= RUNS {
        reached.assert_far();
    }
}

#[expect(clippy::disallowed_methods, reason = "the test is not the engine")]
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
