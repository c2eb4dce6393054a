//! Peers that stand no Pings: none of Postern's own goes to them, whatever the purpose.

use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{from_client, from_upstream};
use crate::websocket::OpCode;

const SECOND: Duration = Duration::from_secs(1);

/// Plays a conversation of all that makes Postern ask: bulk, halves of frames, silence, and the end by time.
/// Returns the own Pings that each peer has seen, and the outputs at the end.
fn play(liveness: Value) -> (usize, usize, Vec<Output>) {
    let mut liveness = liveness;
    liveness["idle_timeout"] = json!("30s");
    let mut trial = Trial::awaiting(
        json!({"liveness": liveness, "messages": {"max_frame_bytes": "1MiB", "max_message_bytes": "1MiB"}}),
    );
    assert!(trial.parks(Peer::Client, b""));
    trial.agree();
    assert!(trial.parks(Peer::Upstream, b""));
    let (mut client, mut upstream, mut last) = (0, 0, Vec::new());
    let bulk = vec![7; 100_000];
    let mut now = START;
    for round in 0..4 {
        let said = [from_client(0x82, &bulk), from_client(0x82, b"hello")].concat();
        let answers = [from_upstream(0x82, &bulk), from_upstream(0x82, b"hello")].concat();
        for (peer, bytes) in [(Peer::Client, &said), (Peer::Upstream, &answers)] {
            for piece in bytes.chunks(40_000 + round) {
                now += SECOND / 4;
                let passed = trial.bytes(peer, piece, now);
                *(if peer == Peer::Client { &mut upstream } else { &mut client }) += own_pings(&passed);
            }
        }
    }
    for _ in 0..60 {
        now += SECOND;
        trial.session.note_time(now);
        trial.input(Input::Timer, now);
        for output in trial.outputs.drain(..) {
            match &output {
                Output::Send(Peer::Client, frame) if OpCode::of(frame[0]) == OpCode::PING => client += 1,
                Output::Send(Peer::Upstream, frame) if OpCode::of(frame[0]) == OpCode::PING => upstream += 1,
                _ => last.push(output),
            }
        }
    }
    (client, upstream, last)
}

/// Returns the number of headers of own Pings in bytes that have none otherwise.
fn own_pings(bytes: &[u8]) -> usize {
    bytes.windows(2).filter(|header| header[0] == 0x89 && header[1] & 0x7f == 16).count()
}

#[test]
fn no_ping_goes_to_whom_the_policy_spares_and_the_end_by_time_comes_all_the_same() {
    let cases = [
        ("both are asked", json!({}), true, true),
        ("the service is spared", json!({"ping_upstream": false}), true, false),
        ("the client is spared", json!({"ping_interval": "none"}), false, true),
        ("both are spared", json!({"ping_interval": "none", "ping_upstream": false}), false, false),
    ];
    for (name, liveness, asks_client, asks_upstream) in cases {
        let (client, upstream, last) = play(liveness);
        assert_eq!((client > 0, upstream > 0), (asks_client, asks_upstream), "{name}");
        let ended = |output: &Output| matches!(output, Output::Tell(Event::Closed { .. }));
        assert!(last.iter().any(ended), "{name}: {last:?}");
    }
}
