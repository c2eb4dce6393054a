//! A sound policy, a sound handshake under it, and changes to both.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::crypto::rust_crypto;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};
use sha1::{Digest, Sha1};

use crate::host::{Fields, Stream, Worker, value_of};

pub(crate) const ORIGIN: &str = "https://app.example.com";
/// What the access log's `%FILTER_STATE(wasm.postern.reason:PLAIN)%` shows.
pub(crate) const REASON: &str = "postern.reason";
/// The facts of an ordinary client's connection.
pub(crate) const PROPERTIES: [(&str, &[u8]); 4] = [
    ("source.address", b"198.51.100.7:40732"),
    ("request.protocol", b"HTTP/1.1"),
    ("connection.tls_version", b"TLSv1.3"),
    ("xds.route_name", b"chat"),
];

const SECRET: &str = "a secret for tests, 32 bytes or more";

/// A document with the one policy `chat`, some of its keys replaced by those of `changes`.
pub(crate) fn document(changes: Value) -> Value {
    let mut policy = json!({
        "origins": {"allow": [ORIGIN], "missing": "deny"},
        "auth": "none",
        "rates": [],
    });
    let Value::Object(changes) = changes else { panic!("changes are an object") };
    policy.as_object_mut().unwrap().extend(changes);
    json!({
        "providers": {"edge": {
            "issuer": "edge",
            "audiences": ["chat"],
            "algorithms": ["HS256"],
            "secret": {"inline": SECRET},
        }},
        "policies": {"chat": policy},
        "default_policy": "chat",
    })
}

/// Authentication by the provider `edge`, with tokens in these carriers.
pub(crate) fn auth(from: Value) -> Value {
    json!({"providers": ["edge"], "from": from, "forward": {"x-user-id": "sub"}})
}

/// Puts [`document`] in force.
pub(crate) fn configure(worker: &Worker, changes: Value) {
    assert!(worker.configure(document(changes).to_string().as_bytes()), "the configuration is refused");
}

/// A token of the provider `edge` with these claims besides issuer and audience.
pub(crate) fn token(claims: Value) -> String {
    let mut all = json!({"iss": "edge", "aud": "chat"});
    all.as_object_mut().unwrap().extend(claims.as_object().unwrap().clone());
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    sign(&json!({"alg": "HS256", "typ": "JWT"}), &all, &key, Algorithm::HS256)
}

/// A token of this header and these claims. It is not signed through the library's default
/// provider, which the filter has yet to install when the first tokens are made.
pub(crate) fn sign(header: &Value, claims: &Value, key: &EncodingKey, algorithm: Algorithm) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = format!("{header}.{claims}");
    let signer = (rust_crypto::DEFAULT_PROVIDER.signer_factory)(&algorithm, key).unwrap();
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signer.sign(signed.as_bytes())))
}

/// A token of alice's that is good for `seconds` from now.
pub(crate) fn token_for(worker: &Worker, seconds: u64) -> String {
    token(json!({"sub": "alice", "exp": worker.now().as_secs() + seconds}))
}

/// The handshake of RFC 6455 §1.3.
pub(crate) fn handshake() -> Fields {
    fields(&[
        (":method", "GET"),
        (":path", "/chat"),
        (":authority", "server.example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
        ("origin", ORIGIN),
        ("x-request-id", "0a1b2c3d-0000-4000-8000-00000000abcd"),
    ])
}

/// The 101 that agrees to `request` as it came up.
pub(crate) fn agreement(request: &Fields) -> Fields {
    let key = value_of(request, "sec-websocket-key").expect("the handshake went up with a key");
    let hash = Sha1::new().chain_update(key).chain_update(b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").finalize();
    fields(&[
        (":status", "101"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", &STANDARD.encode(hash)),
    ])
}

pub(crate) fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
}

/// `fields` with one field `name`, of this value.
pub(crate) fn with(fields: &Fields, name: &str, value: impl AsRef<[u8]>) -> Fields {
    let mut changed = without(fields, name);
    changed.push((name.to_owned(), value.as_ref().to_vec()));
    changed
}

/// `fields` and one more.
pub(crate) fn and(fields: &Fields, name: &str, value: impl AsRef<[u8]>) -> Fields {
    let mut changed = fields.clone();
    changed.push((name.to_owned(), value.as_ref().to_vec()));
    changed
}

/// `fields` without those called `name`.
pub(crate) fn without(fields: &Fields, name: &str) -> Fields {
    fields.iter().filter(|(n, _)| n != name).cloned().collect()
}

/// A stream that `request` opens, over TLS.
pub(crate) fn request<'w>(worker: &'w Worker, request: &Fields) -> Stream<'w> {
    Stream::open(worker, request, &PROPERTIES)
}

/// An open WebSocket.
pub(crate) fn websocket(worker: &Worker) -> Stream<'_> {
    open(worker, &handshake())
}

/// The WebSocket that `handshake` opens.
pub(crate) fn open<'w>(worker: &'w Worker, handshake: &Fields) -> Stream<'w> {
    let stream = request(worker, handshake);
    let went_up = stream.request().expect("the handshake goes up");
    stream.answered(&agreement(&went_up));
    assert_eq!(value_of(&stream.response().expect("the 101 goes down"), ":status"), Some(&b"101"[..]));
    stream
}
