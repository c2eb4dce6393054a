//! Appends to what is held for a peer, with little memory to spare: a vector that doubles would take twice of what it holds.

/// The least that a vector grows by, in bytes.
const LEAST: usize = 64;

/// Appends `bytes`. Unused is at most an eighth of what `held` has, so that all of it is copied some nine times over while
/// it grows.
pub(crate) fn append(held: &mut Vec<u8>, bytes: &[u8]) {
    if held.capacity().saturating_sub(held.len()) < bytes.len() {
        held.reserve_exact(bytes.len().max(held.len() / 8).max(LEAST));
    }
    held.extend_from_slice(bytes);
}

/// The most memory that is taken for `len` bytes, in bytes.
pub(crate) fn most(len: u64) -> u64 {
    if len == 0 { 0 } else { len.saturating_add((len / 8).max(LEAST as u64)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_appended_in_pieces_of_any_size_leaves_little_unused_and_moves_seldom() {
        for piece in [1, 7, 64, 1000, 16 * 1024] {
            let (mut held, mut moves) = (Vec::new(), 0);
            while held.len() < 1 << 20 {
                let before = held.capacity();
                append(&mut held, &vec![7; piece]);
                moves += usize::from(held.capacity() != before);
                let most = held.len() + (held.len() / 8).max(LEAST);
                assert!(held.capacity() <= most, "{piece}: {} for {}", held.capacity(), held.len());
            }
            assert!(moves < 120, "{piece}: moved {moves} times");
        }
    }
}
