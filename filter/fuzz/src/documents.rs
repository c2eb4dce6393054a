//! What is fetched from clusters, and what is shared of it.
//!
//! Input: a document, which is also taken for a shared record and a shared document.

use std::time::Duration;

use postern_config::Config;
use postern_engine::remote::{Answer, Settled, Step};
use serde_json::json;

use crate::fixture::{NOW, compile};

const HOLDER: u64 = 1;

thread_local! {
    static CONFIG: Config = Config::from_value(json!({
            "providers": {"main": {
                "issuer": "main",
                "audiences": ["chat"],
                "jwks": {"remote": {"cluster": "auth", "uri": "https://auth.example.com/"}},
            }},
            "policies": {"chat": {
                "origins": {"allow": ["*"]},
                "auth": {
                    "providers": ["main"],
                    "from": [{"header": "authorization"}],
                    "revocation": {"cluster": "auth", "path": "/"},
                },
            }},
        }))
        .expect("the document is sound");
}

/// Runs one input.
pub fn run(input: &[u8]) {
    CONFIG.with(|config| {
        for source in compile(config.clone()).sources() {
            // Whatever a worker finds written, it goes on.
            if source.look(input, HOLDER, NOW) == Step::Read {
                source.take_up(input);
            }
            // An hour later everything is due.
            let Step::Claim(record) = source.look(&[], HOLDER, NOW + Duration::from_secs(3600)) else {
                panic!("nothing was fetched, and nothing is due");
            };
            let now = NOW + Duration::from_secs(3600);
            let answer = Answer { status: b"200", len: input.len(), body: input };
            let Ok(outcome) = source.judge(&answer) else {
                source.take_up(input);
                continue;
            };
            let settled = source.settle(&record, outcome, input, HOLDER, now);
            let Settled::Swap { document: Some(document), record } = settled else {
                panic!("{settled:?} of a new document");
            };
            assert_eq!(source.look(&record, HOLDER, now), Step::Read);
            assert!(source.take_up(&document), "what one worker takes every worker takes");
        }
    });
}
