//! The keywords on objects.

use serde_json::{Map, Value};

use super::super::evaluated::Evaluated;
use super::super::keyword::{Applicator, NodeId, Properties};
use super::{COMPARED_BYTES_PER_STEP, Holds, Run, Scope, Stop};

/// The steps to copy a name.
const STEPS_OF_COPY: u64 = 4;
/// The names for one step more, where one is looked up among them: what is far away in memory takes its time.
const NAMES_PER_STEP: usize = 512;

/// The members of an object.
type Members = Map<String, Value>;

impl<'s> Run<'s> {
    /// Says whether a keyword holds for the members of an object, which is `value`.
    pub(super) fn among_members(
        &mut self,
        applicator: &'s Applicator,
        value: &Value,
        members: &Members,
        scope: &Scope<'_>,
        evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        match applicator {
            Applicator::PropertyNames(schema) => self.names(members, *schema, scope),
            Applicator::Properties(properties) => self.properties(members, properties, scope, evaluated),
            Applicator::DependentSchemas(rows) => {
                self.dependent_schemas(value, members, rows, scope, evaluated)
            }
            Applicator::UnevaluatedProperties(schema) => {
                self.unevaluated_properties(members, *schema, scope, evaluated)
            }
            _ => Ok(true),
        }
    }

    /// Pays for looking up a name of `len` bytes among `count` others.
    pub(super) fn find(&mut self, len: usize, count: usize) -> Result<(), Stop<'s>> {
        let compared =
            (len / COMPARED_BYTES_PER_STEP).saturating_mul(count.checked_ilog2().unwrap_or(0) as usize + 1);
        self.spend((1 + count / NAMES_PER_STEP + compared) as u64)
    }

    pub(super) fn required(&mut self, members: &Members, names: &[String]) -> Holds<'s> {
        for name in names {
            self.find(name.len(), members.len())?;
            if !members.contains_key(name) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    pub(super) fn dependent_required(
        &mut self,
        members: &Members,
        rows: &'s [(String, Vec<String>)],
    ) -> Holds<'s> {
        for (name, others) in rows {
            self.find(name.len(), members.len())?;
            if members.contains_key(name) && !self.required(members, others)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn dependent_schemas(
        &mut self,
        value: &Value,
        members: &Members,
        rows: &'s [(String, NodeId)],
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for (name, id) in rows {
            self.find(name.len(), members.len())?;
            if members.contains_key(name) {
                self.node(*id, value, scope, evaluated.as_deref_mut())?;
            }
        }
        Ok(true)
    }

    fn names(&mut self, members: &Members, schema: NodeId, scope: &Scope<'_>) -> Holds<'s> {
        for name in members.keys() {
            self.spend(STEPS_OF_COPY + (name.len() / COMPARED_BYTES_PER_STEP) as u64)?;
            self.node(schema, &Value::String(name.clone()), scope, None)?;
        }
        Ok(true)
    }

    fn properties(
        &mut self,
        members: &Members,
        properties: &'s Properties,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        if evaluated.is_none() && properties.speaks_of_named_only() && properties.named.len() < members.len()
        {
            return self.named(members, properties, scope);
        }
        for (place, (name, value)) in members.iter().enumerate() {
            self.find(name.len(), properties.named.len())?;
            let is_evaluated = self.member(name, value, properties, scope)?;
            if let (true, Some(evaluated)) = (is_evaluated, evaluated.as_deref_mut()) {
                evaluated.mark(place);
            }
        }
        Ok(true)
    }

    /// Judges the members that have a schema by their name.
    fn named(&mut self, members: &Members, properties: &'s Properties, scope: &Scope<'_>) -> Holds<'s> {
        for (name, id) in &properties.named {
            self.find(name.len(), members.len())?;
            if let Some(value) = members.get(name) {
                self.node(*id, value, scope, None)?;
            }
        }
        Ok(true)
    }

    /// Judges one member, and says whether a schema spoke of it.
    fn member(
        &mut self,
        name: &str,
        value: &Value,
        properties: &'s Properties,
        scope: &Scope<'_>,
    ) -> Result<bool, Stop<'s>> {
        let mut spoken_of = false;
        if let Some(id) = properties.named.get(name) {
            self.node(*id, value, scope, None)?;
            spoken_of = true;
        }
        for (pattern, id) in &properties.patterns {
            if self.matches(name, pattern)? {
                self.node(*id, value, scope, None)?;
                spoken_of = true;
            }
        }
        if let (false, Some(id)) = (spoken_of, properties.additional) {
            self.node(id, value, scope, None)?;
            spoken_of = true;
        }
        Ok(spoken_of)
    }

    fn unevaluated_properties(
        &mut self,
        members: &Members,
        schema: NodeId,
        scope: &Scope<'_>,
        mut evaluated: Option<&mut Evaluated>,
    ) -> Holds<'s> {
        for (place, value) in members.values().enumerate() {
            self.spend(1)?;
            if !evaluated.as_ref().is_some_and(|evaluated| evaluated.has(place)) {
                self.node(schema, value, scope, None)?;
                if let Some(evaluated) = evaluated.as_deref_mut() {
                    evaluated.mark(place);
                }
            }
        }
        Ok(true)
    }
}
