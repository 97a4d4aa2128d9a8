//! Where the secrets of a book come from.

use counterfoil_log::{SECRET_BYTES, Secret};

/// Where the secrets of a book come from: the one thing in it that nobody may be able to guess.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Entropy {
    /// The randomness of the operating system.
    #[default]
    System,
    /// All of it derived from a seed: equal runs write equal bytes. Who knows the seed can open what
    /// was sealed, even after it was erased.
    Seed([u8; 32]),
}

impl Entropy {
    /// The seed of books that keep no secret: scenarios, simulations, tests.
    pub const FIXED: Self = Self::Seed(*b"a seed that everybody may know..");

    /// The secret of a key slot.
    pub(crate) fn secret(&self, slot: u64) -> Result<Secret, String> {
        self.bytes::<SECRET_BYTES>(b"key slot", slot).map(Secret::from)
    }

    /// The id of a new book.
    pub(crate) fn book_id(&self) -> Result<[u8; 16], String> {
        self.bytes(b"book id", 0)
    }

    /// The key that identifiers of usage are hashed under.
    pub(crate) fn meter_key(&self) -> Result<[u8; 32], String> {
        self.bytes(b"meter key", 0)
    }

    /// Bytes for one use.
    fn bytes<const N: usize>(&self, purpose: &[u8], number: u64) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        match self {
            Self::System => getrandom::fill(&mut bytes).map_err(|error| error.to_string())?,
            Self::Seed(seed) => blake3::Hasher::new_keyed(seed)
                .update(purpose)
                .update(&number.to_le_bytes())
                .finalize_xof()
                .fill(&mut bytes),
        }
        Ok(bytes)
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::System => "System",
            Self::Seed(_) => "Seed",
        })
    }
}
