//! What all sockets of a worker hold for their peers, against the budget of the document.

use std::time::Duration;

use serde_json::{Value, json};

use crate::counting::HELD;
use crate::fixtures::{REASON, auth, document, handshake, open, request, token_for, websocket, with};
use crate::frames::{BINARY, TEXT, close, from_client, from_upstream, read};
use crate::host::{Envoy, Stream, Worker};

const TICK: Duration = Duration::from_millis(250);
const HELD_BYTES: &str = "postern_held_bytes";

fn configure(worker: &Worker, budget: u64, changes: Value) {
    let mut document = document(changes);
    document["memory"] = json!({ "budget": budget });
    assert!(worker.configure(document.to_string().as_bytes()), "the configuration is refused");
}

fn held(worker: &Worker) -> i64 {
    worker.pass(TICK);
    worker.metrics().get(HELD_BYTES).copied().unwrap_or(0)
}

fn reason(stream: &Stream<'_>) -> Option<String> {
    stream.property(REASON).map(|reason| String::from_utf8(reason).unwrap())
}

#[test]
fn over_the_budget_the_one_that_holds_most_and_has_stood_still_for_longest_is_closed_and_the_others_go_on() {
    Envoy::default().worker(|worker| {
        configure(worker, 100_000, json!({}));
        let text = from_client(TEXT, &[b'a'; 40_000]);
        let sockets: Vec<_> = (0..3).map(|_| websocket(worker)).collect();
        for (socket, len) in sockets.iter().zip([20_000, 38_000, 30_000]) {
            assert_eq!(socket.client_sends(&text[..len]), b"");
            worker.pass(Duration::from_secs(1));
        }
        assert!((88_000..=100_000).contains(&held(worker)), "{} bytes", held(worker));
        // Longer than honest clients take for as much; to drip changes nothing.
        worker.pass(Duration::from_secs(10));
        sockets[0].client_sends(&text[20_000..21_000]);
        let last = websocket(worker);
        last.client_sends(&text[..30_000]);
        assert!(held(worker) <= 100_000, "{} bytes", held(worker));
        assert_eq!(
            sockets.iter().map(reason).collect::<Vec<_>>(),
            [None, Some("memory_exceeded".into()), None]
        );
        assert_eq!(read(&sockets[1].to_client()), [close(false, 1013, "memory_exceeded")]);
        sockets[1].client_sends(&text[38_000..]);
        assert_eq!(read(&sockets[1].to_upstream()), [close(true, 1013, "memory_exceeded")]);
        assert_eq!(worker.metrics().get("postern_closes.policy=chat;.reason=memory_exceeded;"), Some(&1));
        for (socket, sent) in [(&sockets[0], 21_000), (&sockets[2], 30_000), (&last, 30_000)] {
            assert_eq!(socket.client_sends(&text[sent..]), text);
        }
        assert_eq!(held(worker), 0);
    });
}

#[test]
fn a_socket_that_goes_beyond_the_budget_by_itself_is_closed_once_its_callback_is_over() {
    let cases = [
        ("a text", json!({"messages": {"max_frame_bytes": 60_000}}), true),
        ("what a service says", json!({"upstream_messages": {"utf8": true}}), false),
    ];
    for (name, changes, is_client) in cases {
        Envoy::default().worker(|worker| {
            configure(worker, 20_000, changes);
            let stream = websocket(worker);
            let payload = [b'a'; 50_000];
            let gone = match is_client {
                true => stream.client_sends(&from_client(TEXT, &payload)[..30_000]),
                false => stream.upstream_sends(&from_upstream(TEXT, &payload)[..30_000]),
            };
            assert_eq!(gone, b"", "{name}");
            worker.pass(TICK);
            assert_eq!(reason(&stream).as_deref(), Some("memory_exceeded"), "{name}");
            let closes = [read(&stream.to_client()), read(&stream.to_upstream())].concat();
            let told = [close(false, 1013, "memory_exceeded"), close(true, 1013, "memory_exceeded")];
            assert!(
                !closes.is_empty() && closes.iter().all(|frame| told.contains(frame)),
                "{name}: {closes:?}"
            );
            assert_eq!(held(worker), 0, "{name}");
            worker.pass(Duration::from_secs(5));
            assert!(stream.is_reset(), "{name}");
        });
    }
}

/// Its Close waits for the next tick, and it does not.
#[test]
fn a_socket_that_goes_away_before_it_is_closed_is_counted_all_the_same() {
    Envoy::default().worker(|worker| {
        configure(worker, 20_000, json!({"messages": {"max_frame_bytes": 60_000}}));
        let stream = websocket(worker);
        stream.client_sends(&from_client(TEXT, &[b'a'; 50_000])[..30_000]);
        stream.end();
        assert_eq!(reason(&stream).as_deref(), Some("memory_exceeded"));
        assert_eq!(held(worker), 0);
        assert_eq!(worker.metrics().get("postern_closes.policy=chat;.reason=memory_exceeded;"), Some(&1));
    });
}

#[test]
fn what_a_service_says_before_authentication_counts_and_is_forgotten_with_the_rest() {
    Envoy::default().worker(|worker| {
        let mut auth = auth(json!([{"first_message": "/token"}]));
        auth["max_unauthenticated_bytes"] = json!(40_000);
        configure(worker, 100_000, json!({ "auth": auth }));
        let greeting = from_upstream(BINARY, &[7; 30_000]);
        let sockets: Vec<_> = (0..4).map(|_| websocket(worker)).collect();
        for socket in &sockets {
            for piece in greeting.chunks(16_000) {
                assert_eq!(socket.upstream_sends(piece), b"");
            }
            worker.pass(TICK);
        }
        assert!(held(worker) <= 100_000, "{} bytes", held(worker));
        let ended: Vec<_> = sockets.iter().filter(|socket| reason(socket).is_some()).collect();
        assert_eq!(ended.len(), 1);
        assert_eq!(read(&ended[0].to_client()), [close(false, 1013, "memory_exceeded")]);
        let welcome = sockets.iter().rfind(|socket| reason(socket).is_none()).unwrap();
        let token = json!({"token": token_for(worker, 60)}).to_string();
        welcome.client_sends(&from_client(TEXT, token.as_bytes()));
        assert!(welcome.to_client().starts_with(&greeting), "an honest client has its greeting");
    });
}

#[test]
fn a_new_client_that_would_hold_is_refused_while_all_that_is_held_is_under_way() {
    Envoy::default().worker(|worker| {
        let auth = auth(json!([{"header": "authorization"}, {"first_message": "/token"}]));
        configure(worker, 60_000, json!({ "auth": auth, "compression": "strip" }));
        let bearing = with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 600)));
        let holder = open(worker, &bearing);
        let text = from_client(TEXT, &[b'a'; 60_000]);
        holder.client_sends(&text[..58_000]);
        // Who has shown a token already holds nothing.
        let second = open(worker, &bearing);
        assert!(second.reply().is_none());
        let refused = request(worker, &handshake());
        assert_eq!(refused.reply().map(|reply| reply.status), Some(503));
        assert_eq!(reason(&refused).as_deref(), Some("memory_exceeded"));
        // The part of one that stands still can be had.
        worker.pass(Duration::from_secs(6));
        assert!(request(worker, &handshake()).reply().is_none());
    });
}

/// Numbers that look random (SplitMix64).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % n as u64).unwrap()
    }
}

/// Sockets that begin messages and leave them, in pieces of all sizes, both ways: beside what a socket takes at rest, the
/// thread never holds more than the budget and what one callback takes.
#[test]
fn the_memory_that_is_taken_stays_within_the_budget_whatever_is_sent() {
    const BUDGET: u64 = 500_000;
    const SOCKETS: usize = 40;
    const ONE_CALLBACK: i64 = 3 * 70_000;
    const AT_REST: i64 = 8192;
    for seed in 0..20 {
        Envoy::default().worker(|worker| {
            let mut auth = auth(json!([{"header": "authorization"}]));
            auth["refresh"] = json!("/token");
            configure(worker, BUDGET, json!({ "auth": auth, "upstream_messages": {"utf8": true} }));
            let bearing = with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 600)));
            let text = [b'a'; 60_000];
            let (up, down) = (from_client(TEXT, &text), from_upstream(TEXT, &text));
            let mut numbers = Numbers(seed);
            let mut sockets: Vec<_> = (0..SOCKETS).map(|_| (open(worker, &bearing), 0, 0)).collect();
            let before = HELD.get();
            let mut most = 0;
            for _ in 0..600 {
                let (stream, sent_up, sent_down) = &mut sockets[numbers.below(SOCKETS)];
                let len = [1, 100, 4000, 16_000][numbers.below(4)];
                if reason(stream).is_some() {
                    continue;
                }
                let end = |sent: usize| (sent + len).min(up.len());
                if numbers.below(2) == 0 {
                    stream.client_sends(&up[*sent_up..end(*sent_up)]);
                    *sent_up = end(*sent_up) % up.len();
                } else {
                    let end = (*sent_down + len).min(down.len());
                    stream.upstream_sends(&down[*sent_down..end]);
                    *sent_down = end % down.len();
                }
                if numbers.below(10) == 0 {
                    assert!(u64::try_from(held(worker)).unwrap() <= BUDGET, "seed {seed}");
                }
                most = most.max(HELD.get() - before);
            }
            let sent: usize = sockets
                .iter()
                .map(|(stream, ..)| stream.to_upstream().len() + stream.to_client().len())
                .sum();
            let passed = i64::try_from(2 * sent).unwrap();
            let bound = i64::try_from(BUDGET).unwrap() + ONE_CALLBACK + AT_REST * SOCKETS as i64 + passed;
            assert!(most <= bound, "seed {seed}: {most} bytes, more than {bound}");
            let ended =
                sockets.iter().filter(|(stream, ..)| reason(stream).as_deref() == Some("memory_exceeded"));
            assert!(ended.count() > 0, "seed {seed}: the budget was never used up");
            sockets.iter().for_each(|(stream, ..)| stream.end());
            assert_eq!(held(worker), 0, "seed {seed}: what is over is counted");
        });
    }
}

#[test]
fn what_is_kept_until_the_service_answers_counts_and_few_subprotocols_may_be_offered() {
    let offers = |count: usize| (0..count).map(|n| format!("p{n}")).collect::<Vec<_>>().join(", ");
    for (count, is_refused) in [(64, false), (65, true), (10_000, true)] {
        Envoy::default().worker(|worker| {
            configure(worker, 100_000, json!({}));
            let offering = with(&handshake(), "sec-websocket-protocol", offers(count));
            let stream = request(worker, &offering);
            let refused = is_refused.then_some((400, "malformed_handshake".to_owned()));
            assert_eq!(
                stream.reply().map(|reply| (reply.status, reason(&stream).unwrap())),
                refused,
                "{count}"
            );
            assert_eq!(held(worker) > 64 * 3, !is_refused, "{count}: {} bytes", held(worker));
        });
    }
}
