//! Frames through the ABI: what goes on is what came, or a Close.

use serde_json::{Value, json};

use crate::fixtures::{REASON, configure, websocket};
use crate::frames::{
    BINARY, CLOSE, PING, TEXT, close, frame, from_client, from_upstream, read, without_own_pings,
};
use crate::host::{Envoy, Stream};

/// Frames around every boundary of the length's form.
const SIZES: [usize; 8] = [0, 1, 125, 126, 127, 4096, 65_535, 65_536];

#[derive(Clone, Copy, Debug)]
enum Sender {
    Client,
    Upstream,
}

impl Sender {
    fn sends(self, stream: &Stream<'_>, chunk: &[u8]) -> Vec<u8> {
        match self {
            Self::Client => stream.client_sends(chunk),
            Self::Upstream => stream.upstream_sends(chunk),
        }
    }

    fn frame(self, first: u8, payload: &[u8]) -> Vec<u8> {
        match self {
            Self::Client => frame(first, Some([1, 2, 3, 4]), payload),
            Self::Upstream => frame(first, None, payload),
        }
    }
}

#[test]
fn frames_pass_byte_for_byte_at_every_split_both_ways() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        for sender in [Sender::Client, Sender::Upstream] {
            let mut bytes = sender.frame(0x80 | BINARY, &[7; 126]);
            bytes.extend(sender.frame(TEXT, b"frag"));
            bytes.extend(sender.frame(0x80 | PING, b"?"));
            bytes.extend(sender.frame(0x80, b"ment"));
            for split in 0..=bytes.len() {
                let stream = websocket(worker);
                let mut passed = sender.sends(&stream, &bytes[..split]);
                passed.extend(sender.sends(&stream, &bytes[split..]));
                assert_eq!(passed, bytes, "{sender:?} split at {split}");
                stream.end();
            }
            let stream = websocket(worker);
            let passed: Vec<u8> = bytes.iter().flat_map(|byte| sender.sends(&stream, &[*byte])).collect();
            assert_eq!(passed, bytes, "{sender:?} byte by byte");
        }
    });
}

#[test]
fn frames_of_every_form_of_length_pass_in_chunks_of_every_size() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"}}));
        for sender in [Sender::Client, Sender::Upstream] {
            let bytes: Vec<u8> =
                SIZES.iter().flat_map(|size| sender.frame(0x80 | BINARY, &vec![0x5a; *size])).collect();
            for chunk in [2, 3, 7, 1024, 16_384, bytes.len()] {
                let stream = websocket(worker);
                let passed: Vec<u8> = bytes.chunks(chunk).flat_map(|c| sender.sends(&stream, c)).collect();
                // Behind 64 KiB the receiver may be asked, once a second, what it has read.
                let (said, pings) = without_own_pings(&passed);
                assert!(said == bytes && pings <= 1, "{sender:?} in chunks of {chunk}: {pings}");
                stream.end();
            }
        }
    });
}

#[test]
fn a_violation_takes_the_place_of_the_chunk_as_a_close_both_ways() {
    let small = json!({"messages": {"max_frame_bytes": 8, "max_message_bytes": 8, "types": ["text"]}});
    let one = json!({"rates": [{"count": "messages", "per": "connection", "limit": 1, "window": "1m"}]});
    let text = |payload: &[u8]| from_client(TEXT, payload);
    let cases: [(&str, Value, Vec<u8>, u16, &str); 7] = [
        ("not masked", json!({}), from_upstream(TEXT, b"x"), 1002, "protocol_error"),
        ("reserved bit", json!({}), frame(0xc1, Some([0; 4]), b""), 1002, "protocol_error"),
        ("half a Close code", json!({}), from_client(CLOSE, b"x"), 1002, "protocol_error"),
        ("type", small.clone(), from_client(BINARY, b"x"), 1003, "type_denied"),
        ("frame", small.clone(), text(&[b'a'; 9]), 1009, "frame_too_big"),
        (
            "message",
            small,
            [frame(TEXT, Some([0; 4]), &[b'a'; 8]), frame(0x80, Some([0; 4]), b"a")].concat(),
            1009,
            "message_too_big",
        ),
        ("rate", one, [text(b"1"), text(b"2")].concat(), 1008, "message_rate"),
    ];
    for (name, policy, bytes, code, reason) in cases {
        for chunk in [1, bytes.len()] {
            Envoy::default().worker(|worker| {
                configure(worker, policy.clone());
                let stream = websocket(worker);
                bytes.chunks(chunk).for_each(|chunk| drop(stream.client_sends(chunk)));
                let up = read(&stream.to_upstream());
                assert_eq!(up.last(), Some(&close(true, code, reason)), "{name} to the upstream");
                // The upstream is silent: the parked stream carries the Close.
                assert_eq!(read(&stream.to_client()), [close(false, code, reason)], "{name} to the client");
                assert_eq!(stream.client_sends(&text(b"more")), b"", "{name}: more goes up");
                assert_eq!(
                    stream.upstream_sends(&from_upstream(TEXT, b"more")),
                    b"",
                    "{name}: more goes down"
                );
                assert_eq!(stream.property(REASON), Some(reason.as_bytes().to_vec()), "{name}");
                let closes = format!("postern_closes.policy=chat;.reason={reason};");
                assert_eq!(worker.metrics().get(&closes), Some(&1), "{name}");
            });
        }
    }
}

#[test]
fn an_upstream_in_the_middle_of_a_frame_finishes_it_before_the_close() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        let message = from_upstream(BINARY, &[9; 300]);
        let mut down = stream.upstream_sends(&message[..100]);
        stream.client_sends(b"\xff\xff");
        assert_eq!(stream.to_client(), down, "no Close in the middle of a frame");
        let next = [&message[100..], &from_upstream(TEXT, b"next")].concat();
        down.extend(stream.upstream_sends(&next));
        assert_eq!(down[..message.len()], message);
        assert_eq!(read(&down[message.len()..]), [close(false, 1002, "protocol_error")]);
    });
}

#[test]
fn a_violation_of_the_upstreams_is_a_close_both_ways_too() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"upstream_messages": {"max_frame_bytes": 4, "max_message_bytes": 4}}));
        let stream = websocket(worker);
        let down = stream.upstream_sends(&from_upstream(BINARY, b"12345"));
        assert_eq!(read(&down), [close(false, 1009, "frame_too_big")]);
        let up = stream.to_upstream();
        assert_eq!(read(&up), [close(true, 1009, "frame_too_big")], "at once, since its stream is parked");
        assert_eq!(stream.client_sends(&from_client(TEXT, b"more")), b"");
    });
}

#[test]
fn a_rate_that_drops_takes_single_messages_out_of_a_chunk_and_leaves_the_rest() {
    let rates =
        json!([{"count": "messages", "per": "connection", "limit": 2, "window": "1h", "on_exceed": "drop"}]);
    let message = |text: &[u8]| from_client(TEXT, text);
    let ping = from_client(PING, b"p");
    let bytes =
        [message(b"1"), message(b"2"), message(b"3"), ping.clone(), message(b"4"), ping.clone()].concat();
    let left = [message(b"1"), message(b"2"), ping.clone(), ping].concat();
    Envoy::default().worker(|worker| {
        configure(worker, json!({ "rates": rates }));
        for chunk in 1..=bytes.len() {
            let stream = websocket(worker);
            let passed: Vec<u8> = bytes.chunks(chunk).flat_map(|c| stream.client_sends(c)).collect();
            assert_eq!(passed, left, "in chunks of {chunk}");
            stream.end();
        }
    });
}

#[test]
fn a_close_of_a_peers_own_is_passed_on_and_answered() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        let bye = [&1000u16.to_be_bytes()[..], b"bye"].concat();
        let (from_client, from_upstream) = (from_client(CLOSE, &bye), from_upstream(CLOSE, &bye));
        let after = [from_client.as_slice(), b"anything"].concat();
        assert_eq!(stream.client_sends(&after), from_client, "nothing follows a Close");
        assert_eq!(stream.upstream_sends(&from_upstream), from_upstream);
        assert_eq!(stream.property(REASON), None);
    });
}

#[test]
fn a_close_of_posterns_goes_ahead_of_a_clients_that_is_not_whole_and_is_the_only_one() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        let own = from_client(CLOSE, &[&1000u16.to_be_bytes()[..], b"bye"].concat());
        let (start, end) = own.split_at(8);
        stream.client_sends(start);
        assert_eq!(stream.to_upstream(), b"", "a Close is judged whole");
        stream.upstream_sends(&[0xff, 0xff]);
        stream.client_sends(end);
        let close = stream.to_upstream();
        assert_eq!(close.len(), 2 + 4 + 2 + "protocol_error".len(), "one Close, Postern's: {close:02x?}");
    });
}

#[test]
fn what_passed_is_told_at_the_next_tick_or_at_the_end() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        stream.client_sends(&from_client(TEXT, b"12345"));
        stream.upstream_sends(&from_upstream(BINARY, &[0; 500]));
        worker.pass(std::time::Duration::from_millis(250));
        let told = |name: &str| worker.metrics().get(name).copied().unwrap_or(0);
        assert_eq!(told("postern_messages.policy=chat;.direction=downstream;.result=allowed;"), 1);
        assert_eq!(told("postern_bytes.policy=chat;.direction=downstream;"), 5);
        assert_eq!(told("postern_bytes.policy=chat;.direction=upstream;"), 500);
        for (le, messages) in [("64", 0), ("256", 0), ("1024", 1), ("+Inf", 1)] {
            let bucket =
                format!("postern_message_size_bytes_bucket.policy=chat;.direction=upstream;.le={le};");
            assert_eq!(told(&bucket), messages, "{le}");
        }
        assert_eq!(told("postern_message_size_bytes_sum.policy=chat;.direction=upstream;"), 500);
        assert_eq!(told("postern_message_size_bytes_count.policy=chat;.direction=downstream;"), 1);
        stream.client_sends(&from_client(TEXT, b"67"));
        stream.end();
        worker.pass(std::time::Duration::from_millis(250));
        assert_eq!(told("postern_bytes.policy=chat;.direction=downstream;"), 7);
        assert_eq!(told("postern_messages.policy=chat;.direction=downstream;.result=allowed;"), 2);
        assert_eq!(told("postern_message_size_bytes_sum.policy=chat;.direction=downstream;"), 7);
        assert_eq!(told("postern_connection_duration_seconds_bucket.policy=chat;.le=1;"), 1);
        assert_eq!(told("postern_connection_duration_seconds_count.policy=chat;"), 1);
    });
}
