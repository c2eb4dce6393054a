use std::collections::BTreeMap;

use super::*;
use crate::slots::SLOTS;

const START: Duration = Duration::from_secs(1_800_000_000);

fn ticket(name: u32, life: Duration) -> Ticket {
    let key = KeySpace::new([7; 16]).entry([name.to_be_bytes().as_slice()], &[]);
    Ticket { key, accepted_until: START + life }
}

/// The host's side: slots by number.
#[derive(Default)]
struct Host(BTreeMap<u32, Vec<u8>>);

impl Host {
    fn spend(&mut self, ticket: &Ticket, now: Duration) -> Spent {
        let slot = self.0.entry(ticket.slot()).or_default();
        let (spent, changed) = spend(slot, ticket, now);
        assert_eq!(changed.is_some(), spent == Spent::First);
        if let Some(changed) = changed {
            *slot = changed;
        }
        spent
    }
}

#[test]
fn a_token_is_used_once_for_as_long_as_it_is_accepted() {
    let life = Duration::from_secs(60);
    let (one, other) = (ticket(1, life), ticket(2, life));
    let mut host = Host::default();
    assert_eq!(host.spend(&one, START), Spent::First);
    assert_eq!(host.spend(&other, START), Spent::First);
    for later in [Duration::ZERO, Duration::from_nanos(1), life, life + DISORDER * 2] {
        assert_eq!(host.spend(&one, START + later), Spent::Again, "{later:?}");
    }
    assert_eq!(host.spend(&one, Duration::ZERO), Spent::Again, "also when the clock is set back");
}

#[test]
fn a_spent_token_is_forgotten_for_another_only_after_its_end() {
    let key = |byte| EntryKey::of_bytes([byte; 16]);
    let spent = Ticket { key: key(1), accepted_until: START + Duration::from_secs(60) };
    let (_, slot) = spend(b"", &spent, START);
    let slot = slot.unwrap();
    // All these bytes share a slot's list, whatever slot it is.
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
    for byte in 0..64 {
        let (spent, changed) = spend(&slot, &ticket(byte), START);
        assert_eq!(spent, Spent::First);
        slot = changed.unwrap();
    }
    assert_eq!(slot.len(), WAYS * Slot::<1>::ENTRY_LEN);
    assert_eq!(spend(&slot, &ticket(99), START + life), (Spent::Full, None));
    for byte in 0..64 {
        assert_eq!(spend(&slot, &ticket(byte), START + life), (Spent::Again, None));
    }
    let (spent, changed) = spend(&slot, &ticket(99), START + life + DISORDER);
    assert_eq!((spent, changed.map(|slot| slot.len())), (Spent::First, Some(Slot::<1>::ENTRY_LEN)));
}

#[test]
fn a_hundred_and_thirty_thousand_tokens_find_room_at_once() {
    let mut host = Host::default();
    let refused =
        (0..131_072).filter(|i| host.spend(&ticket(*i, Duration::from_secs(60)), START) != Spent::First);
    assert_eq!(refused.count(), 0);
    let bytes: usize = host.0.values().map(Vec::len).sum();
    assert!(bytes <= SLOTS as usize * WAYS * Slot::<1>::ENTRY_LEN);
}

#[test]
fn a_token_without_end_and_bytes_that_are_no_slot_do_no_harm() {
    let endless = Ticket { key: EntryKey::of_bytes([1; 16]), accepted_until: Duration::MAX };
    for garbage in [&b"x"[..], &[0xff; 23], &[0xff; 25]] {
        let (spent, changed) = spend(garbage, &endless, START);
        assert_eq!(spent, Spent::First);
        assert_eq!(spend(&changed.unwrap(), &endless, START + Duration::from_secs(1)).0, Spent::Again);
    }
}
