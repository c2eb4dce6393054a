//! What the gauges say once a worker's VM has trapped, which then can give nothing back.

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::time::Duration;

use serde_json::json;

use crate::fixtures::{configure, websocket};
use crate::frames::{TEXT, from_client};
use crate::host::{Envoy, Worker};

const TICK: Duration = Duration::from_millis(250);
const BUDGET: i64 = 256 << 20;

fn ticks(worker: &Worker, time: Duration) {
    for _ in 0..time.as_millis() / TICK.as_millis() {
        worker.pass(TICK);
    }
}

/// The gauges that are sums over all VMs.
fn gauges(worker: &Worker) -> BTreeMap<String, i64> {
    let all = worker.metrics().into_iter();
    let sums = ["postern_connections", "postern_held_bytes", "postern_memory_budget_bytes"];
    all.filter(|(name, _)| sums.iter().any(|sum| name.starts_with(sum))).collect()
}

fn expected(connections: i64, held: i64, budgets: i64) -> BTreeMap<String, i64> {
    let sums = [
        ("postern_connections.policy=chat;", connections),
        ("postern_held_bytes", held),
        ("postern_memory_budget_bytes", budgets * BUDGET),
    ];
    sums.into_iter().filter(|(_, value)| *value > 0).map(|(name, value)| (name.to_owned(), value)).collect()
}

type Story<'s> = Box<dyn FnOnce(&Worker) + Send + 's>;

/// A VM that has sockets, one of which holds something, and traps then: its thread is gone before it ends any.
fn traps(worker: &Worker) -> i64 {
    configure(worker, json!({}));
    let sockets: Vec<_> = (0..3).map(|_| websocket(worker)).collect();
    sockets[0].client_sends(&from_client(TEXT, &[b'a'; 4000])[..3000]);
    worker.pass(TICK);
    let held = gauges(worker).get("postern_held_bytes").copied().unwrap_or(0);
    assert!(held > 0);
    held
}

#[test]
fn the_other_workers_take_away_what_a_trapped_one_had_added_and_go_on_with_their_own() {
    for survivors_ticks_come_first in [false, true] {
        let (ready, dead) = (Barrier::new(2), Barrier::new(2));
        let lives: Story<'_> = Box::new(|worker| {
            configure(worker, json!({}));
            let socket = websocket(worker);
            if survivors_ticks_come_first {
                ticks(worker, Duration::from_secs(3));
            }
            ready.wait();
            dead.wait();
            ticks(worker, Duration::from_secs(5));
            assert_eq!(gauges(worker), expected(1, 0, 1));
            socket.end();
            ticks(worker, Duration::from_secs(60));
            assert_eq!(gauges(worker), expected(0, 0, 1));
        });
        let dies: Story<'_> = Box::new(|worker| {
            ready.wait();
            traps(worker);
            dead.wait();
        });
        Envoy::default().workers([lives, dies]);
    }
}

#[test]
fn the_vm_that_is_started_in_a_trapped_one_s_place_does_so_where_there_is_no_other() {
    let dead = Barrier::new(2);
    let dies: Story<'_> = Box::new(|worker| {
        let held = traps(worker);
        assert_eq!(gauges(worker), expected(3, held, 1));
        dead.wait();
    });
    let next: Story<'_> = Box::new(|worker| {
        dead.wait();
        configure(worker, json!({}));
        let socket = websocket(worker);
        ticks(worker, Duration::from_secs(5));
        assert_eq!(gauges(worker), expected(1, 0, 1));
        socket.end();
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(0, 0, 1));
    });
    Envoy::default().workers([dies, next]);
}

#[test]
fn a_worker_that_only_stood_still_has_its_part_in_the_gauges_again() {
    let turn = Barrier::new(2);
    let stands: Story<'_> = Box::new(|worker| {
        configure(worker, json!({}));
        let socket = websocket(worker);
        ticks(worker, Duration::from_secs(1));
        turn.wait();
        turn.wait();
        assert_eq!(gauges(worker), expected(0, 0, 1));
        worker.set_back(Duration::from_secs(3600));
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(1, 0, 2));
        socket.end();
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(0, 0, 2));
    });
    let lives: Story<'_> = Box::new(|worker| {
        configure(worker, json!({}));
        turn.wait();
        ticks(worker, Duration::from_secs(10));
        turn.wait();
    });
    Envoy::default().workers([stands, lives]);
}

#[test]
fn a_vm_whose_last_configuration_is_removed_takes_its_part_away_at_once() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let socket = websocket(worker);
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(1, 0, 1));
        configure(worker, json!({}));
        worker.retire();
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(1, 0, 1), "one configuration is there still");
        worker.retire_all();
        assert_eq!(gauges(worker), expected(0, 0, 0));
        socket.end();
        assert_eq!(gauges(worker), expected(0, 0, 0));
    });
}

#[test]
fn where_no_shared_data_can_be_written_the_gauges_are_told_all_the_same() {
    Envoy::refusing("postern.leases").worker(|worker| {
        configure(worker, json!({}));
        let socket = websocket(worker);
        ticks(worker, Duration::from_secs(2));
        assert_eq!(gauges(worker), expected(1, 0, 1));
        socket.end();
        worker.pass(TICK);
        assert_eq!(gauges(worker), expected(0, 0, 1));
    });
}
