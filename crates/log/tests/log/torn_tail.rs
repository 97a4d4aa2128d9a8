//! A torn tail is cut to exactly the whole batches, and reported.

use counterfoil_log::{Log, LogOptions, Lsn, MemStorage, TailCut, verify};

use super::{BATCHES_AT, FIRST_SEGMENT, Files, SECOND_SEGMENT, append, assert_holds, open};

/// A book of one segment that was not closed, and where each of its batches ends.
fn book() -> (Files, Vec<(usize, u64)>) {
    let storage = MemStorage::new();
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    let mut ends = vec![(BATCHES_AT, 0)];
    let mut last = 0;
    while ends[ends.len() - 1].0 < 20 << 10 {
        append(&log, last + 1, last + 4, 4);
        last += 4;
        let end = verify(&storage).unwrap().bytes;
        ends.push((usize::try_from(end).unwrap(), last));
    }
    (storage.files(), ends)
}

/// Opens a book whose first segment has only `len` bytes of the log, and checks what is left.
fn check(files: &Files, ends: &[(usize, u64)], len: usize, segment: Vec<u8>) {
    let mut files = files.clone();
    let (boundary, last) = *ends.iter().rev().find(|(end, _)| *end <= len).unwrap();
    let content = segment.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    files.insert(FIRST_SEGMENT.to_owned(), segment);
    let expected = (content > boundary).then(|| TailCut {
        file: FIRST_SEGMENT.to_owned(),
        offset: u64::try_from(boundary).unwrap(),
        bytes: u64::try_from(content - boundary).unwrap(),
    });
    let storage = MemStorage::from_files(files);
    if len.is_multiple_of(16) {
        let found = verify(&storage).unwrap();
        assert_eq!((&found.tail, &found.damage[..]), (&expected, &[][..]), "{len}");
    }
    let (log, report) = open(storage.clone());
    assert_eq!(report.tail_cut, expected, "{len}");
    assert_eq!((report.clean, report.last), (false, Lsn(last)), "{len}");
    // The last record is read at each length, all of them, and on from there, at some: for time.
    if len.is_multiple_of(64) {
        assert_holds(&log, last);
    } else if last > 0 {
        assert_eq!(log.read_one(Lsn(last)).unwrap(), super::recorded(last, super::numbered(last)));
    }
    if len.is_multiple_of(16) {
        append(&log, last + 1, last + 1, 1);
        log.close().unwrap();
        let (_, report) = open(storage);
        assert_eq!((report.clean, report.last), (true, Lsn(last + 1)), "{len}");
    }
}

#[test]
fn every_prefix_reopens_to_exactly_the_whole_batches() {
    let (files, ends) = book();
    for len in BATCHES_AT..=ends[ends.len() - 1].0 {
        check(&files, &ends, len, files[FIRST_SEGMENT][..len].to_vec());
    }
}

#[test]
fn every_zeroed_tail_reopens_to_exactly_the_whole_batches() {
    let (files, ends) = book();
    for zeroed in (BATCHES_AT..=ends[ends.len() - 1].0).rev().step_by(7) {
        let mut segment = files[FIRST_SEGMENT].clone();
        // What was zero before is still there.
        let kept = segment[zeroed..].iter().take_while(|byte| **byte == 0).count();
        segment[zeroed..].fill(0);
        check(&files, &ends, zeroed + kept, segment);
    }
}

#[test]
fn a_last_batch_that_lost_any_sector_is_cut() {
    let (files, ends) = book();
    let storage = MemStorage::from_files(files);
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    let last = ends[ends.len() - 1].1;
    let begin = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
    append(&log, last + 1, last + 40, u64::MAX);
    let end = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
    assert!(end - begin > 4096);
    let files = storage.files();
    for lost in begin / 512..=end / 512 {
        let mut files = files.clone();
        let segment = files.get_mut(FIRST_SEGMENT).unwrap();
        segment[begin.max(lost * 512)..(lost + 1) * 512].fill(0);
        let (log, report) = open(MemStorage::from_files(files));
        assert_eq!(report.last, Lsn(last), "sector {lost}");
        assert!(report.tail_cut.is_some(), "sector {lost}");
        assert_holds(&log, last);
    }
}

#[test]
fn an_interrupted_start_of_a_segment_is_taken_back() {
    let files = super::open_book(12);
    let (last_name, last_segment) = files.last_key_value_of_segments();
    assert!(last_name > SECOND_SEGMENT);
    let number: u32 = last_name[..10].parse().unwrap();
    let next = format!("{:010}.seg", number + 1);
    // A whole header of the next segment is what rotation leaves before its first batch.
    let header = {
        let storage = MemStorage::from_files(files.clone());
        let (log, report) = open(storage.clone());
        append(&log, 13, 40, 2);
        assert!(log.last() == Lsn(40) && report.last == Lsn(12));
        storage.files()[&next][..BATCHES_AT].to_vec()
    };
    // The segment before it with its footer.
    let sealed = {
        let storage = MemStorage::from_files(files.clone());
        let (log, _) = open(storage.clone());
        append(&log, 13, 40, 2);
        storage.files()[last_name].clone()
    };
    let last_before = {
        let mut files = files.clone();
        files.insert(last_name.to_owned(), sealed.clone());
        let (_, report) = open(MemStorage::from_files(files));
        report.last
    };
    assert!(last_segment.len() > BATCHES_AT);
    for len in (0..128).chain((128..BATCHES_AT).step_by(97)) {
        for padding in [0, 100] {
            let mut files = files.clone();
            files.insert(last_name.to_owned(), sealed.clone());
            let torn = [header[..len].to_vec(), vec![0; padding]].concat();
            files.insert(next.clone(), torn);
            let storage = MemStorage::from_files(files);
            let (log, report) = open(storage.clone());
            assert_eq!((report.last, report.tail_cut), (last_before, None), "{len}");
            assert_eq!(storage.files()[&next][..BATCHES_AT], header, "{len}: begun again");
            append(&log, last_before.0 + 1, 40, 2);
            assert_holds(&log, 40);
        }
    }
}

/// The last segment of a book.
trait Segments {
    fn last_key_value_of_segments(&self) -> (&str, &[u8]);
}

impl Segments for Files {
    fn last_key_value_of_segments(&self) -> (&str, &[u8]) {
        let last = self.iter().rfind(|(name, _)| name.ends_with(".seg")).unwrap();
        (last.0, last.1)
    }
}

#[test]
fn an_interrupted_creation_begins_again() {
    let storage = MemStorage::new();
    drop(open(storage.clone()));
    let files = storage.files();
    let segment = &files[FIRST_SEGMENT][..];
    let manifest = &files[super::MANIFEST][..];
    let mut cases: Vec<Vec<(&str, &[u8])>> = vec![vec![], vec![("MANIFEST.new", b"")]];
    for len in (0..=128).chain((128..=BATCHES_AT).step_by(62)) {
        cases.push(vec![(FIRST_SEGMENT, &segment[..len])]);
        cases.push(vec![
            (FIRST_SEGMENT, segment),
            ("MANIFEST.new", &manifest[..len.min(manifest.len())]),
        ]);
    }
    for case in cases {
        let named = case.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()));
        let storage = MemStorage::from_files(named.collect());
        let (log, report) = open(storage.clone());
        assert!(report.created, "{case:?}");
        append(&log, 1, 30, 2);
        drop(log);
        assert_holds(&open(storage).0, 30);
    }
}

#[test]
fn a_leftover_of_replacing_the_manifest_is_passed_over() {
    let mut files = super::closed_book(5);
    files.insert("MANIFEST.new".to_owned(), b"CFLBO".to_vec());
    let (log, report) = open(MemStorage::from_files(files));
    assert!(report.clean);
    assert_holds(&log, 5);
}

#[test]
fn a_cut_tail_is_gone() {
    let (files, ends) = book();
    let storage = MemStorage::from_files(files);
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    let last = ends[ends.len() - 1].1;
    let begin = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
    append(&log, last + 1, last + 40, u64::MAX);
    let mut files = storage.files();
    files.get_mut(FIRST_SEGMENT).unwrap()[begin] = 0;
    let storage = MemStorage::from_files(files);
    let reopen = || Log::open(storage.clone(), LogOptions::default()).unwrap();
    let (log, report) = reopen();
    assert!(report.tail_cut.is_some_and(|cut| cut.bytes > 2_000));
    append(&log, last + 1, last + 1, 1);
    drop(log);
    let (log, report) = reopen();
    assert_eq!(report.tail_cut, None, "what was cut does not come back behind a shorter batch");
    assert_holds(&log, last + 1);
}

#[test]
fn a_batch_that_a_record_carries_does_not_count_as_one_that_follows() {
    let (files, _) = book();
    let storage = MemStorage::new();
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    append(&log, 1, 4, 4);
    let begin = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
    // The first body of a record begins at an alignment, as every batch does.
    let mut record = super::numbered(5);
    record.events[0].body = files[FIRST_SEGMENT][..4_096].to_vec();
    log.append(record).unwrap();
    log.commit().unwrap();
    let mut files = storage.files();
    files.get_mut(FIRST_SEGMENT).unwrap()[begin] = 0;
    let (log, report) = open(MemStorage::from_files(files));
    assert!(report.tail_cut.is_some());
    assert_holds(&log, 4);
}
