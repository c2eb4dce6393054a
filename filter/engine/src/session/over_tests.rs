//! Streams that end, or are over, while something else is still to happen on them.

use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::{Tables, from_client, from_upstream};

/// Tells the session that memory was exceeded, and has nothing done yet of what follows.
fn exceeded(mut trial: Trial) -> Trial {
    trial.outputs.clear();
    trial.session.handle(Input::MemoryExceeded, &mut Tables::default(), START);
    assert!(trial.session.has_outputs());
    trial
}

fn waiting() -> Trial {
    let auth: Value = json!({
        "providers": ["edge"], "from": [{"first_message": "/token"}],
        "revocation": {"cluster": "auth", "path": "/revoked.json"},
    });
    Trial::awaiting(json!({ "auth": auth }))
}

#[test]
fn of_a_stream_that_is_over_there_is_only_left_to_tell_why() {
    let mut open = Trial::open(json!({}));
    open.client(&from_client(0x81, &[b'a'; 60])[..40]);
    for (name, trial) in [("open", open), ("waiting", waiting())] {
        let mut trial = exceeded(trial);
        trial.session.handle(Input::Ended, &mut Tables::default(), START);
        let left: Vec<_> = std::iter::from_fn(|| trial.session.poll_output()).collect();
        let [Output::Tell(Event::Closed { violation, .. } | Event::Refused { violation, .. })] = &left[..]
        else {
            panic!("{name}: {left:?}")
        };
        assert_eq!(violation.reason, Reason::MemoryExceeded, "{name}");
    }
}

#[test]
fn into_a_stream_that_begins_behind_a_close_a_frame_is_put_only_if_it_was_parked() {
    let first_message = json!({"auth": {"providers": ["edge"], "from": [{"first_message": "/token"}]}});
    for (name, changes) in [("open", json!({})), ("waiting", first_message)] {
        for first in [Vec::new(), from_upstream(0x82, b"greeting")] {
            let mut trial = Trial::open(changes.clone());
            let close = from_client(0x88, b"\x03\xe8");
            assert_eq!(trial.client(&close), close);
            let is_parked = trial.parks(Peer::Upstream, &first);
            trial.input(Input::Trailers(Peer::Client), START);
            let puts = trial.outputs.iter().any(|output| matches!(output, Output::Send(Peer::Client, _)));
            assert_eq!(puts, is_parked, "{name}: behind {} bytes", first.len());
        }
    }
}
