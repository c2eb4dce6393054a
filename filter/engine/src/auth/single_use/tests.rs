use std::collections::HashSet;

use super::*;
use crate::rate::slots::WAYS;
use crate::rate::slots::testing::{Host, Play, Random, crowd, interleave};

const START: Duration = Duration::from_secs(1_800_000_000);

fn ticket(name: u32, life: Duration) -> Ticket {
    let key = KeySpace::new([7; 16]).entry([name.to_be_bytes().as_slice()], &[]);
    Ticket { key, accepted_until: START + life }
}

fn spend_at(host: &mut Host, ticket: &Ticket, now: Duration) -> Spent {
    host.change(ticket.slot(), |slot| {
        let (spent, changed) = spend(slot, ticket, now);
        assert_eq!(changed.is_some(), spent == Spent::First);
        (spent, changed)
    })
}

#[test]
fn a_token_is_used_once_for_as_long_as_it_is_accepted() {
    let life = Duration::from_secs(60);
    let (one, other) = (ticket(1, life), ticket(2, life));
    let mut host = Host::default();
    assert_eq!(spend_at(&mut host, &one, START), Spent::First);
    assert_eq!(spend_at(&mut host, &other, START), Spent::First);
    for later in [Duration::ZERO, Duration::from_nanos(1), life, life + DISORDER * 2] {
        assert_eq!(spend_at(&mut host, &one, START + later), Spent::Again, "{later:?}");
    }
    assert_eq!(spend_at(&mut host, &one, Duration::ZERO), Spent::Again, "also when the clock is set back");
}

#[test]
fn a_spent_token_is_forgotten_for_another_only_after_its_end() {
    let key = |byte| EntryKey::of_bytes([byte; 16]);
    let spent = Ticket { key: key(1), accepted_until: START + Duration::from_secs(60) };
    let (_, slot) = spend(b"", &spent, START);
    let slot = slot.unwrap();
    // The keys of these bytes share a slot's list, whatever slot it is.
    let other = Ticket { key: key(2), accepted_until: START + Duration::from_secs(600) };
    for (later, is_remembered) in [(0, true), (59, true), (60, true), (69, true), (70, false), (600, false)] {
        let (outcome, changed) = spend(&slot, &other, START + Duration::from_secs(later));
        assert_eq!(outcome, Spent::First);
        let (again, _) = spend(&changed.unwrap(), &spent, START);
        assert_eq!(again == Spent::Again, is_remembered, "after {later} s");
    }
}

#[test]
fn a_full_slot_lets_nobody_in_and_forgets_nobody() {
    let life = Duration::from_secs(60);
    let ticket = |byte: u8| Ticket { key: EntryKey::of_bytes([byte; 16]), accepted_until: START + life };
    let mut slot = Vec::new();
    for byte in 0..u8::try_from(WAYS).unwrap() {
        let (spent, changed) = spend(&slot, &ticket(byte), START);
        assert_eq!(spent, Spent::First);
        slot = changed.unwrap();
    }
    assert_eq!(slot.len(), WAYS * Slot::<1>::ENTRY_LEN);
    assert_eq!(spend(&slot, &ticket(99), START + life), (Spent::Full, None));
    for byte in 0..u8::try_from(WAYS).unwrap() {
        assert_eq!(spend(&slot, &ticket(byte), START + life), (Spent::Again, None));
    }
    let (spent, changed) = spend(&slot, &ticket(99), START + life + DISORDER);
    assert_eq!((spent, changed.map(|slot| slot.len())), (Spent::First, Some(Slot::<1>::ENTRY_LEN)));
}

#[test]
fn a_million_tokens_find_room_and_none_of_them_is_used_twice() {
    let mut host = Host::default();
    let life = Duration::from_secs(60);
    for i in 0..1_000_000 {
        assert_eq!(spend_at(&mut host, &ticket(i, life), START), Spent::First, "token {i}");
    }
    assert_eq!(host.len(), 1_000_000 * Slot::<1>::ENTRY_LEN);
    for i in (0..1_000_000).step_by(10) {
        assert_eq!(spend_at(&mut host, &ticket(i, life), START), Spent::Again, "token {i}");
    }
}

/// Tokens whose lives follow one another, and those that were used.
struct Tokens {
    keys: Vec<EntryKey>,
    used: HashSet<usize>,
    full: u32,
}

impl Tokens {
    fn end(token: usize) -> Duration {
        START + Duration::from_millis(300 * token as u64)
    }
}

impl Play for Tokens {
    type Question = (usize, Ticket);
    type Answer = Spent;

    fn ask(&mut self, random: &mut Random, now: Duration) -> (EntryKey, Self::Question) {
        // The token is one that is not over, and rather one that is over soon.
        let first = (0..self.keys.len()).find(|token| Self::end(*token) >= now).unwrap();
        let token = first + usize::try_from(random.below(150)).unwrap();
        let key = self.keys[token];
        (key, (token, Ticket { key, accepted_until: Self::end(token) }))
    }

    fn decide(&self, slot: &[u8], (_, ticket): &Self::Question, now: Duration) -> (Spent, Option<Vec<u8>>) {
        spend(slot, ticket, now)
    }

    fn answered(&mut self, (token, _): &Self::Question, answer: Spent, now: Duration) {
        match answer {
            Spent::First => assert!(self.used.insert(*token), "token {token} is used twice"),
            Spent::Again => assert!(self.used.contains(token), "token {token} was not used"),
            Spent::Full => {
                let slot = self.keys[*token].slot();
                let is_live =
                    |used: &&usize| self.keys[**used].slot() == slot && Self::end(**used) + DISORDER > now;
                assert!(self.used.iter().filter(is_live).count() >= WAYS, "there was room");
                self.full += 1;
            }
        }
    }
}

#[test]
fn in_whatever_order_workers_come_a_token_is_used_once_and_refused_for_room_only_where_there_is_none() {
    for (slots, is_crowded) in [(7..8, true), (7..17, false)] {
        for seed in 0..10 {
            let mut tokens = Tokens { keys: crowd(4_000, slots.clone()), used: HashSet::new(), full: 0 };
            interleave(&mut tokens, 6, 10_000, seed, START);
            assert!(tokens.used.len() > 500, "{}", tokens.used.len());
            assert_eq!(tokens.full > 0, is_crowded, "{}", tokens.full);
        }
    }
}

#[test]
fn a_token_without_end_and_bytes_that_are_no_slot_do_no_harm() {
    let endless = Ticket { key: EntryKey::of_bytes([1; 16]), accepted_until: Duration::MAX };
    for garbage in [&b"x"[..], &[0xff; 15], &[0xff; 17]] {
        let (spent, changed) = spend(garbage, &endless, START);
        assert_eq!(spent, Spent::First);
        assert_eq!(spend(&changed.unwrap(), &endless, START + Duration::from_secs(1)).0, Spent::Again);
    }
}
