//! A curl command line, as browsers copy it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use postern_engine::Protocol;
use postern_engine::http::headers::{Field, Headers};

use super::words::words;
use super::{NoRequest, Request, field, read_url};

/// The options that take a value and say nothing of the request's head, or nothing that is judged.
const WITH_VALUE: [&str; 34] = [
    "--cacert",
    "--capath",
    "--cert",
    "--ciphers",
    "--connect-timeout",
    "--connect-to",
    "--cookie-jar",
    "--dns-servers",
    "--interface",
    "--keepalive-time",
    "--key",
    "--limit-rate",
    "--max-redirs",
    "--max-time",
    "--output",
    "--pinnedpubkey",
    "--proxy",
    "--proxy-header",
    "--proxy-user",
    "--resolve",
    "--retry",
    "--retry-delay",
    "--stderr",
    "--tls-max",
    "--tlsv1.3-ciphers",
    "--trace",
    "--trace-ascii",
    "--unix-socket",
    "--write-out",
    "--range",
    "--noproxy",
    "--cert-type",
    "--key-type",
    "--curves",
];

/// The letters of options that take a value, each with its long name.
const LETTERS: [(char, &str); 17] = [
    ('A', "--user-agent"),
    ('b', "--cookie"),
    ('c', "--cookie-jar"),
    ('d', "--data"),
    ('e', "--referer"),
    ('E', "--cert"),
    ('F', "--form"),
    ('H', "--header"),
    ('m', "--max-time"),
    ('o', "--output"),
    ('r', "--range"),
    ('T', "--upload-file"),
    ('u', "--user"),
    ('w', "--write-out"),
    ('x', "--proxy"),
    ('X', "--request"),
    ('U', "--proxy-user"),
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
            "--form" | "--upload-file" | "--json" => {
                value()?;
                self.has_body = true;
            }
            data if data == "--data" || data.starts_with("--data-") => {
                value()?;
                self.has_body = true;
            }
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
