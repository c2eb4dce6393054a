//! The values that all threads of the process share, each with a number that changes with it.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};

/// The values by their keys, in parts that are locked alone. Nothing is ever taken out: the keys are those of tables of fixed
/// sizes.
static PARTS: LazyLock<Vec<Mutex<Values>>> =
    LazyLock::new(|| (0..PART_COUNT).map(|_| Mutex::default()).collect());

/// The number of parts, so that threads seldom meet.
const PART_COUNT: usize = 64;

type Values = HashMap<String, (Vec<u8>, u32)>;

/// Returns a value, and the number to swap it by.
pub(crate) fn shared(key: &str) -> (Vec<u8>, Option<u32>) {
    match part(key).get(key) {
        Some((value, number)) => (value.clone(), Some(*number)),
        None => (Vec::new(), None),
    }
}

/// Swaps a value; returns false when somebody else was faster.
pub(crate) fn swap_shared(key: &str, value: &[u8], number: Option<u32>) -> bool {
    let mut part = part(key);
    let current = part.get(key).map(|(_, number)| *number);
    let swaps = current == number;
    if swaps {
        put(&mut part, key, value, current);
    }
    swaps
}

/// Sets a value, whoever set it last.
pub(crate) fn set_shared(key: &str, value: &[u8]) -> bool {
    let mut part = part(key);
    let current = part.get(key).map(|(_, number)| *number);
    put(&mut part, key, value, current);
    true
}

fn put(part: &mut Values, key: &str, value: &[u8], current: Option<u32>) {
    let next = current.unwrap_or(0).wrapping_add(1);
    part.insert(key.to_owned(), (value.to_vec(), next));
}

fn part(key: &str) -> MutexGuard<'static, Values> {
    let hash = key.bytes().fold(0_usize, |hash, byte| hash.wrapping_mul(31).wrapping_add(usize::from(byte)));
    static NONE: LazyLock<Mutex<Values>> = LazyLock::new(Mutex::default);
    let part = PARTS.get(hash % PART_COUNT).unwrap_or(&NONE);
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{set_shared, shared, swap_shared};

    #[test]
    fn a_value_is_swapped_only_by_its_last_number() {
        let key = "a value of this test";
        assert_eq!(shared(key), (Vec::new(), None));
        assert!(swap_shared(key, b"first", None));
        assert!(!swap_shared(key, b"late", None), "it is there already");
        let (value, number) = shared(key);
        assert_eq!(value, b"first");
        assert!(swap_shared(key, b"second", number));
        assert!(!swap_shared(key, b"late", number), "its number has changed");
        assert!(set_shared(key, b"third"));
        assert_eq!(shared(key).0, b"third");
    }
}
