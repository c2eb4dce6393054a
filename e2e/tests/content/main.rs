//! What messages may say: every row of `verdicts.json` on a real Envoy, each message whole, in fragments of one byte, behind
//! Pings and compressed.

mod pushed;

use postern_e2e::client::token::edge_claims;
use postern_e2e::frames::{deflated, opcode};
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Behaviour, Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, Value, json,
};

const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// A message, and what becomes of it.
struct Row {
    what: String,
    policy: String,
    role: Option<String>,
    is_upstreams: bool,
    message: String,
    refusal: Option<Refusal>,
}

/// What a refused message's connection ends with.
struct Refusal {
    code: u16,
    reason: String,
    rule: String,
    cause: String,
}

fn rows() -> Vec<Row> {
    let rows: Vec<Value> = serde_json::from_str(include_str!("verdicts.json")).expect("JSON");
    let text = |row: &Value, key: &str| row[key].as_str().map(str::to_owned);
    rows.iter()
        .map(|row| Row {
            what: text(row, "what").expect("a text"),
            policy: text(row, "policy").expect("a text"),
            role: text(row, "role"),
            is_upstreams: row["from"] == "upstream",
            message: text(row, "message").expect("a text"),
            refusal: text(row, "reason").map(|reason| Refusal {
                code: u16::try_from(row["code"].as_u64().expect("a code")).expect("a code"),
                reason,
                rule: text(row, "rule").expect("a text"),
                cause: text(row, "cause").expect("a text"),
            }),
        })
        .collect()
}

/// The ways in which a message may come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Whole,
    /// In fragments of one byte, with a Ping behind each.
    Dripping,
    BehindPing,
    Compressed,
}

impl Way {
    /// The frames of a message of either side.
    fn frames(self, message: &[u8]) -> Vec<Frame> {
        match self {
            Self::Whole => vec![Frame::new(opcode::TEXT, message)],
            Self::BehindPing => vec![Frame::ping("ahead"), Frame::new(opcode::TEXT, message)],
            Self::Compressed => vec![Frame::new(opcode::TEXT, deflated(message)).rsv(4)],
            Self::Dripping if message.is_empty() => vec![Frame::new(opcode::TEXT, message)],
            Self::Dripping => {
                let last = message.len() - 1;
                let fragment = |(at, byte): (usize, &u8)| {
                    let opcode = if at == 0 { opcode::TEXT } else { opcode::CONTINUATION };
                    let frame = Frame::new(opcode, vec![*byte]);
                    [if at == last { frame } else { frame.unfinished() }, Frame::ping("between")]
                };
                message.iter().enumerate().flat_map(fragment).collect()
            }
        }
    }

    fn bytes(self, message: &[u8], is_masked: bool) -> Vec<u8> {
        let of = |frame: Frame| if is_masked { frame.masked().bytes() } else { frame.bytes() };
        self.frames(message).into_iter().flat_map(of).collect()
    }
}

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let policy = |changes: Value| {
        let mut policy = json!({"compression": "inspect", "rates": [], "liveness": {"close_timeout": "1s"}});
        policy.as_object_mut().expect("an object").extend(changes.as_object().expect("an object").clone());
        policy
    };
    let allow = json!([
        {"when": {"/type": "kick"}, "require": [{"claim": "role", "one_of": ["moderator"]}]},
        {"when": {"/type": "kick", "/all": true}, "require": [{"claim": "sub", "one_of": ["bob"]}]},
    ]);
    let mut open_kinds = kinds();
    open_kinds["other"] = json!("allow");
    let level = json!({"properties": {"a": {"$ref": "#"}}});
    let policies = json!({
        "depth": policy(json!({"messages": {"max_json_depth": 2}})),
        "allow": policy(json!({
            "auth": {"providers": ["edge"], "from": [{"header": "authorization"}], "refresh": "/token"},
            "messages": {"allow": allow},
        })),
        "told": policy(json!({"upstream_messages": {"max_json_depth": 1}})),
        "dropped": policy(json!({
            "messages": {"max_json_depth": 1, "on_violation": "drop"},
            "upstream_messages": {"max_json_depth": 1, "on_violation": "drop"},
        })),
        "schema": policy(json!({"messages": {"schema": say()}})),
        "kinds": policy(json!({"messages": {"schemas": kinds()}})),
        "open-kinds": policy(json!({"messages": {"schemas": open_kinds}})),
        "answers": policy(json!({"upstream_messages": {"schema": {
            "allOf": [{"properties": {"price": {"type": "number"}}}], "unevaluatedProperties": false,
        }}})),
        // Each level of a message is judged twice by the level above it.
        "recursive": policy(json!({"messages": {"max_fragments": 4096, "schema": {"allOf": [level, level]}}})),
        "deep": policy(json!({"messages": {
            "max_fragments": 4096,
            "max_json_depth": 126,
            "schema": {"allOf": [{"anyOf": [{"properties": {"a": {"$ref": "#"}}}]}]},
        }})),
        "tunnels": policy(json!({})),
        "passed": policy(json!({"messages": {"tunnels": "pass"}})),
    });
    let mut whole = document(json!({"edge": edge}), policies);
    // As many lines as these tests may cause in a second.
    whole["log"] = json!({"refusals_per_second": 10_000});
    let agrees = Answer::switching().header(EXTENSIONS, "permessage-deflate; client_no_context_takeover");
    Scene::new()
        .document(whole)
        .upstream("/ws/dropped", Behaviour::Echo)
        .upstream("/ws/", Behaviour::Answer(agrees))
}

/// A schema for one kind of message.
fn say() -> Value {
    json!({
        "type": "object",
        "properties": {
            "type": {"enum": ["say", "join"]},
            "text": {"type": "string", "maxLength": 5, "pattern": "^[^<>]*$"},
            "n": {"type": "integer"},
        },
        "required": ["type"],
        "additionalProperties": false,
    })
}

/// Schemas by the kind of the message.
fn kinds() -> Value {
    json!({"by": "/type", "each": {"say": {"required": ["text"]}, "join": true}})
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

async fn open(scene: &RunningScene, row: &Row) -> RawClient {
    let mut request =
        Request::upgrade(&format!("/ws/{}", row.policy)).header(EXTENSIONS, "permessage-deflate");
    if let Some(role) = &row.role {
        request = request.header("Authorization", format!("Bearer {}", token(role)));
    }
    scene.open_with(&request).await
}

fn token(role: &str) -> String {
    let mut claims = edge_claims("alice");
    claims["role"] = json!(role);
    Signer::edge().mint(&claims)
}

/// Asserts that the message passes as it is, to whoever it is for.
async fn assert_passes(row: &Row, scene: &RunningScene, way: Way, mut client: RawClient) {
    let name = format!("{} ({way:?})", row.what);
    let record = scene.record(&client).await;
    let sent = way.bytes(row.message.as_bytes(), !row.is_upstreams);
    if row.is_upstreams {
        record.send(&sent);
        let seen = client.bytes(sent.len()).await.unwrap_or_else(|end| panic!("{name}: {end:?}"));
        assert_eq!(without_pings(&seen), without_pings(&sent), "{name}");
    } else {
        client.send(&sent).await;
        assert_eq!(without_pings(&record.bytes_when(sent.len()).await), without_pings(&sent), "{name}");
    }
}

/// The frames that are no Pings: those may go ahead of what is being read.
fn without_pings(bytes: &[u8]) -> Vec<Frame> {
    let (frames, rest) = Frame::parse_all(bytes);
    assert!(rest.is_empty(), "whole frames");
    frames.into_iter().filter(|frame| frame.opcode != opcode::PING).collect()
}

/// Asserts that nothing of the message passes, and that both sides, the access log and the log are told why.
async fn assert_refused(row: &Row, refusal: &Refusal, scene: &RunningScene, way: Way, mut client: RawClient) {
    let name = format!("{} ({way:?})", row.what);
    let record = scene.record(&client).await;
    let sent = way.bytes(row.message.as_bytes(), !row.is_upstreams);
    let side = if row.is_upstreams { "upstream" } else { "client" };
    if row.is_upstreams {
        record.send(&sent);
    } else {
        client.send(&sent).await;
    }
    let (seen, end) = client.frames_to_close().await;
    let (close, ahead) = seen.split_last().unwrap_or_else(|| panic!("{name}: no Close but {end:?}"));
    assert_eq!((close.code(), close.reason()), (Some(refusal.code), refusal.reason.clone()), "{name}");
    let up = record.close().await;
    assert_eq!((up.code(), up.reason()), (Some(refusal.code), refusal.reason.clone()), "{name}");
    let of_upstream = record.frames();
    let passed = if row.is_upstreams { ahead.iter() } else { of_upstream[..of_upstream.len() - 1].iter() };
    let of_message: Vec<&Frame> = passed.filter(|frame| frame.opcode != opcode::PING).collect();
    // What was said in a frame of its own had gone before it was an opening.
    let may_have_gone = refusal.rule == "messages.tunnels" && way == Way::Dripping;
    let whole = of_message.iter().map(|frame| frame.payload.len()).sum::<usize>() >= row.message.len();
    assert!(of_message.is_empty() || (may_have_gone && !whole), "{name}: {of_message:?} of it passed");
    let case = client.case().to_owned();
    drop(client);
    assert_eq!(scene.access_line(&case).await["reason"], refusal.reason.as_str(), "{name}");
    let told = format!("rule={} side={side} cause=\"{}\"", refusal.rule, refusal.cause);
    let lines = scene.envoy().logged(&told).await;
    let of_policy = format!("policy={} reason={}", row.policy, refusal.reason);
    assert!(lines.iter().any(|line| line.contains(&of_policy)), "{name}: {lines:?}");
}

async fn assert_rows(way: Way) {
    let scene = SCENE.shared().await;
    for row in rows() {
        let client = open(&scene, &row).await;
        match &row.refusal {
            None => assert_passes(&row, &scene, way, client).await,
            Some(refusal) => assert_refused(&row, refusal, &scene, way, client).await,
        }
    }
}

#[tokio::test]
async fn whole_messages_are_judged_by_what_they_say() {
    assert_rows(Way::Whole).await;
}

#[tokio::test]
async fn messages_in_fragments_of_a_byte_are_judged_as_whole_ones_are() {
    assert_rows(Way::Dripping).await;
}

#[tokio::test]
async fn messages_behind_pings_are_judged_as_others_are() {
    assert_rows(Way::BehindPing).await;
}

#[tokio::test]
async fn compressed_messages_are_judged_as_they_read() {
    assert_rows(Way::Compressed).await;
}

#[test]
fn the_table_has_rows_of_both_verdicts_and_both_sides() {
    let rows = rows();
    for (is_refused, is_upstreams) in [(false, false), (false, true), (true, false), (true, true)] {
        let fits = |row: &&Row| row.refusal.is_some() == is_refused && row.is_upstreams == is_upstreams;
        assert!(rows.iter().any(|row| fits(&row)), "refused: {is_refused}, upstream: {is_upstreams}");
    }
}

#[tokio::test]
async fn a_refresh_changes_what_may_be_said_on_the_open_connection() {
    let scene = SCENE.shared().await;
    let bearer = format!("Bearer {}", token("member"));
    let request = Request::upgrade("/ws/allow").header("Authorization", bearer);
    let mut client = scene.open_with(&request.header(EXTENSIONS, "permessage-deflate")).await;
    let kick = Frame::text("{\"type\": \"kick\"}");
    client.send(Frame::text(&json!({"token": token("moderator")}).to_string()).masked().bytes()).await;
    assert!(client.frame().await.expect("an answer").as_text().contains("token_accepted"));
    client.send(kick.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(kick.clone()), "a moderator may");
    client.send(Frame::text(&json!({"token": token("member")}).to_string()).masked().bytes()).await;
    assert!(client.frame().await.expect("an answer").as_text().contains("token_accepted"));
    client.send(kick.masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::closing(3003, "claims_denied")), "a member may not");
}

#[tokio::test]
async fn a_message_that_is_dropped_goes_no_further_and_its_sender_is_told_while_the_connection_goes_on() {
    let scene = SCENE.shared().await;
    let told = Frame::text("{\"postern\":\"message_refused\",\"reason\":\"json_too_deep\"}");
    let [good, bad] = [Frame::text("[1]"), Frame::text("[[1]]")];

    let mut client = scene.open("/ws/dropped").await;
    client.send([bad.clone().masked().bytes(), good.clone().masked().bytes()].concat()).await;
    let answers = [client.frame().await, client.frame().await];
    assert!(answers.contains(&Ok(told.clone())) && answers.contains(&Ok(good.clone())), "{answers:?}");
    let record = scene.record(&client).await;
    assert_eq!(record.messages(), [b"[1]".to_vec()], "nothing of the other went up");

    record.send([bad.bytes(), good.bytes()].concat());
    assert_eq!(client.frame().await, Ok(good));
    let seen = record.frames_when(2).await;
    let answer =
        seen.iter().find(|frame| frame.as_text() == told.as_text()).expect("an answer to the service");
    assert!(answer.mask.is_some(), "masked, as from a client");
}
