//! A client of WebSockets over HTTP/2 (RFC 8441), by frames of HTTP/2 and not of WebSockets.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use http::{Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use crate::deadline::{PATIENCE, within};

/// Connects to `listener` over TLS by the certificate in this PEM file; Envoy allows extended CONNECT there.
pub async fn connect(listener: SocketAddr, certificate: &Path) -> SendRequest<Bytes> {
    let mut roots = RootCertStore::empty();
    let certificate = CertificateDer::from_pem_file(certificate).expect("Envoy's certificate");
    roots.add(certificate).expect("a sound certificate");
    let mut config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let tcp = TcpStream::connect(listener).await.expect("Envoy's listener");
    let name = ServerName::try_from("localhost").expect("a name");
    let tls = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.expect("TLS");
    begin(tls).await
}

/// Connects to `listener` without TLS; Envoy allows extended CONNECT there.
pub async fn connect_plain(listener: SocketAddr) -> SendRequest<Bytes> {
    begin(TcpStream::connect(listener).await.expect("Envoy's listener")).await
}

async fn begin<S>(stream: S) -> SendRequest<Bytes>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (client, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    tokio::spawn(connection);
    let ready = within(PATIENCE, "an HTTP/2 connection", client.ready()).await.expect("a connection");
    // Envoy's SETTINGS come with its first bytes, yet after the client's own.
    within(PATIENCE, "extended CONNECT to be allowed", async {
        while !ready.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    ready
}

/// Returns a handshake as a browser makes it (RFC 8441 §5).
pub fn handshake(path: &str, case: &str) -> http::request::Builder {
    connect_to(path, case)
        .header("sec-websocket-version", "13")
        .header("sec-websocket-extensions", "permessage-deflate; client_max_window_bits")
}

/// Returns an extended CONNECT for WebSocket without any field of its handshake.
pub fn connect_to(path: &str, case: &str) -> http::request::Builder {
    Request::builder()
        .method(Method::CONNECT)
        .uri(format!("https://localhost{path}"))
        .extension(Protocol::from_static("websocket"))
        .header("x-case", case)
}

/// Sends `request` and waits for its response; the stream stays open for bytes.
pub async fn open(
    client: &mut SendRequest<Bytes>,
    request: http::request::Builder,
) -> (Response<RecvStream>, SendStream<Bytes>) {
    let request = request.body(()).expect("a sound request");
    let (response, stream) = client.send_request(request, false).expect("an open connection");
    (within(PATIENCE, "a response", response).await.expect("a response"), stream)
}

/// Reads `n` bytes.
pub async fn read(body: &mut RecvStream, n: usize) -> BytesMut {
    let mut bytes = BytesMut::new();
    while bytes.len() < n {
        let chunk = within(PATIENCE, "bytes of a WebSocket", body.data()).await.expect("more bytes");
        let chunk = chunk.expect("an open stream");
        body.flow_control().release_capacity(chunk.len()).expect("what has just been read");
        bytes.extend_from_slice(&chunk);
    }
    bytes
}
