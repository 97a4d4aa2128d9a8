//! Usage by dimension.

use super::read::range_of;
use super::{Aggregator, Position, UsageReading};
use crate::MeterError;
use crate::kernel::identity::Customer;
use counterfoil_core::{Id, Period, kind};
use std::collections::{BTreeMap, BTreeSet};

/// How usage is divided by dimensions, and which of it is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Breakdown<'a> {
    /// The dimensions whose values make groups; none: all is one group.
    pub by: &'a [&'a str],
    /// Dimensions and values that they are to have. Of several values for one dimension any will
    /// do.
    pub only: &'a [(&'a str, &'a str)],
}

impl<'a> Breakdown<'a> {
    /// Divided by dimensions.
    #[must_use]
    pub const fn by(by: &'a [&'a str]) -> Self {
        Self { by, only: &[] }
    }

    /// The same, of some values only.
    #[must_use]
    pub const fn only(mut self, only: &'a [(&'a str, &'a str)]) -> Self {
        self.only = only;
        self
    }
}

/// A breakdown with the places that its dimensions have on a meter.
struct Plan<'a> {
    by: Vec<usize>,
    only: BTreeMap<usize, BTreeSet<&'a str>>,
}

impl Plan<'_> {
    /// The group of a bucket; `None` for one that is not looked at.
    fn group(&self, values: &[&str]) -> Option<Vec<String>> {
        let value = |place: &usize| values.get(*place).copied().unwrap_or_default();
        let wanted = self.only.iter().all(|(place, wanted)| wanted.contains(value(place)));
        wanted.then(|| self.by.iter().map(|place| value(place).to_owned()).collect())
    }
}

impl Aggregator {
    /// What a customer used on a meter in a period, at a cut, by dimensions: a row for each
    /// combination of values of [`Breakdown::by`] under which an event counts. Each event is in
    /// exactly one row, so the rows of a sum or a count add up to the whole. On a meter of
    /// pre-aggregated input each combination of all its dimensions has windows of its own.
    ///
    /// # Errors
    /// [`MeterError::Unknown`], and [`MeterError::UnknownDimension`] for a dimension that the meter
    /// does not keep.
    pub fn usage_by(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        breakdown: Breakdown<'_>,
        cut: Position,
    ) -> Result<BTreeMap<Vec<String>, UsageReading>, MeterError> {
        self.grouped_since(meter, customer, period, breakdown, (0, cut))
    }

    /// What came after a position amounts to by itself, by dimensions: [`Aggregator::late`] for a
    /// part of the usage.
    ///
    /// # Errors
    /// As [`Aggregator::usage_by`].
    pub fn late_by(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        breakdown: Breakdown<'_>,
        billed_at: Position,
    ) -> Result<BTreeMap<Vec<String>, UsageReading>, MeterError> {
        let since = self.epoch_at(billed_at).map_or(0, |epoch| epoch.saturating_add(1));
        self.grouped_since(meter, customer, period, breakdown, (since, Position::MAX))
    }

    /// The same of what was received from an epoch on, up to a cut.
    fn grouped_since(
        &self,
        meter: &Id<kind::Meter>,
        customer: &str,
        period: Period,
        breakdown: Breakdown<'_>,
        (since, cut): (u32, Position),
    ) -> Result<BTreeMap<Vec<String>, UsageReading>, MeterError> {
        let number = self.number(meter)?;
        let plan = self.plan(meter, breakdown)?;
        let (range, position) = (range_of(period), self.position_at(cut));
        let Some(customer) = self.customers.find(Customer::of(customer)) else {
            return Ok(BTreeMap::new());
        };
        let mut groups = BTreeMap::<Vec<String>, BTreeSet<u32>>::new();
        for bucket in self.customers.buckets_of(customer) {
            let values: Vec<&str> = self.customers.values_of(bucket).collect();
            if let Some(group) = plan.group(&values) {
                groups.entry(group).or_default().insert(bucket);
            }
        }
        if self.config(meter).is_some_and(|config| config.dimensions.is_empty()) {
            groups = BTreeMap::from([(Vec::new(), BTreeSet::new())]);
        }
        let mut rows = BTreeMap::new();
        for (group, buckets) in groups {
            let wanted = |bucket| buckets.contains(&bucket);
            let Some(reading) = self.reading_where(number, customer, cut, wanted) else { continue };
            let (quantity, events) = reading.since(since).quantity(&range);
            if events > 0 {
                rows.insert(group, UsageReading { quantity, events, position });
            }
        }
        Ok(rows)
    }

    fn plan<'a>(
        &self,
        meter: &Id<kind::Meter>,
        breakdown: Breakdown<'a>,
    ) -> Result<Plan<'a>, MeterError> {
        let dimensions = self.config(meter).map(|config| config.dimensions.as_slice());
        let place = |name: &str| {
            let place = dimensions.unwrap_or_default().iter().position(|own| own == name);
            place.ok_or_else(|| MeterError::UnknownDimension {
                meter: meter.clone(),
                dimension: name.to_owned(),
            })
        };
        let by = breakdown.by.iter().map(|name| place(name)).collect::<Result<_, _>>()?;
        let mut only = BTreeMap::<usize, BTreeSet<&str>>::new();
        for (name, value) in breakdown.only {
            only.entry(place(name)?).or_default().insert(value);
        }
        Ok(Plan { by, only })
    }
}
