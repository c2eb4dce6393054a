//! The thread that keeps time: Envoy has no timers for filters, and events that any thread may send them.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError, Weak};
use std::time::{Duration, Instant};

use super::abi::calls::Scheduler;
use super::callouts::Answered;
use super::worker::{CALLS, TICK};

/// The interval of ticks when nobody wants another, in milliseconds.
const PERIOD: u64 = 250;

/// The tickers of all threads that have any.
static TICKERS: Mutex<Vec<Weak<Ticker>>> = Mutex::new(Vec::new());
static CHANGED: Condvar = Condvar::new();
static STARTED: Once = Once::new();
/// The ticker of the main thread, which has ticks by whichever configuration is there.
static MAIN: Mutex<Option<Arc<Ticker>>> = Mutex::new(None);

/// The ticks of one thread of Envoy's, and the answers that wait for it.
#[derive(Debug)]
pub(super) struct Ticker {
    scheduler: Mutex<Option<Arc<Scheduler>>>,
    answers: Mutex<VecDeque<Answered>>,
    period: AtomicU64,
    /// Says whether a tick is on its way.
    is_due: AtomicBool,
    /// The time of the last tick, or of the beginning.
    last: Mutex<Instant>,
}

/// Creates the ticker of a thread.
pub(super) fn new() -> Arc<Ticker> {
    Arc::new(Ticker {
        scheduler: Mutex::default(),
        answers: Mutex::default(),
        period: AtomicU64::new(PERIOD),
        is_due: AtomicBool::new(false),
        last: Mutex::new(Instant::now()),
    })
}

/// Makes `ticker` that of the main thread.
pub(super) fn set_main(ticker: &Arc<Ticker>) {
    *lock(&MAIN) = Some(Arc::clone(ticker));
}

/// Returns the ticker of the main thread.
pub(super) fn main() -> Option<Arc<Ticker>> {
    lock(&MAIN).clone()
}

/// Has the ticks of `ticker` come from now on.
pub(super) fn watch(ticker: &Arc<Ticker>) {
    STARTED.call_once(|| {
        // Without the thread there are no ticks, and what needs them is refused by its deadline.
        let _ = std::thread::Builder::new().name("postern".to_owned()).spawn(keep_time);
    });
    let mut tickers = lock(&TICKERS);
    if !tickers.iter().any(|known| known.as_ptr() == Arc::as_ptr(ticker)) {
        tickers.push(Arc::downgrade(ticker));
        CHANGED.notify_one();
    }
}

fn keep_time() {
    let mut tickers = lock(&TICKERS);
    loop {
        tickers.retain(|ticker| ticker.strong_count() > 0);
        let waits = tickers.iter().filter_map(Weak::upgrade).map(|ticker| ticker.look());
        let wait = waits.min().unwrap_or(Duration::from_millis(PERIOD));
        tickers = CHANGED.wait_timeout(tickers, wait).unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// Locks what no panic can leave half-changed.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ticker {
    /// Sets what brings the ticks.
    pub(super) fn set_scheduler(&self, scheduler: Option<Arc<Scheduler>>) {
        *lock(&self.scheduler) = scheduler;
        self.is_due.store(false, Ordering::Release);
    }

    /// Has ticks come at this interval, or sooner if that was asked for since the last.
    pub(super) fn set_period(&self, period: Duration) {
        let period = u64::try_from(period.as_millis()).unwrap_or(PERIOD).max(1);
        if self.period.fetch_min(period, Ordering::AcqRel) > period {
            CHANGED.notify_one();
        }
    }

    /// Notes that a tick begins.
    pub(super) fn begin(&self) {
        self.period.store(PERIOD, Ordering::Release);
        *lock(&self.last) = Instant::now();
        self.is_due.store(false, Ordering::Release);
    }

    /// Says whether the last tick was long ago.
    pub(super) fn is_late(&self) -> bool {
        lock(&self.last).elapsed() >= Duration::from_millis(PERIOD)
    }

    /// Sends a tick that is due, and returns the time until the next.
    fn look(&self) -> Duration {
        let period = Duration::from_millis(self.period.load(Ordering::Acquire));
        let since = lock(&self.last).elapsed();
        if since < period {
            return period - since;
        }
        let scheduler = lock(&self.scheduler).clone();
        match scheduler {
            Some(scheduler) if !self.is_due.swap(true, Ordering::AcqRel) => scheduler.commit(TICK),
            // Nobody looks at a tick sooner.
            Some(_) | None => return Duration::from_millis(PERIOD),
        }
        period
    }

    /// Brings an answer to the thread.
    pub(super) fn bring(&self, answer: Answered) {
        lock(&self.answers).push_back(answer);
        // Nothing is locked meanwhile: Envoy may destroy a configuration within the call.
        let scheduler = lock(&self.scheduler).clone();
        if let Some(scheduler) = scheduler {
            scheduler.commit(CALLS);
        }
    }

    /// Says whether an answer waits.
    pub(super) fn has_answers(&self) -> bool {
        !lock(&self.answers).is_empty()
    }

    /// Takes the answer that came first.
    pub(super) fn next_answer(&self) -> Option<Answered> {
        lock(&self.answers).pop_front()
    }
}
