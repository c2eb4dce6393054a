//! What comes of a violation: the one place where it is enforced, or only told.
//!
//! A rule that a policy has in shadow is judged like any other. What breaks it is told once on each connection, and the
//! judgement goes on as if the rule held.

use postern_config::{Mode, Policy};

use super::rule::Rule;
use super::violation::Violation;

/// A taker of violations, which returns those that are enforced.
pub(crate) type Enforce<'e> = &'e mut dyn FnMut(Violation) -> Result<(), Violation>;

/// The violations of one connection that are told and not enforced. One word, since few connections have any.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings(Option<Box<Found>>);

#[derive(Clone, Debug, Default)]
struct Found {
    /// The rules that were broken, each once.
    rules: Vec<Rule>,
    /// The violations that have not been told yet.
    untold: Vec<Violation>,
}

impl Findings {
    /// Takes a violation of a rule of `policy`.
    ///
    /// # Errors
    /// Returns the violation if the rule is enforced.
    pub(crate) fn enforce(&mut self, violation: Violation, policy: &Policy) -> Result<(), Violation> {
        if !violation.rule.is_shadowed_by(policy) {
            return Err(violation);
        }
        let found = self.0.get_or_insert_default();
        if !found.rules.contains(&violation.rule) {
            found.rules.push(violation.rule);
            found.untold.push(violation);
        }
        Ok(())
    }

    /// Says whether there is something that has not been told yet.
    pub(crate) fn has_untold(&self) -> bool {
        self.0.as_ref().is_some_and(|found| !found.untold.is_empty())
    }

    /// Returns what has not been told yet.
    pub(crate) fn untold(&self) -> &[Violation] {
        self.0.as_ref().map(|found| found.untold.as_slice()).unwrap_or_default()
    }

    /// Takes what has not been told yet.
    pub(crate) fn take_untold(&mut self) -> Vec<Violation> {
        self.0.as_mut().map(|found| std::mem::take(&mut found.untold)).unwrap_or_default()
    }
}

impl Rule {
    /// Says whether `policy` has the rule in shadow: judged, told, and not enforced.
    pub(crate) fn is_shadowed_by(self, policy: &Policy) -> bool {
        match policy.mode {
            Mode::Shadow => self.can_be_passed_over(),
            Mode::Enforce => !policy.shadow.is_empty() && policy.shadow.has(&self.to_string()),
        }
    }

    /// Says whether anything can be judged behind a violation of the rule.
    fn can_be_passed_over(self) -> bool {
        !matches!(
            self,
            Self::Auth
                | Self::AuthFirstMessageTimeout
                | Self::AuthMaxUnauthenticatedBytes
                | Self::AuthRefresh
                | Self::DefaultPolicy
                | Self::IdleTimeout
                | Self::MemoryBudget
                | Self::Policies
                | Self::PongTimeout
                | Self::Protocol
        )
    }
}
