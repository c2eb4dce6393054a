//! What is recognised, and what is not.
#![expect(clippy::cast_possible_truncation, reason = "the numbers of the tests are small")]

mod encode;
mod openings;
mod ordinary;
mod random;

use super::{MOST, Recogniser, Recognition, Tunnelled};
use crate::peer::Peer;
use random::Random;

#[test]
fn a_recogniser_is_small_beside_a_stream() {
    assert!(size_of::<Recogniser>() <= MOST + 32, "{} bytes", size_of::<Recogniser>());
}
