//! The client's address, by which rates count.

use std::sync::Arc;

use postern_e2e::RawClient;
use postern_e2e::environment;
use postern_e2e::tls::client_trusting;

use crate::stage::{HANDSHAKES, MESH, Mesh, assert_refused, handshake, of_a_browser, of_a_workload, open};

/// Makes handshakes from `address` until the rate is used up, and expects that it is then.
async fn use_up(mesh: &Mesh, address: [u8; 4]) -> Vec<RawClient> {
    let mut clients = Vec::new();
    for _ in 0..HANDSHAKES {
        let client = mesh.gateway.connect_from(address).await;
        clients.push(open(client, &of_a_browser("/ws/chat/counted")).await);
    }
    let client = mesh.gateway.connect_from(address).await;
    let (_, response) = handshake(client, &of_a_browser("/ws/chat/counted")).await;
    assert_refused(&response, 429, "handshake_rate");
    clients
}

#[tokio::test]
async fn behind_a_gateway_a_rate_by_address_is_the_clients_and_a_forged_address_does_not_help() {
    if environment::is_in_containers("a container has one address") {
        return;
    }
    let mesh = MESH.shared().await;
    let _first = use_up(&mesh, [127, 0, 0, 11]).await;
    for forged in ["192.0.2.1", "127.0.0.12", "192.0.2.1, 198.51.100.7"] {
        let request = of_a_browser("/ws/chat/counted").header("X-Forwarded-For", forged);
        let (_, response) = handshake(mesh.gateway.connect_from([127, 0, 0, 11]).await, &request).await;
        assert_refused(&response, 429, "handshake_rate");
    }
    let _second = use_up(&mesh, [127, 0, 0, 12]).await;
}

#[tokio::test]
async fn behind_a_balancer_and_a_gateway_that_trusts_one_hop_the_client_is_whom_the_balancer_names() {
    let mesh = MESH.shared().await;
    let listener = mesh.gateway.envoy().listeners().await["behind_balancer"];
    let tls = client_trusting(&mesh.gateway.certificate()).expect("a certificate");
    let connect =
        async || RawClient::connect(listener, None, Some(Arc::clone(&tls))).await.expect("a connection");
    let from = |forged: &str, client: &str| {
        of_a_browser("/ws/chat/counted").header("X-Forwarded-For", format!("{forged}{client}"))
    };
    let mut open_ones = Vec::new();
    for forged in ["", "192.0.2.1, ", "192.0.2.2, "] {
        open_ones.push(open(connect().await, &from(forged, "198.51.100.1")).await);
    }
    assert_eq!(open_ones.len(), HANDSHAKES);
    let (_, response) = handshake(connect().await, &from("192.0.2.3, ", "198.51.100.1")).await;
    assert_refused(&response, 429, "handshake_rate");
    open_ones.push(open(connect().await, &from("198.51.100.1, ", "198.51.100.2")).await);
}

#[tokio::test]
async fn within_the_mesh_an_address_is_what_the_peer_says_of_it() {
    let mesh = MESH.shared().await;
    let said = |address: &str| of_a_workload("/ws/chat/counted").header("X-Forwarded-For", address);
    let mut open_ones = Vec::new();
    for _ in 0..HANDSHAKES {
        open_ones.push(open(mesh.outbound.connect().await, &said("203.0.113.1")).await);
    }
    let (_, response) = handshake(mesh.outbound.connect().await, &said("203.0.113.1")).await;
    assert_refused(&response, 429, "handshake_rate");
    open_ones.push(open(mesh.outbound.connect().await, &said("203.0.113.2")).await);
}
