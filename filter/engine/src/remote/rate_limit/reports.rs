//! The reports of what connections have sent: when one is due, and what follows from its answer.
//!
//! What a report told that was not answered is not told again: after a time without the service the counts of
//! that time would all fall into one of its windows.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use postern_config::{GlobalCount, GlobalRateLimit};

use super::account::{Account, Queue};
use super::answer::Answer;
use super::availability::{Availability, Leave, Purpose};
use super::service::RateLimitService;
use crate::decision::cause::{RateLimitFault, counted};

/// All rate limit services of a configuration.
#[derive(Debug, Default)]
pub struct RateLimits {
    availabilities: RefCell<BTreeMap<String, Rc<Availability>>>,
    services: RefCell<HashMap<GlobalRateLimit, Rc<RateLimitService>>>,
    queue: Rc<Queue>,
    /// The accounts whose connections must end.
    condemned: RefCell<Vec<Rc<Account>>>,
    /// The time when reports were last taken.
    looked_at: Cell<Duration>,
}

/// A report, which the host must send.
#[derive(Debug)]
pub struct Report {
    account: Rc<Account>,
    count: GlobalCount,
    hits: u32,
    /// The message, a `RateLimitRequest`.
    pub message: Vec<u8>,
}

/// What is new of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct News {
    /// The name of its cluster.
    pub cluster: String,
    /// The number of calls that were wanted and not made, since it does not answer or too much is asked.
    pub unasked: u64,
    /// Says whether the service is down, if that has changed.
    pub is_down: Option<bool>,
}

impl Report {
    /// Returns the service that is told.
    pub fn service(&self) -> &Rc<RateLimitService> {
        &self.account.service
    }

    /// Returns the word for what is counted.
    pub fn counted(&self) -> &'static str {
        counted(self.count)
    }

    /// Returns the number that is told.
    pub fn hits(&self) -> u32 {
        self.hits
    }
}

impl RateLimits {
    /// Returns the service that `rule` asks.
    pub(crate) fn service(&self, rule: &GlobalRateLimit) -> Rc<RateLimitService> {
        let mut services = self.services.borrow_mut();
        let service = services.entry(rule.clone()).or_insert_with(|| {
            let mut availabilities = self.availabilities.borrow_mut();
            let availability = availabilities.entry(rule.cluster.clone()).or_default();
            let queue = Rc::downgrade(&self.queue);
            Rc::new(RateLimitService::new(rule.clone(), Rc::clone(availability), queue))
        });
        Rc::clone(service)
    }

    /// Takes the reports that are due at `now`, as many as may be under way. Each counts as sent.
    pub fn take_reports(&self, now: Duration) -> Vec<Report> {
        if now < self.looked_at.replace(now) {
            self.queue.hasten();
        }
        self.services.borrow().values().for_each(|service| service.begin_window(now));
        let mut reports = Vec::new();
        while let Some(account) = self.queue.pop_due(now) {
            let (is_left, is_busy) = self.report(&account, now, &mut reports);
            if is_left {
                self.queue.push(account);
            }
            if is_busy {
                break;
            }
        }
        reports
    }

    /// Takes the reports of one account, and says whether something is left to report, and whether as many reports
    /// are under way as may be.
    fn report(&self, account: &Rc<Account>, now: Duration, reports: &mut Vec<Report>) -> (bool, bool) {
        let waiting: Vec<_> = account.waiting().collect();
        for (count, waiting) in waiting {
            let leave = account.service.leave(Purpose::Report, now);
            if leave == Leave::Busy {
                return (true, true);
            }
            // Whatever is queued from here on waits for the next report.
            account.reported_at.set(Some(now));
            if leave == Leave::Down {
                account.take(count, waiting);
                self.judge(account, count, waiting, Err(RateLimitFault::NotAsked));
                continue;
            }
            let hits = u32::try_from(waiting).unwrap_or(u32::MAX);
            account.take(count, u64::from(hits));
            account.service.begin(Purpose::Report, now);
            let message = account.service.message(count, &account.descriptor, hits);
            reports.push(Report { account: Rc::clone(account), count, hits, message });
        }
        (account.waiting().next().is_some(), false)
    }

    /// Takes the answer to a report.
    pub fn settle(&self, report: &Report, answer: Answer) {
        let answered = match answer {
            Answer::Within => Ok(()),
            Answer::Over(_) => Err(RateLimitFault::Over(report.count)),
            Answer::None => Err(RateLimitFault::NoAnswer),
        };
        self.judge(&report.account, report.count, u64::from(report.hits), answered);
    }

    /// Has the connections of an account end if what was told of them, or could not be, demands it.
    fn judge(&self, account: &Rc<Account>, count: GlobalCount, hits: u64, told: Result<(), RateLimitFault>) {
        match told {
            Ok(()) => {}
            // What is live stays so.
            Err(RateLimitFault::Over(_)) if count == GlobalCount::Connections => {}
            Err(_) if count == GlobalCount::Connections => account.tell_again(hits),
            Err(RateLimitFault::NoAnswer | RateLimitFault::NotAsked)
                if !account.service.denies_unanswered() => {}
            Err(fault) => {
                account.set_verdict(Some(fault));
                self.condemned.borrow_mut().push(Rc::clone(account));
            }
        }
    }

    /// Takes what is new of the services since the last time.
    pub fn take_news(&self) -> Vec<News> {
        let news = |(cluster, availability): (&String, &Rc<Availability>)| {
            let (unasked, is_down) = (availability.take_unasked(), availability.take_change());
            let has_news = unasked > 0 || is_down.is_some();
            has_news.then(|| News { cluster: cluster.clone(), unasked, is_down })
        };
        self.availabilities.borrow().iter().filter_map(news).collect()
    }

    /// Says whether there are connections that must end.
    pub fn has_condemned(&self) -> bool {
        !self.condemned.borrow().is_empty()
    }

    /// Notes that all connections have ended that must. Others with the same descriptor may come.
    pub fn forget_condemned(&self) {
        self.condemned.take().iter().for_each(|account| account.set_verdict(None));
    }
}
