//! Hosts that do not do what they must. A failure is told once, and only if nothing had ended the stream
//! before.

use crate::decision::cause::HostFault;
use serde_json::json;

use super::tests::{START, Trial};
use super::*;
use crate::testing::{agreement, from_client, request};

/// Returns what is told, and the number of times that the stream is cut.
fn told(trial: &Trial) -> (Vec<(bool, &'static str)>, usize) {
    let told = trial.outputs.iter().filter_map(|output| match output {
        Output::Tell(Event::Closed { violation, .. }) => Some((true, violation.reason.id())),
        Output::Tell(Event::Refused { violation, .. }) => Some((false, violation.reason.id())),
        _ => None,
    });
    let cuts = trial.outputs.iter().filter(|output| matches!(output, Output::Reset)).count();
    (told.collect(), cuts)
}

fn fail(trial: &mut Trial) {
    trial.input(Input::HostFailed(HostFault::Chunk), START);
}

#[test]
fn a_host_that_fails_is_told_of_once_however_often_it_does() {
    let mut open = Trial::open(json!({}));
    fail(&mut open);
    fail(&mut open);
    assert_eq!(told(&open), (vec![(true, "internal")], 2));
    let mut awaiting = Trial::awaiting(json!({}));
    fail(&mut awaiting);
    fail(&mut awaiting);
    assert_eq!(told(&awaiting), (vec![(false, "internal")], 2));
}

#[test]
fn behind_an_end_that_was_told_a_host_that_fails_is_cut_and_told_of_no_more() {
    let mut closed = Trial::open(json!({}));
    closed.client(&from_client(0x83, b"x"));
    fail(&mut closed);
    assert_eq!(told(&closed), (vec![(true, "protocol_error")], 1));
    let mut refused = Trial::awaiting(json!({}));
    refused.input(Input::Trailers(Peer::Client), START);
    fail(&mut refused);
    assert_eq!(told(&refused), (vec![(false, "malformed_handshake")], 1));
}

#[test]
fn a_response_where_none_can_be_is_told_of_once() {
    let mut open = Trial::open(json!({}));
    open.input(Input::Response(agreement()), START);
    open.input(Input::Response(agreement()), START);
    assert_eq!(told(&open), (vec![(true, "internal")], 2));
    let mut closed = Trial::open(json!({}));
    closed.client(&from_client(0x83, b"x"));
    closed.input(Input::Response(agreement()), START);
    assert_eq!(told(&closed), (vec![(true, "protocol_error")], 1));
    let mut declined = Trial::new(json!({}), request());
    let no = vec![(":status".to_owned(), b"403".to_vec())];
    declined.input(Input::Response(no.clone()), START);
    declined.input(Input::Response(no), START);
    assert_eq!(told(&declined), (vec![(false, "internal")], 1));
}
