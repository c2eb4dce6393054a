//! Tokens inside the connection: the first message, refreshes, and what Postern says about them.

use flate2::{Compress, Compression, FlushCompress};
use serde_json::{Value, json};

use super::tests::{START, Trial, agreement};
use super::*;
use crate::frame::FrameHeader;
use crate::rate::Charged;
use crate::testing::{SECRET, from_client, from_upstream, request, with};

const SECOND: Duration = Duration::from_secs(1);
const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const PING: u8 = 0x89;
const PONG: u8 = 0x8a;

/// What a peer has seen: the first byte and the payload of every frame.
type Frames = Vec<(u8, Vec<u8>)>;

/// A connection, and every byte that each side has seen.
struct Line {
    trial: Trial,
    client: Vec<u8>,
    upstream: Vec<u8>,
    closed: Option<(Reason, bool)>,
}

fn auth(changes: Value) -> Value {
    let mut auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "max_unauthenticated_bytes": 2000, "require": [{"claim": "scope", "contains": "chat"}],
        "refresh": "/auth/token", "expiry_grace": "0s",
    });
    for (key, value) in changes.as_object().unwrap() {
        auth[key] = value.clone();
    }
    auth
}

fn claims(changes: Value) -> Value {
    let mut claims = json!({
        "iss": "edge", "aud": "chat", "sub": "alice", "scope": "chat", "exp": START.as_secs() + 300,
    });
    for (key, value) in changes.as_object().unwrap() {
        claims[key] = value.clone();
    }
    claims
}

fn token(changes: Value) -> String {
    String::from_utf8(crate::testing::token(SECRET, &claims(changes))).unwrap()
}

fn first_message(token: &str) -> Vec<u8> {
    json!({ "token": token }).to_string().into_bytes()
}

fn refresh_message(token: &str) -> Vec<u8> {
    json!({"auth": {"token": token}, "id": 7}).to_string().into_bytes()
}

fn accepted(seconds: u64) -> (u8, Vec<u8>) {
    (TEXT, format!(r#"{{"postern":"token_accepted","expires_in":{seconds}}}"#).into_bytes())
}

fn expiring(seconds: u64) -> (u8, Vec<u8>) {
    (TEXT, format!(r#"{{"postern":"token_expiring","expires_in":{seconds}}}"#).into_bytes())
}

fn closing(reason: Reason) -> (u8, Vec<u8>) {
    let consequence = reason.consequence();
    (CLOSE, [&consequence.close.to_be_bytes(), consequence.id.as_bytes()].concat())
}

/// All whole frames of `bytes` but Postern's own Pings; nothing else is left.
fn frames(mut bytes: &[u8]) -> Frames {
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        let header = FrameHeader::parse(bytes).unwrap().expect("a whole header");
        let end = header.len + usize::try_from(header.payload_len).unwrap();
        let mask = header.mask.unwrap_or_default();
        let payload = bytes[header.len..end].iter().zip(mask.iter().cycle());
        let payload: Vec<u8> = payload.map(|(byte, key)| byte ^ key).collect();
        if !(bytes[0] == PING && payload.starts_with(b"postern:")) {
            frames.push((bytes[0], payload));
        }
        bytes = &bytes[end..];
    }
    frames
}

impl Line {
    /// Both streams parked, and nobody authenticated.
    fn waiting(auth_changes: Value, changes: Value) -> Self {
        Self::new(auth_changes, changes, request(), &[])
    }

    /// The same, authenticated by a token in the handshake.
    fn open(token_changes: Value, auth_changes: Value, changes: Value) -> Self {
        let value = format!("Bearer {}", token(token_changes));
        Self::new(auth_changes, changes, with(&request(), "authorization", value.as_bytes()), &[])
    }

    fn new(auth_changes: Value, mut changes: Value, head: RequestHead, more: &[Field]) -> Self {
        changes["auth"] = auth(auth_changes);
        let mut trial = Trial::new(changes, head);
        assert!(matches!(trial.outputs.last(), Some(Output::Admit(_))), "{:?}", trial.outputs);
        assert!(trial.parks(Peer::Client, b""));
        trial.input(Input::Response([agreement(), more.to_vec()].concat()), START);
        assert!(trial.session.was_opened(), "{:?}", trial.outputs);
        assert!(trial.parks(Peer::Upstream, b""));
        trial.outputs.clear();
        Self { trial, client: Vec::new(), upstream: Vec::new(), closed: None }
    }

    /// `peer` sends this at `now`.
    fn at(&mut self, now: Duration, peer: Peer, bytes: &[u8]) {
        let passed = self.trial.bytes(peer, bytes, now);
        match peer {
            Peer::Client => self.upstream.extend(passed),
            Peer::Upstream => self.client.extend(passed),
        }
        self.collect();
    }

    fn client(&mut self, bytes: &[u8]) {
        self.at(START, Peer::Client, bytes);
    }

    fn upstream(&mut self, bytes: &[u8]) {
        self.at(START, Peer::Upstream, bytes);
    }

    fn in_pieces(&mut self, peer: Peer, size: usize, bytes: &[u8]) {
        bytes.chunks(size).for_each(|piece| self.at(START, peer, piece));
    }

    fn time(&mut self, now: Duration) {
        self.trial.session.note_time(now);
        self.trial.input(Input::Timer, now);
        self.collect();
    }

    fn collect(&mut self) {
        for output in self.trial.outputs.drain(..) {
            match output {
                Output::Deliver(bytes) => self.client.extend(bytes),
                Output::Send(Peer::Client, bytes) => self.client.extend(bytes),
                Output::Send(Peer::Upstream, bytes) => self.upstream.extend(bytes),
                Output::Tell(Event::Closed { reason, detail, .. }) => {
                    self.closed = Some((reason, detail.is_some()));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn seen(&self) -> (Frames, Frames) {
        (frames(&self.client), frames(&self.upstream))
    }

    /// What the client has seen, and that the upstream has seen nothing.
    fn assert_nothing_went_up(&self, what: &str) -> Frames {
        let (client, upstream) = self.seen();
        assert_eq!(upstream, [], "{what}");
        client
    }

    /// Both peers were told of the end by `reason`, and have seen nothing else.
    fn assert_ended(mut self, reason: Reason, what: &str) {
        self.client(&from_client(CLOSE, b""));
        assert_eq!(self.closed.map(|(reason, _)| reason), Some(reason), "{what}");
        assert_eq!(self.seen(), (vec![closing(reason)], vec![closing(reason)]), "{what}");
    }
}

fn greeting() -> Vec<u8> {
    [
        from_upstream(TEXT, b"welcome"),
        from_upstream(0x01, b"in "),
        from_upstream(PING, b"server"),
        from_upstream(0x80, b"pieces"),
        from_upstream(BINARY, &[7; 200]),
    ]
    .concat()
}

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
    assert_eq!(trial.outputs, [Output::Deliver(greeting())]);
}

#[test]
fn a_first_message_may_come_ahead_of_the_101() {
    let first = from_client(TEXT, &first_message(&token(json!({}))));
    let early = [first, from_client(TEXT, b"hello")].concat();
    let mut trial = Trial::new(json!({"auth": auth(json!({}))}), request());
    let passage = trial.session.judge(Peer::Client, &mut &early[..], START).unwrap();
    assert_eq!(passage, Judged::Passage(Passage::whole(early.len())));
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
        let mut line = Line::waiting(json!({}), json!({"messages": {"max_message_bytes": "64KiB"}}));
        for _ in 0..pings {
            line.client(&from_client(PING, b"four"));
        }
        let greeting = if greets > 0 { from_upstream(BINARY, &vec![1; greets]) } else { Vec::new() };
        line.in_pieces(Peer::Upstream, 100, &greeting);
        line.client(&good);
        if fits {
            assert_eq!(line.assert_nothing_went_up("fits"), frames(&greeting));
            assert_eq!(line.closed, None);
        } else {
            line.assert_ended(Reason::MessageTooBig, "too much");
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
        line.trial.answer = |_| Outcome::Charged(Charged::Wait(SECOND));
        line.in_pieces(Peer::Client, size, &[&first[..], &behind].concat());
        line.assert_ended(Reason::HandshakeRate, "no handshake left");
    }
    let denied = from_client(TEXT, &first_message(&token(json!({"scope": "read"}))));
    let mut line = Line::waiting(json!({}), json!({"rates": rates}));
    line.trial.answer = |_| Outcome::Full;
    line.client(&denied);
    line.assert_ended(Reason::ClaimsDenied, "the first refusal wins");

    // The first message itself is nobody's; those behind it are the user's.
    let messages = json!([{"count": "messages", "per": "user", "limit": 3, "window": "1h"}]);
    let mut line = Line::waiting(json!({}), json!({"rates": messages}));
    line.trial.answer = |_| Outcome::Full;
    line.client(&first);
    assert_eq!(line.closed, None);
    line.client(&behind);
    line.assert_ended(Reason::MessageRate, "the second message");
}

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
    // A control frame goes ahead of a message that is heard.
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
    let mut trial = Trial::new(
        json!({"compression": "inspect", "auth": auth(json!({}))}),
        with(&request(), "sec-websocket-extensions", offer),
    );
    trial.input(Input::Response([agreement(), vec![field("permessage-deflate")]].concat()), START);
    let alone = HeaderEdit::Set(
        "sec-websocket-extensions".to_owned(),
        b"permessage-deflate; client_no_context_takeover".to_vec(),
    );
    assert!(trial.outputs.contains(&Output::AdmitResponse(vec![alone])), "{:?}", trial.outputs);
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
