//! Tokens in the first message, and the fate of both directions before it.

use super::*;
use crate::connection::Passage;
use crate::rate::Charged;
use crate::rate::Outcome;
use crate::testing::Tables;

#[test]
fn a_first_message_with_a_good_token_lets_both_sides_speak_at_every_split() {
    let message = first_message(&token(json!({})));
    let (start, end) = message.split_at(20);
    let whole = from_client(TEXT, &message);
    let fragmented = [
        from_client(PING, b"early"),
        from_client(0x01, start),
        from_client(PONG, b"sixteen bytes ok"),
        from_client(PING, b"between"),
        from_client(0x80, end),
    ]
    .concat();
    let behind = [
        from_client(PING, b"late"),
        from_client(TEXT, b"hello"),
        from_client(0x02, b"frag"),
        from_client(0x80, b"ment"),
    ]
    .concat();
    for utf8 in [true, false] {
        for first in [&whole, &fragmented] {
            let said = [&first[..], &behind].concat();
            for size in (1..60).chain([said.len()]) {
                let changes = json!({"messages": {"utf8": utf8}, "upstream_messages": {"utf8": utf8}});
                let mut line = Line::waiting(json!({}), changes);
                line.in_pieces(Peer::Upstream, size, &greeting());
                assert!(line.client.is_empty());
                line.in_pieces(Peer::Client, size, &said);
                line.in_pieces(Peer::Upstream, size, &from_upstream(TEXT, b"more"));
                let (client, upstream) = line.seen();
                assert_eq!(upstream, frames(&behind), "pieces of {size}");
                let all = [greeting(), from_upstream(TEXT, b"more")].concat();
                assert_eq!(client, frames(&all), "pieces of {size}");
                assert_eq!(line.trial.session.take_tally().client.consumed, 1);
            }
        }
    }
}

#[test]
fn a_first_message_may_come_at_every_point_of_what_the_server_says() {
    let first = from_client(TEXT, &first_message(&token(json!({}))));
    let said = greeting();
    for utf8 in [true, false] {
        for cut in 0..=said.len() {
            let mut line = Line::waiting(json!({}), json!({"upstream_messages": {"utf8": utf8}}));
            line.upstream(&said[..cut]);
            line.client(&first);
            line.in_pieces(Peer::Upstream, 50, &said[cut..]);
            assert_eq!(line.assert_nothing_went_up("a first message"), frames(&said), "cut at {cut}");
            // The stream can be parked again, so that an end by time is told.
            line.upstream(&from_upstream(PONG, b""));
            line.client(&from_client(TEXT, &refresh_message("none")));
            let reason = Reason::TokenInvalid;
            assert_eq!(line.closed, Some((reason, true)), "cut at {cut}");
        }
    }
}

#[test]
fn what_a_server_says_with_its_101_waits_like_the_rest() {
    let mut trial = Trial::new(json!({"auth": auth(json!({}))}), request());
    trial.agree();
    assert_eq!(trial.upstream(&greeting()), b"");
    assert_eq!(trial.client(&from_client(TEXT, &first_message(&token(json!({}))))), b"");
    assert_eq!(trial.outputs, [Output::Deliver(greeting()[..].into())]);
}

#[test]
fn a_first_message_may_come_ahead_of_the_101() {
    let first = from_client(TEXT, &first_message(&token(json!({}))));
    let early = [first, from_client(TEXT, b"hello")].concat();
    let mut trial = Trial::new(json!({"auth": auth(json!({}))}), request());
    let passage = trial.session.judge(Peer::Client, &mut &early[..], &mut Tables::default(), START).unwrap();
    assert_eq!(passage, Passage::whole(early.len()));
    trial.agree();
    assert_eq!(trial.client(&early), from_client(TEXT, b"hello"));
    assert!(trial.parks(Peer::Upstream, b""));
    assert_eq!(trial.upstream(&greeting()), greeting());
}

#[test]
fn there_is_one_try() {
    let good = token(json!({}));
    let text = |message: &str| from_client(TEXT, message.as_bytes());
    let of = |token: &str| from_client(TEXT, &first_message(token));
    let expired = token(json!({"exp": START.as_secs() - 30}));
    let cases = [
        ("binary", from_client(BINARY, &first_message(&good)), Reason::TokenMissing),
        ("a fragment of binary", from_client(0x02, b"{"), Reason::TokenMissing),
        ("empty", text(""), Reason::TokenMissing),
        ("no JSON", text(&good), Reason::TokenMissing),
        ("elsewhere", text(&json!({"auth": {"token": good}}).to_string()), Reason::TokenMissing),
        ("no string", text(r#"{"token":7}"#), Reason::TokenMissing),
        ("twice", text(&format!(r#"{{"token":"{good}","token":"{good}"}}"#)), Reason::TokenInvalid),
        ("nonsense", of("nonsense"), Reason::TokenInvalid),
        ("tampered with", of(&format!("{good}x")), Reason::TokenInvalid),
        ("expired", of(&expired), Reason::TokenExpired),
        ("not enough", of(&token(json!({"scope": "read"}))), Reason::ClaimsDenied),
        ("not UTF-8", from_client(TEXT, b"\xff"), Reason::InvalidUtf8),
        ("a stray continuation", from_client(0x80, b""), Reason::ProtocolError),
        ("compressed", from_client(0xc1, b"x"), Reason::ProtocolError),
        ("too big", from_client(BINARY, &[0; 2000]), Reason::MessageTooBig),
        ("too big by what is declared", vec![TEXT, 0xfe, 0x07, 0xd0, 0, 0, 0, 0], Reason::MessageTooBig),
    ];
    for (what, bytes, reason) in cases {
        let behind = of(&good);
        for size in [1, 7, bytes.len() + behind.len()] {
            let mut line = Line::waiting(json!({}), json!({}));
            line.upstream(&from_upstream(TEXT, b"welcome"));
            line.in_pieces(Peer::Client, size, &[&bytes[..], &behind].concat());
            line.upstream(&from_upstream(TEXT, b"more"));
            line.assert_ended(reason, what);
        }
    }
}

#[test]
fn a_first_message_of_a_type_that_is_denied_is_no_token_like_any_other_that_is_no_text() {
    let good = first_message(&token(json!({})));
    let of_text = || Line::waiting(json!({}), json!({"messages": {"types": ["text"]}}));
    for bytes in [from_client(BINARY, &good), from_client(0x02, b"{")] {
        let mut line = of_text();
        line.client(&bytes);
        line.assert_ended(Reason::TokenMissing, "the first");
        let mut line = of_text();
        line.client(&[from_client(TEXT, &good), bytes].concat());
        line.assert_ended(Reason::TypeDenied, "the second");
    }
}

#[test]
fn what_comes_before_counts_in_both_directions_together() {
    let good = from_client(TEXT, &first_message(&token(json!({}))));
    let room = 2000 - good.len();
    // Each frame of a Ping costs its header of two bytes, or six.
    for (pings, greets, fits) in [
        (0, room - 4, true),
        (0, room - 3, false),
        (room / 10, 0, true),
        (room / 10 + 1, 0, false),
        (10, room - 104, true),
        (10, room - 103, false),
    ] {
        for size in [1, 3, 100, 3000] {
            let mut line = Line::waiting(json!({}), json!({"messages": {"max_message_bytes": "64KiB"}}));
            line.in_pieces(Peer::Client, size, &from_client(PING, b"four").repeat(pings));
            let greeting = if greets > 0 { from_upstream(BINARY, &vec![1; greets]) } else { Vec::new() };
            line.in_pieces(Peer::Upstream, size, &greeting);
            line.in_pieces(Peer::Client, size, &good);
            if fits {
                assert_eq!(line.assert_nothing_went_up("fits"), frames(&greeting));
                assert_eq!(line.closed, None);
            } else {
                line.assert_ended(Reason::MessageTooBig, "too much");
            }
        }
    }
    let mut line = Line::waiting(json!({}), json!({}));
    line.upstream(&from_upstream(BINARY, &[0; 1000]));
    line.upstream(&from_upstream(BINARY, &[0; 1000])[..4]);
    line.assert_ended(Reason::MessageTooBig, "the server alone");
}

#[test]
fn who_says_nothing_is_told_when_the_time_is_over() {
    let mut line = Line::waiting(json!({"first_message_timeout": "3s"}), json!({}));
    line.upstream(&greeting()[..30]);
    line.time(START + 3 * SECOND - Duration::from_nanos(1));
    assert_eq!(line.closed, None);
    line.time(START + 3 * SECOND);
    line.assert_ended(Reason::AuthTimeout, "a silent client");

    let mut line = Line::waiting(json!({"first_message_timeout": "3s"}), json!({}));
    line.client(&from_client(TEXT, &first_message(&token(json!({})))));
    line.time(START + 3 * SECOND);
    assert_eq!((line.closed, line.client.len()), (None, 0));
}

#[test]
fn a_close_is_passed_on_and_nothing_that_waited() {
    let bye = [&1000_u16.to_be_bytes()[..], b"bye"].concat();
    for size in [1, 3, 1000] {
        let mut line = Line::waiting(json!({}), json!({}));
        line.upstream(&greeting());
        line.client(&from_client(PING, b"early"));
        line.in_pieces(Peer::Client, size, &from_client(CLOSE, &bye));
        line.client(&from_client(TEXT, &first_message(&token(json!({})))));
        line.in_pieces(Peer::Upstream, size, &[greeting(), from_upstream(CLOSE, &bye)].concat());
        line.upstream(&greeting());
        assert_eq!(line.seen(), (vec![(CLOSE, bye.clone())], vec![(CLOSE, bye.clone())]), "the client's");
        assert_eq!(line.closed, None);

        let mut line = Line::waiting(json!({}), json!({}));
        line.in_pieces(Peer::Upstream, size, &[greeting(), from_upstream(CLOSE, &bye)].concat());
        line.client(&from_client(TEXT, &first_message(&token(json!({})))));
        line.in_pieces(Peer::Client, size, &from_client(CLOSE, &bye));
        assert_eq!(line.seen(), (vec![(CLOSE, bye.clone())], vec![(CLOSE, bye.clone())]), "the server's");
    }
}

#[test]
fn what_a_client_was_saying_when_the_server_closed_goes_no_further() {
    let bye = 1000_u16.to_be_bytes();
    let close = from_upstream(CLOSE, &bye);
    for said in
        [b"{\"order\":1}".to_vec(), first_message(&token(json!({}))), refresh_message(&token(json!({})))]
    {
        for fragments in [
            from_client(TEXT, &said),
            [from_client(0x01, &said[..5]), from_client(0x80, &said[5..])].concat(),
        ] {
            for cut in 0..fragments.len() {
                // The cut may lie within the server's Close as well.
                for closes in [2, close.len()] {
                    let mut line = Line::waiting(json!({}), json!({}));
                    line.client(&fragments[..cut]);
                    line.upstream(&close[..closes]);
                    line.client(&fragments[cut..]);
                    line.upstream(&close[closes..]);
                    line.client(&from_client(CLOSE, &bye));
                    let ended = vec![(CLOSE, bye.to_vec())];
                    assert_eq!(line.seen(), (ended.clone(), ended), "cut at {cut}, {closes}");
                    assert_eq!(line.closed, None);
                }
            }
        }
    }
}

#[test]
fn own_pings_go_on_and_their_answers_go_no_further() {
    let auth = json!({"first_message_timeout": "60s"});
    let mut line = Line::waiting(auth, json!({"liveness": {"ping_interval": "5s"}}));
    line.time(START + 5 * SECOND);
    let ping = std::mem::take(&mut line.client);
    assert_eq!(ping[0], PING);
    line.at(START + 5 * SECOND, Peer::Client, &from_client(PONG, &ping[2..]));
    line.time(START + 10 * SECOND);
    assert_eq!(std::mem::take(&mut line.client)[0], PING, "asked again, since it has answered");
    assert_eq!(line.assert_nothing_went_up("an answer"), []);
}

#[test]
fn a_token_in_the_handshake_is_all_there_is() {
    let mut line = Line::open(json!({}), json!({}), json!({}));
    line.upstream(&greeting());
    line.client(&from_client(TEXT, &first_message("ordinary")));
    let ordinary = (TEXT, first_message("ordinary"));
    assert_eq!(line.seen(), (frames(&greeting()), vec![ordinary]));
    let bad = with(&request(), "authorization", b"Bearer nonsense");
    let trial = Trial::new(json!({"auth": auth(json!({}))}), bad);
    let refused = trial
        .outputs
        .iter()
        .any(|output| matches!(output, Output::Reply(_, reply) if reply.reason == Reason::TokenInvalid));
    assert!(refused, "no second chance: {:?}", trial.outputs);
}

#[test]
fn the_user_of_a_first_message_is_charged_once_it_is_known() {
    let rates = json!([
        {"count": "handshakes", "per": "user", "limit": 3, "window": "1h"},
        {"count": "messages", "per": "user", "limit": 3, "window": "1h"},
    ]);
    let first = from_client(TEXT, &first_message(&token(json!({}))));
    let behind = from_client(TEXT, b"hello");
    for size in [1, 10, first.len() + behind.len()] {
        let mut line = Line::waiting(json!({}), json!({"rates": rates}));
        line.trial.tables = Tables::all(Outcome::Charged(Charged::Wait(SECOND)));
        line.in_pieces(Peer::Client, size, &[&first[..], &behind].concat());
        line.assert_ended(Reason::HandshakeRate, "no handshake left");
    }
    let denied = from_client(TEXT, &first_message(&token(json!({"scope": "read"}))));
    let mut line = Line::waiting(json!({}), json!({"rates": rates}));
    line.trial.tables = Tables::all(Outcome::Full);
    line.client(&denied);
    line.assert_ended(Reason::ClaimsDenied, "the first refusal wins");

    // The first message itself is nobody's; those behind it are the user's.
    let messages = json!([{"count": "messages", "per": "user", "limit": 3, "window": "1h"}]);
    let mut line = Line::waiting(json!({}), json!({"rates": messages}));
    line.trial.tables = Tables::all(Outcome::Full);
    line.client(&first);
    assert_eq!(line.closed, None);
    line.client(&behind);
    line.assert_ended(Reason::MessageRate, "the second message");
}

#[test]
fn no_debug_text_shows_a_token() {
    let good = token(json!({}));
    let mut line = Line::waiting(json!({}), json!({}));
    let first = from_client(TEXT, &first_message(&good));
    for piece in first.chunks(10) {
        line.client(piece);
        let shown = format!("{:?}", line.trial.session);
        assert!(!shown.contains("eyJ") && !shown.contains("alice"), "{shown}");
    }
}
