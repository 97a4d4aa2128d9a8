//! The vault: secrets that seal what is personal, in slots that are overwritten to erase it.
//!
//! A record is never changed, so what it must be possible to erase is kept in it only sealed, under
//! a key that stands apart from the log, here. The log does not know what is sealed, or how.
//!
//! Slots are numbered from 0; 4,096 of them are a file `0000000001.keys` …, without a header, which
//! grows as slots are made. A slot:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 4 | CRC-32C over bytes 4..64 |
//! | 4 | 4 | state: 1 live, 2 destroyed |
//! | 8 | 8 | number of the slot |
//! | 16 | 32 | the secret; zeros where it was destroyed |
//! | 48 | 16 | zero |
//!
//! A slot of zeros, or beyond the end of its file, was not made yet. The number binds a slot to its
//! place: one that was copied elsewhere is refused.
//!
//! # Why each step is safe
//!
//! - **Make.** Slots are made 1,024 at a time and synced, file and name, before one of them is
//!   given out. Which of them are in use, the log says: after a crash those that no record names
//!   are given out again, and what is torn among them is made anew.
//! - **Destroy.** The caller has made durable that the secret goes. The slot is overwritten in
//!   place and synced. It lies within one sector, so a crash leaves the old slot or the new one;
//!   either way the caller, who finds its record, destroys it again, which changes nothing more.
//! - **I/O errors** while writing poison the log and the vault together.
//!
//! # What overwriting promises
//!
//! The book and every copy made of it afterwards no longer hold the secret. What lies below the
//! file system may: a journal that keeps data (`data=journal`), a file system that never writes in
//! place (btrfs, ZFS, and their snapshots), and the spare blocks of a flash disk can keep the former
//! sector until they reuse it, out of reach of any program but not of a laboratory. Where that
//! matters the disk itself is encrypted, or the `.keys` files are kept on one that is. A copy of the
//! book made before keeps the secret with everything else: it must be destroyed, or its `.keys`
//! files replaced by the present ones.

use std::{
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use zeroize::{Zeroize, Zeroizing};

use crate::{
    Log,
    bugs::{Bug, planted},
    bytes::{Fields, is_zero, narrow, put, wide},
    error::{Damage, DamageReason, IoError, LogError},
    group::Shared,
    limits::{KEY_FILE_SLOTS, KEY_SLOTS_MADE},
    storage::{Access, Storage, StorageFile},
};

/// Bytes of a secret.
pub const SECRET_BYTES: usize = 32;
const SLOT_BYTES: usize = 64;
const FILE_BYTES: u64 = KEY_FILE_SLOTS * 64;
const LIVE: u32 = 1;
const DESTROYED: u32 = 2;

/// A secret. It is overwritten in memory when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret([u8; SECRET_BYTES]);

impl Secret {
    /// The secret's bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl From<[u8; SECRET_BYTES]> for Secret {
    fn from(bytes: [u8; SECRET_BYTES]) -> Self {
        Self(bytes)
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What a slot that was made holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// Its secret.
    Live(Secret),
    /// Nothing any more.
    Destroyed,
}

/// Why the vault did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// A slot that something was sealed with is not there: a `.keys` file is missing or cut.
    #[error("key slot {slot} is missing: {file} does not hold it")]
    Missing {
        /// The slot.
        slot: u64,
        /// The file that should hold it.
        file: String,
    },
    /// A slot or file that no writer wrote.
    #[error(transparent)]
    Damaged(Damage),
    /// Nobody gave a secret for a new slot.
    #[error("there is no secret for a new key slot: {reason}")]
    Randomness {
        /// What the source said.
        reason: String,
    },
    /// A vault that was opened for reading was asked to write.
    #[error("the vault was opened for reading only")]
    ReadOnly,
    /// More slots than there can be.
    #[error("there are no more key slots")]
    Full,
    /// The log is poisoned: by this operation or an earlier one.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A file could not be read. Reading changes nothing, so this poisons nothing.
    #[error(transparent)]
    Io(#[from] IoError),
}

/// Where the secrets of new slots come from: given the number of the slot, 32 bytes that nobody can
/// guess, or why there are none. Called anew for a slot that a crash tore, it may give others.
pub type SecretSource = dyn Fn(u64) -> Result<Secret, String> + Send + Sync;

/// The secrets of a book.
pub struct Vault {
    files: Files,
    cache: Mutex<Cache>,
}

enum Files {
    /// Those of a log that is open for writing.
    Own(Arc<Shared>),
    /// Somebody's, to be read.
    Foreign(Arc<dyn Storage>),
}

#[derive(Default)]
struct Cache {
    /// The bytes of the files that were asked for, by number.
    files: BTreeMap<u32, Zeroizing<Vec<u8>>>,
    /// Those that were synced since the vault was opened.
    synced: BTreeSet<u32>,
}

impl Vault {
    /// The vault of an open log. Nothing is read before a slot is asked for.
    #[must_use]
    pub fn of(log: &Log) -> Self {
        Self { files: Files::Own(Arc::clone(log.shared())), cache: Mutex::default() }
    }

    /// The vault of a book that somebody else may have open. It cannot be written to.
    #[must_use]
    pub fn read_only(storage: Arc<dyn Storage>) -> Self {
        Self { files: Files::Foreign(storage), cache: Mutex::default() }
    }

    /// What a slot holds.
    ///
    /// # Errors
    /// [`VaultError::Missing`] for a slot that was not made, [`VaultError::Damaged`] for one that no
    /// writer wrote, [`VaultError::Io`].
    pub fn slot(&self, slot: u64) -> Result<Slot, VaultError> {
        let mut cache = self.cache();
        match self.look_up(&mut cache, slot) {
            Ok(Some(found)) => Ok(found),
            Ok(None) | Err(VaultError::Damaged(_)) => {
                // Somebody else may have made it since the file was read, or was just writing it.
                cache.files.remove(&file_number(slot)?);
                let file = file_name(file_number(slot)?);
                self.look_up(&mut cache, slot)?.ok_or(VaultError::Missing { slot, file })
            }
            Err(error) => Err(error),
        }
    }

    /// Forgets what was read, so that secrets that somebody else destroyed meanwhile are known no
    /// longer.
    pub fn refresh(&self) {
        self.cache().files.clear();
    }

    /// The first live slot from number `from` on, on disk for certain. Where there is none that was
    /// made, slots are made with the secrets that `source` gives.
    ///
    /// The caller keeps which slots are in use, and gives the number after the last of them. Slots
    /// that were destroyed are passed over: they are in use in a later state of the book, if its
    /// `.keys` files are newer than its log.
    ///
    /// # Errors
    /// [`VaultError::Randomness`], and then nothing was written; [`VaultError::Log`] where the log
    /// is poisoned, or is now, because the slots could not be written; [`VaultError::Io`].
    pub fn free_from(&self, from: u64, source: &SecretSource) -> Result<u64, VaultError> {
        let mut cache = self.cache();
        let mut slot = from;
        loop {
            match self.look_up(&mut cache, slot) {
                Ok(Some(Slot::Live(_))) => {
                    self.sync_once(&mut cache, file_number(slot)?)?;
                    return Ok(slot);
                }
                Ok(Some(Slot::Destroyed)) => slot = slot.checked_add(1).ok_or(VaultError::Full)?,
                // No record names it: what a crash tore is made anew.
                Ok(None)
                | Err(VaultError::Damaged(Damage { reason: DamageReason::KeySlot, .. })) => {
                    self.make(&mut cache, slot, source)?;
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Overwrites the secret of a slot. Once this returns the slot is destroyed on disk; it may be
    /// called again.
    ///
    /// # Errors
    /// [`VaultError::Log`] where the log is poisoned, or is now, because the slot could not be
    /// overwritten; [`VaultError::Missing`] where there is no such file.
    pub fn destroy(&self, slot: u64) -> Result<(), VaultError> {
        let mut cache = self.cache();
        let number = file_number(slot)?;
        match self.look_up(&mut cache, slot) {
            Ok(Some(Slot::Destroyed)) => return self.sync_once(&mut cache, number),
            // A torn slot is overwritten like a live one, and so is one that was not made.
            Ok(_) | Err(VaultError::Damaged(Damage { reason: DamageReason::KeySlot, .. })) => {}
            Err(error) => return Err(error),
        }
        let name = file_name(number);
        if !self.exists(number)? {
            return Err(VaultError::Missing { slot, file: name });
        }
        let (at, encoded) = (offset(slot), encode(slot, None));
        self.write(|storage| {
            let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
            file.write_all_at(&*encoded, wide(at))
                .map_err(IoError::at("overwrite a key in", &name))?;
            if planted(Bug::ErasureNotSynced) {
                return Ok(());
            }
            file.sync_data().map_err(IoError::at("sync", &name))
        })?;
        let bytes = cache.files.entry(number).or_default();
        cover(bytes, at.saturating_add(SLOT_BYTES));
        put(bytes, at, &*encoded);
        cache.synced.insert(number);
        Ok(())
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // What is there after a panic was read from or written to disk as a whole.
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn storage(&self) -> &dyn Storage {
        match &self.files {
            Files::Own(log) => log.storage(),
            Files::Foreign(storage) => &**storage,
        }
    }

    /// Does something that changes files; if it fails, the log is poisoned.
    fn write(
        &self,
        change: impl FnOnce(&dyn Storage) -> Result<(), IoError>,
    ) -> Result<(), VaultError> {
        let Files::Own(log) = &self.files else { return Err(VaultError::ReadOnly) };
        log.check_not_poisoned()?;
        match change(log.storage()) {
            Ok(()) => Ok(()),
            Err(error) => Err(log.give_up(&error.to_string()).into()),
        }
    }

    /// What a slot holds; none where it was not made.
    fn look_up(&self, cache: &mut Cache, slot: u64) -> Result<Option<Slot>, VaultError> {
        let number = file_number(slot)?;
        let bytes = match cache.files.entry(number) {
            Entry::Occupied(bytes) => bytes.into_mut(),
            Entry::Vacant(place) => place.insert(self.read(number)?),
        };
        let at = offset(slot);
        let rest = bytes.get(at..).unwrap_or_default();
        let bytes = rest.get(..SLOT_BYTES).unwrap_or(rest);
        decode(slot, bytes).map_err(|()| {
            let (file, reason) = (file_name(number), DamageReason::KeySlot);
            VaultError::Damaged(Damage { file, offset: wide(at), reason })
        })
    }

    /// The bytes of a file; none where it does not exist.
    fn read(&self, number: u32) -> Result<Zeroizing<Vec<u8>>, VaultError> {
        let name = file_name(number);
        let file = match self.storage().open(&name, Access::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Ok(Zeroizing::default());
            }
            Err(error) => return Err(IoError::at("open", &name)(error).into()),
        };
        let len = file.len().map_err(IoError::at("read", &name))?;
        if len > FILE_BYTES {
            let (offset, reason) = (FILE_BYTES, DamageReason::AfterEnd);
            return Err(VaultError::Damaged(Damage { file: name, offset, reason }));
        }
        let mut bytes = Zeroizing::new(vec![0; narrow(len)]);
        let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", &name))?;
        bytes.truncate(read);
        Ok(bytes)
    }

    /// Makes the slots from `first` on that are not there, up to a batch or the end of the file.
    fn make(&self, cache: &mut Cache, first: u64, source: &SecretSource) -> Result<(), VaultError> {
        let number = file_number(first)?;
        let first_of_next = u64::from(number).saturating_mul(KEY_FILE_SLOTS);
        let end = first.saturating_add(KEY_SLOTS_MADE).min(first_of_next);
        let mut bytes = cache.files.remove(&number).unwrap_or_default();
        let exists = !bytes.is_empty() || self.exists(number)?;
        cover(&mut bytes, offset(first));
        for slot in first..end {
            let at = offset(slot);
            let old = bytes.get(at..).unwrap_or_default();
            let old = old.get(..SLOT_BYTES).unwrap_or(old);
            if matches!(decode(slot, old), Ok(Some(_))) {
                continue;
            }
            let secret = source(slot).map_err(|reason| VaultError::Randomness { reason })?;
            cover(&mut bytes, at.saturating_add(SLOT_BYTES));
            put(&mut bytes, at, &*encode(slot, Some(&secret)));
        }
        let name = file_name(number);
        let made = bytes.get(offset(first)..).unwrap_or_default();
        self.write(|storage| {
            let file: Box<dyn StorageFile> = if exists {
                storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?
            } else {
                storage.create(&name).map_err(IoError::at("create", &name))?
            };
            file.write_all_at(made, wide(offset(first))).map_err(IoError::at("write", &name))?;
            file.sync_data().map_err(IoError::at("sync", &name))?;
            storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))
        })?;
        cache.files.insert(number, bytes);
        cache.synced.insert(number);
        Ok(())
    }

    fn exists(&self, number: u32) -> Result<bool, VaultError> {
        let names = self.storage().list().map_err(IoError::at("list", "the book"))?;
        Ok(names.contains(&file_name(number)))
    }

    /// What was read may be in the page cache only: made before a crash, and never synced. After a
    /// sync that failed the system may even hold it for synced, so it is written again.
    fn sync_once(&self, cache: &mut Cache, number: u32) -> Result<(), VaultError> {
        if cache.synced.contains(&number) {
            return Ok(());
        }
        let name = file_name(number);
        let bytes = cache.files.get(&number).map(|bytes| bytes.as_slice()).unwrap_or_default();
        self.write(|storage| {
            let file = storage.open(&name, Access::Write).map_err(IoError::at("open", &name))?;
            file.write_all_at(bytes, 0).map_err(IoError::at("write", &name))?;
            file.sync_data().map_err(IoError::at("sync", &name))?;
            storage.sync_dir().map_err(IoError::at("sync", "the directory of the book"))
        })?;
        cache.synced.insert(number);
        Ok(())
    }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault").finish_non_exhaustive()
    }
}

fn file_name(number: u32) -> String {
    format!("{number:010}.keys")
}

/// Adds the damaged slots of a file, if it is one of keys.
pub(crate) fn damage_of_keys(
    storage: &dyn Storage,
    name: &str,
    damage: &mut Vec<Damage>,
) -> Result<(), IoError> {
    let number = name.strip_suffix(".keys").and_then(|digits| digits.parse::<u32>().ok());
    let Some(number) = number.filter(|number| *number > 0 && file_name(*number) == name) else {
        return Ok(());
    };
    let file = storage.open(name, Access::Read).map_err(IoError::at("open", name))?;
    let len = file.len().map_err(IoError::at("read", name))?;
    let mut at =
        |offset: u64, reason| damage.push(Damage { file: name.to_owned(), offset, reason });
    if len > FILE_BYTES {
        at(FILE_BYTES, DamageReason::AfterEnd);
    }
    let mut bytes = Zeroizing::new(vec![0; narrow(len.min(FILE_BYTES))]);
    let read = file.read_at(&mut bytes, 0).map_err(IoError::at("read", name))?;
    let first = u64::from(number).saturating_sub(1).saturating_mul(KEY_FILE_SLOTS);
    for (slot, bytes) in (first..).zip(bytes.get(..read).unwrap_or_default().chunks(SLOT_BYTES)) {
        if decode(slot, bytes).is_err() {
            at(wide(offset(slot)), DamageReason::KeySlot);
        }
    }
    Ok(())
}

fn file_number(slot: u64) -> Result<u32, VaultError> {
    let number = (slot / KEY_FILE_SLOTS).checked_add(1).ok_or(VaultError::Full)?;
    u32::try_from(number).map_err(|_| VaultError::Full)
}

/// Where in its file a slot stands.
fn offset(slot: u64) -> usize {
    narrow(slot % KEY_FILE_SLOTS).saturating_mul(SLOT_BYTES)
}

/// Lengthens `bytes` with zeros so that they reach `len`.
fn cover(bytes: &mut Vec<u8>, len: usize) {
    if bytes.len() < len {
        bytes.resize(len, 0);
    }
}

fn encode(slot: u64, secret: Option<&Secret>) -> Zeroizing<[u8; SLOT_BYTES]> {
    let mut bytes = Zeroizing::new([0; SLOT_BYTES]);
    let state = if secret.is_some() { LIVE } else { DESTROYED };
    put(&mut *bytes, 4, &state.to_le_bytes());
    put(&mut *bytes, 8, &slot.to_le_bytes());
    if let Some(secret) = secret {
        put(&mut *bytes, 16, secret.expose());
    }
    let crc = crate::sum::crc32c(bytes.get(4..).unwrap_or_default());
    put(&mut *bytes, 0, &crc.to_le_bytes());
    bytes
}

/// What the bytes of a slot say: nothing where they are zero. An error where no writer wrote them.
fn decode(slot: u64, bytes: &[u8]) -> Result<Option<Slot>, ()> {
    if is_zero(bytes) {
        return Ok(None);
    }
    if bytes.len() != SLOT_BYTES {
        return Err(());
    }
    let mut fields = Fields(bytes);
    let crc = crate::sum::crc32c(bytes.get(4..).unwrap_or_default());
    let sound = fields.u32() == Some(crc);
    let state = fields.u32();
    if !sound || fields.u64() != Some(slot) {
        return Err(());
    }
    let secret = fields.take(SECRET_BYTES).unwrap_or_default();
    if !is_zero(fields.0) {
        return Err(());
    }
    match (state, <[u8; SECRET_BYTES]>::try_from(secret)) {
        (Some(LIVE), Ok(secret)) => Ok(Some(Slot::Live(Secret(secret)))),
        (Some(DESTROYED), Ok(secret)) if is_zero(&secret) => Ok(Some(Slot::Destroyed)),
        _ => Err(()),
    }
}
