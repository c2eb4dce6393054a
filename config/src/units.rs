//! Durations, sizes and counts as the language writes them.

use std::time::Duration;

use serde_json::{Number, Value};

use crate::path::Path;
use crate::problem::ProblemKind;
use crate::report::Report;
use crate::words::shown;

/// The longest duration of any key.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// The largest whole number: above it, doubles (and so `google.protobuf.Struct`) skip some.
const LARGEST: u64 = 1 << 53;

const WRITE_DURATION: &str = "write a string with a unit, such as \"500ms\", \"1.5s\", \"10m\" or \"1h\"";
const WRITE_SIZE: &str =
    "write whole bytes, such as 4096, or a string such as \"64KiB\", \"1MiB\" or \"1GiB\"";
const WRITE_COUNT: &str = "write a whole number, such as 100";

/// The treatment of a duration of zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Zero {
    /// Zero means that there is no such time.
    Allowed,
    /// Zero would refuse everything, or mean nothing.
    Refused,
}

/// Reads the duration in `value`.
pub(crate) fn duration(value: &Value, zero: Zero, at: &Path, report: &mut Report) -> Option<Duration> {
    let text = match value {
        Value::String(text) => text,
        Value::Number(_) => {
            report.push(ProblemKind::WrongType, at, "is a number without a unit", WRITE_DURATION);
            return None;
        }
        other => {
            report.push(ProblemKind::WrongType, at, format!("is {}", kind(other)), WRITE_DURATION);
            return None;
        }
    };
    match parse_duration(text) {
        None => report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{} is not a duration", shown(text)),
            WRITE_DURATION,
        ),
        Some(read) if read > LONGEST => {
            report.push(
                ProblemKind::ImpossibleValue,
                at,
                format!("{} is too long", shown(text)),
                "write at most 366 days, \"8784h\"",
            );
        }
        Some(Duration::ZERO) if zero == Zero::Refused => {
            report.push(ProblemKind::ImpossibleValue, at, "is zero", "write a duration longer than zero");
        }
        Some(read) => return Some(read),
    }
    None
}

/// Reads a duration as [`duration`] does, or the word `none` for no duration at all.
pub(crate) fn duration_or_none(value: &Value, at: &Path, report: &mut Report) -> Option<Option<Duration>> {
    if is_none(value) { Some(None) } else { duration(value, Zero::Refused, at, report).map(Some) }
}

/// Reads the number of bytes in `value`; at least 1.
pub(crate) fn size(value: &Value, at: &Path, report: &mut Report) -> Option<u64> {
    match value {
        Value::Number(number) => whole(number, LARGEST, WRITE_SIZE, at, report),
        Value::String(text) => match (parse_number(text), parse_size(text)) {
            (Some(number), _) => whole(&number, LARGEST, WRITE_SIZE, at, report),
            (None, Some(read)) => bounded(read, LARGEST, at, report),
            (None, None) => {
                report.push(
                    ProblemKind::ImpossibleValue,
                    at,
                    format!("{} is not a size", shown(text)),
                    WRITE_SIZE,
                );
                None
            }
        },
        other => {
            report.push(ProblemKind::WrongType, at, format!("is {}", kind(other)), WRITE_SIZE);
            None
        }
    }
}

/// Reads the whole number in `value`; 1 to `most`.
pub(crate) fn count(value: &Value, most: u64, at: &Path, report: &mut Report) -> Option<u64> {
    let number = match value {
        Value::Number(number) => Some(number.clone()),
        other => other.as_str().and_then(parse_number),
    };
    match number {
        Some(number) => whole(&number, most.min(LARGEST), WRITE_COUNT, at, report),
        None => {
            report.push(ProblemKind::WrongType, at, format!("is {}", kind(value)), WRITE_COUNT);
            None
        }
    }
}

/// Reads a number of 32 bits as [`count`] does.
pub(crate) fn count_u32(value: &Value, at: &Path, report: &mut Report) -> Option<u32> {
    count(value, u64::from(u32::MAX), at, report).and_then(|read| u32::try_from(read).ok())
}

/// Says whether `value` is the word `none`.
pub(crate) fn is_none(value: &Value) -> bool {
    value.as_str() == Some("none")
}

/// Returns the kind of a value in the words of YAML.
pub(crate) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "without a value",
        Value::Bool(_) => "true or false",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// Returns a number that is whole, be it written as a double.
pub(crate) fn exact(number: &Number) -> Option<i64> {
    const EDGE: f64 = LARGEST as f64;
    number.as_i64().or_else(|| {
        let double = number.as_f64()?;
        let is_whole = double.fract() == 0.0 && (-EDGE..=EDGE).contains(&double);
        #[expect(clippy::cast_possible_truncation, reason = "whole, and within 2^53 of zero")]
        is_whole.then_some(double as i64)
    })
}

fn whole(number: &Number, most: u64, remedy: &str, at: &Path, report: &mut Report) -> Option<u64> {
    match exact(number) {
        Some(read) => match u64::try_from(read) {
            Ok(read) => bounded(read, most, at, report),
            Err(_) => {
                report.push(ProblemKind::ImpossibleValue, at, format!("{number} is negative"), remedy);
                None
            }
        },
        None if number.as_f64().is_some_and(|double| double.abs() < LARGEST as f64) => {
            report.push(ProblemKind::ImpossibleValue, at, format!("{number} is not a whole number"), remedy);
            None
        }
        None => {
            report.push(
                ProblemKind::ImpossibleValue,
                at,
                format!("{number} is too large"),
                format!("write at most {most}"),
            );
            None
        }
    }
}

fn bounded(read: u64, most: u64, at: &Path, report: &mut Report) -> Option<u64> {
    if read == 0 {
        report.push(ProblemKind::ImpossibleValue, at, "is zero", "write at least 1");
        None
    } else if read > most {
        report.push(
            ProblemKind::ImpossibleValue,
            at,
            format!("{read} is too large"),
            format!("write at most {most}"),
        );
        None
    } else {
        Some(read)
    }
}

/// Parses a duration as the language writes it: a number and `ms`, `s`, `m` or `h`.
pub fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let nanos_per_unit: u128 = match unit {
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 60 * 60 * 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = match number.split_once('.') {
        // Nine digits hold whole nanoseconds of every unit but the millisecond.
        Some((whole, fraction)) if (1..=9).contains(&fraction.len()) => (whole, fraction),
        Some(_) => return None,
        None => (number, "0"),
    };
    let nanos = digits(whole)?.checked_mul(nanos_per_unit)?.checked_add(
        digits(fraction)?
            .checked_mul(nanos_per_unit)?
            .checked_div(10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?,
    )?;
    let seconds = u64::try_from(nanos / 1_000_000_000).ok()?;
    Some(Duration::new(seconds, u32::try_from(nanos % 1_000_000_000).ok()?))
}

/// Parses a number in a string. Envoy reads its YAML so: every number with a fraction, and every whole one
/// beyond 32 bits, reaches a `google.protobuf.Struct` as a string.
fn parse_number(text: &str) -> Option<Number> {
    serde_json::from_str(text).ok()
}

fn parse_size(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|c: char| c.is_ascii_alphabetic())?);
    let bytes_per_unit: u128 = match unit {
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return None,
    };
    // Saturating keeps "too large" apart from "not a size".
    Some(u64::try_from(digits(number)?.checked_mul(bytes_per_unit)?).unwrap_or(u64::MAX))
}

/// Parses ASCII digits only: no sign, no blank, no underscore.
fn digits(text: &str) -> Option<u128> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn told<T>(read: impl FnOnce(&Path, &mut Report) -> Option<T>) -> Result<T, String> {
        let mut report = Report::default();
        let value = read(&Path::root(), &mut report);
        report.finish(value).map_err(|problems| problems.to_string())
    }

    #[test]
    fn durations_have_a_unit_and_an_end() {
        let read = |value: &Value| told(|at, report| duration(value, Zero::Refused, at, report));
        for (text, nanos) in [
            ("500ms", 500_000_000),
            ("1.5s", 1_500_000_000),
            ("0.000000001s", 1),
            ("10m", 600_000_000_000),
            ("1h", 3_600_000_000_000),
            ("8784h", 31_622_400_000_000_000_u128),
        ] {
            assert_eq!(read(&json!(text)).map(|d| d.as_nanos()), Ok(nanos), "{text}");
        }
        for (value, what) in [
            (json!("8784.1h"), "`8784.1h` is too long"),
            (json!("0s"), "is zero"),
            (json!("0.0000001ms"), "is zero"),
            (json!(30), "is a number without a unit"),
            (json!("30"), "`30` is not a duration"),
            (json!("-1s"), "`-1s` is not a duration"),
            (json!("1 s"), "`1 s` is not a duration"),
            (json!("1.s"), "`1.s` is not a duration"),
            (json!(".5s"), "`.5s` is not a duration"),
            (json!("1.2.3s"), "`1.2.3s` is not a duration"),
            (json!("1d"), "`1d` is not a duration"),
            (json!("1h30m"), "`1h30m` is not a duration"),
            (json!("99999999999999999999999999999999999999999h"), "is not a duration"),
            (json!(["1s"]), "is a list"),
        ] {
            let error = read(&value).unwrap_err();
            assert!(error.contains(what), "{value}: {error}");
        }
    }

    #[test]
    fn sizes_are_whole_bytes() {
        let read = |value: &Value| told(|at, report| size(value, at, report));
        for (value, bytes) in [
            (json!(4096), 4096),
            (json!(4096.0), 4096),
            (json!("4096.0"), 4096),
            (json!("4294967296"), 1 << 32),
            (json!("64KiB"), 65536),
            (json!("1MiB"), 1 << 20),
            (json!("1GiB"), 1 << 30),
            (json!(LARGEST), LARGEST),
            (json!(LARGEST as f64), LARGEST),
        ] {
            assert_eq!(read(&value), Ok(bytes), "{value}");
        }
        for (value, what) in [
            (json!(0), "is zero"),
            (json!("0KiB"), "is zero"),
            (json!(-1), "-1 is negative"),
            (json!(-1.0), "-1.0 is negative"),
            (json!(0.5), "0.5 is not a whole number"),
            (json!(LARGEST + 1), "is too large"),
            (json!(1e300), "is too large"),
            (json!(u64::MAX), "is too large"),
            (json!("9007199254740993KiB"), "is too large"),
            (json!("64KB"), "`64KB` is not a size"),
            (json!("64 KiB"), "`64 KiB` is not a size"),
            (json!("1.5MiB"), "`1.5MiB` is not a size"),
            (json!("4096 B"), "`4096 B` is not a size"),
            (json!("0.5"), "0.5 is not a whole number"),
            (json!(true), "is true or false"),
        ] {
            let error = read(&value).unwrap_err();
            assert!(error.contains(what), "{value}: {error}");
        }
    }

    #[test]
    fn counts_keep_to_their_bounds() {
        let read = |value: &Value| told(|at, report| count_u32(value, at, report));
        assert_eq!(read(&json!(128.0)), Ok(128));
        assert_eq!(read(&json!(u32::MAX)), Ok(u32::MAX));
        assert!(read(&json!(1_u64 << 32)).unwrap_err().contains("write at most 4294967295"));
        assert_eq!(read(&json!("3000000000")), Ok(3_000_000_000));
        assert!(read(&json!("1KiB")).unwrap_err().contains("is a string"));
    }
}
