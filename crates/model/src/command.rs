//! Every command as one value, by the name it has in files.

use crate::State;
use counterfoil_billing::alert::{ActivateAlert, ArchiveAlert, CreateAlert, DeactivateAlert};
use counterfoil_billing::catalog::{CreatePrice, CreateProduct, UpdatePrice, UpdateProduct};
use counterfoil_billing::credit_note::{CreateCreditNote, UpdateCreditNote, VoidCreditNote};
use counterfoil_billing::customer::{
    CreateBalanceTransaction, CreateCustomer, CreateTaxId, CustomerId, DeleteCustomer, DeleteTaxId,
    EraseCustomer, UnparkCustomer, UpdateBalanceTransaction, UpdateCustomer,
};
use counterfoil_billing::discount::{
    CreateCoupon, CreatePromotionCode, DeleteCoupon, UpdateCoupon, UpdatePromotionCode,
};
use counterfoil_billing::invoice::{
    AttachPayment, CreateInvoice, CreateInvoiceItem, DeleteInvoice, DeleteInvoiceItem,
    FinalizeInvoice, MarkInvoiceUncollectible, PayInvoice, PaymentAttemptId, SendInvoice,
    UpdateInvoice, UpdateInvoiceItem, VoidInvoice,
};
use counterfoil_billing::meter::{CreateMeter, DeactivateMeter, ReactivateMeter, UpdateMeter};
use counterfoil_billing::quote::{
    AcceptQuote, CancelQuote, CreateQuote, FinalizeQuote, UpdateQuote,
};
use counterfoil_billing::schedule::{
    CancelSubscriptionSchedule, CreateSubscriptionSchedule, ReleaseSubscriptionSchedule,
    UpdateSubscriptionSchedule,
};
use counterfoil_billing::subscription::{
    CancelSubscription, CreateSubscription, MigrateSubscription, ResumeSubscription,
    UpdateSubscription,
};
use counterfoil_billing::tax::{CreateTaxRate, UpdateTaxRate};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// `payment_attempt.succeed`: an attempt collected its amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SucceedPaymentAttempt {
    /// Which attempt.
    pub id: PaymentAttemptId,
    /// How much it collected, in minor units, where that is only a part of its amount.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
}

/// `payment_attempt.fail`: an attempt did not collect its amount.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailPaymentAttempt {
    /// Which attempt.
    pub id: PaymentAttemptId,
    /// Why, as the gateway says it; `generic_decline` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// `payment_attempt.process`: the payment of an attempt is on its way, and its outcome takes days.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessPaymentAttempt {
    /// Which attempt.
    pub id: PaymentAttemptId,
}

/// Reads the parameters of a command from wherever they are.
pub trait CommandReader {
    /// What can go wrong.
    type Error;

    /// Reads parameters of type `T`.
    ///
    /// # Errors
    /// Whatever the source says.
    fn read<T: DeserializeOwned>(&mut self) -> Result<T, Self::Error>;
}

macro_rules! commands {
    ($($name:literal $variant:ident: $params:ty;)*) => {
        /// A command: what a caller asks the book to do.
        ///
        /// Its serialized form is a map of one entry from the name of the operation to its
        /// parameters: `{"customer.create": {"name": "Ada"}}`.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Command {
            $(
                #[doc = concat!("`", $name, "`.")]
                #[serde(rename = $name)]
                $variant(Box<$params>),
            )*
        }

        impl Command {
            /// The names of all operations.
            pub const OPERATIONS: &'static [&'static str] = &[$($name),*];

            /// The name of the operation.
            #[must_use]
            pub fn operation(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)*
                }
            }

            /// Reads the parameters of an operation; none where there is no such operation.
            pub fn read<R: CommandReader>(
                operation: &str,
                reader: &mut R,
            ) -> Option<Result<Self, R::Error>> {
                match operation {
                    $($name => Some(
                        reader.read::<$params>().map(|params| Self::$variant(Box::new(params))),
                    ),)*
                    _ => None,
                }
            }
        }

        $(
            impl From<$params> for Command {
                fn from(params: $params) -> Self {
                    Self::$variant(Box::new(params))
                }
            }
        )*
    };
}

commands! {
    "product.create" CreateProduct: CreateProduct;
    "product.update" UpdateProduct: UpdateProduct;
    "price.create" CreatePrice: CreatePrice;
    "price.update" UpdatePrice: UpdatePrice;
    "meter.create" CreateMeter: CreateMeter;
    "meter.update" UpdateMeter: UpdateMeter;
    "meter.deactivate" DeactivateMeter: DeactivateMeter;
    "meter.reactivate" ReactivateMeter: ReactivateMeter;
    "alert.create" CreateAlert: CreateAlert;
    "alert.activate" ActivateAlert: ActivateAlert;
    "alert.deactivate" DeactivateAlert: DeactivateAlert;
    "alert.archive" ArchiveAlert: ArchiveAlert;
    "coupon.create" CreateCoupon: CreateCoupon;
    "coupon.update" UpdateCoupon: UpdateCoupon;
    "coupon.delete" DeleteCoupon: DeleteCoupon;
    "promotion_code.create" CreatePromotionCode: CreatePromotionCode;
    "promotion_code.update" UpdatePromotionCode: UpdatePromotionCode;
    "tax_rate.create" CreateTaxRate: CreateTaxRate;
    "tax_rate.update" UpdateTaxRate: UpdateTaxRate;
    "tax_id.create" CreateTaxId: CreateTaxId;
    "tax_id.delete" DeleteTaxId: DeleteTaxId;
    "customer.create" CreateCustomer: CreateCustomer;
    "customer.update" UpdateCustomer: UpdateCustomer;
    "customer.delete" DeleteCustomer: DeleteCustomer;
    "customer.erase" EraseCustomer: EraseCustomer;
    "customer.unpark" UnparkCustomer: UnparkCustomer;
    "customer_balance_transaction.create" CreateBalanceTransaction: CreateBalanceTransaction;
    "customer_balance_transaction.update" UpdateBalanceTransaction: UpdateBalanceTransaction;
    "subscription.create" CreateSubscription: CreateSubscription;
    "subscription.update" UpdateSubscription: UpdateSubscription;
    "subscription.cancel" CancelSubscription: CancelSubscription;
    "subscription.migrate" MigrateSubscription: MigrateSubscription;
    "subscription.resume" ResumeSubscription: ResumeSubscription;
    "subscription_schedule.create" CreateSubscriptionSchedule: CreateSubscriptionSchedule;
    "subscription_schedule.update" UpdateSubscriptionSchedule: UpdateSubscriptionSchedule;
    "subscription_schedule.release" ReleaseSubscriptionSchedule: ReleaseSubscriptionSchedule;
    "subscription_schedule.cancel" CancelSubscriptionSchedule: CancelSubscriptionSchedule;
    "quote.create" CreateQuote: CreateQuote;
    "quote.update" UpdateQuote: UpdateQuote;
    "quote.finalize" FinalizeQuote: FinalizeQuote;
    "quote.accept" AcceptQuote: AcceptQuote;
    "quote.cancel" CancelQuote: CancelQuote;
    "invoiceitem.create" CreateInvoiceItem: CreateInvoiceItem;
    "invoiceitem.update" UpdateInvoiceItem: UpdateInvoiceItem;
    "invoiceitem.delete" DeleteInvoiceItem: DeleteInvoiceItem;
    "invoice.create" CreateInvoice: CreateInvoice;
    "invoice.update" UpdateInvoice: UpdateInvoice;
    "invoice.finalize" FinalizeInvoice: FinalizeInvoice;
    "invoice.pay" PayInvoice: PayInvoice;
    "invoice.attach_payment" AttachPayment: AttachPayment;
    "invoice.send" SendInvoice: SendInvoice;
    "invoice.void" VoidInvoice: VoidInvoice;
    "invoice.mark_uncollectible" MarkInvoiceUncollectible: MarkInvoiceUncollectible;
    "invoice.delete" DeleteInvoice: DeleteInvoice;
    "credit_note.create" CreateCreditNote: CreateCreditNote;
    "credit_note.update" UpdateCreditNote: UpdateCreditNote;
    "credit_note.void" VoidCreditNote: VoidCreditNote;
    "payment_attempt.process" ProcessPaymentAttempt: ProcessPaymentAttempt;
    "payment_attempt.succeed" SucceedPaymentAttempt: SucceedPaymentAttempt;
    "payment_attempt.fail" FailPaymentAttempt: FailPaymentAttempt;
}

impl Command {
    /// The customer whose due work the command comes after; none for the catalog, for a customer
    /// that is new, where what it names does not exist, and for the outcome of an attempt, which
    /// comes right behind the attempt itself.
    #[must_use]
    pub fn comes_after_work_of(&self, state: &State) -> Option<CustomerId> {
        let of_subscription =
            |id| state.subscription(id).ok().map(|subscription| subscription.customer.clone());
        let of_invoice = |id| state.invoice(id).ok().map(|invoice| invoice.customer.clone());
        let of_quote = |id| state.quote(id).ok().map(|quote| quote.customer.clone());
        let of_schedule = |id| state.schedule(id).ok().map(|schedule| schedule.customer.clone());
        let of_item = |id| state.invoice_item(id).ok().map(|item| item.customer.clone());
        let of_note = |id| state.credit_note(id).ok().map(|note| note.customer.clone());
        match self {
            Self::CreateProduct(_)
            | Self::UpdateProduct(_)
            | Self::CreatePrice(_)
            | Self::UpdatePrice(_)
            | Self::CreateMeter(_)
            | Self::UpdateMeter(_)
            | Self::DeactivateMeter(_)
            | Self::ReactivateMeter(_)
            | Self::CreateAlert(_)
            | Self::ActivateAlert(_)
            | Self::DeactivateAlert(_)
            | Self::ArchiveAlert(_)
            | Self::CreateCoupon(_)
            | Self::UpdateCoupon(_)
            | Self::DeleteCoupon(_)
            | Self::CreatePromotionCode(_)
            | Self::UpdatePromotionCode(_)
            | Self::CreateTaxRate(_)
            | Self::UpdateTaxRate(_)
            | Self::CreateCustomer(_)
            | Self::ProcessPaymentAttempt(_)
            | Self::SucceedPaymentAttempt(_)
            | Self::FailPaymentAttempt(_) => None,
            Self::CreateTaxId(params) => Some(params.customer.clone()),
            Self::DeleteTaxId(params) => Some(params.customer.clone()),
            Self::UpdateCustomer(params) => Some(params.id.clone()),
            Self::DeleteCustomer(params) => Some(params.id.clone()),
            Self::EraseCustomer(params) => Some(params.id.clone()),
            Self::UnparkCustomer(params) => Some(params.id.clone()),
            Self::CreateBalanceTransaction(params) => Some(params.customer.clone()),
            Self::UpdateBalanceTransaction(params) => Some(params.customer.clone()),
            Self::CreateSubscription(params) => Some(params.customer.clone()),
            Self::UpdateSubscription(params) => of_subscription(&params.id),
            Self::CancelSubscription(params) => of_subscription(&params.id),
            Self::MigrateSubscription(params) => of_subscription(&params.id),
            Self::ResumeSubscription(params) => of_subscription(&params.id),
            Self::CreateSubscriptionSchedule(params) => match &params.from_subscription {
                Some(id) => of_subscription(id),
                None => params.customer.clone(),
            },
            Self::UpdateSubscriptionSchedule(params) => of_schedule(&params.id),
            Self::ReleaseSubscriptionSchedule(params) => of_schedule(&params.id),
            Self::CancelSubscriptionSchedule(params) => of_schedule(&params.id),
            Self::CreateQuote(params) => match &params.from_quote {
                Some(from) => of_quote(&from.quote),
                None => params.customer.clone(),
            },
            Self::UpdateQuote(params) => of_quote(&params.id),
            Self::FinalizeQuote(params) => of_quote(&params.id),
            Self::AcceptQuote(params) => of_quote(&params.id),
            Self::CancelQuote(params) => of_quote(&params.id),
            Self::CreateInvoiceItem(params) => Some(params.customer.clone()),
            Self::UpdateInvoiceItem(params) => of_item(&params.id),
            Self::DeleteInvoiceItem(params) => of_item(&params.id),
            Self::CreateInvoice(params) => Some(params.customer.clone()),
            Self::UpdateInvoice(params) => of_invoice(&params.id),
            Self::FinalizeInvoice(params) => of_invoice(&params.id),
            Self::PayInvoice(params) => of_invoice(&params.id),
            Self::AttachPayment(params) => of_invoice(&params.id),
            Self::SendInvoice(params) => of_invoice(&params.id),
            Self::VoidInvoice(params) => of_invoice(&params.id),
            Self::MarkInvoiceUncollectible(params) => of_invoice(&params.id),
            Self::DeleteInvoice(params) => of_invoice(&params.id),
            Self::CreateCreditNote(params) => of_invoice(&params.invoice),
            Self::UpdateCreditNote(params) => of_note(&params.id),
            Self::VoidCreditNote(params) => of_note(&params.id),
        }
    }

    /// Whether the command can say something personal: free text or metadata of a customer or of
    /// what one owns.
    #[must_use]
    pub fn may_be_personal(&self) -> bool {
        matches!(
            self,
            Self::CreateCustomer(_)
                | Self::UpdateCustomer(_)
                | Self::CreateTaxId(_)
                | Self::CreateBalanceTransaction(_)
                | Self::UpdateBalanceTransaction(_)
                | Self::CreateSubscription(_)
                | Self::UpdateSubscription(_)
                | Self::CreateSubscriptionSchedule(_)
                | Self::UpdateSubscriptionSchedule(_)
                | Self::CreateQuote(_)
                | Self::UpdateQuote(_)
                | Self::CreateInvoiceItem(_)
                | Self::UpdateInvoiceItem(_)
                | Self::CreateInvoice(_)
                | Self::UpdateInvoice(_)
                | Self::CreateCreditNote(_)
                | Self::UpdateCreditNote(_)
        )
    }

    /// A fingerprint of the command, for idempotency keys.
    #[must_use]
    pub fn fingerprint(&self) -> [u8; 32] {
        crate::hash::canonical_hash(self)
    }
}
