//! A crowd of clients that chat, each with an account of what it has seen.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use postern_e2e::deadline::{PATIENCE, eventually};
use postern_e2e::upstream::numbered;
use postern_e2e::wire::End;
use postern_e2e::{Frame, RawClient, Request};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// The time after which a client that was refused tries again.
pub(crate) const RETRY: Duration = Duration::from_millis(200);

/// The time between two messages of a client, for each client that there is: a thousand messages a second together.
const PACE: Duration = Duration::from_millis(1);

/// Returns the time between two messages of one of so many clients.
pub(crate) fn pace(clients: usize) -> Duration {
    PACE * u32::try_from(clients).expect("a number of clients")
}

/// A client's own account.
#[derive(Debug, Default)]
pub(crate) struct Account {
    pub(crate) name: usize,
    /// The messages that came back.
    pub(crate) answered: Vec<String>,
    /// The number of messages that the service has sent by itself, each with the next number of its connection.
    pub(crate) numbers: u64,
    /// The codes of the Closes that it got, and when.
    pub(crate) closes: Vec<(Option<u16>, Instant)>,
    /// The ends that came without a Close.
    pub(crate) cuts: Vec<End>,
    /// The number of handshakes that were refused.
    pub(crate) refused: usize,
    /// The number of connections that nobody accepted.
    pub(crate) unaccepted: usize,
    /// The ends of handshakes that got no answer.
    pub(crate) unanswered: Vec<String>,
}

/// The progress of all clients.
#[derive(Debug, Default)]
struct Progress {
    answered: AtomicUsize,
    closes: AtomicUsize,
}

/// A crowd of clients that chat until they are told to stop.
pub(crate) struct Crowd {
    clients: JoinSet<Account>,
    size: usize,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
}

impl Crowd {
    pub(crate) fn start(size: usize, at: SocketAddr) -> Self {
        let (stop, stopped) = watch::channel(false);
        let progress = Arc::new(Progress::default());
        let mut clients = JoinSet::new();
        for name in 0..size {
            let (stopped, progress) = (stopped.clone(), Arc::clone(&progress));
            clients.spawn(async move {
                let mut account = Account { name, ..Account::default() };
                while !*stopped.borrow() {
                    account.visit(at, pace(size), &stopped, &progress).await;
                }
                account
            });
        }
        Self { clients, size, progress, stop }
    }

    /// Waits until each client has had `messages` answered more, on the average.
    pub(crate) async fn chats(&self, messages: usize) {
        let enough = self.progress.answered.load(Ordering::Relaxed) + messages * self.size;
        let look = || (self.progress.answered.load(Ordering::Relaxed) >= enough).then_some(());
        eventually(2 * PATIENCE, "answers", look).await;
    }

    /// Waits until there were `rounds` Closes for each client.
    pub(crate) async fn closed(&self, rounds: usize) {
        let look = || (self.progress.closes.load(Ordering::Relaxed) >= rounds * self.size).then_some(());
        eventually(2 * PATIENCE, "Closes", look).await;
    }

    pub(crate) async fn stop(self) -> Vec<Account> {
        self.stop.send_replace(true);
        self.clients.join_all().await
    }
}

impl Account {
    /// Opens a connection, and chats on it until it ends.
    async fn visit(
        &mut self,
        at: SocketAddr,
        pace: Duration,
        stopped: &watch::Receiver<bool>,
        all: &Progress,
    ) {
        let Some(mut client) = self.enter(at).await else {
            tokio::time::sleep(RETRY).await;
            return;
        };
        let (mut said, mut heard) = (0, 0);
        while !*stopped.borrow() {
            // No message is ever said twice: one that was not answered may have arrived.
            let visit = self.closes.len() + self.cuts.len();
            let message = format!("{}.{visit}.{said}", self.name);
            said += 1;
            // The end of a connection is told by what comes, or comes no more.
            let _ = client.try_send(Frame::text(&message).masked().bytes()).await;
            match self.answer(&mut client, &mut heard).await {
                Ok(frame) if frame.is_close() => {
                    self.closes.push((frame.code(), Instant::now()));
                    all.closes.fetch_add(1, Ordering::Relaxed);
                    // The Envoy may be gone by now.
                    let _ = client.try_send(Frame::closing(1001, "").masked().bytes()).await;
                    return;
                }
                Ok(frame) => {
                    assert_eq!(frame, Frame::text(&message));
                    self.answered.push(message);
                    all.answered.fetch_add(1, Ordering::Relaxed);
                }
                Err(end) => {
                    self.cuts.push(end);
                    return;
                }
            }
            tokio::time::sleep(pace).await;
        }
    }

    /// Reads the next frame but for the numbers of the service, of which each has to be one more than the last: `heard` have
    /// come on this connection.
    async fn answer(&mut self, client: &mut RawClient, heard: &mut u64) -> Result<Frame, End> {
        loop {
            let frame = client.frame_within(PATIENCE).await?;
            if !frame.payload.starts_with(b"number ") {
                return Ok(frame);
            }
            assert_eq!(frame, numbered(*heard), "client {}", self.name);
            *heard += 1;
            self.numbers += 1;
        }
    }

    /// Opens a WebSocket, unless there is nobody or the client is told to come later.
    async fn enter(&mut self, at: SocketAddr) -> Option<RawClient> {
        let Ok(mut client) = RawClient::connect(at, None, None).await else {
            self.unaccepted += 1;
            return None;
        };
        let sent = client.try_send(Request::upgrade("/ws/chat").bytes()).await;
        match client.try_response().await {
            Ok(response) if response.status == 101 => return Some(client),
            Ok(response) => {
                assert_eq!(response.status, 503, "{}", response.text());
                self.refused += 1;
            }
            Err(end) => self.unanswered.push(format!("{end:?}, {sent:?}")),
        }
        None
    }
}
