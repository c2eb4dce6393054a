//! A connection through a host that pauses streams as Envoy does.

use std::net::IpAddr;
use std::time::Duration;

use postern_engine::{Event, Input, Output, Passage, Peer, Reason, Session};
use serde_json::Value;

use crate::support::{Tables, admitted, agreement, engine};

/// How many bytes a paused stream may come to hold beyond what came; more, and the host cuts it.
const LIMIT: usize = 4096;

/// By how much what came before may make it more: what a stream withholds that is paused.
const WITHHELD: usize = 256;

/// One direction with the host.
#[derive(Debug, Default)]
struct Stream {
    bytes: Vec<u8>,
    /// Whether the last callback paused it.
    paused: bool,
    /// Whether it has not been resumed since.
    stopped: bool,
}

/// What has become of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Open,
    Closed(Reason),
}

/// The engine and its host.
#[derive(Debug)]
pub(crate) struct Line {
    session: Session,
    /// What the client sends, and what the upstream sends.
    streams: [Stream; 2],
    pub(crate) fate: Fate,
    pub(crate) cut: bool,
    /// How many chunks have passed plain.
    pub(crate) plain: u64,
    /// What has gone to the upstream, and to the client, since that was taken.
    gone: [Vec<u8>; 2],
}

fn index(sender: Peer) -> usize {
    match sender {
        Peer::Client => 0,
        Peer::Upstream => 1,
    }
}

impl Line {
    pub(crate) fn open(policy: &Value, now: Duration) -> Self {
        let session = admitted(&engine(policy), IpAddr::from([198, 51, 100, 7]), &[]);
        let mut line = Self {
            session,
            streams: Default::default(),
            fate: Fate::Open,
            cut: false,
            plain: 0,
            gone: Default::default(),
        };
        line.send(Peer::Client, b"", now);
        line.session.handle(Input::Response(agreement(&[])), &mut Tables, now);
        line.perform(now);
        line.send(Peer::Upstream, b"", now);
        line
    }

    /// A chunk comes from `sender`.
    pub(crate) fn send(&mut self, sender: Peer, chunk: &[u8], now: Duration) {
        if self.cut {
            return;
        }
        let stream = &mut self.streams[index(sender)];
        stream.bytes.extend_from_slice(chunk);
        let paused = stream.paused;
        let len = stream.bytes.len();
        let mut pauses = false;
        if self.session.pass_unread(sender, len) {
            assert!(!paused, "a paused stream has to be resumed");
            self.session.note_time(now);
        } else {
            let bytes = std::mem::take(&mut self.streams[index(sender)].bytes);
            let passage = self.passage(sender, &bytes, now);
            let left = passage.bytes(&bytes);
            assert_eq!(left.len(), passage.len());
            assert!(!paused || left.len() <= bytes.len().max(LIMIT) + WITHHELD, "the host cuts the stream");
            self.streams[index(sender)].bytes = left;
            if passage.resume {
                self.resume(sender);
            }
            pauses = passage.park;
            self.perform(now);
        }
        let stream = &mut self.streams[index(sender)];
        let stays = pauses || (stream.paused && !stream.stopped);
        (stream.paused, stream.stopped) = (pauses, pauses);
        if !stays {
            let bytes = std::mem::take(&mut stream.bytes);
            self.gone[index(sender)].extend(bytes);
        }
        assert!(stream_is_empty(&self.streams[index(sender)]), "bytes stay with the host");
    }

    fn passage(&mut self, sender: Peer, bytes: &[u8], now: Duration) -> Passage {
        if self.session.pass_plain(sender, &mut &bytes[..]).unwrap() {
            self.plain += 1;
            self.session.note_time(now);
            return Passage { keep: bytes.len(), resume: true, park: true, ..Passage::default() };
        }
        self.session.judge(sender, &mut &bytes[..], &mut Tables, now).unwrap()
    }

    /// Trailers come from `sender`, which sends nothing more.
    pub(crate) fn trailers(&mut self, sender: Peer, now: Duration) {
        assert!(!self.session.passes_trailers(sender), "what is paused would go on");
        self.streams[index(sender)].stopped = true;
        self.session.handle(Input::Trailers(sender), &mut Tables, now);
        self.perform(now);
    }

    /// All that is held is to be given back. What comes of it is performed at the next tick.
    pub(crate) fn exceed_memory(&mut self, now: Duration) {
        self.session.handle(Input::MemoryExceeded, &mut Tables, now);
        assert_eq!(self.session.held(), 0, "it is not given back");
        assert!(self.session.deadline().is_some_and(|deadline| deadline <= now), "no tick is to come of it");
    }

    /// Time has passed.
    pub(crate) fn wait(&mut self, now: Duration) {
        if !self.cut && self.session.deadline().is_some_and(|deadline| deadline <= now) {
            self.session.handle(Input::Timer, &mut Tables, now);
            self.perform(now);
        }
    }

    /// What has gone of what `sender` sent, and in between, since this was last asked.
    pub(crate) fn take_gone(&mut self, sender: Peer) -> Vec<u8> {
        std::mem::take(&mut self.gone[index(sender)])
    }

    fn resume(&mut self, sender: Peer) {
        let stream = &mut self.streams[index(sender)];
        stream.stopped = false;
        let bytes = std::mem::take(&mut stream.bytes);
        self.gone[index(sender)].extend(bytes);
    }

    fn perform(&mut self, now: Duration) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(receiver, frame) => {
                    let sender = if receiver == Peer::Client { Peer::Upstream } else { Peer::Client };
                    let stream = &mut self.streams[index(sender)];
                    assert!(stream.paused && stream.bytes.is_empty(), "nothing can be put in there");
                    stream.bytes = frame;
                    self.resume(sender);
                }
                Output::Tell(Event::Closed { violation, .. }) => self.fate = Fate::Closed(violation.reason),
                Output::Reset => self.cut = true,
                Output::AdmitResponse(_) | Output::Tell(Event::Opened) => {}
                other => panic!("{other:?} at {now:?}"),
            }
        }
    }
}

fn stream_is_empty(stream: &Stream) -> bool {
    stream.bytes.is_empty()
}
