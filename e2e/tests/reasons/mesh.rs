//! The answers of a rate limit service, and their absence.

use postern_e2e::{Frame, RateLimits, Request, Value, json};

use crate::row::{Act, Row};

/// Starts a service that lets nothing through.
pub(crate) async fn service() -> RateLimits {
    let limits = RateLimits::start().await;
    limits.limit("handshakes", 0);
    limits.limit("messages", 0);
    limits
}

/// The policies: of a service that answers, and of clusters that Envoy does not know.
pub(crate) fn policies() -> Value {
    let counting = |cluster: &str, count: &str| {
        json!({"global_rate_limit": {
            "cluster": cluster, "domain": "postern", "counts": [count], "failure": "deny", "timeout": "5s",
        }})
    };
    json!({
        "crowded": counting("ratelimit", "handshakes"),
        "loud": counting("ratelimit", "messages"),
        "unheard": counting("nowhere", "handshakes"),
        "untold": counting("nobody", "messages"),
    })
}

pub(crate) fn rows() -> Vec<Row> {
    let says = || Act::Sends(Frame::text("x").masked().bytes());
    let over = |counted: &str| {
        format!(
            "rule=global_rate_limit side=client cause=\"the rate limit service says that {counted} are over the limit\""
        )
    };
    let unanswered = || "rule=global_rate_limit cause=\"the rate limit service did not answer\"".to_owned();
    let row = |policy: &str, act, reason, told| {
        Row::new(reason, Request::upgrade(&format!("/ws/{policy}")), act, reason, told)
    };
    vec![
        row("crowded", Act::Asks, "global_rate", over("handshakes")),
        row("loud", says(), "global_rate", over("messages")),
        row("unheard", Act::Asks, "rate_limit_unavailable", unanswered()),
        row("untold", says(), "rate_limit_unavailable", unanswered()),
    ]
}
