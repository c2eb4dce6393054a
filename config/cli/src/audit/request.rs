//! A request of HTTP/1.1, field by field, right or wrong.

/// A request as it will be written.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    method: &'static str,
    target: String,
    version: &'static str,
    fields: Vec<(String, String)>,
    body: &'static str,
}

impl Request {
    /// Creates a sound handshake (RFC 6455 §4.1) with this key, without an Origin.
    pub(crate) fn upgrade(target: &str, authority: &str, key: &str) -> Self {
        let fields = [
            ("Host", authority),
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", key),
            ("Sec-WebSocket-Version", "13"),
        ];
        Self {
            method: "GET",
            target: target.to_owned(),
            version: "HTTP/1.1",
            fields: fields.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            body: "",
        }
    }

    /// Adds a field, behind any other of its name.
    pub(crate) fn field(mut self, name: &str, value: &str) -> Self {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Puts a field in the place of all of its name.
    pub(crate) fn set(self, name: &str, value: &str) -> Self {
        self.without(name).field(name, value)
    }

    /// Takes all fields of a name out.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(other, _)| !other.eq_ignore_ascii_case(name));
        self
    }

    /// Puts `item` behind what the field of that name has, and `separator` between.
    pub(crate) fn listed(mut self, name: &str, separator: &str, item: &str) -> Self {
        let mut fields = self.fields.iter_mut();
        match fields.find(|(other, _)| other.eq_ignore_ascii_case(name)) {
            Some((_, value)) => {
                value.push_str(separator);
                value.push_str(item);
                self
            }
            None => self.field(name, item),
        }
    }

    /// Adds a parameter of the query.
    pub(crate) fn parameter(mut self, name: &str, value: &str) -> Self {
        let separator = if self.target.contains('?') { '&' } else { '?' };
        self.target.push_str(&format!("{separator}{name}={value}"));
        self
    }

    /// Sets another method.
    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// Changes the path, and leaves the query as it is.
    pub(crate) fn path(mut self, change: impl FnOnce(&str) -> String) -> Self {
        let (path, query) = self.target.split_at(self.target.find('?').unwrap_or(self.target.len()));
        self.target = format!("{}{query}", change(path));
        self
    }

    /// Sets another version of HTTP.
    pub(crate) fn version(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Puts bytes behind the head. The field of their length is a field like others.
    pub(crate) fn body(mut self, body: &'static str) -> Self {
        self.body = body;
        self
    }

    /// Returns the first value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let mut fields = self.fields.iter().filter(|(other, _)| other.eq_ignore_ascii_case(name));
        fields.next().map(|(_, value)| value.as_str())
    }

    /// Returns the bytes on the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut text = format!("{} {} {}\r\n", self.method, self.target, self.version);
        for (name, value) in &self.fields {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str("\r\n");
        text.push_str(self.body);
        text.into_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handshake_is_written_with_what_was_changed_in_it() {
        let request = Request::upgrade("/ws?a=1", "localhost", "key")
            .field("Origin", "https://a.example")
            .field("Origin", "https://b.example")
            .without("upgrade")
            .set("sec-websocket-version", "8")
            .listed("Cookie", "; ", "a=b")
            .listed("cookie", "; ", "c=d")
            .parameter("token", "t")
            .path(|path| format!("{path}/x"))
            .method("POST")
            .version("HTTP/1.0")
            .body("body");
        let written = "POST /ws/x?a=1&token=t HTTP/1.0\r\nHost: localhost\r\nConnection: Upgrade\r\n\
            Sec-WebSocket-Key: key\r\nOrigin: https://a.example\r\nOrigin: https://b.example\r\n\
            sec-websocket-version: 8\r\nCookie: a=b; c=d\r\n\r\nbody";
        assert_eq!(String::from_utf8(request.bytes()).unwrap(), written);
        assert_eq!(request.value("ORIGIN"), Some("https://a.example"));
    }
}
