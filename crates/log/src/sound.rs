//! Checks one segment by itself: every batch and record, and what it keeps of the hash tree.

use std::sync::Arc;

use crate::{
    Lsn,
    batch::{BatchCursor, Frame, frame_at},
    buffer::BLOCK_BYTES,
    catalog::damaged,
    error::{DamageReason, IoError, ReadError},
    footer::{self, Section},
    header::{Owner, Place},
    limits::READ_AHEAD_BYTES,
    segment::{BATCHES_AT, SegmentHeader, Window, segment_name},
    storage::StorageFile,
};

/// Checks all records of a sealed segment, and that its groups are those of its footer. Returns
/// where the footer begins.
pub(crate) fn check_segment(
    file: Arc<dyn StorageFile>,
    number: u32,
    owner: Owner,
) -> Result<u64, ReadError> {
    let name = segment_name(number);
    let failed = |error| IoError::at("read", &name)(error);
    let len = file.len().map_err(failed)?;
    let mut window = Window::new(file, len, READ_AHEAD_BYTES);
    let found = footer::find(&mut window, owner, number).map_err(failed)?;
    let (footer, fields) = found.map_err(|(offset, reason)| damaged(number, offset, reason))?;
    let checked = footer::check(&mut window, owner, footer, &fields).map_err(failed)?;
    checked.map_err(|(offset, reason)| damaged(number, offset, reason))?;
    let rows = footer::read_section(&mut window, owner, footer, &fields, Section::Groups);
    let rows = rows.map_err(failed)?.map_err(|reason| damaged(number, footer.offset, reason))?;
    let groups = rows.as_chunks().0.to_vec();
    let block = window.get(0, BLOCK_BYTES).map_err(failed)?.unwrap_or_default();
    let header = SegmentHeader::decode(block, number);
    let header = header.map_err(|reason| damaged(number, 0, reason))?;
    let found = check_batches(&mut window, owner, footer, header)?;
    let same = found == (groups, fields.last, fields.stream);
    if same { Ok(footer.offset) } else { Err(damaged(number, footer.offset, DamageReason::Tree)) }
}

/// Walks over the batches up to the footer; returns the chaining values of the groups that end in
/// them, the last record, and where the stream ends.
fn check_batches(
    window: &mut Window,
    owner: Owner,
    footer: Place,
    header: SegmentHeader,
) -> Result<(Vec<[u8; 32]>, Lsn, u64), ReadError> {
    let number = footer.segment;
    let name = segment_name(number);
    let failed = |error| IoError::at("read", &name)(error);
    let mut frontier = header.frontier;
    let mut found = Vec::new();
    let mut due: Lsn = header.first;
    let mut place = Place { segment: number, offset: BATCHES_AT };
    while place.offset < footer.offset {
        let batch = match frame_at(window, owner, place).map_err(failed)? {
            Frame::Batch(batch) if batch.first == due => batch,
            Frame::Batch(batch) => {
                let reason = DamageReason::FirstLsn { found: batch.first, expected: due };
                return Err(damaged(number, place.offset, reason));
            }
            Frame::End | Frame::Footer(_) => {
                return Err(damaged(number, place.offset, DamageReason::HeaderMagic));
            }
            Frame::Broken(reason) => return Err(damaged(number, place.offset, reason)),
        };
        let mut cursor = BatchCursor::new(batch, place.offset);
        loop {
            let at = cursor.offset();
            match cursor.advance(window).map_err(failed)? {
                Ok(Some(view)) => {
                    frontier.update(view.bytes, &mut |group| found.push(group.cv));
                }
                Ok(None) => break,
                Err(reason) => return Err(damaged(number, at, reason)),
            }
        }
        due = batch.last().next();
        place.offset = place.offset.saturating_add(batch.frame_len());
    }
    Ok((found, due.previous(), frontier.stream_len()))
}
