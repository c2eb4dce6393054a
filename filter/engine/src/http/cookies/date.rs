//! The date of a cookie, by the lenient algorithm of RFC 6265 §5.1.1: services write it in many forms, and
//! what counts is what a browser makes of it.

use std::time::Duration;

const MONTHS: [&[u8]; 12] =
    [b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec"];

/// Parses a time since the Unix epoch, which earlier times become; returns `None` for text that is no date.
pub(super) fn parse(text: &[u8]) -> Option<Duration> {
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    for token in text.split(|&b| is_delimiter(b)).filter(|token| !token.is_empty()) {
        if time.is_none()
            && let Some(found) = time_of_day(token)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some(found) = number(token, 1..=2)
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) = month_of(token)
        {
            month = Some(found);
        } else if year.is_none()
            && let Some(found) = number(token, 2..=4)
        {
            year = Some(found);
        }
    }
    let year = match year? {
        short @ 70..=99 => short + 1900,
        short @ 0..=69 => short + 2000,
        year => year,
    };
    let (day, month) = (day?, month?);
    if !(1..=31).contains(&day) || year < 1601 {
        return None;
    }
    let seconds = days_since_epoch(year, month, day) * 86_400 + time?;
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
}

fn is_delimiter(byte: u8) -> bool {
    matches!(byte, 0x09 | 0x20..=0x2f | 0x3b..=0x40 | 0x5b..=0x60 | 0x7b..=0x7e)
}

/// Returns the number at the start of `token`, if it has as many digits as `lengths` allows, and no more.
fn number(token: &[u8], lengths: std::ops::RangeInclusive<usize>) -> Option<i64> {
    let len = token.iter().take_while(|b| b.is_ascii_digit()).count();
    let digits = token.get(..len).filter(|_| lengths.contains(&len))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Returns the seconds since midnight.
fn time_of_day(token: &[u8]) -> Option<i64> {
    let mut parts = token.splitn(3, |&b| b == b':');
    let whole = |part: &[u8]| number(part, 1..=2).filter(|_| part.iter().all(u8::is_ascii_digit));
    let (hour, minute) = (whole(parts.next()?)?, whole(parts.next()?)?);
    let second = number(parts.next()?, 1..=2)?;
    (hour <= 23 && minute <= 59 && second <= 59).then_some(hour * 3600 + minute * 60 + second)
}

/// Returns the number of a month, 1 to 12.
fn month_of(token: &[u8]) -> Option<i64> {
    let name = token.get(..3)?;
    let at = MONTHS.iter().position(|month| month.eq_ignore_ascii_case(name))?;
    i64::try_from(at + 1).ok()
}

/// Counts the days of the Gregorian calendar since the Unix epoch, in years that begin in March, so that leap
/// days come last.
fn days_since_epoch(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let leap_days = year / 4 - year / 100 + year / 400;
    year * 365 + leap_days + (month * 153 + 2) / 5 + day - 1 - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_in_every_form_that_is_written() {
        let cases = [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Thu, 01-Jan-1970 00:00:01 GMT", Some(1)),
            ("Thursday, 01-Jan-70 00:00:10 GMT", Some(10)),
            ("Thu Jan  1 00:01:00 1970", Some(60)),
            ("Fri, 15 Jan 2027 08:00:00 GMT", Some(1_800_000_000)),
            ("15 jan 27 8:0:0", Some(1_800_000_000)),
            ("Thu, 29 Feb 2024 12:00:00 GMT", Some(1_709_208_000)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(253_402_300_799)),
            ("Mon, 01 Jan 1601 00:00:00 GMT", Some(0)),
            ("Mon, 01 Jan 1600 00:00:00 GMT", None),
            ("Thu, 00 Jan 1970 00:00:00 GMT", None),
            ("Thu, 32 Jan 1970 00:00:00 GMT", None),
            ("Thu, 01 Jan 1970 24:00:00 GMT", None),
            ("Thu, 01 Jan 1970 00:60:00 GMT", None),
            ("Thu, 01 Jan 1970 GMT", None),
            ("Thu, 01 Jan 00:00:00 GMT", None),
            ("01 1970 00:00:00", None),
            ("0", None),
            ("", None),
            ("\u{ff}", None),
        ];
        for (text, seconds) in cases {
            assert_eq!(parse(text.as_bytes()), seconds.map(Duration::from_secs), "{text:?}");
        }
    }
}
