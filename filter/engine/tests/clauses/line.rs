//! A row played on a connection, cut at every byte.

use std::time::Duration;

use postern_engine::{Engine, Event, Input, Output, Peer, Session};
use serde_json::json;

use crate::row::{End, Row, Sender, Terms};
use crate::support::{MASK, START, Tables, admitted, agreement, engine, frame};

const EXTENSIONS: &str = "sec-websocket-extensions";
const OFFER: &str = "permessage-deflate; client_max_window_bits";
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// Rows with more bytes are cut about their start and their end only.
const SHORT: usize = 400;

/// Connections on certain terms.
pub(crate) struct Ground {
    pub(crate) terms: Terms,
    engine: Engine,
}

/// A connection, and what it came to so far.
struct Line {
    session: Session,
    to_upstream: Vec<u8>,
    to_client: Vec<u8>,
    closed: Option<&'static str>,
    reset: bool,
}

impl Ground {
    pub(crate) fn new(terms: Terms) -> Self {
        let limits =
            |limit: &str| json!({"max_frame_bytes": limit, "max_message_bytes": limit, "utf8": true});
        let engine = engine(&json!({
            "origins": {"allow": ["https://app.example.com"]}, "auth": "none", "rates": [],
            "compression": terms.compression, "liveness": {"ping_interval": "none"},
            "messages": limits("128KiB"), "upstream_messages": limits("128KiB"),
        }));
        Self { terms, engine }
    }

    /// Plays a row for each peer that may say it.
    pub(crate) fn play(&self, row: &Row) {
        for peer in row.peers {
            let (good, bad) = ((row.good)(Sender(*peer)), row.bad(*peer));
            let sent = [&good[..], &bad, &Sender(*peer).frame(0x82, b"behind it")].concat();
            let sent = if let End::Open = row.end { &good } else { &sent };
            let far = |cut: &usize| (SHORT / 2..sent.len().saturating_sub(SHORT / 2)).contains(cut);
            for cut in (0..=sent.len()).filter(|cut| sent.len() <= SHORT || !far(cut)) {
                let (head, tail) = sent.split_at(cut);
                self.play_cut(row, *peer, [head, tail], &format!("cut at {cut}"));
            }
            self.play_cut(row, *peer, sent.chunks(1), "byte by byte");
        }
    }

    fn play_cut<'b>(&self, row: &Row, peer: Peer, pieces: impl IntoIterator<Item = &'b [u8]>, how: &str) {
        let name = format!("{} {} from {peer:?}, {how}", row.clause, row.which);
        let (good, bad) = ((row.good)(Sender(peer)), row.bad(peer));
        let mut line = self.open();
        let mut came = 0;
        for piece in pieces {
            line.send(peer, piece);
            came += piece.len();
            let decided = !bad.is_empty() && came >= good.len() + bad.len();
            assert_eq!(line.closed.is_some(), decided, "{name}: whether it is refused after {came}");
            if !decided {
                assert!(good.starts_with(line.passed(peer)), "{name}: what has passed after {came}");
            }
        }
        match &row.end {
            End::Open => {
                assert!(line.passed(peer) == good, "{name}: {:02x?} has passed", line.passed(peer));
                let ping = Sender(peer).frame(0x89, b"still open");
                line.send(peer, &ping);
                assert!(line.passed(peer) == [good, ping].concat(), "{name}: still open");
                assert_eq!(line.passed(other(peer)), b"", "{name}: nothing for its sender");
                assert!(line.session.deadline() > Some(START + CLOSE_TIMEOUT), "{name}");
            }
            End::Closed => {
                assert!(line.passed(peer) == good, "{name}: {:02x?} has passed", line.passed(peer));
                assert_eq!(line.closed, None, "{name}: it is the peer's own Close");
                let answer = Sender(other(peer)).frame(0x88, b"\x03\xe8");
                line.send(other(peer), &answer);
                assert_eq!(line.passed(other(peer)), answer, "{name}: the answer passes");
                line.assert_over(&name);
            }
            End::Refused { code, reason, .. } => {
                assert_eq!(line.closed, Some(*reason), "{name}");
                let body = [&code.to_be_bytes(), reason.as_bytes()].concat();
                let to_client = frame(0x88, &body, None);
                let to_upstream = frame(0x88, &body, Some(MASK));
                // A Close takes the place of the next bytes.
                for peer in [Peer::Client, Peer::Upstream] {
                    line.send(peer, &Sender(peer).frame(0x82, b"too late"));
                }
                let (own, others) = match peer {
                    Peer::Client => (to_upstream, to_client),
                    Peer::Upstream => (to_client, to_upstream),
                };
                let passed = line.passed(peer);
                assert!(passed == [good, own].concat(), "{name}: {passed:02x?} has passed");
                assert_eq!(line.passed(other(peer)), others, "{name}: what its sender gets");
                line.assert_over(&name);
            }
        }
    }

    fn open(&self) -> Line {
        let offer = self.terms.answer.map(|_| (EXTENSIONS, OFFER));
        let answer = self.terms.answer.map(|answer| (EXTENSIONS, answer));
        let mut session =
            admitted(&self.engine, [198, 51, 100, 7].into(), &offer.into_iter().collect::<Vec<_>>());
        session.handle(
            Input::Response(agreement(&answer.into_iter().collect::<Vec<_>>())),
            &mut Tables,
            START,
        );
        let mut line =
            Line { session, to_upstream: Vec::new(), to_client: Vec::new(), closed: None, reset: false };
        line.perform();
        assert!(line.session.was_opened(), "{:?}", self.terms);
        line
    }
}

impl Line {
    fn send(&mut self, peer: Peer, chunk: &[u8]) {
        let passed = if self.session.pass_unread(peer, chunk.len())
            || self.session.pass_plain(peer, &mut &chunk[..]).unwrap()
        {
            chunk.to_vec()
        } else {
            self.session.judge(peer, &mut &chunk[..], &mut Tables, START).unwrap().bytes(chunk)
        };
        match peer {
            Peer::Client => self.to_upstream.extend(passed),
            Peer::Upstream => self.to_client.extend(passed),
        }
        self.perform();
    }

    fn perform(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::AdmitResponse(_) | Output::Tell(Event::Opened) => {}
                Output::Tell(Event::Closed { violation, .. }) => {
                    assert!(self.closed.replace(violation.reason.id()).is_none(), "told twice");
                }
                Output::Reset => self.reset = true,
                other => panic!("on an open connection: {other:?}"),
            }
        }
    }

    /// What went on of what `peer` sent, or in its place.
    fn passed(&self, peer: Peer) -> &[u8] {
        match peer {
            Peer::Client => &self.to_upstream,
            Peer::Upstream => &self.to_client,
        }
    }

    /// Nothing passes any more, and what is left is cut in time.
    fn assert_over(&mut self, name: &str) {
        let before = [Peer::Client, Peer::Upstream].map(|peer| self.passed(peer).to_vec());
        for peer in [Peer::Client, Peer::Upstream] {
            for first in [0x82, 0x89, 0x88] {
                self.send(peer, &Sender(peer).frame(first, b""));
            }
        }
        assert_eq!([Peer::Client, Peer::Upstream].map(|peer| self.passed(peer).to_vec()), before, "{name}");
        assert_eq!(self.session.deadline(), Some(START + CLOSE_TIMEOUT), "{name}");
        self.session.handle(Input::Timer, &mut Tables, START + CLOSE_TIMEOUT);
        self.perform();
        assert!(self.reset, "{name}");
    }
}

impl Row {
    fn bad(&self, peer: Peer) -> Vec<u8> {
        match &self.end {
            End::Refused { bad, .. } => bad(Sender(peer)),
            End::Open | End::Closed => Vec::new(),
        }
    }
}

fn other(peer: Peer) -> Peer {
    match peer {
        Peer::Client => Peer::Upstream,
        Peer::Upstream => Peer::Client,
    }
}
