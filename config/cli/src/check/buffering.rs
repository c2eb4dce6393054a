//! Filters beside Postern that hold a body until it is whole, which that of a WebSocket never is.
//!
//! Each of these leaves a WebSocket through a real Envoy without an answer (`e2e/tests/checked.rs`). Others
//! that hold bodies let upgrades alone, such as `ext_authz`, or act on what no WebSocket has, such as gRPC.

use crate::finding::{Code, Finding, quoted};
use crate::source::{Found, Neighbour, OfRoute, envoy::field};
use crate::yaml::{Kind, Node};

const EXT_PROC_PER_ROUTE: &str = "envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute";
const BODY_MODES: [&str; 2] = ["request_body_mode", "response_body_mode"];

/// Warns of the filters that stand in a list with Postern and that nothing switches off.
pub(super) fn judge(found: &Found<'_>, findings: &mut Vec<Finding>) {
    findings.extend(found.beside_postern().filter_map(warning));
    let of_routes = found.of_routes.iter().filter(|_| found.has_postern_anywhere());
    findings.extend(of_routes.filter_map(warning_of_route));
}

/// Returns the warning of a filter that holds bodies on a route only.
fn warning_of_route(of_route: &OfRoute<'_>) -> Option<Finding> {
    let OfRoute { filter, kind, fields, position } = *of_route;
    let overrides = field(fields, "overrides").filter(|_| kind == EXT_PROC_PER_ROUTE)?;
    if !BODY_MODES.iter().any(|mode| is_buffered(overrides, mode)) {
        return None;
    }
    let what = format!(
        "{} holds bodies of this route until they are whole, and a WebSocket's is never whole: nothing passes",
        quoted(filter)
    );
    let remedy = "write `NONE` as their mode, unless the route has no WebSockets";
    Some(Finding::new(position, Code::HeldBodies, "typed_per_filter_config", what, remedy))
}

fn warning(neighbour: &Neighbour<'_>) -> Option<Finding> {
    let (what, remedy) =
        holds(neighbour.kind.strip_prefix("envoy.extensions.filters.http.")?, neighbour.fields)?;
    let name = quoted(neighbour.name.unwrap_or_default());
    let what = format!("{name} {what}, and a WebSocket's is never whole: nothing passes");
    let off = "or write `disabled: true` and enable it on the routes that have no WebSockets";
    Some(Finding::new(neighbour.position, Code::HeldBodies, "http_filters", what, format!("{remedy}, {off}")))
}

/// Returns a warning's words: how much of a body a filter holds, and the remedy.
fn holds(kind: &str, fields: &Node) -> Option<(&'static str, &'static str)> {
    Some(match kind {
        "aws_request_signing.v3.AwsRequestSigning" if !is_true(fields, "use_unsigned_payload") => {
            ("holds every request until it can sign the whole of it", "write `use_unsigned_payload: true`")
        }
        "buffer.v3.Buffer" => ("holds every request until it is whole", "take it out"),
        "ext_proc.v3.ExternalProcessor" if BODY_MODES.iter().any(|mode| is_buffered(fields, mode)) => {
            ("holds bodies until they are whole", "write `NONE` as their mode")
        }
        "file_system_buffer.v3.FileSystemBufferFilterConfig"
            if ["request", "response"].iter().any(|way| is_fully_buffered(fields, way)) =>
        {
            ("holds bodies until they are whole", "write `behavior: {stream_when_possible: {}}`")
        }
        "json_to_metadata.v3.JsonToMetadata"
            if ["request_rules", "response_rules"].iter().any(|rules| takes_any_type(fields, rules)) =>
        {
            (
                "holds bodies without a content type until they are whole",
                "leave out `allow_empty_content_type`",
            )
        }
        "lua.v3.Lua" if reads_body(fields) => {
            ("calls `body()`, which waits until a body is whole", "read `bodyChunks()`")
        }
        _ => return None,
    })
}

fn is_true(node: &Node, key: &str) -> bool {
    field(node, key).is_some_and(Node::is_true)
}

fn is_buffered(processor: &Node, mode: &str) -> bool {
    let mode = field(processor, "processing_mode").and_then(|modes| field(modes, mode));
    mode.and_then(Node::text).is_some_and(|mode| mode.to_ascii_uppercase().starts_with("BUFFERED"))
}

fn is_fully_buffered(buffer: &Node, way: &str) -> bool {
    let behavior = field(buffer, way).and_then(|way| field(way, "behavior"));
    let fully = ["fully_buffer", "fully_buffer_and_always_inject_content_length"];
    behavior.is_some_and(|behavior| fully.iter().any(|key| field(behavior, key).is_some()))
}

fn takes_any_type(filter: &Node, rules: &str) -> bool {
    field(filter, rules).is_some_and(|rules| is_true(rules, "allow_empty_content_type"))
}

/// Says whether a script inside calls the function; a script in a file of its own is not known.
fn reads_body(node: &Node) -> bool {
    match &node.kind {
        Kind::List(items) => items.iter().any(reads_body),
        Kind::Object(members) => members.iter().any(|member| reads_body(&member.value)),
        Kind::Scalar(value) => value.as_str().is_some_and(|text| text.contains(":body(")),
    }
}
