//! Tokens that renew a connection, and notices that Postern gives about them.

use crate::http::headers::HeaderEdit;
use flate2::{Compress, Compression, FlushCompress};

use super::*;

#[test]
fn a_refresh_goes_no_further_and_is_answered_at_every_split() {
    let message = refresh_message(&token(json!({"exp": START.as_secs() + 500})));
    let (start, end) = message.split_at(50);
    let ordinary = [
        from_client(TEXT, br#"{"auth":{"token":7}}"#),
        from_client(0x01, b"in "),
        from_client(PING, b"between"),
        from_client(0x80, b"pieces"),
        from_client(BINARY, &message),
        from_client(TEXT, b"{\"auth\":{\"token\":\"x\"}"),
    ];
    let said = [
        &ordinary.concat()[..],
        &from_client(TEXT, &message),
        &from_client(TEXT, b""),
        &from_client(0x01, start),
        &from_client(PING, b"within"),
        &from_client(0x80, end),
        &from_client(TEXT, b"last"),
    ]
    .concat();
    let mut up = frames(&ordinary.concat());
    up.extend([(TEXT, vec![]), (PING, b"within".to_vec()), (TEXT, b"last".to_vec())]);
    // A control frame goes ahead of a message that is captured.
    up.swap(1, 2);
    for utf8 in [true, false] {
        for size in (1..60).chain([said.len()]) {
            let mut line = Line::open(json!({}), json!({}), json!({"messages": {"utf8": utf8}}));
            line.in_pieces(Peer::Client, size, &said);
            line.upstream(&from_upstream(TEXT, b"pong"));
            let (client, upstream) = line.seen();
            assert_eq!(upstream, up, "pieces of {size}");
            let (last, answers) = client.split_last().unwrap();
            assert_eq!(*last, (TEXT, b"pong".to_vec()), "pieces of {size}");
            assert!((1..=2).contains(&answers.len()), "{answers:?}");
            assert!(answers.iter().all(|answer| *answer == accepted(500)), "{answers:?}");
            assert_eq!(line.trial.session.take_tally().client.consumed, 2);
        }
    }
}

#[test]
fn a_bad_refresh_ends_the_connection() {
    let good = token(json!({}));
    let cases = [
        (refresh_message("nonsense"), Reason::TokenInvalid),
        (refresh_message(""), Reason::TokenInvalid),
        (refresh_message(&token(json!({"exp": START.as_secs() - 30}))), Reason::TokenExpired),
        (refresh_message(&token(json!({"scope": "read"}))), Reason::ClaimsDenied),
        (refresh_message(&token(json!({"sub": "bob"}))), Reason::SubjectChanged),
        (refresh_message(&token(json!({"sub": null}))), Reason::TokenInvalid),
        (refresh_message(&token(json!({"iss": "other"}))), Reason::TokenInvalid),
        (format!(r#"{{"auth":{{"token":"{good}"}},"auth":1}}"#).into_bytes(), Reason::TokenInvalid),
        (format!(r#"{{"\u0061uth":{{"token":"{good}x"}}}}"#).into_bytes(), Reason::TokenInvalid),
    ];
    for (message, reason) in cases {
        let what = String::from_utf8_lossy(&message).into_owned();
        let said = [from_client(TEXT, &message), from_client(TEXT, b"late")].concat();
        for size in [1, 7, said.len()] {
            let mut line = Line::open(json!({}), json!({}), json!({}));
            line.in_pieces(Peer::Client, size, &said);
            line.assert_ended(reason, &what);
        }
    }
    let mut nobody = claims(json!({}));
    nobody.as_object_mut().unwrap().remove("sub");
    let nobody = String::from_utf8(crate::testing::token(SECRET, &nobody)).unwrap();
    let head = with(&request(), "authorization", format!("Bearer {nobody}").as_bytes());
    let mut line = Line::new(json!({}), json!({}), head, &[]);
    line.client(&from_client(TEXT, &refresh_message(&nobody)));
    line.assert_ended(Reason::SubjectChanged, "of two without a subject nobody knows");
}

#[test]
fn a_refresh_moves_the_end_in_both_directions() {
    let end = |seconds: u64| START + Duration::from_secs(seconds) + 30 * SECOND;
    for seconds in [100, 300, 500] {
        let quiet = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "none"}});
        let mut line = Line::open(json!({}), json!({"refresh_reply": false}), quiet);
        let renewed = token(json!({"exp": START.as_secs() + seconds}));
        line.client(&from_client(TEXT, &refresh_message(&renewed)));
        assert_eq!(line.assert_nothing_went_up("a refresh"), [], "no reply is wanted");
        line.time(end(seconds) - Duration::from_nanos(1));
        assert_eq!(line.closed, None);
        line.time(end(seconds));
        line.assert_ended(Reason::TokenExpired, "the end of the new token");
    }
}

#[test]
fn the_answer_stands_between_two_messages_at_every_split_of_what_the_server_says() {
    let refresh = from_client(TEXT, &refresh_message(&token(json!({}))));
    let said = greeting();
    for utf8 in [true, false] {
        for cut in 0..=said.len() {
            let mut line = Line::open(json!({}), json!({}), json!({"upstream_messages": {"utf8": utf8}}));
            line.upstream(&said[..cut]);
            line.client(&refresh);
            line.in_pieces(Peer::Upstream, 50, &said[cut..]);
            line.upstream(&from_upstream(PONG, b""));
            let mut client = line.assert_nothing_went_up("a refresh");
            let at = client.iter().position(|frame| *frame == accepted(300)).expect("an answer");
            client.remove(at);
            let mut all = frames(&said);
            all.push((PONG, vec![]));
            assert_eq!(client, all, "cut at {cut}");
            assert!(!(2..=3).contains(&at), "within a message: {at}, cut at {cut}");
        }
    }
}

#[test]
fn of_many_answers_that_wait_the_last_is_given() {
    let mut line = Line::open(json!({}), json!({}), json!({}));
    line.upstream(&from_upstream(0x01, b"begun"));
    for seconds in [310, 320, 330] {
        let token = token(json!({"exp": START.as_secs() + seconds}));
        line.client(&from_client(TEXT, &refresh_message(&token)));
    }
    line.upstream(&from_upstream(0x80, b"ended"));
    let told = vec![(0x01, b"begun".to_vec()), (0x80, b"ended".to_vec()), accepted(330)];
    assert_eq!(line.assert_nothing_went_up("refreshes"), told);
}

#[test]
fn an_answer_that_has_no_room_in_a_parked_stream_follows_as_soon_as_it_can() {
    let mut line = Line::open(json!({}), json!({}), json!({}));
    line.upstream(&from_upstream(0x01, b"begun"));
    line.client(&from_client(TEXT, &refresh_message(&token(json!({})))));
    let big = from_upstream(0x80, &[b'x'; 10_000]);
    line.upstream(&big);
    assert_eq!(line.client.len(), 7 + big.len());
    line.time(START);
    assert_eq!(line.assert_nothing_went_up("a refresh").last(), Some(&accepted(300)));
}

#[test]
fn notice_is_given_once_for_each_token() {
    let auth = json!({"expiry_notice": "60s"});
    let quiet = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "none"}});
    let mut line = Line::open(json!({}), auth.clone(), quiet.clone());
    line.time(START + 240 * SECOND - Duration::from_nanos(1));
    assert_eq!(line.client, b"");
    line.time(START + 240 * SECOND);
    line.time(START + 241 * SECOND);
    assert_eq!(line.assert_nothing_went_up("a notice"), [expiring(60)]);
    let renewed = token(json!({"exp": START.as_secs() + 400}));
    line.at(START + 250 * SECOND, Peer::Client, &from_client(TEXT, &refresh_message(&renewed)));
    line.time(START + 340 * SECOND - Duration::from_nanos(1));
    assert_eq!(line.assert_nothing_went_up("a refresh"), [expiring(60), accepted(150)]);
    line.time(START + 340 * SECOND);
    assert_eq!(line.assert_nothing_went_up("a notice")[2..], [expiring(60)]);

    let short = token(json!({"exp": START.as_secs() + 20}));
    let mut line = Line::waiting(auth, quiet);
    line.time(START);
    assert_eq!(line.client, b"", "there is no token yet");
    line.client(&from_client(TEXT, &first_message(&short)));
    line.time(START);
    assert_eq!(line.assert_nothing_went_up("a notice"), [expiring(20)], "at once, since it is late");
}

#[test]
fn notice_waits_for_the_end_of_a_message() {
    let quiet = json!({"liveness": {"idle_timeout": "1h", "ping_interval": "none"}});
    let mut line = Line::open(json!({}), json!({"expiry_notice": "60s"}), quiet);
    let now = START + 250 * SECOND;
    line.at(now, Peer::Upstream, &from_upstream(0x02, b"begun"));
    line.time(now);
    line.at(now, Peer::Upstream, &from_upstream(0x80, b"ended"));
    let told = [(0x02, b"begun".to_vec()), (0x80, b"ended".to_vec()), expiring(50)];
    assert_eq!(line.assert_nothing_went_up("a notice"), told);
}

#[test]
fn compressed_messages_are_heard_and_those_behind_them_stand_alone() {
    let deflate = |plain: &[u8]| {
        let mut compressed = Vec::with_capacity(plain.len() + 1024);
        let mut deflater = Compress::new(Compression::default(), false);
        deflater.compress_vec(plain, &mut compressed, FlushCompress::Sync).unwrap();
        assert_eq!(compressed.split_off(compressed.len() - 4), [0, 0, 0xff, 0xff]);
        compressed
    };
    let field = |value: &str| ("sec-websocket-extensions".to_owned(), value.as_bytes().to_vec());
    let offer = b"permessage-deflate; client_max_window_bits";
    let first = from_client(0xc1, &deflate(&first_message(&token(json!({})))));
    let hello = from_client(0xc1, &deflate(b"hello hello hello"));
    let renewed = token(json!({"exp": START.as_secs() + 900}));
    let refresh = deflate(&refresh_message(&renewed));
    let (start, end) = refresh.split_at(9);
    let refresh = [from_client(0x41, start), from_client(0x80, end)].concat();
    let said = [&first[..], &hello, &refresh, &hello].concat();
    for size in [1, 2, 3, 10, said.len()] {
        let head = with(&request(), "sec-websocket-extensions", offer);
        let more = [field("permessage-deflate")];
        let mut line = Line::new(json!({}), json!({"compression": "inspect"}), head, &more);
        line.in_pieces(Peer::Client, size, &said);
        let (client, upstream) = line.seen();
        assert_eq!(upstream, frames(&[&hello[..], &hello].concat()), "pieces of {size}");
        assert_eq!(client, [accepted(900)], "pieces of {size}: not compressed");
    }
    for (auth_changes, stands_alone) in [
        (json!({"refresh": "none"}), true),
        (json!({"from": [{"first_message": "/token"}]}), true),
        (json!({"refresh": "none", "from": [{"header": "authorization"}]}), false),
    ] {
        let value = format!("Bearer {}", token(json!({})));
        let mut head = with(&request(), "sec-websocket-extensions", offer);
        if !stands_alone {
            head = with(&head, "authorization", value.as_bytes());
        }
        let mut trial = Trial::new(json!({"compression": "inspect", "auth": auth(auth_changes)}), head);
        trial.input(Input::Response([agreement(), vec![field("permessage-deflate")]].concat()), START);
        let alone = HeaderEdit::Set(
            "sec-websocket-extensions".to_owned(),
            b"permessage-deflate; client_no_context_takeover".to_vec(),
        );
        let edits = Vec::from_iter(stands_alone.then_some(alone));
        assert!(trial.outputs.contains(&Output::AdmitResponse(edits)), "{:?}", trial.outputs);
    }
}

#[test]
fn who_refreshes_and_reads_nothing_has_the_host_keep_few_answers() {
    let mut line = Line::open(json!({}), json!({}), json!({"rates": []}));
    let refresh = from_client(TEXT, &refresh_message(&token(json!({}))));
    for i in 0..10_000 {
        line.at(START + Duration::from_millis(i), Peer::Client, &refresh);
    }
    // Ten seconds pass, and not one own Ping was answered.
    let unread = line.client.len();
    assert!(unread < 4096, "{unread} bytes");
}
