//! What judging a frame costs: `make bench-engine`.
//!
//! Every figure is the time for one frame. `single` is one frame a chunk, `batched` as many as fit
//! 64 KiB. `binary` is judged by its header alone, as it is under the default policy; `touched` is
//! the floor beneath that, the reading of as many header bytes; `ascii` and `mixed` are text that
//! is proved UTF-8 under its mask, from the client, and `unmasked` the same from the upstream.
#![allow(clippy::unwrap_used, clippy::unreachable, missing_docs, reason = "a benchmark may fail")]

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use postern_config::Config;
use postern_engine::headers::Field;
use postern_engine::{
    Connection, Engine, Entropy, Input, Judged, Peer, Protocol, RequestHead, RouteFacts, Selection, Session,
};
use serde_json::json;

const NOW: Duration = Duration::from_secs(2_000_000_000);
const SIZES: [(&str, usize); 3] = [("64B", 64), ("1KiB", 1 << 10), ("64KiB", 1 << 16)];

fn open(rates: &serde_json::Value) -> Session {
    let document = json!({
        "policies": {"bench": {
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": "none",
            "rates": rates, "messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"},
            "upstream_messages": {"utf8": true},
        }},
        "default_policy": "bench",
    });
    let engine = Engine::compile(Config::from_value(document).unwrap(), &|_| None, [1; 16]).unwrap();
    let fields = |fields: &[(&str, &str)]| -> Vec<Field> {
        fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect()
    };
    let head = RequestHead {
        fields: fields(&[
            (":method", "GET"),
            (":path", "/"),
            (":authority", "example.com"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
        ]),
        connection: Connection { protocol: Protocol::Http11, ..Connection::default() },
        entropy: Entropy::NONE,
    };
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        unreachable!("the policy judges every request")
    };
    session.handle(Input::Request(head), NOW);
    let response = fields(&[
        (":status", "101"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ]);
    session.handle(Input::Response(response), NOW);
    assert!(session.was_opened());
    while session.poll_output().is_some() {}
    *session
}

fn frame(first: u8, payload: &[u8], key: Option<[u8; 4]>) -> Vec<u8> {
    let mask_bit = if key.is_some() { 0x80 } else { 0 };
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..=0x7d => frame.push(mask_bit | u8::try_from(len).unwrap()),
        len @ 0x7e..=0xffff => {
            frame.push(mask_bit | 0x7e);
            frame.extend(u16::try_from(len).unwrap().to_be_bytes());
        }
        len => {
            frame.push(mask_bit | 0x7f);
            frame.extend((len as u64).to_be_bytes());
        }
    }
    frame.extend(key.iter().flatten());
    let key = key.unwrap_or_default();
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

/// A text of `len` bytes: one character in four of another script.
fn mixed(len: usize) -> Vec<u8> {
    let mut text: Vec<u8> = "plaκin mιxed ".bytes().cycle().take(len).collect();
    while std::str::from_utf8(&text).is_err() {
        text.pop();
    }
    text.resize(len, b'.');
    text
}

fn judge(session: &mut Session, peer: Peer, chunk: &[u8]) {
    let judged = session.judge(peer, &mut black_box(chunk), NOW).unwrap();
    assert!(matches!(judged, Judged::Passage(passage) if passage.is_whole(chunk.len())));
}

fn frames(criterion: &mut Criterion) {
    const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);
    let no_rates = json!([]);
    let rates = json!([{"count": "messages", "per": "connection", "limit": 1_000_000_000, "window": "1ms", "burst": 1_000_000_000}]);
    for (name, size) in SIZES {
        let ascii = vec![b'x'; size];
        let cases = [
            ("binary", Peer::Client, &no_rates, frame(0x82, &ascii, KEY)),
            ("rated", Peer::Client, &rates, frame(0x82, &ascii, KEY)),
            ("ascii", Peer::Client, &no_rates, frame(0x81, &ascii, KEY)),
            ("mixed", Peer::Client, &no_rates, frame(0x81, &mixed(size), KEY)),
            ("unmasked", Peer::Upstream, &no_rates, frame(0x81, &ascii, None)),
        ];
        let mut group = criterion.benchmark_group(name);
        for (what, peer, rates, frame) in cases {
            let mut session = open(rates);
            let count = ((1 << 16) / frame.len()).max(1);
            for (how, count) in [("single", 1), ("batched", count)] {
                let chunk = frame.repeat(count);
                group.throughput(Throughput::ElementsAndBytes {
                    elements: count as u64,
                    bytes: chunk.len() as u64,
                });
                group.bench_function(format!("{what}/{how}"), |bencher| {
                    bencher.iter(|| judge(&mut session, peer, &chunk));
                });
            }
        }
        touched(&mut group, &frame(0x82, &ascii, KEY));
        group.finish();
    }
}

/// The reading of a header and nothing else.
fn touched(group: &mut BenchmarkGroup<'_, WallTime>, frame: &[u8]) {
    group.throughput(Throughput::Elements(1));
    group.bench_function("touched/single", |bencher| {
        bencher
            .iter(|| black_box(frame).get(..14).map(|header| header.iter().fold(0, |sum, byte| sum ^ byte)));
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).without_plots();
    targets = frames
}
criterion_main!(benches);
