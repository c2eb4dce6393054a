//! What charging a shared bucket costs beside others that are in use: `make bench-engine`.
//!
//! Every figure is the time for one charge of a client that chance picks: the slot's bytes are
//! copied from where they are kept, judged, and replaced. Envoy's part in it, two calls and a lock,
//! comes on top and is the larger one.
#![allow(clippy::panic, clippy::unwrap_used, missing_docs, reason = "a benchmark may fail")]

#[path = "../tests/support/mod.rs"]
#[allow(dead_code, reason = "the tests need more of it")]
mod support;

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::rate::{self, BucketRequest, Charged, Outcome, Shared};
use postern_engine::{Engine, Input, Peer};
use serde_json::json;

use support::{START, Tables, admitted, agreement, engine, frame};

/// Keeps the first request, and grants all.
struct Asked(Option<BucketRequest>);

impl Shared for Asked {
    fn charge(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        self.0.get_or_insert(*request);
        Outcome::Charged(Charged::Taken)
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        Spent::First
    }
}

/// The tokens that a message of this client takes.
fn question(engine: &Engine, client: u32) -> BucketRequest {
    let mut session = admitted(engine, Ipv4Addr::from_bits(client).into(), &[]);
    session.handle(Input::Response(agreement(&[])), &mut Tables, START);
    let message = frame(0x82, b"", Some([1, 2, 3, 4]));
    let mut asked = Asked(None);
    session.judge(Peer::Client, &mut message.as_slice(), &mut asked, START).unwrap();
    asked.0.unwrap()
}

/// Charges a bucket as the filter does.
fn charge(slots: &mut HashMap<u32, Vec<u8>>, question: &BucketRequest) {
    let slot = slots.entry(question.key.slot()).or_default();
    let bytes = slot.clone();
    let (outcome, changed) = rate::charge(&bytes, question, START);
    assert_eq!(outcome, Outcome::Charged(Charged::Taken));
    if let Some(changed) = changed {
        slot.clone_from(&changed);
    }
}

fn charges(criterion: &mut Criterion) {
    let rate = json!({"count": "messages", "per": "ip", "limit": 1_000_000_000, "window": "1000h"});
    let engine = engine(&json!({
        "origins": {"allow": ["https://app.example.com"]}, "auth": "none", "rates": [rate],
    }));
    let (mut slots, mut questions) = (HashMap::new(), Vec::new());
    let mut group = criterion.benchmark_group("charge");
    for count in [1, 10_000, 100_000, 1_000_000] {
        for client in u32::try_from(questions.len()).unwrap()..count {
            let question = question(&engine, client);
            charge(&mut slots, &question);
            questions.push(question);
        }
        let mut random = 1_u64;
        group.bench_function(format!("{count} in use"), |bencher| {
            bencher.iter(|| {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let client = usize::try_from(random >> 33).unwrap() % questions.len();
                charge(&mut slots, questions.get(client).unwrap());
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).without_plots();
    targets = charges
}
criterion_main!(benches);
