//! A port that leads where a test says, as a balancer leads to the Envoys that are ready, and an address to the process that
//! has it.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::containers::relay::join;
use crate::environment;

/// The end of a way.
#[derive(Clone, Debug)]
pub enum Destination {
    /// Nowhere: connections end at once.
    Nowhere,
    /// This answer to whatever is asked, and the end.
    Answer(String),
    /// The process at this address.
    To(SocketAddr),
}

/// A port that leads elsewhere until it is dropped.
#[derive(Debug)]
pub struct Forwarder {
    address: SocketAddr,
    destination: Arc<Mutex<Destination>>,
    cut: watch::Sender<()>,
    accepting: JoinHandle<()>,
}

impl Forwarder {
    /// Opens a port that leads nowhere yet.
    pub async fn start() -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let destination = Arc::new(Mutex::new(Destination::Nowhere));
        let shared = Arc::clone(&destination);
        let (cut, is_cut) = watch::channel(());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let destination = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                let mut is_cut = is_cut.clone();
                is_cut.mark_unchanged();
                tokio::spawn(async move {
                    tokio::select! {
                        () = lead(stream, destination) => {}
                        _ = is_cut.changed() => {}
                    }
                });
            }
        });
        Self { address, destination, cut, accepting }
    }

    /// Returns the address of the port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Has all connections go there: those that are open are cut.
    pub fn move_all(&self, to: Destination) {
        self.lead(to);
        self.cut.send_replace(());
    }

    /// Has new connections go there; those that are open stay where they are.
    pub fn lead(&self, to: Destination) {
        *self.destination.lock().unwrap_or_else(PoisonError::into_inner) = to;
    }
}

impl Drop for Forwarder {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn lead(mut near: TcpStream, destination: Destination) {
    // What ends is told by the ends of the connections.
    let _ = match destination {
        Destination::Nowhere => Ok(()),
        Destination::Answer(answer) => near.write_all(answer.as_bytes()).await,
        Destination::To(address) => match environment::current().connect(address, None).await {
            Ok(far) => join(near, far).await,
            Err(error) => Err(error),
        },
    };
}
