//! The way by which one filter of a stream finds another, although each may be of a build of its own: the address of a filter of
//! Envoy's, in the stream's state, with a proof that no configuration could write.

use std::ffi::{c_ulong, c_void};
use std::hash::Hasher as _;
use std::ptr::{self, NonNull};

use siphasher::sip::SipHasher24;

use super::calls::Filter;

/// The auxiliary vector's entry that has sixteen random bytes of the process.
const RANDOM: c_ulong = 25;

unsafe extern "C" {
    /// The C library's own.
    fn getauxval(entry: c_ulong) -> c_ulong;
}

impl Filter {
    /// Returns the bytes by which another filter of the stream, on the same thread, finds this one and its number.
    pub(in super::super) fn announcement(self, number: u32) -> Option<Vec<u8>> {
        let address = self.raw().expose_provenance() as u64;
        let proof = prove(address, number)?;
        Some([&address.to_ne_bytes()[..], &number.to_ne_bytes(), &proof.to_ne_bytes()].concat())
    }

    /// Returns the filter that has announced itself by these bytes, and its number.
    pub(in super::super) fn announced(bytes: &[u8]) -> Option<(Self, u32)> {
        let (address, bytes) = bytes.split_first_chunk()?;
        let (number, proof) = bytes.split_first_chunk()?;
        let (address, number) = (u64::from_ne_bytes(*address), u32::from_ne_bytes(*number));
        if proof != prove(address, number)?.to_ne_bytes() {
            return None;
        }
        // The library that wrote it has had it from Envoy, which destroys all filters of a stream together.
        let place = ptr::with_exposed_provenance_mut::<c_void>(usize::try_from(address).ok()?);
        Some((Self(NonNull::new(place)?), number))
    }
}

/// Returns what only a library of this process can know to belong to both; `None` if the system has no secret of it.
fn prove(address: u64, number: u32) -> Option<u64> {
    // SAFETY: the function takes any number, and changes nothing.
    let at = unsafe { getauxval(RANDOM) };
    let at = NonNull::new(ptr::with_exposed_provenance_mut::<[u8; 16]>(usize::try_from(at).ok()?))?;
    // SAFETY: the kernel has put the bytes there for as long as the process lives.
    let secret = unsafe { at.read_unaligned() };
    let mut hasher = SipHasher24::new_with_key(&secret);
    hasher.write_u64(address);
    hasher.write_u32(number);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::Filter;

    #[test]
    fn a_filter_is_found_by_what_it_has_announced_and_by_nothing_else() {
        let mut place = 0_u8;
        let filter = Filter::new((&raw mut place).cast()).expect("an address");
        let announced = filter.announcement(7).expect("a secret of the process");
        assert_eq!(Filter::announced(&announced), Some((filter, 7)));
        for byte in 0..announced.len() {
            let mut forged = announced.clone();
            forged[byte] ^= 1;
            assert_eq!(Filter::announced(&forged), None, "byte {byte}");
        }
        for forged in [&[][..], &announced[..19], &[&announced[..], &[0]].concat(), &[0; 20]] {
            assert_eq!(Filter::announced(forged), None, "{forged:?}");
        }
    }
}
