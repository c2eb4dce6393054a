//! The end of a sidecar under open sockets.

use std::sync::Arc;

use postern_e2e::deadline::within;
use postern_e2e::mesh::Authority;
use postern_e2e::{Upstream, Value, json};

use crate::stage::{SOON, access_line, assert_echoes, handshake, inbound, of_a_workload, open, outbound};

#[tokio::test]
async fn a_sidecar_that_is_killed_ends_its_sockets_for_both_sides_in_time_and_one_that_is_back_serves_anew() {
    let (authority, service) = (Arc::new(Authority::new()), Upstream::start(Vec::new()).await);
    let own = inbound(service.address(), &authority).start().await;
    let address = own.envoy().listener();
    let peer = outbound(address, &authority).start().await;
    let open_connections = [("policy", "bots")];

    let request = of_a_workload("/ws/chat");
    let mut client = open(peer.connect().await, &request).await;
    assert_echoes(&mut client).await;
    let record = service.record(request.case()).await;
    drop(own);
    // Nobody is left who could put a Close before the end.
    within(SOON, "the end at the client", client.rest()).await;
    within(SOON, "the end at the service", record.ended()).await;
    peer.envoy().stat_becomes("postern_connections", &open_connections, 0.0).await;
    let line = access_line(&peer, request.case()).await;
    assert_eq!((&line["reason"], &line["closed_by"]), (&Value::Null, &Value::Null));
    let (_, response) = handshake(peer.connect().await, &of_a_workload("/ws/chat")).await;
    assert_eq!((response.status, response.reason()), (503, None), "{}", response.text());

    let back = inbound(service.address(), &authority).change(move |bootstrap| {
        bootstrap["static_resources"]["listeners"][0]["address"]["socket_address"]["port_value"] =
            json!(address.port());
    });
    let back = back.start().await;
    let request = of_a_workload("/ws/chat");
    let mut client = open(peer.connect().await, &request).await;
    assert_echoes(&mut client).await;
    let record = service.record(request.case()).await;
    back.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 1.0).await;
    drop(peer);
    within(SOON, "the end at the client", client.rest()).await;
    within(SOON, "the end at the service", record.ended()).await;
    back.envoy().stat_becomes("postern_connections", &[("policy", "chat")], 0.0).await;
    let line = access_line(&back, request.case()).await;
    assert_eq!((&line["reason"], &line["closed_by"]), (&Value::Null, &Value::Null));
}
