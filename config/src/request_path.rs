//! The path of a request in its normal form, so that every spelling of it meets the same route.

/// A path without its query: `.` and `..` segments resolved (RFC 3986 §5.2.4), repeated slashes merged,
/// unreserved characters (RFC 3986 §2.3) not %-encoded, the hexadecimal digits of the others in upper case.
/// The order is Envoy's: dot segments first, then slashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NormalisedPath(Vec<u8>);

/// The reason why a path has no normal form that two servers would agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathFault {
    /// The path has `..` after a repeated slash: it means another place when slashes are merged first.
    #[error("the path has .. after a repeated slash")]
    Ambiguous,
    /// The path has a backslash, encoded or not: some servers take it for a slash.
    #[error("the path has a backslash")]
    Backslash,
    /// The path has a `%` without two hexadecimal digits after it.
    #[error("the path has a % that encodes nothing")]
    Encoding,
    /// The path has a NUL, encoded or not.
    #[error("the path has a NUL")]
    Nul,
    /// The path has a `;`: some servers leave out what follows it in a segment.
    #[error("the path has a ;")]
    Parameter,
    /// The path does not begin with a slash.
    #[error("the path does not begin with a slash")]
    Relative,
    /// The path has an encoded slash.
    #[error("the path has an encoded slash")]
    Slash,
}

impl NormalisedPath {
    /// Reads the path of a request, without its query.
    pub fn parse(path: &[u8]) -> Result<Self, PathFault> {
        let decoded = decode(path)?;
        let decoded = decoded.strip_prefix(b"/").ok_or(PathFault::Relative)?;
        let mut segments: Vec<&[u8]> = Vec::new();
        let mut ends_on_slash = false;
        for segment in decoded.split(|&b| b == b'/') {
            ends_on_slash = matches!(segment, b"" | b"." | b"..");
            match segment {
                b"." => {}
                b".." => {
                    if segments.pop() == Some(b"") {
                        return Err(PathFault::Ambiguous);
                    }
                }
                _ => segments.push(segment),
            }
        }
        let mut normal = Vec::with_capacity(decoded.len().saturating_add(1));
        for segment in segments.into_iter().filter(|segment| !segment.is_empty()) {
            normal.push(b'/');
            normal.extend_from_slice(segment);
        }
        if ends_on_slash || normal.is_empty() {
            normal.push(b'/');
        }
        Ok(Self(normal))
    }

    /// Returns the normal form.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Says whether `prefix` is the path or ends where one of its segments ends.
    pub fn is_under(&self, prefix: &str) -> bool {
        self.0
            .strip_prefix(prefix.as_bytes())
            .is_some_and(|rest| prefix.ends_with('/') || rest.first().is_none_or(|&first| first == b'/'))
    }
}

fn decode(path: &[u8]) -> Result<Vec<u8>, PathFault> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut bytes = path.iter().copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => return Err(PathFault::Backslash),
            0 => return Err(PathFault::Nul),
            b';' => return Err(PathFault::Parameter),
            b'%' => match (hex(bytes.next())? << 4) | hex(bytes.next())? {
                b'/' => return Err(PathFault::Slash),
                b'\\' => return Err(PathFault::Backslash),
                0 => return Err(PathFault::Nul),
                octet if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) => decoded.push(octet),
                octet => decoded.extend_from_slice(format!("%{octet:02X}").as_bytes()),
            },
            byte => decoded.push(byte),
        }
    }
    Ok(decoded)
}

fn hex(digit: Option<u8>) -> Result<u8, PathFault> {
    let value = digit.and_then(|digit| char::from(digit).to_digit(16)).ok_or(PathFault::Encoding)?;
    u8::try_from(value).map_err(|_| PathFault::Encoding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_has_one_normal_form() {
        for (path, expected) in [
            (&b"/"[..], &b"/"[..]),
            (b"/ws/chat", b"/ws/chat"),
            (b"/ws/chat/", b"/ws/chat/"),
            (b"//ws///chat", b"/ws/chat"),
            (b"/ws/./chat", b"/ws/chat"),
            (b"/ws/x/../chat", b"/ws/chat"),
            (b"/ws/x/%2e%2E/chat", b"/ws/chat"),
            (b"/%2e/ws", b"/ws"),
            (b"/../../ws", b"/ws"),
            (b"/ws/..", b"/"),
            (b"/ws/.", b"/ws/"),
            (b"/%77s/%7Ea%2d", b"/ws/~a-"),
            (b"/a%3ab%3Fc", b"/a%3Ab%3Fc"),
            (b"/a%25%32%66b", b"/a%252fb"),
            (b"/\xc3\xa9", b"/\xc3\xa9"),
            (b"/...", b"/..."),
        ] {
            let normal = NormalisedPath::parse(path).unwrap();
            assert_eq!(normal.as_bytes(), expected, "{}", path.escape_ascii());
            assert_eq!(NormalisedPath::parse(normal.as_bytes()), Ok(normal), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_path_that_servers_read_differently_has_none() {
        for (path, fault) in [
            (&b"/ws%2fchat"[..], PathFault::Slash),
            (b"/ws%2Fchat", PathFault::Slash),
            (b"/ws%5cchat", PathFault::Backslash),
            (b"/ws\\chat", PathFault::Backslash),
            (b"/ws%00", PathFault::Nul),
            (b"/ws\0", PathFault::Nul),
            (b"/ws%", PathFault::Encoding),
            (b"/ws%2", PathFault::Encoding),
            (b"/ws%zz", PathFault::Encoding),
            (b"/ws%+1", PathFault::Encoding),
            (b"/public//../ws", PathFault::Ambiguous),
            (b"//%2e./ws", PathFault::Ambiguous),
            (b"", PathFault::Relative),
            (b"*", PathFault::Relative),
            (b"ws", PathFault::Relative),
        ] {
            assert_eq!(NormalisedPath::parse(path), Err(fault), "{}", path.escape_ascii());
        }
    }

    #[test]
    fn a_prefix_ends_on_a_segment_boundary() {
        for (path, prefix, expected) in [
            (&b"/ws/chat"[..], "/ws", true),
            (b"/ws", "/ws", true),
            (b"/ws/", "/ws", true),
            (b"/wsx", "/ws", false),
            (b"/ws", "/ws/", false),
            (b"/ws/x", "/ws/", true),
            (b"/anything", "/", true),
            (b"/x/../ws", "/x", false),
        ] {
            let normal = NormalisedPath::parse(path).unwrap();
            assert_eq!(normal.is_under(prefix), expected, "{} {prefix}", path.escape_ascii());
        }
    }
}
