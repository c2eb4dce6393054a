//! The notices that Postern sends to the client as text: that its token was accepted, and that it ends soon.
//!
//! Knows which of them wait and how they read; where they may stand is decided elsewhere.

use std::time::Duration;

use crate::websocket::short_frame::{MAX_PAYLOAD, short_frame};

/// The notices that wait. Of two of a kind only the later one does.
#[derive(Debug, Default)]
pub(super) struct Notices {
    accepted: bool,
    expiring: bool,
}

/// The greatest length of all notices, in bytes: two frames with headers of two bytes.
pub(super) const MAX_LEN: usize = 2 * (2 + MAX_PAYLOAD);

impl Notices {
    /// Notes that a token has taken the place of the one before; `reply` says whether the client is told.
    pub(super) fn renew(&mut self, reply: bool) {
        *self = Self { accepted: reply, expiring: false };
    }

    /// Notes that the token ends soon.
    pub(super) fn give_notice(&mut self) {
        self.expiring = true;
    }

    /// Says whether a notice waits.
    pub(super) fn waits(&self) -> bool {
        self.accepted || self.expiring
    }

    /// Takes the notices as they read at `now` of a token that ends at `expires_at`, each a message of one frame. None waits any more.
    pub(super) fn take(&mut self, expires_at: Duration, now: Duration) -> Vec<u8> {
        let words = [
            (std::mem::take(&mut self.accepted), "token_accepted"),
            (std::mem::take(&mut self.expiring), "token_expiring"),
        ];
        let left = expires_at.saturating_sub(now);
        let seconds = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
        let said = words.into_iter().filter(|(waits, _)| *waits);
        said.flat_map(|(_, word)| {
            let text = format!("{{\"postern\":\"{word}\",\"expires_in\":{seconds}}}");
            short_frame(0x81, text.as_bytes(), None)
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn said(notices: &mut Notices, expires_at: Duration, now: Duration) -> Vec<u8> {
        assert!(notices.waits());
        let said = notices.take(expires_at, now);
        assert!(!notices.waits() && notices.take(expires_at, now).is_empty(), "said once");
        said
    }

    #[test]
    fn a_renewal_and_an_end_near_are_told_with_the_whole_seconds_left() {
        let mut notices = Notices::default();
        assert!(!notices.waits());
        let end = NOW + Duration::from_secs(300);
        notices.renew(true);
        let accepted = br#"{"postern":"token_accepted","expires_in":300}"#;
        assert_eq!(said(&mut notices, end, NOW), [&[0x81, 45][..], accepted].concat());
        notices.give_notice();
        let expiring = br#"{"postern":"token_expiring","expires_in":60}"#;
        let now = NOW + Duration::from_millis(240_900);
        assert_eq!(said(&mut notices, end, now), [&[0x81, 44][..], expiring].concat());
    }

    #[test]
    fn what_is_left_is_never_less_than_nothing_and_always_fits() {
        let mut notices = Notices::default();
        notices.renew(true);
        let late = said(&mut notices, NOW, NOW + Duration::from_secs(10));
        assert!(late.ends_with(br#""expires_in":0}"#));
        notices.renew(true);
        notices.give_notice();
        let both = said(&mut notices, Duration::MAX, Duration::ZERO);
        assert!(both.len() <= MAX_LEN && usize::from(both[1]) * 2 + 4 == both.len(), "{both:?}");
    }

    #[test]
    fn a_newer_token_takes_back_what_was_not_said_of_the_older() {
        let mut notices = Notices::default();
        notices.renew(true);
        notices.give_notice();
        notices.renew(false);
        assert!(!notices.waits());
        notices.renew(true);
        notices.renew(true);
        let said = said(&mut notices, NOW + Duration::from_secs(9), NOW);
        assert_eq!(said, [&[0x81, 43][..], br#"{"postern":"token_accepted","expires_in":9}"#].concat());
    }
}
