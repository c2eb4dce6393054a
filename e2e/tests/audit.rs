//! `postern audit` against an Envoy without Postern, one with a policy as strict as can be, and two with half of it each: it
//! finds every hole where all are open, none where none is, and exactly those of the keys that are switched off.

use std::collections::BTreeSet;
use std::path::PathBuf;

use postern_e2e::client::token::{edge_claims, now};
use postern_e2e::not_run::not_run;
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, RunningScene, Scene, Signer, Value, json};
use tokio::process::Command;
use tokio::sync::OnceCell;

/// The beginning of the path of every policy.
const PATH: &str = "/ws/";
const ORIGIN: &str = "https://app.example.com";

/// What Envoy does by itself: it takes this Upgrade out of the request.
const CLOSED_BY_ENVOY: [&str; 1] = ["handshake-upgrade-h2c"];

/// The keys of the strict policy: a place in it, a value that switches it off, and what then stands open.
const FIRST_HALF: &[(&str, &str, &[&str])] = &[
    ("/tls", r#""optional""#, &["handshake-cleartext"]),
    (
        "/origins/allow",
        r#"["*"]"#,
        &[
            "origin-foreign",
            "origin-null",
            "origin-list",
            "origin-suffix",
            "origin-prefix",
            "origin-subdomain",
            "origin-user",
            "origin-backslash",
            "origin-path",
            "origin-scheme",
            "origin-port",
        ],
    ),
    (
        "/auth",
        r#""none""#,
        &[
            "token-missing",
            "token-garbage",
            "token-expired",
            "token-audience",
            "token-signature",
            "token-claims",
            "token-prolonged",
            "token-unsigned",
            "token-alg-none",
            "token-alg-none-case",
            "token-alg-twice",
            "token-weak-secret",
            "token-kid-file",
            "token-jwk",
            "token-zeros",
            "token-twice",
            "token-two-places",
            "token-query",
            "liveness-expiry",
        ],
    ),
    ("/compression", r#""pass""#, &["handshake-compression", "frame-bomb"]),
    ("/messages/max_json_depth", r#""none""#, &["content-json-deep", "content-json-twice"]),
    ("/messages/utf8", "false", &["frame-utf8", "frame-utf8-surrogate", "frame-utf8-split"]),
    ("/rates/1/limit", "100000", &["rate-messages"]),
    ("/rates/3/limit", "100000", &["rate-pings"]),
    (
        "/liveness",
        r#"{"idle_timeout": "10m", "ping_interval": "none"}"#,
        &["liveness-frame", "liveness-pong", "liveness-idle"],
    ),
];

const SECOND_HALF: &[(&str, &str, &[&str])] = &[
    ("/other_upgrades", r#""pass""#, &["handshake-upgrade-tcp"]),
    ("/origins/missing", r#""allow""#, &["origin-missing"]),
    ("/auth/expiry", r#""ignore""#, &["liveness-expiry"]),
    (
        "/auth/from",
        r#"[{"header": "authorization"}, {"cookie": "ws_token"}, {"query": "access_token"}]"#,
        &["token-query"],
    ),
    (
        "/subprotocols/allow",
        r#"["chat.v2", "ssh", "postern-audit"]"#,
        &["handshake-subprotocol-tunnel", "handshake-subprotocol-unknown"],
    ),
    (
        "/messages",
        r#"{"max_json_depth": 32, "max_frame_bytes": "2MiB", "max_message_bytes": "2MiB", "max_fragments": 5000, "tunnels": "pass"}"#,
        &[
            "frame-big",
            "frame-message-big",
            "frame-fragments-many",
            "frame-fragments-empty",
            "content-ssh",
            "content-tls",
            "content-http",
            "content-postgresql",
            "content-redis",
            "content-rfb",
            "content-socks",
        ],
    ),
    ("/rates/0/limit", "100000", &["rate-handshakes"]),
    ("/rates/2/limit", r#""1GiB""#, &["rate-bytes"]),
    ("/connections/per_ip", "1000", &["rate-connections"]),
    ("/liveness/ping_interval", r#""none""#, &["liveness-pong"]),
];

/// Returns a policy under which nothing stands open.
fn strict() -> Value {
    json!({
        "tls": "required",
        "other_upgrades": "deny",
        "origins": {"allow": [ORIGIN], "missing": "deny"},
        "auth": {
            "providers": ["edge"], "from": [{"header": "authorization"}, {"cookie": "ws_token"}],
            "expiry": "close", "expiry_grace": "0s",
        },
        "subprotocols": {"allow": ["chat.v2"]},
        "compression": "strip",
        "messages": {"max_json_depth": 32, "utf8": true, "tunnels": "deny"},
        // What comes back of an attack is not what is tried here.
        "upstream_messages": {"max_frame_bytes": "4MiB", "max_message_bytes": "4MiB"},
        "rates": [
            // An audit makes some 130 handshakes, and then a hundred at once.
            {"count": "handshakes", "per": "ip", "limit": 180, "window": "1h"},
            {"count": "messages", "per": "connection", "limit": 100, "window": "1h"},
            {"count": "bytes", "per": "connection", "limit": "2MiB", "window": "1h"},
            {"count": "control_frames", "per": "connection", "limit": 20, "window": "1h"},
        ],
        "connections": {"per_ip": 20},
        "liveness": {"idle_timeout": "6s", "ping_interval": "2s", "pong_timeout": "3s"},
    })
}

/// Returns the strict policy without these keys, and what stands open then.
fn without(keys: &[(&str, &str, &[&str])]) -> (Value, BTreeSet<String>) {
    let mut policy = strict();
    for (place, value, _) in keys {
        *policy.pointer_mut(place).unwrap_or_else(|| panic!("{place}")) =
            serde_json::from_str(value).expect("JSON");
    }
    let open = keys.iter().flat_map(|(_, _, open)| *open).map(|id| (*id).to_owned()).collect();
    (policy, open)
}

/// Makes a scene with a policy for each name.
fn scene(policies: Value) -> Scene {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"], "clock_skew": "0s",
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    Scene::new()
        .document(document(json!({ "edge": edge }), policies))
        .upstream(PATH, Behaviour::Lenient)
        .change_connection_manager(|hcm| {
            hcm["upgrade_configs"] = json!([{"upgrade_type": "websocket"}, {"upgrade_type": "tcp"}]);
            hcm["http_protocol_options"] =
                json!({"accept_http_10": true, "default_host_for_http_10": "localhost"});
            hcm["request_headers_timeout"] = json!("3s");
        })
}

/// A report, and the code that the command ended with.
#[derive(Debug)]
struct Told {
    code: Option<i32>,
    report: Value,
}

impl Told {
    /// Returns the names of the attacks with this verdict.
    fn with(&self, verdict: &str) -> BTreeSet<String> {
        let attacks = self.report["attacks"].as_array().expect("attacks");
        let of_verdict = attacks.iter().filter(|attack| attack["verdict"] == verdict);
        of_verdict.map(|attack| attack["id"].as_str().expect("a name").to_owned()).collect()
    }

    /// Asserts that exactly these stand open, and that everything was tried and judged.
    fn assert_open(&self, expected: &BTreeSet<String>) {
        let differing: Vec<&Value> = self.report["attacks"]
            .as_array()
            .expect("attacks")
            .iter()
            .filter(|attack| {
                let is_open = attack["verdict"] == "open";
                let is_judged = is_open || attack["verdict"] == "closed";
                is_open != expected.contains(attack["id"].as_str().unwrap_or_default()) || !is_judged
            })
            .collect();
        assert!(differing.is_empty(), "{differing:#?}");
        assert_eq!(&self.with("open"), expected);
        assert_eq!(self.code, Some(i32::from(!expected.is_empty())));
    }
}

/// Returns the command line, which is built beside these tests.
fn command_line() -> Option<PathBuf> {
    let here = std::env::current_exe().ok()?;
    let built = here.parent()?.parent()?.join("postern");
    built.is_file().then_some(built)
}

async fn audit(postern: &PathBuf, url: &str, options: &[&str]) -> Told {
    let claims = |changes: Value| {
        let mut claims = edge_claims("alice");
        for (name, value) in changes.as_object().expect("an object") {
            claims[name] = value.clone();
        }
        Signer::edge().mint(&claims)
    };
    let token = claims(json!({}));
    let tokens = [
        ("POSTERN_AUDIT_TOKEN", token.clone()),
        ("POSTERN_AUDIT_EXPIRED_TOKEN", claims(json!({"exp": now() - 60}))),
        ("POSTERN_AUDIT_FOREIGN_TOKEN", claims(json!({"aud": "other"}))),
        ("POSTERN_AUDIT_EXPIRING_TOKEN", claims(json!({"exp": now() + 10}))),
    ];
    let output = Command::new(postern)
        .args(["audit", url, "--i-own-this", "--origin", ORIGIN, "--subprotocol", "chat.v2"])
        .args(["--token-in", "header", "--token-in", "cookie:ws_token"])
        .args(["--wait", "10s", "--timeout", "8s", "--grace", "2s", "--rate", "200", "--output", "json"])
        .args(options)
        .envs(tokens)
        .kill_on_drop(true)
        .output()
        .await
        .expect("a command line");
    let stdout = String::from_utf8(output.stdout).expect("text");
    let complaint = String::from_utf8_lossy(&output.stderr);
    for part in token.split('.').skip(1) {
        assert!(!stdout.contains(part) && !complaint.contains(part), "a token in the report");
    }
    let report = serde_json::from_str(&stdout).unwrap_or_else(|_| panic!("{url}: {complaint}{stdout}"));
    Told { code: output.status.code(), report }
}

/// Audits the endpoint of one policy.
async fn audit_policy(postern: &PathBuf, scene: &RunningScene, policy: &str) -> Told {
    let certificate = scene.certificate();
    let trusted = ["--ca", certificate.to_str().expect("a path")];
    let url = scene.url(&format!("{PATH}{policy}"));
    audit(postern, &url, if url.starts_with("wss:") { &trusted } else { &[] }).await
}

/// The audits, which wait more than they work: all are made at once.
#[derive(Debug)]
struct Audits {
    bare: Told,
    strict: Told,
    first_half: Told,
    second_half: Told,
}

async fn audits() -> Option<&'static Audits> {
    static AUDITS: OnceCell<Audits> = OnceCell::const_new();
    let Some(postern) = command_line() else {
        not_run("the command line is not built; `cargo build -p postern-cli` builds it");
        return None;
    };
    let start = || async {
        let unlimited = |scene: Scene| {
            scene.change_connection_manager(|hcm| {
                hcm.as_object_mut().expect("an object").remove("request_headers_timeout");
            })
        };
        let (first, second) = (without(FIRST_HALF).0, without(SECOND_HALF).0);
        let (bare, in_the_clear, secure) = tokio::join!(
            unlimited(scene(json!({}))).bare().plaintext().start(),
            unlimited(scene(json!({ "first": first }))).plaintext().beside_others().start(),
            scene(json!({"strict": strict(), "second": second})).beside_others().start(),
        );
        let (bare, strict, first_half, second_half) = tokio::join!(
            audit_policy(&postern, &bare, "strict"),
            audit_policy(&postern, &secure, "strict"),
            audit_policy(&postern, &in_the_clear, "first"),
            audit_policy(&postern, &secure, "second"),
        );
        Audits { bare, strict, first_half, second_half }
    };
    Some(AUDITS.get_or_init(start).await)
}

#[tokio::test]
async fn every_hole_is_found_where_nobody_is_in_front_of_the_service() {
    let Some(Audits { bare, .. }) = audits().await else { return };
    let by_envoy = CLOSED_BY_ENVOY.map(str::to_owned).into();
    let all: BTreeSet<String> = bare.with("open").union(&bare.with("closed")).cloned().collect();
    bare.assert_open(&all.difference(&by_envoy).cloned().collect());
    assert!(bare.with("open").len() >= 40, "{}", bare.with("open").len());
}

#[tokio::test]
async fn nothing_is_found_under_a_strict_policy_and_nothing_is_left_undetermined() {
    let Some(Audits { strict, bare, .. }) = audits().await else { return };
    strict.assert_open(&BTreeSet::new());
    assert!(strict.with("closed").is_superset(&bare.with("open")));
}

#[tokio::test]
async fn exactly_what_the_keys_close_that_are_switched_off_is_found() {
    let Some(Audits { first_half, second_half, .. }) = audits().await else { return };
    let (_, mut expected) = without(FIRST_HALF);
    // Envoy's own limit on heads is switched off there too.
    expected.insert("liveness-head".to_owned());
    first_half.assert_open(&expected);
    second_half.assert_open(&without(SECOND_HALF).1);
}

#[tokio::test]
async fn what_envoy_closes_by_itself_is_found_where_there_is_no_envoy() {
    let Some(postern) = command_line() else { return };
    let upstream = postern_e2e::Upstream::start(vec![(PATH.to_owned(), Behaviour::Lenient)]).await;
    let url = format!("ws://{}{PATH}any", upstream.address());
    let told = audit(&postern, &url, &["--only", &CLOSED_BY_ENVOY.join(",")]).await;
    told.assert_open(&CLOSED_BY_ENVOY.map(str::to_owned).into());
}
