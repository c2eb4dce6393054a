//! Some connections under one policy, played on the engine and on the model at once.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use postern_engine::auth::single_use::{Spent, Ticket};
use postern_engine::http::headers::HeaderEdit;
use postern_engine::rate::{self, BucketRequest, Charged, Outcome, Shared};
use postern_engine::{Engine, Event, Input, Output, Passage, Peer, Session, Tally};
use serde_json::json;

use crate::buckets::{Buckets, Name};
use crate::deflate::{Agreed, OFFER};
use crate::model::{Inflated, Model, Subjects, Told};
use crate::numbers::Numbers;
use crate::policy::Policy;
use crate::support::{self, EXTENSIONS, SECRET, START, admitted, agreement, engine, most_held};
use crate::traffic::Traffic;

/// How many connections there may be at once.
const CONNECTIONS: u64 = 3;

/// How much more may be held than is told of a policy, in bytes: Closes.
const SLACK: u64 = 512;

/// How much happens in a world.
const STEPS: u64 = 120;

/// A policy, its connections, and what they share.
struct World<'p> {
    policy: &'p Policy,
    engine: Engine,
    /// What a connection may hold, in bytes.
    most_held: u64,
    now: Duration,
    /// The engine's table of shared buckets, and the model's.
    slots: BTreeMap<u32, Vec<u8>>,
    buckets: Buckets,
}

struct Connection<'p> {
    session: Session,
    model: Model<'p>,
    client: Traffic,
    upstream: Traffic,
    /// Whether the client, and the upstream, have ended their streams with trailers.
    ended: [bool; 2],
    most_held: u64,
}

/// What a shared bucket was asked, and what it said. No answer: it had no room.
struct Asked {
    tokens: u64,
    answer: Option<Result<(), Duration>>,
}

/// What the schedules of a run came to, so that it can be seen that they reach far.
#[derive(Debug, Default)]
pub(crate) struct Reached {
    pub(crate) tally: Tally,
    pub(crate) inflated: Inflated,
    pub(crate) reasons: BTreeMap<&'static str, u64>,
    pub(crate) questions: u64,
    pub(crate) unread: u64,
    pub(crate) resets: u64,
    pub(crate) trailers: u64,
    pub(crate) given_back: u64,
    pub(crate) over: u64,
}

/// Plays the schedule that follows from `seed`.
pub(crate) fn play(seed: u64, reached: &mut Reached) {
    let mut numbers = Numbers::new(seed);
    let policy = Policy::random(&mut numbers);
    let (engine, most_held) = (engine(&policy.written()), most_held(&policy.written()));
    let (slots, buckets) = (BTreeMap::new(), Buckets::default());
    let mut world = World { policy: &policy, engine, most_held, now: START, slots, buckets };
    let mut connections: Vec<_> =
        (0..=numbers.to(CONNECTIONS - 1)).map(|_| world.connect(&mut numbers, reached)).collect();
    for _ in 0..numbers.to(STEPS) {
        let at = numbers.len_to(connections.len() - 1);
        if numbers.one_in(40) && world.upset(&mut connections[at], &mut numbers, reached) {
            connections[at] = world.connect(&mut numbers, reached);
            continue;
        }
        world.step(&mut connections[at], &mut numbers, reached);
        if connections[at].model.is_cut() && numbers.one_in(4) {
            connections[at] = world.connect(&mut numbers, reached);
        }
    }
}

impl<'p> World<'p> {
    fn connect(&mut self, numbers: &mut Numbers, reached: &mut Reached) -> Connection<'p> {
        let subjects = Subjects { address: numbers.to(1), user: numbers.to(1) };
        let client = IpAddr::from([198, 51, 100, u8::try_from(subjects.address).unwrap()]);
        // Every handshake is judged at the start, whenever the connection opens.
        let exp = START.as_secs() - 29 + numbers.to(20);
        let token = self.policy.expiry_grace.map(|_| format!("Bearer {}", token(subjects.user, exp)));
        let offers = self.policy.compression.is_some() && !numbers.one_in(8);
        let mut more: Vec<_> = token.iter().map(|token| ("authorization", token.as_str())).collect();
        more.extend(offers.then_some((EXTENSIONS, OFFER)));
        let session = admitted(&self.engine, client, &more);
        let mut agreed = (offers && !numbers.one_in(8)).then(|| Agreed::random(numbers));
        let answer = agreed.map(|agreed| agreed.written());
        let told = agreed.as_mut().filter(|_| self.policy.drops()).and_then(Agreed::client_alone);
        let expires_at = self.policy.expiry_grace.map(|grace| Duration::from_secs(exp + 30) + grace);
        let mut connection = Connection {
            session,
            model: Model::new(self.policy, agreed, subjects, expires_at, self.now),
            client: Traffic::new(Peer::Client, self.policy, agreed, numbers),
            upstream: Traffic::new(Peer::Upstream, self.policy, agreed, numbers),
            ended: [false; 2],
            most_held: self.most_held,
        };
        let mut early = Vec::new();
        if numbers.one_in(8) {
            early = connection.client.chunk(numbers);
            early.truncate(1000);
        }
        if !early.is_empty() {
            let judged = connection
                .session
                .judge(Peer::Client, &mut &early[..], &mut support::Tables, self.now)
                .unwrap();
            assert!(judged.is_whole(early.len()));
            assert_eq!(connection.session.poll_output(), Some(Output::HoldRequest));
        }
        if numbers.one_in(16) {
            // What the 101 has to answer is all that is held.
            let Connection { session, .. } = &mut connection;
            session.handle(Input::MemoryExceeded, &mut support::Tables, self.now);
            assert_eq!(session.held(), 0);
            assert!(matches!(session.poll_output(), Some(Output::Tell(Event::Refused { .. }))));
            assert!(matches!(session.poll_output(), Some(Output::Reply(..))));
            assert_eq!(session.poll_output(), None);
            return self.connect(numbers, reached);
        }
        if numbers.one_in(40) {
            let Connection { session, .. } = &mut connection;
            assert!(!session.passes_trailers(Peer::Client));
            session.handle(Input::Trailers(Peer::Client), &mut support::Tables, self.now);
            assert!(matches!(session.poll_output(), Some(Output::Tell(Event::Refused { .. }))));
            assert!(matches!(session.poll_output(), Some(Output::Reply(..))));
            let judged =
                session.judge(Peer::Client, &mut &b"more"[..], &mut support::Tables, self.now).unwrap();
            assert_eq!((judged, session.poll_output()), (Passage::default(), None));
            return self.connect(numbers, reached);
        }
        let answer: Vec<_> = answer.iter().map(|answer| (EXTENSIONS, answer.as_str())).collect();
        connection.session.handle(Input::Response(agreement(&answer)), &mut support::Tables, self.now);
        let told = told.map(|told| HeaderEdit::Set(EXTENSIONS.to_owned(), told.into_bytes()));
        assert_eq!(connection.session.poll_output(), Some(Output::AdmitResponse(Vec::from_iter(told))));
        assert_eq!(connection.session.poll_output(), Some(Output::Tell(Event::Opened)));
        if !early.is_empty() {
            assert_eq!(connection.session.poll_output(), Some(Output::ReleaseRequest(early.len())));
            connection.model.came_early();
            self.send(&mut connection, Peer::Client, &early, numbers, reached);
        }
        connection
    }

    fn step(&mut self, connection: &mut Connection<'p>, numbers: &mut Numbers, reached: &mut Reached) {
        match numbers.to(9) {
            0 | 1 => {
                self.now += if numbers.one_in(4) {
                    // Until a bucket has just what it lacked, or almost.
                    connection.model.wait.saturating_sub(Duration::from_nanos(numbers.to(1)))
                } else {
                    let most = numbers.of(&[10, 500, 3_000]);
                    Duration::from_millis(numbers.to(most)) + Duration::from_nanos(numbers.to(1_000))
                };
                // A timer may be late, and then others come first.
                if !numbers.one_in(8) {
                    connection.session.handle(Input::Timer, &mut support::Tables, self.now);
                    connection.model.time_passes(self.now);
                    connection.compare(reached);
                }
            }
            2..=7 => {
                let chunk = connection.client.chunk(numbers);
                self.send(connection, Peer::Client, &chunk, numbers, reached);
            }
            _ => {
                let chunk = connection.upstream.chunk(numbers);
                // An empty one is the start of the response, from where on Postern speaks by itself; what
                // comes of that is for another simulation.
                if !chunk.is_empty() {
                    self.send(connection, Peer::Upstream, &chunk, numbers, reached);
                }
            }
        }
    }

    /// The host tells of something else than bytes and time. Whether the connection is over.
    fn upset(
        &mut self,
        connection: &mut Connection<'p>,
        numbers: &mut Numbers,
        reached: &mut Reached,
    ) -> bool {
        let Connection { session, model, ended, .. } = connection;
        let peer = numbers.of(&[Peer::Client, Peer::Upstream]);
        match numbers.to(3) {
            0 | 1 if ended[peer as usize] => {}
            0 | 1 => {
                reached.trailers += 1;
                ended[peer as usize] = true;
                assert!(!session.passes_trailers(peer), "what is held would go on with them");
                session.handle(Input::Trailers(peer), &mut support::Tables, self.now);
                model.trailers(self.now);
            }
            2 => {
                reached.given_back += u64::from(session.held() > 0);
                session.handle(Input::MemoryExceeded, &mut support::Tables, self.now);
                model.give_back(self.now);
                assert_eq!(session.held(), 0, "it is not given back");
            }
            _ => {
                reached.over += 1;
                session.handle(Input::Ended, &mut support::Tables, self.now);
                for input in [Input::Timer, Input::MemoryExceeded, Input::Trailers(peer)] {
                    session.handle(input, &mut support::Tables, self.now);
                }
                let judged = session.judge(
                    peer,
                    &mut &connection.client.chunk(numbers)[..],
                    &mut support::Tables,
                    self.now,
                );
                assert_eq!(judged, Ok(Passage::default()), "it is over");
                assert_eq!((session.poll_output(), session.deadline(), session.held()), (None, None, 0));
                return true;
            }
        }
        connection.compare(reached);
        false
    }

    fn send(
        &mut self,
        connection: &mut Connection<'p>,
        peer: Peer,
        chunk: &[u8],
        numbers: &mut Numbers,
        reached: &mut Reached,
    ) {
        let Connection { session, model, ended, .. } = connection;
        if ended[peer as usize] {
            return;
        }
        let unread = numbers.one_in(2).then(|| {
            let passes = session.pass_unread(peer, chunk.len());
            assert_eq!(passes, model.passes_unread(peer, chunk.len()), "whether it passes unread");
            passes
        });
        let now = self.now;
        let mut asked = Vec::new();
        let mut ask = |name: Name, tokens: u64| {
            let answer = (!numbers.one_in(60)).then(|| self.buckets.take(name, tokens, now));
            asked.push(Asked { tokens, answer });
            answer.unwrap_or(Err(Duration::ZERO))
        };
        let expected = model.chunk(peer, chunk, now, &mut ask);
        let passed = if unread == Some(true) {
            reached.unread += 1;
            chunk.to_vec()
        } else {
            reached.questions += asked.len() as u64;
            self.judge(session, peer, chunk, asked)
        };
        assert_eq!(passed, expected, "what goes on of {chunk:02x?} from {peer:?}");
        connection.compare(reached);
    }

    fn judge(&mut self, session: &mut Session, peer: Peer, chunk: &[u8], asked: Vec<Asked>) -> Vec<u8> {
        let mut tables = Tables { slots: &mut self.slots, asked: asked.into_iter() };
        let passage = session.judge(peer, &mut &chunk[..], &mut tables, self.now).unwrap();
        assert_eq!(tables.asked.len(), 0, "questions that were not asked");
        passage.bytes(chunk)
    }
}

/// The engine's table of shared buckets, and what the model has been told by its own.
struct Tables<'w> {
    slots: &'w mut BTreeMap<u32, Vec<u8>>,
    asked: std::vec::IntoIter<Asked>,
}

impl Shared for Tables<'_> {
    fn charge(&mut self, request: &BucketRequest, now: Duration) -> Outcome {
        let Some(Asked { tokens, answer }) = self.asked.next() else {
            panic!("not to be asked: {request:?}")
        };
        assert_eq!(request.tokens, tokens);
        let Some(answer) = answer else { return Outcome::Full };
        let slot = self.slots.entry(request.key.slot()).or_default();
        let (outcome, changed) = rate::charge(slot, request, now);
        if let Some(changed) = changed {
            *slot = changed;
        }
        let expected = answer.map_or_else(Charged::Wait, |()| Charged::Taken);
        assert_eq!(outcome, Outcome::Charged(expected), "what a shared bucket says");
        outcome
    }

    fn spend(&mut self, ticket: &Ticket, _now: Duration) -> Spent {
        panic!("not to be spent: {ticket:?}")
    }
}

impl Connection<'_> {
    /// Holds what both tell against each other.
    fn compare(&mut self, reached: &mut Reached) {
        let Self { session, model, .. } = self;
        for told in model.told.drain(..) {
            let output = session.poll_output();
            match (&told, &output) {
                (Told::Reset, Some(Output::Reset)) => reached.resets += 1,
                (Told::Closed(why), Some(Output::Tell(Event::Closed { violation, .. })))
                    if *why == violation.reason =>
                {
                    *reached.reasons.entry(why.id()).or_default() += 1;
                }
                _ => panic!("{output:?} is to be {told:?}"),
            }
        }
        assert_eq!(session.poll_output(), None, "nothing is to be done");
        match model.deadline() {
            // A silent client is for another simulation.
            None if !model.is_cut() => {}
            deadline => assert_eq!(session.deadline(), deadline, "when the timer is due"),
        }
        let held = session.held();
        assert!(model.held() as u64 <= held, "{held} bytes are said to be held of {}", model.held());
        assert!(held <= self.most_held + SLACK, "{held} bytes are held, and at most {}", self.most_held);
        let tally = std::mem::take(&mut model.tally);
        // Who is out of reach is for another simulation, too.
        let counted = Tally { heartbeats: tally.heartbeats, ..session.take_tally() };
        assert_eq!(counted, tally, "what is counted");
        reached.tally.add(&tally);
        let Inflated { messages, went_ahead } = std::mem::take(&mut model.inflated);
        reached.inflated.messages += messages;
        reached.inflated.went_ahead += went_ahead;
    }
}

fn token(user: u64, exp: u64) -> String {
    let claims = json!({"iss": "edge", "aud": "chat", "sub": format!("user {user}"), "exp": exp});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}
