//! A book in memory with one customer, Ada, who has a card: for tests that read as stories.

#![allow(dead_code, reason = "each test crate uses a part of it")]

use counterfoil::*;

pub fn t(text: &str) -> Timestamp {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    Timestamp::parse(&full).unwrap()
}

pub fn ok(_: &Attempt) -> Option<Outcome> {
    Some(Outcome::Succeeded)
}

pub fn declined(_: &Attempt) -> Option<Outcome> {
    Some(Outcome::Failed(DeclineCode::GenericDecline))
}

/// A book in memory at a time, with one customer that has a card.
pub struct Book {
    pub book: Engine,
    pub ada: CustomerId,
    pub product: ProductId,
}

impl Book {
    pub fn at(start: &str) -> Self {
        Self::with(start, Settings::default())
    }

    pub fn with(start: &str, settings: Settings) -> Self {
        let book = Engine::on(MemStorage::new(), Options::default().settings(settings)).unwrap();
        book.advance_to(t(start), &mut ok).unwrap();
        let product = book.products().create(CreateProduct::new("Pro")).unwrap().id;
        let ada = CreateCustomer { payment_method: Some("pm".into()), ..CreateCustomer::default() };
        let ada = book.customers().create(ada).unwrap().id;
        Self { book, ada, product }
    }

    pub fn price(&self, unit: i64, interval: IntervalUnit) -> PriceId {
        let mut price = CreatePrice::new(self.product.clone(), Currency::USD);
        price.unit_amount = Some(unit);
        price.recurring = Some(RecurringInput::every(interval));
        self.book.prices().create(price).unwrap().id
    }

    /// A meter `calls` and a price of 1 cent a call.
    pub fn metered(&self, interval: IntervalUnit) -> (MeterId, PriceId) {
        let meter = self.book.meters().create(CreateMeter::new("calls", Formula::Sum)).unwrap().id;
        let mut price = CreatePrice::new(self.product.clone(), Currency::USD);
        price.unit_amount = Some(1);
        price.recurring = Some(RecurringInput::metered(interval, meter.clone()));
        (meter, self.book.prices().create(price).unwrap().id)
    }

    pub fn calls(&self, at: &str, value: i64) {
        let event = CreateMeterEvent::new("calls", &self.ada, value)
            .at(EventTime::from_timestamp(t(at)).unwrap());
        self.book.meter_events().create(&event).unwrap();
    }

    pub fn plan(&self, prices: &[&PriceId]) -> CreateSubscription {
        CreateSubscription::new(self.ada.clone(), prices.iter().map(|id| (*id).clone()))
    }

    pub fn subscribe(
        &self,
        plan: CreateSubscription,
        pay: impl Fn(&Attempt) -> Option<Outcome>,
    ) -> SubscriptionId {
        let id = self.book.subscriptions().create(plan).unwrap().id;
        self.settle(pay);
        id
    }

    /// Answers what is open, without moving time.
    pub fn settle(&self, mut pay: impl Fn(&Attempt) -> Option<Outcome>) {
        let now = self.book.now().unwrap().unwrap();
        self.book.advance_to(now, &mut pay).unwrap();
    }

    pub fn until(&self, to: &str, mut pay: impl Fn(&Attempt) -> Option<Outcome>) {
        self.book.advance_to(t(to), &mut pay).unwrap();
        self.sound();
    }

    pub fn sound(&self) {
        assert_eq!(self.book.check_invariants().unwrap(), Ok(()));
    }

    pub fn status(&self, id: &SubscriptionId) -> SubscriptionStatus {
        self.book.subscriptions().retrieve(id).unwrap().status
    }

    pub fn invoices(&self) -> Vec<InvoiceView> {
        self.book.invoices().list(&self.ada).unwrap()
    }

    /// Status and total of every invoice, oldest first.
    pub fn totals(&self) -> Vec<(InvoiceStatus, i64)> {
        self.invoices().into_iter().map(|v| (v.invoice.status, v.invoice.total)).collect()
    }

    pub fn pending(&self, amount: i64) -> InvoiceItemId {
        self.book.invoice_items().create(item(&self.ada, amount)).unwrap().id
    }
}

pub fn item(customer: &CustomerId, amount: i64) -> CreateInvoiceItem {
    CreateInvoiceItem::amount(customer.clone(), amount)
}

pub fn cancel(id: &SubscriptionId, invoice_now: bool) -> CancelSubscription {
    CancelSubscription { id: id.clone(), invoice_now, prorate: false }
}
