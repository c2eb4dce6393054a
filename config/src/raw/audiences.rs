//! The key `providers.*.audiences`.

use std::fmt;

use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

use crate::auth::ClaimPath;
use crate::grammar::is_line;
use crate::path::Path;
use crate::provider::Audiences;
use crate::raw::claims::claim_path;
use crate::raw::list::{List, distinct_some, string};
use crate::report::Report;
#[cfg(feature = "schema")]
use crate::schema;

/// The key as written.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(untagged))]
pub(super) enum RawAudiences {
    #[cfg_attr(feature = "schema", schemars(extend("type" = "string", "enum" = ["none"])))]
    None,
    Of(#[cfg_attr(feature = "schema", schemars(with = "schema::OneOrMore<schema::Line>"))] List<String>),
    By(RawClaim),
}

/// Another claim than `aud`, and the values that it may have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object")]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(extend("required" = ["claim", "values"])))]
pub(super) struct RawClaim {
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::Claim>"))]
    claim: Option<String>,
    #[cfg_attr(feature = "schema", schemars(with = "Option<schema::OneOrMore<schema::Line>>"))]
    values: Option<List<String>>,
}

impl RawAudiences {
    /// Returns the valid form.
    pub(super) fn read(self, at: &Path, report: &mut Report) -> Option<Audiences> {
        match self {
            Self::None => Some(Audiences::Unbound),
            Self::Of(list) => Some(Audiences::Bound {
                claim: ClaimPath::Name("aud".to_owned()),
                values: names(list, at, report)?,
            }),
            Self::By(written) => written.read(at, report),
        }
    }
}

impl RawClaim {
    fn read(self, at: &Path, report: &mut Report) -> Option<Audiences> {
        let (claim_at, values_at) = (at.key("claim"), at.key("values"));
        let remedy = "write the name of the claim that says whom a token is for, such as `client_id`, or a JSON pointer to it";
        let claim = report
            .required(self.claim, &claim_at, remedy)
            .and_then(|text| claim_path(text, &claim_at, report));
        let values = report
            .required(self.values, &values_at, "write what the claim must contain, such as `[chat]`")
            .and_then(|list| names(list, &values_at, report));
        Some(Audiences::Bound { claim: claim?, values: values? })
    }
}

fn names(list: List<String>, at: &Path, report: &mut Report) -> Option<Vec<String>> {
    distinct_some(list, at, report, |audience, at, report| {
        string(audience, is_line, "write a name, not empty", at, report)
    })
}

impl<'de> Deserialize<'de> for RawAudiences {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Form)
    }
}

struct Form;

impl<'de> Visitor<'de> for Form {
    type Value = RawAudiences;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, an object with `claim` and `values`, or the word `none`")
    }

    fn visit_str<E: Error>(self, word: &str) -> Result<RawAudiences, E> {
        match word {
            "none" => Ok(RawAudiences::None),
            _ => Err(E::invalid_value(Unexpected::Str(word), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawAudiences, A::Error> {
        List::deserialize(SeqAccessDeserializer::new(list)).map(RawAudiences::Of)
    }

    fn visit_map<A: MapAccess<'de>>(self, object: A) -> Result<RawAudiences, A::Error> {
        RawClaim::deserialize(MapAccessDeserializer::new(object)).map(RawAudiences::By)
    }
}
