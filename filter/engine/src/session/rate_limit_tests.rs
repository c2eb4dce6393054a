//! The rate limit service in a session: what the host is asked to do, and what becomes of its answers.

use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::engine::{RouteFacts, Selection};
use crate::remote::rate_limit::{Answer, Question};
use crate::testing::{Tables, engine, request};

const START: Duration = Duration::from_secs(1_800_000_000);
const TIMEOUT: Duration = Duration::from_millis(50);

/// Returns a session whose handshake asks a service, and the tables.
fn asking(keys: &Value) -> (Box<Session>, Tables) {
    let mut rule = json!({"cluster": "ratelimit", "domain": "postern"});
    for (key, value) in keys.as_object().unwrap() {
        rule[key] = value.clone();
    }
    let engine = engine(json!({"rates": [], "global_rate_limit": rule}));
    let (head, mut tables) = (request(), Tables::default());
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), &mut tables, START);
    (session, tables)
}

fn question(session: &mut Session) -> Box<Question> {
    match session.poll_output() {
        Some(Output::Ask(question)) => question,
        other => panic!("{other:?} is no question"),
    }
}

fn outputs(session: &mut Session) -> Vec<&'static str> {
    std::iter::from_fn(|| session.poll_output())
        .map(|output| match output {
            Output::Admit(_) => "admit",
            Output::Ask(_) => "ask",
            Output::HoldHandshake(_) => "hold",
            Output::Reply(..) => "reply",
            Output::ResumeRequest => "resume",
            Output::Tell(_) => "tell",
            other => panic!("{other:?}"),
        })
        .collect()
}

#[test]
fn a_request_is_not_held_if_the_host_makes_no_call() {
    for (failure, expected) in [("allow", vec!["admit"]), ("deny", vec!["tell", "reply"])] {
        let (mut session, mut tables) = asking(&json!({"failure": failure}));
        let question = question(&mut session);
        session.handle(Input::RateLimitAnswered(question.number, Answer::None), &mut tables, START);
        assert_eq!(outputs(&mut session), expected);
        assert!(!session.is_waiting());
    }
}

#[test]
fn a_held_request_goes_on_with_its_answer() {
    for (answer, expected) in [
        (Answer::Within, vec!["admit", "resume"]),
        (Answer::Over(None), vec!["tell", "reply"]),
        (Answer::None, vec!["admit", "resume"]),
    ] {
        let (mut session, mut tables) = asking(&json!({}));
        let question = question(&mut session);
        assert_eq!(outputs(&mut session), ["hold"]);
        assert_eq!(session.deadline(), Some(START + TIMEOUT));
        session.handle(Input::RateLimitAnswered(question.number, answer), &mut tables, START);
        assert_eq!(outputs(&mut session), expected, "{answer:?}");
    }
}

#[test]
fn an_answer_to_another_question_changes_nothing() {
    let (mut session, mut tables) = asking(&json!({"counts": ["handshakes", "connections"]}));
    let first = question(&mut session);
    assert_eq!(outputs(&mut session), ["hold"]);
    session.handle(Input::RateLimitAnswered(first.number + 1, Answer::Over(None)), &mut tables, START);
    assert_eq!(outputs(&mut session), [""; 0]);
    session.handle(Input::RateLimitAnswered(first.number, Answer::Within), &mut tables, START);
    let second = question(&mut session);
    assert_ne!(first.number, second.number);
    session.handle(Input::RateLimitAnswered(first.number, Answer::Over(None)), &mut tables, START);
    assert_eq!(outputs(&mut session), [""; 0], "an answer comes once");
    session.handle(Input::Timer, &mut tables, START + TIMEOUT);
    assert_eq!(outputs(&mut session), ["admit", "resume"]);
    session.handle(Input::RateLimitAnswered(second.number, Answer::Over(None)), &mut tables, START + TIMEOUT);
    assert_eq!(outputs(&mut session), [""; 0], "an answer that is late");
}

#[test]
fn a_question_that_would_be_held_without_memory_is_not_asked() {
    let engine =
        engine(json!({"rates": [], "global_rate_limit": {"cluster": "ratelimit", "domain": "postern"}}));
    for _ in 0..2000 {
        let (head, mut tables) = (request(), Tables::default());
        let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
            panic!("the policy judges every request");
        };
        session.handle(Input::MemoryFull, &mut tables, START);
        session.handle(Input::Request(head), &mut tables, START);
        assert_eq!(outputs(&mut session), ["tell", "reply"]);
    }
    let (head, mut tables) = (request(), Tables::default());
    let Selection::Judge(mut session) = engine.select(&head, &RouteFacts::default()) else {
        panic!("the policy judges every request");
    };
    session.handle(Input::Request(head), &mut tables, START);
    question(&mut session);
}
