//! The names of header fields as gateways to services compare them.
//!
//! CGI and its kin (WSGI, Rack, PHP, FastCGI) hand a field over as a variable, in whose name everything that
//! is no letter or digit becomes `_`. So a service may take two names for one.

/// Returns `name` as a gateway writes it, but for the case: every byte that is no letter or digit is `_`.
pub fn folded(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|b| if b.is_ascii_alphanumeric() { b.to_ascii_lowercase() } else { b'_' })
}

/// Says whether a service might take the field `name` for the field `other`. The pseudo-headers of
/// HTTP/2 (`:path`) are fields of no gateway.
pub fn is_same_to_a_gateway(name: &str, other: &str) -> bool {
    let is_pseudo = |name: &str| name.starts_with(':');
    if is_pseudo(name) || is_pseudo(other) {
        return name.eq_ignore_ascii_case(other);
    }
    folded(name).eq(folded(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_the_same_that_differ_in_case_and_in_what_is_no_letter_or_digit() {
        for (name, same) in [
            ("x-user-id", true),
            ("X-User-Id", true),
            ("x_user_id", true),
            ("x.user.id", true),
            ("x~user!id", true),
            ("x^user`id", true),
            ("x\u{00a0}user-id", false),
            ("x-userid", false),
            ("x--user-id", false),
            ("x-user-id-", false),
            ("y-user-id", false),
            (":x-user-id", false),
        ] {
            assert_eq!(is_same_to_a_gateway(name, "x-user-id"), same, "{name}");
            assert_eq!(is_same_to_a_gateway("x-user-id", name), same, "{name}");
        }
        assert!(!is_same_to_a_gateway(":path", "-path"));
        assert!(is_same_to_a_gateway(":path", ":path"));
    }
}
