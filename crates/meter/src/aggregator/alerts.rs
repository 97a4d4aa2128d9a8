//! Alerts on usage (rule 12.7): noticed when a block is taken in.
//!
//! For each customer that an alert has seen there is a slot with its usage so far. An event adds to
//! the slots of the alerts on its meter; a slot that is at the threshold is looked at again when the
//! block is through. A meter without alerts is passed over.

use super::read::{Reading, mean};
use super::rows::Rows;
use super::take::{CUSTOMERS_MAX, number_of};
use super::{Aggregator, Position};
use crate::kernel::events::EventNo;
use crate::kernel::identity::Customer;
use crate::kernel::index::Index;
use crate::{AlertError, Block, Formula, MeterConfig};
use counterfoil_core::{Decimal12, Id, kind, limits};
use std::collections::BTreeMap;
use std::sync::atomic::AtomicU32;

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

impl AlertStatus {
    /// A status as one byte, wherever it is kept.
    pub(super) const fn code(self) -> u8 {
        match self {
            Self::Active => 0,
            Self::Inactive => 1,
            Self::Archived => 2,
        }
    }

    /// The status of a code.
    pub(super) fn of_code(code: u8) -> Option<Self> {
        [Self::Active, Self::Inactive, Self::Archived].get(usize::from(code)).copied()
    }
}

/// An alert that went off.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct AlertTriggered {
    /// The alert.
    pub alert: Id<kind::Alert>,
    /// Whose usage.
    pub customer: String,
    /// On which meter.
    pub meter: Id<kind::Meter>,
    /// The usage since the alert was defined, after the block that set it off.
    pub value: Decimal12,
    /// The position of that block.
    pub position: Position,
}

/// What a block may set off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct AlertsAtMost {
    /// How many alerts.
    pub alerts: usize,
    /// Bytes that the ids of an alert and its meter have together, at most.
    pub id_bytes: usize,
}

/// An alert as it is kept. Customers are numbers.
#[derive(Debug, Clone)]
pub(super) struct Alert {
    pub(super) id: Id<kind::Alert>,
    pub(super) meter: u16,
    pub(super) gte: Decimal12,
    pub(super) customer: Option<u32>,
    pub(super) status: AlertStatus,
    /// The first epoch whose events it counts.
    pub(super) since: u32,
    /// The customers that it went off for since it was armed, with usage and position then.
    pub(super) fired: BTreeMap<u32, (Decimal12, Position)>,
    pub(super) slots: Slots,
}

impl Alert {
    pub(super) fn new(id: Id<kind::Alert>, meter: u16, gte: Decimal12, since: u32) -> Self {
        let (fired, slots) = (BTreeMap::new(), Slots::default());
        Self { id, meter, gte, customer: None, status: AlertStatus::Active, since, fired, slots }
    }
}

/// Usage of customers, by customer.
#[derive(Debug, Clone, Default)]
pub(super) struct Slots {
    index: Index,
    pub(super) rows: Vec<Slot>,
}

/// What a customer used since an alert was defined.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    pub(super) customer: u32,
    /// Whether it is to be looked at when the block is through.
    noted: bool,
    /// Whether the alert went off for it since it was armed.
    pub(super) fired: bool,
    pub(super) tally: Tally,
}

const _: () = assert!(size_of::<Slot>() == 48);

impl Slots {
    fn find(&self, customer: u32) -> Option<usize> {
        let own = |row: u32| self.rows.get(place(row)).is_some_and(|row| row.customer == customer);
        self.index.find(spread(customer), own).map(place)
    }

    /// The slot of a customer, which is made where there is none; `None` where no number is left.
    pub(super) fn of(&mut self, customer: u32) -> Option<(usize, &mut Slot)> {
        let found = match self.find(customer) {
            Some(found) => found,
            None => {
                let number = u32::try_from(self.rows.len()).ok()?;
                self.rows.push(Slot {
                    customer,
                    noted: false,
                    fired: false,
                    tally: Tally::default(),
                });
                let rows = &self.rows;
                let spread_of = |row| rows.get(place(row)).map_or(0, |row| spread(row.customer));
                self.index.insert(spread(customer), number, spread_of);
                place(number)
            }
        };
        Some((found, self.rows.get_mut(found)?))
    }

    pub(super) fn bytes(&self) -> usize {
        self.rows.capacity().saturating_mul(size_of::<Slot>()).saturating_add(self.index.bytes())
    }
}

fn place(row: u32) -> usize {
    usize::try_from(row).unwrap_or(usize::MAX)
}

/// A number as a hash, all of whose bits differ from those of the next number.
fn spread(number: u32) -> u64 {
    let mixed = (u64::from(number) ^ 0x9e37_79b9_7f4a_7c15).wrapping_mul(0xff51_afd7_ed55_8ccd);
    (mixed ^ mixed >> 32).wrapping_mul(0xc4ce_b9fe_1a85_ec53)
}

/// Usage that follows from events one by one, in whatever order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Tally {
    /// The sum, the number of events, the extreme or the latest value, in trillionths.
    pub(super) value: i128,
    /// How many events there are; the time of the latest one where that counts.
    pub(super) beside: i64,
    /// Whether there was an event.
    pub(super) any: bool,
}

impl Tally {
    /// Counts an event. Of two equally late ones the later counted is the latest.
    fn add(&mut self, formula: Formula, value: i128, time: i64) {
        let first = !std::mem::replace(&mut self.any, true);
        match formula {
            Formula::Count => self.value = self.value.saturating_add(Decimal12::SCALE),
            Formula::Max => self.value = if first { value } else { self.value.max(value) },
            Formula::Min => self.value = if first { value } else { self.value.min(value) },
            Formula::Last if first || time >= self.beside => {
                (self.value, self.beside) = (value, time);
            }
            Formula::Last => {}
            _ => {
                self.value = self.value.saturating_add(value);
                self.beside = self.beside.saturating_add(1);
            }
        }
    }

    /// Makes a value that was counted another one, for a formula that adds them up.
    fn replace(&mut self, formula: Formula, before: Option<i128>, after: Option<i128>) {
        let count = |value: Option<i128>| i64::from(value.is_some());
        let events = count(after).saturating_sub(count(before));
        self.value = self.value.saturating_add(match formula {
            Formula::Count => i128::from(events).saturating_mul(Decimal12::SCALE),
            _ => after.unwrap_or(0).saturating_sub(before.unwrap_or(0)),
        });
        if formula != Formula::Count {
            self.beside = self.beside.saturating_add(events);
        }
    }

    /// The usage, in trillionths.
    fn usage(&self, formula: Formula) -> i128 {
        match formula {
            Formula::Average => mean(self.value, self.beside),
            _ => self.value,
        }
    }
}

/// The formula of a meter whose usage follows from events one by one; the others go through all
/// events of a customer each time.
fn tallied(config: &MeterConfig) -> Option<Formula> {
    let apart = matches!(config.formula, Formula::UniqueCount | Formula::WeightedSum);
    (!apart && config.event_time_window.is_none()).then_some(config.formula)
}

/// The alerts, and which of them watch what.
#[derive(Debug, Clone, Default)]
pub(super) struct Alerts {
    pub(super) list: Vec<Alert>,
    by_id: BTreeMap<Id<kind::Alert>, usize>,
    /// Those that are not archived, by meter.
    on: BTreeMap<u16, Watching>,
}

/// The alerts on a meter, by place.
#[derive(Debug, Clone, Default)]
struct Watching {
    each: Vec<usize>,
    one: BTreeMap<u32, Vec<usize>>,
}

impl Watching {
    fn of(&self, customer: Option<u32>) -> &[usize] {
        match customer {
            None => &self.each,
            Some(_) if self.one.is_empty() => &[],
            Some(customer) => self.one.get(&customer).map_or(&[], Vec::as_slice),
        }
    }
}

impl Alerts {
    pub(super) fn get(&self, id: &Id<kind::Alert>) -> Option<&Alert> {
        self.list.get(*self.by_id.get(id)?)
    }

    /// The alerts by id.
    pub(super) fn iter(&self) -> impl Iterator<Item = &Alert> {
        self.by_id.values().filter_map(|&place| self.list.get(place))
    }

    pub(super) fn has_room(&self, meter: u16, customer: Option<u32>) -> bool {
        let watching = self.on.get(&meter).map_or(0, |on| on.of(customer).len());
        watching < limits::METER_ALERTS_MAX
    }

    pub(super) fn add(&mut self, alert: Alert) {
        let (id, place) = (alert.id.clone(), self.list.len());
        if alert.status != AlertStatus::Archived {
            let on = self.on.entry(alert.meter).or_default();
            match alert.customer {
                None => on.each.push(place),
                Some(customer) => on.one.entry(customer).or_default().push(place),
            }
        }
        self.list.push(alert);
        self.by_id.insert(id, place);
    }

    fn archive(&mut self, place: usize) {
        let Some(alert) = self.list.get_mut(place) else { return };
        alert.status = AlertStatus::Archived;
        alert.slots = Slots::default();
        let Some(on) = self.on.get_mut(&alert.meter) else { return };
        on.each.retain(|&own| own != place);
        if let Some(customer) = alert.customer
            && let Some(own) = on.one.get_mut(&customer)
        {
            own.retain(|&own| own != place);
            if own.is_empty() {
                on.one.remove(&customer);
            }
        }
        if on.each.is_empty() && on.one.is_empty() {
            self.on.remove(&alert.meter);
        }
    }

    /// Gives what each alert that watches a customer on a meter has counted to someone who changes
    /// it, together with the first epoch that the alert counts, and notes the slots that may be at
    /// the threshold then.
    #[inline]
    fn each_tally(
        &mut self,
        (meter, customer): (u16, u32),
        formula: Option<Formula>,
        noted: &mut Vec<(usize, usize)>,
        mut change: impl FnMut(u32, &mut Tally),
    ) {
        let Self { list, on, .. } = self;
        let Some(on) = on.get(&meter) else { return };
        for &own in on.of(None).iter().chain(on.of(Some(customer))) {
            let Some(alert) = list.get_mut(own) else { continue };
            let Some((at, slot)) = alert.slots.of(customer) else { continue };
            change(alert.since, &mut slot.tally);
            let silent = slot.noted || slot.fired || alert.status != AlertStatus::Active;
            let below = |formula| slot.tally.usage(formula) < alert.gte.trillionths();
            if !silent && !formula.is_some_and(below) {
                slot.noted = true;
                noted.push((own, at));
            }
        }
    }
}

/// An event that a block is about to adjust, with the value that it counts with until then.
pub(super) struct Adjusted {
    number: EventNo,
    before: Option<i128>,
}

impl Aggregator {
    /// Defines an alert, active. It counts the events that are received from now on, by the meter's
    /// formula, of each customer over all its dimensions. It is compared when a block that has, or
    /// adjusts, events of the customer is through, and goes off once for a customer.
    ///
    /// What it takes is 48 bytes and an entry of an index for each customer that it sees. Where the
    /// formula is a unique count, and for pre-aggregated input, each such block goes through all
    /// events of the customers that are still watched.
    ///
    /// # Errors
    /// [`AlertError::UnknownMeter`], [`AlertError::AlreadyDefined`], [`AlertError::NotPositive`],
    /// [`AlertError::Formula`] for a weighted sum, which is of a period only, and
    /// [`AlertError::TooMany`]; nothing changes.
    pub fn define_alert(
        &mut self,
        id: Id<kind::Alert>,
        threshold: &UsageThreshold,
    ) -> Result<(), AlertError> {
        if self.alerts.get(&id).is_some() {
            return Err(AlertError::AlreadyDefined { alert: id });
        }
        let unknown = || AlertError::UnknownMeter { meter: threshold.meter.clone() };
        let meter = *self.by_id.get(&threshold.meter).ok_or_else(unknown)?;
        if threshold.gte <= Decimal12::ZERO {
            return Err(AlertError::NotPositive { gte: threshold.gte });
        }
        if self.meter(meter).is_none_or(|own| own.config.formula == Formula::WeightedSum) {
            return Err(AlertError::Formula);
        }
        let full = || AlertError::TooMany { max: limits::METER_ALERTS_MAX };
        let since = u32::try_from(self.epochs.len()).map_err(|_| full())?;
        let mut alert = Alert::new(id, meter, threshold.gte, since);
        if let Some(text) = &threshold.customer {
            let number = self.customers.intern(Customer::of(text));
            alert.customer = Some(number.filter(|&own| own < CUSTOMERS_MAX).ok_or_else(full)?);
        }
        if !self.alerts.has_room(meter, alert.customer) {
            return Err(full());
        }
        self.alerts.add(alert);
        Ok(())
    }

    /// Makes an alert active, and lets it go off again for every customer, one that was active as
    /// well. Who is at the threshold sets it off with the next event.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn activate_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        let (_, alert) = self.living(id)?;
        alert.status = AlertStatus::Active;
        alert.fired.clear();
        alert.slots.rows.iter_mut().for_each(|slot| slot.fired = false);
        Ok(())
    }

    /// Makes an alert silent. It goes on counting.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn deactivate_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        self.living(id)?.1.status = AlertStatus::Inactive;
        Ok(())
    }

    /// Makes an alert silent for ever.
    ///
    /// # Errors
    /// [`AlertError::Unknown`] and [`AlertError::Archived`].
    pub fn archive_alert(&mut self, id: &Id<kind::Alert>) -> Result<(), AlertError> {
        let (place, _) = self.living(id)?;
        self.alerts.archive(place);
        Ok(())
    }

    /// All alerts by id, archived ones as well, with what each watches.
    pub fn alerts(&self) -> impl Iterator<Item = (&Id<kind::Alert>, UsageThreshold, AlertStatus)> {
        self.alerts.iter().filter_map(|alert| {
            let meter = self.meter(alert.meter)?.id.clone();
            let customer = alert.customer.map(|customer| self.customer_text(customer));
            Some((&alert.id, UsageThreshold { meter, gte: alert.gte, customer }, alert.status))
        })
    }

    /// Whether an alert watches; `None` for an unknown one.
    #[must_use]
    pub fn alert_status(&self, id: &Id<kind::Alert>) -> Option<AlertStatus> {
        self.alerts.get(id).map(|alert| alert.status)
    }

    /// How many alerts a block can set off at most: those that are active, once for each customer
    /// that the block may be about. What logs alerts beside the block makes sure that so many fit.
    #[must_use]
    pub fn alerts_at_most(&self, block: &Block) -> AlertsAtMost {
        let mut most = AlertsAtMost::default();
        if self.alerts.on.is_empty() {
            return most;
        }
        let adjusted = block.corrected().count().saturating_add(block.cancelled().count());
        let customers = block.columns.customers().saturating_add(adjusted);
        for meter in block.meters() {
            let Some(on) = self.by_id.get(meter).and_then(|own| self.alerts.on.get(own)) else {
                continue;
            };
            let each = on.each.iter().map(|own| (own, customers));
            let one = on.one.values().flatten().map(|own| (own, 1));
            for (&own, times) in each.chain(one) {
                let alert = self.alerts.list.get(own);
                if let Some(alert) = alert.filter(|alert| alert.status == AlertStatus::Active) {
                    let ids = alert.id.as_str().len().saturating_add(meter.as_str().len());
                    most.alerts = most.alerts.saturating_add(times);
                    most.id_bytes = most.id_bytes.max(ids);
                }
            }
        }
        most
    }

    /// Whom an alert went off for since it was defined or last activated, by customer; none for an
    /// unknown one.
    #[must_use]
    pub fn triggered(&self, id: &Id<kind::Alert>) -> Vec<AlertTriggered> {
        let fired = |alert: &Alert| {
            let rows = alert.fired.iter();
            let mut rows: Vec<_> = rows
                .filter_map(|(&customer, &(value, position))| {
                    self.triggered_by(alert, customer, value, position)
                })
                .collect();
            rows.sort();
            rows
        };
        self.alerts.get(id).map_or_else(Vec::new, fired)
    }

    /// What went off after a position, in the order of positions, then by alert and customer. What
    /// went off before an alert was last activated is left out.
    #[must_use]
    pub fn triggered_after(&self, after: Position) -> Vec<AlertTriggered> {
        let mut rows = Vec::new();
        for alert in &self.alerts.list {
            let later = alert.fired.iter().filter(|(_, (_, position))| *position > after);
            rows.extend(later.filter_map(|(&customer, &(value, position))| {
                self.triggered_by(alert, customer, value, position)
            }));
        }
        rows.sort_by(|a, b| a.position.cmp(&b.position).then_with(|| a.cmp(b)));
        rows
    }

    fn triggered_by(
        &self,
        alert: &Alert,
        customer: u32,
        value: Decimal12,
        position: Position,
    ) -> Option<AlertTriggered> {
        let meter = self.meter(alert.meter)?.id.clone();
        let (alert, customer) = (alert.id.clone(), self.customer_text(customer));
        Some(AlertTriggered { alert, customer, meter, value, position })
    }

    pub(super) fn customer_text(&self, customer: u32) -> String {
        self.customers.get(customer).map(Customer::to_text).unwrap_or_default()
    }

    fn living(&mut self, id: &Id<kind::Alert>) -> Result<(usize, &mut Alert), AlertError> {
        let place = self.alerts.by_id.get(id).copied();
        let alert = place.and_then(|place| Some((place, self.alerts.list.get_mut(place)?)));
        match alert {
            None => Err(AlertError::Unknown { alert: id.clone() }),
            Some((_, alert)) if alert.status == AlertStatus::Archived => {
                Err(AlertError::Archived { alert: id.clone() })
            }
            Some(alert) => Ok(alert),
        }
    }

    /// An event that is about to be adjusted, for [`Aggregator::notice`].
    pub(super) fn adjusting(&self, number: EventNo) -> Adjusted {
        Adjusted { number, before: self.counts_with(number) }
    }

    /// The value that an event counts with; `None` once it is cancelled.
    fn counts_with(&self, number: EventNo) -> Option<i128> {
        let event = self.events.get(number).filter(|event| !event.is_cancelled())?;
        Some(self.events.value(number, event))
    }

    /// What the rows of a block, and the events that it adjusted, set off: the alerts that are at
    /// their threshold when all is counted, by alert and customer.
    pub(super) fn notice<R: Rows>(
        &mut self,
        rows: &R,
        placed: &[AtomicU32],
        adjusted: &[Adjusted],
    ) -> Vec<AlertTriggered> {
        if self.alerts.on.is_empty() {
            return Vec::new();
        }
        let formulas = self.meters.iter().map(|meter| tallied(&meter.config));
        let watched = |(number, formula)| (self.alerts.on.contains_key(&number), formula);
        let watched: Vec<_> = (0_u16..).zip(formulas).map(watched).collect();
        let mut noted = Vec::new();
        for (row, placed) in placed.iter().enumerate() {
            let Some((true, formula)) =
                rows.meter(row).and_then(|meter| watched.get(usize::from(meter)))
            else {
                continue;
            };
            if let Some(number) = number_of(placed) {
                self.notice_event(number, *formula, &mut noted);
            }
        }
        for adjusted in adjusted {
            self.notice_adjusted(adjusted, &mut noted);
        }
        self.fire(noted)
    }

    /// Counts an event that was taken.
    fn notice_event(
        &mut self,
        number: EventNo,
        formula: Option<Formula>,
        noted: &mut Vec<(usize, usize)>,
    ) {
        let Some(event) = self.events.get(number) else { return };
        let (time, value) = (event.time, self.events.value(number, event));
        let live = !event.is_cancelled();
        let of = (event.meter, self.customers.customer_of(event.subject));
        self.alerts.each_tally(of, formula, noted, |_, tally| {
            if let Some(formula) = formula.filter(|_| live) {
                tally.add(formula, value, time);
            }
        });
    }

    /// Counts an event of an earlier block as it is now.
    fn notice_adjusted(&mut self, adjusted: &Adjusted, noted: &mut Vec<(usize, usize)>) {
        let Some(event) = self.events.get(adjusted.number) else { return };
        let (meter, epoch) = (event.meter, event.epoch);
        let customer = self.customers.customer_of(event.subject);
        let (Some(config), Some(on)) =
            (self.meter(meter).map(|meter| &meter.config), self.alerts.on.get(&meter))
        else {
            return;
        };
        let formula = tallied(config);
        let (before, after) = (adjusted.before, self.counts_with(adjusted.number));
        // One for each that watches, in their order.
        let recounted = formula.filter(|&own| !adds(own)).map(|formula| {
            let all = on.of(None).iter().chain(on.of(Some(customer)));
            let since = |&own: &usize| self.alerts.list.get(own).map_or(0, |alert| alert.since);
            all.map(|own| self.recount(meter, customer, since(own), formula)).collect::<Vec<_>>()
        });
        // What came with this block was counted as it is by now.
        let new =
            usize::try_from(epoch).is_ok_and(|own| own.saturating_add(1) == self.epochs.len());
        let mut recounted = recounted.map(Vec::into_iter);
        self.alerts.each_tally((meter, customer), formula, noted, |since, tally| {
            match (&mut recounted, formula) {
                (Some(recounted), _) => *tally = recounted.next().unwrap_or_default(),
                (None, Some(formula)) if since <= epoch && !new => {
                    tally.replace(formula, before, after);
                }
                _ => {}
            }
        });
    }

    /// Makes of what was noted what went off.
    fn fire(&mut self, noted: Vec<(usize, usize)>) -> Vec<AlertTriggered> {
        let (mut triggered, position) = (Vec::new(), self.position());
        for (own, at) in noted {
            let alert = self.alerts.list.get(own);
            let Some((alert, slot)) =
                alert.and_then(|alert| Some((alert, alert.slots.rows.get(at)?)))
            else {
                continue;
            };
            let customer = slot.customer;
            let value = match self.meter(alert.meter).and_then(|meter| tallied(&meter.config)) {
                Some(formula) => slot.tally.usage(formula),
                None => self.usage_since(alert.meter, customer, alert.since),
            };
            let value = Decimal12::from_trillionths(value);
            let reached = value >= alert.gte;
            if reached {
                triggered.extend(self.triggered_by(alert, customer, value, position));
            }
            let Some(alert) = self.alerts.list.get_mut(own) else { continue };
            if reached {
                alert.fired.insert(customer, (value, position));
            }
            if let Some(slot) = alert.slots.rows.get_mut(at) {
                (slot.noted, slot.fired) = (false, slot.fired || reached);
            }
        }
        triggered.sort();
        triggered
    }

    fn reading_since(&self, meter: u16, customer: u32, since: u32) -> Option<Reading<'_>> {
        let reading = self.reading_where(meter, customer, Position::MAX, |_| true)?;
        Some(reading.since(since))
    }

    /// What a customer used on a meter by the events of an epoch and later ones, in trillionths.
    fn usage_since(&self, meter: u16, customer: u32, since: u32) -> i128 {
        let reading = self.reading_since(meter, customer, since);
        reading.map_or(0, |reading| reading.quantity(&EVER).0.trillionths())
    }

    /// The same as a tally.
    fn recount(&self, meter: u16, customer: u32, since: u32, formula: Formula) -> Tally {
        let mut tally = Tally::default();
        if let Some(reading) = self.reading_since(meter, customer, since) {
            let mut events = reading.live(&EVER);
            events.sort_by_key(|(_, event)| event.receipt());
            for (number, event) in events {
                tally.add(formula, self.events.value(number, event), event.time);
            }
        }
        tally
    }

    /// What alerts take of memory.
    pub(super) fn alert_bytes(&self) -> usize {
        self.alerts.list.iter().map(|alert| alert.slots.bytes()).sum()
    }
}

const EVER: std::ops::Range<i64> = i64::MIN..i64::MAX;

/// Whether an event leaves a tally as it came to it.
const fn adds(formula: Formula) -> bool {
    matches!(formula, Formula::Sum | Formula::Count | Formula::Average)
}
