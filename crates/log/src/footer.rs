//! The footer with which a sealed segment ends: its indexes, and its part of the hash tree.
//!
//! A footer stands directly behind the last batch. It is a header (see [`header`](crate::header)),
//! three sections, and a trailer, which is a header too and the last 64 bytes of the file:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 12 | magic `CFLFOOTR`, checksum over the book id, its place and the header |
//! | 12 | 4 | rows of the place index, `p` |
//! | 16 | 4 | rows of the stream index, `s` |
//! | 20 | 4 | chaining values, `g` |
//! | 24 | 8 | number of the last record of the segment |
//! | 32 | 8 | stream position behind it |
//! | 40 | 8 | synced-through mark, as in a batch |
//! | 48 | 8 | least time of its records, signed seconds |
//! | 56 | 8 | number of its first record |
//! | 64 | 32 p + 16 | place index |
//! | | 16 s + 16 | stream index |
//! | | 32 g + 16 | chaining values of the groups of 64 KiB of the record stream that end in it |
//! | | 12 | magic `CFLTRAIL`, checksum over the book id, its place and the trailer |
//! | + 12 | 4 | zero |
//! | + 16 | 8 | where in the file the footer begins |
//! | + 24 | 40 | zero |
//!
//! Each section ends with 12 zeros and a CRC-32C over the book id, the segment number, the place of
//! the section in the file, and its rows.
//!
//! A row of the place index stands for the first batch of the segment, and for each that begins
//! 64 KiB or more behind the one of the row before:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | number of the first record of the batch |
//! | 8 | 8 | where in the file the batch begins |
//! | 16 | 8 | its stream position |
//! | 24 | 8 | least time of the records from there up to the next row, signed seconds |
//!
//! A row of the stream index says that a record has an entry in a stream. The rows are sorted, and
//! none stands there twice:
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | the first 8 bytes of the BLAKE3 hash of the stream key, as a number |
//! | 8 | 8 | number of the record |

use std::io;

use crate::{
    Lsn,
    bytes::{Fields, is_zero, put, wide},
    error::DamageReason,
    header::{self, HEADER_BYTES, Owner, Place},
    index::{PlaceRow, Rows, StreamRow},
    segment::Window,
};

pub(crate) const MAGIC: [u8; 8] = *b"CFLFOOTR";
pub(crate) const TRAILER_MAGIC: [u8; 8] = *b"CFLTRAIL";
const PLACE_BYTES: u64 = 32;
const STREAM_BYTES: u64 = 16;
const GROUP_BYTES: u64 = 32;
/// What a section ends with.
const END_BYTES: u64 = 16;
const CHECKSUM_BYTES: usize = 4;

/// The header of a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FooterHeader {
    pub(crate) places: u32,
    pub(crate) streams: u32,
    pub(crate) groups: u32,
    pub(crate) last: Lsn,
    /// Bytes of the record stream up to the end of the segment.
    pub(crate) stream: u64,
    /// The synced-through mark.
    pub(crate) synced: Lsn,
    /// Least time of the records of the segment.
    pub(crate) at_min: i64,
    pub(crate) first: Lsn,
}

/// A section of a footer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Section {
    Places,
    Streams,
    Groups,
}

impl FooterHeader {
    fn encode(&self, owner: Owner, place: Place) -> [u8; HEADER_BYTES] {
        let fields: [&[u8]; 8] = [
            &self.places.to_le_bytes(),
            &self.streams.to_le_bytes(),
            &self.groups.to_le_bytes(),
            &self.last.0.to_le_bytes(),
            &self.stream.to_le_bytes(),
            &self.synced.0.to_le_bytes(),
            &self.at_min.to_le_bytes(),
            &self.first.0.to_le_bytes(),
        ];
        header::seal(owner, place, MAGIC, &fields)
    }

    pub(crate) fn decode(bytes: &[u8], owner: Owner, place: Place) -> Result<Self, DamageReason> {
        let mut fields = header::unseal(owner, place, MAGIC, bytes)?;
        let cut = DamageReason::HeaderCut;
        let header = Self {
            places: fields.u32().ok_or(cut)?,
            streams: fields.u32().ok_or(cut)?,
            groups: fields.u32().ok_or(cut)?,
            last: Lsn(fields.u64().ok_or(cut)?),
            stream: fields.u64().ok_or(cut)?,
            synced: Lsn(fields.u64().ok_or(cut)?),
            at_min: fields.i64().ok_or(cut)?,
            first: Lsn(fields.u64().ok_or(cut)?),
        };
        if header.places == 0 || header.last < header.first || header.synced > header.last {
            return Err(DamageReason::FooterForm("its numbers do not fit"));
        }
        Ok(header)
    }

    /// Bytes of the whole footer.
    pub(crate) fn len(&self) -> u64 {
        self.section_start(Section::Groups)
            .saturating_add(self.rows_len(Section::Groups))
            .saturating_add(END_BYTES)
            .saturating_add(wide(HEADER_BYTES))
    }

    /// Bytes of the rows of a section.
    pub(crate) fn rows_len(&self, section: Section) -> u64 {
        match section {
            Section::Places => u64::from(self.places).saturating_mul(PLACE_BYTES),
            Section::Streams => u64::from(self.streams).saturating_mul(STREAM_BYTES),
            Section::Groups => u64::from(self.groups).saturating_mul(GROUP_BYTES),
        }
    }

    /// Where a section begins in the footer.
    pub(crate) fn section_start(&self, section: Section) -> u64 {
        let after = |before| {
            self.section_start(before)
                .saturating_add(self.rows_len(before))
                .saturating_add(END_BYTES)
        };
        match section {
            Section::Places => wide(HEADER_BYTES),
            Section::Streams => after(Section::Places),
            Section::Groups => after(Section::Streams),
        }
    }
}

/// What a footer is made of, beside its rows.
pub(crate) struct Seal<'a> {
    pub(crate) owner: Owner,
    /// Where the footer begins.
    pub(crate) place: Place,
    pub(crate) groups: &'a [[u8; 32]],
    pub(crate) last: Lsn,
    pub(crate) stream: u64,
    pub(crate) synced: Lsn,
}

/// The bytes of a footer; `None` for a segment without a record, which is never sealed.
pub(crate) fn encode(rows: &Rows, seal: &Seal<'_>) -> Option<Vec<u8>> {
    let Seal { owner, place, groups, last, stream, synced } = *seal;
    let streams = rows.sorted_streams();
    let first = rows.places.first()?.first;
    let header = FooterHeader {
        // A segment that holds 2^32 of any of them is far beyond the largest.
        places: u32::try_from(rows.places.len()).ok()?,
        streams: u32::try_from(streams.len()).ok()?,
        groups: u32::try_from(groups.len()).ok()?,
        last,
        stream,
        synced,
        at_min: rows.places.iter().map(|row| row.at_min).min()?,
        first,
    };
    let mut bytes = header.encode(owner, place).to_vec();
    for row in &rows.places {
        bytes.extend_from_slice(&row.first.0.to_le_bytes());
        bytes.extend_from_slice(&row.offset.to_le_bytes());
        bytes.extend_from_slice(&row.stream.to_le_bytes());
        bytes.extend_from_slice(&row.at_min.to_le_bytes());
    }
    end_section(&mut bytes, HEADER_BYTES, owner, place);
    let start = bytes.len();
    for row in &streams {
        bytes.extend_from_slice(&row.key.to_le_bytes());
        bytes.extend_from_slice(&row.lsn.0.to_le_bytes());
    }
    end_section(&mut bytes, start, owner, place);
    let start = bytes.len();
    bytes.extend_from_slice(groups.as_flattened());
    end_section(&mut bytes, start, owner, place);
    bytes.extend_from_slice(&trailer(owner, place, wide(bytes.len())));
    Some(bytes)
}

fn end_section(bytes: &mut Vec<u8>, start: usize, owner: Owner, place: Place) {
    let rows = bytes.get(start..).unwrap_or_default();
    let crc = section_checksum(owner, place, wide(start), rows);
    bytes.extend_from_slice(&[0; 12]);
    bytes.extend_from_slice(&crc.to_le_bytes());
}

/// The checksum of the section that begins `start` bytes behind the place of the footer.
fn section_checksum(owner: Owner, place: Place, start: u64, rows: &[u8]) -> u32 {
    let Place { segment, offset } = place;
    owner.checksum(Place { segment, offset: offset.saturating_add(start) }, &[rows])
}

fn trailer(owner: Owner, footer: Place, start: u64) -> [u8; HEADER_BYTES] {
    let offset = footer.offset.saturating_add(start);
    let fields: [&[u8]; 2] = [&[0; 4], &footer.offset.to_le_bytes()];
    header::seal(owner, Place { segment: footer.segment, offset }, TRAILER_MAGIC, &fields)
}

/// Where the footer of a sealed segment begins, from the end of its file.
pub(crate) fn find(
    window: &mut Window,
    owner: Owner,
    segment: u32,
) -> io::Result<Result<(Place, FooterHeader), (u64, DamageReason)>> {
    let end = window.limit();
    let offset = end.saturating_sub(wide(HEADER_BYTES));
    let bytes = window.get(offset, HEADER_BYTES)?.unwrap_or_default();
    let form = DamageReason::FooterForm("its trailer does not fit it");
    let found = header::unseal(owner, Place { segment, offset }, TRAILER_MAGIC, bytes);
    let footer = found.and_then(|mut fields| {
        let zero = fields.u32();
        let at = fields.u64().ok_or(form)?;
        if zero == Some(0) && is_zero(fields.0) { Ok(at) } else { Err(form) }
    });
    let place = match footer {
        Ok(offset) => Place { segment, offset },
        Err(reason) => return Ok(Err((offset, reason))),
    };
    let bytes = window.get(place.offset, HEADER_BYTES)?.unwrap_or_default();
    Ok(match FooterHeader::decode(bytes, owner, place) {
        Ok(header) if place.offset.saturating_add(header.len()) == end => Ok((place, header)),
        Ok(_) => Err((place.offset, form)),
        Err(reason) => Err((place.offset, reason)),
    })
}

/// Reads the rows of a section, and checks them. Nothing is allocated that is longer than the file.
pub(crate) fn read_section<'w>(
    window: &'w mut Window,
    owner: Owner,
    place: Place,
    header: &FooterHeader,
    section: Section,
) -> io::Result<Result<&'w [u8], DamageReason>> {
    let start = header.section_start(section);
    let len = crate::bytes::narrow(header.rows_len(section));
    let with_end = len.saturating_add(crate::bytes::narrow(END_BYTES));
    let at = place.offset.saturating_add(start);
    let Some(bytes) = window.get(at, with_end)? else {
        return Ok(Err(DamageReason::HeaderCut));
    };
    let (rows, end) = bytes.split_at_checked(len).unwrap_or_default();
    let (zeros, crc) = end.split_last_chunk::<CHECKSUM_BYTES>().unwrap_or((&[], &[0; 4]));
    let sum = section_checksum(owner, place, start, rows);
    let whole = is_zero(zeros) && *crc == sum.to_le_bytes();
    Ok(if whole { Ok(rows) } else { Err(DamageReason::SectionChecksum) })
}

/// Checks that sections and trailer of a footer are whole, and returns where it ends.
pub(crate) fn check(
    window: &mut Window,
    owner: Owner,
    place: Place,
    header: &FooterHeader,
) -> io::Result<Result<u64, (u64, DamageReason)>> {
    for section in [Section::Places, Section::Streams, Section::Groups] {
        let at = place.offset.saturating_add(header.section_start(section));
        if let Err(reason) = read_section(window, owner, place, header, section)? {
            return Ok(Err((at, reason)));
        }
    }
    let start = header.len().saturating_sub(wide(HEADER_BYTES));
    let at = place.offset.saturating_add(start);
    let expected = trailer(owner, place, start);
    Ok(match window.get(at, HEADER_BYTES)? {
        Some(bytes) if bytes == expected => Ok(place.offset.saturating_add(header.len())),
        Some(bytes) => {
            let trailer = Place { segment: place.segment, offset: at };
            let form = DamageReason::FooterForm("its trailer does not fit it");
            Err((at, header::unseal(owner, trailer, TRAILER_MAGIC, bytes).err().unwrap_or(form)))
        }
        None => Err((at, DamageReason::HeaderCut)),
    })
}

/// Whether a footer says what the segment holds: `rows` and `seal` are those of its batches.
pub(crate) fn says(
    window: &mut Window,
    len: u64,
    rows: &Rows,
    seal: &Seal<'_>,
) -> io::Result<bool> {
    let Some(expected) = encode(rows, seal) else { return Ok(false) };
    if wide(expected.len()) != len {
        return Ok(false);
    }
    Ok(window.get(seal.place.offset, expected.len())? == Some(&expected[..]))
}

/// The rows of a place index.
pub(crate) fn place_rows(bytes: &[u8]) -> Vec<PlaceRow> {
    let row = |row: &[u8]| {
        let mut fields = Fields(row);
        Some(PlaceRow {
            first: Lsn(fields.u64()?),
            offset: fields.u64()?,
            stream: fields.u64()?,
            at_min: fields.i64()?,
        })
    };
    bytes.chunks_exact(32).filter_map(row).collect()
}

/// The rows of a stream index.
pub(crate) fn stream_rows(bytes: &[u8]) -> Vec<StreamRow> {
    let row = |row: &[u8]| {
        let mut fields = Fields(row);
        Some(StreamRow { key: fields.u64()?, lsn: Lsn(fields.u64()?) })
    };
    bytes.chunks_exact(16).filter_map(row).collect()
}

/// Makes the checksums of a changed footer right again, if it lies within the bytes: for hostile
/// bytes. Returns its length.
pub(crate) fn reseal(footer: &mut [u8], owner: Owner, place: Place) -> Option<usize> {
    let header_bytes = footer.get_mut(..HEADER_BYTES)?;
    header::reseal(owner, place, header_bytes);
    let header = FooterHeader::decode(header_bytes, owner, place).ok()?;
    for section in [Section::Places, Section::Streams, Section::Groups] {
        let start = header.section_start(section);
        let from = usize::try_from(start).ok()?;
        let to = from.checked_add(usize::try_from(header.rows_len(section)).ok()?)?;
        let crc = section_checksum(owner, place, start, footer.get(from..to)?);
        let end = to.checked_add(12)?;
        if footer.len() < end.checked_add(CHECKSUM_BYTES)? {
            return None;
        }
        put(footer, end, &crc.to_le_bytes());
    }
    let start = header.len().checked_sub(wide(HEADER_BYTES))?;
    let at = usize::try_from(start).ok()?;
    let trailer = footer.get_mut(at..at.checked_add(HEADER_BYTES)?)?;
    let offset = place.offset.checked_add(start)?;
    header::reseal(owner, Place { segment: place.segment, offset }, trailer);
    usize::try_from(header.len()).ok()
}
