//! Every reason on a real Envoy: its line in Envoy's log, with rule, side and cause, the answer or the Close, and the
//! access log. They say the same, and what `docs/reasons.md` says.

mod connections;
mod documented;
mod frames;
mod handshakes;
mod mesh;
mod provoke;
mod row;
mod shadow;
mod stage;
mod times;
mod tokens;

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::{Frame, Pushed, RawClient, Request, Shared};

use row::{Act, Row, Way};
use stage::{BUDGET, Stage, configuration, scene};

/// Reasons that nobody outside can cause, and why not.
const NOT_FROM_OUTSIDE: [(&str, &str); 1] = [(
    "internal",
    "it is a fault of Postern, or of an Envoy that does not do what the ABI says; no bytes of a peer are known to cause it",
)];

/// A way to end that is documented of a reason, and that nobody outside can cause.
const NOT_THAT_WAY: [(&str, Way, &str); 1] = [(
    "revocation_unavailable",
    Way::Closes,
    "a handshake whose token is in a message waits for the first list too, and a list that is there serves for ever",
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

/// More than may be held: a text that is too long, and a handshake that would wait for its first message.
fn exceeds_memory() -> [Row; 2] {
    let text = Act::Sends(unfinished(BUDGET + BUDGET / 2));
    let (long, late) = (Request::upgrade("/ws/large"), Request::upgrade("/ws/late"));
    [
        Row::new("a text", long, text, "memory_exceeded", "rule=memory.budget"),
        Row::new("one more", late, Act::Asks, "memory_exceeded", "rule=memory.budget"),
    ]
}

/// A text that is never whole.
fn unfinished(len: usize) -> Vec<u8> {
    let mut text = Frame::text(&"a".repeat(len)).masked().bytes();
    text.pop();
    text
}

/// A client that holds so much that nobody else may begin to.
async fn fill_memory(stage: &Stage) -> RawClient {
    let mut client = stage.scene.open("/ws/large").await;
    client.send(unfinished(BUDGET - BUDGET / 32)).await;
    within(PATIENCE, "the memory to be full", async {
        #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
        let full = (BUDGET - BUDGET / 16) as f64;
        while stage.scene.envoy().stats().await.sum("postern_held_bytes", &[]) <= full {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    client
}

/// Asserts all rows at once, made when there is an Envoy: some have tokens that are not good for long.
async fn assert_all(rows: fn() -> Vec<Row>) {
    let stage = STAGE.shared().await;
    let rows = rows();
    join_all(rows.iter().map(|row| row.assert(&stage))).await;
}

/// The rows of all tables.
fn every_row() -> Vec<Row> {
    let [exceeds, fills] = exceeds_memory();
    let of_tables = [handshakes::rows(), frames::rows(), times::rows(), tokens::rows(), connections::rows()];
    let of_tables = of_tables.into_iter().chain([mesh::rows(), drains().into()]);
    of_tables.flatten().chain([exceeds, fills]).collect()
}

#[test]
fn no_reason_of_the_documentation_is_left_out_but_for_those_that_say_why() {
    let rows = every_row();
    let provoked: BTreeSet<&str> = rows.iter().map(|row| row.reason).collect();
    let excused: BTreeSet<&str> = NOT_FROM_OUTSIDE.map(|(reason, _)| reason).into();
    assert!(provoked.is_disjoint(&excused), "it can be provoked: {:?}", provoked.intersection(&excused));
    let documented = documented::table();
    let documented_ids: BTreeSet<&str> = documented.keys().copied().collect();
    assert_eq!(provoked.union(&excused).copied().collect::<BTreeSet<_>>(), documented_ids);
    for (reason, documented) in &documented {
        assert_ne!(documented.when, "not yet", "{reason}");
    }
}

#[test]
fn a_reason_is_provoked_in_each_way_that_the_documentation_has() {
    let provoked: BTreeSet<_> = every_row().iter().map(|row| (row.reason, row.way())).collect();
    let reasons: BTreeSet<&str> = provoked.iter().map(|(reason, _)| *reason).collect();
    let excused: BTreeSet<_> = NOT_THAT_WAY.map(|(reason, way, _)| (reason, way)).into();
    let documented = documented::table();
    let documented = documented.iter().filter(|(reason, _)| reasons.contains(*reason));
    let ways = documented.flat_map(|(reason, documented)| {
        let refuses = documented.status.map(|_| (*reason, Way::Refuses));
        [refuses, documented.close.map(|_| (*reason, Way::Closes))]
    });
    assert_eq!(provoked.union(&excused).copied().collect::<BTreeSet<_>>(), ways.flatten().collect());
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
async fn what_is_counted_over_the_mesh_refuses_and_closes_with_rule_and_cause() {
    assert_all(mesh::rows).await;
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
async fn a_connection_too_many_or_a_client_refused_too_often_is_told_with_its_rule() {
    assert_all(connections::rows).await;
}

#[tokio::test]
async fn what_concerns_all_connections_is_told_of_each_with_its_rule() {
    let mut stage = STAGE.alone().await;
    let [exceeds, one_more] = exceeds_memory();
    exceeds.assert(&stage).await;
    let holder = fill_memory(&stage).await;
    one_more.assert(&stage).await;
    drop(holder);

    let [open, new] = drains();
    let client = stage.scene.open_with(&open.request).await;
    assert_eq!(stage.scene.push_document(configuration("1s")).await, Pushed::Taken);
    new.assert(&stage).await;
    open.assert_closed(&stage, client).await;
}
