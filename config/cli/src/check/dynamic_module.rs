//! The library that Envoy loads for Postern as a dynamic module, and the filter that has to send for it.

use crate::finding::{Code, Finding};
use crate::source::{Found, envoy};
use crate::yaml::{Member, Node};

/// Tells problems of modules without a sender, and of the way in which Envoy loads them.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    findings.extend(found.senderless.iter().map(|senderless| {
        let upgrades =
            if senderless.is_served { "every upgrade over HTTP/2 or HTTP/3" } else { "every upgrade" };
        let what = format!("has no `postern-sender` before it, so that {upgrades} is answered with 500");
        let remedy = "write a filter of the same module with `filter_name: postern-sender` before it";
        Finding::new(senderless.position, Code::NoSender, "http_filters", what, remedy)
    }));
    findings.extend(found.libraries.iter().filter_map(|library| fetched(library)));
    findings.extend(found.libraries.iter().filter_map(|library| unloaded(library)));
}

/// Returns the problem of a library that Envoy fetches.
fn fetched(library: &Member) -> Option<Finding> {
    let remote = envoy::member(envoy::field(&library.value, "module")?, "remote")?;
    let path = "dynamic_module_config.module.remote";
    let what = "has Envoy fetch the module, and every request passes unjudged while it cannot";
    let remedy = "put the library beside Envoy, and write `module: {local: {filename: …}}`";
    Some(Finding::new(remote.position, Code::FetchedModule, path, what, remedy))
}

/// Returns the problem of a library that Envoy may unload.
fn unloaded(library: &Member) -> Option<Finding> {
    let kept = envoy::member(&library.value, "do_not_close");
    if kept.is_some_and(|kept| Node::is_true(&kept.value)) {
        return None;
    }
    let position = kept.map_or(library.position, |kept| kept.position);
    let path = "dynamic_module_config.do_not_close";
    let what =
        "is not true, so that Envoy may unload the module while a thread of Postern's runs in it, and crash";
    Some(Finding::new(position, Code::UnloadedModule, path, what, "write `do_not_close: true`"))
}
