//! The keywords of one schema, read and checked.

use std::collections::BTreeSet;
use std::rc::Rc;

use serde_json::{Map, Number, Value};

use super::super::keyword::{Alternatives, Applicator, Assertion, Keyword, NodeId, Properties, Types};
use super::super::multiple::Decimal;
use super::super::pattern::Pattern;
use super::super::problem::{Problem, Report, child};
use super::super::reference::{Place, Places, Target};
use super::super::vocabulary::remedy_for_unknown;
use super::Patterns;
use crate::json_order::{compare, equal, integer};

/// The draft that is carried out, as `$schema` names it.
const DRAFT: &str = "https://json-schema.org/draft/2020-12/schema";

const A_COUNT: &str = "write a whole number that is not negative";
const A_NUMBER: &str = "write a number";
const NAMES: &str = "write a list of names, each once";

/// A reader of one schema.
pub(super) struct Reader<'r> {
    members: &'r Map<String, Value>,
    place: &'r Place<'r>,
    places: &'r Places<'r>,
    patterns: &'r mut Patterns,
    report: &'r mut Report,
    keywords: Vec<Keyword>,
}

impl<'r> Reader<'r> {
    pub(super) fn new(
        members: &'r Map<String, Value>,
        place: &'r Place<'r>,
        places: &'r Places<'r>,
        patterns: &'r mut Patterns,
        report: &'r mut Report,
    ) -> Self {
        Self { members, place, places, patterns, report, keywords: Vec::new() }
    }

    /// Reads all keywords, in the order in which they judge.
    pub(super) fn keywords(mut self) -> Vec<Keyword> {
        self.unknown();
        self.types();
        self.values();
        self.counts();
        self.numbers();
        self.names();
        self.pattern();
        self.references();
        self.arrays();
        self.objects();
        self.combined();
        self.unevaluated();
        self.keywords
    }

    fn unknown(&mut self) {
        for keyword in self.members.keys() {
            if let Some(remedy) = remedy_for_unknown(keyword) {
                self.problem(keyword, "is no keyword of JSON Schema 2020-12", remedy);
            }
        }
        let is_ours = |draft: &Value| draft.as_str().map(|draft| draft.trim_end_matches('#')) == Some(DRAFT);
        if self.members.get("$schema").is_some_and(|draft| !is_ours(draft)) {
            let remedy = format!("write {DRAFT:?}, and the schema in its words");
            self.problem("$schema", "is another draft", remedy);
        }
    }

    fn types(&mut self) {
        let Some(value) = self.members.get("type") else { return };
        let named = |name: &Value| name.as_str().and_then(Types::named);
        let types = match value {
            Value::Array(names) if !names.is_empty() => {
                names.iter().try_fold(Types::default(), |types, name| Some(types.with(named(name)?)))
            }
            name => named(name),
        };
        match types {
            Some(types) => self.asserts(Assertion::Type(types)),
            None => self.problem(
                "type",
                "is no type",
                "write null, boolean, number, integer, string, array or object, or a list of them",
            ),
        }
    }

    fn values(&mut self) {
        if let Some(value) = self.members.get("const") {
            self.asserts(Assertion::Const(value.clone()));
        }
        match self.members.get("enum") {
            None => {}
            Some(Value::Array(values)) if !values.is_empty() => {
                let mut values = values.clone();
                values.sort_unstable_by(|a, b| compare(a, b, &mut 0));
                values.dedup_by(|a, b| equal(a, b));
                self.asserts(Assertion::Enum(values));
            }
            Some(_) => self.problem("enum", "is no list of values", "write one value or more"),
        }
    }

    fn counts(&mut self) {
        const COUNTS: [(&str, fn(u64) -> Assertion); 6] = [
            ("maxItems", Assertion::MaxItems),
            ("minItems", Assertion::MinItems),
            ("maxLength", Assertion::MaxLength),
            ("minLength", Assertion::MinLength),
            ("maxProperties", Assertion::MaxProperties),
            ("minProperties", Assertion::MinProperties),
        ];
        for (keyword, make) in COUNTS {
            if let Some(count) = self.count(keyword) {
                self.asserts(make(count));
            }
        }
    }

    fn numbers(&mut self) {
        const BOUNDS: [(&str, fn(Number) -> Assertion); 4] = [
            ("maximum", Assertion::Maximum),
            ("minimum", Assertion::Minimum),
            ("exclusiveMaximum", Assertion::ExclusiveMaximum),
            ("exclusiveMinimum", Assertion::ExclusiveMinimum),
        ];
        for (keyword, make) in BOUNDS {
            match self.members.get(keyword) {
                None => {}
                Some(Value::Number(bound)) => self.asserts(make(bound.clone())),
                Some(_) => self.problem(keyword, "is no number", A_NUMBER),
            }
        }
        let Some(value) = self.members.get("multipleOf") else { return };
        let divisor = value.as_number().filter(|number| number.as_f64().is_some_and(|number| number > 0.0));
        match divisor.and_then(Decimal::new).filter(|divisor| !divisor.is_zero()) {
            Some(divisor) => self.asserts(Assertion::MultipleOf(divisor)),
            None => self.problem("multipleOf", "is no number above zero", A_NUMBER),
        }
    }

    fn names(&mut self) {
        if let Some(value) = self.members.get("required") {
            match names(value) {
                Some(names) => self.asserts(Assertion::Required(names)),
                None => self.problem("required", "is no list of names", NAMES),
            }
        }
        let Some(value) = self.members.get("dependentRequired") else { return };
        let Value::Object(rows) = value else {
            return self.problem(
                "dependentRequired",
                "is no object",
                "write a list of names for each member",
            );
        };
        let read = |(name, value): (&String, &Value)| Some((name.clone(), names(value)?));
        match rows.iter().map(read).collect() {
            Some(rows) => self.asserts(Assertion::DependentRequired(rows)),
            None => self.problem("dependentRequired", "has a member that is no list of names", NAMES),
        }
    }

    fn pattern(&mut self) {
        match self.members.get("pattern") {
            None => {}
            Some(Value::String(text)) => {
                let at = child(&self.place.at, "pattern");
                if let Some(pattern) = self.compiled(text, at) {
                    self.asserts(Assertion::Pattern(pattern));
                }
            }
            Some(_) => self.problem("pattern", "is no text", "write a regular expression"),
        }
    }

    fn references(&mut self) {
        if let Some(target) = self.target("$ref") {
            self.applies(Applicator::Ref(target.node));
        }
        let Some(target) = self.target("$dynamicRef") else { return };
        self.applies(match target.dynamic_anchor {
            Some(anchor) => Applicator::DynamicRef { target: target.node, anchor },
            None => Applicator::Ref(target.node),
        });
    }

    fn arrays(&mut self) {
        let prefix = self.list("prefixItems");
        let (before, items) = (prefix.len(), self.one("items"));
        if !prefix.is_empty() {
            self.applies(Applicator::PrefixItems(prefix));
        }
        if let Some(schema) = items {
            self.applies(Applicator::Items { schema, prefix: before });
        }
        let (min, max) = (self.count("minContains").unwrap_or(1), self.count("maxContains"));
        if let Some(schema) = self.one("contains") {
            self.applies(Applicator::Contains { schema, min, max });
        }
        match self.members.get("uniqueItems") {
            None | Some(Value::Bool(false)) => {}
            Some(Value::Bool(true)) => self.asserts(Assertion::UniqueItems),
            Some(_) => self.problem("uniqueItems", "is neither true nor false", "write `true` or `false`"),
        }
    }

    fn objects(&mut self) {
        if let Some(schema) = self.one("propertyNames") {
            self.applies(Applicator::PropertyNames(schema));
        }
        let named = self.map("properties").into_iter().collect();
        let additional = self.one("additionalProperties");
        let at = child(&self.place.at, "patternProperties");
        let mut patterns = Vec::new();
        for (text, id) in self.map("patternProperties") {
            let at = child(&at, &text);
            patterns.extend(self.compiled(&text, at).map(|pattern| (pattern, id)));
        }
        let properties = Properties { named, patterns, additional };
        if !properties.is_empty() {
            self.applies(Applicator::Properties(properties));
        }
        let rows = self.map("dependentSchemas");
        if !rows.is_empty() {
            self.applies(Applicator::DependentSchemas(rows));
        }
    }

    fn combined(&mut self) {
        const LISTS: [(&str, fn(Vec<NodeId>) -> Applicator); 3] = [
            ("allOf", Applicator::AllOf),
            ("anyOf", |schemas| Applicator::AnyOf(Alternatives::new(schemas))),
            ("oneOf", |schemas| Applicator::OneOf(Alternatives::new(schemas))),
        ];
        for (keyword, make) in LISTS {
            let schemas = self.list(keyword);
            if !schemas.is_empty() {
                self.applies(make(schemas));
            }
        }
        if let Some(schema) = self.one("not") {
            self.applies(Applicator::Not(schema));
        }
        if let Some(condition) = self.one("if") {
            let (then, otherwise) = (self.one("then"), self.one("else"));
            self.applies(Applicator::If { condition, then, otherwise });
        }
    }

    fn unevaluated(&mut self) {
        if let Some(schema) = self.one("unevaluatedItems") {
            self.applies(Applicator::UnevaluatedItems(schema));
        }
        if let Some(schema) = self.one("unevaluatedProperties") {
            self.applies(Applicator::UnevaluatedProperties(schema));
        }
    }

    fn applies(&mut self, applicator: Applicator) {
        self.keywords.push(Keyword::Applicator(applicator));
    }

    fn asserts(&mut self, assertion: Assertion) {
        self.keywords.push(Keyword::Assertion(assertion));
    }

    fn problem(&mut self, keyword: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.report.push(Problem::new(child(&self.place.at, keyword), what, remedy));
    }

    fn count(&mut self, keyword: &str) -> Option<u64> {
        let value = self.members.get(keyword)?;
        let count = value.as_number().and_then(whole);
        if count.is_none() {
            self.problem(keyword, "is no count", A_COUNT);
        }
        count
    }

    fn compiled(&mut self, text: &str, at: String) -> Option<Rc<Pattern>> {
        match self.patterns.get(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let remedy = "write a pattern that one pass over a text can follow, with `^` before it if it can; \
                              or lengths by `minLength` and `maxLength`";
                self.report.push(Problem::new(at, error.to_string(), remedy));
                None
            }
        }
    }

    fn target(&mut self, keyword: &str) -> Option<Target> {
        const REMEDY: &str = "write a reference to a schema within this one, such as `#/$defs/name`";
        let value = self.members.get(keyword)?;
        let Some(reference) = value.as_str() else {
            self.problem(keyword, "is no text", REMEDY);
            return None;
        };
        match self.places.resolve(reference, &self.place.base) {
            Ok(target) => Some(target),
            Err(what) => {
                self.problem(keyword, what, REMEDY);
                None
            }
        }
    }

    /// Returns the schema that a keyword holds.
    fn one(&self, keyword: &str) -> Option<NodeId> {
        self.members.get(keyword)?;
        self.places.at(&child(&self.place.at, keyword))
    }

    /// Returns the schemas of the list that a keyword holds.
    fn list(&self, keyword: &str) -> Vec<NodeId> {
        let len = self.members.get(keyword).and_then(Value::as_array).map_or(0, Vec::len);
        let at = child(&self.place.at, keyword);
        (0..len).filter_map(|index| self.places.at(&format!("{at}/{index}"))).collect()
    }

    /// Returns the schemas of the object that a keyword holds.
    fn map(&self, keyword: &str) -> Vec<(String, NodeId)> {
        let members = self.members.get(keyword).and_then(Value::as_object);
        let at = child(&self.place.at, keyword);
        let found = |name: &String| Some((name.clone(), self.places.at(&child(&at, name))?));
        members.into_iter().flat_map(Map::keys).filter_map(found).collect()
    }
}

fn names(value: &Value) -> Option<Vec<String>> {
    let names: Vec<String> =
        value.as_array()?.iter().map(|name| name.as_str().map(str::to_owned)).collect::<Option<_>>()?;
    let distinct: BTreeSet<&String> = names.iter().collect();
    (distinct.len() == names.len()).then_some(names)
}

/// Returns a number that is whole and not negative, however it is written.
fn whole(number: &Number) -> Option<u64> {
    // The greatest double below 2^64.
    const MOST: f64 = 18_446_744_073_709_549_568.0;
    if let Some(integer) = integer(number) {
        return u64::try_from(integer).ok();
    }
    let double = number.as_f64().filter(|double| double.fract() == 0.0 && (0.0..=MOST).contains(double))?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a whole number within the range"
    )]
    Some(double as u64)
}
