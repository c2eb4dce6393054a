//! Origins, hosts and paths, against patterns that are read from the input too.
//!
//! Input: lines: an origin pattern, an Origin, a path prefix, a path, a host pattern, a host.

use postern_config::{Config, NormalisedPath, OriginVerdict};
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
    let host = text(host);
    let matches = route.matches.matches(&host, normal.as_ref(), Some("r"));
    assert_eq!(matches, route.matches.matches(&host.to_ascii_uppercase(), normal.as_ref(), Some("r")));
    assert!(!matches || normal.is_some(), "a path without a normal form is under no prefix");
    assert!(!route.matches.matches(&host, normal.as_ref(), None), "it wants a name");
}
