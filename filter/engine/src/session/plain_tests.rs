//! Chunks that pass without a look at the clock.

mod lockstep;

use crate::connection::Passage;
use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{Tables, from_client, from_upstream};

/// Opens a connection whose streams are both parked, without rates unless `changes` have some.
fn parked(mut changes: Value) -> Trial {
    if changes.get("rates").is_none() {
        changes["rates"] = json!([]);
    }
    // The first message of a direction is never plain where tunnels are looked for.
    if changes["messages"].get("tunnels").is_none() {
        changes["messages"]["tunnels"] = json!("pass");
    }
    let mut trial = Trial::awaiting(changes);
    assert!(trial.parks(Peer::Client, b""));
    trial.agree();
    assert!(trial.parks(Peer::Upstream, b""));
    trial
}

fn passes_plain(session: &mut Session, peer: Peer, chunk: &[u8]) -> bool {
    session.pass_plain(peer, &mut &chunk[..]).unwrap()
}

#[test]
fn whole_messages_pass_plain_and_whatever_is_in_doubt_is_judged() {
    let messages = json!({"messages": {"max_frame_bytes": 3000, "max_message_bytes": 3000, "utf8": true}});
    let two = [from_client(0x82, b"one"), from_client(0x81, "zwö".as_bytes())].concat();
    let longest = [from_client(0x82, &[7; 2080]), from_client(0x82, &[7; 2000])].concat();
    assert_eq!(longest.len(), 4096);
    let cases: &[(&str, Vec<u8>, bool)] = &[
        ("a binary message", from_client(0x82, &[7; 64]), true),
        ("a text", from_client(0x81, b"text"), true),
        ("several messages", two.clone(), true),
        ("the longest", longest, true),
        ("longer", [from_client(0x82, &[7; 2081]), from_client(0x82, &[7; 2000])].concat(), false),
        ("nothing", Vec::new(), false),
        ("the start of a frame", two[..8].to_vec(), false),
        ("a message and the start of one", two[..two.len() - 1].to_vec(), false),
        ("a fragment", from_client(0x02, b"first"), false),
        ("a Ping", from_client(0x89, b""), false),
        ("a Pong", from_client(0x8a, b""), false),
        ("a Close", from_client(0x88, &[3, 232]), false),
        ("a message and a Ping", [two.clone(), from_client(0x89, b"")].concat(), false),
        ("no text", from_client(0x81, b"\xff"), false),
        ("half a character", from_client(0x81, b"\xc3"), false),
        ("a frame too long", from_client(0x82, &[7; 3001]), false),
        ("no mask", from_upstream(0x82, b"bare"), false),
        ("a reserved bit", from_client(0xc2, b"rsv1"), false),
        ("a reserved opcode", from_client(0x83, b"3"), false),
    ];
    for (what, chunk, plain) in cases {
        let mut trial = parked(messages.clone());
        assert_eq!(passes_plain(&mut trial.session, Peer::Client, chunk), *plain, "{what}");
    }
}

#[test]
fn what_passes_plain_is_what_judging_would_have_made_of_it() {
    for (peer, chunk) in [
        (Peer::Client, from_client(0x82, &[7; 64])),
        (Peer::Client, [from_client(0x81, b"a"), from_client(0x82, b"b")].concat()),
        (Peer::Upstream, from_upstream(0x82, &[7; 64])),
        (Peer::Upstream, [from_upstream(0x81, b"a"), from_upstream(0x82, b"b")].concat()),
    ] {
        let (mut plain, mut judged) = (parked(json!({})), parked(json!({})));
        let now = START + Duration::from_secs(7);
        assert!(passes_plain(&mut plain.session, peer, &chunk));
        plain.session.note_time(now);
        let passage = Passage { resume: true, park: true, ..Passage::whole(chunk.len()) };
        let expected = judged.session.judge(peer, &mut &chunk[..], &mut Tables::default(), now).unwrap();
        assert_eq!(expected, passage, "{peer:?}");
        assert!(!judged.session.has_outputs() && !plain.session.has_outputs());
        assert_eq!(plain.session.deadline(), judged.session.deadline(), "{peer:?}");
        assert_eq!(plain.session.take_tally(), judged.session.take_tally(), "{peer:?}");
    }
}

#[test]
fn nothing_passes_plain_that_is_counted_or_followed_or_whose_stream_is_not_parked() {
    let hello = from_client(0x82, b"hello");
    let back = from_upstream(0x82, b"hello");
    let rate = |count| json!({"rates": [{"count": count, "per": "connection", "limit": 10, "window": "1s"}]});
    for changes in [rate("messages"), rate("bytes"), json!({"messages": {"types": ["text"]}})] {
        assert!(!passes_plain(&mut parked(changes.clone()).session, Peer::Client, &hello), "{changes}");
    }
    let backpressure = json!({"backpressure": {"max_backlog_bytes": "1MiB"}});
    assert!(!passes_plain(&mut parked(backpressure).session, Peer::Upstream, &back));

    let mut trial = Trial::open(json!({"rates": []}));
    assert!(!passes_plain(&mut trial.session, Peer::Client, &hello), "its stream goes on");
    assert!(!passes_plain(&mut trial.session, Peer::Upstream, &back), "its stream goes on");

    let mut trial = parked(json!({}));
    trial.upstream(&back[..4]);
    trial.client(&from_client(0xc1, b""));
    assert!(!passes_plain(&mut trial.session, Peer::Client, &hello), "it was refused");
    assert!(!passes_plain(&mut trial.session, Peer::Upstream, &back[4..]), "a Close is to follow");
}

#[test]
fn a_client_whose_messages_pass_plain_is_neither_idle_nor_asked() {
    let liveness = json!({"idle_timeout": "3s", "ping_interval": "2s", "pong_timeout": "1s"});
    let mut trial = parked(json!({ "liveness": liveness }));
    // A client that has not answered yet may not leave more unread than this.
    for second in 1..13 {
        let now = START + Duration::from_secs(second);
        assert!(passes_plain(&mut trial.session, Peer::Client, &from_client(0x82, b"hello")));
        // A Ping could follow this chunk, and the clock has not been looked at for the client.
        let back = from_upstream(0x82, &[0; 5000]);
        assert_eq!(trial.bytes(Peer::Upstream, &back, now), back, "after {second} s");
        trial.session.note_time(now);
        trial.input(Input::Timer, now);
        assert_eq!(trial.outputs, [], "after {second} s");
    }
}

#[test]
fn a_client_that_is_to_be_asked_is_asked_behind_the_next_frame_that_can_carry_the_question() {
    let liveness = json!({"idle_timeout": "4s", "ping_interval": "3s", "pong_timeout": "2s"});
    let mut trial = parked(json!({ "liveness": liveness }));
    let at = |millis| START + Duration::from_millis(millis);
    let long = from_upstream(0x82, &[7; 5000]);
    let (start, rest) = long.split_at(60);
    assert_eq!(trial.bytes(Peer::Upstream, start, at(2900)), start);
    // A Ping is due now, but the frame is not whole.
    trial.input(Input::Timer, at(3000));
    // This chunk ends the frame, and has no room for a Ping: what is paused must not outgrow the host.
    assert_eq!(trial.bytes(Peer::Upstream, rest, at(3100)), rest);
    // This chunk has room for a Ping.
    let mut seen = trial.bytes(Peer::Upstream, &from_upstream(0x82, b"news"), at(3200));
    let mut asked = false;
    for millis in [3250, 3500, 3750, 4000, 4250] {
        let ping = seen.windows(10).position(|bytes| bytes[0] == 0x89 && &bytes[2..] == b"postern:");
        if let Some(start) = ping {
            // A client that only listens answers at once.
            let pong = from_client(0x8a, &seen[start + 2..]);
            assert_eq!(trial.bytes(Peer::Client, &pong, at(millis)), b"");
            (asked, seen) = (true, Vec::new());
        }
        trial.input(Input::Timer, at(millis));
        for output in std::mem::take(&mut trial.outputs) {
            match output {
                Output::Send(Peer::Client, bytes) => seen.extend(bytes),
                other => panic!("after {millis} ms, asked before: {asked}: {other:?}"),
            }
        }
    }
    assert!(asked);
}
