//! The shipped `envoy.yaml` as the configuration of one proxy of a mesh, before manifests are laid over it.

use serde_json::{Value, json};

use super::authority::Credentials;
use super::manifests::{connection_manager, listeners};

const DOWNSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";

/// The protocol by which proxies of a mesh agree that both are.
const ALPN: &str = "istio";

/// Makes a bootstrap that of a sidecar in front of its service, under STRICT mutual TLS. Its ports 8080 and 8081 are one
/// listener here: what asks for uploads.chat.svc.cluster.local is taken for the second.
pub fn inbound(bootstrap: &mut Value, credentials: &Credentials) {
    let listener = listeners(bootstrap).next().expect("a listener");
    listener["filter_chains"][0]["transport_socket"] = mutual(credentials);
    let manager = connection_manager(listener);
    within_mesh(manager);
    manager["forward_client_cert_details"] = json!("APPEND_FORWARD");
    manager["set_current_client_cert_details"] = json!({"subject": true, "dns": true, "uri": true});
    let host = |port: u16, domain: &str| {
        json!({
            "name": format!("inbound|http|{port}"),
            "domains": [domain],
            "routes": [{"name": "default", "match": {"prefix": "/"}, "route": {"cluster": "service", "timeout": "0s"}}],
        })
    };
    manager["route_config"] = json!({
        "name": "inbound|8080||",
        "virtual_hosts": [host(8080, "*"), host(8081, "uploads.chat.svc.cluster.local")],
    });
}

/// Adds a listener of the same sidecar under PERMISSIVE mutual TLS, called `permissive`: it takes who comes with a certificate
/// of the mesh, and who comes without TLS.
pub fn permissive(bootstrap: &mut Value) {
    let mut listener = copy_of_first(bootstrap, "permissive");
    listener["listener_filters"] = json!([{
        "name": "envoy.filters.listener.tls_inspector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        },
    }]);
    let mut secured = listener["filter_chains"][0].clone();
    let mut plain = secured.clone();
    secured["filter_chain_match"] = json!({"transport_protocol": "tls", "application_protocols": [ALPN]});
    plain["filter_chain_match"] = json!({"transport_protocol": "raw_buffer"});
    plain.as_object_mut().expect("a filter chain").remove("transport_socket");
    listener["filter_chains"] = json!([secured, plain]);
    push(bootstrap, listener);
}

/// Adds a listener of the same proxy that has one more trusted proxy ahead of it, called `behind_balancer`.
pub fn behind_balancer(bootstrap: &mut Value) {
    let mut listener = copy_of_first(bootstrap, "behind_balancer");
    connection_manager(&mut listener)["xff_num_trusted_hops"] = json!(1);
    push(bootstrap, listener);
}

/// Makes a bootstrap that of a sidecar that lets its workload out, to the proxy of this name.
pub fn outbound(bootstrap: &mut Value, credentials: &Credentials, peer: &str) {
    let listener = listeners(bootstrap).next().expect("a listener");
    listener["filter_chains"][0].as_object_mut().expect("a filter chain").remove("transport_socket");
    within_mesh(connection_manager(listener));
    bootstrap["static_resources"]["clusters"][0]["transport_socket"] = originated(credentials, peer);
}

/// Makes a bootstrap that of a gateway in front of the proxy of this name, with a route of its own for uploads.
pub fn gateway(bootstrap: &mut Value, credentials: &Credentials, peer: &str) {
    let manager = connection_manager(listeners(bootstrap).next().expect("a listener"));
    manager["forward_client_cert_details"] = json!("SANITIZE_SET");
    manager["set_current_client_cert_details"] = json!({"subject": true, "dns": true, "uri": true});
    manager["stream_idle_timeout"] = json!("0s");
    let route = |name: &str, prefix: &str| json!({"name": name, "match": {"prefix": prefix}, "route": {"cluster": "service", "timeout": "0s"}});
    manager["route_config"] = json!({
        "name": "https.443.https.chat.istio-ingress",
        "virtual_hosts": [{
            "name": "app.example.com:443",
            "domains": ["app.example.com"],
            "routes": [route("uploads", "/ws/chat/uploads"), route("chat", "/")],
        }],
    });
    bootstrap["static_resources"]["clusters"][0]["transport_socket"] = originated(credentials, peer);
}

/// Has a connection manager take what the proxy ahead of it says of the client, and let sockets stand for ever.
fn within_mesh(manager: &mut Value) {
    manager["use_remote_address"] = json!(false);
    manager["stream_idle_timeout"] = json!("0s");
}

fn mutual(credentials: &Credentials) -> Value {
    let mut common = credentials.tls(None);
    common["alpn_protocols"] = json!([ALPN, "http/1.1"]);
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": DOWNSTREAM, "require_client_certificate": true, "common_tls_context": common,
        },
    })
}

fn originated(credentials: &Credentials, peer: &str) -> Value {
    let mut common = credentials.tls(Some(peer));
    common["alpn_protocols"] = json!([ALPN]);
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": UPSTREAM, "sni": "outbound_.8080_._.chat.chat.svc.cluster.local", "common_tls_context": common,
        },
    })
}

fn copy_of_first(bootstrap: &mut Value, name: &str) -> Value {
    let mut listener = listeners(bootstrap).next().expect("a listener").clone();
    listener["name"] = json!(name);
    connection_manager(&mut listener)["stat_prefix"] = json!(name);
    listener
}

fn push(bootstrap: &mut Value, listener: Value) {
    bootstrap["static_resources"]["listeners"].as_array_mut().expect("a list of listeners").push(listener);
}
