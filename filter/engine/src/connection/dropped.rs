//! The answers to messages that were dropped for what they say (`on_violation: drop`), to either sender.
//!
//! Knows how many may be sent, which wait and how they read; where they may stand is decided elsewhere.

use std::time::Duration;

use crate::decision::reason::Reason;
use crate::peer::Peer;
use crate::rate::{Bucket, Charged, Quota};
use crate::websocket::short_frame::{MAX_PAYLOAD, short_frame};

/// The number of answers that one sender is given: one a second, and ten at once. More would answer a flood by a flood.
const ANSWERS: Quota = Quota::per_second(1).with_burst(10);

/// The greatest length of one answer, in bytes: its header, a masking key and the longest text.
const MAX_LEN: usize = 2 + 4 + MAX_PAYLOAD;

/// The answers to both senders.
#[derive(Debug, Default)]
pub(super) struct Dropped {
    client: Answers,
    upstream: Answers,
}

/// The answers to one sender.
#[derive(Debug, Default)]
struct Answers {
    bucket: Bucket,
    /// The reasons of the messages whose answers wait; at most as many as may be sent at once.
    waiting: Vec<Reason>,
}

impl Dropped {
    /// Notes that a message of `sender` was dropped at `now`. It is answered, unless too many have been.
    pub(super) fn note(&mut self, sender: Peer, reason: Reason, now: Duration) {
        let answers = self.of(sender);
        if answers.waiting.len() < 10 && answers.bucket.take(ANSWERS, 1, now) == Charged::Taken {
            answers.waiting.push(reason);
        }
    }

    /// Returns the greatest length of what waits for `sender`, in bytes; 0 if nothing does.
    pub(super) fn max_len(&self, sender: Peer) -> usize {
        let answers = match sender {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        };
        answers.waiting.len() * MAX_LEN
    }

    /// Takes what waits for `sender`: text messages of one frame each, masked with `key` if there is one.
    pub(super) fn take(&mut self, sender: Peer, key: Option<[u8; 4]>) -> Vec<u8> {
        let waiting = std::mem::take(&mut self.of(sender).waiting);
        let text = |reason: Reason| format!(r#"{{"postern":"message_refused","reason":"{}"}}"#, reason.id());
        waiting.into_iter().flat_map(|reason| short_frame(0x81, text(reason).as_bytes(), key)).collect()
    }

    fn of(&mut self, sender: Peer) -> &mut Answers {
        match sender {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn answers(dropped: &mut Dropped, now: Duration, messages: usize) -> usize {
        for _ in 0..messages {
            dropped.note(Peer::Client, Reason::SchemaViolation, now);
        }
        let most = dropped.max_len(Peer::Client);
        let answers = dropped.take(Peer::Client, None);
        assert!(answers.len() <= most);
        answers.len() / (2 + r#"{"postern":"message_refused","reason":"schema_violation"}"#.len())
    }

    #[test]
    fn a_flood_is_answered_ten_times_at_once_and_then_once_a_second() {
        let mut dropped = Dropped::default();
        assert_eq!(answers(&mut dropped, NOW, 1000), 10);
        assert_eq!(answers(&mut dropped, NOW, 1000), 0);
        assert_eq!(answers(&mut dropped, NOW + Duration::from_secs(3), 1000), 3);
        dropped.note(Peer::Upstream, Reason::JsonTooDeep, NOW);
        assert!(
            dropped.max_len(Peer::Client) == 0 && dropped.max_len(Peer::Upstream) > 0,
            "each has its own"
        );
    }

    #[test]
    fn an_answer_has_the_reason_and_is_masked_for_the_upstream_alone() {
        let mut dropped = Dropped::default();
        let text = br#"{"postern":"message_refused","reason":"claims_denied"}"#;
        dropped.note(Peer::Client, Reason::ClaimsDenied, NOW);
        assert_eq!(dropped.take(Peer::Client, None), short_frame(0x81, text, None));
        dropped.note(Peer::Upstream, Reason::ClaimsDenied, NOW);
        assert_eq!(
            dropped.take(Peer::Upstream, Some([1, 2, 3, 4])),
            short_frame(0x81, text, Some([1, 2, 3, 4]))
        );
        assert_eq!(dropped.take(Peer::Client, None), b"", "said once");
    }
}
