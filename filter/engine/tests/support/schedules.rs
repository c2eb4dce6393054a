//! Schedules that a seed determines, as many and from which seed on as the environment says.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// How many schedules an ordinary run plays.
const RUNS: u64 = 2_000;

/// Plays each schedule. Whether they were as many as in an ordinary run.
#[expect(clippy::print_stderr, reason = "a failure names its seed")]
pub(crate) fn play_all(mut play: impl FnMut(u64)) -> bool {
    let first = variable("POSTERN_SIMULATION_SEED").unwrap_or(0);
    let runs = variable("POSTERN_SIMULATION_RUNS").unwrap_or(RUNS);
    for seed in first..first.saturating_add(runs) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| play(seed))) {
            eprintln!("run it alone: POSTERN_SIMULATION_SEED={seed} POSTERN_SIMULATION_RUNS=1");
            resume_unwind(panic);
        }
    }
    runs >= RUNS
}

#[expect(clippy::disallowed_methods, reason = "the test is not the engine")]
fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
