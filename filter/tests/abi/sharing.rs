//! Limits that hold over all workers, on real threads.

use serde_json::{Value, json};

use crate::fixtures::{auth, configure, handshake, request, token, with};
use crate::host::{Envoy, Worker};

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
    Envoy::refusing("postern.tokens.").worker(|worker| {
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
