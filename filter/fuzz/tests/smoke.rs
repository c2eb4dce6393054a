//! Every target over its seeds and over inputs grown from them, without libFuzzer.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests fail by panicking")]

use std::fs;
use std::path::Path;

use postern_fuzz::TARGETS;

/// How many inputs each target is given besides its seeds.
const INPUTS: u64 = 2000;

/// A sequence of numbers that is the same in every run (xorshift64*).
struct Numbers(u64);

impl Numbers {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % below.max(1)
    }
}

fn seeds(target: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut paths: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).unwrap()).collect()
}

/// A seed with some bytes changed, taken out, or brought in from another seed.
fn grown(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = seeds[numbers.next(seeds.len())].clone();
    for _ in 0..=numbers.next(4) {
        let at = numbers.next(input.len() + 1);
        match numbers.next(4) {
            0 => input.insert(at, numbers.next(256) as u8),
            1 if at < input.len() => input[at] = numbers.next(256) as u8,
            2 => drop(input.drain(at..input.len().min(at + 1 + numbers.next(8)))),
            _ => {
                let other = &seeds[numbers.next(seeds.len())];
                let from = numbers.next(other.len() + 1);
                let piece = other[from..other.len().min(from + numbers.next(32))].to_vec();
                input.splice(at..at, piece);
            }
        }
    }
    input
}

fn stands_its_seeds_and_what_grows_from_them(name: &str) {
    let (_, run) = TARGETS.into_iter().find(|(target, _)| *target == name).unwrap();
    let seeds = seeds(name);
    assert!(!seeds.is_empty(), "{name} has no seeds");
    seeds.iter().for_each(|seed| run(seed));
    let mut numbers = Numbers(0x9e37_79b9_7f4a_7c15);
    for _ in 0..INPUTS {
        run(&grown(&seeds, &mut numbers));
    }
}

/// A test per target, and one that none is forgotten.
macro_rules! targets {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                stands_its_seeds_and_what_grows_from_them(stringify!($name));
            }
        )*

        #[test]
        fn every_target_is_tested() {
            assert_eq!(TARGETS.map(|(name, _)| name), [$(stringify!($name)),*]);
        }
    };
}

targets! {
    callbacks codec compressed config configuration documents extensions frames inflate json_schema matchers metadata rate_limit rate_table
    request response strict_json token token_parts
}
