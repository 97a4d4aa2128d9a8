//! The state hash: equal for equal histories, whatever machine applied them.

use crate::State;
use serde::Serialize;
use std::io;

struct Hashing(blake3::Hasher);

impl io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The BLAKE3 hash of a value's canonical encoding: named fields, ordered maps, no floats.
///
/// # Panics
/// Never: the encoding of these types into a hasher cannot fail.
pub(crate) fn canonical_hash<T: Serialize>(value: &T) -> [u8; 32] {
    let mut hashing = Hashing(blake3::Hasher::new());
    let mut encoder = rmp_serde::Serializer::new(&mut hashing).with_struct_map();
    if value.serialize(&mut encoder).is_err() {
        // Only a writer that fails or a map of unknown length could bring us here.
        hashing.0.update(b"unencodable");
    }
    *hashing.0.finalize().as_bytes()
}

impl State {
    /// The hash of the whole state, what is personal included.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        canonical_hash(&(self, self.personal()))
    }
}
