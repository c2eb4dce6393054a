//! Keys that are fetched from a cluster.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use postern_e2e::client::token::{edge_claims, jwks};
use postern_e2e::deadline::{LATE, PATIENCE, eventually};
use postern_e2e::{
    Behaviour, Documents, Frame, Pushed, Request, RunningScene, Scene, Served, Signer, Value, json,
};
use tokio::time::sleep;

const ISSUER: &str = "https://auth.example.com/";
const PATH: &str = "/.well-known/jwks.json?tenant=1";

/// The time after which an unknown key may be asked for again.
const REFETCH: Duration = Duration::from_secs(10);

/// The default time that a handshake waits for a fetch.
const TIMEOUT: Duration = Duration::from_secs(2);

fn provider(path: &str, remote: Value) -> Value {
    let mut whole = json!({"cluster": "auth", "uri": format!("https://auth.example.com{path}")});
    whole.as_object_mut().expect("an object").extend(remote.as_object().expect("an object").clone());
    json!({"issuer": ISSUER, "audiences": ["chat"], "jwks": {"remote": whole}})
}

fn policy(provider: &str) -> Value {
    json!({
        "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "rates": [],
        "auth": {"providers": [provider], "from": [{"header": "authorization"}]},
    })
}

/// Makes a scene with one provider, `main`, of the keys at [`PATH`], and four workers.
fn scene(documents: &Documents, remote: Value) -> Scene {
    let scene = Scene::new().policy(policy("main")).provider("main", provider(PATH, remote));
    scene.cluster("auth", documents.address()).workers(4).plaintext()
}

fn bearing_on(path: &str, signer: &Signer) -> Request {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    Request::upgrade(path).header("Authorization", format!("Bearer {}", signer.mint(&claims)))
}

fn bearing(signer: &Signer) -> Request {
    bearing_on("/ws/chat", signer)
}

/// Returns the status of a handshake, and the reason of a refusal.
async fn outcome(scene: &RunningScene, signer: &Signer) -> (u16, Option<String>) {
    let response = scene.ask(&bearing(signer)).await;
    (response.status, response.reason())
}

fn refused(status: u16, reason: &str) -> (u16, Option<String>) {
    (status, Some(reason.to_owned()))
}

async fn becomes(scene: &RunningScene, signer: &Signer, expected: (u16, Option<String>)) {
    let end = Instant::now() + Duration::from_secs(20);
    loop {
        let found = outcome(scene, signer).await;
        if found == expected {
            return;
        }
        assert!(Instant::now() < end, "{found:?} and never {expected:?}");
        sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn keys_are_fetched_once_for_all_workers_and_handshakes_wait_for_them() {
    let (documents, signer, stranger) = (Documents::start().await, Signer::es256("a"), Signer::es256("a"));
    let held = documents.serve_held(PATH, Served::Document(jwks(&[&signer])));
    let scene = scene(&documents, json!({})).start().await;
    let (good, bad) = (bearing(&signer), bearing(&stranger));
    let answers = join_all((0..16).flat_map(|_| [scene.ask(&good), scene.ask(&bad)]));
    let (answers, ()) = tokio::join!(answers, async {
        sleep(Duration::from_millis(300)).await;
        assert!(!scene.upstream().has_seen(good.case()), "it went up before there were keys");
        held.release();
    });
    for pair in answers.chunks(2) {
        assert_eq!(pair[0].status, 101, "{}", pair[0].text());
        assert_eq!(pair[1].reason().as_deref(), Some("token_invalid"));
    }
    assert!(!scene.upstream().has_seen(bad.case()));
    let requests = documents.requests(PATH);
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].method.as_str(), requests[0].target.as_str()), ("GET", PATH));
    assert_eq!(requests[0].headers.get("host").as_deref(), Some("auth.example.com"));
    let labels = [("source", "jwks"), ("cluster", "auth"), ("provider", "main"), ("result", "good")];
    assert_eq!(scene.envoy().stats().await.sum("postern_fetches", &labels), 1.0);
    // A socket that waited is a socket like any other.
    let mut client = scene.open_with(&good).await;
    client.send(Frame::text("hello").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("hello")));
}

#[tokio::test]
async fn what_a_client_sends_while_its_handshake_waits_is_kept_and_judged_after_it() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    documents.serve(PATH, Served::Silence);
    let scene = scene(&documents, json!({"timeout": "4s"})).beside_others().start().await;
    let mut held = None;
    let (early, bad) = (Frame::text("early").masked(), Frame::text("early").masked().rsv(0b100));
    for together in [true, false] {
        let requests = [bearing(&signer), bearing(&signer), bearing(&signer)];
        let frames = [early.bytes(), bad.bytes(), early.bytes()];
        let mut clients = Vec::new();
        for (request, frame) in requests.iter().zip(&frames) {
            let mut client = scene.connect().await;
            if together {
                client.send([request.bytes(), frame.clone()].concat()).await;
            } else {
                client.send(request.bytes()).await;
                sleep(Duration::from_millis(100)).await;
                client.send(frame).await;
            }
            clients.push(client);
        }
        if together {
            for (client, request) in clients.iter_mut().zip(&requests) {
                assert_eq!(client.response().await.reason().as_deref(), Some("keys_unavailable"));
                assert!(!scene.upstream().has_seen(request.case()));
            }
            held = Some(documents.serve_held(PATH, Served::Document(jwks(&[&signer]))));
            // The clients of the next round have to find a try under way.
            documents.hits_become(PATH, documents.hits(PATH) + 1).await;
            continue;
        }
        drop(held.take());
        let [mut good, mut wrong, mut other] = clients.try_into().expect("three");
        for client in [&mut good, &mut other] {
            assert_eq!(client.response().await.status, 101);
            assert_eq!(client.frame().await, Ok(Frame::text("early")));
        }
        assert_eq!(wrong.response().await.status, 101);
        assert_eq!(wrong.close().await.code(), Some(1002));
    }
}

#[tokio::test]
async fn a_client_that_goes_away_while_its_handshake_waits_is_forgotten() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    let held = documents.serve_held(PATH, Served::Document(jwks(&[&signer])));
    let mut both = policy("main");
    both["auth"]["from"] = json!([{"header": "authorization"}, {"query": "access_token"}]);
    let scene = scene(&documents, json!({})).policy(both).beside_others().start().await;
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    let path = format!("/ws/chat?room=1&access_token={}", signer.mint(&claims));
    let mut gone = Vec::new();
    for _ in 0..20 {
        let request = Request::upgrade(&path);
        scene.connect().await.send(request.bytes()).await;
        gone.push(request);
    }
    for request in &gone {
        assert_eq!(scene.access_line(request.case()).await["path"], "/ws/chat?room=1", "without its token");
    }
    held.release();
    assert_eq!(outcome(&scene, &signer).await, (101, None));
    for request in gone {
        assert!(!scene.upstream().has_seen(request.case()));
    }
    assert_eq!(scene.common_envoy().stats().await.sum("envoy_wasm_postern_vm_reload_success", &[]), 0.0);
}

#[tokio::test]
async fn without_keys_handshakes_wait_their_time_and_are_answered_503_until_there_are_some() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    let set = jwks(&[&signer]);
    let mut large = set.clone();
    large["padding"] = json!("x".repeat(256 * 1024));
    let mut secret = set.clone();
    secret["keys"] =
        json!([{"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"}]);
    let cases = [
        ("silent", Served::Silence, "no answer|the status is 504"),
        ("down", Served::HangUp, "the status is 503"),
        ("error", Served::Answer(500, set.to_string().into_bytes()), "the status is 500"),
        ("created", Served::Answer(201, set.to_string().into_bytes()), "the status is 201"),
        ("empty", Served::Answer(200, Vec::new()), "no unambiguous JSON"),
        ("garbage", Served::Answer(200, vec![0xff; 1000]), "no unambiguous JSON"),
        ("list", Served::Document(json!([])), "no JWK set"),
        ("nothing", Served::Document(json!({"keys": []})), "no key that can be used"),
        (
            "useless",
            Served::Document(secret),
            "no key that can be used: keys[0] (kty is not that of a public key; use RSA, EC or OKP), keys[1] (",
        ),
        ("large", Served::Document(large), "the answer is too large"),
        ("half", Served::Half(set.clone()), "no answer"),
        ("many", Served::Document(json!({"keys": vec![signer.jwk(); 257]})), "too many keys"),
    ];
    let names = || cases.iter().map(|(name, ..)| *name).chain(["unknown", "hostless"]);
    let mut providers = json!({});
    let mut policies = json!({});
    for name in names() {
        providers[name] = provider(&format!("/{name}"), json!({"timeout": "1s"}));
        policies[name] = policy(name);
    }
    providers["unknown"]["jwks"]["remote"]["cluster"] = json!("nobody");
    providers["hostless"]["jwks"]["remote"]["cluster"] = json!("hostless");
    for (name, served, _) in &cases {
        documents.serve(&format!("/{name}"), served.clone());
    }
    let scene = Scene::new().document(postern_e2e::scene::document(providers, policies));
    let scene = scene.cluster("auth", documents.address()).workers(2).plaintext().change(|bootstrap| {
        let clusters = bootstrap["static_resources"]["clusters"].as_array_mut().expect("a list");
        clusters.push(json!({
            "name": "hostless", "type": "STATIC", "load_assignment": {"cluster_name": "hostless"},
        }));
    });
    let scene = scene.start().await;

    let asked = names().map(|name| {
        let scene = &scene;
        let request = bearing_on(&format!("/ws/{name}"), &signer);
        async move {
            let start = Instant::now();
            let response = scene.ask(&request).await;
            let found = (response.status, response.reason());
            assert_eq!(found, refused(503, "keys_unavailable"), "{name}");
            assert!(start.elapsed() < Duration::from_secs(1) + LATE, "{name} took {:?}", start.elapsed());
            assert!(!scene.upstream().has_seen(request.case()), "{name}");
            assert_eq!(scene.access_line(request.case()).await["reason"], "keys_unavailable", "{name}");
        }
    });
    join_all(asked).await;
    let logged = || scene.envoy().log_lines_with("fetch failed");
    for (name, _, words) in &cases {
        let title = format!("source=jwks cluster=auth provider={name} uri=https://auth.example.com/{name}: ");
        let is_its =
            |line: &String| line.contains(&title) && words.split('|').any(|part| line.contains(part));
        let is_logged = || logged().iter().any(is_its);
        eventually(PATIENCE, name, || is_logged().then_some(())).await;
    }
    let nobody = "cluster=nobody provider=unknown uri=https://auth.example.com/unknown: Envoy does not know the cluster";
    scene.envoy().logged(nobody).await;
    scene.envoy().logged("cluster=hostless provider=hostless uri=").await;

    for (name, ..) in &cases {
        documents.serve(&format!("/{name}"), Served::Document(set.clone()));
    }
    let healed = cases.iter().map(|(name, ..)| {
        let (scene, request) = (&scene, bearing_on(&format!("/ws/{name}"), &signer));
        async move {
            let end = Instant::now() + Duration::from_secs(20);
            while scene.ask(&request).await.status != 101 {
                assert!(Instant::now() < end, "{name} never gets its keys");
            }
        }
    });
    join_all(healed).await;
    let stats = scene.envoy().stats().await;
    for (name, ..) in &cases {
        let labels = [("source", "jwks"), ("cluster", "auth"), ("provider", name), ("result", "failed")];
        assert!(stats.sum("postern_fetches", &labels) >= 1.0, "{name}");
    }
    assert_eq!(stats.sum("envoy_wasm_postern_vm_reload_success", &[]), 0.0);
}

#[tokio::test]
async fn keys_change_hands_while_sockets_are_open() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::rs256("new"));
    documents.serve(PATH, Served::Document(jwks(&[&old])));
    let scene = scene(&documents, json!({"refresh_interval": "1s"})).beside_others().start().await;
    assert_eq!(outcome(&scene, &old).await, (101, None));
    assert_eq!(outcome(&scene, &new).await, refused(401, "token_invalid"));
    let mut client = scene.open_with(&bearing(&old)).await;

    documents.serve(PATH, Served::Document(jwks(&[&old, &new])));
    becomes(&scene, &new, (101, None)).await;
    assert_eq!(outcome(&scene, &old).await, (101, None));
    documents.serve(PATH, Served::Document(jwks(&[&new])));
    becomes(&scene, &old, refused(401, "token_invalid")).await;
    let hits = documents.hits(PATH);
    documents.hits_become(PATH, hits + 2).await;
    for _ in 0..16 {
        assert_eq!(outcome(&scene, &old).await, refused(401, "token_invalid"), "a worker has the old keys");
        assert_eq!(outcome(&scene, &new).await, (101, None), "a worker has not the new keys");
    }
    client.send(Frame::text("still here").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("still here")));
}

/// Starts a scene whose tokens may come in messages, its keys fetched long enough ago for another fetch.
async fn rotating(documents: &Documents, old: &Signer) -> RunningScene {
    documents.serve(PATH, Served::Document(jwks(&[old])));
    let mut policy = policy("main");
    policy["auth"]["from"] = json!([{"header": "authorization"}, {"first_message": "/token"}]);
    policy["auth"]["refresh"] = json!("/token");
    let scene = scene(documents, json!({"timeout": "6s"})).policy(policy);
    let welcome = Behaviour::Chatty(vec![Frame::text("welcome").bytes()]);
    let scene = scene.upstream("/ws/chat/greets", welcome).beside_others().start().await;
    assert_eq!(outcome(&scene, old).await, (101, None));
    sleep(REFETCH).await;
    scene
}

/// Makes a first message, or a refresh.
fn message(signer: &Signer) -> Vec<u8> {
    let mut claims = edge_claims("alice");
    claims["iss"] = json!(ISSUER);
    Frame::text(&json!({"token": signer.mint(&claims)}).to_string()).masked().bytes()
}

#[tokio::test]
async fn a_refresh_by_a_key_that_is_not_known_yet_waits_for_it_while_the_connection_goes_on() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::rs256("new"));
    let scene = rotating(&documents, &old).await;
    let held = documents.serve_held(PATH, Served::Document(jwks(&[&old, &new])));
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(scene.open_with(&bearing(&old)).await);
    }
    let meanwhile = Frame::text("meanwhile");
    for client in &mut clients {
        client.send([message(&new), meanwhile.clone().masked().bytes()].concat()).await;
        assert_eq!(client.frame().await, Ok(meanwhile.clone()));
    }
    held.release();
    for client in &mut clients {
        assert!(client.frame().await.expect("an answer").as_text().contains("token_accepted"));
        client.send(meanwhile.clone().masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(meanwhile.clone()));
    }
    assert_eq!(documents.hits(PATH), 2, "one fetch for all");

    // The last token is by a key that the fetch does not bring.
    sleep(REFETCH).await;
    let mut client = scene.open_with(&bearing(&new)).await;
    client.send(message(&Signer::es256("never"))).await;
    client.send(meanwhile.clone().masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(meanwhile));
    assert_eq!(client.frame().await, Ok(Frame::closing(3000, "token_invalid")));
}

#[tokio::test]
async fn a_first_message_by_a_key_that_is_not_known_yet_waits_for_it_and_so_does_what_follows() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::rs256("new"));
    let scene = rotating(&documents, &old).await;
    let held = documents.serve_held(PATH, Served::Document(jwks(&[&old, &new])));
    let hello = Frame::binary(vec![7; 5000]);
    let behind = hello.clone().masked().bytes();
    let mut clients = Vec::new();
    for way in 0..12 {
        let request = Request::upgrade("/ws/chat/greets");
        let mut client = if way % 3 == 0 {
            // This message goes ahead of the 101.
            let mut client = scene.connect().await;
            client.send([request.bytes(), message(&new), behind.clone()].concat()).await;
            assert_eq!(client.response().await.status, 101);
            client
        } else {
            scene.open_with(&request).await
        };
        match way % 3 {
            0 => {}
            1 => client.send([message(&new), behind.clone()].concat()).await,
            _ => {
                client.send(message(&new)).await;
                client.send(&behind[..1000]).await;
                sleep(Duration::from_millis(10)).await;
                client.send(&behind[1000..]).await;
            }
        }
        clients.push((client, request));
    }
    let bye = Frame::closing(4001, "bye");
    let mut leaves = scene.open("/ws/chat").await;
    let seen = scene.record(&leaves).await;
    leaves.send([message(&new), behind.clone(), bye.clone().masked().bytes()].concat()).await;
    assert_eq!(leaves.frame().await, Ok(bye.clone()), "the server's answer");
    assert_eq!(seen.frames(), [bye.masked()]);
    let mut gone = scene.open("/ws/chat").await;
    gone.send([message(&new), behind.clone()].concat()).await;
    drop(gone);
    let mut talks = scene.open("/ws/chat").await;
    talks.send([message(&new), vec![0x82; 17_000]].concat()).await;
    assert_eq!(talks.frame().await, Ok(Frame::closing(1009, "message_too_big")));
    for (client, _) in &mut clients {
        assert!(client.receives_nothing_for(Duration::from_millis(20)).await);
    }
    assert_eq!(documents.hits(PATH), 2);
    held.release();
    for (client, request) in &mut clients {
        assert_eq!(client.frame().await, Ok(Frame::text("welcome")));
        assert_eq!(client.frame().await, Ok(hello.clone()));
        client.send(Frame::text("more").masked().bytes()).await;
        assert_eq!(client.frame().await, Ok(Frame::text("more")));
        let record = scene.upstream().record(request.case()).await;
        assert_eq!(record.frames(), [hello.clone().masked(), Frame::text("more").masked()]);
    }

    // The last tokens are by a key that no fetch brings: the fetch ends without the key, or not at all.
    sleep(REFETCH).await;
    for served in [Served::Document(jwks(&[&old, &new])), Served::Silence] {
        documents.serve(PATH, served);
        let mut client = scene.open("/ws/chat").await;
        let seen = scene.record(&client).await;
        client.send([message(&Signer::es256("never")), behind.clone()].concat()).await;
        assert_eq!(client.frame().await, Ok(Frame::closing(3000, "token_invalid")));
        assert_eq!((seen.close().await.code(), seen.frames().len()), (Some(3000), 1));
        sleep(REFETCH).await;
    }
    assert_eq!(scene.common_envoy().stats().await.sum("envoy_wasm_postern_vm_reload_success", &[]), 0.0);
}

#[tokio::test]
async fn a_storm_of_unknown_keys_costs_one_fetch_and_a_new_key_is_found_by_it() {
    let (documents, old, new) = (Documents::start().await, Signer::es256("old"), Signer::es256("new"));
    documents.serve(PATH, Served::Document(jwks(&[&old])));
    let scene = scene(&documents, json!({})).beside_others().start().await;
    assert_eq!(outcome(&scene, &old).await, (101, None));
    let storm = |part: usize| {
        let signers: Vec<_> = (0..60).map(|i| Signer::eddsa(&format!("unknown {part} {i}"))).collect();
        let scene = &scene;
        async move {
            for some in signers.chunks(15) {
                for answer in join_all(some.iter().map(|signer| outcome(scene, signer))).await {
                    assert_eq!(answer, refused(401, "token_invalid"));
                }
            }
        }
    };
    // Right after a fetch there is no other, and nobody waits for one.
    let start = Instant::now();
    storm(0).await;
    assert!(start.elapsed() < 4 * TIMEOUT, "{:?}, as if each of four rounds had waited", start.elapsed());
    assert_eq!(documents.hits(PATH), 1);

    sleep(REFETCH).await;
    let start = Instant::now();
    storm(1).await;
    storm(2).await;
    assert!(start.elapsed() < REFETCH, "{:?}", start.elapsed());
    assert_eq!(documents.hits(PATH), 2);

    sleep(REFETCH).await;
    let held = documents.serve_held(PATH, Served::Document(jwks(&[&old, &new])));
    let (answers, ()) = tokio::join!(join_all((0..16).map(|_| outcome(&scene, &new))), async {
        documents.hits_become(PATH, 3).await;
        held.release();
    });
    assert!(answers.iter().all(|answer| *answer == (101, None)), "{answers:?}");
    assert_eq!(documents.hits(PATH), 3);
}

#[tokio::test]
async fn keys_serve_on_when_refreshing_fails_until_they_are_too_old() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    documents.serve(PATH, Served::Document(jwks(&[&signer])));
    let remote = json!({"refresh_interval": "1s", "timeout": "1500ms", "max_stale": "10s"});
    let scene = scene(&documents, remote).beside_others().start().await;
    assert_eq!(outcome(&scene, &signer).await, (101, None));
    documents.serve(PATH, Served::Answer(500, Vec::new()));
    let hits = documents.hits(PATH);
    documents.hits_become(PATH, hits + 3).await;
    let last_good = Instant::now();
    for _ in 0..8 {
        assert_eq!(outcome(&scene, &signer).await, (101, None));
    }
    becomes(&scene, &signer, refused(503, "keys_unavailable")).await;
    assert!(last_good.elapsed() < Duration::from_secs(10), "{:?}", last_good.elapsed());
    for _ in 0..4 {
        assert_eq!(outcome(&scene, &signer).await, refused(503, "keys_unavailable"));
    }
    // An hour of retries would be a burden, so there is about one in a second here.
    let (hits, start) = (documents.hits(PATH), Instant::now());
    sleep(Duration::from_secs(3)).await;
    let (fetches, seconds) = (documents.hits(PATH) - hits, start.elapsed().as_secs());
    assert!(fetches as u64 <= seconds + 1, "{fetches} fetches in {seconds} seconds");
    documents.serve(PATH, Served::Document(jwks(&[&signer])));
    becomes(&scene, &signer, (101, None)).await;
}

#[tokio::test]
async fn a_pushed_configuration_goes_on_with_the_keys_that_are_there() {
    let (documents, signer) = (Documents::start().await, Signer::es256("a"));
    documents.serve(PATH, Served::Document(jwks(&[&signer])));
    let mut scene = scene(&documents, json!({})).discovered().start().await;
    assert_eq!(outcome(&scene, &signer).await, (101, None));
    let mut client = scene.open_with(&bearing(&signer)).await;
    documents.serve(PATH, Served::HangUp);
    let mut pushed = policy("main");
    pushed["messages"] = json!({"max_frame_bytes": 5});
    assert_eq!(scene.push(pushed).await, Pushed::Taken);
    for _ in 0..16 {
        assert_eq!(outcome(&scene, &signer).await, (101, None));
    }
    assert_eq!(documents.hits(PATH), 1);
    client.send(Frame::text("longer than five").masked().bytes()).await;
    assert_eq!(client.frame().await, Ok(Frame::text("longer than five")));
}
