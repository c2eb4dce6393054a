//! A compiled schema: its keywords, each with all that it needs to judge.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde_json::{Number, Value};

use super::multiple::Decimal;
use super::pattern::Pattern;

/// The place of a schema among all of its document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct NodeId(pub(super) usize);

/// The place of a schema resource: the document, or what has an `$id` of its own within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ResourceId(pub(super) usize);

/// One schema.
#[derive(Debug)]
pub(super) struct Node {
    /// The JSON pointer of the schema in its document.
    pub(super) at: String,
    pub(super) resource: ResourceId,
    /// The keywords in the order in which they judge: what is quickly known first, what asks for evaluated places last.
    pub(super) keywords: Vec<Keyword>,
    /// Says whether there is a keyword that asks for evaluated places.
    pub(super) asks_evaluated: bool,
}

/// A keyword with its value.
#[derive(Debug)]
pub(super) enum Keyword {
    Applicator(Applicator),
    Assertion(Assertion),
}

/// A keyword that judges by other schemas.
#[derive(Debug)]
pub(super) enum Applicator {
    AllOf(Vec<NodeId>),
    AnyOf(Alternatives),
    Contains {
        schema: NodeId,
        min: u64,
        max: Option<u64>,
    },
    DependentSchemas(Vec<(String, NodeId)>),
    DynamicRef {
        target: NodeId,
        anchor: String,
    },
    If {
        condition: NodeId,
        then: Option<NodeId>,
        otherwise: Option<NodeId>,
    },
    /// `items`, for those behind the prefix.
    Items {
        schema: NodeId,
        prefix: usize,
    },
    Not(NodeId),
    OneOf(Alternatives),
    PrefixItems(Vec<NodeId>),
    /// `properties`, `patternProperties` and `additionalProperties`, which speak of one another.
    Properties(Properties),
    PropertyNames(NodeId),
    Ref(NodeId),
    UnevaluatedItems(NodeId),
    UnevaluatedProperties(NodeId),
}

/// A keyword that judges by itself.
#[derive(Debug)]
pub(super) enum Assertion {
    Const(Value),
    DependentRequired(Vec<(String, Vec<String>)>),
    /// The values, in their order.
    Enum(Vec<Value>),
    ExclusiveMaximum(Number),
    ExclusiveMinimum(Number),
    /// The schema `false`.
    False,
    MaxItems(u64),
    MaxLength(u64),
    MaxProperties(u64),
    Maximum(Number),
    MinItems(u64),
    MinLength(u64),
    MinProperties(u64),
    Minimum(Number),
    MultipleOf(Decimal),
    Pattern(Rc<Pattern>),
    Required(Vec<String>),
    Type(Types),
    UniqueItems,
}

/// Schemas of which not all have to hold.
#[derive(Debug)]
pub(super) struct Alternatives {
    pub(super) schemas: Vec<NodeId>,
    /// What tells them apart, if anything does.
    pub(super) tag: Option<Tag>,
}

/// A member that has to be one of some texts for each of several schemas to hold.
#[derive(Debug)]
pub(super) struct Tag {
    pub(super) name: String,
    /// The schemas that may hold, by the text.
    pub(super) by_text: BTreeMap<String, Vec<NodeId>>,
}

/// The schemas for the members of an object.
#[derive(Debug, Default)]
pub(super) struct Properties {
    pub(super) named: BTreeMap<String, NodeId>,
    pub(super) patterns: Vec<(Rc<Pattern>, NodeId)>,
    /// For members that none of the above speaks of.
    pub(super) additional: Option<NodeId>,
}

impl Node {
    /// Says whether the schema is for values of other types, which is known at a glance.
    pub(super) fn is_of_other_types(&self, value: &Value) -> bool {
        matches!(self.keywords.first(), Some(Keyword::Assertion(Assertion::Type(types))) if !types.has(value))
    }
}

impl Alternatives {
    /// Returns the alternatives of which none is known yet to be told apart.
    pub(super) fn new(schemas: Vec<NodeId>) -> Self {
        Self { schemas, tag: None }
    }

    /// Returns those that may hold for a value: all, unless its tag rules out some.
    pub(super) fn of(&self, value: &Value) -> &[NodeId] {
        let told = || {
            let tag = self.tag.as_ref()?;
            let text = value.as_object()?.get(&tag.name)?.as_str()?;
            Some(tag.by_text.get(text).map_or(&[][..], Vec::as_slice))
        };
        told().unwrap_or(&self.schemas)
    }
}

impl Properties {
    /// Says whether there is no schema for any member.
    pub(super) fn is_empty(&self) -> bool {
        self.named.is_empty() && self.speaks_of_named_only()
    }

    /// Says whether only members that are named have schemas.
    pub(super) fn speaks_of_named_only(&self) -> bool {
        self.patterns.is_empty() && self.additional.is_none()
    }
}

/// A set of types of values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Types(u8);

impl Types {
    /// The names of the types. An integer is a number as well.
    const NAMES: [&str; 7] = ["null", "boolean", "number", "string", "array", "object", "integer"];
    const INTEGER: usize = 6;

    /// Returns the type of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().position(|known| *known == name).map(|bit| Self(1 << bit))
    }

    /// Returns all types of either set.
    pub(super) fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Says whether a value has one of the types. A number without a fraction is an integer, however it is written.
    pub(super) fn has(self, value: &Value) -> bool {
        let bit = match value {
            Value::Null => 0,
            Value::Bool(_) => 1,
            Value::Number(_) => 2,
            Value::String(_) => 3,
            Value::Array(_) => 4,
            Value::Object(_) => 5,
        };
        let is_integer =
            |number: &Number| !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0);
        self.0 & (1 << bit) != 0
            || self.0 & (1 << Self::INTEGER) != 0 && value.as_number().is_some_and(is_integer)
    }
}

impl Keyword {
    /// Returns the name of the keyword, as it stands in a schema. Empty for the schema `false`.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Applicator(applicator) => applicator.name(),
            Self::Assertion(assertion) => assertion.name(),
        }
    }
}

impl Applicator {
    fn name(&self) -> &'static str {
        match self {
            Self::AllOf(_) => "allOf",
            Self::AnyOf(_) => "anyOf",
            Self::Contains { .. } => "contains",
            Self::DependentSchemas(_) => "dependentSchemas",
            Self::DynamicRef { .. } => "$dynamicRef",
            Self::If { .. } => "if",
            Self::Items { .. } => "items",
            Self::Not(_) => "not",
            Self::OneOf(_) => "oneOf",
            Self::PrefixItems(_) => "prefixItems",
            Self::Properties(_) => "properties",
            Self::PropertyNames(_) => "propertyNames",
            Self::Ref(_) => "$ref",
            Self::UnevaluatedItems(_) => "unevaluatedItems",
            Self::UnevaluatedProperties(_) => "unevaluatedProperties",
        }
    }

    /// Returns the schemas that judge the same value as this keyword does.
    pub(super) fn in_place(&self) -> Vec<NodeId> {
        match self {
            Self::AllOf(all) => all.clone(),
            Self::AnyOf(any) | Self::OneOf(any) => any.schemas.clone(),
            Self::DependentSchemas(all) => all.iter().map(|(_, id)| *id).collect(),
            Self::DynamicRef { target: id, .. } | Self::Not(id) | Self::Ref(id) => vec![*id],
            Self::If { condition, then, otherwise } => {
                [Some(*condition), *then, *otherwise].into_iter().flatten().collect()
            }
            Self::Contains { .. }
            | Self::Items { .. }
            | Self::PrefixItems(_)
            | Self::Properties(_)
            | Self::PropertyNames(_)
            | Self::UnevaluatedItems(_)
            | Self::UnevaluatedProperties(_) => Vec::new(),
        }
    }

    /// Says whether the keyword asks which members or items other keywords have evaluated.
    pub(super) fn asks_evaluated(&self) -> bool {
        matches!(self, Self::UnevaluatedItems(_) | Self::UnevaluatedProperties(_))
    }
}

impl Assertion {
    fn name(&self) -> &'static str {
        match self {
            Self::Const(_) => "const",
            Self::DependentRequired(_) => "dependentRequired",
            Self::Enum(_) => "enum",
            Self::ExclusiveMaximum(_) => "exclusiveMaximum",
            Self::ExclusiveMinimum(_) => "exclusiveMinimum",
            Self::False => "",
            Self::MaxItems(_) => "maxItems",
            Self::MaxLength(_) => "maxLength",
            Self::MaxProperties(_) => "maxProperties",
            Self::Maximum(_) => "maximum",
            Self::MinItems(_) => "minItems",
            Self::MinLength(_) => "minLength",
            Self::MinProperties(_) => "minProperties",
            Self::Minimum(_) => "minimum",
            Self::MultipleOf(_) => "multipleOf",
            Self::Pattern(_) => "pattern",
            Self::Required(_) => "required",
            Self::Type(_) => "type",
            Self::UniqueItems => "uniqueItems",
        }
    }
}
