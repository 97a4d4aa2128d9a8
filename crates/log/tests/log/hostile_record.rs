//! Hostile bytes in the place of a record: refused, or just as a writer writes them.

use counterfoil_log::fuzz::record_hostile;
use proptest::{collection::vec, prelude::*, sample::Index};

use super::{BATCHES_AT, FIRST_SEGMENT, HEADER, closed_book};

/// The first records of a book, after a byte that says how.
fn records(how: u8) -> Vec<u8> {
    let book = closed_book(8);
    let segment = &book[FIRST_SEGMENT][BATCHES_AT + HEADER..];
    [&[how], &segment[..segment.len().min(2_000)]].concat()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_048))]

    #[test]
    fn any_bytes_are_refused_or_a_record(bytes in vec(any::<u8>(), 0..300)) {
        record_hostile(&bytes);
    }

    #[test]
    fn a_changed_record_is_refused_or_another_one(
        how in 0_u8..2,
        changes in vec((any::<Index>(), prop_oneof![any::<u8>(), 0_u8..40]), 0..5),
        cut in any::<Index>(),
    ) {
        let mut bytes = records(how);
        for (at, byte) in changes {
            // Mostly the header and the table, where lengths are.
            let at = 1 + at.index(160);
            bytes[at] = byte;
        }
        if cut.index(4) == 0 {
            bytes.truncate(cut.index(bytes.len()));
        }
        record_hostile(&bytes);
    }
}

#[test]
fn a_record_of_a_book_is_written_as_it_was_read() {
    record_hostile(&records(0));
    record_hostile(&[]);
    // What stands at the reserved byte of the header is refused although the checksum is right.
    let mut bytes = records(1);
    bytes[1 + 25] = 1;
    record_hostile(&bytes);
}
