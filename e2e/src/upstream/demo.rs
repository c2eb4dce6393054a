//! The service behind Envoy in the demo: a page, a token to try it with, and WebSockets that echo. It is an ordinary
//! service: it knows nothing of Postern and checks no token.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::client::token::{Signer, edge_claims};
use crate::http::RequestHead;
use crate::upstream::accept_of;
use crate::wire::{End, Wire};

const PAGE: &str = include_str!("page.html");

/// A function that takes a line for the log on the life of a WebSocket.
pub type Log = fn(std::fmt::Arguments<'_>);

/// Serves until the task is dropped. Tokens at `/token` are signed with `secret`; handing tokens to everybody is what
/// makes this a demo.
pub async fn serve(listener: TcpListener, secret: &str, log: Log) -> std::io::Result<()> {
    let signer = Arc::new(Signer::hs256(secret));
    loop {
        let (stream, _) = listener.accept().await?;
        let signer = Arc::clone(&signer);
        tokio::spawn(async move {
            // A connection that ends in disorder is its client's affair.
            let _ = converse(stream, &signer, log).await;
        });
    }
}

async fn converse(stream: TcpStream, signer: &Signer, log: Log) -> Result<(), End> {
    let mut wire = Wire::new(stream);
    loop {
        let head = RequestHead::read(&mut wire).await?;
        if head.is_upgrade() {
            return upgrade(wire, &head, log).await;
        }
        let (status, kind, body) = match head.path() {
            "/" => ("200 OK", "text/html; charset=utf-8", PAGE.to_owned()),
            "/token" => ("200 OK", "text/plain", signer.mint(&edge_claims("alice"))),
            _ => ("404 Not Found", "text/plain", "There is nothing here.\n".to_owned()),
        };
        let length = body.len();
        let response = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {kind}\r\ncontent-length: {length}\r\ncache-control: no-store\r\n\r\n{body}"
        );
        write(&mut wire, &response).await?;
    }
}

async fn upgrade(mut wire: Wire, head: &RequestHead, log: Log) -> Result<(), End> {
    let accept = accept_of(&head.headers.get("sec-websocket-key").unwrap_or_default());
    let offered = head.headers.get("sec-websocket-protocol").unwrap_or_default();
    let chosen = match offered.split(',').next().map(str::trim) {
        Some(first) if !first.is_empty() => format!("sec-websocket-protocol: {first}\r\n"),
        _ => String::new(),
    };
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-accept: {accept}\r\n{chosen}\r\n"
    );
    write(&mut wire, &response).await?;
    let (stream, early) = wire.into_parts();
    let socket = WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
    log(format_args!("{} is open", head.target));
    // The end of the echo is the client's and Envoy's affair.
    match echo(socket, head).await {
        Ok(()) => log(format_args!("{} has ended", head.target)),
        Err(error) => log(format_args!("{} has ended: {error}", head.target)),
    }
    Ok(())
}

async fn echo<S>(mut socket: WebSocketStream<S>, head: &RequestHead) -> Result<(), Error>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let user = head.headers.get("x-user-id").unwrap_or_else(|| "nobody in particular".to_owned());
    // The greeting shows the headers that reach the service, and that no token is among them.
    let greeting = format!("The service sees {user}, who asked for {}", head.target);
    socket.send(Message::text(greeting)).await?;
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn write(wire: &mut Wire, text: &str) -> Result<(), End> {
    wire.write(text.as_bytes()).await.map_err(|_| End::Cut)
}
