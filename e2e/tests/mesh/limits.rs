//! The policies of several proxies on one socket: each judges by its own.

use postern_e2e::not_run::not_run;
use postern_e2e::scene::module;
use postern_e2e::{Frame, Value, json};

use crate::stage::{
    MESH, STRICT_BYTES, UPLOADS, access_line, assert_echoes, assert_refused, handshake, of_a_browser,
    of_a_workload, open,
};

/// A message beyond what the policy `chat` takes in one frame, and within what the routes for uploads take.
const BEYOND_CHAT_BYTES: usize = 100 * 1024;

#[tokio::test]
async fn metadata_of_a_route_lay_other_limits_over_the_policy_at_the_gateway_and_at_the_sidecar() {
    if module::is_native() && module::configures_routes() {
        return not_run("Envoy before 1.40 reads no metadata for a dynamic module");
    }
    let mesh = MESH.shared().await;
    let uploads = |path: &str| of_a_workload(path).set("Host", UPLOADS);
    for (request, refuser) in [
        (of_a_browser("/ws/chat"), Some(&mesh.gateway)),
        (of_a_browser("/ws/chat/uploads"), Some(&mesh.inbound)),
        (of_a_workload("/ws/wide"), Some(&mesh.inbound)),
        (uploads("/ws/wide"), None),
    ] {
        let proxy = if request.value("origin").is_some() { &mesh.gateway } else { &mesh.outbound };
        let mut client = open(proxy.connect().await, &request).await;
        let message = Frame::binary(vec![7; BEYOND_CHAT_BYTES]);
        client.send(message.clone().masked().bytes()).await;
        let heard = client.frame().await.expect("a frame");
        let Some(refuser) = refuser else {
            assert_eq!(heard, message, "{}", request.case());
            continue;
        };
        assert_eq!(heard.code(), Some(1009));
        client.send(Frame::closing(1009, "frame_too_big").masked().bytes()).await;
        assert_eq!(access_line(refuser, request.case()).await["closed_by"], "postern");
    }
}

/// A message that one of two sidecars refuses.
struct TooBig {
    from_service: bool,
    path: &'static str,
    bytes: usize,
    refused_by_outbound: bool,
}

#[tokio::test]
async fn a_message_is_refused_by_the_sidecar_whose_policy_it_breaks_and_the_other_passes_the_close_on() {
    let mesh = MESH.shared().await;
    let case = |from_service, path, bytes, refused_by_outbound| TooBig {
        from_service,
        path,
        bytes,
        refused_by_outbound,
    };
    for TooBig { from_service, path, bytes, refused_by_outbound } in [
        case(false, "/ws/chat", 20 * 1024, true),
        case(false, "/ws/strict", STRICT_BYTES + 1, false),
        case(true, "/ws/chat", 70 * 1024, true),
        case(true, "/ws/strict", STRICT_BYTES + 1, false),
    ] {
        let request = of_a_workload(path);
        let mut client = open(mesh.outbound.connect().await, &request).await;
        assert_echoes(&mut client).await;
        let record = mesh.service.record(request.case()).await;
        let message = Frame::binary(vec![7; bytes]);
        if from_service {
            record.send(message.bytes());
        } else {
            client.send(message.masked().bytes()).await;
        }
        let what = format!("{bytes} bytes on {path}, from the service: {from_service}");
        let [at_client, at_service] = [client.close().await, record.close().await];
        for close in [at_client, at_service] {
            assert_eq!((close.code(), close.reason().as_str()), (Some(1009), "frame_too_big"), "{what}");
        }
        client.send(Frame::closing(1009, "frame_too_big").masked().bytes()).await;
        let (refuser, other, heard_from) = if refused_by_outbound {
            (&mesh.outbound, &mesh.inbound, "client")
        } else {
            (&mesh.inbound, &mesh.outbound, "upstream")
        };
        let line = access_line(refuser, request.case()).await;
        assert_eq!(
            (&line["closed_by"], &line["reason"]),
            (&json!("postern"), &json!("frame_too_big")),
            "{what}"
        );
        let line = access_line(other, request.case()).await;
        assert_eq!((&line["closed_by"], &line["close_code"]), (&json!(heard_from), &json!("1009")), "{what}");
        assert_eq!(line["reason"], Value::Null, "{what}");
    }
}

#[tokio::test]
async fn what_goes_out_to_anybody_else_is_refused_by_the_workloads_own_sidecar() {
    let mesh = MESH.shared().await;
    let request = of_a_workload("/ws/chat").set("Host", "elsewhere.example.com");
    let (_, response) = handshake(mesh.outbound.connect().await, &request).await;
    assert_refused(&response, 403, "no_policy");
    assert!(!mesh.service.has_seen(request.case()));
}
