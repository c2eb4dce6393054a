//! Metadata that is meant for Postern and stands where Postern does not read it.

use crate::finding::{Code, Finding};
use crate::source::{Found, Module};

/// Tells a problem for each: whoever wrote it expects it to hold.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    let modules = || found.configurations.iter().map(|configuration| configuration.module);
    let is_dynamic =
        !found.configurations.is_empty() && modules().all(|module| module == Some(Module::Dynamic));
    let remedy = if is_dynamic {
        "write `metadata: {typed_filter_metadata: {postern: …}}` on each route that it is for"
    } else {
        "write `metadata: {filter_metadata: {postern: …}}` on each route that it is for"
    };
    findings.extend(found.strays.iter().map(|stray| {
        let path = if stray.is_typed { "typed_filter_metadata.postern" } else { "filter_metadata.postern" };
        let what = match stray.owner.named() {
            _ if stray.is_typed && !is_dynamic => "has a type, and Postern does not read it".to_owned(),
            Some(owner) => format!("is metadata of {owner}, which has no effect"),
            None => "is metadata of no route, which has no effect".to_owned(),
        };
        Finding::new(stray.position, Code::StrayMetadata, path, what, remedy)
    }));
}
