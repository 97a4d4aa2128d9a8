//! Reading a draft: the lines that it would have if it were finalized now.

use crate::{State, UsageSource};
use counterfoil_billing::catalog::Price;
use counterfoil_billing::customer::settle;
use counterfoil_billing::invoice::{
    Charge, Derivation, Invoice, InvoiceItem, InvoiceStatus, Line, Numbered,
};
use counterfoil_core::{Id, Refusal, kind};
use std::sync::Arc;

/// An invoice as it reads: a draft with the lines and totals that finalizing it now would give.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvoiceView {
    /// The invoice. For a draft, its amounts are those of its lines as they stand.
    pub invoice: Invoice,
    /// Its lines, in order.
    pub lines: Vec<Arc<Line>>,
    /// Why a draft has no lines as it stands: finalizing it would be refused for this.
    pub refused: Option<Refusal>,
}

/// Why no invoice takes some usage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UnbilledReason {
    /// It came after the invoice of its period was finalized.
    Late,
    /// It lies in a trial.
    Trial,
    /// The subscription was canceled, and its usage not invoiced.
    Canceled,
    /// Its item got another price, or was removed, and the change dropped it (rule 6.7).
    Changed,
    /// It lies in a pause of the subscription.
    Paused,
    /// No subscription of the customer covered it.
    NoSubscription,
}

impl UnbilledReason {
    /// The reason in files: `late`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Late => "late",
            Self::Trial => "trial",
            Self::Canceled => "canceled",
            Self::Changed => "changed",
            Self::Paused => "paused",
            Self::NoSubscription => "no_subscription",
        }
    }
}

impl State {
    /// The lines that a draft's charges come to: the very computation that finalizes it.
    ///
    /// # Errors
    /// [`Refusal::AmountTooLarge`] where an amount is out of range.
    pub fn resolve(
        &self,
        invoice: &Invoice,
        usage: &dyn UsageSource,
        ids: &mut dyn Numbered,
    ) -> Result<Vec<Arc<Line>>, Refusal> {
        let mut lines = Vec::with_capacity(invoice.charges.len());
        for charge in &invoice.charges {
            match charge {
                Charge::Line(line) => lines.push(line.clone()),
                Charge::Item(id) => {
                    lines.push(Arc::new(item_line(self.invoice_item(id)?, ids)));
                }
                Charge::LateUsage(charge) => {
                    let place = (&invoice.customer, invoice.currency);
                    lines.extend(self.late_line(charge, place, usage, ids)?.map(Arc::new));
                }
                Charge::Usage(charge) => {
                    let terms = (&invoice.customer, invoice.currency, &invoice.discounts[..]);
                    let usage = self.lines_of_usage(charge, terms, usage, ids)?;
                    lines.extend(usage.into_iter().map(Arc::new));
                }
            }
        }
        Ok(lines)
    }

    /// An invoice as it reads now.
    ///
    /// # Errors
    /// [`Refusal::ResourceMissing`], or [`Refusal::AmountTooLarge`] for a draft.
    pub fn view(
        &self,
        id: &counterfoil_billing::invoice::InvoiceId,
        usage: &dyn UsageSource,
    ) -> Result<InvoiceView, Refusal> {
        let mut invoice = Arc::unwrap_or_clone(self.invoice(id)?);
        if invoice.status != InvoiceStatus::Draft {
            let lines = invoice.lines().cloned().collect();
            return Ok(InvoiceView { invoice, lines, refused: None });
        }
        let mut ids = Provisional(0);
        let totals = match self.totals(&invoice, usage, &mut ids) {
            Ok(totals) => totals,
            Err(refusal @ Refusal::AmountTooLarge { .. }) => {
                return Ok(InvoiceView { invoice, lines: Vec::new(), refused: Some(refusal) });
            }
            Err(refusal) => return Err(refusal),
        };
        (invoice.subtotal, invoice.total) = (totals.subtotal, totals.total);
        invoice.total_discount_amounts = totals.total_discount_amounts;
        invoice.total_taxes = totals.total_taxes;
        invoice.shipping_cost = totals.shipping_cost;
        invoice.customer_tax_exempt = self.customer(&invoice.customer)?.tax_exempt;
        let (lines, total) = (totals.lines, totals.total);
        let balance = self.customer(&invoice.customer)?.balance(invoice.currency);
        let settled = settle(total, balance, invoice.currency)?;
        (invoice.starting_balance, invoice.ending_balance) =
            (Some(balance), Some(settled.ending_balance));
        invoice.amount_due = settled.amount_due;
        Ok(InvoiceView { invoice, lines, refused: None })
    }

    /// A price with the name that its lines bear: that of its product.
    pub(crate) fn named_price(
        &self,
        id: &counterfoil_billing::catalog::PriceId,
    ) -> Result<(&Price, &str), Refusal> {
        let price = self.price(id)?;
        let name = match &price.nickname {
            Some(nickname) => nickname,
            None => &self.product(&price.product)?.name,
        };
        Ok((price, name))
    }
}

/// Ids of lines that are shown but not yet fixed.
#[derive(Default)]
pub(crate) struct Provisional(u64);

impl Numbered for Provisional {
    fn balance_transaction(&mut self) -> Id<kind::CustomerBalanceTransaction> {
        self.0 = self.0.saturating_add(1);
        Id::numbered(0, self.0)
    }

    fn line(&mut self) -> Id<kind::InvoiceLine> {
        self.0 = self.0.saturating_add(1);
        Id::numbered(0, self.0)
    }
}

fn item_line(item: &InvoiceItem, ids: &mut dyn Numbered) -> Line {
    let derivation = match (&item.derivation, item.unit_amount) {
        (Some(derivation), _) => derivation.clone(),
        (None, Some(_)) => Derivation::Item,
        (None, None) => Derivation::Given,
    };
    Line {
        description: item.description.clone(),
        quantity: item.quantity,
        unit_amount: item.unit_amount,
        price: item.price.clone(),
        proration: item.proration,
        subscription_item: item.subscription_item.clone(),
        invoice_item: Some(item.id.clone()),
        discountable: item.discountable,
        discounts: item.discounts.clone(),
        discount_amounts: item.discount_amounts.clone(),
        included_discounts: item.included_discounts.clone(),
        spared_discounts: item.spared_discounts.clone(),
        tax_rates: item.tax_rates.clone(),
        ..Line::new(ids.line(), item.name.clone(), item.amount, item.period, derivation)
    }
}
