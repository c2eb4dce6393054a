//! A total order of JSON values by what they are, and not by how they are written: 1 and 1.0 are equal, and so are objects whose
//! members come in another order.
//!
//! Owns what equality of values is, for claims and for schemas. Never rounds a number to compare it.

use std::cmp::Ordering;

use serde_json::{Number, Value};

/// The steps of work for each member of two objects that are compared.
const STEPS_PER_MEMBER: u64 = 2;
/// The bytes of two texts that are compared for one step of work: WebAssembly compares one after another.
const BYTES_PER_STEP: usize = 16;

/// Says whether two values are equal.
pub(crate) fn equal(a: &Value, b: &Value) -> bool {
    compare(a, b, &mut 0).is_eq()
}

/// Compares two values, and counts the steps in `work`: one for each pair of values, and more for long texts. Recurses as deep
/// as both are nested.
pub(crate) fn compare(a: &Value, b: &Value, work: &mut u64) -> Ordering {
    *work += 1;
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => a.cmp(b),
        (Value::Number(a), Value::Number(b)) => compare_numbers(a, b),
        (Value::String(a), Value::String(b)) => compare_texts(a, b, work),
        (Value::Array(a), Value::Array(b)) => {
            let items = a.iter().zip(b).map(|(a, b)| compare(a, b, work));
            first_difference(items).then(a.len().cmp(&b.len()))
        }
        (Value::Object(a), Value::Object(b)) => a.len().cmp(&b.len()).then_with(|| {
            let members = a.iter().zip(b).map(|((name, a), (other, b))| {
                *work += STEPS_PER_MEMBER;
                compare_texts(name, other, work).then_with(|| compare(a, b, work))
            });
            first_difference(members)
        }),
        _ => rank(a).cmp(&rank(b)),
    }
}

/// Compares two numbers by their exact values.
pub(crate) fn compare_numbers(a: &Number, b: &Number) -> Ordering {
    match (integer(a), integer(b)) {
        (Some(a), Some(b)) => a.cmp(&b),
        (Some(a), None) => compare_with_double(a, b.as_f64().unwrap_or_default()),
        (None, Some(b)) => compare_with_double(b, a.as_f64().unwrap_or_default()).reverse(),
        (None, None) => {
            let (a, b) = (a.as_f64().unwrap_or_default(), b.as_f64().unwrap_or_default());
            a.partial_cmp(&b).unwrap_or(Ordering::Equal)
        }
    }
}

/// Returns a number that is held as an integer.
pub(crate) fn integer(number: &Number) -> Option<i128> {
    number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from))
}

fn compare_with_double(integer: i128, double: f64) -> Ordering {
    // An integer here has at most 64 bits and a sign, so what lies beyond 2^65 is greater or less than all of them; and the
    // whole part of everything else is exact.
    const BEYOND: f64 = 36_893_488_147_419_103_232.0;
    if double.abs() >= BEYOND {
        return if double > 0.0 { Ordering::Less } else { Ordering::Greater };
    }
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is compared below")]
    let whole = double.trunc() as i128;
    let fraction = double.fract();
    integer.cmp(&whole).then_with(|| 0.0.partial_cmp(&fraction).unwrap_or(Ordering::Equal))
}

fn compare_texts(a: &str, b: &str, work: &mut u64) -> Ordering {
    *work += (a.len().min(b.len()) / BYTES_PER_STEP) as u64;
    a.cmp(b)
}

fn first_difference(mut orders: impl Iterator<Item = Ordering>) -> Ordering {
    orders.find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
}

fn rank(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Bool(_) => 1,
        Value::Number(_) => 2,
        Value::String(_) => 3,
        Value::Array(_) => 4,
        Value::Object(_) => 5,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_ordered_by_what_they_are() {
        // Each is less than the next.
        let ordered: Vec<Value> = [
            "null",
            "false",
            "true",
            "-1e300",
            "-36893488147419103232",
            "-9223372036854775808",
            "-0.5",
            "0",
            "1e-300",
            "0.1",
            "9007199254740992",
            "9007199254740993",
            "18446744073709551615",
            "18446744073709551616",
            "1e300",
            r#""""#,
            r#""a""#,
            r#""ab""#,
            r#""é""#,
            "[]",
            "[1]",
            "[1,1]",
            "[2]",
            "{}",
            r#"{"a":1}"#,
            r#"{"a":2}"#,
            r#"{"b":1}"#,
            r#"{"a":1,"b":1}"#,
        ]
        .iter()
        .map(|text| serde_json::from_str(text).unwrap())
        .collect();
        for (i, a) in ordered.iter().enumerate() {
            for (j, b) in ordered.iter().enumerate() {
                assert_eq!(compare(a, b, &mut 0), i.cmp(&j), "{a} and {b}");
            }
        }
    }

    #[test]
    fn values_are_equal_however_they_are_written() {
        for (a, b) in [
            ("1", "1.0"),
            ("100", "1e2"),
            ("0", "-0.0"),
            ("9007199254740992", "9007199254740992.0"),
            (r#"{"a":1,"b":[2]}"#, r#"{"b":[2.0],"a":1}"#),
            (r#""\u0061""#, r#""a""#),
        ] {
            let [a, b]: [Value; 2] = [a, b].map(|text| serde_json::from_str(text).unwrap());
            assert!(equal(&a, &b), "{a} and {b}");
        }
        assert!(
            !equal(&json!(9_007_199_254_740_993_u64), &json!(9_007_199_254_740_992.0)),
            "none is rounded"
        );
        for (a, b) in [(json!(0), json!(false)), (json!(1), json!("1")), (json!([]), json!({}))] {
            assert!(!equal(&a, &b), "{a} and {b}");
        }
    }

    #[test]
    fn work_grows_with_what_is_compared() {
        let work = |a: &Value, b: &Value| {
            let mut work = 0;
            compare(a, b, &mut work);
            work
        };
        let long = json!("x".repeat(64_000));
        assert_eq!(work(&long, &long), 4_001);
        assert_eq!(work(&json!([1, 2, 3]), &json!([1, 2, 3])), 4);
        assert_eq!(work(&json!([1, 2, 3]), &json!([2, 2, 3])), 2, "nothing is compared behind a difference");
    }
}
