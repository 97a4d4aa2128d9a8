use std::collections::BTreeSet;

use super::*;

/// Every file that was seen under this name after many power losses; `None` where it was not there.
fn left(storage: &SimStorage, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    let disk = storage.disk();
    let mut random = SimRandom::new(1);
    (0..3_000).map(|_| disk.after_power_loss(&mut random).files().remove(name)).collect()
}

fn new_file(storage: &SimStorage, bytes: &[u8]) -> Box<dyn StorageFile> {
    let file = storage.create("1.seg").unwrap();
    file.write_all_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    storage.sync_dir().unwrap();
    file
}

#[test]
fn what_is_synced_stays_and_what_is_not_may_be_there_or_not() {
    let storage = SimStorage::new(1);
    let file = storage.create("1.seg").unwrap();
    file.write_all_at(b"abc", 0).unwrap();
    assert!(left(&storage, "1.seg").contains(&None), "the name is not synced");
    file.sync_data().unwrap();
    let found = left(&storage, "1.seg");
    assert_eq!(found, [None, Some(b"abc".to_vec())].into(), "bytes synced, name not");
    storage.sync_dir().unwrap();
    assert_eq!(left(&storage, "1.seg"), [Some(b"abc".to_vec())].into());
    file.write_all_at(b"d", 3).unwrap();
    let found = left(&storage, "1.seg");
    assert!(found.contains(&Some(b"abc".to_vec())) && found.contains(&Some(b"abcd".to_vec())));
    assert!(found.contains(&Some(b"abc\0".to_vec())), "a length may come without its bytes");
}

#[test]
fn sectors_are_torn_and_reordered_and_never_mixed() {
    let storage = SimStorage::new(1);
    let file = new_file(&storage, &[0; 2048]);
    for byte in 1..=3 {
        file.write_all_at(&[byte; 2048], 0).unwrap();
    }
    let mut seen = BTreeSet::new();
    for bytes in left(&storage, "1.seg").into_iter().flatten() {
        let sectors: Vec<u8> = bytes.chunks(SECTOR_BYTES).map(|sector| sector[0]).collect();
        let whole = |sector: &[u8]| sector.iter().all(|byte| *byte == sector[0]);
        assert!(bytes.len() == 2048 && bytes.chunks(SECTOR_BYTES).all(whole));
        seen.insert(sectors);
    }
    for expected in
        [[0, 0, 0, 0], [3, 3, 3, 3], [2, 1, 1, 1], [3, 3, 0, 3], [0, 3, 0, 0], [1, 3, 0, 2]]
    {
        assert!(seen.contains(&expected[..]), "{expected:?} of {}", seen.len());
    }
}

#[test]
fn a_shortened_file_may_have_its_bytes_back() {
    let storage = SimStorage::new(1);
    let file = new_file(&storage, &[7; 1024]);
    file.set_len(10).unwrap();
    file.set_len(600).unwrap();
    let found = left(&storage, "1.seg");
    let zeros = |kept: usize, len: usize| {
        let mut bytes = vec![0; len];
        bytes[..kept].fill(7);
        Some(bytes)
    };
    for expected in [zeros(1024, 1024), zeros(10, 10), zeros(10, 600), zeros(512, 600)] {
        assert!(found.contains(&expected));
    }
}

#[test]
fn names_are_kept_in_any_part() {
    let storage = SimStorage::new(1);
    new_file(&storage, b"old");
    let file = storage.create("2.new").unwrap();
    file.write_all_at(b"new", 0).unwrap();
    file.sync_data().unwrap();
    storage.rename("2.new", "1.seg").unwrap();
    let texts = |name| left(&storage, name).into_iter().collect::<Vec<_>>();
    assert_eq!(texts("1.seg"), [Some(b"new".to_vec()), Some(b"old".to_vec())]);
    assert_eq!(texts("2.new"), [None, Some(b"new".to_vec())]);
    storage.sync_dir().unwrap();
    assert_eq!(texts("1.seg"), [Some(b"new".to_vec())]);
    storage.remove("1.seg").unwrap();
    assert_eq!(texts("1.seg"), [None, Some(b"new".to_vec())]);
}

#[test]
fn a_sync_that_failed_leaves_clean_pages_that_no_later_sync_brings_to_disk() {
    let mut lost = 0;
    for seed in 0..100 {
        let storage = SimStorage::new(seed);
        let file = new_file(&storage, &[1; 100]);
        file.write_all_at(&[2; 100], 0).unwrap();
        storage.fail(SimCall::Sync, 0, SimFault::Io);
        file.sync_data().unwrap_err();
        assert_eq!(storage.struck().unwrap().to_string(), "Sync seg 2");
        file.sync_data().unwrap();
        let files = storage.disk().files();
        assert_eq!(files["1.seg"], [2; 100], "a process sees what it wrote");
        let on_disk = storage.disk().files_synced()["1.seg"].clone();
        assert_eq!(storage.disk().after_eviction().files()["1.seg"], on_disk);
        lost += u32::from(on_disk == [1; 100]);
        // Writing to the page again makes all of it dirty.
        file.write_all_at(&[2], 50).unwrap();
        file.sync_data().unwrap();
        assert_eq!(storage.disk().files_synced()["1.seg"], [2; 100]);
    }
    assert!((20..=90).contains(&lost), "{lost}");
}

#[test]
fn calls_fail_as_planned_and_are_counted() {
    let storage = SimStorage::new(3);
    let file = new_file(&storage, b"abc");
    storage.fail(SimCall::Write, 1, SimFault::Short);
    storage.fail(SimCall::Create, 0, SimFault::Full);
    storage.fail(SimCall::Read, 0, SimFault::Io);
    file.write_all_at(b"x", 3).unwrap();
    let error = file.write_all_at(&[9; 100], 4).unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    assert!(file.len().unwrap() < 104);
    assert!(file.read_at(&mut [0], 0).is_err() && file.read_at(&mut [0], 0).is_ok());
    assert!(storage.create("2.seg").is_err() && storage.create("2.seg").is_ok());
    assert_eq!(storage.counts()[&(SimCall::Write, "seg".to_owned())], 3);
    storage.fail(SimCall::Sync, 0, SimFault::Panic);
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| file.sync_data()));
    assert!(panicked.is_err() && file.sync_data().is_ok());
}

#[test]
fn a_full_disk_takes_what_there_is_room_for() {
    let storage = SimStorage::new(3);
    let file = new_file(&storage, b"abc");
    storage.limit_bytes(Some(10));
    file.write_all_at(b"ABC", 0).unwrap();
    let error = file.write_all_at(&[9; 100], 2).unwrap_err();
    assert_eq!((error.kind(), file.len().unwrap()), (io::ErrorKind::StorageFull, 10));
    assert!(storage.create("2.seg").is_err());
    storage.limit_bytes(None);
    assert!(storage.create("2.seg").is_ok());
}

#[test]
fn points_keep_the_disk_as_it_was() {
    let storage = SimStorage::new(3);
    storage.keep_points();
    let file = new_file(&storage, b"abc");
    storage.mark(7);
    file.set_len(0).unwrap();
    let points = storage.take_points();
    let sites: Vec<String> = points
        .iter()
        .map(|point| point.site.as_ref().map_or_else(|| "-".to_owned(), SimSite::to_string))
        .collect();
    let expected =
        ["-", "Create seg 1", "Write seg 1", "Sync seg 1", "SyncDir  1", "-", "SetLen seg 1"];
    assert_eq!(sites, expected);
    let lens: Vec<_> = points.iter().map(|point| point.disk.bytes()).collect();
    assert_eq!(lens, [0, 0, 3, 3, 3, 3, 0]);
    assert_eq!(points.iter().map(|point| point.mark).collect::<Vec<_>>(), [0, 0, 0, 0, 0, 7, 7]);
}

#[test]
fn a_broken_sector_is_another_one_and_the_rest_is_as_it_was() {
    let storage = SimStorage::new(3);
    let file = new_file(&storage, &[1; 1024]);
    file.write_all_at(&[2; 512], 512).unwrap();
    file.sync_data().unwrap();
    let disk = storage.disk();
    let mut random = SimRandom::new(9);
    for fault in SectorFault::ALL {
        let mut seen = BTreeSet::new();
        for _ in 0..200 {
            let mut broken = disk.clone();
            if broken.break_sector(fault, &mut random, |name| name == "1.seg").is_some() {
                let bytes = broken.files().remove("1.seg").unwrap();
                assert_eq!(bytes.len(), 1024);
                seen.insert([bytes[0], bytes[512]]);
            }
        }
        let expected: &[[u8; 2]] = match fault {
            SectorFault::Bit => &[[1, 2]],
            SectorFault::Zeroed => &[[0, 2], [1, 0]],
            // The first version of each sector was nothing.
            SectorFault::Stale => &[[0, 2], [1, 1]],
            SectorFault::Swapped => &[[2, 1]],
            SectorFault::Misdirected => &[[0, 1], [2, 1]],
        };
        assert!(expected.iter().all(|two| seen.contains(two)), "{fault:?}: {seen:?}");
    }
    assert!(disk.clone().break_sector(SectorFault::Bit, &mut random, |_| false).is_none());
}

#[test]
fn two_handles_never_share_a_book() {
    let storage = SimStorage::new(0);
    let lock = storage.lock().unwrap();
    assert!(storage.clone().lock().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock));
    assert!(SimStorage::of(storage.disk(), 0).lock().is_ok(), "a crash takes the lock with it");
    drop(lock);
    assert!(storage.lock().is_ok());
}

#[test]
fn a_file_opened_for_blocks_takes_nothing_else() {
    let storage = SimStorage::new(0);
    new_file(&storage, b"abc");
    let file = storage.open_blocks("1.seg").unwrap();
    let memory = vec![1; 3 * PAGE_BYTES];
    let aligned = memory.as_ptr().align_offset(PAGE_BYTES);
    let block = &memory[aligned..aligned + PAGE_BYTES];
    file.write_all_at(block, 4096).unwrap();
    for (bytes, offset) in
        [(block, 512), (&block[..512], 0), (&memory[aligned + 1..aligned + 1 + PAGE_BYTES], 0)]
    {
        let error = file.write_all_at(bytes, offset).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput);
    }
    assert_eq!(file.len().unwrap(), 8192);
}
