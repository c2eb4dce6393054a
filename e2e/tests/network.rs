//! Events that only containers allow: networks that are cut, and services that die and come back. Each test
//! asserts the client's view of them and Postern's counts.
//!
//! `make e2e-compose` runs these in turn, on this machine, with the containers of `docker-compose.yaml` up.

use std::time::Duration;

use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::containers::container_envoy::Options;
use postern_e2e::containers::remote_client::{Command, Outcome};
use postern_e2e::containers::{Client, ContainerEnvoy, Containers, until};
use postern_e2e::mesh::{self, Authority, Credentials, Manifests};
use postern_e2e::scene::document;
use postern_e2e::scene::module;
use postern_e2e::{Signer, Value, json};

/// Ports apart from those of the shipped file, which the container's own Envoy has.
const PORT: u16 = 8500;
const ADMIN: u16 = 8501;

const SOON: Duration = Duration::from_secs(10);
/// The time without a byte after which nothing is taken to come.
const QUIET: Duration = Duration::from_secs(1);

fn start(containers: &Containers, document: Value) -> ContainerEnvoy {
    containers.envoy(&options(document))
}

fn options(document: Value) -> Options {
    Options { port: PORT, admin: ADMIN, document: Some(document), ..Options::shipped("upstream:8080") }
}

/// Makes a configuration of one policy, `chat`, for every path below /ws/chat.
fn chat(policy: Value) -> Value {
    document(json!({}), json!({"chat": policy}))
}

fn answered(status: u16, reason: Option<&str>) -> Outcome {
    Outcome::Answered { status, reason: reason.map(str::to_owned) }
}

/// Opens a WebSocket and reads the service's greeting.
fn open(client: &mut Client, name: &str) {
    assert_eq!(client.open(name, PORT, "/ws/chat", &[]), answered(101, None));
    greeted(client, name);
}

fn greeted(client: &mut Client, name: &str) {
    let greeting = client.receive(name, SOON);
    assert!(matches!(&greeting, Outcome::Frame(text) if text.contains("The service sees")), "{greeting:?}");
}

fn talk(client: &mut Client, name: &str) {
    assert_eq!(client.send(name, "hello"), Outcome::Sent);
    assert_eq!(client.receive(name, SOON), Outcome::Frame("hello".to_owned()));
}

/// Waits until a handshake is answered with 101 again, after a cut network has been joined.
fn opens_again(client: &mut Client, name: &str) {
    until("an upgrade", || (client.open(name, PORT, "/ws/chat", &[]) == answered(101, None)).then_some(()));
    greeted(client, name);
    talk(client, name);
}

fn open_connections(envoy: &ContainerEnvoy, count: f64) {
    envoy.stat_becomes("postern_connections", &[("policy", "chat")], count);
}

fn of_websocket(line: &Value) -> bool {
    line["path"] == "/ws/chat" && line["status"] == 101
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn a_client_that_is_cut_off_is_missed_and_let_go_while_the_other_talks_on() {
    let containers = Containers::of_environment();
    let liveness = json!({"ping_interval": "1s", "pong_timeout": "2s", "close_timeout": "1s"});
    let envoy = start(&containers, chat(json!({"liveness": liveness})));
    let (mut lost, mut other) = (containers.client("client-2"), containers.client("client-1"));
    open(&mut lost, "lost");
    open(&mut other, "other");
    open_connections(&envoy, 2.0);
    let cut = containers.cut("client-2", "front");
    // No Close can reach the client that is cut off.
    assert_eq!(lost.receive("lost", QUIET), Outcome::Nothing);
    let line = until("the access log of the lost one", || {
        // A client that answers Pings stays.
        talk(&mut other, "other");
        let log = envoy.log();
        let mut lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.find(of_websocket)
    });
    assert_eq!(line["reason"], "pong_timeout");
    let labels = [("policy", "chat"), ("reason", "pong_timeout")];
    assert_eq!(envoy.stats().sum("postern_closes", &labels), 1.0);
    assert_eq!(envoy.stats().sum("postern_closes", &[]), 1.0);
    open_connections(&envoy, 1.0);
    talk(&mut other, "other");
    drop(cut);
    opens_again(&mut lost, "again");
    open_connections(&envoy, 2.0);
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn while_envoy_is_cut_off_from_the_service_its_clients_are_held_and_new_ones_get_503() {
    let containers = Containers::of_environment();
    let liveness = json!({"ping_interval": "1s", "pong_timeout": "2s", "idle_timeout": "30s"});
    let envoy = start(&containers, chat(json!({"liveness": liveness})));
    let mut client = containers.client("client-1");
    open(&mut client, "old");
    talk(&mut client, "old");
    let cut = containers.cut("envoy", "back");
    assert_eq!(client.send("old", "lost?"), Outcome::Sent);
    assert_eq!(client.receive("old", QUIET), Outcome::Nothing);
    // Envoy answers 503 itself, and Postern refuses nobody for it.
    assert_eq!(client.open("new", PORT, "/ws/chat", &[]), answered(503, None));
    let stats = envoy.stats();
    let handshakes = |result| stats.sum("postern_handshakes", &[("policy", "chat"), ("result", result)]);
    assert_eq!((handshakes("allowed"), handshakes("refused")), (1.0, 0.0));
    let line = envoy.access_line("the access log of the new one", |line| line["status"] == 503);
    assert_eq!(line["reason"], Value::Null);
    drop(cut);
    opens_again(&mut client, "again");
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn a_service_that_is_killed_ends_its_sockets_and_new_ones_open_when_it_is_back() {
    let containers = Containers::of_environment();
    let envoy = start(&containers, chat(json!({})));
    let mut client = containers.client("client-1");
    open(&mut client, "old");
    open_connections(&envoy, 1.0);
    let killed = containers.kill("upstream");
    assert!(matches!(client.receive("old", SOON), Outcome::Ended(_)), "the end of a killed service's socket");
    open_connections(&envoy, 0.0);
    // The connection did not end by Postern's doing.
    assert_eq!(envoy.stats().sum("postern_closes", &[]), 0.0);
    assert_eq!(envoy.access_line("the access log of the old one", of_websocket)["reason"], Value::Null);
    assert_eq!(client.open("new", PORT, "/ws/chat", &[]), answered(503, None));
    let refused = [("policy", "chat"), ("result", "refused")];
    assert_eq!(envoy.stats().sum("postern_handshakes", &refused), 0.0);
    drop(killed);
    opens_again(&mut client, "again");
    open_connections(&envoy, 1.0);
}

/// Makes a handshake at the shipped file's listener, as its policy `chat` wants it.
fn shipped(client: &mut Client, name: &str) -> Outcome {
    let token = Signer::edge().mint(&edge_claims("alice"));
    let headers = [("Origin", "https://app.example.com"), ("Authorization", &format!("Bearer {token}"))];
    client.carry_out(&Command::Open {
        name: name.to_owned(),
        to: "envoy:8443".to_owned(),
        path: "/ws/chat".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        trust: Some("/scenes/cert.pem".to_owned()),
    })
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn an_envoy_that_is_restarted_ends_its_sockets_and_serves_and_counts_anew() {
    let containers = Containers::of_environment();
    let clients = ["client-1", "client-2"];
    let mut clients = clients.map(|service| containers.client(service));
    for client in &mut clients {
        assert_eq!(shipped(client, "old"), answered(101, None));
        greeted(client, "old");
    }
    let counted = || containers.shipped_stats().sum("postern_connections", &[("policy", "chat")]) == 2.0;
    until("both to be counted", || counted().then_some(()));
    containers.restart("envoy");
    for client in &mut clients {
        assert!(
            matches!(client.receive("old", SOON), Outcome::Ended(_)),
            "the end of a killed Envoy's socket"
        );
    }
    assert_eq!(containers.shipped_stats().sum("postern_connections", &[]), 0.0);
    for client in &mut clients {
        assert_eq!(shipped(client, "new"), answered(101, None));
        greeted(client, "new");
        talk(client, "new");
    }
    until("both to be counted anew", || counted().then_some(()));
    let stats = containers.shipped_stats();
    assert_eq!(stats.sum("postern_handshakes", &[("policy", "chat"), ("result", "allowed")]), 2.0);
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn two_clients_at_different_addresses_use_up_rates_of_their_own() {
    const LIMIT: usize = 5;
    let containers = Containers::of_environment();
    let rates = json!([{"count": "handshakes", "per": "ip", "limit": LIMIT, "window": "1h"}]);
    let envoy = start(&containers, chat(json!({"rates": rates})));
    let mut first = containers.client("client-1");
    let mut second = containers.client("client-2");
    for round in 0..LIMIT {
        open(&mut first, &format!("socket {round}"));
    }
    let refused = answered(429, Some("handshake_rate"));
    assert_eq!(first.open("too many", PORT, "/ws/chat", &[]), refused);
    // A header of the client's own making gives it no other address.
    let other = [("X-Forwarded-For", "192.0.2.1")];
    assert_eq!(first.open("in disguise", PORT, "/ws/chat", &other), refused);
    for round in 0..LIMIT {
        open(&mut second, &format!("socket {round}"));
    }
    assert_eq!(second.open("too many", PORT, "/ws/chat", &[]), refused);
    let stats = envoy.stats();
    let handshakes = |result, reason| {
        stats.sum("postern_handshakes", &[("policy", "chat"), ("result", result), ("reason", reason)])
    };
    assert_eq!((handshakes("allowed", "none"), handshakes("refused", "handshake_rate")), (10.0, 3.0));
    drop((first, second));
    let of_first = envoy.access_line("a refusal of the first", |line| line["reason"] == "handshake_rate");
    let of_second = envoy.access_line("a refusal of the second", |line| {
        line["reason"] == "handshake_rate" && line["client"] != of_first["client"]
    });
    for line in [of_first, of_second] {
        let address: std::net::IpAddr =
            line["client"].as_str().expect("an address").parse().expect("an address");
        assert!(!address.is_loopback(), "{address}");
    }
}

/// Returns a configuration with keys that are fetched from the issuer's container, and soon too old.
fn fetched() -> Options {
    let remote = json!({
        "cluster": "auth", "uri": "https://auth.example.com/jwks.json",
        "refresh_interval": "1s", "timeout": "2s", "max_stale": "6s",
    });
    let main = json!({"issuer": "edge", "audiences": ["chat"], "jwks": {"remote": remote}});
    let auth = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
    let document = document(json!({"main": main}), json!({"chat": {"auth": auth}}));
    Options { clusters: vec![("auth".to_owned(), "auth:8090".to_owned())], ..options(document) }
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn keys_of_an_issuer_that_is_cut_off_serve_while_they_are_fresh_enough_and_no_longer() {
    let containers = Containers::of_environment();
    let signer = Signer::es256("a");
    containers.publish("jwks.json", &jwks(&[&signer]));
    let envoy = containers.envoy(&fetched());
    let mut client = containers.client("client-1");
    let authorization = format!("Bearer {}", signer.mint(&edge_claims("alice")));
    let mut handshake =
        |name: &str| client.open(name, PORT, "/ws/chat", &[("Authorization", &authorization)]);
    until("a handshake with fetched keys", || (handshake("first") == answered(101, None)).then_some(()));
    let cut = containers.cut("auth", "back");
    assert_eq!(handshake("stale"), answered(101, None));
    let gone = answered(503, Some("keys_unavailable"));
    until("keys that are too old", || (handshake("late") == gone).then_some(()));
    let labels = [("policy", "chat"), ("result", "refused"), ("reason", "keys_unavailable")];
    assert!(envoy.stats().sum("postern_handshakes", &labels) >= 1.0);
    drop(cut);
    until("a handshake with keys fetched anew", || (handshake("again") == answered(101, None)).then_some(()));
    // A socket that was let in by the old keys is not concerned.
    assert_eq!(
        client.receive("first", SOON),
        Outcome::Frame("The service sees nobody in particular, who asked for /ws/chat".to_owned())
    );
    talk(&mut client, "first");
}

/// Returns a configuration with a list of revoked tokens from the issuer's container, for an Envoy at these
/// ports.
fn revocable(port: u16, admin: u16) -> Options {
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}],
        "revocation": {"cluster": "auth", "path": "/revoked.json", "interval": "1s"},
    });
    let document = document(json!({"edge": edge}), json!({"chat": {"auth": auth}}));
    let clusters = vec![("auth".to_owned(), "auth:8090".to_owned())];
    Options { port, admin, clusters, ..options(document) }
}

/// Opens a WebSocket with a token of this `jti`, which names the socket too.
fn bearing(client: &mut Client, port: u16, jti: &str) -> Outcome {
    let mut claims = edge_claims("alice");
    claims["jti"] = json!(jti);
    let authorization = format!("Bearer {}", Signer::edge().mint(&claims));
    client.open(jti, port, "/ws/chat", &[("Authorization", &authorization)])
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn a_list_of_an_issuer_that_is_cut_off_serves_on_and_an_envoy_without_one_lets_nobody_in() {
    let containers = Containers::of_environment();
    containers.publish("revoked.json", &json!({"jti": ["named"]}));
    let envoy = containers.envoy(&revocable(PORT, ADMIN));
    let mut client = containers.client("client-1");
    let (let_in, revoked) = (answered(101, None), answered(401, Some("token_revoked")));
    until("a handshake with a fetched list", || (bearing(&mut client, PORT, "kept") == let_in).then_some(()));
    greeted(&mut client, "kept");
    assert_eq!(bearing(&mut client, PORT, "named"), revoked);

    let cut = containers.cut("auth", "back");
    containers.publish("revoked.json", &json!({"jti": ["kept"]}));
    let fetches =
        |result| envoy.stats().sum("postern_fetches", &[("source", "revocation"), ("result", result)]);
    until("fetches that fail", || (fetches("failed") >= 3.0).then_some(()));
    let age = envoy.stats().sum("postern_source_age_seconds", &[("source", "revocation")]);
    assert!(age >= 2.0, "the list is {age} s old");
    // The last list stays in force; nobody knows the one that cannot be fetched.
    assert_eq!(bearing(&mut client, PORT, "named"), revoked);
    assert_eq!(bearing(&mut client, PORT, "other"), let_in);
    talk(&mut client, "kept");

    // An Envoy that starts now has no list.
    let (port, admin) = (PORT + 10, ADMIN + 10);
    let late = containers.envoy(&revocable(port, admin));
    assert_eq!(bearing(&mut client, port, "late"), answered(503, Some("revocation_unavailable")));
    let unavailable = [("policy", "chat"), ("result", "refused"), ("reason", "revocation_unavailable")];
    assert_eq!(late.stats().sum("postern_handshakes", &unavailable), 1.0);

    drop(cut);
    let closed = Outcome::Closed { code: Some(3000), reason: "token_revoked".to_owned() };
    until("the Close of a socket that the new list names", || {
        let heard = client.receive("kept", QUIET);
        assert!(heard == Outcome::Nothing || heard == closed, "{heard:?}");
        (heard == closed).then_some(())
    });
    envoy.stat_becomes("postern_closes", &[("reason", "token_revoked")], 1.0);
    // The workers learn of the new list one after the other.
    until("a refusal by the new list", || (bearing(&mut client, PORT, "kept") == revoked).then_some(()));
    until("a handshake by the new list", || (bearing(&mut client, PORT, "named") == let_in).then_some(()));
    until("a handshake at the late one", || (bearing(&mut client, port, "late") == let_in).then_some(()));
    assert_eq!(bearing(&mut client, port, "kept"), revoked);
}

/// The certificates and the manifests of two sidecars, and what each is started with.
struct Sidecars {
    authority: Authority,
    containers: Containers,
}

impl Sidecars {
    /// Reads manifests, with heartbeats that soon tell of a peer that is gone. The client answers them only while it is told to
    /// receive, and the engine takes its time in between.
    fn manifests(name: &str) -> Manifests {
        Manifests::shipped(name).configured(|config| {
            for policy in config["policies"].as_object_mut().expect("policies").values_mut() {
                policy["liveness"] =
                    json!({"ping_interval": "1s", "pong_timeout": "10s", "close_timeout": "1s"});
            }
        })
    }

    /// Starts the sidecar that clients are let out by.
    fn start_out(&self) -> ContainerEnvoy {
        let credentials = Credentials::fixed(self.authority.identity("bot"), &self.authority);
        let name = self.authority.identity("chat").name;
        let module = module::path().expect("a module");
        let options = Options { port: PORT, admin: ADMIN, ..Options::shipped(&format!("sidecar-in:{PORT}")) };
        let options = options.changed(|bootstrap| {
            mesh::outbound(bootstrap, &credentials, &name);
            Self::manifests("outbound.yaml").apply(
                bootstrap,
                "chat.postern-outbound",
                &module,
                "SIDECAR_OUTBOUND",
            );
        });
        self.containers.envoy_of("sidecar-out", &options)
    }

    /// Starts the sidecar in front of the service, with a certificate that was just signed.
    fn start_in(&self) -> ContainerEnvoy {
        let credentials = Credentials::fixed(self.authority.identity("chat"), &self.authority);
        let module = module::path().expect("a module");
        let options = Options { port: PORT, admin: ADMIN, ..Options::shipped("upstream:8080") };
        let options = options.changed(|bootstrap| {
            mesh::inbound(bootstrap, &credentials);
            Self::manifests("sidecar.yaml").apply(bootstrap, "chat.postern", &module, "SIDECAR_INBOUND");
        });
        self.containers.envoy_of("sidecar-in", &options)
    }
}

/// Makes a handshake as a workload does that has a token for the service.
fn out_of_a_workload(client: &mut Client, name: &str) -> Outcome {
    let token = Signer::edge().mint(&edge_claims("alice"));
    let headers = [("Host", "chat.chat.svc.cluster.local"), ("Authorization", &format!("Bearer {token}"))];
    client.carry_out(&Command::Open {
        name: name.to_owned(),
        to: format!("sidecar-out:{PORT}"),
        path: "/ws/chat".to_owned(),
        headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        trust: None,
    })
}

#[test]
#[ignore = "needs the containers of `make e2e-compose`"]
fn sidecars_that_are_cut_apart_end_their_sockets_and_one_that_is_started_anew_serves_again() {
    let sidecars = Sidecars { authority: Authority::new(), containers: Containers::of_environment() };
    let (inbound, outbound) = (sidecars.start_in(), sidecars.start_out());
    let mut client = sidecars.containers.client("client-1");
    assert_eq!(out_of_a_workload(&mut client, "first"), answered(101, None));
    greeted(&mut client, "first");
    talk(&mut client, "first");
    open_connections(&inbound, 1.0);

    let cut = sidecars.containers.cut("sidecar-out", "mesh");
    // Nobody answers the service's sidecar any more. The other one has lost its network, so that its system may end the
    // connection before its heartbeat does: this client answers only while it is told to receive.
    inbound.stat_becomes("postern_connections", &[("policy", "chat")], 0.0);
    assert_eq!(inbound.stats().sum("postern_closes", &[("reason", "pong_timeout")]), 1.0);
    outbound.stat_becomes("postern_connections", &[("policy", "bots")], 0.0);
    let heard = client.receive("first", SOON);
    assert!(
        matches!(heard, Outcome::Closed { code: Some(3008), .. } | Outcome::Ended(_)),
        "a socket that is held for ever: {heard:?}"
    );
    assert_eq!(out_of_a_workload(&mut client, "meanwhile"), answered(503, None));
    drop(cut);

    let again = |client: &mut Client, name: &str| {
        until("an upgrade", || (out_of_a_workload(client, name) == answered(101, None)).then_some(()));
        greeted(client, name);
        talk(client, name);
    };
    again(&mut client, "joined");
    let killed = sidecars.containers.kill("sidecar-in");
    assert!(
        matches!(client.receive("joined", SOON), Outcome::Ended(_)),
        "the end of a killed sidecar's socket"
    );
    outbound.stat_becomes("postern_connections", &[("policy", "bots")], 0.0);
    assert_eq!(out_of_a_workload(&mut client, "gone"), answered(503, None));
    drop((killed, inbound));
    let _inbound = sidecars.start_in();
    again(&mut client, "back");
}
