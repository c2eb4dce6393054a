//! Origins, hosts and paths, against patterns that are read from the input too.
//!
//! Input: lines: an origin pattern, an Origin, a path prefix, a path, a host pattern, a host.

use postern_config::{Config, NormalisedHost, NormalisedPath, OriginVerdict};
use serde_json::json;

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut lines = input.split(|&b| b == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let (pattern, origin, prefix, path, host_pattern, host) =
        (line(), line(), line(), line(), line(), line());
    let text = |bytes| String::from_utf8_lossy(bytes).into_owned();

    if let Ok(normal) = NormalisedPath::parse(path) {
        assert_eq!(NormalisedPath::parse(normal.as_bytes()).as_ref(), Ok(&normal), "a normal form has one");
        assert!(normal.is_under("/") && !normal.as_bytes().windows(2).any(|w| w == b"//"));
    }
    let normal_host = NormalisedHost::parse(host).ok();
    if let Some(normal) = &normal_host {
        assert_eq!(
            NormalisedHost::parse(normal.as_str().as_bytes()).as_ref(),
            Ok(normal),
            "a normal form has one"
        );
        assert_eq!(NormalisedHost::parse(&host.to_ascii_uppercase()).as_ref(), Ok(normal));
        assert!(normal.as_str().bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[]:".contains(&b)));
    }
    let policy = json!({"origins": {"allow": [text(pattern)], "missing": "deny"}, "auth": "none"});
    let Ok(config) = Config::from_value(json!({
        "policies": {"chat": policy},
        "routes": [{
            "match": {"host": text(host_pattern), "path_prefix": text(prefix), "route_name": "r"},
            "policy": "chat",
        }],
    })) else {
        return;
    };
    let origins = &config.policies["chat"].origins;
    assert_eq!(origins.judge([]), OriginVerdict::Missing);
    assert_eq!(origins.judge([origin, origin]), OriginVerdict::Denied);
    if origins.judge([origin]) == OriginVerdict::Allowed && !text(pattern).contains('*') {
        assert_eq!(origins.judge([origin.to_ascii_lowercase().as_slice()]), OriginVerdict::Allowed);
    }
    let Some(route) = config.routes.first() else { return };
    let normal = NormalisedPath::parse(path).ok();
    let matches = route.matches.matches(normal_host.as_ref(), normal.as_ref(), Some("r"));
    assert!(!matches || normal.is_some(), "a path without a normal form is under no prefix");
    assert!(
        !matches || normal_host.is_some() || text(host_pattern) == "*",
        "what is no host matches no pattern"
    );
    assert!(!route.matches.matches(normal_host.as_ref(), normal.as_ref(), None), "it wants a name");
}
