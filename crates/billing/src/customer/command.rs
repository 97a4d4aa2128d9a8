//! What a caller may ask for.

use super::{Address, CustomerId};
use crate::Patch;
use crate::discount::{CouponId, PromotionCodeId};
use crate::tax::{TaxExempt, TaxIdId};
use counterfoil_core::{MetadataPatch, Zone};
use serde::{Deserialize, Serialize};

/// `customer.create`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct CreateCustomer {
    /// The id; derived where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<CustomerId>,
    /// The full name or the business name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The e-mail address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// The phone number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phone: Option<String>,
    /// The billing address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<Address>,
    /// Free text about the customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<MetadataPatch>,
    /// The payment method to charge, as the gateway names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payment_method: Option<String>,
    /// An opening balance in the book's currency, in minor units: negative is credit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub balance: Option<i64>,
    /// What its invoice numbers begin with: 3 to 12 upper-case letters or digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invoice_prefix: Option<String>,
    /// The sequence number of its first invoice; 1 where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_invoice_sequence: Option<u64>,
    /// Whether it pays tax.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tax_exempt: Option<TaxExempt>,
    /// The clock by which its new subscriptions are billed; the book's where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<Zone>,
    /// A coupon to redeem for its invoices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub coupon: Option<CouponId>,
    /// A promotion code to redeem for its invoices; instead of `coupon`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub promotion_code: Option<PromotionCodeId>,
}

/// `customer.update`: fields that are absent stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpdateCustomer {
    /// Which customer.
    pub id: CustomerId,
    /// The full name or the business name.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// The e-mail address.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub email: Patch<String>,
    /// The phone number.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub phone: Patch<String>,
    /// The billing address, as a whole.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub address: Patch<Address>,
    /// Free text about the customer.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub description: Patch<String>,
    /// Metadata to merge; `null` clears all of it (rule 1.6).
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<MetadataPatch>,
    /// The payment method to charge.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub payment_method: Patch<String>,
    /// What its next invoice numbers begin with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invoice_prefix: Option<String>,
    /// Whether it pays tax.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tax_exempt: Option<TaxExempt>,
    /// The clock by which its new subscriptions are billed; `null` for the book's.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub time_zone: Patch<Zone>,
    /// A coupon to redeem for its invoices, instead of the one it has; `null` for none.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub coupon: Patch<CouponId>,
    /// The same by a promotion code.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub promotion_code: Patch<PromotionCodeId>,
}

impl UpdateCustomer {
    /// An update of nothing, to be filled in.
    #[must_use]
    pub fn new(id: CustomerId) -> Self {
        Self {
            id,
            name: Patch::Keep,
            email: Patch::Keep,
            phone: Patch::Keep,
            address: Patch::Keep,
            description: Patch::Keep,
            metadata: Patch::Keep,
            payment_method: Patch::Keep,
            invoice_prefix: None,
            tax_exempt: None,
            time_zone: Patch::Keep,
            coupon: Patch::Keep,
            promotion_code: Patch::Keep,
        }
    }
}

/// `tax_id.create`: a number under which an authority knows a customer; personal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreateTaxId {
    /// The id; derived where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<TaxIdId>,
    /// Whose.
    pub customer: CustomerId,
    /// The kind of number: `eu_vat`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The number.
    pub value: String,
}

/// `tax_id.delete`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteTaxId {
    /// Whose.
    pub customer: CustomerId,
    /// Which.
    pub id: TaxIdId,
}

/// `customer.erase`: its personal data, and that of all it owns, is gone for good (rule 2.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EraseCustomer {
    /// Which customer.
    pub id: CustomerId,
}

/// `customer.unpark`: what was impossible was put right, and due work goes on (rule 2.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnparkCustomer {
    /// Which customer.
    pub id: CustomerId,
}

/// `customer.delete`: cancels all its subscriptions at once; cannot be undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeleteCustomer {
    /// Which customer.
    pub id: CustomerId,
}
