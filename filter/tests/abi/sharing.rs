//! Limits that hold over all workers, on real threads.

use serde_json::json;

use crate::fixtures::{configure, handshake, request};
use crate::host::{Envoy, Worker};

const WORKERS: usize = 4;
const LIMIT: u64 = 100;

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
