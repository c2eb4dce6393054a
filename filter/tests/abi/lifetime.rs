//! What ends a connection by time, and what is left when it has ended.

use std::time::Duration;

use serde_json::{Value, json};

use crate::fixtures::{
    PROPERTIES, REASON, agreement, auth, configure, handshake, open, request, token_for, websocket, with,
};
use crate::frames::{
    BINARY, CLOSE, PING, PONG, TEXT, close, from_client, from_upstream, read, without_own_pings,
};
use crate::host::{Envoy, Stream, Worker};

const SECOND: Duration = Duration::from_secs(1);
/// Gauges are told by it.
const TICK: Duration = Duration::from_millis(250);
const CONNECTIONS: &str = "postern_connections.policy=chat;";

/// A WebSocket whose token is good for one minute; skew and grace make it 115 s.
fn with_token(worker: &Worker, mut policy: Value) -> Stream<'_> {
    policy["liveness"] = json!({"idle_timeout": "1h", "ping_interval": "none"});
    policy["auth"] = auth(json!([{"header": "authorization"}]));
    configure(worker, policy);
    open(worker, &with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 60))))
}

const LIFE: Duration = Duration::from_secs(60 + 30 + 25);

#[test]
fn an_idle_client_gets_a_close_when_its_token_ends_and_is_cut_later() {
    Envoy::default().worker(|worker| {
        let stream = with_token(worker, json!({}));
        worker.pass(LIFE - Duration::from_millis(1));
        assert_eq!(stream.to_client(), b"", "it ends too early");
        worker.pass(Duration::from_millis(1));
        assert_eq!(read(&stream.to_client()), [close(false, 3000, "token_expired")]);
        assert_eq!(stream.property(REASON), Some(b"token_expired".to_vec()));
        worker.pass(5 * SECOND - Duration::from_millis(1));
        assert!(!stream.is_reset(), "it is cut too early");
        worker.pass(Duration::from_millis(1));
        assert!(stream.is_reset());
        worker.pass(TICK);
        assert_eq!(worker.metrics().get(CONNECTIONS), None);
    });
}

#[test]
fn where_the_upstream_answers_no_ping_the_close_takes_the_place_of_the_next_data() {
    Envoy::default().worker(|worker| {
        let stream = with_token(worker, json!({"upstream_messages": {"utf8": true}}));
        let hello = from_upstream(TEXT, &[b'x'; 400]);
        // A text that is withheld, and comes in two chunks, lets its stream go on for good.
        stream.upstream_sends(&hello[..300]);
        stream.upstream_sends(&hello[300..]);
        for _ in 0..10 {
            worker.pass(SECOND);
        }
        let asked = read(&stream.to_upstream());
        assert_eq!(asked.iter().map(|frame| frame.opcode).collect::<Vec<_>>(), [PING], "it was asked once");
        worker.pass(LIFE - 10 * SECOND);
        assert_eq!(stream.to_client(), hello);
        assert_eq!(
            read(&stream.to_upstream())[1..],
            [close(true, 3000, "token_expired")],
            "that one is parked"
        );
        let down = stream.upstream_sends(&from_upstream(TEXT, b"more"));
        assert_eq!(read(&down), [close(false, 3000, "token_expired")]);
        assert_eq!(stream.client_sends(&from_client(TEXT, b"more")), b"");
    });
}

#[test]
fn a_peer_that_never_answers_a_close_is_cut() {
    let bye = 1000u16.to_be_bytes();
    for (name, policy, timeout) in [
        ("by default", json!({}), 5 * SECOND),
        ("as the policy says", json!({"liveness": {"close_timeout": "2s"}}), 2 * SECOND),
    ] {
        Envoy::default().worker(|worker| {
            configure(worker, policy);
            let stream = websocket(worker);
            stream.client_sends(&from_client(CLOSE, &bye));
            worker.pass(timeout - Duration::from_millis(1));
            assert!(!stream.is_reset(), "{name}");
            worker.pass(Duration::from_millis(1));
            assert!(stream.is_reset(), "{name}");
        });
    }
}

#[test]
fn the_gauge_of_connections_returns_to_zero_however_they_end() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let gone = websocket(worker);
        let refused = websocket(worker);
        let closed = websocket(worker);
        let declined = request(worker, &handshake());
        worker.pass(TICK);
        assert_eq!(worker.metrics().get(CONNECTIONS), Some(&3));
        gone.end();
        refused.client_sends(b"\xff\xff");
        closed.client_sends(&from_client(CLOSE, b""));
        declined.end();
        worker.pass(TICK);
        assert_eq!(worker.metrics().get(CONNECTIONS), Some(&2));
        worker.pass(5 * SECOND);
        assert!(refused.is_reset() && closed.is_reset());
        worker.pass(TICK);
        assert_eq!(worker.metrics().get(CONNECTIONS), None);
    });
}

#[test]
fn a_stream_that_has_ended_is_not_called_upon_when_its_time_would_have_come() {
    Envoy::default().worker(|worker| {
        let ended = with_token(worker, json!({}));
        let live =
            open(worker, &with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 60))));
        ended.end();
        worker.pass(LIFE);
        assert_eq!(ended.to_client(), b"");
        assert_eq!(read(&live.to_client()), [close(false, 3000, "token_expired")]);
    });
}

#[test]
fn a_connection_outlives_the_configuration_it_was_opened_under_but_not_its_token() {
    Envoy::default().worker(|worker| {
        let stream = with_token(worker, json!({}));
        configure(worker, json!({}));
        let frame = from_client(BINARY, b"x");
        assert_eq!(stream.client_sends(&frame), frame);
        worker.pass(LIFE);
        assert_eq!(read(&stream.to_client()), [close(false, 3000, "token_expired")]);
        let closes = "postern_closes.policy=chat;.reason=token_expired;";
        assert_eq!(worker.metrics().get(closes), Some(&1), "two roots tick, one close is told");
        assert_eq!(stream.worker().now(), worker.now());
    });
}

#[test]
fn a_handshake_under_way_when_its_policy_goes_away_is_sent_away_in_its_time() {
    Envoy::default().worker(|worker| {
        let drain = |over: &str| json!({"drain": over});
        configure(worker, drain("none"));
        let stream = request(worker, &handshake());
        configure(worker, drain("10s"));
        stream.answered(&agreement(&handshake()));
        stream.upstream_sends(b"");
        worker.pass(10 * SECOND - Duration::from_millis(1));
        assert_eq!(stream.to_client(), b"", "it ends too early");
        worker.pass(Duration::from_millis(1));
        assert_eq!(read(&stream.to_client()), [close(false, 1001, "drain")]);
        // It comes back when the operator says so.
        configure(worker, drain("none"));
        let stream = websocket(worker);
        worker.pass(11 * SECOND);
        assert_eq!(stream.to_client(), b"");
    });
}

#[test]
fn a_payload_in_pieces_leaves_a_client_in_reach() {
    Envoy::default().worker(|worker| {
        let stream = with_token(worker, json!({}));
        let hello = from_upstream(TEXT, &[b'a'; 1000]);
        for piece in hello.chunks(300) {
            assert_eq!(stream.upstream_sends(piece), piece);
        }
        let (start, rest) = hello.split_at(500);
        assert_eq!(stream.upstream_sends(start), start);
        let before = stream.to_client().len();
        worker.pass(LIFE);
        assert_eq!(stream.to_client().len(), before, "nothing may stand within a frame");
        let end = stream.upstream_sends(rest);
        assert_eq!(end[..rest.len()], *rest);
        assert_eq!(read(&end[rest.len()..]), [close(false, 3000, "token_expired")]);
    });
}

#[test]
fn a_client_is_asked_as_often_as_it_is_silent_and_its_data_passes_all_the_same() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"liveness": {"idle_timeout": "30s", "ping_interval": "10s"}}));
        let stream = websocket(worker);
        let (hello, news) = (from_client(TEXT, b"hello"), from_upstream(TEXT, b"news"));
        for round in 0..10 {
            let before = stream.to_client().len();
            worker.pass(10 * SECOND);
            let asked = stream.to_client().split_off(before);
            let frames = read(&asked);
            assert_eq!((frames.len(), frames[0].opcode), (1, PING), "round {round}");
            // Data that comes before the answer, with it, and behind it, each way.
            let pong = from_client(PONG, &frames[0].payload);
            assert_eq!(stream.upstream_sends(&news), news, "round {round}");
            match round % 3 {
                0 => assert_eq!(stream.client_sends(&pong), b"", "round {round}"),
                1 => assert_eq!(stream.client_sends(&[&hello[..], &pong].concat()), hello, "round {round}"),
                _ => assert_eq!(stream.client_sends(&[&pong[..], &hello].concat()), hello, "round {round}"),
            }
            assert_eq!(stream.client_sends(&hello), hello, "round {round}");
            assert_eq!(stream.upstream_sends(&news), news, "round {round}");
            // When it was there is known by the next tick.
            worker.pass(SECOND / 4);
        }
        worker.pass(10 * SECOND);
        worker.pass(8 * SECOND);
        let frames = read(&stream.to_client());
        assert_eq!(frames.last(), Some(&close(false, 3008, "pong_timeout")));
        worker.pass(SECOND);
        assert!(stream.is_reset());
    });
}

#[test]
fn what_does_not_fit_a_paused_buffer_is_not_put_there() {
    Envoy::default().worker(|worker| {
        let limits = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"});
        configure(worker, json!({"messages": limits}));
        for size in [32_000, 32_740, 32_750, 40_000, 100_000] {
            let stream = websocket(worker);
            // A text in two chunks, which is proved whole.
            let text = from_client(TEXT, &vec![b'a'; size]);
            let (start, end) = text.split_at(size / 2);
            assert_eq!(stream.client_sends(start), b"");
            let (said, pings) = without_own_pings(&stream.client_sends(end));
            assert!(said == text, "{size}");
            assert_eq!(pings, usize::from(size >= 65_536), "of so much it is asked what it has read");
            // A violation behind what fills the buffer.
            let stream = websocket(worker);
            let fills = from_client(BINARY, &vec![b'a'; size]);
            let up = stream.client_sends(&[&fills[..], b"\xff\xff"].concat());
            assert_eq!(up, fills);
            worker.pass(SECOND);
            assert_eq!(read(&stream.to_upstream()[fills.len()..]), [close(true, 1002, "protocol_error")]);
        }
    });
}

/// Route metadata that lays `drain: none` over the policy `chat` (semantics 2).
const STAYS: &[u8] = b"\x0a\x2e\x0a\x07postern\x12\x23\
    \x0a\x10\x0a\x06policy\x12\x06\x1a\x04chat\x0a\x0f\x0a\x05drain\x12\x06\x1a\x04none";

#[test]
fn a_route_that_is_kept_while_its_policy_goes_away_keeps_whom_it_lets_in() {
    Envoy::default().worker(|worker| {
        configure(
            worker,
            json!({"drain": "10s", "liveness": {"idle_timeout": "1h", "ping_interval": "none"}}),
        );
        let properties = [&PROPERTIES[..], &[("xds.route_metadata", STAYS)]].concat();
        for when in ["while the others go", "when they are gone"] {
            let stream = Stream::open(worker, &handshake(), &properties);
            let went_up = stream.request().unwrap_or_else(|| panic!("{when}: {:?}", stream.reply()));
            stream.answered(&agreement(&went_up));
            worker.pass(60 * SECOND);
            assert_eq!(read(&stream.to_client()), [], "{when}");
        }
        let other = request(worker, &handshake());
        assert_eq!(other.reply().map(|reply| reply.status), Some(503));
    });
}

#[test]
fn a_clock_that_is_set_back_lets_nobody_stay_who_is_gone() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"liveness": {"idle_timeout": "30s", "ping_interval": "10s"}}));
        let [silent, asked, closing] = [websocket(worker), websocket(worker), websocket(worker)];
        worker.pass(10 * SECOND);
        for stream in [&silent, &closing] {
            let ping = read(&stream.to_client());
            stream.client_sends(&from_client(PONG, &ping[0].payload));
        }
        closing.client_sends(&from_client(CLOSE, b""));
        worker.set_back(3600 * SECOND);
        let mut passed = Duration::ZERO;
        while passed < 11 * SECOND {
            worker.pass(SECOND / 4);
            passed += SECOND / 4;
        }
        assert!(closing.is_reset(), "five seconds after its Close");
        assert!(asked.is_reset(), "eight seconds after it was asked");
        let frames = read(&silent.to_client());
        assert_eq!(frames.iter().map(|frame| frame.opcode).collect::<Vec<_>>(), [PING, PING]);
        while passed < 20 * SECOND {
            worker.pass(SECOND / 4);
            passed += SECOND / 4;
        }
        assert!(silent.is_reset(), "it was asked again, and did not answer");
    });
}

/// Envoy does what is asked of streams in a tick one within the other: a few thousand use up a VM's stack.
#[test]
fn of_many_that_end_at_once_few_are_told_in_one_tick_and_all_of_them_soon() {
    const MANY: usize = 300;
    Envoy::default().worker(|worker| {
        configure(worker, json!({"liveness": {"idle_timeout": "10s", "ping_interval": "none"}}));
        let sockets: Vec<_> = (0..MANY).map(|_| websocket(worker)).collect();
        let told = || sockets.iter().filter(|socket| !socket.to_client().is_empty()).count();
        worker.tick_after(10 * SECOND);
        assert!((1..=32).contains(&told()), "{} at once", told());
        worker.pass(Duration::from_millis(1));
        assert_eq!(told(), MANY);
        let cut = || sockets.iter().filter(|socket| socket.is_reset()).count();
        worker.tick_after(5 * SECOND);
        assert!((1..=32).contains(&cut()), "{} cut at once", cut());
        worker.pass(Duration::from_millis(1));
        assert_eq!(cut(), MANY);
    });
}
