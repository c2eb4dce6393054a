//! The table of `docs/reasons.md`, as a reader has it.

use std::collections::BTreeMap;

const PAGE: &str = include_str!("../../../docs/reasons.md");

/// The columns of a reason.
#[derive(Debug)]
pub(crate) struct Documented {
    /// The status of a refused handshake, if one is refused so.
    pub(crate) status: Option<u16>,
    /// The code of a Close, if a connection ends so.
    pub(crate) close: Option<u16>,
    /// The title of the problem document.
    pub(crate) title: &'static str,
    /// When it is given.
    pub(crate) when: &'static str,
}

/// Every reason of the table by its id.
pub(crate) fn table() -> BTreeMap<&'static str, Documented> {
    let reasons: BTreeMap<_, _> = PAGE.lines().filter_map(line).collect();
    assert!(reasons.len() > 40, "docs/reasons.md has another form than is read here: {reasons:?}");
    reasons
}

fn line(line: &'static str) -> Option<(&'static str, Documented)> {
    let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(str::trim).collect();
    let [id, status, close, title, when, ""] = cells[..] else { panic!("not a line of five cells: {line}") };
    let id = id.strip_suffix('`').unwrap_or_else(|| panic!("no id: {line}"));
    Some((id, Documented { status: number(status), close: number(close), title, when }))
}

/// A dash says that there is none.
fn number(cell: &str) -> Option<u16> {
    (cell != "—").then(|| cell.parse().unwrap_or_else(|_| panic!("neither a number nor a dash: {cell}")))
}
