//! What is asked of other services: documents that are polled from Envoy clusters, by one mechanism for all of
//! them, and counts over the mesh ([`rate_limit`]).
//!
//! Of documents it owns when a document is due, which worker of an Envoy fetches it, whether it is good and what is at hand.
//! A [`Source`] makes no call and reads no clock: the host shows it what the workers share, and does what its
//! [`Step`] says. One worker at a time holds the lease, which ends by itself, so that a fleet of VMs asks
//! once and a dead worker is not waited for.

mod content;
pub mod rate_limit;
mod record;
mod registry;
mod server_info;
mod spec;
#[cfg(test)]
mod tests;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;
use std::time::Duration;

use siphasher::sip128::SipHasher13;

pub(crate) use content::Content;
use record::Record;
pub(crate) use registry::Sources;
use server_info::ServerState;
pub use spec::{Kind, Spec};

/// The time that a lease lasts longer than its fetch.
pub(crate) const MARGIN: Duration = Duration::from_secs(1);

/// The least time between two fetches that are asked for out of turn, over all workers.
const REFETCH: Duration = Duration::from_secs(10);

/// The time after which a failed fetch is tried again while there is nothing at hand. It doubles up to the
/// longest, which is also that of a source with something at hand.
const FIRST_RETRY: Duration = Duration::from_secs(1);
const LONGEST_RETRY: Duration = Duration::from_secs(10);

/// One polled document.
#[derive(Debug)]
pub struct Source {
    spec: Spec,
    record_key: String,
    document_key: String,
    /// The record as the workers last shared it.
    record: Cell<Record>,
    /// The number of the document at hand; 0 without one.
    at_hand: Cell<u64>,
    content: RefCell<Content>,
    /// The providers whose keys the document has.
    providers: RefCell<BTreeSet<String>>,
    /// Says whether a fetch is asked for out of turn.
    wanted: Cell<bool>,
    /// Says whether waiting for the document may have become pointless, or come to an end.
    stirred: Cell<bool>,
}

/// The next step of the host with a source.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// The host must swap this record for the one that it showed. If that succeeds, it must fetch the
    /// document; if not, it must show the source the record again.
    Claim(Vec<u8>),
    /// The host must read the shared document and hand it to [`Source::take_up`].
    Read,
    /// The host has nothing to do.
    Rest,
}

/// The answer to a fetch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer<'a> {
    /// The `:status` of the answer.
    pub status: &'a [u8],
    /// The length of the body, in bytes.
    pub len: usize,
    /// The body, if it is not too long.
    pub body: &'a [u8],
}

/// A fault of a document that was fetched, and its remedy. Shows nothing of the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {remedy}")]
pub struct DocumentFault {
    what: String,
    remedy: String,
}

impl DocumentFault {
    pub(crate) fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// The reason why a fetch has failed. Never shows what was fetched.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FetchError {
    /// Envoy made no call.
    #[error("Envoy does not know the cluster, or cannot call it now")]
    NotCalled,
    /// There was no answer.
    #[error("no answer")]
    NoAnswer,
    /// The status is not 200.
    #[error("the status is {0}")]
    Status(u16),
    /// The body is larger than [`Kind::max_bytes`].
    #[error("the answer is too large")]
    TooLarge,
    /// The body is not such a document.
    #[error("{0}")]
    Unusable(DocumentFault),
}

/// The outcome of a fetch, for the shared record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome(Option<u128>);

/// The changes that a fetch makes to what the workers share.
#[derive(Debug, PartialEq, Eq)]
pub enum Settled {
    /// Another worker has taken over: there is nothing to do.
    Lost,
    /// The host must swap the record for the one that it showed; before that, it must share the document, if
    /// there is one.
    Swap {
        /// The document to share, if it is a new one.
        document: Option<Vec<u8>>,
        /// The new record.
        record: Vec<u8>,
    },
}

impl Outcome {
    /// The outcome of a fetch that failed.
    pub const FAILED: Self = Self(None);
}

impl Source {
    pub(crate) fn new(spec: Spec) -> Self {
        let content = RefCell::new(Content::empty(spec.kind));
        let identity = spec.identity();
        Self {
            spec,
            // The number is that of the form of what is shared: a module of another version may share as
            // well.
            record_key: format!("postern.source.1 {identity}"),
            document_key: format!("postern.document.1 {identity}"),
            record: Cell::default(),
            at_hand: Cell::default(),
            content,
            providers: RefCell::default(),
            wanted: Cell::default(),
            stirred: Cell::default(),
        }
    }

    /// Returns the description of the document.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// Returns what tells the document from others of its cluster in metrics, as labels and their values: for
    /// a JWK set each of the providers that have their keys from it, for a list its path without the query.
    pub fn labels(&self) -> Vec<(&'static str, String)> {
        match self.spec.kind {
            Kind::Keys => self.providers.borrow().iter().map(|name| ("provider", name.clone())).collect(),
            Kind::Revocation | Kind::ServerInfo => vec![("path", self.spec.bare_path().to_owned())],
        }
    }

    /// Returns the name of the document in the log.
    pub fn title(&self) -> String {
        let Spec { kind, cluster, .. } = &self.spec;
        let providers: Vec<String> = self.providers.borrow().iter().cloned().collect();
        let of =
            if providers.is_empty() { String::new() } else { format!(" provider={}", providers.join(",")) };
        format!("source={} cluster={cluster}{of} uri={}", kind.name(), self.spec.shown_uri())
    }

    /// Returns the key of the shared record.
    pub fn record_key(&self) -> &str {
        &self.record_key
    }

    /// Returns the key of the shared document.
    pub fn document_key(&self) -> &str {
        &self.document_key
    }

    /// Looks at the shared record, on behalf of `holder`, which is not 0.
    pub fn look(&self, shared: &[u8], holder: u64, now: Duration) -> Step {
        let record = Record::read(shared);
        let before = self.record.replace(record);
        if before.tried_at(now) != record.tried_at(now) {
            // A fetch, whosever it is, brings what was asked for.
            self.wanted.set(false);
        }
        if (before.failures, before.tried_at(now), before.is_leased(now))
            != (record.failures, record.tried_at(now), record.is_leased(now))
        {
            self.stirred.set(true);
        }
        if record.number > 0 && record.number != self.at_hand.get() {
            return Step::Read;
        }
        if record.is_leased(now) || self.due_at(now).is_some_and(|due| due > now) {
            return Step::Rest;
        }
        let mut claimed = record;
        let until = now.saturating_add(self.spec.timeout).saturating_add(MARGIN);
        claimed.lease(holder, now, until);
        Step::Claim(claimed.bytes())
    }

    /// Takes up the shared document, and says whether there was one that can be used.
    pub fn take_up(&self, shared: &[u8]) -> bool {
        // The document, whatever it is, is not read again before there is another one. Its number is that of
        // the record, not its own: a document that is shared ahead of its record may never get that number.
        self.at_hand.set(self.record.get().number);
        let Some((_, document)) = shared.split_first_chunk::<8>() else { return false };
        let Ok(content) = Content::read(self.spec.kind, document) else { return false };
        if content.says_something() {
            self.content.replace(content);
        }
        self.stirred.set(true);
        true
    }

    /// Judges the answer to a fetch.
    ///
    /// # Errors
    /// Returns the reason why the answer is not good; what is at hand serves on.
    pub fn judge(&self, answer: &Answer<'_>) -> Result<Outcome, FetchError> {
        if answer.status != b"200" {
            let status = std::str::from_utf8(answer.status).ok().and_then(|status| status.parse().ok());
            return Err(status.map_or(FetchError::NoAnswer, FetchError::Status));
        }
        if answer.len > self.spec.kind.max_bytes() {
            return Err(FetchError::TooLarge);
        }
        Content::read(self.spec.kind, answer.body).map_err(FetchError::Unusable)?;
        let document = self.content.borrow().shared_part(answer.body);
        Ok(Outcome(Some(SipHasher13::new().hash(&document).as_u128())))
    }

    /// Settles the fetch of `holder`, which brought `body`, in the shared record. Must be called again when
    /// the swap fails.
    pub fn settle(
        &self,
        shared: &[u8],
        outcome: Outcome,
        body: &[u8],
        holder: u64,
        now: Duration,
    ) -> Settled {
        let mut record = Record::read(shared);
        if !record.is_leased_to(holder, now) {
            return Settled::Lost;
        }
        let before = record.number;
        match outcome.0 {
            Some(digest) => record.succeed(digest, now),
            None => record.fail(),
        }
        let document = (record.number != before).then(|| {
            let content = self.content.borrow();
            [&record.number.to_be_bytes()[..], &content.shared_part(body)].concat()
        });
        Settled::Swap { document, record: record.bytes() }
    }

    /// Returns the record without the lease of `holder`, which goes away; `None` if it has none.
    pub fn release(&self, shared: &[u8], holder: u64, now: Duration) -> Option<Vec<u8>> {
        let mut record = Record::read(shared);
        record.is_leased_to(holder, now).then(|| {
            record.give_back();
            record.bytes()
        })
    }

    /// Says once whether those that wait for the document should be told to look again.
    pub fn take_stir(&self) -> bool {
        self.stirred.take()
    }

    /// Returns the time since the document at hand was confirmed.
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.record.get().good_at().map(|at| now.saturating_sub(at))
    }

    /// Returns the number of keys that can be used, or of entries of the list; `None` while nothing is at hand, or only
    /// what has gone stale.
    pub fn entries(&self, now: Duration) -> Option<usize> {
        if self.is_stale(now) { None } else { self.content.borrow().entries() }
    }

    fn is_stale(&self, now: Duration) -> bool {
        let ends =
            self.record.get().good_at().zip(self.spec.good_for).map(|(at, time)| at.saturating_add(time));
        ends.is_some_and(|end| end <= now)
    }

    /// Returns the content at hand, unless it has gone stale.
    pub(crate) fn content<T>(
        &self,
        now: Duration,
        pick: impl FnOnce(&Content) -> Option<Rc<T>>,
    ) -> Option<Rc<T>> {
        if self.is_stale(now) { None } else { pick(&self.content.borrow()) }
    }

    /// Takes over what `other`, of a configuration before, has learnt of the state of this Envoy, until there is an answer. Without
    /// that, asking another cluster would look like an Envoy that lives again.
    pub fn inherit(&self, other: &Self) {
        let other = other.content.borrow().clone();
        self.content.borrow_mut().inherit(&other);
    }

    /// Says whether the document at hand is that of an Envoy that drains.
    pub(crate) fn drains(&self) -> bool {
        self.content.borrow().server_state() == Some(ServerState::Draining)
    }

    /// Returns the time that is worth waiting for the next document, if any.
    pub(crate) fn patience(&self, now: Duration) -> Option<Duration> {
        let soon = now.saturating_add(self.spec.timeout);
        let comes = self.record.get().is_leased(now) || self.due_at(now).is_none_or(|due| due <= soon);
        comes.then_some(self.spec.timeout)
    }

    /// Says whether it is told that a fetch has failed: of what is asked every second, once until it succeeds.
    pub fn tells_failure(&self) -> bool {
        self.spec.kind != Kind::ServerInfo || !self.has_failed()
    }

    /// Says whether the last fetch failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.record.get().failures > 0
    }

    /// Asks for the document out of turn. Returns the time that is worth waiting for it; `None` if it was
    /// fetched only just now.
    pub(crate) fn want(&self, now: Duration) -> Option<Duration> {
        let record = self.record.get();
        let due = record.tried_at(now).is_none_or(|tried| tried.saturating_add(REFETCH) <= now);
        if due {
            self.wanted.set(true);
        }
        (due || record.is_leased(now)).then_some(self.spec.timeout)
    }

    /// Returns the time when the next fetch is due; `None` for at once.
    fn due_at(&self, now: Duration) -> Option<Duration> {
        let record = self.record.get();
        let tried_at = record.tried_at(now)?;
        let in_turn = match record.good_at() {
            Some(good_at) if record.failures == 0 => good_at.saturating_add(self.spec.interval),
            Some(_) => tried_at.saturating_add(LONGEST_RETRY.min(self.spec.interval)),
            None => {
                let doubled = 1_u32.checked_shl(record.failures.saturating_sub(1)).unwrap_or(u32::MAX);
                let wait = FIRST_RETRY.saturating_mul(doubled).min(LONGEST_RETRY);
                tried_at.saturating_add(wait.min(self.spec.interval))
            }
        };
        if self.wanted.get() { Some(in_turn.min(tried_at.saturating_add(REFETCH))) } else { Some(in_turn) }
    }
}
