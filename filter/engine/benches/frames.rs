//! What judging a frame costs: `make bench-engine`.
//!
//! Every figure is the time for one frame. `single` is one frame a chunk, `batched` as many as fit
//! 64 KiB. `binary` is judged by its header alone, as it is under the default policy; `touched` is
//! the floor beneath that, the reading of as many header bytes; `ascii` and `mixed` are text that
//! is proved UTF-8 under its mask, from the client, and `unmasked` the same from the upstream.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "a benchmark may fail")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod support;

use std::hint::black_box;
use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use postern_engine::{Input, Peer, Session};
use serde_json::{Value, json};

use support::{START, Tables, admitted, agreement, engine, frame};

const SIZES: [(&str, usize); 3] = [("64B", 64), ("1KiB", 1 << 10), ("64KiB", 1 << 16)];

fn open(rates: &Value) -> Session {
    let engine = engine(&json!({
        "origins": {"allow": ["https://app.example.com"]}, "auth": "none", "rates": rates,
        "messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"},
        "upstream_messages": {"utf8": true},
    }));
    let mut session = admitted(&engine, [198, 51, 100, 7].into(), &[]);
    session.handle(Input::Response(agreement(&[])), &mut Tables, START);
    assert!(session.was_opened());
    while session.poll_output().is_some() {}
    session
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
    let judged = session.judge(peer, &mut black_box(chunk), &mut Tables, START).unwrap();
    assert!(judged.is_whole(chunk.len()));
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
