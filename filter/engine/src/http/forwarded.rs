//! The headers that carry claims to the upstream, and the edits that keep a client's own out of them.
//!
//! A service trusts them wherever they come from, and behind a gateway it cannot tell `x.user.id` from
//! `x-user-id`. So a client's own copy, in every spelling, leaves every request that passes, whatever the
//! path and whichever policy names the header.

use std::collections::BTreeSet;

use postern_config::header_name::folded;

use crate::http::headers::{HeaderEdit, Headers};

const CONNECTION: &str = "connection";

/// The names of such headers, as gateways write them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Forwarded(BTreeSet<Vec<u8>>);

impl Forwarded {
    /// Collects `names`.
    pub(crate) fn new<'n>(names: impl IntoIterator<Item = &'n str>) -> Self {
        Self(names.into_iter().map(|name| folded(name).collect()).collect())
    }

    /// Returns these names and `names`.
    pub(crate) fn with<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Self {
        let mut all = self.clone();
        all.0.extend(Self::new(names).0);
        all
    }

    /// Returns the edits that take a client's own copies out of a request.
    pub(crate) fn strip(&self, headers: Headers<'_>) -> Vec<HeaderEdit> {
        let spoofed = headers.fields().map(|(name, _)| name).filter(|name| self.has(name));
        let names: BTreeSet<String> = spoofed.map(str::to_ascii_lowercase).collect();
        names.into_iter().map(HeaderEdit::Remove).collect()
    }

    /// Returns the edit that keeps a client from having a hop behind Envoy take such a header for one of its
    /// own hop (RFC 9110 §7.6.1).
    pub(crate) fn keep(&self, headers: Headers<'_>) -> Option<HeaderEdit> {
        let mut options = headers.list(CONNECTION).filter_map(|option| std::str::from_utf8(option).ok());
        let nominated = options.any(|option| self.has(option));
        nominated.then(|| HeaderEdit::Set(CONNECTION.to_owned(), b"Upgrade".to_vec()))
    }

    /// Says whether a service might take the field `name` for one of these headers; a pseudo-header is none.
    fn has(&self, name: &str) -> bool {
        !self.0.is_empty() && !name.starts_with(':') && self.0.contains(&folded(name).collect::<Vec<_>>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_that_a_gateway_folds_is_taken_out_and_nothing_else() {
        let forwarded = Forwarded::new(["x-user-id"]).with(["-path"]);
        let names = [
            ":path",
            "x-user-id",
            "X-User-Id",
            "x_user_id",
            "x.user.id",
            "x~user!id",
            "x--user-id",
            "x-userid",
            "x-user-id2",
            "path",
            "cookie",
        ];
        let fields: Vec<_> = names.iter().map(|name| ((*name).to_owned(), b"root".to_vec())).collect();
        let edits = forwarded.strip(Headers::new(&fields));
        let removed: Vec<_> = edits.iter().map(HeaderEdit::name).collect();
        assert_eq!(removed, ["x-user-id", "x.user.id", "x_user_id", "x~user!id"]);
        assert_eq!(Forwarded::default().strip(Headers::new(&fields)), []);
        let left: Vec<_> = Headers::new(&fields).edited(&edits).into_iter().map(|(name, _)| name).collect();
        assert_eq!(left, [":path", "x--user-id", "x-userid", "x-user-id2", "path", "cookie"]);
    }

    #[test]
    fn a_header_of_the_hop_is_none_that_carries_claims() {
        let forwarded = Forwarded::new(["x-user-id"]);
        for (options, kept) in [("Upgrade, X.User_Id", true), ("Upgrade, x-userid", false), ("\u{e9}", false)]
        {
            let fields = [(CONNECTION.to_owned(), options.as_bytes().to_vec())];
            assert_eq!(forwarded.keep(Headers::new(&fields)).is_some(), kept, "{options}");
        }
    }
}
