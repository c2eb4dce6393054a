//! `postern explain` as people run it.
#![allow(clippy::indexing_slicing, clippy::unwrap_used, reason = "a test may fail anywhere")]

use std::io::Write;
use std::process::{Command, Stdio};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

const SECRET: &str = "a secret of the tests, thirty-two bytes or more";

/// A time at which the tokens of these tests are good.
const AT: u64 = 1_800_000_000;

const POLICY: &str = r#"
providers:
  edge: {issuer: edge, audiences: [chat], algorithms: [HS256], secret: {env: POSTERN_TEST_SECRET}}
  idp:
    issuer: https://idp.example.com/
    audiences: [chat]
    algorithms: [EdDSA]
    jwks: {remote: {cluster: idp, uri: "https://idp.example.com/jwks", timeout: 3s}}
policies:
  chat:
    origins: {allow: ["https://app.example.com"]}
    auth:
      providers: [edge]
      from: [{header: authorization}, {query: token}, {cookie: token}, {subprotocol: "bearer."}]
      require: [{claim: scope, contains: chat}]
      forward: {x-user-id: sub}
      revocation: {cluster: auth, path: /revoked, interval: 30s}
    rates: [{count: handshakes, per: ip, limit: 120, window: 1h}]
  far:
    origins: {allow: ["https://app.example.com"]}
    auth: {providers: [idp], from: [{header: authorization}]}
  late:
    origins: {allow: ["https://app.example.com"]}
    auth: {providers: [edge], from: [{first_message: /auth/token}]}
  staff:
    tls: mutual
    origins: {allow: ["*"]}
    auth: none
routes:
  - {match: {path_prefix: /chat}, policy: chat}
  - {match: {path_prefix: /far}, policy: far}
  - {match: {path_prefix: /late}, policy: late}
  - {match: {route_name: staff}, policy: staff}
"#;

/// The outcome of a run.
struct Told {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Told {
    fn object(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap()
    }
}

/// A folder with a policy, in which the command runs.
struct Scene(TempDir);

impl Scene {
    fn new() -> Self {
        let scene = Self(tempfile::tempdir().unwrap());
        scene.write("policy.yaml", POLICY);
        scene.write("revoked.json", r#"{"jti": ["taken-back"]}"#);
        scene
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.0.path().join(name), text).unwrap();
    }

    /// Runs `postern explain` with these words, of the policy and at the time of the tests.
    fn explain(&self, words: &[&str]) -> Told {
        self.run(
            &[&["--policy-file", "policy.yaml", "--at", "1800000000", "--revoked", "revoked.json"], words]
                .concat(),
            "",
        )
    }

    fn run(&self, words: &[&str], input: &str) -> Told {
        let mut child = Command::new(env!("CARGO_BIN_EXE_postern"))
            .arg("explain")
            .args(words)
            .current_dir(self.0.path())
            .env("POSTERN_TEST_SECRET", SECRET)
            .env_remove("POSTERN_TEST_ABSENT")
            .env_remove("POSTERN_EXPLAIN_TOKEN")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Told { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

fn token(claims: Value) -> String {
    let mut all = json!({"iss": "edge", "aud": "chat", "sub": "alice", "scope": "chat", "exp": AT + 60});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &all, &key).unwrap()
}

const URL: [&str; 4] = ["--url", "wss://example.com/chat", "--header", "Origin: https://app.example.com"];

/// Returns what a step came to.
fn step<'o>(object: &'o Value, id: &str) -> &'o Value {
    object["steps"].as_array().unwrap().iter().find(|step| step["id"] == id).unwrap()
}

#[test]
fn a_request_that_is_let_in_exits_with_0_and_its_terms_are_told() {
    let token = token(json!({}));
    let told = Scene::new().explain(&[&URL[..], &["--token", &token]].concat());
    assert_eq!(told.code, Some(0), "{}{}", told.stdout, told.stderr);
    for part in [
        "policy `chat` by routes[0]: the first line that matches: path_prefix /chat",
        "rates[0], 120 handshakes per address in 1h, 120 at once: 1 is charged",
        "let in: the handshake goes up\n  takes out authorization\n  sets x-user-id: alice",
        "sub: \"alice\"",
        "ends with the token, at 2027-01-15T08:",
    ] {
        assert!(told.stdout.contains(part), "{part} in {}", told.stdout);
    }
    assert!(!told.stdout.contains('\u{1b}'), "there is no colour where nobody sees it");
}

#[test]
fn no_token_and_no_signature_is_ever_shown() {
    let scene = Scene::new();
    for token in [
        token(json!({})),
        token(json!({"scope": "mail"})),
        token(json!({})) + "x",
        "hunter2.hunter2.hunter2".into(),
    ] {
        for form in ["text", "json"] {
            for url in [
                &URL[..],
                &["--url", "wss://example.com/late", "--header", "Origin: https://app.example.com"],
            ] {
                let told = scene.explain(&[url, &["--token", &token, "--output", form]].concat());
                let all = told.stdout + &told.stderr;
                assert!(!all.contains(&token) && !all.contains(token.rsplit('.').next().unwrap()), "{all}");
            }
        }
    }
}

#[test]
fn a_refusal_exits_with_1_and_says_status_reason_rule_and_cause() {
    let scene = Scene::new();
    let evil =
        ["--url", "wss://example.com/chat", "--header", "Origin: https://evil.example", "--output", "json"];
    let told = scene.explain(&evil);
    assert_eq!(told.code, Some(1));
    let object = told.object();
    assert_eq!(object["outcome"], "refused");
    assert_eq!(object["answer"]["status"], 403);
    assert_eq!(object["violation"]["reason"], "origin_denied");
    assert_eq!(object["violation"]["cause"], "the origin is `https://evil.example`");
    assert_eq!(step(&object, "origins")["verdict"], "refused");
    assert_eq!(step(&object, "rates by ip")["charged"][0]["path"], "rates[0]");
    assert_eq!(step(&object, "auth")["verdict"], "not_reached");
    assert_eq!(step(&object, "drain")["verdict"], "not_set");
    assert_eq!(step(&object, "csrf")["verdict"], "not_set");
    let text = scene.explain(&evil[..4]);
    let refused =
        "refused: 403 origin_denied, Origin not allowed, by the rule origins, by the client: the origin is";
    assert!(text.stdout.contains(refused), "{}", text.stdout);
}

#[test]
fn a_token_goes_where_the_policy_looks_for_one() {
    let scene = Scene::new();
    let good = token(json!({}));
    let carriers = [
        ("{header: authorization}", "the header `authorization`"),
        ("{header: x-token}", "the header `x-token`"),
        ("{query: token}", "the query parameter `token`"),
        ("{cookie: token}", "the cookie `token`"),
        ("{subprotocol: \"bearer.\"}", "the subprotocol `bearer.…`"),
        ("{subprotocol: \"bearer.\", encoding: base64url}", "the subprotocol `bearer.…`"),
    ];
    for (carrier, named) in carriers {
        let from = "[{header: authorization}, {query: token}, {cookie: token}, {subprotocol: \"bearer.\"}]";
        scene.write("policy.yaml", &POLICY.replace(from, &format!("[{carrier}]")));
        let told = scene.explain(&[&URL[..], &["--token", &good, "--output", "json"]].concat());
        assert_eq!(told.code, Some(0), "{carrier}: {}{}", told.stdout, told.stderr);
        assert_eq!(told.object()["token"]["carrier"], named, "{carrier}");
    }
}

#[test]
fn a_token_takes_the_place_of_the_one_that_the_request_has() {
    let old = token(json!({"exp": AT - 3600}));
    let cookie = format!("Cookie: a=b; token={old}; c=d");
    let words = [&URL[..], &["--header", &cookie]].concat();
    let scene = Scene::new();
    let told = scene.explain(&[&words[..], &["--output", "json"]].concat());
    assert_eq!(told.object()["violation"]["reason"], "token_expired");
    let told = scene.explain(&[&words[..], &["--token", &token(json!({})), "--output", "json"]].concat());
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert_eq!(told.object()["token"]["carrier"], "the cookie `token`");
}

#[test]
fn a_token_of_the_first_message_is_judged_as_the_message_would_be() {
    let scene = Scene::new();
    let late = ["--url", "wss://example.com/late", "--header", "Origin: https://app.example.com"];
    let told = scene.explain(&late);
    assert_eq!(told.code, Some(0), "the handshake is let in");
    assert!(
        told.stdout.contains("the token comes in the first message; give one by --token"),
        "{}",
        told.stdout
    );
    let told = scene.explain(&[&late[..], &["--token", &token(json!({}))]].concat());
    assert_eq!(told.code, Some(0), "{}", told.stdout);
    assert!(told.stdout.contains("✓ the first message: the connection is authenticated"), "{}", told.stdout);
    let told = scene.explain(&[&late[..], &["--token", &token(json!({"aud": "mail"}))]].concat());
    assert_eq!(told.code, Some(1), "{}", told.stdout);
    assert!(
        told.stdout.contains("✗ the first message: the connection is closed, 3000 token_invalid"),
        "{}",
        told.stdout
    );
}

#[test]
fn what_is_fetched_is_given_by_files_and_otherwise_said_not_to_be_at_hand() {
    let scene = Scene::new();
    let far = ["--url", "wss://example.com/far", "--header", "Origin: https://app.example.com", "--token"];
    let unsigned = "eyJhbGciOiJFZERTQSJ9.eyJpc3MiOiJodHRwczovL2lkcC5leGFtcGxlLmNvbS8iLCJhdWQiOiJjaGF0IiwiZXhwIjoxOTAwMDAwMDAwfQ.AAAA";
    let told = scene.explain(&[&far[..], &[unsigned]].concat());
    assert_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("would wait up to 3s for keys of idp"), "{}", told.stdout);
    assert!(told.stdout.contains("refused: 503 keys_unavailable"), "{}", told.stdout);
    let keys = json!({"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]});
    scene.write("jwks.json", &keys.to_string());
    let told = scene.explain(&[&far[..], &[unsigned, "--jwks", "idp=jwks.json"]].concat());
    assert!(told.stdout.contains("refused: 401 token_invalid"), "{}", told.stdout);
    let taken_back = token(json!({"jti": "taken-back"}));
    let told = scene.explain(&[&URL[..], &["--token", &taken_back]].concat());
    assert!(told.stdout.contains("refused: 401 token_revoked"), "{}", told.stdout);
    let words = ["--policy-file", "policy.yaml", "--at", "1800000000", "--token", &taken_back];
    let told = scene.run(&[&words[..], &URL[..]].concat(), "");
    assert!(
        told.stdout.contains("would wait up to 2s for the list /revoked from cluster auth"),
        "{}",
        told.stdout
    );
    assert!(told.stdout.contains("refused: 503 revocation_unavailable"), "{}", told.stdout);
}

#[test]
fn requests_come_as_command_lines_archives_heads_and_urls() {
    let scene = Scene::new();
    let head = "GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://app.example.com\r\n\r\n";
    scene.write("head.txt", head);
    let har = json!({"log": {"entries": [{"_resourceType": "websocket", "request": {
        "method": "GET", "url": "wss://example.com/chat",
        "headers": [{"name": "Origin", "value": "https://app.example.com"}],
    }}]}});
    scene.write("page.har", &har.to_string());
    let token = token(json!({}));
    let with_token = |words: &[&str]| scene.explain(&[words, &["--token", &token]].concat());
    let curl = "curl 'wss://example.com/chat' -H $'Origin: https\\u003a//app.example.com'";
    for words in [
        &["--curl", curl][..],
        &["--head", "head.txt"],
        &["--har", "page.har"],
        &["--har", "page.har", "--entry", "0"],
        &URL,
    ] {
        let told = with_token(words);
        assert_eq!(told.code, Some(0), "{words:?}: {}{}", told.stdout, told.stderr);
    }
    let common = [
        "--policy-file",
        "policy.yaml",
        "--at",
        "1800000000",
        "--revoked",
        "revoked.json",
        "--token",
        &token,
    ];
    for (flag, input) in [("--head", head), ("--curl", curl)] {
        assert_eq!(scene.run(&[&common[..], &[flag, "-"]].concat(), input).code, Some(0), "{flag} -");
    }
    let plain = with_token(&["--head", "head.txt", "--plaintext"]);
    assert!(plain.stdout.contains("refused: 403 tls_required"), "{}", plain.stdout);
}

#[test]
fn the_route_and_a_certificate_are_as_they_are_said_to_be() {
    let scene = Scene::new();
    let url = ["--url", "wss://example.com/", "--header", "Origin: https://a.example"];
    let code = |more: &[&str]| scene.explain(&[&url[..], more].concat()).code;
    assert_eq!(code(&[]), Some(1), "no policy");
    assert_eq!(code(&["--route", "staff"]), Some(1), "no certificate");
    assert_eq!(code(&["--route", "staff", "--client-certificate"]), Some(0));
}

/// A route of Envoy's that lays limits over a policy, two of one name that do not agree, and the policy.
const ENVOY: &str = r#"
route_config:
  virtual_hosts:
  - name: all
    domains: ["*"]
    routes:
    - name: room
      match: {prefix: /chat/}
      route: {cluster: service}
      metadata: {filter_metadata: {postern: {policy: chat, messages: {max_message_bytes: 4096}, tls: optional}}}
    - {name: twice, match: {prefix: /a}, route: {cluster: service}, metadata: {filter_metadata: {postern: {policy: chat}}}}
    - {name: twice, match: {prefix: /b}, route: {cluster: service}, metadata: {filter_metadata: {postern: {tls: optional}}}}
http_filters:
- name: postern
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      root_id: postern
      fail_open: false
      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: '{"policies": {"chat": {"origins": {"allow": ["https://app.example.com"]}, "auth": "none"}}, "default_policy": "chat"}'
- {name: envoy.filters.http.router}
"#;

#[test]
fn the_metadata_of_the_route_that_is_named_lie_over_the_policy() {
    let scene = Scene::new();
    scene.write("envoy.yaml", ENVOY);
    scene.write("room.json", r#"{"messages": {"max_message_bytes": 77}}"#);
    scene.write("list.yaml", "- messages");
    let run = |more: &[&str]| {
        let url = ["--url", "ws://example.com/chat/1", "--header", "Origin: https://app.example.com"];
        let file = ["--policy-file", "envoy.yaml", "--output", "json"];
        scene.run(&[&file[..], &url, more].concat(), "")
    };
    assert_eq!(run(&[]).object()["violation"]["reason"], "tls_required", "of the policy alone");
    let room = run(&["--route", "room"]).object();
    assert_eq!(room["limits"]["messages"]["max_message_bytes"], 4096, "{room}");
    let why = "the metadata of Envoy's route name the policy; the metadata of Envoy's route lay over it: messages, tls";
    assert_eq!(room["chosen_by"]["why"], why);
    let given = run(&["--route", "room", "--route-metadata", "room.json", "--header", "X-Any: 1"]);
    assert_eq!(given.object()["violation"]["reason"], "tls_required", "in the place of those in the file");
    let secure =
        ["--policy-file", "envoy.yaml", "--route-metadata", "room.json", "--output", "json", "--url"];
    let secure = [&secure[..], &["wss://a/", "--header", "Origin: https://app.example.com"]].concat();
    assert_eq!(scene.run(&secure, "").object()["limits"]["messages"]["max_message_bytes"], 77);
    for (more, what) in [
        (["--route", "twice"], "envoy.yaml: has several routes `twice`"),
        (["--route-metadata", "list.yaml"], "list.yaml: is no object"),
        (["--route-metadata", "absent.yaml"], "absent.yaml: cannot be read"),
    ] {
        let told = run(&more);
        assert_eq!(told.code, Some(2), "{more:?}");
        assert!(told.stderr.contains(what), "{}", told.stderr);
    }
}

#[test]
fn a_wrong_use_exits_with_2_and_says_what_to_do() {
    let scene = Scene::new();
    scene.write("wrong.yaml", "policies: {chat: {}}");
    scene.write("unset.yaml", &POLICY.replace("POSTERN_TEST_SECRET", "POSTERN_TEST_ABSENT"));
    let two = "policies: {a: {origins: {allow: [\"*\"]}, auth: none}}\n---\npolicies: {b: {origins: {allow: [\"*\"]}, auth: none}}\n";
    scene.write("two.yaml", two);
    let cases: [(&[&str], &str); 9] = [
        (&["--policy-file", "policy.yaml"], "--url"),
        (&["--policy-file", "policy.yaml", "--url", "wss://a/", "--head", "x"], "cannot be used with"),
        (&["--policy-file", "absent.yaml", "--url", "wss://a/"], "absent.yaml: cannot be read"),
        (&["--policy-file", "wrong.yaml", "--url", "wss://a/"], "policies.chat.origins: is missing"),
        (&["--policy-file", "unset.yaml", "--url", "wss://a/"], "POSTERN_TEST_ABSENT"),
        (&["--policy-file", "two.yaml", "--url", "wss://a/"], "--configuration: 1: `a`; 2: `b`"),
        (&["--policy-file", "policy.yaml", "--curl", "wget a"], "does not begin with `curl`"),
        (
            &["--policy-file", "policy.yaml", "--url", "wss://a/", "--jwks", "edge=policy.yaml"],
            "no provider `edge` fetches keys",
        ),
        (&["--policy-file", "policy.yaml", "--url", "wss://a/", "--revoked", "policy.yaml"], "policy.yaml: "),
    ];
    for (words, what) in cases {
        let told = scene.run(words, "");
        assert_eq!(told.code, Some(2), "{words:?}: {}", told.stdout);
        assert!(told.stderr.contains(what), "{words:?}: {}", told.stderr);
    }
    let told = scene.run(&["--policy-file", "two.yaml", "--configuration", "2", "--url", "wss://a/"], "");
    assert!(told.stdout.contains("no_policy"), "{}{}", told.stdout, told.stderr);
}
