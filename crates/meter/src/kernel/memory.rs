//! What the aggregator tells the machine about its memory: the one place of the crate that is
//! `unsafe`. Neither call reads or writes anything that a program can see.
//!
//! A lookup in a table of gigabytes waits for memory, and most of the time of ingest is such
//! waiting. Asked for some tens of events ahead, the lines of many events are on their way at once;
//! on large pages, the processor finds out where a line is without reading memory for that too.

/// Asks for the line that holds the first bytes of a place. Where the processor has no such
/// instruction, nothing happens.
#[inline(always)]
pub(super) fn prefetch<T>(place: &T) {
    #[cfg(target_arch = "x86_64")]
    #[expect(unsafe_code, reason = "no safe instruction asks for memory ahead")]
    // SAFETY: every x86-64 has the instruction, which reads and writes nothing that a program can
    // see, and the address is that of a live reference besides.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(std::ptr::from_ref(place).cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = place;
}

/// Asks for every line of a place that may lie across two.
#[inline(always)]
pub(super) fn prefetch_both<T>(place: &T, last: &impl Sized) {
    prefetch(place);
    prefetch(last);
}

/// The words of 16 bits that equal one, a bit for each, the lowest first.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
pub(super) fn equal_words(words: [u64; 3], word: u16) -> u32 {
    use std::arch::x86_64::{
        _mm_cmpeq_epi16, _mm_cvtsi64_si128, _mm_movemask_epi8, _mm_packs_epi16, _mm_set_epi64x,
        _mm_set1_epi16,
    };
    let [first, second, third] = words.map(u64::cast_signed);
    #[expect(unsafe_code, reason = "the instructions are asked for by name")]
    // SAFETY: every x86-64 has SSE2, and the calls take and give values.
    let equal = unsafe {
        let all = _mm_set1_epi16(word.cast_signed());
        let first = _mm_cmpeq_epi16(_mm_set_epi64x(second, first), all);
        let third = _mm_cmpeq_epi16(_mm_cvtsi64_si128(third), all);
        _mm_movemask_epi8(_mm_packs_epi16(first, third))
    };
    equal.cast_unsigned() & 0xfff
}

/// Asks the system to back the memory of a vector with large pages, as far as it has not been
/// touched. Where it has none, or the vector is too small for one, nothing happens.
pub(super) fn ask_for_large_pages<T>(rows: &Vec<T>) {
    #[cfg(target_os = "linux")]
    {
        const PAGE: usize = 4096;
        const LARGE: usize = 2 << 20;
        let start = rows.as_ptr().addr();
        let end = start.saturating_add(rows.capacity().saturating_mul(size_of::<T>()));
        let first = start.next_multiple_of(PAGE);
        let len = end.saturating_sub(first);
        let len = len.saturating_sub(len % PAGE);
        if len >= LARGE {
            #[expect(unsafe_code, reason = "the system is told by a call of C")]
            // SAFETY: the range lies within one allocation that is alive, and the advice changes
            // neither what it holds nor what may be done with it.
            unsafe {
                libc::madvise(std::ptr::without_provenance_mut(first), len, libc::MADV_HUGEPAGE);
            }
        }
    }
    #[cfg(not(target_os = "linux"))]
    let _ = rows;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_place_may_be_asked_for() {
        prefetch(&());
        prefetch(&[0_u8; 3]);
        let many = vec![7_u64; 4096];
        many.iter().for_each(|word| prefetch_both(word, word));
        assert!(many.iter().all(|&word| word == 7));
    }

    #[test]
    fn memory_is_what_it_was_when_pages_were_asked_for() {
        for room in [0, 1, 1 << 10, 5 << 20] {
            let mut rows: Vec<u8> = Vec::with_capacity(room);
            rows.resize(room / 2, 3);
            ask_for_large_pages(&rows);
            rows.resize(room, 4);
            assert!(rows.iter().take(room / 2).all(|&byte| byte == 3));
            assert!(rows.iter().skip(room / 2).all(|&byte| byte == 4));
        }
    }
}
