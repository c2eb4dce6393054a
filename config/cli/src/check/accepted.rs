//! Warnings that whoever wrote the file has looked at: `# postern-check: allow PST0106` at the end of the line of a warning, or on a
//! line of its own above it. Problems cannot be accepted.

use crate::finding::{Finding, Severity};

const MARK: &str = "postern-check: allow";

/// Takes out the warnings that are accepted where they are.
pub(super) fn take_out(text: &[u8], findings: &mut Vec<Finding>) {
    let text = String::from_utf8_lossy(text);
    if !text.contains(MARK) {
        return;
    }
    let lines: Vec<&str> = text.lines().collect();
    let line = |number: usize| lines.get(number.checked_sub(1)?).copied();
    findings.retain(|finding| {
        let number = finding.position.line;
        let here = line(number).is_some_and(|line| accepts(line, finding));
        let above = number.checked_sub(1).and_then(line).filter(|line| line.trim_start().starts_with('#'));
        let is_accepted = here || above.is_some_and(|line| accepts(line, finding));
        finding.severity() == Severity::Problem || !is_accepted
    });
}

/// Says whether the comment of a line names the code of a finding.
fn accepts(line: &str, finding: &Finding) -> bool {
    let said = line.split('#').skip(1).find_map(|comment| comment.trim_start().strip_prefix(MARK));
    said.is_some_and(|codes| codes.split([' ', ',']).any(|code| code == finding.code.id()))
}
