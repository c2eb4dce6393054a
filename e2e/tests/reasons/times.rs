//! Connections that are closed since their time has come.

use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::{Frame, Request, Signer, json};

use crate::row::{Act, Row};
use crate::tokens::{bearing, with_token};

/// The life of a token that ends while its connection is open, in seconds.
const SOON: u64 = 3;

pub(crate) fn rows() -> Vec<Row> {
    let waits = |name, request, reason, told: &str| Row::new(name, request, Act::Waits, reason, told);
    let mut claims = edge_claims("alice");
    claims["exp"] = json!(now() + SOON);
    let short = Signer::edge().mint(&claims);
    let mut half = Frame::text("never whole").bytes();
    half.pop();
    vec![
        waits(
            "no first message",
            Request::upgrade("/ws/late"),
            "auth_timeout",
            "rule=auth.first_message_timeout side=client",
        ),
        waits(
            "a silent client",
            Request::upgrade("/ws/idle"),
            "idle_timeout",
            "rule=liveness.idle_timeout side=client",
        ),
        Row::new(
            "a message that its service does not end",
            Request::upgrade("/ws/drips"),
            Act::HearsUnfinished(half),
            "idle_timeout",
            "rule=liveness.idle_timeout side=upstream",
        ),
        waits(
            "a Ping that is not answered",
            Request::upgrade("/ws/asked"),
            "pong_timeout",
            "rule=liveness.pong_timeout side=client",
        ),
        waits("a long session", with_token("/ws/ends"), "session_limit", "rule=auth.max_session"),
        waits(
            "a token that ends meanwhile",
            bearing("/ws/expires", &short),
            "token_expired",
            "rule=auth.expiry side=client",
        ),
    ]
}
