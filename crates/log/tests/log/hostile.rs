//! Hostile bytes: a book opens or is refused; nothing panics, nothing grows without bound.

use counterfoil_log::{
    MemStorage,
    fuzz::{files, open_hostile},
    verify,
};
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{BATCHES_AT, Files, HEADER, MANIFEST, closed_book, open_book, try_open};

/// The input that lays down these files; `how` as the function says.
pub(super) fn packed(how: u8, files: &Files) -> Vec<u8> {
    let mut bytes = vec![how];
    for (name, content) in files {
        let number = if name == MANIFEST { 0 } else { name[..10].parse().unwrap() };
        if number > 3 {
            continue;
        }
        bytes.push(number);
        bytes.extend_from_slice(&u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend_from_slice(content);
    }
    bytes
}

/// A change of some bytes.
#[derive(Clone, Debug)]
enum Change {
    Set(Index, u8),
    Word(Index, u32),
    Copy(Index, Index, u8),
    Cut(Index),
}

fn any_change() -> impl Strategy<Value = Change> {
    let word = prop_oneof![0_u32..200, Just(u32::MAX), Just(1 << 31), any::<u32>()];
    prop_oneof![
        4 => (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (any::<Index>(), word).prop_map(|(at, word)| Change::Word(at, word)),
        2 => (any::<Index>(), any::<Index>(), any::<u8>())
            .prop_map(|(from, to, len)| Change::Copy(from, to, len)),
        1 => any::<Index>().prop_map(Change::Cut),
    ]
}

fn apply(bytes: &mut Vec<u8>, change: &Change) {
    let room = bytes.len().saturating_sub(256);
    if room == 0 {
        return;
    }
    match change {
        Change::Set(at, byte) => {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
        Change::Word(at, word) => {
            let at = at.index(room) / 4 * 4 + 2;
            bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        Change::Copy(from, to, len) => {
            let from = from.index(room);
            bytes.copy_within(from..from + usize::from(*len), to.index(room));
        }
        Change::Cut(at) => bytes.truncate(at.index(bytes.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_bytes_open_or_are_refused(bytes in vec(any::<u8>(), 0..600)) {
        open_hostile(&bytes);
    }

    #[test]
    fn a_changed_book_opens_or_is_refused(
        closed in any::<bool>(),
        heal in any::<bool>(),
        changes in vec(any_change(), 0..6),
    ) {
        let files = if closed { closed_book(8) } else { open_book(8) };
        let how = if heal { 2 } else { 0 };
        let mut bytes = packed(how, &files);
        for change in &changes {
            apply(&mut bytes, change);
        }
        if let Some(first) = bytes.first_mut() {
            *first = how;
        }
        open_hostile(&bytes);
    }
}

#[test]
fn the_input_of_a_sound_book_is_that_book() {
    for how in [0, 2] {
        for book in [closed_book(8), open_book(8)] {
            let laid = files(&packed(how, &book));
            assert_eq!(laid, book, "how {how}");
            assert!(try_open(MemStorage::from_files(laid)).is_ok());
        }
    }
}

#[test]
fn healing_reaches_what_lies_behind_the_checksums() {
    // The number of entries of the first record, which its checksum covers.
    let at = BATCHES_AT + HEADER + 26;
    let mut book = closed_book(8);
    book.get_mut(super::FIRST_SEGMENT).unwrap()[at] = 200;
    for (how, expected) in [
        (0, "the checksum of the record is wrong"),
        (2, "the record is malformed: its sections do not fit its length"),
    ] {
        let bytes = packed(how, &book);
        open_hostile(&bytes);
        let damage = verify(&MemStorage::from_files(files(&bytes))).unwrap().damage;
        assert_eq!(damage[0].reason.to_string(), expected);
    }
}

#[test]
fn lengths_that_promise_more_than_there_is_allocate_nothing() {
    let (batch, record) = (BATCHES_AT, BATCHES_AT + HEADER);
    for at in [56, batch + 12, batch + 16, record + 4, record + 28] {
        for value in [u32::MAX, 1 << 31, 1 << 20] {
            let mut book = closed_book(8);
            let segment = book.get_mut(super::FIRST_SEGMENT).unwrap();
            segment[at..at + 4].copy_from_slice(&value.to_le_bytes());
            for how in [0, 2] {
                open_hostile(&packed(how, &book));
                let laid = files(&packed(how, &book));
                let found = verify(&MemStorage::from_files(laid)).unwrap();
                assert_ne!(found.damage, [], "{at} {value}");
            }
        }
    }
}
