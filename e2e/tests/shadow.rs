//! Rules in shadow beside others on one Envoy, a policy that is pushed out of shadow, and clients that try what a policy in
//! shadow would have held, waited for or cut.

use std::sync::LazyLock;
use std::time::Duration;

use postern_e2e::client::csrf::CSRF_SECRET;
use postern_e2e::client::token::{edge_claims, jwks, tampered};
use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::frames::{deflated, opcode};
use postern_e2e::scene::{Shareable, document};
use postern_e2e::{
    Answer, Behaviour, Documents, Frame, Pushed, RawClient, Record, Request, RunningScene, Scene, Served,
    Shared, Signer, Value, json,
};

const SECOND: Duration = Duration::from_secs(1);
const ISSUER: &str = "https://auth.example.com/";
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";

/// The length of a message that a policy in shadow must not come to hold.
const HUGE: usize = 1 << 20;

/// The memory that a connection in shadow may take while such messages pass, in bytes.
const LITTLE: f64 = 256.0 * 1024.0;

/// The key of the issuers that are asked for theirs.
static KEY: LazyLock<Signer> = LazyLock::new(|| Signer::es256("a"));

static STAGE: Shared<Stage> = Shared::new(scene);

/// The scene, and the server that it fetches keys from.
struct Stage {
    scene: RunningScene,
    documents: Documents,
}

impl Shareable for Stage {
    async fn start(scene: fn() -> Scene) -> Self {
        let documents = Documents::start().await;
        documents.serve("/never", Served::Silence);
        let scene = scene().cluster("auth", documents.address()).start().await;
        Self { scene, documents }
    }

    fn scenes(&self) -> Vec<&RunningScene> {
        vec![&self.scene]
    }
}

fn scene() -> Scene {
    let agrees = Answer::switching().header(EXTENSIONS, "permessage-deflate");
    Scene::new()
        .document(configuration("shadow"))
        .discovered()
        .plaintext()
        .upstream("/ws/bounds/deflates", Behaviour::Answer(agrees.clone()))
        .upstream("/ws/lifted/deflates", Behaviour::Answer(agrees))
        .upstream("/ws/mixed/declines", Behaviour::Answer(Answer::status(403, "no")))
        .upstream("/ws/bounds", Behaviour::Silent)
        .upstream("/ws/lifted", Behaviour::Silent)
        .upstream("/ws/turns", Behaviour::Silent)
        .upstream("/ws/first", Behaviour::Silent)
        .upstream("/ws/slow", Behaviour::Silent)
        .change_connection_manager(|hcm| {
            let route = |prefix: &str, metadata: Value| {
                json!({
                    "match": {"prefix": prefix},
                    "route": {"cluster": "service", "timeout": "0s"},
                    "metadata": {"filter_metadata": {"postern": metadata}},
                })
            };
            let routes = hcm["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes");
            let annotated = [
                route("/ws/strict/origins", json!({"policy": "strict", "shadow": ["origins"]})),
                route("/ws/strict/whole", json!({"policy": "strict", "mode": "shadow"})),
            ];
            routes.splice(0..0, annotated);
        })
}

/// The whole document, with this mode of the policy `turns`.
fn configuration(mode: &str) -> Value {
    let pages = json!({"allow": ["https://app.example.com"], "missing": "deny"});
    let small = json!({"max_frame_bytes": 1024, "max_message_bytes": 1024, "max_fragments": 2});
    let bounds = json!(["messages.max_frame_bytes", "messages.max_message_bytes", "messages.max_fragments"]);
    let mut read = small.clone();
    read["max_json_depth"] = json!(4);
    let few = json!([{"count": "messages", "per": "connection", "limit": 2, "window": "1h"}]);
    let fetched = |path: &str| {
        let uri = format!("https://auth.example.com{path}");
        let remote = json!({"cluster": "auth", "uri": uri, "timeout": "10s"});
        json!({"issuer": format!("{ISSUER}{}", &path[1..]), "audiences": ["chat"], "jwks": {"remote": remote}})
    };
    let providers = json!({
        "edge": {
            "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
            "secret": {"env": "POSTERN_EDGE_SECRET"},
        },
        "slow": fetched("/slow"),
        "never": fetched("/never"),
    });
    let by_header = json!([{"header": "authorization"}]);
    let issuing = json!({
        "secret": {"inline": CSRF_SECRET}, "session_cookie": "sid", "from": {"query": "t"},
        "issue": {"cookie": "__Host-csrf"},
    });
    let mut whole = document(
        providers,
        json!({
            "mixed": {
                "origins": pages, "rates": few,
                "messages": {"max_frame_bytes": 64, "schema": {"type": "object"}},
                "shadow": ["origins", "messages.schema", "rates[0]"],
            },
            "chooses": {"origins": pages, "subprotocols": {"require": true}, "shadow": ["origins"]},
            "strict": {"origins": pages},
            "turns": {"mode": mode, "messages": {"types": ["text"]}},
            "bounds": {"mode": "shadow", "compression": "inspect", "messages": read},
            "lifted": {"compression": "inspect", "messages": read, "shadow": bounds},
            "slow": {
                "mode": "shadow", "auth": {"providers": ["slow"], "from": by_header},
                "messages": {"max_json_depth": 4},
            },
            "never": {"mode": "shadow", "auth": {"providers": ["never"], "from": by_header}},
            "first": {"mode": "shadow", "auth": {
                "providers": ["edge", "never"], "from": [{"first_message": "/token"}],
                "first_message_timeout": "1h",
            }},
            "issues": {"mode": "shadow", "csrf": issuing},
        }),
    );
    whole["log"] = json!({"refusals_per_second": 1000});
    whole
}

/// Returns what the log tells of a request: each line from its verb on, without what names the request.
fn told(scene: &RunningScene, record: &Record) -> Vec<String> {
    let id = format!(" request={} ", record.header("x-request-id").expect("a request id"));
    let lines = scene.envoy().log_lines_with(&id).into_iter();
    let of_line = |line: String| {
        let (_, told) = line.rsplit_once("postern: ").expect("a line of Postern's");
        let mut words =
            told.split(' ').filter(|word| !word.starts_with("policy=") && !word.starts_with("request="));
        [words.next(), words.next(), words.next()].map(Option::unwrap_or_default).join(" ")
    };
    lines.map(of_line).collect()
}

/// Waits until the log tells exactly this of a request.
async fn assert_told(scene: &RunningScene, record: &Record, expected: &[&str]) {
    let look = || Some(told(scene, record)).filter(|told| told.len() >= expected.len());
    let found = eventually(PATIENCE, &format!("{expected:?} in the log"), look).await;
    assert_eq!(found, expected);
}

async fn reason_of(scene: &RunningScene, client: RawClient) -> Value {
    let case = client.case().to_owned();
    drop(client);
    scene.access_line(&case).await["reason"].clone()
}

/// Returns the token of an issuer whose keys are under this path.
fn token_of(path: &str) -> String {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(format!("{ISSUER}{path}"));
    KEY.mint(&claims)
}

#[tokio::test]
async fn rules_in_shadow_are_told_once_and_the_others_still_refuse_and_close() {
    let stage = STAGE.shared().await;
    let scene = &stage.scene;
    let mut client = scene.open("/ws/mixed").await;
    let record = scene.record(&client).await;
    for _ in 0..5 {
        client.send(Frame::text("7").masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(Frame::text("7")));
    }
    let found = [
        "shadow reason=origin_missing rule=origins",
        "shadow reason=schema_violation rule=messages.schema",
        "shadow reason=message_rate rule=rates[0]",
    ];
    assert_told(scene, &record, &found).await;
    client.send(Frame::binary([0; 65]).masked().bytes()).await;
    let close = client.close().await;
    assert_eq!((close.code(), &*close.reason()), (Some(1009), "frame_too_big"));
    let closed = "closed reason=frame_too_big rule=messages.max_frame_bytes";
    assert_told(scene, &record, &[&found[..], &[closed]].concat()).await;
    assert_eq!(reason_of(scene, client).await, "frame_too_big", "what was enforced takes the place");

    // One that breaks nothing else lives on, and the access log has the first of what was found.
    let mut client = scene.open("/ws/mixed").await;
    client.send(Frame::text("7").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("7")));
    assert_eq!(reason_of(scene, client).await, "shadow:origin_missing");

    let request = Request::upgrade("/ws/chooses");
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (403, Some("subprotocol_denied")));
    assert_eq!(scene.access_line(request.case()).await["reason"], "subprotocol_denied");

    let request = Request::upgrade("/ws/mixed/declines");
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.text().as_str()), (403, "no"), "the service's own answer");
    assert_eq!(scene.access_line(request.case()).await["reason"], "shadow:origin_missing");

    let stats = scene.envoy().stats().await;
    for (rule, reason, times) in [
        ("origins", "origin_missing", 3.0),
        ("messages.schema", "schema_violation", 2.0),
        ("rates[0]", "message_rate", 1.0),
    ] {
        let labels = [("policy", "mixed"), ("rule", rule), ("reason", reason), ("mode", "shadow")];
        assert_eq!(stats.sum("postern_violations", &labels), times, "{rule}");
    }
    let handshakes = [("policy", "mixed"), ("result", "shadow"), ("reason", "origin_missing")];
    assert_eq!(stats.sum("postern_handshakes", &handshakes), 2.0, "those that the service agreed to");
}

#[tokio::test]
async fn a_routes_metadata_put_a_rule_or_the_whole_policy_in_shadow() {
    let stage = STAGE.shared().await;
    let scene = &stage.scene;
    assert_eq!(scene.ask(&Request::upgrade("/ws/strict")).await.reason().as_deref(), Some("origin_missing"));
    for path in ["/ws/strict/origins", "/ws/strict/whole"] {
        let client = scene.open(path).await;
        assert_eq!(reason_of(scene, client).await, "shadow:origin_missing", "{path}");
    }
    let unmasked = Frame::text("x").bytes();
    let mut client = scene.open("/ws/strict/origins").await;
    client.send(&unmasked).await;
    assert_eq!(client.close().await.reason(), "protocol_error", "the rest is enforced");
    let mut client = scene.open("/ws/strict/whole").await;
    client.send(&unmasked).await;
    assert_eq!(client.frame().await, Ok(Frame::text("x")), "nothing is");
}

#[tokio::test]
async fn a_policy_that_is_pushed_out_of_shadow_judges_new_connections_and_lets_open_ones_be() {
    let mut stage = STAGE.alone().await;
    let frame = Frame::binary("x").masked().bytes();
    let mut open = stage.scene.open("/ws/turns").await;
    let record = stage.scene.record(&open).await;
    open.send(&frame).await;
    assert_eq!(record.bytes_when(frame.len()).await, frame);
    assert_told(&stage.scene, &record, &["shadow reason=type_denied rule=messages.types"]).await;

    assert_eq!(stage.scene.push_document(configuration("enforce")).await, Pushed::Taken);
    let mut new = stage.scene.open("/ws/turns").await;
    new.send(&frame).await;
    assert_eq!(new.close().await.reason(), "type_denied");
    open.send(&frame).await;
    assert_eq!(record.bytes_when(2 * frame.len()).await, frame.repeat(2), "it began in shadow");
    assert_eq!(reason_of(&stage.scene, open).await, "shadow:type_denied");

    assert_eq!(stage.scene.push_document(configuration("shadow")).await, Pushed::Taken);
    let mut back = stage.scene.open("/ws/turns").await;
    let record = stage.scene.record(&back).await;
    back.send(&frame).await;
    assert_eq!(record.bytes_when(frame.len()).await, frame);
}

#[tokio::test]
async fn nothing_waits_in_shadow_for_keys_that_do_not_come_nor_for_the_end_of_a_text() {
    let stage = STAGE.shared().await;
    let scene = &stage.scene;
    let bearing =
        |path: &str, token: &str| Request::upgrade(path).header("Authorization", format!("Bearer {token}"));
    let held = stage.documents.serve_held("/slow", Served::Document(jwks(&[&KEY])));
    let sound = bearing("/ws/slow", &token_of("slow"));
    let forged = bearing("/ws/slow", &tampered::signature(&token_of("slow")));
    let mut clients = Vec::new();
    for request in [sound, forged] {
        let mut client = scene.connect().await;
        let response =
            tokio::time::timeout(5 * SECOND, client.ask(&request)).await.expect("no wait for keys");
        assert_eq!(response.status, 101);
        let record = scene.record(&client).await;
        assert_eq!(
            record.header("authorization").as_deref().map(str::as_bytes),
            request.value("Authorization")
        );
        let text = Frame::text(&format!("\"{}\"", "a".repeat(500))).masked().bytes();
        let (half, rest) = text.split_at(300);
        client.send(half).await;
        assert_eq!(record.bytes_when(half.len()).await, half, "half a text is at the service");
        client.send(rest).await;
        assert_eq!(record.bytes_when(text.len()).await, text);
        let greeting = Frame::text("hello").bytes();
        record.send(&greeting);
        assert_eq!(client.frame().await, Ok(Frame::text("hello")));
        assert_eq!(told(scene, &record), [""; 0], "it cannot be known yet");
        clients.push((client, record));
    }
    held.release();
    let (forged, record) = clients.pop().expect("two clients");
    assert_told(scene, &record, &["shadow reason=token_invalid rule=auth"]).await;
    assert_eq!(reason_of(scene, forged).await, "shadow:token_invalid");
    let (sound, _) = clients.pop().expect("one client");
    assert_eq!(reason_of(scene, sound).await, Value::Null);
    scene.envoy().stat_becomes("postern_handshakes", &[("policy", "slow"), ("result", "allowed")], 1.0).await;
    scene.envoy().stat_becomes("postern_handshakes", &[("policy", "slow"), ("result", "shadow")], 1.0).await;
}

#[tokio::test]
async fn a_first_message_goes_up_in_shadow_as_it_was_sent_and_the_service_need_not_wait_for_it() {
    let stage = STAGE.shared().await;
    let scene = &stage.scene;
    let message = |token: &str| Frame::text(&json!({ "token": token }).to_string()).masked().bytes();
    let cases = [
        (message(&Signer::edge().mint(&edge_claims("alice"))), None),
        (Frame::text("no token").masked().bytes(), Some("shadow:token_missing")),
        // Its keys are still being fetched when the client goes.
        (message(&token_of("never")), None),
    ];
    for (first, expected) in cases {
        let mut client = scene.open("/ws/first").await;
        client.show_heartbeats();
        let record = scene.record(&client).await;
        record.send(Frame::text("welcome").bytes());
        assert_eq!(client.frame().await, Ok(Frame::text("welcome")), "before anybody is authenticated");
        let behind = Frame::text("behind").masked().bytes();
        client.send([&first[..], &behind].concat()).await;
        let sent = [&first[..], &behind].concat();
        assert_eq!(record.bytes_when(sent.len()).await, sent);
        record.send(Frame::text("go on").bytes());
        assert_eq!(client.frame().await, Ok(Frame::text("go on")));
        assert_eq!(reason_of(scene, client).await, json!(expected));
    }
}

#[tokio::test]
async fn what_is_beyond_its_bounds_passes_in_shadow_and_takes_no_memory() {
    let stage = STAGE.shared().await;
    let scene = &stage.scene;
    let text = "a".repeat(HUGE);
    let mut fragments = Frame::text(&text[..1000]).unfinished().masked().bytes();
    for part in text.as_bytes()[1000..].chunks(1000) {
        fragments.extend(Frame::continuation(part).unfinished().masked().bytes());
    }
    fragments.extend(Frame::continuation("").masked().bytes());
    let bomb = Frame::new(opcode::TEXT, deflated(text.as_bytes())).rsv(4).masked().bytes();
    let plain = [Frame::text(&text).masked().bytes(), fragments].concat();
    let cases = [
        ("/ws/bounds", plain.clone()),
        ("/ws/lifted", plain),
        ("/ws/bounds/deflates", bomb.repeat(50)),
        ("/ws/lifted/deflates", bomb.repeat(50)),
    ];
    for (path, sent) in cases {
        let request = Request::upgrade(path).header(EXTENSIONS, "permessage-deflate");
        let mut client = scene.open_with(&request).await;
        let record = scene.record(&client).await;
        let mut most: f64 = 0.0;
        for part in sent.chunks(sent.len() / 4 + 1) {
            client.send(part).await;
            most = most.max(scene.envoy().stats().await.sum("postern_held_bytes", &[]));
        }
        let arrived = record.bytes_when(sent.len()).await;
        assert!(arrived == sent, "{path}: {} bytes of {}", arrived.len(), sent.len());
        assert!(most < LITTLE, "{path}: {most} bytes were held");
        let reason = reason_of(scene, client).await;
        let reason = reason.as_str().unwrap_or_default();
        assert!(["shadow:frame_too_big", "shadow:message_too_big"].contains(&reason), "{path}: {reason}");
    }
}

#[tokio::test]
async fn a_page_is_given_no_csrf_token_in_shadow() {
    let stage = STAGE.shared().await;
    let request = Request::get("/ws/issues").header("Cookie", "sid=abc").header("Accept", "text/html");
    let response = stage.scene.ask(&request).await;
    assert_eq!((response.status, response.headers.all("set-cookie").len()), (200, 0));
}

#[tokio::test]
async fn clients_that_are_gone_at_any_point_leave_nothing_behind() {
    let stage = STAGE.alone().await;
    let scene = &stage.scene;
    for (path, token) in
        [("/ws/never", token_of("never")), ("/ws/first", token_of("never")), ("/ws/bounds", String::new())]
    {
        let request = Request::upgrade(path).header("Authorization", format!("Bearer {token}"));
        let first = Frame::text(&json!({ "token": token }).to_string()).masked().bytes();
        let behind = Frame::new(opcode::TEXT, "\"half").masked().bytes();
        let sent = [&first[..], &behind[..behind.len() - 2]].concat();
        for len in [0, 1, first.len() / 2, first.len(), sent.len()] {
            let mut client = scene.connect().await;
            assert_eq!(client.ask(&request).await.status, 101, "{path}");
            client.send(&sent[..len]).await;
            drop(client);
            // Another that does not wait for the answer.
            let mut client = scene.connect().await;
            client.send([&request.bytes(), &sent[..len]].concat()).await;
        }
    }
    for gauge in ["postern_connections", "postern_held_bytes", "postern_connections_out_of_reach"] {
        scene.envoy().stat_becomes(gauge, &[], 0.0).await;
    }
}
