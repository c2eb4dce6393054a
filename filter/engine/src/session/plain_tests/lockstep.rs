//! Two sessions on the same random traffic, one of which lets chunks pass plain while the other judges each:
//! nobody can tell them apart.

use serde_json::{Value, json};

use super::*;
use crate::testing::agreement;
use crate::testing::{SECRET, Tables, request, token, with};

const EXTENSIONS: &str = "sec-websocket-extensions";
const DEFLATE: &[u8] = b"permessage-deflate";
/// The number of random schedules. 50,000 take a minute.
const SCHEDULES: u64 = 1_500;

struct Twin {
    session: Session,
    lets_pass_plain: bool,
    plain: u64,
    to_client: Vec<u8>,
    to_upstream: Vec<u8>,
    told: Vec<String>,
    is_reset: bool,
}

/// A policy, the token of the handshake, and the extensions that are agreed on.
struct Terms {
    policy: Value,
    bearer: Option<Vec<u8>>,
    deflate: bool,
    /// Says whether the streams towards upstream and client are parked at their start.
    parks: (bool, bool),
}

impl Twin {
    fn new(terms: &Terms, lets_pass_plain: bool) -> Self {
        let mut head = request();
        if terms.deflate {
            head = with(&head, EXTENSIONS, DEFLATE);
        }
        if let Some(bearer) = &terms.bearer {
            head = with(&head, "authorization", &[b"Bearer ", &bearer[..]].concat());
        }
        let mut trial = Trial::new(terms.policy.clone(), head);
        assert!(matches!(trial.outputs.last(), Some(Output::Admit(_))), "{:?}", trial.outputs);
        if terms.parks.0 {
            trial.parks(Peer::Client, b"");
        }
        let mut response = agreement();
        if terms.deflate {
            response.push((EXTENSIONS.to_owned(), DEFLATE.to_vec()));
        }
        trial.input(Input::Response(response), START);
        assert!(trial.session.was_opened(), "{:?}", trial.outputs);
        let mut twin = Self {
            session: trial.session,
            lets_pass_plain,
            plain: 0,
            to_client: Vec::new(),
            to_upstream: Vec::new(),
            told: Vec::new(),
            is_reset: false,
        };
        let first = if terms.parks.1 { Vec::new() } else { from_upstream(0x82, b"at once") };
        twin.send(Peer::Upstream, &first, START);
        twin
    }

    fn goes(&mut self, receiver: Peer, bytes: &[u8]) {
        match receiver {
            Peer::Client => self.to_client.extend_from_slice(bytes),
            Peer::Upstream => self.to_upstream.extend_from_slice(bytes),
        }
    }

    /// Sends a chunk, and the tick behind it.
    fn send(&mut self, peer: Peer, chunk: &[u8], now: Duration) {
        if self.is_reset {
            return;
        }
        if self.session.pass_unread(peer, chunk.len()) {
            self.goes(peer.other(), chunk);
        } else if self.lets_pass_plain && passes_plain(&mut self.session, peer, chunk) {
            self.plain += 1;
            self.goes(peer.other(), chunk);
        } else {
            let passage = self.session.judge(peer, &mut &chunk[..], &mut Tables::default(), now).unwrap();
            self.goes(peer.other(), &passage.bytes(chunk));
        }
        self.drain();
        self.session.note_time(now);
        self.input(Input::Timer, now);
    }

    fn input(&mut self, input: Input, now: Duration) {
        if !self.is_reset {
            self.session.handle(input, &mut Tables::default(), now);
            self.drain();
        }
    }

    fn drain(&mut self) {
        while let Some(output) = self.session.poll_output() {
            match output {
                Output::Send(receiver, bytes) => self.goes(receiver, &bytes),
                Output::Deliver(bytes) => self.goes(Peer::Client, &bytes.to_vec(0)),
                Output::Reset => self.is_reset = true,
                other => self.told.push(format!("{other:?}")),
            }
        }
    }
}

/// Random numbers that a seed determines (xorshift).
struct Numbers(u64);

impl Numbers {
    /// Returns a number below `end`.
    fn to(&mut self, end: u64) -> usize {
        for shift in [13, -7, 17_i32] {
            let shifted = if shift < 0 { self.0 >> -shift } else { self.0 << shift };
            self.0 ^= shifted;
        }
        usize::try_from((self.0 >> 20) % end).unwrap()
    }
}

/// Returns a token of any tier.
fn bearer(lasts: usize, numbers: &mut Numbers) -> Vec<u8> {
    let exp = START.as_secs() + lasts as u64;
    let plan = ["free", "pro", "other"][numbers.to(3)];
    token(SECRET, &json!({"iss": "edge", "aud": "chat", "sub": "alice", "plan": plan, "exp": exp}))
}

fn in_text(lasts: usize, numbers: &mut Numbers) -> String {
    String::from_utf8(bearer(lasts, numbers)).unwrap()
}

fn policies() -> Vec<Value> {
    let live = json!({"idle_timeout": "30s", "ping_interval": "3s", "pong_timeout": "2s"});
    let short = json!({"max_frame_bytes": 900, "max_message_bytes": 900});
    let rate = |count, per, limit| json!([{"count": count, "per": per, "limit": limit, "window": "1s"}]);
    let auth = json!({
        "providers": ["edge"], "from": [{"header": "authorization"}, {"first_message": "/token"}],
        "refresh": "/auth/token", "expiry_grace": "0s",
    });
    let tier = |plan, keys: [(&str, Value); 3]| {
        let mut tier = json!({"require": [{"claim": "plan", "one_of": [plan]}]});
        keys.into_iter().for_each(|(key, value)| tier[key] = value);
        tier
    };
    let proved = json!({"utf8": true, "max_frame_bytes": 2000});
    let tiers = json!([
        tier(
            "free",
            [
                ("upstream_messages", proved),
                ("backpressure", json!({"max_backlog_bytes": 60_000})),
                ("max_session", json!("20s")),
            ]
        ),
        tier(
            "pro",
            [
                ("messages", json!({"types": ["binary", "text"], "utf8": false, "max_frame_bytes": 1000})),
                ("rates", rate("messages", "connection", 20)),
                ("upstream_messages", json!({"max_message_bytes": 30_000})),
            ]
        ),
    ]);
    vec![
        json!({"rates": [], "liveness": live, "auth": auth, "tiers": tiers}),
        json!({"rates": [], "liveness": live}),
        json!({"rates": [], "liveness": live, "backpressure": {"max_backlog_bytes": 20_000}}),
        json!({"rates": [], "backpressure": {"max_backlog_bytes": 4000, "on_exceed": "drop"}}),
        json!({"rates": [], "messages": {"types": ["text"], "max_fragments": 2}}),
        json!({"rates": [], "messages": short, "upstream_messages": short}),
        json!({"rates": [], "compression": "pass", "liveness": live}),
        json!({"rates": [], "compression": "inspect", "upstream_messages": {"utf8": true}}),
        json!({"rates": rate("messages", "connection", 5)}),
        json!({"rates": rate("bytes", "ip", 5000)}),
        json!({"rates": [], "liveness": live, "auth": auth}),
        json!({"rates": [], "compression": "inspect", "auth": auth}),
    ]
}

fn frame(peer: Peer, has_auth: bool, numbers: &mut Numbers) -> Vec<u8> {
    let make = |first, payload: &[u8]| match peer {
        Peer::Client => from_client(first, payload),
        Peer::Upstream => from_upstream(first, payload),
    };
    // Short payloads come more often.
    let len = [0, 1, 5, 100, 125, 126, 700, 1000, 2000, 5000, 40_000][numbers.to(11).min(numbers.to(11))];
    let payload = vec![b'a'; len];
    match numbers.to(60) {
        0 => make(0x89, b"ping"),
        1 => make(0x8a, b"pong"),
        2 => make(0x88, &[3, 232]),
        3 => [make(0x01, &payload), make(0x80, b"end")].concat(),
        4 => [make(0x02, &payload), make(0x89, b"x"), make(0x00, b""), make(0x80, b"end")].concat(),
        5 => make(0x81, b"\xff"),
        6 => make(0xc1, b"\x02\x00"),
        7 => make(0xc2, b"\x02\x00"),
        8 if has_auth => {
            let lasts = 60 + numbers.to(60);
            let renewed = json!({"auth": {"token": in_text(lasts, numbers)}});
            make(0x81, renewed.to_string().as_bytes())
        }
        9 => make(0x80, b"x"),
        10..20 => make(0x81, "é".repeat(len / 2).as_bytes()),
        20..35 => make(0x81, &payload),
        _ => make(0x82, &payload),
    }
}

/// Returns the client's answer to the last of Postern's own Pings in `heard`.
fn answer(heard: &[u8]) -> Option<Vec<u8>> {
    let at = heard.windows(10).rposition(|bytes| bytes[0] == 0x89 && &bytes[2..] == b"postern:")?;
    let len = usize::from(heard[at + 1]);
    Some(from_client(0x8a, heard.get(at + 2..at + 2 + len)?))
}

/// Plays a schedule, and returns the number of chunks that passed plain, and whether the session came to an
/// end.
fn play(seed: u64) -> (u64, bool) {
    let mut numbers = Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let policies = policies();
    let policy = policies[numbers.to(policies.len() as u64)].clone();
    let has_auth = policy.get("auth").is_some();
    let terms = Terms {
        bearer: (has_auth && numbers.to(2) == 0).then(|| bearer(60, &mut numbers)),
        deflate: policy.get("compression").is_some() && numbers.to(4) > 0,
        parks: (numbers.to(8) > 0, numbers.to(8) > 0),
        policy,
    };
    let mut twins = [true, false].map(|plain| Twin::new(&terms, plain));
    let mut queues: [Vec<u8>; 2] = Default::default();
    if has_auth && terms.bearer.is_none() {
        queues[0]
            .extend(from_client(0x81, json!({"token": in_text(50, &mut numbers)}).to_string().as_bytes()));
    }
    let (mut now, mut heard) = (START, 0);
    for _ in 0..40 {
        let index = numbers.to(2);
        let (peer, queue) = ([Peer::Client, Peer::Upstream][index], &mut queues[index]);
        for _ in 0..numbers.to(3) {
            queue.extend(frame(peer, has_auth, &mut numbers));
        }
        if peer == Peer::Client && numbers.to(3) > 0 {
            queue.extend(answer(&twins[0].to_client[heard..]).unwrap_or_default());
            heard = twins[0].to_client.len();
        }
        let longest = if numbers.to(3) == 0 { 40_000 } else { 4000 };
        let longest = queue.len().min(longest);
        let cut = if numbers.to(6) == 0 { numbers.to(longest as u64 + 1) } else { longest };
        let chunk: Vec<u8> = queue.drain(..cut).collect();
        twins.iter_mut().for_each(|twin| twin.send(peer, &chunk, now));
        let event: Option<fn(Duration) -> Input> = match numbers.to(30) {
            0 => Some(|now| Input::Drain(now + Duration::from_secs(3))),
            1 => Some(|_| Input::NotParked),
            2 => Some(|_| Input::SetBack(Duration::from_secs(2))),
            _ => None,
        };
        if let Some(event) = event {
            twins.iter_mut().for_each(|twin| twin.input(event(now), now));
        }
        now += Duration::from_millis([0, 1, 50, 260, 1000, 2500][numbers.to(6)]);
        twins.iter_mut().for_each(|twin| twin.input(Input::Timer, now));
        let [plain, judged] = &mut twins;
        let policy = &terms.policy;
        assert_eq!((&plain.told, plain.is_reset), (&judged.told, judged.is_reset), "seed {seed}: {policy}");
        assert!(plain.to_client == judged.to_client, "seed {seed}: {policy}: what the client receives");
        assert!(plain.to_upstream == judged.to_upstream, "seed {seed}: {policy}: what the upstream receives");
        assert_eq!(plain.session.deadline(), judged.session.deadline(), "seed {seed}: {policy}");
        assert_eq!(plain.session.take_tally(), judged.session.take_tally(), "seed {seed}: {policy}");
        if plain.is_reset {
            break;
        }
    }
    (twins[0].plain, !twins[0].told.is_empty())
}

#[test]
fn nobody_can_tell_whether_chunks_have_passed_plain() {
    let (mut plain, mut ended) = (0, 0);
    for seed in 0..SCHEDULES {
        let played = play(seed);
        plain += played.0;
        ended += u64::from(played.1);
    }
    assert!(plain > SCHEDULES && ended > SCHEDULES / 4, "{plain} chunks, {ended} ends");
}
