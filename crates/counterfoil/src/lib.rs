//! An event-sourced billing ledger that a Rust service embeds as a library: customers,
//! subscriptions, invoices, usage and a double-entry journal as pure state machines on an
//! append-only log. No server, no database, no thread in the background, no clock of its own: a
//! *book* is a directory.
//!
//! ```
//! use counterfoil::{CreateCustomer, CreatePrice, CreateProduct, CreateSubscription, Currency};
//! use counterfoil::{Engine, IntervalUnit, Outcome, RecurringInput, Timestamp};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let book = Engine::in_memory(); // or Engine::open("book", Options::default())?
//! let mut gateway = |_: &counterfoil::Attempt| Some(Outcome::Succeeded);
//! book.advance_to(Timestamp::parse("2024-01-31T00:00:00Z")?, &mut gateway)?;
//!
//! let product = book.products().create(CreateProduct::new("Pro"))?;
//! let mut price = CreatePrice::new(product.id, Currency::USD);
//! price.unit_amount = Some(2900);
//! price.recurring = Some(RecurringInput::every(IntervalUnit::Month));
//! let price = book.prices().create(price)?;
//!
//! let ada = book.customers().create(CreateCustomer {
//!     name: Some("Ada".into()),
//!     payment_method: Some("pm_card_visa".into()),
//!     ..CreateCustomer::default()
//! })?;
//! book.subscriptions().create(CreateSubscription::new(ada.id.clone(), [price.id]))?;
//!
//! // Two years in an instant: every renewal at its own time, on the anchor's day.
//! book.advance_to(Timestamp::parse("2026-01-30T00:00:00Z")?, &mut gateway)?;
//! let invoices = book.invoices().list(&ada.id)?;
//! assert_eq!(invoices.len(), 24);
//! assert_eq!(invoices[1].invoice.created.to_string(), "2024-02-29T00:00:00Z");
//! assert_eq!(invoices[2].invoice.created.to_string(), "2024-03-31T00:00:00Z");
//! assert!(book.trial_balance(None)?.balanced);
//! println!("{}", book.invoices().explain(&invoices[1].invoice.id)?);
//! # Ok(())
//! # }
//! ```
//!
//! # The main types
//! - [`Engine`] is an open book. Its handles are named as in the Stripe SDKs
//!   ([`engine.customers()`](Engine::customers), …); every command is also one [`Command`] value for
//!   [`execute`](Engine::execute), [`submit`](Engine::submit) (a [`Ticket`] to wait for),
//!   [`batch`](Engine::batch) and [`dry_run`](Engine::dry_run).
//! - [`Request`] puts an idempotency key or an expected stream version beside a command.
//! - [`PaymentSource`] answers attempts to collect while time advances. Without one an attempt is
//!   an event that somebody outside picks up ([`PaymentAttempts`]), and its outcome a command.
//! - [`View`] is the book as it was ([`as_of`](Engine::as_of) a record or a time), read-only.
//! - [`BookReader`] looks into a book without writing to it, beside whoever has it open.
//! - [`Engine::snapshot`] writes down the state beside the log, so that the book opens from there
//!   ([`Opened`]). Snapshots are disposable: the log alone decides what a book says.
//! - [`Events`] follows the book from a position: an outbox, an export.
//! - [`Error::code`] gives the stable code of a refusal.
//!
//! # What holds
//! - `Ok` means on disk: a command is acknowledged after `fdatasync`, and one sync serves all
//!   threads that wait. A query answers from what is on disk.
//! - A command is all or nothing, also over several objects, also when the power goes.
//! - Equal histories are equal books: no clock, no randomness, no float. Replaying the log gives the
//!   same [`state_hash`](Engine::state_hash), and one big advance writes the same log as many small
//!   ones.
//! - Money is integers in minor units; prices and quantities are exact decimals; each amount is
//!   rounded once. An invoice line carries what it was computed from.
//! - After the first I/O error, or a panic while the book was changed, every call gives the same
//!   error, until the book is opened again.
//!
//! # What there is today, and what there is not
//! Products, prices (per unit, packages, graduated and volume tiers, several currencies, licensed
//! and metered), customers and their balance, subscriptions (trials, anchors, stubs, mixed
//! intervals, renewal, prorations, starts in the past, cancellation), invoices (drafts, numbering, balance, attempts and retries,
//! due dates, voiding), invoice items, meters (sum, count, last; dimensions, corrections, alerts),
//! coupons, promotion codes and discounts, tax rates, previews, and the journal. Not yet: credit notes, credit
//! grants, entitlements, treasury.
#![forbid(unsafe_code)]

/// The example of the README compiles.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;

mod ahead;
mod codec;
mod engine;
mod entropy;
mod error;
mod events;
mod explain;
mod handles;
mod keep;
mod keys;
mod metering;
mod msgpack;
mod payload;
mod payment;
mod proof;
mod query;
mod quick;
mod reader;
mod scratch;
mod sequencer;
mod snapshot;
#[doc(hidden)]
pub mod stored;
mod verify;
mod view;

pub use counterfoil_billing::alert::{
    ActivateAlert, Alert, AlertEvent, AlertFilter, AlertFilterKind, AlertId, AlertStatus,
    AlertTriggered, AlertType, ArchiveAlert, CreateAlert, DeactivateAlert, Recurrence,
    UsageThreshold,
};
pub use counterfoil_billing::catalog::{
    Basis, BillingScheme, CreatePrice, CreateProduct, CurrencyOption, MeterId, Price, PriceId,
    Product, ProductId, Recurring, RecurringInput, Round, Scheme, Tier, TierInput, TiersMode,
    TransformQuantity, UpTo, UpdatePrice, UpdateProduct, Usage, UsageType,
};
pub use counterfoil_billing::credit_note::{
    CreateCreditNote, CreditNote, CreditNoteEvent, CreditNoteId, CreditNoteLine, CreditNoteLineId,
    CreditNoteLineInput, CreditNoteLineType, CreditNoteReason, CreditNoteStatus, CreditNoteType,
    CreditShippingInput, Credited, Refund, RefundInput, TaxAmountInput, UpdateCreditNote,
    VoidCreditNote,
};
pub use counterfoil_billing::customer::{
    Address, BalanceTransaction, BalanceTransactionId, BalanceTransactionKind,
    CreateBalanceTransaction, CreateCustomer, CreateTaxId, Customer, CustomerId, DeleteCustomer,
    DeleteTaxId, EraseCustomer, Personal, TaxId, UnparkCustomer, UpdateBalanceTransaction,
    UpdateCustomer,
};
pub use counterfoil_billing::discount::{
    AppliesTo, Benefit, Coupon, CouponCurrencyOption, CouponDuration, CouponId, CreateCoupon,
    CreatePromotionCode, DeleteCoupon, Discount, DiscountAmount, DiscountId, DiscountInput,
    DurationName, NetAmount, Promotion, PromotionCode, PromotionCodeId, PromotionKind, Redemption,
    Restrictions, RestrictionsInput, RestrictionsOption, RestrictionsPatch, UpdateCoupon,
    UpdatePromotionCode,
};
pub use counterfoil_billing::invoice::{
    AfterRetries, AttachPayment, Attempt, BankDebitRetries, BillingReason, Charge,
    CollectionMethod, Correction, CreateInvoice, CreateInvoiceItem, DeclineCode, DeleteInvoice,
    DeleteInvoiceItem, Derivation, FinalizationError, FinalizeInvoice, Fraction, FractionUnit,
    FromInvoice, FromInvoiceAction, Invoice, InvoiceAfterRetries, InvoiceId, InvoiceItem,
    InvoiceItemId, InvoiceLineId, InvoicePayment, InvoicePaymentId, InvoicePaymentKind,
    InvoicePaymentStatus, InvoiceStatus, ItemReason, Line, MarkInvoiceUncollectible, Outcome,
    PayInvoice, PaymentAttemptId, PendingItems, PeriodInput, ProrationBase, ProrationDetails,
    ProrationKind, RetryPolicy, SendInvoice, ShippingCost, ShippingCostInput, ThresholdReason,
    UpdateInvoice, UpdateInvoiceItem, UsageReading, VoidInvoice,
};
pub use counterfoil_billing::meter::{
    Aggregation, CreateMeter, CustomerMapping, DeactivateMeter, EventTimeWindow, Formula, Meter,
    ReactivateMeter, UpdateMeter, ValueSettings,
};
pub use counterfoil_billing::policy::{self, Policies};
pub use counterfoil_billing::quote::{
    AcceptQuote, CancelQuote, CouponAmount, CreateQuote, FinalizeQuote, FromQuote, FromQuoteInput,
    Quote, QuoteAmounts, QuoteBreakdown, QuoteId, QuoteLine, QuoteLineInput, QuoteRecurring,
    QuoteStatus, SubscriptionData, SubscriptionDataInput, TotalDetails, UpdateQuote,
};
pub use counterfoil_billing::schedule::{
    CancelSubscriptionSchedule, CreateSubscriptionSchedule, DefaultSettings, DefaultSettingsInput,
    Phase, PhaseAnchor, PhaseDuration, PhaseInput, PhaseItem, PhaseItemInput,
    ReleaseSubscriptionSchedule, RenewalInterval, ScheduleEndBehavior, ScheduleStatus,
    SubscriptionSchedule, SubscriptionScheduleId, UpdateSubscriptionSchedule,
};
pub use counterfoil_billing::subscription::{
    AddInvoiceItem, AddedPeriod, AnchorChange, BillingMode, BillingModeInput, BillingModeKind,
    BillingThresholds, CancelAt, CancelSubscription, CancellationReason, ClosedUsage,
    CreateSubscription, FlexibleBillingInput, ItemChange, ItemInput, ItemThresholds,
    MigrateSubscription, MissingPaymentMethod, Pause, PauseBehavior, PauseCollection,
    PaymentBehavior, PendingItemInterval, PendingItemIntervalInput, PendingUpdate, PeriodEdge,
    PeriodEnd, PeriodStart, PriceData, ProrationBehavior, ProrationDiscounts, ResumeAnchor,
    ResumeSubscription, Resumption, Subscription, SubscriptionId, SubscriptionItem,
    SubscriptionItemId, SubscriptionStatus, TrialEnd, TrialEndBehavior, TrialSettings,
    UpdateSubscription,
};
pub use counterfoil_billing::tax::{
    CreateTaxRate, TaxAmount, TaxExempt, TaxIdId, TaxRate, TaxRateId, TaxRounding,
    TaxabilityReason, UpdateTaxRate,
};
pub use counterfoil_billing::{Patch, PersonalData, Texts};
pub use counterfoil_core::{
    Anchor, AnchorConfig, Code, Currency, Decimal12, EventTime, Id, Interval, IntervalUnit,
    Metadata, MetadataPatch, Money, Period, Refusal, Timestamp, Zone as TimeZone, kind, limits,
};
pub use counterfoil_journal::{Account, PostingRules, Row, TrialBalance};
pub use counterfoil_log::{
    Access, ArchiveError, ArchiveReport, BackupError, BackupReport, Buffered, Damage, DamageReason,
    DiskUse, FileStorage, Hasher, LogError, LogOptions, Lsn, MemStorage, Missing, OpenError, Proof,
    ProofError, Receipt, ReceiptCheck, ReceiptError, SalvageError, SalvageReport, Storage,
    StorageFile, StorageLock, TailCut, VerifyReport,
};
#[cfg(feature = "arrow")]
pub use counterfoil_meter::ArrowEvents;
#[cfg(feature = "files")]
pub use counterfoil_meter::files;
pub use counterfoil_meter::{
    Block, Breakdown, ColumnError, DedupePolicy, EventBatch, EventColumns, Grouping, Summary,
};
#[cfg(any(feature = "arrow", feature = "files"))]
pub use counterfoil_meter::{EventView, Field, Mapping, MappingError, TimeUnit};
#[cfg(feature = "zones")]
pub use counterfoil_meter::{UnknownZone, Zone};
pub use counterfoil_model::invariants::InvariantViolation;
pub use counterfoil_model::{
    Command, CommandReader, Event, EventType, FailPaymentAttempt, InvoiceView, Output, Preview,
    PreviewOf, ProcessPaymentAttempt, Settings, Shard, State, SucceedPaymentAttempt,
    UnbilledReason, Unreadable, UpcastError,
};
pub use engine::{BufferedOutput, DryRun, Engine, Options, Request, Ticket};
pub use entropy::Entropy;
pub use error::{BookError, Error};
pub use events::{BookRecord, Events};
pub use explain::Explanation;
pub use handles::{
    Alerts, BalanceTransactions, Coupons, CreditNotes, Customers, InvoiceItems, Invoices,
    MeterEvents, Meters, PaymentAttempts, Prices, Products, PromotionCodes, Quotes,
    SubscriptionSchedules, Subscriptions, TaxIds, TaxRates,
};
pub use keep::{orphans, salvage};
pub use keys::KeyError;
pub use metering::{
    Adjusted, AdjustmentKind, AdjustmentWindow, CancelMeterEvent, CorrectMeterEvent,
    CreateMeterEvent, CreateMeterEventAdjustment, EventInstant, Ingested, RefusedUsage,
};
pub use payment::{NoPayments, PaymentSource, Progress};
pub use proof::check_proof;
pub use query::{
    Age, InvoiceFilter, Page, PageRequest, Receivable, Receivables, RecurringMonth, RecurringNow,
    RecurringRevenue, RevenueMonth, SubscriptionFilter, TimeRange, UnbilledUsage,
};
pub use reader::BookReader;
pub use snapshot::{Opened, SkippedSnapshot, SnapshotPolicy, SnapshotReport};
pub use verify::{Finding, Verified, verify, verify_with};
pub use view::{AsOf, View};
