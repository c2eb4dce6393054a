//! The rows of all tables once more, under the same policies in shadow and beside an Envoy without Postern: client and
//! service see the same of both, the connection lives on, and what would have ended it is told.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use postern_e2e::client::http2;
use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::http::Headers;
use postern_e2e::scene::Shareable;
use postern_e2e::scene::stats::Stats;
use postern_e2e::{
    Behaviour, Frame, RawClient, Record, Request, RunningScene, Scene, Served, Shared, Value, json,
};

use crate::row::{Act, Row, Way};
use crate::stage::{self, REVOKED, Stage};
use crate::{connections, every_row, frames, handshakes, times, tokens};

/// Rows that tell nothing of a policy in shadow: their policy and reason, and why.
const NOT_IN_SHADOW: [(&str, &str, &str); 17] = [
    (
        "locked",
        "refusal_rate",
        "a claim that is lacking refuses nobody, so that there is no refusal to count",
    ),
    (
        "unlisted",
        "revocation_unavailable",
        "nobody waits for a list in shadow, and one whose fetch has not failed yet is not missed",
    ),
    ("none", "no_policy", "there is no policy that could be in shadow"),
    ("none", "policy_invalid", "there is no policy that could be in shadow"),
    ("none", "malformed_handshake", "there is no policy that could be in shadow"),
    (
        "offers",
        "policy_invalid",
        "nothing of the request is changed, so that Envoy takes no other route for it",
    ),
    ("asked", "pong_timeout", "nobody is sent a Ping"),
    ("behind", "backlog_exceeded", "what a client has not read is not known of one that is sent no Ping"),
    ("crowded", "global_rate", "the service is not asked"),
    ("loud", "global_rate", "the service is not asked"),
    ("unheard", "rate_limit_unavailable", "the service is not asked"),
    ("untold", "rate_limit_unavailable", "the service is not asked"),
    ("newest", "connection_replaced", "nobody makes way: the newer connection is found to be one too many"),
    ("bears", "handshake_rate", "the same is told of hundreds of handshakes before, each of which is let in"),
    ("drains", "drain", "the policy has to be pushed anew"),
    ("drains", "draining", "the policy has to be pushed anew"),
    ("late", "memory_exceeded", "another connection has to fill the memory meanwhile"),
];

/// Fields that differ from one request to the next.
const VOLATILE: [&str; 3] = ["date", "x-envoy-upstream-service-time", "x-request-id"];

/// The frame by which a service and its client show each other that the connection lives on.
const FAREWELL: &str = "lives on";

static PAIR: Shared<Pair> = Shared::new(observed);

/// An Envoy whose policies are all in shadow, and one without Postern.
struct Pair {
    shadowed: Stage,
    bare: RunningScene,
}

impl Shareable for Pair {
    async fn start(scene: fn() -> Scene) -> Self {
        let shadowed = Stage::start(scene).await;
        // Nobody waits for the list in shadow. When it is fetched the second time, all workers have it from the first.
        let list = [("source", "revocation"), ("path", REVOKED), ("result", "good")];
        shadowed.scene.envoy().growth("postern_fetches", &list).await.reaches(2.0).await;
        let bare = scene().cluster("auth", shadowed.documents.address()).bare().start().await;
        Self { shadowed, bare }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.shadowed.scene, &self.bare]
    }
}

/// The scene of the tables with all policies in shadow. Its services say nothing but what a row has them say.
fn observed() -> Scene {
    let in_shadow = |policy: &mut Value| policy["mode"] = json!("shadow");
    stage::scene().upstream("/ws/", Behaviour::Silent).configured(move |document| {
        document["policies"].as_object_mut().expect("an object").values_mut().for_each(in_shadow);
    })
}

/// The things that client and service saw of a row.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    status: u16,
    answer: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    /// The request as it reached the service.
    request: Vec<(String, Vec<u8>)>,
    target: String,
    /// The bytes of the service as the client saw them.
    heard: Vec<u8>,
}

fn without_volatile(headers: &Headers) -> Vec<(String, Vec<u8>)> {
    let stays = |(name, _): &&(String, Vec<u8>)| !VOLATILE.contains(&name.to_ascii_lowercase().as_str());
    headers.0.iter().filter(stays).cloned().collect()
}

/// Returns the bytes behind the head of a request.
fn body_of(request: &Request) -> Vec<u8> {
    let bytes = request.bytes();
    let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n").expect("the end of a head");
    bytes[end + 4..].to_vec()
}

fn excuse(row: &Row) -> Option<&'static str> {
    let of_row = |(policy, reason, _): &&(&str, &str, _)| *policy == row.policy && *reason == row.reason;
    NOT_IN_SHADOW.iter().find(of_row).map(|(_, _, why)| *why)
}

impl Row {
    /// Asserts that shadow changes nothing, and that the row's reason is told of it.
    async fn assert_observed(&self, pair: &Pair) {
        let [mut before, mut before_bare] = [pair.shadowed.scene.connect().await, pair.bare.connect().await];
        if let Some((request, _)) = &self.before {
            let status = before_bare.ask(request).await.status;
            assert_eq!(before.ask(request).await.status, status, "{}: before", self.name);
        }
        let seen = self.play(&pair.shadowed.scene, Some(&pair.shadowed)).await;
        let alone = self.play(&pair.bare, None).await;
        assert_eq!(seen, alone, "{}: {}", self.name, self.reason);
    }

    /// Provokes the row. With a stage whose policies are in shadow, what is found is waited for before client and service
    /// have their last words.
    async fn play(&self, scene: &RunningScene, shadowed: Option<&Stage>) -> Seen {
        let mut client = scene.connect().await;
        client.show_heartbeats();
        let response = client.ask(&self.request).await;
        let record = scene.record(&client).await;
        let mut heard = Vec::new();
        if response.status == 101 {
            let sent = self.act(&mut client, &record, shadowed).await;
            self.await_finding(&mut client, &record, shadowed).await;
            heard = self.last_words(&mut client, &record, sent).await;
        } else {
            self.await_finding(&mut client, &record, shadowed).await;
        }
        let case = client.case().to_owned();
        drop(client);
        if shadowed.is_some() {
            let line = scene.access_line(&case).await;
            assert_eq!(line["reason"], format!("shadow:{}", self.reason), "{}: access log", self.name);
        }
        Seen {
            status: response.status,
            answer: without_volatile(&response.headers),
            body: response.body,
            request: without_volatile(&record.head.headers),
            target: record.head.target.clone(),
            heard,
        }
    }

    /// Does what the row says, and returns what the client has sent.
    async fn act(&self, client: &mut RawClient, record: &Record, shadowed: Option<&Stage>) -> Vec<u8> {
        match &self.act {
            Act::Sends(bytes) => {
                client.send(bytes).await;
                return bytes.clone();
            }
            Act::Hears(bytes) | Act::HearsUnfinished(bytes) => record.send(bytes),
            Act::IsRevoked(id) => {
                if let Some(stage) = shadowed {
                    stage.documents.serve(REVOKED, Served::Document(json!({"jti": ["gone", id]})));
                }
            }
            Act::Asks | Act::Waits => {}
            act => panic!("{}: {act:?} has an assertion of its own", self.name),
        }
        Vec::new()
    }

    /// Waits for the line of the log that tells what was found of a request, if it is in shadow.
    async fn await_finding(&self, client: &mut RawClient, record: &Record, shadowed: Option<&Stage>) {
        let Some(stage) = shadowed else { return };
        let Self { name, policy, reason, .. } = self;
        let told = self.told_in_shadow();
        let id = record.header("x-request-id").unwrap_or_else(|| panic!("{name}: no request id"));
        let part = format!(" postern: shadow policy={policy} reason={reason} request={id} ");
        let lines = match self.act {
            // A client that says something now and then is not the silent one.
            Act::HearsUnfinished(_) => loop {
                let lines = stage.scene.envoy().log_lines_with(&part);
                if !lines.is_empty() {
                    break lines;
                }
                client.send(Frame::pong("").masked().bytes()).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            },
            _ => stage.scene.envoy().logged(&part).await,
        };
        // A token may lack more than one claim that is required.
        let of_row = lines.iter().filter(|line| line.contains(&format!("{told} address="))).count();
        let is_told = of_row == 1 && (lines.len() == 1 || *reason == "claims_denied");
        assert!(is_told, "{name}:\n  {lines:?} instead of\n  {part}{told}");
    }

    /// Has client and service say something more, asserts that the service saw every byte of the client's and none of
    /// Postern's, and returns what the client heard.
    async fn last_words(&self, client: &mut RawClient, record: &Record, mut sent: Vec<u8>) -> Vec<u8> {
        let farewell = Frame::text(FAREWELL).masked().bytes();
        client.send(&farewell).await;
        if self.name == "protocol" {
            // To a service that agrees to another protocol than was asked for Envoy itself lets nothing through.
            tokio::time::sleep(Duration::from_millis(300)).await;
            return record.bytes();
        }
        sent.extend(&farewell);
        let all = || Some(record.bytes()).filter(|bytes| bytes.ends_with(&farewell));
        let arrived = eventually(PATIENCE, &format!("{}: the client's last words", self.name), all).await;
        assert_eq!(record.heartbeats(), [], "{}", self.name);
        if !matches!(self.act, Act::HearsUnfinished(_)) {
            assert_eq!(arrived, [body_of(&self.request), sent].concat(), "{}", self.name);
        }
        let farewell = Frame::binary(FAREWELL).bytes();
        record.send(&farewell);
        let mut heard = Vec::new();
        while !heard.ends_with(&farewell) {
            heard.extend(client.bytes(1).await.unwrap_or_else(|end| panic!("{}: {end:?}", self.name)));
        }
        heard
    }

    /// Returns the line of the log from `rule=` on.
    fn told_in_shadow(&self) -> String {
        // What is wrong with a token that could be used again is all that `single_use` asks of it.
        let by_single_use = self.policy == "once" && self.name == "no token id";
        if by_single_use {
            self.told.replace("rule=auth ", "rule=auth.single_use ")
        } else {
            self.told.clone()
        }
    }

    /// Returns the rule that the line of the log names.
    fn rule(&self) -> String {
        let told = self.told_in_shadow();
        told.trim_start_matches("rule=").split(' ').next().unwrap_or_default().to_owned()
    }

    /// Asserts that what was found has been counted.
    async fn assert_counted(&self, stats: &Stats) {
        let labels = [("policy", &*self.policy), ("reason", self.reason)];
        let rule = self.rule();
        let rule = [("rule", rule.as_str()), ("mode", "shadow")];
        let found = stats.sum("postern_violations", &[&labels[..], &rule].concat());
        assert!(found >= 1.0, "{}: not among the violations", self.name);
        let is_agreed_on = self.way() == Way::Refuses && !matches!(self.act, Act::SendsEarly(_));
        if is_agreed_on && self.reason != "upgrade_required" {
            let handshakes =
                stats.sum("postern_handshakes", &[&labels[..], &[("result", "shadow")]].concat());
            assert!(handshakes >= 1.0, "{}: not among the handshakes", self.name);
        }
    }
}

/// Asserts all rows at once that tell something in shadow.
async fn assert_all_observed(rows: fn() -> Vec<Row>) {
    let pair = PAIR.shared().await;
    let has_own = |row: &Row| matches!(row.act, Act::SendsEarly(_) | Act::SendsTrailers);
    let rows: Vec<Row> = rows().into_iter().filter(|row| excuse(row).is_none() && !has_own(row)).collect();
    join_all(rows.iter().map(|row| row.assert_observed(&pair))).await;
    let stats = pair.shadowed.scene.envoy().stats().await;
    for row in &rows {
        row.assert_counted(&stats).await;
    }
    assert_eq!(stats.sum("postern_handshakes", &[("result", "refused")]), 0.0, "nobody is refused");
    assert_eq!(stats.sum("postern_closes", &[]), 0.0, "nobody is closed");
}

#[test]
fn a_row_that_is_left_out_in_shadow_says_why_and_is_there() {
    let excused: BTreeSet<_> = NOT_IN_SHADOW.map(|(policy, reason, _)| (policy.to_owned(), reason)).into();
    let rows: BTreeSet<_> = every_row().into_iter().map(|row| (row.policy, row.reason)).collect();
    assert!(excused.is_subset(&rows), "{:?}", excused.difference(&rows));
}

#[tokio::test]
async fn a_handshake_passes_in_shadow_as_without_postern_and_is_told() {
    assert_all_observed(handshakes::rows).await;
}

#[tokio::test]
async fn frames_pass_in_shadow_as_without_postern_and_are_told() {
    assert_all_observed(frames::rows).await;
}

#[tokio::test]
async fn time_ends_nothing_in_shadow_and_is_told() {
    assert_all_observed(times::rows).await;
}

#[tokio::test]
async fn a_token_stays_in_shadow_where_it_is_and_what_is_wrong_with_it_is_told() {
    assert_all_observed(tokens::rows).await;
}

#[tokio::test]
async fn connections_too_many_and_refusals_are_told_in_shadow() {
    assert_all_observed(connections::rows).await;
}

#[tokio::test]
async fn bytes_before_the_answer_go_on_in_shadow_and_are_told() {
    let pair = PAIR.shared().await;
    let rows = handshakes::rows();
    let row = rows.iter().find(|row| matches!(row.act, Act::SendsEarly(_))).expect("a row");
    let Act::SendsEarly(early) = &row.act else { panic!("a row with early bytes") };
    let mut client = pair.shadowed.scene.connect().await;
    client.send([&row.request.bytes(), &early[..]].concat()).await;
    let part = format!(" postern: shadow policy={} reason={} request=", row.policy, row.reason);
    let lines = pair.shadowed.scene.envoy().logged(&part).await;
    assert!(lines.len() == 1 && lines[0].contains(&row.told), "{lines:?}");
    assert!(client.receives_nothing_for(Duration::from_millis(200)).await, "nobody answers");
    drop(client);
    let line = pair.shadowed.scene.access_line(row.request.case()).await;
    assert_eq!(line["reason"], format!("shadow:{}", row.reason));
}

#[tokio::test]
async fn a_websocket_over_http2_passes_in_shadow_as_without_postern_and_its_trailers_are_told() {
    let pair = PAIR.shared().await;
    let case = "shadow-trailers";
    let said = Frame::text("hello").masked().bytes();
    let (mut seen, mut ids) = (Vec::new(), Vec::new());
    for scene in [&pair.bare, &pair.shadowed.scene] {
        let mut connection = scene.connect_http2().await;
        let request = http2::handshake("/ws/plain", case).header("x-user-id", "mallory");
        let (response, mut stream) = http2::open(&mut connection, request).await;
        let record = scene.upstream().record(case).await;
        let mut answer = response.headers().clone();
        VOLATILE.iter().for_each(|name| drop(answer.remove(*name)));
        seen.push((response.status(), answer, without_volatile(&record.head.headers)));
        stream.send_data(said.clone().into(), false).expect("an open stream");
        assert_eq!(record.bytes_when(said.len()).await, said);
        let answer = Frame::text("hello").bytes();
        record.send(&answer);
        let mut body = response.into_body();
        assert_eq!(http2::read(&mut body, answer.len()).await, answer);
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-trailer", "1".parse().expect("a value"));
        stream.send_trailers(trailers).expect("an open stream");
        let id = record.header("x-request-id").expect("a request id");
        ids.push((id, body, connection));
    }
    assert_eq!(seen[0], seen[1]);
    let (id, body, connection) = ids.pop().expect("two");
    let part = format!(" postern: shadow policy=plain reason=protocol_error request={id} ");
    pair.shadowed.scene.envoy().logged(&part).await;
    drop((body, connection));
    let line = pair.shadowed.scene.access_line(case).await;
    assert_eq!(line["reason"], "shadow:protocol_error");
}
