//! A rule that does not hold, as the one value that metrics, log and access log speak of.

use std::fmt;

use super::cause::Cause;
use super::reason::Reason;
use super::rule::Rule;
use crate::peer::Peer;

/// A rule that does not hold. Its `Display` is its part of a line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub rule: Rule,
    /// The reason that both sides are told.
    pub reason: Reason,
    /// The peer whose doing it is, if it is anybody's.
    pub side: Option<Peer>,
    /// The cause, for the operator; no peer learns it.
    pub cause: Option<Cause>,
}

impl Violation {
    /// Creates a violation that is nobody's doing.
    pub(crate) fn new(rule: Rule, reason: Reason) -> Self {
        Self { rule, reason, side: None, cause: None }
    }

    /// Creates a violation by `peer`.
    pub(crate) fn by(peer: Peer, rule: Rule, reason: Reason) -> Self {
        Self { rule, reason, side: Some(peer), cause: None }
    }

    /// Creates the violation of a request that Envoy took by a route under another policy once it was
    /// changed.
    pub(crate) fn rerouted() -> Self {
        Self::new(Rule::Policies, Reason::PolicyInvalid).because(Cause::Rerouted)
    }

    /// Says whether this counts as a refusal of what the client sent. What ends by time is no such thing.
    pub(crate) fn counts_as_refusal(&self) -> bool {
        self.side == Some(Peer::Client) && self.rule != Rule::AuthExpiry && self.reason.counts_as_refusal()
    }

    /// Adds the cause.
    pub(crate) fn because(mut self, cause: impl Into<Cause>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rule={}", self.rule)?;
        if let Some(side) = self.side {
            write!(f, " side={side}")?;
        }
        if let Some(cause) = &self.cause {
            write!(f, " cause=\"{cause}\"")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::cause::FrameFault;

    #[test]
    fn a_line_of_the_log_names_the_rule_whose_doing_it_is_and_what_was_wrong() {
        let violation = Violation::by(Peer::Client, Rule::Protocol, Reason::ProtocolError);
        assert_eq!(violation.to_string(), "rule=protocol side=client");
        let violation = violation.because(FrameFault::ReservedBit);
        assert_eq!(violation.to_string(), "rule=protocol side=client cause=\"a reserved bit is set\"");
        assert_eq!(Violation::new(Rule::Drain, Reason::Drain).to_string(), "rule=drain");
    }
}
