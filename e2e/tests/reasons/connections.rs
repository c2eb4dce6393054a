//! Connections too many, and clients that were refused too often.

use postern_e2e::{Request, Value, json};

use crate::row::{Act, Row};
use crate::tokens::{bearing, by_user, message};

/// Policies with caps, of which each is full with one connection, and rates of refusals, of which one is enough.
pub(crate) fn policies(auth: impl Fn(&Value) -> Value) -> Value {
    let first = json!([{"header": "authorization"}, {"first_message": "/token"}]);
    let member = json!([{"claim": "role", "one_of": ["member"]}]);
    let auth = |changes: Value| {
        let mut auth = auth(&json!({"from": first}));
        auth.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        auth
    };
    let refusals = |per: &str| json!([{"count": "refusals", "per": per, "limit": 1, "window": "1h"}]);
    json!({
        "single": {"connections": {"per_ip": 1}},
        "singles": {"auth": auth(json!({})), "connections": {"per_user": 1}},
        "newest": {"auth": auth(json!({})), "connections": {"per_user": 1, "on_full": "replace"}},
        "locks": {"rates": refusals("ip")},
        "locked": {"auth": auth(json!({"require": member})), "rates": refusals("user")},
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let full =
        |rule: &str| format!("rule={rule} side=client cause=\"the live connections are 1, and 1 may be\"");
    let single = || Request::upgrade("/ws/single");
    let malformed = Request::upgrade("/ws/locks").set("Sec-WebSocket-Key", "x");
    let of = |path: &str, user: &str| bearing(path, &by_user(user));
    let locked = "rule=rates[0] side=client";
    vec![
        Row::new("one too many", single(), Act::Asks, "connection_limit", full("connections.per_ip"))
            .after(single()),
        Row::new(
            "one too many of a user, first",
            Request::upgrade("/ws/singles"),
            Act::Sends(message(&by_user("dora"))),
            "connection_limit",
            full("connections.per_user"),
        )
        .after(of("/ws/singles", "dora")),
        Row::new(
            "an older one",
            of("/ws/newest", "eve"),
            Act::MakesWay(of("/ws/newest", "eve")),
            "connection_replaced",
            "rule=connections.per_user",
        ),
        Row::new("refused too often", Request::upgrade("/ws/locks"), Act::Asks, "refusal_rate", locked)
            .after_refusal(malformed, 400),
        Row::new(
            "a user refused too often, first",
            Request::upgrade("/ws/locked"),
            Act::Sends(message(&by_user("frank"))),
            "refusal_rate",
            locked,
        )
        .after_refusal(of("/ws/locked", "frank"), 403),
    ]
}
