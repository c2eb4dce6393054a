//! Bytes that are held for a peer, in blocks.
//!
//! A VM never gives memory back to its host, and what is freed can only be taken again by what fits. Messages
//! of all sizes would leave holes too small for the next. So what is held lies in blocks of one size; the
//! last is as small as what is in it, or little larger, since most of what is held is small.

/// The size of a block, in bytes.
const BLOCK: usize = 4 * 1024;

/// The least number of bytes that a block grows by.
const LEAST: usize = 64;

/// A sequence of bytes. Its `Debug` does not show them: there may be a token in them.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blocks {
    /// The blocks, none of them empty, and all but the last full.
    blocks: Vec<Vec<u8>>,
}

impl Blocks {
    /// Returns the number of bytes.
    pub fn len(&self) -> usize {
        self.full() + self.blocks.last().map_or(0, Vec::len)
    }

    /// Says whether there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.blocks.is_empty()
    }

    /// Returns all bytes, in pieces.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.blocks.iter().map(Vec::as_slice)
    }

    /// Returns all bytes in one piece, with room for `more`.
    pub fn to_vec(&self, more: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(self.len().saturating_add(more));
        self.iter().for_each(|block| bytes.extend_from_slice(block));
        bytes
    }

    /// Appends `bytes`.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let last = match self.blocks.last_mut() {
                Some(last) if last.len() < BLOCK => last,
                _ => self.blocks.push_mut(Vec::new()),
            };
            let (fits, rest) = bytes.split_at(bytes.len().min(BLOCK.saturating_sub(last.len())));
            append(last, fits);
            bytes = rest;
        }
    }

    /// Returns the memory that is taken for the bytes, in bytes.
    pub(crate) fn held(&self) -> usize {
        let last = self.blocks.last().map_or(0, Vec::capacity);
        self.full() + last + self.blocks.capacity() * size_of::<Vec<u8>>()
    }

    /// Returns the number of bytes in full blocks ahead of the last.
    fn full(&self) -> usize {
        self.blocks.len().saturating_sub(1) * BLOCK
    }
}

impl From<&[u8]> for Blocks {
    fn from(bytes: &[u8]) -> Self {
        let mut blocks = Self::default();
        blocks.push(bytes);
        blocks
    }
}

impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({} bytes)", self.len())
    }
}

/// Appends `bytes` to a block that has room for them. At most an eighth of what it has stays unused.
fn append(block: &mut Vec<u8>, bytes: &[u8]) {
    if block.capacity().saturating_sub(block.len()) < bytes.len() {
        let more = bytes.len().max(block.len() / 8).max(LEAST);
        block.reserve_exact(more.min(BLOCK.saturating_sub(block.len())));
    }
    block.extend_from_slice(bytes);
}

/// Returns the most memory that is taken for `len` bytes, in bytes.
pub(crate) fn most(len: u64) -> u64 {
    let block = BLOCK as u64;
    let last = (len % block).saturating_add((len / 8).max(LEAST as u64)).min(block);
    // The vector of blocks doubles, and begins with four.
    let places = (len / block).saturating_add(1).saturating_mul(2).max(4);
    let places = places.saturating_mul(size_of::<Vec<u8>>() as u64);
    if len == 0 { 0 } else { (len / block).saturating_mul(block).saturating_add(last).saturating_add(places) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pushed_in_pieces_of_any_size_comes_out_in_order_and_takes_little_more_memory() {
        for piece in [1, 7, 64, 1000, BLOCK - 1, BLOCK, 3 * BLOCK + 5] {
            let bytes: Vec<u8> = (0..200_000_u32).map(|byte| byte.to_le_bytes()[1]).collect();
            let mut blocks = Blocks::default();
            for (pushed, piece_of) in bytes.chunks(piece).enumerate() {
                blocks.push(piece_of);
                let len = (pushed * piece + piece_of.len()) as u64;
                assert_eq!(blocks.len() as u64, len, "{piece}");
                let held = blocks.held() as u64;
                assert!((len..=most(len)).contains(&held), "{piece}: {held} for {len}");
            }
            assert_eq!(blocks.to_vec(0), bytes, "{piece}");
            assert_eq!(blocks.iter().flatten().copied().collect::<Vec<_>>(), bytes, "{piece}");
        }
    }

    #[test]
    fn no_piece_of_memory_is_larger_than_a_block_whatever_is_held() {
        let blocks = Blocks::from(&vec![7; 1 << 20][..]);
        assert!(blocks.blocks.iter().all(|block| block.capacity() == BLOCK));
        assert_eq!(Blocks::default().held(), 0);
        assert_eq!(most(0), 0);
    }
}
