//! Numbers that are the same in every run.

/// xorshift64*.
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    /// A number below this one, which is taken for 1 if it is 0.
    pub(crate) fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap_or(0) % limit.max(1)
    }
}
