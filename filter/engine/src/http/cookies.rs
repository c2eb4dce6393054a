//! Cookies, as browsers send them and as services set them (RFC 6265).
//!
//! Owns the reading of `Cookie` and `Set-Cookie`; says nothing about what a cookie means.

mod date;

use std::time::Duration;

use crate::http::headers::Headers;

const COOKIE: &str = "cookie";
const SET_COOKIE: &str = "set-cookie";

/// One pair of a `Cookie` field.
#[derive(Clone, Copy)]
pub(crate) struct Pair<'h> {
    /// The whole pair as sent, blanks and all.
    pub(crate) whole: &'h [u8],
    pub(crate) name: &'h [u8],
    pub(crate) value: &'h [u8],
}

/// A `Set-Cookie` field.
#[derive(Clone, Copy)]
pub(crate) struct SetCookie<'h> {
    pub(crate) name: &'h [u8],
    pub(crate) value: &'h [u8],
    attributes: &'h [u8],
}

/// Returns the pairs of a `Cookie` field, in order.
pub(crate) fn pairs(field: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    field.split(|&b| b == b';').map(|whole| {
        let (name, value) = split(whole, b'=');
        Pair { whole, name, value: unquote(value) }
    })
}

/// Returns the values of all cookies called `name` that a request has.
pub(crate) fn values<'h>(headers: Headers<'h>, name: &str) -> impl Iterator<Item = &'h [u8]> {
    let of_name = move |pair: &Pair<'_>| pair.name == name.as_bytes();
    headers.all(COOKIE).flat_map(pairs).filter(of_name).map(|pair| pair.value)
}

/// Returns the cookies that a response sets, in order.
pub(crate) fn set(headers: Headers<'_>) -> impl Iterator<Item = SetCookie<'_>> {
    headers.all(SET_COOKIE).map(|field| {
        let (pair, attributes) = split(field, b';');
        let (name, value) = split(pair, b'=');
        SetCookie { name, value: unquote(value), attributes }
    })
}

impl SetCookie<'_> {
    /// Says whether a browser that reads this field at `now` has no such cookie afterwards. Max-Age goes
    /// before Expires, and an attribute that cannot be read counts as missing (RFC 6265 §5.2, §5.3).
    pub(crate) fn deletes(&self, now: Duration) -> bool {
        let (mut max_age, mut expires) = (None, None);
        for attribute in self.attributes.split(|&b| b == b';') {
            let (name, value) = split(attribute, b'=');
            if name.eq_ignore_ascii_case(b"max-age") {
                max_age = is_positive(value).or(max_age);
            } else if name.eq_ignore_ascii_case(b"expires") {
                expires = date::parse(value).or(expires);
            }
        }
        match max_age {
            Some(is_positive) => !is_positive,
            None => expires.is_some_and(|expires| expires <= now),
        }
    }
}

/// Says whether the number of seconds in `value` is more than zero; `None` if it is no number.
fn is_positive(value: &[u8]) -> Option<bool> {
    let (is_negative, digits) = match value.strip_prefix(b"-") {
        Some(digits) => (true, digits),
        None => (false, value),
    };
    let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    is_number.then(|| !is_negative && digits.iter().any(|&digit| digit != b'0'))
}

/// Returns the bytes before and behind the first `separator`, without the blanks around them.
fn split(bytes: &[u8], separator: u8) -> (&[u8], &[u8]) {
    let mut halves = bytes.splitn(2, |&b| b == separator).map(<[u8]>::trim_ascii);
    (halves.next().unwrap_or_default(), halves.next().unwrap_or_default())
}

/// Takes the double quotes off in which a cookie's value may stand (RFC 6265 §4.1.1), since they are no part
/// of it.
fn unquote(value: &[u8]) -> &[u8] {
    value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::headers::Field;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    fn fields(name: &str, values: &[&str]) -> Vec<Field> {
        values.iter().map(|value| (name.to_owned(), value.as_bytes().to_vec())).collect()
    }

    #[test]
    fn a_cookie_is_found_in_any_field_by_its_whole_name() {
        let fields = fields("cookie", &["a=1; sid=x=y ;sid2=3", "SID=4;\tsid=\"q\"", "sid", ""]);
        let values: Vec<_> = values(Headers::new(&fields), "sid").collect();
        assert_eq!(values, [b"x=y".as_slice(), b"q", b""]);
    }

    #[test]
    fn a_cookie_that_is_set_has_a_name_and_a_value() {
        let fields = fields("Set-Cookie", &["sid=abc; Path=/", " sid = \"abc\";HttpOnly", "sid", "a;sid=1"]);
        let found: Vec<_> = set(Headers::new(&fields)).map(|cookie| (cookie.name, cookie.value)).collect();
        let expected: [(&[u8], &[u8]); 4] = [(b"sid", b"abc"), (b"sid", b"abc"), (b"sid", b""), (b"a", b"")];
        assert_eq!(found, expected);
    }

    #[test]
    fn a_cookie_is_deleted_by_its_age_or_by_a_date_that_is_past() {
        let cases = [
            ("", false),
            ("; Path=/; Secure; HttpOnly", false),
            ("; Max-Age=0", true),
            ("; max-age=-1", true),
            ("; Max-Age=000", true),
            ("; Max-Age=1", false),
            ("; Max-Age=99999999999999999999999", false),
            ("; Max-Age=0x1", false),
            ("; Max-Age=", false),
            ("; Max-Age=-", false),
            ("; Max-Age=5; Max-Age=0", true),
            ("; Expires=Thu, 01 Jan 1970 00:00:00 GMT", true),
            ("; expires=Thu, 01-Jan-1970 00:00:01 GMT; path=/", true),
            ("; Expires=Fri, 15 Jan 2027 08:00:00 GMT", true),
            ("; Expires=Fri, 15 Jan 2027 08:00:01 GMT", false),
            ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", false),
            ("; Expires=whenever", false),
            ("; Max-Age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", false),
            ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT; Max-Age=0", true),
        ];
        for (attributes, deletes) in cases {
            let fields = fields("set-cookie", &[&format!("sid=abc{attributes}")]);
            let cookie = set(Headers::new(&fields)).next().expect("a cookie");
            assert_eq!(cookie.deletes(NOW), deletes, "{attributes}");
        }
    }
}
