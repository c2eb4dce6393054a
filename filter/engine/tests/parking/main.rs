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
#[path = "../support/schedules.rs"]
mod schedules;
#[path = "../support/mod.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod support;

use play::{Reached, play};
use schedules::play_all;

#[test]
fn nobody_notices_that_postern_speaks_and_nobody_who_is_silent_stays() {
    let mut reached = Reached::default();
    let is_ordinary = play_all(|seed| play(seed, &mut reached));
    println!("{reached:#?}");
    if is_ordinary {
        reached.assert_far();
    }
}
