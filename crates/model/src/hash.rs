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

impl Hashing {
    /// A value's canonical encoding: named fields, ordered maps, no floats.
    fn value<T: Serialize>(&mut self, value: &T) {
        let mut encoder = rmp_serde::Serializer::new(&mut *self).with_struct_map();
        if value.serialize(&mut encoder).is_err() {
            // Only a writer that fails or a map of unknown length could bring us here.
            self.0.update(b"unencodable");
        }
    }

    fn text(&mut self, text: &str) {
        self.0.update(&u64::try_from(text.len()).unwrap_or(u64::MAX).to_le_bytes());
        self.0.update(text.as_bytes());
    }

    /// Begins a table. Its rows end with the next table, which no row begins like.
    fn table(&mut self, name: &str) {
        self.0.update(&[0xff; 8]);
        self.text(name);
    }
}

/// The BLAKE3 hash of a value's canonical encoding.
pub(crate) fn canonical_hash<T: Serialize>(value: &T) -> [u8; 32] {
    let mut hashing = Hashing(blake3::Hasher::new());
    hashing.value(value);
    *hashing.0.finalize().as_bytes()
}

impl State {
    /// The hash of the whole state, what is personal included.
    ///
    /// It is taken over what is small as a whole, over the tables row by row, and over each
    /// customer's id and the hash of its encoding. So customers that still lie in a snapshot count
    /// with the hash that stands there, and are not read.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        let mut hashing = Hashing(blake3::Hasher::new());
        hashing.value(self);
        hashing.table("journal");
        hashing.value(&self.journal);
        hashing.table("keys");
        for (key, remembered) in &self.keys {
            hashing.text(key);
            hashing.value(remembered);
            hashing.value(&remembered.answer.as_ref().map(|output| output.personal()).ok());
        }
        hashing.table("due");
        for key in self.due.iter() {
            hashing.value(&key);
        }
        let owners = &self.owners;
        let mut row = |key: &str, value: &str| {
            hashing.text(key);
            hashing.text(value);
        };
        owners.subscriptions.each(&mut row);
        row("", "subscription items");
        owners.subscription_items.each(&mut row);
        row("", "invoices");
        owners.invoices.each(&mut row);
        row("", "invoice items");
        owners.invoice_items.each(&mut row);
        row("", "prefixes");
        owners.prefixes.each(&mut row);
        hashing.table("attempts");
        hashing.value(&owners.attempts);
        hashing.table("customers");
        self.shards.each_hash(|id, hash| {
            hashing.text(id);
            hashing.0.update(hash);
        });
        *hashing.0.finalize().as_bytes()
    }
}
