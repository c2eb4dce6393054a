//! The fate of requests that the module cannot judge.

use crate::finding::{Code, Finding};
use crate::source::OpenFailure;

/// Warns of everything that lets such requests pass.
pub(super) fn judge(open: &[OpenFailure], findings: &mut Vec<Finding>) {
    findings.extend(open.iter().map(|OpenFailure { position, path, remedy }| {
        let what = "lets every WebSocket pass unjudged where the module could not be loaded or has trapped";
        Finding::new(*position, Code::FailOpen, path, what, *remedy)
    }));
}
