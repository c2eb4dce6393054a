//! Several VMs on one table, in every order of their reads and swaps that a random number gives.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::*;

const START: Duration = Duration::from_secs(1_800_000_000);

/// The table that all VMs share.
#[derive(Default)]
struct World {
    slots: BTreeMap<u32, (Vec<u8>, u32)>,
    notes: BTreeMap<u32, (Vec<u8>, u32)>,
    dead: BTreeSet<u64>,
    without_lease: BTreeSet<u64>,
    /// The number of swaps that fail, since somebody else was faster.
    failures: u32,
    /// The number of times that a slot was read.
    reads: u32,
}

/// The table as one VM sees it.
#[derive(Clone)]
struct Table(Rc<RefCell<World>>, u64);

fn read(slots: &BTreeMap<u32, (Vec<u8>, u32)>, slot: u32) -> (Vec<u8>, Option<u32>) {
    slots.get(&slot).map_or((Vec::new(), None), |(bytes, number)| (bytes.clone(), Some(*number)))
}

fn swap(slots: &mut BTreeMap<u32, (Vec<u8>, u32)>, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
    let known = slots.get(&slot).map(|(_, number)| *number);
    let is_same = known == number;
    if is_same {
        slots.insert(slot, (bytes.to_vec(), known.unwrap_or(0) + 1));
    }
    is_same
}

impl LiveTable for Table {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        self.0.borrow_mut().reads += 1;
        read(&self.0.borrow().slots, slot)
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        let mut world = self.0.borrow_mut();
        if world.failures > 0 {
            world.failures -= 1;
            return false;
        }
        swap(&mut world.slots, slot, bytes, number)
    }

    fn read_notes(&mut self, lease: u32) -> (Vec<u8>, Option<u32>) {
        read(&self.0.borrow().notes, lease)
    }

    fn swap_notes(&mut self, lease: u32, bytes: &[u8], number: Option<u32>) -> bool {
        swap(&mut self.0.borrow_mut().notes, lease, bytes, number)
    }

    fn holder(&mut self) -> Option<Holder> {
        let has_lease = !self.0.borrow().without_lease.contains(&self.1);
        has_lease.then_some(Holder { id: self.1, slot: u32::try_from(self.1).unwrap() })
    }

    fn is_alive(&mut self, holder: Holder) -> bool {
        !self.0.borrow().dead.contains(&holder.id)
    }
}

/// The table of a VM that stands still before it swaps.
struct Slow<'s> {
    table: Table,
    before_swap: &'s mut dyn FnMut(),
}

impl LiveTable for Slow<'_> {
    fn read(&mut self, slot: u32) -> (Vec<u8>, Option<u32>) {
        self.table.read(slot)
    }

    fn swap(&mut self, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        (self.before_swap)();
        self.table.swap(slot, bytes, number)
    }

    fn read_notes(&mut self, lease: u32) -> (Vec<u8>, Option<u32>) {
        self.table.read_notes(lease)
    }

    fn swap_notes(&mut self, lease: u32, bytes: &[u8], number: Option<u32>) -> bool {
        self.table.swap_notes(lease, bytes, number)
    }

    fn holder(&mut self) -> Option<Holder> {
        self.table.holder()
    }

    fn is_alive(&mut self, holder: Holder) -> bool {
        self.table.is_alive(holder)
    }
}

struct Vm {
    live: LiveConnections,
    table: Table,
}

impl Vm {
    fn all(count: u64) -> (Rc<RefCell<World>>, Vec<Self>) {
        let world = Rc::<RefCell<World>>::default();
        let vm = |id| Self { live: LiveConnections::default(), table: Table(Rc::clone(&world), id) };
        (Rc::clone(&world), (1..=count).map(vm).collect())
    }

    fn acquire(&mut self, cap: &Cap, now: Duration) -> Acquired {
        self.live.acquire(&mut self.table, cap, now)
    }

    fn look(&mut self, cap: &Cap) -> Result<(), Acquired> {
        self.live.look(&mut self.table, cap)
    }

    fn place(&mut self, cap: &Cap, now: Duration) -> LivePlace {
        match self.acquire(cap, now) {
            Acquired::Counted(place) => place,
            other => panic!("{other:?}"),
        }
    }

    fn release(&mut self, place: LivePlace) {
        self.live.release(&mut self.table, place);
    }

    fn tick(&mut self, now: Duration) -> Vec<LivePlace> {
        self.live.tick(&mut self.table, now);
        self.live.take_replaced(usize::MAX)
    }
}

fn key(byte: u8) -> EntryKey {
    EntryKey::of_bytes([byte; 16])
}

fn cap(limit: u64) -> Cap {
    Cap { key: key(1), limit, has_ages: false, replaces: false }
}

fn of_user(limit: u64) -> Cap {
    Cap { has_ages: true, ..cap(limit) }
}

fn replacing(limit: u64) -> Cap {
    Cap { replaces: true, ..of_user(limit) }
}

fn at(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

#[test]
fn as_many_hold_over_all_vms_as_may_and_each_that_ends_makes_room_for_one() {
    for cap in [cap(5), of_user(5)] {
        let (_, mut vms) = Vm::all(3);
        let mut places = Vec::new();
        for i in 0..5 {
            let vm = i % 3;
            places.push((vm, vms[vm].place(&cap, START)));
        }
        for vm in &mut vms {
            assert_eq!(vm.acquire(&cap, START), Acquired::Full(5));
            assert_eq!(vm.live.look(&mut vm.table.clone(), &cap), Err(Acquired::Full(5)));
            assert_eq!(vm.live.look(&mut vm.table.clone(), &Cap { key: key(2), ..cap }), Ok(()));
        }
        for (vm, place) in places {
            vms[vm].release(place);
            let other = (vm + 1) % 3;
            let place = vms[other].place(&cap, START);
            assert_eq!(vms[vm].acquire(&cap, START), Acquired::Full(5));
            vms[other].release(place);
            vms[vm].place(&cap, START);
        }
    }
}

#[test]
fn nothing_is_left_of_connections_that_have_ended() {
    let (world, mut vms) = Vm::all(2);
    for cap in [cap(9), Cap { key: key(2), ..of_user(9) }] {
        for vm in &mut vms {
            let places = [(); 4].map(|()| vm.place(&cap, START));
            places.into_iter().for_each(|place| vm.release(place));
            assert!(vm.live.own.is_empty());
        }
    }
    assert!(world.borrow().slots.values().all(|(bytes, _)| bytes.is_empty()));
}

#[test]
fn what_a_dead_vm_had_is_counted_no_more_once_its_lease_is_gone() {
    let (world, mut vms) = Vm::all(2);
    for _ in 0..3 {
        vms[0].place(&cap(3), START);
    }
    assert_eq!(vms[1].acquire(&cap(3), START), Acquired::Full(3));
    world.borrow_mut().dead.insert(1);
    assert_eq!(vms[1].look(&cap(3)), Ok(()));
    for _ in 0..3 {
        vms[1].place(&cap(3), START);
    }
    assert_eq!(vms[1].acquire(&cap(3), START), Acquired::Full(3));
}

#[test]
fn a_vm_that_only_stood_still_writes_its_part_anew() {
    let (world, mut vms) = Vm::all(2);
    let place = vms[0].place(&of_user(2), START);
    world.borrow_mut().dead.insert(1);
    vms[1].place(&of_user(2), START);
    vms[1].place(&of_user(2), START);
    world.borrow_mut().dead.clear();
    let Vm { live, table } = &mut vms[0];
    live.write_all(table);
    assert_eq!(vms[0].tick(START), [], "what was forgotten has not made way");
    assert_eq!(vms[1].acquire(&of_user(2), START), Acquired::Full(3));
    vms[0].release(place);
    assert_eq!(vms[1].acquire(&of_user(2), START), Acquired::Full(2));
}

#[test]
fn a_vm_that_only_stood_still_counts_its_own_though_others_have_forgotten_them() {
    for cap in [cap(2), of_user(2)] {
        let (world, mut vms) = Vm::all(2);
        let places = [(); 2].map(|()| vms[0].place(&cap, START));
        world.borrow_mut().dead.insert(1);
        vms[1].place(&cap, START);
        world.borrow_mut().dead.clear();
        assert_eq!(vms[0].acquire(&cap, START), Acquired::Full(3));
        places.into_iter().for_each(|place| vms[0].release(place));
        vms[0].place(&cap, START);
        assert_eq!(vms[1].acquire(&cap, START), Acquired::Full(2));
    }
}

#[test]
fn without_a_lease_nobody_is_let_in() {
    let (world, mut vms) = Vm::all(1);
    world.borrow_mut().without_lease.insert(1);
    assert_eq!(vms[0].acquire(&cap(1), START), Acquired::Unavailable);
}

#[test]
fn swaps_that_fail_are_tried_again_and_a_release_is_not_forgotten() {
    let (world, mut vms) = Vm::all(2);
    world.borrow_mut().failures = 5;
    let place = vms[0].place(&replacing(1), START);
    world.borrow_mut().failures = u32::MAX;
    assert_eq!(vms[1].acquire(&cap(9), START), Acquired::Unavailable);
    vms[0].release(place);
    world.borrow_mut().failures = 0;
    assert_eq!(vms[1].acquire(&of_user(1), START), Acquired::Full(1));
    assert_eq!(vms[0].tick(START), []);
    vms[1].place(&of_user(1), START);
}

#[test]
fn the_oldest_of_all_vms_makes_way_once_and_its_end_gives_nothing_back() {
    let (_, mut vms) = Vm::all(3);
    let user = replacing(3);
    let oldest = vms[1].place(&user, at(1));
    let next = vms[0].place(&user, at(2));
    let own = vms[2].place(&user, at(3));
    vms[2].place(&user, at(4));
    vms[2].place(&user, at(5));
    vms[2].place(&user, at(6));
    assert_eq!(vms[1].tick(at(6)), [oldest]);
    assert_eq!(vms[0].tick(at(6)), [next]);
    assert_eq!(vms[2].tick(at(6)), [own]);
    for (vm, place) in [(1, oldest), (0, next), (2, own)] {
        vms[vm].release(place);
        assert_eq!(vms[vm].tick(at(7)), []);
        assert_eq!(vms[vm].acquire(&of_user(3), at(7)), Acquired::Full(3));
    }
}

#[test]
fn a_cap_that_was_lowered_has_as_many_make_way_as_it_takes() {
    let (_, mut vms) = Vm::all(1);
    let places = [1, 2, 3, 4].map(|second| vms[0].place(&replacing(4), at(second)));
    vms[0].place(&replacing(2), at(5));
    assert_eq!(vms[0].tick(at(5)), places[..3]);
    assert_eq!(vms[0].acquire(&of_user(2), at(5)), Acquired::Full(2));
}

#[test]
fn a_vm_may_have_more_connections_of_a_user_than_the_table_has_times_of() {
    let (_, mut vms) = Vm::all(2);
    let user = replacing(200);
    let places: Vec<_> = (0..200).map(|i| vms[0].place(&user, at(i / 3))).collect();
    assert_eq!(BTreeSet::from_iter(&places).len(), 200, "each has a time of its own");
    for second in 100..150 {
        vms[1].place(&user, at(second));
    }
    assert_eq!(vms[0].tick(at(150)), places[..50]);
    for second in 150..200 {
        vms[1].place(&user, at(second));
    }
    assert_eq!(vms[0].tick(at(200)), places[50..100], "the table has the times of the next by then");
    assert_eq!(vms[1].acquire(&of_user(200), at(201)), Acquired::Full(200));
}

#[test]
fn connections_that_are_admitted_at_one_time_keep_a_time_each_though_the_oldest_makes_way() {
    let (_, mut vms) = Vm::all(2);
    let user = replacing(1);
    let [first, second, third] = [(); 3].map(|()| vms[0].place(&user, START));
    assert_eq!(BTreeSet::from([first, second, third]).len(), 3);
    assert_eq!(vms[0].tick(START), [first, second]);
    vms[0].release(first);
    vms[0].release(second);
    assert_eq!(vms[1].acquire(&of_user(1), START), Acquired::Full(1));
    vms[0].release(third);
    vms[1].place(&of_user(1), START);
}

#[test]
fn a_clock_that_is_set_back_gives_times_of_its_own() {
    let (_, mut vms) = Vm::all(1);
    let late = vms[0].place(&replacing(2), at(1000));
    let early = vms[0].place(&replacing(2), at(1));
    assert!(early.admitted < late.admitted);
}

#[test]
fn the_notes_of_another_holder_of_the_slot_stay() {
    let (world, mut vms) = Vm::all(3);
    let user = replacing(1);
    let oldest = vms[0].place(&user, at(1));
    vms[2].place(&Cap { key: key(2), ..user }, at(1));
    vms[1].place(&user, at(2));
    // The third VM stood still, and its slot is the first one's by now.
    let notes = world.borrow().notes[&1].clone();
    world.borrow_mut().notes.insert(3, notes);
    vms[2].tick(at(2));
    let left = world.borrow().notes[&3].clone();
    world.borrow_mut().notes.insert(1, left);
    assert_eq!(vms[0].tick(at(2)), [oldest]);
}

#[test]
fn who_makes_way_learns_of_it_also_if_the_swap_came_long_after_the_note() {
    let (world, mut vms) = Vm::all(2);
    let oldest = vms[0].place(&replacing(1), at(1));
    let (first, second) = vms.split_at_mut(1);
    let mut waits = Some(|| {
        for tenth in 0..100 {
            assert_eq!(first[0].tick(at(2) + Duration::from_millis(100) * tenth), []);
        }
    });
    let mut slow = Slow {
        table: second[0].table.clone(),
        before_swap: &mut || waits.take().into_iter().for_each(|mut wait| wait()),
    };
    assert!(matches!(second[0].live.acquire(&mut slow, &replacing(1), at(2)), Acquired::Counted(_)));
    assert_eq!(vms[0].tick(at(20)), [oldest]);
    assert!(world.borrow().failures == 0);
}

/// Plays random steps of three VMs, of which one dies, against a model that knows every connection.
#[test]
fn whatever_the_vms_do_in_whatever_order_no_more_are_admitted_than_may_and_no_fewer() {
    for seed in 0..300_u64 {
        let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut next = |most: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % most
        };
        let (world, mut vms) = Vm::all(3);
        let cap = [replacing(4), of_user(4), cap(4)][usize::try_from(seed % 3).unwrap()];
        let mut model: Vec<(usize, LivePlace)> = Vec::new();
        for step in 0..200 {
            let vm = usize::try_from(next(3)).unwrap();
            let is_dead = world.borrow().dead.contains(&(vm as u64 + 1));
            world.borrow_mut().failures = u32::try_from(next(3)).unwrap();
            match next(13) {
                _ if is_dead => {}
                0..5 => match vms[vm].acquire(&cap, at(step)) {
                    Acquired::Counted(place) => {
                        if model.len() == 4 {
                            let oldest = (0..4).min_by_key(|i| model[*i].1.admitted).unwrap();
                            let (whose, gone) = model.remove(oldest);
                            assert!(cap.replaces && vms[whose].tick(at(step)).contains(&gone), "{seed}");
                        }
                        model.push((vm, place));
                    }
                    refused => {
                        assert_eq!((refused, model.len()), (Acquired::Full(4), 4), "{seed}: {step}");
                        assert!(!cap.replaces);
                    }
                },
                5..9 => {
                    let own: Vec<_> = (0..model.len()).filter(|i| model[*i].0 == vm).collect();
                    if !own.is_empty() {
                        let index = own[usize::try_from(next(own.len() as u64)).unwrap()];
                        let (_, place) = model.remove(index);
                        vms[vm].release(place);
                    }
                }
                9..12 => {
                    let has_room = cap.replaces || model.len() < 4;
                    assert_eq!(vms[vm].look(&cap).is_ok(), has_room, "{seed}: {step}");
                }
                _ if next(30) == 0 => {
                    world.borrow_mut().dead.insert(vm as u64 + 1);
                    model.retain(|(whose, _)| *whose != vm);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_place_that_was_looked_for_is_taken_and_given_back_with_a_read_each() {
    let (world, mut vms) = Vm::all(1);
    assert_eq!(vms[0].look(&cap(2)), Ok(()));
    let place = vms[0].place(&cap(2), at(0));
    assert_eq!(world.borrow().reads, 1);
    vms[0].release(place);
    assert_eq!(world.borrow().reads, 2);
}

#[test]
fn a_place_that_another_vm_took_since_the_look_is_not_given_twice() {
    let (_, mut vms) = Vm::all(2);
    assert_eq!(vms[0].look(&cap(1)), Ok(()));
    let place = vms[1].place(&cap(1), at(0));
    assert_eq!(vms[0].acquire(&cap(1), at(0)), Acquired::Full(1));
    assert_eq!(vms[0].look(&cap(1)), Err(Acquired::Full(1)));
    vms[1].release(place);
    assert!(
        matches!(vms[0].acquire(&cap(1), at(0)), Acquired::Counted(_)),
        "what was seen full is read anew"
    );
}

#[test]
fn a_million_addresses_find_room_and_leave_none_of_it_taken() {
    let (world, mut vms) = Vm::all(2);
    let keys = crate::rate::slots::KeySpace::new([7; 16]);
    let bytes = |world: &RefCell<World>| -> usize {
        world.borrow().slots.values().map(|(bytes, _)| bytes.len()).sum()
    };
    let most: Vec<usize> = (0..20_u32)
        .map(|batch| {
            let addresses = (batch * 50_000)..((batch + 1) * 50_000);
            let places: Vec<_> = addresses
                .map(|address| {
                    let key = keys.entry([address.to_be_bytes().as_slice()], &[]);
                    let vm = usize::try_from(address % 2).unwrap();
                    (vm, vms[vm].place(&Cap { key, ..cap(1) }, START))
                })
                .collect();
            let most = bytes(&world);
            places.into_iter().for_each(|(vm, place)| vms[vm].release(place));
            most
        })
        .collect();
    assert!(most.iter().all(|bytes| *bytes == most[0]), "{most:?}");
    assert_eq!((bytes(&world), vms[0].live.own.len()), (0, 0));
}
