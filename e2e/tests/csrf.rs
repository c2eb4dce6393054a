//! Tokens against cross-site request forgery: those that a handshake has to show, those that are taken out of
//! it, and the cookie that pages are given.

use postern_e2e::client::browser::Page;
use postern_e2e::client::csrf::{CSRF_SECRET, mint};
use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Attack, Behaviour, ControlPair, Request, RunningScene, Scene, Shared, Signer, Value, json,
};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const SID: &str = "sid-of-alice_0123456789";

fn csrf(from: Value) -> Value {
    json!({"secret": {"env": "POSTERN_CSRF_SECRET"}, "session_cookie": "sid", "from": from, "lifetime": "1h"})
}

fn page() -> Answer {
    Answer::status(200, "<p>A page.</p>").header("Content-Type", "text/html; charset=utf-8")
}

/// Makes a scene with both ways to show a token, as `/ws/query` and `/ws/item`.
fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let origins = json!({"allow": ["https://app.example.com"], "missing": "allow"});
    let mut issuing = csrf(json!({"query": "csrf_token"}));
    issuing["issue"] = json!({"cookie": "__Host-csrf"});
    let kept = json!({"providers": ["edge"], "from": [{"subprotocol": "bearer."}], "keep_token": true});
    let policies = json!({
        "query": {"csrf": csrf(json!({"query": "csrf_token"})), "origins": origins},
        "item": {"csrf": csrf(json!({"subprotocol": "csrf."})), "origins": origins},
        "kept": {"csrf": csrf(json!({"subprotocol": "csrf."})), "auth": kept},
        "issuing": {"csrf": issuing},
    });
    let cookie = |cookie: &str| Behaviour::Answer(page().header("Set-Cookie", cookie));
    Scene::new()
        .document(document(json!({"edge": edge}), policies))
        // The limit leaves room for as many lines as these tests may cause in a second.
        .configured(|whole| whole["log"] = json!({"refusals_per_second": 1000}))
        .env("POSTERN_CSRF_SECRET", CSRF_SECRET)
        .upstream("/ws/issuing/login", cookie(&format!("sid={SID}; Path=/; Secure; HttpOnly")))
        .upstream("/ws/issuing/logout", cookie("sid=; Path=/; Max-Age=0"))
        .upstream("/ws/issuing/own", cookie("__Host-csrf=of the service; Path=/; Secure"))
        .upstream(
            "/ws/issuing/missing",
            Behaviour::Answer(Answer::status(404, "").header("Content-Type", "text/html")),
        )
        .upstream("/ws/issuing/page", Behaviour::Answer(page()))
        .upstream("/ws/query/page", Behaviour::Answer(page()))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

/// Returns the handshakes of alice's browser that show `token`, one by each way.
fn showing(token: &str) -> [(&'static str, Request); 2] {
    let with_session = |request: Request| request.header("Cookie", format!("a=1; sid={SID}"));
    [
        ("query", with_session(Request::upgrade(&format!("/ws/query?room=1&csrf_token={token}")))),
        (
            "item",
            with_session(Request::upgrade("/ws/item").header(PROTOCOL, format!("chat.v2, csrf.{token}"))),
        ),
    ]
}

/// Says whether the part of a token that proves something is in `text`.
fn shows(text: &str, token: &str) -> bool {
    let proof = token.split_once('.').map_or(token, |(_, proof)| proof);
    !proof.is_empty() && text.contains(proof)
}

#[tokio::test]
async fn a_handshake_that_shows_the_token_of_its_session_is_let_in_without_it() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let token = mint(CSRF_SECRET, SID, now());
    for (policy, request) in showing(&token) {
        let client = scene.open_with(&request).await;
        let record = scene.record(&client).await;
        let head = String::from_utf8_lossy(&record.head.raw).into_owned();
        assert!(!shows(&head, &token), "{policy}: {head}");
        let sent = format!("a=1; sid={SID}");
        assert_eq!(record.header("cookie"), Some(sent), "{policy}: the session is the service's");
        let target = if policy == "query" { "/ws/query?room=1" } else { "/ws/item" };
        assert_eq!(record.head.target, target);
        let offers = (policy == "item").then(|| "chat.v2".to_owned());
        assert_eq!(record.header(PROTOCOL), offers);
        drop(client);
        let line = scene.access_line(request.case()).await;
        assert_eq!((&line["status"], &line["reason"]), (&json!(101), &json!(null)), "{policy}");
        assert!(!shows(&line.to_string(), &token), "{policy}: {line}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_one_of_this_session_and_hour_is_refused_and_leaves_no_trace() {
    let pair = PAIR.alone().await;
    let before = pair.guarded.envoy().log().len();
    let good = mint(CSRF_SECRET, SID, now());
    let cases = [
        ("of another session", mint(CSRF_SECRET, "sid-of-mallory", now())),
        ("of no session", mint(CSRF_SECRET, "", now())),
        ("by another secret", mint("a secret that mallory made up, 32 bytes long", SID, now())),
        ("an hour old", mint(CSRF_SECRET, SID, now() - 3600)),
        ("of the future", mint(CSRF_SECRET, SID, now() + 120)),
        ("of another time than it says", good.replacen(&good[..10], &(now() + 1).to_string(), 1)),
        ("cut short", good[..good.len() - 1].to_owned()),
        ("with one byte more", format!("{good}A")),
        ("of nothing", String::new()),
        ("not a token", "x".to_owned()),
    ];
    for (name, token) in cases {
        for (policy, request) in showing(&token) {
            let (case, status, reason) = (request.case().to_owned(), 403, "csrf_invalid");
            let response = pair.assert_refused(&Attack { name, request, policy, status, reason }).await;
            assert!(!shows(&response.text(), &token), "{name}");
            let line = pair.guarded.access_line(&case).await.to_string();
            assert!(!shows(&line, &token), "{name}: {line}");
        }
    }
    for cause in ["not one of this session", "has expired", "not valid yet", "malformed"] {
        let is_logged = || pair.guarded.envoy().log()[before..].contains(cause).then_some(());
        eventually(PATIENCE, cause, is_logged).await;
    }
    let log = pair.guarded.envoy().log();
    assert!(!shows(&log, &good), "{log}");
}

/// A page of another site can make a browser send this: the victim's cookies, and no token.
#[tokio::test]
async fn a_handshake_without_a_token_or_without_one_session_is_refused() {
    let pair = PAIR.alone().await;
    let good = mint(CSRF_SECRET, SID, now());
    let sid = format!("sid={SID}");
    let query = |query: &str| Request::upgrade(&format!("/ws/query{query}"));
    let shown = || query(&format!("?csrf_token={good}"));
    let items = |items: String| Request::upgrade("/ws/item").header(PROTOCOL, items).header("Cookie", &sid);
    let missing = "csrf_missing";
    let invalid = "csrf_invalid";
    let cases = [
        ("a page of another site", "query", query("").header("Cookie", &sid), missing),
        ("an offer, but no token", "item", items("chat.v2".to_owned()), missing),
        ("a token in the other place", "query", items(format!("csrf.{good}")).target("/ws/query"), missing),
        ("a token and no session", "query", shown(), invalid),
        ("an empty session", "query", shown().header("Cookie", "sid="), invalid),
        ("two sessions", "query", shown().header("Cookie", format!("{sid}; sid=x")), invalid),
        ("two session fields", "query", shown().header("Cookie", &sid).header("Cookie", &sid), invalid),
        (
            "two tokens",
            "query",
            query(&format!("?csrf_token={good}&csrf_token={good}")).header("Cookie", &sid),
            invalid,
        ),
        (
            "two tokens, one encoded",
            "query",
            query(&format!("?csrf%5ftoken={good}&csrf_token=1.x")).header("Cookie", &sid),
            invalid,
        ),
        ("two items", "item", items(format!("csrf.{good}, chat.v2, csrf.{good}")), invalid),
    ];
    for (name, policy, request, reason) in cases {
        let case = request.case().to_owned();
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason }).await;
        let line = pair.guarded.access_line(&case).await.to_string();
        assert!(!shows(&line, &good), "{name}: {line}");
    }
}

#[tokio::test]
async fn a_token_in_the_query_is_in_no_access_log_whatever_the_handshake_is_refused_for() {
    let pair = PAIR.alone().await;
    let good = mint(CSRF_SECRET, SID, now());
    let upgrade = |path: &str| Request::upgrade(&format!("{path}?room=1&csrf_token={good}"));
    let cases = [
        ("no policy", upgrade("/elsewhere"), ("none", 403, "no_policy")),
        (
            "origin",
            upgrade("/ws/query").header("Origin", "https://evil.example"),
            ("query", 403, "origin_denied"),
        ),
        ("shape", upgrade("/ws/query").without("sec-websocket-key"), ("query", 400, "malformed_handshake")),
    ];
    for (name, request, (policy, status, reason)) in cases {
        let case = request.case().to_owned();
        pair.assert_refused(&Attack { name, request, policy, status, reason }).await;
        let line = pair.guarded.access_line(&case).await;
        assert!(line["path"].as_str().is_some_and(|path| path.ends_with("?room=1")), "{name}: {line}");
    }
}

/// `keep_token` is about tokens that the service may want, and no CSRF token is one.
#[tokio::test]
async fn a_token_that_is_kept_stays_alone() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let bearer = format!("bearer.{}", Signer::edge().mint(&edge_claims("alice")));
    let request = Request::upgrade("/ws/kept")
        .header(PROTOCOL, format!("csrf.{}, {bearer}", mint(CSRF_SECRET, SID, now())))
        .header("Cookie", format!("sid={SID}"));
    let client = scene.open_with(&request).await;
    assert_eq!(scene.record(&client).await.header(PROTOCOL), Some(bearer));
}

/// Returns the value of the cookie `name` that a response sets, and its attributes.
fn cookie(response: &postern_e2e::Response, name: &str) -> Option<(String, String)> {
    response.headers.all("set-cookie").iter().find_map(|field| {
        let (pair, attributes) = field.split_once("; ")?;
        let value = pair.strip_prefix(name)?.strip_prefix('=')?;
        Some((value.to_owned(), attributes.to_owned()))
    })
}

async fn get(scene: &RunningScene, path: &str, cookies: &str) -> postern_e2e::Response {
    let request = Request::get(path);
    let request = if cookies.is_empty() { request } else { request.header("Cookie", cookies) };
    scene.ask(&request).await
}

#[tokio::test]
async fn a_page_is_given_a_token_that_opens_a_socket_of_its_session_and_of_no_other() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let sid = format!("sid={SID}");
    let login = get(scene, "/ws/issuing/login", "").await;
    assert_eq!(login.headers.all("set-cookie").len(), 2, "the service's own stays: {login:?}");
    let later = get(scene, "/ws/issuing/page", &sid).await;
    for response in [login, later] {
        assert_eq!((response.status, response.text().as_str()), (200, "<p>A page.</p>"));
        let (token, attributes) = cookie(&response, "__Host-csrf").expect("a token");
        assert_eq!(attributes, "Path=/; Secure; SameSite=Strict");
        let path = format!("/ws/issuing?csrf_token={token}");
        let client = scene.open_with(&Request::upgrade(&path).header("Cookie", &sid)).await;
        assert_eq!(scene.record(&client).await.head.target, "/ws/issuing");
        let stolen = Request::upgrade(&path).header("Cookie", "sid=sid-of-mallory");
        assert_eq!(scene.ask(&stolen).await.reason().as_deref(), Some("csrf_invalid"));
    }
}

#[tokio::test]
async fn nothing_but_a_page_with_a_session_is_given_a_token_and_all_else_passes_untouched() {
    let pair = PAIR.alone().await;
    let sid = format!("sid={SID}");
    let with_session = |path: &str| Request::get(path).header("Cookie", &sid);
    let cases = [
        ("no session", Request::get("/ws/issuing/page")),
        ("two sessions", Request::get("/ws/issuing/page").header("Cookie", format!("{sid}; sid=x"))),
        ("a session that ends", with_session("/ws/issuing/logout")),
        ("a token of the service's own", with_session("/ws/issuing/own")),
        ("an error page", with_session("/ws/issuing/missing")),
        ("plain text", with_session("/ws/issuing/text")),
        ("a policy that issues none", with_session("/ws/query/page")),
    ];
    for (name, request) in cases {
        pair.assert_untouched(name, &request).await;
    }
    let response = get(&pair.bare, "/ws/issuing/page", &sid).await;
    assert_eq!(response.headers.all("set-cookie").len(), 0, "without Postern");
}

#[tokio::test]
async fn a_page_in_a_browser_opens_a_socket_by_the_token_it_was_given_and_not_without() {
    let Some(page_server) = Page::at("localhost").await else { return };
    let mut policy = csrf(json!({"query": "csrf_token"}));
    policy["issue"] = json!({"cookie": "__Host-csrf"});
    let policy = json!({"origins": {"allow": [page_server.origin()]}, "tls": "required", "csrf": policy});
    let login = page().header("Set-Cookie", &format!("sid={SID}; Path=/; Secure; HttpOnly; SameSite=Lax"));
    let scene = Scene::new().policy(policy).env("POSTERN_CSRF_SECRET", CSRF_SECRET);
    let scene = scene.upstream("/login", Behaviour::Answer(login)).start().await;
    // The page's own server is another port of the host, and the host's cookies belong to both.
    let script = format!(
        "await fetch('{login}', {{mode: 'no-cors', credentials: 'include'}});
         const token = document.cookie.split('; ').find((c) => c.startsWith('__Host-csrf='))?.slice(12);
         const say = {{messages: ['hello'], closeAfter: 1}};
         report({{
           cookies: document.cookie,
           without: await visit('{socket}', say),
           made_up: await visit('{socket}?csrf_token=' + token.replace(/^[0-9]*/, '1800000000'), say),
           shown: await visit('{socket}?csrf_token=' + token, say),
         }})",
        login = scene.url("/login").replacen("wss", "https", 1),
        socket = scene.url("/ws/chat"),
    );
    let seen = page_server.run(&script).await;
    assert!(!seen["cookies"].as_str().expect("text").contains(SID), "the session is no script's: {seen}");
    for name in ["without", "made_up"] {
        assert_eq!((&seen[name]["opened"], &seen[name]["code"]), (&json!(false), &json!(1006)), "{seen}");
    }
    assert_eq!(
        (&seen["shown"]["opened"], &seen["shown"]["messages"]),
        (&json!(true), &json!(["hello"])),
        "{seen}"
    );
    let refused = |reason| [("policy", "chat"), ("result", "refused"), ("reason", reason)];
    let stats = scene.envoy().stats().await;
    assert_eq!(stats.sum("postern_handshakes", &refused("csrf_missing")), 1.0);
    assert_eq!(stats.sum("postern_handshakes", &refused("csrf_invalid")), 1.0);
}
