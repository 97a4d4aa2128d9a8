//! What the log keeps of one ingest call.
//!
//! | bytes | what |
//! |---|---|
//! | 0..4 | `CFMB` |
//! | 4..6 | version of the format, little-endian |
//! | 6..8 | zero |
//! | 8..16 | fingerprint of the layout, little-endian |
//! | 16.. | the columns as one rkyv archive: little-endian, 32-bit pointers, aligned to 16 |

mod builder;

pub(crate) use builder::BlockBuilder;

use crate::columns::{ColumnError, StringColumn, Strings};
use crate::kernel::events::WIDE;
use crate::kernel::identity::{Customer, Identifier, number};
use crate::value::{Amount, MAGNITUDE_END};
use counterfoil_core::{Decimal12, EventTime, Id, Refusal, Timestamp, kind};
use rkyv::api::high::to_bytes_in;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::borrow::Cow;

const MAGIC: [u8; 4] = *b"CFMB";
const VERSION: u16 = 3;
const HEADER_BYTES: usize = 16;

/// The layout in words; its hash in the header keeps a reader of another layout away.
const LAYOUT: &str = "rkyv 0.8 le p32 a16; meters {text string; ends [u32]}; meter_of [u16]; \
    received_at i64; identifiers [u128]; identifier_texts {text; ends}; customers [u64]; \
    customer_texts {text; ends}; bucket_customers, bucket_ends, bucket_values [u32]; \
    values {text; ends}; customer_of [u32, of a bucket its place + 2^31]; times [i64]; \
    units [i64]; wide_rows [u32]; wide [i128]; cancelled {text; ends}; corrected {text; ends}; \
    corrections [i128]";
const FINGERPRINT: u64 = fnv1a(LAYOUT.as_bytes());

// The archive's root as the words say: vectors of 8 bytes each, columns of strings 16, one i64.
const _: () = assert!(size_of::<ArchivedColumns>() == 6 * 16 + 12 * 8 + 8);
const _: () = assert!(align_of::<ArchivedColumns>() == 8);

#[expect(clippy::indexing_slicing, reason = "the index is below the length; const fn")]
#[expect(clippy::arithmetic_side_effects, reason = "the index is below the length; const fn")]
#[expect(clippy::as_conversions, reason = "widens; From is not const")]
pub(crate) const fn fnv1a(bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(0x0100_0000_01b3);
        i += 1;
    }
    hash
}

/// Set in the code of a row that is of a bucket.
const BUCKET: u32 = 1 << 31;

/// The archived part. Customers are a dictionary, as most repeat within a block.
#[derive(
    Debug, Clone, Default, PartialEq, Eq, rkyv::Archive, rkyv::Serialize, rkyv::Deserialize,
)]
pub(crate) struct Columns {
    meters: StringColumn,
    /// The meter of each row; empty where there is one.
    meter_of: Vec<u16>,
    received_at: i64,
    /// Identifiers, all as numbers or all as texts.
    identifiers: Vec<u128>,
    identifier_texts: StringColumn,
    /// Each customer once, all as numbers or all as texts.
    customers: Vec<u64>,
    customer_texts: StringColumn,
    /// Each bucket once: its customer, where its values end, and the values, as places in the
    /// lists of customers and values.
    bucket_customers: Vec<u32>,
    bucket_ends: Vec<u32>,
    bucket_values: Vec<u32>,
    values: StringColumn,
    /// The customer of each row, or its bucket beyond [`BUCKET`].
    customer_of: Vec<u32>,
    times: Vec<i64>,
    /// Values in millionths; the smallest number where the value is in `wide`.
    units: Vec<i64>,
    wide_rows: Vec<u32>,
    /// Values in trillionths of the rows of `wide_rows`.
    wide: Vec<i128>,
    /// Events that are taken back, of the one meter.
    cancelled: StringColumn,
    /// Events of the one meter whose values are replaced, and the values, in trillionths.
    corrected: StringColumn,
    corrections: Vec<i128>,
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
    /// A row of a meter or a customer that the block does not list.
    #[error("damaged meter block: row {row} has {column} {code}, and there are {names}")]
    Code {
        /// The column.
        column: &'static str,
        /// The row.
        row: usize,
        /// The place in the list.
        code: u32,
        /// The length of the list.
        names: usize,
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockEvent<'a> {
    /// The meter that takes it.
    pub meter: &'a Id<kind::Meter>,
    /// Unique within the event name; generated where none was given.
    pub identifier: Cow<'a, str>,
    /// Whose usage it is.
    pub customer: Cow<'a, str>,
    /// When the usage happened.
    pub time: EventTime,
    /// How much; zero for a meter that counts.
    pub value: Decimal12,
    /// The values of the dimensions that the meter keeps, in its order.
    pub dimensions: Vec<&'a str>,
}

/// The accepted events of one ingest call, or the adjustments on one meter: what is logged
/// before it counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Block {
    meters: Vec<Id<kind::Meter>>,
    received_at: Timestamp,
    pub(crate) columns: Columns,
}

impl Block {
    /// A block of cancellations on a meter.
    pub(crate) fn cancelling(
        meter: &Id<kind::Meter>,
        identifier: &str,
        received_at: Timestamp,
    ) -> Self {
        let mut builder = BlockBuilder::new(received_at, (false, false));
        builder.meter(meter);
        let mut block = builder.block;
        block.columns.cancelled.push(identifier);
        block
    }

    /// A block that replaces the value of an event on a meter.
    pub(crate) fn correcting(
        meter: &Id<kind::Meter>,
        identifier: &str,
        value: Decimal12,
        received_at: Timestamp,
    ) -> Self {
        let mut builder = BlockBuilder::new(received_at, (false, false));
        builder.meter(meter);
        let mut block = builder.block;
        block.columns.corrected.push(identifier);
        block.columns.corrections.push(value.trillionths());
        block
    }

    /// The meters that it has events or adjustments of.
    #[must_use]
    pub fn meters(&self) -> &[Id<kind::Meter>] {
        &self.meters
    }

    /// When its events were received.
    #[must_use]
    pub const fn received_at(&self) -> Timestamp {
        self.received_at
    }

    /// How many events it holds, adjustments not counted.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.columns.times.len()
    }

    /// Whether it holds neither event nor adjustment.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        let Columns { times, cancelled, corrected, .. } = &self.columns;
        times.is_empty() && cancelled.ends.is_empty() && corrected.ends.is_empty()
    }

    /// An event by its place in the block.
    #[must_use]
    pub fn event(&self, row: usize) -> Option<BlockEvent<'_>> {
        let columns = &self.columns;
        let identifier = match columns.identifier(row)? {
            Identifier::Text(text) => Cow::Borrowed(text),
            number => Cow::Owned(number.to_text()),
        };
        let (customer, dimensions) = match columns.subject(row)? {
            Whose::Customer(customer) => (customer, Vec::new()),
            Whose::Bucket(bucket) => columns.bucket(bucket)?,
        };
        let customer = match columns.customer(customer)? {
            Customer::Text(text) => Cow::Borrowed(text),
            number => Cow::Owned(number.to_text()),
        };
        Some(BlockEvent {
            meter: self.meters.get(columns.meter_code(row))?,
            identifier,
            customer,
            time: EventTime::from_nanos(columns.time(row)?),
            value: Decimal12::from_trillionths(columns.amount(row)?.trillionths()),
            dimensions,
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

    /// The identifiers of the events whose values it replaces, and the new values.
    pub fn corrected(&self) -> impl Iterator<Item = (&str, Decimal12)> {
        let values = self.columns.corrections.iter().copied().map(Decimal12::from_trillionths);
        self.columns.corrected.as_strings().iter().zip(values)
    }

    /// Each customer once, in the order of first mention: an index of the block.
    pub fn customers(&self) -> impl Iterator<Item = Cow<'_, str>> {
        (0..).map_while(|place| {
            // Not as they are compared: as they were given.
            Some(match self.columns.customers.get(place) {
                Some(&number) => Cow::Owned(Customer::Number(number).to_text()),
                None => Cow::Borrowed(self.columns.customer_texts.as_strings().get(place)?),
            })
        })
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
        let mut bytes = Vec::new();
        self.encode_into(&mut bytes)?;
        Ok(bytes)
    }

    /// The block as bytes, in memory that is used again; what was in it is lost.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub(crate) fn encode_into(&self, bytes: &mut Vec<u8>) -> Result<(), BlockError> {
        bytes.clear();
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 2]);
        bytes.extend_from_slice(&FINGERPRINT.to_le_bytes());
        // The header is as long as the archive is aligned, and pointers in it are relative.
        *bytes = to_bytes_in::<_, rancor::Error>(&self.columns, std::mem::take(bytes))
            .map_err(|error| BlockError::Encode { reason: error.to_string() })?;
        Ok(())
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
        let meters = columns.meters.as_strings().iter().map(Id::new).collect::<Result<_, _>>();
        let meters = meters.map_err(BlockError::Field)?;
        let received_at = Timestamp::from_unix(columns.received_at).map_err(BlockError::Field)?;
        Ok(Self { meters, received_at, columns })
    }
}

impl Columns {
    #[inline(always)]
    pub(crate) fn meter_code(&self, row: usize) -> usize {
        self.meter_of.get(row).map_or(0, |&code| code.into())
    }

    #[inline(always)]
    pub(crate) fn identifier(&self, row: usize) -> Option<Identifier<'_>> {
        match self.identifiers.get(row) {
            Some(&number) => Some(Identifier::Number(number)),
            None => self.identifier_texts.as_strings().get(row).map(Identifier::Text),
        }
    }

    /// Whose a row is, by place in the lists.
    #[inline(always)]
    pub(crate) fn subject(&self, row: usize) -> Option<Whose> {
        let code = *self.customer_of.get(row)?;
        Some(match code & BUCKET {
            0 => Whose::Customer(usize::try_from(code).ok()?),
            _ => Whose::Bucket(usize::try_from(code & !BUCKET).ok()?),
        })
    }

    /// How many buckets are listed.
    pub(crate) fn buckets(&self) -> usize {
        self.bucket_customers.len()
    }

    /// The place of the customer of a bucket, and its values.
    pub(crate) fn bucket(&self, place: usize) -> Option<(usize, Vec<&str>)> {
        let place_of = |code: u32| usize::try_from(code).ok();
        let start = match place.checked_sub(1) {
            Some(before) => place_of(*self.bucket_ends.get(before)?)?,
            None => 0,
        };
        let codes = self.bucket_values.get(start..place_of(*self.bucket_ends.get(place)?)?)?;
        let values = self.values.as_strings();
        let values = codes.iter().filter_map(|&code| values.get(place_of(code)?));
        Some((place_of(*self.bucket_customers.get(place)?)?, values.collect()))
    }

    /// How many customers are listed.
    pub(crate) fn customers(&self) -> usize {
        self.customers.len().max(self.customer_texts.ends.len())
    }

    /// A customer of the list.
    #[inline(always)]
    pub(crate) fn customer(&self, place: usize) -> Option<Customer<'_>> {
        match self.customers.get(place) {
            Some(&number) => Some(Customer::Number(number)),
            None => self.customer_texts.as_strings().get(place).map(Customer::of),
        }
    }

    #[inline(always)]
    pub(crate) fn time(&self, row: usize) -> Option<i64> {
        self.times.get(row).copied()
    }

    #[inline(always)]
    pub(crate) fn units(&self, row: usize) -> Option<i64> {
        self.units.get(row).copied()
    }

    /// The identifier of a row where it is a text that is no number.
    #[inline(always)]
    pub(crate) fn text(&self, row: usize) -> Option<&str> {
        let text = self.identifier_texts.as_strings().get(row);
        text.filter(|text| number(text).is_none())
    }

    pub(crate) fn amount(&self, row: usize) -> Option<Amount> {
        match *self.units.get(row)? {
            WIDE => {
                let place = self.wide_rows.binary_search(&u32::try_from(row).ok()?).ok()?;
                Some(Amount { units: WIDE, wide: *self.wide.get(place)? })
            }
            units => Some(Amount { units, wide: 0 }),
        }
    }

    /// Whether every row of every column can be read and the columns fit one another.
    fn check(&self) -> Result<(), BlockError> {
        for strings in [
            &self.meters,
            &self.identifier_texts,
            &self.customer_texts,
            &self.values,
            &self.cancelled,
            &self.corrected,
        ] {
            Strings::new(&strings.text, &strings.ends)?;
        }
        let times = self.times.len();
        let (meters, customers) = (self.meters.ends.len(), self.customers());
        let several = self.meters.ends.len() > 1;
        for (column, len, rows) in [
            ("identifiers", self.identifiers.len().max(self.identifier_texts.ends.len()), times),
            ("identifiers", self.identifiers.len().min(self.identifier_texts.ends.len()), 0),
            ("customers", self.customers.len().min(self.customer_texts.ends.len()), 0),
            ("customer_of", self.customer_of.len(), times),
            ("bucket_ends", self.bucket_ends.len(), self.bucket_customers.len()),
            ("meter_of", self.meter_of.len(), if several { times } else { 0 }),
            ("units", self.units.len(), times),
            ("wide", self.wide.len(), self.wide_rows.len()),
            ("corrections", self.corrections.len(), self.corrected.ends.len()),
            (
                "cancelled",
                self.cancelled.ends.len(),
                if several { 0 } else { self.cancelled.ends.len() },
            ),
            (
                "corrected",
                self.corrected.ends.len(),
                if several { 0 } else { self.corrected.ends.len() },
            ),
        ] {
            if len != rows {
                return Err(BlockError::Length { column, len, times });
            }
        }
        let meter_of = self.meter_of.iter().map(|&code| code.into());
        check_codes("meter", meter_of, meters)?;
        let plain = self.customer_of.iter().map(|&code| if code < BUCKET { code } else { 0 });
        check_codes("customer", plain, customers)?;
        let buckets = self.customer_of.iter().map(|&code| code.checked_sub(BUCKET));
        let buckets = buckets.map(|code| code.unwrap_or_default());
        check_codes("bucket", buckets, self.buckets().max(1))?;
        if self.buckets() == 0 && self.customer_of.iter().any(|&code| code >= BUCKET) {
            return Err(BlockError::Code { column: "bucket", row: 0, code: 0, names: 0 });
        }
        self.check_buckets()?;
        if times > 0 && meters == 0 {
            return Err(BlockError::Code { column: "meter", row: 0, code: 0, names: 0 });
        }
        self.check_values()
    }

    fn check_buckets(&self) -> Result<(), BlockError> {
        check_codes("customer", self.bucket_customers.iter().copied(), self.customers())?;
        check_codes("value", self.bucket_values.iter().copied(), self.values.ends.len())?;
        let len = self.bucket_values.len();
        let end = self.bucket_ends.last().map_or(Ok(0), |&end| usize::try_from(end));
        if !self.bucket_ends.is_sorted() || end != Ok(len) {
            let times = self.times.len();
            return Err(BlockError::Length { column: "bucket_values", len, times });
        }
        Ok(())
    }

    fn check_values(&self) -> Result<(), BlockError> {
        let large = |value: &i128| value.unsigned_abs() >= MAGNITUDE_END;
        if let Some(row) = self.corrections.iter().position(large) {
            return Err(BlockError::Value { row });
        }
        let place = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let wide = |&(row, value): &(&u32, &i128)| {
            self.units.get(place(*row)) != Some(&WIDE) || value.unsigned_abs() >= MAGNITUDE_END
        };
        if let Some((&row, _)) = self.wide_rows.iter().zip(&self.wide).find(wide) {
            return Err(BlockError::Value { row: place(row) });
        }
        let ascending = self.wide_rows.is_sorted_by(|a, b| a < b);
        let mut of_units = (0_usize..).zip(&self.units).filter(|&(_, &units)| units == WIDE);
        if ascending && of_units.clone().count() == self.wide_rows.len() {
            return Ok(());
        }
        Err(BlockError::Value { row: of_units.next().map_or(0, |(row, _)| row) })
    }
}

/// Whose an event is.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Whose {
    Customer(usize),
    Bucket(usize),
}

fn check_codes(
    column: &'static str,
    codes: impl Iterator<Item = u32>,
    names: usize,
) -> Result<(), BlockError> {
    let known = u32::try_from(names).unwrap_or(u32::MAX);
    match codes.enumerate().find(|&(_, code)| code >= known) {
        Some((row, code)) => Err(BlockError::Code { column, row, code, names }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn block(rows: &[(String, u8, i64, i128)], cancelled: &[String]) -> Block {
        let received_at = Timestamp::from_unix(1_742_040_000).unwrap();
        let numbers = rows.first().is_some_and(|row| row.0.len() % 2 == 0);
        let mut builder = BlockBuilder::new(received_at, (numbers, numbers));
        builder.meter(&Id::derived(1));
        if rows.len() > 5 && cancelled.is_empty() {
            builder.meter(&Id::derived(2));
        }
        for (identifier, customer, time, value) in rows {
            let text = format!("cus_{customer}");
            let code = builder.customer(match numbers {
                true => Customer::Number(u64::from(*customer)),
                false => Customer::Text(&text),
            });
            let identifier = match numbers {
                true => Identifier::Number(u128::from(*customer) << 64),
                false => Identifier::Text(identifier),
            };
            let amount = Amount::of(Decimal12::from_trillionths(*value));
            let code = match customer % 3 {
                0 => builder.bucket(code, ["gpt", text.as_str()].into_iter()),
                _ => code,
            };
            builder.push(
                u16::from(rows.len() > 5 && cancelled.is_empty()),
                identifier,
                code,
                *time,
                amount,
            );
        }
        for (identifier, value) in cancelled.iter().zip(-1_i128..) {
            let columns = &mut builder.block.columns;
            columns.cancelled.push(identifier);
            columns.corrected.push(identifier);
            columns.corrections.push(value);
        }
        builder.block
    }

    fn blocks() -> impl Strategy<Value = Block> {
        let limit = 10_i128.pow(27);
        let row = (".{0,12}", any::<u8>(), any::<i64>(), 1 - limit..limit);
        (prop::collection::vec(row, 0..12), prop::collection::vec(".{0,12}", 0..3))
            .prop_map(|(rows, cancelled)| block(&rows, &cancelled))
    }

    fn sample() -> Block {
        let rows = [("a".to_owned(), 3, 5, 7), ("bé".to_owned(), 2, -5, -7)];
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
        let cases: [(Damage, Expected); 22] = [
            (|c| c.times.push(1), |e| matches!(e, BlockError::Length { times: 3, .. })),
            (|c| c.units.truncate(1), |e| matches!(e, BlockError::Length { column: "units", .. })),
            (
                |c| c.identifiers.push(1),
                |e| matches!(e, BlockError::Length { column: "identifiers", .. }),
            ),
            (
                |c| c.customers.push(1),
                |e| matches!(e, BlockError::Length { column: "customers", .. }),
            ),
            (
                |c| c.meter_of.push(0),
                |e| matches!(e, BlockError::Length { column: "meter_of", .. }),
            ),
            (
                |c| c.customer_of[1] = 2,
                |e| matches!(e, BlockError::Code { column: "customer", row: 1, code: 2, names: 2 }),
            ),
            (
                |c| c.customer_of[0] = BUCKET | 1,
                |e| matches!(e, BlockError::Code { column: "bucket", row: 0, code: 1, names: 1 }),
            ),
            (
                |c| c.bucket_customers[0] = 2,
                |e| matches!(e, BlockError::Code { column: "customer", row: 0, code: 2, .. }),
            ),
            (
                |c| c.bucket_values[1] = 2,
                |e| matches!(e, BlockError::Code { column: "value", row: 1, code: 2, .. }),
            ),
            (
                |c| c.bucket_ends[0] = 1,
                |e| matches!(e, BlockError::Length { column: "bucket_values", len: 2, .. }),
            ),
            (
                |c| c.bucket_ends.push(2),
                |e| matches!(e, BlockError::Length { column: "bucket_ends", .. }),
            ),
            (
                |c| c.corrections.push(1),
                |e| matches!(e, BlockError::Length { column: "corrections", .. }),
            ),
            (|c| c.corrections[0] = i128::MIN, |e| matches!(e, BlockError::Value { row: 0 })),
            (|c| c.values.ends[0] = 9, |e| matches!(e, BlockError::Strings(_))),
            (|c| c.wide[0] = 10_i128.pow(27), |e| matches!(e, BlockError::Value { row: 0 })),
            (|c| c.wide[1] = i128::MIN, |e| matches!(e, BlockError::Value { row: 1 })),
            (|c| c.units[1] = 3, |e| matches!(e, BlockError::Value { row: 1 })),
            (|c| c.wide_rows[1] = 0, |e| matches!(e, BlockError::Value { row: 0 })),
            (|c| c.identifier_texts.ends[1] = 2, |e| matches!(e, BlockError::Strings(_))),
            (|c| c.cancelled.ends[0] = 9, |e| matches!(e, BlockError::Strings(_))),
            (|c| c.meters.text.replace_range(.., ""), |e| matches!(e, BlockError::Strings(_))),
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
