//! Compressed messages (RFC 7692) on an open connection.

use crate::http::headers::HeaderEdit;
use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};

use super::tests::{START, Trial, close, masked_close};
use super::*;
use crate::testing::{agreement, from_client, from_upstream, request, with};

const OFFER: &[u8] = b"permessage-deflate; client_max_window_bits";
const COMPRESSED_TEXT: u8 = 0xc1;
const COMPRESSED_BINARY: u8 = 0xc2;

/// A connection whose peers agreed on permessage-deflate as `answer` says.
pub(super) fn open(changes: Value, answer: &[u8]) -> Trial {
    let mut trial = Trial::new(changes, with(&request(), "sec-websocket-extensions", OFFER));
    let mut response = agreement();
    response.push(("sec-websocket-extensions".to_owned(), answer.to_vec()));
    trial.input(Input::Response(response), START);
    assert!(trial.session.was_opened(), "{:?}", trial.outputs);
    trial.outputs.clear();
    trial
}

/// A compressor for what one direction sends, with a history over messages.
pub(super) struct Deflater(Compress);

impl Deflater {
    pub(super) fn new() -> Self {
        Self(Compress::new(Compression::default(), false))
    }

    pub(super) fn message(&mut self, plain: &[u8]) -> Vec<u8> {
        let mut compressed = Vec::with_capacity(plain.len() + 1024);
        self.0.compress_vec(plain, &mut compressed, FlushCompress::Sync).unwrap();
        assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
        compressed
    }
}

fn inspect() -> Value {
    json!({"compression": "inspect", "messages": {"max_message_bytes": 1000}})
}

/// Sends `bytes` in pieces of many sizes, and compares what goes on with `expected`.
fn assert_passes(changes: &Value, peer: Peer, bytes: &[u8], expected: &[u8], what: &str) {
    for size in (1..40).chain([bytes.len()]) {
        let mut trial = open(changes.clone(), b"permessage-deflate");
        let passed: Vec<u8> = bytes.chunks(size).flat_map(|chunk| trial.bytes(peer, chunk, START)).collect();
        assert_eq!(passed, expected, "{what}, pieces of {size}");
    }
}

#[test]
fn compressed_messages_pass_as_they_are_with_their_history() {
    for policy in ["inspect", "pass"] {
        let changes = json!({"compression": policy});
        let mut deflater = Deflater::new();
        let text = "a text that repeats: κόσμε ".repeat(20);
        let [one, two] = [(); 2].map(|()| deflater.message(text.as_bytes()));
        assert!(two.len() < one.len() / 2, "the second refers to the first");
        let (start, end) = two.split_at(two.len() / 2);
        let bytes = [
            from_client(COMPRESSED_TEXT, &one),
            from_client(0x41, start),
            from_client(0x80, end),
            from_client(0x81, b"not compressed"),
            from_client(COMPRESSED_BINARY, &deflater.message(b"\xff")),
            from_client(COMPRESSED_TEXT, b"\0"),
        ]
        .concat();
        assert_passes(&changes, Peer::Client, &bytes, &bytes, policy);
        let bytes = [from_upstream(COMPRESSED_TEXT, &one), from_upstream(0x82, b"")].concat();
        assert_passes(&changes, Peer::Upstream, &bytes, &bytes, policy);
    }
}

#[test]
fn a_message_that_inflates_beyond_the_limit_does_not_pass_at_all() {
    let good = from_client(COMPRESSED_BINARY, &Deflater::new().message(&[0; 1000]));
    let bomb = Deflater::new().message(&[0; 300_000]);
    assert!(bomb.len() < 1000, "its frames are within the limits");
    let (start, end) = bomb.split_at(bomb.len() / 2);
    for bad in [
        from_client(COMPRESSED_BINARY, &bomb),
        [from_client(0x42, start), from_client(0x80, end)].concat(),
        [from_client(0x42, &start[..2]), from_client(0x00, &start[2..]), from_client(0x80, end)].concat(),
    ] {
        let bytes = [&good[..], &bad, b"more"].concat();
        let expected = [&good[..], &masked_close(Reason::MessageTooBig)].concat();
        let mut trial = open(inspect(), b"permessage-deflate; client_no_context_takeover");
        assert_eq!(trial.client(&bytes), expected);
    }
    let bytes = from_upstream(COMPRESSED_BINARY, &Deflater::new().message(&[0; 100_000]));
    let changes = json!({"compression": "inspect", "upstream_messages": {"max_message_bytes": 99_999}});
    assert_passes(&changes, Peer::Upstream, &bytes, &close(Reason::MessageTooBig), "from the upstream");
    let changes = json!({"compression": "inspect", "upstream_messages": {"max_message_bytes": 100_000}});
    assert_passes(&changes, Peer::Upstream, &bytes, &bytes, "just within the limit");
}

/// `plain` in stored blocks of at most `block` bytes, as zlib writes noise when it has little memory.
fn stored(plain: &[u8], block: u16) -> Vec<u8> {
    let mut bytes = Vec::new();
    for block in plain.chunks(usize::from(block)) {
        let len = u16::try_from(block.len()).unwrap();
        bytes.push(0);
        bytes.extend([len.to_le_bytes(), (!len).to_le_bytes()].concat());
        bytes.extend(block);
    }
    bytes.push(0);
    bytes
}

#[test]
fn a_message_within_the_limit_passes_though_its_sender_made_it_longer() {
    let limits = json!({"max_frame_bytes": "128KiB", "max_message_bytes": "64KiB"});
    let changes = json!({"compression": "inspect", "messages": limits, "upstream_messages": limits});
    // These are the blocks of zlib's `memLevel` 8, 5 and 1, and almost the smallest that there may be.
    for block in [16_383, 2047, 127, 36] {
        for (size, passes) in [(65_536, true), (65_537, false)] {
            let payload = stored(&vec![0xa5; size], block);
            for fragment in [payload.len(), 20_000] {
                let mut trial = open(changes.clone(), b"permessage-deflate");
                let sent = fragments(from_client, &payload, fragment);
                let expected = if passes { &sent } else { &masked_close(Reason::MessageTooBig) };
                let name = format!("{size} bytes in blocks of {block} and fragments of {fragment}");
                assert!(trial.client(&sent) == *expected, "{name}, from the client");
                let tally = trial.session.take_tally().client;
                let counted = if passes { (1, 0, payload.len() as u64) } else { (0, 1, 0) };
                assert_eq!((tally.allowed, tally.refused, tally.bytes), counted, "{name}");
                let mut trial = open(changes.clone(), b"permessage-deflate");
                let sent = fragments(from_upstream, &payload, fragment);
                let expected = if passes { &sent } else { &close(Reason::MessageTooBig) };
                assert!(trial.upstream(&sent) == *expected, "{name}, from the upstream");
            }
        }
    }
}

/// A compressed binary message in frames of at most `size` bytes.
fn fragments(frame: fn(u8, &[u8]) -> Vec<u8>, payload: &[u8], size: usize) -> Vec<u8> {
    let last = payload.len().div_ceil(size) - 1;
    let fragment = |(i, part)| frame(if i == 0 { 0x42 } else { 0 } | if i == last { 0x80 } else { 0 }, part);
    payload.chunks(size).enumerate().flat_map(fragment).collect()
}

#[test]
fn a_compressed_message_may_have_as_many_fragments_as_the_policy_says() {
    let limits = json!({"max_fragments": 5000});
    let changes = json!({"compression": "inspect", "messages": limits});
    let bytes = |fragments: usize| {
        let more = from_client(0x00, b"").repeat(fragments - 2);
        [from_client(0x42, b""), more, from_client(0x80, b"\0")].concat()
    };
    let mut trial = open(changes.clone(), b"permessage-deflate");
    assert!(trial.client(&bytes(5000)) == bytes(5000), "as many as there may be");
    assert_eq!(trial.client(&bytes(5001)), masked_close(Reason::TooManyFragments), "one more");
}

#[test]
fn compressed_text_is_proved_where_it_is_inspected_and_only_there() {
    let bad = from_client(COMPRESSED_TEXT, &Deflater::new().message(b"\xff"));
    assert_passes(&inspect(), Peer::Client, &bad, &masked_close(Reason::InvalidUtf8), "inspect");
    let half = from_client(COMPRESSED_TEXT, &Deflater::new().message(b"\xce"));
    assert_passes(&inspect(), Peer::Client, &half, &masked_close(Reason::InvalidUtf8), "inspect");
    let pass = json!({"compression": "pass"});
    assert_passes(&pass, Peer::Client, &bad, &bad, "pass");
    let plain = from_client(0x81, b"\xff");
    assert_passes(&pass, Peer::Client, &plain, &plain, "pass proves neither");
}

#[test]
fn what_comes_first_in_a_message_is_why_it_is_refused() {
    let no_text_then_too_long = [&[b'x'; 900][..], b"\xff", &[b'x'; 900]].concat();
    let too_long_then_no_text = [&[b'x'; 1000][..], b"\xff"].concat();
    for (text, reason) in
        [(no_text_then_too_long, Reason::InvalidUtf8), (too_long_then_no_text, Reason::MessageTooBig)]
    {
        let bytes = from_client(COMPRESSED_TEXT, &Deflater::new().message(&text));
        assert_passes(&inspect(), Peer::Client, &bytes, &masked_close(reason), "in whatever pieces");
    }
}

#[test]
fn what_cannot_be_inflated_is_refused_where_it_is_inspected() {
    for (what, payload) in [("garbage", &b"\xff\xff\xff"[..]), ("cut off", b"\xf2\x48"), ("nothing", b"")] {
        let bytes = from_client(COMPRESSED_BINARY, payload);
        assert_passes(&inspect(), Peer::Client, &bytes, &masked_close(Reason::ProtocolError), what);
    }
}

#[test]
fn rsv1_marks_the_first_frame_of_a_message_and_nothing_else() {
    let one = Deflater::new().message(b"one");
    for policy in ["inspect", "pass"] {
        let changes = json!({"compression": policy});
        let open = from_client(0x02, b"open");
        for (what, good, bad) in [
            ("a continuation", &open[..], from_client(0xc0, &one)),
            ("a Ping", b"", from_client(0xc9, b"")),
            ("a Close", b"", from_client(0xc8, b"")),
            ("RSV2", b"", from_client(0xe2, &one)),
            ("RSV3", b"", from_client(0xd2, &one)),
        ] {
            let bytes = [good, &bad].concat();
            let expected = [good, &masked_close(Reason::ProtocolError)].concat();
            assert_passes(&changes, Peer::Client, &bytes, &expected, what);
        }
    }
    let mut trial = Trial::open(json!({"compression": "pass"}));
    let compressed = from_client(COMPRESSED_TEXT, &one);
    assert_eq!(trial.client(&compressed), masked_close(Reason::ProtocolError), "nothing was agreed on");
}

#[test]
fn control_frames_go_ahead_of_a_message_that_is_being_inspected() {
    let compressed = Deflater::new().message(b"a message in two fragments");
    let (start, end) = compressed.split_at(5);
    let (start, end) = (from_client(0x41, start), from_client(0x80, end));
    let ping = from_client(0x89, b"ping");
    let bytes = [&start[..], &ping, &end].concat();
    let expected = [&ping[..], &start, &end].concat();
    assert_passes(&inspect(), Peer::Client, &bytes, &expected, "a Ping");
    let bye = from_client(0x88, b"");
    let bytes = [&start[..], &bye].concat();
    assert_passes(&inspect(), Peer::Client, &bytes, &bye, "a Close ends a message that nobody gets");
}

#[test]
fn an_upstream_cannot_have_headers_withheld_without_end() {
    let mut trial = open(json!({"compression": "inspect"}), b"permessage-deflate");
    assert_eq!(trial.upstream(&from_upstream(0x41, b"\xf2")), b"");
    let empty = from_upstream(0x00, b"").repeat(1000);
    let passed: Vec<u8> = (0..20).flat_map(|_| trial.upstream(&empty)).collect();
    assert_eq!(passed, close(Reason::TooManyFragments));
}

#[test]
fn what_a_frame_says_makes_no_room_for_more_headers() {
    let just_as_many = [from_upstream(0x42, b""), from_upstream(0x00, b"").repeat(8 * 1024 - 1)].concat();
    for payload in [0, 1, 2, 100, 100_000] {
        let mut trial = open(json!({"compression": "inspect"}), b"permessage-deflate");
        assert_eq!(trial.upstream(&just_as_many), b"");
        let one_more = from_upstream(0x00, &vec![0; payload]);
        assert_eq!(trial.upstream(&one_more), close(Reason::TooManyFragments), "{payload} bytes");
    }
}

#[test]
fn a_discarded_message_leaves_the_others_readable() {
    let rate =
        json!({"count": "messages", "per": "connection", "limit": 1, "window": "10s", "on_exceed": "drop"});
    let head = with(&request(), "sec-websocket-extensions", OFFER);
    let mut trial = Trial::new(json!({"compression": "inspect", "rates": [rate]}), head);
    let mut response = agreement();
    response.push(("sec-websocket-extensions".to_owned(), b"permessage-deflate".to_vec()));
    trial.outputs.clear();
    trial.input(Input::Response(response), START);
    let told = b"permessage-deflate; client_no_context_takeover".to_vec();
    let edit = HeaderEdit::Set("sec-websocket-extensions".to_owned(), told);
    assert_eq!(trial.outputs.first(), Some(&Output::AdmitResponse(vec![edit])));
    let messages = [b"one", b"two"].map(|text| from_client(COMPRESSED_TEXT, &Deflater::new().message(text)));
    assert_eq!(trial.client(&messages.concat()), messages[0]);
    let later = START + Duration::from_secs(10);
    assert_eq!(trial.bytes(Peer::Client, &messages[1], later), messages[1]);
}
