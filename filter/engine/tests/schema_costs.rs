//! No message costs more than in proportion to its length, whatever the schema: the catalogue of what is made to.
//!
//! What is counted is the work, and not time: `make bench-worst` measures the same pairs in Envoy.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]
#![allow(clippy::print_stdout, reason = "steps and bytes are to be seen")]

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

/// The memory that a judgement may take, in bytes.
const MEMORY: i64 = 1 << 20;

/// The stack on which all is judged, in bytes: a judgement nests as deeply as it may, and nothing is optimised here.
const STACK: usize = 32 << 20;

/// What comes of judging a message, and the steps and the memory that it took.
struct Judged {
    verdict: Result<(), Fault>,
    steps: u64,
    memory: i64,
}

#[test]
fn every_pair_is_judged_within_its_budget_or_refused() {
    let thread = std::thread::Builder::new().stack_size(STACK).spawn(judge_all).expect("a thread");
    if let Err(panic) = thread.join() {
        std::panic::resume_unwind(panic);
    }
}

fn judge_all() {
    let wrong: Vec<_> = pairs().iter().filter_map(|pair| wrong(pair).map(|what| (pair.name, what))).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// Returns what is wrong with what comes of a pair.
fn wrong(pair: &Pair) -> Option<String> {
    let Pair { name, expected, schema, message } = pair;
    let schema = match (Schema::compile(schema), expected) {
        (Ok(schema), _) => schema,
        (Err(problems), Expected::Refused(says)) if problems[0].what.contains(says) => return None,
        (Err(problems), _) => return Some(format!("refused: {}", problems[0].what)),
    };
    let value = read(pair);
    let budget = Budget::for_bytes(message.len());
    let judged = judge(&schema, &value, budget);
    let Judged { verdict, steps, memory } = &judged;
    println!("{name:<40}{steps:>9} steps{memory:>9} bytes  {verdict:?}");
    if came_of(verdict) != *expected {
        return Some(format!("{verdict:?} after {steps} steps, and not {expected:?}"));
    }
    if *steps > budget.steps() || *memory > MEMORY {
        return Some(format!("{steps} steps and {memory} bytes"));
    }
    with_less(&schema, &value, &judged)
}

/// Returns what is wrong with a judgement that has less work to do with.
fn with_less(schema: &Schema, value: &Value, judged: &Judged) -> Option<String> {
    let small = Budget::for_bytes(0);
    let expected = if judged.steps > small.steps() { &Err(Fault::Work) } else { &judged.verdict };
    let less = judge(schema, value, small);
    let is_wrong = less.verdict != *expected || less.steps > small.steps();
    is_wrong.then(|| format!("{:?} after {} steps of {}", less.verdict, less.steps, small.steps()))
}

fn judge(schema: &Schema, value: &Value, budget: Budget) -> Judged {
    let before = HELD.get();
    MOST_HELD.set(before);
    let (verdict, steps) = schema.measure(value, budget);
    Judged { verdict, steps, memory: MOST_HELD.get() - before }
}

fn came_of(verdict: &Result<(), Fault>) -> Expected {
    match verdict {
        Ok(()) => Expected::Valid,
        Err(Fault::Keyword(_)) => Expected::Invalid,
        Err(Fault::Work) => Expected::Work,
    }
}

fn read(pair: &Pair) -> Value {
    strict_json::parse(pair.message.as_bytes(), MAX_DEPTH)
        .unwrap_or_else(|error| panic!("{}: {error}", pair.name))
}

#[test]
fn every_message_is_about_as_long_as_it_may_be() {
    let mut names = BTreeSet::new();
    for pair in pairs() {
        let length = pair.message.len();
        assert!((LONGEST - 2100..=LONGEST).contains(&length), "{}: {length} bytes", pair.name);
        assert!(names.insert(pair.name), "{} is there twice", pair.name);
    }
}
