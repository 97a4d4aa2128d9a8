//! When the power goes, what was not synced may be gone, and what was acknowledged is not.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use counterfoil_log::{
    Access, Log, LogOptions, Lsn, MemStorage, Storage, StorageFile, StorageLock, verify,
};

use super::{Files, assert_holds, numbered, open, small_segments};

/// A disk that knows what is synced, and keeps every state that a power loss could leave if it
/// took everything, or nothing, that was not.
#[derive(Clone, Default)]
struct Disk(Arc<Mutex<Model>>);

#[derive(Default)]
struct Model {
    /// Bytes of each file ever created: as written, and as synced.
    files: Vec<(Vec<u8>, Vec<u8>)>,
    names: BTreeMap<String, usize>,
    synced_names: BTreeMap<String, usize>,
    /// The last record acknowledged.
    acknowledged: Lsn,
    /// What a power loss could have left so far, and what was acknowledged then.
    states: Vec<(Files, Lsn)>,
    /// The disk after each change, for a process that is killed while the power stays.
    killed: Vec<Model>,
}

impl Model {
    /// The disk without what is kept about its past.
    fn clone_disk(&self) -> Self {
        Self {
            files: self.files.clone(),
            names: self.names.clone(),
            synced_names: self.synced_names.clone(),
            acknowledged: self.acknowledged,
            ..Self::default()
        }
    }

    fn take_states(&mut self) {
        let named = |names: &BTreeMap<String, usize>, bytes: &dyn Fn(usize) -> Vec<u8>| {
            names.iter().map(|(name, id)| (name.clone(), bytes(*id))).collect::<Files>()
        };
        let written = |id: usize| self.files[id].0.clone();
        let synced = |id: usize| self.files[id].1.clone();
        let states = [
            named(&self.names, &written),
            named(&self.names, &synced),
            named(&self.synced_names, &written),
            named(&self.synced_names, &synced),
        ];
        for state in states {
            self.states.push((state, self.acknowledged));
        }
    }
}

impl Disk {
    fn model(&self) -> MutexGuard<'_, Model> {
        self.0.lock().unwrap()
    }

    fn holding(files: Files) -> Self {
        let disk = Self::default();
        for (id, (name, bytes)) in files.into_iter().enumerate() {
            let mut model = disk.model();
            model.files.push((bytes.clone(), bytes));
            model.names.insert(name.clone(), id);
            model.synced_names.insert(name, id);
        }
        disk
    }

    /// Does something to the disk, and notes what a power loss after it could leave.
    fn change<T>(&self, change: impl FnOnce(&mut Model) -> T) -> T {
        let mut model = self.model();
        let result = change(&mut model);
        model.take_states();
        let killed = model.clone_disk();
        model.killed.push(killed);
        result
    }

    fn file(&self, id: usize) -> Box<dyn StorageFile> {
        Box::new(DiskFile { disk: self.clone(), id })
    }
}

struct DiskFile {
    disk: Disk,
    id: usize,
}

struct NoLock;

impl StorageLock for NoLock {}

impl Storage for Disk {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        Ok(Box::new(NoLock))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.model().names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let id = self.change(|model| {
            model.files.push((Vec::new(), Vec::new()));
            let id = model.files.len() - 1;
            assert_eq!(model.names.insert(name.to_owned(), id), None, "{name}");
            id
        });
        Ok(self.file(id))
    }

    fn open(&self, name: &str, _: Access) -> io::Result<Box<dyn StorageFile>> {
        let id = self.model().names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(id))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.change(|model| {
            let id = model.names.remove(from).ok_or(io::ErrorKind::NotFound)?;
            model.names.insert(to.to_owned(), id);
            Ok(())
        })
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.change(|model| model.names.remove(name).map(drop).ok_or(io::ErrorKind::NotFound))?;
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.change(|model| model.synced_names = model.names.clone());
        Ok(())
    }
}

impl StorageFile for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(u64::try_from(self.disk.model().files[self.id].0.len()).unwrap())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let model = self.disk.model();
        let bytes = &model.files[self.id].0;
        let rest = bytes.get(usize::try_from(offset).unwrap()..).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).unwrap();
        self.disk.change(|model| {
            let file = &mut model.files[self.id].0;
            file.resize(file.len().max(start + bytes.len()), 0);
            file[start..start + bytes.len()].copy_from_slice(bytes);
        });
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let len = usize::try_from(len).unwrap();
        self.disk.change(|model| model.files[self.id].0.resize(len, 0));
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        self.disk.change(|model| {
            let file = &mut model.files[self.id];
            file.1.clone_from(&file.0);
        });
        Ok(())
    }
}

/// Opens the book on a disk, appends to `last` in batches of two, and closes it. What could have
/// been left on the way is then in the model.
fn work(disk: &Disk, last: u64, options: &LogOptions) {
    let (log, report) = Log::open(disk.clone(), options.clone()).unwrap();
    for n in report.last.0 + 1..=last {
        let lsn = log.append(numbered(n)).unwrap();
        if n % 2 == 0 {
            log.wait(lsn).unwrap();
            disk.change(|model| model.acknowledged = lsn);
        }
    }
    log.close().unwrap();
    disk.change(|model| model.acknowledged = Lsn(last));
    disk.model().states.dedup();
}

/// All that a power loss could have left while a disk that holds `files` was worked on.
fn states(files: Files, acknowledged: u64, last: u64) -> Vec<(Files, Lsn)> {
    let disk = Disk::holding(files);
    disk.model().acknowledged = Lsn(acknowledged);
    work(&disk, last, &small_segments());
    std::mem::take(&mut disk.model().states)
}

fn check(state: &Files, acknowledged: Lsn) -> u64 {
    let memory = MemStorage::from_files(state.clone());
    let verified = verify(&memory);
    let (log, report) = open(memory);
    assert!(report.last >= acknowledged, "{acknowledged} was acknowledged: {report:?}");
    assert_holds(&log, report.last.0);
    assert!(verified.is_ok_and(|found| found.last == report.last) || report.created);
    report.last.0
}

#[test]
fn what_was_acknowledged_outlives_the_power() {
    let found = states(Files::new(), 0, 16);
    assert!(found.len() > 50, "{} states", found.len());
    for (state, acknowledged) in &found {
        check(state, *acknowledged);
    }
}

#[test]
fn the_power_may_go_again_while_a_book_is_put_in_order() {
    let mut checked = 0;
    for (state, acknowledged) in states(Files::new(), 0, 10) {
        let last = check(&state, acknowledged);
        for (state, acknowledged) in states(state, acknowledged.0, last + 2) {
            check(&state, acknowledged);
            checked += 1;
        }
    }
    assert!(checked > 1_000, "{checked} states");
}

#[test]
fn what_a_killed_process_left_unsynced_is_synced_before_it_is_trusted() {
    let first = Disk::default();
    work(&first, 10, &small_segments());
    let killed = std::mem::take(&mut first.model().killed);
    assert!(killed.len() > 30, "{} kills", killed.len());
    for model in killed {
        let disk = Disk(Arc::new(Mutex::new(model)));
        // Only what the second process does counts: it must make its own start durable.
        work(&disk, 12, &small_segments());
        let states = std::mem::take(&mut disk.model().states);
        for (state, acknowledged) in states {
            check(&state, acknowledged);
        }
    }
}
