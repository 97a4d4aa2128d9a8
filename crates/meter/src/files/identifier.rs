//! Identifiers derived from rows.
#![expect(clippy::disallowed_types, reason = "hashed by digests, and never gone through")]

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasherDefault, Hasher};

/// Derives an identifier of 128 bits from the bytes of a row and the count of equal rows before it.
#[derive(Debug, Default)]
pub(super) struct RowIdentifiers {
    seen: HashSet<u128, BuildHasherDefault<Folded>>,
    /// How often those rows came that came more than once.
    repeats: HashMap<u128, u64, BuildHasherDefault<Folded>>,
}

impl RowIdentifiers {
    /// The identifier of the next row.
    pub(super) fn derive(&mut self, row: &[u8]) -> u128 {
        let digest = blake3::hash(row);
        let key = leading(&digest);
        if self.seen.insert(key) {
            return key;
        }
        let count = self.repeats.entry(key).or_insert(0);
        *count = count.saturating_add(1);
        // Keyed by the row, so that the bytes of no other row give the same.
        leading(&blake3::keyed_hash(digest.as_bytes(), &count.to_le_bytes()))
    }
}

fn leading(hash: &blake3::Hash) -> u128 {
    hash.as_bytes().first_chunk().map_or(0, |bytes| u128::from_be_bytes(*bytes))
}

/// The keys are digests already.
#[derive(Debug, Default)]
struct Folded(u64);

impl Hasher for Folded {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            for (to, from) in word.iter_mut().zip(chunk) {
                *to = *from;
            }
            self.0 ^= u64::from_le_bytes(word);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn equal_rows_get_identifiers_of_their_own_in_any_order() {
        let derive = |rows: &[&str]| {
            let mut identifiers = RowIdentifiers::default();
            rows.iter().map(|row| identifiers.derive(row.as_bytes())).collect::<BTreeSet<_>>()
        };
        let all = derive(&["a", "b", "a", "a", ""]);
        assert_eq!(all.len(), 5);
        assert_eq!(all, derive(&["", "a", "a", "b", "a"]));
        assert!(all.is_superset(&derive(&["a", "a"])));
    }

    #[test]
    fn the_derivation_is_fixed() {
        let mut identifiers = RowIdentifiers::default();
        // The first 128 bits of the published BLAKE3 test vector for no input.
        assert_eq!(identifiers.derive(b""), 0xaf13_49b9_f5f9_a1a6_a040_4dea_36dc_c949);
    }
}
