//! Why a command was refused: one enum, with the codes of rule 1.9.

use crate::Currency;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Stable error codes (rules 1.9 and 12.2). Their text form is what files and callers compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Code {
    /// An amount above the currency's maximum, or beyond what can be represented.
    AmountTooLarge,
    /// An amount below its minimum.
    AmountTooSmall,
    /// Something was reversed before.
    AlreadyReversed,
    /// A meter that was deactivated.
    ArchivedMeter,
    /// Not enough balance.
    BalanceInsufficient,
    /// A coupon that can no longer be redeemed.
    CouponExpired,
    /// Two currencies in one document.
    CurrencyMismatch,
    /// A customer at its limit of subscriptions.
    CustomerMaxSubscriptions,
    /// An idempotency key used again with another command.
    IdempotencyError,
    /// An unknown currency code.
    InvalidCurrency,
    /// An invoice that is no longer a draft.
    InvoiceNotEditable,
    /// An invoice that would have no line.
    InvoiceNoCustomerLineItems,
    /// A meter event for a customer that does not exist.
    MeterEventCustomerNotFound,
    /// A meter event whose value is malformed.
    MeterEventInvalidValue,
    /// A meter event whose payload names no customer.
    MeterEventNoCustomerDefined,
    /// A meter event whose value has too many digits.
    MeterEventValueTooManyDigits,
    /// No meter takes this event name.
    NoMeter,
    /// A parameter of the wrong type, or out of its range or form.
    ParameterInvalid,
    /// A required parameter is absent.
    ParameterMissing,
    /// A price that was retired.
    PriceInactive,
    /// A product that was retired.
    ProductInactive,
    /// The id is taken.
    ResourceAlreadyExists,
    /// The id is unknown.
    ResourceMissing,
    /// The object's state forbids the operation.
    StateUnsupported,
    /// A meter event later than the clock allows.
    TimestampInFuture,
    /// A meter event older than is accepted.
    TimestampTooFarInPast,
    /// The stream moved on since the caller looked.
    VersionConflict,
}

impl Code {
    /// The code as it is written in files: `resource_missing`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AmountTooLarge => "amount_too_large",
            Self::AmountTooSmall => "amount_too_small",
            Self::AlreadyReversed => "already_reversed",
            Self::ArchivedMeter => "archived_meter",
            Self::BalanceInsufficient => "balance_insufficient",
            Self::CouponExpired => "coupon_expired",
            Self::CurrencyMismatch => "currency_mismatch",
            Self::CustomerMaxSubscriptions => "customer_max_subscriptions",
            Self::IdempotencyError => "idempotency_error",
            Self::InvalidCurrency => "invalid_currency",
            Self::InvoiceNotEditable => "invoice_not_editable",
            Self::InvoiceNoCustomerLineItems => "invoice_no_customer_line_items",
            Self::MeterEventCustomerNotFound => "meter_event_customer_not_found",
            Self::MeterEventInvalidValue => "meter_event_invalid_value",
            Self::MeterEventNoCustomerDefined => "meter_event_no_customer_defined",
            Self::MeterEventValueTooManyDigits => "meter_event_value_too_many_digits",
            Self::NoMeter => "no_meter",
            Self::ParameterInvalid => "parameter_invalid",
            Self::ParameterMissing => "parameter_missing",
            Self::PriceInactive => "price_inactive",
            Self::ProductInactive => "product_inactive",
            Self::ResourceAlreadyExists => "resource_already_exists",
            Self::ResourceMissing => "resource_missing",
            Self::StateUnsupported => "state_unsupported",
            Self::TimestampInFuture => "timestamp_in_future",
            Self::TimestampTooFarInPast => "timestamp_too_far_in_past",
            Self::VersionConflict => "version_conflict",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Arithmetic that has no exact answer within range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ArithmeticError {
    /// The exact result does not fit; nothing was rounded or wrapped to make it fit.
    #[error("the result is out of range")]
    Overflow,
    /// Two currencies in one sum.
    #[error("{left} and {right} cannot be added")]
    CurrencyMismatch {
        /// The currency of the left operand.
        left: Currency,
        /// The currency of the right operand.
        right: Currency,
    },
    /// A fraction over nothing.
    #[error("division by zero")]
    DivisionByZero,
}

/// A refused command: what was wrong, with the ids and figures a caller needs. A refusal changes
/// nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Refusal {
    /// A required parameter is absent.
    #[error("{param} is required")]
    ParameterMissing {
        /// The parameter, as a dotted path.
        param: String,
    },
    /// A parameter of the wrong type, or out of its range or form.
    #[error("{param}: {reason}")]
    ParameterInvalid {
        /// The parameter, as a dotted path.
        param: String,
        /// What is wrong, and the limit where there is one.
        reason: String,
    },
    /// An id that nothing has.
    #[error("no such {kind}: {id}")]
    ResourceMissing {
        /// The kind of object.
        kind: String,
        /// The id that was given.
        id: String,
    },
    /// An id that is taken.
    #[error("{kind} {id} already exists")]
    ResourceAlreadyExists {
        /// The kind of object.
        kind: String,
        /// The id that was given.
        id: String,
    },
    /// The object's state forbids the operation.
    #[error("{kind} {id} is {state}: {reason}")]
    StateUnsupported {
        /// The kind of object.
        kind: String,
        /// Its id.
        id: String,
        /// The state it is in.
        state: String,
        /// Why that forbids the operation.
        reason: String,
    },
    /// An invoice that is no longer a draft.
    #[error("invoice {id} is {state} and can no longer be edited")]
    InvoiceNotEditable {
        /// The invoice.
        id: String,
        /// The state it is in.
        state: String,
    },
    /// New use of a product that was retired.
    #[error("product {id} is inactive")]
    ProductInactive {
        /// The product.
        id: String,
    },
    /// New use of a price that was retired.
    #[error("price {id} is inactive")]
    PriceInactive {
        /// The price.
        id: String,
    },
    /// Two currencies in one document.
    #[error("{context}: expected {expected}, got {got}")]
    CurrencyMismatch {
        /// Where they met.
        context: String,
        /// The currency of the document.
        expected: String,
        /// The other one.
        got: String,
    },
    /// An unknown currency code.
    #[error("{code:?} is not a currency code of ISO 4217 in lower case")]
    InvalidCurrency {
        /// The code that was given.
        code: String,
    },
    /// An amount above its maximum, or beyond what can be represented.
    #[error("{what} is too large (the limit is {limit})")]
    AmountTooLarge {
        /// What was computed or given.
        what: String,
        /// The limit.
        limit: String,
    },
    /// An amount below its minimum.
    #[error("{what} is too small (the limit is {limit})")]
    AmountTooSmall {
        /// What was computed or given.
        what: String,
        /// The limit.
        limit: String,
    },
    /// A document that would have no line.
    #[error("customer {customer} has nothing to invoice")]
    InvoiceNoCustomerLineItems {
        /// The customer.
        customer: String,
    },
    /// A customer at its limit of subscriptions.
    #[error("customer {customer} has {limit} subscriptions, which is the limit")]
    CustomerMaxSubscriptions {
        /// The customer.
        customer: String,
        /// The limit.
        limit: usize,
    },
    /// An idempotency key used again with another command.
    #[error("idempotency key {key:?} was used with another command")]
    IdempotencyError {
        /// The key.
        key: String,
    },
    /// The stream moved on since the caller looked.
    #[error("stream {stream} is at version {actual}, not {expected}")]
    VersionConflict {
        /// The stream.
        stream: String,
        /// The version the caller expected.
        expected: u64,
        /// The version it has.
        actual: u64,
    },
    /// A refused meter event (rule 12.2).
    #[error("meter event {identifier:?}: {reason}")]
    MeterEvent {
        /// One of the codes of rule 12.2.
        code: Code,
        /// The event's identifier.
        identifier: String,
        /// What is wrong, and the limit where there is one.
        reason: String,
    },
}

impl Refusal {
    /// The stable code of this refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::ParameterMissing { .. } => Code::ParameterMissing,
            Self::ParameterInvalid { .. } => Code::ParameterInvalid,
            Self::ResourceMissing { .. } => Code::ResourceMissing,
            Self::ResourceAlreadyExists { .. } => Code::ResourceAlreadyExists,
            Self::StateUnsupported { .. } => Code::StateUnsupported,
            Self::InvoiceNotEditable { .. } => Code::InvoiceNotEditable,
            Self::ProductInactive { .. } => Code::ProductInactive,
            Self::PriceInactive { .. } => Code::PriceInactive,
            Self::CurrencyMismatch { .. } => Code::CurrencyMismatch,
            Self::InvalidCurrency { .. } => Code::InvalidCurrency,
            Self::AmountTooLarge { .. } => Code::AmountTooLarge,
            Self::AmountTooSmall { .. } => Code::AmountTooSmall,
            Self::InvoiceNoCustomerLineItems { .. } => Code::InvoiceNoCustomerLineItems,
            Self::CustomerMaxSubscriptions { .. } => Code::CustomerMaxSubscriptions,
            Self::IdempotencyError { .. } => Code::IdempotencyError,
            Self::VersionConflict { .. } => Code::VersionConflict,
            Self::MeterEvent { code, .. } => *code,
        }
    }

    /// A required parameter is absent.
    #[must_use]
    pub fn missing(param: impl Into<String>) -> Self {
        Self::ParameterMissing { param: param.into() }
    }

    /// A parameter is out of its range or form; `reason` names the limit.
    #[must_use]
    pub fn invalid(param: impl Into<String>, reason: impl Into<String>) -> Self {
        Self::ParameterInvalid { param: param.into(), reason: reason.into() }
    }

    /// An id that nothing has.
    #[must_use]
    pub fn unknown(kind: impl Into<String>, id: impl fmt::Display) -> Self {
        Self::ResourceMissing { kind: kind.into(), id: id.to_string() }
    }

    /// An id that is taken.
    #[must_use]
    pub fn taken(kind: impl Into<String>, id: impl fmt::Display) -> Self {
        Self::ResourceAlreadyExists { kind: kind.into(), id: id.to_string() }
    }

    /// The object's state forbids the operation.
    #[must_use]
    pub fn state(
        kind: impl Into<String>,
        id: impl fmt::Display,
        state: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Self {
        Self::StateUnsupported {
            kind: kind.into(),
            id: id.to_string(),
            state: state.to_string(),
            reason: reason.into(),
        }
    }
}

impl From<ArithmeticError> for Refusal {
    fn from(error: ArithmeticError) -> Self {
        match error {
            ArithmeticError::CurrencyMismatch { left, right } => Self::CurrencyMismatch {
                context: "sum".into(),
                expected: left.code().into(),
                got: right.code().into(),
            },
            ArithmeticError::Overflow | ArithmeticError::DivisionByZero => Self::AmountTooLarge {
                what: "a computed amount".into(),
                limit: i64::MAX.to_string(),
            },
        }
    }
}
