use postern_config::{Counted, OnExceed, Per, Rate};

use super::*;
use crate::rate::slots::WAYS;
use crate::rate::slots::testing::Host;

mod interleaving;

const ENTRY_LEN: usize = Slot::<2>::ENTRY_LEN;

const START: Duration = Duration::from_secs(1_800_000_000);

fn quota(limit: u64, window: Duration) -> Quota {
    let (count, per, on_exceed) = (Counted::Handshakes, Per::Ip, OnExceed::Deny);
    Quota::new(&Rate { count, per, limit, window, burst: limit, on_exceed, twin: 0 })
}

fn charge_at(host: &mut Host, question: &BucketRequest, now: Duration) -> Outcome {
    host.change(question.key.slot(), |slot| charge(slot, question, now))
}

#[test]
fn every_subject_has_a_bucket_of_its_own() {
    let keys = KeySpace::new([7; 16]);
    let quota = quota(2, Duration::from_secs(60));
    let mut host = Host::default();
    for subject in [b"198.51.100.1".as_slice(), b"198.51.100.2"] {
        let question = BucketRequest { key: keys.key(&[b"chat"], quota.name(), subject), quota, tokens: 1 };
        let outcomes: Vec<_> = (0..3).map(|_| charge_at(&mut host, &question, START)).collect();
        assert_eq!(outcomes[..2], [Outcome::Charged(Charged::Taken); 2]);
        assert_eq!(outcomes[2], Outcome::Charged(Charged::Wait(Duration::from_secs(30))));
    }
}

#[test]
fn a_worker_that_read_the_clock_before_another_used_the_bucket_up_finds_it_used_up() {
    let quota = quota(40, Duration::from_secs(3600));
    let keys = KeySpace::new([7; 16]);
    let question =
        |tokens| BucketRequest { key: keys.key(&[b"chat"], quota.name(), b"198.51.100.1"), quota, tokens };
    let mut host = Host::default();
    assert_eq!(charge_at(&mut host, &question(40), START), Outcome::Charged(Charged::Taken));
    for earlier in [1, 1_000_000_000].map(|nanoseconds| START - Duration::from_nanos(nanoseconds)) {
        assert_ne!(charge_at(&mut host, &question(1), earlier), Outcome::Charged(Charged::Taken));
    }
}

#[test]
fn a_slot_in_use_refuses_and_forgets_only_full_buckets() {
    let quota = quota(1, Duration::from_secs(60));
    let question = |i: u8| BucketRequest { key: EntryKey::of_bytes([i; 16]), quota, tokens: 1 };
    let mut slot = Vec::new();
    for i in 0..u8::try_from(WAYS).unwrap() {
        let (outcome, changed) = charge(&slot, &question(i), START);
        assert_eq!(outcome, Outcome::Charged(Charged::Taken));
        slot = changed.unwrap();
    }
    assert_eq!(slot.len(), WAYS * ENTRY_LEN);
    assert_eq!(charge(&slot, &question(99), START), (Outcome::Full, None));
    let (outcome, _) = charge(&slot, &question(5), START);
    assert_eq!(outcome, Outcome::Charged(Charged::Wait(Duration::from_secs(60))));
    let full_again = START + Duration::from_secs(60) + DISORDER;
    assert_eq!(charge(&slot, &question(99), full_again - Duration::from_nanos(1)), (Outcome::Full, None));
    let (outcome, changed) = charge(&slot, &question(99), full_again);
    assert_eq!(outcome, Outcome::Charged(Charged::Taken));
    assert_eq!(changed.unwrap().len(), ENTRY_LEN);
}

#[test]
fn a_million_clients_find_room_and_none_of_them_gets_more_than_its_limit() {
    let keys = KeySpace::new([1; 16]);
    let quota = quota(1, Duration::from_secs(3600));
    let mut host = Host::default();
    let question = |i: u32| BucketRequest {
        key: keys.key(&[b"chat"], quota.name(), &i.to_le_bytes()),
        quota,
        tokens: 1,
    };
    for i in 0..1_000_000 {
        let outcome = charge_at(&mut host, &question(i), START);
        assert_eq!(outcome, Outcome::Charged(Charged::Taken), "client {i}");
    }
    assert_eq!(host.len(), 1_000_000 * ENTRY_LEN);
    let wait = Outcome::Charged(Charged::Wait(Duration::from_secs(3600)));
    for i in (0..1_000_000).step_by(10) {
        assert_eq!(charge_at(&mut host, &question(i), START), wait, "client {i}");
    }
}

#[test]
fn bytes_that_are_no_slot_count_as_an_empty_one() {
    let question = BucketRequest {
        key: EntryKey::of_bytes([1; 16]),
        quota: quota(1, Duration::from_secs(1)),
        tokens: 1,
    };
    for garbage in [&b"x"[..], &[0xff; 23], &[0xff; 25]] {
        let (outcome, changed) = charge(garbage, &question, START);
        assert_eq!(outcome, Outcome::Charged(Charged::Taken));
        assert!(changed.is_some_and(|slot| slot.len() <= 2 * ENTRY_LEN));
    }
}
