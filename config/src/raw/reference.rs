//! Names that stand for something written elsewhere in the document.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::Path;
use crate::problem::ProblemKind;
use crate::provider::Provider;
use crate::report::Report;
use crate::words::{shown, suggestion};

/// The names under a top-level key, with those of broken entries: these are told already.
#[derive(Debug)]
pub(super) struct Names {
    kind: &'static str,
    names: BTreeSet<String>,
}

impl Names {
    /// Collects the names of `kind`, such as "policy".
    pub(super) fn new(kind: &'static str, names: impl IntoIterator<Item = String>) -> Self {
        Self { kind, names: names.into_iter().collect() }
    }

    /// Returns `name` if it stands for something; `section` is the top-level key.
    pub(super) fn resolve(
        &self,
        name: String,
        section: &str,
        at: &Path,
        report: &mut Report,
    ) -> Option<String> {
        let place = Path::root().key(section);
        let known = self.names.contains(&name)
            || report.is_broken(&place)
            || report.is_broken(&place.key(name.as_str()));
        if known {
            return Some(name);
        }
        let names: Vec<&String> = self.names.iter().collect();
        report.push(
            ProblemKind::UnknownName,
            at,
            format!("{} names no {}", shown(&name), self.kind),
            suggestion(&name, &names),
        );
        None
    }
}

/// The parts of the document that a policy may refer to.
#[derive(Debug)]
pub(super) struct Surroundings<'a> {
    /// The name of every provider.
    pub(super) names: Names,
    /// The providers that are sound.
    pub(super) providers: &'a BTreeMap<String, Provider>,
}
