//! An open connection, driven as the filter drives it.

use std::time::Duration;

use postern_engine::http::headers::Headers;
use postern_engine::{Event, Input, Messages, Output, Peer, Reason, Session, Tally, Violation};

use crate::fixture::{EXTENSIONS, NOW, admitted_under, agreement};
use crate::stream::{Context, StreamPolicy, context};
use crate::tables::{Open, Slots};

/// One connection, and what became of it so far.
pub(crate) struct Line {
    session: Session,
    now: Duration,
    slots: Slots,
    /// What the client has been told of extensions.
    agreed: String,
    pub(crate) seen: Seen,
}

/// What can be seen of a connection from outside.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) to_upstream: Vec<u8>,
    pub(crate) to_client: Vec<u8>,
    pub(crate) closed: Option<Reason>,
    pub(crate) reset: bool,
    pub(crate) tally: Tally,
}

impl Line {
    /// A connection whose upstream has agreed, to this extension if one is named.
    pub(crate) fn open(policy: &StreamPolicy, extension: Option<&str>) -> Self {
        let mut session = admitted_under(policy).expect("the policy wants no token");
        let mut response = agreement();
        response.extend(extension.map(|extension| (EXTENSIONS.to_owned(), extension.into())));
        session.handle(Input::Response(response.clone()), &mut Open, NOW);
        let Some(Output::AdmitResponse(edits)) = session.poll_output() else { panic!("it is sound") };
        let told = Headers::new(&response).edited(&edits).into_iter().find(|(name, _)| name == EXTENSIONS);
        let agreed = told.map_or_else(String::new, |(_, value)| String::from_utf8_lossy(&value).into());
        let mut line = Self { session, now: NOW, slots: Slots::default(), agreed, seen: Seen::default() };
        line.perform();
        line
    }

    /// How `peer` compresses, where an extension was agreed on.
    pub(crate) fn context(&self, peer: Peer) -> Context {
        context(&self.agreed, peer)
    }

    /// A chunk from `peer`; `unread` where it may pass without being looked at.
    pub(crate) fn send(&mut self, peer: Peer, chunk: &[u8], unread: bool) {
        // An empty chunk of the upstream's is the start of the response, from where on Postern speaks by
        // itself: that is for a simulation, whose peers answer.
        if self.seen.reset || (chunk.is_empty() && peer == Peer::Upstream && self.seen.closed.is_none()) {
            return;
        }
        let passes = unread
            && (self.session.pass_unread(peer, chunk.len())
                || self.session.pass_plain(peer, &mut &chunk[..]).expect("the chunk is at hand"));
        let passed = if passes { chunk.to_vec() } else { self.judge(peer, chunk) };
        match peer {
            Peer::Client => self.seen.to_upstream.extend(passed),
            Peer::Upstream => self.seen.to_client.extend(passed),
        }
        self.perform();
    }

    /// Time passes, and the timer is not late.
    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        if !self.seen.reset && self.session.deadline().is_some_and(|deadline| deadline <= self.now) {
            self.handle(Input::Timer);
        }
    }

    fn judge(&mut self, peer: Peer, chunk: &[u8]) -> Vec<u8> {
        let judged = self.session.judge(peer, &mut &chunk[..], &mut self.slots, self.now);
        let passage = judged.expect("the chunk is at hand");
        let passed = passage.bytes(chunk);
        assert!(!passage.is_whole(chunk.len()) || passed == chunk);
        passed
    }

    fn handle(&mut self, input: Input) {
        self.session.handle(input, &mut self.slots, self.now);
        self.perform();
    }

    fn perform(&mut self) {
        let Self { session, seen, .. } = self;
        while let Some(output) = session.poll_output() {
            match output {
                Output::Send(Peer::Client, frame) => seen.to_client.extend(frame),
                Output::Send(Peer::Upstream, frame) => seen.to_upstream.extend(frame),
                Output::Reset => seen.reset = true,
                Output::Tell(Event::Closed { violation, .. }) => {
                    assert_tells(&violation);
                    assert!(seen.closed.replace(violation.reason).is_none(), "closed twice");
                }
                Output::Tell(Event::Opened) => {}
                other => panic!("on an open connection: {other:?}"),
            }
        }
        seen.tally.add(&session.take_tally());
    }
}

/// A violation is told in one line of the log, and where a clause was broken that says which.
pub(crate) fn assert_tells(violation: &Violation) {
    let line = violation.to_string();
    let rule = line.strip_prefix("rule=").and_then(|rest| rest.split(' ').next());
    assert!(rule.is_some_and(|rule| !rule.is_empty()), "{line}");
    assert!(line.len() < 1024 && !line.chars().any(char::is_control), "{line}");
    let has_cause = violation.cause.is_some();
    let of_clause = matches!(
        violation.reason,
        Reason::ProtocolError
            | Reason::MalformedHandshake
            | Reason::UpstreamHandshakeInvalid
            | Reason::InvalidUtf8
            | Reason::Internal
            | Reason::TokenInvalid
    );
    assert!(has_cause || !of_clause, "{:?} without a cause", violation.reason);
}

impl Seen {
    /// What went on of the bytes that `peer` sent, and what came in their place.
    pub(crate) fn passed(&self, peer: Peer) -> &[u8] {
        match peer {
            Peer::Client => &self.to_upstream,
            Peer::Upstream => &self.to_client,
        }
    }

    /// What was counted of the bytes that `peer` sent.
    pub(crate) fn messages(&self, peer: Peer) -> &Messages {
        match peer {
            Peer::Client => &self.tally.client,
            Peer::Upstream => &self.tally.upstream,
        }
    }
}
