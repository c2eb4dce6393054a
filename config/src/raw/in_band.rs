//! The demands of tokens in messages on the rest of a policy: that text passes, and can be read.

use crate::auth::Auth;
use crate::limits::{Compression, MessageType, Messages};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::report::Report;

/// Notes what would keep a policy from finding tokens in messages, if it looks for any; `at` is the policy.
pub(super) fn check(
    auth: &Auth,
    compression: Compression,
    messages: &Messages,
    at: &Path,
    report: &mut Report,
) {
    let key = match (auth.first_message(), &auth.refresh) {
        (Some(_), _) => "first_message",
        (None, Some(_)) => "refresh",
        (None, None) => return,
    };
    if compression == Compression::Pass {
        report.push(
            ProblemKind::Contradiction,
            &at.key("compression"),
            format!("hides messages in which `{key}` looks for a token"),
            "write `inspect` or `strip`",
        );
    }
    if !messages.types.contains(&MessageType::Text) {
        report.push(
            ProblemKind::Contradiction,
            &at.key("messages").key("types"),
            format!("has no text, in which `{key}` looks for a token"),
            "add `text`",
        );
    }
}
