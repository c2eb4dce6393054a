//! Traffic that the policy allows passes byte for byte, however TCP cuts it up.

use std::sync::Arc;

use postern_e2e::scene::Lent;
use postern_e2e::{Behaviour, Frame, LengthForm, RawClient, Record, RunningScene, Scene, Shared, json};
use tokio::sync::RwLockReadGuard;

/// Returns frames that need no more than 7 and 16 bits of length: data of both types, empty ones, fragments
/// with control frames between them.
fn small_mix(finish: fn(Frame) -> Frame) -> Vec<u8> {
    let frames = [
        Frame::text("hello"),
        Frame::binary([0, 255, 0]),
        Frame::text(""),
        Frame::text("fragments ").unfinished(),
        Frame::ping("between"),
        Frame::continuation("").unfinished(),
        Frame::pong(""),
        Frame::continuation("of a message"),
        Frame::binary([7; 125]),
        Frame::binary([8; 126]),
        Frame::ping([9; 125]),
    ];
    frames.into_iter().flat_map(|frame| finish(frame).bytes()).collect()
}

fn unmasked(frame: Frame) -> Frame {
    frame
}

fn scene() -> Scene {
    let limits = json!({"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"});
    let policy = json!({"messages": limits, "upstream_messages": limits});
    Scene::new().policy(policy).plaintext().upstream("/ws/", Behaviour::Silent)
}

static SCENE: Shared<RunningScene> = Shared::new(scene);

/// An open socket before Postern, and the bytes that its upstream receives. The upstream says nothing of its
/// own.
struct Passage {
    scene: Lent<RwLockReadGuard<'static, RunningScene>>,
    client: RawClient,
    record: Arc<Record>,
}

impl Passage {
    async fn open() -> Self {
        let scene = SCENE.shared().await;
        let client = scene.open("/ws/chat").await;
        let record = scene.record(&client).await;
        Self { scene, client, record }
    }

    async fn assert_received(&mut self, up: &[u8], down: &[u8]) {
        assert_same(&self.record.bytes_when(up.len()).await, up, "at the upstream");
        let received = self.client.bytes(down.len()).await;
        assert_same(&received.unwrap_or_default(), down, "at the client");
        assert_eq!(self.scene.envoy().stats().await.sum("postern_closes", &[]), 0.0);
    }
}

/// Asserts that both streams are equal; a whole stream would be too long to read in a failed assertion.
fn assert_same(received: &[u8], sent: &[u8], at: &str) {
    let differs = received.iter().zip(sent).position(|(received, sent)| received != sent);
    assert_eq!((differs, received.len()), (None, sent.len()), "first difference and length {at}");
}

#[tokio::test]
async fn small_frames_pass_wherever_they_are_cut_in_two() {
    let mut passage = Passage::open().await;
    let (up, down) = (small_mix(Frame::masked), small_mix(unmasked));
    for cut in 1..up.len() {
        passage.client.send_pieces([&up[..cut], &up[cut..]]).await;
        let cut = cut.min(down.len());
        passage.record.send_pieces([&down[..cut], &down[cut..]]).await;
    }
    let times = up.len() - 1;
    passage.assert_received(&up.repeat(times), &down.repeat(times)).await;
}

#[tokio::test]
async fn small_frames_pass_byte_by_byte() {
    let mut passage = Passage::open().await;
    let (up, down) = (small_mix(Frame::masked), small_mix(unmasked));
    tokio::join!(passage.client.send_in_pieces_of(1, &up), passage.record.send_pieces(down.chunks(1)));
    passage.assert_received(&up, &down).await;
}

#[tokio::test]
async fn every_form_of_length_passes_wherever_its_header_is_cut() {
    let mut passage = Passage::open().await;
    let (mut sent, mut received) = (Vec::new(), Vec::new());
    for length in [0x7d, 0x7e, 0xffff, 0x1_0000] {
        let frame = Frame::binary(vec![3; length]);
        let (up, down) = (frame.clone().masked().bytes(), frame.bytes());
        for cut in 1..=up.len() - length {
            passage.client.send_pieces([&up[..cut], &up[cut..]]).await;
            sent.extend_from_slice(&up);
        }
        for cut in 1..=down.len() - length {
            passage.record.send_pieces([&down[..cut], &down[cut..]]).await;
            received.extend_from_slice(&down);
            assert_eq!(passage.client.bytes(down.len()).await.as_deref(), Ok(&down[..]), "cut at {cut}");
        }
    }
    passage.assert_received(&sent, &[]).await;
}

#[tokio::test]
async fn hundreds_of_frames_in_one_write_pass() {
    let mut passage = Passage::open().await;
    let (up, down) = (small_mix(Frame::masked).repeat(50), small_mix(unmasked).repeat(50));
    passage.client.send(&up).await;
    passage.record.send(&down);
    passage.assert_received(&up, &down).await;
}

/// Numbers that anyone can draw again from the same seed (splitmix64).
struct Draws(u64);

impl Draws {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn size(&mut self, bound: u64) -> usize {
        usize::try_from(self.below(bound)).unwrap_or_default()
    }

    /// Returns at least `length` bytes of legal frames: messages whole and in fragments, control frames
    /// anywhere.
    fn traffic(&mut self, length: usize, finish: fn(Frame) -> Frame) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut is_open = false;
        while bytes.len() < length || is_open {
            let payload = |draws: &mut Self, bound| -> Vec<u8> {
                let length = draws.size(bound);
                (0..length).map(|_| u8::try_from(draws.below(256)).unwrap_or_default()).collect()
            };
            let frame = match self.below(8) {
                0 => Frame::ping(payload(self, 126)),
                1 => Frame::pong(payload(self, 126)),
                _ => {
                    let bound = [2, 130, 5_000, 70_000][self.size(4)];
                    let payload = payload(self, bound);
                    let frame = if is_open { Frame::continuation(payload) } else { Frame::binary(payload) };
                    is_open = self.below(3) == 0;
                    if is_open { frame.unfinished() } else { frame }
                }
            };
            bytes.extend(finish(frame).bytes());
        }
        bytes
    }
}

#[tokio::test]
async fn a_mebibyte_of_random_frames_in_random_pieces_passes_both_ways() {
    const LENGTH: usize = 1 << 20;
    /// The most bytes of a stream that may wait for the rest of a header.
    const HELD: usize = 13;
    let mut seed = [0; 8];
    getrandom::fill(&mut seed).expect("randomness");
    let seed = u64::from_le_bytes(seed);
    println!("seed {seed:#x}");

    let mut draws = Draws(seed);
    let (up, down) = (draws.traffic(LENGTH, Frame::masked), draws.traffic(LENGTH, unmasked));
    let mut passage = Passage::open().await;
    let (mut sent_up, mut sent_down, mut received) = (0, 0, Vec::new());
    // Both directions go in step, so that neither side's buffers fill up while nobody reads.
    while sent_up < up.len() || sent_down < down.len() {
        let bound = [2, 20, 300, 16_384][draws.size(4)];
        let end = up.len().min(sent_up + 1 + draws.size(bound));
        passage.client.send(&up[sent_up..end]).await;
        sent_up = end;
        let end = down.len().min(sent_down + 1 + draws.size(bound));
        passage.record.send(&down[sent_down..end]);
        sent_down = end;
        let certain = sent_down.saturating_sub(received.len() + HELD);
        let bytes = passage.client.bytes(certain).await;
        received.extend(bytes.expect("an open connection"));
    }
    let rest = down.get(received.len()..).unwrap_or_default();
    assert_same(&received, &down[..received.len()], "at the client");
    passage.assert_received(&up, rest).await;
}

#[tokio::test]
async fn the_longest_form_of_length_is_legal_where_the_length_needs_it() {
    let mut passage = Passage::open().await;
    let payload = vec![1; 0x1_0000];
    let frame = Frame::binary(payload).masked();
    let bytes = frame.bytes_claiming(LengthForm::SixtyFour, 0x1_0000);
    passage.client.send(&bytes).await;
    passage.assert_received(&bytes, &[]).await;
}
