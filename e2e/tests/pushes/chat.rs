//! Sockets on which something is said all the time, and must come back as it was said.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use postern_e2e::{Frame, RawClient};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// One socket, whose service echoes.
#[derive(Debug)]
pub(crate) struct Chatter {
    pub(crate) client: RawClient,
    /// The number of messages that have come back.
    pub(crate) said: u64,
}

impl Chatter {
    pub(crate) fn new(client: RawClient) -> Self {
        Self { client, said: 0 }
    }

    /// Says a message of its own in two pieces, `pause` apart, so that it may be half there when something is pushed.
    /// The next frame must be its echo.
    async fn say(&mut self, pause: Duration) {
        let length = usize::try_from(self.said * 37 % 700).expect("a length");
        let text = format!("message {} of {} {}", self.said, self.client.case(), "x".repeat(length));
        let frame = Frame::text(&text);
        let bytes = frame.clone().masked().bytes();
        let (first, second) = bytes.split_at(length % bytes.len());
        self.client.send(first).await;
        sleep(pause).await;
        self.client.send(second).await;
        assert_eq!(self.client.frame().await, Ok(frame), "message {} of {}", self.said, self.client.case());
        self.said += 1;
    }

    /// Says a message, which must come back.
    pub(crate) async fn say_at_once(&mut self) {
        self.say(Duration::ZERO).await;
    }
}

/// All that chat.
#[derive(Debug)]
pub(crate) struct Conversation {
    pause: Duration,
    over: Arc<AtomicBool>,
    chatters: JoinSet<(usize, Chatter)>,
}

impl Conversation {
    /// Returns a conversation in which each says a message every two `pause`s.
    pub(crate) fn new(pause: Duration) -> Self {
        Self { pause, over: Arc::default(), chatters: JoinSet::new() }
    }

    /// Has these chat from now on.
    pub(crate) fn join(&mut self, chatters: Vec<Chatter>) {
        for mut chatter in chatters {
            let (pause, over, place) = (self.pause, Arc::clone(&self.over), self.chatters.len());
            self.chatters.spawn(async move {
                while !over.load(Ordering::Relaxed) {
                    chatter.say(pause).await;
                    sleep(pause).await;
                }
                (place, chatter)
            });
        }
    }

    /// Has all of them finish, and returns them in the order in which they joined.
    pub(crate) async fn end(self) -> Vec<Chatter> {
        self.over.store(true, Ordering::Relaxed);
        let mut chatters = self.chatters.join_all().await;
        chatters.sort_by_key(|(place, _)| *place);
        chatters.into_iter().map(|(_, chatter)| chatter).collect()
    }
}
