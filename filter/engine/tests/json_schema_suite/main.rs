//! The required tests of the JSON Schema Test Suite for draft 2020-12, which is not of ours: `make schema-suite`.
//!
//! `POSTERN_SCHEMA_SUITE` names the folder of its files. What is judged in another way than the suite demands is listed
//! in `differences.json` with the reason; what is not listed, and what is listed and does not differ, fails.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests fail by panicking"
)]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a rate, and what is not run, are to be seen")]
#![expect(clippy::disallowed_methods, reason = "a test is told by the environment")]

mod differences;
mod suite;

use std::collections::BTreeSet;
use std::path::PathBuf;

use postern_engine::json_schema::{Budget, Fault, Schema};

use differences::Differences;
use suite::{Case, Group};

/// Fewer tests than these are not the suite.
const FEWEST: usize = 1200;

#[test]
fn the_suite_is_judged_as_it_demands_but_for_what_is_listed() {
    let Some(folder) = std::env::var_os("POSTERN_SCHEMA_SUITE").map(PathBuf::from) else {
        return not_run(
            "POSTERN_SCHEMA_SUITE names no folder of the JSON Schema Test Suite; `make schema-suite` does",
        );
    };
    let groups = suite::read(&folder);
    let tests: usize = groups.iter().map(|group| group.cases.len()).sum();
    assert!(tests >= FEWEST, "{tests} tests in {}", folder.display());
    let mut differences = Differences::read();
    let (mut wrong, mut differing, mut refused) = (Vec::new(), 0, 0);
    for group in &groups {
        match Schema::compile(&group.schema) {
            Ok(schema) => {
                let differ = judge(&schema, group);
                differing += differ.len();
                differences.take_judged(group, differ, &mut wrong);
            }
            Err(problems) => {
                refused += 1;
                differing += group.cases.len();
                differences.take_refused(group, &problems, &mut wrong);
            }
        }
    }
    wrong.extend(differences.left());
    let rate = (tests - differing) as f64 / tests as f64 * 100.0;
    println!(
        "{} of {tests} tests as demanded, {rate:.1} %; of {} schemas {refused} are refused",
        tests - differing,
        groups.len()
    );
    assert!(wrong.is_empty(), "{} differences from the list:\n{}", wrong.len(), wrong.join("\n"));
}

/// Returns what is not judged as demanded.
fn judge<'g>(schema: &Schema, group: &'g Group) -> BTreeSet<&'g str> {
    let differs = |case: &&Case| {
        let verdict = schema.validate(&case.data, Budget::for_bytes(case.data.to_string().len()));
        if let Err(Fault::Work) = verdict {
            println!("{}: {}: {}: more work than its length allows", group.file, group.name, case.name);
            return true;
        }
        verdict.is_ok() != case.valid
    };
    group.cases.iter().filter(differs).map(|case| case.name.as_str()).collect()
}

/// Says that the test lacks what it needs; with `CI=true` it fails instead.
fn not_run(why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "NOT RUN: {why}");
    eprintln!("NOT RUN: {why}");
}
