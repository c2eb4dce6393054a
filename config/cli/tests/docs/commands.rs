//! The commands: the targets of make, the tests that cargo must run, and the words of `postern`.

use std::collections::BTreeSet;

use crate::pages::{Page, pages, read, root};
use crate::postern::run;

/// The packages of the workspace, each with its folder.
const PACKAGES: [(&str, &str); 6] = [
    ("postern-cli", "config/cli"),
    ("postern-config", "config"),
    ("postern-e2e", "e2e"),
    ("postern-engine", "filter/engine"),
    ("postern-explain", "config/cli/explain"),
    ("postern-filter", "filter"),
];

/// Returns the commands of a page, one a line of a block or a code span.
fn commands(page: &Page) -> Vec<Vec<String>> {
    let blocks = page.blocks().into_iter().filter(|block| block.kind == "sh");
    let lines: Vec<String> =
        blocks.flat_map(|block| block.text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    let words = |line: &String| line.split_whitespace().map(str::to_owned).collect();
    lines.iter().chain(&page.spans()).map(words).collect()
}

/// Returns the word behind `flag`.
fn behind<'a>(words: &'a [String], flag: &str) -> Option<&'a str> {
    words.iter().skip_while(|word| *word != flag).nth(1).map(String::as_str)
}

#[test]
fn every_make_target_that_is_named_is_in_the_makefile() {
    let makefile = read("Makefile");
    let has = |target: &str| makefile.lines().any(|line| line.starts_with(&format!("{target}:")));
    let mut targets = BTreeSet::new();
    for page in pages() {
        for target in commands(&page).iter().filter_map(|words| behind(words, "make")) {
            assert!(has(target), "{}: make {target}", page.name);
            targets.insert(target.to_owned());
        }
    }
    assert!(targets.len() > 15, "{targets:?}");
}

#[test]
fn every_test_that_cargo_is_to_run_is_there() {
    let mut found = 0;
    for page in pages() {
        for words in commands(&page).iter().filter(|words| words.iter().any(|word| word == "cargo")) {
            let Some(package) = behind(words, "-p") else { continue };
            let folder = PACKAGES.iter().find(|(name, _)| *name == package);
            let (_, folder) =
                folder.unwrap_or_else(|| panic!("{}: there is no package {package}", page.name));
            let Some(test) = behind(words, "--test") else { continue };
            let tests = root().join(folder).join("tests");
            let is_there =
                tests.join(format!("{test}.rs")).exists() || tests.join(test).join("main.rs").exists();
            assert!(is_there, "{}: {package} has no test {test}", page.name);
            found += 1;
        }
    }
    assert!(found > 5, "{found}");
}

#[test]
fn every_command_of_postern_takes_the_words_it_is_given() {
    let mut found = 0;
    for page in pages() {
        for words in commands(&page) {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let Some(words) = words.strip_prefix(&["cargo", "run", "-q", "-p", "postern-cli", "--"]) else {
                continue;
            };
            let is_subcommand = |word: &&&str| {
                !word.starts_with('-') && word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-')
            };
            let mut asked: Vec<&str> = words.iter().take_while(is_subcommand).copied().collect();
            asked.push("--help");
            let outcome = run(&root(), &asked);
            assert_eq!(outcome.code, Some(0), "{}: {words:?}", page.name);
            for flag in words.iter().filter(|word| word.starts_with("--")) {
                assert!(outcome.stdout.contains(flag), "{}: {words:?}: {flag}", page.name);
            }
            found += 1;
        }
    }
    assert!(found > 2, "{found}");
}
