//! A real browser against the shipped policy, and what its WebSocket API lets a page see.

use postern_e2e::client::browser::Page;
use postern_e2e::client::token::edge_claims;
use postern_e2e::scene::document;
use postern_e2e::{Answer, Behaviour, RunningScene, Scene, Signer, Value, json};

/// Makes a scene of the shipped example with one more origin for `chat`.
fn example_with_origin(origin: String) -> Scene {
    Scene::new().configured(move |configuration| {
        let origins =
            configuration.pointer_mut("/policies/chat/origins/allow").and_then(|allow| allow.as_array_mut());
        origins.expect("a list of origins").push(json!(origin));
    })
}

/// The case id of every line in the access log of [`logged`], since a page cannot name its requests.
const SOCKET: &str = "the socket of a page";

fn logged(scene: Scene) -> Scene {
    scene.change_connection_manager(|hcm| {
        let format = hcm.pointer_mut("/access_log/0/typed_config/log_format/json_format");
        format.expect("the access log of a scene")["case"] = json!(SOCKET);
    })
}

fn token() -> String {
    Signer::edge().mint(&edge_claims("alice"))
}

#[tokio::test]
async fn a_page_and_the_upstream_understand_each_other_through_a_bare_envoy() {
    let Some(page) = Page::at("app.example.com").await else { return };
    let scene = Scene::new().bare().start().await;
    let url = scene.url("/ws/chat");
    let seen =
        page.run(&format!("report(await visit('{url}', {{messages: ['hello'], closeAfter: 1}}))")).await;
    assert_eq!(
        (&seen["opened"], &seen["messages"], &seen["code"]),
        (&json!(true), &json!(["hello"]), &json!(1000))
    );
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_talks_with_its_token_among_the_subprotocols() {
    let Some(page) = Page::at("app.example.com").await else { return };
    let scene = example_with_origin(page.origin()).beside_others().start().await;
    let (url, token) = (scene.url("/ws/chat"), token());
    let script = format!(
        "report(await visit('{url}', {{protocols: ['chat.v2', 'bearer.{token}'], messages: ['hello'], closeAfter: 1}}))"
    );
    let seen = page.run(&script).await;
    assert_eq!((&seen["opened"], &seen["protocol"]), (&json!(true), &json!("chat.v2")), "{seen}");
    assert_eq!(
        (&seen["messages"], &seen["code"], &seen["clean"]),
        (&json!(["hello"]), &json!(1000), &json!(true))
    );

    let records = scene.upstream().records();
    assert_eq!(records[0].header("sec-websocket-protocol").as_deref(), Some("chat.v2"));
    assert_eq!(records[0].header("x-user-id").as_deref(), Some("alice"));
}

/// A browser fails a connection for which none of its offers is chosen.
#[tokio::test]
async fn a_page_that_offers_nothing_but_its_token_talks_too() {
    let Some(page) = Page::at("app.example.com").await else { return };
    let scene = example_with_origin(page.origin()).beside_others().start().await;
    let (url, item) = (scene.url("/ws/chat"), format!("bearer.{}", token()));
    let script = format!(
        "report(await visit('{url}', {{protocols: ['{item}'], messages: ['hello'], closeAfter: 1}}))"
    );
    let seen = page.run(&script).await;
    assert_eq!((&seen["opened"], &seen["messages"]), (&json!(true), &json!(["hello"])), "{seen}");
    assert_eq!(seen["protocol"], json!(item));
    assert_eq!(scene.upstream().records()[0].header("sec-websocket-protocol"), None);

    let Some(page) = Page::at("app.example.com").await else { return };
    let silent = Behaviour::Answer(Answer::switching());
    let bare = Scene::new().bare().upstream("/ws/", silent).start().await;
    let script = format!("report(await visit('{}', {{protocols: ['{item}']}}))", bare.url("/ws/chat"));
    let seen = page.run(&script).await;
    assert_eq!((&seen["opened"], &seen["code"]), (&json!(false), &json!(1006)), "{seen}");
}

/// Asserts what Postern itself says of the one socket of a page: metrics, labelled `labels` beside the policy, and
/// access log.
async fn assert_counted_and_logged(
    scene: &RunningScene,
    metric: &str,
    labels: &[(&str, &str)],
    reason: &str,
) {
    let labels = [&[("policy", "chat"), ("reason", reason)], labels].concat();
    assert_eq!(scene.common_envoy().stats().await.sum(metric, &labels), 1.0, "{metric}{labels:?}");
    assert_eq!(scene.access_line(SOCKET).await["reason"], reason);
}

#[tokio::test]
async fn a_page_of_another_site_is_not_let_in_with_a_good_token_either_but_for_postern_it_would_be() {
    let script = |scene: &RunningScene| {
        let (url, token) = (scene.url("/ws/chat"), token());
        format!(
            "report(await visit('{url}', {{protocols: ['chat.v2', 'bearer.{token}'], messages: ['hi'], closeAfter: 1}}))"
        )
    };
    let Some(page) = Page::at("evil.example").await else { return };
    let scene = logged(Scene::new()).beside_others().start().await;
    let seen = page.run(&script(&scene)).await;
    assert_eq!((&seen["opened"], &seen["code"]), (&json!(false), &json!(1006)), "{seen}");
    assert!(scene.upstream().records().is_empty());
    assert_counted_and_logged(&scene, "postern_handshakes", &[("result", "refused")], "origin_denied").await;

    let Some(page) = Page::at("evil.example").await else { return };
    let bare = Scene::new().bare().start().await;
    let seen = page.run(&script(&bare)).await;
    assert_eq!((&seen["opened"], &seen["messages"]), (&json!(true), &json!(["hi"])), "{seen}");
}

#[tokio::test]
async fn a_message_over_the_limit_shows_the_page_code_and_reason_and_is_served_but_for_postern() {
    let script = |scene: &RunningScene| {
        let url = format!("{}?access_token={}", scene.url("/ws/chat"), token());
        format!("report(await visit('{url}', {{messages: ['x'.repeat(65537)], closeAfter: 1}}))")
    };
    let Some(page) = Page::at("app.example.com").await else { return };
    let scene = logged(example_with_origin(page.origin())).beside_others().start().await;
    let seen = page.run(&script(&scene)).await;
    assert_eq!(
        (&seen["opened"], &seen["code"], &seen["clean"]),
        (&json!(true), &json!(1009), &json!(true)),
        "{seen}"
    );
    assert_eq!((&seen["reason"], &seen["messages"]), (&json!("frame_too_big"), &json!([])));
    let record = &scene.upstream().records()[0];
    let close = record.close().await;
    assert_eq!((close.code(), close.reason()), (Some(1009), "frame_too_big".to_owned()));
    assert_eq!(record.messages(), Vec::<Vec<u8>>::new());
    assert_counted_and_logged(&scene, "postern_closes", &[], "frame_too_big").await;

    let Some(page) = Page::at("app.example.com").await else { return };
    let bare = Scene::new().bare().start().await;
    let seen = page.run(&script(&bare)).await;
    assert_eq!((&seen["opened"], &seen["code"]), (&json!(true), &json!(1000)));
    assert_eq!(seen["messages"], json!(["x".repeat(65537)]));
    assert_eq!(bare.upstream().records()[0].messages(), [vec![b'x'; 65537]]);
}

#[tokio::test]
async fn a_page_that_only_listens_stays_open() {
    let Some(page) = Page::at("app.example.com").await else { return };
    let origin = page.origin();
    let liveness = json!({"idle_timeout": "3s", "ping_interval": "1s", "pong_timeout": "1s"});
    let policy = json!({
        "origins": {"allow": [origin]}, "tls": "required", "liveness": liveness, "drain": "none",
    });
    let scene = Scene::new().policy(policy).beside_others().start().await;
    let url = scene.url("/ws/chat");
    // A page that was silent for longer than an idle client may be can still talk.
    let script = format!(
        "const seen = await new Promise((resolve) => {{
           const socket = new WebSocket('{url}');
           const seen = {{messages: [], code: null}};
           socket.onopen = () => setTimeout(() => socket.send('still here'), 8000);
           socket.onmessage = (event) => {{ seen.messages.push(event.data); socket.close(1000); }};
           socket.onclose = ({{code}}) => resolve({{...seen, code}});
         }});
         report(seen)"
    );
    let seen = page.run(&script).await;
    assert_eq!((&seen["messages"], &seen["code"]), (&json!(["still here"]), &json!(1000)), "{seen}");
    let records = scene.upstream().records();
    assert_eq!(records[0].messages(), [b"still here"]);
}

/// Each policy allows one origin and no other to one kind of page in a file.
#[tokio::test]
async fn a_page_in_a_file_is_of_the_origin_null_and_one_of_an_app_of_file_and_each_is_let_in_by_that_alone() {
    let kinds = [(false, "null", "file://"), (true, "file://", "null")];
    let cases = kinds.into_iter().flat_map(|(app, origin, other)| {
        let rows = [(origin, true), (other, false), ("https://*", false)];
        rows.map(|(allowed, opened)| (app, origin, allowed, opened))
    });
    let cases: Vec<_> = cases.enumerate().map(|(number, case)| (format!("p{number}"), case)).collect();
    let policy = |allowed: &str| json!({"origins": {"allow": [allowed], "missing": "deny"}});
    let policies: serde_json::Map<String, Value> =
        cases.iter().map(|(name, (_, _, allowed, _))| (name.clone(), policy(allowed))).collect();
    let scene = Scene::new().document(document(json!({}), policies.into()));
    let scene = scene.beside_others().start().await;
    for (name, (app, origin, allowed, opened)) in cases {
        let page = if app { Page::in_file_of_app().await } else { Page::in_file().await };
        let Some(page) = page else { return };
        let (url, before) = (scene.url(&format!("/ws/{name}")), scene.upstream().records().len());
        let seen =
            page.run(&format!("report(await visit('{url}', {{messages: ['hi'], closeAfter: 1}}))")).await;
        assert_eq!(seen["opened"], opened, "{origin} where {allowed} is allowed: {seen}");
        let labels = [("policy", name.as_str()), ("reason", if opened { "none" } else { "origin_denied" })];
        scene.common_envoy().stat_becomes("postern_handshakes", &labels, 1.0).await;
        let records = scene.upstream().records();
        let seen = records.get(before).and_then(|record| record.header("origin"));
        assert_eq!(seen.as_deref(), opened.then_some(origin), "where {allowed} is allowed");
    }
}

/// A browser opens a WebSocket on a connection of HTTP/2 that it has already (RFC 8441).
#[tokio::test]
async fn over_http2_a_page_of_an_allowed_origin_talks_and_one_of_another_does_not() {
    for (host, opened, reason) in
        [("app.example.com", true, None), ("evil.example", false, Some("origin_denied"))]
    {
        let Some(page) = Page::at(host).await else { return };
        let origins = json!({"allow": ["https://app.example.com:*"], "missing": "deny"});
        let policies = json!({"http2": {"origins": origins}});
        let scene = Scene::new().document(document(json!({}), policies)).change_connection_manager(|hcm| {
            let format = hcm.pointer_mut("/access_log/0/typed_config/log_format/json_format");
            let format = format.expect("the access log of a scene");
            format["case"] = json!("%REQ(:PATH)%");
            format["protocol"] = json!("%PROTOCOL%");
        });
        let scene = scene.beside_others().start().await;
        let (https, url) = (scene.url("/page").replace("wss:", "https:"), scene.url("/ws/http2"));
        let script = format!(
            "await fetch('{https}', {{mode: 'no-cors', credentials: 'include'}});
             report(await visit('{url}', {{messages: ['hi'], closeAfter: 1}}))"
        );
        let seen = page.run(&script).await;
        let messages = if opened { json!(["hi"]) } else { json!([]) };
        assert_eq!((&seen["opened"], &seen["messages"]), (&json!(opened), &messages), "{seen}");
        let line = scene.access_line("/ws/http2").await;
        assert_eq!((&line["protocol"], &line["reason"]), (&json!("HTTP/2"), &json!(reason)), "{line}");
    }
}
