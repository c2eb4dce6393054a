//! Room for what waits for an answer, which is taken once it is needed and then kept: a connection
//! that never asks has none, and one that asks for every frame allocates for none.

/// Room for one `T`.
#[derive(Debug)]
pub(super) struct Waiting<T>(Option<Box<Option<T>>>);

impl<T> Default for Waiting<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Waiting<T> {
    /// Keeps `what` until it is taken.
    pub(super) fn put(&mut self, what: T) {
        **self.0.get_or_insert_default() = Some(what);
    }

    /// What waits.
    pub(super) fn as_mut(&mut self) -> Option<&mut T> {
        self.0.as_deref_mut().and_then(Option::as_mut)
    }

    /// Whether anything waits.
    pub(super) fn holds(&self) -> bool {
        self.0.as_deref().is_some_and(Option::is_some)
    }

    /// What waits, no longer.
    pub(super) fn take(&mut self) -> Option<T> {
        self.0.as_deref_mut().and_then(Option::take)
    }
}
