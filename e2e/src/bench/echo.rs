//! A service that echoes WebSocket messages and does as little else as possible. Every connection has a
//! thread that blocks, so that Envoy waits for the network and not for a runtime.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;

use postern_e2e::upstream::accept_of;

/// The most bytes of a request head, more than any of this program has.
const HEAD: usize = 16 * 1024;

/// The bytes that are read at once.
const CHUNK: usize = 256 * 1024;

/// Serves until the program ends, and returns the address.
pub(crate) fn start() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // The thread ends with its connection.
            thread::spawn(move || serve(stream));
        }
    });
    Ok(address)
}

/// Serves as a program of its own: prints the port, and ends with the standard input.
pub(crate) fn serve_alone() -> io::Result<()> {
    println!("{}", start()?.port());
    io::copy(&mut io::stdin(), &mut io::sink())?;
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let head = head(&mut stream)?;
    stream.write_all(agreement(&head).as_bytes())?;
    let mut chunk = vec![0; CHUNK];
    let (mut unread, mut echo) = (Vec::new(), Vec::new());
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        unread.extend_from_slice(chunk.get(..read).unwrap_or_default());
        let mut used = 0;
        while let Some(length) = unread.get(used..).and_then(|frame| echo_frame(frame, &mut echo)) {
            used += length;
        }
        unread.drain(..used);
        stream.write_all(&echo)?;
        echo.clear();
    }
}

/// Reads a request head byte by byte, since frames may follow it.
pub(crate) fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == HEAD {
            return Err(io::ErrorKind::InvalidData.into());
        }
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

/// Returns the answer that agrees to the upgrade of this request head.
pub(crate) fn agreement(head: &str) -> String {
    accepts(head, "")
}

/// Returns the answer that agrees to the upgrade, with more lines.
pub(crate) fn accepts(head: &str, more: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(':'));
    let key = lines.find(|(name, _)| name.eq_ignore_ascii_case("sec-websocket-key"));
    let key = key.map(|(_, value)| value.trim()).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {}\r\n{more}\r\n",
        accept_of(key)
    )
}

/// Writes the first frame of `bytes` to `echo` without its mask, and returns its length; `None` when it is
/// not complete.
pub(crate) fn echo_frame(bytes: &[u8], echo: &mut Vec<u8>) -> Option<usize> {
    let (first, second) = (*bytes.first()?, *bytes.get(1)?);
    let (length, at) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?)), 4),
        127 => (u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?), 10),
        short => (u64::from(short), 2),
    };
    let end = at + 4 + usize::try_from(length).ok()?;
    let key: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
    let payload = bytes.get(at + 4..end)?;
    echo.extend([first, second & 0x7f]);
    echo.extend_from_slice(bytes.get(2..at)?);
    let start = echo.len();
    echo.extend_from_slice(payload);
    for word in echo.get_mut(start..)?.chunks_mut(4) {
        for (byte, key) in word.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    Some(end)
}
