//! Metadata that is meant for Postern and stands where Postern does not read it.

use crate::finding::{Code, Finding};
use crate::source::Stray;

/// Tells a problem for each: whoever wrote it expects it to hold.
pub(super) fn judge(strays: &[Stray], findings: &mut Vec<Finding>) {
    findings.extend(strays.iter().map(|stray| {
        let (path, what) = match (stray.is_typed, stray.owner.named()) {
            (true, _) => {
                ("typed_filter_metadata.postern", "has a type, and Postern does not read it".to_owned())
            }
            (false, Some(owner)) => {
                ("filter_metadata.postern", format!("is metadata of {owner}, which has no effect"))
            }
            (false, None) => {
                ("filter_metadata.postern", "is metadata of no route, which has no effect".to_owned())
            }
        };
        let remedy = "write `metadata: {filter_metadata: {postern: …}}` on each route that it is for";
        Finding::new(stray.position, Code::StrayMetadata, path, what, remedy)
    }));
}
