//! How many bytes a worker's thread holds: what stays behind when connections are over.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use serde_json::json;

use crate::fixtures::{configure, websocket};
use crate::host::Envoy;

/// The system's allocator, which counts for each thread what it holds.
struct Counting;

thread_local! {
    /// Bytes that were taken, less those that were given back.
    static HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(taken: usize, given: usize) {
    let change = i64::try_from(taken).unwrap_or(i64::MAX) - i64::try_from(given).unwrap_or(i64::MAX);
    // A thread that is ending has nothing to count any more.
    let _ = HELD.try_with(|held| held.set(held.get() + change));
}

#[allow(unsafe_code, reason = "an allocator is unsafe to write; this one hands all on to the system's")]
// SAFETY: every call is handed on as it is, so it upholds what the system's allocator upholds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 0);
        // SAFETY: the caller's promises are the ones that are asked for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, place: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(size, layout.size());
        // SAFETY: as above.
        unsafe { System.realloc(place, layout, size) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        count(0, layout.size());
        // SAFETY: as above.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

const CONNECTIONS: u32 = 2000;

/// What the thread holds more when so many connections have come and gone.
fn held_after(idle_timeout: &'static str) -> i64 {
    Envoy::default().worker(|worker| {
        configure(worker, json!({"liveness": {"idle_timeout": idle_timeout, "ping_interval": "none"}}));
        let before = HELD.get();
        for _ in 0..CONNECTIONS {
            websocket(worker).end();
        }
        worker.pass(Duration::from_secs(2));
        HELD.get() - before
    })
}

/// What the host model keeps of a stream is the same in both.
#[test]
fn a_connection_that_is_over_holds_no_memory_until_its_time_would_have_come() {
    let (soon, late) = (held_after("1s"), held_after("24h"));
    assert!(late - soon < i64::from(CONNECTIONS), "{} bytes", late - soon);
}
