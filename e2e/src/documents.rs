//! A server of JSON documents, in this process: what key servers and revocation lists are to Envoy, well or badly.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::deadline::{PATIENCE, eventually};
use crate::http::RequestHead;
use crate::place;
use crate::wire::Wire;

/// What is answered on a path.
#[derive(Clone, Debug)]
pub enum Served {
    /// 200 with this document.
    Document(Value),
    /// This status and body.
    Answer(u16, Vec<u8>),
    /// The connection ends half-way through this document.
    Half(Value),
    /// The connection ends without an answer.
    HangUp,
    /// There is never an answer.
    Silence,
}

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct Documents {
    address: SocketAddr,
    stage: Arc<Stage>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Stage {
    script: Mutex<HashMap<String, (Served, Duration)>>,
    requests: Mutex<Vec<RequestHead>>,
}

impl Documents {
    /// Starts one on a free port. What is not served is answered with 404.
    pub async fn start() -> Self {
        let listener = place::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let stage = Arc::new(Stage::default());
        let shared = Arc::clone(&stage);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, stage, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on this is answered on `path`.
    pub fn serve(&self, path: &str, served: Served) {
        self.serve_after(path, Duration::ZERO, served);
    }

    /// From now on this is answered on `path`, so long after the request.
    pub fn serve_after(&self, path: &str, delay: Duration, served: Served) {
        self.stage.script.lock().expect("a sound lock").insert(path.to_owned(), (served, delay));
    }

    /// Every request for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<RequestHead> {
        let requests = self.stage.requests.lock().expect("a sound lock");
        requests.iter().filter(|request| request.target == path).cloned().collect()
    }

    /// How often `path` was asked for.
    pub fn hits(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    /// Waits until `path` was asked for so often.
    pub async fn hits_become(&self, path: &str, hits: usize) {
        eventually(PATIENCE, &format!("{hits} requests for {path}"), || {
            (self.hits(path) >= hits).then_some(())
        })
        .await;
    }
}

impl Drop for Documents {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Stage {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut wire = Wire::new(stream);
        while let Ok(request) = RequestHead::read(&mut wire).await {
            let path = request.target.clone();
            self.requests.lock().expect("a sound lock").push(request);
            let scripted = self.script.lock().expect("a sound lock").get(&path).cloned();
            let (served, delay) = scripted.unwrap_or((Served::Answer(404, Vec::new()), Duration::ZERO));
            tokio::time::sleep(delay).await;
            let (status, body, sent) = match served {
                Served::Document(document) => whole(200, document.to_string().into_bytes()),
                Served::Answer(status, body) => whole(status, body),
                Served::Half(document) => {
                    let body = document.to_string().into_bytes();
                    let half = body.len() / 2;
                    (200, body, half)
                }
                Served::HangUp => return,
                Served::Silence => std::future::pending().await,
            };
            let head = format!(
                "HTTP/1.1 {status} Scripted\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            if wire.write(&[head.as_bytes(), &body[..sent]].concat()).await.is_err() || sent < body.len() {
                return;
            }
        }
    }
}

fn whole(status: u16, body: Vec<u8>) -> (u16, Vec<u8>, usize) {
    let len = body.len();
    (status, body, len)
}
