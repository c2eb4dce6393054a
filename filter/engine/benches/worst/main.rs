//! Which message costs the most: `make bench-worst`.
//!
//! Climbs, from many random messages, to those that cost the most time for each of their bytes beyond
//! what a binary message of as many bytes costs. The bytes of a message are those of its frame or those
//! that it inflates to, whichever are more. The worst of each kind are printed, and written to the
//! folder that `POSTERN_WORST` names, for a benchmark that sends them through Envoy.
//! `POSTERN_WORST_SECONDS` is how long each kind is looked for.
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::indexing_slicing,
    missing_docs,
    reason = "a benchmark may fail"
)]
#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock, and is told by the environment")]
#![allow(clippy::print_stdout, reason = "this is a command")]
#![allow(clippy::cast_possible_truncation, reason = "small whole numbers")]

#[path = "../../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod support;

mod deflate;
mod json;
mod numbers;

use std::fmt::Debug;
use std::time::{Duration, Instant};

use postern_engine::websocket::inflate::{Context, Inflater};
use postern_engine::{Input, Peer, Session};
use serde_json::json;

use numbers::Numbers;
use support::{EXTENSIONS, START, Tables, admitted, agreement, engine, frame};

const KEY: Option<[u8; 4]> = Some([0x37, 0xfa, 0x21, 0x3d]);

/// As long as a candidate is measured, and as often; the shortest time counts.
const MEASURED: Duration = Duration::from_micros(150);
const TIMES: usize = 3;

/// How many climbs there are, each in its share of the time.
const CLIMBS: u32 = 24;

/// A message: the first byte of its frame, its payload, and how many bytes it is said to have.
struct Message {
    first: u8,
    payload: Vec<u8>,
    bytes: usize,
}

/// What a message costs.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    /// Nanoseconds for each byte beyond a binary message.
    excess: f64,
    wire: usize,
    bytes: usize,
}

fn main() {
    let seconds = std::env::var("POSTERN_WORST_SECONDS").ok().and_then(|text| text.parse().ok());
    let time = Duration::from_secs(seconds.unwrap_or(5));
    println!("nanoseconds for each byte beyond a binary message, and the bytes on the wire and inflated");
    for takeover in [true, false] {
        let name = if takeover { "deflate" } else { "deflate-alone" };
        let message = |stream: &deflate::Stream| of_stream(stream);
        search(
            name,
            time,
            || open(takeover, false),
            deflate::Stream::random,
            deflate::Stream::mutated,
            message,
        );
    }
    let message = |text: &json::Text| {
        let payload = text.bytes();
        Some(Message { first: 0x81, bytes: payload.len(), payload })
    };
    search("json", time, || open(true, true), json::Text::random, json::Text::mutated, message);
    let message = |text: &json::Text| {
        let text = text.bytes();
        Some(Message { first: 0xc1, payload: deflated(&text), bytes: text.len() })
    };
    search("json-deflate", time, || open(true, true), json::Text::random, json::Text::mutated, message);
}

fn of_stream(stream: &deflate::Stream) -> Option<Message> {
    let (payload, mut bytes) = (stream.bytes(), 0);
    let mut inflater = Inflater::new(Context { window_bits: 15, takeover: false });
    let mut sink = |piece: &[u8]| {
        bytes += piece.len();
        Ok::<(), postern_engine::cause::FrameFault>(())
    };
    inflater.push(&payload, &mut sink).ok()?;
    inflater.finish().ok()?;
    Some(Message { first: if stream.text { 0xc1 } else { 0xc2 }, payload, bytes })
}

fn deflated(text: &[u8]) -> Vec<u8> {
    let mut zlib = flate2::Compress::new(flate2::Compression::default(), false);
    let mut bytes = Vec::with_capacity(text.len() + 1024);
    zlib.compress_vec(text, &mut bytes, flate2::FlushCompress::Sync).unwrap();
    bytes.truncate(bytes.len() - 4);
    bytes
}

fn open(takeover: bool, refresh: bool) -> Session {
    let from = json!([{"header": "authorization"}]);
    let auth = json!({"providers": ["edge"], "from": from, "refresh": "/auth/token", "expiry": "ignore"});
    let policy = json!({
        "origins": {"allow": ["https://app.example.com"]}, "rates": [], "compression": "inspect",
        "auth": if refresh { auth } else { json!("none") },
    });
    let engine = engine(&policy);
    let token = format!("Bearer {}", token());
    let offer = (EXTENSIONS, "permessage-deflate");
    let fields: &[(&str, &str)] = if refresh { &[("authorization", &token), offer] } else { &[offer] };
    let mut session = admitted(&engine, [198, 51, 100, 7].into(), fields);
    let alone = if takeover { "" } else { "; client_no_context_takeover" };
    let answer = format!("permessage-deflate{alone}");
    session.handle(Input::Response(agreement(&[(EXTENSIONS, &answer)])), &mut Tables, START);
    assert!(session.was_opened());
    while session.poll_output().is_some() {}
    session
}

fn token() -> String {
    let exp = START.as_secs() + 3600;
    let claims = json!({"iss": "edge", "aud": "chat", "sub": "alice", "exp": exp});
    let key = jsonwebtoken::EncodingKey::from_secret(support::SECRET.as_bytes());
    jsonwebtoken::encode(&jsonwebtoken::Header::default(), &claims, &key).unwrap()
}

/// Looks for the worst message of a kind.
fn search<G: Debug>(
    name: &str,
    time: Duration,
    open: impl Fn() -> Session,
    random: impl Fn(&mut Numbers) -> G,
    mutated: impl Fn(&G, &mut Numbers) -> G,
    message: impl Fn(&G) -> Option<Message>,
) {
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    let mut found: Vec<(Cost, G)> = Vec::new();
    let mut tried = 0;
    for _ in 0..CLIMBS {
        let end = Instant::now() + time / CLIMBS;
        let mut best: Option<(Cost, G)> = None;
        while Instant::now() < end {
            let next = match &best {
                Some((_, genes)) => mutated(genes, &mut numbers),
                None => random(&mut numbers),
            };
            tried += 1;
            let Some(cost) = message(&next).and_then(|message| measure(&open, &message, TIMES)) else {
                continue;
            };
            if best.as_ref().is_none_or(|(worst, _)| cost.excess > worst.excess) {
                best = Some((cost, next));
            }
        }
        found.extend(best);
    }
    // By a longer look: the greatest of many short ones is the most disturbed one.
    for (cost, genes) in &mut found {
        *cost = message(genes).and_then(|message| measure(&open, &message, 20 * TIMES)).unwrap_or_default();
    }
    found.sort_by(|(a, _), (b, _)| b.excess.total_cmp(&a.excess));
    println!("{name}: {tried} messages");
    for (place, (Cost { excess, wire, bytes }, genes)) in found.iter().take(3).enumerate() {
        let shown = format!("{genes:?}");
        println!("  {excess:7.2}  {wire:6} {bytes:6}  {}", shown.get(..150).unwrap_or(&shown));
        if let Some(folder) = std::env::var_os("POSTERN_WORST") {
            let Some(Message { first, payload, bytes }) = message(genes) else { continue };
            std::fs::create_dir_all(&folder).unwrap();
            let path = std::path::Path::new(&folder).join(format!("{name}.{place}.{bytes}"));
            std::fs::write(path, [&[first], &payload[..]].concat()).unwrap();
        }
    }
}

/// What a message costs, if it passes.
fn measure(open: &impl Fn() -> Session, message: &Message, times: usize) -> Option<Cost> {
    let chunk = frame(message.first, &message.payload, KEY);
    let binary = frame(0x82, &message.payload, KEY);
    let mut session = open();
    let excess = time(&mut session, &chunk, times)? - time(&mut session, &binary, times)?;
    let bytes = message.bytes.max(chunk.len());
    Some(Cost { excess: excess / bytes as f64, wire: chunk.len(), bytes: message.bytes })
}

/// Nanoseconds to judge a chunk; `None` where it is refused.
fn time(session: &mut Session, chunk: &[u8], times: usize) -> Option<f64> {
    let mut best = f64::INFINITY;
    for _ in 0..times {
        let (start, mut judged) = (Instant::now(), 0);
        while judged == 0 || start.elapsed() < MEASURED {
            // So that to look at the clock costs nothing.
            for _ in 0..4 {
                let passes = session.judge(Peer::Client, &mut &chunk[..], &mut Tables, START);
                let Ok(passage) = passes else { return None };
                while session.poll_output().is_some() {}
                if !passage.is_whole(chunk.len()) {
                    return None;
                }
            }
            judged += 4;
        }
        best = best.min(start.elapsed().as_secs_f64() * 1e9 / f64::from(judged));
    }
    Some(best)
}
