//! One user at a time.

use counterfoil_log::{FileStorage, Lsn, MemStorage, OpenError, Storage};

use super::{append, assert_holds, open, try_open};

fn check_one_at_a_time<S: Storage>(again: impl Fn() -> S) {
    let refused = || matches!(try_open(again()), Err(OpenError::Locked));
    let (log, _) = open(again());
    append(&log, 1, 3, 1);
    assert!(refused());
    assert_holds(&log, 3);
    log.close().unwrap();
    let (second, _) = open(again());
    assert!(refused(), "after the first was closed, the second has it");
    drop(log);
    assert!(refused(), "dropping a closed log gives nothing back twice");
    let reader = second.read(Lsn(1));
    drop(second);
    let (third, report) = open(again());
    assert!(!report.clean);
    assert_eq!(reader.count(), 3, "a reader outlives its log");
    assert_holds(&third, 3);
}

#[test]
fn a_directory_has_one_user_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    check_one_at_a_time(|| FileStorage::open(dir.path()).unwrap());
}

#[test]
fn a_memory_has_one_user_at_a_time() {
    let storage = MemStorage::new();
    check_one_at_a_time(|| storage.clone());
}

#[test]
fn a_refused_book_is_not_kept_locked() {
    let mut files = super::closed_book(4);
    files.get_mut(super::FIRST_SEGMENT).unwrap()[100] ^= 1;
    let storage = MemStorage::from_files(files);
    for _ in 0..2 {
        assert!(matches!(try_open(storage.clone()), Err(OpenError::Damaged(_))));
    }
}
