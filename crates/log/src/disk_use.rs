//! What a book takes up on disk, by kind.

use crate::{
    History,
    copy::names,
    error::{IoError, ReadError},
    segment::segment_number,
    shelf::{Stub, stub_number},
    storage::{Access, Storage},
};

/// Bytes of a book by what they are for. Lengths of files; a file system may round them up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DiskUse {
    /// Header blocks and batches of all segments in the book, up to where the log is durable.
    pub records: u64,
    /// Space of the last segment behind that: written ahead, or not durable yet.
    pub ahead: u64,
    /// Footers of sealed segments, those of stubs included.
    pub footers: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// Key slots.
    pub keys: u64,
    /// The manifest, what is left of stubs, and files that are being written.
    pub other: u64,
    /// Bytes of segments that were moved to an archive. They are not in the book.
    pub archived: u64,
}

impl DiskUse {
    /// Bytes of all files of the book: everything but what is archived.
    #[must_use]
    pub fn total(&self) -> u64 {
        let parts = [self.records, self.ahead, self.footers, self.snapshots, self.keys, self.other];
        parts.iter().fold(0, |sum, part| sum.saturating_add(*part))
    }
}

impl History {
    /// What the book takes up on disk now. While others append, or snapshots come and go, the parts
    /// are from slightly different moments.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn disk_use(&self) -> Result<DiskUse, ReadError> {
        let durable = self.source().extent()?;
        let local = self.source().shelf().local();
        let mut found = DiskUse::default();
        for name in names(local)? {
            let file = match local.open(&name, Access::Read) {
                // Removed meanwhile: a snapshot, or a file that got its name.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                opened => opened.map_err(IoError::at("open", &name))?,
            };
            let read = |error| IoError::at("read", &name)(error);
            let len = file.len().map_err(read)?;
            match segment_number(&name) {
                Some(number) if number < durable.end.segment => {
                    let (footer, _) = self.source().catalog().footer(number)?;
                    found.records = found.records.saturating_add(footer.offset);
                    let footer = len.saturating_sub(footer.offset);
                    found.footers = found.footers.saturating_add(footer);
                }
                Some(number) => {
                    let end = if number == durable.end.segment { durable.end.offset } else { 0 };
                    found.records = found.records.saturating_add(end);
                    found.ahead = found.ahead.saturating_add(len.saturating_sub(end));
                }
                None => found.add_beside(local, &name, len)?,
            }
        }
        Ok(found)
    }
}

impl DiskUse {
    /// Adds a file that is no segment.
    fn add_beside(&mut self, local: &dyn Storage, name: &str, len: u64) -> Result<(), IoError> {
        if let Some(number) = stub_number(name) {
            let stub = Stub::open(local, number).map_err(IoError::at("read", name))?;
            let footer = stub.segment_len.saturating_sub(stub.footer_at);
            self.archived = self.archived.saturating_add(stub.segment_len);
            self.footers = self.footers.saturating_add(footer);
            self.other = self.other.saturating_add(len.saturating_sub(footer));
            return Ok(());
        }
        let part = match name.rsplit('.').next() {
            Some("snap") => &mut self.snapshots,
            Some("keys") => &mut self.keys,
            _ => &mut self.other,
        };
        *part = part.saturating_add(len);
        Ok(())
    }
}
