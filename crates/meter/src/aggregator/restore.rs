//! Events of a checkpoint on their way back in: those of one epoch at a time, as a batch goes in.

use super::checkpoint::EventRows;
use super::place::{Queues, Seeker};
use super::rows::Rows;
use crate::Strings;
use crate::kernel::events::Event;
use crate::kernel::identity::{Identifier, Key};
use std::ops::Range;

/// Rows that a call may have had for each one that is left of it. Fewer are read one by one.
const ROWS_EACH_MAX: usize = 8;
/// Fewer rows are read one by one.
const ROWS_MIN: usize = 16;

/// The events of an epoch in an archive. They are found by their places in the call that took them.
pub(super) struct Run<'a> {
    pub(super) rows: &'a EventRows,
    pub(super) texts: Strings<'a>,
    /// Where they are in the archive.
    pub(super) range: Range<usize>,
}

impl Run<'_> {
    /// Their places in their call, ascending.
    fn receipts(&self) -> &[u32] {
        self.rows.rows.get(self.range.clone()).unwrap_or_default()
    }

    /// How many rows their call had, at least.
    pub(super) fn len(&self) -> usize {
        let last = self.receipts().last().and_then(|&last| usize::try_from(last).ok());
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Whether to go through all rows that their call had takes less than to read each alone.
    pub(super) fn is_dense(&self) -> bool {
        let rows = self.range.len();
        rows >= ROWS_MIN && self.len() <= rows.saturating_mul(ROWS_EACH_MAX)
    }

    /// Where in the archive the rows of a range of their call are.
    fn archived(&self, rows: &Range<usize>) -> Range<usize> {
        let receipts = self.receipts();
        let below = |end: usize| {
            let own = receipts.partition_point(|&row| usize::try_from(row).is_ok_and(|r| r < end));
            self.range.start.saturating_add(own)
        };
        below(rows.start)..below(rows.end)
    }

    /// Where in the archive a row of their call is.
    fn place(&self, row: usize) -> Option<u32> {
        let own = self.receipts().binary_search(&u32::try_from(row).ok()?).ok()?;
        u32::try_from(self.range.start.saturating_add(own)).ok()
    }
}

impl Rows for Run<'_> {
    fn meter(&self, row: usize) -> Option<u16> {
        let place = usize::try_from(self.place(row)?).ok()?;
        self.rows.meters.get(place).copied()
    }

    fn seek(&self, key: &Key, rows: Range<usize>, _: &[u32], queues: &mut Queues<'_>) {
        let archived = self.archived(&rows);
        let EventRows { rows, meters, customers, times, units, numbers, text_rows, .. } = self.rows;
        let place = |row: u32| usize::try_from(row).unwrap_or(usize::MAX);
        let first = text_rows.partition_point(|&row| place(row) < archived.start);
        let mut texts = (first..).zip(text_rows.iter().skip(first)).peekable();
        for at in archived {
            let (Some(&row), Some(&meter), Some(&number)) =
                (rows.get(at), meters.get(at), numbers.get(at))
            else {
                return;
            };
            let (Some(&subject), Some(&time), Some(&units)) =
                (customers.get(at), times.get(at), units.get(at))
            else {
                return;
            };
            let text = texts.next_if(|(_, row)| place(**row) == at);
            let (given, flags) = match text.and_then(|(text, _)| self.texts.get(text)) {
                Some(text) => (Identifier::Text(text), Seeker::JUDGED | Seeker::TEXT),
                None => (Identifier::Number(number), Seeker::JUDGED),
            };
            queues.push(key, place(row), meter, key.identifier(meter, given), |own| {
                (own.subject, own.flags, own.time, own.units) = (subject, flags, time, units);
            });
        }
    }

    fn text(&self, row: usize) -> Option<&str> {
        let text = self.rows.text_rows.binary_search(&self.place(row)?).ok()?;
        self.texts.get(text)
    }

    fn judge(&self, row: usize, _: u32) -> Option<(i64, i64)> {
        let place = usize::try_from(self.place(row)?).ok()?;
        Some((*self.rows.times.get(place)?, *self.rows.units.get(place)?))
    }

    fn wide(&self, row: usize) -> i128 {
        let wide = self.place(row).and_then(|place| self.rows.wide_rows.binary_search(&place).ok());
        wide.and_then(|wide| self.rows.wide.get(wide).copied()).unwrap_or_default()
    }

    fn repeats(&self, _: usize, _: u32, _: &Event, _: i128) -> Option<bool> {
        None
    }
}
