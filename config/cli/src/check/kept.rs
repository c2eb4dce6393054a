//! Filters behind Postern that keep its frames by timers back.
//!
//! A real Envoy shows it (`e2e/tests/beside.rs`): where the bodies of answers go to a service of `ext_proc` before they come
//! to Postern, the stream cannot be kept paused for a frame of Postern's own.

use crate::finding::{Code, Finding, quoted};
use crate::source::{Found, Neighbour, OfRoute, envoy::field};
use crate::yaml::{Node, Position};

const EXT_PROC: &str = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor";
const EXT_PROC_PER_ROUTE: &str = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute";
const MODES: [&str; 2] = ["STREAMED", "FULL_DUPLEX_STREAMED"];

/// Warns of each, in its own configuration and in that of a route.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    let is_behind = |neighbour: &&Neighbour<'_>| {
        found.postern_in(neighbour.chain).is_some_and(|postern| neighbour.position > postern)
    };
    let processors = found.beside_postern().filter(|neighbour| neighbour.kind == EXT_PROC).filter(is_behind);
    for Neighbour { name, fields, position, .. } in processors {
        let name = name.unwrap_or_default();
        if takes_answers(fields) {
            findings.push(warning(name, *position, "http_filters"));
        }
        let of_routes = found.of_routes.iter().filter(|of_route| of_route.filter == name);
        let taking = of_routes.filter(|of_route| takes_answers_of_route(of_route));
        findings.extend(taking.map(|of_route| warning(name, of_route.position, "typed_per_filter_config")));
    }
}

fn takes_answers_of_route(of_route: &OfRoute<'_>) -> bool {
    of_route.kind == EXT_PROC_PER_ROUTE && field(of_route.fields, "overrides").is_some_and(takes_answers)
}

fn takes_answers(processor: &Node) -> bool {
    let mode = field(processor, "processing_mode").and_then(|modes| field(modes, "response_body_mode"));
    mode.and_then(Node::text).is_some_and(|mode| MODES.contains(&mode.to_ascii_uppercase().as_str()))
}

fn warning(name: &str, position: Position, path: &str) -> Finding {
    let what = format!(
        "{} takes the bodies of answers behind Postern, so that no Ping and no Close of a timer gets to a client",
        quoted(name)
    );
    let remedy = "put it before Postern, or write `response_body_mode: NONE`";
    Finding::new(position, Code::KeptFrames, path, what, remedy)
}
