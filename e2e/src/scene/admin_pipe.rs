//! An admin interface that listens at a path (a Unix domain socket), for those who ask at an address of TCP.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use crate::environment;

/// An address that leads to the socket at a path until it is dropped.
#[derive(Debug)]
pub(super) struct AdminPipe {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl AdminPipe {
    /// Opens an address that leads to the socket at `path`.
    pub(super) async fn open(path: &Path) -> Self {
        let listener = environment::listener().await;
        let address = listener.local_addr().expect("the port just bound");
        let path = path.to_owned();
        let accepting = tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                tokio::spawn(lead(near, path.clone()));
            }
        });
        Self { address, accepting }
    }

    /// Returns the address.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminPipe {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn lead(mut near: TcpStream, path: PathBuf) {
    // Who gets no answer sees the end of the connection.
    if let Ok(mut far) = UnixStream::connect(path).await {
        let _ = copy_bidirectional(&mut near, &mut far).await;
    }
}
