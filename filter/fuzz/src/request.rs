//! A request, through the choice of its policy and all its rules.
//!
//! Input: a byte for the route, one for the connection, one for the answers of buckets, one whose
//! lowest bit lays the lines over a sound handshake; then lines `name: value`. A request gets one
//! answer; what goes up has no token, extension offer or header for claims of the client's own.

use std::time::Duration;

use arbitrary::Unstructured;
use postern_config::header_name::is_same_to_a_gateway;
use postern_config::{Carrier, Config};
use postern_engine::auth::carrier::extract;
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::http::headers::{Field, HeaderEdit, Headers};
use postern_engine::rate::{BucketRequest, Charged, Outcome, Shared};
use postern_engine::{Event, Input, Output, Reply, Selection, Session, is_upgrade};

use crate::fixture::{NOW, document, fields, handshake, head, route, with_engine};
use crate::line::assert_tells;
use crate::tables::Open;

/// There are three rates of handshakes.
const MAX_QUESTIONS: usize = 3;

thread_local! {
    static CARRIERS: Vec<Carrier> = {
        let config = Config::from_value(document()).expect("the fixture is sound");
        config.policies["chat"].auth.as_ref().expect("chat asks for tokens").from.clone()
    };
    /// To the policy `once` alone a CSRF token is one.
    static CSRF: Vec<Carrier> = vec![Carrier::Query("csrf_token".to_owned())];
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let [choice, flags, answers, over] = input.arbitrary::<[u8; 4]>().unwrap_or_default();
    let mut request = fields(input.take_rest());
    if over & 1 != 0 {
        let own = handshake().into_iter().filter(|(name, _)| !request.iter().any(|(n, _)| n == name));
        request = own.chain(request.iter().cloned()).collect();
    }
    let head = head(request.clone(), flags);
    let upgrade = is_upgrade(&request);
    match with_engine(|engine| engine.select(&head, &route(choice))) {
        Selection::Pass(edits) => {
            assert!(!upgrade, "an upgrade passes unjudged");
            assert_eq!(claimants(&Headers::new(&request).edited(&edits)), [""; 0]);
        }
        Selection::Refuse(outputs) => {
            let replies = outputs.iter().filter(|output| matches!(output, Output::Reply(..))).count();
            assert_eq!(replies, 1);
        }
        Selection::Judge(mut session) => {
            let is_once = session.policy() == "once";
            let mut tables = Scripted { answers, questions: 0, refused: false, is_once };
            session.handle(Input::Request(head), &mut tables, NOW);
            judged(&mut session, request, tables.refused);
        }
    }
}

/// Tables that answer as the input says; there are three rates of handshakes.
struct Scripted {
    answers: u8,
    questions: usize,
    /// Whether one of them has refused.
    refused: bool,
    /// Whether tokens open one connection only.
    is_once: bool,
}

impl Shared for Scripted {
    fn charge(&mut self, request: &BucketRequest, _now: Duration) -> Outcome {
        self.questions += 1;
        assert!(self.questions <= MAX_QUESTIONS && request.tokens == 1);
        let outcome = match self.answers >> (2 * self.questions) & 3 {
            0 => Outcome::Full,
            1 => Outcome::Charged(Charged::Wait(NOW * u32::from(self.answers))),
            _ => Outcome::Charged(Charged::Taken),
        };
        self.refused |= outcome != Outcome::Charged(Charged::Taken);
        outcome
    }

    fn spend(&mut self, _ticket: &Ticket, _now: Duration) -> Spent {
        assert!(self.is_once && !self.refused);
        let spent = match self.answers & 3 {
            0 => Spent::Full,
            1 => Spent::Again,
            _ => Spent::First,
        };
        self.refused |= spent != Spent::First;
        spent
    }

    fn look(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        self.charge(request, now)
    }
}

fn judged(session: &mut Session, request: Vec<Field>, refused: bool) {
    let upgrade = is_upgrade(&request);
    let mut answered = false;
    while let Some(output) = session.poll_output() {
        match output {
            Output::Admit(edits) => {
                assert!(!answered && !refused, "a table refused it");
                answered = true;
                let up = Headers::new(&request).edited(&edits);
                // The policy `keep` lets other upgrades pass unjudged.
                if upgrade && session.policy() != "keep" {
                    admitted(&up);
                }
                if upgrade && session.policy() == "once" {
                    without_tokens(&up, session.policy());
                }
                if upgrade && session.policy() == "chat" {
                    without_tokens(&up, session.policy());
                }
                // Who shows a token is told of in this one field.
                assert!(matches!(claimants(&up)[..], [] | ["x-user-id"]));
                assert!(upgrade || claimants(&up).is_empty());
            }
            Output::Reply(edits, reply) => {
                assert!(!answered);
                answered = true;
                replied(&reply);
                if ["chat", "once"].contains(&session.policy()) && upgrade {
                    without_tokens(&Headers::new(&request).edited(&edits), session.policy());
                }
            }
            Output::Tell(Event::Refused { violation, .. }) => assert_tells(&violation),
            Output::Tell(_) => {}
            other => panic!("before the upstream has answered: {other:?}"),
        }
    }
    assert!(answered, "the request hangs");
    if !upgrade && session.reads_response() {
        paged(session, request);
    }
}

/// The fields of the request come back in the response, which may be a page of any kind.
fn paged(session: &mut Session, response: Vec<Field>) {
    session.handle(Input::Response(response), &mut Open, NOW);
    match session.poll_output() {
        Some(Output::AdmitResponse(edits)) => {
            assert!(
                edits.iter().all(|edit| matches!(edit, HeaderEdit::Add(..))),
                "the service's own is changed"
            );
        }
        Some(Output::Tell(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// The fields that a service might take for the one that carries a claim.
fn claimants(fields: &[Field]) -> Vec<&str> {
    let names = fields.iter().map(|(name, _)| name.as_str());
    names.filter(|name| is_same_to_a_gateway(name, "x-user-id")).collect()
}

/// What every upstream may rely on.
fn admitted(up: &[Field]) {
    let headers = Headers::new(up);
    assert_eq!(headers.all("sec-websocket-key").count(), 1);
    assert!(!headers.has("sec-websocket-extensions"));
    assert!(headers.list_has("connection", b"upgrade"));
}

fn without_tokens(left: &[Field], policy: &str) {
    let without = |carriers: &Vec<Carrier>| {
        let found = extract(Headers::new(left), carriers, false);
        assert!(found.candidates.is_empty(), "a token is left: {:?}", found.candidates);
    };
    CARRIERS.with(without);
    if policy == "once" {
        CSRF.with(without);
    }
}

fn replied(reply: &Reply) {
    let status = reply.reason.consequence().status;
    assert!((400..=599).contains(&status) && status != 500, "{:?}", reply.reason);
    let body: serde_json::Value = serde_json::from_slice(&reply.body).expect("a problem is JSON");
    assert_eq!(body["status"], status);
    for (name, value) in &reply.headers {
        assert!(!value.bytes().any(|b| b.is_ascii_control()), "{name}: {value}");
    }
}
