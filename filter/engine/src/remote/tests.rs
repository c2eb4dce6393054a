use std::time::Duration;

use postern_config::{RemoteJwks, Revocation};
use serde_json::json;

use super::*;
use crate::auth::minting::issuer_keys;

const START: Duration = Duration::from_secs(1_800_000_000);

fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn spec(interval: u64) -> Spec {
    Spec {
        kind: Kind::Keys,
        cluster: "auth".to_owned(),
        scheme: "https".to_owned(),
        authority: "auth.example.com".to_owned(),
        path: "/jwks.json".to_owned(),
        timeout: s(2),
        interval: s(interval),
        good_for: Some(s(3600)),
    }
}

/// The record and the document that the workers share.
#[derive(Default)]
struct Shared {
    record: Vec<u8>,
    document: Vec<u8>,
}

/// One worker of an Envoy.
struct Worker {
    source: Source,
    holder: u64,
}

fn workers(count: u64, spec: &Spec) -> Vec<Worker> {
    (1..=count).map(|holder| Worker { source: Source::new(spec.clone()), holder }).collect()
}

impl Worker {
    /// Looks as a host does, and says whether a fetch is made.
    fn tick(&self, shared: &mut Shared, now: Duration) -> bool {
        let mut fetches = false;
        loop {
            match self.source.look(&shared.record, self.holder, now) {
                Step::Rest => return fetches,
                Step::Read => {
                    self.source.take_up(&shared.document);
                }
                Step::Claim(record) => {
                    (shared.record, fetches) = (record, true);
                }
            }
        }
    }

    /// Has the fetch bring this answer.
    fn answered(
        &self,
        shared: &mut Shared,
        status: &[u8],
        body: &[u8],
        now: Duration,
    ) -> Result<(), FetchError> {
        let judged = self.source.judge(&Answer { status, len: body.len(), body });
        let outcome = judged.as_ref().copied().unwrap_or(Outcome::FAILED);
        match self.source.settle(&shared.record, outcome, body, self.holder, now) {
            Settled::Lost => {}
            Settled::Swap { document, record } => {
                shared.record = record;
                shared.document = document.unwrap_or(std::mem::take(&mut shared.document));
            }
        }
        assert!(!self.tick(shared, now), "a fetch right after a fetch");
        judged.map(|_| ())
    }

    /// Returns the number of the keys that serve at `now`.
    fn serves(&self, now: Duration) -> Option<u64> {
        self.source.content(now, Content::keys).map(|_| self.source.at_hand.get())
    }
}

fn good() -> Vec<u8> {
    issuer_keys().to_string().into_bytes()
}

/// Returns another good document.
fn other() -> Vec<u8> {
    json!({"keys": [issuer_keys()["keys"][0]]}).to_string().into_bytes()
}

#[test]
fn one_worker_fetches_and_the_others_take_it_up() {
    let (mut shared, all) = (Shared::default(), workers(4, &spec(300)));
    assert!(all[0].tick(&mut shared, START));
    assert!(all.iter().all(|worker| !worker.tick(&mut shared, START) && worker.serves(START).is_none()));
    all[0].answered(&mut shared, b"200", &good(), START + s(1)).unwrap();
    assert_eq!(all[0].serves(START + s(1)), Some(1));
    assert_eq!(all[1].serves(START + s(1)), None);
    for worker in &all {
        assert!(!worker.tick(&mut shared, START + s(1)));
        assert!(worker.source.take_stir());
        assert_eq!(worker.serves(START + s(1)), Some(1));
        assert!(!worker.tick(&mut shared, START + s(2)));
        assert!(!worker.source.take_stir(), "there is nothing to tell");
    }
}

#[test]
fn whoever_is_configured_later_goes_on_with_what_is_there() {
    let (mut shared, all) = (Shared::default(), workers(1, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    for (interval, is_due) in [(300, false), (60, true)] {
        let mut shared = Shared { record: shared.record.clone(), document: shared.document.clone() };
        let later = &workers(1, &spec(interval))[0];
        assert!(!later.tick(&mut shared, START + s(30)));
        assert_eq!(later.serves(START + s(30)), Some(1));
        // The worker's own interval counts.
        assert_eq!(later.tick(&mut shared, START + s(60)), is_due);
    }
}

#[test]
fn the_lease_of_a_dead_worker_ends_and_what_it_brings_later_is_not_taken() {
    let (mut shared, all) = (Shared::default(), workers(2, &spec(300)));
    assert!(all[0].tick(&mut shared, START));
    let ends = START + s(2) + MARGIN;
    assert!(!all[1].tick(&mut shared, ends - Duration::from_millis(1)));
    assert!(all[1].tick(&mut shared, ends));
    all[0].answered(&mut shared, b"200", &good(), ends).unwrap();
    assert_eq!(all[0].serves(ends), None);
    all[1].answered(&mut shared, b"200", &other(), ends + s(1)).unwrap();
    assert!(!all[0].tick(&mut shared, ends + s(1)));
    assert_eq!(all[0].serves(ends + s(1)), Some(1));
    // An answer after the worker's own lease comes too late as well, though nobody has taken over.
    assert!(all[0].tick(&mut shared, ends + s(301)));
    let settled = all[0].source.settle(&shared.record, Outcome::FAILED, b"", 1, ends + s(305));
    assert_eq!(settled, Settled::Lost);
}

#[test]
fn a_document_whose_record_came_too_late_is_not_taken_for_the_next_one() {
    let (mut shared, all) = (Shared::default(), workers(2, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    assert!(all[0].tick(&mut shared, START + s(300)));
    let outcome = all[0].source.judge(&Answer { status: b"200", len: other().len(), body: &other() });
    let settled = all[0].source.settle(&shared.record, outcome.unwrap(), &other(), 1, START + s(302));
    let Settled::Swap { document: Some(document), .. } = settled else { panic!("{settled:?}") };
    // The document is shared, and before its record is, another worker takes over.
    shared.document = document;
    let late = START + s(303);
    assert_eq!(all[1].source.look(&shared.record, 2, late), Step::Read);
    assert!(all[1].source.take_up(&shared.document));
    let orphan = all[1].source.content(late, Content::keys).unwrap();
    assert!(all[1].tick(&mut shared, late));
    let newer = json!({"keys": [issuer_keys()["keys"][1]]}).to_string().into_bytes();
    all[1].answered(&mut shared, b"200", &newer, late).unwrap();
    assert!(!Rc::ptr_eq(&all[1].source.content(late, Content::keys).unwrap(), &orphan));
}

#[test]
fn a_worker_that_goes_away_gives_its_lease_back() {
    let (mut shared, all) = (Shared::default(), workers(2, &spec(300)));
    assert!(all[0].tick(&mut shared, START));
    assert_eq!(all[1].source.release(&shared.record, 2, START), None);
    shared.record = all[0].source.release(&shared.record, 1, START).unwrap();
    assert!(all[1].tick(&mut shared, START));
}

#[test]
fn it_is_fetched_again_after_its_interval_and_an_unchanged_document_is_not_read_again() {
    let (mut shared, all) = (Shared::default(), workers(2, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START + s(1)).unwrap();
    all[1].tick(&mut shared, START + s(1));
    assert!(!all[1].tick(&mut shared, START + s(300)));
    assert!(all[1].tick(&mut shared, START + s(301)));
    shared.document = b"whoever reads this has read it again".to_vec();
    all[1].answered(&mut shared, b"200", &good(), START + s(302)).unwrap();
    assert!(!all[0].tick(&mut shared, START + s(601)));
    assert_eq!((all[0].serves(START + s(302)), all[1].serves(START + s(302))), (Some(1), Some(1)));
    assert_eq!(all[0].source.age(START + s(310)), Some(s(8)));
    assert!(all[0].tick(&mut shared, START + s(602)));
    all[0].answered(&mut shared, b"200", &other(), START + s(602)).unwrap();
    assert!(!all[1].tick(&mut shared, START + s(603)));
    assert_eq!(all[1].serves(START + s(603)), Some(2));
}

/// Returns the times when a server that always fails is asked, in seconds after the first time.
fn retries(worker: &Worker, shared: &mut Shared, from: Duration, seconds: u64) -> Vec<u64> {
    let mut times = Vec::new();
    for tenth in 0..seconds * 10 {
        let now = from + Duration::from_millis(tenth * 100);
        if worker.tick(shared, now) {
            times.push(tenth / 10);
            worker.answered(shared, b"500", b"", now).unwrap_err();
        }
    }
    times
}

#[test]
fn a_failed_fetch_is_tried_again_at_a_bounded_pace() {
    for (interval, expected) in [(300, vec![0, 1, 3, 7, 15, 25, 35]), (3, vec![0, 1, 3, 6, 9, 12, 15])] {
        let (mut shared, all) = (Shared::default(), workers(1, &spec(interval)));
        let found = retries(&all[0], &mut shared, START, 40);
        assert_eq!(found[..expected.len()], expected, "interval {interval}");
    }
    // There is no hurry with something at hand.
    for (interval, expected) in [(300, vec![0, 10, 20, 30]), (3, vec![0, 3, 6, 9])] {
        let (mut shared, all) = (Shared::default(), workers(1, &spec(interval)));
        all[0].tick(&mut shared, START);
        all[0].answered(&mut shared, b"200", &good(), START).unwrap();
        let found = retries(&all[0], &mut shared, START + s(interval), 40);
        assert_eq!(found[..expected.len()], expected, "interval {interval}");
    }
}

#[test]
fn failures_beyond_counting_do_not_overflow() {
    let (mut shared, all) = (Shared::default(), workers(1, &spec(300)));
    for i in 0..200_u64 {
        assert!(all[0].tick(&mut shared, START + s(10 * i)));
        all[0].answered(&mut shared, b"500", b"", START + s(10 * i)).unwrap_err();
    }
}

#[test]
fn what_is_asked_for_out_of_turn_is_fetched_at_most_every_ten_seconds() {
    let (mut shared, all) = (Shared::default(), workers(3, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START + s(1)).unwrap();
    all[1].tick(&mut shared, START + s(1));
    all[2].tick(&mut shared, START + s(1));
    // The ten seconds begin where the last fetch began.
    let early = START + s(10) - Duration::from_millis(1);
    assert_eq!(all[1].source.want(early), None);
    assert!(!all[1].tick(&mut shared, early));
    assert_eq!(all[1].source.want(START + s(10)), Some(s(2)));
    assert_eq!(all[2].source.want(START + s(10)), Some(s(2)));
    assert!(!all[0].tick(&mut shared, START + s(10)), "who was not asked does not fetch");
    assert!(all[1].tick(&mut shared, START + s(10)));
    assert_eq!(all[1].source.want(START + s(11)), Some(s(2)), "it is under way");
    assert!(!all[2].tick(&mut shared, START + s(11)));
    all[1].answered(&mut shared, b"200", &good(), START + s(12)).unwrap();
    for worker in &all {
        // The wish was granted by that, and is not kept for later.
        assert!(!worker.tick(&mut shared, START + s(12)));
        assert!(worker.source.take_stir(), "who waits has to learn that it has not come");
        assert_eq!(worker.source.want(START + s(13)), None);
        assert!(!worker.tick(&mut shared, START + s(21)));
    }
}

#[test]
fn a_failed_wish_is_not_repeated_sooner() {
    let (mut shared, all) = (Shared::default(), workers(1, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    let mut hits = 0;
    for tenth in 0..1000 {
        let now = START + Duration::from_millis(100 * tenth);
        all[0].source.want(now);
        if all[0].tick(&mut shared, now) {
            hits += 1;
            all[0].answered(&mut shared, b"500", b"", now).unwrap_err();
        }
    }
    assert_eq!(hits, 9);
}

#[test]
fn what_is_at_hand_serves_for_its_time_and_whoever_waits_does_so_while_it_makes_sense() {
    let spec = Spec { good_for: Some(s(400)), ..spec(300) };
    let (mut shared, all) = (Shared::default(), workers(1, &spec));
    let worker = &all[0];
    assert_eq!(worker.source.patience(START), Some(s(2)), "nothing was tried yet");
    worker.tick(&mut shared, START);
    assert_eq!(worker.source.patience(START), Some(s(2)), "it is under way");
    worker.answered(&mut shared, b"200", &good(), START).unwrap();
    assert_eq!(worker.source.patience(START), None);
    let mut now = START;
    while worker.serves(now).is_some() {
        now += s(1);
        if worker.tick(&mut shared, now) {
            worker.answered(&mut shared, b"503", b"", now).unwrap_err();
        }
    }
    assert_eq!(now, START + s(400));
    // The last try was at 400, the next is at 410.
    assert_eq!(worker.source.patience(START + s(407)), None);
    assert_eq!(worker.source.patience(START + s(408)), Some(s(2)));
    assert!(worker.tick(&mut shared, START + s(410)));
    worker.answered(&mut shared, b"200", &good(), START + s(410)).unwrap();
    assert_eq!(worker.serves(START + s(410)), Some(1));
}

#[test]
fn only_a_good_answer_is_taken() {
    let (mut shared, all) = (Shared::default(), workers(1, &spec(10)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    let large = vec![b' '; Kind::Keys.max_bytes() + 1];
    let unusable = |what: &str, remedy: &str| FetchError::Unusable(DocumentFault::new(what, remedy));
    let no_set = "have `uri` name a JWK set (RFC 7517)";
    let cases: [(&[u8], &[u8], FetchError); 9] = [
        (b"", b"", FetchError::NoAnswer),
        (b"2OO", &other(), FetchError::NoAnswer),
        (b"204", b"", FetchError::Status(204)),
        (b"301", &other(), FetchError::Status(301)),
        (b"503", &other(), FetchError::Status(503)),
        (b"200", &large, FetchError::TooLarge),
        (b"200", b"", unusable("no unambiguous JSON: not JSON", no_set)),
        (
            b"200",
            b"{\"keys\": [], \"keys\": []}",
            unusable("no unambiguous JSON: a member occurs twice", no_set),
        ),
        (
            b"200",
            b"{\"keys\": []}",
            unusable(
                "no key that can be used: `keys` is empty",
                "have the issuer publish public keys for signatures",
            ),
        ),
    ];
    for (i, (status, body, error)) in (1..).zip(cases) {
        let now = START + s(10 * i);
        assert!(all[0].tick(&mut shared, now));
        assert_eq!(all[0].answered(&mut shared, status, body, now), Err(error));
        assert_eq!(all[0].serves(now), Some(1));
    }
}

#[test]
fn shared_bytes_that_nobody_wrote_harm_nothing() {
    let (mut shared, all) = (Shared::default(), workers(2, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    let sound = std::mem::take(&mut shared);
    for document in [&b""[..], b"short", &[0xff; 100], &sound.document[..40]] {
        let later = &workers(1, &spec(300))[0];
        assert_eq!(later.source.look(&sound.record, 9, START), Step::Read);
        assert!(!later.source.take_up(document));
        // A broken document is not read over and over.
        assert_eq!(later.source.look(&sound.record, 9, START), Step::Rest);
        assert_eq!(later.serves(START), None);
    }
    for record in [&b"x"[..], &[0xff; 59], &[0xff; 60], &[0x00; 60]] {
        let later = &workers(1, &spec(300))[0];
        for _ in 0..3 {
            match later.source.look(record, 9, START) {
                Step::Read => assert!(!later.source.take_up(b"")),
                Step::Claim(_) | Step::Rest => {}
            }
        }
    }
}

#[test]
fn a_clock_that_is_set_back_stops_nothing() {
    let (mut shared, all) = (Shared::default(), workers(1, &spec(300)));
    all[0].tick(&mut shared, START);
    all[0].answered(&mut shared, b"200", &good(), START).unwrap();
    let back = START - s(86_400);
    assert!(all[0].tick(&mut shared, back), "it is fetched again at once");
    assert_eq!(all[0].serves(back), Some(1), "and serves meanwhile");
    all[0].answered(&mut shared, b"200", &good(), back + s(1)).unwrap();
    assert!(!all[0].tick(&mut shared, back + s(2)));
    assert!(all[0].tick(&mut shared, back + s(301)));
}

#[test]
fn however_many_workers_want_however_much_one_of_them_asks_every_ten_seconds() {
    let (mut shared, all) = (Shared::default(), workers(8, &spec(300)));
    let (mut hits, mut first_good): (Vec<Duration>, Option<usize>) = (Vec::new(), None);
    let mut under_way: Option<(usize, Duration)> = None;
    let mut state = 1_u64;
    for step in 0..30_000_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let now = START + Duration::from_millis(step * 10);
        let index = usize::try_from(state >> 33).unwrap() % all.len();
        all[index].source.want(now);
        if let Some((who, _)) = under_way.take_if(|(_, until)| *until <= now) {
            let fails = state >> 60 < 4;
            let (status, body) = if fails { (b"500", Vec::new()) } else { (b"200", good()) };
            let answered = all[who].answered(&mut shared, status, &body, now);
            if answered.is_ok() {
                first_good.get_or_insert(hits.len());
            }
        }
        if all[index].tick(&mut shared, now) {
            assert!(under_way.is_none(), "two fetches at once");
            hits.push(now);
            under_way = Some((index, now + Duration::from_millis(state >> 54)));
        }
    }
    let first_good = first_good.unwrap();
    assert!(hits.len() > first_good + 20, "{hits:?}");
    for (i, pair) in hits.windows(2).enumerate() {
        let soonest = if i + 1 < first_good { s(1) } else { s(10) };
        assert!(pair[1] - pair[0] >= soonest, "{pair:?}");
    }
}

#[test]
fn a_source_is_what_its_policy_says() {
    let remote = RemoteJwks {
        cluster: "auth".to_owned(),
        uri: url::Url::parse("https://auth.example.com:8443/keys?tenant=1").unwrap(),
        timeout: s(2),
        refresh_interval: s(300),
        max_stale: s(3600),
    };
    let found = Spec::keys(&remote);
    assert_eq!((found.authority.as_str(), found.path.as_str()), ("auth.example.com:8443", "/keys?tenant=1"));
    assert_eq!(found.good_for, Some(s(3600)));
    let short = Spec::keys(&RemoteJwks { max_stale: s(0), ..remote });
    assert_eq!(short.good_for, Some(s(300) + s(2) + MARGIN), "the next set can be there by then");
    for (cluster, authority) in
        [("auth", "auth"), ("outbound|443||auth.example.com", "auth.example.com"), ("odd|", "odd|")]
    {
        let revocation = Revocation { cluster: cluster.to_owned(), path: "/r".to_owned(), interval: s(10) };
        let found = Spec::revocation(&revocation);
        assert_eq!((found.authority.as_str(), found.good_for), (authority, None));
    }
}

#[test]
fn who_asks_for_the_same_at_the_same_pace_shares_a_source_and_else_what_is_shared() {
    let sources = Sources::default();
    let of = |interval| {
        let revocation =
            Revocation { cluster: "auth".to_owned(), path: "/r".to_owned(), interval: s(interval) };
        sources.revocation(&revocation)
    };
    assert!(Rc::ptr_eq(&of(10), &of(10)));
    assert!(!Rc::ptr_eq(&of(10), &of(20)));
    assert_eq!(of(10).record_key(), of(20).record_key());
    assert_eq!(sources.all().len(), 2);
}
