//! The tally of what went through, counted without a host call.

use std::rc::Rc;
use std::time::Duration;

use super::Sizes;
use super::measures::Shared;
use crate::peer::Peer;

/// The numbers of messages in one direction, by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Messages {
    /// Messages that began to pass.
    pub allowed: u64,
    /// Messages that were meant for Postern, which took them.
    pub consumed: u64,
    /// Messages that were discarded.
    pub dropped: u64,
    /// Messages that ended the connection.
    pub refused: u64,
    /// Messages among those that began to pass which were not judged to their end: a bound that is shadowed did not hold.
    pub unjudged: u64,
    /// Payload bytes of frames that passed, as their headers declare them.
    pub bytes: u64,
}

/// The numbers of Postern's own Pings, and the changes of what they can reach.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Heartbeats {
    /// Own Pings to the client.
    pub to_client: u64,
    /// Own Pings to the upstream.
    pub to_upstream: u64,
    /// The change of the number of open connections on which Postern cannot speak before a peer does.
    pub out_of_reach: i64,
    /// The change of the number of streams towards clients that are parked.
    pub parked_to_client: i64,
    /// The change of the number of streams towards upstreams that are parked.
    pub parked_to_upstream: i64,
}

/// The counts of both directions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages from the client.
    pub client: Messages,
    /// Messages from the upstream.
    pub upstream: Messages,
    /// The most bytes that the client had not yet read, as far as is known, if the policy limits them.
    pub backlog: Option<u64>,
    /// The own Pings.
    pub heartbeats: Heartbeats,
}

/// The sums of one direction over the whole connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// Messages that began to pass.
    pub messages: u64,
    /// Payload bytes of frames that passed, as their headers declare them.
    pub bytes: u64,
}

/// The counts of one session, which take room only once something was counted, and then keep it, beside the
/// measures that it shares with others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    sums: Option<Box<Sums>>,
    measures: Rc<Shared>,
}

/// The counts of both directions.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sums {
    /// The client's messages since they were last taken.
    client: Messages,
    /// The upstream's.
    upstream: Messages,
    /// What had passed from the client when they were.
    from_client: Passed,
    /// What had passed from the upstream.
    from_upstream: Passed,
}

impl Counts {
    /// Creates the counts of a session that shares these measures.
    pub(crate) fn new(measures: &Rc<Shared>) -> Self {
        Self { sums: None, measures: Rc::clone(measures) }
    }

    /// Takes the messages that were counted since the last call.
    pub(crate) fn take(&mut self) -> Tally {
        let Some(sums) = &mut self.sums else { return Tally::default() };
        let [client, upstream] = [&mut sums.client, &mut sums.upstream].map(std::mem::take);
        sums.from_client.add(&client);
        sums.from_upstream.add(&upstream);
        Tally { client, upstream, ..Tally::default() }
    }

    /// Returns what has passed from `sender` over the whole connection.
    pub(crate) fn passed(&self, sender: Peer) -> Passed {
        let Some(sums) = &self.sums else { return Passed::default() };
        let (mut passed, since) = match sender {
            Peer::Client => (sums.from_client, &sums.client),
            Peer::Upstream => (sums.from_upstream, &sums.upstream),
        };
        passed.add(since);
        passed
    }

    /// Counts the size of a message that is whole, in payload bytes.
    pub(crate) fn size(&self, sender: Peer, len: u64) {
        self.measures.size(sender, len);
    }

    /// Counts the sizes of messages, which come to `bytes` payload bytes together.
    pub(crate) fn sizes(&self, sender: Peer, sizes: &Sizes, bytes: u64) {
        self.measures.sizes(sender, sizes, bytes);
    }

    /// Counts the time in which `receiver` has answered an own Ping.
    pub(crate) fn round_trip(&self, receiver: Peer, time: Duration) {
        self.measures.round_trip(receiver, time);
    }

    /// Counts a message that ended the connection.
    pub(crate) fn refused(&mut self, sender: Peer) {
        self.room().of(sender).refused += 1;
    }

    /// Counts a message that was discarded.
    pub(crate) fn dropped(&mut self, sender: Peer) {
        self.room().of(sender).dropped += 1;
    }

    /// Counts a message that was meant for Postern.
    pub(crate) fn consumed(&mut self, sender: Peer) {
        self.room().of(sender).consumed += 1;
    }

    /// Counts messages that began to pass.
    pub(crate) fn allowed(&mut self, sender: Peer, messages: u64) {
        self.room().of(sender).allowed += messages;
    }

    /// Counts a message of which the rest passes unjudged.
    pub(crate) fn unjudged(&mut self, sender: Peer) {
        self.room().of(sender).unjudged += 1;
    }

    /// Counts payload bytes that pass.
    pub(crate) fn bytes(&mut self, sender: Peer, len: u64) {
        if len == 0 {
            return;
        }
        let messages = self.room().of(sender);
        messages.bytes = messages.bytes.saturating_add(len);
    }

    fn room(&mut self) -> &mut Sums {
        self.sums.get_or_insert_default()
    }
}

impl Tally {
    /// Says whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Adds another count to this one.
    pub fn add(&mut self, other: &Self) {
        self.client.add(&other.client);
        self.upstream.add(&other.upstream);
        self.backlog = self.backlog.max(other.backlog);
        self.heartbeats.add(other.heartbeats);
    }
}

impl Heartbeats {
    fn add(&mut self, other: Self) {
        let Self { to_client, to_upstream, out_of_reach, parked_to_client, parked_to_upstream } = other;
        self.to_client = self.to_client.saturating_add(to_client);
        self.to_upstream = self.to_upstream.saturating_add(to_upstream);
        for (sum, change) in [
            (&mut self.out_of_reach, out_of_reach),
            (&mut self.parked_to_client, parked_to_client),
            (&mut self.parked_to_upstream, parked_to_upstream),
        ] {
            *sum = sum.saturating_add(change);
        }
    }
}

impl Sums {
    fn of(&mut self, sender: Peer) -> &mut Messages {
        match sender {
            Peer::Client => &mut self.client,
            Peer::Upstream => &mut self.upstream,
        }
    }
}

impl Passed {
    fn add(&mut self, since: &Messages) {
        self.messages = self.messages.saturating_add(since.allowed);
        self.bytes = self.bytes.saturating_add(since.bytes);
    }
}

impl Messages {
    fn add(&mut self, other: &Self) {
        let Self { allowed, consumed, dropped, refused, unjudged, bytes } = other;
        for (sum, more) in [
            (&mut self.allowed, allowed),
            (&mut self.consumed, consumed),
            (&mut self.dropped, dropped),
            (&mut self.refused, refused),
            (&mut self.unjudged, unjudged),
            (&mut self.bytes, bytes),
        ] {
            *sum = sum.saturating_add(*more);
        }
    }
}
