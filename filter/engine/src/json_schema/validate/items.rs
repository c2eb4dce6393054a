//! The keywords on arrays.

use serde_json::Value;

use super::super::evaluated::Evaluated;
use super::super::keyword::{Applicator, NodeId};
use super::{Holds, Run, Scope};
use crate::json_order::compare;

impl<'s> Run<'s> {
    /// Says whether a keyword holds for the items of an array.
    pub(super) fn among_items(
        &mut self,
        applicator: &'s Applicator,
        items: &[Value],
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        match applicator {
            Applicator::PrefixItems(schemas) => self.prefix(items, schemas, scope, evaluated),
            Applicator::Items { schema, prefix } => self.rest(items, *prefix, *schema, scope, evaluated),
            Applicator::Contains { schema, min, max } => {
                self.contains(items, *schema, (*min, *max), scope, evaluated)
            }
            Applicator::UnevaluatedItems(schema) => self.unevaluated_items(items, *schema, scope, evaluated),
            _ => Ok(true),
        }
    }

    fn prefix(
        &mut self,
        items: &[Value],
        schemas: &'s [NodeId],
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for (place, (item, id)) in items.iter().zip(schemas).enumerate() {
            self.node(*id, item, scope, None)?;
            mark(&mut evaluated, place);
        }
        Ok(true)
    }

    /// Judges the items behind the first `prefix`.
    fn rest(
        &mut self,
        items: &[Value],
        prefix: usize,
        schema: NodeId,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for (place, item) in items.iter().enumerate().skip(prefix) {
            self.node(schema, item, scope, None)?;
            mark(&mut evaluated, place);
        }
        Ok(true)
    }

    fn contains(
        &mut self,
        items: &[Value],
        schema: NodeId,
        (min, max): (u64, Option<u64>),
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let mut found = 0;
        for (place, item) in items.iter().enumerate() {
            // Nothing is changed by those behind, unless somebody counts or marks them.
            if found >= min && max.is_none() && evaluated.is_none() {
                return Ok(true);
            }
            if self.branch(schema, item, scope, None)? {
                found += 1;
                mark(&mut evaluated, place);
            }
        }
        Ok(found >= min && max.is_none_or(|max| found <= max))
    }

    fn unevaluated_items(
        &mut self,
        items: &[Value],
        schema: NodeId,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for (place, item) in items.iter().enumerate() {
            self.spend(1)?;
            if !evaluated.as_ref().is_some_and(|evaluated| evaluated.has(place)) {
                self.node(schema, item, scope, None)?;
                mark(&mut evaluated, place);
            }
        }
        Ok(true)
    }

    /// Says whether no item equals another one: equal ones are neighbours where all are in order.
    pub(super) fn are_unique(&mut self, items: &[Value]) -> Holds<'s> {
        let mut work = items.len() as u64;
        let mut sorted: Vec<&Value> = items.iter().collect();
        sorted.sort_unstable_by(|a, b| compare(a, b, &mut work));
        let are_unique = sorted.windows(2).all(|pair| match pair {
            [a, b] => compare(a, b, &mut work).is_ne(),
            _ => true,
        });
        self.spend(work)?;
        Ok(are_unique)
    }
}

fn mark(evaluated: &mut Option<&mut Evaluated>, place: usize) {
    if let Some(evaluated) = evaluated {
        evaluated.mark(place);
    }
}
