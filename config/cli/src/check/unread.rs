//! Documents that name Postern and reach nobody: kinds of manifest that are not read, documents and resources
//! that Envoy does not load.

use postern_config::Problem;

use crate::finding::{Finding, quoted};
use crate::source::Found;
use crate::yaml::Position;

/// Tells a problem for each: a document that is not read is not sound.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    findings.extend(found.unread.iter().map(|unread| {
        let what = format!("is of Postern, and is not judged in a manifest of kind {}", quoted(unread.kind));
        let remedy = "check the file with its policies by itself, and leave this one out";
        problem(unread.position, what, remedy)
    }));
    findings.extend(found.later_documents.iter().map(|position| {
        let what = "is not the first document of its file, and Envoy reads no other";
        problem(*position, what.to_owned(), "write it in a file of its own")
    }));
    findings.extend(found.untyped.iter().map(|position| {
        let what = "has no `@type`, and Envoy takes no resource without";
        let remedy =
            "write its type, such as `\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener`";
        problem(*position, what.to_owned(), remedy)
    }));
}

fn problem(position: Position, what: String, remedy: &str) -> Finding {
    Finding::problem(position, Problem::new("", what, remedy))
}
