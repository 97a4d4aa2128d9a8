//! Alerts on usage (rule 12.7): noticed when a block is taken in.

use super::read::Reading;
use super::{Aggregator, Position};
use crate::kernel::events::EventNo;
use crate::kernel::identity::Customer;
use crate::{AlertError, Formula};
use counterfoil_core::{Decimal12, Id, kind};
use std::collections::{BTreeMap, BTreeSet};

/// What an alert watches: the usage of each customer on a meter, or of one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct UsageThreshold {
    /// The meter.
    pub meter: Id<kind::Meter>,
    /// It goes off where usage is this or more.
    pub gte: Decimal12,
    /// The one customer that is watched; `None`: each.
    pub customer: Option<String>,
}

/// Whether an alert watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AlertStatus {
    /// It does.
    Active,
    /// It counts and is silent.
    Inactive,
    /// It never will again.
    Archived,
}

/// An alert that went off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertTriggered {
    /// The alert.
    pub alert: Id<kind::Alert>,
    /// Whose usage.
    pub customer: String,
    /// The usage since the alert was defined, after the block that set it off.
    pub value: Decimal12,
}

/// An alert as it is kept. Customers are numbers.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) meter: u16,
    pub(super) gte: Decimal12,
    pub(super) customer: Option<u32>,
    pub(super) status: AlertStatus,
    /// The first epoch whose events it counts.
    pub(super) since: u32,
    pub(super) fired: BTreeSet<u32>,
    /// Usage so far, in trillionths, where it is a sum or a count of events.
    running: BTreeMap<u32, i128>,
}

impl Alert {
    pub(super) fn new(meter: u16, gte: Decimal12, customer: Option<u32>, since: u32) -> Self {
        let status = AlertStatus::Active;
        let (fired, running) = (BTreeSet::new(), BTreeMap::new());
        Self { meter, gte, customer, status, since, fired, running }
    }
}

/// The alerts, and which of them watch what.
#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    pub(super) by_id: BTreeMap<Id<kind::Alert>, Alert>,
    /// By meter and customer.
    on: BTreeMap<(u16, Option<u32>), BTreeSet<Id<kind::Alert>>>,
}

impl Alerts {
    pub(super) fn add(&mut self, id: Id<kind::Alert>, alert: Alert) {
        self.on.entry((alert.meter, alert.customer)).or_default().insert(id.clone());
        self.by_id.insert(id, alert);
    }
}

/// What a block brought to a customer on a meter.
#[derive(Debug, Clone, Copy, Default)]
struct Brought {
    sum: i128,
    count: i128,
    /// Whether an event was adjusted, so that all has to be looked at again.
    adjusted: bool,
}

impl Aggregator {
    /// Defines an alert, active. It counts the events that are received from now on, by the meter's
    /// formula, of each customer over all its dimensions.
    ///
    /// For sums and counts it costs next to nothing; for the other formulas, and for pre-aggregated
    /// input, every block goes through all events of the customers that it has events of.
    ///
    /// # Errors
    /// [`AlertError::UnknownMeter`], [`AlertError::AlreadyDefined`], [`AlertError::NotPositive`],
    /// [`AlertError::Formula`] for a weighted sum, which is of a period only, and
    /// [`AlertError::Full`]; nothing changes.
    pub fn define_alert(
        &mut self,
        id: Id<kind::Alert>,
        threshold: &UsageThreshold,
    ) -> Result<(), AlertError> {
        if self.alerts.by_id.contains_key(&id) {
            return Err(AlertError::AlreadyDefined { alert: id });
        }
        let unknown = || AlertError::UnknownMeter { meter: threshold.meter.clone() };
        let meter = *self.by_id.get(&threshold.meter).ok_or_else(unknown)?;
        if threshold.gte <= Decimal12::ZERO {
            return Err(AlertError::NotPositive { gte: threshold.gte });
        }
        let formula = self.meter(meter).map(|meter| meter.config.formula);
        if formula == Some(Formula::WeightedSum) {
            return Err(AlertError::Formula);
        }
        let since = u32::try_from(self.epochs.len()).map_err(|_| AlertError::Full)?;
        let customer = match &threshold.customer {
            Some(text) => Some(self.customers.intern(Customer::of(text)).ok_or(AlertError::Full)?),
            None => None,
        };
        self.alerts.add(id, Alert::new(meter, threshold.gte, customer, since));
        Ok(())
    }

    /// Makes an alert active, and lets it go off again for every customer; one that is active is
    /// re-armed too.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn activate_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        let alert = self.living(id)?;
        alert.status = AlertStatus::Active;
        alert.fired.clear();
        Ok(())
    }

    /// Makes an alert silent. It goes on counting.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn deactivate_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        self.living(id)?.status = AlertStatus::Inactive;
        Ok(())
    }

    /// Makes an alert silent for ever.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn archive_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        let alert = self.living(id)?;
        alert.status = AlertStatus::Archived;
        alert.running.clear();
        Ok(())
    }

    /// Whether an alert watches; `None` for an unknown one.
    #[must_use]
    pub fn alert_status(&self, id: &Id<kind::Alert>) -> Option<AlertStatus> {
        self.alerts.by_id.get(id).map(|alert| alert.status)
    }

    fn living(&mut self, id: &Id<kind::Alert>) -> Result<&mut Alert, AlertError> {
        match self.alerts.by_id.get_mut(id) {
            None => Err(AlertError::Unknown { alert: id.clone() }),
            Some(alert) if alert.status == AlertStatus::Archived => {
                Err(AlertError::Archived { alert: id.clone() })
            }
            Some(alert) => Ok(alert),
        }
    }

    /// What the events of a block, and those that it adjusted, set off. Usage is compared once,
    /// after all of the block.
    pub(super) fn notice(
        &mut self,
        taken: impl Iterator<Item = EventNo>,
        adjusted: &[EventNo],
    ) -> Vec<AlertTriggered> {
        let mut triggered = Vec::new();
        if self.alerts.by_id.is_empty() {
            return triggered;
        }
        for ((meter, customer), brought) in self.brought(taken, adjusted) {
            let on = |customer| self.alerts.on.get(&(meter, customer)).into_iter().flatten();
            let ids: Vec<_> = on(None).chain(on(Some(customer))).cloned().collect();
            for id in ids {
                if let Some(value) = self.notice_one(&id, customer, brought) {
                    let customer = self.customers.get(customer).map(Customer::to_text);
                    let customer = customer.unwrap_or_default();
                    triggered.push(AlertTriggered { alert: id, customer, value });
                }
            }
        }
        triggered.sort();
        triggered
    }

    fn brought(
        &self,
        taken: impl Iterator<Item = EventNo>,
        adjusted: &[EventNo],
    ) -> BTreeMap<(u16, u32), Brought> {
        let watched: BTreeSet<u16> = self.alerts.on.keys().map(|(meter, _)| *meter).collect();
        let mut brought = BTreeMap::<(u16, u32), Brought>::new();
        let both = taken.map(|number| (number, false));
        for (number, is_adjusted) in both.chain(adjusted.iter().map(|&number| (number, true))) {
            let Some(event) = self.events.get(number) else { continue };
            if !watched.contains(&event.meter) {
                continue;
            }
            let customer = self.customers.customer_of(event.subject);
            let own = brought.entry((event.meter, customer)).or_default();
            own.sum = own.sum.saturating_add(self.events.value(number, event));
            own.count = own.count.saturating_add(Decimal12::SCALE);
            own.adjusted |= is_adjusted;
        }
        brought
    }

    /// Counts what a block brought; the usage where it sets the alert off.
    fn notice_one(
        &mut self,
        id: &Id<kind::Alert>,
        customer: u32,
        brought: Brought,
    ) -> Option<Decimal12> {
        let alert = self.alerts.by_id.get(id)?;
        let adds = match self.adds(alert.meter) {
            Some(Formula::Sum) if !brought.adjusted => Some(brought.sum),
            Some(Formula::Count) if !brought.adjusted => Some(brought.count),
            _ => None,
        };
        if alert.status == AlertStatus::Archived {
            return None;
        }
        let so_far = alert.running.get(&customer).copied().unwrap_or_default();
        let value = match adds {
            Some(more) => so_far.saturating_add(more),
            None => self.usage_since(alert, customer),
        };
        let keeps = self.adds(alert.meter).is_some();
        let alert = self.alerts.by_id.get_mut(id)?;
        if keeps {
            alert.running.insert(customer, value);
        }
        let fires = alert.status == AlertStatus::Active && value >= alert.gte.trillionths();
        (fires && alert.fired.insert(customer)).then(|| Decimal12::from_trillionths(value))
    }

    /// The formula of a meter where usage is what events add up to.
    fn adds(&self, meter: u16) -> Option<Formula> {
        let config = &self.meter(meter)?.config;
        let adds = matches!(config.formula, Formula::Sum | Formula::Count);
        (adds && config.event_time_window.is_none()).then_some(config.formula)
    }

    /// The usage that an alert counts, in trillionths, from the events.
    fn usage_since(&self, alert: &Alert, customer: u32) -> i128 {
        let reading = self.reading_where(alert.meter, customer, Position::MAX, |_| true);
        let reading = reading.map(|reading| Reading { since: alert.since, ..reading });
        let quantity = reading.map(|reading| reading.quantity(&(i64::MIN..i64::MAX)).0);
        quantity.unwrap_or_default().trillionths()
    }

    /// Makes what alerts count again from the events.
    pub(super) fn recount_alerts(&mut self) {
        let mut counted = Vec::new();
        for (id, alert) in &self.alerts.by_id {
            if self.adds(alert.meter).is_none() || alert.status == AlertStatus::Archived {
                continue;
            }
            let watched = |own: &u32| alert.customer.is_none_or(|customer| customer == *own);
            let customers = self.customers_on(alert.meter).into_iter().filter(watched);
            let running = customers.map(|own| (own, self.usage_since(alert, own))).collect();
            counted.push((id.clone(), running));
        }
        for (id, running) in counted {
            if let Some(alert) = self.alerts.by_id.get_mut(&id) {
                alert.running = running;
            }
        }
    }
}
