//! Tests of what the dynamic module alone has: the filter that sends for it, configurations of single routes, metadata with a type, and
//! panics that end in their hooks.

use std::time::Duration;

use postern_e2e::client::http2::{handshake, open, read};
use postern_e2e::environment;
use postern_e2e::http::Response;
use postern_e2e::not_run::not_run;
use postern_e2e::scene::{document, module};
use postern_e2e::{Frame, Pushed, RawClient, Request, RunningScene, Scene, Value, json};

/// Says that there is no dynamic module to be tested.
fn is_absent() -> bool {
    if !module::is_native() {
        not_run("MODULE=native is not set");
    }
    !module::is_native()
}

fn routed(filter: Option<Value>, metadata: &Value) -> Scene {
    let metadata = metadata.clone();
    Scene::new().plaintext().policy(json!({})).change_connection_manager(move |manager| {
        for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes") {
            if let Some(filter) = &filter {
                route["typed_per_filter_config"]["postern"] = filter.clone();
            }
            route["metadata"] = metadata.clone();
        }
    })
}

fn typed(said: &Value) -> Value {
    let message = json!({"@type": "type.googleapis.com/google.protobuf.Struct", "value": said});
    json!({"typed_filter_metadata": {"postern": message}})
}

async fn echoes(client: &mut RawClient, text: &str) -> bool {
    let frame = Frame::text(text);
    client.try_send(frame.clone().masked().bytes()).await.is_ok()
        && client.frame().await.is_ok_and(|answer| answer == frame)
}

/// Holds a scene to a limit of four bytes, which its route lays over the policy.
async fn assert_limited(scene: Scene) {
    let scene = scene.start().await;
    let mut client = scene.open("/ws/chat").await;
    assert!(echoes(&mut client, "1234").await);
    client.send(Frame::text("12345").masked().bytes()).await;
    assert_eq!(client.close().await.reason(), "frame_too_big");
}

fn limit() -> Value {
    json!({"messages": {"max_message_bytes": 4, "max_frame_bytes": 4}})
}

#[tokio::test]
async fn the_configuration_of_a_route_for_the_filter_is_laid_over_its_policy() {
    if is_absent() {
        return;
    }
    assert_limited(routed(Some(module::per_route(&limit())), &json!({}))).await;
    let text = limit().to_string();
    let mut as_text = module::per_route(&limit());
    as_text["filter_config"] =
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": text});
    assert_limited(routed(Some(as_text), &json!({}))).await;
}

#[tokio::test]
async fn metadata_with_a_type_are_laid_over_the_policy_of_their_route() {
    if is_absent() {
        return;
    }
    assert_limited(routed(None, &typed(&limit()))).await;
}

#[tokio::test]
async fn what_is_said_of_a_route_in_two_places_or_in_a_form_that_cannot_be_read_refuses_its_upgrades() {
    if is_absent() {
        return;
    }
    let per_route = || Some(module::per_route(&json!({})));
    let other_type = json!({"typed_filter_metadata": {"postern":
        {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "{}"}}});
    let scenes = [
        ("in both places", routed(per_route(), &typed(&json!({})))),
        ("metadata of another type", routed(None, &other_type)),
        ("a key that is none", routed(Some(module::per_route(&json!({"mesages": {}}))), &json!({}))),
    ];
    for (name, scene) in scenes {
        let answer = scene.start().await.ask(&Request::upgrade("/ws/chat")).await;
        assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_invalid")), "{name}");
    }
}

/// Puts the dynamic module in, without what the suite would add to it, and the filter that sends at a place of its own.
fn unaided(sender_at: Option<usize>) -> Scene {
    Scene::new()
        .plaintext()
        .policy(json!({}))
        .change_connection_manager(move |manager| module::put_unaided(manager, sender_at))
}

#[tokio::test]
async fn plain_metadata_refuse_the_upgrades_of_their_route_which_a_dynamic_module_cannot_read() {
    if is_absent() {
        return;
    }
    let scene = unaided(Some(0)).change_connection_manager(|manager| {
        for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes") {
            route["metadata"] = json!({"filter_metadata": {"postern": limit()}});
        }
    });
    let answer = scene.start().await.ask(&Request::upgrade("/ws/chat")).await;
    assert_eq!((answer.status, answer.reason().as_deref()), (503, Some("policy_invalid")));
}

#[tokio::test]
async fn envoy_does_not_start_with_the_configuration_of_a_route_that_is_no_object_and_the_log_says_why() {
    if is_absent() {
        return;
    }
    let mut filter = module::per_route(&json!({}));
    filter["filter_config"] =
        json!({"@type": "type.googleapis.com/google.protobuf.StringValue", "value": "[]"});
    let error = routed(Some(filter), &json!({})).try_start().await.expect_err("an Envoy that does not start");
    let said = error.to_string();
    assert!(said.contains("the configuration of a route cannot be read: it is no object"), "{said}");
}

#[tokio::test]
async fn where_nothing_can_send_to_clients_every_upgrade_is_answered_500_and_the_log_says_why() {
    if is_absent() {
        return;
    }
    let scenes = [("none", unaided(None)), ("behind", unaided(Some(1)))];
    for (name, scene) in scenes {
        let scene = scene.start().await;
        let upgrade = Request::upgrade("/ws/chat");
        assert_eq!(scene.ask(&upgrade).await.status, 500, "{name}");
        assert!(!scene.upstream().has_seen(upgrade.case()), "{name}");
        let lines = scene.envoy().logged("no filter named postern-sender stands before this one").await;
        assert!(!lines.is_empty(), "{name}");
    }
}

/// Says that there is no module that panics.
fn cannot_panic() -> bool {
    is_absent() || environment::is_in_containers("the module that panics is not in the image")
}

fn panics(environment: Option<&str>) -> Scene {
    let policy = json!({"liveness": {"ping_interval": "1s"}});
    let scene = Scene::new().plaintext().module(&module::panicking()).policy(policy);
    let scene = scene.change_connection_manager(|manager| {
        manager["http_protocol_options"] = json!({"enable_trailers": true});
    });
    match environment {
        Some(hook) => scene.env("POSTERN_PANIC", hook),
        None => scene,
    }
}

/// Waits for the line of the log that names the hook.
async fn told(scene: &RunningScene, hook: &str) {
    let line = format!("the hook {hook} has panicked");
    assert!(!scene.envoy().logged(&line).await.is_empty(), "{hook}");
}

fn request(hook: &str) -> Request {
    Request::upgrade("/ws/chat").header("x-postern-panic", hook)
}

/// Makes a request whose hook panics, and returns the answer that there is, if it is one.
async fn answer(scene: &RunningScene, request: &Request) -> Option<Response> {
    let mut client = scene.connect().await;
    client.send(request.bytes()).await;
    client.try_response().await.ok()
}

#[tokio::test]
async fn a_panic_in_a_hook_of_a_handshake_costs_that_stream_alone() {
    if cannot_panic() {
        return;
    }
    let scene = panics(None).start().await;
    let mut witness = scene.open("/ws/chat").await;
    for hook in ["request_headers", "request_body", "response_headers"] {
        let request = request(hook);
        let answer = answer(&scene, &request).await;
        let answer = answer.map(|answer| (answer.status, answer.reason()));
        // Once the request has gone on there is no answer but the service's.
        let expected = (hook == "request_headers").then(|| (500, Some("internal".to_owned())));
        assert_eq!(answer, expected, "{hook}");
        told(&scene, hook).await;
        assert!(echoes(&mut witness, hook).await, "{hook}");
    }
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 1.0).await;
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.status, 101);
}

#[tokio::test]
async fn a_panic_in_a_hook_of_an_open_connection_cuts_it_and_no_byte_of_it_passes_unjudged() {
    if cannot_panic() {
        return;
    }
    let scene = panics(None).start().await;
    let mut witness = scene.open("/ws/chat").await;
    for hook in ["request_body", "response_body"] {
        // The first call of either is with nothing, as the handshake goes on.
        let mut client = scene.open_with(&request(&format!("{hook} 2"))).await;
        client.send(Frame::text("lost").masked().bytes()).await;
        let (rest, _) = client.rest().await;
        assert_eq!(rest, b"", "{hook}");
        let passed: &[&[u8]] = if hook == "request_body" { &[] } else { &[b"lost"] };
        assert_eq!(scene.record(&client).await.messages(), passed, "{hook}");
        told(&scene, hook).await;
        assert!(echoes(&mut witness, hook).await, "{hook}");
    }
    scene.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 1.0).await;
    let internal = [("policy", "chat"), ("reason", "internal")];
    assert!(scene.envoy().stats().await.sum("postern_closes", &internal) >= 2.0);
}

/// Envoy has no stream any more that could be cut.
#[tokio::test]
async fn a_panic_in_a_hook_at_the_end_of_a_stream_costs_nobody_anything() {
    if cannot_panic() {
        return;
    }
    let scene = panics(None).start().await;
    let mut witness = scene.open("/ws/chat").await;
    for hook in ["stream_complete", "destroy"] {
        let mut client = scene.open_with(&request(hook)).await;
        assert!(echoes(&mut client, "hello").await, "{hook}");
        drop(client);
        told(&scene, hook).await;
        assert!(echoes(&mut witness, hook).await, "{hook}");
    }
    assert_eq!(scene.ask(&Request::upgrade("/ws/chat")).await.status, 101);
}

#[tokio::test]
async fn a_panic_in_the_event_of_a_stream_cuts_it_and_another_brings_the_ticks() {
    if cannot_panic() {
        return;
    }
    let scene = panics(None).start().await;
    // The first stream of a worker brings its ticks.
    let mut first = scene.open_with(&request("scheduled")).await;
    let (rest, _) = first.rest().await;
    assert_eq!(rest, b"");
    told(&scene, "scheduled").await;
    let mut next = scene.open("/ws/silent").await;
    next.show_heartbeats();
    let ping = next.frame_within(Duration::from_secs(20)).await.expect("a Ping");
    assert_eq!(ping.opcode, Frame::ping("").opcode);
}

#[tokio::test]
async fn a_panic_in_a_hook_of_the_main_thread_leaves_envoy_and_its_streams_alone() {
    if cannot_panic() {
        return;
    }
    for hook in ["config_scheduled", "new"] {
        let scene = panics(Some(hook)).start().await;
        if hook == "new" {
            // It is the filter that sends which cannot be made, as the first of a stream's.
            let expected = if module::sends_by_connection() { 101 } else { 500 };
            let answer = answer(&scene, &Request::upgrade("/ws/chat")).await;
            assert_eq!(answer.map(|answer| answer.status), Some(expected));
        }
        told(&scene, hook).await;
        let mut client = scene.open("/ws/chat").await;
        assert!(echoes(&mut client, "hello").await, "{hook}");
    }
}

#[tokio::test]
async fn a_configuration_whose_hook_panics_is_refused() {
    if cannot_panic() {
        return;
    }
    let error = panics(Some("config_new")).try_start().await.expect_err("an Envoy that does not start");
    assert!(error.to_string().contains("the hook config_new has panicked"), "{error}");
}

/// A router that may try again keeps what it has sent, where the module keeps bytes too.
#[tokio::test]
async fn on_a_route_with_retries_every_byte_passes_once() {
    if is_absent() {
        return;
    }
    let scene = Scene::new().plaintext().policy(json!({})).change_connection_manager(|manager| {
        for route in manager["route_config"]["virtual_hosts"][0]["routes"].as_array_mut().expect("routes") {
            route["route"]["retry_policy"] =
                json!({"retry_on": "connect-failure,reset,5xx", "num_retries": 2});
        }
    });
    let scene = scene.start().await;
    let mut client = scene.connect().await;
    let request = Request::upgrade("/ws/chat");
    client.send([request.bytes(), Frame::text("early").masked().bytes()].concat()).await;
    assert_eq!(client.response().await.status, 101);
    assert_eq!(client.frame().await, Ok(Frame::text("early")));
    for text in ["one", "two", "three"] {
        assert!(echoes(&mut client, text).await, "{text}");
    }
    let record = scene.upstream().record(request.case()).await;
    assert_eq!(record.messages(), [&b"early"[..], b"one", b"two", b"three"]);

    let body = vec![b'x'; 300_000];
    let length = body.len().to_string();
    let post = Request::get("/page").method("POST").header("Content-Length", &length);
    let mut client = scene.connect().await;
    client.send(post.bytes()).await;
    for piece in body.chunks(100_000) {
        client.send(piece).await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(client.response().await.status, 200);
    let record = scene.upstream().record(post.case()).await;
    assert_eq!(record.bytes().len(), body.len());
}

#[tokio::test]
async fn bytes_that_end_a_stream_over_http2_are_judged_like_any_other() {
    if is_absent() {
        return;
    }
    let scene = Scene::new().policy(json!({})).start().await;
    for talks_before in [false, true] {
        let case = format!("ends-{talks_before}");
        let mut client = scene.connect_http2().await;
        let (response, mut stream) = open(&mut client, handshake("/ws/chat", &case)).await;
        assert_eq!(response.status(), 200);
        let record = scene.upstream().record(&case).await;
        let good = Frame::text("good").masked().bytes();
        if talks_before {
            stream.send_data(good.clone().into(), false).expect("an open stream");
            record.bytes_when(good.len()).await;
        }
        stream.send_data(Frame::text("not masked").bytes().into(), true).expect("an open stream");
        let echo = if talks_before { Frame::text("good").bytes() } else { Vec::new() };
        let told = [echo, Frame::closing(1002, "protocol_error").bytes()].concat();
        assert_eq!(read(&mut response.into_body(), told.len()).await, told, "{case}");
        assert_eq!(
            record.messages(),
            if talks_before { vec![b"good".to_vec()] } else { Vec::new() },
            "{case}"
        );
    }
}

#[tokio::test]
async fn bytes_that_go_to_the_service_by_the_network_filter_are_among_those_that_envoy_says_it_received() {
    if is_absent() {
        return;
    }
    let liveness = json!({"ping_interval": "none", "idle_timeout": "1s"});
    let scene = Scene::new().plaintext().policy(json!({"rates": [], "liveness": liveness})).start().await;
    let request = Request::upgrade("/ws/chat");
    let mut client = scene.connect().await;
    assert_eq!(client.ask(&request).await.status, 101);
    let hello = Frame::text("hello").masked().bytes();
    client.send(&hello).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
    assert_eq!(client.frame().await, Ok(Frame::closing(3008, "idle_timeout")));
    let record = scene.upstream().record(request.case()).await;
    assert_eq!(record.close().await.code(), Some(3008));
    drop(client);
    let line = scene.access_line(request.case()).await;
    assert!(record.bytes().len() > hello.len());
    assert_eq!(line["bytes_received"], record.bytes().len(), "{line}");
    assert_eq!(line["bytes_downstream"], "5", "{line}");
}

/// A thread knows the series of a policy that was gone, and would not tell Envoy of them a second time.
#[tokio::test]
async fn what_is_counted_by_a_policy_goes_with_it_and_stays_again_once_the_policy_is_back() {
    if is_absent() {
        return;
    }
    let only = |name: &str, bytes: u32| {
        document(json!({}), json!({name: {"messages": {"max_message_bytes": bytes}, "rates": []}}))
    };
    let mut scene = Scene::new().document(only("chat", 100)).discovered().plaintext().start().await;
    let closes = [("policy", "chat"), ("reason", "message_too_big")];
    for bytes in [200, 300] {
        let mut client = scene.open("/ws/chat").await;
        assert_eq!(scene.push_document(only("chat", bytes)).await, Pushed::Taken);
        client.send(Frame::binary([0; 500]).masked().bytes()).await;
        assert_eq!(client.close().await.code(), Some(1009));
        drop(client);
        scene.envoy().stat_becomes("postern_closes", &closes, 1.0).await;
        // Its configuration is gone by then.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(scene.envoy().stats().await.sum("postern_closes", &closes), 1.0, "below {bytes}");
        assert_eq!(scene.push_document(only("news", 100)).await, Pushed::Taken);
        scene.envoy().stat_becomes("postern_closes", &closes, 0.0).await;
        assert_eq!(scene.push_document(only("chat", 100)).await, Pushed::Taken);
    }
}
