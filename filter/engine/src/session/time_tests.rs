//! Events that time brings about, and frames that Postern sends by itself.

use crate::decision::Rule;
use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{from_client, from_upstream};

const SECOND: Duration = Duration::from_secs(1);

/// Opens a connection whose streams are both parked.
pub(super) fn parked(changes: Value) -> Trial {
    let mut trial = Trial::awaiting(changes);
    assert!(trial.parks(Peer::Client, b""));
    trial.agree();
    assert!(trial.parks(Peer::Upstream, b""));
    trial
}

fn liveness(changes: Value) -> Value {
    let mut liveness = json!({"idle_timeout": "30s", "ping_interval": "10s", "pong_timeout": "5s"});
    for (key, value) in changes.as_object().unwrap() {
        liveness[key] = value.clone();
    }
    json!({ "liveness": liveness })
}

/// Returns the frames that were sent into parked streams at `now`, and the reason if that was the end.
pub(super) fn at(trial: &mut Trial, now: Duration) -> (Vec<(Peer, Vec<u8>)>, Option<Reason>) {
    trial.session.note_time(now);
    trial.input(Input::Timer, now);
    let (mut sent, mut reason) = (Vec::new(), None);
    for output in trial.outputs.drain(..) {
        match output {
            Output::Send(receiver, frame) => sent.push((receiver, frame)),
            Output::Tell(Event::Closed { violation, .. }) => reason = Some(violation.reason),
            Output::Reset => sent.push((Peer::Client, b"reset".to_vec())),
            other => panic!("{other:?}"),
        }
    }
    (sent, reason)
}

/// Returns the Pong that answers the one Ping that was sent to the client at `now`.
fn asked(trial: &mut Trial, now: Duration) -> Vec<u8> {
    let (sent, reason) = at(trial, now);
    assert_eq!((sent.len(), reason), (1, None), "{sent:?}");
    assert_eq!((sent[0].0, sent[0].1[0]), (Peer::Client, 0x89));
    from_client(0x8a, &sent[0].1[2..])
}

#[test]
fn a_silent_client_is_asked_and_its_answer_goes_no_further() {
    let mut trial = parked(liveness(json!({})));
    let mut now = START;
    for _ in 0..20 {
        now += 10 * SECOND;
        assert_eq!(at(&mut trial, now - Duration::from_nanos(1)), (vec![], None));
        let pong = asked(&mut trial, now);
        assert_eq!(trial.bytes(Peer::Client, &pong, now), b"");
    }
}

#[test]
fn a_client_that_says_anything_is_not_asked_before_it_falls_silent() {
    let mut trial = parked(liveness(json!({})));
    let hello = from_client(0x82, b"hello");
    for second in 1..60 {
        let now = START + second * 5 * SECOND;
        assert_eq!(trial.bytes(Peer::Client, &hello, now), hello);
        assert_eq!(at(&mut trial, now), (vec![], None));
    }
    asked(&mut trial, START + 59 * 5 * SECOND + 10 * SECOND);
}

#[test]
fn a_client_that_does_not_answer_is_told_and_soon_cut() {
    let mut trial = parked(liveness(json!({})));
    asked(&mut trial, START + 10 * SECOND);
    assert_eq!(at(&mut trial, START + 15 * SECOND - Duration::from_nanos(1)), (vec![], None));
    let (sent, reason) = at(&mut trial, START + 15 * SECOND);
    assert_eq!(reason, Some(Reason::PongTimeout));
    assert_eq!(
        sent.iter().map(|(receiver, frame)| (*receiver, frame[0])).collect::<Vec<_>>(),
        [(Peer::Client, 0x88), (Peer::Upstream, 0x88)]
    );
    let cut = (vec![(Peer::Client, b"reset".to_vec())], None);
    assert_eq!(at(&mut trial, START + 15 * SECOND + SECOND / 2), cut);
}

#[test]
fn an_answer_is_waited_for_while_a_frame_of_the_clients_is_in_its_way() {
    let mut trial = parked(liveness(json!({})));
    let long = from_client(0x82, &[7; 1000]);
    let now = START + 10 * SECOND;
    let pong = asked(&mut trial, now);
    // At one byte a second the frame ends long after the answer was due.
    trial.bytes(Peer::Client, &long[..980], now);
    for (second, byte) in (1..).zip(&long[980..]) {
        let now = now + second * SECOND;
        trial.bytes(Peer::Client, &[*byte], now);
        assert_eq!(at(&mut trial, now), (vec![], None), "second {second}");
    }
    assert_eq!(trial.bytes(Peer::Client, &pong, now + 29 * SECOND), b"");
    asked(&mut trial, now + 39 * SECOND);
}

#[test]
fn the_first_of_several_ends_is_the_reason() {
    for (changes, end, reason) in [
        (liveness(json!({"ping_interval": "none"})), 30, Reason::IdleTimeout),
        (liveness(json!({"ping_interval": "none", "idle_timeout": "3s"})), 3, Reason::IdleTimeout),
    ] {
        let mut trial = parked(changes);
        let end = START + end * SECOND;
        assert_eq!(at(&mut trial, end - Duration::from_nanos(1)), (vec![], None));
        let (sent, why) = at(&mut trial, end);
        assert_eq!((sent.len(), why), (2, Some(reason)));
    }
}

#[test]
fn a_policy_that_goes_away_ends_its_connections_when_their_turn_comes() {
    let mut trial = parked(json!({}));
    trial.input(Input::Drain(START + 7 * SECOND), START);
    trial.input(Input::Drain(START + 9 * SECOND), START);
    assert_eq!(at(&mut trial, START + 7 * SECOND - Duration::from_nanos(1)), (vec![], None));
    let (sent, reason) = at(&mut trial, START + 7 * SECOND);
    assert_eq!((sent.len(), reason), (2, Some(Reason::Drain)));
    assert_eq!(sent[0].1[2..4], 1001_u16.to_be_bytes());
}

#[test]
fn a_connection_stays_with_an_envoy_that_lives_again_but_not_under_a_policy_that_goes() {
    let mut trial = parked(json!({}));
    trial.input(Input::DrainWithEnvoy(START + 7 * SECOND), START);
    trial.input(Input::StayWithEnvoy, START + SECOND);
    assert_eq!(at(&mut trial, START + 8 * SECOND), (vec![], None));
    trial.input(Input::Drain(START + 9 * SECOND), START + 8 * SECOND);
    trial.input(Input::StayWithEnvoy, START + 8 * SECOND);
    assert_eq!(at(&mut trial, START + 9 * SECOND).1, Some(Reason::Drain));
}

#[test]
fn of_a_policy_and_an_envoy_that_go_away_the_sooner_ends_a_connection_by_its_own_rule() {
    for (policy, envoy, end, rule) in [(7, 9, 7, Rule::Drain), (9, 7, 7, Rule::DrainWithEnvoy)] {
        let mut trial = parked(json!({}));
        trial.input(Input::Drain(START + policy * SECOND), START);
        trial.input(Input::DrainWithEnvoy(START + envoy * SECOND), START);
        trial.input(Input::DrainWithEnvoy(START + 20 * SECOND), START);
        assert_eq!(at(&mut trial, START + end * SECOND - Duration::from_nanos(1)), (vec![], None));
        trial.input(Input::Timer, START + end * SECOND);
        let told = trial.outputs.drain(..).find_map(|output| match output {
            Output::Tell(Event::Closed { violation, .. }) => Some((violation.rule, violation.reason)),
            _ => None,
        });
        assert_eq!(told, Some((rule, Reason::Drain)));
    }
}

#[test]
fn what_fills_a_parked_stream_is_followed_by_the_close_once_it_has_gone() {
    let mut trial = parked(json!({}));
    let fills = from_client(0x82, &[7; 10_000]);
    let up = trial.client(&[&fills[..], b"\xff\xff"].concat());
    assert!(up == fills, "the Close does not fit behind it");
    trial.outputs.clear();
    let (sent, _) = at(&mut trial, START);
    assert_eq!(
        sent.iter().map(|(receiver, frame)| (*receiver, frame[0])).collect::<Vec<_>>(),
        [(Peer::Upstream, 0x88)]
    );
}

#[test]
fn a_client_is_asked_though_the_upstream_spoke_with_its_very_101() {
    let mut trial = Trial::awaiting(liveness(json!({})));
    assert!(trial.parks(Peer::Client, b""));
    trial.agree();
    let greeting = from_upstream(0x81, b"hello");
    assert_eq!(trial.upstream(&greeting), greeting);
    // The upstream is asked once it is quiet, and its answer parks the stream to the client.
    let (sent, reason) = at(&mut trial, START + SECOND);
    assert_eq!((sent.len(), sent[0].0, reason), (1, Peer::Upstream, None));
    let ping = &sent[0].1;
    let payload: Vec<u8> = ping[6..].iter().zip(ping[2..6].iter().cycle()).map(|(a, b)| a ^ b).collect();
    assert!(trial.parks(Peer::Upstream, &from_upstream(0x8a, &payload)));
    let pong = asked(&mut trial, START + 10 * SECOND);
    assert_eq!(trial.bytes(Peer::Client, &pong, START + 10 * SECOND), b"");
}

#[test]
fn a_client_that_reads_all_of_it_is_never_taken_for_a_slow_one_whatever_comes_in_a_chunk() {
    const LIMIT: usize = 200_000;
    for size in [100, 4_060, 4_096, 16_000, 64_000] {
        for most in [usize::MAX, 5_000] {
            for pause in [Duration::ZERO, SECOND / 4] {
                let mut trial = parked(json!({"rates": [], "backpressure": {"max_backlog_bytes": LIMIT}}));
                let message = from_upstream(0x82, &vec![7; size]);
                let mut now = START;
                for _ in 0..3 * LIMIT / size {
                    for piece in message.chunks(most.min(message.len())) {
                        let down = trial.bytes(Peer::Upstream, piece, now);
                        let (sent, reason) = at(&mut trial, now);
                        assert_eq!(reason, None, "{size} in pieces of {most}, every {pause:?}");
                        let behind = (Peer::Client, down[piece.len()..].to_vec());
                        answer(&mut trial, &[vec![behind], sent].concat(), now);
                    }
                    now += pause;
                    let (sent, _) = at(&mut trial, now);
                    answer(&mut trial, &sent, now);
                }
            }
        }
    }
}

/// Answers all Pings among these that go to the client; the upstream answers none.
pub(super) fn answer(trial: &mut Trial, sent: &[(Peer, Vec<u8>)], now: Duration) {
    for (_, ping) in sent.iter().filter(|(to, frame)| *to == Peer::Client && !frame.is_empty()) {
        assert_eq!(ping[..2], [0x89, 16]);
        assert_eq!(trial.bytes(Peer::Client, &from_client(0x8a, &ping[2..]), now), b"");
    }
}

#[test]
fn what_a_client_leaves_unread_ends_the_connection_or_is_dropped() {
    for (on_exceed, reason) in [("close", Some(Reason::BacklogExceeded)), ("drop", None)] {
        let mut trial = parked(json!({"backpressure": {"max_backlog_bytes": 300, "on_exceed": on_exceed}}));
        let message = from_upstream(0x82, &[7; 98]);
        let mut pings = Vec::new();
        for _ in 0..3 {
            let down = trial.upstream(&message);
            assert_eq!(down[..100], message);
            pings.push(down[100..].to_vec());
        }
        let down = trial.upstream(&message);
        let (got, left): (Vec<_>, _) = (trial.outputs.drain(..).collect(), down);
        match reason {
            Some(reason) => {
                assert!(
                    matches!(&got[0], Output::Tell(Event::Closed { violation, .. }) if violation.reason == reason)
                );
                assert_eq!(left[..4], [0x88, 2 + 16, 0x03, 0xf5]);
                continue;
            }
            None => assert_eq!(left, b""),
        }
        let tally = trial.session.take_tally();
        assert_eq!((tally.backlog, tally.upstream.dropped), (Some(300), 1));
        // A client that has read has room again.
        let ping = pings.iter().find(|ping| !ping.is_empty()).expect("it is asked");
        assert_eq!(trial.client(&from_client(0x8a, &ping[2..])), b"");
        assert_eq!(trial.upstream(&message)[..100], message);
    }
}

#[test]
fn a_client_that_answers_nobody_is_gone_in_time_however_often_the_application_asks_it_too() {
    for every in [SECOND / 2, SECOND, 3 * SECOND, 9 * SECOND] {
        let mut trial = parked(liveness(json!({"idle_timeout": "10m"})));
        let (mut now, mut next) = (START, START + every);
        let reason = loop {
            now += SECOND / 4;
            if now >= next {
                trial.bytes(Peer::Upstream, &from_upstream(0x89, b"application"), now);
                trial.outputs.clear();
                next += every;
            }
            let (_, reason) = at(&mut trial, now);
            if reason.is_some() || now > START + 60 * SECOND {
                break reason;
            }
        };
        assert_eq!(reason, Some(Reason::PongTimeout), "asked every {every:?}");
        assert!(now <= START + 16 * SECOND, "asked every {every:?}: {:?}", now - START);
    }
}

#[test]
fn a_client_is_asked_before_it_is_called_idle_though_the_clock_was_set_back() {
    for back in [SECOND, 12 * SECOND, 3600 * SECOND] {
        let mut changes = liveness(json!({}));
        changes["rates"] = json!([]);
        let mut trial = parked(changes);
        let hello = from_client(0x82, b"hello");
        trial.bytes(Peer::Client, &hello, START + SECOND);
        let mut now = START + SECOND - back;
        trial.bytes(Peer::Client, &hello, now);
        let (mut sent, mut reason) = (Vec::new(), None);
        while sent.is_empty() && reason.is_none() {
            now += SECOND / 4;
            (sent, reason) = at(&mut trial, now);
        }
        assert_eq!((sent.len(), sent[0].1[0], reason), (1, 0x89, None), "{back:?}");
        assert!(now <= START + 12 * SECOND - back, "{back:?}");
    }
}

#[test]
fn a_client_whose_pongs_are_empty_is_asked_for_ever() {
    let mut trial = parked(liveness(json!({})));
    let mut now = START;
    for round in 0..20 {
        let (mut sent, mut reason) = (Vec::new(), None);
        while sent.is_empty() {
            now += SECOND / 4;
            let since;
            (sent, since) = at(&mut trial, now);
            reason = reason.or(since);
        }
        assert_eq!((sent[0].1[0], reason), (0x89, None), "round {round}");
        trial.bytes(Peer::Client, &from_client(0x8a, b""), now);
    }
}

#[test]
fn what_a_client_has_had_the_time_to_read_gives_it_no_longer_to_answer() {
    // Fifty messages may lie unread for as long as buffers are large, at 64 KiB a second.
    for (messages, patience) in [(1, 16), (50, 16 + 256)] {
        let mut changes = liveness(json!({"idle_timeout": "1h"}));
        changes["rates"] = json!([]);
        let mut trial = parked(changes);
        let (news, hello) = (from_upstream(0x82, &[7; 4_000]), from_client(0x82, b"hello"));
        let mut now = START;
        for second in 0..3600 {
            now += SECOND;
            for _ in 0..messages {
                trial.bytes(Peer::Upstream, &news, now);
            }
            if second % 5 == 0 {
                trial.bytes(Peer::Client, &hello, now);
            }
            trial.outputs.clear();
            assert_eq!(at(&mut trial, now).1, None);
        }
        let gone = now;
        let mut reason = None;
        while reason.is_none() {
            now += SECOND / 4;
            reason = at(&mut trial, now).1;
        }
        assert_eq!(reason, Some(Reason::PongTimeout));
        assert!(now <= gone + patience * SECOND, "{messages}: {:?}", now - gone);
    }
}

#[test]
fn a_ping_that_the_host_did_not_take_is_not_waited_for() {
    let mut trial = parked(liveness(json!({})));
    asked(&mut trial, START + 10 * SECOND);
    trial.input(Input::NotParked, START + 10 * SECOND);
    let mut now = START + 10 * SECOND;
    let mut reason = None;
    while reason.is_none() {
        now += SECOND / 4;
        reason = at(&mut trial, now).1;
    }
    assert_eq!((reason, now), (Some(Reason::IdleTimeout), START + 30 * SECOND));
}

#[test]
fn a_client_that_nobody_has_asked_is_asked_before_it_is_called_idle() {
    for answers in [true, false] {
        let mut trial = parked(liveness(json!({})));
        // The host stood still, or its clock was set forward.
        let now = START + 3600 * SECOND;
        let pong = asked(&mut trial, now);
        if answers {
            assert_eq!(trial.bytes(Peer::Client, &pong, now + SECOND), b"");
            asked(&mut trial, now + 11 * SECOND);
        } else {
            assert_eq!(at(&mut trial, now + 5 * SECOND).1, Some(Reason::PongTimeout));
        }
    }
}

#[test]
fn a_client_that_cannot_be_asked_is_called_idle_in_its_time() {
    let mut trial = Trial::open(liveness(json!({})));
    let mut now = START;
    let mut reason = None;
    while reason.is_none() {
        now += SECOND / 4;
        reason = at(&mut trial, now).1;
    }
    assert_eq!((reason, now), (Some(Reason::IdleTimeout), START + 30 * SECOND));
    // A client whom its policy would have asked too late counts as idle as well.
    let mut trial = parked(liveness(json!({"ping_interval": "40s"})));
    assert_eq!(at(&mut trial, START + 3600 * SECOND).1, Some(Reason::IdleTimeout));
}

#[test]
fn a_clock_that_is_set_back_uses_up_nobodys_messages() {
    let mut trial = parked(json!({}));
    let hello = from_client(0x82, b"hello");
    assert_eq!(trial.bytes(Peer::Client, &hello, START), hello);
    let now = START - 3600 * SECOND;
    assert_eq!(trial.bytes(Peer::Client, &hello, now), hello, "before that is noticed");
    trial.input(Input::SetBack(3600 * SECOND), now);
    assert_eq!(trial.bytes(Peer::Client, &hello, now), hello);
}
