//! What no crash explains is refused with its place, and nothing is changed.

use counterfoil_log::{
    Damage, DamageReason, Log, LogOptions, Lsn, MemStorage, OpenError, ReadError, verify,
};

use super::{
    BATCHES_AT, FIRST_SEGMENT, Files, HEADER, MANIFEST, SECOND_SEGMENT, append, closed_book,
    numbered, open, open_book, recorded, try_open,
};

/// Opens a book that must be refused, and checks that this changed nothing.
#[track_caller]
fn refused(files: &Files) -> Damage {
    let storage = MemStorage::from_files(files.clone());
    let error = match try_open(storage.clone()) {
        Ok((_, report)) => panic!("opened: {report:?}"),
        Err(error) => error,
    };
    assert_eq!(&storage.files(), files, "a refused book was changed");
    let OpenError::Damaged(damage) = error else { panic!("{error}") };
    let found = verify(&storage).unwrap();
    assert_eq!(&storage.files(), files, "verifying changed the book");
    assert!(found.damage.contains(&damage), "{damage}, but {:?}", found.damage);
    damage
}

/// Damage that may lie in a sealed segment, which opening does not read: verifying finds it, and
/// reading gives an error rather than a wrong record, of which the book had `last`.
#[track_caller]
fn found(files: &Files, last: u64) -> Damage {
    let storage = MemStorage::from_files(files.clone());
    let found = verify(&storage).unwrap();
    let damage = found.damage.first().expect("verifying finds it").clone();
    let Ok((log, _)) = try_open(storage) else {
        refused(files);
        return damage;
    };
    let mut expected = (1..=last).map(|n| recorded(n, numbered(n)));
    let error = log.read(Lsn(1)).find_map(|record| match record {
        Ok(record) => {
            assert_eq!(Some(record), expected.next());
            None
        }
        Err(error) => Some(error),
    });
    let all = expected.next().is_none();
    assert!(all || matches!(error, Some(ReadError::Damaged(_))), "{damage}: {error:?}");
    damage
}

/// Every bit of a file; of the long zeros in the header block of a segment one in 61, for time.
fn bits(bytes: &[u8]) -> impl Iterator<Item = usize> {
    let zeros = 256 * 8..(BATCHES_AT - 16) * 8;
    let segment = bytes.len() > BATCHES_AT;
    (0..bytes.len() * 8).filter(move |bit| !segment || !zeros.contains(bit) || bit % 61 == 0)
}

#[test]
fn every_flipped_bit_of_a_closed_book_is_refused() {
    let files = closed_book(8);
    assert!(files.len() == 3, "two segments are enough: {:?}", files.keys());
    for (name, bytes) in &files {
        for bit in bits(bytes) {
            let mut files = files.clone();
            files.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
            let damage = if name == FIRST_SEGMENT { found(&files, 8) } else { refused(&files) };
            assert!(damage.file == *name, "{name} bit {bit}: {damage}");
        }
    }
}

#[test]
fn every_shortened_file_of_a_closed_book_is_refused() {
    let files = closed_book(8);
    for (name, bytes) in &files {
        for len in bits(bytes).step_by(8).map(|bit| bit / 8) {
            let mut files = files.clone();
            files.get_mut(name).unwrap().truncate(len);
            refused(&files);
        }
        for more in [&[0][..], &[1], &[0; 600], &[7; 600]] {
            let mut files = files.clone();
            files.get_mut(name).unwrap().extend_from_slice(more);
            refused(&files);
        }
        let mut files = files.clone();
        files.remove(name);
        assert_eq!(refused(&files).reason, DamageReason::Missing, "{name}");
    }
}

#[test]
fn every_flipped_bit_before_the_last_batch_is_refused_in_a_book_that_was_not_closed() {
    let storage = MemStorage::new();
    let (log, _) = open(storage.clone());
    append(&log, 1, 2, 1);
    let before_last = usize::try_from(verify(&storage).unwrap().bytes).unwrap();
    append(&log, 3, 4, 2);
    let files = storage.files();
    assert!(!files.contains_key(SECOND_SEGMENT));
    for bit in bits(&files[FIRST_SEGMENT][..before_last]) {
        let mut files = files.clone();
        files.get_mut(FIRST_SEGMENT).unwrap()[bit / 8] ^= 1 << (bit % 8);
        let damage = refused(&files);
        assert!(damage.offset <= u64::try_from(bit / 8).unwrap(), "bit {bit}: {damage}");
    }
}

#[test]
fn a_broken_batch_before_a_whole_one_is_not_a_torn_tail() {
    let storage = MemStorage::new();
    let (log, _) = Log::open(storage.clone(), LogOptions::default()).unwrap();
    let mut begins = Vec::new();
    for n in 1..=5 {
        begins.push(verify(&storage).unwrap().bytes);
        append(&log, n, n, 1);
    }
    let files = storage.files();
    for (index, begin) in begins[..4].iter().enumerate() {
        let (from, to) = (usize::try_from(*begin).unwrap(), usize::try_from(begins[index + 1]));
        // zeroed as a whole, header zeroed, records zeroed
        for range in [from..to.unwrap(), from..from + HEADER, from + HEADER..to.unwrap()] {
            let mut files = files.clone();
            files.get_mut(FIRST_SEGMENT).unwrap()[range.clone()].fill(0);
            let damage = refused(&files);
            assert_eq!(damage.file, FIRST_SEGMENT);
            assert!(usize::try_from(damage.offset).unwrap() <= range.start, "{damage}");
            let found = verify(&MemStorage::from_files(files)).unwrap();
            assert_eq!((found.batches, found.last), (4, Lsn(5)), "behind it all is read");
        }
    }
}

#[test]
fn a_tail_below_the_place_known_to_be_synced_is_not_torn() {
    let storage = MemStorage::new();
    let options = LogOptions::default();
    let (log, _) = Log::open(storage.clone(), options.clone()).unwrap();
    append(&log, 1, 4, 1);
    let before_last = {
        let end = verify(&storage).unwrap().bytes;
        append(&log, 5, 5, 1);
        usize::try_from(end).unwrap()
    };
    drop(log);
    // Opening makes sure of all that is there, and says so in the manifest.
    drop(Log::open(storage.clone(), options).unwrap());
    let files = storage.files();
    for cut in [before_last, before_last + 1, before_last + 70] {
        let mut files = files.clone();
        files.get_mut(FIRST_SEGMENT).unwrap()[cut..].fill(0);
        refused(&files);
        let mut files = files.clone();
        files.get_mut(FIRST_SEGMENT).unwrap().truncate(cut);
        refused(&files);
    }
}

#[test]
fn pieces_at_the_wrong_place_are_refused() {
    let files = closed_book(20);
    let other = {
        let storage = MemStorage::new();
        let (log, _) = open(storage.clone());
        for n in 1..=20 {
            let mut record = numbered(n);
            record.at += 1;
            log.append(record).unwrap();
            if n % 2 == 0 {
                log.commit().unwrap();
            }
        }
        log.close().unwrap();
        storage.files()
    };
    assert!(files.keys().eq(other.keys()), "the books differ only in their records");
    let segment = |files: &Files, name: &str| files[name].clone();
    let first = segment(&files, FIRST_SEGMENT);
    let (batch, frame) = (BATCHES_AT, first.len());
    let mut cases: Vec<(&str, Files)> = Vec::new();
    let mut case = |what, change: &dyn Fn(&mut Files)| {
        let mut files = files.clone();
        change(&mut files);
        cases.push((what, files));
    };
    case("two segments swapped", &|files| {
        let (one, two) = (segment(files, FIRST_SEGMENT), segment(files, SECOND_SEGMENT));
        files.insert(FIRST_SEGMENT.to_owned(), two);
        files.insert(SECOND_SEGMENT.to_owned(), one);
    });
    case("a segment twice", &|files| {
        files.insert(SECOND_SEGMENT.to_owned(), segment(files, FIRST_SEGMENT));
    });
    case("a segment too many", &|files| {
        files.insert("0000000099.seg".to_owned(), segment(files, FIRST_SEGMENT));
    });
    case("an empty segment after the end", &|files| {
        let next = files.keys().filter(|name| name.ends_with(".seg")).count() + 1;
        files.insert(format!("{next:010}.seg"), Vec::new());
    });
    case("a sector of another book inside a batch", &|files| {
        let from = batch + HEADER;
        let piece = segment(&other, FIRST_SEGMENT)[from..from + 128].to_vec();
        files.get_mut(FIRST_SEGMENT).unwrap()[from..from + 128].copy_from_slice(&piece);
    });
    case("the records of another book under the header of a batch", &|files| {
        let from = batch + HEADER;
        let piece = segment(&other, FIRST_SEGMENT)[from..from + 448].to_vec();
        files.get_mut(FIRST_SEGMENT).unwrap()[from..from + 448].copy_from_slice(&piece);
    });
    case("bytes moved by one alignment", &|files| {
        let bytes = files.get_mut(FIRST_SEGMENT).unwrap();
        bytes.copy_within(batch..frame - 16, batch + 16);
    });
    for (what, files) in cases {
        let damage = found(&files, 20);
        assert!(!damage.to_string().is_empty(), "{what}");
    }
}

#[test]
fn a_directory_without_a_manifest_is_told_apart() {
    let check = |files: Files| try_open(MemStorage::from_files(files)).unwrap_err();
    let foreign = check(Files::from([("notes.txt".to_owned(), b"hello".to_vec())]));
    assert_eq!(foreign.to_string(), "not a book: it holds notes.txt and no MANIFEST");
    let mut files = open_book(4);
    files.remove(MANIFEST);
    assert!(matches!(
        check(files),
        OpenError::Damaged(Damage { file, reason: DamageReason::Missing, .. }) if file == MANIFEST
    ));
}

#[test]
fn damage_is_reported_in_words() {
    let mut files = closed_book(8);
    files.get_mut(SECOND_SEGMENT).unwrap()[BATCHES_AT] ^= 1;
    assert_eq!(
        refused(&files).to_string(),
        "0000000002.seg is damaged at byte 4096: no header stands where one must be"
    );
}
