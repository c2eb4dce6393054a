//! Random connections on the engine, held byte for byte against a plain model of what it is to do.
//!
//! A seed determines a policy, connections that share its buckets, what their peers send in which
//! pieces, and when time passes. `POSTERN_SIMULATION_RUNS` says how many schedules are played, and
//! `POSTERN_SIMULATION_SEED` with which they begin: a failure names its seed, and
//! `POSTERN_SIMULATION_SEED=<seed> POSTERN_SIMULATION_RUNS=1` plays it alone.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

mod buckets;
mod deflate;
mod model;
mod numbers;
mod policy;
mod reader;
#[path = "../support/rfc1951.rs"]
mod rfc1951;
#[path = "../support/schedules.rs"]
mod schedules;
mod side;
mod sins;
#[path = "../support/mod.rs"]
mod support;
mod traffic;
mod world;

use schedules::play_all;
use world::{Reached, play};

#[test]
fn the_engine_does_what_the_model_says() {
    let mut reached = Reached::default();
    let is_ordinary = play_all(|seed| play(seed, &mut reached));
    println!("{reached:#?}");
    if is_ordinary {
        reached.assert_far();
    }
}

impl Reached {
    /// A simulation that gets nowhere shows nothing.
    fn assert_far(&self) {
        let Self { tally, inflated, reasons, questions, unread, resets, trailers, given_back, over } = self;
        let all = [
            "byte_rate",
            "control_rate",
            "frame_too_big",
            "invalid_utf8",
            "memory_exceeded",
            "message_rate",
            "message_too_big",
            "protocol_error",
            "token_expired",
            "too_many_fragments",
            "type_denied",
        ];
        assert_eq!(reasons.keys().copied().collect::<Vec<_>>(), all);
        for count in [questions, unread, resets, trailers, given_back, over] {
            assert!(*count > 100, "{self:#?}");
        }
        for messages in [tally.client, tally.upstream] {
            assert!(messages.allowed > 1_000 && messages.refused > 100, "{self:#?}");
        }
        assert!(tally.client.dropped > 100, "{self:#?}");
        assert!(inflated.messages > 1_000 && inflated.went_ahead > 100, "{self:#?}");
    }
}
