//! The places of a token in a handshake, and that it leaves the request there, whatever the outcome.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_e2e::client::token::{edge_claims, tampered};
use postern_e2e::scene::document;
use postern_e2e::{Answer, Attack, Behaviour, ControlPair, Request, Scene, Shared, Signer, Value, json};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

/// The offer of a token that the upstream chooses on `/ws/kept` and `/ws/taken`.
static CHOSEN: LazyLock<String> = LazyLock::new(|| format!("bearer.{}", token()));

fn edge() -> Value {
    json!({"edge": {
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    }})
}

fn from(carriers: Value) -> Value {
    json!({"auth": {"providers": ["edge"], "from": carriers}})
}

fn scene() -> Scene {
    let all = json!([
        {"header": "authorization"},
        {"header": "x-token"},
        {"query": "access_token"},
        {"subprotocol": "bearer."},
        {"cookie": "ws_token"},
        {"subprotocol_pair": "token"},
        {"subprotocol": "base64url.bearer.authorization.k8s.io.", "encoding": "base64url"},
    ]);
    let mut keep = from(all.clone());
    keep["auth"]["keep_token"] = json!(true);
    let mut named = from(json!([{"query": "access_token"}, {"subprotocol": "bearer."}]));
    named["origins"] = json!({"allow": ["https://app.example.com"], "missing": "allow"});
    named["subprotocols"] = json!({"allow": ["chat.v2"]});
    let policies = json!({
        "all": from(all),
        "keep": keep,
        "named": named,
        "cookie": from(json!([{"cookie": "ws_token"}])),
        "kept": {"auth": {"providers": ["edge"], "from": [{"subprotocol": "bearer."}], "keep_token": true}},
        "taken": from(json!([{"subprotocol": "bearer."}])),
    });
    let chooses = Behaviour::Answer(Answer::switching().header(PROTOCOL, &CHOSEN));
    Scene::new()
        .document(document(edge(), policies))
        // This service knows the token among the offers, and does not pick it.
        .upstream("/ws/keep", Behaviour::Answer(Answer::switching()))
        .upstream("/ws/kept", chooses.clone())
        .upstream("/ws/taken", chooses)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn token() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

/// Returns the ways to carry `token` under `policy`, by name.
fn carried(policy: &str, token: &str) -> Vec<(&'static str, Request)> {
    let path = format!("/ws/{policy}");
    let upgrade = || Request::upgrade(&path);
    let query = |query: &str| Request::upgrade(&format!("{path}?{query}"));
    vec![
        ("header", upgrade().header("Authorization", format!("Bearer {token}"))),
        (
            "header, another case and more blanks",
            upgrade().header("authorization", format!("bEARER   {token}")),
        ),
        ("a header of its own", upgrade().header("X-Token", token)),
        ("query", query(&format!("access_token={token}"))),
        ("query between others", query(&format!("a=1&access_token={token}&b=%20"))),
        ("query, percent-encoded", query(&format!("access%5Ftoken={}", token.replace('.', "%2E")))),
        ("subprotocol", upgrade().header(PROTOCOL, format!("bearer.{token}"))),
        ("subprotocol between others", upgrade().header(PROTOCOL, format!("a, bearer.{token}, b"))),
        (
            "subprotocol in a second header",
            upgrade().header(PROTOCOL, "a").header(PROTOCOL, format!("bearer.{token}")),
        ),
        ("cookie", upgrade().header("Cookie", format!("ws_token={token}"))),
        ("cookie between others", upgrade().header("Cookie", format!("a=1; ws_token={token}; b=2"))),
        ("the item behind a name", upgrade().header(PROTOCOL, format!("a, token, {token}, b"))),
        (
            "the item behind a name, in a second header",
            upgrade().header(PROTOCOL, "token").header(PROTOCOL, token),
        ),
        ("cookie with a scheme", upgrade().header("Cookie", format!("ws_token=Bearer {token}"))),
        ("query with a scheme", query(&format!("access_token=bearer%20+{token}"))),
        ("cookie in quotes", upgrade().header("Cookie", format!("ws_token=\"{token}\""))),
    ]
}

/// Says whether the claims or the signature of the token are in `bytes`.
fn shows(bytes: &[u8], token: &str) -> bool {
    token.split('.').skip(1).any(|part| bytes.windows(part.len()).any(|window| window == part.as_bytes()))
}

#[tokio::test]
async fn a_good_token_is_taken_from_each_carrier_and_out_of_the_request() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let token = token();
    for (name, request) in carried("all", &token) {
        let client = scene.open_with(&request).await;
        let head = scene.record(&client).await.head.raw.clone();
        assert!(!shows(&head, &token), "{name}: the token went up in {}", String::from_utf8_lossy(&head));
        drop(client);
        let line = scene.access_line(request.case()).await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(101), &json!(null)), "{name}");
        assert!(!shows(line.to_string().as_bytes(), &token), "{name}: {line}");
    }
}

/// Kubernetes wraps the tokens of its browsers so.
#[tokio::test]
async fn a_token_may_be_wrapped_in_base64url() {
    let pair = PAIR.alone().await;
    let offer = |token: &str| {
        let wrapped = format!("base64url.bearer.authorization.k8s.io.{}", URL_SAFE_NO_PAD.encode(token));
        (Request::upgrade("/ws/all").header(PROTOCOL, format!("{wrapped}, v5.channel.k8s.io")), wrapped)
    };
    let (request, wrapped) = offer(&token());
    let client = pair.guarded.open_with(&request).await;
    assert_eq!(pair.guarded.record(&client).await.header(PROTOCOL).as_deref(), Some("v5.channel.k8s.io"));
    drop(client);
    let line = pair.guarded.access_line(request.case()).await.to_string();
    assert!(!line.contains(&wrapped), "{line}");
    let bad = offer(&tampered::signature(&token())).0;
    let plain = format!("base64url.bearer.authorization.k8s.io.{}", token());
    let plain = Request::upgrade("/ws/all").header(PROTOCOL, plain);
    for (name, request) in [("another signature", bad), ("not wrapped", plain)] {
        let attack = Attack { name, request, policy: "all", status: 401, reason: "token_invalid" };
        pair.assert_refused(&attack).await;
    }
}

/// Browsers fail a connection for which none of their offers is chosen.
#[tokio::test]
async fn a_client_that_offers_a_name_and_its_token_alone_is_answered_with_the_name() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let request = Request::upgrade("/ws/all").header(PROTOCOL, format!("token, {}", token()));
    let response = scene.ask(&request).await;
    assert_eq!((response.status, response.header(PROTOCOL).as_deref()), (101, Some("token")));
    let alone = Request::upgrade("/ws/all").header(PROTOCOL, "token");
    assert_eq!(scene.ask(&alone).await.status, 401, "a name without a token");
}

#[tokio::test]
async fn what_stands_beside_a_token_stays() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let request = Request::upgrade(&format!("/ws/all?room=1&access_token={}&x=%2F&access_tokens=2", token()))
        .header("Cookie", "a=1; b=\"2\"")
        .header("Authorization", "Basic dXNlcjpwYXNz")
        .header(PROTOCOL, "chat.v1, chat.v2");
    let client = scene.open_with(&request).await;
    let record = scene.record(&client).await;
    assert_eq!(record.head.target, "/ws/all?room=1&x=%2F&access_tokens=2");
    assert_eq!(record.header("cookie").as_deref(), Some("a=1; b=\"2\""));
    assert_eq!(record.header("authorization").as_deref(), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(record.header(PROTOCOL).as_deref(), Some("chat.v1, chat.v2"));

    let among = Request::upgrade("/ws/all")
        .header("Cookie", format!("a=1; ws_token={}; b=2", token()))
        .header(PROTOCOL, "chat.v1");
    let client = scene.open_with(&among).await;
    assert_eq!(scene.record(&client).await.header("cookie").as_deref(), Some("a=1; b=2"));
}

/// A service may check the token too.
#[tokio::test]
async fn keep_token_leaves_it_where_it_was() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let token = token();
    for (name, request) in carried("keep", &token) {
        let mut client = scene.connect().await;
        assert_eq!(client.ask(&request).await.status, 101, "{name}");
        let head = scene.record(&client).await.head.raw.clone();
        assert!(shows(&head, &token), "{name}: the token is gone from {}", String::from_utf8_lossy(&head));
    }
}

#[tokio::test]
async fn a_bad_token_is_refused_in_each_carrier_and_leaves_no_trace() {
    let pair = PAIR.alone().await;
    let token = tampered::signature(&token());
    for (name, request) in carried("all", &token) {
        let case = request.case().to_owned();
        let attack = Attack { name, request, policy: "all", status: 401, reason: "token_invalid" };
        let response = pair.assert_refused(&attack).await;
        let challenge = response.header("www-authenticate");
        assert_eq!(challenge.as_deref(), Some("Bearer error=\"invalid_token\""), "{name}");
        let line = pair.guarded.access_line(&case).await;
        assert!(!shows(line.to_string().as_bytes(), &token), "{name}: {line}");
    }
}

#[tokio::test]
async fn a_token_where_the_policy_does_not_look_is_no_token() {
    let pair = PAIR.alone().await;
    let token = token();
    let elsewhere = carried("cookie", &token).into_iter().filter(|(name, _)| !name.starts_with("cookie"));
    let cases = elsewhere.chain([
        ("nothing", Request::upgrade("/ws/cookie")),
        (
            "a cookie of another name",
            Request::upgrade("/ws/cookie").header("Cookie", format!("ws_token2={token}")),
        ),
        (
            "a cookie of another case",
            Request::upgrade("/ws/cookie").header("Cookie", format!("WS_TOKEN={token}")),
        ),
    ]);
    for (name, request) in cases {
        let attack = Attack { name, request, policy: "cookie", status: 401, reason: "token_missing" };
        let response = pair.assert_refused(&attack).await;
        // RFC 6750 §3.1: a request without a token gets no error code.
        assert_eq!(response.header("www-authenticate").as_deref(), Some("Bearer"), "{name}");
    }
}

/// Postern might otherwise judge one of them and the service trust the other.
#[tokio::test]
async fn two_tokens_are_ambiguous_even_when_they_are_equal() {
    let pair = PAIR.alone().await;
    let (one, other) = (token(), Signer::edge().mint(&edge_claims("mallory")));
    let bearer = |token: &str| format!("Bearer {token}");
    let query = |query: String| Request::upgrade(&format!("/ws/all?{query}"));
    let upgrade = || Request::upgrade("/ws/all");
    let cases = [
        ("header and query", query(format!("access_token={one}")).header("Authorization", bearer(&other))),
        (
            "cookie and subprotocol",
            upgrade().header("Cookie", format!("ws_token={one}")).header(PROTOCOL, format!("bearer.{other}")),
        ),
        (
            "two headers",
            upgrade().header("Authorization", bearer(&one)).header("Authorization", bearer(&other)),
        ),
        ("two parameters", query(format!("access_token={one}&access_token={other}"))),
        ("behind a semicolon", query(format!("access_token={one}&a=1;access_token={other}"))),
        (
            "a header spelled as some servers read it",
            upgrade().header("X-Token", &one).header("X_Token", &other),
        ),
        ("two cookies", upgrade().header("Cookie", format!("ws_token={one}; ws_token={other}"))),
        ("two items", upgrade().header(PROTOCOL, format!("bearer.{one}, bearer.{other}"))),
        ("the same twice", query(format!("access_token={one}&access_token={one}"))),
        ("a good one and an empty one", query(format!("access_token={one}&access_token="))),
    ];
    for (name, request) in cases {
        let case = request.case().to_owned();
        let attack = Attack { name, request, policy: "all", status: 400, reason: "token_ambiguous" };
        pair.assert_refused(&attack).await;
        let line = pair.guarded.access_line(&case).await;
        assert!(!shows(line.to_string().as_bytes(), &one), "{name}: {line}");
    }
}

/// The access log is read by more people than may use the token.
#[tokio::test]
async fn a_token_in_the_query_is_in_no_access_log_whatever_the_handshake_is_refused_for() {
    let pair = PAIR.alone().await;
    let token = token();
    let query = |path: &str| Request::upgrade(&format!("{path}?room=1&access_token={token}"));
    let named = || query("/ws/named");
    let cases = [
        ("no policy", query("/elsewhere"), ("none", 403, "no_policy")),
        ("shape", named().without("sec-websocket-key"), ("named", 400, "malformed_handshake")),
        ("origin", named().header("Origin", "https://evil.example"), ("named", 403, "origin_denied")),
        ("subprotocol", named().header(PROTOCOL, "soap"), ("named", 403, "subprotocol_denied")),
    ];
    for (name, request, (policy, status, reason)) in cases {
        let case = request.case().to_owned();
        let response = pair.assert_refused(&Attack { name, request, policy, status, reason }).await;
        assert!(!shows(&response.body, &token), "{name}");
        let line = pair.guarded.access_line(&case).await;
        assert!(!shows(line.to_string().as_bytes(), &token), "{name}: {line}");
        assert!(line["path"].as_str().is_some_and(|path| path.ends_with("?room=1")), "{name}: {line}");
        let line = pair.bare.access_line(&case).await;
        assert!(shows(line.to_string().as_bytes(), &token), "{name}: without Postern {line}");
    }
}

/// An Envoy in front that rewrites paths keeps the first path, query and all, in a header of its own. Where
/// such an Envoy stands, that header is believed.
#[tokio::test]
async fn a_token_leaves_the_path_that_a_gateway_in_front_has_kept_as_well() {
    const KEPT: &str = "X-Envoy-Original-Path";
    let trusting = scene().change_connection_manager(|hcm| {
        let anybody = json!([{"address_prefix": "0.0.0.0", "prefix_len": 0}]);
        hcm["internal_address_config"] = json!({"cidr_ranges": anybody});
    });
    let (scene, token) = (trusting.start().await, token());
    for query in [format!("room=1&access_token={token}"), format!("access_token={token}&room=1")] {
        let request = Request::upgrade(&format!("/ws/all?{query}")).header(KEPT, format!("/chat?{query}"));
        let client = scene.open_with(&request).await;
        let record = scene.record(&client).await;
        assert!(!shows(&record.head.raw, &token), "{}", String::from_utf8_lossy(&record.head.raw));
        assert_eq!(record.header("x-envoy-original-path").as_deref(), Some("/chat?room=1"));
    }
}

/// An upstream may choose only from what it was offered, and a token that is taken out is not offered to it.
#[tokio::test]
async fn the_upstream_may_choose_the_offer_of_a_token_only_where_the_token_is_left_in() {
    let item = &*CHOSEN;
    let pair = PAIR.alone().await;
    let cases = [("alone", item.clone()), ("behind another offer", format!("chat.v2, {item}"))];
    for (name, offers) in cases {
        let kept = Request::upgrade("/ws/kept").header(PROTOCOL, &offers);
        let response = pair.guarded.ask(&kept).await;
        assert_eq!((response.status, response.header(PROTOCOL)), (101, Some(item.clone())), "{name}");
        let up = pair.guarded.upstream().record(kept.case()).await.header(PROTOCOL);
        assert_eq!(up.as_ref(), Some(&offers), "{name}");

        let request = Request::upgrade("/ws/taken").header(PROTOCOL, &offers);
        let (policy, reason) = ("taken", "upstream_handshake_invalid");
        pair.assert_refused(&Attack { name, request, policy, status: 502, reason }).await;
    }
}

#[tokio::test]
async fn a_token_among_subprotocols_is_no_offer() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let item = format!("bearer.{}", token());
    // A client that offers nothing else gets its own item chosen: browsers and other clients fail a
    // connection for which none of their offers is chosen.
    let among = format!("chat.v2, {item}, soap");
    for (offers, up, chosen) in [(&item, None, item.as_str()), (&among, Some("chat.v2"), "chat.v2")] {
        let request = Request::upgrade("/ws/named").header(PROTOCOL, offers);
        let mut client = scene.connect().await;
        let response = client.ask(&request).await;
        assert_eq!(response.status, 101, "{}", response.text());
        assert_eq!(response.header(PROTOCOL).as_deref(), Some(chosen));
        let record = scene.upstream().record(request.case()).await;
        assert_eq!(record.header(PROTOCOL).as_deref(), up);
        drop(client);
        let line = scene.access_line(request.case()).await.to_string();
        assert!(!shows(line.as_bytes(), &token()), "{line}");
    }
}
