//! The record of a source that the workers of an Envoy share: what was fetched last and when, and who is
//! fetching. A few bytes that every worker looks at all the time; the document itself is elsewhere.

use std::time::Duration;

/// The time by which the clock may go back before the record counts as written at another time.
const SKEW: Duration = Duration::from_secs(5);

/// The shared state of a source. All times are milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Record {
    /// The number of different good documents so far, which is the number of the last one.
    pub(super) number: u64,
    /// The digest that tells the last document from others.
    pub(super) digest: u128,
    /// The time when the last document was last confirmed.
    good_at: u64,
    /// The time when a fetch last began.
    tried_at: u64,
    /// The number of fetches that have failed since the last good one.
    pub(super) failures: u32,
    /// The worker that is fetching; 0 for nobody.
    holder: u64,
    /// The time until which the lease lasts, whatever becomes of it.
    until: u64,
}

/// The length of a record, in bytes.
const LEN: usize = 60;

impl Record {
    /// Reads a shared record. Bytes that are no record are an empty one: nothing was ever fetched.
    pub(super) fn read(bytes: &[u8]) -> Self {
        Self::decode(bytes).unwrap_or_default()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.len() != LEN {
            return None;
        }
        let (digest, rest) = bytes.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (good_at, rest) = rest.split_first_chunk()?;
        let (tried_at, rest) = rest.split_first_chunk()?;
        let (holder, rest) = rest.split_first_chunk()?;
        let (until, rest) = rest.split_first_chunk()?;
        let (failures, _) = rest.split_first_chunk()?;
        Some(Self {
            number: u64::from_be_bytes(*number),
            digest: u128::from_be_bytes(*digest),
            good_at: u64::from_be_bytes(*good_at),
            tried_at: u64::from_be_bytes(*tried_at),
            failures: u32::from_be_bytes(*failures),
            holder: u64::from_be_bytes(*holder),
            until: u64::from_be_bytes(*until),
        })
    }

    /// Returns the bytes to share.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let Self { number, digest, good_at, tried_at, failures, holder, until } = self;
        let mut bytes = digest.to_be_bytes().to_vec();
        for field in [number, good_at, tried_at, holder, until] {
            bytes.extend(field.to_be_bytes());
        }
        bytes.extend(failures.to_be_bytes());
        bytes
    }

    /// Returns the time when the last good document was confirmed, if there was one.
    pub(super) fn good_at(&self) -> Option<Duration> {
        (self.number > 0).then(|| Duration::from_millis(self.good_at))
    }

    /// Returns the time when a fetch last began, if one ever did. A time in the future was so by another
    /// clock, and does not count.
    pub(super) fn tried_at(&self, now: Duration) -> Option<Duration> {
        let at = Duration::from_millis(self.tried_at);
        (self.tried_at > 0 && at <= now.saturating_add(SKEW)).then_some(at)
    }

    /// Says whether a fetch is under way at `now`.
    pub(super) fn is_leased(&self, now: Duration) -> bool {
        self.holder != 0 && self.tried_at(now).is_some() && now < Duration::from_millis(self.until)
    }

    /// Says whether the fetch that is under way is that of `holder`.
    pub(super) fn is_leased_to(&self, holder: u64, now: Duration) -> bool {
        self.holder == holder && self.is_leased(now)
    }

    /// Begins a fetch of `holder` that ends by `until`. An earlier one that never ended has failed.
    pub(super) fn lease(&mut self, holder: u64, now: Duration, until: Duration) {
        if self.holder != 0 {
            self.failures = self.failures.saturating_add(1);
        }
        (self.holder, self.tried_at, self.until) = (holder, milliseconds(now).max(1), milliseconds(until));
    }

    /// Gives the fetch up before it has ended, as if it had not begun.
    pub(super) fn give_back(&mut self) {
        (self.holder, self.tried_at) = (0, 0);
    }

    /// Notes that the fetch has failed.
    pub(super) fn fail(&mut self) {
        self.holder = 0;
        self.failures = self.failures.saturating_add(1);
    }

    /// Notes that the fetch has brought a good document of this digest.
    pub(super) fn succeed(&mut self, digest: u128, now: Duration) {
        if self.number == 0 || self.digest != digest {
            (self.number, self.digest) = (self.number.saturating_add(1), digest);
        }
        (self.good_at, self.failures, self.holder) = (milliseconds(now), 0, 0);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let mut record = Record::default();
        record.lease(0x0102_0304_0506_0708, NOW, NOW + Duration::from_secs(3));
        record.succeed(u128::MAX - 5, NOW + Duration::from_secs(1));
        record.lease(9, NOW + Duration::from_secs(2), NOW + Duration::from_secs(5));
        record.fail();
        assert_eq!(Record::read(&record.bytes()), record);
        assert_eq!((record.number, record.failures), (1, 1));
    }

    #[test]
    fn what_is_no_record_says_that_nothing_was_fetched() {
        let record = Record::default().bytes();
        for bytes in [&b""[..], &record[1..], &[&record[..], b"x"].concat()] {
            assert_eq!(Record::read(bytes), Record::default());
        }
    }

    #[test]
    fn a_lease_is_over_when_it_ends_and_when_it_is_of_another_time() {
        let mut record = Record::default();
        record.lease(7, NOW, NOW + Duration::from_secs(3));
        assert!(record.is_leased_to(7, NOW));
        assert!(!record.is_leased_to(8, NOW));
        assert!(record.is_leased(NOW - Duration::from_secs(1)));
        assert!(!record.is_leased(NOW + Duration::from_secs(3)));
        // The clock was set back by a day: nobody waits a day for this.
        assert!(!record.is_leased(NOW - Duration::from_secs(86_400)));
    }

    #[test]
    fn a_document_that_has_not_changed_keeps_its_number_and_a_new_one_gets_the_next() {
        let mut record = Record::default();
        record.succeed(5, NOW);
        record.succeed(5, NOW + Duration::from_secs(60));
        assert_eq!((record.number, record.good_at()), (1, Some(NOW + Duration::from_secs(60))));
        record.succeed(6, NOW);
        assert_eq!(record.number, 2);
    }
}
