//! The issuers that `iss` may name: texts, in which whole segments of the path may each be one of several.

use std::collections::BTreeSet;

/// An issuer, or as many as a template with its values stands for. Nothing in it is decoded or normalised:
/// `iss` is compared as it is (RFC 7519 §4.1.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer(Vec<Piece>);

/// The text between two slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// One of these; never empty, and none of them has a slash.
    OneOf(BTreeSet<String>),
    /// This text, without a slash.
    Text(String),
}

impl Issuer {
    /// Creates the one issuer of this name.
    pub fn exactly(name: &str) -> Self {
        Self(name.split('/').map(|piece| Piece::Text(piece.to_owned())).collect())
    }

    /// Creates the issuer that has these pieces between its slashes.
    pub(crate) fn of(pieces: Vec<Piece>) -> Self {
        Self(pieces)
    }

    /// Says whether a token with this `iss` is the issuer's.
    pub fn matches(&self, iss: &str) -> bool {
        let mut said = iss.split('/');
        self.0.iter().all(|piece| said.next().is_some_and(|said| piece.takes(said))) && said.next().is_none()
    }

    /// Says whether some `iss` belongs to both issuers.
    pub fn overlaps(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(a, b)| a.overlaps(b))
    }

    /// Returns an `iss` that belongs to the issuer.
    pub fn example(&self) -> String {
        let pieces: Vec<&str> = self.0.iter().map(Piece::example).collect();
        pieces.join("/")
    }
}

impl Piece {
    fn takes(&self, said: &str) -> bool {
        match self {
            Self::OneOf(values) => values.contains(said),
            Self::Text(text) => text == said,
        }
    }

    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::OneOf(values), other) => values.iter().any(|value| other.takes(value)),
            (Self::Text(text), other) => other.takes(text),
        }
    }

    fn example(&self) -> &str {
        match self {
            Self::OneOf(values) => values.first().map_or("", String::as_str),
            Self::Text(text) => text,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the issuer of a template in which `{a
    /// b}` stands for one of `a` and `b`.
    fn issuer(text: &str) -> Issuer {
        let piece = |piece: &str| match piece.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(values) => Piece::OneOf(values.split('|').map(str::to_owned).collect()),
            None => Piece::Text(piece.to_owned()),
        };
        Issuer::of(text.split('/').map(piece).collect())
    }

    #[test]
    fn a_template_takes_one_whole_segment_as_it_is_written_and_nothing_else() {
        let tenant = issuer("https://login.example.com/{one|two%2F|..}/v2.0");
        for (iss, is_its) in [
            ("https://login.example.com/one/v2.0", true),
            ("https://login.example.com/two%2F/v2.0", true),
            ("https://login.example.com/../v2.0", true),
            ("https://login.example.com/two%2f/v2.0", false),
            ("https://login.example.com/two//v2.0", false),
            ("https://login.example.com/three/v2.0", false),
            ("https://login.example.com/ONE/v2.0", false),
            ("https://login.example.com/on%65/v2.0", false),
            ("https://login.example.com//v2.0", false),
            ("https://login.example.com/v2.0", false),
            ("https://login.example.com/one/one/v2.0", false),
            ("https://login.example.com/one/v2.0/", false),
            ("https://login.example.com/one/v2.0/x", false),
            ("https://login.example.com/one/v2.0?x", false),
            ("https://login.example.com/one/v2.00", false),
            ("https://login.example.com/{one|two%2F|..}/v2.0", false),
            ("https://login.example.com/one |two/v2.0", false),
            ("https://login.example.com/one /v2.0", false),
            ("https://login.example.com.evil.example/one/v2.0", false),
            ("https://evil.example/https://login.example.com/one/v2.0", false),
            ("http://login.example.com/one/v2.0", false),
            ("", false),
        ] {
            assert_eq!(tenant.matches(iss), is_its, "{iss}");
        }
        assert_eq!(tenant.example(), "https://login.example.com/../v2.0");
        assert!(tenant.matches(&tenant.example()));
    }

    #[test]
    fn an_issuer_without_a_template_is_compared_byte_by_byte() {
        for name in ["https://auth.example.com/", "edge", "", "/", "a//b", "urn:x/{y}"] {
            assert!(Issuer::exactly(name).matches(name), "{name}");
            assert_eq!(Issuer::exactly(name).example(), name);
            for other in [format!("{name}/"), format!("/{name}"), format!("{name} ")] {
                assert!(!Issuer::exactly(name).matches(&other), "{other}");
            }
        }
    }

    #[test]
    fn two_overlap_where_one_iss_is_of_both() {
        let alike = [
            ("a", "a"),
            ("x/{a|b}", "x/b"),
            ("x/{a|b}", "x/{b|c}"),
            ("x/{a|b}/{c}", "x/b/{c|d}"),
            ("{a}/y", "a/{y}"),
        ];
        let apart = [
            ("a", "b"),
            ("a", "a/"),
            ("x/{a|b}", "x/c"),
            ("x/{a|b}", "x/{c|d}"),
            ("x/{a|b}", "x/a/"),
            ("x/{a|b}/{c}", "x/b/{d|e}"),
            ("x/{a}", "y/{a}"),
        ];
        let table = alike.map(|pair| (pair, true)).into_iter().chain(apart.map(|pair| (pair, false)));
        for ((a, b), expected) in table {
            assert_eq!(issuer(a).overlaps(&issuer(b)), expected, "{a} and {b}");
            assert_eq!(issuer(b).overlaps(&issuer(a)), expected, "{b} and {a}");
        }
    }
}
