//! A history that somebody changed: edited, deleted, inserted, swapped and appended records, with
//! every checksum made right again.

use counterfoil_log::{
    DamageReason, Lsn, MemStorage, NewRecord, Receipt, ReceiptCheck, fuzz, verify, verify_against,
};

use super::{Files, MANIFEST, append, hostile::packed, numbered, open};

const LAST: u64 = 24;

/// A book of these records from beginning to end: as whoever can write its files could write it.
fn written(records: &[NewRecord]) -> MemStorage {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    for (n, record) in (1..).zip(records) {
        assert_eq!(log.append(record.clone()), Ok(Lsn(n)));
        if n % 2 == 0 {
            log.commit().unwrap();
        }
    }
    log.close().unwrap();
    storage
}

/// Receipts that were given out while the true book was written, by record.
fn receipts() -> Vec<Receipt> {
    let (log, _) = open(MemStorage::new());
    append(&log, 1, LAST, 3);
    (0..=LAST).map(|n| log.head_at(Lsn(n)).unwrap()).collect()
}

fn records() -> Vec<NewRecord> {
    (1..=LAST).map(numbered).collect()
}

/// Every way to change the history at record `n`, with a name.
fn changes(n: usize) -> Vec<(&'static str, Vec<NewRecord>)> {
    let at = n - 1;
    let changed = |change: &dyn Fn(&mut Vec<NewRecord>)| {
        let mut records = records();
        change(&mut records);
        records
    };
    let mut all = vec![
        ("edited body", changed(&|all| all[at].events[0].body[0] ^= 1)),
        ("edited time", changed(&|all| all[at].at += 1)),
        ("edited personal payload", changed(&|all| all[at].events[0].personal = b"Eve".to_vec())),
        ("deleted", changed(&|all| drop(all.remove(at)))),
        ("inserted", changed(&|all| all.insert(at, numbered(999)))),
        ("ended before", changed(&|all| all.truncate(at))),
    ];
    // Behind the last one these would be nothing, or records that were added.
    if n < records().len() {
        all.push(("doubled", changed(&|all| all.insert(at, all[at].clone()))));
        all.push(("swapped", changed(&|all| all.swap(at, at + 1))));
        all.push(("moved to the end", changed(&|all| all[at..].rotate_left(1))));
    }
    all
}

#[test]
fn every_change_is_found_with_a_receipt_from_before_and_with_none_it_passes() {
    let receipts = receipts();
    let last = receipts.last().unwrap();
    for n in 1..=usize::try_from(LAST).unwrap() {
        for (what, records) in changes(n) {
            let book = written(&records);
            // The canary: a history that is consistent in itself cannot be told from a true one.
            let report = verify(&book).unwrap();
            assert_eq!((report.damage.clone(), report.receipt), (vec![], None), "{what} {n}");
            assert!(report.is_sound());
            let report = verify_against(&book, last).unwrap();
            assert!(!report.is_sound(), "{what} {n}");
            match report.receipt.unwrap() {
                ReceiptCheck::Differs { found } => assert_ne!(found, *last),
                ReceiptCheck::EndsBefore { last } => assert!(last < Lsn(LAST), "{what} {n}"),
                other => panic!("{what} {n}: {other:?}"),
            }
            // Receipts of records before the change hold: they say where it begins.
            for receipt in [&receipts[0], &receipts[n / 2], &receipts[n - 1]] {
                let report = verify_against(&book, receipt).unwrap();
                assert_eq!(report.receipt, Some(ReceiptCheck::Holds), "{what} {n}");
            }
        }
    }
}

#[test]
fn receipts_hold_for_the_book_they_were_given_for_and_what_it_became() {
    let receipts = receipts();
    for last in [LAST, LAST + 9] {
        let records: Vec<NewRecord> = (1..=last).map(numbered).collect();
        let book = written(&records);
        for receipt in &receipts {
            let report = verify_against(&book, receipt).unwrap();
            assert_eq!(report.receipt, Some(ReceiptCheck::Holds));
            assert!(report.is_sound());
            assert_eq!(report.head.unwrap().lsn, Lsn(last));
        }
    }
}

#[test]
fn a_receipt_of_a_damaged_book_cannot_be_compared() {
    let receipt = *receipts().last().unwrap();
    let mut files = written(&records()).files();
    files.get_mut("0000000001.seg").unwrap()[5000] ^= 1;
    let report = verify_against(&MemStorage::from_files(files), &receipt).unwrap();
    assert_eq!(report.receipt, Some(ReceiptCheck::Unreadable));
    assert!(!report.is_sound() && !report.damage.is_empty());
}

/// Records changed in the files, with the checksums of records and batches made right, and what is
/// kept of the hash tree left as it was: found without a receipt.
#[test]
fn records_that_do_not_fit_the_tree_are_found_in_every_segment() {
    // As many segments as the function that makes checksums right takes.
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 12, 2);
    log.close().unwrap();
    let files: Files = storage.files();
    let segments: Vec<&String> = files.keys().filter(|name| *name != MANIFEST).collect();
    assert!((2..=3).contains(&segments.len()), "{segments:?}");
    let healed = |files: &Files| fuzz::files(&packed(2, files));
    assert_eq!(healed(&files), files, "nothing is to be made right in a sound book");
    for name in segments {
        for at in (4096 + 64 + 32 + 60..files[name].len()).step_by(613) {
            let mut files = files.clone();
            files.get_mut(name).unwrap()[at] ^= 1;
            let files = healed(&files);
            let report = verify(&MemStorage::from_files(files)).unwrap();
            assert!(!report.damage.is_empty(), "byte {at} of {name}");
        }
    }
    // In the body of the first record, where nothing but the tree can notice it.
    let mut changed = files.clone();
    changed.get_mut("0000000001.seg").unwrap()[4096 + 64 + 32 + 2 * 24 + 100] ^= 1;
    let report = verify(&MemStorage::from_files(healed(&changed))).unwrap();
    let reasons: Vec<DamageReason> = report.damage.iter().map(|damage| damage.reason).collect();
    assert!(reasons.contains(&DamageReason::Tree), "{reasons:?}");
}
