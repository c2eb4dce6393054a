//! The form of a CSRF token: `<issued>.<proof>`, where `issued` is whole seconds since the Unix epoch in
//! decimal and `proof` is HMAC-SHA256 (RFC 2104) over `<issued>.<session id>`, as base64url without padding.
//! So applications can mint it too.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use sha2::Sha256;

use crate::decision::cause::CsrfError;

/// The longest time in the future at which a token may have been issued: whoever mints it has another clock.
const SKEW: Duration = Duration::from_secs(30);

/// The most digits of a number of 64 bits.
const MAX_DIGITS: usize = 20;

/// The length of a proof, in bytes.
const PROOF_LEN: usize = 32;

/// The key that mints and verifies tokens. Its `Debug` shows nothing.
#[derive(Clone)]
pub struct CsrfKey(Hmac<Sha256>);

impl CsrfKey {
    /// Creates the key of `secret`; returns `None` if it cannot be one, which no length of it brings about.
    pub fn new(secret: &[u8]) -> Option<Self> {
        Hmac::new_from_slice(secret).ok().map(Self)
    }

    /// Mints the token of `session`, the value of its cookie, issued at this time since the Unix epoch.
    pub fn mint(&self, session: &[u8], issued: Duration) -> String {
        let issued = issued.as_secs().to_string();
        let proof = self.over(issued.as_bytes(), session).finalize().into_bytes();
        format!("{issued}.{}", URL_SAFE_NO_PAD.encode(proof))
    }

    /// Verifies `token` as one of `session`. The proof is compared in constant time, and before anything that
    /// it proves is believed.
    pub(super) fn verify(
        &self,
        token: &[u8],
        session: &[u8],
        lifetime: Duration,
        now: Duration,
    ) -> Result<(), CsrfError> {
        let dot = token.iter().position(|&b| b == b'.').ok_or(CsrfError::Form)?;
        let (issued, proof) = token.split_at_checked(dot).ok_or(CsrfError::Form)?;
        let proof = proof.strip_prefix(b".").ok_or(CsrfError::Form)?;
        let seconds = seconds(issued).ok_or(CsrfError::Form)?;
        let mut bytes = [0; PROOF_LEN];
        match URL_SAFE_NO_PAD.decode_slice(proof, &mut bytes) {
            Ok(PROOF_LEN) => {}
            Ok(_) | Err(_) => return Err(CsrfError::Form),
        }
        self.over(issued, session).verify_slice(&bytes).map_err(|_| CsrfError::Proof)?;
        let issued = Duration::from_secs(seconds);
        if issued > now.saturating_add(SKEW) {
            return Err(CsrfError::Future);
        }
        if now >= issued.saturating_add(lifetime) {
            return Err(CsrfError::Expired);
        }
        Ok(())
    }

    /// Returns the hash over both. `issued` has no dot, so no other time and session make the same text.
    fn over(&self, issued: &[u8], session: &[u8]) -> Hmac<Sha256> {
        self.0.clone().chain_update(issued).chain_update(b".").chain_update(session)
    }
}

impl fmt::Debug for CsrfKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CsrfKey(…)")
    }
}

/// Parses the number that these digits, and nothing but digits, write.
fn seconds(digits: &[u8]) -> Option<u64> {
    let is_number = (1..=MAX_DIGITS).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
}
