//! What the filter answers to random schedules, so that two versions of it can be held against each other.
//!
//! A seed determines a configuration, streams under it, what their peers send in which pieces, what is
//! fetched, and when time passes; a schedule is played through the ABI, and all that any peer, the access
//! log, the log and the metrics get of it is written down. `make answers` plays
//! `POSTERN_ANSWERS_RUNS` of them and leaves a line for each, its seed and a hash, in `POSTERN_ANSWERS`:
//! run it in two trees, and compare. `POSTERN_ANSWERS_SEED=<seed>` shows what was written down for one.
//!
//! Two runs are the same only if what is random is, so it takes a build in which it is not:
//! `RUSTFLAGS='--cfg getrandom_backend="custom"'`. Without that a few schedules are played, and nothing
//! is compared.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]
#![allow(clippy::print_stdout, reason = "one schedule is shown")]

#[path = "../abi/fixtures.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod fixtures;
#[path = "../abi/frames.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod frames;
#[path = "../abi/host/mod.rs"]
#[allow(dead_code, unused_imports, reason = "other tests need more of it")]
mod host;
#[path = "../../engine/tests/simulation/numbers.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod numbers;
mod policies;
mod randomness;
mod requests;
mod schedule;
mod traffic;
mod transcript;

use std::io::Write as _;

use sha1::{Digest, Sha1};

/// How many schedules an ordinary run plays.
const RUNS: u64 = 300;

#[test]
fn every_schedule_is_answered() {
    if let Some(seed) = variable("POSTERN_ANSWERS_SEED") {
        println!("{}", schedule::play(seed));
        return;
    }
    let mut lines = String::new();
    let (mut open, mut refused, mut closed) = (0, 0, 0);
    for seed in 0..variable("POSTERN_ANSWERS_RUNS").unwrap_or(RUNS) {
        let transcript = schedule::play(seed);
        open += u64::from(transcript.contains("response: Some([(\":status\", \"101\")"));
        refused += u64::from(transcript.contains("reply: "));
        closed += u64::from(transcript.contains(" closed "));
        let hash: String = Sha1::digest(transcript).iter().map(|byte| format!("{byte:02x}")).collect();
        lines += &format!("{seed} {hash}\n");
    }
    assert!(open > 30 && refused > 30 && closed > 10, "{open} opened, {refused} refused, {closed} closed");
    if let Some(path) = std::env::var_os("POSTERN_ANSWERS") {
        if cfg!(not(getrandom_backend = "custom")) {
            panic!("what is random would tell two runs apart");
        }
        std::fs::File::create(path).unwrap().write_all(lines.as_bytes()).unwrap();
    }
}

fn variable(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value}")))
}
