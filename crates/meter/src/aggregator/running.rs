//! What a customer has used so far, on all meters in one call.

use super::read::{Reading, range_of};
use super::{Aggregator, Position, UsageTotals};
use crate::kernel::events::EventNo;
use crate::kernel::identity::Customer;
use crate::kernel::usage::part_of;
use counterfoil_core::{Decimal12, Id, Period, kind};
use std::ops::Range;

impl Aggregator {
    /// A customer's totals of a period on each meter that has events of it in there, in the order
    /// in which meters were defined, at a cut. Unlike [`Aggregator::totals`] it goes through no
    /// event for what a meter does not keep: of largest, smallest and last value, those that
    /// neither its formula nor [`MeterConfig::also`](crate::MeterConfig::also) keeps are `None`.
    ///
    /// ```
    /// # use counterfoil_core::{Id, Period, Timestamp};
    /// # use counterfoil_meter::{AdmitContext, Aggregator, Anyone, DedupePolicy, EventBatch};
    /// # use counterfoil_meter::{Formula, MeterConfig, Position};
    /// let mut meters = Aggregator::new(DedupePolicy::default());
    /// let calls = MeterConfig::new("api_call", Formula::Sum).also(Formula::Max);
    /// meters.define(Id::new("mtr_calls")?, calls)?;
    /// meters.define(Id::new("mtr_seats")?, MeterConfig::new("seat", Formula::Last))?;
    /// let mut batch = EventBatch::new("api_call");
    /// batch.push(Some("req_1"), Some("cus_ada"), None, Some("2.5"))?;
    /// let now = Timestamp::parse("2025-03-15T12:00:00Z")?;
    /// meters.take(Position(1), batch.columns(), &AdmitContext::new(now, &Anyone));
    ///
    /// let march = Period::new(Timestamp::parse("2025-03-01T00:00:00Z")?, Timestamp::MAX);
    /// let totals: Vec<_> = meters.running_totals("cus_ada", march, Position::MAX).collect();
    /// let [(meter, calls)] = totals[..] else { panic!("one meter has events") };
    /// assert_eq!((meter.as_str(), calls.events), ("mtr_calls", 1));
    /// assert_eq!((calls.max, calls.last), (Some("2.5".parse()?), None));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn running_totals(
        &self,
        customer: &str,
        period: Period,
        cut: Position,
    ) -> impl Iterator<Item = (&Id<kind::Meter>, UsageTotals)> {
        let customer = self.customers.find(Customer::of(customer));
        let range = range_of(period);
        // All misses of the memory at once, and not one meter's after the other's.
        if let Some(customer) = customer
            && let Some(part) = self.usage.get(part_of(customer))
        {
            part.prefetch_totals(customer, &self.events);
        }
        let meters = self.meters.get(..).filter(|_| customer.is_some()).unwrap_or_default();
        (0..).zip(meters).filter_map(move |(number, meter)| {
            let totals = self.reading_where(number, customer?, cut, |_| true)?.kept(&range);
            (totals.events > 0).then_some((&meter.id, totals))
        })
    }
}

impl Reading<'_> {
    /// Totals without what is not kept.
    fn kept(&self, range: &Range<i64>) -> UsageTotals {
        let (sums, lanes) = (self.sums(range), self.meter.lanes);
        let extreme = sums.extreme.filter(|_| lanes.extreme()).map(Decimal12::from_trillionths);
        let last = sums.last.filter(|_| lanes.last()).and_then(|(_, _, number)| {
            let event = self.of.events.get(EventNo(number))?;
            let value = self.of.events.value_at(EventNo(number), event, self.epoch);
            Some(Decimal12::from_trillionths(value))
        });
        UsageTotals {
            events: sums.count,
            sum: Decimal12::from_trillionths(sums.sum),
            max: extreme.filter(|_| !lanes.min()),
            min: extreme.filter(|_| lanes.min()),
            last,
        }
    }
}
