//! A service that speaks before its client is authenticated, where the policy lets it.

use super::*;

fn greets() -> Value {
    json!({"from": [{"first_message": {"pointer": "/token", "greeting": true}}]})
}

fn first() -> Vec<u8> {
    from_client(TEXT, &first_message(&token(json!({}))))
}

#[test]
fn what_a_service_says_reaches_a_client_that_is_not_authenticated_at_every_split_and_nothing_goes_up() {
    for utf8 in [true, false] {
        for size in (1..40).chain([greeting().len()]) {
            let mut line = Line::waiting(greets(), json!({"upstream_messages": {"utf8": utf8}}));
            line.client(&from_client(PING, b"early"));
            line.in_pieces(Peer::Upstream, size, &greeting());
            line.client(&from_client(PONG, b"server"));
            let client = line.assert_nothing_went_up("a greeting");
            assert_eq!(client, frames(&greeting()), "pieces of {size}");
            line.in_pieces(Peer::Client, size, &[first(), from_client(TEXT, b"hello")].concat());
            line.upstream(&from_upstream(TEXT, b"more"));
            let all = [greeting(), from_upstream(TEXT, b"more")].concat();
            let seen = (frames(&all), frames(&from_client(TEXT, b"hello")));
            assert_eq!(line.seen(), seen, "pieces of {size}");
        }
    }
}

#[test]
fn a_client_may_be_authenticated_at_every_point_of_a_greeting() {
    for cut in 0..=greeting().len() {
        let mut line = Line::waiting(greets(), json!({}));
        line.upstream(&greeting()[..cut]);
        line.client(&first());
        line.in_pieces(Peer::Upstream, 50, &greeting()[cut..]);
        assert_eq!(line.assert_nothing_went_up("a first message"), frames(&greeting()), "cut at {cut}");
    }
}

#[test]
fn a_greeting_counts_and_one_that_is_too_long_ends_both_sides() {
    let mut line = Line::waiting(greets(), json!({}));
    line.upstream(&from_upstream(BINARY, &[7; 1500]));
    line.upstream(&from_upstream(BINARY, &[7; 600]));
    line.client(&from_client(CLOSE, b""));
    let reason = Reason::MessageTooBig;
    assert_eq!(line.closed.map(|(reason, _)| reason), Some(reason));
    let (client, upstream) = line.seen();
    assert_eq!(client, [(BINARY, vec![7; 1500]), closing(reason)], "what came before the limit has gone");
    assert_eq!(upstream, [closing(reason)]);
}

#[test]
fn a_refusal_waits_for_the_end_of_the_frame_that_greets_and_lets_no_other_go() {
    let frame = from_upstream(BINARY, &[7; 300]);
    for cut in 1..frame.len() {
        let mut line = Line::waiting(greets(), json!({}));
        line.upstream(&frame[..cut]);
        line.client(&from_client(TEXT, &first_message("nonsense")));
        line.upstream(&[&frame[cut..], &from_upstream(TEXT, b"more")].concat());
        line.client(&from_client(CLOSE, b""));
        let reason = Reason::TokenInvalid;
        assert_eq!(line.closed.map(|(reason, _)| reason), Some(reason), "cut at {cut}");
        let (client, upstream) = line.seen();
        let begun = (BINARY, vec![7; 300]);
        // A header that is not whole has not gone, nor have the first bytes of what may be an opening.
        assert!(
            client == [begun, closing(reason)] || (cut <= 8 && client == [closing(reason)]),
            "cut at {cut}: {client:?}"
        );
        assert_eq!(upstream, [closing(reason)], "cut at {cut}");
    }
}

#[test]
fn a_service_that_closes_before_its_client_is_authenticated_is_heard_out() {
    let mut line = Line::waiting(greets(), json!({}));
    let close = from_upstream(CLOSE, &[&1001_u16.to_be_bytes()[..], b"away"].concat());
    line.upstream(&[from_upstream(TEXT, b"welcome"), close.clone()].concat());
    line.client(&first());
    let said = [from_upstream(TEXT, b"welcome"), close].concat();
    assert_eq!(line.assert_nothing_went_up("a first message behind a Close"), frames(&said));
}

#[test]
fn a_client_that_leaves_before_it_is_authenticated_is_sent_nothing_more_but_the_answer() {
    let mut line = Line::waiting(greets(), json!({}));
    line.upstream(&from_upstream(TEXT, b"welcome"));
    line.client(&from_client(CLOSE, b""));
    line.upstream(&[from_upstream(TEXT, b"secret"), from_upstream(CLOSE, b"")].concat());
    assert_eq!(line.seen(), (vec![(TEXT, b"welcome".to_vec()), (CLOSE, vec![])], vec![(CLOSE, vec![])]));
}
