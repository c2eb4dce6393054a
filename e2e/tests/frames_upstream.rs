//! The rules for frames of an upstream: a service that was taken over, or is only wrong, cannot hand its
//! clients bytes that a browser or a library may stumble over.

use std::sync::Arc;

use postern_e2e::frames::opcode;
use postern_e2e::scene::document;
use postern_e2e::{Behaviour, ControlPair, Frame, LengthForm, RunningScene, Scene, Shared, json};
use tokio::task::JoinSet;

/// One forbidden thing.
#[derive(Clone, Debug)]
struct Case {
    what: String,
    /// The bytes that may pass, and do.
    good: Vec<u8>,
    /// The bytes that may not.
    bad: Vec<u8>,
    code: u16,
    reason: &'static str,
}

fn case(what: &str, bad: Vec<u8>) -> Case {
    let good = Frame::text("good").bytes();
    Case { what: what.to_owned(), good, bad, code: 1002, reason: "protocol_error" }
}

impl Case {
    fn behind(self, good: Vec<u8>) -> Self {
        Self { good, ..self }
    }

    /// Expects that the payload is refused as no UTF-8.
    fn not_text(self) -> Self {
        Self { code: 1007, reason: "invalid_utf8", ..self }
    }

    fn too_big(self, reason: &'static str) -> Self {
        Self { code: 1009, reason, ..self }
    }

    fn attack(&self) -> Vec<u8> {
        [&self.good[..], &self.bad, &Frame::text("behind it").bytes()].concat()
    }
}

/// Makes a scene with a policy for each test, so that it can count the refusals under it.
fn scene() -> Scene {
    let limits = json!({"max_frame_bytes": 64, "max_message_bytes": 100, "utf8": true});
    let policy = json!({"upstream_messages": limits, "liveness": {"close_timeout": "2s"}});
    let policies = json!({"whole": policy, "alone": policy, "cut": policy});
    Scene::new().document(document(json!({}), policies)).plaintext().upstream("/ws/", Behaviour::Silent)
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

fn violations() -> Vec<Case> {
    let long = vec![b'x'; 126];
    let open = |length: usize| Frame::text(&"x".repeat(length)).unfinished().bytes();
    let more = |length: usize| Frame::continuation(vec![b'x'; length]);
    let mut cases = vec![
        case("a masked frame", Frame::text("x").masked().bytes()),
        case("RSV1", Frame::text("x").rsv(4).bytes()),
        case("RSV2", Frame::text("x").rsv(2).bytes()),
        case("RSV3", Frame::text("x").rsv(1).bytes()),
        case("a Ping in fragments", Frame::ping("x").unfinished().bytes()),
        case("a Ping of 126 bytes", Frame::ping(long.clone()).bytes()),
        case("a Close of 126 bytes", Frame::new(opcode::CLOSE, long).bytes()),
        case("a Close with half a code", Frame::new(opcode::CLOSE, [3]).bytes()),
        case("five bytes as sixteen bits", Frame::text("hello").bytes_claiming(LengthForm::Sixteen, 5)),
        case("five bytes as sixty-four bits", Frame::text("hello").bytes_claiming(LengthForm::SixtyFour, 5)),
        case(
            "the top bit of a length",
            Frame::text("hello").bytes_claiming(LengthForm::SixtyFour, 1 << 63 | 5),
        ),
        case("a continuation of nothing", more(1).bytes()),
        case("a message inside a message", Frame::text("x").bytes()).behind(open(1)),
        case("a forbidden frame behind a Ping", Frame::text("x").rsv(4).bytes())
            .behind(Frame::ping("legal").bytes()),
        case("a frame of a byte too many", Frame::binary([0; 65]).bytes()).too_big("frame_too_big"),
        case(
            "a length that is small when cut to 32 bits",
            Frame::text("hello").bytes_claiming(LengthForm::SixtyFour, (1 << 32) + 5),
        )
        .too_big("frame_too_big"),
        case("a message of a byte too many over its fragments", more(37).bytes())
            .behind(open(64))
            .too_big("message_too_big"),
        case("a text that is not UTF-8", Frame::new(opcode::TEXT, *b"x\xff").bytes()).not_text(),
        case("a character that its next fragment breaks", Frame::continuation(" ").bytes())
            .behind(Frame::new(opcode::TEXT, *b"x\xce").unfinished().bytes())
            .not_text(),
        case("a Close whose reason is not UTF-8", Frame::new(opcode::CLOSE, *b"\x03\xe8\xff").bytes())
            .not_text(),
    ];
    let unsendable = [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX];
    cases
        .extend(unsendable.map(|code| case(&format!("a Close of {code}"), Frame::closing(code, "").bytes())));
    let reserved = (0x3..=0x7).chain(0xB..=0xF);
    cases.extend(reserved.map(|code| case(&format!("opcode {code:#x}"), Frame::new(code, "x").bytes())));
    cases
}

/// Sends the attack in pieces that end at `cuts`, and asserts that both sides saw it refused.
async fn assert_refused(scene: &RunningScene, policy: &str, case: &Case, cuts: &[usize]) {
    let mut client = scene.open(&format!("/ws/{policy}")).await;
    let record = scene.record(&client).await;
    let attack = case.attack();
    let ends: Vec<usize> = cuts.iter().copied().chain([attack.len()]).collect();
    let starts = [0].into_iter().chain(ends.iter().copied());
    let pieces: Vec<&[u8]> = starts.zip(&ends).map(|(start, end)| &attack[start..*end]).collect();
    record.send_pieces(pieces).await;

    let close = Frame::closing(case.code, case.reason);
    let expected = [&case.good[..], &close.bytes()].concat();
    assert_eq!(client.bytes(expected.len()).await, Ok(expected), "{}: what the client received", case.what);

    // The client's own Close does not go up; the upstream gets Postern's.
    client
        .send([Frame::text("late").masked().bytes(), Frame::closing(4000, "").masked().bytes()].concat())
        .await;
    assert_eq!(client.rest().await.0, b"", "{}: bytes follow the Close", case.what);
    record.ended().await;
    let (bytes, mut frames) = (record.bytes(), record.frames());
    assert_eq!(frames.len(), 1, "{}: {frames:?} at the upstream", case.what);
    assert_eq!(bytes.len(), frames[0].bytes().len(), "{}: {bytes:?} at the upstream", case.what);
    assert!(frames[0].mask.take().is_some(), "{}: the Close to the upstream is not masked", case.what);
    assert_eq!(frames[0], close, "{}: what the upstream received", case.what);
    assert_eq!(scene.access_line(client.case()).await["reason"], case.reason, "{}", case.what);
}

#[tokio::test]
async fn what_is_forbidden_does_not_reach_the_client_and_ends_both_sides_with_its_code() {
    let pair = Arc::new(PAIR.shared().await);
    let mut attacks = JoinSet::new();
    for case in violations() {
        let pair = Arc::clone(&pair);
        attacks.spawn(async move { assert_refused(&pair.guarded, "whole", &case, &[]).await });
    }
    attacks.join_all().await;

    for reason in ["protocol_error", "frame_too_big", "message_too_big", "invalid_utf8"] {
        let alike = violations().iter().filter(|case| case.reason == reason).count() as f64;
        let stats = pair.guarded.envoy().stats().await;
        assert_eq!(
            stats.sum("postern_closes", &[("policy", "whole"), ("reason", reason)]),
            alike,
            "{reason}"
        );
    }
    let labels = [("policy", "whole"), ("direction", "upstream"), ("result", "refused")];
    pair.guarded.envoy().stat_becomes("postern_messages", &labels, violations().len() as f64).await;
}

#[tokio::test]
async fn what_is_forbidden_is_found_when_every_byte_comes_alone() {
    let pair = Arc::new(PAIR.shared().await);
    let mut attacks = JoinSet::new();
    for case in violations() {
        let pair = Arc::clone(&pair);
        attacks.spawn(async move {
            let every: Vec<usize> = (1..case.attack().len()).collect();
            assert_refused(&pair.guarded, "alone", &case, &every).await;
        });
    }
    attacks.join_all().await;
}

#[tokio::test]
async fn a_forbidden_header_is_found_wherever_it_is_cut() {
    let pair = Arc::new(PAIR.shared().await);
    let case =
        case("a length over the limit", Frame::text("hello").bytes_claiming(LengthForm::SixtyFour, 1 << 17))
            .too_big("frame_too_big");
    let mut attacks = JoinSet::new();
    for cut in case.good.len()..=case.good.len() + 10 {
        let (pair, case) = (Arc::clone(&pair), case.clone());
        attacks.spawn(async move { assert_refused(&pair.guarded, "cut", &case, &[cut]).await });
    }
    attacks.join_all().await;
}

#[tokio::test]
async fn without_postern_every_one_of_these_reaches_the_client_as_it_was_sent() {
    let pair = PAIR.shared().await;
    let scene = &pair.bare;
    for case in violations() {
        let mut client = scene.open("/ws/whole").await;
        scene.record(&client).await.send(case.attack());
        assert_eq!(client.bytes(case.attack().len()).await, Ok(case.attack()), "{}", case.what);
    }
}
