//! How many bytes a worker's thread holds: what stays behind when connections are over.

use std::time::Duration;

use serde_json::json;

use crate::counting::HELD;
use crate::fixtures::{configure, websocket};
use crate::host::Envoy;

const CONNECTIONS: u32 = 2000;

/// What the thread holds more when so many connections have come and gone.
fn held_after(idle_timeout: &'static str) -> i64 {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"liveness": {"idle_timeout": idle_timeout, "ping_interval": "none"}}));
        let before = HELD.get();
        for _ in 0..CONNECTIONS {
            websocket(worker).end();
        }
        worker.pass(Duration::from_secs(2));
        HELD.get() - before
    })
}

/// What the host model keeps of a stream is the same in both.
#[test]
fn a_connection_that_is_over_holds_no_memory_until_its_time_would_have_come() {
    let (soon, late) = (held_after("1s"), held_after("24h"));
    assert!(late - soon < i64::from(CONNECTIONS), "{} bytes", late - soon);
}
