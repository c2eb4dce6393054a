//! A key server and revocation list in one: the files of a folder over HTTP. A file can be replaced while it runs.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice
)]

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;
use postern_e2e::http::RequestHead;
use postern_e2e::wire::Wire;
use tokio::net::{TcpListener, TcpStream};

/// The documents of an issuer.
#[derive(Debug, Parser)]
enum Arguments {
    /// Serves every file of the folder under its name, such as /jwks.json and /revoked.json.
    Serve {
        /// The address to listen at.
        #[arg(long, default_value = "0.0.0.0:8090")]
        listen: SocketAddr,
        /// The folder of the documents.
        #[arg(long)]
        documents: PathBuf,
    },
    /// Puts what the standard input has into the folder as `name`.
    Put {
        /// The folder of the documents.
        #[arg(long)]
        documents: PathBuf,
        /// The document's name.
        name: String,
    },
    /// Ends with 0 if the server of this container listens.
    Health,
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse() {
        Arguments::Serve { listen, documents } => serve(listen, documents).await,
        Arguments::Put { documents, name } => put(&documents, &name),
        Arguments::Health => TcpStream::connect(("127.0.0.1", 8090)).await.map(drop),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("auth: {error}");
            ExitCode::FAILURE
        }
    }
}

fn put(documents: &Path, name: &str) -> io::Result<()> {
    std::fs::create_dir_all(documents)?;
    // A reader meanwhile reads a whole document.
    let draft = documents.join(format!(".{name}"));
    std::fs::write(&draft, io::read_to_string(io::stdin())?)?;
    std::fs::rename(draft, documents.join(name))
}

async fn serve(listen: SocketAddr, documents: PathBuf) -> io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    eprintln!("auth: listens at {listen}");
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer(Wire::new(stream), documents.clone()));
    }
}

async fn answer(mut wire: Wire, documents: PathBuf) {
    while let Ok(request) = RequestHead::read(&mut wire).await {
        let name = request.path().trim_start_matches('/').to_owned();
        let sound = !name.starts_with('.') && !name.contains('/');
        let (status, body) = match std::fs::read(documents.join(&name)) {
            Ok(body) if sound => ("200 OK", body),
            _ => ("404 Not Found", Vec::new()),
        };
        eprintln!("auth: {} {status}", request.path());
        let head = format!(
            "HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        if wire.write(&[head.as_bytes(), &body].concat()).await.is_err() {
            return;
        }
    }
}
