//! Waiting, always with an end.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// The time that a test waits for something that should take milliseconds. Generous, since machines that run
/// tests are busy, and nothing waits this long unless it fails.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The time in which an Envoy must start, or have a module that it is given ready; to compile it on a busy machine takes its
/// time.
pub const START: Duration = Duration::from_secs(90);

/// The most by which what is due at a moment may come after it. It takes milliseconds, but machines that run tests are
/// busy.
pub const LATE: Duration = Duration::from_secs(3);

/// The pause between two looks at a condition that cannot be awaited.
pub(crate) const POLL: Duration = Duration::from_millis(10);

/// Awaits `future`, and panics naming `what` when it is not done after `limit`.
pub async fn within<F: Future>(limit: Duration, what: &str, future: F) -> F::Output {
    match timeout(limit, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {limit:?} for {what}"),
    }
}

/// Looks until `look` finds something, and panics naming `what` when it has not after `limit`.
pub async fn eventually<T>(limit: Duration, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < end, "waited {limit:?} for {what}");
        sleep(POLL).await;
    }
}
