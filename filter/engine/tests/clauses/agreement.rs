//! RFC 7692 §5 and §7.1: which answers to which offers are an agreement.

use postern_engine::{Engine, Event, Input, Output};
use serde_json::json;

use crate::support::{START, Tables, admitted, agreement, engine};

const EXTENSIONS: &str = "sec-websocket-extensions";

/// A clause, an offer, an answer, and whether that is an agreement.
const ANSWERS: [(&str, &str, &str, bool); 24] = [
    ("§5: an offer may be accepted", "permessage-deflate", "permessage-deflate", true),
    ("§5: what was not offered is not accepted", "x-other", "permessage-deflate", false),
    ("§5: what was not offered is not accepted", "permessage-deflate", "x-other", false),
    (
        "§5: one of several offers is accepted",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate",
        "permessage-deflate",
        true,
    ),
    (
        "§5: the parameters are of one offer",
        "permessage-deflate; server_max_window_bits=9, permessage-deflate; server_no_context_takeover",
        "permessage-deflate",
        false,
    ),
    ("§7: it is accepted once", "permessage-deflate", "permessage-deflate, permessage-deflate", false),
    ("§7.1: no unknown parameter", "permessage-deflate", "permessage-deflate; x", false),
    (
        "§7.1: no value that is not allowed",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=16",
        false,
    ),
    (
        "§7.1: no parameter twice",
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        false,
    ),
    (
        "§7.1.1.1: what the client asked for is in the answer",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate",
        false,
    ),
    (
        "§7.1.1.1: what the client asked for is in the answer",
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; server_no_context_takeover",
        true,
    ),
    (
        "§7.1.1.1: a server may say it unasked",
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover",
        true,
    ),
    (
        "§7.1.1.1: it has no value",
        "permessage-deflate",
        "permessage-deflate; server_no_context_takeover=1",
        false,
    ),
    (
        "§7.1.1.2: a server may demand it unasked",
        "permessage-deflate",
        "permessage-deflate; client_no_context_takeover",
        true,
    ),
    (
        "§7.1.1.2: the client's hint binds nobody",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate",
        true,
    ),
    (
        "§7.1.2.1: the answer says as many bits or fewer",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=9",
        true,
    ),
    (
        "§7.1.2.1: the answer says as many bits or fewer",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate; server_max_window_bits=11",
        false,
    ),
    (
        "§7.1.2.1: the answer says as many bits or fewer",
        "permessage-deflate; server_max_window_bits=10",
        "permessage-deflate",
        false,
    ),
    (
        "§7.1.2.1: the answer says a number",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits",
        false,
    ),
    (
        "§7.1.2.1: a server may say it unasked",
        "permessage-deflate",
        "permessage-deflate; server_max_window_bits=8",
        true,
    ),
    (
        "§7.1.2.2: a client that did not offer it is not bounded",
        "permessage-deflate",
        "permessage-deflate; client_max_window_bits=15",
        false,
    ),
    (
        "§7.1.2.2: a client that offered it may be",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        true,
    ),
    (
        "§7.1.2.2: by no more than it offered",
        "permessage-deflate; client_max_window_bits=10",
        "permessage-deflate; client_max_window_bits=11",
        false,
    ),
    (
        "§7.1.2.2: by a number",
        "permessage-deflate; client_max_window_bits",
        "permessage-deflate; client_max_window_bits",
        false,
    ),
];

/// What the session says of an answer: that the connection is open, or the reason of its refusal.
fn outcome(engine: &Engine, offer: &str, answer: &str) -> Result<(), &'static str> {
    let mut session = admitted(engine, [198, 51, 100, 7].into(), &[(EXTENSIONS, offer)]);
    session.handle(Input::Response(agreement(&[(EXTENSIONS, answer)])), &mut Tables, START);
    let mut told = None;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Tell(Event::Opened) => told = Some(Ok(())),
            Output::Tell(Event::Refused { violation, .. }) => told = Some(Err(violation.reason.id())),
            _ => {}
        }
    }
    told.unwrap()
}

#[test]
fn an_answer_is_an_agreement_where_rfc_7692_says_so_and_not_where_it_was_stripped() {
    let policy = |compression: &str| {
        engine(&json!({
            "origins": {"allow": ["https://app.example.com"]}, "auth": "none", "rates": [],
            "compression": compression,
        }))
    };
    for compression in ["inspect", "pass", "strip"] {
        let engine = policy(compression);
        for (clause, offer, answer, agrees) in ANSWERS {
            let expected =
                if agrees && compression != "strip" { Ok(()) } else { Err("upstream_handshake_invalid") };
            assert_eq!(
                outcome(&engine, offer, answer),
                expected,
                "{clause}: {offer} <- {answer}, {compression}"
            );
        }
    }
}
