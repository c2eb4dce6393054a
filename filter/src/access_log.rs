//! The fields of Envoy's access log: `%FILTER_STATE(wasm.postern.<field>:PLAIN)%`.
//!
//! What is known when a stream is refused or closed is set then, and all else in `on_log`, right before Envoy
//! writes its line; so a field costs a stream nothing while it is open.

use std::fmt::Display;
use std::time::Duration;

use postern_engine::{FirstClose, Passed, Summary, Violation};

use crate::host;
use crate::log_lines::Whence;
use crate::sessions::Live;

/// Sets which rule did not hold on a stream.
pub(crate) fn violation(whence: Whence<'_>, violation: &Violation) {
    set("policy", whence.policy);
    set("rule", &violation.rule);
    host::set_field("reason", violation.reason.id());
}

/// Sets which rule did not hold, though it was not enforced.
pub(crate) fn found(whence: Whence<'_>, violation: &Violation) {
    set("policy", whence.policy);
    set("rule", &violation.rule);
    set("reason", &format_args!("shadow:{}", violation.reason.id()));
}

/// Sets what there is to say at the end of a stream, which is over at `now`.
pub(crate) fn end(live: &Live, now: Duration) {
    let session = live.session.borrow();
    let Some(Summary { subject, client, upstream, close }) = session.summary() else { return };
    set("policy", session.policy());
    if let Some(subject) = subject {
        set("subject", &subject);
    }
    let Some(opened_at) = live.opened_at() else { return };
    for (messages_field, bytes_field, Passed { messages, bytes }) in [
        ("messages_downstream", "bytes_downstream", client),
        ("messages_upstream", "bytes_upstream", upstream),
    ] {
        set(messages_field, &messages);
        set(bytes_field, &bytes);
    }
    set("duration", &now.saturating_sub(opened_at).as_millis());
    if let Some(FirstClose { by, code }) = close {
        set("close_code", &code);
        set("closed_by", &by.map_or("postern".to_owned(), |peer| peer.to_string()));
    }
}

fn set(field: &str, value: &(impl Display + ?Sized)) {
    host::set_field(field, &value.to_string());
}
