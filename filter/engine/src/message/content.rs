//! The rules of one direction on what its messages say, made ready to judge with.
//!
//! Knows which rule a fault belongs to. Reads nothing: each rule has a file of its own.

use postern_config::{Allowance, Content, OnViolation};
use serde_json::Value;

use crate::decision::cause::ContentFault;
use crate::decision::reason::Reason;
use crate::decision::{Enforce, Rule, Violation};
use crate::peer::Peer;
use crate::strict_json::MAX_DEPTH;

use super::allow::{self, Denied};
use super::json;
use super::schema::{Schemas, UnfitSchema};

/// The rules of one direction on what its messages say.
#[derive(Debug)]
pub(crate) struct ContentRules {
    sender: Peer,
    schemas: Schemas,
    pub(super) allow: Vec<Allowance>,
    /// The deepest nesting; at most [`MAX_DEPTH`].
    pub(super) max_depth: usize,
    /// Says whether the policy has a bound of its own for that.
    depth_is_set: bool,
    drops: bool,
    /// The rule that speaks of what cannot be read, or of what does not fit a schema: the first that is set.
    first: Rule,
}

impl ContentRules {
    /// Returns the rules on what `sender` sends, if `content` has any.
    ///
    /// # Errors
    /// Returns what is wrong with the schemas.
    pub(crate) fn new(sender: Peer, content: &Content) -> Result<Option<Self>, Vec<UnfitSchema>> {
        if content.is_empty() {
            return Ok(None);
        }
        let schemas = Schemas::new(content)?;
        let first = match content {
            Content { schema: Some(_), .. } => Rule::Schema(sender),
            Content { schemas: Some(_), .. } => Rule::Schemas(sender),
            Content { allow, .. } if allow.is_empty() => Rule::MaxJsonDepth(sender),
            _ => Rule::Allow(0),
        };
        let max_depth = content.max_json_depth.and_then(|depth| usize::try_from(depth).ok());
        Ok(Some(Self {
            sender,
            schemas,
            allow: content.allow.clone(),
            max_depth: max_depth.map_or(MAX_DEPTH, |depth| depth.min(MAX_DEPTH)),
            depth_is_set: content.max_json_depth.is_some(),
            drops: content.on_violation == OnViolation::Drop,
            first,
        }))
    }

    /// Judges a message by what it says. `denied` is what the newest token does not allow. `enforce` takes what breaks a rule,
    /// and returns what ends the judgement.
    pub(crate) fn judge(
        &self,
        text: &[u8],
        denied: Option<&Denied>,
        enforce: Enforce<'_>,
    ) -> Result<(), Violation> {
        let Some(message) = self.read(text, enforce)? else { return Ok(()) };
        if let Err(fault) = self.schemas.judge(&message, text.len()) {
            enforce(self.unfit(fault))?;
        }
        allow::judge(&message, self, denied, enforce)
    }

    /// Reads a message as JSON, or returns nothing where it is none and may be so. A bound on depth that is not enforced says
    /// nothing of the other rules, which read as deep as anything is read.
    fn read(&self, text: &[u8], enforce: Enforce<'_>) -> Result<Option<Value>, Violation> {
        let fault = match json::read(text, self.max_depth) {
            Ok(message) => return Ok(Some(message)),
            Err(fault) => fault,
        };
        let is_depth = matches!(fault, ContentFault::TooDeep(_)) && self.depth_is_set;
        enforce(self.unfit(fault))?;
        if !is_depth || self.first == Rule::MaxJsonDepth(self.sender) {
            return Ok(None);
        }
        match json::read(text, MAX_DEPTH) {
            Ok(message) => Ok(Some(message)),
            Err(fault) => {
                enforce(self.violation(self.first, Reason::SchemaViolation, fault))?;
                Ok(None)
            }
        }
    }

    /// Returns the memory of the schemas, in bytes.
    pub(crate) fn schema_bytes(&self) -> usize {
        self.schemas.bytes()
    }

    /// Says whether a message that is refused is dropped, and its connection goes on.
    pub(crate) fn drops(&self) -> bool {
        self.drops
    }

    /// Returns the violation of a message that is no JSON that everybody reads alike, or that does not fit its schema.
    pub(super) fn unfit(&self, fault: ContentFault) -> Violation {
        match fault {
            ContentFault::TooDeep(_) if self.depth_is_set => {
                self.violation(Rule::MaxJsonDepth(self.sender), Reason::JsonTooDeep, fault)
            }
            fault => self.violation(self.first, Reason::SchemaViolation, fault),
        }
    }

    /// Returns the violation of a message that its sender's claims do not allow, by this line of `allow`.
    pub(super) fn not_allowed(&self, line: usize, fault: ContentFault) -> Violation {
        self.violation(Rule::Allow(line), Reason::ClaimsDenied, fault)
    }

    fn violation(&self, rule: Rule, reason: Reason, fault: ContentFault) -> Violation {
        Violation::by(self.sender, rule, reason).because(fault)
    }
}
