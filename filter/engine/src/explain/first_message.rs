//! A token that comes in the first message of a connection: the connection is opened and the message judged, as any is.

use std::time::Duration;

use serde_json::{Map, Value};

use super::FirstMessageVerdict;
use crate::auth::admit::admit;
use crate::auth::claims::Claims;
use crate::decision::reason::Reason;
use crate::decision::{Findings, Rule, Violation};
use crate::http::headers::Field;
use crate::peer::Peer;
use crate::rate::Shared;
use crate::remote::rate_limit::Answer;
use crate::ruleset::Ruleset;
use crate::session::{Event, Input, Output, Session};

/// The next thing to do with the connection.
enum Next {
    /// The rate limit service answers the question of this number.
    Answer(u32),
    /// The message is judged, be it that it comes or that the host held it.
    Judge,
    /// Time passes until something is due.
    Wait,
}

/// The most things that a first message waits for, one after another.
pub(super) const MOST_WAITS: usize = 16;

/// Judges the message that brings `token`, on the connection that the handshake of `session` opens.
pub(super) fn judge(
    session: &mut Session,
    ruleset: &Ruleset,
    token: &[u8],
    shared: &mut dyn Shared,
    mut now: Duration,
) -> FirstMessageVerdict {
    let Some(response) = agreement(session) else { return unsettled() };
    session.handle(Input::Response(response), shared, now);
    let message = frame(&message(ruleset, token));
    let mut next = Next::Judge;
    for _ in 0..MOST_WAITS {
        match next {
            Next::Answer(number) => {
                session.handle(Input::RateLimitAnswered(number, Answer::Within), shared, now);
                // What waited for the answer goes on by the next timer.
                session.handle(Input::Timer, shared, now);
            }
            Next::Judge => {
                let judged = session.judge(Peer::Client, &mut message.as_slice(), shared, now);
                if judged.is_err() {
                    return unsettled();
                }
            }
            Next::Wait => {
                now = session.deadline().unwrap_or(now).max(now);
                session.handle(Input::Timer, shared, now);
            }
        }
        let mut asked = None;
        while let Some(output) = session.poll_output() {
            match output {
                Output::Tell(Event::Refused { violation, .. } | Event::Closed { violation, .. }) => {
                    session.handle(Input::Ended, shared, now);
                    return FirstMessageVerdict::Closed(violation);
                }
                Output::Ask(question) => asked = Some(Next::Answer(question.number)),
                Output::ReleaseRequest(_) => asked = Some(Next::Judge),
                _ => {}
            }
        }
        next = match asked {
            Some(next) => next,
            None if session.is_waiting() => Next::Wait,
            None => return FirstMessageVerdict::Accepted,
        };
    }
    unsettled()
}

/// Returns the claims of a token that the connection has accepted.
pub(super) fn claims(ruleset: &Ruleset, token: &[u8], address: &[u8], now: Duration) -> Option<Claims> {
    let auth = ruleset.policy.auth.as_ref()?;
    admit(token, auth, ruleset, (address, None), &mut Findings::default(), now).ok()
}

/// Returns the response that agrees to the handshake of `session`, if one went up.
fn agreement(session: &Session) -> Option<Vec<Field>> {
    let (expected, _) = session.terms()?;
    let field = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    Some(vec![
        field(":status", "101"),
        field("upgrade", "websocket"),
        field("connection", "Upgrade"),
        field("sec-websocket-accept", &expected.accept()),
    ])
}

/// Returns the text of a first message that has `token` in its place.
fn message(ruleset: &Ruleset, token: &[u8]) -> Vec<u8> {
    let place = ruleset.policy.auth.as_ref().and_then(|auth| auth.first_message());
    let Some(place) = place else { return Vec::new() };
    let names: Vec<String> = place.pointer.names().collect();
    let around = |inner: Value, name: &String| Value::Object(Map::from_iter([(name.clone(), inner)]));
    let token = Value::String(String::from_utf8_lossy(token).into_owned());
    let json = names.iter().rev().fold(token, around);
    format!("{}{json}", place.prefix).into_bytes()
}

/// Returns the masked frame of a whole text message. Its mask is zero: nobody but the session sees it.
fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(len @ 0..=125), _) => frame.push(0x80 | len),
        (_, Ok(len)) => {
            frame.push(0xfe);
            frame.extend(len.to_be_bytes());
        }
        _ => {
            frame.push(0xff);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// Returns the verdict where the judgement came to no end, which counts as a refusal.
fn unsettled() -> FirstMessageVerdict {
    FirstMessageVerdict::Closed(Violation::by(Peer::Client, Rule::Auth, Reason::AuthTimeout))
}
