//! The three words of `compression` for permessage-deflate (RFC 7692), with an upstream that agrees to it.

use postern_e2e::frames::{deflated, opcode};
use postern_e2e::scene::document;
use postern_e2e::{
    Answer, Behaviour, ControlPair, Frame, RawClient, Request, RunningScene, Scene, Shared, json,
};

const MIB: usize = 1 << 20;
const EXTENSIONS: &str = "Sec-WebSocket-Extensions";
const OFFER: &str = "permessage-deflate; client_max_window_bits";

fn scene() -> Scene {
    let limits = json!({"max_frame_bytes": 2 * MIB, "max_message_bytes": 2 * MIB});
    let policy = |compression: &str| json!({"compression": compression, "messages": limits, "upstream_messages": limits});
    let rate =
        json!({"count": "messages", "per": "connection", "limit": 1, "window": "1h", "on_exceed": "drop"});
    let policies = json!({
        "stripped": policy("strip"), "passed": policy("pass"), "inspected": policy("inspect"),
        "dropped": {"compression": "inspect", "rates": [rate]},
    });
    let agrees = |answer: Answer| Behaviour::Answer(answer.header(EXTENSIONS, "permessage-deflate"));
    Scene::new()
        .document(document(json!({}), policies))
        .plaintext()
        .upstream("/ws/stripped", Behaviour::Echo)
        .upstream("/ws/", agrees(Answer::switching()))
}

static PAIR: Shared<ControlPair> = Shared::new(scene);

async fn open(scene: &RunningScene, path: &str) -> RawClient {
    scene.open_with(&Request::upgrade(path).header(EXTENSIONS, OFFER)).await
}

/// Returns the payload of a message of as many mebibytes of zeros.
fn zeros(mebibytes: usize) -> Vec<u8> {
    let one = [deflated(&vec![0; MIB]), vec![0, 0, 0xff, 0xff]].concat();
    let mut all = one.repeat(mebibytes);
    all.truncate(all.len() - 4);
    all
}

fn compressed(opcode: u8, payload: Vec<u8>) -> Frame {
    Frame::new(opcode, payload).rsv(4).masked()
}

#[tokio::test]
async fn an_offer_goes_up_as_the_policy_says_and_the_answer_comes_back() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let foreign = "x-unknown; a=1, permessage-deflate; client_max_window_bits, permessage-deflate; x=1";
    let plain = "permessage-deflate";
    let alone = "permessage-deflate; client_no_context_takeover";
    for (path, offered, goes_up, comes_back) in [
        ("/ws/stripped", OFFER, None, None),
        ("/ws/passed", OFFER, Some(OFFER), Some(plain)),
        ("/ws/inspected", OFFER, Some(OFFER), Some(plain)),
        ("/ws/inspected", foreign, Some(OFFER), Some(plain)),
        // A discarded message would be missing in the history of the messages after it.
        ("/ws/dropped", OFFER, Some(OFFER), Some(alone)),
    ] {
        let request = Request::upgrade(path).header(EXTENSIONS, offered);
        let response = scene.ask(&request).await;
        assert_eq!(response.status, 101, "{path}");
        assert_eq!(response.header(EXTENSIONS).as_deref(), comes_back, "{path}: {offered}");
        let record = scene.upstream().record(request.case()).await;
        assert_eq!(record.header(EXTENSIONS).as_deref(), goes_up, "{path}: {offered}");
    }
}

#[tokio::test]
async fn an_agreement_to_what_was_not_offered_is_no_agreement() {
    let pair = PAIR.shared().await;
    let request = Request::upgrade("/ws/inspected");
    let response = pair.guarded.ask(&request).await;
    assert_eq!((response.status, response.reason().as_deref()), (502, Some("upstream_handshake_invalid")));
    let response = pair.bare.ask(&request).await;
    assert_eq!((response.status, response.header(EXTENSIONS).as_deref()), (101, Some("permessage-deflate")));
}

#[tokio::test]
async fn compressed_messages_pass_unchanged_both_ways_wherever_they_are_cut() {
    let pair = PAIR.shared().await;
    let scene = &pair.guarded;
    let text = "a text that repeats itself: κόσμε ".repeat(50);
    let payload = deflated(text.as_bytes());
    let (start, end) = payload.split_at(payload.len() / 2);
    let sent = [
        compressed(opcode::TEXT, payload.clone()).bytes(),
        compressed(opcode::TEXT, start.to_vec()).unfinished().bytes(),
        Frame::continuation(end).masked().bytes(),
        Frame::text("not compressed").masked().bytes(),
        compressed(opcode::BINARY, zeros(2)).bytes(),
    ]
    .concat();
    for path in ["/ws/passed", "/ws/inspected"] {
        for piece in [usize::MAX, 7] {
            let mut client = open(scene, path).await;
            client.send_in_pieces_of(piece, &sent).await;
            let record = scene.record(&client).await;
            assert_eq!(record.bytes_when(sent.len()).await, sent, "{path}, pieces of {piece}");
            for frame in record.frames() {
                let echo = Frame { mask: None, ..frame };
                assert!(client.frame().await == Ok(echo), "{path}, pieces of {piece}");
            }
        }
    }
}

/// The number of bombs that are sent.
const BOMBS: usize = 8;

/// Returns bytes that do not compress, the same in every run (xorshift64*).
fn noise(len: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    });
    words.flatten().take(len).collect()
}

#[tokio::test]
async fn a_bomb_costs_no_more_than_a_message_of_the_limit_and_nothing_of_it_passes() {
    let bomb = zeros(1024);
    assert!(bomb.len() < 2 * MIB, "its frame is within the limits");
    let whole = compressed(opcode::BINARY, bomb.clone()).bytes();
    let (start, end) = bomb.split_at(bomb.len() / 2);
    let in_fragments = [
        compressed(opcode::BINARY, start.to_vec()).unfinished().bytes(),
        Frame::continuation(end).masked().bytes(),
    ];
    // This scene is not shared, because its memory is measured.
    let scene = scene().start().await;

    // The message has the length of the limit when inflated, and on the wire nearly that of the bomb.
    let legal = compressed(opcode::BINARY, deflated(&[noise(MIB), vec![0; MIB]].concat())).bytes();
    assert!(legal.len() > MIB, "{} bytes", legal.len());
    let mut client = open(&scene, "/ws/inspected").await;
    let before = scene.envoy().usage();
    client.send(&legal).await;
    scene.record(&client).await.bytes_when(legal.len()).await;
    let allowed = scene.envoy().usage().since(before);

    // Many bombs are sent, since inflating a whole one takes no longer than a tenth of a second.
    let mut ticks = 0;
    for attack in [&whole, &in_fragments.concat()].repeat(BOMBS / 2) {
        let mut client = open(&scene, "/ws/inspected").await;
        let before = scene.envoy().usage();
        client.send(attack).await;
        let close = Frame::closing(1009, "message_too_big");
        assert_eq!(client.frame().await, Ok(close.clone()));
        let spent = scene.envoy().usage().since(before);
        let record = scene.record(&client).await;
        let up = record.close().await;
        assert_eq!((up.code(), up.reason()), (close.code(), close.reason()));
        assert_eq!(record.bytes(), up.bytes(), "what the upstream received");
        assert_eq!(scene.access_line(client.case()).await["reason"], "message_too_big");
        println!("a bomb of 1 GiB: {spent:?}; a message of the limit: {allowed:?}");
        assert!(spent.memory < allowed.memory + 8 * MIB, "a bomb: {spent:?}, a message: {allowed:?}");
        ticks += spent.ticks;
    }
    assert!(
        ticks <= BOMBS as u64 * (allowed.ticks + 3),
        "{BOMBS} bombs: {ticks} ticks, a message: {allowed:?}"
    );
    let labels = [("policy", "inspected"), ("reason", "message_too_big")];
    assert_eq!(scene.envoy().stats().await.sum("postern_closes", &labels), BOMBS as f64);

    let pair = PAIR.shared().await;
    let client = &mut open(&pair.bare, "/ws/inspected").await;
    client.send(&whole).await;
    assert_eq!(pair.bare.record(client).await.bytes_when(whole.len()).await, whole);
}
