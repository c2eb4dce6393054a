//! A curl command line, as browsers copy it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_engine::Protocol;
use postern_engine::http::headers::{Field, Headers};

use super::words::words;
use super::{NoRequest, Request, field, read_url};

/// The options that take a value and say nothing of the request's head, or nothing that is judged.
const WITH_VALUE: [&str; 124] = [
    "--abstract-unix-socket",
    "--alt-svc",
    "--aws-sigv4",
    "--cacert",
    "--capath",
    "--cert",
    "--cert-type",
    "--ciphers",
    "--connect-timeout",
    "--connect-to",
    "--continue-at",
    "--cookie-jar",
    "--create-file-mode",
    "--crlfile",
    "--curves",
    "--delegation",
    "--dns-interface",
    "--dns-ipv4-addr",
    "--dns-ipv6-addr",
    "--dns-servers",
    "--doh-url",
    "--dump-header",
    "--ech",
    "--egd-file",
    "--engine",
    "--etag-compare",
    "--etag-save",
    "--expect100-timeout",
    "--ftp-account",
    "--ftp-alternative-to-user",
    "--ftp-method",
    "--ftp-port",
    "--ftp-ssl-ccc-mode",
    "--happy-eyeballs-timeout-ms",
    "--haproxy-clientip",
    "--hostpubmd5",
    "--hostpubsha256",
    "--hsts",
    "--interface",
    "--ip-tos",
    "--ipfs-gateway",
    "--keepalive-cnt",
    "--keepalive-time",
    "--key",
    "--key-type",
    "--knownhosts",
    "--krb",
    "--libcurl",
    "--limit-rate",
    "--local-port",
    "--login-options",
    "--mail-auth",
    "--mail-from",
    "--mail-rcpt",
    "--max-filesize",
    "--max-redirs",
    "--max-time",
    "--netrc-file",
    "--noproxy",
    "--output",
    "--output-dir",
    "--parallel-max",
    "--parallel-max-host",
    "--pass",
    "--pinnedpubkey",
    "--preproxy",
    "--proto",
    "--proto-default",
    "--proto-redir",
    "--proxy",
    "--proxy-cacert",
    "--proxy-capath",
    "--proxy-cert",
    "--proxy-cert-type",
    "--proxy-ciphers",
    "--proxy-crlfile",
    "--proxy-header",
    "--proxy-key",
    "--proxy-key-type",
    "--proxy-pass",
    "--proxy-pinnedpubkey",
    "--proxy-service-name",
    "--proxy-tls13-ciphers",
    "--proxy-tlsauthtype",
    "--proxy-tlspassword",
    "--proxy-tlsuser",
    "--proxy-user",
    "--proxy1.0",
    "--pubkey",
    "--quote",
    "--random-file",
    "--range",
    "--rate",
    "--resolve",
    "--retry",
    "--retry-delay",
    "--retry-max-time",
    "--sasl-authzid",
    "--service-name",
    "--sigalgs",
    "--socks4",
    "--socks4a",
    "--socks5",
    "--socks5-gssapi-service",
    "--socks5-hostname",
    "--speed-limit",
    "--speed-time",
    "--stderr",
    "--telnet-option",
    "--tftp-blksize",
    "--time-cond",
    "--tls-max",
    "--tls13-ciphers",
    "--tlsauthtype",
    "--tlspassword",
    "--tlsuser",
    "--trace",
    "--trace-ascii",
    "--trace-config",
    "--unix-socket",
    "--upload-flags",
    "--variable",
    "--vlan-priority",
    "--write-out",
];

/// The options that change what is asked for in a way that is not read.
const UNREAD: [&str; 3] = ["--config", "--request-target", "--url-query"];

/// The letters of options that take a value, each with its long name.
const LETTERS: [(char, &str); 26] = [
    ('A', "--user-agent"),
    ('b', "--cookie"),
    ('c', "--cookie-jar"),
    ('C', "--continue-at"),
    ('d', "--data"),
    ('D', "--dump-header"),
    ('e', "--referer"),
    ('E', "--cert"),
    ('F', "--form"),
    ('H', "--header"),
    ('K', "--config"),
    ('m', "--max-time"),
    ('o', "--output"),
    ('P', "--ftp-port"),
    ('Q', "--quote"),
    ('r', "--range"),
    ('t', "--telnet-option"),
    ('T', "--upload-file"),
    ('u', "--user"),
    ('U', "--proxy-user"),
    ('w', "--write-out"),
    ('x', "--proxy"),
    ('X', "--request"),
    ('y', "--speed-time"),
    ('Y', "--speed-limit"),
    ('z', "--time-cond"),
];

/// The part of a command line that has been read.
#[derive(Default)]
struct Said {
    url: Option<String>,
    method: Option<String>,
    fields: Vec<Field>,
    /// The names of fields that must not be sent.
    removed: Vec<String>,
    has_body: bool,
    is_http10: bool,
    is_head: bool,
    /// Says whether the body goes into the query.
    is_get: bool,
}

/// Reads the request that a curl command line makes, in the shell quoting of `Copy as cURL`.
///
/// # Errors
/// Says what the line lacks, or which option is not understood.
pub fn from_curl(line: &str) -> Result<Request, NoRequest> {
    let mut words = words(line)?.into_iter().peekable();
    words.next_if(|word| word == "$");
    if words.next().is_none_or(|first| !is_curl(&first)) {
        return Err(NoRequest("the command line does not begin with `curl`".to_owned()));
    }
    let mut said = Said::default();
    while let Some(word) = words.next() {
        let mut value = |option: &str| {
            words.next().ok_or_else(|| NoRequest(format!("the option {option} of curl has no value")))
        };
        if let Some(long) = word.strip_prefix("--") {
            let (name, inline) = match long.split_once('=') {
                Some((name, inline)) => (name, Some(inline.to_owned())),
                None => (long, None),
            };
            said.take_long(&format!("--{name}"), inline, &mut value)?;
        } else if let Some(letters) = word.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            said.take_letters(letters, &mut value)?;
        } else if said.url.replace(word).is_some() {
            return Err(NoRequest("the command line has more than one URL".to_owned()));
        }
    }
    said.request()
}

fn is_curl(word: &str) -> bool {
    matches!(word.rsplit(['/', '\\']).next(), Some("curl" | "curl.exe"))
}

/// Returns the refusal of an option that says elsewhere what can be said in the line.
fn in_the_url(option: &str) -> NoRequest {
    NoRequest(format!("the option {option} of curl is not read; write the URL out as it is sent"))
}

impl Said {
    fn take_letters(
        &mut self,
        letters: &str,
        value: &mut impl FnMut(&str) -> Result<String, NoRequest>,
    ) -> Result<(), NoRequest> {
        let mut rest = letters.chars();
        while let Some(letter) = rest.next() {
            if let Some((_, long)) = LETTERS.iter().find(|(known, _)| *known == letter) {
                let inline = Some(rest.as_str().to_owned()).filter(|inline| !inline.is_empty());
                return self.take_long(long, inline, value);
            }
            match letter {
                '0' => self.is_http10 = true,
                'I' => self.is_head = true,
                'G' => self.is_get = true,
                _ => {}
            }
        }
        Ok(())
    }

    fn take_long(
        &mut self,
        option: &str,
        inline: Option<String>,
        value: &mut impl FnMut(&str) -> Result<String, NoRequest>,
    ) -> Result<(), NoRequest> {
        let mut value = || inline.clone().map_or_else(|| value(option), Ok);
        match option {
            "--url" => self.url = Some(value()?),
            "--request" => self.method = Some(value()?),
            "--header" => self.take_header(&value()?)?,
            "--user-agent" => self.put("user-agent", value()?.into_bytes()),
            "--referer" => self.put("referer", value()?.into_bytes()),
            "--oauth2-bearer" => self.put("authorization", format!("Bearer {}", value()?).into_bytes()),
            "--user" => {
                let user = STANDARD.encode(value()?);
                self.put("authorization", format!("Basic {user}").into_bytes());
            }
            "--cookie" => {
                let cookies = value()?;
                if !cookies.contains('=') {
                    return Err(NoRequest(
                        "the cookies of the command line are in a file; write them out".to_owned(),
                    ));
                }
                self.put("cookie", cookies.into_bytes());
            }
            "--http1.0" => self.is_http10 = true,
            "--head" => self.is_head = true,
            "--get" => self.is_get = true,
            "--form" | "--form-string" | "--upload-file" | "--json" => {
                value()?;
                self.has_body = true;
            }
            data if data == "--data" || data.starts_with("--data-") => {
                value()?;
                self.has_body = true;
            }
            unread if UNREAD.contains(&unread) => return Err(in_the_url(unread)),
            other if WITH_VALUE.contains(&other) => {
                value()?;
            }
            // Whatever is left is a switch: --compressed, --insecure, --http2, --location, …
            _ => {}
        }
        Ok(())
    }

    /// Takes a `-H`: `name: value`, `name:` to send none, or `name;` for one without a value.
    fn take_header(&mut self, text: &str) -> Result<(), NoRequest> {
        if text.starts_with('@') {
            return Err(NoRequest(
                "the header fields of the command line are in a file; write them out".to_owned(),
            ));
        }
        if let Some(name) = text.strip_suffix(';').filter(|name| !name.contains(':')) {
            self.fields.push(field(&format!("{name}:"))?);
            return Ok(());
        }
        let (name, value) = field(text)?;
        match value.is_empty() {
            true => self.removed.push(name),
            false => self.fields.push((name, value)),
        }
        Ok(())
    }

    fn put(&mut self, name: &str, value: Vec<u8>) {
        self.fields.push((name.to_owned(), value));
    }

    fn request(self) -> Result<Request, NoRequest> {
        let url = self.url.ok_or_else(|| NoRequest("the command line has no URL".to_owned()))?;
        let (url, is_secure) = read_url(&url)?;
        if self.is_get && self.has_body {
            return Err(in_the_url("--get"));
        }
        let own = if self.has_body { "POST" } else { "GET" };
        let own = if self.is_head { "HEAD" } else { own };
        let method = self.method.as_deref().unwrap_or(own);
        let mut request = Request::new(method, &url, is_secure, self.fields);
        if self.is_http10 {
            request.protocol = Protocol::Http10;
        }
        if self.has_body && !Headers::new(&request.fields).has("content-length") {
            request.fields.push(("content-length".to_owned(), b"1".to_vec()));
            request.notes.push("the length of the body is taken to be 1".to_owned());
        }
        let is_websocket = matches!(url.scheme(), "ws" | "wss");
        match Headers::new(&request.fields).has("upgrade") {
            true => {}
            false if is_websocket => request.complete(),
            false => request.notes.push(
                "the request asks for no upgrade, so it is ordinary HTTP; write wss:// for a WebSocket"
                    .to_owned(),
            ),
        }
        request.fields.retain(|(name, _)| !self.removed.contains(name));
        Ok(request)
    }
}
