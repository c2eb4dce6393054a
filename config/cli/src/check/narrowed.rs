//! Plugins that are bound to a part of the traffic, so that Postern does not see the rest.

use crate::finding::{Code, Finding};
use crate::source::Narrowed;

/// Warns of every plugin that sees a part of the traffic only.
pub(super) fn judge(narrowed: &[Narrowed], findings: &mut Vec<Finding>) {
    findings.extend(narrowed.iter().map(|Narrowed { position, path }| {
        let what = "leaves WebSockets on other ports and in the other direction unjudged";
        let remedy = "leave it out, or see to it that no WebSocket comes in by another way";
        Finding::new(*position, Code::NarrowedPlugin, path, what, remedy)
    }));
}
