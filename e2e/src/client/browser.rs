//! A real browser: headless Chromium, which opens a page of a chosen origin, or one in a file, and reports what its
//! WebSockets saw.

use std::convert::Infallible;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpListener;
use tokio::process::Command;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;

use crate::deadline::within;
use crate::http::{RequestHead, read_body};
use crate::not_run::not_run;
use crate::tls::Certificate;
use crate::wire::Wire;

/// The time limit of a visit; to start a browser on a busy machine takes its time.
const LIMIT: Duration = Duration::from_secs(60);

const NAMES: [&str; 4] = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];

/// The page before the test's script: `report(value)` ends the test, and so does an error. `{home}` stands
/// for the address that reports go to.
const PAGE_START: &str = "<!doctype html><meta charset=utf-8><title>Postern</title><script type=module>
const report = (value) => fetch('{home}/report', {method: 'POST', mode: 'no-cors', body: JSON.stringify(value)});
// Opens a socket, sends each message once it is open, and resolves with all that was seen when it has closed.
const visit = (url, {protocols = [], messages = [], closeAfter = Infinity} = {}) => new Promise((resolve) => {
  const seen = {opened: false, protocol: '', messages: [], code: null, reason: null, clean: null};
  const socket = new WebSocket(url, protocols);
  socket.onopen = () => { seen.opened = true; seen.protocol = socket.protocol; messages.forEach((m) => socket.send(m)); };
  socket.onmessage = (event) => { if (seen.messages.push(event.data) >= closeAfter) socket.close(1000); };
  socket.onclose = ({code, reason, wasClean}) => resolve({...seen, code, reason, clean: wasClean});
});
try {
";
const PAGE_END: &str = "
} catch (error) { await report({error: String(error)}); }
</script>";

/// A page that waits to be visited.
#[derive(Debug)]
pub struct Page {
    chromium: PathBuf,
    listener: TcpListener,
    host: String,
    certificate: Certificate,
    source: PageSource,
}

/// The source from which the browser has the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum PageSource {
    Server,
    File,
    /// A file, in a browser that lets files read files, as that of an app does.
    FileOfApp,
}

impl Page {
    /// Makes a page at `https://<host>:<free port>`, whatever name `host` is. Returns `None`, after saying so
    /// loudly, when there is no Chromium (`$CHROMIUM`, or a usual name on the path); with `CI=true` that is a
    /// failure.
    pub async fn at(host: &str) -> Option<Self> {
        Self::new(host, PageSource::Server).await
    }

    /// Makes a page in a file of this machine; returns `None` as [`Page::at`] does.
    pub async fn in_file() -> Option<Self> {
        Self::new("localhost", PageSource::File).await
    }

    /// Makes a page in a file for a browser that lets files read files, as that of an app does.
    pub async fn in_file_of_app() -> Option<Self> {
        Self::new("localhost", PageSource::FileOfApp).await
    }

    async fn new(host: &str, source: PageSource) -> Option<Self> {
        let Some(chromium) = find() else {
            not_run("there is no Chromium to test with; install one, or name it in CHROMIUM");
            return None;
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let certificate = Certificate::self_signed(&[host]);
        Some(Self { chromium, listener, host: host.to_owned(), certificate, source })
    }

    /// Returns the page's origin, as the browser writes it, unless it is in a file.
    pub fn origin(&self) -> String {
        let port = self.listener.local_addr().expect("the port just bound").port();
        format!("https://{}:{port}", self.host)
    }

    /// Visits the page with `script` in it, and returns what the script gave to `report(value)`. The script
    /// also has `await visit(url, {protocols, messages, closeAfter})`, which opens a WebSocket, sends, and
    /// resolves when it has closed with `{opened, protocol, messages, code, reason, clean}`.
    pub async fn run(self, script: &str) -> Value {
        let profile = tempfile::tempdir().expect("a temporary folder");
        let page = format!("{PAGE_START}{script}{PAGE_END}").replace("{home}", &self.origin());
        let file = profile.path().join("page.html");
        std::fs::write(&file, &page).expect("a writable folder");
        let url = match self.source {
            PageSource::Server => format!("{}/", self.origin()),
            PageSource::File | PageSource::FileOfApp => format!("file://{}", file.display()),
        };
        let leave: &[&str] =
            if self.source == PageSource::FileOfApp { &["--allow-file-access-from-files"] } else { &[] };
        let mut browser = Command::new(&self.chromium)
            .args([
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--no-first-run",
                "--ignore-certificate-errors",
            ])
            .args(["--disable-dev-shm-usage", "--host-resolver-rules=MAP * 127.0.0.1"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .args(leave)
            .arg(url)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("Chromium to start");
        let report = within(LIMIT, "the report of a page", self.serve(page)).await;
        browser.kill().await.expect("Chromium to end");
        report
    }

    /// Serves the page until a report comes.
    async fn serve(self, page: String) -> Value {
        let acceptor = TlsAcceptor::from(self.certificate.server());
        let (reports, mut inbox) = mpsc::unbounded_channel();
        tokio::select! {
            report = inbox.recv() => report.expect("a sender that lives as long"),
            never = self.welcome(acceptor, page, reports) => match never {},
        }
    }

    /// Answers every visit.
    async fn welcome(
        &self,
        acceptor: TlsAcceptor,
        page: String,
        reports: mpsc::UnboundedSender<Value>,
    ) -> Infallible {
        loop {
            let (tcp, _) = self.listener.accept().await.expect("a visit");
            let (acceptor, reports, page) = (acceptor.clone(), reports.clone(), page.clone());
            tokio::spawn(async move {
                // Browsers open connections on suspicion and drop them again.
                if let Ok(tls) = acceptor.accept(tcp).await {
                    answer(Wire::new(tls), &page, &reports).await;
                }
            });
        }
    }
}

async fn answer(mut wire: Wire, page: &str, reports: &mpsc::UnboundedSender<Value>) {
    while let Ok(head) = RequestHead::read(&mut wire).await {
        let Ok(body) = read_body(&mut wire, &head.headers, false).await else { return };
        let (status, text) = match head.path() {
            "/" => ("200 OK", page),
            "/report" => ("204 No Content", ""),
            _ => ("404 Not Found", ""),
        };
        let length = text.len();
        let response =
            format!("HTTP/1.1 {status}\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{text}");
        if wire.write(response.as_bytes()).await.is_err() {
            return;
        }
        if head.path() == "/report" {
            let report = serde_json::from_slice(&body).expect("a report in JSON");
            // Nobody listens any more if the first report has been enough.
            let _ = reports.send(report);
        }
    }
}

fn find() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os("CHROMIUM").filter(|name| !name.is_empty()) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| NAMES.map(|name| folder.join(name)))
        .find(|file| file.is_file())
}
