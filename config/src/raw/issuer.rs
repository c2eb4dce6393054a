//! The keys `providers.*.issuer` and `providers.*.issuer_allow`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Deserialize;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{Deserializer, Error, SeqAccess, Visitor};

use crate::grammar::{is_line, is_name};
use crate::issuer::{Issuer, Piece};
use crate::path::Path;
use crate::problem::ProblemKind;
use crate::raw::list::{List, distinct_some, string};
use crate::report::Report;
use crate::words::suggestion;

/// The remedy where an issuer must be.
pub(super) const REMEDY: &str = "write what `iss` must equal, such as `https://auth.example.com/`";

const TEMPLATE: &str = "write `{name}` in the place of one whole segment of the path, such as \
                        `https://login.microsoftonline.com/{tenant}/v2.0`";

/// The value of `issuer`.
#[derive(Debug)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(untagged))]
pub(super) enum RawIssuer {
    One(#[cfg_attr(feature = "schema", schemars(length(min = 1)))] String),
    Several(
        #[cfg_attr(feature = "schema", schemars(with = "crate::schema::OneOrMore<crate::schema::Line>"))]
        List<String>,
    ),
}

/// The value of `issuer_allow`.
pub(super) type RawAllow = BTreeMap<String, List<String>>;

/// An issuer as written, between its slashes.
#[derive(PartialEq)]
struct Template(Vec<Part>);

#[derive(PartialEq)]
enum Part {
    Name(String),
    Text(String),
}

impl RawIssuer {
    /// Returns the valid form, with the values in `allow` for the names in it.
    pub(super) fn read(self, allow: Option<RawAllow>, at: &Path, report: &mut Report) -> Option<Vec<Issuer>> {
        let issuer_at = at.key("issuer");
        let templates = match self {
            Self::One(text) => template(text, &issuer_at, report).map(|template| vec![template]),
            Self::Several(list) => distinct_some(list, &issuer_at, report, template),
        };
        // The values that are allowed are told only of names that are sure.
        let templates = templates?;
        let allow = values(allow.unwrap_or_default(), &templates, &at.key("issuer_allow"), report)?;
        Some(templates.into_iter().map(|template| template.filled(&allow)).collect())
    }
}

impl Template {
    fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|part| match part {
            Part::Name(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    fn filled(self, allow: &BTreeMap<String, BTreeSet<String>>) -> Issuer {
        let piece = |part| match part {
            Part::Name(name) => Piece::OneOf(allow.get(&name).cloned().unwrap_or_default()),
            Part::Text(text) => Piece::Text(text),
        };
        Issuer::of(self.0.into_iter().map(piece).collect())
    }
}

/// Notes values that are allowed for names in no issuer.
pub(super) fn unused(allow: Option<&RawAllow>, at: &Path, report: &mut Report) {
    for name in allow.into_iter().flat_map(BTreeMap::keys) {
        is_in_no_issuer(name, &[], &at.key("issuer_allow"), report);
    }
}

fn template(text: String, at: &Path, report: &mut Report) -> Option<Template> {
    let text = string(text, is_line, REMEDY, at, report)?;
    let parts: Option<Vec<Part>> = text.split('/').map(part).collect();
    let Some(parts) = parts else {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            "has a brace that is not that of a `{name}` between two slashes",
            TEMPLATE,
        );
        return None;
    };
    let template = Template(parts);
    let mut seen = BTreeSet::new();
    if let Some(name) = template.names().find(|name| !seen.insert(*name)) {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("has `{{{name}}}` twice"),
            "give each a name of its own",
        );
        return None;
    }
    if let Some(name) = template.names().next()
        && !is_in_the_path(&text)
    {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("has `{{{name}}}` outside of the path"),
            TEMPLATE,
        );
        return None;
    }
    Some(template)
}

/// Reads the text between two slashes; returns `None` if it has braces that are no template's.
fn part(text: &str) -> Option<Part> {
    if !text.contains(['{', '}']) {
        return Some(Part::Text(text.to_owned()));
    }
    let name = text.strip_prefix('{')?.strip_suffix('}').filter(|name| is_name(name))?;
    Some(Part::Name(name.to_owned()))
}

/// Says whether the first brace of an address is in its path.
fn is_in_the_path(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let path = rest
        .and_then(|rest| rest.split_once('/'))
        .filter(|(host, _)| !host.is_empty() && !host.contains('{'));
    path.is_some() && !text.contains(['?', '#'])
}

fn values(
    written: RawAllow,
    templates: &[Template],
    at: &Path,
    report: &mut Report,
) -> Option<BTreeMap<String, BTreeSet<String>>> {
    let names: BTreeSet<&str> = templates.iter().flat_map(Template::names).collect();
    let mut is_sound = true;
    for name in &names {
        if !written.contains_key(*name) && !report.is_broken(at) {
            let remedy = format!("write which values `{{{name}}}` may have, such as the ids of your tenants");
            report.missing(&at.key(*name), remedy);
            is_sound = false;
        }
    }
    let known: Vec<&str> = names.into_iter().collect();
    let mut allow = BTreeMap::new();
    for (name, list) in written {
        let is_used = known.contains(&name.as_str());
        if !is_used {
            is_in_no_issuer(&name, &known, at, report);
        }
        let values = distinct_some(list, &at.key(name.as_str()), report, |value, at, report| {
            string(value, is_segment, "write one segment of a path, without a slash", at, report)
        });
        is_sound &= is_used && values.is_some();
        allow.insert(name, values.unwrap_or_default().into_iter().collect());
    }
    is_sound.then_some(allow)
}

fn is_in_no_issuer(name: &str, known: &[&str], at: &Path, report: &mut Report) {
    let remedy = match known {
        [] => format!("leave it out, or write `{{{name}}}` in the path of `issuer`"),
        known => suggestion(name, known),
    };
    report.push(ProblemKind::UnknownName, &at.key(name), "is in no issuer of this provider", remedy);
}

fn is_segment(text: &str) -> bool {
    is_line(text) && !text.contains('/')
}

impl<'de> Deserialize<'de> for RawIssuer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrSeveral)
    }
}

struct OneOrSeveral;

impl<'de> Visitor<'de> for OneOrSeveral {
    type Value = RawIssuer;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<RawIssuer, E> {
        Ok(RawIssuer::One(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<RawIssuer, A::Error> {
        List::deserialize(SeqAccessDeserializer::new(list)).map(RawIssuer::Several)
    }
}
