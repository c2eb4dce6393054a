//! `postern explain`, put to the test by Envoy: what it says of random requests under random policies is what Envoy does.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU64, Ordering};

use postern_e2e::client::token::{EDGE_SECRET, edge_claims, tampered};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::document;
use postern_e2e::{Request, RunningScene, Scene, Signer, Value, json};
use tempfile::TempDir;

/// The policies, and the requests to all of them together.
const POLICIES: usize = 24;
const REQUESTS: usize = 240;

/// The reasons that these policies can refuse for.
const REASONS: [&str; 11] = [
    "claims_denied",
    "malformed_handshake",
    "no_policy",
    "origin_denied",
    "origin_missing",
    "subprotocol_denied",
    "tls_required",
    "token_expired",
    "token_invalid",
    "token_missing",
    "version_unsupported",
];

/// A source of numbers that are the same in every run (SplitMix64).
struct Chance(AtomicU64);

impl Chance {
    fn below(&self, end: usize) -> usize {
        let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % end as u64).unwrap()
    }

    fn hits(&self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn one<'t, T>(&self, of: &'t [T]) -> &'t T {
        &of[self.below(of.len())]
    }
}

/// Returns a document of random policies, each on the path of its name.
fn random_document(chance: &Chance) -> Value {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let policies: serde_json::Map<String, Value> =
        (0..POLICIES).map(|number| (format!("p{number}"), random_policy(chance))).collect();
    let mut whole = document(json!({"edge": edge}), Value::Object(policies));
    // The limit leaves room for as many lines as these tests may cause in a second.
    whole["log"] = json!({"refusals_per_second": 1000});
    whole
}

fn random_policy(chance: &Chance) -> Value {
    let missing = *chance.one(&["allow", "deny"]);
    let mut policy = json!({
        "origins": {"allow": ["https://app.example.com", "https://*.preview.example.com"], "missing": missing},
        "tls": chance.one(&["optional", "required", "required", "forwarded", "mutual"]),
        "compression": chance.one(&["inspect", "pass", "strip"]),
    });
    if chance.hits(30) {
        policy["subprotocols"] = json!({"allow": ["chat.v1"], "require": chance.hits(30)});
    }
    if chance.hits(70) {
        let carriers = [
            json!({"header": "authorization"}),
            json!({"query": "token"}),
            json!({"cookie": "token"}),
            json!({"subprotocol": "bearer."}),
        ];
        policy["auth"] = json!({"providers": ["edge"], "from": [chance.one(&carriers)]});
        if chance.hits(40) {
            policy["auth"]["require"] = json!([{"claim": "scope", "contains": "chat"}]);
        }
        if chance.hits(30) {
            policy["auth"]["forward"] = json!({"x-user-id": "sub"});
        }
    }
    policy
}

/// Returns a request that is meant for a policy, and the policy's name.
fn random_request(chance: &Chance, document: &Value) -> (String, Request) {
    let name = format!("p{}", chance.below(POLICIES));
    let path = if chance.hits(95) { format!("/ws/{name}") } else { "/ws/elsewhere".to_owned() };
    let mut request = Request::upgrade(&path).header("Origin", "https://app.example.com");
    if chance.hits(30) {
        request = request.header("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits");
    }
    let mut offers = Vec::new();
    if chance.hits(60) {
        offers.push((*chance.one(&["chat.v1", "chat.v1, soap", "mqtt"])).to_owned());
    }
    if let Some(carrier) = document["policies"][&name]["auth"]["from"].get(0).filter(|_| chance.hits(90)) {
        let token = random_token(chance);
        if carrier.get("header").is_some() {
            request = request.header("Authorization", format!("Bearer {token}"));
        } else if carrier.get("cookie").is_some() {
            request = request.header("Cookie", format!("a=b; token={token}"));
        } else if carrier.get("query").is_some() {
            request = request.target(format!("{path}?a=b&token={token}"));
        } else {
            offers.push(format!("bearer.{token}"));
        }
    }
    if !offers.is_empty() {
        request = request.header("Sec-WebSocket-Protocol", offers.join(", "));
    }
    let request = if chance.hits(40) { spoiled(chance, request) } else { request };
    (name, request)
}

fn random_token(chance: &Chance) -> String {
    let mut claims = edge_claims("alice");
    match chance.below(10) {
        0 => claims["exp"] = json!(1_700_000_000),
        1 => claims["scope"] = json!("mail"),
        2 => claims["aud"] = json!("mail"),
        3 => return tampered::signature(&Signer::edge().mint(&claims)),
        _ => {}
    }
    Signer::edge().mint(&claims)
}

/// Returns the request with something wrong, or something that may be.
fn spoiled(chance: &Chance, request: Request) -> Request {
    match chance.below(12) {
        0 => request.set("Origin", "https://evil.example.com"),
        1 => request.set("Origin", "https://a.preview.example.com"),
        2 | 3 => request.without("Origin"),
        4 => request.header("Origin", "https://app.example.com"),
        5 => request.set("Sec-WebSocket-Version", "8"),
        6 => request.without("Sec-WebSocket-Version"),
        7 => request.set("Sec-WebSocket-Key", "short"),
        8 => request.set("Sec-WebSocket-Protocol", "ssh"),
        9 => request.set("Sec-WebSocket-Extensions", "permessage-deflate; nonsense"),
        10 => request.header("X-Forwarded-Proto", "https"),
        _ => request.set("Host", "other.example.com:8443"),
    }
}

/// Returns the command line, which is built beside these tests.
fn command_line() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let built = here.parent()?.parent()?.join("postern");
    built.is_file().then_some(built)
}

/// What becomes of a request: whether it is let in, or the status and the reason of its refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    LetIn,
    Refused(u64, String),
}

/// The command line, and each policy in a file of its own: to read all of them for each request takes long.
struct Explain {
    program: PathBuf,
    folder: TempDir,
}

impl Explain {
    fn new(program: PathBuf, document: &Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        for (name, policy) in document["policies"].as_object().unwrap() {
            let mut alone = document.clone();
            alone["policies"] = json!({name: policy});
            alone["routes"].as_array_mut().unwrap().retain(|route| route["policy"] == json!(name));
            std::fs::write(folder.path().join(format!("{name}.json")), alone.to_string()).unwrap();
        }
        Self { program, folder }
    }

    fn ask(&self, policy: &str, request: &Request, is_plain: bool) -> Fate {
        let head = self.folder.path().join("head");
        std::fs::write(&head, request.bytes()).unwrap();
        let output = self.run(policy, &head, is_plain);
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&output.stderr)));
        match told["outcome"].as_str().unwrap() {
            "let_in" => {
                assert_eq!(output.status.code(), Some(0));
                Fate::LetIn
            }
            "refused" => {
                assert_eq!(output.status.code(), Some(1));
                let reason = told["violation"]["reason"].as_str().unwrap().to_owned();
                Fate::Refused(told["answer"]["status"].as_u64().unwrap(), reason)
            }
            other => panic!("{other}"),
        }
    }

    fn run(&self, policy: &str, head: &Path, is_plain: bool) -> Output {
        let mut command = Command::new(&self.program);
        let policy = self.folder.path().join(format!("{policy}.json"));
        command.args(["explain", "--output", "json", "--policy-file"]).arg(policy);
        command.arg("--head").arg(head).env("POSTERN_EDGE_SECRET", EDGE_SECRET);
        if is_plain {
            command.arg("--plaintext");
        }
        command.output().unwrap()
    }
}

async fn answer(scene: &RunningScene, request: &Request, is_looked_up: bool) -> Fate {
    let response = scene.ask(request).await;
    if response.status == 101 {
        return Fate::LetIn;
    }
    let reason = response.reason().unwrap_or_default();
    // To wait for the access log takes long.
    if is_looked_up {
        assert_eq!(scene.access_line(request.case()).await["reason"], json!(reason));
    }
    Fate::Refused(response.status.into(), reason)
}

#[tokio::test]
async fn explain_says_of_random_requests_what_envoy_does() {
    let Some(program) = command_line() else {
        not_run("the command line is not built; `cargo build -p postern-cli` builds it");
        return;
    };
    let chance = Chance(AtomicU64::new(7));
    let document = random_document(&chance);
    let explain = Explain::new(program, &document);
    let (secure, plain) = (
        Scene::new().document(document.clone()).beside_others().start().await,
        Scene::new().document(document.clone()).plaintext(),
    );
    let plain = plain.beside_others().start().await;
    let mut seen = Vec::new();
    for number in 0..REQUESTS {
        let (policy, request) = random_request(&chance, &document);
        let is_plain = chance.hits(15);
        let scene = if is_plain { &plain } else { &secure };
        let (said, done) =
            (explain.ask(&policy, &request, is_plain), answer(scene, &request, number % 8 == 0).await);
        let bytes = request.bytes();
        assert_eq!(said, done, "request {number}: {}\n{document}", bytes.escape_ascii());
        seen.push(done);
    }
    let let_in = seen.iter().filter(|fate| **fate == Fate::LetIn).count();
    assert!(let_in > REQUESTS / 8, "{let_in} of {REQUESTS} are let in");
    for reason in REASONS {
        let is_seen = seen.iter().any(|fate| matches!(fate, Fate::Refused(_, seen) if seen == reason));
        assert!(is_seen, "{reason} never happened: {seen:?}");
    }
}
