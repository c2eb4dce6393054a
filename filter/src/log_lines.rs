//! The lines of the log. Those that peers cause have a rate of their own.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use log::Level;
use postern_engine::cause::Shown;
use postern_engine::{Detail, Engine, Incident, LogBudget, LogFormat, Notice, Session, Violation};

use crate::host;

thread_local! {
    /// The log budget of the VM, which is one thread of one worker; all its root contexts share it.
    static BUDGET: RefCell<LogBudget> = RefCell::new(LogBudget::new(1));
    /// The form of the lines, which all root contexts share too.
    static FORMAT: Cell<LogFormat> = Cell::default();
}

/// The stream that a line is about.
#[derive(Clone, Copy)]
pub(crate) struct Whence<'w> {
    pub(crate) policy: &'w str,
    /// The Origin of the handshake.
    pub(crate) origin: Option<&'w Shown>,
    /// The session that judges the stream, if one does.
    pub(crate) session: Option<&'w Session>,
}

/// Sets rate and form of the lines from now on.
pub(crate) fn put_in_force(engine: &Engine) {
    BUDGET.with_borrow_mut(|budget| budget.set_limit(engine.log_limit()));
    set_format(engine.log_format());
}

/// Sets the form of the lines from now on, and returns the one before.
pub(crate) fn set_format(format: LogFormat) -> LogFormat {
    FORMAT.replace(format)
}

/// Writes a line.
pub(crate) fn write(level: Level, event: &str, text: &str, details: &[(&str, Detail<'_>)]) {
    let line = Notice { event, text, details }.line(FORMAT.get(), host::now());
    log::log!(level, "{line}");
}

/// Writes a line about a stream of `policy`, or counts it.
pub(crate) fn write_of_stream(level: Level, event: &str, policy: &str, what: &str) {
    if is_admitted(policy, host::now()) {
        let details = [("policy", Detail::Text(policy)), ("message", Detail::Text(what))];
        write(level, event, &format!("postern: {what}"), &details);
    }
}

/// Writes the line about a rule for which a stream was refused or closed, or would have been, `event` of these, or
/// counts it.
pub(crate) fn violation(event: &str, whence: Whence<'_>, violation: &Violation, request: &str) {
    let Whence { policy, origin, session } = whence;
    let now = host::now();
    if !is_admitted(policy, now) {
        return;
    }
    let subject = session.and_then(Session::summary).and_then(|summary| summary.subject);
    let address = host::client_address();
    let incident = Incident { event, policy, violation, request, address, origin, subject };
    log::info!("{}", incident.line(FORMAT.get(), now));
}

/// Tells once a second how many lines were only counted.
pub(crate) fn on_tick(now: Duration) {
    #[cfg(feature = "dynamic-module")]
    if !host::is_on_main_thread() {
        hand_over();
        return;
    }
    #[cfg(feature = "dynamic-module")]
    owed::take();
    for (policy, count) in BUDGET.with_borrow_mut(|budget| budget.take_held_back(now)) {
        let text = format!("postern: suppressed policy={policy} count={count}");
        let details = [("policy", Detail::Text(&policy)), ("count", Detail::Number(count))];
        write(Level::Info, "suppressed", &text, &details);
    }
}

fn is_admitted(policy: &str, now: Duration) -> bool {
    BUDGET.with_borrow_mut(|budget| budget.admits(policy, now))
}

#[cfg(feature = "dynamic-module")]
pub(crate) use owed::hand_over;

/// The counts of lines that workers have held back, for the main thread, which ticks whatever they do.
#[cfg(feature = "dynamic-module")]
mod owed {
    use std::collections::BTreeMap;
    use std::sync::{Mutex, PoisonError};

    use super::BUDGET;

    static OWED: Mutex<BTreeMap<String, u64>> = Mutex::new(BTreeMap::new());

    /// Leaves the counts of this thread to the main one.
    pub(crate) fn hand_over() {
        let mut owed = OWED.lock().unwrap_or_else(PoisonError::into_inner);
        for (policy, lines) in BUDGET.with_borrow_mut(postern_engine::LogBudget::hand_over) {
            let count = owed.entry(policy).or_default();
            *count = count.saturating_add(lines);
        }
    }

    /// Takes what workers have left.
    pub(super) fn take() {
        let owed = std::mem::take(&mut *OWED.lock().unwrap_or_else(PoisonError::into_inner));
        BUDGET.with_borrow_mut(|budget| {
            for (policy, lines) in owed {
                budget.hold_back(&policy, lines);
            }
        });
    }
}
