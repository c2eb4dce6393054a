//! Every file in the directories of fixtures and examples.

use super::*;

/// Compares what `read` finds wrong with each file with what the file says of itself.
fn compare(directory: &str, read: impl Fn(Value) -> Result<Config, Problems>) {
    let mut failures = String::new();
    for (path, text) in files(directory) {
        let expected: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("#! ")).collect();
        let told = match read(document(&text)) {
            Ok(_) => String::new(),
            Err(problems) => problems.to_string(),
        };
        let told: Vec<&str> = told.lines().collect();
        if told.is_empty() || told != expected {
            failures += &format!("{}\n  says {expected:#?}\n  has {told:#?}\n", path.display());
        }
    }
    assert!(failures.is_empty(), "{failures}");
}

#[test]
fn every_way_to_be_wrong_is_told_with_its_path_and_a_remedy() {
    compare("tests/fixtures/invalid", Config::from_value);
}

#[test]
fn sound_policies_and_the_examples_are_sound_today() {
    for (path, text) in files("tests/fixtures/valid").into_iter().chain(files("examples")) {
        if let Err(problems) = Config::from_value(document(&text)) {
            panic!("{}:\n{problems}", path.display());
        }
    }
}
