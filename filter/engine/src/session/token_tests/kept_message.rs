//! First messages that go on, since the service wants them too, and one with something before its JSON.

use super::*;

fn keeps() -> Value {
    json!({"keep_token": true})
}

#[test]
fn a_first_message_that_is_kept_goes_on_as_it_came_once_it_is_accepted_at_every_split() {
    let message = first_message(&token(json!({})));
    let (start, end) = message.split_at(20);
    let whole = from_client(TEXT, &message);
    let fragmented =
        [from_client(0x01, start), from_client(PING, b"between"), from_client(0x80, end)].concat();
    let behind = from_client(TEXT, b"hello");
    for (first, goes_up) in
        [(&whole, frames(&whole)), (&fragmented, vec![(0x01, start.to_vec()), (0x80, end.to_vec())])]
    {
        let said = [&first[..], &behind].concat();
        for size in (1..60).chain([said.len()]) {
            let mut line = Line::waiting(keeps(), json!({}));
            line.upstream(&greeting());
            line.in_pieces(Peer::Client, size, &said);
            let up = [goes_up.clone(), frames(&behind)].concat();
            assert_eq!(line.seen(), (frames(&greeting()), up), "pieces of {size}");
            let tally = line.trial.session.take_tally().client;
            assert_eq!((tally.consumed, tally.allowed), (0, 2));
        }
    }
}

#[test]
fn a_first_message_that_is_kept_and_not_accepted_does_not_go_on() {
    for (what, token, reason) in [
        ("nonsense", "nonsense".to_owned(), Reason::TokenInvalid),
        ("not enough", token(json!({"scope": "read"})), Reason::ClaimsDenied),
    ] {
        let mut line = Line::waiting(keeps(), json!({}));
        line.client(&from_client(TEXT, &first_message(&token)));
        line.assert_ended(reason, what);
    }
}

#[test]
fn a_refresh_is_taken_out_whatever_is_kept() {
    let mut line = Line::open(json!({}), keeps(), json!({}));
    line.client(&from_client(TEXT, &refresh_message(&token(json!({})))));
    assert_eq!(line.assert_nothing_went_up("a refresh"), [accepted(300)]);
}

#[test]
fn a_prefix_stands_before_the_json_and_nothing_without_it_is_a_token() {
    let changes =
        json!({"from": [{"first_message": {"pointer": "/token", "prefix": "40"}}], "keep_token": true});
    let message = first_message(&token(json!({})));
    let said = from_client(TEXT, &[b"40", &message[..]].concat());
    let mut line = Line::waiting(changes.clone(), json!({}));
    line.client(&said);
    assert_eq!(line.seen().1, frames(&said));
    for other in [&message[..], &[b"41", &message[..]].concat(), &[b" 40", &message[..]].concat(), b"40"] {
        let mut line = Line::waiting(changes.clone(), json!({}));
        line.client(&from_client(TEXT, other));
        line.assert_ended(Reason::TokenMissing, "without the prefix");
    }
}

#[test]
fn the_scheme_bearer_is_no_part_of_a_token_in_a_message() {
    for scheme in ["Bearer ", "bearer  "] {
        let mut line = Line::waiting(json!({}), json!({}));
        line.client(&from_client(TEXT, &first_message(&format!("{scheme}{}", token(json!({}))))));
        line.client(&from_client(TEXT, &refresh_message(&format!("{scheme}{}", token(json!({}))))));
        assert_eq!(line.assert_nothing_went_up(scheme), [accepted(300)], "{scheme}");
    }
}
