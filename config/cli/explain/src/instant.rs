//! Times and lengths of time as people read them.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Returns a time since the Unix epoch in the form of RFC 3339, to the second.
pub(crate) fn instant(at: Duration) -> String {
    let seconds = i64::try_from(at.as_secs()).ok();
    let time = seconds.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    time.and_then(|time| time.format(&Rfc3339).ok()).unwrap_or_else(|| "the end of time".to_owned())
}

/// Returns a length of time in the largest unit that fits, as policies have it.
pub(crate) fn length(length: Duration) -> String {
    let (seconds, millis) = (length.as_secs(), length.subsec_millis());
    let whole = |unit: u64| seconds > 0 && seconds.checked_rem(unit) == Some(0);
    match length {
        _ if millis > 0 => format!("{}ms", length.as_millis()),
        _ if whole(3600) => format!("{}h", seconds / 3600),
        _ if whole(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_written_as_people_read_it() {
        assert_eq!(instant(Duration::from_secs(1_700_000_000)), "2023-11-14T22:13:20Z");
        assert_eq!(instant(Duration::MAX), "the end of time");
        for (length_of, shown) in
            [(0, "0s"), (1, "1s"), (90, "90s"), (120, "2m"), (3600, "1h"), (5400, "90m"), (172_800, "48h")]
        {
            assert_eq!(length(Duration::from_secs(length_of)), shown);
        }
        assert_eq!(length(Duration::from_millis(1500)), "1500ms");
    }
}
