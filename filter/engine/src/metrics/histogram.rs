//! Histograms: how many values lie in each bucket, and what they sum up to.

use std::time::Duration;

/// The number of buckets of the scale that has the most, with the last one, which has no bound.
const MOST: usize = 14;

/// The number of buckets of sizes, with the last one.
const SIZES: usize = 12;

/// The bounds of the buckets of one kind of histogram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Bytes, by powers of four.
    Bytes,
    /// Times in which an answer comes, from a millisecond on.
    Waits,
    /// Times that a connection lasts, up to a day.
    Lifetimes,
}

/// The bounds in bytes.
const BYTES: [&str; SIZES] =
    ["16", "64", "256", "1024", "4096", "16384", "65536", "262144", "1048576", "4194304", "16777216", "+Inf"];

/// The bounds of times in microseconds, each as it is written in seconds.
const WAITS: [(&str, u64); MOST] = [
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
    ("+Inf", u64::MAX),
];
const LIFETIMES: [(&str, u64); 11] = [
    ("1", 1_000_000),
    ("5", 5_000_000),
    ("15", 15_000_000),
    ("60", 60_000_000),
    ("300", 300_000_000),
    ("900", 900_000_000),
    ("3600", 3_600_000_000),
    ("14400", 14_400_000_000),
    ("43200", 43_200_000_000),
    ("86400", 86_400_000_000),
    ("+Inf", u64::MAX),
];

/// The number of values in each bucket, and their sum: of sizes in bytes, of times in microseconds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    scale: Scale,
    counts: [u64; MOST],
    sum: u64,
}

/// The number of sizes in each bucket, for where there are many at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sizes([u32; SIZES]);

impl Scale {
    /// Returns the upper bound of every bucket as Prometheus writes it, in bytes or in seconds.
    pub fn bounds(self) -> impl Iterator<Item = &'static str> {
        let times: &[(&str, u64)] = match self {
            Self::Bytes => &[],
            Self::Waits => &WAITS,
            Self::Lifetimes => &LIFETIMES,
        };
        let sizes: &[&str] = if self == Self::Bytes { &BYTES } else { &[] };
        sizes.iter().copied().chain(times.iter().map(|(bound, _)| *bound))
    }

    /// Returns what one of the unit that is told comes to in the sum: a byte, or a second.
    pub fn unit(self) -> u64 {
        match self {
            Self::Bytes => 1,
            Self::Waits | Self::Lifetimes => 1_000_000,
        }
    }

    fn place(self, value: u64) -> usize {
        let times: &[(&str, u64)] = match self {
            Self::Bytes => return Sizes::place(value),
            Self::Waits => &WAITS,
            Self::Lifetimes => &LIFETIMES,
        };
        times.partition_point(|(_, bound)| *bound < value)
    }
}

impl Histogram {
    /// Creates an empty histogram.
    pub fn new(scale: Scale) -> Self {
        Self { scale, counts: [0; MOST], sum: 0 }
    }

    /// Returns the bounds of the buckets.
    pub fn scale(&self) -> Scale {
        self.scale
    }

    /// Counts a value: bytes, or microseconds.
    pub fn record(&mut self, value: u64) {
        self.count(self.scale.place(value), 1);
        self.sum = self.sum.saturating_add(value);
    }

    /// Counts a time.
    pub fn record_time(&mut self, time: Duration) {
        self.record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX));
    }

    /// Counts sizes that come to `bytes` together.
    pub(crate) fn record_sizes(&mut self, sizes: &Sizes, bytes: u64) {
        for (place, count) in sizes.0.iter().enumerate().filter(|(_, count)| **count > 0) {
            self.count(place, u64::from(*count));
        }
        self.sum = self.sum.saturating_add(bytes);
    }

    /// Adds another histogram of the same scale to this one.
    pub fn add(&mut self, other: &Self) {
        for (place, count) in other.counts.iter().enumerate() {
            self.count(place, *count);
        }
        self.sum = self.sum.saturating_add(other.sum);
    }

    /// Returns for every bucket how many values lie in it or in one before it; the last has all.
    pub fn cumulative(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().take(self.scale.bounds().count()).scan(0_u64, |sum, count| {
            *sum = sum.saturating_add(*count);
            Some(*sum)
        })
    }

    /// Returns the sum of all values, in bytes or microseconds.
    pub fn sum(&self) -> u64 {
        self.sum
    }

    /// Returns the number of values.
    pub fn len(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Says whether there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn count(&mut self, place: usize, times: u64) {
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(times);
        }
    }
}

impl Sizes {
    /// Counts a size in bytes.
    pub(crate) fn count(&mut self, len: u64) {
        if let Some(count) = self.0.get_mut(Self::place(len)) {
            *count = count.saturating_add(1);
        }
    }

    /// Returns the bucket of a size. The bounds are powers of four from 16 on, so that it follows from the number
    /// of bits.
    fn place(len: u64) -> usize {
        const FIRST: u64 = 16;
        let bits = u64::BITS - (len.saturating_sub(1) | (FIRST - 1)).leading_zeros();
        usize::try_from((bits - FIRST.trailing_zeros()).div_ceil(2)).map_or(SIZES - 1, |at| at.min(SIZES - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALES: [Scale; 3] = [Scale::Bytes, Scale::Waits, Scale::Lifetimes];

    /// Returns the bounds in the unit of the sum.
    fn bounds(scale: Scale) -> Vec<f64> {
        let unit = if scale == Scale::Bytes { 1.0 } else { 1e6 };
        scale.bounds().map(|bound| bound.parse::<f64>().unwrap() * unit).collect()
    }

    #[test]
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "whole numbers far below 2^63"
    )]
    fn a_value_lies_in_the_first_bucket_whose_bound_it_does_not_exceed() {
        for scale in SCALES {
            let bounds = bounds(scale);
            assert!(bounds.is_sorted() && bounds.len() <= MOST && bounds.last() == Some(&f64::INFINITY));
            let near = |bound: f64| [bound - 1.0, bound, bound + 1.0];
            let finite = bounds.iter().copied().filter(|bound| bound.is_finite());
            for value in finite.flat_map(near).chain([0.0, 1.0, 1e18]) {
                let expected: Vec<u64> = bounds.iter().map(|bound| u64::from(value <= *bound)).collect();
                let mut histogram = Histogram::new(scale);
                histogram.record(value as u64);
                assert_eq!(histogram.cumulative().collect::<Vec<_>>(), expected, "{scale:?} {value}");
                assert_eq!((histogram.len(), histogram.sum()), (1, value as u64));
            }
        }
    }

    #[test]
    fn sizes_that_are_counted_at_once_count_as_one_by_one() {
        let (mut at_once, mut one_by_one) = (Histogram::new(Scale::Bytes), Histogram::new(Scale::Bytes));
        let (mut sizes, mut bytes) = (Sizes::default(), 0);
        for len in (0..70).chain([256, 257, 1 << 24, (1 << 24) + 1, 1 << 40]) {
            sizes.count(len);
            bytes += len;
            one_by_one.record(len);
        }
        at_once.record_sizes(&sizes, bytes);
        assert_eq!(at_once, one_by_one);
        at_once.add(&one_by_one);
        assert_eq!((at_once.len(), at_once.sum()), (2 * one_by_one.len(), 2 * one_by_one.sum()));
    }

    #[test]
    fn a_time_counts_in_microseconds() {
        let mut waits = Histogram::new(Scale::Waits);
        assert!(waits.is_empty());
        waits.record_time(Duration::from_millis(1));
        waits.record_time(Duration::MAX);
        assert_eq!(waits.cumulative().next(), Some(1));
        assert_eq!((waits.len(), waits.sum()), (2, u64::MAX));
    }
}
