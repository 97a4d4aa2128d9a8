//! What happened to a customer.

use super::{BalanceTransaction, BalanceTransactionId, Customer, CustomerId, Personal};
use crate::discount::Discount;
use crate::tax::TaxExempt;
use crate::{PersonalData, Texts};
use counterfoil_core::{Timestamp, Zone};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// What happened to a customer.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum CustomerEvent {
    /// It was created. The personal data travels inside the customer and is recorded apart.
    Created(Arc<Customer>),
    /// It was changed.
    Updated {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
        /// The payment method from now on.
        payment_method: Option<String>,
        /// The prefix of invoice numbers from now on.
        invoice_prefix: String,
        /// Whether it pays tax from now on.
        #[serde(default, skip_serializing_if = "crate::is_default")]
        tax_exempt: TaxExempt,
        /// The clock by which its new subscriptions are billed from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        time_zone: Option<Zone>,
        /// The discount on its invoices from now on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        discount: Option<Discount>,
        /// The personal data from now on, as a whole; recorded apart.
        #[serde(skip)]
        personal: Arc<Personal>,
    },
    /// It was deleted.
    Deleted {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
    },
    /// An invoice of it failed to be paid, or was paid after all (rule 2.1).
    DelinquencyChanged {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
        /// Whether it is delinquent from now on.
        delinquent: bool,
    },
    /// Due work on it came to an impossible result: nothing happens to it by itself any more.
    Parked {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
        /// What was impossible.
        reason: String,
    },
    /// What was impossible was put right: due work on it is done again, at the old due times.
    Unparked {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
    },
    /// Its balance was changed by hand.
    BalanceTransacted(Arc<BalanceTransaction>),
    /// What somebody noted on a transaction was changed.
    BalanceTransactionUpdated {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
        /// Which transaction.
        transaction: BalanceTransactionId,
        /// The texts from now on, as a whole; recorded apart.
        #[serde(skip)]
        texts: Texts,
    },
    /// Its personal data was erased, and that of all it owns; the key is destroyed once this is
    /// durable. It counts as deleted from then on.
    Erased {
        /// Which customer.
        id: CustomerId,
        /// When.
        at: Timestamp,
        /// The number of the key.
        key_slot: u64,
    },
}

impl CustomerEvent {
    /// Which customer.
    #[must_use]
    pub fn customer(&self) -> &CustomerId {
        match self {
            Self::Created(customer) => &customer.id,
            Self::Updated { id, .. }
            | Self::Deleted { id, .. }
            | Self::DelinquencyChanged { id, .. }
            | Self::Parked { id, .. }
            | Self::BalanceTransactionUpdated { id, .. }
            | Self::Unparked { id, .. }
            | Self::Erased { id, .. } => id,
            Self::BalanceTransacted(transaction) => &transaction.customer,
        }
    }

    /// The personal data that the event carries beside its body.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        match self {
            Self::Created(customer) => customer.personal_data(),
            Self::Updated { personal, .. } => {
                PersonalData { customer: (**personal).clone(), ..PersonalData::default() }
            }
            Self::BalanceTransacted(transaction) => transaction.personal(),
            Self::BalanceTransactionUpdated { texts, .. } => {
                PersonalData { texts: texts.clone(), ..PersonalData::default() }
            }
            _ => PersonalData::default(),
        }
    }

    /// Gives the event its personal data back, after both were read.
    pub fn set_personal(&mut self, data: PersonalData) {
        match self {
            Self::Created(customer) => Arc::make_mut(customer).set_personal(data),
            Self::Updated { personal, .. } => *personal = Arc::new(data.customer),
            Self::BalanceTransacted(transaction) => {
                Arc::make_mut(transaction).set_personal(data);
            }
            Self::BalanceTransactionUpdated { texts, .. } => *texts = data.texts,
            _ => {}
        }
    }

    /// Applies the event to the customer it names; `Created` stands for itself.
    pub fn evolve(&self, customer: &mut Customer) {
        match self {
            Self::Created(created) => customer.clone_from(created),
            Self::Updated {
                payment_method,
                invoice_prefix,
                tax_exempt,
                time_zone,
                discount,
                personal,
                ..
            } => {
                customer.time_zone = *time_zone;
                customer.tax_exempt = *tax_exempt;
                customer.discount.clone_from(discount);
                customer.payment_method.clone_from(payment_method);
                customer.invoice_prefix.clone_from(invoice_prefix);
                customer.personal = Personal::clone(personal).into();
            }
            Self::Deleted { .. } => customer.deleted = true,
            Self::DelinquencyChanged { delinquent, .. } => customer.delinquent = *delinquent,
            Self::Parked { reason, .. } => customer.parked = Some(reason.clone()),
            Self::Unparked { .. } => customer.parked = None,
            Self::BalanceTransacted(transaction) => transaction.evolve(customer),
            // The transactions lie beside the customer.
            Self::BalanceTransactionUpdated { .. } => {}
            Self::Erased { at, .. } => {
                customer.set_personal(PersonalData::default());
                customer.deleted = true;
                customer.erased = Some(*at);
            }
        }
    }
}
