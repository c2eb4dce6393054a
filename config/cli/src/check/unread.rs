//! Documents that name Postern and reach nobody: kinds of manifest that are not read, documents and resources
//! that Envoy does not load.

use crate::finding::{Code, Finding, quoted};
use crate::source::Found;

/// Tells a problem for each: a document that is not read is not sound.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    findings.extend(found.unread.iter().map(|unread| {
        let what = format!("is of Postern, and is not judged in a manifest of kind {}", quoted(unread.kind));
        let remedy = "check the file with its policies by itself, and leave this one out";
        Finding::new(unread.position, Code::UnreadManifest, "", what, remedy)
    }));
    findings.extend(found.later_documents.iter().map(|position| {
        let what = "is not the first document of its file, and Envoy reads no other";
        Finding::new(*position, Code::LaterDocument, "", what, "write it in a file of its own")
    }));
    findings.extend(found.untyped.iter().map(|position| {
        let what = "has no `@type`, and Envoy takes no resource without";
        let remedy =
            "write its type, such as `\"@type\": type.googleapis.com/envoy.config.listener.v3.Listener`";
        Finding::new(*position, Code::UntypedResource, "", what, remedy)
    }));
}
