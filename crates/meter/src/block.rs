//! What the log keeps of one ingest call.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `CFMB` |
//! | 4..6 | version of the format, little-endian |
//! | 6..8 | zero |
//! | 8..16 | fingerprint of the layout, little-endian |
//! | 16.. | the columns as one rkyv archive: little-endian, 32-bit pointers, aligned to 16 |

use crate::columns::{ColumnError, StringColumn, Strings};
use crate::value::MAGNITUDE_END;
use counterfoil_core::{Decimal12, EventTime, Id, Refusal, Timestamp, kind};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::collections::BTreeMap;

const MAGIC: [u8; 4] = *b"CFMB";
const VERSION: u16 = 1;
const HEADER_BYTES: usize = 16;

/// The layout in words; its hash in the header keeps a reader of another layout away.
const LAYOUT: &str = "rkyv 0.8 le p32 a16; meter string; received_at i64; \
    identifiers {text string; ends [u32]}; customers {text string; ends [u32]}; \
    customer_of [u32]; times [i64]; values [i128]; cancelled {text string; ends [u32]}";
const FINGERPRINT: u64 = fnv1a(LAYOUT.as_bytes());

// The archive's root as the words say: strings and vectors of 8 bytes each, one i64.
const _: () = assert!(size_of::<ArchivedColumns>() == 8 + 8 + 16 + 16 + 8 + 8 + 8 + 16);
const _: () = assert!(align_of::<ArchivedColumns>() == 8);

#[expect(clippy::indexing_slicing, reason = "the index is below the length; const fn")]
#[expect(clippy::arithmetic_side_effects, reason = "the index is below the length; const fn")]
#[expect(clippy::as_conversions, reason = "widens; From is not const")]
const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

/// The archived part. Customers are a dictionary, as most repeat within a block.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
struct Columns {
    meter: String,
    received_at: i64,
    identifiers: StringColumn,
    customers: StringColumn,
    customer_of: Vec<u32>,
    times: Vec<i64>,
    values: Vec<i128>,
    cancelled: StringColumn,
}

/// Bytes that are no block, or a block that has no bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// Fewer bytes than a header has.
    #[error("a meter block has at least {HEADER_BYTES} bytes, this one {bytes}")]
    TooShort {
        /// The bytes there are.
        bytes: usize,
    },
    /// Not the header of a block.
    #[error("not a meter block")]
    Magic,
    /// A version that this library does not read.
    #[error("meter block of version {version}; this library reads version {VERSION}")]
    Version {
        /// The version in the header.
        version: u16,
    },
    /// A layout that this library does not read.
    #[error("meter block of layout {fingerprint:016x}; this library reads {FINGERPRINT:016x}")]
    Layout {
        /// The fingerprint in the header.
        fingerprint: u64,
    },
    /// The archive points outside itself, overlaps itself, or holds text that is not UTF-8.
    #[error("damaged meter block: {reason}")]
    Archive {
        /// What was found.
        reason: String,
    },
    /// A column of strings that is cut at impossible places.
    #[error("damaged meter block: {0}")]
    Strings(#[from] ColumnError),
    /// Columns that do not fit one another.
    #[error("damaged meter block: {column} has {len} rows, times has {times}")]
    Length {
        /// The column.
        column: &'static str,
        /// Its rows.
        len: usize,
        /// The rows of the column of times.
        times: usize,
    },
    /// A customer that the block does not list.
    #[error("damaged meter block: row {row} names customer {customer} of {customers}")]
    Customer {
        /// The row.
        row: usize,
        /// The customer's place in the list.
        customer: u32,
        /// The length of the list.
        customers: usize,
    },
    /// A value with more digits than any event may have.
    #[error("damaged meter block: the value of row {row} is out of range")]
    Value {
        /// The row.
        row: usize,
    },
    /// A meter id or a time of receipt that cannot be.
    #[error("damaged meter block: {0}")]
    Field(Refusal),
    /// The block is larger than 32-bit offsets can say.
    #[error("the meter block cannot be encoded: {reason}")]
    Encode {
        /// What the encoder said.
        reason: String,
    },
}

/// An event of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockEvent<'a> {
    /// Unique within the event name; generated where none was given.
    pub identifier: &'a str,
    /// Whose usage it is.
    pub customer: &'a str,
    /// When the usage happened.
    pub time: EventTime,
    /// How much; zero for a meter that counts.
    pub value: Decimal12,
}

/// The accepted events and cancellations of one ingest call on one meter: what is logged before
/// it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    meter: Id<kind::Meter>,
    received_at: Timestamp,
    columns: Columns,
}

impl Block {
    pub(crate) fn new(meter: &Id<kind::Meter>, received_at: Timestamp) -> Self {
        let columns = Columns {
            meter: meter.as_str().to_owned(),
            received_at: received_at.unix(),
            ..Columns::default()
        };
        Self { meter: meter.clone(), received_at, columns }
    }

    pub(crate) fn push_cancelled(&mut self, identifier: &str) {
        self.columns.cancelled.push(identifier);
    }

    /// The meter it belongs to.
    #[must_use]
    pub const fn meter(&self) -> &Id<kind::Meter> {
        &self.meter
    }

    /// When its events were received.
    #[must_use]
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// How many events it holds, cancellations not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.columns.times.len()
    }

    /// Whether it holds neither event nor cancellation.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.columns.times.is_empty() && self.columns.cancelled.ends.is_empty()
    }

    /// An event by its place in the block.
    #[must_use]
    pub fn event(&self, row: usize) -> Option<BlockEvent<'_>> {
        let columns = &self.columns;
        let customer = usize::try_from(*columns.customer_of.get(row)?).ok()?;
        Some(BlockEvent {
            identifier: columns.identifiers.as_strings().get(row)?,
            customer: columns.customers.as_strings().get(customer)?,
            time: EventTime::from_nanos(*columns.times.get(row)?),
            value: Decimal12::from_trillionths(*columns.values.get(row)?),
        })
    }

    /// Its events in the order in which they were taken.
    pub fn events(&self) -> impl Iterator<Item = BlockEvent<'_>> {
        (0..self.len()).filter_map(|row| self.event(row))
    }

    /// The identifiers of the events that it cancels.
    pub fn cancelled(&self) -> impl Iterator<Item = &str> {
        self.columns.cancelled.as_strings().iter()
    }

    /// Each customer once, in the order of first mention: an index of the block.
    pub fn customers(&self) -> impl Iterator<Item = &str> {
        self.columns.customers.as_strings().iter()
    }

    /// The earliest and the latest time of its events: an index of the block.
    #[must_use]
    pub fn time_range(&self) -> Option<(EventTime, EventTime)> {
        let times = &self.columns.times;
        let (first, last) = (times.iter().min()?, times.iter().max()?);
        Some((EventTime::from_nanos(*first), EventTime::from_nanos(*last)))
    }

    /// The block as bytes.
    ///
    /// # Errors
    /// [`BlockError::Encode`] beyond what 32-bit offsets reach, which no admitted block does.
    pub fn encode(&self) -> Result<Vec<u8>, BlockError> {
        let archive = rkyv::to_bytes::<rancor::Error>(&self.columns)
            .map_err(|error| BlockError::Encode { reason: error.to_string() })?;
        let mut bytes = Vec::with_capacity(archive.len().saturating_add(HEADER_BYTES));
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&FINGERPRINT.to_le_bytes());
        bytes.extend_from_slice(&archive);
        Ok(bytes)
    }

    /// Reads a block from bytes that may be anything, at any alignment. What is allocated is
    /// bounded by the length of the bytes.
    ///
    /// # Errors
    /// A [`BlockError`] that names what is wrong.
    pub fn decode(bytes: &[u8]) -> Result<Self, BlockError> {
        let (header, archive) = bytes
            .split_first_chunk::<HEADER_BYTES>()
            .ok_or(BlockError::TooShort { bytes: bytes.len() })?;
        let [m0, m1, m2, m3, v0, v1, z0, z1, fingerprint @ ..] = *header;
        if [m0, m1, m2, m3] != MAGIC || [z0, z1] != [0; 2] {
            return Err(BlockError::Magic);
        }
        let version = u16::from_le_bytes([v0, v1]);
        if version != VERSION {
            return Err(BlockError::Version { version });
        }
        let fingerprint = u64::from_le_bytes(fingerprint);
        if fingerprint != FINGERPRINT {
            return Err(BlockError::Layout { fingerprint });
        }
        let mut aligned = AlignedVec::<16>::with_capacity(archive.len());
        aligned.extend_from_slice(archive);
        let columns = rkyv::from_bytes::<Columns, rancor::Error>(&aligned)
            .map_err(|error| BlockError::Archive { reason: error.to_string() })?;
        columns.check()?;
        let meter = Id::new(&columns.meter).map_err(BlockError::Field)?;
        let received_at = Timestamp::from_unix(columns.received_at).map_err(BlockError::Field)?;
        Ok(Self { meter, received_at, columns })
    }
}

impl Columns {
    /// Whether every row of every column can be read and the columns fit one another.
    fn check(&self) -> Result<(), BlockError> {
        for strings in [&self.identifiers, &self.customers, &self.cancelled] {
            Strings::new(&strings.text, &strings.ends)?;
        }
        let times = self.times.len();
        for (column, len) in [
            ("identifiers", self.identifiers.ends.len()),
            ("customer_of", self.customer_of.len()),
            ("values", self.values.len()),
        ] {
            if len != times {
                return Err(BlockError::Length { column, len, times });
            }
        }
        let customers = self.customers.ends.len();
        for (row, &customer) in self.customer_of.iter().enumerate() {
            if usize::try_from(customer).map_or(true, |place| place >= customers) {
                return Err(BlockError::Customer { row, customer, customers });
            }
        }
        match self.values.iter().position(|value| value.unsigned_abs() >= MAGNITUDE_END) {
            Some(row) => Err(BlockError::Value { row }),
            None => Ok(()),
        }
    }
}

/// A block that is being filled. The names borrow from the columns that were given.
pub(crate) struct BlockBuilder<'a> {
    block: Block,
    places: BTreeMap<&'a str, u32>,
}

impl<'a> BlockBuilder<'a> {
    pub(crate) fn new(meter: &Id<kind::Meter>, received_at: Timestamp) -> Self {
        Self { block: Block::new(meter, received_at), places: BTreeMap::new() }
    }

    pub(crate) fn push(
        &mut self,
        identifier: &str,
        customer: &'a str,
        time: EventTime,
        value: Decimal12,
    ) {
        let columns = &mut self.block.columns;
        let place = *self.places.entry(customer).or_insert_with(|| {
            let next = u32::try_from(columns.customers.ends.len()).unwrap_or(u32::MAX);
            columns.customers.push(customer);
            next
        });
        columns.identifiers.push(identifier);
        columns.customer_of.push(place);
        columns.times.push(time.nanos());
        columns.values.push(value.trillionths());
    }

    pub(crate) const fn block(&self) -> &Block {
        &self.block
    }

    pub(crate) fn finish(self) -> Option<Block> {
        Some(self.block).filter(|block| !block.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(rows: &[(String, u8, i64, i128)], cancelled: &[String]) -> Block {
        let customers: Vec<String> = (0..=u8::MAX).map(|n| format!("cus_{n}")).collect();
        let mut builder =
            BlockBuilder::new(&Id::derived(1), Timestamp::from_unix(1_742_040_000).unwrap());
        for (identifier, customer, time, value) in rows {
            let customer = &customers[usize::from(*customer)];
            let value = Decimal12::from_trillionths(*value);
            builder.push(identifier, customer, EventTime::from_nanos(*time), value);
        }
        cancelled.iter().for_each(|identifier| builder.block.push_cancelled(identifier));
        builder.block
    }

    fn blocks() -> impl Strategy<Value = Block> {
        let limit = 10_i128.pow(27);
        let row = (".{0,12}", any::<u8>(), any::<i64>(), 1 - limit..limit);
        (prop::collection::vec(row, 0..12), prop::collection::vec(".{0,12}", 0..3))
            .prop_map(|(rows, cancelled)| block(&rows, &cancelled))
    }

    fn sample() -> Block {
        let rows = [("a".to_owned(), 1, 5, 7), ("bé".to_owned(), 2, -5, -7)];
        block(&rows, &["x".to_owned()])
    }

    #[test]
    fn headers_of_others_are_refused() {
        let bytes = sample().encode().unwrap();
        let with = |at: usize, byte: u8| {
            let mut bytes = bytes.clone();
            bytes[at] = byte;
            Block::decode(&bytes).unwrap_err()
        };
        assert_eq!(with(0, b'X'), BlockError::Magic);
        assert_eq!(with(6, 1), BlockError::Magic);
        assert_eq!(with(4, 9), BlockError::Version { version: 9 });
        assert!(matches!(with(8, !bytes[8]), BlockError::Layout { .. }));
        assert_eq!(Block::decode(&bytes[..15]), Err(BlockError::TooShort { bytes: 15 }));
        assert!(matches!(Block::decode(&bytes[..16]), Err(BlockError::Archive { .. })));
    }

    #[test]
    fn columns_that_do_not_fit_one_another_are_refused() {
        type Damage = fn(&mut Columns);
        type Expected = fn(&BlockError) -> bool;
        let cases: [(Damage, Expected); 9] = [
            (|c| c.times.push(1), |e| matches!(e, BlockError::Length { times: 3, .. })),
            (
                |c| c.values.truncate(1),
                |e| matches!(e, BlockError::Length { column: "values", .. }),
            ),
            (
                |c| c.customer_of[1] = 2,
                |e| matches!(e, BlockError::Customer { row: 1, customer: 2, customers: 2 }),
            ),
            (|c| c.values[0] = 10_i128.pow(27), |e| matches!(e, BlockError::Value { row: 0 })),
            (|c| c.values[1] = i128::MIN, |e| matches!(e, BlockError::Value { row: 1 })),
            (|c| c.identifiers.ends[1] = 2, |e| matches!(e, BlockError::Strings(_))),
            (|c| c.cancelled.ends[0] = 9, |e| matches!(e, BlockError::Strings(_))),
            (|c| c.meter.clear(), |e| matches!(e, BlockError::Field(_))),
            (|c| c.received_at = i64::MAX, |e| matches!(e, BlockError::Field(_))),
        ];
        for (i, (damage, expected)) in cases.into_iter().enumerate() {
            let mut block = sample();
            damage(&mut block.columns);
            let error = Block::decode(&block.encode().unwrap()).unwrap_err();
            assert!(expected(&error), "case {i}: {error}");
        }
    }

    proptest! {
        #[test]
        fn a_block_survives_its_bytes_at_any_alignment(block in blocks(), shift in 0_usize..16) {
            let mut bytes = vec![0; shift];
            bytes.extend(block.encode().unwrap());
            let read = Block::decode(&bytes[shift..]).unwrap();
            prop_assert_eq!(read.events().count(), read.len());
            prop_assert_eq!(&read, &block);
            prop_assert_eq!(read.encode().unwrap(), block.encode().unwrap());
        }

        #[test]
        fn damaged_bytes_never_panic_and_what_is_read_can_be_written(
            block in blocks(),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let mut bytes = block.encode().unwrap();
            for (at, byte) in damage {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            if let Ok(read) = Block::decode(&bytes) {
                prop_assert_eq!(read.events().count(), read.len());
                let again = Block::decode(&read.encode().unwrap());
                prop_assert_eq!(again.as_ref(), Ok(&read));
            }
        }

        #[test]
        fn arbitrary_archives_never_panic(archive in prop::collection::vec(any::<u8>(), 0..256)) {
            let mut bytes = sample().encode().unwrap();
            bytes.truncate(HEADER_BYTES);
            bytes.extend(archive);
            let _ = Block::decode(&bytes);
        }
    }
}
