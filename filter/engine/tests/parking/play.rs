//! Plays a schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use postern_engine::{Peer, Reason};
use serde_json::json;

use crate::ear::{Due, Ear, Heard};
use crate::line::{Fate, Line};
use crate::mouth::{Mouth, Said};
use crate::numbers::Numbers;
use crate::support::START;

const PING_INTERVAL: Duration = Duration::from_secs(10);
const PONG_TIMEOUT: Duration = Duration::from_secs(4);
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
const TICK: Duration = Duration::from_millis(250);

/// How a peer treats Pings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Manner {
    /// It answers each.
    Each,
    /// Of those that it reads at once it answers the last (RFC 6455 §5.5.3).
    Last,
    /// It answers none.
    None,
}

#[derive(Debug)]
struct Person {
    peer: Peer,
    manner: Manner,
    mouth: Mouth,
    /// What it hears of the other, and what it must have heard.
    ear: Ear,
    due: Due,
}

struct Scene {
    line: Line,
    client: Person,
    upstream: Person,
    now: Duration,
    pings: [u64; 2],
}

/// What the schedules of a run came to, so that it can be seen that they reach far.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pings_to_client: u64,
    pings_to_upstream: u64,
    reasons: BTreeMap<&'static str, u64>,
    told: u64,
    plain: u64,
    /// Whom the host told to be over, and who was told of that.
    upset: u64,
    told_at_once: u64,
}

impl Reached {
    pub(crate) fn assert_far(&self) {
        assert!(self.pings_to_client > 1_000 && self.pings_to_upstream > 100, "{self:#?}");
        let reasons: Vec<_> = self.reasons.keys().copied().collect();
        assert_eq!(reasons, ["idle_timeout", "pong_timeout"], "{self:#?}");
        assert!(self.told > 500 && self.plain > 1_000, "{self:#?}");
        assert!(self.upset > 300 && self.told_at_once > 300, "{self:#?}");
    }
}

/// Plays the schedule that follows from `seed`.
pub(crate) fn play(seed: u64, reached: &mut Reached) {
    let mut numbers = Numbers::new(seed);
    let asks = !numbers.one_in(4);
    let mut scene = Scene::open(&mut numbers, asks);
    for _ in 0..numbers.to(150) {
        scene.step(&mut numbers);
        if scene.line.fate != Fate::Open {
            break;
        }
    }
    scene.say_all(&mut numbers);
    let all_answer = scene.client.manner != Manner::None && scene.upstream.manner != Manner::None;
    if scene.line.fate == Fate::Open && asks && all_answer {
        scene.stays(&mut numbers);
    }
    if scene.line.fate == Fate::Open && numbers.one_in(3) {
        scene.is_upset(&mut numbers, all_answer && asks, reached);
    } else {
        scene.falls_silent(&mut numbers, asks, reached);
    }
    reached.pings_to_client += scene.pings[0];
    reached.pings_to_upstream += scene.pings[1];
    reached.plain += scene.line.plain;
}

impl Person {
    fn new(peer: Peer, manner: Manner) -> Self {
        Self { peer, manner, mouth: Mouth::new(peer), ear: Ear::default(), due: Due::default() }
    }
}

impl Scene {
    fn open(numbers: &mut Numbers, asks: bool) -> Self {
        let written = |duration: Duration| format!("{}s", duration.as_secs());
        let limits = json!({"max_frame_bytes": 1 << 20, "max_message_bytes": 1 << 20, "utf8": true});
        let policy = json!({
            "origins": {"allow": ["https://app.example.com"]}, "auth": "none", "rates": [],
            "messages": limits,
            "upstream_messages": {"max_frame_bytes": 1 << 20, "max_message_bytes": 1 << 20, "utf8": numbers.one_in(3)},
            "liveness": {
                "idle_timeout": written(IDLE_TIMEOUT), "pong_timeout": written(PONG_TIMEOUT),
                "ping_interval": if asks { written(PING_INTERVAL) } else { "none".to_owned() },
                "close_timeout": written(CLOSE_TIMEOUT),
            },
        });
        let manners = [Manner::Each, Manner::Each, Manner::Last, Manner::None];
        let mut scene = Self {
            line: Line::open(&policy, START),
            client: Person::new(Peer::Client, numbers.of(&manners)),
            upstream: Person::new(Peer::Upstream, numbers.of(&manners)),
            now: START,
            pings: [0; 2],
        };
        // What the client hears is what the upstream says.
        scene.client.due.proves_text = policy["upstream_messages"]["utf8"] == true;
        scene.upstream.due.proves_text = true;
        scene
    }

    fn step(&mut self, numbers: &mut Numbers) {
        match numbers.to(9) {
            0..=3 => self.speak(Peer::Client, numbers, Mouth::say),
            4..=7 => self.speak(Peer::Upstream, numbers, Mouth::say),
            _ => {
                // Who takes longer to answer than it may, is to blame itself.
                let most = if numbers.one_in(3) { 12_000 } else { 400 };
                self.say_all(numbers);
                self.pass(Duration::from_millis(numbers.to(most)), numbers);
            }
        }
    }

    /// Lets somebody say something, and both hear what comes of it.
    fn speak(&mut self, peer: Peer, numbers: &mut Numbers, say: impl Fn(&mut Mouth, &mut Numbers) -> Said) {
        let (speaker, listener) = self.pair(peer);
        if speaker.mouth.is_empty() {
            speaker.mouth.think(numbers);
        }
        let said = say(&mut speaker.mouth, numbers);
        listener.due.say(&said.of_application);
        let now = self.now;
        if !said.bytes.is_empty() {
            self.line.send(peer, &said.bytes, now);
        }
        self.hear(numbers);
    }

    fn say_all(&mut self, numbers: &mut Numbers) {
        // Each answer may be an occasion to ask again; that ends soon.
        for round in 0..20 {
            assert!(round < 19, "an endless conversation");
            for peer in [Peer::Client, Peer::Upstream] {
                let (speaker, _) = self.pair(peer);
                if !speaker.mouth.is_empty() {
                    self.speak(peer, numbers, |mouth, _| mouth.say_all());
                }
            }
            if self.client.mouth.is_empty() && self.upstream.mouth.is_empty() {
                return;
            }
        }
    }

    /// Lets time pass, in the ticks of the host.
    fn pass(&mut self, time: Duration, numbers: &mut Numbers) {
        let end = self.now + time;
        while self.now < end && self.line.fate == Fate::Open {
            self.now = end.min(self.now + TICK);
            self.line.wait(self.now);
            self.hear(numbers);
            self.say_all(numbers);
        }
    }

    fn pair(&mut self, speaker: Peer) -> (&mut Person, &mut Person) {
        match speaker {
            Peer::Client => (&mut self.client, &mut self.upstream),
            Peer::Upstream => (&mut self.upstream, &mut self.client),
        }
    }

    fn hear(&mut self, numbers: &mut Numbers) {
        for (person, sender) in [(&mut self.client, Peer::Upstream), (&mut self.upstream, Peer::Client)] {
            let gone = self.line.take_gone(sender);
            let frames = person.ear.hear(&gone);
            let mut pings = Vec::new();
            for frame in frames {
                if frame.is_own() {
                    self.pings[usize::from(person.peer == Peer::Upstream)] += 1;
                }
                if frame.opcode == 9 {
                    pings.push(frame);
                }
            }
            match person.manner {
                Manner::Each => {}
                Manner::Last => pings = pings.pop().into_iter().collect(),
                Manner::None => pings.clear(),
            }
            for ping in pings {
                person.mouth.answer(numbers, &ping.payload, ping.is_own());
            }
            if self.line.fate == Fate::Open {
                person.due.hold(&person.ear);
            }
        }
    }

    /// Who answers is never closed, however silent otherwise.
    fn stays(&mut self, numbers: &mut Numbers) {
        self.pass(10 * IDLE_TIMEOUT, numbers);
        assert_eq!(self.line.fate, Fate::Open, "{:?} {:?}", self.client.manner, self.upstream.manner);
    }

    /// The host tells of something that ends the connection, where nothing is withheld of what was said but what has to be.
    /// Whoever can be reached is told at once, nothing else goes on by it, and what is left is cut in time.
    fn is_upset(&mut self, numbers: &mut Numbers, can_be_asked: bool, reached: &mut Reached) {
        // Both streams are parked again once nobody says anything.
        self.pass(2 * TICK, numbers);
        if self.line.fate != Fate::Open {
            // Whoever was asked before has answered too late.
            return self.is_cut();
        }
        let unfinished = numbers.one_in(2).then(|| self.leave_unfinished(numbers));
        let reason = match numbers.to(2) {
            0 => {
                self.line.exceed_memory(self.now);
                Reason::MemoryExceeded
            }
            by => {
                self.line.trailers(if by == 1 { Peer::Client } else { Peer::Upstream }, self.now);
                Reason::ProtocolError
            }
        };
        self.now += TICK;
        self.line.wait(self.now);
        assert_eq!(self.line.fate, Fate::Closed(reason));
        self.hear(numbers);
        reached.upset += 1;
        for person in [&self.client, &self.upstream] {
            let (heard, due) = (person.ear.all(), person.due.all());
            // What may be an answer to an own Ping goes on once it is known to be none.
            let due = if heard.starts_with(&due) { &due } else { person.due.whole() };
            assert!(heard.starts_with(due), "{:?}: it is not what was said", person.peer);
            let own = Heard::first(&heard[due.len()..]);
            let told = own.as_ref().is_some_and(|close| {
                let says = [&reason.consequence().close.to_be_bytes(), reason.id().as_bytes()].concat();
                close.opcode == 8 && close.payload == says && due.len() + close.bytes.len() == heard.len()
            });
            assert!(told || heard.len() == due.len(), "{:?}: something else goes on", person.peer);
            reached.told_at_once += u64::from(told);
            // The stream of who has just spoken need not be parked yet.
            let is_quiet = unfinished != Some(Peer::Upstream);
            let is_reachable = can_be_asked && is_quiet && person.ear.is_at_boundary();
            assert!(
                told || !is_reachable || person.peer == Peer::Upstream,
                "{reason:?}: the client is not told"
            );
        }
        self.is_cut();
    }

    /// Somebody stops in the middle of what it says. Who that is.
    fn leave_unfinished(&mut self, numbers: &mut Numbers) -> Peer {
        let peer = numbers.of(&[Peer::Client, Peer::Upstream]);
        self.speak(peer, numbers, Mouth::say);
        peer
    }

    fn is_cut(&mut self) {
        let cut_at = self.now + CLOSE_TIMEOUT + TICK;
        while self.now < cut_at {
            self.now += TICK;
            self.line.wait(self.now);
        }
        assert!(self.line.cut, "it is not cut");
    }

    /// The client says nothing any more.
    fn falls_silent(&mut self, numbers: &mut Numbers, asks: bool, reached: &mut Reached) {
        let answered = self.client.manner != Manner::None && self.upstream.manner == Manner::Each;
        self.client.manner = Manner::None;
        let since = self.now;
        let at_boundary = self.client.ear.is_at_boundary();
        self.pass(IDLE_TIMEOUT + TICK, numbers);
        let Fate::Closed(reason) = self.line.fate else { panic!("it stays") };
        assert!(matches!(reason, Reason::IdleTimeout | Reason::PongTimeout), "{reason:?}");
        *reached.reasons.entry(reason.id()).or_default() += 1;
        if asks && reason == Reason::PongTimeout {
            let took = self.now - since;
            // What was unread before is waited for a second longer per 64 KiB.
            assert!(took <= PING_INTERVAL + PONG_TIMEOUT + IDLE_TIMEOUT / 2, "{took:?}");
        }
        let close = [0x88, 2 + u8::try_from(reason.id().len()).unwrap()];
        let heard = self.client.ear.all();
        let told = heard.len() > self.client.due.all().len();
        // A client that is never asked cannot be reached any more once both sides were in the middle of a frame.
        if answered && at_boundary && asks {
            assert!(told, "{reason:?}: the client is not told, though both have answered");
        }
        if told {
            reached.told += 1;
            let own = &heard[self.client.due.all().len()..];
            assert_eq!(own[..2], close);
            assert_eq!(own[4..], *reason.id().as_bytes());
        }
        self.is_cut();
    }
}
