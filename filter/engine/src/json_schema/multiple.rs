//! Multiples of numbers, by the decimal digits that they are written with.
//!
//! A double stands for the shortest decimal that is read as it: 0.3 is a multiple of 0.1, as whoever wrote the two means it. No
//! division of doubles is asked, and none can overflow.

use serde_json::Number;

use crate::json_order::integer;

/// A number as `digits` times ten to the power `exponent`, without its sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Decimal {
    digits: u64,
    exponent: i32,
}

impl Decimal {
    /// The number without its sign.
    pub(super) fn new(number: &Number) -> Option<Self> {
        if let Some(integer) = integer(number) {
            return Some(
                Self { digits: u64::try_from(integer.unsigned_abs()).ok()?, exponent: 0 }.shortest(),
            );
        }
        // The shortest digits, of which a double has at most 17: `d.ddde±n`.
        let text = format!("{:e}", number.as_f64()?.abs());
        let (mantissa, exponent) = text.split_once('e')?;
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}").parse().ok()?;
        let exponent = exponent.parse::<i32>().ok()?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        Some(Self { digits, exponent }.shortest())
    }

    /// Says whether this is zero.
    pub(super) fn is_zero(self) -> bool {
        self.digits == 0
    }

    /// Returns how often a power of ten is squared, beyond the first few times, to find out whether this is a multiple of `divisor`.
    pub(super) fn squares_to(self, divisor: Self) -> u64 {
        const FEW: u32 = 4;
        let difference = self.exponent.saturating_sub(divisor.exponent).max(1);
        u64::from(difference.checked_ilog2().unwrap_or_default().saturating_sub(FEW))
    }

    /// Says whether this is a whole number of times `divisor`, which is not zero.
    pub(super) fn is_multiple_of(self, divisor: Self) -> bool {
        let difference = self.exponent.abs_diff(divisor.exponent);
        if self.exponent >= divisor.exponent {
            // digits · 10^difference, modulo the digits of the divisor.
            let modulus = u128::from(divisor.digits);
            return (u128::from(self.digits) % modulus * power_of_ten(difference, modulus))
                .is_multiple_of(modulus);
        }
        // The divisor has zeros at its end that the digits would have to have.
        let divisor =
            10_u128.checked_pow(difference).and_then(|power| power.checked_mul(divisor.digits.into()));
        match divisor {
            Some(divisor) => u128::from(self.digits).is_multiple_of(divisor),
            None => self.digits == 0,
        }
    }

    /// The same number without zeros at the end of its digits.
    fn shortest(mut self) -> Self {
        while self.digits != 0 && self.digits.is_multiple_of(10) {
            self.digits /= 10;
            self.exponent += 1;
        }
        self
    }
}

/// Ten to the power `exponent`, modulo `modulus`, which has at most 64 bits.
fn power_of_ten(mut exponent: u32, modulus: u128) -> u128 {
    let (mut power, mut base) = (1 % modulus, 10 % modulus);
    while exponent > 0 {
        if exponent % 2 == 1 {
            power = power * base % modulus;
        }
        base = base * base % modulus;
        exponent /= 2;
    }
    power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multiples_are_exact_however_large_or_small_the_numbers_are() {
        for (number, divisor, is_multiple) in [
            ("10", "2", true),
            ("7", "2", false),
            ("0", "0.1", true),
            ("-4.5", "1.5", true),
            ("0.3", "0.1", true),
            ("0.0075", "0.0001", true),
            ("0.00751", "0.0001", false),
            ("19.99", "0.01", true),
            ("1e308", "0.123456789", false),
            ("1e308", "0.5", true),
            ("12391239123", "1e-8", true),
            ("5e-324", "1e308", false),
            ("1e308", "5e-324", true),
            ("9007199254740993", "2", false),
            ("18446744073709551615", "5", true),
            ("18446744073709551615", "2", false),
            ("1500", "1e3", false),
            ("3000", "1e3", true),
            ("1e-7", "0.5", false),
            ("-9223372036854775808", "1e1", false),
            ("-9223372036854775808", "8", true),
        ] {
            let [number, divisor]: [Number; 2] =
                [number, divisor].map(|text| serde_json::from_str(text).unwrap());
            let multiple = Decimal::new(&number).unwrap().is_multiple_of(Decimal::new(&divisor).unwrap());
            assert_eq!(multiple, is_multiple, "{number} of {divisor}");
        }
    }
}
