//! The members and items of one value that a schema has looked at, which `unevaluatedProperties` and `unevaluatedItems` leave out.

/// The places of one object or array that have been evaluated.
#[derive(Debug, Default)]
pub(super) struct Evaluated {
    /// By the place of a member in its object, or of an item in its array. Shorter than that where the rest is not evaluated.
    places: Vec<bool>,
}

impl Evaluated {
    /// Marks the member or item at `place`.
    pub(super) fn mark(&mut self, place: usize) {
        if self.places.len() <= place {
            self.places.resize(place + 1, false);
        }
        if let Some(marked) = self.places.get_mut(place) {
            *marked = true;
        }
    }

    /// Marks all that `other` has marked.
    pub(super) fn merge(&mut self, other: &Self) {
        if self.places.len() < other.places.len() {
            self.places.resize(other.places.len(), false);
        }
        for (mine, other) in self.places.iter_mut().zip(&other.places) {
            *mine |= other;
        }
    }

    /// Says whether the member or item at `place` is marked.
    pub(super) fn has(&self, place: usize) -> bool {
        self.places.get(place).copied().unwrap_or(false)
    }

    /// Returns the number of places that are remembered.
    pub(super) fn len(&self) -> usize {
        self.places.len()
    }
}
