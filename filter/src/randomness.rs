//! Fresh randomness for every stream, without a question to the host for each.
//!
//! A generator that is fit for keys (ChaCha with 12 rounds), seeded by the host once in a VM. It is
//! never shared: another worker's VM has another seed.

use std::cell::RefCell;

use postern_engine::Entropy;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

thread_local! {
    static GENERATOR: RefCell<Option<ChaCha12Rng>> = const { RefCell::new(None) };
}

/// Fresh randomness; `None` when the host has none.
pub(crate) fn entropy() -> Option<Entropy> {
    GENERATOR.with_borrow_mut(|generator| {
        let generator = match generator {
            Some(generator) => generator,
            None => {
                let mut seed = [0; 32];
                getrandom::fill(&mut seed).ok()?;
                generator.insert(ChaCha12Rng::from_seed(seed))
            }
        };
        let mut entropy = Entropy::NONE;
        for part in [&mut entropy.key[..], &mut entropy.mask, &mut entropy.ping, &mut entropy.instance] {
            generator.fill_bytes(part);
        }
        Some(entropy)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_stream_has_anything_of_another() {
        let parts = |entropy: Entropy| [entropy.key, entropy.ping, entropy.instance];
        let mut seen: Vec<[u8; 16]> = (0..100).flat_map(|_| parts(entropy().unwrap())).collect();
        assert!(!seen.contains(&[0; 16]));
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 300);
    }

    #[test]
    fn no_thread_has_the_randomness_of_another() {
        let first = || entropy().unwrap().key;
        assert_ne!(std::thread::spawn(first).join().unwrap(), std::thread::spawn(first).join().unwrap());
    }
}
