//! Questions about the book as a whole.

mod page;
mod receivables;
mod recurring;
mod revenue;

pub use page::{InvoiceFilter, Page, PageRequest, SubscriptionFilter, TimeRange};
pub use receivables::{Age, Receivable, Receivables};
pub use recurring::{RecurringMonth, RecurringNow, RecurringRevenue};
pub use revenue::RevenueMonth;

use crate::engine::Engine;
use crate::error::Error;
use crate::metering::Readings;
use crate::sequencer::Sequencer;
use counterfoil_billing::catalog::{MeterId, Price, PriceId};
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{Charge, Derivation, InvoiceId, InvoiceStatus};
use counterfoil_billing::meter::Meter;
use counterfoil_billing::subscription::SubscriptionStatus;
use counterfoil_core::{Decimal12, Period, Refusal, Timestamp};
use counterfoil_journal::TrialBalance;
use counterfoil_meter::{Breakdown, Position, UsageEvent};
use counterfoil_model::{InvoiceView, Shard, State, UnbilledReason};
use std::collections::BTreeMap;

/// Usage that no invoice will take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnbilledUsage {
    /// The meter.
    pub meter: MeterId,
    /// The customer.
    pub customer: CustomerId,
    /// The period it lies in.
    pub period: Period,
    /// The values of its dimensions, where a price of the meter selects by them; all usage else.
    pub dimensions: BTreeMap<String, String>,
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
    let heads = state.shards().into_iter().flat_map(|shard| shard.invoice_heads());
    let mut likely = heads.filter(|head| head.may_have_number(number));
    let is_it = |id: &InvoiceId| {
        state.invoice(id).is_ok_and(|invoice| invoice.number.as_deref() == Some(number))
    };
    let found = likely.find(|head| is_it(head.id)).map(|head| head.id.clone());
    found.ok_or_else(|| Refusal::unknown("invoice", number).into())
}

/// A customer's invoices as they read now, oldest first.
pub(crate) fn invoices(book: &Sequencer, customer: &CustomerId) -> Result<Vec<InvoiceView>, Error> {
    let readings = Readings(&book.meters);
    let mut heads: Vec<_> = book.state.shard(customer)?.invoice_heads().collect();
    heads.sort_by_key(|head| head.seq);
    let views = heads.into_iter().map(|head| Ok(book.state.view(head.id, &readings)?));
    views.collect()
}

/// What the events of a period that came after a cut amount to by themselves; none where none came.
/// Cancelling what was billed is no usage that came late (rule 12.4).
fn came_after(
    book: &Sequencer,
    (meter, customer, bucket): (&MeterId, &str, &Bucket),
    period: Period,
    cut: Position,
) -> Result<Option<Decimal12>, Error> {
    if bucket.is_empty() {
        let late = book.meters.late(meter, customer, period, cut)?.late;
        return Ok((late.events > 0).then_some(late.quantity));
    }
    let only = only(bucket);
    let breakdown = Breakdown::default().only(&only);
    let late = book.meters.late_by(meter, customer, period, breakdown, cut)?;
    Ok(late.into_values().next().map(|late| late.quantity))
}

/// What was used in a period; none where nothing was.
fn used(
    book: &Sequencer,
    (meter, customer, bucket): (&MeterId, &str, &Bucket),
    period: Period,
) -> Result<Option<Decimal12>, Error> {
    let only = only(bucket);
    let breakdown = Breakdown::default().only(&only);
    let rows = book.meters.usage_by(meter, customer, period, breakdown, Position::MAX)?;
    Ok(rows.into_values().next().map(|row| row.quantity))
}

/// Values of all dimensions of a meter; empty where all usage is looked at as one.
type Bucket = BTreeMap<String, String>;

fn only(bucket: &Bucket) -> Vec<(&str, &str)> {
    bucket.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

/// How the usage of a customer on a meter is looked at: as one, or by all dimensions where a price
/// selects by any of them.
fn buckets(book: &Sequencer, meter: &Meter, customer: &str) -> Result<Vec<Bucket>, Error> {
    let selective =
        |price: &Price| price.meter() == Some(&meter.id) && price.dimensions().next().is_some();
    if !book.state.prices().any(selective) {
        return Ok(vec![Bucket::new()]);
    }
    let names: Vec<&str> = meter.dimensions.iter().map(String::as_str).collect();
    let (ever, by) = (Period::new(Timestamp::MIN, Timestamp::MAX), Breakdown::by(&names));
    let rows = book.meters.usage_by(&meter.id, customer, ever, by, Position::MAX)?;
    let bucket = |values: Vec<String>| meter.dimensions.iter().cloned().zip(values).collect();
    Ok(rows.into_keys().map(bucket).collect())
}

/// A period cut down to the seconds from its first event to its last.
fn narrowed(
    book: &Sequencer,
    (meter, customer, bucket): (&Meter, &str, &Bucket),
    period: Period,
) -> Result<Period, Error> {
    let events = book.meters.events(&meter.id, customer, period, Position::MAX)?;
    let is_own = |event: &UsageEvent<'_>| {
        let mut values = meter.dimensions.iter().zip(&event.dimensions);
        bucket.is_empty()
            || values.all(|(name, value)| bucket.get(name).is_some_and(|own| own == value))
    };
    let events = events.filter(is_own);
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
    /// A change of its item dropped it.
    Dropped,
    /// The subscription was paused.
    Paused,
}

pub(crate) fn unbilled(book: &Sequencer) -> Result<Vec<UnbilledUsage>, Error> {
    let mut found = Vec::new();
    for meter in book.state.meters() {
        let mut shards = Vec::new();
        for customer in book.meters.customers_with_usage(&meter.id) {
            let Ok(id) = CustomerId::new(&customer) else { continue };
            shards.push(book.state.shard(&id)?);
        }
        // In the order of creation: nothing depends on the spelling of ids (point 54).
        shards.sort_by_key(|shard| shard.customer().seq);
        for shard in shards {
            for bucket in buckets(book, meter, shard.customer().id.as_str())? {
                unbilled_of(book, (meter, shard, &bucket), &mut found)?;
            }
        }
    }
    Ok(found)
}

fn unbilled_of(
    book: &Sequencer,
    (meter, shard, bucket): (&Meter, &Shard, &Bucket),
    found: &mut Vec<UnbilledUsage>,
) -> Result<(), Error> {
    let id = &shard.customer().id;
    let of = (&meter.id, id.as_str(), bucket);
    let covered = coverage(book, shard, &meter.id, bucket)?;
    for (period, reason, since) in gaps(&covered) {
        let left = match since {
            Some(cut) => came_after(book, of, period, cut)?,
            None => used(book, of, period)?,
        };
        let Some(quantity) = left else { continue };
        let period = match reason {
            // Outside every subscription there is no period to name.
            UnbilledReason::NoSubscription => narrowed(book, (meter, id.as_str(), bucket), period)?,
            UnbilledReason::Late
            | UnbilledReason::Trial
            | UnbilledReason::Canceled
            | UnbilledReason::Changed
            | UnbilledReason::Paused => period,
        };
        let (meter, customer) = (meter.id.clone(), id.clone());
        let dimensions = bucket.clone();
        found.push(UnbilledUsage { meter, customer, period, dimensions, quantity, reason });
    }
    Ok(())
}

/// What the customer's invoices and subscriptions do with the usage on a meter, by time.
fn coverage(
    book: &Sequencer,
    shard: &Shard,
    meter: &MeterId,
    bucket: &Bucket,
) -> Result<Vec<Covered>, Error> {
    let mut covered = Vec::new();
    let selects = |price: &PriceId| book.state.price(price).is_ok_and(|own| own.selects(bucket));
    for invoice in shard.invoices() {
        for charge in &invoice.charges {
            match charge {
                Charge::Usage(usage) | Charge::LateUsage(usage)
                    if usage.meter == *meter && selects(&usage.price) =>
                {
                    covered.push(Covered { period: usage.period, cover: Cover::Awaited });
                }
                Charge::Line(line) => {
                    // What a voided invoice had billed is not billed again by itself (rule 8.7).
                    if let Some(reading) = line.derivation.reading()
                        && reading.meter == *meter
                        && line.price.as_ref().is_none_or(selects)
                        && invoice.status != InvoiceStatus::Draft
                    {
                        let taken = |id| {
                            let owner = book.state.subscription(id);
                            owner.is_ok_and(|s| book.state.takes_late_usage(s, line.period.end))
                        };
                        let cover = match &invoice.subscription {
                            Some(id) if invoice.status != InvoiceStatus::Void && taken(id) => {
                                Cover::Awaited
                            }
                            _ => Cover::Billed(Position(reading.position)),
                        };
                        covered.push(Covered { period: line.period, cover });
                    }
                }
                _ => {}
            }
        }
    }
    for item in shard.invoice_items() {
        // Usage of an item that was removed: read when it was, and billed with the invoice item.
        if let Some(Derivation::Metered { reading, .. }) = &item.derivation
            && reading.meter == *meter
            && item.price.as_ref().is_none_or(selects)
        {
            let cover = Cover::Billed(Position(reading.position));
            covered.push(Covered { period: item.period, cover });
        }
    }
    for subscription in shard.subscriptions() {
        for closed in &subscription.closed_usage {
            let (usage, ended) = (&closed.charge, subscription.ended_at.is_some());
            if usage.meter == *meter && selects(&usage.price) {
                let cover = match (closed.dropped, ended) {
                    (true, _) => Cover::Dropped,
                    (false, true) => Cover::Canceled,
                    (false, false) => Cover::Awaited,
                };
                covered.push(Covered { period: usage.period, cover });
            }
        }
        let on_meter = |item: &&counterfoil_billing::subscription::SubscriptionItem| {
            book.state
                .price(&item.price)
                .is_ok_and(|price| price.meter() == Some(meter) && price.selects(bucket))
        };
        for item in subscription.items.iter().filter(on_meter) {
            if let Some(trial) = subscription.trial {
                covered.push(Covered { period: trial, cover: Cover::Trial });
            }
            for pause in &subscription.pauses {
                let period = Period::new(pause.start, pause.end.unwrap_or(Timestamp::MAX));
                covered.push(Covered { period, cover: Cover::Paused });
            }
            // Its items have no period that counts.
            if subscription.status == SubscriptionStatus::Paused {
                continue;
            }
            let period = item.usage_period();
            covered.push(match subscription.ended_at {
                None => Covered { period, cover: Cover::Awaited },
                Some(at) => {
                    let end = at.min(period.end);
                    Covered { period: Period::new(period.start, end), cover: Cover::Canceled }
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
            None if over().any(|cover| cover == Cover::Dropped) => (UnbilledReason::Changed, None),
            None if over().any(|cover| cover == Cover::Paused) => (UnbilledReason::Paused, None),
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
