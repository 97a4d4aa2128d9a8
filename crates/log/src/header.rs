//! The header form that manifest, segment and batch share: 64 bytes, sealed by a checksum.
//!
//! | byte | bytes | field |
//! |---:|---:|---|
//! | 0 | 8 | magic of the kind |
//! | 8 | 4 | CRC-32C over the owner, segment number (`u32`), offset (`u64`), bytes 0..8 and 12..64 |
//! | 12 | 52 | fields of the kind; what none of them uses is zero |
//!
//! Segment number and offset say where the header stands. A header that was copied to, or left
//! over at, any other place is refused. The owner is the book id where the header does not state
//! it in a field, and nothing where it does: what was copied from another book is refused too.

use crate::{
    bugs::{Bug, planted},
    bytes::{Fields, put},
    error::DamageReason,
    sum,
};

/// Bytes of every header.
pub(crate) const HEADER_BYTES: usize = 64;

const CHECKSUM_AT: usize = 8;
const FIELDS_AT: usize = 12;

/// Where in the book a header stands. The manifest, which is in no segment, says 0 and 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u64,
}

impl Place {
    pub(crate) const MANIFEST: Self = Self { segment: 0, offset: 0 };
}

/// What tells the books of a storage apart; chosen by whoever creates the book.
pub(crate) type BookId = [u8; 16];

/// To which book the checksum of a header binds it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Owner(u32);

impl Owner {
    /// Of a header that states the book in a field.
    pub(crate) const STATED: Self = Self(0);

    /// Of a header that does not.
    pub(crate) fn of(book: &BookId) -> Self {
        Self(sum::crc32c(book))
    }

    /// The checksum of what stands at `place`, in pieces.
    pub(crate) fn checksum(self, mut place: Place, pieces: &[&[u8]]) -> u32 {
        if planted(Bug::ChecksumWithoutPlace) {
            place = Place::MANIFEST;
        }
        let mut crc = sum::crc32c_append(self.0, &place.segment.to_le_bytes());
        crc = sum::crc32c_append(crc, &place.offset.to_le_bytes());
        pieces.iter().fold(crc, |crc, piece| sum::crc32c_append(crc, piece))
    }
}

fn checksum(owner: Owner, place: Place, header: &[u8]) -> u32 {
    let magic = header.get(..CHECKSUM_AT).unwrap_or_default();
    let fields = header.get(FIELDS_AT..HEADER_BYTES).unwrap_or_default();
    owner.checksum(place, &[magic, fields])
}

/// A header of `magic` that stands at `place`; `fields` are followed by zeros.
pub(crate) fn seal(
    owner: Owner,
    place: Place,
    magic: [u8; 8],
    fields: &[&[u8]],
) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    put(&mut header, 0, &magic);
    let mut at = FIELDS_AT;
    for field in fields {
        put(&mut header, at, field);
        at = at.saturating_add(field.len());
    }
    let crc = checksum(owner, place, &header);
    put(&mut header, CHECKSUM_AT, &crc.to_le_bytes());
    header
}

/// The fields of the header of `magic` that begins `bytes`, if it was sealed for `place`.
pub(crate) fn unseal(
    owner: Owner,
    place: Place,
    magic: [u8; 8],
    bytes: &[u8],
) -> Result<Fields<'_>, DamageReason> {
    let header = bytes.get(..HEADER_BYTES).ok_or(DamageReason::HeaderCut)?;
    let mut fields = Fields(header);
    if fields.take(CHECKSUM_AT) != Some(&magic[..]) {
        return Err(DamageReason::HeaderMagic);
    }
    if fields.u32() != Some(checksum(owner, place, header)) {
        return Err(DamageReason::HeaderChecksum);
    }
    Ok(fields)
}

/// Makes the checksum of a changed header right again: for hostile bytes that should get past it.
pub(crate) fn reseal(owner: Owner, place: Place, header: &mut [u8]) {
    let crc = checksum(owner, place, header);
    put(header, CHECKSUM_AT, &crc.to_le_bytes());
}
