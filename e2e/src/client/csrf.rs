//! CSRF tokens as an application mints them: by the form that the policy language gives, and no code of Postern's.

use jsonwebtoken::{Algorithm, EncodingKey};

/// The value of POSTERN_CSRF_SECRET.
pub const CSRF_SECRET: &str = "another secret of the tests, for pages, 32 bytes and more";

/// Mints `<issued>.<HMAC-SHA256 over "<issued>.<session>">`, in base64url. HS256 is just that (RFC 7518
/// §3.2).
pub fn mint(secret: &str, session: &str, issued: u64) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    let text = format!("{issued}.{session}");
    let proof = jsonwebtoken::crypto::sign(text.as_bytes(), &key, Algorithm::HS256);
    format!("{issued}.{}", proof.expect("a signature by a sound key"))
}
