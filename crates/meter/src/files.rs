//! Files of usage, read batch by batch: CSV, NDJSON and, with the feature `parquet`, Parquet.
//!
//! ```
//! use counterfoil_core::{Id, Timestamp};
//! use counterfoil_meter::files::{FileFormat, UsageFile};
//! use counterfoil_meter::{AdmitContext, Aggregator, Anyone, Formula, Mapping, MeterConfig, Position};
//! use std::path::Path;
//!
//! let text = "identifier,event_name,customer,timestamp,value\n\
//!             req_1,tokens,cus_ada,2025-03-15 11:00:00,2.5\n\
//!             req_2,tokens,cus_ada,noon,1\n\
//!             req_3,tokens,cus_ada,2025-03-15 11:00:01,many\n";
//! let mut meters = Aggregator::default();
//! meters.define(Id::new("mtr_tokens")?, MeterConfig::new("tokens", Formula::Sum))?;
//!
//! // `UsageFile::open` reads from a disk.
//! let path = Path::new("usage.csv");
//! let file = UsageFile::from_bytes(path, FileFormat::Csv, text.into(), &Mapping::default())?;
//! let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
//! let mut refused = Vec::new();
//! for (number, batch) in (1..).zip(file) {
//!     let batch = batch?;
//!     let view = batch.view()?;
//!     let taken = meters.take(Position(number), view.columns()?, &AdmitContext::new(now, &Anyone));
//!     assert_eq!(taken.taken, 1);
//!     // What is no row, and what is no event.
//!     refused.extend(batch.refused.iter().map(ToString::to_string));
//!     let judged = taken.refused.iter().filter_map(|own| batch.refused_event(own));
//!     refused.extend(judged.map(|row| row.to_string()));
//! }
//! assert_eq!(refused[0], "usage.csv, line 3, column timestamp: \"noon\" is not a time");
//! assert_eq!(
//!     refused[1],
//!     "usage.csv, line 4, column value: the value is not of the form -?digits[.digits]"
//! );
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is read
//! Lines end in LF or CRLF, the last one with or without; a byte order mark at the beginning and
//! empty lines are passed over. CSV is RFC 4180 with commas and a row of headers. A CSV row may span
//! lines within quotes; where the whole is broken, its first line alone is refused and the next one
//! is read as a row, so that a stray quote does not swallow what follows. A line of NDJSON is an
//! object; the keys of the first readable one are the columns, and numbers are read from their
//! digits. With the feature `gzip` either may be compressed (`.csv.gz`). What Parquet columns are
//! read from is said at `ArrowEvents` (feature `arrow`): Parquet's own floats are refused, for
//! the file as a whole.
//!
//! # Exactly once
//! A row without a column of identifiers gets one made from what stands in it and the count of equal
//! rows before it, so that a file that is fed twice, or shuffled, or in another batch size, counts
//! once. Reading it takes 20 to 40 bytes a row then; otherwise memory is that of one batch (for
//! Parquet, of the pages that it is in). A file that was read in part goes on at the
//! [`FilePosition`] of the last batch that was taken ([`UsageFile::open_at`]), or from its beginning,
//! which comes to the same.
#![expect(clippy::disallowed_types, reason = "files are what is read here")]

mod batch;
mod csv;
mod identifier;
mod json;
mod lines;
#[cfg(feature = "parquet")]
mod parquet;
mod text;
mod time;

pub use batch::{FileBatch, RefusedRow, RowPlace};
pub(crate) use time::time_in;
pub use time::{TimeError, parse_event_time};

use crate::{Mapping, MappingError};
use counterfoil_core::limits;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What a file of usage is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// RFC 4180 with a comma and a header row: `.csv`.
    Csv,
    /// One JSON object a line: `.ndjson` or `.jsonl`.
    Ndjson,
    /// Apache Parquet: `.parquet`. It is read with the feature `parquet`.
    Parquet,
}

impl FileFormat {
    /// The format that a path's extension stands for, behind which there may be `.gz` for lines of
    /// text.
    ///
    /// # Errors
    /// [`FileError::Unsupported`] for what this program was built without, and
    /// [`FileError::UnknownFormat`] for all else.
    pub fn of_path(path: &Path) -> Result<Self, FileError> {
        let unsupported = |feature| FileError::Unsupported { path: path.to_owned(), feature };
        let zipped = is_zipped(path);
        let format = match extension(&inner_path(path)).as_deref() {
            Some("csv") => Self::Csv,
            Some("ndjson" | "jsonl") => Self::Ndjson,
            Some("parquet") if !zipped => Self::Parquet,
            _ => return Err(FileError::UnknownFormat { path: path.to_owned() }),
        };
        if format == Self::Parquet && !cfg!(feature = "parquet") {
            return Err(unsupported("parquet"));
        }
        if zipped && !cfg!(feature = "gzip") {
            return Err(unsupported("gzip"));
        }
        Ok(format)
    }
}

fn extension(path: &Path) -> Option<String> {
    Some(path.extension()?.to_str()?.to_ascii_lowercase())
}

fn is_zipped(path: &Path) -> bool {
    extension(path).as_deref() == Some("gz")
}

/// The path without `.gz`.
fn inner_path(path: &Path) -> PathBuf {
    if is_zipped(path) { path.with_extension("") } else { path.to_owned() }
}

/// A file of usage that cannot be read at all, or no further. A fault of one row is a
/// [`RefusedRow`] instead.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The file cannot be opened or read.
    #[error("{}: {error}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        #[source]
        error: io::Error,
    },
    /// A format that is known, and that this program was built without.
    #[error("{}: built without the feature `{feature}`, this program does not read the file",
        path.display())]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// The feature of this crate that reads it.
        feature: &'static str,
    },
    /// A format that is not known.
    #[error("{}: a usage file ends in .csv, .ndjson, .jsonl or .parquet", path.display())]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// The first row of a CSV file is no row of headers.
    #[error("{}: the headers: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The columns are not those that were asked for.
    #[error("{}: {error}", path.display())]
    Mapping {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        #[source]
        error: Box<MappingError>,
    },
    /// A file of Parquet that is none, or not one that is read.
    #[error("{}: {reason}", path.display())]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the limit where there is one.
        reason: String,
    },
    /// A row was not taken, and [`BadRows::Stop`] was asked for.
    #[error("{0}")]
    Row(Box<RefusedRow>),
    /// The file ends before the place where it was to go on.
    #[error("{}: it was read up to {position} before, and ends at {end} now", path.display())]
    Position {
        /// The file.
        path: PathBuf,
        /// Where it was to go on.
        position: FilePosition,
        /// Where it ends.
        end: FilePosition,
    },
}

/// How much of a file was read: its lines or, of Parquet, its rows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct FilePosition(pub u64);

impl fmt::Display for FilePosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// What is done about a row that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BadRows {
    /// It is left out and listed, and reading goes on behind it.
    #[default]
    Report,
    /// What is before it comes as a batch, then [`FileError::Row`], and nothing after it. Opened
    /// again at the position of that batch, the file goes on with this row.
    Stop,
}

/// Reads a file of usage: batches of at most
/// [`USAGE_BATCH_ROWS_MAX`](counterfoil_core::limits::USAGE_BATCH_ROWS_MAX) rows in their order, until
/// the end of the file or the first error.
#[derive(Debug)]
pub struct UsageFile {
    reader: Reader,
    total_bytes: u64,
    ended: bool,
    /// The row that ends it.
    bad: Option<Box<RefusedRow>>,
}

#[derive(Debug)]
enum Reader {
    Text(Box<text::TextReader>),
    #[cfg(feature = "parquet")]
    Parquet(Box<parquet::ParquetReader>),
}

impl UsageFile {
    /// Opens a file and finds its columns; those of NDJSON are found with the first batch.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read, or does not have what `mapping` asks for.
    pub fn open(path: &Path, mapping: &Mapping) -> Result<Self, FileError> {
        Self::open_at(path, mapping, FilePosition::default())
    }

    /// Opens a file that was read in part, at the position of the last batch that was taken.
    /// Identifiers are the same as if it had been read at once: where they are made from rows, those
    /// before the position are read again, and otherwise passed over.
    ///
    /// # Errors
    /// As [`Self::open`], and [`FileError::Position`] for a file that ends before that.
    pub fn open_at(
        path: &Path,
        mapping: &Mapping,
        position: FilePosition,
    ) -> Result<Self, FileError> {
        let format = FileFormat::of_path(path)?;
        let io = |error| FileError::Io { path: path.to_owned(), error };
        let file = File::open(path).map_err(io)?;
        let total_bytes = file.metadata().map_err(io)?.len();
        let reader = match format {
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => Reader::Parquet(Box::new(parquet::ParquetReader::open(
                path,
                file,
                total_bytes,
                mapping,
                position,
            )?)),
            _ => {
                let zipped = is_zipped(path);
                Reader::Text(text::reader(path, format, input(file, zipped), mapping, position)?)
            }
        };
        Ok(Self { reader, total_bytes, ended: false, bad: None })
    }

    /// Reads a file that lies in memory; `path` is what messages call it.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn from_bytes(
        path: &Path,
        format: FileFormat,
        bytes: Vec<u8>,
        mapping: &Mapping,
    ) -> Result<Self, FileError> {
        Self::from_bytes_at(path, format, bytes, mapping, FilePosition::default())
    }

    /// The same from a position on, as [`Self::open_at`].
    ///
    /// # Errors
    /// As [`Self::open_at`].
    pub fn from_bytes_at(
        path: &Path,
        format: FileFormat,
        bytes: Vec<u8>,
        mapping: &Mapping,
        position: FilePosition,
    ) -> Result<Self, FileError> {
        let total_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let reader = match format {
            #[cfg(feature = "parquet")]
            FileFormat::Parquet => Reader::Parquet(Box::new(parquet::ParquetReader::open(
                path,
                bytes::Bytes::from(bytes),
                total_bytes,
                mapping,
                position,
            )?)),
            #[cfg(not(feature = "parquet"))]
            FileFormat::Parquet => {
                return Err(FileError::Unsupported { path: path.to_owned(), feature: "parquet" });
            }
            FileFormat::Csv | FileFormat::Ndjson => {
                let input = input(Cursor::new(bytes), false);
                Reader::Text(text::reader(path, format, input, mapping, position)?)
            }
        };
        Ok(Self { reader, total_bytes, ended: false, bad: None })
    }

    /// The same with another policy for bad rows.
    #[must_use]
    pub fn on_bad_rows(mut self, policy: BadRows) -> Self {
        match &mut self.reader {
            Reader::Text(reader) => reader.stop = policy == BadRows::Stop,
            // Nothing of a row of Parquet can be bad that is not so of its column.
            #[cfg(feature = "parquet")]
            Reader::Parquet(_) => {}
        }
        self
    }

    /// The size of the file when it was opened.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.total_bytes
    }
}

impl Iterator for UsageFile {
    type Item = Result<FileBatch, FileError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(bad) = self.bad.take() {
            self.ended = true;
            return Some(Err(FileError::Row(bad)));
        }
        if self.ended {
            return None;
        }
        let batch = match &mut self.reader {
            Reader::Text(reader) => reader.read_batch(&mut self.bad),
            #[cfg(feature = "parquet")]
            Reader::Parquet(reader) => reader.read_batch(),
        };
        match batch {
            Ok(None) if self.bad.is_some() => self.next(),
            Ok(batch) => {
                self.ended |= batch.is_none();
                batch.map(Ok)
            }
            Err(error) => {
                self.ended = true;
                Some(Err(error))
            }
        }
    }
}

impl std::iter::FusedIterator for UsageFile {}

/// What lines are read from.
struct Input {
    from: Box<dyn Read + Send>,
    /// Bytes taken from the file so far.
    bytes: Arc<AtomicU64>,
}

struct Counted<R> {
    from: R,
    bytes: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(buffer)?;
        self.bytes.fetch_add(u64::try_from(read).unwrap_or(u64::MAX), Ordering::Relaxed);
        Ok(read)
    }
}

fn input(from: impl Read + Send + 'static, zipped: bool) -> Input {
    let bytes = Arc::new(AtomicU64::new(0));
    let from = Counted { from, bytes: Arc::clone(&bytes) };
    #[cfg(feature = "gzip")]
    if zipped {
        return Input { from: Box::new(flate2::read::MultiGzDecoder::new(from)), bytes };
    }
    // Without the feature no compressed file comes this far.
    let _ = zipped;
    Input { from: Box::new(from), bytes }
}

fn too_long() -> String {
    format!("a row of more than {} bytes", limits::USAGE_ROW_BYTES_MAX)
}

#[cfg(test)]
mod tests;
