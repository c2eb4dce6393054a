//! Tokens that are no longer good though they have not expired.
//!
//! Owns the form of a list, and whom it names. Never fetches one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::claims::Claims;
use crate::strict_json;

/// How deep a list nests.
const DEPTH: usize = 2;

/// A revocation list: `{"jti": […], "sub": {"alice": <issued before, seconds>}, "sid": […]}`.
/// Members may be missing. Its `Debug` names nobody.
#[derive(Default)]
pub(crate) struct RevocationList {
    token_ids: HashSet<String>,
    /// Tokens of the subject that were issued before this time, since the Unix epoch.
    subjects: HashMap<String, Duration>,
    sessions: HashSet<String>,
}

/// Whom a connection belongs to, as far as a list can name it. Its `Debug` does not say.
#[derive(Clone, Default)]
pub(crate) struct Bearer {
    token_id: Option<Box<str>>,
    subject: Option<Box<str>>,
    session: Option<Box<str>>,
    issued_at: Option<Duration>,
}

impl RevocationList {
    /// Reads a list. One with anything in it that is not understood is none: what it is meant to
    /// revoke would not be.
    pub(crate) fn read(document: &[u8]) -> Result<Self, &'static str> {
        let Ok(Value::Object(members)) = strict_json::parse(document, DEPTH) else {
            return Err("no unambiguous JSON object");
        };
        let mut list = Self::default();
        for (name, member) in members {
            match (name.as_str(), member) {
                ("jti", Value::Array(names)) => {
                    list.token_ids = texts(names).ok_or("jti is not a list of strings")?
                }
                ("sid", Value::Array(names)) => {
                    list.sessions = texts(names).ok_or("sid is not a list of strings")?
                }
                ("sub", Value::Object(subjects)) => {
                    list.subjects = subjects
                        .into_iter()
                        .map(|(subject, before)| Some((subject, seconds(&before)?)))
                        .collect::<Option<_>>()
                        .ok_or("sub is not an object of seconds")?;
                }
                ("jti" | "sid" | "sub", _) => return Err("jti, sid or sub is of the wrong type"),
                _ => return Err("a member that is not jti, sid or sub"),
            }
        }
        Ok(list)
    }

    /// Whether `bearer` is named.
    pub(crate) fn names(&self, bearer: &Bearer) -> bool {
        let Bearer { token_id, subject, session, issued_at } = bearer;
        let before = subject.as_ref().and_then(|subject| self.subjects.get(&**subject));
        token_id.as_ref().is_some_and(|id| self.token_ids.contains(&**id))
            || session.as_ref().is_some_and(|id| self.sessions.contains(&**id))
            || before.is_some_and(|before| issued_at.is_none_or(|issued_at| issued_at < *before))
    }
}

impl Bearer {
    /// Whoever shows a token with these claims.
    pub(crate) fn of(claims: &Claims) -> Self {
        Self {
            token_id: claims.token_id().map(Into::into),
            subject: claims.subject().map(Into::into),
            session: claims.session_id().map(Into::into),
            issued_at: claims.issued_at(),
        }
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevocationList(…)")
    }
}

impl fmt::Debug for Bearer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Bearer(…)")
    }
}

fn texts(values: Vec<Value>) -> Option<HashSet<String>> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    values.into_iter().map(text).collect()
}

/// Seconds since the Unix epoch, perhaps with a fraction; [`Duration::MAX`] for what is beyond it.
fn seconds(value: &Value) -> Option<Duration> {
    if let Some(seconds) = value.as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}
