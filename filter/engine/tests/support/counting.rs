//! What the tests of memory count: each thread's allocations, and the bytes that it holds.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, which counts for each thread what it is asked for.
struct Counting;

thread_local! {
    /// How often it was asked for memory.
    pub(crate) static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
    /// Bytes that were taken, less those that were given back.
    pub(crate) static HELD: Cell<i64> = const { Cell::new(0) };
    /// The most of that since it was last set.
    pub(crate) static MOST_HELD: Cell<i64> = const { Cell::new(0) };
}

fn count(taken: usize, given: usize) {
    // A thread that is ending has nothing to count any more.
    if taken > 0 {
        let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
    }
    let change = i64::try_from(taken).unwrap_or(i64::MAX) - i64::try_from(given).unwrap_or(i64::MAX);
    let _ = HELD.try_with(|held| {
        held.set(held.get() + change);
        let _ = MOST_HELD.try_with(|most| most.set(most.get().max(held.get())));
    });
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
