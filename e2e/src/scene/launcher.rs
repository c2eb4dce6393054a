//! The launcher of Envoys for tests that run elsewhere. A connection to the launcher is an Envoy: its first
//! line orders what is started, questions are answered while it runs, and the end of the connection is the
//! end of the Envoy.
//!
//! Every line is JSON. Order and answer: [`Order`], `Started`. Question and answer: `Question`, `Answer`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::scene::order::{Order, Usage, spawn};

/// The time within which a launcher or client that is there answers.
const LIMIT: Duration = Duration::from_secs(30);

/// The answer to an order.
#[derive(Debug, Serialize, Deserialize)]
enum Started {
    Process(u32),
    Failed(String),
}

#[derive(Debug, Serialize, Deserialize)]
enum Question {
    Ended,
    Usage,
}

#[derive(Debug, Serialize, Deserialize)]
enum Answer {
    Ended(Option<String>),
    Usage(Usage),
    Failed(String),
}

/// Serves orders for `binary` for ever.
pub fn serve(listener: &TcpListener, binary: &Path) -> io::Result<()> {
    loop {
        let (stream, _) = listener.accept()?;
        let binary = binary.to_owned();
        std::thread::spawn(move || {
            // A client that is not there any more needs no answer.
            let _ = carry_out(stream, &binary);
        });
    }
}

/// An Envoy that is killed however the conversation ends.
struct Envoy(Child);

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn carry_out(stream: TcpStream, binary: &Path) -> io::Result<()> {
    let mut wire = Lines::new(stream)?;
    let order: Order = wire.read()?;
    let mut envoy = match spawn(binary, &order) {
        Ok(child) => Envoy(child),
        Err(error) => return wire.write(&Started::Failed(format!("{}: {error}", binary.display()))),
    };
    wire.write(&Started::Process(envoy.0.id()))?;
    loop {
        let answer = match wire.read()? {
            Question::Ended => match envoy.0.try_wait() {
                Ok(status) => Answer::Ended(status.map(|status| status.to_string())),
                Err(error) => Answer::Failed(error.to_string()),
            },
            Question::Usage => match Usage::of(envoy.0.id()) {
                Ok(usage) => Answer::Usage(usage),
                Err(error) => Answer::Failed(error.to_string()),
            },
        };
        wire.write(&answer)?;
    }
}

/// An Envoy behind a launcher.
#[derive(Debug)]
pub(crate) struct Launched {
    process: u32,
    // The wire is asked through a shared reference.
    wire: Mutex<Lines>,
}

impl Launched {
    pub(crate) fn start(launcher: SocketAddr, order: &Order) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&launcher, LIMIT)?;
        stream.set_read_timeout(Some(LIMIT))?;
        let mut wire = Lines::new(stream)?;
        wire.write(order)?;
        match wire.read()? {
            Started::Process(process) => Ok(Self { process, wire: Mutex::new(wire) }),
            Started::Failed(why) => Err(io::Error::other(why)),
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process
    }

    pub(crate) fn ended(&self) -> Option<String> {
        match self.ask(&Question::Ended) {
            Ok(Answer::Ended(status)) => status,
            Ok(other) => Some(format!("{other:?}")),
            Err(error) => Some(error.to_string()),
        }
    }

    pub(crate) fn usage(&self) -> io::Result<Usage> {
        match self.ask(&Question::Usage)? {
            Answer::Usage(usage) => Ok(usage),
            other => Err(io::Error::other(format!("{other:?}"))),
        }
    }

    fn ask(&self, question: &Question) -> io::Result<Answer> {
        let mut wire = self.wire.lock().unwrap_or_else(PoisonError::into_inner);
        wire.write(question)?;
        wire.read()
    }
}

impl Drop for Launched {
    fn drop(&mut self) {
        let wire = self.wire.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The launcher closes once Envoy has ended, so that it writes into no folder that is being removed.
        let _ = wire.0.get_ref().shutdown(Shutdown::Write);
        let _ = wire.0.read_to_end(&mut Vec::new());
    }
}

/// Lines of JSON.
#[derive(Debug)]
struct Lines(BufReader<TcpStream>);

impl Lines {
    fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Self(BufReader::new(stream)))
    }

    fn write(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(value)?;
        line.push(b'\n');
        self.0.get_mut().write_all(&line)
    }

    fn read<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = Vec::new();
        match self.0.read_until(b'\n', &mut line)? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(serde_json::from_slice(&line)?),
        }
    }
}
