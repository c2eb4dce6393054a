//! The revocation of tokens that have not expired.
//!
//! Owns the form of a revocation list, and whom it names. Never fetches one.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use serde_json::Value;

use super::claims::Claims;
use crate::remote::DocumentFault;
use crate::strict_json;

/// The most levels that a list nests.
const DEPTH: usize = 2;

/// The remedy for a broken list: an example of one.
const REMEDY: &str =
    r#"serve a list such as {"jti": ["4f7a"], "sub": {"alice": 1767225600}, "sid": ["9c21"]}"#;

/// A revocation list: `{"jti": […], "sub": {"alice": <issued before, seconds>}, "sid": […]}`. Members may be
/// missing. Its `Debug` names nobody.
#[derive(Default)]
pub(crate) struct RevocationList {
    token_ids: HashSet<String>,
    /// The subjects whose tokens are revoked that were issued before this time, since the Unix epoch.
    subjects: HashMap<String, Duration>,
    sessions: HashSet<String>,
}

/// The owner of a connection, as far as a revocation list can name one. Its `Debug` does not show the owner.
#[derive(Clone, Default)]
pub(crate) struct RevocationSubject {
    token_id: Option<Box<str>>,
    subject: Option<Box<str>>,
    session: Option<Box<str>>,
    issued_at: Option<Duration>,
}

impl RevocationList {
    /// Reads a list. A list with anything in it that is not understood counts as none: whatever that should
    /// revoke would not be revoked.
    pub(crate) fn read(document: &[u8]) -> Result<Self, DocumentFault> {
        Self::parse(document).map_err(|what| DocumentFault::new(what, REMEDY))
    }

    fn parse(document: &[u8]) -> Result<Self, &'static str> {
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

    /// Returns the number of entries.
    pub(crate) fn len(&self) -> usize {
        self.token_ids.len().saturating_add(self.subjects.len()).saturating_add(self.sessions.len())
    }

    /// Says whether the list names `subject`.
    pub(crate) fn names(&self, subject: &RevocationSubject) -> bool {
        let RevocationSubject { token_id, subject, session, issued_at } = subject;
        let before = subject.as_ref().and_then(|subject| self.subjects.get(&**subject));
        token_id.as_ref().is_some_and(|id| self.token_ids.contains(&**id))
            || session.as_ref().is_some_and(|id| self.sessions.contains(&**id))
            || before.is_some_and(|before| issued_at.is_none_or(|issued_at| issued_at < *before))
    }
}

impl RevocationSubject {
    /// Returns the owner of a token with these claims.
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

impl fmt::Debug for RevocationSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RevocationSubject(…)")
    }
}

fn texts(values: Vec<Value>) -> Option<HashSet<String>> {
    let text = |value| match value {
        Value::String(text) => Some(text),
        _ => None,
    };
    values.into_iter().map(text).collect()
}

/// Reads seconds since the Unix epoch, perhaps with a fraction; times beyond [`Duration::MAX`] become that.
fn seconds(value: &Value) -> Option<Duration> {
    if let Some(seconds) = value.as_u64() {
        return Some(Duration::from_secs(seconds));
    }
    let seconds = value.as_f64().filter(|seconds| *seconds >= 0.0)?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn list(document: &Value) -> Result<RevocationList, DocumentFault> {
        RevocationList::read(document.to_string().as_bytes())
    }

    fn subject_of(
        jti: Option<&str>,
        sub: Option<&str>,
        sid: Option<&str>,
        iat: Option<u64>,
    ) -> RevocationSubject {
        RevocationSubject {
            token_id: jti.map(Into::into),
            subject: sub.map(Into::into),
            session: sid.map(Into::into),
            issued_at: iat.map(Duration::from_secs),
        }
    }

    #[test]
    fn a_list_names_tokens_sessions_and_what_a_subject_was_given_before() {
        let list =
            list(&json!({"jti": ["t"], "sub": {"alice": 100, "bob": 99.5, "eve": 0}, "sid": ["s"]})).unwrap();
        let cases = [
            (subject_of(Some("t"), None, None, None), true),
            (subject_of(Some("s"), Some("t"), Some("t"), Some(1)), false),
            (subject_of(None, None, Some("s"), None), true),
            (subject_of(None, Some("alice"), None, Some(99)), true),
            (subject_of(None, Some("alice"), None, Some(100)), false),
            (subject_of(None, Some("alice"), None, None), true),
            (subject_of(None, Some("bob"), None, Some(99)), true),
            (subject_of(None, Some("bob"), None, Some(100)), false),
            (subject_of(None, Some("eve"), None, Some(0)), false),
            (subject_of(None, Some("Alice"), None, None), false),
            (subject_of(None, None, None, None), false),
        ];
        for (i, (subject, named)) in cases.iter().enumerate() {
            assert_eq!(list.names(subject), *named, "{i}");
        }
    }

    #[test]
    fn members_may_be_missing_or_empty() {
        let someone = subject_of(Some("t"), Some("alice"), Some("s"), None);
        for sound in [json!({}), json!({"jti": []}), json!({"sub": {}, "sid": []})] {
            assert!(!list(&sound).unwrap().names(&someone));
        }
        let far = list(&json!({"sub": {"alice": 1e300}})).unwrap();
        assert!(far.names(&subject_of(None, Some("alice"), None, Some(u64::MAX / 2))));
    }

    #[test]
    fn a_list_with_anything_odd_in_it_is_none() {
        let odd = [
            json!([]),
            json!("jti"),
            json!({"jti": "t"}),
            json!({"jti": {"t": 1}}),
            json!({"jti": ["t", null]}),
            json!({"sid": [["s"]]}),
            json!({"sub": ["alice"]}),
            json!({"sub": {"alice": "100"}}),
            json!({"sub": {"alice": -1}}),
            json!({"sub": {"alice": null}}),
            json!({"subs": {}}),
            json!({"jti": ["t"], "version": 1}),
        ];
        for document in odd {
            assert!(list(&document).is_err(), "{document}");
        }
        for bytes in [&b""[..], b"{\"jti\":[],\"jti\":[]}", b"{\"sub\":{\"a\":1,\"a\":2}}", b"{} {}", b"\xff"]
        {
            assert!(RevocationList::read(bytes).is_err(), "{}", bytes.escape_ascii());
        }
    }

    #[test]
    fn nobody_is_named_where_things_are_shown() {
        let list = list(&json!({"jti": ["token"], "sub": {"alice": 1}})).unwrap();
        let shown = format!("{list:?} {:?}", subject_of(Some("token"), Some("alice"), None, None));
        assert!(!shown.contains("token") && !shown.contains("alice"), "{shown}");
    }
}
