//! The policies, keys and requests that the targets judge with.

use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use postern_config::{Compression, Config};
use postern_engine::auth::keys::Keyring;
use postern_engine::http::headers::Field;
use postern_engine::{
    ConnectionFacts, Engine, Entropy, Input, Output, Protocol, RequestHead, RouteFacts, Selection, Session,
};
use serde_json::{Value, json};

use crate::stream::{INSPECTED_POLICIES, OFFER, PASSED_POLICY, STREAM_POLICIES, StreamPolicy};
use crate::tables::Open;

/// What time it is for every target, since the Unix epoch.
pub(crate) const NOW: Duration = Duration::from_secs(2_000_000_000);
/// The masking key of Postern's own Close to the upstream.
pub(crate) const MASK: [u8; 4] = [1, 2, 3, 4];
/// The field that extensions are offered and agreed on in.
pub(crate) const EXTENSIONS: &str = "sec-websocket-extensions";
/// The `iss` of the provider with public keys.
pub(crate) const ISSUER: &str = "https://auth.example.com/";

pub(crate) const SECRET: &str = "a secret for tests, 32 bytes or more";

/// A policy for each thing that targets want to reach.
const POLICIES: [&str; 6] = ["chat", "keep", "small", "drop", "wide", "once"];

thread_local! {
    static ENGINE: Engine = compile(Config::from_value(document()).expect("the fixture is sound"));
    static KEYS: Keyring = {
        let config = Config::from_value(document()).expect("the fixture is sound");
        Keyring::compile(&config.providers, &|_| None).expect("its keys are sound")
    };
}

/// Runs `act` with an engine of [`document`].
pub(crate) fn with_engine<T>(act: impl FnOnce(&Engine) -> T) -> T {
    ENGINE.with(act)
}

/// Runs `act` with the keys of [`document`].
pub(crate) fn with_keys<T>(act: impl FnOnce(&Keyring) -> T) -> T {
    KEYS.with(act)
}

/// Makes a document ready, as the filter does at its configuration.
pub(crate) fn compile(config: Config) -> Engine {
    Engine::compile(config, &|_| None, [7; 16]).expect("its secrets and keys are inline")
}

/// The route that leads to one of the policies, or to none.
pub(crate) fn route(choice: u8) -> RouteFacts {
    let name = POLICIES.get(usize::from(choice) % (POLICIES.len() + 1));
    route_named(name.copied())
}

fn route_named(name: Option<&str>) -> RouteFacts {
    RouteFacts { name: name.map(str::to_owned), metadata: None }
}

/// The private key for `algorithm`, if there is one here.
pub(crate) fn key(algorithm: Algorithm) -> Option<EncodingKey> {
    match algorithm {
        Algorithm::HS256 => Some(EncodingKey::from_secret(SECRET.as_bytes())),
        Algorithm::ES256 => {
            EncodingKey::from_ec_pem(include_bytes!("../../engine/src/auth/testdata/p256.pem")).ok()
        }
        Algorithm::EdDSA => {
            EncodingKey::from_ed_pem(include_bytes!("../../engine/src/auth/testdata/ed25519.pem")).ok()
        }
        _ => None,
    }
}

fn jwk(algorithm: Algorithm, kid: &str) -> Value {
    let key = key(algorithm).expect("a key that is here");
    let jwk = Jwk::from_encoding_key(&key, algorithm).expect("it has a public half");
    let mut jwk = serde_json::to_value(jwk).expect("a JWK is JSON");
    jwk["kid"] = json!(kid);
    jwk
}

/// The document that all targets share: every carrier, public and secret keys, small limits.
pub(crate) fn document() -> Value {
    let from = json!([
        {"header": "authorization"}, {"header": "x-token"}, {"query": "access_token"},
        {"cookie": "ws_token"}, {"subprotocol": "bearer."},
    ]);
    let auth = |keep_token: bool| {
        json!({
            "providers": ["main", "edge"],
            "from": from,
            "require": [{"claim": "scope", "contains": "chat"}],
            "forward": {"x-user-id": "sub", "x-user-tier": "/realm/tier"},
            "keep_token": keep_token,
        })
    };
    let mut once = auth(false);
    once["single_use"] = json!(true);
    let origins = json!({"allow": ["https://app.example.com", "https://*.example.com"], "missing": "allow"});
    let handshakes = |per: &str| json!({"count": "handshakes", "per": per, "limit": 3, "window": "1s"});
    let rate = |count: &str, per: &str, limit: u64, on_exceed: &str| json!({"count": count, "per": per, "limit": limit, "window": "1s", "on_exceed": on_exceed});
    let messages = |on_exceed: &str| json!([rate("messages", "connection", 4, on_exceed)]);
    let streams = STREAM_POLICIES.iter().map(|policy| policy.name).filter(|name| !POLICIES.contains(name));
    let compressed = || INSPECTED_POLICIES.iter().chain([&PASSED_POLICY]);
    let names = POLICIES.into_iter().chain(streams).chain(compressed().map(|policy| policy.name));
    let tls = "forwarded";
    let mut document = json!({
        "providers": {
            "main": {
                "issuer": ISSUER,
                "audiences": ["chat"],
                "algorithms": ["ES256", "EdDSA"],
                "jwks": {"inline": {"keys": [jwk(Algorithm::ES256, "p256"), jwk(Algorithm::EdDSA, "ed")]}},
            },
            "edge": {
                "issuer": "edge",
                "audiences": ["chat"],
                "algorithms": ["HS256"],
                "secret": {"inline": SECRET},
            },
        },
        "policies": {
            "chat": {
                "tls": tls, "origins": origins, "auth": auth(false),
                "subprotocols": {"allow": ["chat.v2", "chat.v1"]},
                "rates": [handshakes("ip"), handshakes("policy"), handshakes("user")],
            },
            "keep": {"tls": "optional", "origins": origins, "auth": auth(true), "other_upgrades": "pass"},
            "small": {
                "tls": "optional", "origins": origins, "auth": "none", "rates": messages("close"),
                "messages": {
                    "max_frame_bytes": 16, "max_message_bytes": 24, "max_fragments": 3, "types": ["text"],
                },
                "upstream_messages": {"max_frame_bytes": 16, "max_message_bytes": 24},
            },
            "drop": {"tls": "optional", "origins": origins, "auth": "none", "rates": messages("drop")},
            "wide": {
                "tls": "optional", "origins": origins, "auth": "none", "rates": [], "upgrade_only": true,
            },
            "once": {
                "tls": "optional", "origins": origins, "auth": once, "rates": [handshakes("user")],
                "csrf": {
                    "secret": {"inline": SECRET}, "session_cookie": "sid", "from": {"query": "csrf_token"},
                    "issue": {"cookie": "__Host-csrf"},
                },
            },
            "proved": {
                "tls": "optional", "origins": origins, "auth": "none", "rates": [
                    rate("bytes", "connection", 100, "drop"), rate("control_frames", "connection", 6, "close"),
                ],
                "messages": {"max_frame_bytes": 64, "max_message_bytes": 96, "max_fragments": 4},
                "upstream_messages": {"max_frame_bytes": 300, "max_message_bytes": 400, "utf8": true},
            },
            "shared": {
                "tls": "optional", "origins": origins, "auth": "none", "rates": [
                    rate("messages", "ip", 5, "drop"), rate("bytes", "policy", 120, "close"),
                    rate("messages", "policy", 9, "close"), rate("control_frames", "ip", 6, "close"),
                ],
            },
            "unproved": {
                "tls": "optional", "origins": origins, "auth": "none", "rates": [],
                "messages": {"utf8": false, "max_message_bytes": 256},
            },
        },
        "routes": names.map(|name| json!({"match": {"route_name": name}, "policy": name})).collect::<Vec<_>>(),
    });
    for policy in compressed() {
        document["policies"][policy.name] = policy.written();
    }
    // Who is silent is for a simulation, and so is what an opening may still become, which is held meanwhile.
    for (_, policy) in document["policies"].as_object_mut().expect("policies") {
        policy["liveness"]["idle_timeout"] = json!("8000h");
        policy["liveness"]["ping_interval"] = json!("none");
        policy["messages"]["tunnels"] = json!("pass");
    }
    document
}

/// A handshake with nothing wrong, without a token: the example of RFC 6455 §1.3.
pub(crate) fn handshake() -> Vec<Field> {
    [
        (":method", "GET"),
        (":path", "/chat"),
        (":authority", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .to_vec()
}

/// The 101 that agrees to it.
pub(crate) fn agreement() -> Vec<Field> {
    [
        (":status", "101"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]
    .map(|(name, value)| (name.to_owned(), value.as_bytes().to_vec()))
    .to_vec()
}

/// A request of these fields on a connection that `flags` tell of.
pub(crate) fn head(fields: Vec<Field>, flags: u8) -> RequestHead {
    let protocol = match flags >> 2 & 3 {
        0 => Protocol::Http10,
        1 => Protocol::Multiplexed,
        _ => Protocol::Http11,
    };
    let client = match flags >> 4 & 3 {
        0 => None,
        1 => Some([0x2001, 0xdb8, 0, 1, 0, 0, 0, 1].into()),
        _ => Some([198, 51, 100, 7].into()),
    };
    RequestHead {
        fields,
        connection: ConnectionFacts { tls: flags & 1 != 0, mutual_tls: flags & 2 != 0, protocol, client },
        entropy: Entropy { key: [7; 16], mask: MASK, ping: [5; 16], instance: [9; 16], session: [0; 4] },
    }
}

/// Flags of an ordinary HTTP/1.1 connection over TLS.
pub(crate) const ORDINARY: u8 = 0b10_1001;

/// A session under the policy of `choice` whose sound handshake went up, as far as its policy
/// lets one without a token.
pub(crate) fn admitted(choice: u8) -> Option<Session> {
    admitted_on(&route(choice), handshake())
}

/// A session under `policy` whose sound handshake went up, with an offer where one may go up.
pub(crate) fn admitted_under(policy: &StreamPolicy) -> Option<Session> {
    let mut fields = handshake();
    if policy.compression != Compression::Strip {
        fields.push((EXTENSIONS.to_owned(), OFFER.into()));
    }
    admitted_on(&route_named(Some(policy.name)), fields)
}

fn admitted_on(route: &RouteFacts, fields: Vec<Field>) -> Option<Session> {
    let head = head(fields, ORDINARY);
    let Selection::Judge(mut session) = with_engine(|engine| engine.select(&head, route)) else {
        return None;
    };
    session.handle(Input::Request(head), &mut Open, NOW);
    match session.poll_output()? {
        Output::Admit(_) => Some(*session),
        _ => None,
    }
}

/// Lines `name: value` as fields.
pub(crate) fn fields(lines: &[u8]) -> Vec<Field> {
    let field = |line: &[u8]| {
        // HTTP/2 pseudo-fields begin with a colon.
        let colon = line.iter().skip(1).position(|&b| b == b':')? + 1;
        let name = std::str::from_utf8(line.get(..colon)?).ok()?.to_ascii_lowercase();
        Some((name, line.get(colon + 1..)?.trim_ascii_start().to_vec()))
    };
    lines.split(|&b| b == b'\n').filter_map(field).collect()
}
