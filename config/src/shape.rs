//! The shape of a document: its keys, and the kind of value that each has.
//!
//! Values are read through serde into the mirror types of [`crate::raw`]. Serde stops at the first error; so
//! the offending value is noted, taken out, and the rest is read again.

mod error;
mod node;

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::path::{Path, Segment};
use crate::problem::ProblemKind;
use crate::report::Report;

/// The most shape problems that are told of one document. Every one costs a reading of the whole.
const MOST_PROBLEMS: usize = 100;

/// Reads `value`, which lies at `at`, and notes everything whose shape is wrong. Returns `None` when nothing
/// was left to read. `value` loses what was wrong.
pub(crate) fn read<T: DeserializeOwned>(value: &mut Value, at: &Path, report: &mut Report) -> Option<T> {
    for _ in 0..MOST_PROBLEMS {
        let (error, steps) = match T::deserialize(node::Node(value)) {
            Ok(read) => return Some(read),
            Err(misfit) => misfit.into_parts(),
        };
        let place: Path = at.segments().iter().chain(&steps).cloned().collect();
        if let Some(meant) = error.meant(steps.last()) {
            let siblings = steps.iter().take(steps.len().saturating_sub(1));
            report.suspect(&at.segments().iter().chain(siblings).cloned().collect::<Path>().key(meant));
        }
        let kind = error.kind();
        let (what, remedy) = error.told(steps.last());
        report.push_broken(kind, &place, what, remedy);
        if !take_out(value, &steps) {
            return None;
        }
    }
    report.push(ProblemKind::TooMuch, at, "more is wrong than is told here", "mend what is told first");
    None
}

/// Notes every null in `value` and takes it out: a key without a value is more often a slip than a
/// wish. Some places [may hold nulls](may_hold_nulls).
pub(crate) fn refuse_nulls(value: &mut Value, at: &Path, report: &mut Report) {
    const REMEDY: &str = "write a value, or leave the key out";
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                if item.is_null() {
                    report.push_broken(ProblemKind::WrongType, &at.index(i), "has no value", REMEDY);
                } else {
                    refuse_nulls(item, &at.index(i), report);
                }
            }
        }
        Value::Object(members) => members.retain(|key, member| {
            let place = at.key(key.as_str());
            if member.is_null() {
                report.push_broken(ProblemKind::WrongType, &place, "has no value", REMEDY);
                return false;
            }
            if !may_hold_nulls(&place) {
                refuse_nulls(member, &place, report);
            }
            true
        }),
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => {}
    }
}

/// Says whether nulls are values at `place`: in JSON Schemas, and among what messages are compared with.
fn may_hold_nulls(place: &Path) -> bool {
    let [Segment::Key(policies), _, rest @ ..] = place.segments() else { return false };
    let rest = match rest {
        [Segment::Key(tiers), Segment::Index(_), of_tier @ ..] if tiers == "tiers" => of_tier,
        of_policy => of_policy,
    };
    let [Segment::Key(section), rest @ ..] = rest else { return false };
    let of_messages = matches!(section.as_str(), "messages" | "upstream_messages");
    let is_open = match rest {
        [Segment::Key(key)] => key == "schema",
        [Segment::Key(schemas), Segment::Key(each)] => schemas == "schemas" && each == "each",
        [Segment::Key(allow), Segment::Index(_), Segment::Key(when)] => allow == "allow" && when == "when",
        _ => false,
    };
    policies == "policies" && of_messages && is_open
}

/// Takes out the value at `steps`: members go, elements of lists become null, so that the others keep their
/// positions. Says whether something is left.
fn take_out(value: &mut Value, steps: &[Segment]) -> bool {
    let Some((last, parents)) = steps.split_last() else { return false };
    let parent = parents.iter().try_fold(value, |value, step| match step {
        Segment::Index(index) => value.get_mut(index),
        Segment::Key(key) => value.get_mut(key),
    });
    match (parent, last) {
        (Some(Value::Array(items)), Segment::Index(index)) => {
            items.get_mut(*index).map(|item| *item = Value::Null).is_some()
        }
        (Some(Value::Object(members)), Segment::Key(key)) => members.remove(key).is_some(),
        _ => false,
    }
}
