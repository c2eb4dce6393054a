//! The certificates of the mesh: whom they let in, and what becomes of sockets when they change.

use postern_e2e::deadline::within;
use postern_e2e::mesh::{Authority, Identity, Watched};
use postern_e2e::{Frame, RawClient, Request, Value, json};

use crate::stage::{
    MESH, Mesh, SOON, access_line, assert_echoes, assert_refused, handshake, of_a_browser, of_a_workload,
    open,
};

#[tokio::test]
async fn a_browser_is_let_through_by_the_gateway_and_the_services_sidecar_and_the_service_learns_both() {
    let mesh = MESH.shared().await;
    let request = of_a_browser("/ws/chat");
    let mut client = open(mesh.gateway.connect().await, &request).await;
    assert_echoes(&mut client).await;
    let record = mesh.service.record(request.case()).await;
    assert_eq!(record.header("x-user-id").as_deref(), Some("alice"), "what the gateway's policy forwards");
    let peer = record.header("x-forwarded-client-cert").expect("the gateway's certificate");
    assert!(peer.contains("URI=spiffe://cluster.local/ns/chat/sa/gateway"), "{peer}");
    let sent = Frame::closing(1000, "done").masked();
    client.send(sent.bytes()).await;
    assert_eq!(client.close().await.code(), Some(1000));
    for (proxy, policy) in [(&mesh.gateway, "chat"), (&mesh.inbound, "chat")] {
        let line = access_line(proxy, request.case()).await;
        assert_eq!(
            (&line["policy"], &line["closed_by"], &line["reason"]),
            (&json!(policy), &json!("client"), &Value::Null)
        );
    }
}

#[tokio::test]
async fn mutual_tls_is_what_the_mesh_has_verified_and_nothing_that_a_header_says() {
    let mesh = MESH.shared().await;
    let permissive = mesh.inbound.envoy().listeners().await["permissive"];
    let claims = [
        of_a_workload("/ws/chat"),
        of_a_workload("/ws/chat")
            .header("X-Forwarded-Client-Cert", "By=x;Hash=00;URI=spiffe://cluster.local/ns/chat/sa/bot")
            .header("X-Forwarded-Proto", "https"),
    ];
    for request in claims {
        let client = RawClient::connect(permissive, None, None).await.expect("a connection");
        let (_, response) = handshake(client, &request).await;
        assert_refused(&response, 403, "tls_required");
        assert!(!mesh.service.has_seen(request.case()));
    }
    // Where the mesh is STRICT, who speaks no TLS gets no answer at all.
    let mut client =
        RawClient::connect(mesh.inbound.envoy().listener(), None, None).await.expect("a connection");
    client.send(of_a_workload("/ws/chat").bytes()).await;
    assert!(within(SOON, "the end", client.try_response()).await.is_err());
    let mut client = open(mesh.outbound.connect().await, &of_a_workload("/ws/chat")).await;
    assert_echoes(&mut client).await;
}

/// Returns the hash of the certificate by which the outbound sidecar is known to the service.
async fn certificate_of(mesh: &Mesh, request: &Request) -> String {
    let record = mesh.service.record(request.case()).await;
    let peer = record.header("x-forwarded-client-cert").expect("a certificate");
    let hash = peer.split(';').find_map(|part| part.strip_prefix("Hash="));
    hash.unwrap_or_else(|| panic!("no hash in {peer}")).to_owned()
}

/// Gives the outbound sidecar another certificate, and waits until it has it.
async fn rotate(mesh: &Mesh, identity: &Identity) {
    let growth = mesh
        .outbound
        .envoy()
        .growth("envoy_cluster_client_ssl_socket_factory_ssl_context_update_by_sds", &[])
        .await;
    Watched::at(mesh.outbound.folder()).rotate(identity);
    growth.becomes(1.0).await;
}

/// Has the sidecar of the service trust another authority, and waits until every listener of it does.
async fn trust(mesh: &Mesh, authority: &Authority) {
    let growth = mesh
        .inbound
        .envoy()
        .growth("envoy_listener_server_ssl_socket_factory_ssl_context_update_by_sds", &[])
        .await;
    Watched::at(mesh.inbound.folder()).trust(authority);
    growth.becomes(3.0).await;
}

#[tokio::test]
async fn a_certificate_that_is_rotated_or_revoked_leaves_sockets_open_and_decides_on_new_ones() {
    let mesh = MESH.alone().await;
    let first = of_a_workload("/ws/chat");
    let mut old = open(mesh.outbound.connect().await, &first).await;
    let fresh = mesh.authority.identity("bot");
    assert_ne!(certificate_of(&mesh, &first).await, fresh.hash);

    rotate(&mesh, &fresh).await;
    assert_echoes(&mut old).await;
    let second = of_a_workload("/ws/chat");
    let mut rotated = open(mesh.outbound.connect().await, &second).await;
    assert_eq!(certificate_of(&mesh, &second).await, fresh.hash);

    // The authority is withdrawn: nobody whom it has signed for gets in any more, and who is in stays.
    let successor = Authority::new();
    trust(&mesh, &successor).await;
    let (_, response) = handshake(mesh.outbound.connect().await, &of_a_workload("/ws/chat")).await;
    assert_eq!((response.status, response.reason()), (503, None), "{}", response.text());
    for client in [&mut old, &mut rotated] {
        assert_echoes(client).await;
    }

    rotate(&mesh, &successor.identity("bot")).await;
    let mut third = open(mesh.outbound.connect().await, &of_a_workload("/ws/chat")).await;
    for client in [&mut old, &mut rotated, &mut third] {
        assert_echoes(client).await;
    }
    rotate(&mesh, &fresh).await;
    trust(&mesh, &mesh.authority).await;
}
