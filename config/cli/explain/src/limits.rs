//! The words for what holds of a connection once it is open.

use std::time::Duration;

use postern_config::{Backlog, Expiry, MessageType, Policy};
use postern_engine::explain::{Explanation, TermsInForce};
use serde_json::{Value, json};

use crate::instant::{instant, length};
use crate::steps::{caps, compression, rate};

/// Returns what holds of the connection: each line with the key that says so.
pub(crate) fn lines(explanation: &Explanation) -> Vec<(&'static str, String)> {
    let Some(terms) = &explanation.terms else { return Vec::new() };
    let policy = &terms.limits;
    let mut lines = Vec::new();
    lines.extend(
        terms.tier.map(|tier| ("tiers", format!("tiers[{tier}] is in force, by the token's claims"))),
    );
    lines.extend(times(explanation, terms));
    lines.extend(messages(policy));
    lines.push(("compression", compression(policy.compression).to_owned()));
    lines.extend(terms.rates.iter().map(|charged| ("rates", rate(charged))));
    let caps = caps(&policy.connections);
    lines.extend((!caps.is_empty()).then_some(("connections", caps)));
    lines.extend(liveness(policy));
    lines
}

/// Returns the same for programs.
pub(crate) fn object(explanation: &Explanation) -> Value {
    let Some(terms) = &explanation.terms else { return Value::Null };
    let seconds = |at: Option<Duration>| at.map(|at| at.as_secs());
    let policy = &terms.limits;
    let rates = terms.rates.iter().map(|charged| {
        let path = charged.tier.map(|tier| format!("tiers[{tier}].")).unwrap_or_default();
        json!({
            "path": format!("{path}rates[{}]", charged.index),
            "limit": charged.rate.limit,
            "window_seconds": charged.rate.window.as_secs_f64(),
            "burst": charged.rate.burst,
            "about": rate(charged),
        })
    });
    json!({
        "tier": terms.tier,
        "token_expires_at": seconds(terms.token_expires_at),
        "ends_with_token_at": seconds(terms.ends_with_token_at),
        "session_ends_at": seconds(terms.session_ends_at),
        "messages": {
            "types": types(policy),
            "max_frame_bytes": policy.messages.max_frame_bytes,
            "max_message_bytes": policy.messages.max_message_bytes,
            "max_fragments": policy.messages.max_fragments,
            "utf8": policy.messages.utf8,
        },
        "upstream_messages": {
            "max_frame_bytes": policy.upstream_messages.max_frame_bytes,
            "max_message_bytes": policy.upstream_messages.max_message_bytes,
            "utf8": policy.upstream_messages.utf8,
        },
        "rates": rates.collect::<Vec<_>>(),
        "connections": {
            "per_ip": policy.connections.per_ip,
            "per_user": policy.connections.per_user,
            "per_policy": policy.connections.per_policy,
            "unauthenticated_per_ip": policy.connections.unauthenticated_per_ip,
        },
        "about": lines(explanation).into_iter().map(|(key, what)| json!({"key": key, "what": what})).collect::<Vec<_>>(),
    })
}

fn times(explanation: &Explanation, terms: &TermsInForce) -> Vec<(&'static str, String)> {
    let Some(auth) = &terms.limits.auth else { return Vec::new() };
    let mut lines = Vec::new();
    if explanation.awaits_first_message {
        let (time, bytes) = (length(auth.first_message_timeout), auth.max_unauthenticated_bytes);
        lines.push((
            "auth",
            format!("the first message must come within {time}, with {bytes} bytes at most before"),
        ));
    }
    match (terms.ends_with_token_at, terms.token_expires_at) {
        (Some(end), _) => lines.push(("auth.expiry", format!("ends with the token, at {}", instant(end)))),
        (None, Some(at)) if auth.expiry == Expiry::Ignore => {
            lines.push(("auth.expiry", format!("goes on when the token expires, at {}", instant(at))));
        }
        _ => {}
    }
    if let Some(pointer) = &auth.refresh {
        lines.push((
            "auth.refresh",
            format!("a later token may come in a message, at `{}`", pointer.as_str()),
        ));
    }
    let jitter = auth.max_session_jitter.min(auth.max_session.unwrap_or_default());
    let session = terms.session_ends_at.map(|end| match jitter {
        Duration::ZERO => format!("ends at {} at the latest", instant(end)),
        jitter => format!("ends at {} at the latest, or up to {} sooner", instant(end), length(jitter)),
    });
    lines.extend(session.map(|session| ("auth.max_session", session)));
    lines
}

fn messages(policy: &Policy) -> Vec<(&'static str, String)> {
    let (client, upstream) = (&policy.messages, &policy.upstream_messages);
    let of_client = format!(
        "{}: frames up to {} bytes, messages up to {} bytes in at most {} frames",
        types(policy).join(" and "),
        client.max_frame_bytes,
        client.max_message_bytes,
        client.max_fragments
    );
    let of_upstream = format!(
        "frames up to {} bytes, messages up to {} bytes",
        upstream.max_frame_bytes, upstream.max_message_bytes
    );
    vec![("messages", of_client), ("upstream_messages", of_upstream)]
}

fn types(policy: &Policy) -> Vec<&'static str> {
    let name = |kind: &MessageType| match kind {
        MessageType::Binary => "binary",
        MessageType::Text => "text",
    };
    policy.messages.types.iter().map(name).collect()
}

fn liveness(policy: &Policy) -> Vec<(&'static str, String)> {
    let liveness = &policy.liveness;
    let mut lines = vec![("liveness", format!("ends after {} of silence", length(liveness.idle_timeout)))];
    if let Some(interval) = liveness.ping_interval {
        let (interval, pong) = (length(interval), length(liveness.pong_timeout));
        lines.push(("liveness", format!("a Ping every {interval}, to be answered within {pong}")));
    }
    if let Some(limit) = policy.backpressure {
        let then = if limit.on_exceed == Backlog::Drop { "are discarded" } else { "end the connection" };
        lines.push(("backpressure", format!("more than {} bytes unread {then}", limit.max_backlog_bytes)));
    }
    lines
}
