//! The offers of a client in a handshake: subprotocols and extensions.

use postern_e2e::scene::document;
use postern_e2e::{Answer, Attack, Behaviour, ControlPair, Frame, Request, Scene, Shared, json};

const PROTOCOL: &str = "Sec-WebSocket-Protocol";

fn scene() -> Scene {
    let picks_second = Answer::switching().header(PROTOCOL, "chat.v1");
    Scene::new()
        .document(document(
            json!({}),
            json!({
                "any": {},
                "some": {"subprotocols": {"allow": ["chat.v2", "chat.v1"]}},
                "one": {"subprotocols": {"allow": ["chat.v2", "chat.v1"], "require": true}},
                "tunnel": {"subprotocols": {"allow": ["ssh", "SPDY/3.1+portforward.k8s.io"]}},
            }),
        ))
        .upstream("/ws/some/second", Behaviour::Answer(picks_second))
        .upstream("/ws/some/none", Behaviour::Answer(Answer::switching()))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn offering(policy: &str, offers: &[&str]) -> Request {
    let request = Request::upgrade(&format!("/ws/{policy}"));
    offers.iter().fold(request, |request, offer| request.header(PROTOCOL, offer))
}

#[tokio::test]
async fn an_offer_of_nothing_that_is_allowed_is_denied() {
    let pair = PAIR.alone().await;
    let cases: [(&str, &str, &[&str]); 13] = [
        ("none of those allowed", "some", &["soap"]),
        ("none of several", "some", &["soap, wamp"]),
        ("another case", "some", &["CHAT.V2"]),
        ("a prefix", "some", &["chat"]),
        ("no offer where one is required", "one", &[]),
        ("an SSH tunnel", "any", &["ssh"]),
        ("noVNC", "any", &["binary, base64"]),
        ("chisel", "any", &["chisel-v3"]),
        ("Kubernetes port forwarding", "any", &["portforward.k8s.io"]),
        ("Kubernetes port forwarding over SPDY", "any", &["SPDY/3.1+portforward.k8s.io"]),
        ("a name with a slash", "any", &["chat/v2"]),
        ("a name with a slash that is not allowed", "some", &["chat/v2"]),
        ("tunnels in another case, in two headers", "any", &["SSH", "Guacamole"]),
    ];
    for (name, policy, offers) in cases {
        let request = offering(policy, offers);
        pair.assert_refused(&Attack { name, request, policy, status: 403, reason: "subprotocol_denied" })
            .await;
    }
}

#[tokio::test]
async fn an_offer_that_is_no_list_of_names_is_malformed() {
    let pair = PAIR.alone().await;
    let cases: [(&str, &[&str]); 5] = [
        ("no token", &["chat v2"]),
        ("a slash behind nothing", &["/v2"]),
        ("quotes", &["\"chat.v2\""]),
        ("twice in a list", &["chat.v2, chat.v2"]),
        ("twice in two headers", &["chat.v2", "chat.v2"]),
    ];
    for (name, offers) in cases {
        let (request, policy) = (offering("some", offers), "some");
        pair.assert_refused(&Attack { name, request, policy, status: 400, reason: "malformed_handshake" })
            .await;
    }
}

#[tokio::test]
async fn what_is_allowed_of_an_offer_goes_up_in_the_clients_order_and_the_upstream_picks() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let cases: [(&str, &[&str], Option<&str>, Option<&str>); 10] = [
        ("some", &[], None, None),
        ("some", &["soap, chat.v1, chat.v2"], Some("chat.v1, chat.v2"), Some("chat.v1")),
        ("some", &["chat.v2"], Some("chat.v2"), Some("chat.v2")),
        ("some", &["chat.v2", "soap", "chat.v1"], Some("chat.v2, chat.v1"), Some("chat.v2")),
        ("some/second", &["chat.v2, chat.v1"], Some("chat.v2, chat.v1"), Some("chat.v1")),
        ("some/none", &["chat.v2"], Some("chat.v2"), None),
        ("one", &["chat.v1"], Some("chat.v1"), Some("chat.v1")),
        ("any", &["mqtt, ssh, wamp"], Some("mqtt, wamp"), Some("mqtt")),
        ("tunnel", &["ssh"], Some("ssh"), Some("ssh")),
        (
            "tunnel",
            &["SPDY/3.1+portforward.k8s.io"],
            Some("SPDY/3.1+portforward.k8s.io"),
            Some("SPDY/3.1+portforward.k8s.io"),
        ),
    ];
    for (path, offers, up, picked) in cases {
        let client = scene.open_with(&offering(path, offers)).await;
        let record = scene.record(&client).await;
        let seen = record.head.headers.all(PROTOCOL);
        let seen = (!seen.is_empty()).then(|| seen.join(", "));
        assert_eq!(seen.as_deref(), up, "{path} {offers:?}");
        let response = scene.ask(&offering(path, offers)).await;
        assert_eq!(response.header(PROTOCOL).as_deref(), picked, "{path} {offers:?}");
    }
}

/// A compressed message could not be judged.
#[tokio::test]
async fn no_extension_is_offered_to_the_upstream() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let offers: [&[&[u8]]; 4] = [
        &[b"permessage-deflate; client_max_window_bits"],
        &[b"permessage-deflate", b"x-webkit-deflate-frame"],
        &[b"bbf-usp-protocol"],
        &[b"\xff\xfe"],
    ];
    for values in offers {
        let request = Request::upgrade("/ws/any");
        let request = values.iter().fold(request, |r, value| r.header("Sec-WebSocket-Extensions", value));
        let mut client = scene.open_with(&request).await;
        assert_eq!(scene.record(&client).await.header("sec-websocket-extensions"), None);
        client.send(Frame::text("plain").masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(Frame::text("plain")));
    }
}
