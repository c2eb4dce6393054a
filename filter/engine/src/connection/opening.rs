//! The opening of a direction: its first payload bytes, as far as it is open whether they are another protocol's.
//!
//! Owns when they are looked at. The openings of protocols are known by [`tunnels`](crate::message::tunnels).

use crate::message::tunnels::{Recogniser, Recognition, Tunnelled};
use crate::peer::Peer;

/// The first payload bytes of a direction. It borrows the two parts of its state, which lie where they cost a session least.
#[derive(Debug)]
pub(super) struct Opening<'p> {
    pub(super) sender: Peer,
    /// Says whether it is still to be found out what the bytes are.
    pub(super) is_open: &'p mut bool,
    /// The bytes so far; absent before the first.
    pub(super) begun: &'p mut Option<Box<Recogniser>>,
}

impl Opening<'_> {
    /// Looks at the next payload, as it reads.
    pub(super) fn push(&mut self, plain: &[u8]) -> Result<(), Tunnelled> {
        if plain.is_empty() || !*self.is_open {
            return Ok(());
        }
        let recogniser = self.begun.get_or_insert_with(|| Box::new(Recogniser::new(self.sender)));
        let recognition = recogniser.push(plain);
        self.follow(recognition)
    }

    /// Takes note that a message has ended.
    pub(super) fn end_message(&mut self) -> Result<(), Tunnelled> {
        let Some(recogniser) = self.begun else { return Ok(()) };
        let recognition = recogniser.end_of_message();
        self.follow(recognition)
    }

    fn follow(&mut self, recognition: Recognition) -> Result<(), Tunnelled> {
        if recognition != Recognition::Undecided {
            (*self.is_open, *self.begun) = (false, None);
        }
        match recognition {
            Recognition::Undecided | Recognition::Ordinary => Ok(()),
            Recognition::Tunnel(tunnelled) => Err(tunnelled),
        }
    }
}
