//! Where the rows come from that are taken in.

use super::admit::check_length;
use super::judge::{Bench, Seat};
use super::place::{Queues, Seeker};
use super::take::{GONE, NO_METER, UNBUCKETED, UNNAMED};
use crate::block::Columns;
use crate::columns::Row;
use crate::kernel::events::{self, Event};
use crate::kernel::identity::{Identifier, Key};
use crate::value::Amount;
use crate::{EventColumns, EventRefusal};
use std::ops::Range;

/// Where rows come from: a batch that is judged, or a block that was.
pub(super) trait Rows: Sync {
    /// The meter of a row.
    fn meter(&self, row: usize) -> Option<u16>;
    /// Puts the rows that have a meter and an identifier into the queues; `subjects` are those of
    /// the range.
    fn seek(&self, key: &Key, rows: Range<usize>, subjects: &[u32], queues: &mut Queues<'_>);
    /// The identifier of a row as text, where it is one that is no number.
    fn text(&self, row: usize) -> Option<&str>;
    /// Time and millionths of a row, if nothing speaks against it.
    fn judge(&self, row: usize, subject: u32) -> Option<(i64, i64)>;
    /// The value of a row that is no millionths.
    fn wide(&self, row: usize) -> i128;
    /// Whether a row repeats an event; `None` where that is not asked, as a block is history.
    fn repeats(&self, row: usize, subject: u32, event: &Event, value: i128) -> Option<bool>;
}

/// A batch that is judged.
pub(super) struct Judged<'a> {
    pub(super) columns: EventColumns<'a>,
    pub(super) bench: Bench,
    /// Identifiers, times and millionths, where the batch has all of them as they are kept.
    plain: Option<(&'a [u128], &'a [i64], &'a [i64])>,
}

impl<'a> Judged<'a> {
    pub(super) fn new(columns: EventColumns<'a>, bench: Bench) -> Self {
        Self { plain: columns.plain(), columns, bench }
    }

    fn seat(&self, row: usize) -> Result<Seat, EventRefusal> {
        self.bench.seat(self.columns.name_of(row))
    }

    /// Why a row was refused.
    pub(super) fn cause(&self, row: usize, customer: u32) -> Option<EventRefusal> {
        let seat = match self.seat(row) {
            Ok(seat) => seat,
            Err(cause) => return Some(cause),
        };
        if let Some(Err(cause)) = self.columns.identifier_of(row).map(check_length) {
            return Some(cause);
        }
        if customer == UNBUCKETED {
            let (name, dimensions) = (self.columns.name_of(row), self.columns.dimensions());
            return self.bench.tuple(name, dimensions, row).err();
        }
        self.verdict(seat, &self.columns.row(row), customer).err()
    }

    fn verdict(
        &self,
        seat: Seat,
        row: &Row<'_>,
        customer: u32,
    ) -> Result<(i64, Amount), EventRefusal> {
        match customer {
            UNNAMED => return Err(EventRefusal::NoCustomer),
            // Which of its dimensions is to blame, `cause` says.
            UNBUCKETED => return Err(EventRefusal::MissingDimension { place: 0 }),
            GONE.. => return Err(EventRefusal::CustomerNotFound),
            _ => {}
        }
        Ok((self.bench.time(row)?, seat.amount(row)?))
    }
}

impl Rows for Judged<'_> {
    fn meter(&self, row: usize) -> Option<u16> {
        Some(self.bench.meter(self.columns.name_of(row)).0).filter(|&meter| meter != NO_METER)
    }

    #[inline(always)]
    fn seek(&self, key: &Key, rows: Range<usize>, subjects: &[u32], queues: &mut Queues<'_>) {
        if let Some((identifiers, times, units)) = self.plain
            && let (Some(identifiers), Some(times), Some(units)) =
                (identifiers.get(rows.clone()), times.get(rows.clone()), units.get(rows.clone()))
        {
            let columns = identifiers.iter().zip(times).zip(units).zip(subjects).zip(rows);
            for ((((&number, &time), &units), &subject), row) in columns {
                let (meter, valued) = self.bench.meter(self.columns.name_of(row));
                if meter == NO_METER {
                    continue;
                }
                let plain = valued
                    && subject < GONE
                    && units != events::WIDE
                    && self.bench.takes_time(time);
                let flags = if plain { Seeker::JUDGED } else { 0 };
                let identifier = key.identifier(meter, Identifier::Number(number));
                queues.push(key, row, meter, identifier, |own| {
                    (own.subject, own.flags, own.time, own.units) = (subject, flags, time, units);
                });
            }
            return;
        }
        for (row, &subject) in rows.zip(subjects) {
            let (meter, _) = self.bench.meter(self.columns.name_of(row));
            let given = self.columns.identifier_of(row);
            if let Some(given) = given.filter(|&given| check_length(given).is_ok())
                && meter != NO_METER
            {
                let identifier = key.identifier(meter, given);
                let flags = if self.columns.text_of(row).is_some() { Seeker::TEXT } else { 0 };
                queues.push(key, row, meter, identifier, |own| {
                    (own.subject, own.flags, own.time, own.units) = (subject, flags, 0, 0);
                });
            }
        }
    }

    #[inline(never)]
    fn text(&self, row: usize) -> Option<&str> {
        self.columns.text_of(row)
    }

    #[inline(never)]
    fn judge(&self, row: usize, subject: u32) -> Option<(i64, i64)> {
        let verdict = self.verdict(self.seat(row).ok()?, &self.columns.row(row), subject);
        verdict.ok().map(|(time, amount)| (time, amount.units))
    }

    #[cold]
    fn wide(&self, row: usize) -> i128 {
        let amount = self.seat(row).and_then(|seat| seat.amount(&self.columns.row(row)));
        amount.map_or(0, Amount::trillionths)
    }

    fn repeats(&self, row: usize, customer: u32, event: &Event, value: i128) -> Option<bool> {
        let seat = self.seat(row).ok()?;
        let row = self.columns.row(row);
        let number = if customer < UNBUCKETED { customer & !GONE } else { customer };
        Some(
            number == event.subject
                && row.time.is_none_or(|given| given.nanos() == event.time)
                && seat.amount(&row).is_ok_and(|amount| amount.trillionths() == value),
        )
    }
}

/// A block, with the numbers that its meters have here.
pub(super) struct Logged<'a> {
    pub(super) columns: &'a Columns,
    pub(super) meters: Vec<Option<u16>>,
}

impl Rows for Logged<'_> {
    #[inline(always)]
    fn meter(&self, row: usize) -> Option<u16> {
        self.meters.get(self.columns.meter_code(row)).copied().flatten()
    }

    #[inline(always)]
    fn seek(&self, key: &Key, rows: Range<usize>, subjects: &[u32], queues: &mut Queues<'_>) {
        for (row, &subject) in rows.zip(subjects) {
            let Some(meter) = self.meter(row) else { continue };
            let (Some(given), Some((time, units))) =
                (self.columns.identifier(row), self.judge(row, subject))
            else {
                continue;
            };
            let identifier = key.identifier(meter, given);
            let text = matches!(given, Identifier::Text(_)) && self.columns.text(row).is_some();
            let flags = Seeker::JUDGED | if text { Seeker::TEXT } else { 0 };
            queues.push(key, row, meter, identifier, |own| {
                (own.subject, own.flags, own.time, own.units) = (subject, flags, time, units);
            });
        }
    }

    #[inline(never)]
    fn text(&self, row: usize) -> Option<&str> {
        self.columns.text(row)
    }

    #[inline(always)]
    fn judge(&self, row: usize, _: u32) -> Option<(i64, i64)> {
        Some((self.columns.time(row)?, self.columns.units(row)?))
    }

    #[cold]
    fn wide(&self, row: usize) -> i128 {
        self.columns.amount(row).map_or(0, Amount::trillionths)
    }

    fn repeats(&self, _: usize, _: u32, _: &Event, _: i128) -> Option<bool> {
        None
    }
}
