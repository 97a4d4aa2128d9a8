//! Invoice items: amounts that wait for an invoice, or were put on a draft (rule 8.5).

use super::{Derivation, InvoiceId, InvoiceItemId, Line};
use crate::Patch;
use crate::catalog::{Price, PriceId};
use crate::customer::CustomerId;
use crate::discount::{Discount, DiscountAmount, DiscountId, DiscountInput, DiscountList};
use crate::subscription::{SubscriptionId, SubscriptionItemId};
use crate::tax::TaxRateId;
use crate::text;
use counterfoil_core::{
    Currency, Decimal12, Exact, Metadata, MetadataPatch, Period, Refusal, Timestamp, limits,
};
use serde::{Deserialize, Serialize};

/// An amount that waits for an invoice, or was put on a draft.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InvoiceItem {
    /// Its id.
    pub id: InvoiceItemId,
    /// Its place in the order of creation over all objects of the book.
    pub seq: u64,
    /// Who pays.
    pub customer: CustomerId,
    /// The subscription whose invoices alone may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The item of the subscription that it charges or credits, where the book made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription_item: Option<SubscriptionItemId>,
    /// Whether the amount is for a part of a period (rule 6.6).
    #[serde(default, skip_serializing_if = "crate::is_default")]
    pub proration: bool,
    /// How the amount came about, where the book made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub derivation: Option<Derivation>,
    /// The draft that took it; it waits where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
    /// The currency.
    pub currency: Currency,
    /// The amount in minor units; signed.
    pub amount: i64,
    /// The quantity that the amount is for.
    pub quantity: Decimal12,
    /// The price of one, in minor units, where the amount was computed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount: Option<Decimal12>,
    /// The price it was computed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// What a person reads where there is no description: the name of the product.
    pub name: String,
    /// What a person reads, in the caller's words; personal.
    #[serde(skip)]
    pub description: Option<String>,
    /// The period that is served.
    pub period: Period,
    /// Whether discounts apply.
    pub discountable: bool,
    /// The discounts on it, which apply before those of the invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discounts: Vec<Discount>,
    /// What discounts take off it, where that was fixed when it was made: beside a proration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discount_amounts: Vec<DiscountAmount>,
    /// What discounts took off its amount before it was made (point 30).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub included_discounts: Vec<DiscountAmount>,
    /// Discounts of the invoice that do not apply to it: it is usage of a phase that was over when they
    /// began (rule 7).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub spared_discounts: Vec<DiscountId>,
    /// Its tax rates, which replace those of the invoice.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tax_rates: Vec<TaxRateId>,
    /// When it was created.
    pub created: Timestamp,
    /// Metadata (rule 1.6); personal.
    #[serde(skip)]
    pub metadata: Metadata,
}

/// `invoiceitem.create`: with `amount`, or with `price` or `unit_amount_decimal` and a quantity.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateInvoiceItem {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<InvoiceItemId>,
    /// Who pays.
    pub customer: CustomerId,
    /// The amount in minor units; negative for a credit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// The currency; the customer's where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub currency: Option<Currency>,
    /// A one-time price per unit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<PriceId>,
    /// The price of one, in minor units.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit_amount_decimal: Option<Decimal12>,
    /// How many; 1 where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// How many, with a fraction; instead of `quantity`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity_decimal: Option<Decimal12>,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// A draft to put it on at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice: Option<InvoiceId>,
    /// The subscription whose invoices alone may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscription: Option<SubscriptionId>,
    /// The period that is served; the instant of creation where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodInput>,
    /// Whether discounts apply; where absent, unless the amount is negative.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discountable: Option<bool>,
    /// The discounts on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discounts: Option<Vec<DiscountInput>>,
    /// Its tax rates, instead of those of the invoice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_rates: Option<Vec<TaxRateId>>,
    /// Metadata (rule 1.6).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
}

/// A period as a caller gives it.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeriodInput {
    /// Its first second.
    pub start: Timestamp,
    /// The first second after it; not before `start`.
    pub end: Timestamp,
}

/// `invoiceitem.update`: only while it waits or its invoice is a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateInvoiceItem {
    /// Which item.
    pub id: InvoiceItemId,
    /// A new amount, which replaces any computed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// A new quantity of the unit amount it has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quantity: Option<i64>,
    /// What a person reads.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The period that is served.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodInput>,
    /// Whether discounts apply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discountable: Option<bool>,
    /// The discounts on it.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub discounts: DiscountList,
    /// Its tax rates, instead of those of the invoice.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub tax_rates: Patch<Vec<TaxRateId>>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
}

impl UpdateInvoiceItem {
    /// An update of nothing, to be filled in.
    #[must_use]
    pub fn new(id: InvoiceItemId) -> Self {
        Self {
            id,
            amount: None,
            quantity: None,
            description: None,
            period: None,
            discountable: None,
            discounts: Patch::Keep,
            tax_rates: Patch::Keep,
            metadata: Patch::Keep,
        }
    }
}

/// `invoiceitem.delete`: only while it waits or its invoice is a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteInvoiceItem {
    /// Which item.
    pub id: InvoiceItemId,
}

impl InvoiceItem {
    /// Takes what a line says, so that the next invoice has that line.
    pub fn take(&mut self, line: Line) {
        self.subscription_item = line.subscription_item;
        self.proration = line.proration;
        self.name = line.name;
        self.amount = line.amount;
        self.quantity = line.quantity;
        self.unit_amount = line.unit_amount;
        self.price = line.price;
        self.period = line.period;
        self.discountable = line.discountable && !line.proration;
        self.discounts = line.discounts;
        self.discount_amounts = line.discount_amounts;
        self.included_discounts = line.included_discounts;
        self.spared_discounts = line.spared_discounts;
        self.tax_rates = line.tax_rates;
        self.derivation = Some(line.derivation);
    }

    /// The amount less the discounts that were fixed beside it, in minor units.
    #[must_use]
    pub fn net_amount(&self) -> i64 {
        let discounts = self.discount_amounts.iter().map(|discount| discount.amount);
        discounts.fold(self.amount, i64::saturating_sub)
    }

    /// What a person reads.
    #[must_use]
    pub fn text(&self) -> &str {
        self.description.as_deref().unwrap_or(&self.name)
    }
}

impl CreateInvoiceItem {
    /// An amount for a customer, in the customer's currency.
    #[must_use]
    pub fn amount(customer: CustomerId, amount_minor: i64) -> Self {
        Self {
            id: None,
            customer,
            amount: Some(amount_minor),
            currency: None,
            price: None,
            unit_amount_decimal: None,
            quantity: None,
            quantity_decimal: None,
            description: None,
            invoice: None,
            subscription: None,
            period: None,
            discountable: None,
            discounts: None,
            tax_rates: None,
            metadata: None,
        }
    }
}

/// Makes an item. The caller has found the price, the draft and the subscription that it names.
///
/// # Errors
/// [`Refusal`] for anything but exactly one basis of its amount, and for amounts out of range.
pub fn decide_create_item(
    command: &CreateInvoiceItem,
    id: InvoiceItemId,
    seq: u64,
    currency: Currency,
    price: Option<(&Price, &str)>,
    at: Timestamp,
) -> Result<InvoiceItem, Refusal> {
    let quantity = item_quantity(command)?;
    let unit_amount = match (command.amount, price, command.unit_amount_decimal) {
        (Some(_), None, None) => None,
        (None, Some((price, _)), None) => Some(one_time_unit_amount(price, currency)?),
        (None, None, Some(unit)) => Some(unit),
        (None, None, None) => return Err(Refusal::missing("amount")),
        _ => {
            let reason = "give exactly one of amount, price and unit_amount_decimal";
            return Err(Refusal::invalid("amount", reason));
        }
    };
    let amount = match (command.amount, unit_amount) {
        (Some(amount), _) => amount,
        (None, Some(unit)) => times(unit, quantity)?,
        (None, None) => return Err(Refusal::missing("amount")),
    };
    if command.amount.is_some() && quantity != Decimal12::ONE {
        return Err(Refusal::invalid("quantity", "an amount is for a quantity of 1"));
    }
    check_amount(amount)?;
    text::check_optional("description", command.description.as_deref())?;
    let name = price.map_or("Invoice item", |(_, product_name)| product_name);
    Ok(InvoiceItem {
        id,
        seq,
        customer: command.customer.clone(),
        subscription: command.subscription.clone(),
        subscription_item: None,
        proration: false,
        derivation: None,
        invoice: command.invoice.clone(),
        currency,
        amount,
        quantity,
        unit_amount,
        price: command.price.clone(),
        name: name.to_owned(),
        description: command.description.clone(),
        period: command.period.map_or(Ok(Period::instant(at)), checked_period)?,
        discountable: command.discountable.unwrap_or(amount >= 0),
        discounts: Vec::new(),
        discount_amounts: Vec::new(),
        included_discounts: Vec::new(),
        spared_discounts: Vec::new(),
        tax_rates: Vec::new(),
        created: at,
        metadata: Metadata::of(command.metadata.as_ref())?,
    })
}

/// Changes an item that [`check_editable`] lets pass.
///
/// # Errors
/// [`Refusal::ParameterInvalid`] for amounts out of range and for a quantity without a unit amount.
pub fn decide_update_item(
    item: &InvoiceItem,
    command: &UpdateInvoiceItem,
) -> Result<InvoiceItem, Refusal> {
    let mut item = item.clone();
    let recomputes =
        command.amount.is_some() || command.quantity.is_some() || command.period.is_some();
    if item.derivation.is_some() && recomputes {
        let reason = "its amount follows from a change of its subscription; delete it instead";
        return Err(Refusal::invalid("amount", reason));
    }
    if let Some(quantity) = command.quantity {
        let unit = item.unit_amount.ok_or_else(|| {
            Refusal::invalid("quantity", "the item has an amount, not a price of one")
        })?;
        check_quantity(quantity)?;
        item.quantity = Decimal12::from_int(quantity);
        item.amount = times(unit, item.quantity)?;
    }
    if let Some(amount) = command.amount {
        if command.quantity.is_some() {
            return Err(Refusal::invalid("amount", "give an amount or a quantity, not both"));
        }
        item.amount = amount;
        (item.quantity, item.unit_amount) = (Decimal12::ONE, None);
    }
    check_amount(item.amount)?;
    item.discountable = command.discountable.unwrap_or(item.discountable);
    if let Some(description) = &command.description {
        text::check("description", description)?;
        item.description = Some(description.clone());
    }
    if let Some(period) = command.period {
        item.period = checked_period(period)?;
    }
    item.metadata = text::patched_metadata(&item.metadata, &command.metadata)?;
    Ok(item)
}

/// Refuses to change an item whose invoice is no longer a draft. Items of finalized invoices are
/// gone: the invoice has them as lines.
///
/// # Errors
/// [`Refusal::InvoiceNotEditable`].
pub fn check_editable(item: &InvoiceItem, invoice: Option<&super::Invoice>) -> Result<(), Refusal> {
    match (&item.invoice, invoice) {
        (None, _) => Ok(()),
        (Some(_), Some(invoice)) => super::check_draft(invoice),
        (Some(id), None) => Err(Refusal::unknown("invoice", id)),
    }
}

fn item_quantity(command: &CreateInvoiceItem) -> Result<Decimal12, Refusal> {
    match (command.quantity, command.quantity_decimal) {
        (None, None) => Ok(Decimal12::ONE),
        (Some(quantity), None) => {
            check_quantity(quantity)?;
            Ok(Decimal12::from_int(quantity))
        }
        (None, Some(quantity))
            if !quantity.is_negative() && quantity <= Decimal12::from_int(limits::QUANTITY_MAX) =>
        {
            Ok(quantity)
        }
        (None, Some(_)) => {
            let reason = format!("a quantity is 0 to {}", limits::QUANTITY_MAX);
            Err(Refusal::invalid("quantity_decimal", reason))
        }
        (Some(_), Some(_)) => {
            Err(Refusal::invalid("quantity", "give quantity or quantity_decimal, not both"))
        }
    }
}

fn check_quantity(quantity: i64) -> Result<(), Refusal> {
    if (0..=limits::QUANTITY_MAX).contains(&quantity) {
        return Ok(());
    }
    let reason = format!("{quantity} is not a quantity from 0 to {}", limits::QUANTITY_MAX);
    Err(Refusal::invalid("quantity", reason))
}

fn one_time_unit_amount(price: &Price, currency: Currency) -> Result<Decimal12, Refusal> {
    if !price.active {
        return Err(Refusal::PriceInactive { id: price.id.to_string() });
    }
    if price.recurring.is_some() {
        return Err(Refusal::invalid("price", format!("{} is recurring, not one_time", price.id)));
    }
    price.scheme_in(currency)?.unit_amount_decimal().ok_or_else(|| {
        let reason = format!("{} has no unit amount in {currency}", price.id);
        Refusal::invalid("price", reason)
    })
}

fn times(unit: Decimal12, quantity: Decimal12) -> Result<i64, Refusal> {
    Ok(Exact::from_decimal(unit).checked_mul(Exact::from_decimal(quantity))?.round()?)
}

fn check_amount(amount: i64) -> Result<(), Refusal> {
    if amount.unsigned_abs() > limits::AMOUNT_MINOR_MAX.unsigned_abs() {
        return Err(Refusal::too_large(format!("amount {amount}"), limits::AMOUNT_MINOR_MAX));
    }
    Ok(())
}

fn checked_period(input: PeriodInput) -> Result<Period, Refusal> {
    if input.end < input.start {
        return Err(Refusal::invalid("period.end", "a period does not end before it starts"));
    }
    Ok(Period::new(input.start, input.end))
}
