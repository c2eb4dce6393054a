//! Handshakes from very many addresses: memory stays as it is, the limits of honest clients are exact, and nobody is
//! locked out for good. `POSTERN_CROWD_ADDRESSES` says how many there are.

use std::time::{Duration, Instant};

use futures_util::stream::{StreamExt as _, iter};
use postern_e2e::environment;
use postern_e2e::scene::document;
use postern_e2e::{Request, Response, RunningScene, Scene, Shared, json};
use tokio::time::sleep;

use crate::stage::SOON;

/// The number of addresses where the environment says nothing.
const ADDRESSES: u32 = 800;

/// The number of handshakes under way at once.
const AT_ONCE: usize = 32;

/// The number of handshakes that an address may make in an hour.
const HANDSHAKES: usize = 6;

/// The growth of Envoy's memory, in times what it was, that counts as none.
const FLAT: f64 = 1.05;

fn scene() -> Scene {
    let rates = json!([
        {"count": "handshakes", "per": "ip", "limit": HANDSHAKES, "window": "1h"},
        {"count": "refusals", "per": "ip", "limit": 1, "window": "2s"},
    ]);
    let policies = json!({"crowd": {
        "rates": rates, "connections": {"per_ip": 1, "per_policy": 1000},
        "origins": {"allow": ["https://app.example.com"], "missing": "deny"},
    }});
    Scene::new().document(document(json!({}), policies)).workers(4).plaintext()
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

fn addresses() -> u32 {
    let said = std::env::var("POSTERN_CROWD_ADDRESSES").ok();
    said.map_or(ADDRESSES, |said| said.parse().expect("a number of addresses"))
}

/// Returns an address of the crowd, in 127.64.0.0/10.
fn address(number: u32) -> [u8; 4] {
    (0x7f40_0000 + number).to_be_bytes()
}

async fn ask(scene: &RunningScene, from: [u8; 4], origin: &str) -> Response {
    let request = Request::upgrade("/ws/crowd").header("Origin", origin);
    scene.connect_from(from).await.ask(&request).await
}

/// Makes a handshake from each address; every third comes from a page that may not.
async fn everybody(scene: &RunningScene, addresses: impl Iterator<Item = u32>) {
    let handshakes = iter(addresses).map(async |number| {
        let origin = if number % 3 == 0 { "https://evil.example" } else { "https://app.example.com" };
        ask(scene, address(number), origin).await.status
    });
    let answers: Vec<u16> = handshakes.buffer_unordered(AT_ONCE).collect().await;
    assert!(answers.iter().all(|status| matches!(status, 101 | 403 | 429)));
}

#[tokio::test]
async fn a_crowd_leaves_memory_flat_and_the_limits_of_everybody_exact() {
    if environment::is_in_containers("a container has one address") {
        return;
    }
    let scene = SCENE.alone().await;
    let count = addresses();
    everybody(&scene, 0..count).await;
    scene.envoy().stat_becomes("postern_connections", &[("policy", "crowd")], 0.0).await;
    let before = scene.envoy().allocated_bytes().await;
    everybody(&scene, (0..count).chain(0..count / 2)).await;
    scene.envoy().stat_becomes("postern_connections", &[("policy", "crowd")], 0.0).await;
    let after = scene.envoy().allocated_bytes().await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
    let growth = after as f64 / before as f64;
    eprintln!("{count} addresses, {} handshakes: {before} bytes, then {after}: {growth:.3}", count * 5 / 2);
    assert!(growth <= FLAT, "{before} bytes grew to {after}");

    // A client that was honest all the time.
    let honest = address(count + 1);
    for i in 0..=HANDSHAKES {
        let expected = if i < HANDSHAKES { 101 } else { 429 };
        let answer = ask_soon(&scene, honest).await;
        assert_eq!(answer.status, expected, "{i}: {answer:?}");
    }
    // One that was refused, and so locked out for two seconds.
    let refused = address(count + 2);
    assert_eq!(ask(&scene, refused, "https://evil.example").await.status, 403);
    let begun = Instant::now();
    let mut answer = ask_soon(&scene, refused).await;
    while answer.status != 101 {
        assert_eq!(answer.reason().as_deref(), Some("refusal_rate"));
        assert!(begun.elapsed() < SOON);
        // As many handshakes as it may make suffice.
        sleep(Duration::from_secs(1)).await;
        answer = ask_soon(&scene, refused).await;
    }
}

/// Makes a handshake once the one before it has left its place.
async fn ask_soon(scene: &RunningScene, from: [u8; 4]) -> Response {
    scene.envoy().stat_becomes("postern_connections", &[("policy", "crowd")], 0.0).await;
    ask(scene, from, "https://app.example.com").await
}
