//! WebSockets as Kubernetes has them for `exec` and `port-forward`: frames with the byte of a channel, the token among the
//! subprotocols, in base64url, as its browsers offer it, and subprotocols that look like no other.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use postern_e2e::client::python::{self, Service};
use postern_e2e::client::token::{edge_claims, tampered};
use postern_e2e::scene::document;
use postern_e2e::{Frame, Request, RunningScene, Scene, Signer, Value, json};

const CHANNELS: &str = "v5.channel.k8s.io";
const BEARER: &str = "base64url.bearer.authorization.k8s.io.";
const PORT_FORWARD: &str = "SPDY/3.1+portforward.k8s.io";

fn auth(from: Value) -> Value {
    json!({"providers": ["edge"], "from": [from]})
}

/// Makes a scene with the policy `exec`, with these keys over it.
fn scene(keys: Value) -> Scene {
    let provider = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let mut policy = json!({
        "auth": auth(json!({"subprotocol": BEARER, "encoding": "base64url"})),
        "subprotocols": {"allow": [CHANNELS], "require": true}, "messages": {"types": ["binary"]},
    });
    for (key, value) in keys.as_object().expect("an object") {
        policy[key] = value.clone();
    }
    Scene::new().document(document(json!({"edge": provider}), json!({"exec": policy})))
}

async fn service() -> Option<Service> {
    python::serve(include_str!("python/exec_server.py")).await
}

fn token() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

fn bearer(token: &str) -> String {
    format!("{BEARER}{}", URL_SAFE_NO_PAD.encode(token))
}

/// Returns the view of the client that offers these subprotocols; `None` when there is no such client on this
/// machine.
async fn visit(scene: &RunningScene, subprotocols: &[&str]) -> Option<Value> {
    let options = json!({
        "url": scene.url("/ws/exec"), "certificate": scene.certificate(), "subprotocols": subprotocols,
        "lines": ["echo\n", "ls\n"],
    });
    let outcome = python::run(include_str!("python/exec_client.py"), &[&options.to_string()]).await?;
    assert!(outcome.success, "{}", outcome.stderr);
    Some(serde_json::from_str(&outcome.stdout).expect("a report in JSON"))
}

/// Returns the view of a client whose command has run and whose service saw these offers.
fn executed(offered: &[&str]) -> Value {
    let status = json!({"metadata": {}, "status": "Success"});
    json!({"offered": [offered.join(", ")], "stdout": "ECHO\nLS\n", "status": status})
}

/// Returns the channels of a client's view, each decoded.
fn channels(seen: &Value) -> Value {
    let channel = |number: &str| seen["channels"][number].as_str().unwrap_or_default().to_owned();
    let offered: Value = serde_json::from_str(&channel("2")).unwrap_or_default();
    let status: Value = serde_json::from_str(&channel("3")).unwrap_or_default();
    json!({"offered": offered, "stdout": channel("1"), "status": status})
}

#[tokio::test]
async fn a_command_runs_to_its_end_and_its_service_does_not_see_the_token() {
    let Some(service) = service().await else { return };
    let guarded = scene(json!({})).service(service.address()).beside_others().start().await;
    let bare = scene(json!({})).bare().service(service.address()).start().await;
    let bearer = bearer(&token());
    for (scene, up) in [(&guarded, &[CHANNELS][..]), (&bare, &[CHANNELS, &bearer])] {
        let Some(seen) = visit(scene, &[CHANNELS, &bearer]).await else { return };
        assert_eq!((&seen["status"], &seen["protocol"]), (&json!(101), &json!(CHANNELS)), "{seen}");
        assert_eq!(channels(&seen), executed(up), "{seen}");
        assert_eq!(seen["code"], 1000, "{seen}");
    }
}

#[tokio::test]
async fn without_a_good_token_in_base64url_no_command_runs_and_through_a_bare_envoy_it_does() {
    let Some(service) = service().await else { return };
    let guarded = scene(json!({})).service(service.address()).beside_others().start().await;
    let plain = scene(json!({"auth": auth(json!({"subprotocol": BEARER}))}));
    let plain = plain.service(service.address()).beside_others().start().await;
    let bare = scene(json!({})).bare().service(service.address()).start().await;
    let (good, forged) = (bearer(&token()), bearer(&tampered::signature(&token())));
    for (scene, offers, problem) in [
        (&guarded, vec![CHANNELS, &forged], "urn:postern:token_invalid"),
        (&guarded, vec![CHANNELS], "urn:postern:token_missing"),
        (&plain, vec![CHANNELS, &good], "urn:postern:token_invalid"),
    ] {
        let Some(seen) = visit(scene, &offers).await else { return };
        assert_eq!((&seen["status"], &seen["problem"]), (&json!(401), &json!(problem)), "{seen}");
        let Some(seen) = visit(&bare, &offers).await else { return };
        assert_eq!(channels(&seen), executed(&offers), "{seen}");
    }
}

#[tokio::test]
async fn an_older_version_of_the_channels_is_refused_where_it_is_not_allowed() {
    let scene = scene(json!({})).beside_others().start().await;
    let offers = format!("v4.channel.k8s.io, {}", bearer(&token()));
    let response = scene.ask(&Request::upgrade("/ws/exec").header("Sec-WebSocket-Protocol", offers)).await;
    assert_eq!((response.status, response.reason().as_deref()), (403, Some("subprotocol_denied")));
}

/// A forwarded port speaks SPDY, so a client that may use it reaches any port of the service behind it.
#[tokio::test]
async fn a_port_is_forwarded_only_where_the_policy_says_so_in_full() {
    let policies = json!({
        "default": {}, "other": {"subprotocols": {"allow": [CHANNELS]}},
        "written": {"subprotocols": {"allow": [PORT_FORWARD]}},
    });
    let scene = Scene::new().document(document(json!({}), policies)).beside_others().start().await;
    let request = |policy: &str| {
        Request::upgrade(&format!("/ws/{policy}")).header("Sec-WebSocket-Protocol", PORT_FORWARD)
    };
    for policy in ["default", "other"] {
        let request = request(policy);
        let response = scene.ask(&request).await;
        let seen = (response.status, response.reason());
        assert_eq!(seen, (403, Some("subprotocol_denied".to_owned())), "{policy}");
        assert!(!scene.upstream().has_seen(request.case()), "{policy}");
    }
    let mut client = scene.connect().await;
    let response = client.ask(&request("written")).await;
    assert_eq!(response.status, 101, "{}", response.text());
    assert_eq!(response.header("sec-websocket-protocol").as_deref(), Some(PORT_FORWARD));
    // The payload is a SYN_STREAM of SPDY.
    let frame = Frame::binary(*b"\x80\x03\x00\x01\x01\x00\x00\x00");
    client.send(frame.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(frame));
}
