//! The judgement of a value, step by step, each of them paid for.

mod assertions;
mod items;
mod members;

use serde_json::Value;

use super::budget::Budget;
use super::evaluated::Evaluated;
use super::keyword::{Alternatives, Applicator, Keyword, Node, NodeId, ResourceId};
use super::problem::child;
use super::{Fault, Schema};

/// The most schemas that may be judged by inside one another. Each takes some of the stack, and Envoy's is bounded.
const MAX_DEPTH: u32 = 512;
/// The steps to begin with a schema.
const STEPS_OF_SCHEMA: u64 = 2;
/// The values that lie near one another in memory. For each time that there are twice as many, one more is looked at far away.
const NEAR_VALUES: usize = 1024;
/// The steps to look at a value far away in memory.
const STEPS_OF_FAR_VALUE: u64 = 8;
/// The bytes of a name for one step, where it is compared with another one.
const COMPARED_BYTES_PER_STEP: usize = 16;

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

    /// Pays for what lies far away where a value is looked up among `count` others.
    fn look_far(&mut self, count: usize) -> Result<(), Stop<'s>> {
        let far = (count / NEAR_VALUES).checked_ilog2().map_or(0, |doublings| u64::from(doublings) + 1);
        self.spend(far * STEPS_OF_FAR_VALUE)
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
        let (Some(node), true) = (schema.node(id), self.depth < MAX_DEPTH) else { return Err(Stop::Work) };
        self.depth += 1;
        let inner = Scope { resource: node.resource, outer: Some(scope) };
        let scope = if node.resource == scope.resource { scope } else { &inner };
        let verdict = match node.asks_evaluated {
            true => self.apart(node, value, scope, evaluated),
            false => self.keywords(node, value, scope, evaluated),
        };
        self.depth -= 1;
        verdict
    }

    /// Judges by a schema that asks for what it evaluates itself: what others beside it do does not count.
    fn apart(
        &mut self,
        node: &'s Node,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Result<(), Stop<'s>> {
        let mut own = Evaluated::default();
        self.keywords(node, value, scope, Some(&mut own))?;
        if let Some(evaluated) = evaluated {
            self.spend(own.len() as u64)?;
            evaluated.merge(&own);
        }
        Ok(())
    }

    fn keywords(
        &mut self,
        node: &'s Node,
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Result<(), Stop<'s>> {
        self.spend(STEPS_OF_SCHEMA)?;
        for keyword in &node.keywords {
            self.spend(1)?;
            let holds = match keyword {
                Keyword::Assertion(assertion) => self.asserts(assertion, value)?,
                Keyword::Applicator(applicator) => {
                    self.applies(applicator, value, scope, evaluated.as_deref_mut())?
                }
            };
            if !holds {
                return Err(Stop::Fails { at: &node.at, keyword: keyword.name() });
            }
        }
        Ok(())
    }

    /// Says whether a keyword holds that judges by other schemas. One that fails within a part of the value, or in a schema that
    /// has to hold as well, is the error.
    fn applies(
        &mut self,
        applicator: &'s Applicator,
        value: &Value,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        match (applicator, value) {
            (Applicator::AllOf(schemas), _) => self.all_of(schemas, value, scope, evaluated),
            (Applicator::AnyOf(schemas), _) => self.any_of(schemas, value, scope, evaluated),
            (Applicator::OneOf(schemas), _) => self.one_of(schemas, value, scope, evaluated),
            (Applicator::Not(schema), _) => Ok(!self.branch(*schema, value, scope, None)?),
            (Applicator::If { condition, then, otherwise }, _) => {
                self.either(*condition, (*then, *otherwise), value, scope, evaluated)
            }
            (Applicator::Ref(target), _) => self.as_well(*target, value, scope, evaluated),
            (Applicator::DynamicRef { target, anchor }, _) => {
                let target = self.dynamic_target(*target, anchor, scope)?;
                self.as_well(target, value, scope, evaluated)
            }
            (applicator, Value::Array(items)) => self.among_items(applicator, items, scope, evaluated),
            (applicator, Value::Object(members)) => {
                self.among_members(applicator, value, members, scope, evaluated)
            }
            _ => Ok(true),
        }
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
        if self.schema.node(id).is_some_and(|node| node.is_of_other_types(value)) {
            return self.spend(1).map(|()| false);
        }
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
        any: &'s Alternatives,
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let schemas = self.alternatives(any, value)?;
        if let ([only], Some(_)) = (schemas, &any.tag) {
            return self.as_well(*only, value, scope, evaluated);
        }
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
        any: &'s Alternatives,
        value: &Value,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        let schemas = self.alternatives(any, value)?;
        if let ([only], Some(_)) = (schemas, &any.tag) {
            return self.as_well(*only, value, scope, evaluated);
        }
        let mut holding = 0;
        for id in schemas {
            holding += usize::from(self.branch(*id, value, scope, evaluated.as_deref_mut())?);
            if holding > 1 {
                break;
            }
        }
        Ok(holding == 1)
    }

    /// Returns the alternatives that may hold. Where the value tells that it can be only one, what is wrong with it is worth telling.
    fn alternatives(&mut self, any: &'s Alternatives, value: &Value) -> Result<&'s [NodeId], Stop<'s>> {
        if let (Some(tag), Value::Object(members)) = (&any.tag, value) {
            self.find(tag.name.len(), members.len())?;
            let text = members.get(&tag.name).and_then(Value::as_str).unwrap_or_default();
            self.find(text.len(), tag.by_text.len())?;
            self.look_far(tag.by_text.len())?;
        }
        Ok(any.of(value))
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
        let anchors = &self.schema.dynamic_anchors;
        self.find(anchor.len(), anchors.len())?;
        let Some(by_resource) = anchors.named(anchor) else { return Ok(target) };
        let mut outermost = target;
        let mut next = Some(scope);
        while let Some(scope) = next {
            self.find(0, by_resource.len())?;
            outermost = by_resource.get(&scope.resource).copied().unwrap_or(outermost);
            next = scope.outer;
        }
        Ok(outermost)
    }
}

#[cfg(test)]
mod tests;
