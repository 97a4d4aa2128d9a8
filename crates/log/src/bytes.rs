//! Little-endian fields and the arithmetic of lengths.

/// Records and batches begin at multiples of this, so that a payload can be read in place.
pub(crate) const ALIGN: usize = 16;

/// A length as a file offset.
pub(crate) fn wide(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A length from a file; `usize::MAX`, which no buffer has, where this machine cannot hold it.
pub(crate) fn narrow(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

/// The next multiple of [`ALIGN`].
pub(crate) fn aligned(len: usize) -> usize {
    len.checked_next_multiple_of(ALIGN).unwrap_or(usize::MAX)
}

/// Whether all bytes are zero. Compared in pieces, since space written ahead is long.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    const ZEROS: [u8; 4096] = [0; 4096];
    bytes.chunks(ZEROS.len()).all(|piece| ZEROS.starts_with(piece))
}

/// Overwrites `bytes` from `at` on. What does not fit is a mistake of the caller, and not written.
pub(crate) fn put(bytes: &mut [u8], at: usize, field: &[u8]) {
    let slot = bytes.get_mut(at..).and_then(|rest| rest.get_mut(..field.len()));
    debug_assert!(slot.is_some(), "a field of {} bytes at {at}", field.len());
    if let Some(slot) = slot {
        slot.copy_from_slice(field);
    }
}

/// Reads fields one after the other; `None` once the bytes are used up.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Option<i64> {
        self.array().map(i64::from_le_bytes)
    }

    /// A length that is stored in 32 bits.
    pub(crate) fn len32(&mut self) -> Option<usize> {
        self.u32().map(|len| narrow(len.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_end_without_a_panic() {
        let mut fields = Fields(&[1, 2, 0, 3, 0, 0, 0, 9]);
        assert_eq!(fields.u8(), Some(1));
        assert_eq!(fields.u16(), Some(2));
        assert_eq!(fields.len32(), Some(3));
        assert_eq!(fields.u64(), None);
        assert_eq!(fields.take(2), None);
        assert_eq!(fields.take(1), Some(&[9][..]));
        assert_eq!(fields.i64(), None);
    }

    #[test]
    fn lengths_are_aligned_upwards() {
        for (len, expected) in [(0, 0), (1, 16), (16, 16), (17, 32), (usize::MAX, usize::MAX)] {
            assert_eq!(aligned(len), expected, "{len}");
        }
    }
}
