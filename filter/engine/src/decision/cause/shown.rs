//! Text of a peer's, as a line of the log may have it.

/// Text of a peer's: in ASCII, without quotes and control characters, and not too long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown(Box<str>);

impl Shown {
    /// The most bytes of a peer's text that are shown.
    const MOST: usize = 128;

    /// Returns what may be shown of `values`, of which a request should have one.
    pub(crate) fn of<'v>(values: impl Iterator<Item = &'v [u8]>) -> Self {
        let mut shown = String::new();
        for value in values {
            if !shown.is_empty() {
                shown.push_str(" and ");
            }
            let (start, is_whole) = value.get(..Self::MOST).map_or((value, true), |start| (start, false));
            shown.push_str(&start.escape_ascii().to_string());
            shown.push_str(if is_whole { "" } else { "..." });
            if shown.len() > Self::MOST {
                break;
            }
        }
        Self(shown.into())
    }

    /// Returns the text, without the marks around it that its `Display` has.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "`{}`", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_peer_wrote_forges_no_line_of_the_log_and_fills_none() {
        let long = [b'a'; 1000];
        let cases: [(&[&[u8]], &str); 4] = [
            (&[b"https://evil.example"], "`https://evil.example`"),
            (&[b"a\"\r\npostern: \xff"], "`a\\\"\\r\\npostern: \\xff`"),
            (&[b"https://a.example", b"https://b.example"], "`https://a.example and https://b.example`"),
            (&[b"", b""], "``"),
        ];
        for (values, expected) in cases {
            assert_eq!(Shown::of(values.iter().copied()).to_string(), expected);
        }
        let all = Shown::of([&long[..]; 100].into_iter()).to_string();
        assert_eq!(all.len(), Shown::MOST + "``...".len());
    }
}
