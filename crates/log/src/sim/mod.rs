//! A simulated disk behind the [`Storage`] seam: what a power loss, a full disk, an I/O error or a
//! bad sector does to a book, as often as one likes and the same each time.
//!
//! [`SimDisk`] is the state: what processes see, what is synced, and what lies between.
//! [`SimStorage`] is a disk in use. It counts the calls, lets those fail that it is told to, and on
//! request keeps the disk as it was after each call ([`SimPoint`]).
//!
//! ```
//! use counterfoil_log::{Log, LogOptions, Lsn, sim::{SimRandom, SimStorage}};
//! # use counterfoil_log::{NewRecord, RecordKind};
//!
//! let storage = SimStorage::new(7);
//! let (log, _) = Log::open(storage.clone(), LogOptions::default())?;
//! # let note = NewRecord { at: 0, kind: RecordKind::Note, meta: vec![], events: vec![] };
//! log.wait(log.append(note)?)?;
//! let left = storage.disk().after_power_loss(&mut SimRandom::new(1));
//! let (_, report) = Log::open(SimStorage::of(left, 7), LogOptions::default())?;
//! assert_eq!(report.last, Lsn(1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it does not do: time, the order in which a real disk gets around to things, and a disk
//! that says it synced and did not.

mod disk;
mod inode;
mod random;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    fmt, io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

pub use disk::{SectorFault, SimDisk, SimFiles};
pub use inode::{PAGE_BYTES, SECTOR_BYTES};
pub use random::SimRandom;

use crate::{
    bytes::{narrow, wide},
    storage::{Access, Storage, StorageFile, StorageLock},
};

/// A call of the seam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SimCall {
    /// [`Storage::list`]
    List,
    /// [`Storage::create`]
    Create,
    /// [`Storage::open`]
    Open,
    /// [`Storage::rename`]
    Rename,
    /// [`Storage::remove`]
    Remove,
    /// [`Storage::sync_dir`]
    SyncDir,
    /// [`StorageFile::len`]
    Len,
    /// [`StorageFile::read_at`]
    Read,
    /// [`StorageFile::write_all_at`]
    Write,
    /// [`StorageFile::set_len`]
    SetLen,
    /// [`StorageFile::sync_data`]
    Sync,
}

impl SimCall {
    /// Those that change what is on the disk, or say that it will stay.
    pub const CHANGING: [Self; 7] = [
        Self::Create,
        Self::Rename,
        Self::Remove,
        Self::SyncDir,
        Self::Write,
        Self::SetLen,
        Self::Sync,
    ];
}

/// What kind of file a call was about: the end of its name without digits, such as `seg`, or the
/// name itself where it has none.
fn kind_of(name: &str) -> String {
    let stem = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
    stem.trim_start_matches('.').to_owned()
}

/// A call by name: what was called, on which kind of file, and the how-manieth of those it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SimSite {
    /// What was called.
    pub call: SimCall,
    /// The kind of file: `seg`, `MANIFEST`, `MANIFEST.new`, `snap`, or nothing for the directory.
    pub file: String,
    /// Counted from 1 for each pair of call and kind.
    pub number: u64,
}

impl fmt::Display for SimSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, file, number } = self;
        write!(f, "{call:?} {file} {number}")
    }
}

/// How a call fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SimFault {
    /// An I/O error, and nothing is done. After a sync that failed so, all pages of the file are
    /// clean, and only some of them are on disk.
    Io,
    /// No space is left: nothing is done.
    Full,
    /// A write does a part and then fails for want of space.
    Short,
    /// The storage panics.
    Panic,
}

/// The disk as it was after a call.
#[derive(Clone, Debug)]
pub struct SimPoint {
    /// The call; `None` for a point that [`SimStorage::mark`] set.
    pub site: Option<SimSite>,
    /// The disk after it.
    pub disk: SimDisk,
    /// What [`SimStorage::mark`] said last.
    pub mark: u64,
}

struct Plan {
    call: SimCall,
    left: u64,
    fault: SimFault,
}

struct Inner {
    disk: SimDisk,
    random: SimRandom,
    plans: Vec<Plan>,
    struck: Option<SimSite>,
    counts: BTreeMap<(SimCall, String), u64>,
    points: Option<Vec<SimPoint>>,
    mark: u64,
    bytes_max: Option<u64>,
}

/// A disk in use. A clone is the same disk.
#[derive(Clone)]
pub struct SimStorage {
    inner: Arc<Mutex<Inner>>,
    locked: Arc<AtomicBool>,
}

impl SimStorage {
    /// An empty disk. The seed decides what a failing call leaves behind.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self::of(SimDisk::default(), seed)
    }

    /// A disk in this state, which nobody has locked: as after a crash of whoever had it.
    #[must_use]
    pub fn of(disk: SimDisk, seed: u64) -> Self {
        let inner = Inner {
            disk,
            random: SimRandom::new(seed),
            plans: Vec::new(),
            struck: None,
            counts: BTreeMap::new(),
            points: None,
            mark: 0,
            bytes_max: None,
        };
        Self { inner: Arc::new(Mutex::new(inner)), locked: Arc::default() }
    }

    /// The disk as it is now.
    #[must_use]
    pub fn disk(&self) -> SimDisk {
        self.inner().disk.clone()
    }

    /// Lets the `nth` call of a kind fail, counted from 0 and from now.
    pub fn fail(&self, call: SimCall, nth: u64, fault: SimFault) {
        self.inner().plans.push(Plan { call, left: nth, fault });
    }

    /// Which call failed as planned, if one did.
    #[must_use]
    pub fn struck(&self) -> Option<SimSite> {
        self.inner().struck.clone()
    }

    /// Sets how many bytes all files may have together: beyond that a write does what there is
    /// room for and fails, and no file is created.
    pub fn limit_bytes(&self, bytes_max: Option<u64>) {
        self.inner().bytes_max = bytes_max;
    }

    /// From now on the disk is kept as it is after each call that changes it, and now.
    pub fn keep_points(&self) {
        let mut inner = self.inner();
        inner.points = Some(Vec::new());
        inner.point(None);
    }

    /// Says how far the user of the disk has come, such as the last record acknowledged. It is
    /// noted at every point from now on, and one is set.
    pub fn mark(&self, mark: u64) {
        let mut inner = self.inner();
        inner.mark = mark;
        inner.point(None);
    }

    /// Takes the points kept so far.
    #[must_use]
    pub fn take_points(&self) -> Vec<SimPoint> {
        self.inner().points.replace(Vec::new()).unwrap_or_default()
    }

    /// How often each call was made, by kind of file.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<(SimCall, String), u64> {
        self.inner().counts.clone()
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        // A planned panic does not happen under the lock.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call: does what it does unless it is to fail, and sets a point after it.
    fn call<T>(
        &self,
        call: SimCall,
        name: &str,
        act: impl FnOnce(&mut Inner, Option<SimFault>) -> io::Result<T>,
    ) -> io::Result<T> {
        let mut inner = self.inner();
        let (site, fault) = inner.begin(call, name);
        if fault == Some(SimFault::Panic) {
            drop(inner);
            planned_panic(&site);
        }
        let result = act(&mut inner, fault);
        if SimCall::CHANGING.contains(&call) {
            inner.point(Some(site));
        }
        result
    }

    fn file(&self, name: &str, id: u64, access: Access, blocks: bool) -> Box<dyn StorageFile> {
        Box::new(SimFile { storage: self.clone(), name: name.to_owned(), id, access, blocks })
    }

    fn find(&self, name: &str) -> io::Result<u64> {
        self.call(SimCall::Open, name, |inner, fault| {
            plain(fault)?;
            inner.disk.id(name).ok_or(io::ErrorKind::NotFound.into())
        })
    }
}

impl fmt::Debug for SimStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SimStorage")
            .field("files", &self.inner().disk.names())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn begin(&mut self, call: SimCall, name: &str) -> (SimSite, Option<SimFault>) {
        let file = kind_of(name);
        let count = self.counts.entry((call, file.clone())).or_default();
        *count = count.saturating_add(1);
        let site = SimSite { call, file, number: *count };
        let mut fault = None;
        self.plans.retain_mut(|plan| {
            if plan.call != call {
                return true;
            }
            if plan.left == 0 && fault.is_none() {
                fault = Some(plan.fault);
                return false;
            }
            plan.left = plan.left.saturating_sub(1);
            true
        });
        if fault.is_some() {
            self.struck = Some(site.clone());
        }
        (site, fault)
    }

    fn point(&mut self, site: Option<SimSite>) {
        if let Some(points) = &mut self.points {
            points.push(SimPoint { site, disk: self.disk.clone(), mark: self.mark });
        }
    }

    /// How many of the bytes from `at` on there is room for.
    fn room(&mut self, id: u64, at: u64, len: usize) -> usize {
        let Some(bytes_max) = self.bytes_max else { return len };
        let free = bytes_max.saturating_sub(self.disk.bytes());
        let has = wide(self.disk.by_id(id).bytes().len());
        narrow(has.saturating_add(free).saturating_sub(at)).min(len)
    }
}

#[expect(clippy::panic, reason = "a storage with a bug is one of the faults")]
fn planned_panic(site: &SimSite) -> ! {
    panic!("a planned panic at {site}");
}

fn error_of(fault: SimFault) -> io::Error {
    match fault {
        SimFault::Full | SimFault::Short => io::ErrorKind::StorageFull.into(),
        SimFault::Io | SimFault::Panic => io::Error::other("input/output error"),
    }
}

/// Fails as planned where nothing is done before.
fn plain(fault: Option<SimFault>) -> io::Result<()> {
    fault.map_or(Ok(()), |fault| Err(error_of(fault)))
}

impl Storage for SimStorage {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        if self.locked.swap(true, Ordering::AcqRel) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimLock(Arc::clone(&self.locked))))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.call(SimCall::List, "", |inner, fault| plain(fault).map(|()| inner.disk.names()))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let id = self.call(SimCall::Create, name, |inner, fault| {
            plain(fault)?;
            if inner.disk.id(name).is_some() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            if inner.bytes_max.is_some_and(|bytes_max| inner.disk.bytes() >= bytes_max) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            Ok(inner.disk.create(name))
        })?;
        Ok(self.file(name, id, Access::Write, false))
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.find(name)?, access, false))
    }

    fn open_blocks(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        Ok(self.file(name, self.find(name)?, Access::Write, true))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.call(SimCall::Rename, from, |inner, fault| {
            plain(fault)?;
            let id = inner.disk.id(from).ok_or(io::ErrorKind::NotFound)?;
            inner.disk.rename(from, to, id);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.call(SimCall::Remove, name, |inner, fault| {
            plain(fault)?;
            inner.disk.id(name).ok_or(io::ErrorKind::NotFound)?;
            inner.disk.remove(name);
            Ok(())
        })
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.call(SimCall::SyncDir, "", |inner, fault| {
            match fault {
                Some(_) => inner.disk.fail_sync_names(&mut inner.random),
                None => inner.disk.sync_names(),
            }
            plain(fault)
        })
    }
}

struct SimLock(Arc<AtomicBool>);

impl StorageLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

struct SimFile {
    storage: SimStorage,
    name: String,
    id: u64,
    access: Access,
    /// Whether only whole blocks may be written.
    blocks: bool,
}

impl SimFile {
    fn check_blocks(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let places = [narrow(offset), bytes.len(), bytes.as_ptr().addr()];
        if self.blocks && !places.iter().all(|place| place.is_multiple_of(PAGE_BYTES)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        Ok(())
    }

    fn check_writable(&self) -> io::Result<()> {
        match self.access {
            Access::Read => Err(io::ErrorKind::PermissionDenied.into()),
            Access::Write => Ok(()),
        }
    }
}

impl StorageFile for SimFile {
    fn len(&self) -> io::Result<u64> {
        self.storage.call(SimCall::Len, &self.name, |inner, fault| {
            plain(fault)?;
            Ok(wide(inner.disk.by_id(self.id).bytes().len()))
        })
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.storage.call(SimCall::Read, &self.name, |inner, fault| {
            plain(fault)?;
            let bytes = inner.disk.by_id(self.id).bytes();
            let rest = bytes.get(narrow(offset)..).unwrap_or_default();
            let len = rest.len().min(buffer.len());
            if let (Some(to), Some(from)) = (buffer.get_mut(..len), rest.get(..len)) {
                to.copy_from_slice(from);
            }
            Ok(len)
        })
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.check_writable()?;
        self.check_blocks(bytes, offset)?;
        self.storage.call(SimCall::Write, &self.name, |inner, fault| {
            let len = match fault {
                None => inner.room(self.id, offset, bytes.len()),
                Some(SimFault::Short) => inner.random.index(bytes.len()),
                Some(fault) => return Err(error_of(fault)),
            };
            let part = bytes.get(..len).unwrap_or_default();
            if !part.is_empty() {
                inner.disk.by_id(self.id).write(narrow(offset), part);
            }
            if len < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.check_writable()?;
        self.storage.call(SimCall::SetLen, &self.name, |inner, fault| {
            plain(fault)?;
            inner.disk.by_id(self.id).set_len(narrow(len));
            Ok(())
        })
    }

    fn sync_data(&self) -> io::Result<()> {
        self.storage.call(SimCall::Sync, &self.name, |inner, fault| {
            let random = &mut inner.random;
            match fault {
                Some(_) => inner.disk.by_id(self.id).fail_sync(random),
                None => inner.disk.by_id(self.id).sync(),
            }
            plain(fault)
        })
    }
}
