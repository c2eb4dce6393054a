//! A whole connection, from its request to its end, through a host that pauses streams as Envoy does, and whatever the host
//! may tell of it in whatever order.
//!
//! Input: a byte for the policy, one for what was agreed on, two for the request and the host, and then events: frames of
//! both peers and messages with tokens, in pieces; answers to Postern's own Pings; the response; trailers of either; the
//! end; time, late timers, a clock that is set back; what is fetched; memory that has to be given back, also within a
//! callback; a policy that goes away. What has gone to either peer is what the other has said, in its order, but for what the
//! policy takes out, and then at most one Close of Postern's own. Nothing that was held goes with trailers or behind them.
//! What is held stays within the bound that is told of the policy, and is given back at once. Nothing comes of a stream that
//! is over. And whatever has happened, a connection on which nothing more does ends by its deadlines.

mod event;
mod heard;
mod host;
mod policy;

use arbitrary::Unstructured;
use postern_config::Compression;
use postern_engine::Peer;

use crate::fixture::{EXTENSIONS, ORDINARY};
use crate::stream::{ANSWERS, OFFER};
use event::{Event, events, pong, token_of};
use heard::{assert_nothing_but_a_close, assert_sound, own_pings};
use host::{Host, Response, Setting};
use policy::{POLICIES, Policy};

/// What the peers of one connection have to do with each other.
struct Scene {
    policy: &'static Policy,
    host: Host,
    /// The extension that the upstream agrees to.
    extension: Option<&'static str>,
    /// What each has said that has not come yet, and what has.
    under_way: [Vec<u8>; 2],
    sent: [Vec<u8>; 2],
    /// How many own Pings each has answered.
    answered: [usize; 2],
    /// Whether the client has to authenticate itself by a message.
    first: bool,
    /// Whether the stream of each has its empty first callback.
    empty: [bool; 2],
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut input = Unstructured::new(input);
    let Ok([choice, agreed, request, host]) = input.arbitrary::<[u8; 4]>() else { return };
    let policy = &POLICIES[usize::from(choice) % POLICIES.len()];
    let Some(mut scene) = Scene::open(policy, agreed, request, host) else { return };
    for event in events(&mut input, policy) {
        scene.play(event);
        if scene.host.over {
            break;
        }
    }
    scene.assert_sound();
    scene.host.run_out();
    scene.assert_sound();
    if !scene.host.over {
        scene.host.end();
    }
}

impl Scene {
    fn open(policy: &'static Policy, agreed: u8, request: u8, host: u8) -> Option<Self> {
        let mut fields = Vec::new();
        let compresses = policy.compression != Compression::Strip && agreed & 1 == 0;
        if compresses {
            fields.push((EXTENSIONS.to_owned(), OFFER.into()));
        }
        let bears = policy.has_tokens() && (request & 3 == 0 || !policy.first_message);
        if bears {
            let token = format!("Bearer {}", token_of(if request & 0x30 == 0 { request >> 6 } else { 2 }));
            fields.push(("authorization".to_owned(), token.into_bytes()));
        }
        let flags = if request & 4 == 0 { ORDINARY } else { ORDINARY & !0b1000 | 0b100 };
        let setting = Setting { fields, flags, parks: host & 7 != 7, memory_is_full: host & 0x38 == 0x38 };
        let mut scene = Self {
            policy,
            host: Host::open(policy, setting)?,
            extension: compresses.then(|| ANSWERS[usize::from(agreed >> 1) % ANSWERS.len()]),
            under_way: Default::default(),
            sent: Default::default(),
            answered: [0; 2],
            first: policy.first_message && !bears,
            empty: [agreed & 0x10 == 0, agreed & 0x20 == 0],
        };
        // Most connections open at once.
        if host & 0xc0 != 0xc0 {
            scene.respond(Response::Agrees);
        }
        Some(scene)
    }

    fn respond(&mut self, response: Response) {
        if !self.host.awaits_response() {
            return;
        }
        if self.empty[0] {
            self.host.body(Peer::Client, b"");
        }
        self.host.respond(response, self.extension);
        if self.empty[1] && self.host.is_open() {
            self.host.body(Peer::Upstream, b"");
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Says { peer, bytes, under_way, piece } => {
                self.under_way[peer as usize].extend(bytes);
                let said = &mut self.under_way[peer as usize];
                let comes: Vec<u8> = said.drain(..said.len().saturating_sub(under_way)).collect();
                self.comes(peer, &comes, piece);
            }
            Event::Answers { peer, first } => self.answer(peer, first),
            Event::Waits { time, late } => self.host.wait(time, late),
            Event::Nothing(peer) => self.host.body(peer, b""),
            Event::Trailers(peer) => self.host.trailers(peer),
            Event::Ends => self.host.end(),
            Event::MemoryExceeded { in_callback } => self.host.exceed_memory(in_callback),
            Event::Fetches(fetch) => self.host.fetch(fetch),
            Event::Responds(response) => self.respond(response),
            Event::SetBack(by) => self.host.set_back(by),
            Event::Drains(within) => self.host.drain(within),
        }
    }

    fn comes(&mut self, peer: Peer, bytes: &[u8], piece: usize) {
        if peer == Peer::Upstream && !bytes.is_empty() {
            self.respond(Response::Agrees);
        }
        for chunk in bytes.chunks(piece.max(1)) {
            if self.host.hears(peer) {
                self.sent[peer as usize].extend_from_slice(chunk);
                self.host.body(peer, chunk);
            }
        }
    }

    fn answer(&mut self, peer: Peer, first: bool) {
        let sender = if peer == Peer::Client { Peer::Upstream } else { Peer::Client };
        let pings = own_pings(sender, self.host.gone(sender).0);
        let answered = &mut self.answered[peer as usize];
        let at = if first { *answered } else { pings.len().saturating_sub(1) };
        let Some(payload) = pings.get(at).filter(|_| at >= *answered) else { return };
        *answered = at + 1;
        let mut bytes = std::mem::take(&mut self.under_way[peer as usize]);
        bytes.extend(pong(peer, payload));
        self.comes(peer, &bytes, bytes.len());
    }

    /// Holds what has gone against what was sent.
    fn assert_sound(&self) {
        for peer in [Peer::Client, Peer::Upstream] {
            let (gone, trailers) = self.host.gone(peer);
            if !self.host.was_opened() {
                // An upstream that declines says why.
                let answers = peer == Peer::Upstream && self.sent[peer as usize] == gone;
                assert!(gone.is_empty() || answers, "{peer:?}: it goes on without an agreement");
                continue;
            }
            let closed = self.host.closed;
            assert_sound(self.policy, peer, (&self.sent[peer as usize], gone), self.first, closed);
            if let Some(at) = trailers {
                assert_nothing_but_a_close(peer, &gone[at..], closed);
            }
        }
    }
}
