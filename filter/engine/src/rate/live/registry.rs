//! The live connections of one VM, and its part in the table of all.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::seen::Seen;
use super::slot::{self, LiveSlot, MOST_TIMES, Part};
use super::{Acquired, Cap, LivePlace, LiveTable, notes};
use crate::rate::lease::Holder;
use crate::rate::slots::EntryKey;

/// The number of times that a swap is tried. Each failure is another VM's success, so this many in a row mean
/// something else.
const ATTEMPTS: u32 = 64;

/// The time for which a key is looked at that a note names: whoever wrote it swaps the slot after that.
const SUSPECT: Duration = Duration::from_secs(2);

/// The most by which a time of admission may be ahead of the clock, so that it is one of its own.
const AHEAD: Duration = Duration::from_secs(1);

/// The live connections of one VM under caps.
#[derive(Debug, Default)]
pub struct LiveConnections {
    pub(super) own: BTreeMap<EntryKey, Own>,
    /// The keys whose part could not be written.
    unwritten: BTreeSet<EntryKey>,
    /// The keys that notes have named, and until when they are looked at.
    suspects: BTreeMap<EntryKey, Duration>,
    /// The connections that have made way and must be closed.
    replaced: Vec<LivePlace>,
    /// The last time of admission that was given where ages are kept.
    last_admitted: u64,
    /// The slots as looks have read them.
    seen: Seen,
}

/// The connections of one key.
#[derive(Clone, Debug, Default)]
pub(super) struct Own {
    count: u64,
    /// The times of admission, oldest first, where ages are kept.
    ages: Vec<Age>,
}

#[derive(Clone, Copy, Debug)]
struct Age {
    admitted: u64,
    /// Says whether the part in the table has it.
    is_written: bool,
}

impl LiveConnections {
    /// Says whether a connection that asks for a place under `cap` would be given one, and how many there are.
    pub fn look(&mut self, table: &mut impl LiveTable, cap: &Cap) -> Result<(), Acquired> {
        if cap.replaces {
            return Ok(());
        }
        let (bytes, number) = table.read(cap.key.slot());
        if slot::count(&bytes, cap.key) < cap.limit {
            self.seen.keep(cap.key.slot(), bytes, number);
            return Ok(());
        }
        let mut slot = LiveSlot::read(&bytes, cap.key);
        slot.bury(&mut |holder| table.is_alive(holder));
        let count = slot.count();
        if count < cap.limit { Ok(()) } else { Err(Acquired::Full(count)) }
    }

    /// Counts a connection under `cap`, if there is a place, or one can be made.
    pub fn acquire(&mut self, table: &mut impl LiveTable, cap: &Cap, now: Duration) -> Acquired {
        let Some(holder) = table.holder() else { return Acquired::Unavailable };
        if let Some(place) = self.acquire_at_once(table, cap, holder, now) {
            return Acquired::Counted(place);
        }
        for _ in 0..ATTEMPTS {
            let (bytes, number) = table.read(cap.key.slot());
            let mut slot = LiveSlot::read(&bytes, cap.key);
            self.note_missing(cap.key, &slot, holder);
            // What is changed here holds only once the slot is swapped.
            let before = (self.own.get(&cap.key).cloned(), self.replaced.len());
            // What others have taken for a dead VM's is counted all the same.
            slot.put(self.part(cap.key, holder));
            self.note_written(cap.key);
            if slot.count() >= cap.limit {
                slot.bury(&mut |other| other.id == holder.id || table.is_alive(other));
            }
            let full = Acquired::Full(slot.count());
            let asked = match slot.count() >= cap.limit {
                true if cap.replaces => make_way(&mut slot, cap, table),
                true => None,
                false => Some(Vec::new()),
            };
            let Some(asked) = asked else {
                self.restore(cap.key, before);
                return full;
            };
            self.note_missing(cap.key, &slot, holder);
            let place = self.add(cap, now);
            if self.write(table, slot, number, cap.key, holder) {
                // Whoever has looked since the first note, and found nothing missing yet, must look again.
                for other in asked.into_iter().filter(|other| other.id != holder.id) {
                    leave_note(table, other, cap.key);
                }
                return Acquired::Counted(place);
            }
            self.restore(cap.key, before);
        }
        Acquired::Unavailable
    }

    /// Counts a connection where no more than a number of the slot has to change, as it mostly is: there is a place,
    /// and no age to keep.
    fn acquire_at_once(
        &mut self,
        table: &mut impl LiveTable,
        cap: &Cap,
        holder: Holder,
        now: Duration,
    ) -> Option<LivePlace> {
        if cap.has_ages {
            return None;
        }
        let slot = cap.key.slot();
        let (mut bytes, number) = self.seen.take(slot).unwrap_or_else(|| table.read(slot));
        let own = self.own.get(&cap.key).map_or(0, |own| own.count);
        let others = slot::count_of_others(&bytes, cap.key, holder.id);
        if own.saturating_add(others) >= cap.limit {
            return None;
        }
        slot::set_count(&mut bytes, cap.key, holder, own.saturating_add(1))?;
        self.swap(table, slot, &bytes, number).then(|| self.add(cap, now))
    }

    /// Gives a place back.
    pub fn release(&mut self, table: &mut impl LiveTable, place: LivePlace) {
        if self.remove(place) {
            self.write_anew(table, place.key);
        }
    }

    /// Writes what could not be written before, and looks for connections that have made way. Must be called
    /// several times a second.
    pub fn tick(&mut self, table: &mut impl LiveTable, now: Duration) {
        for key in std::mem::take(&mut self.unwritten) {
            self.write_anew(table, key);
        }
        if self.own.values().any(|own| !own.ages.is_empty())
            && let Some(holder) = table.holder()
        {
            self.read_notes(table, holder, now);
        }
        self.suspects.retain(|_, until| now < *until && now.saturating_add(SUSPECT) >= *until);
        for key in self.suspects.keys().copied().collect::<Vec<_>>() {
            self.write_anew(table, key);
        }
    }

    /// Writes all parts anew, since the VM had been taken for dead.
    pub fn write_all(&mut self, table: &mut impl LiveTable) {
        for key in self.own.keys().copied().collect::<Vec<_>>() {
            self.write_anew(table, key);
        }
    }

    /// Says whether connections have made way that are not closed yet.
    pub fn has_replaced(&self) -> bool {
        !self.replaced.is_empty()
    }

    /// Takes the connections that have made way, `most` of them, and must be closed.
    pub fn take_replaced(&mut self, most: usize) -> Vec<LivePlace> {
        self.replaced.drain(..most.min(self.replaced.len())).collect()
    }

    fn read_notes(&mut self, table: &mut impl LiveTable, holder: Holder, now: Duration) {
        let (bytes, number) = table.read_notes(holder.slot);
        let keys = notes::read(&bytes, holder);
        // Where somebody was faster, they are read the next time.
        if !keys.is_empty() && table.swap_notes(holder.slot, &notes::of_others(&bytes, holder), number) {
            let until = now.saturating_add(SUSPECT);
            self.suspects.extend(keys.into_iter().map(|key| (key, until)));
        }
    }

    /// Brings the part of a key in the table to what it is.
    fn write_anew(&mut self, table: &mut impl LiveTable, key: EntryKey) {
        if let Some(holder) = table.holder() {
            for _ in 0..ATTEMPTS {
                let (mut bytes, number) = table.read(key.slot());
                let count = self.count_without_ages(key);
                let set = count.and_then(|count| slot::set_count(&mut bytes, key, holder, count));
                if let Some(is_changed) = set {
                    if !is_changed || self.swap(table, key.slot(), &bytes, number) {
                        return;
                    }
                    continue;
                }
                let slot = LiveSlot::read(&bytes, key);
                self.note_missing(key, &slot, holder);
                let part = self.part(key, holder);
                let is_written = match slot.part_of(holder.id) {
                    Some(known) => part.count > 0 && *known == part,
                    None => part.count == 0,
                };
                if is_written || self.write(table, slot, number, key, holder) {
                    return;
                }
            }
        }
        self.unwritten.insert(key);
    }

    /// Swaps `slot` in with this VM's part of `key` as it is now, and says whether that was done.
    fn write(
        &mut self,
        table: &mut impl LiveTable,
        mut slot: LiveSlot,
        number: Option<u32>,
        key: EntryKey,
        holder: Holder,
    ) -> bool {
        slot.put(self.part(key, holder));
        // Many parts of a slot are of few VMs.
        let mut known = vec![(holder, true)];
        let is_alive = &mut |other: Holder| match known.iter().find(|(known, _)| *known == other) {
            Some((_, is_alive)) => *is_alive,
            None => {
                let is_alive = other.id == holder.id || table.is_alive(other);
                known.push((other, is_alive));
                is_alive
            }
        };
        let Some(bytes) = slot.write(is_alive) else { return false };
        let is_written = self.swap(table, key.slot(), &bytes, number);
        if is_written {
            self.note_written(key);
        }
        is_written
    }

    /// Swaps the bytes of a slot, which nobody has seen as it is from then on.
    fn swap(&mut self, table: &mut impl LiveTable, slot: u32, bytes: &[u8], number: Option<u32>) -> bool {
        self.seen.forget(slot);
        table.swap(slot, bytes, number)
    }

    /// Returns the number of this VM's connections of a key, where it keeps no ages of them.
    fn count_without_ages(&self, key: EntryKey) -> Option<u64> {
        let Some(own) = self.own.get(&key) else { return Some(0) };
        own.ages.is_empty().then_some(own.count)
    }

    /// Notes that the part in the table is this VM's as it is now.
    fn note_written(&mut self, key: EntryKey) {
        if let Some(own) = self.own.get_mut(&key) {
            own.ages.iter_mut().enumerate().for_each(|(i, age)| age.is_written = i < MOST_TIMES);
        }
    }

    fn part(&self, key: EntryKey, holder: Holder) -> Part {
        let own = self.own.get(&key);
        let times = own.into_iter().flat_map(|own| &own.ages).take(MOST_TIMES).map(|age| age.admitted);
        Part { holder, count: own.map_or(0, |own| own.count), times: times.collect() }
    }

    /// Finds the connections that are missing in this VM's part: they have made way.
    fn note_missing(&mut self, key: EntryKey, slot: &LiveSlot, holder: Holder) {
        let Some((part, own)) = slot.part_of(holder.id).zip(self.own.get_mut(&key)) else { return };
        let stays = |age: &Age| !age.is_written || part.times.contains(&age.admitted);
        let missing = own.ages.extract_if(.., |age| !stays(age));
        let missing = missing.map(|age| LivePlace { key, admitted: Duration::from_nanos(age.admitted) });
        let before = self.replaced.len();
        self.replaced.extend(missing);
        own.count = own.count.saturating_sub((self.replaced.len() - before) as u64);
        if own.count == 0 {
            self.own.remove(&key);
        }
    }

    fn restore(&mut self, key: EntryKey, (own, replaced): (Option<Own>, usize)) {
        self.replaced.truncate(replaced);
        match own {
            Some(own) => self.own.insert(key, own),
            None => self.own.remove(&key),
        };
    }

    fn add(&mut self, cap: &Cap, now: Duration) -> LivePlace {
        let own = self.own.entry(cap.key).or_default();
        own.count = own.count.saturating_add(1);
        let mut admitted = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        if cap.has_ages {
            // Several may be admitted at one time, and one that has made way still goes by its own.
            let ahead = self.last_admitted.checked_sub(admitted).map(Duration::from_nanos);
            if ahead.is_some_and(|ahead| ahead < AHEAD) {
                admitted = self.last_admitted.wrapping_add(1);
            }
            while own.ages.iter().any(|age| age.admitted == admitted) {
                admitted = admitted.wrapping_add(1);
            }
            let index = own.ages.partition_point(|age| age.admitted < admitted);
            own.ages.insert(index, Age { admitted, is_written: false });
            self.last_admitted = admitted;
        }
        LivePlace { key: cap.key, admitted: Duration::from_nanos(admitted) }
    }

    /// Takes a connection out of this VM's, and says whether it was still counted.
    fn remove(&mut self, place: LivePlace) -> bool {
        let Some(own) = self.own.get_mut(&place.key) else { return false };
        if !own.ages.is_empty() {
            let admitted = u64::try_from(place.admitted.as_nanos()).unwrap_or(u64::MAX);
            let Some(index) = own.ages.iter().position(|age| age.admitted == admitted) else { return false };
            own.ages.remove(index);
        }
        own.count = own.count.saturating_sub(1);
        if own.count == 0 {
            self.own.remove(&place.key);
        }
        true
    }
}

/// Takes out of the slot as many of the oldest connections as must make way for one more, and returns their
/// holders, if that was possible. They are told first: a note without a swap does no harm.
fn make_way(slot: &mut LiveSlot, cap: &Cap, table: &mut impl LiveTable) -> Option<Vec<Holder>> {
    let mut told = Vec::new();
    while slot.count() >= cap.limit {
        let (holder, _) = slot.take_oldest()?;
        if !told.contains(&holder) {
            leave_note(table, holder, cap.key).then(|| told.push(holder))?;
        }
    }
    Some(told)
}

fn leave_note(table: &mut impl LiveTable, holder: Holder, key: EntryKey) -> bool {
    for _ in 0..ATTEMPTS {
        let (bytes, number) = table.read_notes(holder.slot);
        let Some(notes) = notes::add(&bytes, holder, key) else { return false };
        if table.swap_notes(holder.slot, &notes, number) {
            return true;
        }
    }
    false
}
