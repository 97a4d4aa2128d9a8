//! Handles on the resources of a book, named as in the Stripe SDKs.

use crate::engine::{Engine, outcome_command};
use crate::error::Error;
use crate::explain::Explanation;
use crate::metering::{
    Adjusted, CreateMeterEvent, CreateMeterEventAdjustment, Ingested, Readings, read_at, triggered,
};
use crate::query;
use counterfoil_billing::alert::{
    ActivateAlert, Alert, AlertId, AlertTriggered, ArchiveAlert, CreateAlert, DeactivateAlert,
};
use counterfoil_billing::catalog::{
    CreatePrice, CreateProduct, MeterId, Price, PriceId, Product, ProductId, UpdatePrice,
    UpdateProduct,
};
use counterfoil_billing::credit_note::{
    CreateCreditNote, CreditNote, CreditNoteId, UpdateCreditNote, VoidCreditNote,
};
use counterfoil_billing::customer::{
    BalanceTransaction, CreateBalanceTransaction, CreateCustomer, CreateTaxId, Customer,
    CustomerId, DeleteCustomer, DeleteTaxId, EraseCustomer, UnparkCustomer,
    UpdateBalanceTransaction, UpdateCustomer,
};
use counterfoil_billing::discount::{
    Coupon, CouponId, CreateCoupon, CreatePromotionCode, DeleteCoupon, PromotionCode,
    PromotionCodeId, UpdateCoupon, UpdatePromotionCode,
};
use counterfoil_billing::invoice::{
    AttachPayment, Attempt, CreateInvoice, CreateInvoiceItem, DeleteInvoice, DeleteInvoiceItem,
    FinalizeInvoice, Invoice, InvoiceId, InvoiceItem, InvoiceItemId, MarkInvoiceUncollectible,
    Outcome, PayInvoice, PaymentAttemptId, SendInvoice, UpdateInvoice, UpdateInvoiceItem,
    UsageReading, VoidInvoice,
};
use counterfoil_billing::meter::{
    CreateMeter, DeactivateMeter, Meter, ReactivateMeter, UpdateMeter,
};
use counterfoil_billing::quote::{
    AcceptQuote, CancelQuote, CreateQuote, FinalizeQuote, Quote, QuoteId, UpdateQuote,
};
use counterfoil_billing::schedule::{
    CancelSubscriptionSchedule, CreateSubscriptionSchedule, ReleaseSubscriptionSchedule,
    SubscriptionSchedule, SubscriptionScheduleId, UpdateSubscriptionSchedule,
};
use counterfoil_billing::subscription::{
    CancelSubscription, CreateSubscription, MigrateSubscription, ResumeSubscription, Subscription,
    SubscriptionId, UpdateSubscription,
};
use counterfoil_billing::tax::{CreateTaxRate, TaxRate, TaxRateId, UpdateTaxRate};
use counterfoil_core::Period;
use counterfoil_meter::{Breakdown, EventBatch, EventColumns, Grouping, Position, Summary};
use counterfoil_model::{InvoiceView, Output, Preview, PreviewOf};
use std::collections::BTreeMap;

macro_rules! handles {
    ($($(#[$meta:meta])* $handle:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy)]
        pub struct $handle<'a>(pub(crate) &'a Engine);
    )*};
}

handles! {
    /// Products of the catalog.
    Products;
    /// Prices of the catalog.
    Prices;
    /// Coupons.
    Coupons;
    /// Promotion codes.
    PromotionCodes;
    /// Tax rates.
    TaxRates;
    /// Tax ids of customers.
    TaxIds;
    /// Meters.
    Meters;
    /// Alerts on usage.
    Alerts;
    /// Meter events: usage.
    MeterEvents;
    /// Customers.
    Customers;
    /// Transactions on customers' balances.
    BalanceTransactions;
    /// Subscriptions.
    Subscriptions;
    /// Subscription schedules.
    SubscriptionSchedules;
    /// Quotes.
    Quotes;
    /// Invoices.
    Invoices;
    /// Invoice items.
    InvoiceItems;
    /// Credit notes.
    CreditNotes;
    /// Attempts to collect.
    PaymentAttempts;
}

impl Engine {
    /// Products.
    #[must_use]
    pub fn products(&self) -> Products<'_> {
        Products(self)
    }

    /// Prices.
    #[must_use]
    pub fn prices(&self) -> Prices<'_> {
        Prices(self)
    }

    /// Coupons.
    #[must_use]
    pub fn coupons(&self) -> Coupons<'_> {
        Coupons(self)
    }

    /// Promotion codes.
    #[must_use]
    pub fn promotion_codes(&self) -> PromotionCodes<'_> {
        PromotionCodes(self)
    }

    /// Tax rates.
    #[must_use]
    pub fn tax_rates(&self) -> TaxRates<'_> {
        TaxRates(self)
    }

    /// Tax ids of customers.
    #[must_use]
    pub fn tax_ids(&self) -> TaxIds<'_> {
        TaxIds(self)
    }

    /// Meters.
    #[must_use]
    pub fn meters(&self) -> Meters<'_> {
        Meters(self)
    }

    /// Alerts on usage.
    #[must_use]
    pub fn alerts(&self) -> Alerts<'_> {
        Alerts(self)
    }

    /// Meter events: usage.
    #[must_use]
    pub fn meter_events(&self) -> MeterEvents<'_> {
        MeterEvents(self)
    }

    /// Customers.
    #[must_use]
    pub fn customers(&self) -> Customers<'_> {
        Customers(self)
    }

    /// Transactions on customers' balances.
    #[must_use]
    pub fn customer_balance_transactions(&self) -> BalanceTransactions<'_> {
        BalanceTransactions(self)
    }

    /// Subscriptions.
    #[must_use]
    pub fn subscriptions(&self) -> Subscriptions<'_> {
        Subscriptions(self)
    }

    /// Quotes.
    #[must_use]
    pub fn quotes(&self) -> Quotes<'_> {
        Quotes(self)
    }

    /// Subscription schedules.
    #[must_use]
    pub fn subscription_schedules(&self) -> SubscriptionSchedules<'_> {
        SubscriptionSchedules(self)
    }

    /// Invoices.
    #[must_use]
    pub fn invoices(&self) -> Invoices<'_> {
        Invoices(self)
    }

    /// Invoice items.
    #[must_use]
    pub fn invoice_items(&self) -> InvoiceItems<'_> {
        InvoiceItems(self)
    }

    /// Credit notes.
    #[must_use]
    pub fn credit_notes(&self) -> CreditNotes<'_> {
        CreditNotes(self)
    }

    /// Attempts to collect.
    #[must_use]
    pub fn payment_attempts(&self) -> PaymentAttempts<'_> {
        PaymentAttempts(self)
    }
}

/// A command of a resource that gives back an object of one kind.
macro_rules! commands {
    ($($handle:ident { $(
        $(#[$meta:meta])*
        $method:ident($params:ty) -> $output:ident $(($boxed:ident))?: $object:ty;
    )* })*) => {$(
        impl $handle<'_> {
            $(
                $(#[$meta])*
                ///
                /// # Errors
                /// [`Error::Refused`], and then nothing changed; [`Error::Log`] where the disk
                /// failed.
                pub fn $method(&self, params: $params) -> Result<$object, Error> {
                    match self.0.execute(params)? {
                        Output::$output(object) => Ok(commands!(@take object $($boxed)?)),
                        _ => Err(Error::UnexpectedOutput(stringify!($params))),
                    }
                }
            )*
        }
    )*};
    (@take $object:ident boxed) => { *$object };
    (@take $object:ident) => { $object };
}

commands! {
    Products {
        /// Creates a product.
        create(CreateProduct) -> Product: Product;
        /// Changes a product.
        update(UpdateProduct) -> Product: Product;
    }
    Prices {
        /// Creates a price.
        create(CreatePrice) -> Price: Price;
        /// Changes what may change of a price.
        update(UpdatePrice) -> Price: Price;
    }
    Coupons {
        /// Creates a coupon.
        create(CreateCoupon) -> Coupon: Coupon;
        /// Changes what may change of a coupon.
        update(UpdateCoupon) -> Coupon: Coupon;
        /// Lets nobody redeem a coupon any more; discounts that it became stay.
        delete(DeleteCoupon) -> Coupon: Coupon;
    }
    PromotionCodes {
        /// Creates a code for a coupon.
        create(CreatePromotionCode) -> PromotionCode: PromotionCode;
        /// Changes what may change of a code.
        update(UpdatePromotionCode) -> PromotionCode: PromotionCode;
    }
    TaxRates {
        /// Creates a tax rate.
        create(CreateTaxRate) -> TaxRate: TaxRate;
        /// Changes what may change of a tax rate.
        update(UpdateTaxRate) -> TaxRate: TaxRate;
    }
    TaxIds {
        /// Gives a customer a tax id.
        create(CreateTaxId) -> Customer: Customer;
        /// Takes a tax id from a customer.
        delete(DeleteTaxId) -> Customer: Customer;
    }
    Meters {
        /// Creates a meter.
        create(CreateMeter) -> Meter: Meter;
        /// Changes what a person reads of a meter.
        update(UpdateMeter) -> Meter: Meter;
        /// Refuses a meter's events from now on.
        deactivate(DeactivateMeter) -> Meter: Meter;
        /// Takes a meter's events again.
        reactivate(ReactivateMeter) -> Meter: Meter;
    }
    Alerts {
        /// Creates an alert, active.
        create(CreateAlert) -> Alert: Alert;
        /// Lets an alert watch, and go off again for every customer.
        activate(ActivateAlert) -> Alert: Alert;
        /// Silences an alert. It goes on counting.
        deactivate(DeactivateAlert) -> Alert: Alert;
        /// Silences an alert for ever.
        archive(ArchiveAlert) -> Alert: Alert;
    }
    Customers {
        /// Creates a customer.
        create(CreateCustomer) -> Customer: Customer;
        /// Changes a customer.
        update(UpdateCustomer) -> Customer: Customer;
        /// Deletes a customer, which cancels its subscriptions.
        delete(DeleteCustomer) -> Customer: Customer;
        /// Erases what is personal of a customer and of all it owns: from the state, and from the
        /// log by destroying the key that it is sealed with. Amounts, numbers and proofs stay. It
        /// is refused while a subscription, a draft or an open invoice is left (rule 2.4).
        erase(EraseCustomer) -> Customer: Customer;
        /// Lets due work on a parked customer go on, once what was impossible was put right.
        unpark(UnparkCustomer) -> Customer: Customer;
    }
    BalanceTransactions {
        /// Changes a balance by hand.
        create(CreateBalanceTransaction) -> BalanceTransaction: BalanceTransaction;
        /// Changes what was noted on a transaction.
        update(UpdateBalanceTransaction) -> BalanceTransaction: BalanceTransaction;
    }
    Subscriptions {
        /// Creates a subscription.
        create(CreateSubscription) -> Subscription(boxed): Subscription;
        /// Changes a subscription.
        update(UpdateSubscription) -> Subscription(boxed): Subscription;
        /// Ends a subscription now.
        cancel(CancelSubscription) -> Subscription(boxed): Subscription;
        /// Takes a subscription from the classic billing mode to the flexible one.
        migrate(MigrateSubscription) -> Subscription(boxed): Subscription;
        /// Lets a paused subscription go on, where its invoice has to be paid once that is.
        resume(ResumeSubscription) -> Subscription(boxed): Subscription;
    }
    SubscriptionSchedules {
        /// Creates a schedule, which may create its subscription.
        create(CreateSubscriptionSchedule) -> SubscriptionSchedule(boxed): SubscriptionSchedule;
        /// Changes a schedule: phases that are given replace the current one and those after it.
        update(UpdateSubscriptionSchedule) -> SubscriptionSchedule(boxed): SubscriptionSchedule;
        /// Lets the subscription go on without the schedule.
        release(ReleaseSubscriptionSchedule) -> SubscriptionSchedule(boxed): SubscriptionSchedule;
        /// Ends a schedule and its subscription.
        cancel(CancelSubscriptionSchedule) -> SubscriptionSchedule(boxed): SubscriptionSchedule;
    }
    Quotes {
        /// Creates a draft, with what it comes to.
        create(CreateQuote) -> Quote(boxed): Quote;
        /// Changes a draft.
        update(UpdateQuote) -> Quote(boxed): Quote;
        /// Fixes a draft and gives it its number.
        finalize(FinalizeQuote) -> Quote(boxed): Quote;
        /// Takes the offer: it becomes an invoice, a subscription, or a schedule of one.
        accept(AcceptQuote) -> Quote(boxed): Quote;
        /// Withdraws a quote.
        cancel(CancelQuote) -> Quote(boxed): Quote;
    }
    InvoiceItems {
        /// Creates an item that waits for an invoice, or on a draft.
        create(CreateInvoiceItem) -> InvoiceItem(boxed): InvoiceItem;
        /// Changes an item.
        update(UpdateInvoiceItem) -> InvoiceItem(boxed): InvoiceItem;
    }
    Invoices {
        /// Creates a draft by hand.
        create(CreateInvoice) -> Invoice(boxed): Invoice;
        /// Changes a draft, or what may change of an invoice.
        update(UpdateInvoice) -> Invoice(boxed): Invoice;
        /// Fixes a draft and gives it its number.
        finalize(FinalizeInvoice) -> Invoice(boxed): Invoice;
        /// Collects an open invoice now, or notes that it was paid elsewhere.
        pay(PayInvoice) -> Invoice(boxed): Invoice;
        /// Takes a payment of a part of an invoice, or of more than it needs.
        attach_payment(AttachPayment) -> Invoice(boxed): Invoice;
        /// Notes that an invoice was sent.
        send(SendInvoice) -> Invoice(boxed): Invoice;
        /// Voids an invoice.
        void(VoidInvoice) -> Invoice(boxed): Invoice;
        /// Gives an invoice up.
        mark_uncollectible(MarkInvoiceUncollectible) -> Invoice(boxed): Invoice;
    }
    CreditNotes {
        /// Issues a credit note.
        create(CreateCreditNote) -> CreditNote(boxed): CreditNote;
        /// Changes memo and metadata of a credit note.
        update(UpdateCreditNote) -> CreditNote(boxed): CreditNote;
        /// Voids a credit note.
        void(VoidCreditNote) -> CreditNote(boxed): CreditNote;
    }
}

/// A query of a resource by its id.
macro_rules! retrieve {
    ($($handle:ident $find:ident($id:ty) -> $object:ty;)*) => {$(
        impl $handle<'_> {
            /// The object with an id.
            ///
            /// # Errors
            /// [`Error::Refused`] with `resource_missing`.
            pub fn retrieve(&self, id: &$id) -> Result<$object, Error> {
                self.0.read(|book| Ok(book.state.$find(id)?.clone()))
            }
        }
    )*};
}

retrieve! {
    Products product(ProductId) -> Product;
    Prices price(PriceId) -> Price;
    Coupons coupon(CouponId) -> Coupon;
    PromotionCodes promotion_code(PromotionCodeId) -> PromotionCode;
    TaxRates tax_rate(TaxRateId) -> TaxRate;
    Meters meter(MeterId) -> Meter;
    Alerts alert(AlertId) -> Alert;
    Customers customer(CustomerId) -> Customer;
    Subscriptions subscription(SubscriptionId) -> Subscription;
    SubscriptionSchedules schedule(SubscriptionScheduleId) -> SubscriptionSchedule;
    Quotes quote(QuoteId) -> Quote;
    InvoiceItems invoice_item(InvoiceItemId) -> InvoiceItem;
    CreditNotes credit_note(CreditNoteId) -> CreditNote;
}

impl Alerts<'_> {
    /// All alerts, oldest first; archived ones too.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn list(&self) -> Result<Vec<Alert>, Error> {
        self.0.read(|book| Ok(book.state.alerts().into_iter().cloned().collect()))
    }

    /// Whom an alert went off for since it was created or last activated, by customer. All that
    /// ever went off are events of the book: `alert.triggered`.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn triggered(&self, id: &AlertId) -> Result<Vec<AlertTriggered>, Error> {
        self.0.read(|book| {
            book.state.alert(id)?;
            Ok(triggered(&book.meters.triggered(id))?)
        })
    }
}

impl Customers<'_> {
    /// All customers, oldest first; deleted ones too.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn list(&self) -> Result<Vec<Customer>, Error> {
        self.0.read(|book| {
            Ok(book.state.shards().into_iter().map(|shard| shard.customer().clone()).collect())
        })
    }
}

impl BalanceTransactions<'_> {
    /// The transactions on a customer's balance, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<BalanceTransaction>, Error> {
        self.0
            .read(|book| Ok(book.state.shard(customer)?.balance_transactions().cloned().collect()))
    }
}

impl Subscriptions<'_> {
    /// A customer's subscriptions, oldest first; ended ones too.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<Subscription>, Error> {
        self.0.read(|book| {
            Ok(book.state.shard(customer)?.subscriptions().into_iter().cloned().collect())
        })
    }
}

impl SubscriptionSchedules<'_> {
    /// A customer's subscription schedules, oldest first; those that are over too.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<SubscriptionSchedule>, Error> {
        self.0.read(|book| {
            let shard = book.state.shard(customer)?;
            Ok(shard.subscription_schedules().into_iter().cloned().collect())
        })
    }
}

impl Quotes<'_> {
    /// A customer's quotes, oldest first; final ones too.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<Quote>, Error> {
        self.0.read(|book| Ok(book.state.shard(customer)?.quotes().into_iter().cloned().collect()))
    }
}

impl InvoiceItems<'_> {
    /// A customer's items on drafts and without an invoice, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<InvoiceItem>, Error> {
        self.0.read(|book| {
            Ok(book.state.shard(customer)?.invoice_items().into_iter().cloned().collect())
        })
    }

    /// Removes an item.
    ///
    /// # Errors
    /// [`Error::Refused`], and then nothing changed; [`Error::Log`] where the disk failed.
    pub fn delete(&self, params: DeleteInvoiceItem) -> Result<(), Error> {
        self.0.execute(params).map(drop)
    }
}

impl Invoices<'_> {
    /// An invoice as it reads now. Usage on a draft is what the meters say at this moment.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn retrieve(&self, id: &InvoiceId) -> Result<InvoiceView, Error> {
        self.0.read(|book| Ok(book.state.view(id, &Readings(&book.meters))?))
    }

    /// What would be invoiced; see [`Engine::preview_invoice`].
    ///
    /// # Errors
    /// As [`Engine::preview_invoice`].
    pub fn create_preview(&self, of: PreviewOf) -> Result<Preview, Error> {
        self.0.preview_invoice(of)
    }

    /// The invoice with a number.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn retrieve_by_number(&self, number: &str) -> Result<InvoiceView, Error> {
        let id = self.0.read(|book| query::invoice_by_number(&book.state, number))?;
        self.retrieve(&id)
    }

    /// A customer's invoices as they read now, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, customer: &CustomerId) -> Result<Vec<InvoiceView>, Error> {
        self.0.read(|book| query::invoices(book, customer))
    }

    /// How every amount of an invoice came about.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn explain(&self, id: &InvoiceId) -> Result<Explanation, Error> {
        self.0.read(|book| Explanation::of(book, id))
    }

    /// Drops a draft that was made by hand.
    ///
    /// # Errors
    /// [`Error::Refused`], and then nothing changed; [`Error::Log`] where the disk failed.
    pub fn delete(&self, params: DeleteInvoice) -> Result<(), Error> {
        self.0.execute(params).map(drop)
    }
}

impl CreditNotes<'_> {
    /// The credit notes on an invoice, void ones too, oldest first.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing`.
    pub fn list(&self, invoice: &InvoiceId) -> Result<Vec<CreditNote>, Error> {
        self.0.read(|book| {
            let customer = book.state.invoice(invoice)?.customer.clone();
            let notes = book.state.shard(&customer)?.credit_notes_on(invoice);
            Ok(notes.into_iter().cloned().collect())
        })
    }

    /// The credit note that [`Self::create`] would issue now. Nothing happens.
    ///
    /// # Errors
    /// As [`Self::create`].
    pub fn preview(&self, params: CreateCreditNote) -> Result<CreditNote, Error> {
        match self.0.dry_run(params)?.output {
            Output::CreditNote(note) => Ok(*note),
            _ => Err(Error::UnexpectedOutput("CreateCreditNote")),
        }
    }
}

impl PaymentAttempts<'_> {
    /// The attempts whose outcome is awaited, oldest first: what somebody outside should carry out.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn open(&self) -> Result<Vec<Attempt>, Error> {
        self.0.read(|book| Ok(book.state.open_attempts().into_iter().cloned().collect()))
    }

    /// Takes the outcome of an attempt.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing` for an attempt that is not awaited.
    pub fn resolve(&self, id: &PaymentAttemptId, outcome: Outcome) -> Result<Invoice, Error> {
        match self.0.execute(outcome_command(id.clone(), outcome))? {
            Output::Invoice(invoice) => Ok(*invoice),
            _ => Err(Error::UnexpectedOutput("payment_attempt")),
        }
    }
}

impl MeterEvents<'_> {
    /// Takes in one event. One that is known already by its identifier changes nothing.
    ///
    /// # Errors
    /// [`Error::Refused`] with a code of rule 12.2; [`Error::Log`] where the disk failed.
    pub fn create(&self, event: &CreateMeterEvent) -> Result<Ingested, Error> {
        let row = event.row();
        self.0.change(|book, log| {
            let ingested = book.ingest_event(log, &row)?;
            // What it made beyond its own record is waited for too.
            let last = ingested.position.map(|_| book.last);
            Ok((ingested, last))
        })
    }

    /// Takes in a batch of events. Each is judged for itself: refused ones are listed and do not
    /// stop the others.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn ingest(&self, batch: &EventBatch) -> Result<Ingested, Error> {
        self.ingest_columns(batch.columns())
    }

    /// Takes in events as columns, of one event name or several, as [`Self::ingest`] does: of a file
    /// (feature `files`), of an Arrow record batch (feature `arrow`), or of the caller's own memory.
    ///
    /// # Errors
    /// [`Error::Log`] where the disk failed.
    pub fn ingest_columns(&self, columns: EventColumns<'_>) -> Result<Ingested, Error> {
        self.0.change(|book, log| {
            let ingested = book.ingest(log, columns)?;
            // What it made beyond its own record is waited for too.
            let last = ingested.position.map(|_| book.last);
            Ok((ingested, last))
        })
    }

    /// Cancels an event, or gives it another value: within a day of its receipt (rule 12.4), or as
    /// long as its identifier is remembered where [`CreateMeterEventAdjustment::window`] says so. A
    /// draft shows it; an invoice that is finalized stays as it is.
    ///
    /// # Errors
    /// [`Error::Refused`] for one that is unknown, cancelled or too old, and for a value that it
    /// cannot have or has already.
    pub fn adjust(&self, adjustment: &CreateMeterEventAdjustment) -> Result<Adjusted, Error> {
        self.0.change(|book, log| {
            let adjusted = book.adjust_usage(log, adjustment)?;
            let position = adjusted.position;
            Ok((adjusted, Some(position)))
        })
    }

    /// The usage of a customer on a meter in any period, to the second.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing` for an unknown meter.
    pub fn usage(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
    ) -> Result<UsageReading, Error> {
        self.0
            .read(|book| Ok(read_at(&book.meters, meter, customer, (period, None), Position::MAX)?))
    }

    /// The usage of a customer on a meter in a period by dimensions, or of some values of them: a
    /// row for each combination of values under which an event counts. Each event is in one row.
    ///
    /// # Errors
    /// [`Error::Refused`] with `resource_missing` for an unknown meter, and `parameter_invalid` for
    /// a dimension that it does not keep.
    pub fn usage_by(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
        breakdown: Breakdown<'_>,
    ) -> Result<BTreeMap<Vec<String>, UsageReading>, Error> {
        self.0.read(|book| {
            let (customer, cut) = (customer.as_str(), Position::MAX);
            let rows = book.meters.usage_by(meter, customer, period, breakdown, cut)?;
            let row = |own: counterfoil_meter::UsageReading| UsageReading {
                meter: meter.clone(),
                quantity: own.quantity,
                events: own.events,
                position: own.position.0,
            };
            Ok(rows.into_iter().map(|(values, own)| (values, row(own))).collect())
        })
    }

    /// The usage of a customer on a meter by minute, hour, day or month of the clock in a time zone;
    /// see [`Aggregator::summaries_in`](counterfoil_meter::Aggregator::summaries_in).
    ///
    /// # Errors
    /// [`Error::Refused`] for a period that does not begin and end where a window there does.
    #[cfg(feature = "zones")]
    pub fn summaries_in(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
        grouping: Grouping,
        zone: crate::Zone,
    ) -> Result<Vec<Summary>, Error> {
        self.0.read(|book| {
            let (customer, cut) = (customer.as_str(), Position::MAX);
            Ok(book.meters.summaries_in(meter, customer, period, grouping, zone, cut)?)
        })
    }

    /// The usage of a customer on a meter by hour, by day, or as one (rule 12.5).
    ///
    /// # Errors
    /// [`Error::Refused`] for a period that is not aligned to the grouping.
    pub fn summaries(
        &self,
        meter: &MeterId,
        customer: &CustomerId,
        period: Period,
        grouping: Option<Grouping>,
    ) -> Result<Vec<Summary>, Error> {
        self.0.read(|book| {
            let customer = customer.as_str();
            Ok(book.meters.summaries(meter, customer, period, grouping, Position::MAX)?)
        })
    }
}
