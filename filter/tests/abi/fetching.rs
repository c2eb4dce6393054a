//! What is fetched from clusters: calls, the workers that share their answers, and who waits.

use std::sync::Barrier;
use std::time::Duration;

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{REASON, agreement, document, handshake, open, request, websocket, with};
use crate::frames::{BINARY, PING, TEXT, close, from_client, from_upstream, read};
use crate::host::{Envoy, Fields, Stream, Worker, value_of};

const TICK: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
const ISSUER: &str = "https://auth.example.com/";
const GOOD: &str = "postern_fetches.source=jwks;.cluster=auth;.provider=main;.result=good;";
const AGE: &str = "postern_source_age_seconds.source=jwks;.cluster=auth;.provider=main;";
const FAILED: &str = "postern_fetches.source=jwks;.cluster=auth;.provider=main;.result=failed;";

/// PKCS #8 of the Ed25519 key whose seed is all sevens (RFC 8410 §7).
fn key() -> EncodingKey {
    let prefix = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    EncodingKey::from_ed_der(&[&prefix[..], &[7; 32]].concat())
}

fn keys() -> Vec<u8> {
    keys_named(&["a"])
}

fn keys_named(kids: &[&str]) -> Vec<u8> {
    let jwk = serde_json::to_value(Jwk::from_encoding_key(&key(), Algorithm::EdDSA).unwrap()).unwrap();
    let named = kids.iter().map(|kid| {
        let mut jwk = jwk.clone();
        jwk["kid"] = json!(kid);
        jwk
    });
    json!({"keys": named.collect::<Vec<_>>()}).to_string().into_bytes()
}

fn token(worker: &Worker, kid: &str) -> String {
    let claims = json!({
        "iss": ISSUER, "aud": "chat", "sub": "alice", "jti": "t1", "exp": worker.now().as_secs() + 600,
    });
    let header = Header { kid: Some(kid.to_owned()), ..Header::new(Algorithm::EdDSA) };
    jsonwebtoken::encode(&header, &claims, &key()).unwrap()
}

fn bearing(worker: &Worker, kid: &str) -> Fields {
    with(&handshake(), "authorization", format!("Bearer {}", token(worker, kid)))
}

fn configuration(cluster: &str, auth: Value) -> Vec<u8> {
    let mut policy = json!({"providers": ["main"], "from": [{"header": "authorization"}]});
    policy.as_object_mut().unwrap().extend(auth.as_object().unwrap().clone());
    let mut document =
        document(json!({"auth": policy, "liveness": {"idle_timeout": "1h", "ping_interval": "none"}}));
    document["providers"]["main"] = json!({
        "issuer": ISSUER,
        "audiences": ["chat"],
        "jwks": {"remote": {"cluster": cluster, "uri": "https://auth.example.com/keys?tenant=1", "timeout": "2s"}},
    });
    document.to_string().into_bytes()
}

/// A worker with fetched keys.
fn configure(worker: &Worker) {
    assert!(worker.configure(&configuration("auth", json!({}))));
}

/// The only call that is under way is answered.
fn answer(worker: &Worker, status: &str, body: &[u8]) {
    let calls = worker.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    worker.answer(&calls[0], status, body);
}

fn reason(stream: &Stream<'_>) -> Option<(u32, Vec<u8>)> {
    stream.reply().map(|reply| (reply.status, stream.property(REASON).unwrap_or_default()))
}

#[test]
fn a_configuration_fetches_with_its_first_tick() {
    Envoy::default().worker(|worker| {
        configure(worker);
        // Envoy throws the first VM away that it configures.
        assert!(worker.calls().is_empty());
        worker.pass(TICK);
        let call = &worker.calls()[0];
        for (name, value) in [
            (":method", "GET"),
            (":path", "/keys?tenant=1"),
            (":authority", "auth.example.com"),
            (":scheme", "https"),
        ] {
            assert_eq!(value_of(&call.fields, name), Some(value.as_bytes()), "{name}");
        }
        assert_eq!(call.timeout, 2 * SECOND);
        worker.pass(TICK);
        answer(worker, "200", &keys());
        assert_eq!(worker.metrics().get(GOOD), Some(&1));
        worker.pass(299 * SECOND);
        assert_eq!(worker.metrics().get(AGE), Some(&299));
        assert!(worker.calls().is_empty());
        worker.pass(SECOND);
        assert_eq!(worker.calls().len(), 1);
    });
}

#[test]
fn a_handshake_is_held_until_its_keys_are_there_and_what_came_early_is_judged_after_it() {
    Envoy::default().worker(|worker| {
        configure(worker);
        let stream = request(worker, &bearing(worker, "a"));
        let stranger = request(worker, &with(&handshake(), "authorization", "Bearer x.y.z"));
        assert_eq!(reason(&stranger).unwrap().0, 401, "it waits for nothing");
        worker.pass(TICK);
        assert!(stream.request().is_none() && stream.reply().is_none());
        let frame = from_client(BINARY, b"early");
        assert_eq!(stream.client_sends(&frame), b"");
        answer(worker, "200", &keys());
        let up = stream.request().expect("it goes up");
        assert_eq!(value_of(&up, "authorization"), None, "with the token taken out");
        assert_eq!(stream.to_upstream(), b"", "and without what came early");
        stream.answered(&agreement(&up));
        assert_eq!(stream.to_upstream(), frame);
        open(worker, &bearing(worker, "a"));
    });
}

#[test]
fn a_handshake_whose_keys_do_not_come_is_answered_at_its_deadline() {
    Envoy::default().worker(|worker| {
        configure(worker);
        worker.pass(TICK);
        let stream = request(worker, &bearing(worker, "a"));
        worker.pass(2 * SECOND - Duration::from_millis(1));
        assert_eq!(reason(&stream), None);
        worker.pass(Duration::from_millis(1));
        assert_eq!(reason(&stream), Some((503, b"keys_unavailable".to_vec())));
        assert!(stream.request().is_none());
        assert_eq!(value_of(&stream.logged_request(), "authorization"), None);
    });
}

#[test]
fn a_handshake_that_waits_for_the_list_after_its_keys_is_answered_in_the_time_of_the_list() {
    let revocation = json!({"revocation": {"cluster": "auth", "path": "/revoked", "interval": "1s"}});
    let patient = String::from_utf8(configuration("auth", revocation)).unwrap();
    Envoy::default().worker(|worker| {
        assert!(worker.configure(patient.replace("\"2s\"", "\"30s\"").as_bytes()));
        let stream = request(worker, &bearing(worker, "a"));
        worker.pass(TICK);
        worker.answer(&worker.calls()[0], "200", &keys());
        worker.pass(2 * SECOND - Duration::from_millis(1));
        assert_eq!(reason(&stream), None);
        worker.pass(TICK);
        assert_eq!(reason(&stream), Some((503, b"revocation_unavailable".to_vec())));
    });
}

#[test]
fn an_unknown_key_is_asked_for_once_in_ten_seconds() {
    Envoy::default().worker(|worker| {
        configure(worker);
        worker.pass(TICK);
        answer(worker, "200", &keys());
        let invalid = Some((401, b"token_invalid".to_vec()));
        assert_eq!(reason(&request(worker, &bearing(worker, "b"))), invalid);
        worker.pass(TICK);
        assert!(worker.calls().is_empty());
        worker.pass(10 * SECOND);
        let streams: Vec<_> = (0..50).map(|_| request(worker, &bearing(worker, "b"))).collect();
        assert!(streams.iter().all(|stream| reason(stream).is_none()));
        worker.pass(TICK);
        answer(worker, "200", &keys());
        worker.pass(Duration::from_millis(1));
        for stream in &streams {
            assert_eq!(reason(stream), invalid);
        }
        for _ in 0..50 {
            assert_eq!(reason(&request(worker, &bearing(worker, "b"))), invalid);
            worker.pass(Duration::from_millis(100));
            assert!(worker.calls().is_empty());
        }
    });
}

/// A refresh by the key `kid`.
fn refresh(worker: &Worker, kid: &str) -> Vec<u8> {
    from_client(TEXT, json!({"refresh": token(worker, kid)}).to_string().as_bytes())
}

#[test]
fn a_refresh_with_a_new_key_waits_for_it_and_the_connection_goes_on() {
    let accepted = br#"{"postern":"token_accepted","expires_in":600}"#;
    for reply in [true, false] {
        Envoy::default().worker(|worker| {
            let auth = json!({"refresh": "/refresh", "refresh_reply": reply});
            assert!(worker.configure(&configuration("auth", auth)));
            worker.pass(TICK);
            answer(worker, "200", &keys());
            let stream = open(worker, &bearing(worker, "a"));
            let leaves = open(worker, &bearing(worker, "a"));
            worker.pass(10 * SECOND);
            for stream in [&stream, &leaves] {
                assert_eq!(stream.client_sends(&refresh(worker, "b")), b"");
            }
            leaves.end();
            worker.pass(TICK);
            let frame = from_client(BINARY, b"meanwhile");
            assert_eq!(stream.client_sends(&frame), frame);
            assert_eq!(stream.to_client(), b"");
            // A host call about the stream that is over would end this test.
            answer(worker, "200", &keys_named(&["a", "b"]));
            let told = read(&stream.to_client());
            let told: Vec<_> = told.iter().map(|frame| (frame.opcode, &frame.payload[..])).collect();
            let expected = if reply { vec![(TEXT, &accepted[..])] } else { Vec::new() };
            assert_eq!(told, expected);
            // The new token holds: the old one would have ended by now.
            worker.pass(595 * SECOND);
            assert_eq!(stream.client_sends(&frame), frame);
            worker.pass(100 * SECOND);
            assert_eq!(read(&stream.to_client()).pop(), Some(close(false, 3000, "token_expired")));
        });
    }
}

#[test]
fn a_refresh_whose_key_does_not_come_ends_the_connection_at_its_deadline() {
    Envoy::default().worker(|worker| {
        assert!(worker.configure(&configuration("auth", json!({"refresh": "/refresh"}))));
        worker.pass(TICK);
        answer(worker, "200", &keys());
        let stream = open(worker, &bearing(worker, "a"));
        worker.pass(10 * SECOND);
        stream.client_sends(&refresh(worker, "b"));
        worker.pass(2 * SECOND - Duration::from_millis(1));
        assert_eq!(stream.to_client(), b"");
        worker.pass(TICK);
        assert_eq!(read(&stream.to_client()), [close(false, 3000, "token_invalid")]);
        assert_eq!(stream.property(REASON), Some(b"token_invalid".to_vec()));
    });
}

/// A worker whose tokens come in first messages, and whose last fetch is long enough ago.
fn configure_first_message(worker: &Worker, auth: Value) {
    let mut both = json!({"from": [{"header": "authorization"}, {"first_message": "/token"}]});
    both.as_object_mut().unwrap().extend(auth.as_object().unwrap().clone());
    assert!(worker.configure(&configuration("auth", both)));
    worker.pass(TICK);
    answer(worker, "200", &keys());
    worker.pass(10 * SECOND);
}

/// A first message by the key `kid`.
fn first_message(worker: &Worker, kid: &str) -> Vec<u8> {
    from_client(TEXT, json!({"token": token(worker, kid)}).to_string().as_bytes())
}

#[test]
fn a_first_message_with_a_new_key_waits_for_it_and_what_follows_waits_with_the_host() {
    let hello = from_client(BINARY, &[7; 300]);
    for cut in [0, 1, 100, hello.len()] {
        // Ahead of the 101, in one chunk, and in chunks of its own.
        for way in 0..3 {
            Envoy::default().worker(|worker| {
                configure_first_message(worker, json!({}));
                let first = first_message(worker, "b");
                let together = [&first[..], &hello[..cut]].concat();
                let stream = request(worker, &handshake());
                if way == 0 {
                    stream.client_sends(&together);
                }
                let went_up = stream.request().expect("it goes up");
                stream.answered(&agreement(&went_up));
                match way {
                    0 => {}
                    1 => assert_eq!(stream.client_sends(&together), b""),
                    _ => {
                        assert_eq!(stream.client_sends(&first), b"");
                        for piece in hello[..cut].chunks(40) {
                            assert_eq!(stream.client_sends(piece), b"");
                        }
                    }
                }
                stream.upstream_sends(&from_upstream(TEXT, b"welcome"));
                worker.pass(TICK);
                assert_eq!((stream.to_upstream(), stream.to_client()), (vec![], vec![]));
                answer(worker, "200", &keys_named(&["a", "b"]));
                assert_eq!(read(&stream.to_client())[0].payload, b"welcome", "cut at {cut}, way {way}");
                for piece in hello[cut..].chunks(40) {
                    stream.client_sends(piece);
                }
                stream.client_sends(&hello);
                let up: Vec<_> =
                    read(&stream.to_upstream()).into_iter().filter(|f| f.opcode != PING).collect();
                assert_eq!(up, read(&[&hello[..], &hello].concat()), "cut at {cut}, way {way}");
                worker.pass(300 * SECOND);
                assert!(!stream.is_reset());
            });
        }
    }
}

#[test]
fn a_first_message_whose_key_does_not_come_ends_the_connection_at_its_deadline() {
    for behind in [&b""[..], b"\x82", &from_client(BINARY, b"behind")] {
        Envoy::default().worker(|worker| {
            configure_first_message(worker, json!({"first_message_timeout": "1s"}));
            let (stream, leaves) = (websocket(worker), websocket(worker));
            for stream in [&stream, &leaves] {
                stream.client_sends(&[&first_message(worker, "b")[..], behind].concat());
            }
            worker.pass(SECOND);
            leaves.end();
            worker.pass(SECOND - Duration::from_millis(1));
            assert_eq!(stream.to_client(), b"");
            worker.pass(TICK);
            assert_eq!(read(&stream.to_client()), [close(false, 3000, "token_invalid")]);
            assert_eq!(read(&stream.to_upstream()), [close(true, 3000, "token_invalid")]);
            assert_eq!(stream.property(REASON), Some(b"token_invalid".to_vec()));
        });
    }
}

#[test]
fn a_cluster_of_any_name_is_one_label() {
    for (cluster, label) in [
        ("outbound|443||auth.example.com", "outbound|443||auth.example.com"),
        ("a;.result=good", "a_.result_good"),
        ("a.policy=b;", "a.policy_b_"),
        ("..", "__"),
        ("a.", "a_"),
    ] {
        Envoy::default().worker(|worker| {
            assert!(worker.configure(&configuration(cluster, json!({}))));
            worker.pass(TICK);
            let names: Vec<_> =
                worker.metrics().into_keys().filter(|name| name.contains("fetches")).collect();
            assert_eq!(
                names,
                [format!("postern_fetches.source=jwks;.cluster={label};.provider=main;.result=failed;")]
            );
        });
    }
}

#[test]
fn documents_of_one_cluster_are_told_apart_by_provider_and_by_path() {
    let remote = |path: &str| {
        let uri = format!("https://auth.example.com/realms/{path}?key=hidden");
        json!({
            "issuer": format!("https://auth.example.com/{path}"), "audiences": ["chat"],
            "jwks": {"remote": {"cluster": "auth", "uri": uri}},
        })
    };
    let mut whole = document(json!({}));
    let mut twin = remote("b");
    twin["issuer"] = json!("https://twin.example.com");
    whole["providers"] = json!({"a": remote("a"), "b": remote("b"), "twin": twin});
    let policy = whole["policies"]["chat"].clone();
    for (name, path) in [("one", "/one.json?key=hidden"), ("two", "/lists/two;.cluster=x.json")] {
        let mut revoking = policy.clone();
        revoking["auth"] = json!({
            "providers": ["a", "b", "twin"], "from": [{"header": "authorization"}],
            "revocation": {"cluster": "auth", "path": path},
        });
        whole["policies"][name] = revoking;
    }
    whole["policies"]["chat"]["auth"] = json!("none");
    Envoy::default().worker(|worker| {
        assert!(worker.configure(whole.to_string().as_bytes()));
        worker.pass(TICK);
        for call in worker.calls() {
            let path = value_of(&call.fields, ":path").unwrap();
            let body = if path.ends_with(b"realms/a?key=hidden") { keys() } else { b"{\"keys\": []}".to_vec() };
            worker.answer(&call, "200", &body);
        }
        worker.pass(2 * SECOND);
        let mut told: Vec<_> = worker.metrics().into_keys().collect();
        told.retain(|name| name.starts_with("postern_fetches") || name.starts_with("postern_source_age"));
        told.sort();
        assert_eq!(
            told,
            [
                "postern_fetches.source=jwks;.cluster=auth;.provider=a;.result=good;",
                "postern_fetches.source=jwks;.cluster=auth;.provider=b;.result=failed;",
                "postern_fetches.source=jwks;.cluster=auth;.provider=twin;.result=failed;",
                "postern_fetches.source=revocation;.cluster=auth;.path=/lists/two_.cluster_x.json;.result=failed;",
                "postern_fetches.source=revocation;.cluster=auth;.path=/one.json;.result=failed;",
                "postern_source_age_seconds.source=jwks;.cluster=auth;.provider=a;",
            ]
        );
        let log = worker.log(LogLevel::Warn);
        let told = |part: &str| log.iter().filter(|line| line.contains(part)).count();
        let failed = "postern: fetch failed source=jwks cluster=auth provider=b,twin uri=https://auth.example.com/realms/b?…: no key that can be used";
        assert_eq!(told(failed), 1, "{log:#?}");
        let failed = "postern: fetch failed source=revocation cluster=auth uri=http://auth/one.json?…: a member that is not";
        assert_eq!(told(failed), 1, "{log:#?}");
        assert_eq!(told("hidden"), 0, "what a query says may be a secret");
    });
}

#[test]
fn a_call_that_cannot_be_made_or_is_cut_or_answered_badly_has_failed_and_is_made_again() {
    Envoy::default().worker(|worker| {
        assert!(worker.configure(&configuration("nobody", json!({}))));
        for _ in 0..40 {
            worker.pass(TICK);
        }
        // After 0, 1, 3 and 7 s.
        let failed = worker.metrics().get("postern_fetches.source=jwks;.cluster=nobody;.provider=main;.result=failed;").copied();
        assert_eq!(failed, Some(4));
        let log = worker.log(LogLevel::Warn);
        assert_eq!(
            log[0],
            "postern: fetch failed source=jwks cluster=nobody provider=main uri=https://auth.example.com/keys?…: \
             Envoy does not know the cluster, or cannot call it now"
        );
        assert_eq!(log.len(), 4, "{log:#?}");
        assert_eq!(reason(&request(worker, &bearing(worker, "a"))), Some((503, b"keys_unavailable".to_vec())));
    });
    Envoy::default().worker(|worker| {
        configure(worker);
        worker.pass(TICK);
        worker.cut(&worker.calls()[0]);
        worker.pass(10 * SECOND);
        answer(worker, "500", &keys());
        worker.pass(10 * SECOND);
        answer(worker, "200", &vec![b' '; 300 * 1024]);
        worker.pass(10 * SECOND);
        answer(worker, "200", b"\xff\xfe");
        worker.pass(10 * SECOND);
        answer(worker, "", b"");
        assert_eq!(worker.metrics().get(FAILED), Some(&5));
        let log = worker.log(LogLevel::Warn).join("\n");
        for why in ["no answer", "the status is 500", "too large", "no unambiguous JSON"] {
            assert!(log.contains(why), "{why}: {log}");
        }
        worker.pass(10 * SECOND);
        answer(worker, "200", &keys());
        open(worker, &bearing(worker, "a"));
    });
}

#[test]
fn a_stream_that_goes_away_while_it_is_held_is_forgotten() {
    Envoy::default().worker(|worker| {
        configure(worker);
        worker.pass(TICK);
        for _ in 0..3 {
            let leaves = request(worker, &bearing(worker, "a"));
            leaves.end();
            assert_eq!(value_of(&leaves.logged_request(), "authorization"), None, "the log has its token");
        }
        let stays = request(worker, &bearing(worker, "a"));
        // A host call about a stream that is over would end this test.
        answer(worker, "200", &keys());
        assert!(stays.request().is_some());
        worker.pass(10 * SECOND);
    });
}

#[test]
fn a_new_configuration_goes_on_with_what_is_there_and_takes_over_what_was_begun() {
    Envoy::default().worker(|worker| {
        configure(worker);
        worker.pass(TICK);
        configure(worker);
        let stream = request(worker, &bearing(worker, "a"));
        worker.retire();
        assert!(worker.calls().is_empty(), "the call ended with the context that made it");
        worker.pass(TICK);
        answer(worker, "200", &keys());
        assert!(stream.request().is_some());
        let old = open(worker, &bearing(worker, "a"));
        configure(worker);
        open(worker, &bearing(worker, "a"));
        worker.pass(TICK);
        assert!(worker.calls().is_empty());
        let frame = from_client(BINARY, b"still here");
        assert_eq!(old.client_sends(&frame), frame);
    });
}

#[test]
fn whoever_a_new_list_names_is_closed_at_once_also_under_an_old_configuration() {
    let revocation = json!({"revocation": {"cluster": "auth", "path": "/revoked", "interval": "1s"}});
    Envoy::default().worker(|worker| {
        assert!(worker.configure(&configuration("auth", revocation.clone())));
        let held = request(worker, &bearing(worker, "a"));
        worker.pass(TICK);
        let [jwks, list] = worker.calls().try_into().expect("two calls");
        worker.answer(&jwks, "200", &keys());
        assert!(held.request().is_none(), "it waits for the list");
        worker.answer(&list, "200", b"{}");
        let went_up = held.request().expect("it goes up");
        held.answered(&agreement(&went_up));
        assert!(worker.configure(&configuration("auth", revocation.clone())));
        let new = open(worker, &bearing(worker, "a"));
        worker.pass(SECOND);
        answer(worker, "200", br#"{"jti": ["t2"]}"#);
        worker.pass(TICK);
        assert_eq!((held.to_client(), new.to_client()), (Vec::new(), Vec::new()));
        worker.pass(SECOND);
        answer(worker, "200", br#"{"sub": {"alice": 1}}"#);
        worker.pass(TICK);
        for stream in [&held, &new] {
            assert_eq!(read(&stream.to_client()), [close(false, 3000, "token_revoked")]);
            assert_eq!(stream.property(REASON), Some(b"token_revoked".to_vec()));
        }
        assert_eq!(worker.metrics().get("postern_closes.policy=chat;.reason=token_revoked;"), Some(&2));
        assert_eq!(reason(&request(worker, &bearing(worker, "a"))), Some((401, b"token_revoked".to_vec())));
    });
}

#[test]
fn a_fleet_of_workers_asks_once_and_all_of_them_have_the_answer() {
    const WORKERS: usize = 4;
    let (begin, asked, answered) = (Barrier::new(WORKERS), Barrier::new(WORKERS), Barrier::new(WORKERS));
    let scene = |worker: &Worker| {
        configure(worker);
        let stream = request(worker, &bearing(worker, "a"));
        begin.wait();
        worker.pass(TICK);
        let calls = worker.calls();
        asked.wait();
        for call in &calls {
            worker.answer(call, "200", &keys());
        }
        answered.wait();
        worker.pass(TICK);
        assert!(stream.request().is_some());
        assert!(worker.calls().is_empty());
        calls.len()
    };
    let calls = Envoy::default().workers([&scene; WORKERS]);
    assert_eq!(calls.iter().sum::<usize>(), 1, "{calls:?}");
}

#[test]
fn the_lease_of_a_worker_that_dies_ends_and_another_asks() {
    let (died, over) = (Barrier::new(2), Barrier::new(2));
    let dies = |worker: &Worker| {
        configure(worker);
        worker.pass(TICK);
        assert_eq!(worker.calls().len(), 1);
        died.wait();
        over.wait();
    };
    let lives = |worker: &Worker| {
        configure(worker);
        died.wait();
        worker.pass(TICK);
        let stream = request(worker, &bearing(worker, "a"));
        worker.pass(SECOND);
        assert!(worker.calls().is_empty());
        worker.pass(2 * SECOND);
        assert_eq!(reason(&stream), Some((503, b"keys_unavailable".to_vec())));
        answer(worker, "200", &keys());
        open(worker, &bearing(worker, "a"));
        over.wait();
    };
    Envoy::default().workers([&dies as &(dyn Fn(&Worker) + Sync), &lives]);
}

#[test]
fn a_policy_that_fetches_nothing_makes_no_call() {
    Envoy::default().worker(|worker| {
        assert!(worker.configure(document(json!({})).to_string().as_bytes()));
        worker.pass(TICK);
        assert!(worker.calls().is_empty());
        websocket(worker);
    });
}
