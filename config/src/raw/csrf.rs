//! The key `policies.*.csrf`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::{Auth, Carrier, Csrf, CsrfCarrier};
use crate::grammar::{is_line, is_token};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::carriers::cookie;
use crate::raw::list::string;
use crate::raw::or_none::OrNone;
use crate::raw::secret::RawSecret;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, duration};
use crate::words::shown;

/// The object `csrf` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub(super) struct RawCsrf {
    secret: Option<RawSecret>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    session_cookie: Option<String>,
    from: Option<RawFrom>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    lifetime: Option<Value>,
    issue: Option<OrNone<RawIssue>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `query` or `subprotocol`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("oneOf" = schema::any_of(&["query", "subprotocol"]))))]
struct RawFrom {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Line>"))]
    query: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    subprotocol: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `cookie`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
struct RawIssue {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Token>"))]
    cookie: Option<String>,
}

impl RawCsrf {
    /// Returns the valid form; `auth` is that of the same policy.
    pub(super) fn read(self, auth: Option<&Auth>, at: &Path, report: &mut Report) -> Option<Csrf> {
        let secret_at = at.key("secret");
        let secret = report
            .required(self.secret, &secret_at, "write `{env: NAME}`")
            .and_then(|secret| secret.read(&secret_at, report));
        let session_at = at.key("session_cookie");
        let session_cookie = report
            .required(
                self.session_cookie,
                &session_at,
                "write the name of the cookie that the token is bound to",
            )
            .and_then(|name| cookie(name, &session_at, report));
        let from_at = at.key("from");
        let from = report
            .required(self.from, &from_at, "write `{query: csrf_token}` or `{subprotocol: \"csrf.\"}`")
            .and_then(|from| from.read(auth, &from_at, report));
        let lifetime = match &self.lifetime {
            Some(value) => duration(value, Zero::Refused, &at.key("lifetime"), report),
            None => Some(Duration::from_secs(12 * 60 * 60)),
        };
        let issue_at = at.key("issue").key("cookie");
        let issue = match self.issue.and_then(|issue| issue.0) {
            Some(issue) => report
                .required(issue.cookie, &issue_at, "write the name of the cookie to issue")
                .and_then(|name| cookie(name, &issue_at, report))
                .map(Some),
            None => Some(None),
        };
        let csrf = Csrf {
            secret: secret?,
            session_cookie: session_cookie?,
            from: from?,
            lifetime: lifetime?,
            issue: issue?,
        };
        if csrf.issue.as_ref() == Some(&csrf.session_cookie) {
            report.push(
                ProblemKind::Contradiction,
                &issue_at,
                "is the session cookie",
                "write a cookie of its own",
            );
        }
        Some(csrf)
    }
}

impl RawFrom {
    fn read(self, auth: Option<&Auth>, at: &Path, report: &mut Report) -> Option<CsrfCarrier> {
        let (query_at, subprotocol_at) = (at.key("query"), at.key("subprotocol"));
        let carries_token =
            |carries: &dyn Fn(&Carrier) -> bool| auth.is_some_and(|auth| auth.from.iter().any(carries));
        let is_token_parameter =
            |name: &str| carries_token(&|carrier| matches!(carrier, Carrier::Query(other) if other == name));
        let is_token_prefix = |text: &str| {
            carries_token(&|carrier| matches!(carrier, Carrier::Subprotocol { prefix, .. } if prefix == text))
        };
        match (self.query, self.subprotocol) {
            (Some(name), None) if is_token_parameter(&name) => {
                report.push(
                    ProblemKind::Contradiction,
                    &query_at,
                    "carries the policy's token already",
                    "write a parameter of its own",
                );
                None
            }
            (Some(name), None) => {
                string(name, is_line, "write the name of a query parameter", &query_at, report)
                    .map(CsrfCarrier::Query)
            }
            (None, Some(prefix)) if is_token_prefix(&prefix) => {
                report.push(
                    ProblemKind::Contradiction,
                    &subprotocol_at,
                    "carries the policy's token already",
                    "write a prefix of its own",
                );
                None
            }
            (None, Some(prefix)) if let Some(other) = overlapping(auth, &prefix) => {
                let what = format!("{} and the token's prefix `{other}` begin alike", shown(&prefix));
                report.push(
                    ProblemKind::Ambiguous,
                    &subprotocol_at,
                    what,
                    "write prefixes of which none begins another",
                );
                None
            }
            (None, Some(prefix)) => {
                let remedy = "write the prefix of a subprotocol name, such as `csrf.`";
                string(prefix, is_token, remedy, &subprotocol_at, report).map(CsrfCarrier::Subprotocol)
            }
            (Some(_), Some(_)) => {
                report.push(
                    ProblemKind::Contradiction,
                    at,
                    "has both `query` and `subprotocol`",
                    "leave one of them out",
                );
                None
            }
            (None, None) => {
                if !report.is_broken_below(at) {
                    report.push(
                        ProblemKind::MissingKey,
                        at,
                        "has neither `query` nor `subprotocol`",
                        "write one of them",
                    );
                }
                None
            }
        }
    }
}

/// Returns the prefix of a token that begins `prefix`, or that `prefix` begins: an item would be either.
fn overlapping<'a>(auth: Option<&'a Auth>, prefix: &str) -> Option<&'a str> {
    auth?.from.iter().find_map(|carrier| match carrier {
        Carrier::Subprotocol { prefix: other, .. }
            if other.starts_with(prefix) || prefix.starts_with(other.as_str()) =>
        {
            Some(other.as_str())
        }
        Carrier::SubprotocolPair(name) if name.starts_with(prefix) => Some(name.as_str()),
        _ => None,
    })
}
