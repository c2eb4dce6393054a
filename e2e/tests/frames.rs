//! The rules for frames of a client: one case for each, through Envoy with Postern and through Envoy alone.
//! The upstream goes on reading behind a Close, so that whatever else came would be seen.

use std::collections::BTreeSet;
use std::sync::Arc;

use postern_e2e::frames::opcode;
use postern_e2e::scene::document;
use postern_e2e::{
    Behaviour, ControlPair, Frame, LengthForm, RawClient, Record, RunningScene, Scene, Shared, Value, json,
};
use tokio::task::JoinSet;

/// One forbidden thing.
#[derive(Clone, Debug)]
struct Case {
    what: String,
    policy: &'static str,
    /// The bytes that may pass, and do.
    good: Vec<u8>,
    /// The bytes that may not.
    bad: Vec<u8>,
    code: u16,
    reason: &'static str,
}

fn case(what: &str, bad: Vec<u8>) -> Case {
    let good = text("good").bytes();
    Case { what: what.to_owned(), policy: "protocol", good, bad, code: 1002, reason: "protocol_error" }
}

impl Case {
    /// Puts the attack behind these bytes instead of a whole message.
    fn behind(self, good: Vec<u8>) -> Self {
        Self { good, ..self }
    }

    /// Puts the case under the policy with narrow limits, with this outcome.
    fn narrow(self, code: u16, reason: &'static str) -> Self {
        Self { policy: "narrow", code, reason, ..self }
    }

    /// Expects that the payload is refused as no UTF-8.
    fn not_text(self) -> Self {
        Self { code: 1007, reason: "invalid_utf8", ..self }
    }

    fn attack(&self) -> Vec<u8> {
        [&self.good[..], &self.bad, &text("behind it").bytes()].concat()
    }
}

fn text(text: &str) -> Frame {
    Frame::text(text).masked()
}

/// Makes a text message of bytes that need not be text.
fn bytes_as_text(payload: &[u8]) -> Frame {
    Frame::new(opcode::TEXT, payload).masked()
}

fn policies() -> Value {
    let liveness = json!({"close_timeout": "500ms"});
    let narrow =
        json!({"types": ["text"], "max_frame_bytes": 64, "max_message_bytes": 100, "max_fragments": 4});
    let (protocol, narrow) =
        (json!({"liveness": liveness}), json!({"liveness": liveness, "messages": narrow}));
    // Each test has a policy of its own, so that it can count the refusals under it.
    json!({
        "protocol": protocol, "alone": protocol, "narrow": narrow, "cut": narrow, "within": narrow,
    })
}

static PAIR: Shared<ControlPair> = Shared::new(|| {
    Scene::new().document(document(json!({}), policies())).plaintext().upstream("/ws/", Behaviour::Silent)
});

fn protocol_violations() -> Vec<Case> {
    let long = vec![b'x'; 126];
    let mut cases = vec![
        case("RSV1", text("x").rsv(4).bytes()),
        case("RSV2", text("x").rsv(2).bytes()),
        case("RSV3", text("x").rsv(1).bytes()),
        case("RSV1 in a Ping", Frame::ping("x").masked().rsv(4).bytes()),
        case("a frame that is not masked", Frame::text("x").bytes()),
        case("a Ping that is not masked", Frame::ping("x").bytes()),
        case("a Ping in fragments", Frame::ping("x").masked().unfinished().bytes()),
        case("a Close in fragments", Frame::closing(1000, "").masked().unfinished().bytes()),
        case("a Ping of 126 bytes", Frame::ping(long.clone()).masked().bytes()),
        case("a Pong of 126 bytes", Frame::pong(long.clone()).masked().bytes()),
        case("a Close of 126 bytes", Frame::new(opcode::CLOSE, long).masked().bytes()),
        case("a Close with half a code", Frame::new(opcode::CLOSE, [3]).masked().bytes()),
        case("five bytes as sixteen bits", text("hello").bytes_claiming(LengthForm::Sixteen, 5)),
        case("five bytes as sixty-four bits", text("hello").bytes_claiming(LengthForm::SixtyFour, 5)),
        case(
            "two hundred bytes as sixty-four bits",
            Frame::binary([0; 200]).masked().bytes_claiming(LengthForm::SixtyFour, 200),
        ),
        case("the top bit of a length", text("hello").bytes_claiming(LengthForm::SixtyFour, 1 << 63 | 5)),
        case("a continuation of nothing", Frame::continuation("x").masked().bytes()),
        case("a continuation of a message that has ended", Frame::continuation("x").masked().bytes())
            .behind([text("a").unfinished().bytes(), Frame::continuation("b").masked().bytes()].concat()),
        case("a message inside a message", text("x").bytes()).behind(text("open").unfinished().bytes()),
        case("a binary message inside a text", Frame::binary("x").masked().bytes())
            .behind(text("open").unfinished().bytes()),
        case("a forbidden frame behind a Ping", text("x").rsv(4).bytes())
            .behind(Frame::ping("legal").masked().bytes()),
        case("a forbidden frame first of all", text("x").rsv(4).bytes()).behind(Vec::new()),
        case("a text that is not UTF-8", bytes_as_text(b"x\xff").bytes()).not_text(),
        case("a text with half a surrogate pair", bytes_as_text(b"\xed\xa0\x80").bytes()).not_text(),
        case("a text that ends inside a character", bytes_as_text(b"x\xce").bytes()).not_text(),
        case("a character that its next fragment breaks", Frame::continuation(" ").masked().bytes())
            .behind(bytes_as_text(b"x\xce").unfinished().bytes())
            .not_text(),
        case("a character that a Ping does not end", Frame::continuation("").masked().bytes())
            .behind(
                [bytes_as_text(b"x\xce").unfinished().bytes(), Frame::ping("legal").masked().bytes()]
                    .concat(),
            )
            .not_text(),
        case(
            "a Close whose reason is not UTF-8",
            Frame::new(opcode::CLOSE, *b"\x03\xe8\xff").masked().bytes(),
        )
        .not_text(),
    ];
    let unsendable = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX];
    cases.extend(
        unsendable.map(|code| case(&format!("a Close of {code}"), Frame::closing(code, "").masked().bytes())),
    );
    let reserved = (0x3..=0x7).chain(0xB..=0xF);
    cases.extend(
        reserved.map(|code| case(&format!("opcode {code:#x}"), Frame::new(code, "x").masked().bytes())),
    );
    cases
}

fn violations_of_limits() -> Vec<Case> {
    let open = |length: usize| Frame::text(&"x".repeat(length)).masked().unfinished().bytes();
    let more = |length: usize| Frame::continuation(vec![b'x'; length]).masked();
    vec![
        case("a frame of a byte too many", text(&"x".repeat(65)).bytes()).narrow(1009, "frame_too_big"),
        case("a continuation of a byte too many", more(65).bytes())
            .behind(open(1))
            .narrow(1009, "frame_too_big"),
        case(
            "a length that is small when cut to 32 bits",
            text("hello").bytes_claiming(LengthForm::SixtyFour, (1 << 32) + 5),
        )
        .narrow(1009, "frame_too_big"),
        case("a message of a byte too many over its fragments", more(37).bytes())
            .behind(open(64))
            .narrow(1009, "message_too_big"),
        case("a fifth fragment", more(1).bytes())
            .behind([open(1), more(1).unfinished().bytes().repeat(3)].concat())
            .narrow(1008, "too_many_fragments"),
        case("a fifth fragment where all are empty", more(0).unfinished().bytes())
            .behind([open(0), more(0).unfinished().bytes().repeat(3)].concat())
            .narrow(1008, "too_many_fragments"),
        case("a type that the policy does not have", Frame::binary("x").masked().bytes())
            .narrow(1003, "type_denied"),
    ]
}

/// Asserts that the upstream got `good` and one Close, whatever the client goes on to send.
fn assert_good_and_a_close(record: &Record, case: &Case) {
    let bytes = record.bytes();
    assert!(bytes.starts_with(&case.good), "{}: the upstream received {bytes:?}", case.what);
    let rest = &bytes[case.good.len()..];
    let (frames, incomplete) = Frame::parse_all(rest);
    assert_eq!((frames.len(), incomplete), (1, &b""[..]), "{}: {frames:?} at the upstream", case.what);
    let close = &frames[0];
    assert_eq!((close.fin, close.rsv, close.mask.is_some()), (true, 0, true), "{}", case.what);
    assert_eq!((close.code(), close.reason()), (Some(case.code), case.reason.to_owned()), "{}", case.what);
}

/// Asserts that both sides saw the attack refused.
async fn assert_refused(scene: &RunningScene, client: &mut RawClient, case: &Case) {
    let (frames, _) = client.frames_to_close().await;
    let expected = Frame::closing(case.code, case.reason);
    assert_eq!(frames, [expected], "{}: what the client received", case.what);
    assert_eq!(client.rest().await.0, b"", "{}: bytes follow the Close", case.what);

    let record = scene.record(client).await;
    record.ended().await;
    assert_good_and_a_close(&record, case);
    assert_eq!(scene.access_line(client.case()).await["reason"], case.reason, "{}", case.what);
}

async fn assert_all_refused(cases: Vec<Case>, piece: usize) {
    let pair = Arc::new(PAIR.shared().await);
    let mut attacks = JoinSet::new();
    for case in cases.clone() {
        let pair = Arc::clone(&pair);
        attacks.spawn(async move {
            let mut client = pair.guarded.open(&format!("/ws/{}", case.policy)).await;
            client.send_in_pieces_of(piece, case.attack()).await;
            assert_refused(&pair.guarded, &mut client, &case).await;
        });
    }
    attacks.join_all().await;

    let envoy = pair.guarded.envoy();
    let stats = envoy.stats().await;
    for case in &cases {
        let alike =
            cases.iter().filter(|other| (other.policy, other.reason) == (case.policy, case.reason)).count();
        let labels = [("policy", case.policy), ("reason", case.reason)];
        assert_eq!(stats.sum("postern_closes", &labels), alike as f64, "closes for {}", case.reason);
    }
    let policies: BTreeSet<_> = cases.iter().map(|case| case.policy).collect();
    for policy in policies {
        let refused = cases.iter().filter(|case| case.policy == policy).count() as f64;
        let labels = [("policy", policy), ("direction", "downstream"), ("result", "refused")];
        envoy.stat_becomes("postern_messages", &labels, refused).await;
    }
}

#[tokio::test]
async fn what_the_protocol_forbids_ends_both_sides_with_its_code_and_does_not_reach_the_upstream() {
    assert_all_refused(protocol_violations(), usize::MAX).await;
}

#[tokio::test]
async fn what_the_protocol_forbids_is_found_when_every_byte_comes_alone() {
    let alone = protocol_violations().into_iter().map(|case| Case { policy: "alone", ..case });
    assert_all_refused(alone.collect(), 1).await;
}

#[tokio::test]
async fn what_the_limits_forbid_ends_both_sides_with_their_codes_and_does_not_reach_the_upstream() {
    assert_all_refused(violations_of_limits(), usize::MAX).await;
}

#[tokio::test]
async fn without_postern_every_one_of_these_reaches_the_upstream_as_it_was_sent() {
    let pair = PAIR.shared().await;
    let scene = &pair.bare;
    for case in protocol_violations().into_iter().chain(violations_of_limits()) {
        let mut client = scene.open(&format!("/ws/{}", case.policy)).await;
        client.send(case.attack()).await;
        let received = scene.record(&client).await.bytes_when(case.attack().len()).await;
        assert_eq!(received, case.attack(), "{}", case.what);
    }
}

#[tokio::test]
async fn a_forbidden_header_is_found_wherever_it_is_cut_and_none_of_its_bytes_pass() {
    let pair = Arc::new(PAIR.shared().await);
    let case = case("a length over the limit", text("hello").bytes_claiming(LengthForm::SixtyFour, 1 << 17))
        .narrow(1009, "frame_too_big");
    let case = Case { policy: "cut", ..case };
    let attack = case.attack();
    let mut attacks = JoinSet::new();
    for cut in case.good.len()..case.good.len() + 14 {
        let (pair, case, attack) = (Arc::clone(&pair), case.clone(), attack.clone());
        attacks.spawn(async move {
            let scene = &pair.guarded;
            let mut client = scene.open("/ws/cut").await;
            client.send(&attack[..cut]).await;
            let record = scene.record(&client).await;
            // The first bytes of the attack would be here by now too, were they not held back: the good frame
            // before them is.
            assert_eq!(record.bytes_when(case.good.len()).await, case.good, "cut at {cut}");
            client.send(&attack[cut..]).await;
            assert_refused(scene, &mut client, &case).await;
        });
    }
    attacks.join_all().await;
}

#[tokio::test]
async fn what_is_just_within_the_limits_passes() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let mut client = scene.open("/ws/within").await;
    let open = |length: usize| Frame::text(&"x".repeat(length)).masked().unfinished().bytes();
    let more = |length: usize| Frame::continuation(vec![b'x'; length]).masked();
    let legal = [
        text(&"x".repeat(64)).bytes(),
        [open(64), more(36).bytes()].concat(),
        [open(0), more(0).unfinished().bytes().repeat(2), more(0).bytes()].concat(),
        Frame::ping(vec![b'x'; 125]).masked().bytes(),
    ]
    .concat();
    client.send(&legal).await;
    assert_eq!(scene.record(&client).await.bytes_when(legal.len()).await, legal);
    client.send(text("still open").bytes()).await;
    scene.record(&client).await.bytes_when(legal.len() + 1).await;
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &[("policy", "within")]), 0.0);
}
