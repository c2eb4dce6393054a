//! The lines of the log that peers cause, which have a rate of their own.

use std::cell::RefCell;
use std::fmt::Display;
use std::time::Duration;

use postern_engine::{LogBudget, Violation};

use crate::host;

thread_local! {
    /// The log budget of the VM, which is one thread of one worker; all its root contexts share it.
    static BUDGET: RefCell<LogBudget> = RefCell::new(LogBudget::new(1));
}

/// Sets the rate to `lines_per_second` from now on.
pub(crate) fn set_limit(lines_per_second: u32) {
    BUDGET.with_borrow_mut(|budget| budget.set_limit(lines_per_second));
}

/// Writes a line about an event under `policy`, or counts it.
pub(crate) fn line(level: log::Level, policy: &str, text: impl Display) {
    if BUDGET.with_borrow_mut(|budget| budget.admits(policy, host::now())) {
        log::log!(level, "postern: {text}");
    }
}

/// Writes a line about a violation for which a stream was refused or closed, or would have been: `what` of these.
pub(crate) fn violation(what: &str, policy: &str, violation: &Violation, instance: &str) {
    let reason = violation.reason.id();
    let text = format_args!("{what} policy={policy} reason={reason} request={instance} {violation}");
    line(log::Level::Info, policy, text);
}

/// Tells once a second how many lines were only counted.
pub(crate) fn on_tick(now: Duration) {
    for (policy, count) in BUDGET.with_borrow_mut(|budget| budget.take_held_back(now)) {
        log::info!("postern: suppressed policy={policy} count={count}");
    }
}
