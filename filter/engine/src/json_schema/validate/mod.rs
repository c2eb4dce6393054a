//! The judgement of a value, step by step, each of them paid for.

mod items;
mod members;

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::budget::Budget;
use super::evaluated::Evaluated;
use super::keyword::{Keyword, Node, NodeId, ResourceId};
use super::multiple::Decimal;
use super::pattern::Pattern;
use super::problem::child;
use super::{Fault, Schema};
use crate::json_order::{compare, compare_numbers};

/// The most schemas that may be judged by inside one another. Each takes some of the stack, and Envoy's is bounded.
const MAX_DEPTH: u32 = 512;
/// The bytes of a text for one step, where a pattern reads them.
const MATCHED_BYTES_PER_STEP: usize = 8;
/// The bytes of a text for one step, where its characters are counted.
const COUNTED_BYTES_PER_STEP: usize = 32;
/// The steps to find out whether a number is a multiple: its digits are written out, and a power of ten is reduced.
const STEPS_OF_DIVISION: u64 = 32;

/// Judges a value, and returns the steps that it took as well.
pub(super) fn validate(schema: &Schema, value: &Value, budget: Budget) -> (Result<(), Fault>, u64) {
    let mut run = Run { schema, left: budget.0, depth: 0 };
    let scope = Scope { resource: ResourceId(0), outer: None };
    let verdict = run.node(NodeId(0), value, &scope, None).map_err(|stop| match stop {
        Stop::Fails { at, keyword: "" } => Fault::Keyword(at.to_owned()),
        Stop::Fails { at, keyword } => Fault::Keyword(child(at, keyword)),
        Stop::Work => Fault::Work,
    });
    (verdict, budget.0 - run.left)
}

/// A judgement that is going on.
struct Run<'s> {
    schema: &'s Schema,
    /// The steps that are left.
    left: u64,
    /// The number of schemas that are being judged by, inside one another.
    depth: u32,
}

/// The resources that a judgement has come through, which `$dynamicRef` asks for (JSON Schema Core §7.1).
struct Scope<'o> {
    resource: ResourceId,
    outer: Option<&'o Scope<'o>>,
}

/// The reason why a judgement ends before all is judged.
enum Stop<'s> {
    /// This keyword of the schema at this place does not hold.
    Fails { at: &'s str, keyword: &'static str },
    /// There are no steps left.
    Work,
}

/// Whether a keyword holds.
type Holds<'s> = Result<bool, Stop<'s>>;

impl<'s> Run<'s> {
    fn spend(&mut self, steps: u64) -> Result<(), Stop<'s>> {
        let left = self.left.checked_sub(steps);
        self.left = left.unwrap_or_default();
        left.map(|_| ()).ok_or(Stop::Work)
    }

    /// Judges by one schema. What it evaluates is marked in `evaluated`, if anybody asks; of a schema that does not hold, anything
    /// may be marked.
    fn node(
        &mut self,
        id: NodeId,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Result<(), Stop<'s>> {
        let schema = self.schema;
        let Some(node) = schema.node(id) else { return Err(Stop::Work) };
        if self.depth >= MAX_DEPTH {
            return Err(Stop::Work);
        }
        self.spend(1)?;
        self.depth += 1;
        let inner = Scope { resource: node.resource, outer: Some(scope) };
        let scope = if node.resource == scope.resource { scope } else { &inner };
        let verdict = self.keywords(node, value, scope, evaluated);
        self.depth -= 1;
        verdict
    }

    fn keywords(
        &mut self,
        node: &'s Node,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Result<(), Stop<'s>> {
        if !node.asks_evaluated {
            return self.all_hold(node, value, scope, evaluated);
        }
        // What other schemas beside this one evaluate is not what this one asks for.
        let mut own = Evaluated::default();
        self.all_hold(node, value, scope, Some(&mut own))?;
        if let Some(evaluated) = evaluated {
            self.spend(own.len() as u64)?;
            evaluated.merge(&own);
        }
        Ok(())
    }

    fn all_hold(
        &mut self,
        node: &'s Node,
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Result<(), Stop<'s>> {
        for keyword in &node.keywords {
            self.spend(1)?;
            if !self.holds(keyword, value, scope, evaluated.as_deref_mut())? {
                return Err(Stop::Fails { at: &node.at, keyword: keyword.name() });
            }
        }
        Ok(())
    }

    /// Says whether a keyword holds of a value. One that fails within a part of the value, or in a schema that has to hold as this
    /// one does, is the error.
    fn holds(
        &mut self,
        keyword: &'s Keyword,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let number = || value.as_number();
        let text = || value.as_str();
        let items = || value.as_array();
        let members = || value.as_object();
        let holds = match keyword {
            Keyword::False => false,
            Keyword::Type(types) => types.has(value),
            Keyword::Const(only) => self.compare(value, only)?.is_eq(),
            Keyword::Enum(values) => self.is_listed(value, values)?,

            Keyword::ExclusiveMaximum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_lt()),
            Keyword::ExclusiveMinimum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_gt()),
            Keyword::Maximum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_le()),
            Keyword::Minimum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_ge()),
            Keyword::MultipleOf(divisor) => number().map_or(Ok(true), |n| self.is_multiple(n, *divisor))?,

            Keyword::MaxLength(bound) => text().map_or(Ok(true), |text| self.is_at_most(text, *bound))?,
            Keyword::MinLength(bound) => text().map_or(Ok(true), |text| self.is_at_least(text, *bound))?,
            Keyword::Pattern(pattern) => text().map_or(Ok(true), |text| self.matches(text, pattern))?,

            Keyword::MaxItems(bound) => items().is_none_or(|items| items.len() as u64 <= *bound),
            Keyword::MinItems(bound) => items().is_none_or(|items| items.len() as u64 >= *bound),
            Keyword::UniqueItems => items().map_or(Ok(true), |items| self.are_unique(items))?,
            Keyword::PrefixItems(schemas) => {
                items().map_or(Ok(true), |items| self.prefix(items, schemas, scope, evaluated))?
            }
            Keyword::Items { schema, prefix } => {
                items().map_or(Ok(true), |items| self.rest(items, *prefix, *schema, scope, evaluated))?
            }
            Keyword::Contains { schema, min, max } => items()
                .map_or(Ok(true), |items| self.contains(items, *schema, (*min, *max), scope, evaluated))?,
            Keyword::UnevaluatedItems(schema) => {
                items().map_or(Ok(true), |items| self.unevaluated_items(items, *schema, scope, evaluated))?
            }

            Keyword::MaxProperties(bound) => members().is_none_or(|members| members.len() as u64 <= *bound),
            Keyword::MinProperties(bound) => members().is_none_or(|members| members.len() as u64 >= *bound),
            Keyword::Required(names) => {
                members().map_or(Ok(true), |members| self.required(members, names))?
            }
            Keyword::DependentRequired(rows) => {
                members().map_or(Ok(true), |members| self.dependent_required(members, rows))?
            }
            Keyword::PropertyNames(schema) => {
                members().map_or(Ok(true), |members| self.names(members, *schema, scope))?
            }
            Keyword::Properties(properties) => members()
                .map_or(Ok(true), |members| self.properties(members, properties, scope, evaluated))?,
            Keyword::DependentSchemas(rows) => members()
                .map_or(Ok(true), |members| self.dependent_schemas(value, members, rows, scope, evaluated))?,
            Keyword::UnevaluatedProperties(schema) => members().map_or(Ok(true), |members| {
                self.unevaluated_properties(members, *schema, scope, evaluated)
            })?,

            Keyword::AllOf(schemas) => self.all_of(schemas, value, scope, evaluated)?,
            Keyword::AnyOf(schemas) => self.any_of(schemas, value, scope, evaluated)?,
            Keyword::OneOf(schemas) => self.one_of(schemas, value, scope, evaluated)?,
            Keyword::Not(schema) => !self.branch(*schema, value, scope, None)?,
            Keyword::If { condition, then, otherwise } => {
                self.either(*condition, (*then, *otherwise), value, scope, evaluated)?
            }
            Keyword::Ref(target) => self.as_well(*target, value, scope, evaluated)?,
            Keyword::DynamicRef { target, anchor } => {
                let target = self.dynamic_target(*target, anchor, scope)?;
                self.as_well(target, value, scope, evaluated)?
            }
        };
        Ok(holds)
    }

    /// Judges by a schema that has to hold.
    fn as_well(
        &mut self,
        id: NodeId,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        self.node(id, value, scope, evaluated).map(|()| true)
    }

    /// Judges by a schema that may hold or not. Only one that holds evaluates anything.
    fn branch(
        &mut self,
        id: NodeId,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let mut own = evaluated.is_some().then(Evaluated::default);
        match self.node(id, value, scope, own.as_mut()) {
            Ok(()) => {}
            Err(Stop::Fails { .. }) => return Ok(false),
            Err(Stop::Work) => return Err(Stop::Work),
        }
        if let (Some(evaluated), Some(own)) = (evaluated, own) {
            self.spend(own.len() as u64)?;
            evaluated.merge(&own);
        }
        Ok(true)
    }

    fn all_of(
        &mut self,
        schemas: &'s [NodeId],
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for id in schemas {
            self.node(*id, value, scope, evaluated.as_deref_mut())?;
        }
        Ok(true)
    }

    fn any_of(
        &mut self,
        schemas: &'s [NodeId],
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let mut holds = false;
        for id in schemas {
            holds |= self.branch(*id, value, scope, evaluated.as_deref_mut())?;
            // Where evaluated places are asked for, those of every schema that holds count.
            if holds && evaluated.is_none() {
                break;
            }
        }
        Ok(holds)
    }

    fn one_of(
        &mut self,
        schemas: &'s [NodeId],
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let mut holding = 0;
        for id in schemas {
            holding += usize::from(self.branch(*id, value, scope, evaluated.as_deref_mut())?);
            if holding > 1 {
                break;
            }
        }
        Ok(holding == 1)
    }

    fn either(
        &mut self,
        condition: NodeId,
        (then, otherwise): (Option<NodeId>, Option<NodeId>),
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let next =
            if self.branch(condition, value, scope, evaluated.as_deref_mut())? { then } else { otherwise };
        next.map_or(Ok(true), |next| self.as_well(next, value, scope, evaluated))
    }

    /// Returns the outermost schema of this dynamic anchor, of the resources that the judgement has come through.
    fn dynamic_target(
        &mut self,
        target: NodeId,
        anchor: &str,
        scope: &Scope<'_>,
    ) -> Result<NodeId, Stop<'s>> {
        let mut outermost = target;
        let mut next = Some(scope);
        while let Some(scope) = next {
            self.spend(1)?;
            outermost = self.schema.dynamic_anchors.get(scope.resource, anchor).unwrap_or(outermost);
            next = scope.outer;
        }
        Ok(outermost)
    }

    fn compare(&mut self, a: &Value, b: &Value) -> Result<Ordering, Stop<'s>> {
        let mut work = 0;
        let order = compare(a, b, &mut work);
        self.spend(work)?;
        Ok(order)
    }

    fn is_listed(&mut self, value: &Value, values: &[Value]) -> Holds<'s> {
        let mut work = 0;
        let found = values.binary_search_by(|listed| compare(listed, value, &mut work));
        self.spend(work)?;
        Ok(found.is_ok())
    }

    fn is_multiple(&mut self, number: &Number, divisor: Decimal) -> Holds<'s> {
        self.spend(STEPS_OF_DIVISION)?;
        Ok(Decimal::new(number).is_some_and(|number| number.is_multiple_of(divisor)))
    }

    fn matches(&mut self, text: &str, pattern: &Pattern) -> Holds<'s> {
        self.spend((text.len() / MATCHED_BYTES_PER_STEP) as u64)?;
        Ok(pattern.is_match(text))
    }

    /// Says whether a text has at most `bound` characters. A character has one byte to four.
    fn is_at_most(&mut self, text: &str, bound: u64) -> Holds<'s> {
        let len = text.len() as u64;
        if len <= bound {
            return Ok(true);
        }
        Ok(len.div_ceil(4) <= bound && self.characters(text)? <= bound)
    }

    /// Says whether a text has at least `bound` characters.
    fn is_at_least(&mut self, text: &str, bound: u64) -> Holds<'s> {
        let len = text.len() as u64;
        if len < bound {
            return Ok(false);
        }
        Ok(len.div_ceil(4) >= bound || self.characters(text)? >= bound)
    }

    fn characters(&mut self, text: &str) -> Result<u64, Stop<'s>> {
        self.spend((text.len() / COUNTED_BYTES_PER_STEP) as u64)?;
        Ok(text.chars().count() as u64)
    }
}

#[cfg(test)]
mod tests;
