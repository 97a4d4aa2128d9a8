//! Every limit of the log in one place. Units come last in the names.

/// Bytes of one encoded record: 64 MiB.
pub const RECORD_BYTES_MAX: usize = 64 << 20;
/// Events in one record.
pub const RECORD_EVENTS_MAX: usize = 65_535;
/// Bytes of a stream key.
pub const STREAM_KEY_BYTES_MAX: usize = 512;
/// Smallest segment that may be asked for, in bytes: 8 KiB.
pub const SEGMENT_BYTES_MIN: u64 = 8 << 10;
/// Largest segment that may be asked for, in bytes: 16 GiB.
pub const SEGMENT_BYTES_MAX: u64 = 16 << 30;
/// Segment size unless another is asked for, in bytes: 64 MiB.
pub const SEGMENT_BYTES_DEFAULT: u64 = 64 << 20;
/// Largest bound on pending bytes that may be asked for: 256 MiB.
pub const PENDING_BYTES_MAX: usize = 256 << 20;
/// Bound on pending bytes unless another is asked for: 8 MiB.
pub const PENDING_BYTES_DEFAULT: usize = 8 << 20;
/// Key slots in one file.
pub const KEY_FILE_SLOTS: u64 = 4_096;
/// Key slots that are made at once, ahead of their use: one sync for so many customers.
pub const KEY_SLOTS_MADE: u64 = 1_024;
/// A record of at least so many bytes is encoded in the memory of a batch, not beside it.
pub(crate) const IN_PLACE_BYTES_MIN: usize = 32 << 10;
/// Least space that is written ahead of the end of a segment, in bytes.
pub(crate) const FILL_BYTES_MIN: u64 = 64 << 10;
/// Most space that is written ahead of the end of a segment, in bytes.
pub(crate) const FILL_BYTES_MAX: u64 = 1 << 20;
/// Space is written ahead behind a batch of at most this part of it.
pub(crate) const FILL_SHARE: u64 = 4;
/// Bytes of the indexes of sealed segments that a log or reader keeps in memory; the last one that
/// was needed is kept even where it alone is larger.
pub const INDEX_CACHE_BYTES_MAX: usize = 32 << 20;
/// Rows of the stream index after which a segment is full, whatever its length: so the index of the
/// active segment, in memory, stays within 16 MiB and what one batch brings.
pub const SEGMENT_STREAM_ROWS_MAX: usize = 1 << 20;
/// Bytes between two places of the index within a segment.
pub(crate) const INDEX_STRIDE_BYTES: u64 = 64 << 10;
/// Bytes read at once when a log is read in order.
pub(crate) const READ_AHEAD_BYTES: usize = 256 << 10;
/// A batch of at most so many bytes is read as a whole: it is looked at twice.
pub(crate) const WHOLE_BATCH_BYTES_MAX: usize = 1 << 20;
/// Bytes read at once when a log is read against its order.
pub(crate) const READ_BACK_BYTES: usize = 64 << 10;
/// Bytes read at once when one record is looked up.
pub(crate) const LOOKUP_BYTES: usize = 32 << 10;
/// Bytes read at once when a whole book is checked: they stay in the cache of the processor while
/// they are summed and hashed, and records up to 64 KiB leave little at the end to be read again.
pub(crate) const SURVEY_BYTES: usize = 1 << 20;
/// Batches that were written and wait to be hashed. The model has them wait for room at once.
pub(crate) const HASH_QUEUE_BATCHES_MAX: usize = if cfg!(loom) { 1 } else { 16 };
/// Memory that batches take which wait to be hashed; a single batch may be larger.
pub(crate) const HASH_QUEUE_BYTES_MAX: usize = 16 << 20;
/// Batches that wait for a thread that was lent for hashing before it is woken: few and small ones
/// cost less to hash than it costs to wake somebody.
pub(crate) const HASH_WAKE_BATCHES: usize = if cfg!(loom) { 1 } else { 8 };
/// Memory of batches that is worth waking it for, however few they are.
pub(crate) const HASH_WAKE_BYTES: usize = 256 << 10;
/// Damaged places that a verification lists before it stops looking.
pub const DAMAGE_LISTED_MAX: usize = 1_000;
