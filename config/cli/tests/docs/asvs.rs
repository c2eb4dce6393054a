//! The page on OWASP: no item and no advice is left out, and each that is answered names a test that is there.

use crate::pages::{Table, page, read, root};

/// The items of V4.4 of ASVS 5.
const ITEMS: [&str; 4] = ["4.4.1", "4.4.2", "4.4.3", "4.4.4"];

/// The topics of the cheat sheet, each with the number of its pieces of advice that concern a server.
const TOPICS: [(&str, usize); 11] = [
    ("Transport", 1),
    ("Protocol", 2),
    ("Infrastructure", 2),
    ("Origin", 1),
    ("Hijacking", 1),
    ("Sessions", 3),
    ("Tokens", 2),
    ("Messages", 1),
    ("Input", 3),
    ("Tunnels", 1),
    ("Denial of service", 4),
];

fn tables() -> Vec<Table> {
    let tables: Vec<Table> = page("docs/asvs.md")
        .tables()
        .into_iter()
        .filter(|table| table.head.last().is_some_and(|last| last == "shown by"))
        .collect();
    assert_eq!(tables.len(), 2, "V4.4 and the cheat sheet");
    tables
}

#[test]
fn every_item_of_the_standard_and_every_advice_of_the_cheat_sheet_is_answered() {
    let tables = tables();
    let items: Vec<&str> = tables[0].rows.iter().map(|row| row[0].as_str()).collect();
    assert_eq!(items, ITEMS);
    for (topic, advice) in TOPICS {
        let begins = |row: &&Vec<String>| row[0].split(':').next() == Some(topic);
        assert_eq!(tables[1].rows.iter().filter(begins).count(), advice, "{topic}");
    }
}

#[test]
fn what_is_covered_names_tests_that_are_there() {
    let mut named = 0;
    for row in tables().iter().flat_map(|table| &table.rows) {
        let shown = row.last().expect("a last cell");
        let spans: Vec<&str> = shown.split('`').skip(1).step_by(2).collect();
        assert!(!spans.is_empty() && spans.len().is_multiple_of(2), "{}: {shown}", row[0]);
        for pair in spans.chunks_exact(2) {
            let (file, test) = (pair[0], pair[1]);
            assert!(root().join(file).is_file(), "{}: `{file}` is not there", row[0]);
            let is_there = read(file).contains(&format!("fn {test}("));
            assert!(is_there, "{}: `{file}` has no test `{test}`", row[0]);
            named += 1;
        }
    }
    assert!(named > 25, "{named}");
}
