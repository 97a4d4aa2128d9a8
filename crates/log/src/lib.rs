//! An append-only log of records: segments, group commit, recovery, verification.
//!
//! A book is a directory, or memory, that one [`Log`] has for itself. A record holds what one
//! command caused, as entries with a stream key, a stream version, a type and a schema version; to
//! the log the payloads are bytes. A record is there as a whole or not at all.
//!
//! - **Acknowledged means synced.** [`Log::wait`] returns after the sync that made the record
//!   durable. One sync serves all who wait.
//! - **A torn tail is not corruption.** What a crash left half written at the end is cut off, and
//!   [`OpenReport`] says so. Any other damage is refused with file, offset and reason, and nothing
//!   is changed. A book that was closed is opened exactly as it was closed or not at all.
//! - **The first I/O error is the last.** After it every call returns
//!   [`LogError::Poisoned`]; opening the book again is the way back.
//!
//! No threads, no clock, no randomness: the same records, committed alike, give the same bytes.
//!
//! # Files of a book
//!
//! | name | content |
//! |---|---|
//! | `MANIFEST` | that this is a book, of which format, how far it surely goes, and its head there |
//! | `0000000001.seg` … | segments: a header block, then commit batches of records |
//! | `00000000000000000042.snap` … | snapshots, named by a record: disposable, see `snapshot.rs` |
//! | `LOCK` | empty; locked while the book is open |
//!
//! All numbers are little-endian. The manifest, each segment and each batch begin with a header of
//! 64 bytes: eight of magic, a CRC-32C that also covers where the header stands, and fields. A
//! record has a CRC-32C of its own, which also covers its number; the header of its batch holds a
//! CRC-32C over those. What no field uses is zero. The byte tables stand at the top of the source
//! files `header.rs`, `manifest.rs`, `segment.rs`, `batch.rs`, `record.rs` and `tree.rs`.
//!
//! # Why each step is safe
//!
//! - **Append.** A batch is written at the end of the last segment, into zeros, and synced, before
//!   the next one is written. So after a crash at most the last batch is incomplete, and no whole
//!   batch follows an incomplete one.
//! - **Begin a segment.** The former one is cut to its length and synced; then the new one is
//!   created with its header, and it and its name are synced; then the first batch is written. So a
//!   segment without a header holds no batch, and is removed on opening; and a segment that exists
//!   at all proves that the former one is whole.
//! - **Close.** The last segment is cut to its length and synced; then a manifest that names the
//!   end is put in place of the former one by renaming. Either the former one is there, and the
//!   book was not closed, or the new one, and the book must be exactly as it says.
//! - **Open.** Files and directory are synced before they are read. A torn tail is cut, batches
//!   that no mark says are synced are written again, and all is synced; only then a manifest with
//!   the new end is put in place, and only then is anything appended. Each step can be repeated.
//! - **Snapshot.** It is written under another name, synced and renamed, and the directory synced:
//!   under its name it is whole, or not there. The log needs none of it.
//! - **Create.** The first segment is on disk before the manifest is. A crash in between leaves
//!   nothing but that segment, without a batch, and the next opening begins again.
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::float_arithmetic,
        clippy::as_conversions
    )
)]

mod ack;
mod archive;
mod backup;
mod batch;
mod buffer;
#[cfg(feature = "planted-bugs")]
pub mod bugs;
#[cfg(not(feature = "planted-bugs"))]
mod bugs;
mod bytes;
mod catalog;
mod chain;
mod copy;
mod disk_use;
mod error;
mod footer;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod header;
mod history;
mod index;
pub mod limits;
mod log;
mod lsn;
mod manifest;
mod proof;
mod read;
mod receipt;
mod record;
mod recover;
mod salvage;
mod segment;
mod shelf;
#[cfg(feature = "sim")]
pub mod sim;
mod snapshot;
mod sound;
mod storage;
mod stream;
mod survey;
mod sync;
mod trace;
mod tree;
mod vault;
mod verify;
mod waiting;
mod writer;

pub use ack::{Buffered, Durability, Synced};
pub use archive::{ArchiveError, ArchiveReport};
pub use backup::{BackupError, BackupOptions, BackupReport};
pub use disk_use::DiskUse;
pub use error::{Damage, DamageReason, IoError, LogError, OpenError, ReadError, ShapeError};
pub use log::{Log, LogOptions, OpenReport, TailCut};
pub use lsn::Lsn;
pub use proof::{Proof, ProofError};
pub use read::Records;
pub use receipt::{Receipt, ReceiptError};
pub use record::{EventRef, NewEvent, NewRecord, Record, RecordKind, RecordRef, RecordedEvent};
pub use salvage::{Missing, Orphans, SalvageError, SalvageReport, salvage};
pub use snapshot::{Snapshot, SnapshotError, SnapshotInfo, SnapshotStamp, SnapshotWriter};
pub use storage::{Access, FileStorage, MemStorage, Storage, StorageFile, StorageLock};
pub use tree::{Frontier, GROUP_BYTES, GroupCv};
pub use vault::{SECRET_BYTES, Secret, SecretSource, Slot, Vault, VaultError};
pub use verify::{ReceiptCheck, VerifyReport, verify, verify_against};
