//! Sealed segments: opening does not read them, and a crash around sealing loses nothing.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex},
};

use counterfoil_log::{Access, Lsn, MemStorage, Storage, StorageFile, StorageLock, verify};

use super::{
    BATCHES_AT, FIRST_SEGMENT, SECOND_SEGMENT, append, assert_holds, closed_book, open, open_book,
    try_open,
};

/// A memory that counts the bytes read of each file.
#[derive(Clone, Default)]
struct Counting {
    inner: MemStorage,
    read: Arc<Mutex<BTreeMap<String, usize>>>,
}

struct CountingFile {
    inner: Box<dyn StorageFile>,
    name: String,
    read: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Storage for Counting {
    fn lock(&self) -> io::Result<Box<dyn StorageLock>> {
        self.inner.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.inner.list()
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        self.inner.create(name)
    }

    fn open(&self, name: &str, access: Access) -> io::Result<Box<dyn StorageFile>> {
        let inner = self.inner.open(name, access)?;
        Ok(Box::new(CountingFile { inner, name: name.into(), read: Arc::clone(&self.read) }))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.inner.remove(name)
    }

    fn sync_dir(&self) -> io::Result<()> {
        self.inner.sync_dir()
    }
}

impl StorageFile for CountingFile {
    fn len(&self) -> io::Result<u64> {
        self.inner.len()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.inner.read_at(buffer, offset)?;
        *self.read.lock().unwrap().entry(self.name.clone()).or_default() += read;
        Ok(read)
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.inner.write_all_at(bytes, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.inner.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.inner.sync_data()
    }
}

#[test]
fn opening_reads_the_manifest_and_the_last_segment_only() {
    for files in [closed_book(60), open_book(60)] {
        let segments = files.keys().filter(|name| name.ends_with(".seg")).count();
        assert!(segments > 10, "{segments}");
        let last = format!("{segments:010}.seg");
        let storage = Counting { inner: MemStorage::from_files(files), ..Counting::default() };
        let (log, _) = open(storage.clone());
        let read = std::mem::take(&mut *storage.read.lock().unwrap());
        assert!(read.keys().eq([&last, super::MANIFEST]), "{read:?}");
        // Finding a record then reads a few headers, one footer, and the batches around it.
        log.read_one(Lsn(20)).unwrap();
        let read = std::mem::take(&mut *storage.read.lock().unwrap());
        assert!(read.len() <= 6, "{read:?}");
        assert_holds(&log, 60);
    }
}

#[test]
fn a_crash_after_the_footer_begins_the_next_segment() {
    let files = open_book(20);
    let mut files = files.clone();
    files.retain(|name, _| name < &"0000000003.seg".to_owned() || name == super::MANIFEST);
    let sealed = files[SECOND_SEGMENT].clone();
    let last = verify(&MemStorage::from_files(files.clone())).unwrap();
    assert_eq!(last.damage, []);
    // Space written ahead may still stand behind the footer.
    for zeros in [0, 1, 16, 5_000] {
        let mut files = files.clone();
        files.insert(SECOND_SEGMENT.into(), [&sealed[..], &vec![0; zeros]].concat());
        let storage = MemStorage::from_files(files);
        assert_eq!(verify(&storage).unwrap().damage, [], "{zeros}");
        let (log, report) = open(storage.clone());
        assert_eq!((report.last, report.segments, report.tail_cut), (last.last, 3, None));
        append(&log, last.last.0 + 1, 30, 2);
        log.close().unwrap();
        assert_eq!(storage.files()[SECOND_SEGMENT], sealed, "{zeros}");
        assert_eq!(verify(&storage).unwrap().damage, []);
        assert_holds(&open(storage).0, 30);
    }
}

#[test]
fn a_torn_footer_is_a_torn_tail() {
    let mut files = open_book(20);
    files.retain(|name, _| name < &"0000000003.seg".to_owned() || name == super::MANIFEST);
    let sealed = files[SECOND_SEGMENT].clone();
    let found = verify(&MemStorage::from_files(files.clone())).unwrap();
    let first = verify(&MemStorage::from_files(
        files.iter().filter(|(name, _)| *name != SECOND_SEGMENT).map(clone).collect(),
    ));
    let footer_at = usize::try_from(found.bytes - first.unwrap().bytes).unwrap();
    assert!(footer_at > BATCHES_AT && sealed.len() > footer_at + 200);
    let check = |segment: Vec<u8>, torn: bool| {
        let mut files = files.clone();
        files.insert(SECOND_SEGMENT.into(), segment);
        let storage = MemStorage::from_files(files);
        let (log, report) = open(storage.clone());
        assert_eq!((report.last, report.tail_cut.is_some()), (found.last, torn));
        append(&log, found.last.0 + 1, 40, 2);
        assert_holds(&log, 40);
        drop(log);
        assert_eq!(verify(&storage).unwrap().damage, []);
    };
    for len in footer_at..sealed.len() {
        check(sealed[..len].to_vec(), len > footer_at);
        let zeroed = [&sealed[..len], &vec![0; sealed.len() - len]].concat();
        check(
            zeroed.clone(),
            zeroed[footer_at..].iter().any(|byte| *byte != 0) && zeroed != sealed,
        );
    }
    for bit in (footer_at * 8..sealed.len() * 8).step_by(5) {
        let mut segment = sealed.clone();
        segment[bit / 8] ^= 1 << (bit % 8);
        check(segment, true);
    }
}

fn clone((name, bytes): (&String, &Vec<u8>)) -> (String, Vec<u8>) {
    (name.clone(), bytes.clone())
}

#[test]
fn a_segment_that_is_not_the_last_ends_with_its_footer() {
    let files = closed_book(20);
    let sealed = &files[FIRST_SEGMENT];
    let footer = sealed.windows(8).rposition(|bytes| bytes == b"CFLFOOTR").unwrap();
    let mut files = files.clone();
    files.get_mut(FIRST_SEGMENT).unwrap().truncate(footer);
    let found = verify(&MemStorage::from_files(files.clone())).unwrap().damage;
    let text = "no footer stands at the end of a sealed segment";
    assert_eq!(found[0].reason.to_string(), text);
    assert!(try_open(MemStorage::from_files(files)).is_ok(), "it is not read");
}
