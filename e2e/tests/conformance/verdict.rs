//! The verdict on a case: the frames that its client heard against those that it expects.

use crate::case::{Case, Expect, Judge};
use crate::conversation::{Conversation, Heard, Message, Opening};

/// The code that a Close without one counts as (RFC 6455 §7.1.5).
pub(crate) const NO_CODE: u16 = 1005;

/// Compares a conversation with an expectation, with Postern or without; `Ok` when it is met, and else the
/// difference.
pub(crate) fn verdict(expect: &Expect, talk: &Conversation) -> Result<(), String> {
    let (sent, heard) = (&talk.sent, &talk.heard);
    opened(expect, &talk.opening)?;
    if expect.status != 101 {
        return Ok(());
    }
    if !heard.illegal.is_empty() || !heard.trailing.is_empty() {
        return Err(format!("illegal {:?}, behind the Close {:?}", heard.illegal, heard.trailing));
    }
    let expected = expect.echo.of(&sent.messages);
    if heard.messages != expected {
        return Err(format!("{} came back, not {}", brief(&heard.messages), brief(expected)));
    }
    pongs(&heard.pongs, expect.pong.of(&sent.pings))?;
    match &expect.close {
        None => closed(heard, &[1000], false),
        Some(codes) => closed(heard, codes, expect.drop),
    }
}

/// Checks that a refusal or a Close that has to be Postern's gives one of the reasons that the case allows.
pub(crate) fn judged(case: &Case, talk: &Conversation) -> Result<(), String> {
    if case.expect.judge != Some(Judge::Postern) {
        return Ok(());
    }
    let reason = match &talk.heard.close {
        Some(close) => Some(close.reason()),
        None => talk.opening.reason.clone(),
    };
    match reason {
        Some(reason) if case.expect.reason.contains(&reason) => Ok(()),
        other => Err(format!("the reason is {other:?}, not one of {:?}", case.expect.reason)),
    }
}

/// Compares the choices that an expectation leaves to the server, with Postern and without: the extensions
/// that it has agreed on, and which messages it has compressed.
pub(crate) fn same(alone: &Conversation, with: &Conversation) -> Result<(), String> {
    let of = |talk: &Conversation| format!("{:?}, compressed {:?}", talk.opening, talk.heard.compressed);
    if of(alone) == of(with) { Ok(()) } else { Err(format!("{}; without Postern {}", of(with), of(alone))) }
}

fn opened(expect: &Expect, opening: &Opening) -> Result<(), String> {
    let agreed = expect.agreed.as_ref().unwrap_or(&opening.agreed);
    if opening.status == expect.status && opening.agreed == *agreed {
        return Ok(());
    }
    Err(format!("{opening:?}, not {} {agreed:?}", expect.status))
}

/// Checks that every Pong answers a Ping, in order, and that the last Ping is answered; others may be skipped
/// (RFC 6455 §5.5.3).
fn pongs(pongs: &[Vec<u8>], pings: &[Vec<u8>]) -> Result<(), String> {
    let mut left = pings.iter();
    let in_order = pongs.iter().all(|pong| left.any(|ping| ping == pong));
    if in_order && pongs.last() == pings.last() {
        return Ok(());
    }
    Err(format!("{} Pongs do not answer {} Pings: {pongs:x?}", pongs.len(), pings.len()))
}

fn closed(heard: &Heard, codes: &[u16], drop: bool) -> Result<(), String> {
    match (&heard.close, &heard.end) {
        (Some(close), _) => {
            let code = close.code().unwrap_or(NO_CODE);
            let ok = codes.contains(&code) && close.payload.len() != 1;
            if ok { Ok(()) } else { Err(format!("Close {code} {:?}, not {codes:?}", close.reason())) }
        }
        (None, Some(_)) if drop => Ok(()),
        (None, Some(end)) => Err(format!("no Close {codes:?} before the end ({end:?})")),
        (None, None) => Err(format!("no Close {codes:?} in time")),
    }
}

fn brief(messages: &[Message]) -> String {
    let shown: Vec<String> = messages
        .iter()
        .map(|(opcode, payload)| {
            format!("{opcode}:{} B {:x?}", payload.len(), &payload[..payload.len().min(16)])
        })
        .collect();
    format!("[{}]", shown.join(", "))
}
