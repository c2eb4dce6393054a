//! The keys of `providers.*`.

use std::time::Duration;

use serde::Deserialize;
use serde_json::Value;

use crate::auth::ClaimPath;
use crate::grammar::is_name;
use crate::issuer::Issuer;
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::provider::{Algorithm, KeySource, Provider};
use crate::raw::audiences::RawAudiences;
use crate::raw::claims::claim_path;
use crate::raw::issuer::{self, RawAllow, RawIssuer};
use crate::raw::jwks::RawJwks;
use crate::raw::list::{List, distinct_some};
use crate::raw::secret::RawSecret;
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;
use crate::units::{Zero, duration, size};

/// One provider as written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend(
    "oneOf" = schema::any_of(&["jwks", "secret"]),
    "anyOf" = schema::any_of(&["issuer", "secret"]),
        "allOf" = schema::fit_the_keys()
)))]
pub(super) struct RawProvider {
    issuer: Option<RawIssuer>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::AllowedSegments>"))]
    issuer_allow: Option<RawAllow>,
    audiences: Option<RawAudiences>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Claim>"))]
    subject: Option<String>,
    #[cfg_attr(feature = "schema", schemars(length(min = 1)))]
    algorithms: Option<List<Algorithm>>,
    jwks: Option<RawJwks>,
    secret: Option<RawSecret>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::DurationOrZero>"))]
    clock_skew: Option<Value>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Size>"))]
    max_token_bytes: Option<Value>,
}

impl RawProvider {
    /// Returns the provider called `name`.
    pub(super) fn read(self, name: &str, at: &Path, report: &mut Report) -> Option<Provider> {
        let named = name_is_good(name, at, report);
        let is_shared = self.secret.is_some() || report.is_broken(&at.key("secret"));
        let issuers = issuers(self.issuer, self.issuer_allow, is_shared, at, report);
        let audiences_at = at.key("audiences");
        let audiences = report
            .required(self.audiences, &audiences_at, "write what `aud` must contain, such as `[chat]`")
            .and_then(|written| written.read(&audiences_at, report));
        let subject = match self.subject {
            Some(text) => claim_path(text, &at.key("subject"), report),
            None => Some(ClaimPath::Name("sub".to_owned())),
        };
        let algorithms = algorithms(self.algorithms, is_shared, at, report);
        let keys = keys(self.jwks, self.secret, at, report);
        let clock_skew = match &self.clock_skew {
            Some(value) => duration(value, Zero::Allowed, &at.key("clock_skew"), report),
            None => Some(Duration::from_secs(30)),
        };
        let max_token_bytes = match &self.max_token_bytes {
            Some(value) => size(value, &at.key("max_token_bytes"), report),
            None => Some(8 << 10),
        };
        named.then_some(Provider {
            name: name.to_owned(),
            issuers: issuers?,
            audiences: audiences?,
            subject: subject?,
            algorithms: algorithms?,
            keys: keys?,
            clock_skew: clock_skew?,
            max_token_bytes: max_token_bytes?,
        })
    }
}

/// Says whether `name` may be a key under `policies` or `providers`.
pub(super) fn name_is_good(name: &str, at: &Path, report: &mut Report) -> bool {
    if !is_name(name) {
        let remedy = "write 1 to 64 letters, digits, `_` and `-`, and single dots between them";
        report.push(ProblemKind::ImpossibleValue, at, "has a name that is not allowed", remedy);
    }
    is_name(name)
}

fn issuers(
    written: Option<RawIssuer>,
    allow: Option<RawAllow>,
    is_shared: bool,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<Issuer>> {
    let Some(written) = written else {
        if !report.is_broken(&at.key("issuer")) {
            issuer::unused(allow.as_ref(), at, report);
        }
        if !is_shared {
            report.missing(&at.key("issuer"), issuer::REMEDY);
        }
        return is_shared.then(Vec::new);
    };
    written.read(allow, at, report)
}

fn algorithms(
    written: Option<List<Algorithm>>,
    is_shared: bool,
    at: &Path,
    report: &mut Report,
) -> Option<Vec<Algorithm>> {
    let at = at.key("algorithms");
    let Some(list) = written else {
        if is_shared {
            report.missing(&at, "write `HS256`, `HS384` or `HS512`, as the issuer signs");
            return None;
        }
        return Some(vec![Algorithm::RS256, Algorithm::ES256, Algorithm::EdDSA]);
    };
    distinct_some(list, &at, report, |algorithm, at, report| match (is_symmetric(algorithm), is_shared) {
        (true, false) => {
            report.push(
                ProblemKind::Contradiction,
                at,
                "wants a shared secret, and the keys are public",
                "leave it out, or write `secret` in place of `jwks`",
            );
            None
        }
        (false, true) => {
            report.push(
                ProblemKind::Contradiction,
                at,
                "wants public keys, and there is a `secret`",
                "leave it out, or write `jwks` in place of `secret`",
            );
            None
        }
        (true, true) | (false, false) => Some(algorithm),
    })
}

fn is_symmetric(algorithm: Algorithm) -> bool {
    matches!(algorithm, Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512)
}

fn keys(
    jwks: Option<RawJwks>,
    secret: Option<RawSecret>,
    at: &Path,
    report: &mut Report,
) -> Option<KeySource> {
    match (jwks, secret) {
        (Some(jwks), None) => jwks.read(&at.key("jwks"), report),
        (None, Some(secret)) => secret.read(&at.key("secret"), report).map(KeySource::Secret),
        (Some(_), Some(_)) => {
            report.push(
                ProblemKind::Contradiction,
                at,
                "has both `jwks` and `secret`",
                "leave one of them out",
            );
            None
        }
        (None, None) => {
            if !report.is_broken_below(at) {
                report.push(
                    ProblemKind::MissingKey,
                    at,
                    "has no keys",
                    "write `jwks` for public keys, or `secret` for a shared one",
                );
            }
            None
        }
    }
}
