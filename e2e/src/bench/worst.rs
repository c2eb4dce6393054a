//! The cost of the worst messages in Envoy's CPU for each of their bytes, beyond that of a binary message of
//! as many.
//!
//! Each is a file that the search for them wrote: the first byte of its frame and then its payload. The name
//! of the file has the policy under which it is sent and, behind the last dot, the number of bytes that it
//! inflates to.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;

use postern_e2e::client::token;
use postern_e2e::{Frame, RawClient, Request, Scene, Signer, Value, json};

use crate::echo::{accepts, head};
use crate::figures::{ascending, at};
use crate::{BenchError, Envoy};

/// The nanoseconds that a byte of a message may cost beyond one of a binary message.
const TARGET: f64 = 40.0;

/// The number of bytes that a measurement sends, and of those that are written at once.
const SENT: usize = 2 << 20;
const WRITTEN: usize = 32 << 10;

/// The number of measurements before they count.
const WARM_UP: usize = 3;

/// The byte of binary messages that come back; nothing else does.
pub(crate) const MARK: u8 = 0x2a;

/// A message to send.
struct Message {
    name: String,
    first: u8,
    payload: Vec<u8>,
    inflated: usize,
}

/// Sends each message in turns with a binary one of the same bytes, and prints its cost.
pub(crate) async fn run(folder: &Path, rounds: usize) -> Result<(), BenchError> {
    let mut messages = std::fs::read_dir(folder)?
        .map(|entry| Message::read(&entry?.path()))
        .collect::<Result<Vec<_>, BenchError>>()?;
    messages.sort_by(|a, b| a.name.cmp(&b.name));
    let scene = Scene::new().service(service()?).plaintext().document(document());
    let envoy = Envoy::start(scene).await?;
    println!(
        "nanoseconds of Envoy's CPU for each byte beyond that of a binary message; medians of {rounds} rounds; the \
         bytes are those on the wire or those that it inflates to, whichever are more"
    );
    println!("{:<24}{:>7}{:>9}{:>9}{:>9}  quartiles", "message", "wire", "inflated", "binary", "excess");
    let mut worst = 0.0_f64;
    for message in &messages {
        let excess = measure(&envoy, message, rounds).await?;
        worst = worst.max(excess);
    }
    envoy.assert_nothing_refused().await?;
    println!("the worst: {worst:.1}, target {TARGET}: {}", if worst <= TARGET { "met" } else { "MISSED" });
    Ok(())
}

impl Message {
    fn read(path: &Path) -> Result<Self, BenchError> {
        let no_message = || BenchError::NoMessage(path.to_owned());
        let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(no_message)?;
        let inflated = name.rsplit('.').next().and_then(|bytes| bytes.parse().ok()).ok_or_else(no_message)?;
        let bytes = std::fs::read(path)?;
        let (first, payload) = bytes.split_first().ok_or_else(no_message)?;
        Ok(Self { name: name.to_owned(), first: *first, payload: payload.to_vec(), inflated })
    }

    fn kind(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }
}

/// Prints a line about a message, and returns the cost of a byte of it.
async fn measure(envoy: &Envoy, message: &Message, rounds: usize) -> Result<f64, BenchError> {
    let bearer = format!("Bearer {}", Signer::edge().mint(&token::edge_claims("alice")));
    let path = format!("/ws/{}", message.kind());
    let request = Request::upgrade(&path)
        .header("Authorization", &bearer)
        .header("Sec-WebSocket-Extensions", "permessage-deflate");
    let mut client = envoy.scene.open_with(&request).await;
    let masked = |first: u8| {
        let mut frame = Frame::binary(message.payload.clone()).masked().bytes();
        if let Some(byte) = frame.first_mut() {
            *byte = first;
        }
        frame
    };
    let (frame, binary) = (masked(message.first), masked(0x82));
    let (mut excesses, mut plain) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + rounds {
        let without = cost(envoy, &mut client, &binary).await?;
        let with = cost(envoy, &mut client, &frame).await?;
        if round >= WARM_UP {
            let bytes = message.inflated.max(frame.len()) as f64;
            excesses.push((with - without) / bytes);
            plain.push(without / bytes);
        }
    }
    let (excesses, plain) = (ascending(excesses), ascending(plain));
    let excess = at(&excesses, 0.5);
    println!(
        "{:<24}{:>7}{:>9}{:>9.2}{excess:>9.2}  {:.2}-{:.2}",
        message.name,
        frame.len(),
        message.inflated,
        at(&plain, 0.5),
        at(&excesses, 0.25),
        at(&excesses, 0.75),
    );
    Ok(excess)
}

/// Measures the nanoseconds for a frame, of which many are sent.
async fn cost(envoy: &Envoy, client: &mut RawClient, frame: &[u8]) -> Result<f64, BenchError> {
    let in_a_write = (WRITTEN / frame.len()).max(1);
    let writes = (SENT / frame.len() / in_a_write).max(1);
    let write = frame.repeat(in_a_write);
    let before = envoy.cpu.settled().await?;
    for _ in 0..writes {
        client.send(&write).await;
    }
    client.send(Frame::binary(vec![MARK]).masked().bytes()).await;
    let back = client.bytes(3).await;
    assert!(back.is_ok(), "the connection ended: {back:?}");
    let after = envoy.cpu.settled().await?;
    Ok(after.saturating_sub(before).as_secs_f64() * 1e9 / (writes * in_a_write) as f64)
}

/// Returns a document of policies by kind: with and without history, and with texts in which Postern looks
/// for tokens.
fn document() -> Value {
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}], "refresh": "/auth/token", "expiry": "ignore",
    });
    let policy = |auth: Value| {
        json!({
            "tls": "optional", "origins": {"allow": ["*"], "missing": "allow"}, "auth": auth, "rates": [],
            "compression": "inspect",
        })
    };
    let edge = json!({
        "issuer": "edge", "audiences": ["chat"], "algorithms": ["HS256"],
        "secret": {"env": "POSTERN_EDGE_SECRET"},
    });
    json!({
        "providers": {"edge": edge},
        "policies": {"plain": policy(json!("none")), "refresh": policy(auth)},
        "routes": [{"match": {"path_prefix": "/ws/json"}, "policy": "refresh"},
                   {"match": {"path_prefix": "/ws/json-deflate"}, "policy": "refresh"}],
        "default_policy": "plain",
    })
}

/// Starts a service that reads what it is sent, and sends the mark back.
pub(crate) fn service() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = head(&mut stream)?;
    let alone = if head.contains("-alone ") { "; client_no_context_takeover" } else { "" };
    let agreed = format!("Sec-WebSocket-Extensions: permessage-deflate{alone}\r\n");
    let agreement = accepts(&head, if head.contains("permessage-deflate") { &agreed } else { "" });
    stream.write_all(agreement.as_bytes())?;
    let mut chunk = vec![0; 256 * 1024];
    let mut unread: Vec<u8> = Vec::new();
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        unread.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let mut used = 0;
        while let Some((length, is_mark)) = unread.get(used..).and_then(frame) {
            used += length;
            if is_mark {
                stream.write_all(&[0x82, 1, MARK])?;
            }
        }
        unread.drain(..used);
    }
}

/// Returns the length of the first frame of `bytes`, once it is complete, and true if it is the mark.
fn frame(bytes: &[u8]) -> Option<(usize, bool)> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)? & 0x7f);
    let (length, at) = match second {
        126 => (usize::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let end = at + 4 + length;
    let last = *bytes.get(..end)?.last()?;
    Some((end, first == 0x82 && length == 1 && last ^ *bytes.get(at)? == MARK))
}
