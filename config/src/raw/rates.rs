//! The key `policies.*.rates`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::limits::{Counted, OnExceed, Per, Rate};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct};
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, count, duration, size};

/// One rate as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with `count`, `per`, `limit` and `window`")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("allOf" = schema::fit_what_is_counted())))]
pub(super) struct RawRate {
    count: Option<Counted>,
    per: Option<Per>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    limit: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Duration>"))]
    window: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    burst: Option<Value>,
    on_exceed: Option<OnExceed>,
}

/// Returns the rates of a policy that has no `rates`.
fn defaults() -> Vec<Rate> {
    vec![
        Rate {
            count: Counted::Handshakes,
            per: Per::Ip,
            limit: 100,
            window: Duration::from_secs(60 * 60),
            burst: 100,
            on_exceed: OnExceed::Deny,
            twin: 0,
        },
        Rate {
            count: Counted::Messages,
            per: Per::Connection,
            limit: 100,
            window: Duration::from_secs(60),
            burst: 100,
            on_exceed: OnExceed::Close,
            twin: 0,
        },
    ]
}

/// Reads the rates of a policy with or without tokens.
pub(super) fn read(
    written: Option<List<RawRate>>,
    has_users: bool,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<Rate>> {
    match written {
        Some(list) => {
            let mut rates = distinct(list, at, report, |rate, at, report| rate.read(has_users, at, report))?;
            Rate::number_twins(&mut rates);
            Some(rates)
        }
        None => Some(defaults()),
    }
}

impl RawRate {
    fn read(self, has_users: bool, at: &Path, report: &mut Report) -> Option<Rate> {
        let counted = report.required(
            self.count,
            &at.key("count"),
            "write `handshakes`, `messages`, `bytes`, `control_frames` or `refusals`",
        );
        let per = report.required(self.per, &at.key("per"), "write `connection`, `ip`, `user` or `policy`");
        let mut amount = |value: &Value, key| match counted {
            Some(Counted::Bytes) => size(value, &at.key(key), report),
            _ => count(value, u64::MAX, &at.key(key), report),
        };
        let burst = self.burst.as_ref().map(|value| amount(value, "burst"));
        let limit = self.limit.as_ref().map(|value| amount(value, "limit"));
        let limit = report.required(limit, &at.key("limit"), "write how many per window").flatten();
        let window = report
            .required(self.window, &at.key("window"), "write a duration, such as \"1m\"")
            .and_then(|value| duration(&value, Zero::Refused, &at.key("window"), report));
        shared(counted, per, has_users, &at.key("per"), report);
        let on_exceed = on_exceed(counted?, self.on_exceed, &at.key("on_exceed"), report);
        Some(Rate {
            count: counted?,
            per: per?,
            limit: limit?,
            window: window?,
            burst: burst.unwrap_or(limit)?,
            on_exceed: on_exceed?,
            twin: 0,
        })
    }
}

/// Notes groups that cannot share a bucket.
fn shared(counted: Option<Counted>, per: Option<Per>, has_users: bool, at: &Path, report: &mut Report) {
    if counted == Some(Counted::Handshakes) && per == Some(Per::Connection) {
        let remedy = "write `ip`, `user` or `policy`";
        report.push(ProblemKind::Contradiction, at, "a connection has one handshake only", remedy);
    }
    if counted == Some(Counted::Refusals) && matches!(per, Some(Per::Connection | Per::Policy)) {
        report.push(
            ProblemKind::Contradiction,
            at,
            "refusals are counted by address or by user",
            "write `ip` or `user`",
        );
    }
    if per == Some(Per::User) && !has_users {
        report.push(ProblemKind::Contradiction, at, NO_USERS, "write `ip`, or `auth`");
    }
}

/// The fault of a count by user where nobody has a token.
pub(super) const NO_USERS: &str = "there are no users under `auth: none`";

fn on_exceed(
    counted: Counted,
    written: Option<OnExceed>,
    at: &Path,
    report: &mut Report,
) -> Option<OnExceed> {
    let (allowed, remedy): (&[OnExceed], _) = match counted {
        Counted::Handshakes => (&[OnExceed::Deny], "handshakes take only `deny`"),
        Counted::Refusals => (&[OnExceed::Deny], "refusals take only `deny`"),
        Counted::ControlFrames => (&[OnExceed::Close], "control frames take only `close`"),
        Counted::Messages | Counted::Bytes => (&[OnExceed::Close, OnExceed::Drop], "write `close` or `drop`"),
    };
    match written {
        None => allowed.first().copied(),
        Some(written) if allowed.contains(&written) => Some(written),
        Some(_) => {
            report.push(ProblemKind::Contradiction, at, "does not fit what is counted", remedy);
            None
        }
    }
}
