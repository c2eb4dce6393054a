//! A WebSocket is judged the same over HTTP/1.1, HTTP/2 (RFC 8441) and HTTP/3 (RFC 9220): the handshake, with answer, access
//! log and log, the frames, and what is counted. One Envoy serves all three.

use postern_e2e::client::http2;
use postern_e2e::client::python;
use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::deadline::{PATIENCE, eventually, within};
use postern_e2e::http::Headers;
use postern_e2e::scene::document;
use postern_e2e::{
    Behaviour, Frame, Request, Response, RunningScene, Scene, Shared, Signer, Value, environment, json,
};

const APP: &str = "https://app.example.com";

/// The name of the listener of HTTP/3.
const QUIC: &str = "quic";

/// The versions of HTTP, in the order in which they are tried.
const VERSIONS: [&str; 3] = ["1.1", "2", "3"];

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = |from: Value| json!({"auth": {"providers": ["edge"], "from": from}});
    let mut bears = auth(json!([{"header": "authorization"}, {"query": "token"}]));
    bears["auth"]["require"] = json!([{"claim": "scope", "contains": "chat"}]);
    let mut first = auth(json!([{"first_message": "/token"}]));
    first["auth"]["first_message_timeout"] = json!("1s");
    let talks = json!([{"count": "messages", "per": "connection", "limit": 1, "window": "1h"}]);
    let seldom = json!([{"count": "handshakes", "per": "policy", "limit": 2, "window": "1h"}]);
    let policies = json!({
        "plain": {"tls": "required"},
        "pages": {"origins": {"allow": [APP], "missing": "deny"}},
        "certified": {"tls": "mutual"},
        "offers": {"subprotocols": {"allow": ["chat.v2"], "require": true}},
        "inflates": {"compression": "inspect"},
        "bears": bears,
        "first": first,
        "small": {"messages": {"types": ["text"], "max_frame_bytes": 8, "max_message_bytes": 12, "max_fragments": 2}},
        "talks": {"rates": talks},
        "seldom": {"rates": seldom},
        "full": {"connections": {"per_ip": 2}},
    });
    let mut whole = document(json!({ "edge": edge }), policies);
    whole["log"] = json!({"refusals_per_second": 1000});
    Scene::new()
        .document(whole)
        .upstream("/ws/small/hears", Behaviour::Chatty(vec![Frame::text("hello").masked().bytes()]))
        .upstream("/ws/talks", Behaviour::Recorder)
        .change(serve_http3)
}

/// Adds a listener of HTTP/3 to the bootstrap, which differs from the first in nothing but the protocol.
fn serve_http3(bootstrap: &mut Value) {
    let listeners = bootstrap["static_resources"]["listeners"].as_array_mut().expect("listeners");
    let mut quic = listeners[0].clone();
    quic["name"] = json!(QUIC);
    quic["address"]["socket_address"]["protocol"] = json!("UDP");
    quic["udp_listener_config"] = json!({"quic_options": {}});
    let chain = &mut quic["filter_chains"][0];
    let mut tls = chain["transport_socket"]["typed_config"].take();
    tls.as_object_mut().expect("a TLS context").remove("@type");
    tls["common_tls_context"]["alpn_protocols"] = json!(["h3"]);
    chain["transport_socket"] = json!({
        "name": "envoy.transport_sockets.quic",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.quic.v3.QuicDownstreamTransport",
            "downstream_tls_context": tls,
        },
    });
    let manager = &mut chain["filters"][0]["typed_config"];
    manager["codec_type"] = json!("HTTP3");
    manager["http3_protocol_options"] = json!({"allow_extended_connect": true});
    listeners.push(quic);
}

/// Returns the port of the listener of HTTP/3.
async fn port_of_http3(scene: &RunningScene) -> u16 {
    let listeners = scene.envoy().ask_admin("/listeners?format=json").await.json();
    let statuses = listeners["listener_statuses"].as_array().expect("listeners");
    let status = statuses.iter().find(|status| status["name"] == QUIC).expect("a listener of HTTP/3");
    let port = status.pointer("/local_address/socket_address/port_value").and_then(Value::as_u64);
    port.and_then(|port| u16::try_from(port).ok()).expect("a port")
}

/// A handshake that every version can make, and bytes that the client sends behind its answer.
struct Visit {
    path: String,
    fields: Vec<(&'static str, String)>,
    sends: Vec<u8>,
    /// The bytes that come on the socket, if one is opened.
    hears: Vec<u8>,
}

impl Visit {
    fn to(path: &str) -> Self {
        let fields = vec![("sec-websocket-version", "13".to_owned())];
        Self { path: path.to_owned(), fields, sends: Vec::new(), hears: Vec::new() }
    }

    fn with(mut self, name: &'static str, value: &str) -> Self {
        self.fields.push((name, value.to_owned()));
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| *other != name);
        self
    }

    fn case(name: &str, version: &str) -> String {
        format!("{} {version}", name.replace(' ', "-"))
    }

    async fn over_http1(&self, scene: &RunningScene, case: &str) -> Response {
        let mut request = Request::upgrade(&self.path).without("sec-websocket-version").set("x-case", case);
        for (name, value) in &self.fields {
            request = request.header(name, value);
        }
        let mut client = scene.connect().await;
        let mut response = client.ask(&request).await;
        if response.status == 101 {
            client.send(&self.sends).await;
            response.body = match client.bytes(self.hears.len()).await {
                Ok(bytes) => bytes,
                Err(_) => client.rest().await.0,
            };
        }
        response
    }

    async fn over_http2(&self, scene: &RunningScene, case: &str) -> Response {
        let mut client = scene.connect_http2().await;
        let bare = http2::connect_to(&self.path, case);
        let request = self.fields.iter().fold(bare, |request, (name, value)| request.header(*name, value));
        let (response, mut stream) = http2::open(&mut client, request).await;
        let (head, mut body) = response.into_parts();
        let fields = head.headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()));
        let headers = Headers(fields.collect());
        let length = headers.get("content-length").map(|length| length.parse().expect("a length"));
        if head.status == 200 {
            stream.send_data(self.sends.clone().into(), false).expect("an open stream");
        }
        let (wanted, mut bytes) = (length.unwrap_or(self.hears.len()), Vec::new());
        while bytes.len() < wanted
            && let Some(Ok(chunk)) = within(PATIENCE, case, body.data()).await
        {
            body.flow_control().release_capacity(chunk.len()).expect("what has just been read");
            bytes.extend_from_slice(&chunk);
        }
        Response { status: head.status.as_u16(), headers, body: bytes }
    }

    fn to_http3(&self, case: &str) -> Value {
        let pseudo = [
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", &self.path),
            (":protocol", "websocket"),
            ("x-case", case),
        ];
        let fields =
            pseudo.into_iter().chain(self.fields.iter().map(|(name, value)| (*name, value.as_str())));
        let fields: Vec<_> = fields.collect();
        let sends = if self.sends.is_empty() { vec![] } else { vec![hex(&self.sends)] };
        // A refusal ends its stream; an open socket is left once it has said enough.
        json!({"fields": fields, "sends": sends, "bytes": if self.hears.is_empty() { None } else { Some(self.hears.len()) }})
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).expect("digits"));
    digits.map(|two| u8::from_str_radix(two, 16).expect("digits")).collect()
}

/// Makes visits over HTTP/3; `None` where there is no client for it.
async fn over_http3(scene: &RunningScene, visits: Vec<Value>) -> Option<Vec<Response>> {
    let order = json!({
        "host": environment::current().envoy().to_string(), "port": port_of_http3(scene).await,
        "certificate": scene.certificate(), "visits": visits,
    });
    let outcome = python::run(include_str!("python/http3.py"), &[&order.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    let seen: Vec<Value> = serde_json::from_str(&outcome.stdout).expect("a report in JSON");
    Some(seen.iter().map(response_of).collect())
}

fn response_of(seen: &Value) -> Response {
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let fields = seen["fields"].as_array().expect("fields");
    let mut headers: Vec<_> =
        fields.iter().map(|field| (text(&field[0]), text(&field[1]).into_bytes())).collect();
    let (_, status) = headers.remove(0);
    let status = String::from_utf8_lossy(&status).parse().expect("a status");
    Response { status, headers: Headers(headers), body: bytes_of(&text(&seen["bytes"])) }
}

/// Everything that is told of the end of a request, but for what differs from one request to the next.
#[derive(Clone, Debug, PartialEq)]
struct Told {
    /// The problem document without its instance, or what the client heard on the socket.
    heard: String,
    /// The fields that a client needs.
    fields: Vec<Option<String>>,
    /// The access log.
    access: Vec<Value>,
    /// The line of the log behind the request's id, to the client's address.
    logged: Option<String>,
}

async fn told(scene: &RunningScene, case: &str, response: &Response) -> Told {
    let heard = match response.reason() {
        Some(_) => {
            let mut problem = response.json();
            problem.as_object_mut().expect("an object").remove("instance");
            problem.to_string()
        }
        None => hex(&response.body),
    };
    let names = ["content-type", "cache-control", "www-authenticate", "sec-websocket-version"];
    let fields = names.map(|name| response.header(name)).to_vec();
    let line = scene.access_line(case).await;
    let of_access = ["policy", "rule", "reason", "subject", "messages_downstream", "close_code", "closed_by"];
    let id = line["request_id"].as_str().expect("a request id");
    let lines = scene.envoy().logged(&format!(" request={id} ")).await;
    let behind = lines.first().and_then(|line| line.split_once(id)).map(|(_, behind)| behind);
    let logged = behind.and_then(|behind| behind.split_once(" address=")).map(|(told, _)| told.to_owned());
    Told { heard, fields, access: of_access.map(|field| line[field].clone()).to_vec(), logged }
}

/// Asserts that each visit ends in the same way over every version: with this reason, and with the status that stands
/// beside it or, of a socket that was opened, with 101 over HTTP/1.1 and 200 over the others.
async fn assert_same(scene: &RunningScene, rows: Vec<(&str, Visit, u16, &str)>) {
    let case = |name: &str, version: &str| Visit::case(name, version);
    let visits = rows.iter().map(|(name, visit, ..)| visit.to_http3(&case(name, VERSIONS[2]))).collect();
    let over_http3 = over_http3(scene, visits).await;
    for (i, (name, visit, status, reason)) in rows.iter().enumerate() {
        let mut responses = vec![
            visit.over_http1(scene, &case(name, VERSIONS[0])).await,
            visit.over_http2(scene, &case(name, VERSIONS[1])).await,
        ];
        responses.extend(over_http3.as_ref().map(|responses| responses[i].clone()));
        let mut first = None;
        for (version, response) in VERSIONS.iter().zip(responses) {
            let opened = if *version == "1.1" { 101 } else { 200 };
            let expected = if *status == 101 { opened } else { *status };
            assert_eq!(response.status, expected, "{name} over HTTP/{version}: {}", response.text());
            if *status == 101 {
                let heard = Frame::parse_all(&response.body);
                assert_eq!(response.body, visit.hears, "{name} over HTTP/{version}: {heard:?}");
            }
            let told = told(scene, &case(name, version), &response).await;
            assert_eq!(told.access[2], *reason, "{name} over HTTP/{version}");
            assert_eq!(&told, first.get_or_insert_with(|| told.clone()), "{name} over HTTP/{version}");
        }
    }
}

fn bearer(claims: &Value) -> String {
    format!("Bearer {}", Signer::edge().mint(claims))
}

#[tokio::test]
async fn a_handshake_is_refused_alike_over_every_version() {
    let scene = SCENE.shared().await;
    let visit = Visit::to;
    let mut expired = edge_claims("alice");
    (expired["iat"], expired["exp"]) = (json!(now() - 600), json!(now() - 300));
    let mut elsewhere = edge_claims("alice");
    elsewhere["aud"] = json!("elsewhere");
    let mut unscoped = edge_claims("alice");
    unscoped["scope"] = json!("feed");
    let pages = |origin| visit("/ws/pages").with("origin", origin);
    let bears = |claims: &Value| visit("/ws/bears").with("authorization", &bearer(claims));
    let mut twice = bears(&edge_claims("alice"));
    twice.path.push_str("?token=x");
    let version = "sec-websocket-version";
    let malformed = "malformed_handshake";
    let rows = vec![
        ("no version", visit("/ws/plain").without(version), 400, malformed),
        ("two versions", visit("/ws/plain").with(version, "13"), 400, malformed),
        (
            "an old version",
            visit("/ws/plain").without(version).with(version, "8"),
            426,
            "version_unsupported",
        ),
        ("a subprotocol twice", visit("/ws/plain").with("sec-websocket-protocol", "a, a"), 400, malformed),
        ("no extension", visit("/ws/inflates").with("sec-websocket-extensions", ";"), 400, malformed),
        ("an encoded slash", visit("/ws/plain%2Fx"), 400, malformed),
        ("another site", pages("https://evil.example"), 403, "origin_denied"),
        ("two origins", pages(APP).with("origin", APP), 403, "origin_denied"),
        ("no site", visit("/ws/pages"), 403, "origin_missing"),
        ("no certificate", visit("/ws/certified"), 403, "tls_required"),
        ("no policy", visit("/elsewhere"), 403, "no_policy"),
        ("no subprotocol", visit("/ws/offers"), 403, "subprotocol_denied"),
        ("no token", visit("/ws/bears"), 401, "token_missing"),
        ("no JWT", visit("/ws/bears?token=x"), 401, "token_invalid"),
        ("two tokens", twice, 400, "token_ambiguous"),
        ("an old token", bears(&expired), 401, "token_expired"),
        ("another audience", bears(&elsewhere), 401, "token_invalid"),
        ("another scope", bears(&unscoped), 403, "claims_denied"),
    ];
    assert_same(&scene, rows).await;
}

/// A visit that sends these bytes, and is answered with this Close.
fn sending(path: &str, sends: Vec<u8>, (code, reason): (u16, &str)) -> Visit {
    Visit { sends, hears: Frame::closing(code, reason).bytes(), ..Visit::to(path) }
}

#[tokio::test]
async fn frames_end_a_connection_alike_over_every_version() {
    let scene = SCENE.shared().await;
    let text = |text: &str| Frame::text(text).masked();
    let small = |sends: Vec<u8>, code, reason| sending("/ws/small", sends, (code, reason));
    let fragments = [text("a").unfinished().bytes(), Frame::new(0, "b").masked().unfinished().bytes()];
    let long = [
        Frame::text("12345678").masked().unfinished().bytes(),
        Frame::continuation("12345").masked().bytes(),
    ];
    let third = [fragments.concat(), Frame::continuation("c").masked().bytes()].concat();
    let behind = [text("good").bytes(), Frame::text("plain").bytes()].concat();
    let first = json!({"token": "x"}).to_string();
    let broken = "protocol_error";
    let rows = vec![
        ("not masked", small(Frame::text("a").bytes(), 1002, broken), 101, broken),
        ("behind a good one", sending("/ws/small", behind, (1002, broken)), 101, broken),
        ("a reserved bit", small(text("a").rsv(1).bytes(), 1002, broken), 101, broken),
        ("no such opcode", small(Frame::new(3, "a").masked().bytes(), 1002, broken), 101, broken),
        ("a long Ping", small(Frame::ping(vec![0; 126]).masked().bytes(), 1002, broken), 101, broken),
        ("a long frame", small(text("123456789").bytes(), 1009, "frame_too_big"), 101, "frame_too_big"),
        ("a long message", small(long.concat(), 1009, "message_too_big"), 101, "message_too_big"),
        ("too many pieces", small(third, 1008, "too_many_fragments"), 101, "too_many_fragments"),
        ("binary", small(Frame::binary("a").masked().bytes(), 1003, "type_denied"), 101, "type_denied"),
        (
            "too many messages",
            sending("/ws/talks", text("a").bytes().repeat(2), (1008, "message_rate")),
            101,
            "message_rate",
        ),
        (
            "a first message without a token",
            sending("/ws/first", text(&first).bytes(), (3000, "token_invalid")),
            101,
            "token_invalid",
        ),
        ("no first message", sending("/ws/first", vec![], (3008, "auth_timeout")), 101, "auth_timeout"),
        ("a service that masks", sending("/ws/small/hears", vec![], (1002, broken)), 101, broken),
    ];
    assert_same(&scene, rows).await;
}

#[tokio::test]
async fn what_is_counted_is_counted_over_all_versions_together() {
    let scene = SCENE.shared().await;
    let mut of_http2 = scene.connect_http2().await;
    let _first = scene.open("/ws/full").await;
    let (response, _second) = http2::open(&mut of_http2, http2::handshake("/ws/full", "full-first")).await;
    assert_eq!(response.status(), 200);
    for path in ["/ws/seldom", "/ws/seldom"] {
        let (response, _) = http2::open(&mut of_http2, http2::handshake(path, "seldom-first")).await;
        assert_eq!(response.status(), 200);
    }
    let full = ("full", Visit::to("/ws/full"), 429, "connection_limit");
    let seldom = ("seldom", Visit::to("/ws/seldom"), 429, "handshake_rate");
    assert_same(&scene, vec![full, seldom]).await;
}

/// RFC 8441 and RFC 9220 have no key, and no status but 200.
#[tokio::test]
async fn a_key_is_judged_over_http_1_alone_and_messages_come_back_over_every_version() {
    let scene = SCENE.shared().await;
    let (sent, echo) = (Frame::text("there").masked().bytes(), Frame::text("there").bytes());
    let visit = Visit { sends: sent.clone(), hears: echo.clone(), ..Visit::to("/ws/plain") }
        .with("sec-websocket-key", "chosen");
    let refused = visit.over_http1(&scene, "key-1.1").await;
    assert_eq!((refused.status, refused.reason().as_deref()), (400, Some("malformed_handshake")));
    let mut answers = vec![("key-2", visit.over_http2(&scene, "key-2").await)];
    let over_http3 = over_http3(&scene, vec![visit.to_http3("key-3")]).await;
    answers.extend(over_http3.into_iter().flatten().map(|answer| ("key-3", answer)));
    for (case, answer) in answers {
        assert_eq!((answer.status, &answer.body), (200, &echo), "{case}");
        let record = scene.upstream().record(case).await;
        assert_eq!(record.head.method, "GET", "{case}");
        assert_eq!(record.header("sec-websocket-key").map(|key| key.len()), Some(24), "{case}");
        eventually(PATIENCE, case, || (record.bytes() == sent).then_some(())).await;
    }
}
