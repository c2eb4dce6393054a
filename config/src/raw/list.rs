//! Lists whose elements are read one by one.

use crate::path::Path;
use crate::problem::ProblemKind;
use crate::report::Report;
use crate::words::shown;

/// A list as written; a hole is an element that was wrong and is told already.
pub(super) type List<T> = Vec<Option<T>>;

/// The most elements of a list. Each is compared with all before it.
const MOST: usize = 10_000;

/// Reads every element with `read`, and refuses one that equals an earlier one.
pub(super) fn distinct<T, U: PartialEq>(
    list: List<T>,
    at: &Path,
    report: &mut Report,
    mut read: impl FnMut(T, &Path, &mut Report) -> Option<U>,
) -> Option<Vec<U>> {
    let written = list.len();
    if written > MOST {
        report.push(
            ProblemKind::TooMuch,
            at,
            format!("has {written} elements"),
            format!("write at most {MOST}"),
        );
        return None;
    }
    let mut found: Vec<U> = Vec::with_capacity(written);
    let mut positions: Vec<usize> = Vec::with_capacity(written);
    for (i, item) in list.into_iter().enumerate() {
        let place = at.index(i);
        let Some(item) = item.and_then(|item| read(item, &place, report)) else { continue };
        match found.iter().zip(&positions).find(|(earlier, _)| **earlier == item) {
            Some((_, first)) => {
                report.push(
                    ProblemKind::WrittenTwice,
                    &place,
                    format!("is the same as {}", at.index(*first)),
                    "leave one of them out",
                );
            }
            None => {
                found.push(item);
                positions.push(i);
            }
        }
    }
    (found.len() == written).then_some(found)
}

/// Reads a list as [`distinct`] does, if it is not empty.
pub(super) fn distinct_some<T, U: PartialEq>(
    list: List<T>,
    at: &Path,
    report: &mut Report,
    read: impl FnMut(T, &Path, &mut Report) -> Option<U>,
) -> Option<Vec<U>> {
    if list.is_empty() {
        report.push(ProblemKind::ImpossibleValue, at, "is empty", "write at least one");
        return None;
    }
    distinct(list, at, report, read)
}

/// Returns a string that satisfies `grammar`.
pub(super) fn string(
    text: String,
    grammar: fn(&str) -> bool,
    remedy: &str,
    at: &Path,
    report: &mut Report,
) -> Option<String> {
    if grammar(&text) {
        return Some(text);
    }
    let what =
        if text.is_empty() { "is empty".to_owned() } else { format!("{} is not allowed", shown(&text)) };
    report.push(ProblemKind::ImpossibleValue, at, what, remedy);
    None
}
