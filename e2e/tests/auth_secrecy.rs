//! Secrets and tokens show up in nothing that Envoy writes or answers, whether a request is refused or let
//! in, and however much the module is made to write.
//!
//! Envoy itself is another matter: at `debug` its own loggers `http`, `router` and others write whole request headers,
//! before any filter has seen them. They stay where they are by default.

use std::fmt::Write;

use postern_e2e::client::csrf::{CSRF_SECRET, mint};
use postern_e2e::client::token::{EDGE_SECRET, edge_claims, now, tampered};
use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::scene::{Lent, document, module};
use postern_e2e::{Answer, Behaviour, Frame, RawClient, Request, RunningScene, Scene, Shared, Signer, json};
use tokio::sync::RwLockWriteGuard;

const PROTOCOL: &str = "Sec-WebSocket-Protocol";
const SID: &str = "sid-of-alice_0123456789";
const OTHER_SID: &str = "sid-of-somebody-else";

fn scene() -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"],
        "from": [
            {"header": "authorization"}, {"query": "access_token"}, {"subprotocol": "bearer."},
            {"cookie": "ws_token"},
        ],
        "require": [{"claim": "scope", "contains": "chat"}],
    });
    let mut once = auth.clone();
    once["single_use"] = json!(true);
    let inside = json!({
        "providers": ["edge"], "from": [{"first_message": "/token"}], "refresh": "/token",
        "require": [{"claim": "scope", "contains": "chat"}],
    });
    let csrf =
        |from| json!({"secret": {"env": "POSTERN_CSRF_SECRET"}, "session_cookie": "sid", "from": from});
    let mut by_query = csrf(json!({"query": "csrf_token"}));
    by_query["issue"] = json!({"cookie": "__Host-csrf"});
    let origins = json!({"allow": ["https://app.example.com"], "missing": "allow"});
    let policies = json!({
        "chat": {"origins": origins, "auth": auth},
        "once": {"auth": once},
        "query": {"csrf": by_query},
        "inside": {"auth": inside},
        "item": {"csrf": csrf(json!({"subprotocol": "csrf."}))},
        "both": {"auth": auth, "csrf": csrf(json!({"query": "csrf_token"})), "upgrade_only": true},
    });
    let page = Answer::status(200, "a page").header("Content-Type", "text/html");
    Scene::new()
        .document(document(json!({"edge": edge}), policies))
        .env("POSTERN_CSRF_SECRET", CSRF_SECRET)
        .upstream("/ws/query/page", Behaviour::Answer(page))
        .upstream("/ws/chat/declined", Behaviour::Answer(Answer::status(404, "no")))
        .upstream("/ws/chat/wrong", Behaviour::Answer(Answer::switching().without("Upgrade")))
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

/// Everything that Envoy, Postern and the upstream's answers say.
struct Transcript {
    scene: Lent<RwLockWriteGuard<'static, RunningScene>>,
    said: String,
    /// The length of Envoy's log when this began, after other tests.
    log_before: usize,
}

impl Transcript {
    async fn start() -> Self {
        let scene = SCENE.alone().await;
        let mut admin =
            RawClient::connect(scene.envoy().admin(), None, None).await.expect("the admin interface");
        for levels in ["level=info", &format!("{}=trace", module::logger())] {
            let set =
                Request::get(&format!("/logging?{levels}")).method("POST").header("Content-Length", "0");
            assert_eq!(admin.ask(&set).await.status, 200, "the module may log whatever it has to say");
        }
        let log_before = scene.envoy().log().len();
        Self { scene, said: String::new(), log_before }
    }

    /// Sends a request, and notes the answer and the access log.
    async fn ask(&mut self, request: &Request) -> u16 {
        let response = self.scene.ask(request).await;
        let line = self.scene.access_line(request.case()).await;
        write!(self.said, "{:?}\n{}\n{line}\n", response.headers, response.text()).expect("room");
        response.status
    }

    /// Returns the transcript with Envoy's admin pages and its log, and asserts that it contains each of
    /// `reasons`.
    async fn whole(mut self, reasons: &[&str]) -> String {
        for page in ["/stats", "/config_dump", "/clusters", "/server_info"] {
            self.said.push_str(&self.scene.envoy().ask_admin(page).await.text());
        }
        for reason in reasons {
            assert!(self.said.contains(reason), "the cases are not what they seem: no {reason}");
            let is_logged = || self.scene.envoy().log()[self.log_before..].contains(reason).then_some(());
            eventually(PATIENCE, reason, is_logged).await;
        }
        let log = self.scene.envoy().log();
        assert!(log.contains(&format!("[{}]", module::logger())), "the module's log is not there: {log}");
        self.said + &log
    }
}

/// Asserts that the secrets are absent. Those of a token are its parts but for the header, which all tokens
/// share.
fn assert_absent(said: &str, tokens: &[String]) {
    let parts = tokens.iter().flat_map(|token| token.split('.').skip(1)).filter(|part| part.len() > 8);
    for secret in parts.chain([EDGE_SECRET, CSRF_SECRET, SID, OTHER_SID]) {
        let shown = said.lines().find(|line| line.contains(secret));
        assert_eq!(shown, None, "{secret} shows");
    }
}

#[tokio::test]
async fn tokens_and_secrets_are_in_no_log_no_metric_and_no_answer() {
    let mut transcript = Transcript::start().await;
    let signer = Signer::edge();
    let with = |claim: &str, value: serde_json::Value| {
        let mut claims = edge_claims("alice");
        claims[claim] = value;
        signer.mint(&claims)
    };
    let good = with("jti", json!("a ticket"));
    let tokens = [
        good.clone(),
        with("exp", json!(1_000_000_000)),
        with("scope", json!("mail")),
        with("aud", json!("elsewhere")),
        with("iss", json!("nobody-we-know")),
        tampered::signature(&good),
        tampered::algorithm_none(&good),
    ];
    for token in &tokens {
        for path in ["/ws/chat", "/ws/once", "/ws/both", "/ws/chat/declined", "/ws/chat/wrong"] {
            let upgrade = || Request::upgrade(path);
            let query = |more: &str| Request::upgrade(&format!("{path}?access_token={token}{more}"));
            let requests = [
                upgrade().header("Authorization", format!("Bearer {token}")),
                upgrade().header("Cookie", format!("ws_token={token}")),
                upgrade().header(PROTOCOL, format!("chat, bearer.{token}")),
                query(""),
                query("").header("Origin", "https://evil.example"),
                query("").without("sec-websocket-key"),
                query(&format!("&access_token={good}")),
                upgrade()
                    .header("Cookie", format!("ws_token={token}"))
                    .header("Authorization", format!("Bearer {good}")),
            ];
            for request in requests {
                transcript.ask(&request).await;
            }
        }
        transcript.ask(&Request::upgrade(&format!("/elsewhere?access_token={token}"))).await;
        transcript.ask(&Request::get(&format!("/ws/both?access_token={token}"))).await;
    }
    let reasons = [
        "token_expired",
        "claims_denied",
        "token_invalid",
        "token_ambiguous",
        "token_replayed",
        "origin_denied",
        "malformed_handshake",
        "no_policy",
        "csrf_missing",
        "upgrade_required",
        "upstream_handshake_invalid",
    ];
    assert_absent(&transcript.whole(&reasons).await, &tokens);
}

#[tokio::test]
async fn csrf_tokens_sessions_and_their_secret_are_in_no_log_no_metric_and_no_answer() {
    let mut transcript = Transcript::start().await;
    let good = mint(CSRF_SECRET, SID, now());
    let tokens = [
        good.clone(),
        mint(CSRF_SECRET, OTHER_SID, now()),
        mint(CSRF_SECRET, SID, now() - 86_400),
        mint(CSRF_SECRET, SID, now() + 3600),
        mint(EDGE_SECRET, SID, now()),
        format!("{good}x"),
    ];
    let sid = format!("sid={SID}");
    let (mut statuses, two_sids) = (Vec::new(), format!("{sid}; sid={OTHER_SID}"));
    for token in &tokens {
        for cookies in [sid.as_str(), &two_sids, "a=1"] {
            let query = |more: &str| Request::upgrade(&format!("/ws/query?csrf_token={token}{more}"));
            let requests = [
                query(""),
                query(&format!("&csrf_token={good}")),
                query("").without("sec-websocket-key"),
                Request::upgrade(&format!("/elsewhere?csrf_token={token}")),
                Request::get(&format!("/ws/both?csrf_token={token}")),
                Request::upgrade("/ws/item").header(PROTOCOL, format!("chat, csrf.{token}")),
                Request::upgrade("/ws/item").header(PROTOCOL, format!("csrf.{token}, chat, csrf.{good}")),
            ];
            for request in requests {
                statuses.push(transcript.ask(&request.header("Cookie", cookies)).await);
            }
        }
    }
    assert_eq!(
        statuses.iter().filter(|status| **status == 101).count(),
        2,
        "the good one, in both its places"
    );
    // A token that is issued is shown to the page, and to nobody else.
    let request = Request::get("/ws/query/page").header("Cookie", &sid);
    let response = transcript.scene.ask(&request).await;
    let cookie = response.header("set-cookie").expect("a token");
    let issued = cookie.split(['=', ';']).nth(1).expect("a value").to_owned();
    transcript.said.push_str(&transcript.scene.access_line(request.case()).await.to_string());
    let said =
        transcript.whole(&["csrf_invalid", "no_policy", "upgrade_required", "malformed_handshake"]).await;
    assert_absent(&said, &tokens);
    assert_absent(&said, &[issued]);
}

#[tokio::test]
async fn tokens_in_messages_are_in_no_log_no_metric_and_no_answer() {
    let mut transcript = Transcript::start().await;
    let signer = Signer::edge();
    let (mut expired, mut poor) = (edge_claims("alice"), edge_claims("alice"));
    expired["exp"] = json!(1_000_000_000);
    poor["scope"] = json!("mail");
    let good = signer.mint(&edge_claims("alice"));
    let tokens = [good.clone(), signer.mint(&expired), signer.mint(&poor), tampered::signature(&good)];
    for token in &tokens {
        let message = Frame::text(&json!({ "token": token }).to_string()).masked().bytes();
        let mut client = transcript.scene.open("/ws/inside").await;
        client.send(&message).await;
        // The second message is a refresh where the first was good; it is answered then.
        let _ = client.try_send(&message).await;
        let said = client.frame().await.expect("a Close or an answer");
        transcript.said.push_str(&String::from_utf8_lossy(&said.payload));
    }
    assert!(transcript.said.contains("token_accepted"), "{}", transcript.said);
    let said = transcript.whole(&["token_expired", "claims_denied", "token_invalid"]).await;
    assert_absent(&said, &tokens);
}
