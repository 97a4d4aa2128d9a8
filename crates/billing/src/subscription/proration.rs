//! Prorations: what a change in the middle of a period gives back and charges (rule 6.6).
//!
//! Everything here is a function of a subscription before and after a change, of the lines that
//! charged for its items, and of an instant. Fractions are exact and each amount is rounded once,
//! on its own: never the net of a credit and a debit.

use super::{ProrationDiscounts, Subscription, SubscriptionItem, SubscriptionItemId, whole_period};
use crate::catalog::{Price, PriceId};
use crate::discount::{DiscountAmount, DiscountId, NetAmount};
use crate::invoice::{
    Charge, Derivation, Fraction, FractionUnit, Invoice, InvoiceItem, InvoiceItemId, InvoiceStatus,
    Line, ProrationBase, ProrationDetails, ProrationKind,
};
use crate::policy::{DayCount, Policies, ProrationBasis, QuantityLines};
use counterfoil_core::{
    ArithmeticError, Currency, Decimal12, Exact, Period, Refusal, Timestamp, Zone,
};

/// A proration before it is an invoice item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proration {
    /// The item that it charges or credits.
    pub subscription_item: SubscriptionItemId,
    /// What a person reads.
    pub name: String,
    /// In minor units: negative for time that is given back.
    pub amount: i64,
    /// What discounts take off the amount, in minor units; negative for what is given back.
    pub discount_amounts: Vec<DiscountAmount>,
    /// What discounts took off the amount before it was made.
    pub included_discounts: Vec<DiscountAmount>,
    /// The quantity.
    pub quantity: Decimal12,
    /// The price of one, in minor units, where there is one.
    pub unit_amount: Option<Decimal12>,
    /// The price.
    pub price: PriceId,
    /// The time that is given back or charged.
    pub period: Period,
    /// How the amount came about.
    pub details: ProrationDetails,
}

/// Something that charged for time of an item, and how much of that time still stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Debit {
    /// Which line or invoice item, with its amount.
    pub base: ProrationBase,
    /// The amount in minor units, before discounts.
    pub amount: i64,
    /// What each discount took off it.
    pub discount_amounts: Vec<DiscountAmount>,
    /// The price.
    pub price: Option<PriceId>,
    /// The quantity.
    pub quantity: Decimal12,
    /// The price of one, in minor units, where there is one.
    pub unit_amount: Option<Decimal12>,
    /// The time that was charged.
    pub period: Period,
    /// The first second that was given back; the end of the period where nothing was.
    pub stands_until: Timestamp,
    /// The invoice item that it is or was.
    item: Option<InvoiceItemId>,
}

/// Where a change finds prices and what was charged.
pub trait ProrationSource {
    /// A price with the name that its lines bear.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`].
    fn named_price(&self, id: &PriceId) -> Result<(&Price, &str), Refusal>;
    /// What charged for time of an item, oldest first; what ends before an instant need not be
    /// there.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where a draft cannot be computed.
    fn debits(&self, item: &SubscriptionItemId, since: Timestamp) -> Result<Vec<Debit>, Refusal>;
    /// What a licensed item costs for a whole period, less discounts.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    fn net(
        &self,
        subscription: &Subscription,
        item: &SubscriptionItem,
        discounts: NetOf,
    ) -> Result<NetAmount, Refusal>;
}

/// Which discounts an amount is net of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NetOf {
    /// Those in force, a fixed amount shared by all items.
    Shared,
    /// Those in force, the whole of a fixed amount off the item (point 21).
    Alone,
    /// Those of the latest line that charged for the item, likewise; in force where there is none.
    Latest,
}

/// A change of a subscription at an instant.
pub struct Change<'a> {
    /// The subscription until then.
    pub before: &'a Subscription,
    /// The subscription from then on.
    pub after: &'a Subscription,
    /// The instant that time is divided at.
    pub at: Timestamp,
    /// Whether what remains is charged here; in a classic change that begins a new period, the
    /// lines of that period charge for it.
    pub charges: bool,
    /// The conventions of the book.
    pub policies: &'a Policies,
}

impl Fraction {
    /// The exact value.
    ///
    /// # Errors
    /// [`ArithmeticError::DivisionByZero`] where the whole has no unit.
    pub fn exact(self) -> Result<Exact, ArithmeticError> {
        Exact::ratio(self.part.into(), self.whole.into())
    }

    /// The part of a whole period that another one is, as a book counts time, by the clock of a zone.
    #[must_use]
    pub fn of((part, whole): (Period, Period), policies: &Policies, zone: Zone) -> Self {
        match policies.proration_basis {
            ProrationBasis::Second => {
                Self { part: part.seconds(), whole: whole.seconds(), unit: FractionUnit::Second }
            }
            ProrationBasis::Day => {
                let days = |period| days(period, policies.day_count, zone);
                Self { part: days(part), whole: days(whole).max(1), unit: FractionUnit::Day }
            }
        }
    }
}

/// The days of a zone that a period touches, without or with the one that it ends on.
fn days(period: Period, count: DayCount, zone: Zone) -> i64 {
    if period.is_empty() {
        return 0;
    }
    let days = zone.day_number(period.end).saturating_sub(zone.day_number(period.start));
    match count {
        DayCount::Exclusive => days,
        DayCount::Inclusive => days.saturating_add(1),
    }
}

/// What charged for time of an item and still stands, oldest first, from the invoices of its
/// subscription and the items on drafts and without an invoice.
///
/// An invoice that was voided never charged anything, and what it gave back was not given back.
pub fn debits<'a>(
    item: &SubscriptionItemId,
    invoices: impl IntoIterator<Item = &'a Invoice>,
    items: impl IntoIterator<Item = &'a InvoiceItem>,
) -> Vec<Debit> {
    let (mut debits, mut given_back) = (Vec::new(), Vec::new());
    let mut note = |credit: Option<(&ProrationBase, Timestamp)>, debit: Option<Debit>| {
        given_back.extend(credit.map(|(base, from)| (base.clone(), from)));
        debits.extend(debit.filter(|debit| debit.amount != 0));
    };
    for invoice in invoices {
        if invoice.status == InvoiceStatus::Void {
            continue;
        }
        for charge in &invoice.charges {
            if let Charge::Line(line) = charge
                && line.subscription_item.as_ref() == Some(item)
            {
                let credit = credited(&line.derivation).map(|base| (base, line.period.start));
                let debit = || charges_ahead(&line.derivation).then(|| of_line(invoice, line));
                note(credit, if credit.is_none() { debit() } else { None });
            }
        }
    }
    for own in items {
        if own.subscription_item.as_ref() == Some(item) {
            let derivation = own.derivation.as_ref().unwrap_or(&Derivation::Given);
            let credit = credited(derivation).map(|base| (base, own.period.start));
            let debit = || charges_ahead(derivation).then(|| of_item(own));
            note(credit, if credit.is_none() { debit() } else { None });
        }
    }
    for debit in &mut debits {
        let own = given_back.iter().filter(|(base, _)| debit.is(base)).map(|(_, from)| *from);
        debit.stands_until = own.fold(debit.stands_until, Timestamp::min);
    }
    debits
}

fn credited(derivation: &Derivation) -> Option<&ProrationBase> {
    match derivation {
        Derivation::Changed(details) if details.kind == ProrationKind::Unused => {
            Some(&details.base)
        }
        _ => None,
    }
}

/// Whether a line of an item charges for time ahead: usage is behind, and a trial is free. A given
/// amount that names the item is a copy of its line, on an invoice that took the place of another.
fn charges_ahead(derivation: &Derivation) -> bool {
    match derivation {
        Derivation::Changed(details) => details.kind == ProrationKind::Remaining,
        Derivation::Rated { .. }
        | Derivation::Prorated { .. }
        | Derivation::Given
        | Derivation::Item => true,
        Derivation::Metered { .. }
        | Derivation::Late { .. }
        | Derivation::PreviouslyBilled { .. }
        | Derivation::Trial => false,
    }
}

fn of_line(invoice: &Invoice, line: &Line) -> Debit {
    let (invoice, id) = (invoice.id.clone(), line.id.clone());
    let amount = line.amount.saturating_sub(line.discounted());
    Debit {
        base: ProrationBase::Line { invoice, line: id, amount },
        amount: line.amount,
        discount_amounts: line.discount_amounts.clone(),
        price: line.price.clone(),
        quantity: line.quantity,
        unit_amount: line.unit_amount,
        period: line.period,
        stands_until: line.period.end,
        item: line.invoice_item.clone(),
    }
}

fn of_item(item: &InvoiceItem) -> Debit {
    let amount = item.net_amount();
    Debit {
        base: ProrationBase::Item { invoice_item: item.id.clone(), amount },
        amount: item.amount,
        discount_amounts: item.discount_amounts.clone(),
        price: item.price.clone(),
        quantity: item.quantity,
        unit_amount: item.unit_amount,
        period: item.period,
        stands_until: item.period.end,
        item: Some(item.id.clone()),
    }
}

impl Debit {
    /// What it charged, as discounts left it.
    fn net(&self) -> NetAmount {
        let mut left = self.amount;
        let after = self.discount_amounts.iter().map(|discount| {
            left = left.saturating_sub(discount.amount);
            (discount.discount.clone(), Exact::from_int(left))
        });
        NetAmount { gross: Exact::from_int(self.amount), after: after.collect() }
    }

    /// Whether a base names this debit: an item may have become a line since.
    fn is(&self, base: &ProrationBase) -> bool {
        match (base, &self.base) {
            (ProrationBase::Line { line, .. }, ProrationBase::Line { line: own, .. }) => {
                line == own
            }
            (ProrationBase::Item { invoice_item, .. }, _) => {
                self.item.as_ref() == Some(invoice_item)
            }
            _ => false,
        }
    }
}

/// The period that the price of an item is for, and that a part of it is a fraction of: from one
/// boundary to the next one, never a stub or a shortened period (point 23). A stub that was
/// backdated, and any stub where the book says so, is a part of the interval that would begin with
/// it (rule 6.5, point 3).
///
/// # Errors
/// [`ArithmeticError::Overflow`] beyond the calendar.
pub fn whole_of(
    subscription: &Subscription,
    price: &Price,
    period: Period,
    policies: &Policies,
) -> Result<Period, ArithmeticError> {
    let Some(interval) = price.interval() else { return Ok(period) };
    let is_backdated =
        period.start == subscription.start_date && subscription.start_date < subscription.created;
    whole_period(&subscription.anchor, interval, period, is_backdated, policies)
}

/// What a change gives back and charges: for each item of the former subscription its credits and
/// then its debit, and then the debits of new items. Metered items are charged for their usage and
/// are not among them; nor is anything in a trial, which is free.
///
/// # Errors
/// [`Refusal::AmountTooLarge`] where an amount is out of range.
pub fn prorations(
    change: &Change<'_>,
    source: &dyn ProrationSource,
) -> Result<Vec<Proration>, Refusal> {
    let mut found = Vec::new();
    for old in &change.before.items {
        let new = change.after.item(&old.id);
        if let Some(new) = new
            && change.is_more(old, new)
        {
            change.charge_added(old, new, source, &mut found)?;
            continue;
        }
        let from = given_back_from(old, new, change.at).filter(|_| !change.before.is_in_trial());
        let new = new.filter(|new| change.charges || old.is_same(new));
        let anew = new.and_then(|new| Some((new, charged_anew(old, new, change.at)?)));
        if from.is_none() && anew.is_none() {
            continue;
        }
        let since = from.into_iter().chain(anew.map(|(_, period)| period.start)).min();
        let debits = change.debits(old, since.unwrap_or(change.at), source)?;
        if let Some(from) = from {
            change.give_back(old, from, &debits, source, &mut found)?;
        }
        if let Some((new, period)) = anew {
            change.charge(new, period, &debits, source, &mut found)?;
        }
    }
    for new in change.after.items.iter().filter(|_| change.charges) {
        if change.before.item(&new.id).is_none() {
            let period = Period::new(change.at, new.period.end);
            change.charge(new, period, &[], source, &mut found)?;
        }
    }
    Ok(found)
}

impl SubscriptionItem {
    /// Whether an item still charges the same for the same period, but for its end.
    #[must_use]
    pub fn is_same(&self, new: &Self) -> bool {
        let of = |item: &Self| (item.price.clone(), item.quantity, item.period.start);
        of(self) == of(new)
    }
}

fn given_back_from(
    old: &SubscriptionItem,
    new: Option<&SubscriptionItem>,
    at: Timestamp,
) -> Option<Timestamp> {
    match new {
        Some(new) if old.is_same(new) => {
            (new.period.end < old.period.end).then_some(new.period.end)
        }
        _ => Some(at),
    }
}

fn charged_anew(old: &SubscriptionItem, new: &SubscriptionItem, at: Timestamp) -> Option<Period> {
    let start = if !old.is_same(new) {
        if old.period.start == new.period.start { at } else { new.period.start }
    } else if new.period.end > old.period.end {
        old.period.end
    } else {
        return None;
    };
    Some(Period::new(start, new.period.end))
}

impl Change<'_> {
    fn zone(&self) -> Zone {
        self.after.anchor.zone
    }

    /// What charged for an item until an instant or later; the classic mode does not ask.
    fn debits(
        &self,
        item: &SubscriptionItem,
        since: Timestamp,
        source: &dyn ProrationSource,
    ) -> Result<Vec<Debit>, Refusal> {
        if self.before.billing_mode.is_classic() {
            return Ok(Vec::new());
        }
        source.debits(&item.id, since)
    }

    fn give_back(
        &self,
        item: &SubscriptionItem,
        from: Timestamp,
        debits: &[Debit],
        source: &dyn ProrationSource,
        found: &mut Vec<Proration>,
    ) -> Result<(), Refusal> {
        let (price, name) = source.named_price(&item.price)?;
        if self.before.billing_mode.is_classic() {
            if price.meter().is_some() {
                return Ok(());
            }
            let unused = Period::new(from.max(item.period.start), item.period.end);
            let whole = whole_of(self.before, price, item.period, self.policies)?;
            let kind = ProrationKind::Unused;
            let net = source.net(self.before, item, NetOf::Latest)?;
            found.extend(self.of_price(item, (price, name), kind, (unused, whole), &net)?);
            return Ok(());
        }
        for debit in debits {
            let unused = Period::new(from.max(debit.period.start), debit.stands_until);
            if unused.is_empty() {
                continue;
            }
            let fraction = Fraction::of((unused, debit.period), self.policies, self.zone());
            let sign = Exact::from_int(-1);
            let amounts = self.amounts(&debit.net(), fraction.exact()?.checked_mul(sign)?)?;
            let price = debit.price.clone().unwrap_or_else(|| item.price.clone());
            let name = source.named_price(&price)?.1;
            found.push(Proration {
                subscription_item: item.id.clone(),
                name: named(ProrationKind::Unused, name, debit.quantity),
                amount: amounts.amount,
                discount_amounts: amounts.itemized,
                included_discounts: Vec::new(),
                quantity: debit.quantity,
                unit_amount: debit.unit_amount,
                price,
                period: unused,
                details: ProrationDetails {
                    kind: ProrationKind::Unused,
                    base: debit.base.clone(),
                    whole: debit.period,
                    fraction,
                },
            });
        }
        Ok(())
    }

    fn charge(
        &self,
        item: &SubscriptionItem,
        period: Period,
        debits: &[Debit],
        source: &dyn ProrationSource,
        found: &mut Vec<Proration>,
    ) -> Result<(), Refusal> {
        let (price, name) = source.named_price(&item.price)?;
        if self.after.is_in_trial() || price.meter().is_some() {
            return Ok(());
        }
        let whole = whole_of(self.after, price, item.period, self.policies)?;
        let kind = ProrationKind::Remaining;
        let net = source.net(self.after, item, self.in_force())?;
        let Some(charge) = self.of_price(item, (price, name), kind, (period, whole), &net)? else {
            return Ok(());
        };
        match self.as_given_back(&charge, name, debits)? {
            Some(again) => found.extend(again),
            None => found.push(charge),
        }
        Ok(())
    }

    /// What was given back from this very instant on is charged again as it was given back, where
    /// that differs from a part of the price by rounding alone: a change and its reversal come to
    /// nothing (rule 19.5). In the flexible mode, where what was charged is given back and not a part
    /// of the price.
    fn as_given_back(
        &self,
        charge: &Proration,
        name: &str,
        debits: &[Debit],
    ) -> Result<Option<Vec<Proration>>, Refusal> {
        if self.after.billing_mode.is_classic() {
            return Ok(None);
        }
        let period = charge.period;
        let was_given_back = |debit: &&Debit| {
            debit.price.as_ref() == Some(&charge.price)
                && debit.stands_until == period.start
                && debit.period.end == period.end
        };
        let debits = debits.iter().filter(was_given_back);
        let is_older = |debit: &&Debit| debit.period.start < period.start;
        let (older, mut newer): (Vec<_>, Vec<_>) = debits.partition(is_older);
        // What stood until now stood together; so did the lines of an invoice, and what was charged
        // in this second stood alone.
        let is_line = |debit: &Debit| matches!(debit.base, ProrationBase::Line { .. });
        let lines = newer.extract_if(.., |debit| is_line(debit)).collect();
        let alone = newer.into_iter().rev().map(|debit| vec![debit]);
        for group in [older, lines].into_iter().chain(alone) {
            let again: Vec<_> = group
                .into_iter()
                .map(|debit| self.charged_again(charge, debit, name))
                .collect::<Result<_, _>>()?;
            if differ_by_rounding(charge, &again) {
                return Ok(Some(again));
            }
        }
        Ok(None)
    }

    /// The opposite of what was given back of a debit.
    fn charged_again(
        &self,
        charge: &Proration,
        debit: &Debit,
        name: &str,
    ) -> Result<Proration, Refusal> {
        let kind = ProrationKind::Remaining;
        let fraction = Fraction::of((charge.period, debit.period), self.policies, self.zone());
        let given_back = self.amounts(&debit.net(), fraction.exact()?.checked_neg()?)?;
        Ok(Proration {
            name: named(kind, name, debit.quantity),
            amount: given_back.amount.checked_neg().ok_or(ArithmeticError::Overflow)?,
            discount_amounts: opposite(given_back.itemized)?,
            included_discounts: opposite(given_back.included.unwrap_or_default())?,
            quantity: debit.quantity,
            unit_amount: debit.unit_amount,
            details: ProrationDetails {
                kind,
                base: debit.base.clone(),
                whole: debit.period,
                fraction,
            },
            ..charge.clone()
        })
    }

    /// Which of the discounts in force a charge is net of: in the classic mode a fixed amount comes
    /// off each item as a whole (point 21).
    fn in_force(&self) -> NetOf {
        if self.after.billing_mode.is_classic() { NetOf::Alone } else { NetOf::Shared }
    }

    /// A part of a net amount, each of its amounts rounded once: with the discounts in the amount,
    /// or beside it (rule 6.1).
    fn amounts(&self, net: &NetAmount, fraction: Exact) -> Result<Amounts, Refusal> {
        let (left, discounts) = net.part(fraction, self.policies.rounding)?;
        let mode = self.after.billing_mode;
        if mode.is_classic() || mode.proration_discounts == ProrationDiscounts::Included {
            let itemized = Vec::new();
            return Ok(Amounts { amount: left, itemized, included: Some(discounts) });
        }
        let sum = |sum: i64, own: &DiscountAmount| sum.checked_add(own.amount);
        let amount = discounts.iter().try_fold(left, sum).ok_or(ArithmeticError::Overflow)?;
        Ok(Amounts { amount, itemized: discounts, included: None })
    }

    /// Whether an item differs by a larger quantity alone, and only what was added is charged.
    fn is_more(&self, old: &SubscriptionItem, new: &SubscriptionItem) -> bool {
        self.policies.quantity_lines == QuantityLines::Added
            && self.charges
            && (&old.price, old.period) == (&new.price, new.period)
            && old.quantity < new.quantity
    }

    /// Charges for what was added to the quantity of an item (point 4).
    fn charge_added(
        &self,
        old: &SubscriptionItem,
        new: &SubscriptionItem,
        source: &dyn ProrationSource,
        found: &mut Vec<Proration>,
    ) -> Result<(), Refusal> {
        let (price, name) = source.named_price(&new.price)?;
        let period = Period::new(self.at, new.period.end);
        if self.after.is_in_trial() || price.meter().is_some() || period.is_empty() {
            return Ok(());
        }
        let kind = ProrationKind::Remaining;
        let whole = whole_of(self.after, price, new.period, self.policies)?;
        let fraction = Fraction::of((period, whole), self.policies, self.zone());
        let units = |item: &SubscriptionItem| Decimal12::from_int(item.quantity.unwrap_or(1));
        let before = source.net(self.before, old, self.in_force())?;
        let net = source.net(self.after, new, self.in_force())?.less(&before)?;
        let amounts = self.amounts(&net, fraction.exact()?)?;
        let quantity = units(new).checked_sub(units(old))?;
        found.push(Proration {
            subscription_item: new.id.clone(),
            name: named(kind, name, quantity),
            amount: amounts.amount,
            discount_amounts: amounts.itemized,
            included_discounts: amounts.included.unwrap_or_default(),
            quantity,
            unit_amount: price.scheme_in(self.after.currency)?.unit_amount_decimal(),
            price: price.id.clone(),
            period,
            details: ProrationDetails {
                kind,
                base: ProrationBase::Added { to: units(old) },
                whole,
                fraction,
            },
        });
        Ok(())
    }

    /// A part of the price of an item at its quantity; none where there is no time.
    fn of_price(
        &self,
        item: &SubscriptionItem,
        (price, name): (&Price, &str),
        kind: ProrationKind,
        (period, whole): (Period, Period),
        net: &NetAmount,
    ) -> Result<Option<Proration>, Refusal> {
        if period.is_empty() {
            return Ok(None);
        }
        let currency: Currency = self.after.currency;
        let quantity = Decimal12::from_int(item.quantity.unwrap_or(1));
        let fraction = Fraction::of((period, whole), self.policies, self.zone());
        let signed = match kind {
            ProrationKind::Unused => fraction.exact()?.checked_neg()?,
            ProrationKind::Remaining => fraction.exact()?,
        };
        let amounts = self.amounts(net, signed)?;
        Ok(Some(Proration {
            subscription_item: item.id.clone(),
            name: named(kind, name, quantity),
            amount: amounts.amount,
            discount_amounts: amounts.itemized,
            included_discounts: amounts.included.unwrap_or_default(),
            quantity,
            unit_amount: price.scheme_in(currency)?.unit_amount_decimal(),
            price: price.id.clone(),
            period,
            details: ProrationDetails { kind, base: ProrationBase::Price, whole, fraction },
        }))
    }
}

/// The amount of a proration, and its discounts.
struct Amounts {
    amount: i64,
    itemized: Vec<DiscountAmount>,
    included: Option<Vec<DiscountAmount>>,
}

fn opposite(mut amounts: Vec<DiscountAmount>) -> Result<Vec<DiscountAmount>, ArithmeticError> {
    for own in &mut amounts {
        own.amount = own.amount.checked_neg().ok_or(ArithmeticError::Overflow)?;
    }
    Ok(amounts)
}

/// Whether several amounts come to a charge but for a unit each and one for each discount, and so do
/// their discounts. One alone is for the same quantity.
fn differ_by_rounding(charge: &Proration, parts: &[Proration]) -> bool {
    if let [part] = parts
        && part.quantity != charge.quantity
    {
        return false;
    }
    let discounts = charge.discount_amounts.len().max(charge.included_discounts.len());
    let most = parts.len().saturating_add(discounts);
    let near =
        |whole: i64, sum: i64| usize::try_from(whole.abs_diff(sum)).is_ok_and(|by| by <= most);
    let of = |proration: &Proration, id: &DiscountId| {
        let own = proration.discount_amounts.iter().filter(|own| own.discount == *id);
        own.map(|own| own.amount).fold(0, i64::saturating_add)
    };
    let sum =
        |amount: &dyn Fn(&Proration) -> i64| parts.iter().map(amount).fold(0, i64::saturating_add);
    let mut discounts = parts.iter().chain([charge]).flat_map(|own| &own.discount_amounts);
    !parts.is_empty()
        && near(charge.amount, sum(&|part| part.amount))
        && discounts.all(|own| {
            let whole = of(charge, &own.discount);
            near(whole, sum(&|part| of(part, &own.discount)))
        })
}

fn named(kind: ProrationKind, name: &str, quantity: Decimal12) -> String {
    match kind {
        ProrationKind::Unused => format!("Unused time of {name} ({quantity})"),
        ProrationKind::Remaining => format!("Remaining time of {name} ({quantity})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::{Anchor, Interval, IntervalUnit};

    fn at(text: &str) -> Timestamp {
        let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { format!("{text}Z") };
        full.parse().unwrap()
    }

    fn period(start: &str, end: &str) -> Period {
        Period::new(at(start), at(end))
    }

    #[test]
    fn parts_are_counted_as_the_book_says() {
        let january = ("2025-01-01", "2025-02-01");
        let noon = ("2025-01-01T12:00:00", "2025-02-01T12:00:00");
        for (part, whole, seconds, exclusive, inclusive) in [
            (("2025-01-16", "2025-02-01"), january, (1_382_400, 2_678_400), (16, 31), (17, 32)),
            (january, january, (2_678_400, 2_678_400), (31, 31), (32, 32)),
            // The time of day does not matter to days.
            (("2025-01-16T23:59:59", noon.1), noon, (1_339_201, 2_678_400), (16, 31), (17, 32)),
            (("2025-01-16T00:00:01", noon.1), noon, (1_425_599, 2_678_400), (16, 31), (17, 32)),
            // Nothing is no part of anything; a part of a day is no day, or one.
            ((noon.1, noon.1), noon, (0, 2_678_400), (0, 31), (0, 32)),
            (("2025-02-01T06:00:00", noon.1), noon, (21_600, 2_678_400), (0, 31), (1, 32)),
            (
                ("2025-01-01T06:00:00", "2025-01-01T07:00:00"),
                ("2025-01-01T06:00:00", "2025-01-01T08:00:00"),
                (3_600, 7_200),
                (0, 1),
                (1, 1),
            ),
        ] {
            let of = |proration_basis, day_count| {
                let policies = Policies { proration_basis, day_count, ..Policies::default() };
                let (part, whole) = (period(part.0, part.1), period(whole.0, whole.1));
                let fraction = Fraction::of((part, whole), &policies, Zone::UTC);
                (fraction.part, fraction.whole)
            };
            assert_eq!(of(ProrationBasis::Second, DayCount::Exclusive), seconds, "{part:?}");
            assert_eq!(of(ProrationBasis::Day, DayCount::Exclusive), exclusive, "{part:?}");
            assert_eq!(of(ProrationBasis::Day, DayCount::Inclusive), inclusive, "{part:?}");
        }
    }

    #[test]
    fn point_3_the_denominator_of_a_stub() {
        let month = Interval::new(IntervalUnit::Month, 1).unwrap();
        let anchor = Anchor::at(at("2025-03-10"));
        let whole = |start, is_backdated, stub_denominator| {
            let policies = Policies { stub_denominator, ..Policies::default() };
            let part = period(start, "2025-03-10");
            whole_period(&anchor, month, part, is_backdated, &policies).unwrap()
        };
        use crate::policy::StubDenominator::{Aligned, Imagined};
        let aligned = period("2025-02-10", "2025-03-10");
        let imagined = period("2025-02-15", "2025-03-15");
        for (start, is_backdated, policy, expect) in [
            ("2025-02-15", false, Aligned, aligned),
            ("2025-02-15", true, Aligned, imagined),
            ("2025-02-15", false, Imagined, imagined),
            // What begins on a boundary is no stub.
            ("2025-02-10", true, Aligned, aligned),
            ("2025-02-10", false, Imagined, aligned),
        ] {
            let found = whole(start, is_backdated, policy);
            assert_eq!(found, expect, "{start}, {is_backdated}, {policy:?}");
        }
    }
}
