//! What is counted under one descriptor by the connections of this worker, until it is reported.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use postern_config::GlobalCount;

use super::service::{Descriptor, RateLimitService};
use crate::decision::cause::RateLimitFault;
use crate::metrics::tally::Messages;

/// The most accounts that wait to be reported. What is counted by others beyond them is told later, or never
/// if their connections have ended.
const MOST_QUEUED: usize = 1 << 16;

/// The window of a service in which live connections are counted, aligned to the clock.
const WINDOW: Duration = Duration::from_secs(60);

/// The counts of all connections with one descriptor.
#[derive(Debug)]
pub(crate) struct Account {
    pub(super) service: Rc<RateLimitService>,
    pub(super) descriptor: Descriptor,
    messages: Cell<u64>,
    bytes: Cell<u64>,
    /// The connections that are open.
    live: Cell<u64>,
    /// The connections that were open when a window began, and must be told anew.
    told_anew: Cell<u64>,
    is_queued: Cell<bool>,
    /// The time of the last report.
    pub(super) reported_at: Cell<Option<Duration>>,
    /// The fault for which the connections end that are open.
    verdict: Cell<Option<RateLimitFault>>,
}

/// The accounts with something to report, by the time when they are due.
#[derive(Debug, Default)]
pub(super) struct Queue {
    accounts: RefCell<BTreeMap<(Duration, u64), Rc<Account>>>,
    /// The number of accounts that were ever queued, which tells those apart that are due at once.
    pushed: Cell<u64>,
}

/// The part of one open connection in an account.
#[derive(Debug)]
pub(crate) struct Membership(Rc<Account>);

impl RateLimitService {
    /// Returns the account of `descriptor`, if anything is counted by connections.
    pub(crate) fn account(self: &Rc<Self>, descriptor: Descriptor) -> Option<Rc<Account>> {
        let counts = [GlobalCount::Messages, GlobalCount::Bytes, GlobalCount::Connections];
        if !counts.into_iter().any(|count| self.counts(count)) {
            return None;
        }
        let known = self.accounts.borrow().get(&descriptor).and_then(Weak::upgrade);
        Some(known.unwrap_or_else(|| {
            let account = Rc::new(Account {
                service: Rc::clone(self),
                descriptor: descriptor.clone(),
                messages: Cell::default(),
                bytes: Cell::default(),
                live: Cell::default(),
                told_anew: Cell::default(),
                is_queued: Cell::default(),
                reported_at: Cell::default(),
                verdict: Cell::default(),
            });
            self.accounts.borrow_mut().insert(descriptor, Rc::downgrade(&account));
            account
        }))
    }

    /// Has the open connections of all accounts told anew if at `now` another window has begun.
    pub(super) fn begin_window(&self, now: Duration) {
        if !self.counts(GlobalCount::Connections) {
            return;
        }
        let window = now.as_secs().checked_div(WINDOW.as_secs());
        let before = self.window.replace(window);
        if before.is_some() && before != window {
            self.tell_live();
        }
    }

    fn tell_live(&self) {
        let accounts: Vec<_> = self.accounts.borrow().values().filter_map(Weak::upgrade).collect();
        for account in accounts.iter().filter(|account| account.live.get() > 0) {
            account.tell_anew(account.live.get());
        }
    }
}

impl Account {
    /// Adds what the client has sent, as far as it is counted.
    fn add(self: &Rc<Self>, sent: &Messages) {
        let counts = |count| self.service.counts(count);
        let messages =
            if counts(GlobalCount::Messages) { sent.allowed.saturating_add(sent.consumed) } else { 0 };
        let bytes = if counts(GlobalCount::Bytes) { sent.bytes } else { 0 };
        if messages == 0 && bytes == 0 {
            return;
        }
        self.messages.set(self.messages.get().saturating_add(messages));
        self.bytes.set(self.bytes.get().saturating_add(bytes));
        self.queue();
    }

    /// Returns the time when the next report is due.
    fn due_at(&self) -> Duration {
        let next = |at: Duration| at.saturating_add(self.service.report_interval());
        self.reported_at.get().map_or(Duration::ZERO, next)
    }

    /// Has the account looked at when reports are due.
    fn queue(self: &Rc<Self>) {
        if !self.is_queued.get()
            && let Some(queue) = self.service.queue.upgrade()
        {
            queue.push(Rc::clone(self));
        }
    }

    /// Returns the counts that wait to be reported, with the number of hits of each.
    pub(super) fn waiting(&self) -> impl Iterator<Item = (GlobalCount, u64)> {
        let all = [
            (GlobalCount::Connections, self.told_anew.get()),
            (GlobalCount::Messages, self.messages.get()),
            (GlobalCount::Bytes, self.bytes.get()),
        ];
        all.into_iter().filter(|(_, hits)| *hits > 0)
    }

    /// Takes out `hits` of what waits.
    pub(super) fn take(&self, count: GlobalCount, hits: u64) {
        match count {
            GlobalCount::Messages => self.messages.set(self.messages.get().saturating_sub(hits)),
            GlobalCount::Bytes => self.bytes.set(self.bytes.get().saturating_sub(hits)),
            GlobalCount::Connections | GlobalCount::Handshakes | GlobalCount::Tickets => {
                self.told_anew.set(0);
            }
        }
    }

    /// Has so many open connections told.
    fn tell_anew(self: &Rc<Self>, live: u64) {
        self.told_anew.set(live);
        self.queue();
    }

    /// Has so many open connections told once more, unless another window has begun meanwhile.
    pub(super) fn tell_again(self: &Rc<Self>, live: u64) {
        if self.told_anew.get() == 0 {
            self.tell_anew(live);
        }
    }

    /// Has all connections end that are open.
    pub(super) fn set_verdict(&self, verdict: Option<RateLimitFault>) {
        self.verdict.set(verdict);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.service.accounts.borrow_mut().remove(&self.descriptor);
    }
}

impl Queue {
    pub(super) fn push(&self, account: Rc<Account>) {
        let mut accounts = self.accounts.borrow_mut();
        if !account.is_queued.get() && accounts.len() < MOST_QUEUED {
            account.is_queued.set(true);
            self.pushed.set(self.pushed.get().wrapping_add(1));
            accounts.insert((account.due_at(), self.pushed.get()), account);
        }
    }

    /// Takes out the account that was due first, if it is due by `now`.
    pub(super) fn pop_due(&self, now: Duration) -> Option<Rc<Account>> {
        let mut accounts = self.accounts.borrow_mut();
        let first = accounts.first_entry().filter(|first| first.key().0 <= now)?;
        let account = first.remove();
        account.is_queued.set(false);
        Some(account)
    }

    /// Has all accounts due at once, since the clock was set back.
    pub(super) fn hasten(&self) {
        for account in self.accounts.take().into_values() {
            account.reported_at.set(None);
            account.is_queued.set(false);
            self.push(account);
        }
    }
}

impl Membership {
    pub(crate) fn new(account: Rc<Account>) -> Self {
        account.live.set(account.live.get().saturating_add(1));
        Self(account)
    }

    /// Adds what the client has sent.
    pub(crate) fn add(&self, sent: &Messages) {
        self.0.add(sent);
    }

    /// Returns the fault for which the connection must end.
    pub(crate) fn verdict(&self) -> Option<RateLimitFault> {
        self.0.verdict.get()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.0.live.set(self.0.live.get().saturating_sub(1));
    }
}
