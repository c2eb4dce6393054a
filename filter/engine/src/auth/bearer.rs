//! The scheme Bearer before a token (RFC 6750 §2.1), which clients write in places that know no schemes as
//! well.

const SCHEME: &[u8] = b"bearer";

/// Returns the token behind the scheme, in any case, and one or more blanks; all of `written` if there is no
/// scheme.
pub(crate) fn without_scheme(written: &[u8]) -> &[u8] {
    let token = written.split_at_checked(SCHEME.len()).and_then(|(scheme, rest)| {
        let is_scheme = scheme.eq_ignore_ascii_case(SCHEME) && rest.starts_with(b" ");
        is_scheme.then(|| rest.trim_ascii_start())
    });
    token.unwrap_or(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_goes_with_its_blanks_and_nothing_else_does() {
        for (written, token) in [
            ("e30.e30.e30", "e30.e30.e30"),
            ("Bearer e30.e30.e30", "e30.e30.e30"),
            ("BEARER   e30.e30.e30", "e30.e30.e30"),
            ("bearer ", ""),
            ("Bearer", "Bearer"),
            ("Bearere30", "Bearere30"),
            ("Bearer\te30", "Bearer\te30"),
            ("Basic e30", "Basic e30"),
            ("Bearer Bearer e30", "Bearer e30"),
            (" Bearer e30", " Bearer e30"),
            ("", ""),
        ] {
            assert_eq!(without_scheme(written.as_bytes()), token.as_bytes(), "{written}");
        }
    }
}
