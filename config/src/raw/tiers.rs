//! The key `policies.*.tiers`: limits by claim, each laid over the policy as it is written.
//!
//! A tier has to make a whole policy, which is read like any other. What is wrong with it is told at the tier, and what is
//! wrong with the policy beneath it at the policy alone.

use serde_json::{Map, Value, json};

use crate::auth::Requirement;
use crate::merge::lay_over;
use crate::path::{Path, Segment};
use crate::policy::{Policy, Tier};
use crate::problem::{Problem, ProblemKind};
use crate::raw::auth;
use crate::raw::claims::RawRequirement;
#[cfg(feature = "schema")]
use crate::raw::limits::{RawBackpressure, RawMessages, RawUpstreamMessages};
use crate::raw::list::{List, distinct_some};
#[cfg(feature = "schema")]
use crate::raw::or_none::OrNone;
use crate::raw::policy::{RawPolicy, contradictions};
#[cfg(feature = "schema")]
use crate::raw::rates::RawRate;
use crate::raw::reference::Surroundings;
use crate::raw::shadow;
use crate::report::Report;
use crate::shape;
use crate::units::kind;
use crate::words::suggestion;

/// The keys of a tier.
const KEYS: [&str; 7] =
    ["require", "messages", "upstream_messages", "rates", "connections", "backpressure", "max_session"];

/// A tier as written, for its schema alone: what is read is the policy that it makes.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is asked for")]
pub(super) struct RawTier {
    #[schemars(length(min = 1))]
    require: List<RawRequirement>,
    messages: Option<RawMessages>,
    upstream_messages: Option<RawUpstreamMessages>,
    rates: Option<List<RawRate>>,
    connections: Option<RawTierConnections>,
    backpressure: Option<OrNone<RawBackpressure>>,
    #[schemars(with = "Option<crate::schema::DurationOrNone>")]
    max_session: Option<Value>,
}

/// What a tier may say of `connections`, for its schema alone.
#[cfg(feature = "schema")]
#[derive(schemars::JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "only its shape is asked for")]
struct RawTierConnections {
    #[schemars(with = "Option<crate::schema::CountOrNone>")]
    per_user: Option<Value>,
}

/// The most tiers of a policy. Each is a policy of its own.
const MOST: usize = 64;

/// A policy on which tiers are laid.
struct Beneath<'a> {
    name: &'a str,
    /// The policy as written, without its tiers and what it has in shadow.
    written: Value,
    around: &'a Surroundings<'a>,
}

/// Returns the policy called `name` with its tiers. `written` is the policy as written; what an override has laid over it is in it,
/// and `is_jitter_cut` says whether a `max_session` that is laid over the policy cuts the jitter beneath, as that of a tier does.
pub(super) fn read_policy(
    mut raw: RawPolicy,
    (written, is_jitter_cut): (&Value, bool),
    name: &str,
    around: &Surroundings<'_>,
    at: &Path,
    report: &mut Report,
) -> Option<Policy> {
    let (tiers, has_claims) = (raw.take_tiers(), raw.asks_for_tokens());
    let shadowed = raw.take_shadow();
    let policy = raw.read(name, around, at, report).filter(|policy| {
        let auth = policy.auth.as_ref().filter(|_| !is_jitter_cut);
        auth.is_none_or(|auth| auth::has_sound_jitter(auth, &at.key("auth"), report))
    });
    let mut written = written.clone();
    if let Some(members) = written.as_object_mut() {
        members.remove("tiers");
        members.remove("shadow");
    }
    let beneath = Beneath { name, written, around };
    let tiers = beneath.tiers(tiers, has_claims, &at.key("tiers"), report);
    let policy = Policy { tiers: tiers?, ..policy? };
    let shadow = shadow::read(shadowed, &policy, &at.key("shadow"), report)?;
    Some(Policy { shadow, ..policy })
}

impl Beneath<'_> {
    fn tiers(
        &self,
        written: List<Value>,
        has_claims: bool,
        at: &Path,
        report: &mut Report,
    ) -> Option<Vec<Tier>> {
        let count = written.len();
        if count > 0 && !has_claims {
            report.push(
                ProblemKind::Contradiction,
                at,
                "asks for claims, and there is no token",
                "write `auth`, or `tiers: []`",
            );
            return None;
        }
        if count > MOST {
            report.push(
                ProblemKind::TooMuch,
                at,
                format!("has {count} elements"),
                format!("write at most {MOST}"),
            );
            return None;
        }
        let read = |(i, tier): (usize, Option<Value>)| self.tier(tier?, &at.index(i), report);
        let tiers: Vec<Tier> = written.into_iter().enumerate().filter_map(read).collect();
        (tiers.len() == count).then_some(tiers)
    }

    fn tier(&self, written: Value, at: &Path, report: &mut Report) -> Option<Tier> {
        let Value::Object(mut members) = written else {
            let remedy = "write an object with `require` and what the policy has for these users";
            report.push(ProblemKind::WrongType, at, format!("is {}", kind(&written)), remedy);
            return None;
        };
        let require = require(members.remove("require"), &at.key("require"), report);
        let has_rates = members.contains_key("rates");
        let laid = self.laid(members, at, report);
        let policy = self.lay(laid, at, report);
        Some(Tier { require: require?, policy: policy?, has_rates })
    }

    /// Returns the keys of a tier in their places in a policy.
    fn laid(&self, members: Map<String, Value>, at: &Path, report: &mut Report) -> Map<String, Value> {
        let mut laid = Map::new();
        for (key, value) in members {
            let place = at.key(key.as_str());
            match key.as_str() {
                "connections" => {
                    laid.extend(per_user(value, &place, report).map(|value| (key, value)));
                }
                // There is nothing to lay it over otherwise, and that is told already.
                "max_session" if self.written.get("auth").is_some_and(Value::is_object) => {
                    laid.insert("auth".to_owned(), json!({"max_session": value}));
                }
                "max_session" => {}
                known if KEYS.contains(&known) => {
                    laid.insert(key, value);
                }
                unknown => {
                    report.push(
                        ProblemKind::UnknownKey,
                        &place,
                        "cannot stand in a tier",
                        suggestion(unknown, &KEYS),
                    );
                }
            }
        }
        laid
    }

    /// Lays the keys of a tier over the policy, and notes what is wrong with the result and not with the policy itself.
    fn lay(&self, laid: Map<String, Value>, at: &Path, report: &mut Report) -> Option<Policy> {
        let laid = Value::Object(laid);
        if !self.written.is_object() {
            return None;
        }
        let mut own = laid.clone();
        if let (Some(own), Some(compression)) = (own.as_object_mut(), self.written.get("compression")) {
            own.insert("compression".to_owned(), compression.clone());
        }
        contradictions(&own, at, report);
        let mut merged = self.written.clone();
        lay_over(&mut merged, &laid);
        let (policy, problems) = self.read(merged, at);
        if !problems.is_empty() {
            let (_, beneath) = self.read(self.written.clone(), at);
            let is_own =
                |found: &(Path, Problem)| !beneath.contains(found) || is_written(&laid, inside(&found.0, at));
            for (path, Problem { kind, what, remedy, .. }) in problems.into_iter().filter(is_own) {
                report.push(kind, &of_tier(&path, at), what, remedy);
            }
        }
        policy
    }

    /// Reads a policy without tiers.
    fn read(&self, mut written: Value, at: &Path) -> (Option<Policy>, Vec<(Path, Problem)>) {
        let mut report = Report::default();
        shape::refuse_nulls(&mut written, at, &mut report);
        let raw: Option<RawPolicy> = shape::read(&mut written, at, &mut report);
        let policy = raw.and_then(|raw| raw.read(self.name, self.around, at, &mut report));
        (policy, report.into_problems())
    }
}

fn require(written: Option<Value>, at: &Path, report: &mut Report) -> Option<Vec<Requirement>> {
    let remedy = "write the claims that a token of this tier has, as in `auth.require`";
    let mut written = report.required(written, at, remedy)?;
    shape::refuse_nulls(&mut written, at, report);
    let lines: List<RawRequirement> = shape::read(&mut written, at, report)?;
    distinct_some(lines, at, report, RawRequirement::read)
}

/// Returns what a tier may say of `connections`.
fn per_user(written: Value, at: &Path, report: &mut Report) -> Option<Value> {
    let remedy = "write `{per_user: 5}`; all other caps are the policy's";
    let Value::Object(members) = written else {
        report.push(ProblemKind::WrongType, at, format!("is {}", kind(&written)), remedy);
        return None;
    };
    let (known, other): (Map<_, _>, Map<_, _>) = members.into_iter().partition(|(key, _)| key == "per_user");
    for key in other.keys() {
        report.push(ProblemKind::UnknownKey, &at.key(key.as_str()), "cannot stand in a tier", remedy);
    }
    Some(Value::Object(known))
}

/// Returns the steps from the tier `at` to `path`.
fn inside<'p>(path: &'p Path, at: &Path) -> &'p [Segment] {
    path.segments().get(at.segments().len()..).unwrap_or_default()
}

/// Says whether a tier has written something at `steps`.
fn is_written(laid: &Value, steps: &[Segment]) -> bool {
    let found = steps.iter().try_fold(laid, |value, step| match step {
        Segment::Index(index) => value.get(index),
        Segment::Key(key) => value.get(key),
    });
    found.is_some()
}

/// Returns the path in the tier `at` of a key of the policy that it makes.
fn of_tier(path: &Path, at: &Path) -> Path {
    match inside(path, at) {
        [Segment::Key(auth), rest @ ..] if auth == "auth" => {
            at.segments().iter().chain(rest).cloned().collect()
        }
        // What the policy says there does not fit what the tier says of users.
        [Segment::Key(connections), ..] if connections == "connections" => {
            at.key(connections.as_str()).key("per_user")
        }
        _ => path.clone(),
    }
}
