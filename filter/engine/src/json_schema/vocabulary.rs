//! The keywords of draft 2020-12 by name: which hold schemas, and which only tell something.

/// The schemas that a keyword holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Subschemas {
    /// None.
    None,
    /// One.
    One,
    /// A list of them.
    List,
    /// An object of them.
    Map,
}

/// Keywords that hold schemas. `definitions` is where earlier drafts keep what `$defs` has.
const APPLICATORS: [(&str, Subschemas); 20] = [
    ("$defs", Subschemas::Map),
    ("additionalProperties", Subschemas::One),
    ("allOf", Subschemas::List),
    ("anyOf", Subschemas::List),
    ("contains", Subschemas::One),
    ("definitions", Subschemas::Map),
    ("dependentSchemas", Subschemas::Map),
    ("else", Subschemas::One),
    ("if", Subschemas::One),
    ("items", Subschemas::One),
    ("not", Subschemas::One),
    ("oneOf", Subschemas::List),
    ("patternProperties", Subschemas::Map),
    ("prefixItems", Subschemas::List),
    ("properties", Subschemas::Map),
    ("propertyNames", Subschemas::One),
    ("then", Subschemas::One),
    ("unevaluatedItems", Subschemas::One),
    ("unevaluatedProperties", Subschemas::One),
    ("contentSchema", Subschemas::One),
];

/// Keywords that hold no schema, and judge or name something.
const OTHERS: [&str; 26] = [
    "$anchor",
    "$dynamicAnchor",
    "$dynamicRef",
    "$id",
    "$ref",
    "$schema",
    "const",
    "dependentRequired",
    "enum",
    "exclusiveMaximum",
    "exclusiveMinimum",
    "maxContains",
    "maxItems",
    "maxLength",
    "maxProperties",
    "maximum",
    "minContains",
    "minItems",
    "minLength",
    "minProperties",
    "minimum",
    "multipleOf",
    "pattern",
    "required",
    "type",
    "uniqueItems",
];

/// Annotations: they tell something, and judge nothing.
const ANNOTATIONS: [&str; 11] = [
    "$comment",
    "contentEncoding",
    "contentMediaType",
    "default",
    "deprecated",
    "description",
    "examples",
    "format",
    "readOnly",
    "title",
    "writeOnly",
];

/// Keywords of other drafts and dialects, which judge there and would not here, each with what to write.
const FOREIGN: [(&str, &str); 8] = [
    ("$recursiveAnchor", "write `$dynamicAnchor`"),
    ("$recursiveRef", "write `$dynamicRef`"),
    ("$vocabulary", "leave it out: it is for schemas of schemas"),
    ("additionalItems", "write `items` for these, and `prefixItems` for those before"),
    ("dependencies", "write `dependentRequired` or `dependentSchemas`"),
    ("discriminator", "write `schemas` in the policy, by the kind of the message"),
    ("id", "write `$id`"),
    ("nullable", "write `type: [null, …]`"),
];

/// Says whether a keyword is an annotation that readers of a schema may take for a rule.
pub(super) fn is_taken_for_a_rule(keyword: &str) -> bool {
    ["contentEncoding", "contentMediaType", "contentSchema", "format"].contains(&keyword)
}

/// Returns which schemas a keyword holds.
pub(super) fn subschemas(keyword: &str) -> Subschemas {
    let found = APPLICATORS.iter().find(|(known, _)| *known == keyword);
    found.map_or(Subschemas::None, |(_, subschemas)| *subschemas)
}

/// Returns what to do about a keyword that means nothing here. Names that begin with `x-` are for the author's own use.
pub(super) fn remedy_for_unknown(keyword: &str) -> Option<&'static str> {
    let is_known = subschemas(keyword) != Subschemas::None
        || OTHERS.contains(&keyword)
        || ANNOTATIONS.contains(&keyword)
        || keyword.starts_with("x-");
    if is_known {
        return None;
    }
    let foreign = FOREIGN.iter().find(|(known, _)| *known == keyword);
    Some(foreign.map_or(
        "write a keyword of JSON Schema 2020-12, begin its name with `x-` if it is your own, or leave it out",
        |(_, remedy)| remedy,
    ))
}
