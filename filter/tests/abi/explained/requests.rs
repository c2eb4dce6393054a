//! Random requests: good ones, of which some have one or two things wrong.

use std::fmt::{self, Write as _};
use std::net::IpAddr;
use std::time::Duration;

use postern_engine::csrf::CsrfKey;
use postern_engine::serialize_route;
use postern_explain::request::{Request, from_curl, from_har, from_head};
use serde_json::{Map, Value, json};

use super::Text;
use super::chance::Chance;
use super::policies::{CSRF_SECRET, NAMES, Rules};
use crate::fixtures::{and, fields, sign, token, with, without};
use crate::host::{Fields, value_of};

/// The form in which `explain` is given the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Curl,
    Har,
    Head,
}

/// A request, and what Envoy knows of its connection.
pub(super) struct Asked {
    pub(super) fields: Fields,
    pub(super) client: IpAddr,
    pub(super) has_certificate: bool,
    pub(super) route: Option<&'static str>,
    /// The members that the route's metadata have under `postern`.
    pub(super) metadata: Option<Map<String, Value>>,
    /// The token of the first message.
    pub(super) late_token: Option<String>,
    /// The first message.
    pub(super) first_message: Option<String>,
    /// Everything that must not be shown.
    pub(super) tokens: Vec<String>,
    is_secure: bool,
    protocol: &'static str,
    form: Form,
}

impl fmt::Debug for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fields, client, has_certificate, is_secure, protocol, form, .. } = self;
        let Self { route, metadata, first_message, .. } = self;
        let text = Text(fields);
        write!(
            f,
            "{text:?} from {client}, {is_secure} {has_certificate} {protocol} {route:?} {metadata:?} {form:?} \
             {first_message:?}"
        )
    }
}

impl Asked {
    pub(super) fn random(chance: &mut Chance, rules: &Rules, now: Duration) -> Self {
        let policy = *chance.one(&NAMES);
        let mut asked = Self::good(chance, policy);
        asked.give_credentials(chance, rules.policy(policy), now);
        if chance.hits(45) {
            asked.spoil(chance);
        }
        // The first message is for the policy that the request was meant for.
        if !rules.leads_to(policy, &asked.fields, asked.route) || asked.metadata.is_some() {
            (asked.first_message, asked.late_token) = (None, None);
        }
        if asked.protocol == "HTTP/2" {
            asked.form = Form::Har;
            asked.fields = without(&asked.fields, "sec-websocket-key");
        }
        asked
    }

    fn good(chance: &mut Chance, policy: &str) -> Self {
        let (path, host, route) = match policy {
            "chat" => ("/chat", "app.example.com", None),
            "feed" => ("/live/1", "eu.feed.example.com", None),
            _ => ("/", "app.example.com", Some("admin")),
        };
        let mut head = fields(&[
            (":method", "GET"),
            (":path", path),
            (":authority", host),
            (":scheme", "https"),
            ("upgrade", "websocket"),
            ("connection", "Upgrade"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-version", "13"),
            ("origin", "https://app.example.com"),
        ]);
        if chance.hits(30) {
            head = and(&head, "sec-websocket-protocol", "chat.v1, soap");
        }
        if chance.hits(30) {
            head = and(&head, "sec-websocket-extensions", "permessage-deflate; client_max_window_bits");
        }
        Self {
            fields: head,
            client: IpAddr::from([198, 51, 100, u8::try_from(chance.below(12)).unwrap()]),
            has_certificate: chance.hits(60),
            route,
            metadata: if chance.hits(15) { metadata(chance) } else { None },
            late_token: None,
            first_message: None,
            tokens: Vec::new(),
            is_secure: true,
            protocol: if chance.hits(10) { "HTTP/2" } else { "HTTP/1.1" },
            form: *chance.one(&[Form::Curl, Form::Har, Form::Head]),
        }
    }

    /// Puts what a policy asks for into the request, well or badly.
    fn give_credentials(&mut self, chance: &mut Chance, policy: &Value, now: Duration) {
        let from = policy["auth"]["from"].as_array().cloned().unwrap_or_default();
        let is_far = policy["auth"]["providers"] == json!(["far"]);
        let is_far = is_far || chance.hits(3);
        let token = random_token(chance, now, is_far);
        if let Some(carrier) = from.first().filter(|_| chance.hits(90)) {
            if carrier.get("first_message").is_none() {
                self.carry(carrier, &token);
            } else if let (Some(other), true) = (from.get(1), chance.hits(50)) {
                self.carry(other, &token);
            } else {
                self.first_message = Some(json!({"token": token}).to_string());
                self.late_token = Some(token.clone());
            }
            self.tokens.push(token);
        }
        if let (Some(second), None, true) = (from.get(1), &self.late_token, chance.hits(5)) {
            let token = random_token(chance, now, false);
            self.carry(second, &token);
            self.tokens.push(token);
        }
        if policy.get("csrf").is_some() && chance.hits(92) {
            let key = CsrfKey::new(CSRF_SECRET.as_bytes()).unwrap();
            let session = if chance.hits(90) { "abc" } else { "abd" };
            let token =
                key.mint(session.as_bytes(), now.saturating_sub(Duration::from_secs(chance.below(9) * 1000)));
            self.join("cookie", "; ", "sid=abc");
            match policy["csrf"]["from"].get("query") {
                Some(_) => self.query(&format!("csrf={token}")),
                None => self.join("sec-websocket-protocol", ", ", &format!("csrf.{token}")),
            }
        }
    }

    fn carry(&mut self, carrier: &Value, token: &str) {
        if carrier.get("header").is_some() {
            self.fields = with(&self.fields, "authorization", format!("Bearer {token}"));
        } else if carrier.get("query").is_some() {
            self.query(&format!("token={token}"));
        } else if carrier.get("cookie").is_some() {
            self.join("cookie", "; ", &format!("token={token}"));
        } else if carrier.get("subprotocol").is_some() {
            self.join("sec-websocket-protocol", ", ", &format!("bearer.{token}"));
        }
    }

    fn query(&mut self, parameter: &str) {
        let has_query = value_of(&self.fields, ":path").unwrap().contains(&b'?');
        self.join(":path", if has_query { "&" } else { "?" }, parameter);
    }

    fn join(&mut self, name: &str, separator: &str, more: &str) {
        let joined = match value_of(&self.fields, name) {
            Some(value) => [value, separator.as_bytes(), more.as_bytes()].concat(),
            None => more.as_bytes().to_vec(),
        };
        match self.fields.iter_mut().find(|(field, _)| field == name) {
            Some((_, value)) => *value = joined,
            None => self.fields.push((name.to_owned(), joined)),
        }
    }

    /// Has something wrong, or something that may be.
    fn spoil(&mut self, chance: &mut Chance) {
        let wrong: [(&str, Option<&str>); 21] = [
            ("origin", Some("https://evil.example.com")),
            ("origin", Some("https://a.preview.example.com")),
            ("origin", Some("null")),
            ("origin", None),
            ("sec-websocket-version", Some("8")),
            ("sec-websocket-version", None),
            ("sec-websocket-key", Some("short")),
            ("sec-websocket-key", None),
            ("upgrade", Some("h2c")),
            ("upgrade", Some("websocket, h2c")),
            ("upgrade", None),
            ("connection", Some("keep-alive")),
            ("content-length", Some("1")),
            (":method", Some("POST")),
            (":path", Some("/elsewhere")),
            (":path", Some("/chat/%2e%2e/x")),
            (":authority", None),
            ("sec-websocket-protocol", Some("ssh")),
            ("sec-websocket-protocol", Some("a, a")),
            ("sec-websocket-extensions", Some("permessage-deflate; nonsense")),
            ("x-forwarded-proto", Some("https")),
        ];
        for _ in 0..=chance.below(2) {
            match chance.below(30) {
                0 => self.is_secure = false,
                1 => self.protocol = "HTTP/1.0",
                2 => self.fields.push(("origin".to_owned(), b"https://app.example.com".to_vec())),
                3 => self.fields.push(("host".to_owned(), b"app.example.com".to_vec())),
                _ => {
                    let (name, value) = *chance.one(&wrong);
                    self.fields = match value {
                        Some(value) => with(&self.fields, name, value),
                        None => without(&self.fields, name),
                    };
                }
            }
        }
        // Envoy makes `:authority` of the first Host.
        if value_of(&self.fields, ":authority").is_none()
            && let Some((name, _)) = self.fields.iter_mut().find(|(name, _)| name == "host")
        {
            ":authority".clone_into(name);
        }
        // Only a raw head has what no browser would send.
        self.form = Form::Head;
        if self.protocol == "HTTP/2" {
            self.protocol = "HTTP/1.1";
        }
        if !self.is_secure {
            self.fields = with(&self.fields, ":scheme", "http");
        }
    }

    /// The facts that Envoy tells.
    pub(super) fn properties(&self) -> Vec<(&'static str, Vec<u8>)> {
        let mut properties = vec![
            ("source.address", format!("{}:40732", self.client).into_bytes()),
            ("request.protocol", self.protocol.as_bytes().to_vec()),
        ];
        if self.is_secure {
            properties.push(("connection.tls_version", b"TLSv1.3".to_vec()));
        }
        if self.has_certificate {
            properties.push(("connection.mtls", vec![1]));
        }
        properties.extend(self.route.map(|route| ("xds.route_name", route.as_bytes().to_vec())));
        let metadata = self.metadata.as_ref().map(serialize_route);
        properties.extend(metadata.map(|metadata| ("xds.route_metadata", metadata)));
        properties
    }

    /// The request as `explain` reads it out of the form that a user has.
    pub(super) fn request(&self) -> Request {
        match self.form {
            Form::Head => from_head(self.head().as_bytes(), self.is_secure).unwrap(),
            Form::Curl => from_curl(&self.curl()).unwrap(),
            Form::Har => from_har(self.har().as_bytes(), None).unwrap(),
        }
    }

    fn value(&self, name: &str) -> &str {
        std::str::from_utf8(value_of(&self.fields, name).unwrap_or_default()).unwrap()
    }

    fn ordinary(&self) -> impl Iterator<Item = (&str, &str)> {
        let ordinary = self.fields.iter().filter(|(name, _)| !name.starts_with(':'));
        ordinary.map(|(name, value)| (name.as_str(), std::str::from_utf8(value).unwrap()))
    }

    fn head(&self) -> String {
        let version = if self.protocol == "HTTP/1.0" { "1.0" } else { "1.1" };
        let mut head = format!("{} {} HTTP/{version}\r\n", self.value(":method"), self.value(":path"));
        if let Some(host) = value_of(&self.fields, ":authority") {
            let _ = write!(head, "Host: {}\r\n", std::str::from_utf8(host).unwrap());
        }
        for (name, value) in self.ordinary() {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        head + "\r\n"
    }

    fn url(&self) -> String {
        format!("wss://{}{}", self.value(":authority"), self.value(":path"))
    }

    fn curl(&self) -> String {
        let mut line = format!("curl '{}' --compressed \\\n", self.url());
        for (name, value) in self.ordinary() {
            let quote = if value.len() % 2 == 0 { "$'" } else { "'" };
            let _ = writeln!(line, "  -H {quote}{name}: {value}' \\");
        }
        line + "  --http1.1"
    }

    fn har(&self) -> String {
        let headers: Vec<Value> =
            self.ordinary().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let version = if self.protocol == "HTTP/2" { "h2" } else { "HTTP/1.1" };
        let request = json!({"method": "GET", "url": self.url(), "httpVersion": version, "headers": headers});
        json!({"log": {"entries": [{"_resourceType": "websocket", "request": request}]}}).to_string()
    }
}

fn metadata(chance: &mut Chance) -> Option<Map<String, Value>> {
    let all = [
        json!({"policy": "feed"}),
        json!({"policy": "chat", "origins": {"allow": ["https://*.example.org"]}}),
        json!({"policy": "admin", "auth": "none", "csrf": "none", "tiers": []}),
        json!({"tls": "mutual"}),
        json!({"rates": [{"count": "handshakes", "per": "ip", "limit": 2, "window": "1h"}]}),
        json!({"upgrade_only": true, "messages": {"max_message_bytes": 64}}),
        json!({"policy": "absent"}),
        json!({"origins": {"allow": 7}}),
        json!({}),
    ];
    chance.one(&all).as_object().cloned()
}

/// A token that is good most of the time.
fn random_token(chance: &mut Chance, now: Duration, is_far: bool) -> String {
    let seconds = now.as_secs();
    let mut claims = json!({
        "sub": *chance.one(&["alice", "bob", "carol", "mallory"]),
        "scope": if chance.hits(85) { "chat" } else { "mail" },
        "jti": format!("t{}", chance.below(200)),
        "exp": seconds + 3600,
        "iat": seconds,
    });
    if is_far {
        claims["iss"] = json!("far");
        claims["aud"] = json!("chat");
        let key = jsonwebtoken::EncodingKey::from_secret(b"not the key of anybody");
        return sign(&json!({"alg": "RS256"}), &claims, &key, jsonwebtoken::Algorithm::HS256);
    }
    match chance.below(40) {
        0 => claims["exp"] = json!(seconds - 3600),
        1 => claims["aud"] = json!("mail"),
        2 => claims["iss"] = json!("nobody"),
        3 => claims["nbf"] = json!(seconds + 3600),
        4 => claims["sub"] = json!(7),
        5 => {
            claims.as_object_mut().unwrap().remove("jti");
        }
        6 => {
            claims.as_object_mut().unwrap().remove("exp");
        }
        7 => return "not.a.token-of-anybody".to_owned(),
        8 => {
            let good = token(claims);
            let (signed, signature) = good.rsplit_once('.').unwrap();
            let forged: String = signature.chars().rev().collect();
            return format!("{signed}.{forged}");
        }
        _ => {}
    }
    token(claims)
}
