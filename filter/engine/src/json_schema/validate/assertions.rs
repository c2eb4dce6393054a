//! The keywords that judge by themselves.

use std::cmp::Ordering;

use serde_json::{Number, Value};

use super::super::keyword::Assertion;
use super::super::multiple::Decimal;
use super::super::pattern::Pattern;
use super::{Holds, Run, Stop};
use crate::json_order::{compare, compare_numbers};

/// The bytes of a text for one step, where a pattern reads them.
const MATCHED_BYTES_PER_STEP: usize = 8;
/// The steps to begin a search.
const STEPS_OF_SEARCH: u64 = 4;
/// The bytes of a text for one step, where its characters are counted.
pub(super) const COUNTED_BYTES_PER_STEP: usize = 32;
/// The steps to find out whether a number is a multiple: its digits are written out, and a small power of ten is reduced.
const STEPS_OF_DIVISION: u64 = 16;
/// The steps for each time that a power of ten is squared, where it is large.
const STEPS_OF_SQUARE: u64 = 4;

impl<'s> Run<'s> {
    /// Says whether a keyword holds that judges by itself. It holds for every value of a type that it does not speak of.
    pub(super) fn asserts(&mut self, assertion: &'s Assertion, value: &Value) -> Holds<'s> {
        let number = || value.as_number();
        let text = || value.as_str();
        let items = || value.as_array();
        let members = || value.as_object();
        let holds = match assertion {
            Assertion::False => false,
            Assertion::Type(types) => types.has(value),
            Assertion::Const(only) => return Ok(self.compare(value, only)?.is_eq()),
            Assertion::Enum(values) => return self.is_listed(value, values),
            Assertion::ExclusiveMaximum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_lt()),
            Assertion::ExclusiveMinimum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_gt()),
            Assertion::Maximum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_le()),
            Assertion::Minimum(bound) => number().is_none_or(|n| compare_numbers(n, bound).is_ge()),
            Assertion::MaxItems(bound) => items().is_none_or(|items| items.len() as u64 <= *bound),
            Assertion::MinItems(bound) => items().is_none_or(|items| items.len() as u64 >= *bound),
            Assertion::MaxProperties(bound) => members().is_none_or(|members| members.len() as u64 <= *bound),
            Assertion::MinProperties(bound) => members().is_none_or(|members| members.len() as u64 >= *bound),
            Assertion::MultipleOf(divisor) => {
                return number().map_or(Ok(true), |n| self.is_multiple(n, *divisor));
            }
            Assertion::MaxLength(bound) => {
                return text().map_or(Ok(true), |text| self.is_at_most(text, *bound));
            }
            Assertion::MinLength(bound) => {
                return text().map_or(Ok(true), |text| self.is_at_least(text, *bound));
            }
            Assertion::Pattern(pattern) => {
                return text().map_or(Ok(true), |text| self.matches(text, pattern));
            }
            Assertion::UniqueItems => return items().map_or(Ok(true), |items| self.are_unique(items)),
            Assertion::Required(names) => {
                return members().map_or(Ok(true), |members| self.required(members, names));
            }
            Assertion::DependentRequired(rows) => {
                return members().map_or(Ok(true), |members| self.dependent_required(members, rows));
            }
        };
        Ok(holds)
    }

    fn compare(&mut self, a: &Value, b: &Value) -> Result<Ordering, Stop<'s>> {
        let mut work = 0;
        let order = compare(a, b, &mut work);
        self.spend(work)?;
        Ok(order)
    }

    fn is_listed(&mut self, value: &Value, values: &[Value]) -> Holds<'s> {
        self.look_far(values.len())?;
        let mut work = 0;
        let found = values.binary_search_by(|listed| compare(listed, value, &mut work));
        self.spend(work)?;
        Ok(found.is_ok())
    }

    fn is_multiple(&mut self, number: &Number, divisor: Decimal) -> Holds<'s> {
        self.spend(STEPS_OF_DIVISION)?;
        let Some(number) = Decimal::new(number) else { return Ok(false) };
        self.spend(STEPS_OF_SQUARE * number.squares_to(divisor))?;
        Ok(number.is_multiple_of(divisor))
    }

    pub(super) fn matches(&mut self, text: &str, pattern: &Pattern) -> Holds<'s> {
        self.spend(STEPS_OF_SEARCH + (text.len() / MATCHED_BYTES_PER_STEP) as u64)?;
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
