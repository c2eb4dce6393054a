//! A route's metadata, and the override in it.
//!
//! Input: a serialised `envoy.config.core.v3.Metadata`. Metadata never opens a route that has a
//! policy: it is judged, or refused as `policy_invalid`.

use postern_engine::{Output, Reason, RouteFacts, Selection, of_route};

use crate::fixture::{ORDINARY, handshake, head, route, with_engine};

/// Runs one input.
pub fn run(input: &[u8]) {
    let said = of_route(input);
    let head = head(handshake(), ORDINARY);
    let facts = RouteFacts { metadata: Some(input.to_vec()), ..route(0) };
    let selection = with_engine(|engine| engine.select(&head, &facts));
    match selection {
        Selection::Pass(_) => panic!("it passes unjudged"),
        Selection::Judge(session) => {
            let named = said.ok().flatten().and_then(|said| said.get("policy").cloned());
            let name = named.as_ref().and_then(|name| name.as_str()).unwrap_or("chat");
            assert_eq!(session.policy(), name);
        }
        Selection::Refuse(outputs) => {
            let refused = outputs.iter().any(
                |output| matches!(output, Output::Reply(_, reply) if reply.reason == Reason::PolicyInvalid),
            );
            assert!(refused && (said.is_err() || said.is_ok_and(|said| said.is_some())));
        }
    }
}
