//! What is true of every book after every record, each under its own name (rule 19).

use crate::State;
use crate::closed::InvoiceHead;
use crate::late::is_superseded;
use crate::shard::Shard;
use counterfoil_billing::discount::{DiscountAmount, DiscountId};
use counterfoil_billing::invoice::{Charge, Derivation, Invoice, InvoiceStatus, ShippingCost};
use counterfoil_billing::subscription::{SubscriptionItemId, SubscriptionStatus};
use counterfoil_billing::tax::TaxRateId;
use counterfoil_core::{Currency, Period, Timestamp};
pub use counterfoil_journal::InvariantViolation;
use counterfoil_journal::{
    invariant_customer_balance_equals, invariant_receivables_equal,
    invariant_schedules_equal_deferred_revenue, invariant_trial_balance_balances,
};
use std::collections::{BTreeMap, BTreeSet};

type Check = Result<(), InvariantViolation>;

fn violated(name: &'static str, detail: impl Into<String>) -> Check {
    Err(InvariantViolation { name, detail: detail.into() })
}

/// Checks everything; `at` is the date of the trial balance.
///
/// # Errors
/// The first violation.
pub fn check_all(state: &State, at: Timestamp) -> Check {
    for shard in state.shards() {
        check_customer(state, shard)?;
    }
    check_book(state, at)
}

/// Checks one customer and what it owns.
///
/// # Errors
/// The first violation.
pub fn check_customer(state: &State, shard: &Shard) -> Check {
    invariant_balance_is_the_sum_of_its_transactions(shard)?;
    invariant_invoice_numbers_have_no_gap(shard)?;
    for invoice in shard.invoices() {
        invariant_invoice_amounts_follow_from_its_lines(&invoice)?;
        invariant_discounts_and_taxes_add_up(&invoice)?;
    }
    invariant_credit_notes_fit_their_invoices(shard)?;
    invariant_corrections_bill_nothing_twice(shard)?;
    invariant_usage_is_billed_once(shard)?;
    invariant_periods_end_on_boundaries(state, shard)?;
    invariant_customer_owns_what_it_holds(state, shard)
}

/// Checks what concerns the book as a whole.
///
/// # Errors
/// The first violation.
pub fn check_book(state: &State, at: Timestamp) -> Check {
    invariant_due_work_follows_from_the_objects(state)?;
    invariant_journal_took_every_event(state)?;
    invariant_schedules_equal_deferred_revenue(state.journal())?;
    invariant_trial_balance_balances(state.journal(), at)?;
    invariant_journal_agrees_with_the_documents(state)
}

/// Rule 19.1: a balance is the sum of its transactions, and each ending balance chains.
///
/// # Errors
/// Where it is not so.
pub fn invariant_balance_is_the_sum_of_its_transactions(shard: &Shard) -> Check {
    let name = "balance_is_the_sum_of_its_transactions";
    let mut sums: BTreeMap<Currency, i64> = BTreeMap::new();
    for transaction in shard.balance_transactions() {
        let sum = sums.entry(transaction.currency).or_default();
        *sum = sum.saturating_add(transaction.amount);
        if *sum != transaction.ending_balance {
            let id = &transaction.id;
            return violated(
                name,
                format!("{id} ends at {}, not {sum}", transaction.ending_balance),
            );
        }
    }
    let customer = shard.customer();
    for (currency, balance) in &customer.balances {
        let sum = sums.get(currency).copied().unwrap_or_default();
        if sum != *balance {
            return violated(name, format!("{}: {balance} {currency}, not {sum}", customer.id));
        }
    }
    Ok(())
}

/// Rule 19.2: the lines of a finalized invoice reproduce its totals, what was due follows from the
/// total and the balance, and nothing negative remains.
///
/// # Errors
/// Where it is not so.
pub fn invariant_invoice_amounts_follow_from_its_lines(invoice: &Invoice) -> Check {
    let name = "invoice_amounts_follow_from_its_lines";
    if invoice.status == InvoiceStatus::Draft {
        return Ok(());
    }
    let id = &invoice.id;
    let (subtotal, total) = reproduced(invoice);
    if (subtotal, total) != (invoice.subtotal.into(), invoice.total.into()) {
        let kept = (invoice.subtotal, invoice.total);
        return violated(name, format!("{id}: {subtotal}, {total} of its lines, not {kept:?}"));
    }
    let (Some(start), Some(end)) = (invoice.starting_balance, invoice.ending_balance) else {
        return violated(name, format!("{id} is finalized without balances"));
    };
    let wide = |amount: i64| i128::from(amount);
    let taken = wide(end).saturating_sub(wide(start));
    let noted = wide(invoice.pre_payment_credit_notes_amount);
    if wide(invoice.amount_due).saturating_add(noted).saturating_add(taken) != wide(invoice.total) {
        let due = invoice.amount_due;
        return violated(name, format!("{id}: {due} due and {taken} taken of {}", invoice.total));
    }
    if invoice.amount_remaining() < 0 || invoice.amount_due < 0 {
        return violated(name, format!("{id}: {} remaining", invoice.amount_remaining()));
    }
    if invoice.status == InvoiceStatus::Paid && invoice.amount_remaining() != 0 {
        return violated(
            name,
            format!("{id} is paid with {} remaining", invoice.amount_remaining()),
        );
    }
    Ok(())
}

/// Subtotal and total as the lines of an invoice and its shipping give them (rule 8.4, point 49).
fn reproduced(invoice: &Invoice) -> (i128, i128) {
    let (mut subtotal, mut total) = (0_i128, 0_i128);
    for line in invoice.lines() {
        let amount = i128::from(line.amount);
        let own = |discount: &DiscountAmount| {
            let on_invoice = invoice.discounts.iter().any(|own| own.id == discount.discount);
            if on_invoice { 0 } else { i128::from(discount.amount) }
        };
        let own: i128 = line.discount_amounts.iter().map(own).sum();
        let added = line.taxes.iter().map(|tax| {
            let on_top = if tax.inclusive { 0 } else { i128::from(tax.amount) };
            on_top.saturating_sub(tax.waived.into())
        });
        let net = amount.saturating_sub(line.discounted().into());
        subtotal = subtotal.saturating_add(amount.saturating_sub(own));
        total = total.saturating_add(net).saturating_add(added.sum());
    }
    let shipping = invoice.shipping_cost.as_ref().map_or(0, ShippingCost::amount_total);
    (subtotal, total.saturating_add(shipping.into()))
}

/// Rule 19.8: what each discount takes off the lines adds up to its total, no line is left below 0 by
/// one, and what each rate takes of the lines and of shipping adds up to its total.
///
/// # Errors
/// Where it is not so.
pub fn invariant_discounts_and_taxes_add_up(invoice: &Invoice) -> Check {
    let name = "discounts_and_taxes_add_up";
    let mut discounts: BTreeMap<&DiscountId, i128> = BTreeMap::new();
    let mut taxes: BTreeMap<&TaxRateId, (i128, i128)> = BTreeMap::new();
    for line in invoice.lines() {
        let left = line.amount.saturating_sub(line.discounted());
        if line.amount >= 0 && left < 0 {
            return violated(name, format!("{}: {left} is left of {}", line.id, line.amount));
        }
        for own in &line.discount_amounts {
            let sum = discounts.entry(&own.discount).or_default();
            *sum = sum.saturating_add(own.amount.into());
        }
    }
    let of_shipping = invoice.shipping_cost.iter().flat_map(|cost| &cost.taxes);
    for tax in invoice.lines().flat_map(|line| &line.taxes).chain(of_shipping) {
        let (sum, waived) = taxes.entry(&tax.tax_rate).or_default();
        *sum = sum.saturating_add(tax.amount.into());
        *waived = waived.saturating_add(tax.waived.into());
    }
    if invoice.status == InvoiceStatus::Draft {
        return Ok(());
    }
    let id = &invoice.id;
    let totals = invoice.total_discount_amounts.iter();
    let totals: BTreeMap<_, _> = totals.map(|own| (&own.discount, own.amount.into())).collect();
    if totals != discounts {
        return violated(name, format!("{id}: discounts {discounts:?}, not {totals:?}"));
    }
    let totals = invoice.total_taxes.iter();
    let totals: BTreeMap<_, (i128, i128)> =
        totals.map(|tax| (&tax.tax_rate, (tax.amount.into(), tax.waived.into()))).collect();
    if totals != taxes {
        return violated(name, format!("{id}: taxes {taxes:?}, not {totals:?}"));
    }
    Ok(())
}

/// Rule 19.9: what credit notes took off before payment was due, what they take off in all is no more
/// than the invoice came to, and what they gave back is exactly what was paid of them; the invoice
/// knows both.
///
/// # Errors
/// Where it is not so.
pub fn invariant_credit_notes_fit_their_invoices(shard: &Shard) -> Check {
    let name = "credit_notes_fit_their_invoices";
    for note in shard.credit_notes() {
        let parts = [note.refund_amount, note.credit_amount(), note.out_of_band_amount];
        let given: i128 = parts.into_iter().map(i128::from).sum();
        let (pre, post) = (note.pre_payment_amount, note.post_payment_amount);
        if given != i128::from(post) || pre.saturating_add(post) != note.total || note.total <= 0 {
            let detail = format!("{}: {pre} and {post} of {}, {given} given", note.id, note.total);
            return violated(name, detail);
        }
        let lines = note.lines.iter().map(|line| i128::from(line.total())).sum::<i128>();
        if !note.lines.is_empty() && lines != i128::from(note.total) {
            return violated(name, format!("{}: lines {lines} of {}", note.id, note.total));
        }
    }
    for invoice in shard.invoices() {
        let notes = shard.credit_notes_on(&invoice.id);
        let notes = || notes.iter().filter(|note| note.is_issued());
        let pre: i64 = notes().map(|note| note.pre_payment_amount).sum();
        let post: i64 = notes().map(|note| note.post_payment_amount).sum();
        let total: i64 = notes().map(|note| note.total).sum();
        let known =
            (invoice.pre_payment_credit_notes_amount, invoice.post_payment_credit_notes_amount);
        let due = invoice.amount_due.saturating_add(pre);
        if known != (pre, post) || pre > due || total > invoice.total.max(0) {
            let detail = format!("{}: {pre} and {post} of {total}, not {known:?}", invoice.id);
            return violated(name, detail);
        }
    }
    Ok(())
}

/// Rule 12.8: what a correction bills anew was credited whole on the invoice that had billed it, unless
/// that one is void.
///
/// # Errors
/// Where it is not so.
pub fn invariant_corrections_bill_nothing_twice(shard: &Shard) -> Check {
    let name = "corrections_bill_nothing_twice";
    for own in shard.invoices.with_heads(InvoiceHead::corrects) {
        let Some(correction) = &own.corrects else { continue };
        let Some(invoice) = shard.invoices.get(&correction.invoice).filter(|own| own.counts())
        else {
            continue;
        };
        for line in invoice.lines().filter(|line| is_superseded(shard, &invoice.id, line)) {
            let notes = shard.credit_notes_on(&invoice.id);
            let notes = notes.iter().filter(|note| note.is_issued() && note.correction.is_some());
            let lines = notes.flat_map(|note| &note.lines);
            let own = lines.filter(|own| own.invoice_line() == Some(&line.id));
            let credited = own.map(|own| i128::from(own.amount)).sum::<i128>();
            if credited != i128::from(line.amount) {
                let detail = format!("{}: {credited} credited of {}", line.id, line.amount);
                return violated(name, detail);
            }
        }
    }
    Ok(())
}

/// Rules 6.7 and 6.13: no second of an item's usage is billed twice, or waits to be. Tiers share one
/// reading of one period, and what a threshold billed ahead of its end is taken back by the next
/// invoice.
///
/// # Errors
/// Where it is not so.
pub fn invariant_usage_is_billed_once(shard: &Shard) -> Check {
    let invoices = shard.invoices();
    let mut periods: BTreeMap<&SubscriptionItemId, BTreeSet<Period>> = BTreeMap::new();
    let mut note = |item, period: Period| {
        if !period.is_empty() {
            periods.entry(item).or_default().insert(period);
        }
    };
    let of_usage = |derivation: &Derivation| matches!(derivation, Derivation::Metered { .. });
    for invoice in &invoices {
        for charge in &invoice.charges {
            match charge {
                Charge::Usage(usage) => note(&usage.subscription_item, usage.period),
                Charge::Line(line)
                    if invoice.status != InvoiceStatus::Void
                        && !invoice.bills_ahead_of_period_end()
                        && of_usage(&line.derivation) =>
                {
                    line.subscription_item.iter().for_each(|item| note(item, line.period));
                }
                _ => {}
            }
        }
    }
    for own in shard.invoice_items() {
        if own.derivation.as_ref().is_some_and(of_usage) {
            own.subscription_item.iter().for_each(|item| note(item, own.period));
        }
    }
    for subscription in shard.subscriptions().into_iter().filter(|own| !own.is_ended()) {
        for closed in &subscription.closed_usage {
            note(&closed.charge.subscription_item, closed.charge.period);
        }
        if subscription.bills_usage() {
            let metered = subscription.items.iter().filter(|item| item.quantity.is_none());
            metered.for_each(|item| note(&item.id, item.usage_period()));
        }
    }
    for (item, periods) in periods {
        let mut until = Timestamp::MIN;
        for period in periods {
            if period.start < until {
                let detail = format!("{item}: {period}, of which usage until {until} is billed");
                return violated("usage_is_billed_once", detail);
            }
            until = period.end;
        }
    }
    Ok(())
}

/// Point 46: the numbers of a customer's finalized invoices are distinct, and as many as its
/// sequence has moved on.
///
/// # Errors
/// Where it is not so.
pub fn invariant_invoice_numbers_have_no_gap(shard: &Shard) -> Check {
    let name = "invoice_numbers_have_no_gap";
    let mut sequences = BTreeSet::new();
    for invoice in shard.invoices() {
        let Some(number) = &invoice.number else { continue };
        let sequence = number.rsplit('-').next().and_then(|n| n.parse::<u64>().ok());
        let Some(sequence) = sequence else {
            return violated(name, format!("{}: number {number}", invoice.id));
        };
        if !sequences.insert(sequence) {
            return violated(name, format!("{}: number {number} twice", invoice.id));
        }
    }
    let (Some(first), Some(last)) = (sequences.first(), sequences.last()) else { return Ok(()) };
    let span = last.saturating_sub(*first).saturating_add(1);
    let next = shard.customer().next_invoice_sequence;
    if u64::try_from(sequences.len()) != Ok(span) || last.saturating_add(1) != next {
        let customer = &shard.customer().id;
        return violated(name, format!("{customer}: {first} to {last}, next is {next}"));
    }
    Ok(())
}

/// Rule 19.7: the period of every live item ends on a boundary of the anchor, with the agreed end
/// before that, or with the trial, and is not empty. While a subscription is paused its items have
/// no period that counts.
///
/// # Errors
/// Where it is not so.
pub fn invariant_periods_end_on_boundaries(state: &State, shard: &Shard) -> Check {
    let name = "periods_end_on_boundaries";
    for subscription in shard.subscriptions() {
        if subscription.is_ended() || subscription.status == SubscriptionStatus::Paused {
            continue;
        }
        for item in &subscription.items {
            if item.period.is_empty() {
                return violated(name, format!("{}: empty period {}", item.id, item.period));
            }
            if subscription.status == SubscriptionStatus::Trialing {
                if Some(item.period.end) != subscription.trial.map(|trial| trial.end) {
                    return violated(name, format!("{} outlives its trial", item.id));
                }
                continue;
            }
            let interval = state.price(&item.price).ok().and_then(|price| price.interval());
            let next = interval.and_then(|interval| {
                subscription.anchor.next_boundary_after(interval, item.period.start).ok()
            });
            let next = next.map(|next| subscription.cancel_at.map_or(next, |end| end.min(next)));
            if next != Some(item.period.end) {
                return violated(name, format!("{}: {} off its anchor", item.id, item.period));
            }
        }
    }
    Ok(())
}

/// Every object of a customer is found under the customer.
///
/// # Errors
/// Where it is not so.
pub fn invariant_customer_owns_what_it_holds(state: &State, shard: &Shard) -> Check {
    let name = "customer_owns_what_it_holds";
    let customer = &shard.customer().id;
    for subscription in shard.subscriptions() {
        if state.owners.subscriptions.get(&subscription.id).as_deref() != Some(customer) {
            return violated(name, format!("{} is not found", subscription.id));
        }
    }
    for invoice in shard.invoices() {
        if state.owners.invoices.get(&invoice.id).as_deref() != Some(customer) {
            return violated(name, format!("{} is not found", invoice.id));
        }
        let attempt = invoice.open_attempt.as_ref();
        if attempt.is_some_and(|a| state.owners.attempts.get(&a.id) != Some(&invoice.id)) {
            return violated(name, format!("the attempt of {} is not found", invoice.id));
        }
    }
    for item in shard.invoice_items() {
        let home = state.owners.invoice_items.get(&item.id);
        if home.is_none_or(|home| home.customer != *customer || home.billed.is_some()) {
            return violated(name, format!("{} is not found", item.id));
        }
    }
    Ok(())
}

/// What is due is exactly what the objects say.
///
/// # Errors
/// Where it is not so.
pub fn invariant_due_work_follows_from_the_objects(state: &State) -> Check {
    let mut expected = BTreeSet::new();
    for shard in state.shards() {
        if shard.customer().parked.is_some() {
            continue;
        }
        expected.extend(shard.due_work());
    }
    let actual: BTreeSet<_> = state.due.iter().collect();
    if actual == expected {
        return Ok(());
    }
    let difference: Vec<_> = actual.symmetric_difference(&expected).take(3).collect();
    violated("due_work_follows_from_the_objects", format!("{difference:?}"))
}

/// No event was left out of the journal for contradicting itself.
///
/// # Errors
/// Where one was.
pub fn invariant_journal_took_every_event(state: &State) -> Check {
    match &state.journal_fault {
        None => Ok(()),
        Some(fault) => violated("journal_took_every_event", fault.clone()),
    }
}

/// Receivables are the open remainders of the invoices, and what customers owe or have is the sum
/// of their balances, in every currency.
///
/// # Errors
/// Where it is not so.
pub fn invariant_journal_agrees_with_the_documents(state: &State) -> Check {
    let mut open: BTreeMap<Currency, i128> = BTreeMap::new();
    let mut balances: BTreeMap<Currency, i128> = BTreeMap::new();
    for shard in state.shards() {
        for (currency, balance) in &shard.customer().balances {
            let sum = balances.entry(*currency).or_default();
            *sum = sum.saturating_add(i128::from(*balance));
        }
        for invoice in shard.invoices() {
            if invoice.status == InvoiceStatus::Open {
                let sum = open.entry(invoice.currency).or_default();
                *sum = sum.saturating_add(i128::from(invoice.amount_remaining()));
            }
        }
    }
    let mut currencies: BTreeSet<Currency> = state.journal().currencies().collect();
    currencies.extend(open.keys().chain(balances.keys()));
    for currency in currencies {
        let of = |sums: &BTreeMap<Currency, i128>| sums.get(&currency).copied().unwrap_or_default();
        invariant_receivables_equal(state.journal(), currency, of(&open))?;
        invariant_customer_balance_equals(state.journal(), currency, of(&balances))?;
    }
    Ok(())
}
