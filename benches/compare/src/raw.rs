//! The ways of writing a plain file, in blocks that are each on disk before the next one.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::{FileExt, OpenOptionsExt},
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
};

use rustix::fs::{FallocateFlags, OFlags, fallocate};

use crate::Result;

/// Direct I/O wants memory, offset and length in multiples of the block of the disk.
pub const ALIGNMENT: usize = 4096;

/// The space that is written into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Space {
    /// None: the file grows.
    Growing,
    /// Reserved by `fallocate`, never written.
    Allocated,
    /// Written with zeros and synced before the clock starts.
    Prewritten,
}

/// What makes a block durable, and whether it goes through the page cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Through {
    /// The page cache, then `fdatasync`.
    Buffered,
    /// `O_DIRECT`, then `fdatasync`.
    Direct,
    /// `O_DIRECT` and `O_DSYNC`: the write returns when it is on disk.
    DirectSync,
}

/// A way of writing a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Way {
    pub path: Through,
    pub space: Space,
}

impl Way {
    pub const ALL: [Self; 9] = [
        Self { path: Through::Buffered, space: Space::Growing },
        Self { path: Through::Buffered, space: Space::Allocated },
        Self { path: Through::Buffered, space: Space::Prewritten },
        Self { path: Through::Direct, space: Space::Growing },
        Self { path: Through::Direct, space: Space::Allocated },
        Self { path: Through::Direct, space: Space::Prewritten },
        Self { path: Through::DirectSync, space: Space::Growing },
        Self { path: Through::DirectSync, space: Space::Allocated },
        Self { path: Through::DirectSync, space: Space::Prewritten },
    ];

    pub fn name(self) -> String {
        let path = match self.path {
            Through::Buffered => "buffered",
            Through::Direct => "direct",
            Through::DirectSync => "direct-dsync",
        };
        let space = match self.space {
            Space::Growing => "growing",
            Space::Allocated => "allocated",
            Space::Prewritten => "prewritten",
        };
        format!("raw-{path}-{space}")
    }

    /// A file to be written so, with space for `bytes`. `None` where the file system cannot.
    pub fn open(self, path: &Path, bytes: u64) -> Result<Option<Raw>> {
        let plain = File::create_new(path)?;
        match self.space {
            Space::Growing => {}
            Space::Allocated => {
                if fallocate(&plain, FallocateFlags::empty(), 0, bytes).is_err() {
                    return Ok(None);
                }
            }
            Space::Prewritten => prewrite(&plain, bytes)?,
        }
        plain.sync_all()?;
        let flags = match self.path {
            Through::Buffered => OFlags::empty(),
            Through::Direct => OFlags::DIRECT,
            Through::DirectSync => OFlags::DIRECT | OFlags::DSYNC,
        };
        let flags = flags.bits().cast_signed();
        let Ok(file) = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)
        else {
            return Ok(None);
        };
        Ok(Some(Raw { file, sync: self.path != Through::DirectSync, end: AtomicU64::new(0) }))
    }
}

fn prewrite(file: &File, bytes: u64) -> Result<()> {
    let zeros = vec![0; 1 << 20];
    let mut offset = 0;
    while offset < bytes {
        let len = (bytes - offset).min(1 << 20);
        file.write_all_at(&zeros[..usize::try_from(len)?], offset)?;
        offset += len;
    }
    Ok(())
}

/// A file that is written block after block.
pub struct Raw {
    file: File,
    sync: bool,
    end: AtomicU64,
}

impl Raw {
    /// Writes a block behind those that came before and returns when it is on disk. Threads write
    /// side by side, each at a place of its own.
    pub fn put(&self, block: &[u8]) -> Result<()> {
        let offset = self.end.fetch_add(block.len() as u64, Ordering::Relaxed);
        self.file.write_all_at(block, offset)?;
        if self.sync {
            self.file.sync_data()?;
        }
        Ok(())
    }
}

/// Memory for a block, where direct I/O can take it from.
pub struct Aligned {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Aligned {
    pub fn new(len: usize) -> Self {
        let bytes = vec![0_u8; len + ALIGNMENT];
        let start = bytes.as_ptr().align_offset(ALIGNMENT);
        Self { bytes, start, len }
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.start..self.start + self.len]
    }

    pub fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}
