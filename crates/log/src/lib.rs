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
//! No threads of its own, no clock, no randomness: the same records, committed alike, give the same bytes.
//!
//! # Reading
//!
//! [`History`] has what is read of a book. [`History::read`] and [`History::read_back`] go through
//! all records, [`History::read_stream`] and [`History::read_stream_back`] through those of one
//! stream, and [`History::find_time`] finds the last one up to a time. Segments end with indexes for
//! it, so no more is read than is asked for. A [`Log`] reads so what is durable, a [`Reader`] what it
//! sees of a book that somebody else has open, or that cannot be written.
//!
//! # Files of a book
//!
//! | name | content |
//! |---|---|
//! | `MANIFEST` | that this is a book, of which format, how far it surely goes, and its head there |
//! | `0000000001.seg` … | segments: a header block, commit batches of records, then a footer |
//! | `0000000001.stub` … | what stays of a segment that was moved to an archive |
//! | `00000000000000000042.snap` … | snapshots, named by a record: disposable, see `snapshot.rs` |
//! | `0000000001.keys` … | secrets that can be destroyed |
//! | `LOCK` | empty; locked while the book is open |
//!
//! `docs/LOG.md` describes them to the byte, says what a crash leaves after each step and why it is
//! safe, and what is found by which check. The byte tables stand at the top of the source files too.
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
mod back;
mod backup;
mod batch;
mod beside;
mod buffer;
#[cfg(feature = "planted-bugs")]
pub mod bugs;
#[cfg(not(feature = "planted-bugs"))]
mod bugs;
mod by_stream;
mod bytes;
mod catalog;
mod chain;
mod copy;
mod disk_use;
mod error;
mod footer;
mod frozen;
#[doc(hidden)]
pub mod fuzz;
mod group;
mod hasher;
mod header;
mod history;
mod index;
mod inspect;
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
mod sum;
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
pub use back::RecordsBack;
pub use backup::{BackupError, BackupOptions, BackupReport};
pub use by_stream::StreamRecords;
pub use disk_use::DiskUse;
pub use error::{Damage, DamageReason, IoError, LogError, OpenError, ReadError, ShapeError};
pub use hasher::Hasher;
pub use history::History;
pub use inspect::Reader;
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
