//! The list of what differs from what the suite demands, and what is not as it says.

use std::collections::{BTreeMap, BTreeSet};

use postern_engine::json_schema::Problem;
use serde::Deserialize;

use crate::suite::Group;

/// Names by the file and the schema that they are of.
type Of<T> = BTreeMap<String, BTreeMap<String, T>>;

/// The list, less what has been found so far.
#[derive(Deserialize)]
pub(crate) struct Differences {
    /// Schemas that are refused, with the reason and what a problem says.
    refused: Vec<Refused>,
    /// Tests that are judged in another way.
    judged: Vec<Judged>,
}

#[derive(Deserialize)]
struct Refused {
    why: String,
    /// Words of the first problem of each.
    says: String,
    /// Schemas by their file.
    schemas: BTreeMap<String, BTreeSet<String>>,
}

#[derive(Deserialize)]
struct Judged {
    why: String,
    tests: Of<BTreeSet<String>>,
}

impl Differences {
    pub(crate) fn read() -> Self {
        let list: Self = serde_json::from_str(include_str!("differences.json")).expect("a list");
        let reasons = list.refused.iter().map(|row| &row.why).chain(list.judged.iter().map(|row| &row.why));
        assert!(reasons.into_iter().all(|why| !why.is_empty()), "a difference has no reason");
        list
    }

    /// Takes a schema that is refused from the list, and says what is wrong if it is not there for this problem.
    pub(crate) fn take_refused(&mut self, group: &Group, problems: &[Problem], wrong: &mut Vec<String>) {
        let first = problems.first().expect("a problem");
        if !self.refused.iter_mut().any(|row| first.what.contains(&row.says) && row.take(group)) {
            let Problem { at, what, .. } = first;
            wrong.push(format!("{}: {}: refused at {at:?}: {what}", group.file, group.name));
        }
    }

    /// Takes tests that are judged in another way from the list, and says what is wrong if they are not there.
    pub(crate) fn take_judged(&mut self, group: &Group, differ: BTreeSet<&str>, wrong: &mut Vec<String>) {
        for name in differ {
            if !self.judged.iter_mut().any(|row| row.take(group, name)) {
                wrong.push(format!("{}: {}: {name}: judged otherwise", group.file, group.name));
            }
        }
    }

    /// Returns what is listed, and has not been found.
    pub(crate) fn left(&self) -> Vec<String> {
        let refused = self.refused.iter().flat_map(|row| &row.schemas).flat_map(|(file, names)| {
            names.iter().map(move |name| format!("{file}: {name}: listed as refused, and it is not so"))
        });
        let judged = self.judged.iter().flat_map(|row| &row.tests).flat_map(|(file, schemas)| {
            schemas.iter().flat_map(move |(schema, names)| {
                names
                    .iter()
                    .map(move |name| format!("{file}: {schema}: {name}: listed, and judged as demanded"))
            })
        });
        refused.chain(judged).collect()
    }
}

impl Refused {
    fn take(&mut self, group: &Group) -> bool {
        self.schemas.get_mut(&group.file).is_some_and(|names| names.remove(&group.name))
    }
}

impl Judged {
    fn take(&mut self, group: &Group, name: &str) -> bool {
        let names = self.tests.get_mut(&group.file).and_then(|schemas| schemas.get_mut(&group.name));
        names.is_some_and(|names| names.remove(name))
    }
}
