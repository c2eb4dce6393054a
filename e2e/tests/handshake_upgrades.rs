//! Requests that are no WebSocket handshake: ordinary HTTP, and upgrades to other protocols.

use postern_e2e::scene::document;
use postern_e2e::{Answer, Attack, Behaviour, ControlPair, Request, Scene, Shared, json};

/// Makes a scene whose Envoy lets `foo` pass too, as an operator would let `tcp` or `CONNECT-UDP`.
fn scene() -> Scene {
    let switched =
        Answer::switching().without("upgrade").header("Upgrade", "foo").without("Sec-WebSocket-Accept");
    Scene::new()
        .document(document(
            json!({}),
            json!({
                "sockets": {},
                "only": {"upgrade_only": true},
                "others": {"other_upgrades": "pass", "origins": {"allow": ["null"], "missing": "deny"}},
            }),
        ))
        .upstream("/ws/sockets/foo", Behaviour::Answer(switched.clone()))
        .upstream("/ws/others/foo", Behaviour::Answer(switched))
        .change_connection_manager(|hcm| {
            hcm["upgrade_configs"] = json!([{"upgrade_type": "websocket"}, {"upgrade_type": "foo"}]);
        })
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn to_foo(path: &str) -> Request {
    Request::get(path).header("Connection", "Upgrade").header("Upgrade", "foo")
}

#[tokio::test]
async fn an_upgrade_to_another_protocol_is_refused_unless_the_policy_lets_it_pass() {
    let pair = PAIR.alone().await;
    let cases = [
        ("sockets", "upgrade_denied", to_foo("/ws/sockets/foo")),
        ("none", "no_policy", to_foo("/elsewhere")),
    ];
    for (policy, reason, request) in cases {
        pair.assert_refused(&Attack { name: policy, request, policy, status: 403, reason }).await;
    }
    let mut client = pair.guarded.connect().await;
    assert_eq!(client.ask(&to_foo("/ws/others/foo")).await.header("upgrade").as_deref(), Some("foo"));
    client.send("these are no frames").await;
    let record = pair.guarded.record(&client).await;
    assert_eq!(record.bytes_when(19).await, b"these are no frames");

    let unasked = Request::upgrade("/ws/others");
    let attack = Attack {
        name: "a WebSocket beside it",
        request: unasked,
        policy: "others",
        status: 403,
        reason: "origin_missing",
    };
    pair.assert_refused(&attack).await;
}

#[tokio::test]
async fn ordinary_http_is_refused_where_only_sockets_are_served() {
    let pair = PAIR.alone().await;
    let cases = [
        ("GET", Request::get("/ws/only")),
        ("POST", Request::get("/ws/only").method("POST").header("Content-Length", "2").body("hi")),
    ];
    for (name, request) in cases {
        let attack = Attack { name, request, policy: "only", status: 426, reason: "upgrade_required" };
        pair.assert_refused(&attack).await;
    }
    assert_eq!(pair.guarded.ask(&Request::upgrade("/ws/only")).await.status, 101);
}

#[tokio::test]
async fn ordinary_http_passes_byte_for_byte() {
    let pair = PAIR.alone().await;
    let odd = b"\xff\xfe;=,";
    let cases = [
        ("GET", Request::get("/ws/sockets?access_token=x&a=%2F")),
        ("no policy", Request::get("/elsewhere")),
        ("HEAD of a handshake without Upgrade", Request::upgrade("/ws/sockets").without("upgrade")),
        (
            "a body",
            Request::get("/ws/sockets").method("POST").header("Content-Length", "4").body(b"\0\xff\r\n"),
        ),
        (
            "chunks",
            Request::get("/ws/sockets")
                .method("PUT")
                .header("Transfer-Encoding", "chunked")
                .body("3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"),
        ),
        (
            "headers that Postern reads elsewhere",
            Request::get("/ws/sockets")
                .header("Origin", "https://evil.example")
                .header("Authorization", "Bearer not.a.token")
                .header("Cookie", "a=b; c")
                .header("Sec-WebSocket-Protocol", "ssh")
                .header("Sec-WebSocket-Extensions", "permessage-deflate"),
        ),
        (
            "headers that are not text",
            Request::get("/ws/sockets").header("Origin", odd).header("Cookie", odd),
        ),
        (
            "an upgrade that Envoy drops",
            Request::get("/ws/sockets").header("Connection", "Upgrade").header("Upgrade", "h2c"),
        ),
    ];
    for (name, request) in cases {
        pair.assert_untouched(name, &request).await;
    }
}
