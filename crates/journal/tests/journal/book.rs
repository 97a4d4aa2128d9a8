//! A customer and its invoices, driven through the deciders of the domain.

use counterfoil_billing::Event;
use counterfoil_billing::catalog::{PriceId, ProductId};
use counterfoil_billing::customer::{
    self, BalanceTransaction, BalanceTransactionKind, CreateBalanceTransaction, CreateCustomer,
    Customer, CustomerEvent,
};
use counterfoil_billing::discount::{Coupon, CouponId, Terms};
use counterfoil_billing::invoice::{
    self, Derivation, Invoice, InvoiceEvent, InvoiceLineId, InvoiceStatus, LatePayment, Line,
    Numbered,
};
use counterfoil_billing::tax::{TaxExempt, TaxRate, TaxRateId, TaxRounding};
use counterfoil_core::{Currency, Id, Metadata, Period, Refusal, Timestamp, kind};

/// Midnight of a day, or a second: `2024-02-01` or `2024-02-01T12:00:00`.
pub fn at(text: &str) -> Timestamp {
    let time = if text.len() == 10 { "T00:00:00Z" } else { "Z" };
    format!("{text}{time}").parse().unwrap()
}

/// Hands out ids in order.
#[derive(Default)]
struct Ids(u64);

impl Ids {
    fn next<K: counterfoil_core::Kind>(&mut self) -> Id<K> {
        self.0 += 1;
        Id::derived(self.0)
    }
}

impl Numbered for Ids {
    fn balance_transaction(&mut self) -> Id<kind::CustomerBalanceTransaction> {
        self.next()
    }

    fn line(&mut self) -> InvoiceLineId {
        self.next()
    }
}

/// A customer, its invoices and all events so far.
pub struct Book {
    pub customer: Customer,
    pub invoices: Vec<Invoice>,
    pub events: Vec<Event>,
    ids: Ids,
}

impl Book {
    pub fn new(created: Timestamp) -> Self {
        let customer = customer::decide_create(
            &CreateCustomer::default(),
            Id::derived(1),
            (1, 0),
            "ADA".to_owned(),
            Currency::USD,
            created,
        );
        let customer = customer.unwrap();
        let events = vec![Event::Customer(CustomerEvent::Created(customer.clone().into()))];
        Self { customer, invoices: Vec::new(), events, ids: Ids::default() }
    }

    /// Changes the balance by hand.
    pub fn adjust(&mut self, amount: i64, currency: Currency, at: Timestamp) {
        let command = CreateBalanceTransaction {
            customer: self.customer.id.clone(),
            amount,
            currency,
            description: None,
            metadata: None,
        };
        let (kind, id) = (BalanceTransactionKind::Adjustment, self.ids.next());
        let event =
            customer::decide_balance_transaction(&self.customer, &command, kind, id, at).unwrap();
        event.evolve(&mut self.customer);
        self.events.push(Event::Customer(event));
    }

    /// Finalizes an invoice for amounts over periods; its index is returned.
    pub fn invoice(&mut self, currency: Currency, lines: &[(i64, Period)], at: Timestamp) -> usize {
        let number = self.invoices.len() as u64 + 1;
        let customer = self.customer.id.clone();
        let mut invoice = Invoice::draft(Id::derived(number), number, customer, currency, at);
        let line = |&(amount, period): &(i64, Period)| self.line(amount, period).into();
        let lines = lines.iter().map(line).collect();
        let (exempt, rounding) = (TaxExempt::None, TaxRounding::Line);
        let totals = invoice::compute(&invoice, lines, exempt, rounding, &NoTerms).unwrap();
        let (customer, ids) = (&self.customer, &mut self.ids);
        let event = invoice::decide_finalize(&invoice, totals, customer, true, ids, at).unwrap();
        let event = InvoiceEvent::Finalized(event.into());
        event.evolve(&mut invoice);
        self.invoices.push(invoice);
        self.happened(event);
        self.invoices.len() - 1
    }

    fn line(&mut self, amount: i64, period: Period) -> Line {
        Line::new(self.ids.next(), "Plan".into(), amount, period, Derivation::Given)
    }

    /// Pays an invoice, if that is possible.
    pub fn pay(&mut self, index: usize, at: Timestamp) {
        let invoice = &self.invoices[index];
        if invoice::check_payable(invoice).is_ok() {
            self.on(index, invoice::paid(invoice, None, at));
        }
    }

    /// Gives an invoice up, if that is possible.
    pub fn give_up(&mut self, index: usize, at: Timestamp) {
        if let Ok(event) = invoice::decide_uncollectible(&self.invoices[index], at) {
            self.on(index, event);
        }
    }

    /// Voids an invoice, if that is possible.
    pub fn void(&mut self, index: usize, at: Timestamp) {
        let (invoice, ids) = (&self.invoices[index], &mut self.ids);
        if let Ok(event) = invoice::decide_void(invoice, &self.customer, ids, at) {
            self.on(index, InvoiceEvent::Voided(event.into()));
        }
    }

    /// A payment of an invoice that waits for none any more; 0 is a failure.
    pub fn pay_late(&mut self, index: usize, amount: i64, at: Timestamp) {
        let invoice = &self.invoices[index];
        if matches!(invoice.status, InvoiceStatus::Open | InvoiceStatus::Uncollectible) {
            return;
        }
        let credit = BalanceTransaction {
            id: self.ids.next(),
            customer: self.customer.id.clone(),
            currency: invoice.currency,
            amount: -amount,
            ending_balance: self.customer.balance(invoice.currency) - amount,
            kind: BalanceTransactionKind::InvoiceOverpaid,
            invoice: Some(invoice.id.clone()),
            credit_note: None,
            description: None,
            metadata: Metadata::default(),
            created: at,
        };
        let late = LatePayment {
            customer: self.customer.id.clone(),
            id: invoice.id.clone(),
            at,
            attempt: self.ids.next(),
            amount,
            balance_transaction: (amount != 0).then_some(credit),
        };
        self.on(index, InvoiceEvent::PaymentCameLate(late.into()));
    }

    fn on(&mut self, index: usize, event: InvoiceEvent) {
        event.evolve(&mut self.invoices[index]);
        self.happened(event);
    }

    fn happened(&mut self, event: InvoiceEvent) {
        for transaction in event.balance_transactions() {
            transaction.evolve(&mut self.customer);
        }
        self.events.push(Event::Invoice(event));
    }

    /// What open invoices still ask for.
    pub fn receivable(&self, currency: Currency) -> i128 {
        let open = |invoice: &&Invoice| {
            invoice.status == InvoiceStatus::Open && invoice.currency == currency
        };
        self.invoices
            .iter()
            .filter(open)
            .map(|invoice| i128::from(invoice.amount_remaining()))
            .sum()
    }
}

/// A catalog of nothing: these invoices have neither discounts nor tax.
struct NoTerms;

impl Terms for NoTerms {
    fn coupon(&self, id: &CouponId) -> Result<&Coupon, Refusal> {
        Err(Refusal::unknown("coupon", id))
    }

    fn tax_rate(&self, id: &TaxRateId) -> Result<&TaxRate, Refusal> {
        Err(Refusal::unknown("tax_rate", id))
    }

    fn product_of(&self, price: &PriceId) -> Result<&ProductId, Refusal> {
        Err(Refusal::unknown("price", price))
    }
}
