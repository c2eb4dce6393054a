use crate::http::headers::HeaderEdit;
use crate::http::request::RequestHead;
use crate::session::chunk::MAX_EARLY_BYTES;
use serde_json::{Value, json};

use super::*;
use crate::engine::{RouteFacts, Selection};
use crate::testing::{Tables, agreement, engine, from_client, from_upstream, request, with};

pub(super) const START: Duration = Duration::from_secs(1_800_000_000);
const SECOND: Duration = Duration::from_secs(1);

/// A session under the smallest policy with `changes`, and its outputs so far.
pub(super) struct Trial {
    pub(super) session: Session,
    pub(super) outputs: Vec<Output>,
    /// The tables that all workers share.
    pub(super) tables: Tables,
}

impl Trial {
    pub(super) fn new(changes: Value, head: RequestHead) -> Self {
        Self::with_tables(changes, head, Tables::default())
    }

    /// Creates a session that asks these tables.
    pub(super) fn with_tables(changes: Value, head: RequestHead, tables: Tables) -> Self {
        let Selection::Judge(session) = engine(changes).select(&head, &RouteFacts::default()) else {
            panic!("the policy judges every request");
        };
        let mut trial = Self { session: *session, outputs: Vec::new(), tables };
        trial.input(Input::Request(head), START);
        trial
    }

    /// Creates a session whose upstream has agreed.
    pub(super) fn open(changes: Value) -> Self {
        let mut trial = Self::awaiting(changes);
        trial.agree();
        trial
    }

    /// Creates a session whose handshake has gone up.
    pub(super) fn awaiting(changes: Value) -> Self {
        Self::new(changes, request())
    }

    /// Has the upstream agree.
    pub(super) fn agree(&mut self) {
        self.agree_at(START);
        self.outputs.clear();
    }

    /// Has the upstream agree at `now`.
    pub(super) fn agree_at(&mut self, now: Duration) {
        self.input(Input::Response(agreement()), now);
        assert!(self.session.was_opened(), "{:?}", self.outputs);
    }

    pub(super) fn input(&mut self, input: Input, now: Duration) {
        self.session.handle(input, &mut self.tables, now);
        self.drain();
    }

    fn drain(&mut self) {
        self.outputs.extend(std::iter::from_fn(|| self.session.poll_output()));
    }

    /// Returns what goes on of a chunk.
    pub(super) fn bytes(&mut self, peer: Peer, chunk: &[u8], now: Duration) -> Vec<u8> {
        if self.session.pass_unread(peer, chunk.len()) {
            return chunk.to_vec();
        }
        if self.session.pass_plain(peer, &mut &chunk[..]).unwrap() {
            self.session.note_time(now);
            return chunk.to_vec();
        }
        let passage = self.session.judge(peer, &mut &chunk[..], &mut self.tables, now).unwrap();
        self.drain();
        passage.bytes(chunk)
    }

    /// Says whether a chunk leaves its stream parked.
    pub(super) fn parks(&mut self, peer: Peer, chunk: &[u8]) -> bool {
        self.session.judge(peer, &mut &chunk[..], &mut self.tables, START).unwrap().park
    }

    pub(super) fn client(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.bytes(Peer::Client, chunk, START)
    }

    pub(super) fn upstream(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.bytes(Peer::Upstream, chunk, START)
    }
}

/// Says whether `output` tells that an open connection has ended for `reason`.
fn is_closed_for(output: &Output, reason: Reason) -> bool {
    matches!(output, Output::Tell(Event::Closed { violation, instance })
        if violation.reason == reason && instance == "09090909-0909-4909-8909-090909090909")
}

/// Returns the Close that the client must see.
pub(super) fn close(reason: Reason) -> Vec<u8> {
    crate::websocket::close::to_client(reason)
}

/// Returns the Close that the upstream must see, under the mask of the request in `testing`.
pub(super) fn masked_close(reason: Reason) -> Vec<u8> {
    crate::websocket::close::to_upstream(reason, [1, 2, 3, 4])
}

#[test]
fn what_is_allowed_passes_as_it_is_at_every_split_and_unread_within_a_payload() {
    let from_here = [
        from_client(0x82, &[9; 70_000]),
        from_client(0x01, b"text in "),
        from_client(0x8a, b"a pong in it"),
        from_client(0x80, b"fragments"),
    ]
    .concat();
    let changes = json!({"messages": {"max_frame_bytes": "128KiB", "max_message_bytes": "128KiB"}});
    for size in [1, 2, 3, 7, 13, 14, 15, 64, 1000, 16_384, from_here.len()] {
        let mut trial = Trial::open(changes.clone());
        let passed: Vec<u8> = from_here.chunks(size).flat_map(|chunk| trial.client(chunk)).collect();
        assert_eq!(passed.len(), from_here.len(), "chunks of {size}");
        assert!(passed == from_here, "chunks of {size}");
        assert_eq!(trial.outputs, [], "chunks of {size}");
    }
}

#[test]
fn a_violation_of_the_client_ends_both_sides_at_their_boundaries() {
    let (good, bad) = (from_client(0x81, b"good"), from_client(0x82, &[0; 20]));
    let changes = json!({"messages": {"max_frame_bytes": 16, "max_message_bytes": 16}});
    for cut in 0..good.len() + bad.len() {
        let mut trial = Trial::open(changes.clone());
        let (server_frame, behind) = (from_upstream(0x82, b"on its way"), from_upstream(0x82, b"behind"));
        let mut down = trial.upstream(&server_frame[..4]);

        let bytes = [good.clone(), bad.clone(), from_client(0x81, b"more")].concat();
        let up = [trial.client(&bytes[..cut]), trial.client(&bytes[cut..]), trial.client(b"\x88\x80abcd")]
            .concat();
        assert_eq!(up, [good.clone(), masked_close(Reason::FrameTooBig)].concat(), "cut at {cut}");
        let [told] = &trial.outputs[..] else { panic!("cut at {cut}: {:?}", trial.outputs) };
        assert!(is_closed_for(told, Reason::FrameTooBig), "cut at {cut}: {told:?}");

        // The frame on its way to the client is finished before the Close.
        down.extend(trial.upstream(&server_frame[4..6]));
        down.extend(trial.upstream(&[&server_frame[6..], &behind].concat()));
        down.extend(trial.upstream(&behind));
        assert_eq!(down, [server_frame, close(Reason::FrameTooBig)].concat(), "cut at {cut}");
    }
}

#[test]
fn a_violation_of_the_upstream_never_reaches_the_client() {
    let mut trial = Trial::open(json!({}));
    let good = from_upstream(0x82, b"good");
    let down = trial.upstream(&[good.clone(), from_client(0x82, b"masked")].concat());
    assert_eq!(down, [good, close(Reason::ProtocolError)].concat());
    assert_eq!(trial.client(&from_client(0x88, &[0x03, 0xea])), masked_close(Reason::ProtocolError));
}

#[test]
fn a_parked_client_is_told_at_once() {
    let mut trial = Trial::open(json!({}));
    assert!(trial.parks(Peer::Upstream, b""));
    let up = trial.client(&from_client(0x82, &[0; 65_537]));
    assert_eq!(up, masked_close(Reason::FrameTooBig));
    let [told, sent] = &trial.outputs[..] else { panic!("{:?}", trial.outputs) };
    assert!(is_closed_for(told, Reason::FrameTooBig), "{told:?}");
    assert_eq!(*sent, Output::Send(Peer::Client, close(Reason::FrameTooBig)));
    assert_eq!(trial.upstream(&from_upstream(0x88, &[0x03, 0xea])), b"", "nothing follows a Close");
}

#[test]
fn a_stream_is_not_parked_in_the_middle_of_a_frame() {
    let mut trial = Trial::open(json!({}));
    trial.upstream(&from_upstream(0x82, b"on its way")[..5]);
    assert!(!trial.parks(Peer::Upstream, b""));
}

#[test]
fn a_refusal_before_the_response_starts_is_told_when_it_does() {
    let mut trial = Trial::open(json!({}));
    trial.client(&from_client(0xc1, b""));
    trial.outputs.clear();
    assert_eq!(trial.upstream(b""), close(Reason::ProtocolError));
    assert!(!trial.parks(Peer::Upstream, b""), "nothing is left to park for");
    assert_eq!(trial.outputs, []);
}

#[test]
fn whatever_is_left_after_close_timeout_is_cut() {
    let mut trial = Trial::open(json!({"liveness": {"close_timeout": "2s"}}));
    trial.client(&from_client(0xc1, b""));
    trial.outputs.clear();
    assert_eq!(trial.session.deadline(), Some(START + 2 * SECOND));
    trial.input(Input::Timer, START + 2 * SECOND - Duration::from_nanos(1));
    assert_eq!(trial.outputs, []);
    trial.input(Input::Timer, START + 2 * SECOND);
    assert_eq!(trial.outputs, [Output::Reset]);
}

#[test]
fn a_peers_own_close_is_passed_on_and_nothing_after_it() {
    let own = from_client(0x88, &[0x03, 0xe8, b'b', b'y', b'e']);
    for cut in 0..own.len() {
        let mut trial = Trial::open(json!({}));
        let bytes = [own.clone(), from_client(0x81, b"late")].concat();
        let up = [trial.client(&bytes[..cut]), trial.client(&bytes[cut..])].concat();
        assert_eq!(up, own, "cut at {cut}");
        let more = from_upstream(0x82, b"still on its way");
        assert_eq!(trial.upstream(&more), more, "the other direction drains");
        let answer = from_upstream(0x88, &[0x03, 0xe8]);
        assert_eq!(trial.upstream(&answer), answer);
        assert_eq!(trial.outputs, [], "nobody was refused");
        trial.input(Input::Timer, START + 5 * SECOND);
        assert_eq!(trial.outputs, [Output::Reset]);
    }
}

#[test]
fn messages_over_their_rate_close_or_are_discarded_whole() {
    let rate = |on_exceed: &str| json!({"rates": [{"count": "messages", "per": "connection", "limit": 2, "window": "10s", "on_exceed": on_exceed}]});
    let fragmented = |text: &[u8]| {
        [
            from_client(0x01, text),
            from_client(0x89, b"ping"),
            from_client(0x00, text),
            from_client(0x80, text),
        ]
        .concat()
    };
    let sent = [fragmented(b"one"), fragmented(b"two"), fragmented(b"three")].concat();

    let mut trial = Trial::open(rate("close"));
    let kept = [fragmented(b"one"), fragmented(b"two"), masked_close(Reason::MessageRate)].concat();
    assert_eq!(trial.client(&sent), kept);
    let tally = trial.session.take_tally();
    assert_eq!((tally.client.allowed, tally.client.refused), (2, 1));

    for size in [1, 2, 5, 11, sent.len()] {
        let mut trial = Trial::open(rate("drop"));
        let kept = [fragmented(b"one"), fragmented(b"two"), from_client(0x89, b"ping")].concat();
        let passed: Vec<u8> = sent.chunks(size).flat_map(|chunk| trial.client(chunk)).collect();
        assert_eq!(passed, kept, "chunks of {size}");
        let later = from_client(0x81, b"five seconds later");
        assert_eq!(trial.bytes(Peer::Client, &later, START + 5 * SECOND), later);
        let tally = trial.session.take_tally();
        assert_eq!((tally.client.allowed, tally.client.dropped), (3, 1));
    }
}

#[test]
fn bytes_ahead_of_the_101_are_held_and_then_judged() {
    let mut trial = Trial::new(json!({}), request());
    trial.outputs.clear();
    let early = from_client(0x81, b"early");
    assert_eq!(trial.client(&early), early);
    assert_eq!(trial.outputs, [Output::HoldRequest]);
    trial.outputs.clear();
    trial.input(Input::Response(agreement()), START);
    assert_eq!(
        trial.outputs,
        [Output::AdmitResponse(vec![]), Output::Tell(Event::Opened), Output::ReleaseRequest(early.len())]
    );
    assert_eq!(
        trial.client(&[early.clone(), from_client(0xc1, b"")].concat()),
        [early, masked_close(Reason::ProtocolError)].concat()
    );
}

#[test]
fn a_client_that_has_said_nothing_yet_is_not_held() {
    let mut trial = Trial::new(json!({}), request());
    trial.outputs.clear();
    assert_eq!(trial.client(b""), b"");
    assert_eq!(trial.outputs, []);
}

#[test]
fn too_many_bytes_ahead_of_the_101_are_refused() {
    let mut trial = Trial::new(json!({}), request());
    trial.outputs.clear();
    assert_eq!(trial.client(&[0; MAX_EARLY_BYTES + 1]), b"");
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::MalformedHandshake),
        "{:?}",
        trial.outputs
    );
}

#[test]
fn bytes_ahead_of_a_refusal_by_the_upstream_never_go_on() {
    let mut trial = Trial::new(json!({}), request());
    trial.client(b"GET /admin HTTP/1.1\r\n\r\n");
    trial.outputs.clear();
    trial.input(Input::Response(vec![(":status".to_owned(), b"403".to_vec())]), START);
    assert_eq!(trial.outputs, [Output::AdmitResponse(vec![])]);
}

#[test]
fn an_answer_that_is_no_agreement_is_refused() {
    let mut wrong = agreement();
    wrong.pop();
    let mut trial = Trial::new(json!({}), request());
    trial.outputs.clear();
    trial.input(Input::Response(wrong), START);
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::UpstreamHandshakeInvalid),
        "{:?}",
        trial.outputs
    );
    trial.outputs.clear();
    trial.input(Input::Response(vec![(":status".to_owned(), b"502".to_vec())]), START);
    assert_eq!(trial.outputs, [], "the reply comes back through the response callbacks");
    assert_eq!(trial.upstream(b"{\"the\": \"reply\"}"), b"{\"the\": \"reply\"}");
    assert_eq!(trial.client(b"anything"), b"");
}

#[test]
fn a_101_to_ordinary_http_is_refused() {
    let plain = crate::testing::without(&request(), "upgrade");
    let mut trial = Trial::new(json!({}), plain);
    assert_eq!(trial.outputs, [Output::Admit(vec![])]);
    trial.outputs.clear();
    trial.input(Input::Response(agreement()), START);
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::UpstreamHandshakeInvalid),
        "{:?}",
        trial.outputs
    );
}

#[test]
fn ordinary_http_passes_but_where_only_upgrades_may() {
    let plain = || crate::testing::without(&request(), "upgrade");
    let mut trial = Trial::new(json!({}), plain());
    assert_eq!(trial.client(b"any body"), b"any body");
    let trial = Trial::new(json!({"upgrade_only": true}), plain());
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::UpgradeRequired)
    );
}

#[test]
fn another_upgrade_passes_unjudged_only_where_the_policy_says_so() {
    let other = with(&request(), "upgrade", b"tcp");
    let mut trial = Trial::new(json!({"other_upgrades": "pass"}), other.clone());
    trial.input(Input::Response(vec![(":status".to_owned(), b"101".to_vec())]), START);
    assert_eq!(trial.client(b"SSH-2.0-x"), b"SSH-2.0-x");
    assert_eq!(trial.upstream(b"SSH-2.0-y"), b"SSH-2.0-y");
    let trial = Trial::new(json!({}), other);
    assert!(
        matches!(&trial.outputs[..], [.., Output::Reply(_, reply)] if reply.reason == Reason::UpgradeDenied)
    );
}

/// Opens a session by a token that is accepted for a second more.
fn with_a_token_about_to_end(expiry: &str) -> Trial {
    let claims = json!({"iss": "edge", "aud": "chat", "exp": START.as_secs() - 29});
    let token = crate::testing::token(crate::testing::SECRET, &claims);
    let head = with(&request(), "authorization", &[b"Bearer ", &token[..]].concat());
    let auth = json!({
        "providers": ["edge"],
        "from": [{"header": "authorization"}],
        "expiry": expiry,
        "expiry_grace": "10s",
    });
    let mut trial = Trial::new(json!({"auth": auth}), head);
    trial.input(Input::Response(agreement()), START);
    assert!(trial.session.was_opened(), "{:?}", trial.outputs);
    trial.outputs.clear();
    trial
}

#[test]
fn the_end_of_a_token_ends_the_connection_after_skew_and_grace() {
    let end = START + 11 * SECOND;
    for parked in [true, false] {
        let mut trial = with_a_token_about_to_end("close");
        if parked {
            assert!(trial.parks(Peer::Upstream, b""));
        }
        assert_eq!(trial.session.deadline(), Some(end));
        trial.input(Input::Timer, end - Duration::from_nanos(1));
        assert_eq!(trial.outputs, []);
        trial.input(Input::Timer, end);
        assert!(is_closed_for(&trial.outputs[0], Reason::TokenExpired), "{:?}", trial.outputs);
        let data = from_upstream(0x82, b"late");
        if parked {
            assert_eq!(trial.outputs[1..], [Output::Send(Peer::Client, close(Reason::TokenExpired))]);
            assert_eq!(trial.bytes(Peer::Upstream, &data, end), b"");
        } else {
            assert_eq!(trial.outputs.len(), 1);
            assert_eq!(trial.bytes(Peer::Upstream, &data, end), close(Reason::TokenExpired));
        }
        let late = from_client(0x81, b"late");
        assert_eq!(trial.bytes(Peer::Client, &late, end), masked_close(Reason::TokenExpired));
        assert_eq!(trial.session.deadline(), Some(end + 5 * SECOND));
    }
}

#[test]
fn the_end_of_a_token_may_be_ignored() {
    let mut trial = with_a_token_about_to_end("ignore");
    trial.input(Input::Timer, START + 11 * SECOND);
    assert_eq!(trial.outputs, []);
}

#[test]
fn another_policy_on_the_route_taken_refuses_the_upstreams_agreement() {
    let mut trial = Trial::new(json!({}), request());
    trial.outputs.clear();
    trial.input(Input::Rerouted, START);
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::PolicyInvalid)
    );
    trial.outputs.clear();
    trial.input(Input::Response(agreement()), START);
    assert_eq!(trial.outputs, []);
}

#[test]
fn a_success_that_is_no_agreement_opens_nothing_over_http_2() {
    let mut head = crate::testing::without(&request(), "sec-websocket-key");
    head.connection.protocol = Protocol::Multiplexed;
    let mut trial = Trial::new(json!({}), head);
    trial.outputs.clear();
    trial.input(Input::Response(vec![(":status".to_owned(), b"200".to_vec())]), START);
    assert!(
        matches!(&trial.outputs[..], [Output::Tell(_), Output::Reply(_, reply)] if reply.reason == Reason::UpstreamHandshakeInvalid)
    );
}

#[test]
fn a_refused_request_without_an_upgrade_leaves_no_token_behind() {
    let auth = json!({"providers": ["edge"], "from": [{"query": "access_token"}]});
    let head = with(&crate::testing::without(&request(), "upgrade"), ":path", b"/chat?access_token=secret");
    let trial = Trial::new(json!({"auth": auth, "upgrade_only": true}), head);
    let edits = vec![HeaderEdit::Set(":path".to_owned(), b"/chat".to_vec())];
    assert!(
        matches!(&trial.outputs[..], [_, Output::Reply(removed, _)] if *removed == edits),
        "{:?}",
        trial.outputs
    );
}

#[test]
fn an_upstream_may_choose_the_offer_of_a_token_that_is_left_in() {
    let claims = json!({"iss": "edge", "aud": "chat", "exp": START.as_secs() + 60});
    let token = crate::testing::token(crate::testing::SECRET, &claims);
    let offer = [b"bearer.", &token[..]].concat();
    let head = with(&request(), "sec-websocket-protocol", &offer);
    let auth = json!({"providers": ["edge"], "from": [{"subprotocol": "bearer."}], "keep_token": true});
    let mut trial = Trial::new(json!({"auth": auth}), head);
    let mut chosen = agreement();
    chosen.push(("sec-websocket-protocol".to_owned(), offer));
    trial.input(Input::Response(chosen), START);
    assert!(trial.session.was_opened(), "{:?}", trial.outputs);
}

#[test]
fn compression_is_agreed_on_as_it_was_offered() {
    const FIELD: &str = "sec-websocket-extensions";
    let offer = with(&request(), FIELD, b"permessage-deflate; server_max_window_bits=10, foo");
    let answered = |changes: Value, head: &RequestHead, answer: Option<&str>| {
        let mut trial = Trial::new(changes, head.clone());
        trial.outputs.clear();
        let answer = answer.map(|value| (FIELD.to_owned(), value.as_bytes().to_vec()));
        let response = agreement().into_iter().chain(answer).collect();
        trial.input(Input::Response(response), START);
        trial
    };
    let drop =
        json!([{"count": "messages", "per": "connection", "limit": 2, "window": "10s", "on_exceed": "drop"}]);
    let fits = "permessage-deflate; server_max_window_bits=9";
    let alone = format!("{fits}; client_no_context_takeover");
    let alone_edit = HeaderEdit::Set(FIELD.to_owned(), alone.clone().into_bytes());
    for word in ["pass", "inspect"] {
        let changes = json!({"compression": word});
        let dropping = json!({"compression": word, "rates": drop});
        let cases = [
            (&changes, None, Some(vec![])),
            (&changes, Some(fits), Some(vec![])),
            (&changes, Some("permessage-deflate"), None),
            (&changes, Some("foo"), None),
            (&dropping, None, Some(vec![])),
            (&dropping, Some(fits), Some(vec![alone_edit.clone()])),
            (&dropping, Some(alone.as_str()), Some(vec![])),
        ];
        for (changes, answer, edits) in cases {
            let trial = answered(changes.clone(), &offer, answer);
            match edits {
                Some(edits) => {
                    let admitted = [Output::AdmitResponse(edits), Output::Tell(Event::Opened)];
                    assert_eq!(trial.outputs, admitted, "{word}: {answer:?}");
                }
                None => {
                    let [Output::Tell(_), Output::Reply(_, reply)] = trial.outputs.as_slice() else {
                        panic!("{word}, {answer:?}: {:?}", trial.outputs);
                    };
                    assert_eq!(reply.reason, Reason::UpstreamHandshakeInvalid);
                }
            }
        }
    }
    // An upstream that was offered nothing has nothing to agree to.
    for (changes, head) in [(json!({}), &offer), (json!({"compression": "pass"}), &request())] {
        assert!(!answered(changes.clone(), head, Some(fits)).session.was_opened());
        assert!(answered(changes, head, None).session.was_opened());
    }
}
