//! A server of JSON documents, in this process. Envoy fetches from it as from key servers and revocation
//! lists, sound and broken ones.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::deadline::{PATIENCE, eventually};
use crate::environment;
use crate::http::RequestHead;
use crate::wire::Wire;

/// An answer on a path.
#[derive(Clone, Debug)]
pub enum Served {
    /// 200 with this document.
    Document(Value),
    /// A status and a body.
    Answer(u16, Vec<u8>),
    /// Half of this document, and then the end of the connection.
    Half(Value),
    /// The end of the connection without an answer.
    HangUp,
    /// No answer, ever.
    Silence,
}

/// A hold on an answer, which ends when it is released or dropped.
#[derive(Debug)]
#[must_use = "dropped, it holds nothing back"]
pub struct Held(watch::Sender<bool>);

impl Held {
    /// Has this answer, and every later one on its path, sent at once.
    pub fn release(self) {
        self.0.send_replace(true);
    }
}

/// A running server; it ends when it is dropped.
#[derive(Debug)]
pub struct Documents {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct State {
    script: Mutex<HashMap<String, (Served, watch::Receiver<bool>)>>,
    requests: Mutex<Vec<RequestHead>>,
}

impl Documents {
    /// Starts a server on a free port. A path without anything served is answered with 404.
    pub async fn start() -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&shared).serve(stream));
            }
        });
        Self { address, state, accepting }
    }

    /// Returns the address at which the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers `path` with this from now on.
    pub fn serve(&self, path: &str, served: Served) {
        self.serve_held(path, served).release();
    }

    /// Answers `path` with this from now on, but to nobody before it is released.
    pub fn serve_held(&self, path: &str, served: Served) -> Held {
        let (held, released) = watch::channel(false);
        self.state.script.lock().expect("a sound lock").insert(path.to_owned(), (served, released));
        Held(held)
    }

    /// Returns every request for `path` so far.
    pub fn requests(&self, path: &str) -> Vec<RequestHead> {
        let requests = self.state.requests.lock().expect("a sound lock");
        requests.iter().filter(|request| request.target == path).cloned().collect()
    }

    /// Returns the number of requests for `path` so far.
    pub fn hits(&self, path: &str) -> usize {
        self.requests(path).len()
    }

    /// Waits until `path` was asked for at least `hits` times.
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

impl State {
    async fn serve(self: Arc<Self>, stream: TcpStream) {
        let mut wire = Wire::new(stream);
        while let Ok(request) = RequestHead::read(&mut wire).await {
            let path = request.target.clone();
            self.requests.lock().expect("a sound lock").push(request);
            let scripted = self.script.lock().expect("a sound lock").get(&path).cloned();
            let served = match scripted {
                None => Served::Answer(404, Vec::new()),
                Some((served, mut released)) => {
                    // An error means that the hold was dropped, which is a release too.
                    let _ = released.wait_for(|released| *released).await;
                    served
                }
            };
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
