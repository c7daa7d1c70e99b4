//! The first of many entries in an order that the catalog does not have.
//!
//! **Invariant:** memory is bounded by how many are wanted, not by how many there are.

/// Collects the least of what it is given.
#[derive(Debug)]
pub(super) struct Least<T> {
    kept: Vec<T>,
    most: usize,
}

impl<T: Ord> Least<T> {
    /// Of so many.
    pub(super) fn new(most: usize) -> Self {
        Self { kept: Vec::new(), most }
    }

    /// Takes one in.
    pub(super) fn push(&mut self, item: T) {
        self.kept.push(item);
        if self.kept.len() >= self.most.saturating_mul(2).max(64) {
            self.cut();
        }
    }

    fn cut(&mut self) {
        self.kept.sort();
        self.kept.truncate(self.most);
    }

    /// The least, in order.
    pub(super) fn take(mut self) -> Vec<T> {
        self.cut();
        self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_are_kept() {
        let mut least = Least::new(3);
        (0..1000).rev().for_each(|n| least.push((n * 7) % 1000));
        assert!(least.kept.len() <= 64);
        assert_eq!(least.take(), [0, 1, 2]);
    }
}
