//! The number of a record.

use std::fmt;

/// Log sequence number: the place of a record in the book, from 1 and without gaps.
///
/// [`Lsn::ZERO`] stands before the first record; an empty log ends there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

impl Lsn {
    /// Before the first record.
    pub const ZERO: Self = Self(0);

    /// The number that follows. At `u64::MAX`, which no log reaches, it stays where it is.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The number `records` further on.
    #[must_use]
    pub(crate) const fn plus(self, records: u64) -> Self {
        Self(self.0.saturating_add(records))
    }

    /// The number before; that of [`Lsn::ZERO`] is itself.
    #[must_use]
    pub(crate) const fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_start_after_zero() {
        assert_eq!(Lsn::ZERO.next(), Lsn(1));
        assert_eq!(Lsn(7).next().previous(), Lsn(7));
        assert_eq!(Lsn::ZERO.previous(), Lsn::ZERO);
        assert_eq!(Lsn(u64::MAX).next(), Lsn(u64::MAX));
        assert_eq!(Lsn(7).plus(3), Lsn(10));
        assert_eq!(format!("{:>3}", Lsn(7)), "  7");
        assert!(Lsn(9) < Lsn(10));
    }
}
