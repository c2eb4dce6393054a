//! The memory that is held for peers, and connections that have to give it back.

use super::*;

const KIB: u64 = 1024;

fn unfinished(len: usize) -> Vec<u8> {
    let mut bytes = from_client(TEXT, &vec![b'a'; len]);
    bytes.pop();
    bytes
}

#[test]
fn a_text_that_may_be_for_postern_is_held_once_and_what_has_gone_on_not_at_all() {
    for size in [100, 1460, 16 * 1024] {
        let mut line = Line::open(json!({}), json!({}), json!({}));
        let text = from_client(TEXT, &vec![b'a'; 60_000]);
        line.in_pieces(Peer::Client, size, &text[..50_000]);
        let held = line.trial.session.held();
        assert!((48 * KIB..=56 * KIB).contains(&held), "{held} bytes, in pieces of {size}");
        line.in_pieces(Peer::Client, size, &text[50_000..]);
        assert_eq!(line.trial.session.held(), 0, "in pieces of {size}");
        assert!(line.upstream == text);
    }
}

#[test]
fn a_fragmented_text_reads_the_same_wherever_its_bytes_are_cut_and_passes_as_it_came() {
    let message = refresh_message(&token(json!({})));
    let (one, two) = message.split_at(message.len() / 3);
    let ordinary =
        [from_client(0x01, b"{\"auth\""), from_client(PING, b"between"), from_client(0x80, b": 1}")].concat();
    let refresh = [from_client(0x01, one), from_client(0x00, b""), from_client(0x80, two)].concat();
    for size in 1..40 {
        let mut line = Line::open(json!({}), json!({}), json!({}));
        line.in_pieces(Peer::Client, size, &ordinary);
        line.in_pieces(Peer::Client, size, &refresh);
        let (client, upstream) = line.seen();
        let passed =
            vec![(PING, b"between".to_vec()), (0x01, b"{\"auth\"".to_vec()), (0x80, b": 1}".to_vec())];
        let ahead = vec![passed[1].clone(), passed[0].clone(), passed[2].clone()];
        assert!(upstream == passed || upstream == ahead, "pieces of {size}: {upstream:?}");
        assert_eq!(client, [accepted(300)], "pieces of {size}");
        assert_eq!(line.trial.session.held(), 0, "pieces of {size}");
    }
}

#[test]
fn who_has_to_give_back_holds_nothing_any_more_and_both_sides_are_told_at_the_next_tick() {
    let half = from_upstream(TEXT, &[b'a'; 300]);
    let waiting = |auth: Value, changes: Value| Line::waiting(auth, changes);
    let open = |auth: Value, changes: Value| Line::open(json!({}), auth, changes);
    let both = json!({"upstream_messages": {"utf8": true}});
    type Start<'a> = &'a dyn Fn(Value, Value) -> Line;
    let cases: [(&str, Start<'_>, Vec<u8>, Vec<u8>); 5] = [
        ("part of a text that may be a token", &open, unfinished(500), Vec::new()),
        ("part of a text of the service's", &open, Vec::new(), half[..100].to_vec()),
        ("both", &open, unfinished(500), half[..100].to_vec()),
        ("part of a first message", &waiting, unfinished(500), Vec::new()),
        ("a greeting", &waiting, Vec::new(), greeting()),
    ];
    for (what, start, up, down) in cases {
        let mut line = start(json!({}), both.clone());
        line.client(&up);
        line.upstream(&down);
        assert!(line.trial.session.held() > 0, "{what}");
        line.trial.input(Input::MemoryExceeded, START);
        assert_eq!(line.trial.session.held(), 0, "{what}");
        line.collect();
        assert_eq!(line.seen(), (vec![], vec![]), "{what}: it may be its own callback");
        assert_eq!(line.trial.session.deadline(), Some(START), "{what}");
        line.time(START);
        line.assert_ended(Reason::MemoryExceeded, what);
    }
}

#[test]
fn a_payload_whose_beginning_has_gone_passes_to_its_end_before_the_close() {
    let mut line = Line::open(json!({}), json!({}), json!({}));
    let message = from_client(BINARY, &[7; 3000]);
    line.client(&message[..1000]);
    line.trial.input(Input::MemoryExceeded, START);
    line.time(START);
    line.client(&message[1000..]);
    let (client, upstream) = line.seen();
    let end = closing(Reason::MemoryExceeded);
    assert_eq!((client, upstream), (vec![end.clone()], vec![(BINARY, vec![7; 3000]), end]));
}

#[test]
fn one_that_ends_already_gives_back_and_keeps_its_reason() {
    let mut line = Line::waiting(json!({}), json!({}));
    line.upstream(&greeting());
    line.client(&from_client(TEXT, b"no token"));
    line.trial.input(Input::MemoryExceeded, START);
    assert_eq!(line.trial.session.held(), 0);
    line.collect();
    assert_eq!(line.closed.map(|(reason, _)| reason), Some(Reason::TokenMissing));
}
