//! An answer of a rate limit service, to the question of a handshake.
//!
//! Input: a byte for the gRPC status, and the message. Whatever it is, the handshake has its end then: it goes up, or
//! is refused for the count, or for want of an answer.

use std::time::Duration;

use postern_config::Config;
use postern_engine::remote::rate_limit::{Answer, Purpose};
use postern_engine::{Input, Output, Reason, RouteFacts, Selection};
use serde_json::json;

use crate::fixture::{NOW, compile, handshake, head};
use crate::tables::Open;

thread_local! {
    static CONFIG: Config = Config::from_value(json!({
            "policies": {"chat": {
                "tls": "optional",
                "origins": {"allow": ["*"], "missing": "allow"},
                "auth": "none",
                "rates": [],
                "global_rate_limit": {"cluster": "ratelimit", "domain": "postern", "failure": "deny"},
            }},
            "default_policy": "chat",
        }))
        .expect("the document is sound");
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let (&status, message) = input.split_first().unwrap_or((&0, &[]));
    // HTTP/1.1.
    let head = head(handshake(), 2 << 2);
    // A service that did not answer before would not be asked.
    let engine = CONFIG.with(|config| compile(config.clone()));
    let selection = engine.select(&head, &RouteFacts::default());
    let Selection::Judge(mut session) = selection else { panic!("the policy judges every request") };
    session.handle(Input::Request(head), &mut Open, NOW);
    let Some(Output::Ask(question)) = session.poll_output() else { panic!("the service is asked") };
    assert!(matches!(session.poll_output(), Some(Output::HoldHandshake(_))));
    let answer = question.service.take_answer(Purpose::Question, status.into(), message);
    if let Answer::Over(Some(wait)) = answer {
        assert!(wait <= Duration::from_secs(24 * 60 * 60), "{wait:?}");
    }
    session.handle(Input::RateLimitAnswered(question.number, answer), &mut Open, NOW);
    let expected = match answer {
        Answer::Within => None,
        Answer::Over(_) => Some(Reason::GlobalRate),
        Answer::None => Some(Reason::RateLimitUnavailable),
    };
    assert!(status == 0 || answer == Answer::None, "a call that failed has no answer");
    let mut told = None;
    let mut ends = 0;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Admit(_) => ends += 1,
            Output::Reply(_, reply) => (told, ends) = (Some(reply.reason), ends + 1),
            _ => {}
        }
    }
    assert_eq!((told, ends), (expected, 1));
}
