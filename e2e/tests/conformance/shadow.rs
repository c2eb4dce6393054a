//! The cases once more under the same policies in shadow: client and server see what they see without Postern, and the
//! access log says for which reason Postern would have refused or closed.

use std::collections::BTreeMap;

use postern_e2e::RunningScene;
use postern_e2e::deadline::{PATIENCE, eventually};

use crate::conversation::Conversation;
use crate::verdict::NO_CODE;

/// Fields of a response that differ from one request to the next.
const VOLATILE: [&str; 3] = ["date", "sec-websocket-accept", "x-envoy-upstream-service-time"];

/// Cases of which something else is told in shadow, and why.
const TOLD_OTHERWISE: [(&str, &str); 1] =
    [("reserved/compressed without leave", "the offer stays in the request, so that the server gives leave")];

/// Says whether something else may be told of a case in shadow than where its policy is enforced.
pub(crate) fn is_told_otherwise(case: &str) -> bool {
    TOLD_OTHERWISE.iter().any(|(id, _)| *id == case)
}

/// Compares all that a client saw with what it saw without Postern. How a stream ended behind its Close is left to the
/// server, and so is how much it had answered before it failed a connection: it reads a text some time after it answered
/// the Ping behind it, or some time before.
pub(crate) fn unchanged(alone: &Conversation, shadowed: &Conversation) -> Result<(), String> {
    let both_failed = [alone, shadowed].iter().all(|talk| has_failed(talk));
    let [answered, pongs] = if both_failed {
        let fewer = |count: fn(&Conversation) -> usize| count(alone).min(count(shadowed));
        [fewer(|talk| talk.heard.messages.len()), fewer(|talk| talk.heard.pongs.len())]
    } else {
        [usize::MAX; 2]
    };
    let of = |talk: &Conversation| {
        let heard = &talk.heard;
        let fields = talk.fields.0.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
        format!(
            "{:?} {:?}, messages {:x?} compressed {:?}, Pongs {:x?}, {:?}, behind it {:?}, illegal {:?}",
            talk.opening,
            fields.collect::<Vec<_>>(),
            heard.messages.iter().take(answered).collect::<Vec<_>>(),
            heard.compressed.iter().take(answered).collect::<Vec<_>>(),
            heard.pongs.iter().take(pongs).collect::<Vec<_>>(),
            heard.close,
            heard.trailing,
            heard.illegal
        )
    };
    if of(alone) == of(shadowed) {
        return Ok(());
    }
    let brief = |talk: &Conversation| of(talk).chars().take(2000).collect::<String>();
    Err(format!("{}; without Postern {}", brief(shadowed), brief(alone)))
}

/// Says whether the server failed the connection (RFC 6455 §7.1.7), rather than to close it in agreement.
fn has_failed(talk: &Conversation) -> bool {
    let code = talk.heard.close.as_ref().and_then(|close| close.code());
    code.is_some_and(|code| code > 1001 && code < 3000 && code != NO_CODE)
}

/// Returns the reason that the access log has of each of these connections, which are over.
pub(crate) async fn reasons(scene: &RunningScene, ids: &[&str]) -> BTreeMap<String, Option<String>> {
    let of_lines = || {
        let lines = scene.access_lines().into_iter();
        let reasons: BTreeMap<_, _> = lines
            .filter_map(|line| {
                let reason = line["reason"].as_str().map(str::to_owned);
                Some((line["case"].as_str()?.to_owned(), reason))
            })
            .collect();
        ids.iter().all(|id| reasons.contains_key(*id)).then_some(reasons)
    };
    eventually(PATIENCE, "a line of the access log for every case", of_lines).await
}
