//! Costs of judging messages that are made to cost the most under a schema: `make bench-schemas`.
//!
//! Prints for each pair of the catalogue milliseconds to compile the schema, to read the message and to judge it, and
//! leaves the pair in the folder that `POSTERN_WORST_SCHEMAS` names, for a benchmark that sends it through Envoy.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark may fail"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![allow(clippy::print_stdout, reason = "this is a command")]

#[path = "../tests/support/schema_costs/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod schema_costs;

use std::path::Path;
use std::time::Instant;

use postern_engine::json_schema::{Budget, Fault, Schema};
use postern_engine::strict_json::{self, MAX_DEPTH};
use serde_json::json;

use schema_costs::{Pair, pairs};

/// The number of times that each is measured; the shortest time counts.
const TIMES: usize = 7;

fn main() {
    let folder = std::env::var_os("POSTERN_WORST_SCHEMAS");
    println!("milliseconds natively: to compile the schema, to read the message, to judge it");
    for (number, pair) in pairs().iter().enumerate() {
        let judged = measure(pair);
        if let (true, Some(folder)) = (judged, &folder) {
            write(pair, number, Path::new(folder));
        }
    }
}

/// Prints a line about a pair, and says whether the schema is one.
fn measure(pair: &Pair) -> bool {
    let (compiling, compiled) = shortest(|| Schema::compile(&pair.schema));
    let schema = match compiled {
        Ok(schema) => schema,
        Err(problems) => {
            println!("{:<36}{compiling:>9.3}  refused: {}", pair.name, problems[0].what);
            return false;
        }
    };
    let text = pair.message.as_bytes();
    let (reading, message) = shortest(|| strict_json::parse(text, MAX_DEPTH).unwrap());
    let (judging, (verdict, steps)) = shortest(|| schema.measure(&message, Budget::for_bytes(text.len())));
    let verdict = match verdict {
        Ok(()) => "valid",
        Err(Fault::Keyword(_)) => "invalid",
        Err(Fault::Work) => "too much work",
    };
    let each = judging * 1e6 / steps.max(1) as f64;
    println!(
        "{:<36}{compiling:>9.3}{reading:>9.3}{judging:>9.3}  {verdict}, {steps} steps of {each:.1} ns",
        pair.name
    );
    true
}

/// Milliseconds that something takes, and what comes of it.
fn shortest<T>(mut act: impl FnMut() -> T) -> (f64, T) {
    let mut best = None;
    for _ in 0..TIMES {
        let start = Instant::now();
        let result = act();
        let time = start.elapsed().as_secs_f64() * 1e3;
        if best.as_ref().is_none_or(|(least, _)| time < *least) {
            best = Some((time, result));
        }
    }
    best.unwrap()
}

fn write(pair: &Pair, number: usize, folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let path = folder.join(format!("{number:03}-{}.json", pair.name));
    let text = json!({"schema": pair.schema, "message": pair.message}).to_string();
    std::fs::write(path, text).unwrap();
}
