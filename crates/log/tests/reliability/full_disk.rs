//! R7 on a real file system that is full. It is mounted for the test, which only root may do.

use std::{path::Path, process::Command};

use counterfoil_log::{FileStorage, Log, LogOptions, Lsn, verify};

use crate::{
    history::{History, record},
    oracle::{check_records, options},
    size::sized,
};

/// A file system in memory, until it is dropped.
struct Mounted<'p>(&'p Path);

impl<'p> Mounted<'p> {
    fn new(dir: &'p Path, options: &str) -> Option<Self> {
        mount(dir, options).then_some(Self(dir))
    }

    fn grow(&self) {
        assert!(mount(self.0, "remount,size=16m"));
    }
}

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        assert!(Command::new("umount").arg(self.0).status().unwrap().success());
    }
}

fn mount(dir: &Path, options: &str) -> bool {
    let mut mount = Command::new("mount");
    mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(dir);
    mount.output().is_ok_and(|done| done.status.success())
}

/// Appends to a book on a file system of so many bytes until that is full. Returns how many records
/// were acknowledged.
fn fill(dir: &Path, kib: u64, options: &LogOptions) -> Option<usize> {
    let mounted = Mounted::new(dir, &format!("size={kib}k"))?;
    let storage = FileStorage::open(dir.join("book")).unwrap();
    let mut history = History::new();
    if let Ok((log, _)) = Log::open(storage.clone(), options.clone()) {
        let error = loop {
            let seed = u64::try_from(history.appended()).unwrap();
            history.append(record(seed, 1_000));
            match log.append(record(seed, 1_000)).and_then(|lsn| log.wait(lsn).map(|_| lsn)) {
                Ok(lsn) => drop(history.acknowledge(lsn)),
                Err(error) => break error,
            }
        };
        assert!(error.to_string().to_lowercase().contains("no"), "{error}");
        assert_eq!(log.commit(), Err(error));
    }
    let (records, acknowledged) = history.latest();
    if acknowledged > 0 {
        let found = verify(&storage).unwrap();
        assert!(found.damage.is_empty() && found.last >= Lsn(acknowledged as u64), "{found:?}");
    }
    // Opening may find no room for its manifest; it then says so, and loses nothing.
    let reopened = Log::open(storage.clone(), options.clone()).map(drop);
    assert!(reopened.is_ok() || reopened.is_err_and(|error| error.to_string().contains("cannot")));
    mounted.grow();
    let (log, report) = Log::open(storage, options.clone()).unwrap();
    let last = usize::try_from(report.last.0).unwrap();
    assert!(last >= acknowledged && last <= records.len(), "{report:?}, {acknowledged}");
    check_records(&log, &records[..last]).unwrap();
    let next = log.append(record(1, 1_000)).unwrap();
    log.wait(next).unwrap();
    log.close().unwrap();
    Some(acknowledged)
}

#[test]
fn r07_a_real_full_disk_loses_nothing_that_was_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let sizes: Vec<u64> =
        sized(vec![64, 300], (16..=512).step_by(16).collect(), (8..=2_048).step_by(4).collect());
    let mut acknowledged = 0;
    for kib in &sizes {
        match fill(dir.path(), *kib, &options()) {
            Some(more) => acknowledged += more,
            None => {
                println!("R7: the real full disk is skipped, for only root may mount one");
                return;
            }
        }
    }
    println!(
        "R7: {} file systems of {} to {} KiB filled up: {acknowledged} records acknowledged, 0 lost",
        sizes.len(),
        sizes[0],
        sizes[sizes.len() - 1]
    );
}
