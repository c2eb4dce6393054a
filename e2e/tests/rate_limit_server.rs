//! The rate limit service of the tests itself: it speaks Envoy's protocol with Envoy's own filter, counts over several
//! Envoys, and can be stopped and frozen. And the limits that are shipped for such services.

use std::time::Duration;

use envoy_types::pb::envoy::extensions::common::ratelimit::v3::RateLimitDescriptor;
use envoy_types::pb::envoy::extensions::common::ratelimit::v3::rate_limit_descriptor::Entry;
use envoy_types::pb::envoy::service::ratelimit::v3::RateLimitRequest;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_response::Code;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_client::RateLimitServiceClient;
use postern_e2e::deadline::{PATIENCE, within};
use postern_e2e::rate_limit_server::{CLUSTER, RateLimitServer};
use postern_e2e::scene::bootstrap::workspace;
use postern_e2e::{Request, RunningScene, Scene, Value, json};
use tonic::transport::Channel;

const PROGRAM: &str = env!("CARGO_BIN_EXE_ratelimit");

/// A client of a rate limit service.
struct Client(RateLimitServiceClient<Channel>);

impl Client {
    async fn of(server: &RateLimitServer) -> Self {
        let connected = RateLimitServiceClient::connect(format!("http://{}", server.address()));
        Self(within(PATIENCE, "the service to accept", connected).await.expect("a connection"))
    }

    /// Says whether the service lets so many hits of a descriptor pass.
    async fn passes(&mut self, entries: &[(&str, &str)], hits: u32) -> bool {
        let entries = entries.iter().map(|(key, value)| Entry { key: (*key).into(), value: (*value).into() });
        let descriptor = RateLimitDescriptor { entries: entries.collect(), ..Default::default() };
        let request =
            RateLimitRequest { domain: "postern".into(), descriptors: vec![descriptor], hits_addend: hits };
        let answer =
            within(PATIENCE, "an answer", self.0.should_rate_limit(request)).await.expect("an answer");
        answer.into_inner().overall_code == i32::from(Code::Ok)
    }
}

fn limit(max: u64, seconds: u64, variables: &[&str]) -> Value {
    json!({
        "namespace": "postern", "max_value": max, "seconds": seconds,
        "conditions": ["descriptors[0].count == 'handshakes'"], "variables": variables,
    })
}

/// Returns an Envoy without Postern whose own filter asks the service.
async fn envoy_alone(server: &RateLimitServer) -> RunningScene {
    let filter = json!({
        "name": "envoy.filters.http.ratelimit",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit",
            "domain": "postern", "timeout": "2s", "failure_mode_deny": true,
            "rate_limit_service": {
                "grpc_service": {"envoy_grpc": {"cluster_name": CLUSTER}}, "transport_api_version": "V3",
            },
        },
    });
    let actions = json!([{"actions": [
        {"generic_key": {"descriptor_key": "count", "descriptor_value": "handshakes"}},
        {"remote_address": {}},
    ]}]);
    let scene = Scene::new().bare().plaintext().change_connection_manager(move |manager| {
        manager["http_filters"].as_array_mut().expect("filters").insert(0, filter);
        manager["route_config"]["virtual_hosts"][0]["rate_limits"] = actions;
    });
    server.reached_from(scene).start().await
}

async fn status(scene: &RunningScene) -> u16 {
    scene.ask(&Request::get("/")).await.status
}

#[tokio::test]
async fn envoys_own_filter_is_answered_and_two_envoys_share_a_count() {
    let server = RateLimitServer::start(PROGRAM, &json!([limit(3, 3600, &[])])).await;
    let (one, other) = (envoy_alone(&server).await, envoy_alone(&server).await);
    let statuses = [
        status(&one).await,
        status(&other).await,
        status(&one).await,
        status(&other).await,
        status(&one).await,
    ];
    assert_eq!(statuses, [200, 200, 200, 429, 429]);
    let asked = server.asked();
    assert_eq!(
        asked.iter().map(|asked| asked.over_limit).collect::<Vec<_>>(),
        [false, false, false, true, true]
    );
    assert_eq!(asked[0].domain, "postern");
    assert_eq!(asked[0].value("count"), Some("handshakes"));
    assert!(asked[0].value("remote_address").is_some(), "{asked:?}");
    assert_eq!(server.passed("handshakes"), 3);
}

#[tokio::test]
async fn a_service_that_is_killed_counts_anew_on_its_port_and_one_that_is_frozen_answers_later() {
    if !RateLimitServer::can_be_frozen().await {
        return;
    }
    let mut server = RateLimitServer::start(PROGRAM, &json!([limit(1, 3600, &[])])).await;
    let question = [("count", "handshakes")];
    let mut client = Client::of(&server).await;
    assert!(client.passes(&question, 1).await);
    assert!(!client.passes(&question, 1).await);

    let address = server.address();
    server.stop().await;
    assert!(tokio::net::TcpStream::connect(address).await.is_err(), "it listens still");
    server.start_again().await;
    assert_eq!(server.address(), address);
    let mut client = Client::of(&server).await;
    assert!(client.passes(&question, 1).await, "what it had counted is gone");

    server.freeze().await;
    let pending = client.passes(&question, 1);
    tokio::pin!(pending);
    assert!(
        tokio::time::timeout(Duration::from_millis(200), &mut pending).await.is_err(),
        "it answers frozen"
    );
    server.thaw().await;
    assert!(!pending.await);
}

#[tokio::test]
async fn a_limit_counts_hits_by_its_variables_and_by_the_minute_of_the_clock_where_it_says_so() {
    let by_address = limit(10, 3600, &["descriptors[0].ip"]);
    let server = RateLimitServer::start(PROGRAM, &json!([by_address])).await;
    let mut client = Client::of(&server).await;
    let of = |address| [("count", "handshakes"), ("ip", address)];
    assert!(client.passes(&of("192.0.2.1"), 10).await);
    assert!(!client.passes(&of("192.0.2.1"), 1).await);
    assert!(client.passes(&of("192.0.2.2"), 6).await);
    // What is refused is not counted.
    assert!(!client.passes(&of("192.0.2.2"), 5).await);
    assert!(client.passes(&of("192.0.2.2"), 4).await);
    // A limit whose variable is missing does not apply, nor does one of another count.
    assert!(client.passes(&[("count", "handshakes")], 100).await);
    assert!(client.passes(&[("count", "messages"), ("ip", "192.0.2.1")], 100).await);

    let server = RateLimitServer::start(PROGRAM, &json!([limit(10, 3600, &["minute"])])).await;
    let mut client = Client::of(&server).await;
    assert!(client.passes(&[("count", "handshakes")], 10).await, "a limit by the minute is in force");
    let mut next = client.passes(&[("count", "handshakes")], 10).await;
    // Unless a minute of the clock has just begun.
    if next {
        next = client.passes(&[("count", "handshakes")], 10).await;
    }
    assert!(!next, "a limit by the minute holds within it");
}

fn shipped(file: &str) -> Value {
    let text = std::fs::read_to_string(workspace().join("e2e/ratelimit").join(file)).expect("a shipped file");
    serde_saphyr::from_str(&text).expect("YAML")
}

/// The counts of which both services have limits for a user, and for one user how much they let pass.
const OF_A_USER: [(&str, u32); 3] = [("handshakes", 100), ("messages", 600), ("bytes", 10_485_760)];

#[tokio::test]
async fn the_limits_for_limitador_hold_as_its_engine_reads_them() {
    let server = RateLimitServer::start(PROGRAM, &shipped("limitador.yaml")).await;
    let mut client = Client::of(&server).await;
    for (count, limit) in OF_A_USER {
        let of = |user| [("count", count), ("user", user), ("policy", "chat")];
        assert!(client.passes(&of("alice"), limit).await, "{count}");
        assert!(!client.passes(&of("alice"), 1).await, "{count}");
        assert!(client.passes(&of("bob"), 1).await, "{count}: another user");
    }
    assert!(client.passes(&[("count", "tickets"), ("ticket", "a")], 1).await);
    assert!(!client.passes(&[("count", "tickets"), ("ticket", "a")], 1).await);
    assert!(client.passes(&[("count", "tickets"), ("ticket", "b")], 1).await);
    // Besides those of each user, all handshakes of a policy together are limited.
    let anybody = [("count", "handshakes"), ("policy", "chat")];
    assert!(client.passes(&anybody, 10_000 - 101).await);
    assert!(!client.passes(&anybody, 1).await);
}

/// Returns the limit that envoyproxy/ratelimit finds for a descriptor: level by level, the key with this value before the
/// key alone; only as deep as the descriptor.
fn found<'a>(mut level: &'a Value, entries: &[(&str, &str)]) -> Option<&'a Value> {
    for (key, value) in entries {
        let of_key =
            || level["descriptors"].as_array().into_iter().flatten().filter(|node| node["key"] == *key);
        let exact = of_key().find(|node| node["value"] == *value);
        level = exact.or_else(|| of_key().find(|node| node["value"].is_null()))?;
    }
    level.get("rate_limit")
}

#[test]
fn the_limits_for_envoyproxy_ratelimit_are_those_for_limitador_and_are_found_with_and_without_a_user() {
    let configuration = shipped("envoyproxy/postern.yaml");
    assert_eq!(configuration["domain"], "postern");
    let user = |count| found(&configuration, &[("count", count), ("user", "alice"), ("policy", "chat")]);
    for (count, limit) in OF_A_USER {
        assert_eq!(user(count).expect(count)["requests_per_unit"], limit, "{count}");
    }
    // Postern reports connections anew in every minute of the clock.
    assert_eq!(user("connections").expect("a limit")["unit"], "minute");
    for count in ["handshakes", "messages", "bytes", "connections"] {
        assert!(found(&configuration, &[("count", count), ("policy", "chat")]).is_some(), "{count}");
        assert!(found(&configuration, &[("count", count)]).is_none(), "{count}");
    }
    let ticket = found(&configuration, &[("count", "tickets"), ("ticket", "a")]).expect("a limit");
    assert_eq!((&ticket["requests_per_unit"], &ticket["unit"]), (&json!(1), &json!("day")));
}

#[test]
fn what_compose_mounts_is_there_and_both_services_listen_where_the_cluster_asks() {
    let compose = shipped("docker-compose.yaml");
    let services = compose["services"].as_object().expect("services");
    let mut mounted = 0;
    for volume in services.values().flat_map(|service| service["volumes"].as_array()).flatten() {
        let source = volume.as_str().and_then(|volume| volume.split(':').next()).expect("a volume");
        if source.starts_with('.') {
            assert!(workspace().join("e2e/ratelimit").join(source).exists(), "{source}");
            mounted += 1;
        }
    }
    assert_eq!(mounted, 2);
    let cluster = shipped("cluster.yaml");
    let endpoint = "/load_assignment/endpoints/0/lb_endpoints/0/endpoint/address/socket_address";
    let (address, port) = (
        &cluster.pointer(endpoint).expect("an address")["address"],
        &cluster.pointer(endpoint).expect("a port")["port_value"],
    );
    for service in ["limitador", "ratelimit"] {
        let published = format!("{}:{port}:8081", address.as_str().expect("an address"));
        assert_eq!(services[service]["ports"], json!([published]), "{service}");
    }
}
