//! Patterns: ECMA-262 regular expressions, by automata that read each byte of a text once.
//!
//! Owns the bounds of size. What would need more than one pass, such as a look-ahead or a back-reference, is refused when the
//! schema is compiled, and so is a pattern whose automaton would grow beyond its bounds.

mod parse;

use std::fmt;

use regex_automata::dfa::{Automaton, StartKind, dense};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input};

/// A pattern that is ready to search with.
pub(super) struct Pattern(dense::DFA<Vec<u32>>);

/// The reason why a pattern cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum PatternError {
    /// The automata of all patterns together would be too large.
    #[error("needs, with the patterns before it, automata of more than 4 MiB")]
    AllSizes,
    /// It refers to what a group has matched.
    #[error("has a back-reference, whose time has no bound")]
    BackReference,
    /// Its groups lie too deep in one another.
    #[error("has groups nested too deeply")]
    Depth,
    /// It is too long.
    #[error("has more than 64 KiB")]
    Length,
    /// It is no regular expression of ECMA-262.
    #[error("is no regular expression of ECMA-262: {0}")]
    Malformed(&'static str),
    /// It looks ahead or behind.
    #[error("has a look-ahead or look-behind, which one pass over a text cannot follow")]
    LookAround,
    /// Its automaton would be too large.
    #[error("needs an automaton of more than 512 KiB")]
    Size,
    /// It names a Unicode property.
    #[error("has a Unicode property, whose tables are not part of the filter")]
    UnicodeProperty,
}

/// The most memory of the automaton that reads texts, in bytes.
const MAX_DFA_BYTES: usize = 512 << 10;
/// The most memory that is needed to make it, in bytes.
const MAX_DETERMINIZE_BYTES: usize = 2 << 20;
/// The most memory of the automaton that it is made of, in bytes.
const MAX_NFA_BYTES: usize = 512 << 10;

impl Pattern {
    /// Compiles a pattern.
    pub(super) fn compile(text: &str) -> Result<Self, PatternError> {
        let hir = parse::parse(text)?;
        let config = thompson::Config::new()
            .nfa_size_limit(Some(MAX_NFA_BYTES))
            .which_captures(thompson::WhichCaptures::None);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir);
        let config = dense::Config::new()
            .accelerate(false)
            .start_kind(StartKind::Unanchored)
            .dfa_size_limit(Some(MAX_DFA_BYTES))
            .determinize_size_limit(Some(MAX_DETERMINIZE_BYTES));
        let nfa = nfa.map_err(|_| PatternError::Size)?;
        let dfa = dense::Builder::new().configure(config).build_from_nfa(&nfa);
        dfa.map(Self).map_err(|_| PatternError::Size)
    }

    /// Says whether some part of `text` matches. An automaton that could not go on would say that none does.
    pub(super) fn is_match(&self, text: &str) -> bool {
        let input = Input::new(text).anchored(Anchored::No).earliest(true);
        matches!(self.0.try_search_fwd(&input), Ok(Some(_)))
    }

    /// Returns the memory that is taken, in bytes.
    pub(super) fn memory(&self) -> usize {
        self.0.memory_usage()
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pattern(…)")
    }
}

#[cfg(test)]
mod tests;
