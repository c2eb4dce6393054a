//! Streams that are over while something was still to be done on them.

use serde_json::{Value, json};

use super::tests::{START, Trial};
use super::*;
use crate::testing::from_client;

/// Of what is to be done because memory was exceeded, nothing has been done yet.
fn exceeded(mut trial: Trial) -> Trial {
    trial.outputs.clear();
    trial.session.handle(Input::MemoryExceeded, START);
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
        trial.session.handle(Input::Ended, START);
        let left: Vec<_> = std::iter::from_fn(|| trial.session.poll_output()).collect();
        assert!(
            matches!(
                left[..],
                [Output::Tell(
                    Event::Closed { reason: Reason::MemoryExceeded, .. }
                        | Event::Refused { reason: Reason::MemoryExceeded, .. }
                )]
            ),
            "{name}: {left:?}"
        );
    }
}
