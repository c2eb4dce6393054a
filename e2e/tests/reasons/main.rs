//! Every reason on a real Envoy: its line in Envoy's log, with rule, side and cause, the answer or the Close, and the
//! access log. They say the same, and what `docs/reasons.md` says.

mod documented;
mod frames;
mod handshakes;
mod provoke;
mod row;
mod stage;
mod times;
mod tokens;

use std::collections::BTreeSet;

use futures_util::future::join_all;
use postern_e2e::{Frame, Pushed, Request, Shared};

use row::{Act, Row};
use stage::{BUDGET, Stage, configuration, scene};

/// Reasons of keys that no configuration may have yet.
const NOT_CARRIED_OUT_YET: [&str; 6] = [
    "connection_limit",
    "global_rate",
    "json_too_deep",
    "rate_limit_unavailable",
    "schema_violation",
    "tunnel_detected",
];

/// Reasons that nobody outside can cause, and why not.
const NOT_FROM_OUTSIDE: [(&str, &str); 1] = [(
    "internal",
    "it is a fault of Postern, or of an Envoy that does not do what the ABI says; no bytes of a peer are known to cause it",
)];

static STAGE: Shared<Stage> = Shared::new(scene);

/// A policy that goes away, for a handshake and for a connection that is open already.
fn drains() -> [Row; 2] {
    let request = || Request::upgrade("/ws/drains");
    [
        Row::new("a connection that is open", request(), Act::Waits, "drain", "rule=drain"),
        Row::new("a handshake", request(), Act::Asks, "draining", "rule=drain"),
    ]
}

/// A text that is longer than all that may be held, and never whole.
fn exceeds_memory() -> Row {
    let mut text = Frame::text(&"a".repeat(BUDGET + BUDGET / 2)).masked().bytes();
    text.pop();
    let request = Request::upgrade("/ws/large");
    Row::new("a text", request, Act::Sends(text), "memory_exceeded", "rule=memory.budget")
}

/// Asserts all rows at once, made when there is an Envoy: some have tokens that are not good for long.
async fn assert_all(rows: fn() -> Vec<Row>) {
    let stage = STAGE.shared().await;
    let rows = rows();
    join_all(rows.iter().map(|row| row.assert(&stage))).await;
}

#[test]
fn no_reason_of_the_documentation_is_left_out_but_for_those_that_say_why() {
    let of_tables = [handshakes::rows(), frames::rows(), times::rows(), tokens::rows(), drains().into()];
    let of_tables = of_tables.into_iter().flatten().chain([exceeds_memory()]);
    let provoked: BTreeSet<&str> = of_tables.map(|row| row.reason).collect();
    let excused = NOT_CARRIED_OUT_YET.into_iter().chain(NOT_FROM_OUTSIDE.map(|(reason, _)| reason));
    let excused: BTreeSet<&str> = excused.collect();
    assert!(provoked.is_disjoint(&excused), "it can be provoked: {:?}", provoked.intersection(&excused));
    let documented = documented::table();
    let documented_ids: BTreeSet<&str> = documented.keys().copied().collect();
    assert_eq!(provoked.union(&excused).copied().collect::<BTreeSet<_>>(), documented_ids);
    for (reason, documented) in documented {
        let is_not_yet = documented.when == "not yet";
        assert_eq!(NOT_CARRIED_OUT_YET.contains(&reason), is_not_yet, "{reason}: {}", documented.when);
    }
}

#[tokio::test]
async fn a_handshake_is_refused_with_rule_side_and_cause() {
    assert_all(handshakes::rows).await;
}

#[tokio::test]
async fn a_connection_is_closed_for_its_frames_with_rule_side_and_cause() {
    assert_all(frames::rows).await;
}

#[tokio::test]
async fn a_connection_is_closed_for_its_silence_or_age_with_rule_and_side() {
    assert_all(times::rows).await;
}

#[tokio::test]
async fn a_token_is_refused_with_rule_side_and_cause() {
    assert_all(tokens::rows).await;
}

#[tokio::test]
async fn what_concerns_all_connections_is_told_of_each_with_its_rule() {
    let mut stage = STAGE.alone().await;
    exceeds_memory().assert(&stage).await;

    let [open, new] = drains();
    let client = stage.scene.open_with(&open.request).await;
    assert_eq!(stage.scene.push_document(configuration("1s")).await, Pushed::Taken);
    new.assert(&stage).await;
    open.assert_closed(&stage, client).await;
}
