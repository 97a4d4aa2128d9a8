//! Questions about the book as a whole.

use crate::engine::Engine;
use crate::error::Error;
use crate::metering::{Readings, read_at};
use crate::sequencer::Sequencer;
use counterfoil_billing::catalog::MeterId;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{Charge, Derivation, InvoiceId, InvoiceStatus};
use counterfoil_core::{Decimal12, Period, Refusal, Timestamp};
use counterfoil_journal::TrialBalance;
use counterfoil_meter::Position;
use counterfoil_model::{InvoiceView, Shard, State, UnbilledReason};

/// Usage that no invoice will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnbilledUsage {
    /// The meter.
    pub meter: MeterId,
    /// The customer.
    pub customer: CustomerId,
    /// The period it lies in.
    pub period: Period,
    /// How much.
    pub quantity: Decimal12,
    /// Why no invoice takes it.
    pub reason: UnbilledReason,
}

impl Engine {
    /// The balance of every account of the journal, with the revenue that is earned by an instant;
    /// by the book's time where none is given.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn trial_balance(&self, at: Option<Timestamp>) -> Result<TrialBalance, Error> {
        let at = match at {
            Some(at) => at,
            None => self.now()?.ok_or(Error::NoTime)?,
        };
        Ok(self.state()?.journal().trial_balance(at))
    }

    /// How many things happened: events of the book, and meter events that were taken.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn event_count(&self) -> Result<u64, Error> {
        self.read(|book| Ok(book.state.event_count().saturating_add(book.usage_events)))
    }

    /// Usage that was taken and that no invoice will take: it came too late, lies in a trial, or no
    /// subscription covers it. Usage is never dropped in silence (point 42).
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn unbilled_usage(&self) -> Result<Vec<UnbilledUsage>, Error> {
        self.read(unbilled)
    }
}

/// The id of the invoice with a number.
pub(crate) fn invoice_by_number(state: &State, number: &str) -> Result<InvoiceId, Error> {
    let invoices = state.shards().into_iter().flat_map(|shard| shard.invoices());
    let found = invoices.into_iter().find(|i| i.number.as_deref() == Some(number));
    let id = found.map(|invoice| invoice.id.clone());
    id.ok_or_else(|| Refusal::unknown("invoice", number).into())
}

/// A customer's invoices as they read now, oldest first.
pub(crate) fn invoices(book: &Sequencer, customer: &CustomerId) -> Result<Vec<InvoiceView>, Error> {
    let readings = Readings(&book.meters);
    let invoices = book.state.shard(customer)?.invoices();
    let views = invoices.into_iter().map(|i| Ok(book.state.view(&i.id, &readings)?));
    views.collect()
}

/// What the events of a period that came after a cut amount to by themselves; none where none came.
/// Cancelling what was billed is no usage that came late (rule 12.4).
fn came_after(
    book: &Sequencer,
    meter: &MeterId,
    customer: &str,
    period: Period,
    cut: Position,
) -> Result<Option<Decimal12>, Error> {
    let late = book.meters.late(meter, customer, period, cut)?.late;
    Ok((late.events > 0).then_some(late.quantity))
}

/// A period cut down to the seconds from its first event to its last.
fn narrowed(
    book: &Sequencer,
    meter: &MeterId,
    customer: &str,
    period: Period,
) -> Result<Period, Error> {
    let events = book.meters.events(meter, customer, period, Position::MAX)?;
    let seconds: Vec<Timestamp> = events.map(|event| event.time.second()).collect();
    let (Some(first), Some(last)) = (seconds.iter().min(), seconds.iter().max()) else {
        return Ok(period);
    };
    let after = last.checked_add_seconds(1).map_err(Refusal::from)?;
    Ok(Period::new(*first, after.min(period.end)))
}

/// A period of a customer on a meter, and what became of its usage.
#[derive(Debug, Clone, Copy)]
struct Covered {
    period: Period,
    cover: Cover,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cover {
    /// A finalized invoice read it up to a position.
    Billed(Position),
    /// A draft or a running period will take it.
    Awaited,
    /// It is free.
    Trial,
    /// The subscription was canceled before the period was over.
    Canceled,
}

pub(crate) fn unbilled(book: &Sequencer) -> Result<Vec<UnbilledUsage>, Error> {
    let mut found = Vec::new();
    for meter in book.state.meters() {
        for customer in book.meters.customers_with_usage(&meter.id) {
            let Ok(id) = CustomerId::new(&customer) else { continue };
            let shard = book.state.shard(&id)?;
            let covered = coverage(book, shard, &meter.id)?;
            for (period, reason, since) in gaps(&covered) {
                let left = match since {
                    Some(cut) => came_after(book, &meter.id, &customer, period, cut)?,
                    None => {
                        let reading = read_at(&book.meters, &meter.id, &id, period, Position::MAX)?;
                        (reading.events > 0).then_some(reading.quantity)
                    }
                };
                if let Some(quantity) = left {
                    let period = match reason {
                        // Outside every subscription there is no period to name.
                        UnbilledReason::NoSubscription => {
                            narrowed(book, &meter.id, &customer, period)?
                        }
                        UnbilledReason::Late | UnbilledReason::Trial | UnbilledReason::Canceled => {
                            period
                        }
                    };
                    let (meter, customer) = (meter.id.clone(), id.clone());
                    found.push(UnbilledUsage { meter, customer, period, quantity, reason });
                }
            }
        }
    }
    Ok(found)
}

/// What the customer's invoices and subscriptions do with the usage on a meter, by time.
fn coverage(book: &Sequencer, shard: &Shard, meter: &MeterId) -> Result<Vec<Covered>, Error> {
    let mut covered = Vec::new();
    for invoice in shard.invoices() {
        for charge in &invoice.charges {
            match charge {
                Charge::Usage(usage) if usage.meter == *meter => {
                    covered.push(Covered { period: usage.period, cover: Cover::Awaited });
                }
                Charge::Line(line) => {
                    // What a voided invoice had billed is not billed again by itself (rule 8.7).
                    if let Derivation::Metered { reading, .. } = &line.derivation
                        && reading.meter == *meter
                        && invoice.status != InvoiceStatus::Draft
                    {
                        let cover = Cover::Billed(Position(reading.position));
                        covered.push(Covered { period: line.period, cover });
                    }
                }
                _ => {}
            }
        }
    }
    for subscription in shard.subscriptions() {
        let on_meter = |item: &&counterfoil_billing::subscription::SubscriptionItem| {
            book.state.price(&item.price).is_ok_and(|price| price.meter() == Some(meter))
        };
        for item in subscription.items.iter().filter(on_meter) {
            if let Some(trial) = subscription.trial {
                covered.push(Covered { period: trial, cover: Cover::Trial });
            }
            let (start, end) = (item.period.start, item.period.end);
            covered.push(match subscription.ended_at {
                None => Covered { period: item.period, cover: Cover::Awaited },
                Some(at) => {
                    Covered { period: Period::new(start, at.min(end)), cover: Cover::Canceled }
                }
            });
        }
    }
    Ok(covered)
}

/// The periods whose usage no invoice takes, with the position up to which it was taken: the whole
/// of time is cut at every boundary, and each piece judged by the best cover that it has.
fn gaps(covered: &[Covered]) -> Vec<(Period, UnbilledReason, Option<Position>)> {
    let mut edges = vec![Timestamp::MIN, Timestamp::MAX];
    for Covered { period, .. } in covered {
        edges.extend([period.start, period.end]);
    }
    edges.sort_unstable();
    edges.dedup();
    let mut gaps: Vec<(Period, UnbilledReason, Option<Position>)> = Vec::new();
    for pair in edges.windows(2) {
        let [start, end] = pair else { continue };
        let piece = Period::new(*start, *end);
        let over = || covered.iter().filter(|c| c.period.contains(*start)).map(|c| c.cover);
        if over().any(|cover| cover == Cover::Awaited) {
            continue;
        }
        let billed = over().filter_map(|cover| match cover {
            Cover::Billed(position) => Some(position),
            _ => None,
        });
        let (reason, since) = match billed.max() {
            Some(position) => (UnbilledReason::Late, Some(position)),
            None if over().any(|cover| cover == Cover::Trial) => (UnbilledReason::Trial, None),
            None if over().any(|cover| cover == Cover::Canceled) => {
                (UnbilledReason::Canceled, None)
            }
            None => (UnbilledReason::NoSubscription, None),
        };
        // Pieces that one rule covers read as one period.
        match gaps.last_mut() {
            Some((last, other, cut))
                if last.end == piece.start && *other == reason && *cut == since =>
            {
                last.end = piece.end;
            }
            _ => gaps.push((piece, reason, since)),
        }
    }
    gaps
}
