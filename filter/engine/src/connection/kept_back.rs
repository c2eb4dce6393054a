//! The time for which bytes of a message have been kept back that would not have been if all of it were
//! there.
//!
//! Memory that a peer has Postern take must be free again in time. So such a message must be whole in the
//! time that a frame has: a second more for every 16 KiB of it. A message that passes frame by frame holds
//! nothing, and may take as long as it likes.

use std::time::Duration;

use crate::moment::Moment;
use crate::peer::Peer;

use super::upload::at_slowest;

/// The waits for the rest of both peers' messages.
#[derive(Debug, Default)]
pub(super) struct Holds {
    client: Hold,
    upstream: Hold,
}

/// The wait for the rest of one peer's message.
#[derive(Debug, Default)]
pub(super) struct Hold {
    since: Option<Moment>,
    /// The time up to which excuses have been taken into account.
    excused_at: Option<Moment>,
}

impl Holds {
    pub(super) fn of(&mut self, sender: Peer) -> &mut Hold {
        match sender {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }

    /// Returns the time by which the sender's message must be there, of which `len` bytes are known of.
    pub(super) fn ends_at(&self, sender: Peer, len: u64, idle_timeout: Duration) -> Option<Moment> {
        let hold = match sender {
            Peer::Client => &self.client,
            Peer::Upstream => &self.upstream,
        };
        hold.ends_at(len, idle_timeout)
    }

    /// Moves the times with a clock that was set back.
    pub(super) fn set_back(&mut self, by: Duration) {
        self.client.set_back(by);
        self.upstream.set_back(by);
    }
}

impl Hold {
    /// Notes whether something is kept back. A wait `begins` anew if nothing was kept back in between.
    pub(super) fn note(&mut self, is_kept: bool, begins: bool, now: Moment) {
        self.since = match self.since {
            _ if !is_kept => None,
            Some(since) if !begins => Some(since),
            _ => Some(now),
        };
    }

    fn ends_at(&self, len: u64, idle_timeout: Duration) -> Option<Moment> {
        self.since.map(|since| since.after(idle_timeout.saturating_add(at_slowest(len))))
    }

    /// Puts the end of the wait off, since nobody could hear the sender for so long.
    pub(super) fn excuse(&mut self, time: Duration) {
        self.since = self.since.map(|since| since.after(time));
    }

    /// Puts the end of the wait off by the time since `from` in which nobody could hear the sender, as far as
    /// that has not been taken into account.
    pub(super) fn excuse_from(&mut self, from: Moment, now: Moment) {
        let from = self.excused_at.replace(now).map_or(from, |excused_at| from.max(excused_at));
        self.excuse(Duration::from(now).saturating_sub(from.into()));
    }

    fn set_back(&mut self, by: Duration) {
        for at in [&mut self.since, &mut self.excused_at] {
            *at = at.map(|at| at.before(by));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_time_from_where_nothing_was_kept_back() {
        let at = |second: u64| Moment::from(Duration::from_secs(1_800_000_000 + second));
        let idle_timeout = Duration::from_secs(30);
        let mut hold = Hold::default();
        assert_eq!(hold.ends_at(0, idle_timeout), None);
        hold.note(true, false, at(0));
        hold.note(true, false, at(5));
        assert_eq!(hold.ends_at(16 * 1024, idle_timeout), Some(at(31)));
        hold.excuse(Duration::from_secs(4));
        hold.set_back(Duration::from_secs(1));
        assert_eq!(hold.ends_at(0, idle_timeout), Some(at(33)));
        hold.excuse_from(at(10), at(12));
        hold.excuse_from(at(10), at(15));
        assert_eq!(hold.ends_at(0, idle_timeout), Some(at(38)), "no time counts twice");
        hold.note(true, true, at(7));
        assert_eq!(hold.ends_at(0, idle_timeout), Some(at(37)), "another message");
        hold.note(false, true, at(8));
        assert_eq!(hold.ends_at(0, idle_timeout), None);
    }
}
