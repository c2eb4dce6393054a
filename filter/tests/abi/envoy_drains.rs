//! The end of policies with their Envoy: who asks the admin interface, and what comes of its answers.

use std::sync::Barrier;
use std::time::Duration;

use proxy_wasm::types::LogLevel;
use serde_json::{Value, json};

use crate::fixtures::{REASON, agreement, document, handshake, request, websocket};
use crate::frames::{close, read};
use crate::host::{Call, Envoy, Stream, Worker, value_of};

const TICK: Duration = Duration::from_millis(250);
const SECOND: Duration = Duration::from_secs(1);
const DRAINING: &str = r#"{"state":"DRAINING","uptime_current_epoch":"5s"}"#;
const LIVE: &str = r#"{"state":"LIVE","uptime_current_epoch":"5s"}"#;

fn configuration(policy: Value) -> Vec<u8> {
    asking("auth", "8s", policy)
}

/// Returns a document that asks this cluster, and sends clients away over this time.
fn asking(cluster: &str, over: &str, policy: Value) -> Vec<u8> {
    let mut document = quiet(policy);
    document["drain_with_envoy"] = json!({"cluster": cluster, "over": over});
    document.to_string().into_bytes()
}

fn without_the_key() -> Vec<u8> {
    quiet(json!({})).to_string().into_bytes()
}

/// Returns a document whose policy sends no Pings.
fn quiet(policy: Value) -> Value {
    let mut changes = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "none"}});
    changes.as_object_mut().unwrap().extend(policy.as_object().unwrap().clone());
    document(changes)
}

fn configure(worker: &Worker, policy: Value) {
    assert!(worker.configure(&configuration(policy)));
}

/// Returns the question that is under way, once it is due.
fn question(worker: &Worker) -> Call {
    worker.pass(SECOND + TICK);
    let mut calls = worker.calls();
    assert_eq!(calls.len(), 1, "{calls:?}");
    calls.remove(0)
}

/// Has the admin interface answer so, and the worker look at it.
fn answered(worker: &Worker, status: &str, body: &str) {
    worker.answer(&question(worker), status, body.as_bytes());
    worker.pass(TICK);
}

/// Returns the lines of the log at level `info` that have this part.
fn told(worker: &Worker, part: &str) -> usize {
    worker.log(LogLevel::Info).iter().filter(|line| line.contains(part)).count()
}

fn is_let_in(worker: &Worker) -> bool {
    let stream = request(worker, &handshake());
    let refusal = stream.reply().map(|reply| (reply.status, stream.property(REASON).unwrap_or_default()));
    assert!(refusal.is_none() || refusal == Some((503, b"draining".to_vec())), "{refusal:?}");
    refusal.is_none()
}

fn gone(streams: &[Stream<'_>]) -> usize {
    let gone = streams.iter().map(Stream::to_client).filter(|sent| !sent.is_empty());
    gone.map(|sent| assert_eq!(read(&sent), [close(false, 1001, "drain")])).count()
}

#[test]
fn connections_end_one_after_the_other_when_envoy_drains_and_nobody_is_let_in() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let streams: Vec<_> = (0..4).map(|_| websocket(worker)).collect();
        let late = request(worker, &handshake());
        let call = question(worker);
        assert_eq!(value_of(&call.fields, ":path"), Some(&b"/server_info"[..]));
        assert_eq!(value_of(&call.fields, ":authority"), Some(&b"auth"[..]));
        assert_eq!(call.timeout, SECOND);
        worker.answer(&call, "200", LIVE.as_bytes());
        assert!(is_let_in(worker));
        answered(worker, "200", DRAINING);
        assert!(!is_let_in(worker));
        late.answered(&agreement(&handshake()));
        late.upstream_sends(b"");
        for gone_by_now in 0..4 {
            assert_eq!(gone(&streams), gone_by_now);
            worker.pass(2 * SECOND);
        }
        assert_eq!(gone(&streams), 4);
        assert_eq!(
            read(&late.to_client()),
            [close(false, 1001, "drain")],
            "who opens late has the time that is left"
        );
        let metrics = worker.metrics();
        assert_eq!(metrics.get("postern_envoy_draining"), Some(&1));
        let rule = "postern_violations.policy=chat;.rule=drain_with_envoy;.reason=drain;.mode=enforced;";
        assert_eq!(metrics.get(rule), Some(&5));
        assert_eq!(told(worker, "this Envoy drains"), 1);
    });
}

#[test]
fn an_envoy_that_lives_again_lets_clients_in_and_who_has_no_close_yet_stays() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let before = [websocket(worker), websocket(worker)];
        answered(worker, "200", DRAINING);
        worker.pass(4 * SECOND + TICK);
        answered(worker, "200", LIVE);
        assert!(is_let_in(worker));
        let after = [websocket(worker)];
        worker.pass(8 * SECOND);
        assert_eq!((gone(&before), gone(&after)), (1, 0), "one had its Close already");
        assert_ne!(worker.metrics().get("postern_envoy_draining"), Some(&1));
        for call in worker.calls() {
            worker.answer(&call, "200", DRAINING.as_bytes());
        }
        worker.pass(TICK);
        worker.pass(8 * SECOND);
        assert_eq!(gone(&after), 1, "it may drain again");
    });
}

#[test]
fn an_answer_that_is_none_changes_nothing_and_is_told_once() {
    let long = format!(r#"{{"state":"LIVE","padding":"{}"}}"#, "x".repeat(1 << 20));
    for (first, lets_in) in [(LIVE, true), (DRAINING, false)] {
        let other = if lets_in { DRAINING } else { LIVE };
        Envoy::default().worker(|worker| {
            configure(worker, json!({}));
            answered(worker, "200", first);
            assert_eq!(is_let_in(worker), lets_in);
            let before = worker.log(LogLevel::Warn).len();
            for (status, body) in [
                ("403", other),
                ("503", other),
                ("200", ""),
                ("200", "garbage"),
                ("200", r#"{"state":"INITIALIZING"}"#),
                ("200", &long),
                ("200", r#"{"state":["DRAINING","LIVE"]}"#),
            ] {
                answered(worker, status, body);
                assert_eq!(is_let_in(worker), lets_in, "{status} {body:.40}");
            }
            worker.cut(&question(worker));
            worker.pass(TICK);
            assert_eq!(is_let_in(worker), lets_in, "no answer at all");
            // An Envoy that starts has answered, in between.
            assert_eq!(worker.log(LogLevel::Warn).len() - before, 2);
            answered(worker, "200", other);
            assert_eq!(is_let_in(worker), !lets_in, "it is asked again");
        });
    }
}

#[test]
fn a_policy_that_goes_away_by_itself_ends_a_connection_sooner_and_one_in_shadow_ends_none() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let stream = websocket(worker);
        answered(worker, "200", DRAINING);
        configure(worker, json!({"drain": "2s"}));
        worker.pass(2 * SECOND);
        assert_eq!(read(&stream.to_client()), [close(false, 1001, "drain")]);
        let rule = "postern_violations.policy=chat;.rule=drain;.reason=drain;.mode=enforced;";
        assert_eq!(worker.metrics().get(rule), Some(&1));
    });
    Envoy::default().worker(|worker| {
        configure(worker, json!({"mode": "shadow"}));
        let stream = websocket(worker);
        answered(worker, "200", DRAINING);
        assert!(is_let_in(worker));
        worker.pass(9 * SECOND);
        assert_eq!(stream.to_client(), b"");
        for reason in ["drain", "draining"] {
            let name = format!(
                "postern_violations.policy=chat;.rule=drain_with_envoy;.reason={reason};.mode=shadow;"
            );
            assert_eq!(worker.metrics().get(&name), Some(&1), "{name}");
        }
    });
}

#[test]
fn a_configuration_without_the_key_sends_nobody_away_and_one_with_it_does_so_at_once() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let waits = websocket(worker);
        answered(worker, "200", DRAINING);
        assert!(worker.configure(&without_the_key()));
        worker.pass(TICK);
        assert!(is_let_in(worker));
        assert_ne!(worker.metrics().get("postern_envoy_draining"), Some(&1));
        let stays = websocket(worker);
        worker.pass(8 * SECOND);
        assert_eq!((waits.to_client(), stays.to_client()), (Vec::new(), Vec::new()));
        assert_eq!(told(worker, "drains no more"), 0, "nobody has said so");
        assert_eq!(told(worker, "drain_with_envoy is not set any more"), 1);
        configure(worker, json!({}));
        assert!(!is_let_in(worker), "what the workers share says so");
        worker.pass(TICK);
        worker.pass(8 * SECOND);
        assert_eq!(gone(&[waits, stays]), 2);
    });
}

#[test]
fn one_worker_asks_and_another_one_where_that_is_gone() {
    let (died, over) = (Barrier::new(2), Barrier::new(2));
    let dies = |worker: &Worker| {
        configure(worker, json!({}));
        worker.pass(TICK);
        assert_eq!(worker.calls().len(), 1);
        died.wait();
        over.wait();
    };
    let lives = |worker: &Worker| {
        died.wait();
        configure(worker, json!({}));
        worker.pass(TICK);
        assert!(worker.calls().is_empty(), "the other one asks");
        worker.pass(2 * SECOND);
        answered(worker, "200", DRAINING);
        assert!(!is_let_in(worker));
        over.wait();
    };
    Envoy::default().workers([&dies as &(dyn Fn(&Worker) + Sync), &lives]);
}

#[test]
fn a_worker_that_has_not_asked_learns_with_its_next_tick_that_envoy_drains() {
    let (configured, told) = (Barrier::new(2), Barrier::new(2));
    let asks = |worker: &Worker| {
        configure(worker, json!({}));
        configured.wait();
        answered(worker, "200", DRAINING);
        told.wait();
    };
    let learns = |worker: &Worker| {
        configure(worker, json!({}));
        let streams = [websocket(worker)];
        configured.wait();
        told.wait();
        worker.pass(TICK);
        assert!(!is_let_in(worker));
        worker.pass(8 * SECOND);
        assert_eq!(gone(&streams), 1);
    };
    Envoy::default().workers([&asks as &(dyn Fn(&Worker) + Sync), &learns]);
}

/// Returns the answer of an Envoy after so many hot restarts.
fn of_epoch(state: &str, epoch: u32) -> String {
    json!({"state": state, "command_line_options": {"restart_epoch": epoch}}).to_string()
}

#[test]
fn an_answer_of_the_envoy_that_takes_over_by_a_hot_restart_says_that_this_one_ends() {
    let of_epoch = |epoch| of_epoch("LIVE", epoch);
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        answered(worker, "200", &of_epoch(2));
        assert!(is_let_in(worker));
        let streams = [websocket(worker)];
        answered(worker, "200", &of_epoch(3));
        assert!(!is_let_in(worker));
        // A configuration that comes later knows only what the workers share.
        configure(worker, json!({}));
        answered(worker, "200", &of_epoch(3));
        assert!(!is_let_in(worker));
        // On a connection that was open before, this Envoy itself still answers.
        answered(worker, "200", &of_epoch(2));
        assert!(!is_let_in(worker));
        worker.pass(9 * SECOND);
        assert_eq!(gone(&streams), 1);
    });
}

#[test]
fn the_next_envoy_of_a_hot_restart_that_only_starts_or_answers_once_does_not_end_this_one() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        answered(worker, "200", &of_epoch("LIVE", 2));
        let streams = [websocket(worker)];
        for state in ["PRE_INITIALIZING", "INITIALIZING", "INITIALIZING"] {
            answered(worker, "200", &of_epoch(state, 3));
            assert!(is_let_in(worker), "{state}");
        }
        // A configuration that comes meanwhile knows what was known before.
        configure(worker, json!({}));
        answered(worker, "200", &of_epoch("INITIALIZING", 3));
        assert!(is_let_in(worker));
        // The next Envoy has died, and this one answers again.
        answered(worker, "200", &of_epoch("LIVE", 2));
        assert!(is_let_in(worker));
        answered(worker, "200", &of_epoch("LIVE", 3));
        assert!(!is_let_in(worker));
        answered(worker, "200", &of_epoch("LIVE", 2));
        assert!(is_let_in(worker), "it was a stray answer");
        worker.pass(9 * SECOND);
        assert_eq!(gone(&streams), 0);
    });
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        answered(worker, "200", &of_epoch("DRAINING", 2));
        answered(worker, "200", &of_epoch("INITIALIZING", 3));
        configure(worker, json!({}));
        assert!(!is_let_in(worker), "an Envoy that drains goes on to drain while the next one starts");
    });
}

#[test]
fn a_clock_that_is_set_back_as_a_drain_begins_ends_nobody_sooner_and_nobody_later() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let streams: Vec<_> = (0..4).map(|_| websocket(worker)).collect();
        let late = request(worker, &handshake());
        worker.answer(&question(worker), "200", DRAINING.as_bytes());
        worker.set_back(3600 * SECOND);
        worker.pass(TICK);
        assert_eq!(gone(&streams), 0);
        worker.pass(2 * SECOND);
        assert_eq!(gone(&streams), 1);
        worker.set_back(3600 * SECOND);
        worker.pass(TICK);
        late.answered(&agreement(&handshake()));
        late.upstream_sends(b"");
        worker.pass(2 * SECOND);
        assert_eq!((gone(&streams), late.to_client()), (2, Vec::new()));
        worker.pass(4 * SECOND);
        assert_eq!((gone(&streams), gone(&[late])), (4, 1));
    });
}

#[test]
fn a_policy_that_is_told_to_go_as_the_clock_is_set_back_ends_nobody_at_once() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let streams = [websocket(worker), websocket(worker)];
        worker.pass(TICK);
        worker.set_back(3600 * SECOND);
        configure(worker, json!({"drain": "8s"}));
        worker.pass(TICK);
        assert_eq!(gone(&streams), 0);
        worker.pass(8 * SECOND);
        assert_eq!(gone(&streams), 2);
    });
}

#[test]
fn another_cluster_or_time_in_a_pushed_configuration_leaves_every_end_that_was_told_as_it_is() {
    for pushed in [("other", "8s"), ("auth", "100s"), ("other", "100s")] {
        Envoy::default().worker(|worker| {
            configure(worker, json!({}));
            let streams = [websocket(worker), websocket(worker)];
            let late = request(worker, &handshake());
            answered(worker, "200", DRAINING);
            worker.pass(3 * SECOND);
            assert!(worker.configure(&asking(pushed.0, pushed.1, json!({}))));
            assert!(!is_let_in(worker), "{pushed:?}: nobody has said otherwise");
            worker.pass(TICK);
            assert!(!is_let_in(worker), "{pushed:?}");
            assert_eq!(worker.metrics().get("postern_envoy_draining"), Some(&1));
            late.answered(&agreement(&handshake()));
            late.upstream_sends(b"");
            worker.pass(SECOND);
            assert_eq!(gone(&streams), 1, "{pushed:?}");
            worker.pass(4 * SECOND);
            assert_eq!((gone(&streams), gone(&[late])), (2, 1), "{pushed:?}");
            assert_eq!((told(worker, "this Envoy drains, and"), told(worker, "drains no more")), (1, 0));
            worker.retire();
            worker.pass(SECOND + TICK);
            for call in worker.calls() {
                assert_eq!(value_of(&call.fields, ":authority"), Some(pushed.0.as_bytes()));
                worker.answer(&call, "200", LIVE.as_bytes());
            }
            worker.pass(TICK);
            assert!(is_let_in(worker), "{pushed:?}: the answer is what counts");
            assert_eq!(told(worker, "drains no more"), 1);
        });
    }
}

#[test]
fn the_gauge_is_one_as_long_as_any_filter_drains() {
    const GAUGE: &str = "postern_envoy_draining";
    Envoy::default().worker(|worker| {
        let draining = || worker.metrics().get(GAUGE).copied().unwrap_or_default();
        assert!(worker.configure_filter("edge", &configuration(json!({}))));
        assert!(worker.configure_filter("inner", &configuration(json!({}))));
        answered(worker, "200", DRAINING);
        assert_eq!(draining(), 1);
        assert!(worker.configure_filter("inner", &without_the_key()));
        worker.pass(TICK);
        assert_eq!(draining(), 1, "the other one still drains");
        assert!(worker.configure_filter("edge", &without_the_key()));
        worker.pass(TICK);
        assert_eq!(draining(), 0);
        assert!(worker.configure_filter("edge", &configuration(json!({}))));
        worker.pass(TICK);
        assert_eq!(draining(), 1);
        worker.retire_all();
        assert_eq!(draining(), 0, "a filter that is gone drains no more");
    });
    // Two workers here are two VMs, as filters with a `vm_id` each have them.
    let (drains, ended, looked) = (Barrier::new(2), Barrier::new(2), Barrier::new(2));
    let goes_on = |worker: &Worker| {
        configure(worker, json!({}));
        answered(worker, "200", DRAINING);
        drains.wait();
        ended.wait();
        worker.pass(TICK);
        assert_eq!(worker.metrics().get(GAUGE), Some(&1));
        looked.wait();
    };
    let ends = |worker: &Worker| {
        drains.wait();
        configure(worker, json!({}));
        worker.pass(TICK);
        assert!(worker.configure(&without_the_key()));
        worker.pass(TICK);
        ended.wait();
        looked.wait();
    };
    Envoy::default().workers([&goes_on as &(dyn Fn(&Worker) + Sync), &ends]);
}

#[test]
fn a_configuration_that_is_pushed_again_sends_its_connections_away_before_a_new_one_comes() {
    Envoy::default().worker(|worker| {
        configure(worker, json!({}));
        let streams = [websocket(worker)];
        configure(worker, json!({}));
        worker.pass(TICK);
        worker.retire_last();
        for call in worker.calls() {
            worker.cut(&call);
        }
        worker.pass(SECOND + TICK);
        for call in worker.calls() {
            worker.answer(&call, "200", DRAINING.as_bytes());
        }
        worker.pass(TICK);
        worker.pass(8 * SECOND);
        assert_eq!(gone(&streams), 1);
        assert_eq!(worker.metrics().get("postern_envoy_draining"), Some(&1));
    });
}
