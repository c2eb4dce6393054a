//! Tokens for pages: a cookie that a page's script reads and shows when it opens a socket.

use std::fmt;
use std::time::Duration;

use super::Guard;
use crate::http::cookies;
use crate::http::headers::{HeaderEdit, Headers, Single};

const SET_COOKIE: &str = "set-cookie";

/// The part of an ordinary request that is kept until its response comes. Its `Debug` shows nothing of the
/// session.
pub(crate) struct Page {
    /// The value of the request's session cookie, if it has exactly one.
    session: Option<Vec<u8>>,
}

impl Page {
    /// Returns the memory that is taken for the page, in bytes.
    pub(crate) fn held(&self) -> u64 {
        self.session.as_ref().map_or(0, |session| session.capacity() as u64)
    }
}

impl fmt::Debug for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Page(…)")
    }
}

impl Guard {
    /// Notes an ordinary request, if the policy issues tokens.
    pub(crate) fn page(&self, headers: Headers<'_>) -> Option<Page> {
        self.rule.issue.as_ref()?;
        let mut sessions = cookies::values(headers, &self.rule.session_cookie);
        let session = match (sessions.next(), sessions.next()) {
            (Some(only), None) => Some(only.to_vec()),
            _ => None,
        };
        Some(Page { session })
    }

    /// Returns the edit that gives the page of this response a token, for the session that the browser has
    /// once it has read the response. Returns `None` if there is no session, if this is no page, and if the
    /// service issues its own token.
    pub(crate) fn issue(&self, page: &Page, headers: Headers<'_>, now: Duration) -> Option<HeaderEdit> {
        let name = self.rule.issue.as_ref()?;
        let is_set = |name: &str| cookies::set(headers).any(|cookie| cookie.name == name.as_bytes());
        if headers.single(":status") != Single::One(b"200") || !is_html(headers) || is_set(name) {
            return None;
        }
        let session_cookie = self.rule.session_cookie.as_bytes();
        let session = match cookies::set(headers).filter(|cookie| cookie.name == session_cookie).last() {
            Some(cookie) if cookie.deletes(now) => return None,
            Some(cookie) => cookie.value,
            None => page.session.as_deref()?,
        };
        if session.is_empty() {
            return None;
        }
        let token = self.key.mint(session, now);
        let cookie = format!("{name}={token}; Path=/; Secure; SameSite=Strict");
        Some(HeaderEdit::Add(SET_COOKIE.to_owned(), cookie.into_bytes()))
    }
}

fn is_html(headers: Headers<'_>) -> bool {
    let Single::One(content_type) = headers.single("content-type") else { return false };
    let media_type = content_type.split(|&b| b == b';').next().unwrap_or_default();
    media_type.trim_ascii().eq_ignore_ascii_case(b"text/html")
}
