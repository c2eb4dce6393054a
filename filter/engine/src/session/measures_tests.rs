//! The measures of sessions: sizes, where handshakes stop, what rates decide, and the last counts of one that is cut.

use crate::decision::Rule;
use crate::decision::cause::HostFault;
use crate::metrics::Stopped;
use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{from_client, request, with, without};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_message_counts_once_with_its_size_however_it_is_sent_and_split() {
    let sent = [
        from_client(0x82, &[0; 300]),
        from_client(0x01, b"abc"),
        from_client(0x89, b"ping"),
        from_client(0x80, &[b'd'; 97]),
        from_client(0x81, b""),
        from_client(0x81, b"whole"),
        from_client(0x01, b"not whole"),
    ]
    .concat();
    let schema = json!({"messages": {"max_json_depth": 1, "types": ["text", "binary"]}});
    let policies = [json!({}), json!({"rates": []}), json!({"messages": {"utf8": false, "tunnels": "pass"}})];
    for policy in &policies {
        for size in [1, 2, 7, 64, sent.len()] {
            let mut trial = Trial::open(policy.clone());
            sent.chunks(size).for_each(|chunk| _ = trial.client(chunk));
            let [client, upstream] = trial.session.take_measures().unwrap().sizes;
            let buckets: Vec<u64> = client.cumulative().take(5).collect();
            assert_eq!(buckets, [2, 2, 3, 4, 4], "{policy} in chunks of {size}");
            assert_eq!(
                (client.len(), client.sum(), upstream.len()),
                (4, 405, 0),
                "{policy} in chunks of {size}"
            );
            assert_eq!(trial.session.take_measures(), None);
        }
    }
    // A message that is withheld until it is judged counts when it goes on, and one that is refused does not.
    let mut trial = Trial::open(schema);
    trial.client(&[from_client(0x01, b"[1"), from_client(0x80, b",2]"), from_client(0x81, b"[[]]")].concat());
    let [client, _] = trial.session.take_measures().unwrap().sizes;
    assert_eq!((client.len(), client.sum()), (1, 5));
}

#[test]
fn a_handshake_that_is_refused_counts_at_the_step_that_refuses_it_and_at_no_other() {
    let at = |trial: &Trial| trial.session.take_measures().unwrap().steps;
    let refused = |step| BTreeMap::from([((step, Stopped::Refused), 1)]);
    for (head, step) in [
        (with(&request(), "origin", b"https://evil.example"), "origins"),
        (without(&request(), "sec-websocket-key"), "shape"),
    ] {
        assert_eq!(at(&Trial::new(json!({}), head)), refused(step));
    }
    let plain = without(&request(), "upgrade");
    assert_eq!(at(&Trial::new(json!({"upgrade_only": true}), plain)), refused("request"));
    let mut trial = Trial::awaiting(json!({}));
    trial.input(Input::Response(vec![(":status".to_owned(), b"101".to_vec())]), START);
    assert_eq!(at(&trial), refused("response"));
}

#[test]
fn every_charge_of_a_rate_counts_as_within_or_over() {
    let rates: Value = json!([
        {"count": "handshakes", "per": "policy", "limit": 9, "window": "1m"},
        {"count": "messages", "per": "connection", "limit": 2, "window": "1m", "on_exceed": "drop"},
    ]);
    let mut trial = Trial::open(json!({"rates": rates}));
    trial.client(&from_client(0x81, b"hello").repeat(5));
    let measures = trial.session.take_measures().unwrap();
    let decided: Vec<_> = measures.limits().filter(|(_, counts)| *counts != [0, 0]).collect();
    assert_eq!(decided, [(Rule::Rates(0), [1, 0]), (Rule::Rates(1), [2, 3])]);
}

#[test]
fn what_a_connection_has_counted_before_it_is_cut_is_not_lost() {
    let mut trial = Trial::open(json!({}));
    trial.client(&from_client(0x81, b"hello"));
    trial.input(Input::HostFailed(HostFault::Chunk), START);
    assert!(trial.session.take_last_tally().is_empty());
    let last = trial.session.take_measures().unwrap().last;
    assert_eq!((last.client.allowed, last.client.bytes), (1, 5));
}

#[test]
fn a_connection_lasts_from_the_agreement_on_whatever_the_clock_does() {
    let mut trial = Trial::awaiting(json!({}));
    assert_eq!(trial.session.open_for(START), None);
    trial.agree_at(START + SECOND);
    assert_eq!(trial.session.open_for(START + 3 * SECOND), Some(2 * SECOND));
    trial.input(Input::SetBack(10 * SECOND), START - 7 * SECOND);
    assert_eq!(trial.session.open_for(START - 6 * SECOND), Some(3 * SECOND));
}
