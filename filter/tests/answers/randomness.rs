//! Randomness that a seed determines, in builds that ask for it.

use std::cell::Cell;

thread_local! {
    static STATE: Cell<u64> = const { Cell::new(0) };
}

/// Begins anew on this thread.
pub(crate) fn begin(seed: u64) {
    STATE.set(seed);
}

/// What `getrandom` calls in the place of the system.
///
/// # Safety
/// `place` is good for writes of `len` bytes.
#[cfg(getrandom_backend = "custom")]
#[allow(unsafe_code, reason = "the name and signature are getrandom's")]
#[unsafe(no_mangle)]
unsafe extern "Rust" fn __getrandom_v03_custom(place: *mut u8, len: usize) -> Result<(), getrandom::Error> {
    for at in 0..len {
        let next = STATE.get().wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        STATE.set(next);
        // SAFETY: by this function's own condition.
        unsafe { place.add(at).write((next >> 56) as u8) };
    }
    Ok(())
}
