//! Heads and proofs of books: the same for the same records, and only for those.

use counterfoil_log::{
    Log, LogOptions, Lsn, MemStorage, NewRecord, Proof, ProofError, ReadError, Receipt, RecordKind,
    verify,
};
use proptest::{collection::vec, prelude::*};

use super::{append, event, numbered, recorded, small_segments, try_open};

fn book(last: u64, batch: u64, options: LogOptions) -> Log {
    let (log, _) = Log::open(MemStorage::new(), options).unwrap();
    append(&log, 1, last, batch);
    log
}

fn receipts(log: &Log, last: u64) -> Vec<Receipt> {
    (0..=last).map(|n| log.head_at(Lsn(n)).unwrap()).collect()
}

/// A record with a body of this size.
fn sized(n: u64, bytes: usize) -> NewRecord {
    let body = vec![u8::try_from(n % 256).unwrap(); bytes];
    let events = vec![event("customer/1", n, &body, b"")];
    NewRecord { at: 0, kind: RecordKind::Events, meta: vec![], events }
}

#[test]
fn heads_do_not_depend_on_batches_and_segments() {
    let expected = receipts(&book(150, 1, LogOptions::default()), 150);
    for (batch, options) in
        [(7, LogOptions::default()), (3, small_segments()), (1, small_segments())]
    {
        let log = book(150, batch, options);
        assert_eq!(receipts(&log, 150), expected, "{batch}");
        assert_eq!(log.head().unwrap(), expected[150]);
    }
    assert_eq!(expected[0], Receipt::EMPTY);
    let mut heads: Vec<_> = expected.iter().map(|receipt| receipt.head).collect();
    heads.sort_unstable();
    heads.dedup();
    assert_eq!(heads.len(), 151);
}

#[test]
fn heads_and_proofs_stay_when_the_book_is_opened_again() {
    let storage = MemStorage::new();
    let (log, _) = try_open(storage.clone()).unwrap();
    append(&log, 1, 60, 2);
    let expected = receipts(&log, 60);
    let proof = log.prove(Lsn(17), &expected[60]).unwrap();
    log.close().unwrap();
    assert_eq!(log.head().map_err(|error| error.to_string()), Ok(expected[60]));
    let (log, _) = try_open(storage).unwrap();
    append(&log, 61, 99, 5);
    assert_eq!(receipts(&log, 60), expected);
    assert_eq!(log.prove(Lsn(17), &expected[60]).unwrap(), proof);
}

#[test]
fn every_record_is_proven_with_every_receipt_that_covers_it() {
    let log = book(90, 4, small_segments());
    let receipts = receipts(&log, 90);
    for lsn in 1..=90 {
        for last in [lsn, (lsn + 1).min(90), (lsn + 30).min(90), 90] {
            let receipt = &receipts[usize::try_from(last).unwrap()];
            let proof = log.prove(Lsn(lsn), receipt).unwrap();
            let proof = Proof::decode(&proof.encode()).unwrap();
            assert_eq!(proof.check(receipt), Ok(recorded(lsn, numbered(lsn))));
            let other = &receipts[usize::try_from((last + 1) % 91).unwrap()];
            assert!(matches!(proof.check(other), Err(ProofError::OtherReceipt { .. })));
        }
    }
}

#[test]
fn what_cannot_be_proven_says_why() {
    let log = book(20, 4, small_segments());
    log.append(numbered(21)).unwrap();
    let receipt = log.head().unwrap();
    assert_eq!(receipt.lsn, Lsn(20));
    let not_durable = |result: Result<(), ReadError>, lsn: u64, durable: u64| {
        let expected = format!("record {lsn} cannot be read: the last durable one is {durable}");
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    not_durable(log.head_at(Lsn(21)).map(|_| ()), 21, 20);
    not_durable(log.prove(Lsn(0), &receipt).map(|_| ()), 0, 20);
    not_durable(log.prove(Lsn(21), &receipt).map(|_| ()), 21, 20);
    let ahead = Receipt { lsn: Lsn(21), ..receipt };
    not_durable(log.prove(Lsn(7), &ahead).map(|_| ()), 21, 20);
    let before = log.head_at(Lsn(5)).unwrap();
    not_durable(log.prove(Lsn(6), &before).map(|_| ()), 6, 5);
    // A receipt of another history, and ones that were changed.
    let mut head = receipt;
    head.head[31] ^= 1;
    let foreign = book(20, 4, LogOptions::default());
    let (other, _) = Log::open(MemStorage::new(), small_segments()).unwrap();
    for n in 2..=21 {
        other.append(numbered(n)).unwrap();
    }
    other.commit().unwrap();
    for other in [
        head,
        other.head().unwrap(),
        Receipt { lsn: Lsn(19), ..receipt },
        Receipt { stream_bytes: receipt.stream_bytes + 16, ..receipt },
        Receipt { stream_bytes: u64::MAX, ..receipt },
        Receipt { stream_bytes: 0, ..receipt },
    ] {
        let proven = log.prove(Lsn(7), &other);
        assert!(matches!(proven, Err(ReadError::OtherHistory { .. })), "{proven:?}");
    }
    assert_eq!(foreign.head().unwrap(), receipt);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(30))]
    #[test]
    fn every_record_of_any_book_is_proven(
        sizes in vec(
            prop_oneof![6 => 0_usize..500, 2 => 500_usize..9000, 1 => 60_000_usize..140_000],
            1..40,
        ),
        batch in 1_u64..9,
        segment_kib in prop::sample::select(vec![8_u64, 64, 200, 65_536]),
        last: prop::sample::Index,
    ) {
        let options = LogOptions { segment_bytes: segment_kib << 10, ..LogOptions::default() };
        let (log, _) = Log::open(MemStorage::new(), options).unwrap();
        for (n, size) in (1..).zip(&sizes) {
            log.append(sized(n, *size)).unwrap();
            if n % batch == 0 {
                log.commit().unwrap();
            }
        }
        log.commit().unwrap();
        let last = u64::try_from(last.index(sizes.len())).unwrap() + 1;
        let receipt = log.head_at(Lsn(last)).unwrap();
        for lsn in 1..=last {
            let record = log.prove(Lsn(lsn), &receipt).unwrap().check(&receipt).unwrap();
            let size = sizes[usize::try_from(lsn).unwrap() - 1];
            prop_assert_eq!(record, recorded(lsn, sized(lsn, size)));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    /// Footers, header blocks and the manifest are written from the tree of the running log, which
    /// others feed while one seals a segment; `verify` hashes all records anew.
    #[test]
    fn heads_are_right_whoever_hashes_while_segments_are_sealed(
        sizes in vec(
            vec(
                prop_oneof![4 => 0_usize..500, 2 => 500_usize..9000, 1 => 60_000_usize..140_000],
                1..25,
            ),
            2..5,
        ),
        segment_kib in prop::sample::select(vec![8_u64, 64, 300]),
        pending in prop::sample::select(vec![1_usize, 20_000, 8 << 20]),
    ) {
        let options = LogOptions {
            segment_bytes: segment_kib << 10,
            pending_bytes_max: pending,
            ..LogOptions::default()
        };
        let storage = MemStorage::new();
        let (log, _) = Log::open(storage.clone(), options).unwrap();
        let heads: Vec<Receipt> = std::thread::scope(|scope| {
            let log = &log;
            let threads = sizes.iter().map(|sizes| scope.spawn(move || {
                let mut heads = Vec::new();
                for (n, size) in (1..).zip(sizes) {
                    let lsn = log.append(sized(n, *size)).unwrap();
                    if n % 3 == 0 {
                        log.wait(lsn).unwrap();
                        heads.push(log.head().unwrap());
                    }
                }
                log.commit().unwrap();
                heads.push(log.head().unwrap());
                heads
            }));
            let threads: Vec<_> = threads.collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        log.close().unwrap();
        let found = verify(&storage).unwrap();
        prop_assert!(found.is_sound(), "{found:?}");
        prop_assert_eq!(found.records, sizes.iter().map(Vec::len).sum::<usize>() as u64);
        let last = log.head().unwrap();
        prop_assert_eq!(found.head, Some(last));
        for head in heads {
            prop_assert_eq!(log.head_at(head.lsn).unwrap(), head);
        }
        // Opening compares the head in the manifest with what the last segment gives.
        drop(log);
        let (log, report) = Log::open(storage, LogOptions::default()).unwrap();
        prop_assert_eq!((report.clean, log.head().unwrap()), (true, last));
    }
}
