//! Sealing what is personal, under one key per customer.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452). The nonce is the version of the stream, which a key
//! sees once in a history; but a history can fork, when a torn tail is cut or a backup is restored
//! and goes on, and then the same version is given out again with other content. With this cipher
//! that shows at most whether two payloads are equal; with one that needs unique nonces it would
//! show their difference and let others be forged.
//!
//! A sealed payload:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 1 | form, 1 |
//! | 1 | 8 | key slot |
//! | 9 | | what was sealed, and a tag of 16 bytes |
//!
//! The nonce is the version of the stream (8 bytes) and what is sealed (4): 1 an event, 2 what is
//! remembered under an idempotency key, 3 a part of a snapshot. Bound to it are the stream key, the
//! version of the stream (8), the type (2) and the schema (2). Numbers are little-endian.

use crate::entropy::Entropy;
use aes_gcm_siv::aead::{Aead, KeyInit, Payload};
use aes_gcm_siv::{Aes256GcmSiv, Nonce};
use counterfoil_log::{Log, MemStorage, Secret, Slot, Storage, Vault, VaultError};
use std::sync::Arc;

const FORM: u8 = 1;
const SLOT_AT: usize = 1;
const SEALED_AT: usize = 9;

/// Why a payload could not be sealed or opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The keys could not be read or written.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The payload was changed, stands elsewhere than it was written, or belongs to another key.
    #[error("the key in slot {slot} does not open what is personal in {stream}, version {version}")]
    Unopened {
        /// The slot.
        slot: u64,
        /// The stream.
        stream: String,
        /// The version of the stream.
        version: u64,
    },
    /// The payload has a form that this build does not know.
    #[error("a personal payload of an unknown form in {stream}, version {version}")]
    Form {
        /// The stream.
        stream: String,
        /// The version of the stream.
        version: u64,
    },
}

/// Where a sealed payload stands; it can be opened nowhere else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) what: Sealed,
    pub(crate) stream: &'a str,
    pub(crate) version: u64,
    pub(crate) type_id: u16,
    pub(crate) schema: u16,
}

/// What is sealed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Sealed {
    Event,
    Remembered,
    /// The type says which part.
    Snapshot,
}

impl Place<'_> {
    fn nonce(&self) -> Nonce {
        let what: u32 = match self.what {
            Sealed::Event => 1,
            Sealed::Remembered => 2,
            Sealed::Snapshot => 3,
        };
        let mut nonce = Nonce::default();
        let fields = self.version.to_le_bytes().into_iter().chain(what.to_le_bytes());
        nonce.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        nonce
    }

    fn bound(&self) -> Vec<u8> {
        let mut bound = Vec::with_capacity(self.stream.len().saturating_add(12));
        bound.extend_from_slice(self.stream.as_bytes());
        bound.extend_from_slice(&self.version.to_le_bytes());
        bound.extend_from_slice(&self.type_id.to_le_bytes());
        bound.extend_from_slice(&self.schema.to_le_bytes());
        bound
    }

    fn form(&self) -> KeyError {
        KeyError::Form { stream: self.stream.to_owned(), version: self.version }
    }

    fn unopened(&self, slot: u64) -> KeyError {
        KeyError::Unopened { slot, stream: self.stream.to_owned(), version: self.version }
    }
}

/// The keys of a book.
#[derive(Debug)]
pub(crate) struct Keys {
    vault: Vault,
    entropy: Entropy,
    /// Whether nothing is opened.
    shut: bool,
}

impl Keys {
    pub(crate) fn of(log: &Log, entropy: Entropy) -> Self {
        Self { vault: Vault::of(log), entropy, shut: false }
    }

    /// Those of a book that is not written to.
    pub(crate) fn read_only(storage: Arc<dyn Storage>) -> Self {
        let vault = Vault::read_only(storage);
        Self { vault, entropy: Entropy::default(), shut: false }
    }

    /// Those of whoever has none: what is sealed is left out.
    pub(crate) fn none() -> Self {
        Self { shut: true, ..Self::read_only(Arc::new(MemStorage::new())) }
    }

    /// Forgets keys that somebody else may have destroyed meanwhile.
    pub(crate) fn refresh(&self) {
        self.vault.refresh();
    }

    /// The first slot from a number on that no customer has.
    pub(crate) fn free_from(&self, from: u64) -> Result<u64, KeyError> {
        let entropy = self.entropy.clone();
        Ok(self.vault.free_from(from, &move |slot| entropy.secret(slot))?)
    }

    /// Whether the key in a slot is destroyed.
    pub(crate) fn is_destroyed(&self, slot: u64) -> Result<bool, KeyError> {
        Ok(self.vault.slot(slot)? == Slot::Destroyed)
    }

    /// Destroys the key in a slot, if it is not destroyed yet.
    pub(crate) fn destroy(&self, slot: u64) -> Result<(), KeyError> {
        Ok(self.vault.destroy(slot)?)
    }

    /// Seals a payload with the key in a slot; none where the key is destroyed.
    pub(crate) fn seal(
        &self,
        slot: u64,
        place: Place<'_>,
        plain: &[u8],
    ) -> Result<Option<Vec<u8>>, KeyError> {
        let Slot::Live(secret) = self.vault.slot(slot)? else { return Ok(None) };
        let payload = Payload { msg: plain, aad: &place.bound() };
        let sealed = cipher(&secret).encrypt(&place.nonce(), payload);
        let sealed = sealed.map_err(|_| place.unopened(slot))?;
        let mut bytes = Vec::with_capacity(SEALED_AT.saturating_add(sealed.len()));
        bytes.push(FORM);
        bytes.extend_from_slice(&slot.to_le_bytes());
        bytes.extend_from_slice(&sealed);
        Ok(Some(bytes))
    }

    /// Opens a sealed payload; none where its key is destroyed.
    pub(crate) fn open(
        &self,
        place: Place<'_>,
        sealed: &[u8],
    ) -> Result<Option<Vec<u8>>, KeyError> {
        let slot = sealed.get(SLOT_AT..SEALED_AT).and_then(|slot| <[u8; 8]>::try_from(slot).ok());
        let (Some(&FORM), Some(slot)) = (sealed.first(), slot) else { return Err(place.form()) };
        if self.shut {
            return Ok(None);
        }
        let slot = u64::from_le_bytes(slot);
        let Slot::Live(secret) = self.vault.slot(slot)? else { return Ok(None) };
        let msg = sealed.get(SEALED_AT..).unwrap_or_default();
        let opened = cipher(&secret).decrypt(&place.nonce(), Payload { msg, aad: &place.bound() });
        opened.map(Some).map_err(|_| place.unopened(slot))
    }
}

fn cipher(secret: &Secret) -> Aes256GcmSiv {
    Aes256GcmSiv::new(&(*secret.expose()).into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_log::LogOptions;

    const PLACE: Place<'_> = Place {
        what: Sealed::Event,
        stream: "customer:cus_1",
        version: 7,
        type_id: 200,
        schema: 1,
    };

    fn keys() -> Keys {
        let (log, _) = Log::open(MemStorage::new(), LogOptions::default()).unwrap();
        let keys = Keys::of(&log, Entropy::FIXED);
        assert_eq!(keys.free_from(0).unwrap(), 0);
        keys
    }

    #[test]
    fn a_payload_opens_where_it_was_sealed_and_nowhere_else() {
        let keys = keys();
        let sealed = keys.seal(3, PLACE, b"Ada").unwrap().unwrap();
        assert!(!sealed.windows(3).any(|bytes| bytes == b"Ada"));
        assert_eq!(keys.open(PLACE, &sealed).unwrap().unwrap(), b"Ada");
        for other in [
            Place { what: Sealed::Remembered, ..PLACE },
            Place { stream: "customer:cus_2", ..PLACE },
            Place { version: 8, ..PLACE },
            Place { type_id: 201, ..PLACE },
            Place { schema: 2, ..PLACE },
        ] {
            let opened = keys.open(other, &sealed);
            assert!(matches!(opened, Err(KeyError::Unopened { slot: 3, .. })), "{other:?}");
        }
        for byte in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[byte] ^= 1;
            assert!(keys.open(PLACE, &changed).is_err(), "byte {byte}");
            assert!(keys.open(PLACE, &sealed[..byte]).is_err(), "cut at {byte}");
        }
    }

    #[test]
    fn a_destroyed_key_seals_and_opens_nothing() {
        let keys = keys();
        let sealed = keys.seal(3, PLACE, b"Ada").unwrap().unwrap();
        keys.destroy(3).unwrap();
        assert_eq!(keys.open(PLACE, &sealed).unwrap(), None);
        assert_eq!(keys.seal(3, PLACE, b"Ada").unwrap(), None);
        assert!(keys.is_destroyed(3).unwrap() && !keys.is_destroyed(4).unwrap());
        // Nothing but the secret opens it: the same seed has another one in every other slot.
        assert_ne!(Entropy::FIXED.secret(3), Entropy::FIXED.secret(4));
    }

    /// RFC 8452, appendix C.2: the cipher is the one that it says it is.
    #[test]
    fn the_cipher_gives_what_the_standard_says() {
        let mut secret = [0; 32];
        secret[0] = 1;
        let mut nonce = Nonce::default();
        nonce[0] = 3;
        let plain = [1, 0, 0, 0, 0, 0, 0, 0];
        let sealed = cipher(&Secret::from(secret)).encrypt(&nonce, plain.as_ref()).unwrap();
        let expected = [
            0xc2, 0xef, 0x32, 0x8e, 0x5c, 0x71, 0xc8, 0x3b, 0x84, 0x31, 0x22, 0x13, 0x0f, 0x73,
            0x64, 0xb7, 0x61, 0xe0, 0xb9, 0x74, 0x27, 0xe3, 0xdf, 0x28,
        ];
        assert_eq!(sealed, expected);
    }
}
