//! Filters that keep frames of Postern's back, or may lose them: `ext_proc` that takes the bodies of answers.
//!
//! A real Envoy shows both (`e2e/tests/beside.rs`). Behind Postern the bodies go to a service before they come to Postern, and
//! the stream cannot be kept paused for a frame of Postern's own. Before Postern each piece waits for an answer of that
//! service, and is lost where the connection ends meanwhile.

use crate::finding::{Code, Finding, quoted};
use crate::source::{Found, Neighbour, OfRoute, envoy::field};
use crate::yaml::{Node, Position};

const EXT_PROC: &str = "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor";
const EXT_PROC_PER_ROUTE: &str = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute";
const MODES: [&str; 2] = ["STREAMED", "FULL_DUPLEX_STREAMED"];

/// Warns of each, in its own configuration and in that of a route.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    for neighbour in found.beside_postern().filter(|neighbour| neighbour.kind == EXT_PROC) {
        let Neighbour { name, fields, position, chain, .. } = neighbour;
        let Some(postern) = found.postern_in(*chain) else { continue };
        let (name, warning) =
            (name.unwrap_or_default(), if *position > postern { kept } else { perhaps_lost });
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

fn kept(name: &str, position: Position, path: &str) -> Finding {
    let what = format!(
        "{} takes the bodies of answers behind Postern, so that no Ping and no Close of a timer gets to a client",
        quoted(name)
    );
    let remedy =
        "write `response_body_mode: NONE`, or put it before Postern, where no more than a Close may get lost";
    Finding::new(position, Code::KeptFrames, path, what, remedy)
}

fn perhaps_lost(name: &str, position: Position, path: &str) -> Finding {
    let what = format!(
        "{} has the bodies of answers wait for its service when Postern has judged them, so that a Close to a client may get lost",
        quoted(name)
    );
    let remedy =
        "write `response_body_mode: NONE`, unless its service has to see what services of WebSockets say";
    Finding::new(position, Code::LostClose, path, what, remedy)
}
