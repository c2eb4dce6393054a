//! Tokens whose signatures were found genuine, so that one presented again costs a hash.
//!
//! Owns one fact about a token, which key signed it, and of the keys which ones did so last. All else is
//! judged anew each time: a key that is no longer its provider's, a time that has come, or another policy
//! count as they would for a new token. Keeps no token and no claim, and nothing of a token that was refused.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use jsonwebtoken::DecodingKey;
use sha2::{Digest as _, Sha256};

/// The number of tokens in a generation, half of those that are remembered at most: with about a hundred
/// bytes for each, 100 KiB in all for each provider.
const GENERATION: usize = 512;

/// The number of keys that are remembered because they verified something last.
const SIGNERS: usize = 4;

/// The memory of a provider's genuine tokens; clones share it.
#[derive(Clone, Default)]
pub(super) struct Verified {
    generations: Rc<RefCell<Generations>>,
    /// The keys that verified something, the last one first.
    signers: Rc<RefCell<Vec<Rc<DecodingKey>>>>,
}

/// The name of a token: nobody finds another token with the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Fingerprint([u8; 32]);

#[derive(Default)]
struct Generations {
    recent: HashMap<Fingerprint, Entry>,
    /// The entries that are forgotten as soon as the recent ones are too many.
    older: HashMap<Fingerprint, Entry>,
}

struct Entry {
    /// The very key, and not one like it: keys that are read anew verify anew.
    signer: Rc<DecodingKey>,
    until: Duration,
}

impl Fingerprint {
    pub(super) fn of(token: &[u8]) -> Self {
        Self(Sha256::digest(token).into())
    }
}

impl Verified {
    /// Says whether `key` is known to have signed this token.
    pub(super) fn is_by(&self, token: Fingerprint, key: &Rc<DecodingKey>, now: Duration) -> bool {
        let mut generations = self.generations.borrow_mut();
        if let Some(entry) = generations.older.remove(&token) {
            generations.insert(token, entry);
        }
        let known = generations.recent.get(&token);
        known.is_some_and(|entry| now < entry.until && Rc::ptr_eq(&entry.signer, key))
    }

    /// Remembers that `key` signed this token, until the token is no longer accepted.
    pub(super) fn remember(&self, token: Fingerprint, key: &Rc<DecodingKey>, until: Duration) {
        let entry = Entry { signer: Rc::clone(key), until };
        self.generations.borrow_mut().insert(token, entry);
        let mut signers = self.signers.borrow_mut();
        signers.retain(|signer| !Rc::ptr_eq(signer, key));
        signers.insert(0, Rc::clone(key));
        signers.truncate(SIGNERS);
    }

    /// Returns the number of other keys that have verified something since `key` last did, as far as that is
    /// remembered.
    pub(super) fn since(&self, key: &Rc<DecodingKey>) -> usize {
        let signers = self.signers.borrow();
        signers.iter().position(|signer| Rc::ptr_eq(signer, key)).unwrap_or(SIGNERS)
    }
}

impl Generations {
    fn insert(&mut self, token: Fingerprint, entry: Entry) {
        if self.recent.len() >= GENERATION {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(token, entry);
    }
}

impl fmt::Debug for Verified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verified(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1000);
    const UNTIL: Duration = Duration::from_secs(1300);

    fn key() -> Rc<DecodingKey> {
        Rc::new(DecodingKey::from_secret(b"key"))
    }

    fn token(number: usize) -> Fingerprint {
        Fingerprint::of(&number.to_be_bytes())
    }

    fn remembered(verified: &Verified) -> usize {
        let generations = verified.generations.borrow();
        generations.recent.len() + generations.older.len()
    }

    #[test]
    fn a_token_is_known_by_its_key_alone_and_until_its_end() {
        let (verified, ours, like_ours) = (Verified::default(), key(), key());
        assert!(!verified.is_by(token(1), &ours, NOW));
        verified.remember(token(1), &ours, UNTIL);
        assert!(verified.is_by(token(1), &ours, NOW));
        assert!(verified.clone().is_by(token(1), &ours, UNTIL - Duration::from_nanos(1)));
        assert!(!verified.is_by(token(1), &like_ours, NOW), "a key that was read anew");
        assert!(!verified.is_by(token(2), &ours, NOW), "another token");
        assert!(!verified.is_by(token(1), &ours, UNTIL));
    }

    #[test]
    fn however_many_tokens_come_few_are_remembered_and_the_used_ones_longest() {
        let (verified, ours) = (Verified::default(), key());
        for number in 0..10 * GENERATION {
            verified.remember(token(number), &ours, UNTIL);
            assert!(verified.is_by(token(0), &ours, NOW), "{number}");
            assert!(remembered(&verified) <= 2 * GENERATION, "{number}");
        }
        assert!(!verified.is_by(token(1), &ours, NOW));
    }

    #[test]
    fn debug_shows_no_token_and_no_key() {
        let (verified, ours) = (Verified::default(), key());
        verified.remember(token(1), &ours, UNTIL);
        assert_eq!(format!("{verified:?}"), "Verified(…)");
    }
}
