//! No message costs more than in proportion to its length, whatever the schema: the catalogue of what is made to.
//!
//! What is counted is the work, and not time: `make bench-worst` measures the same pairs in Envoy.

#![expect(clippy::print_stdout, reason = "it tells what each pair takes")]
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]

#[path = "support/counting.rs"]
mod counting;
#[path = "support/schema_costs/mod.rs"]
mod schema_costs;

use std::collections::BTreeSet;

use postern_engine::json_schema::{Budget, Fault, Schema};
use postern_engine::strict_json::{self, MAX_DEPTH};
use serde_json::Value;

use counting::{HELD, MOST_HELD};
use schema_costs::{Expected, LONGEST, Pair, pairs};

/// The steps beyond the budget that the last look may take: as many as a message has bytes.
const OVERSHOOT: u64 = LONGEST as u64;

/// The memory that a judgement may take, in bytes.
const MEMORY: i64 = 8 << 20;

/// The stack of a test, in bytes.
const STACK: usize = 32 << 20;

/// What comes of a pair, and the steps and the memory that this took.
fn judge(pair: &Pair) -> (String, u64, i64) {
    let schema = match Schema::compile(&pair.schema) {
        Ok(schema) => schema,
        Err(problems) => return (format!("refused: {}", problems[0].what), 0, 0),
    };
    let message = read(pair);
    let before = HELD.get();
    MOST_HELD.set(before);
    let (verdict, steps) = schema.measure(&message, Budget::for_bytes(pair.message.len()));
    let memory = MOST_HELD.get() - before;
    let came = match verdict {
        Ok(()) => "Valid".to_owned(),
        Err(Fault::Keyword(_)) => "Invalid".to_owned(),
        Err(Fault::Work) => "Work".to_owned(),
    };
    (came, steps, memory)
}

/// Runs a test on a stack that is large enough where nothing is optimised: a judgement nests as deeply as it may.
fn with_stack(test: fn()) {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(test).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn read(pair: &Pair) -> Value {
    strict_json::parse(pair.message.as_bytes(), MAX_DEPTH)
        .unwrap_or_else(|error| panic!("{}: {error}", pair.name))
}

#[test]
fn every_pair_is_judged_within_its_budget_or_refused() {
    with_stack(all_are_within_their_budgets);
}

fn all_are_within_their_budgets() {
    let mut wrong = Vec::new();
    for pair in pairs() {
        let (came, steps, memory) = judge(&pair);
        let most = Budget::for_bytes(pair.message.len()).steps() + OVERSHOOT;
        println!("{:<40}{came:<10}{steps:>9} steps{memory:>9} bytes", pair.name);
        let expected = match pair.expected {
            Expected::Refused(says) => came.starts_with("refused: ") && came.contains(says),
            expected => came == format!("{expected:?}"),
        };
        if !expected || steps > most || memory > MEMORY {
            wrong.push(format!(
                "{}: {came}, {steps} steps, {memory} bytes, not {:?}",
                pair.name, pair.expected
            ));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_message_is_about_as_long_as_it_may_be_and_readable() {
    let mut names = BTreeSet::new();
    for pair in pairs() {
        let length = pair.message.len();
        assert!((LONGEST - 2100..=LONGEST).contains(&length), "{}: {length} bytes", pair.name);
        read(&pair);
        assert!(names.insert(pair.name), "{} is there twice", pair.name);
    }
}

#[test]
fn a_budget_that_is_smaller_stops_earlier() {
    with_stack(all_stop_earlier);
}

fn all_stop_earlier() {
    for pair in pairs() {
        let Ok(schema) = Schema::compile(&pair.schema) else { continue };
        let message = read(&pair);
        let (verdict, needed) = schema.measure(&message, Budget::for_bytes(pair.message.len()));
        let small = Budget::for_bytes(0);
        let (stopped, steps) = schema.measure(&message, small);
        assert!(steps <= small.steps() + OVERSHOOT, "{}: {steps} steps", pair.name);
        if needed > small.steps() {
            assert_eq!(stopped, Err(Fault::Work), "{}: {needed} steps are needed", pair.name);
        } else {
            assert_eq!(stopped, verdict, "{}", pair.name);
        }
    }
}
