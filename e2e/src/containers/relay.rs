//! The relay that lets others speak from the address of this container: a connection begins with a line that
//! names its destination, and all behind that is passed on both ways.

use std::io;
use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// The most bytes of the line: an IPv6 address in brackets and a port.
const LONGEST: usize = 64;

/// Serves until the task is dropped.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(async move {
            // The end of a connection is passed on as far as it can be.
            let _ = pass_on(stream).await;
        });
    }
}

async fn pass_on(mut near: TcpStream) -> io::Result<()> {
    near.set_nodelay(true)?;
    let far = TcpStream::connect(destination(&mut near).await?).await?;
    join(near, far).await
}

/// Passes on all that comes on either of two connections, and the end of each direction.
pub(crate) async fn join(mut near: TcpStream, mut far: TcpStream) -> io::Result<()> {
    far.set_nodelay(true)?;
    let (mut near_in, mut near_out) = near.split();
    let (mut far_in, mut far_out) = far.split();
    tokio::try_join!(
        async {
            copy(&mut near_in, &mut far_out).await?;
            tokio::io::AsyncWriteExt::shutdown(&mut far_out).await
        },
        async {
            copy(&mut far_in, &mut near_out).await?;
            tokio::io::AsyncWriteExt::shutdown(&mut near_out).await
        }
    )?;
    Ok(())
}

/// Reads the line with the destination, and no byte behind it.
async fn destination(near: &mut TcpStream) -> io::Result<SocketAddr> {
    let mut line = Vec::new();
    while line.len() < LONGEST {
        match near.read_u8().await? {
            b'\n' => {
                let text = String::from_utf8_lossy(&line);
                return text.parse().map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
            }
            byte => line.push(byte),
        }
    }
    Err(io::ErrorKind::InvalidInput.into())
}
