//! Limits that hold over all workers, on real threads.

use std::net::Ipv4Addr;

use postern_engine::rate::slots::SLOTS;
use serde_json::{Value, json};

use crate::fixtures::{PROPERTIES, auth, configure, handshake, request, token, with};
use crate::host::{Envoy, Stream, Worker};

const WORKERS: usize = 4;
const LIMIT: u64 = 100;

fn single_use() -> Value {
    let mut auth = auth(json!([{"header": "authorization"}]));
    auth["single_use"] = json!(true);
    json!({ "auth": auth })
}

/// How many of so many handshakes with one token pass on this worker.
fn with_one_token(worker: &Worker) -> usize {
    configure(worker, single_use());
    let exp = worker.now().as_secs() + 60;
    let token = token(json!({"sub": "alice", "exp": exp, "jti": "ticket"}));
    let passed = (0..40).filter(|_| {
        let stream = request(worker, &with(&handshake(), "authorization", format!("Bearer {token}")));
        stream.end();
        match stream.reply() {
            None => true,
            Some(reply) => {
                assert_eq!(reply.status, 401);
                false
            }
        }
    });
    passed.count()
}

#[test]
fn a_token_that_opens_one_connection_opens_one_over_all_workers_together() {
    for _ in 0..20 {
        let passed = Envoy::default().workers([with_one_token as fn(&Worker) -> usize; WORKERS]);
        assert_eq!(passed.iter().sum::<usize>(), 1, "{passed:?}");
    }
}

#[test]
fn a_token_that_cannot_be_remembered_lets_nobody_in_and_is_counted() {
    Envoy::refusing("postern.used.").worker(|worker| {
        configure(worker, single_use());
        let token = token(json!({"sub": "alice", "exp": worker.now().as_secs() + 60, "jti": "ticket"}));
        let stream = request(worker, &with(&handshake(), "authorization", format!("Bearer {token}")));
        assert_eq!((stream.request(), stream.reply().map(|reply| reply.status)), (None, Some(429)));
        let full = worker.metrics().get("postern_single_use_table_full.policy=chat;").copied();
        assert_eq!(full, Some(1));
    });
}

/// How many of as many handshakes as there are tokens pass on this worker.
fn handshakes(worker: &Worker) -> u64 {
    let rates = json!([{"count": "handshakes", "per": "ip", "limit": LIMIT, "window": "1h"}]);
    configure(worker, json!({ "rates": rates }));
    let passes = (0..LIMIT).filter(|_| {
        let stream = request(worker, &handshake());
        stream.end();
        match stream.reply() {
            None => true,
            Some(reply) => {
                assert_eq!(reply.status, 429);
                false
            }
        }
    });
    passes.count() as u64
}

#[test]
fn a_handshake_rate_lets_exactly_its_limit_pass_over_all_workers_together() {
    let passed = Envoy::default().workers([handshakes as fn(&Worker) -> u64; WORKERS]);
    assert_eq!(passed.iter().sum::<u64>(), LIMIT, "{passed:?}");
}

const CLIENTS: u32 = 5_000;

/// How many of one handshake of each client pass on this worker.
fn of_many_clients(worker: &Worker) -> u32 {
    let rates = json!([{"count": "handshakes", "per": "ip", "limit": 2, "window": "1h"}]);
    configure(worker, json!({ "rates": rates }));
    let handshake = handshake();
    let passes = (0..CLIENTS).filter(|i| {
        let address = format!("{}:40732", Ipv4Addr::from_bits(0x0a00_0000 | i));
        let mut properties = PROPERTIES;
        properties[0].1 = address.as_bytes();
        let stream = Stream::open(worker, &handshake, &properties);
        stream.end();
        stream.reply().is_none()
    });
    let passed = u32::try_from(passes.count()).unwrap();
    assert_eq!(worker.metrics().get("postern_rate_table_full.policy=chat;"), None);
    passed
}

/// A table with a million buckets that are never full again, each in a slot that chance gives it.
fn a_million_buckets() -> impl Iterator<Item = (String, Vec<u8>)> {
    const FULL_AT: u64 = u64::MAX;
    let mut slots = vec![Vec::new(); SLOTS as usize];
    let mut random = 1_u64;
    for tag in 0..1_000_000_u64 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let slot = &mut slots[usize::try_from(random >> 33).unwrap() % SLOTS as usize];
        slot.extend([tag, FULL_AT, 0].into_iter().flat_map(u64::to_le_bytes));
    }
    slots.into_iter().enumerate().map(|(number, slot)| (format!("postern.rates.{number}"), slot))
}

#[test]
fn beside_a_million_live_buckets_each_new_client_gets_exactly_its_limit_over_all_workers_together() {
    let envoy = Envoy::sharing(a_million_buckets());
    let passed = envoy.workers([of_many_clients as fn(&Worker) -> u32; 3]);
    assert_eq!(passed.iter().sum::<u32>(), 2 * CLIENTS, "{passed:?}");
}
