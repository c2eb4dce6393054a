//! Small grammars shared by many keys: tokens, names, environment variables.

/// Says whether `text` is a token (RFC 9110 §5.6.2).
pub(crate) fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Says whether `text` may name a subprotocol: a token (RFC 6455 §4.1, item 10), or several with slashes
/// between them, as some programs have it.
pub(crate) fn is_subprotocol(text: &str) -> bool {
    text.split('/').all(is_token)
}

/// Says whether `text` may name a policy or a provider: one word in a log, and a label of metrics, which loses its
/// last dots in Envoy and would be empty or another one's without them.
pub(crate) fn is_name(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b))
    };
    text.len() <= 64 && text.split('.').all(is_part)
}

/// Says whether `text` may name an environment variable.
pub(crate) fn is_variable(text: &str) -> bool {
    !text.starts_with(|c: char| c.is_ascii_digit())
        && !text.is_empty()
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Says whether `text` can be written in a header, a cluster name or a query: it is not empty, and has no
/// control characters.
pub(crate) fn is_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_grammar_takes_its_own_words() {
        type Grammar = fn(&str) -> bool;
        let table: [(Grammar, &[&str], &[&str]); 5] = [
            (is_token, &["chat.v2", "x-user-id", "!#$%&'*+-.^_`|~"], &["", "a b", "a/b", "é", ":path", "a,"]),
            (
                is_name,
                &["chat", "chat.v2", "A-1_b", "-", "a.b.c"],
                &[
                    "", "a b", "a/b", "é", ".", "..", ".a", "a.", "a..b", "a;b", "a=b", "a:b", "a\n", "a|b",
                    "a,b",
                ],
            ),
            (
                is_subprotocol,
                &["chat.v2", "SPDY/3.1+portforward.k8s.io"],
                &["", "/", "a/", "/a", "a//b", "a b", "a,b"],
            ),
            (is_variable, &["POSTERN_SECRET", "_", "a1"], &["", "1A", "A-B", "A=B", "É"]),
            (is_line, &["outbound|443||auth.example.com", "é"], &["", "a\nb", "\0"]),
        ];
        for (grammar, good, bad) in table {
            assert!(good.iter().all(|text| grammar(text)), "{good:?}");
            assert!(!bad.iter().any(|text| grammar(text)), "{bad:?}");
        }
        assert!(is_name(&"a".repeat(64)) && !is_name(&"a".repeat(65)));
    }
}
