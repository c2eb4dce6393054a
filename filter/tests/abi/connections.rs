//! Live connections: whose place a newer one takes, and what becomes of it.

use std::time::Duration;

use serde_json::json;

use crate::fixtures::{REASON, agreement, auth, configure, handshake, open, request, token_for, with};
use crate::frames::{Frame, TEXT, close, from_client, read};
use crate::host::{Envoy, Fields, Worker};

const TICK: Duration = Duration::from_millis(250);

/// A policy under which the newest connection of a user takes the place of the one before.
fn newest(worker: &Worker) {
    configure(
        worker,
        json!({
            "auth": auth(json!([{"header": "authorization"}])),
            "connections": {"per_user": 1, "on_full": "replace"},
            "liveness": {"ping_interval": "none"},
        }),
    );
}

fn replaced() -> Frame {
    close(false, 1008, "connection_replaced")
}

fn bearing(worker: &Worker) -> Fields {
    with(&handshake(), "authorization", format!("Bearer {}", token_for(worker, 300)))
}

#[test]
fn of_connections_that_come_at_one_time_the_last_stays() {
    Envoy::default().worker(|worker| {
        newest(worker);
        let sockets: Vec<_> = (0..4).map(|_| open(worker, &bearing(worker))).collect();
        worker.pass(TICK);
        let (last, others) = sockets.split_last().unwrap();
        for other in others {
            assert_eq!(read(&other.to_client()), [replaced()]);
        }
        assert_eq!(last.to_client(), b"");
        assert_eq!(last.client_sends(&from_client(TEXT, b"hello")), from_client(TEXT, b"hello"));
    });
}

#[test]
fn a_handshake_that_has_made_way_does_not_wait_for_its_service() {
    Envoy::default().worker(|worker| {
        newest(worker);
        let waits = request(worker, &bearing(worker));
        assert!(waits.request().is_some());
        let socket = open(worker, &bearing(worker));
        for _ in 0..4 {
            worker.pass(TICK);
        }
        assert_eq!(waits.reply().map(|reply| reply.status), Some(429));
        assert_eq!(waits.property(REASON), Some(b"connection_limit".to_vec()));
        assert_eq!(socket.client_sends(&from_client(TEXT, b"hello")), from_client(TEXT, b"hello"));
    });
}

#[test]
fn a_handshake_that_has_made_way_is_told_why_if_its_service_answers() {
    Envoy::default().worker(|worker| {
        newest(worker);
        let older = request(worker, &bearing(worker));
        let up = older.request().unwrap();
        let _newer = open(worker, &bearing(worker));
        worker.pass(TICK);
        older.answered(&agreement(&up));
        older.upstream_sends(b"");
        assert_eq!(read(&older.to_client()), [replaced()]);
    });
}
