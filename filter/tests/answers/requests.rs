//! Random handshakes, sound ones for the most part, and the responses to them.

use serde_json::{Value, json};

use crate::fixtures::{ORIGIN, PROPERTIES, agreement, and, fields, handshake, token, with, without};
use crate::host::{Fields, Worker};
use crate::numbers::Numbers;

/// A token, which may be wrong.
pub(crate) fn any_token(worker: &Worker, numbers: &mut Numbers) -> String {
    let now = worker.now().as_secs();
    let mut claims = json!({
        "sub": numbers.of(&["alice", "alice", "bob"]), "exp": now + numbers.of(&[5, 30, 60, 600]),
        "jti": format!("jti {}", numbers.to(3)),
    });
    if !numbers.one_in(4) {
        claims["scope"] = json!(numbers.of(&["chat news", "chat", "news"]));
    }
    if numbers.one_in(12) {
        let (claim, value) = numbers.of(&[
            ("exp", json!(now - 100)),
            ("exp", json!("soon")),
            ("nbf", json!(now + 100)),
            ("aud", json!("mail")),
            ("iss", json!("far")),
            ("sub", json!(" alice")),
            ("sub", json!("")),
            ("sub", json!(["alice"])),
        ]);
        claims[claim] = value;
    }
    let mut token = token(claims);
    if numbers.one_in(16) {
        token.pop();
    }
    if numbers.one_in(30) {
        token = numbers.of(&["", "a.b.c", "no token"]).to_owned();
    }
    token
}

/// A request for a WebSocket, for the most part, and for the most part with a token where `document` looks for one.
pub(crate) fn request(document: &Value, worker: &Worker, numbers: &mut Numbers) -> Fields {
    let mut request = handshake();
    if numbers.one_in(2) {
        let offer = numbers.of(&[
            "permessage-deflate",
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; client_no_context_takeover; server_no_context_takeover, x-other",
            "permessage-deflate; server_max_window_bits=7",
        ]);
        request = with(&request, "sec-websocket-extensions", offer);
    }
    let mut path = "/chat".to_owned();
    let mut offers = Vec::new();
    let wanted = document.pointer("/policies/chat/auth/from/0").and_then(Value::as_object);
    let wanted = wanted.and_then(|carrier| carrier.keys().next()).map(String::as_str);
    if let Some(carrier) = wanted.filter(|_| !numbers.one_in(8)) {
        carry(carrier, &any_token(worker, numbers), &mut request, &mut path, &mut offers);
    }
    if numbers.one_in(6) {
        let carrier = numbers.of(&["header", "query", "cookie", "subprotocol", "subprotocol_pair"]);
        carry(carrier, &any_token(worker, numbers), &mut request, &mut path, &mut offers);
    }
    if numbers.one_in(3) {
        offers.push(numbers.of(&["chat.v2", "chat.v1", "mail"]).to_owned());
    }
    if !offers.is_empty() {
        request = with(&request, "sec-websocket-protocol", offers.join(", "));
    }
    if numbers.one_in(6) {
        request = and(&request, "cookie", "sid=one; theme=dark");
    }
    request = with(&request, ":path", &path);
    if numbers.one_in(6) {
        request = changed(&request, numbers);
    }
    request
}

fn carry(carrier: &str, token: &str, request: &mut Fields, path: &mut String, offers: &mut Vec<String>) {
    match carrier {
        "header" => {
            *request = with(request, "authorization", format!("Bearer {token}"));
            *request = with(request, "x-token", token);
        }
        "query" => path.push_str(&format!("?access_token={token}&room=1")),
        "cookie" => *request = and(request, "cookie", format!("ws_token={token}")),
        "subprotocol" => offers.push(format!("bearer.{token}")),
        "subprotocol_pair" => offers.extend(["bearer".to_owned(), token.to_owned()]),
        _ => {}
    }
}

/// A request that is odd in one thing.
fn changed(request: &Fields, numbers: &mut Numbers) -> Fields {
    let (name, value) = numbers.of(&[
        ("origin", "https://evil.example"),
        ("origin", "https://evil.example"),
        ("origin", "null"),
        ("origin", "https://app.example.com,https://evil.example"),
        ("origin", "app.example.com"),
        ("sec-websocket-version", "8"),
        ("sec-websocket-version", "13, 8"),
        ("sec-websocket-key", "short"),
        (":method", "POST"),
        (":authority", "other.example.com"),
        (":authority", "user@server.example.com"),
        (":authority", "server.example.com:80:80"),
        (":path", "/chat/../admin"),
        (":path", "/chat#fragment"),
        (":path", "/%2e%2e/chat"),
        ("upgrade", "h2c"),
        ("upgrade", "websocket, h2c"),
        ("connection", "keep-alive"),
        ("content-length", "5"),
        ("transfer-encoding", "chunked"),
        ("x-user-id", "root"),
        ("x_user_id", "root"),
        ("sec-websocket-accept", "early"),
        ("sec-websocket-protocol", "chat.v2,,chat.v1"),
        ("x-forwarded-proto", "https"),
    ]);
    match numbers.to(9) {
        0 => without(request, name),
        1 => and(request, name, value),
        2 => {
            let ordinary = without(&without(request, "upgrade"), "connection");
            without(&ordinary, "sec-websocket-key")
        }
        _ => with(request, name, value),
    }
}

/// Facts of the connection.
pub(crate) fn properties(numbers: &mut Numbers) -> Vec<(&'static str, &'static [u8])> {
    let mut properties = PROPERTIES.to_vec();
    if numbers.one_in(12) {
        properties.retain(|(path, _)| *path != "connection.tls_version");
    }
    if numbers.one_in(3) {
        properties[0].1 = b"203.0.113.9:40732";
    }
    if numbers.one_in(12) {
        properties.push(("connection.mtls", b"\x01"));
    }
    properties
}

/// What the service says to a request as it came up.
pub(crate) fn response(request: &Fields, numbers: &mut Numbers) -> Fields {
    let upgrades = request.iter().any(|(name, _)| name == "upgrade");
    if !upgrades || !request.iter().any(|(name, _)| name == "sec-websocket-key") {
        let status = if upgrades && numbers.one_in(3) { "101" } else { "200" };
        return fields(&[
            (":status", status),
            ("content-type", "text/html; charset=utf-8"),
            ("upgrade", "h2c"),
        ]);
    }
    let mut response = agreement(request);
    if request.iter().any(|(name, _)| name == "sec-websocket-extensions") && !numbers.one_in(6) {
        let answer = numbers.of(&[
            "permessage-deflate",
            "permessage-deflate",
            "permessage-deflate; client_no_context_takeover",
            "x-other",
        ]);
        response = with(&response, "sec-websocket-extensions", answer);
    }
    let offered = request.iter().find(|(name, _)| name == "sec-websocket-protocol");
    if let Some((_, offered)) = offered.filter(|_| !numbers.one_in(6)) {
        let first = offered.split(|byte| *byte == b',').next().unwrap();
        response = with(&response, "sec-websocket-protocol", first.trim_ascii());
    }
    if numbers.one_in(10) {
        let (name, value) = numbers.of(&[
            ("sec-websocket-accept", "wrong"),
            (":status", "200"),
            (":status", "403"),
            ("upgrade", "h2c"),
            ("connection", "close"),
            ("sec-websocket-protocol", "mail"),
            ("sec-websocket-extensions", "x-other"),
        ]);
        response = with(&response, name, value);
    }
    response
}

/// What a cluster answers that is asked for keys or a list.
pub(crate) fn document(path: &[u8], worker: &Worker, numbers: &mut Numbers) -> Value {
    if path.ends_with(b"keys") {
        let keys = [
            json!({"kty": "EC", "crv": "P-256", "kid": "one",
                "x": "MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4", "y": "4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM"}),
            json!({"kty": "oct", "k": "AAAA"}),
        ];
        return json!({"keys": keys});
    }
    let before = worker.now().as_secs() - numbers.of(&[0, 3_000_000]);
    numbers.of(&[
        json!({"jti": ["jti 1"]}),
        json!({"sub": {"alice": before}}),
        json!({"jti": [], "sub": {}, "sid": []}),
        json!({"jti": 7}),
    ])
}

/// Fields that a client may send behind all others.
pub(crate) fn trailers() -> Fields {
    fields(&[("x-user-id", "root"), ("x-checksum", ORIGIN)])
}
