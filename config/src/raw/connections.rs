//! The key `policies.*.connections`.

use serde::Deserialize;
use serde_json::Value;

use crate::limits::{Connections, OnFull};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::rates::NO_USERS;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{count, is_none};

/// The object `connections` as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("allOf" = [schema::needs_a_cap_by_user()])))]
pub(super) struct RawConnections {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::CountOrNone>"))]
    per_ip: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::CountOrNone>"))]
    per_user: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::CountOrNone>"))]
    per_policy: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::CountOrNone>"))]
    unauthenticated_per_ip: Option<Value>,
    on_full: Option<OnFull>,
}

impl RawConnections {
    /// Returns the valid form. `has_users` says whether there may be tokens.
    pub(super) fn read(self, has_users: bool, at: &Path, report: &mut Report) -> Option<Connections> {
        let mut cap = |value: &Option<Value>, key| match value.as_ref().filter(|value| !is_none(value)) {
            Some(value) => count(value, u64::MAX, &at.key(key), report).map(Some),
            None => Some(None),
        };
        let per_ip = cap(&self.per_ip, "per_ip");
        let per_user = cap(&self.per_user, "per_user");
        let per_policy = cap(&self.per_policy, "per_policy");
        let unauthenticated_per_ip = cap(&self.unauthenticated_per_ip, "unauthenticated_per_ip");
        let is_set = |value: &Option<Value>| value.as_ref().is_some_and(|value| !is_none(value));
        if !has_users && is_set(&self.per_user) {
            report.push(
                ProblemKind::Contradiction,
                &at.key("per_user"),
                NO_USERS,
                "write `per_ip`, or `auth`",
            );
        }
        let on_full = self.on_full.unwrap_or_default();
        if on_full == OnFull::Replace && !is_set(&self.per_user) {
            let what = "`replace` has nothing to go by without `per_user`";
            report.push(
                ProblemKind::Contradiction,
                &at.key("on_full"),
                what,
                "set `per_user`, or write `deny`",
            );
        }
        Some(Connections {
            per_ip: per_ip?,
            per_user: per_user?,
            per_policy: per_policy?,
            unauthenticated_per_ip: unauthenticated_per_ip?,
            on_full,
        })
    }
}
