//! Why a command was refused: one enum, with the codes of rule 1.9.

use crate::Currency;
use serde::{Deserialize, Serialize};
use std::fmt;

macro_rules! codes {
    ($($(#[$meta:meta])* $code:ident $text:literal;)*) => {
        /// Stable error codes (rules 1.9 and 12.2). Their text form is what files and callers
        /// compare.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$meta])* #[serde(rename = $text)] $code,)*
        }

        impl Code {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$code),*];

            /// The code as it is written in files: `resource_missing`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$code => $text,)*
                }
            }
        }
    };
}

codes! {
    /// An amount above the currency's maximum, or beyond what can be represented.
    AmountTooLarge "amount_too_large";
    /// An amount below its minimum.
    AmountTooSmall "amount_too_small";
    /// Something was reversed before.
    AlreadyReversed "already_reversed";
    /// A meter that was deactivated.
    ArchivedMeter "archived_meter";
    /// Not enough balance.
    BalanceInsufficient "balance_insufficient";
    /// A coupon that can no longer be redeemed.
    CouponExpired "coupon_expired";
    /// Two currencies in one document.
    CurrencyMismatch "currency_mismatch";
    /// A customer at its limit of subscriptions.
    CustomerMaxSubscriptions "customer_max_subscriptions";
    /// An idempotency key used again with another command.
    IdempotencyError "idempotency_error";
    /// A result that cannot be.
    ImpossibleResult "impossible_result";
    /// An unknown currency code.
    InvalidCurrency "invalid_currency";
    /// An invoice that is no longer a draft.
    InvoiceNotEditable "invoice_not_editable";
    /// An invoice that would have no line.
    InvoiceNoCustomerLineItems "invoice_no_customer_line_items";
    /// A preview where no invoice will come.
    InvoiceUpcomingNone "invoice_upcoming_none";
    /// A meter event for a customer that does not exist.
    MeterEventCustomerNotFound "meter_event_customer_not_found";
    /// A meter event that names more dimensions than one may.
    MeterEventDimensionCountTooHigh "meter_event_dimension_count_too_high";
    /// A meter event whose value is malformed.
    MeterEventInvalidValue "meter_event_invalid_value";
    /// A meter event whose payload names no customer.
    MeterEventNoCustomerDefined "meter_event_no_customer_defined";
    /// A meter event whose value has too many digits.
    MeterEventValueTooManyDigits "meter_event_value_too_many_digits";
    /// A meter event whose payload lacks a dimension that its meter keeps.
    MissingDimensionPayloadKeys "missing_dimension_payload_keys";
    /// No meter takes this event name.
    NoMeter "no_meter";
    /// A parameter of the wrong type, or out of its range or form.
    ParameterInvalid "parameter_invalid";
    /// A required parameter is absent.
    ParameterMissing "parameter_missing";
    /// A price that was retired.
    PriceInactive "price_inactive";
    /// A product that was retired.
    ProductInactive "product_inactive";
    /// The id is taken.
    ResourceAlreadyExists "resource_already_exists";
    /// The id is unknown.
    ResourceMissing "resource_missing";
    /// A part of the state cannot be read from disk.
    StateUnreadable "state_unreadable";
    /// The object's state forbids the operation.
    StateUnsupported "state_unsupported";
    /// A meter event later than the clock allows.
    TimestampInFuture "timestamp_in_future";
    /// A meter event older than is accepted.
    TimestampTooFarInPast "timestamp_too_far_in_past";
    /// The stream moved on since the caller looked.
    VersionConflict "version_conflict";
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
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
    /// New use of a coupon or a promotion code that can no longer be redeemed.
    #[error("{kind} {id} can no longer be redeemed: {reason}")]
    CouponExpired {
        /// A coupon, or a promotion code.
        kind: String,
        /// Its id.
        id: String,
        /// Why not.
        reason: String,
    },
    /// A customer or subscription that no invoice will come for.
    #[error("no invoice will come for {what}")]
    InvoiceUpcomingNone {
        /// What was asked about.
        what: String,
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
    /// The rules led to what cannot be: a fault of this library, which is told rather than billed.
    #[error("impossible result on {kind} {id}: {reason}")]
    Impossible {
        /// The kind of object.
        kind: String,
        /// Its id.
        id: String,
        /// What cannot be, and the limit where there is one.
        reason: String,
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
    /// A part of the state cannot be read from disk: whether there is such an object is not known.
    #[error("a part of the state cannot be read: {reason}")]
    Unreadable {
        /// Why.
        reason: String,
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
            Self::CouponExpired { .. } => Code::CouponExpired,
            Self::InvoiceUpcomingNone { .. } => Code::InvoiceUpcomingNone,
            Self::CurrencyMismatch { .. } => Code::CurrencyMismatch,
            Self::InvalidCurrency { .. } => Code::InvalidCurrency,
            Self::AmountTooLarge { .. } => Code::AmountTooLarge,
            Self::AmountTooSmall { .. } => Code::AmountTooSmall,
            Self::InvoiceNoCustomerLineItems { .. } => Code::InvoiceNoCustomerLineItems,
            Self::CustomerMaxSubscriptions { .. } => Code::CustomerMaxSubscriptions,
            Self::IdempotencyError { .. } => Code::IdempotencyError,
            Self::Impossible { .. } => Code::ImpossibleResult,
            Self::VersionConflict { .. } => Code::VersionConflict,
            Self::Unreadable { .. } => Code::StateUnreadable,
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

    /// An amount is beyond its limit.
    #[must_use]
    pub fn too_large(what: impl Into<String>, limit: impl fmt::Display) -> Self {
        Self::AmountTooLarge { what: what.into(), limit: limit.to_string() }
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_code_is_written_as_the_snake_case_of_its_name() {
        let mut texts = BTreeSet::new();
        for &code in Code::ALL {
            let mut snake = String::new();
            for letter in format!("{code:?}").chars() {
                if letter.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.extend(letter.to_lowercase());
            }
            assert_eq!(code.as_str(), snake);
            assert_eq!(code.to_string(), snake);
            let json = serde_json::to_string(&code).unwrap();
            assert_eq!(json, format!("{snake:?}"));
            assert_eq!(serde_json::from_str::<Code>(&json).unwrap(), code);
            texts.insert(code.as_str());
        }
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(serde_json::from_str::<Code>(r#""no_such_code""#).is_err());
    }

    /// One refusal of every variant, with its code and its message.
    fn table() -> Vec<(Refusal, Code, &'static str)> {
        let id = || "in_1".to_owned();
        let customer = || "cus_1".to_owned();
        let (what, limit) = ("unit_amount".to_owned(), "999".to_owned());
        let mismatch = Refusal::CurrencyMismatch {
            context: "invoice in_1".into(),
            expected: "usd".into(),
            got: "eur".into(),
        };
        let conflict =
            Refusal::VersionConflict { stream: "customer/cus_1".into(), expected: 3, actual: 5 };
        let meter_event = Refusal::MeterEvent {
            code: Code::TimestampInFuture,
            identifier: "evt".into(),
            reason: "300 seconds is the limit".into(),
        };
        vec![
            (Refusal::missing("price"), Code::ParameterMissing, "price is required"),
            (Refusal::invalid("a.b", "no"), Code::ParameterInvalid, "a.b: no"),
            (Refusal::unknown("price", "p"), Code::ResourceMissing, "no such price: p"),
            (Refusal::taken("price", "p"), Code::ResourceAlreadyExists, "price p already exists"),
            (
                Refusal::state("invoice", "in_1", "paid", "nothing is open"),
                Code::StateUnsupported,
                "invoice in_1 is paid: nothing is open",
            ),
            (
                Refusal::InvoiceNotEditable { id: id(), state: "open".into() },
                Code::InvoiceNotEditable,
                "invoice in_1 is open and can no longer be edited",
            ),
            (
                Refusal::ProductInactive { id: "prod".into() },
                Code::ProductInactive,
                "product prod is inactive",
            ),
            (Refusal::PriceInactive { id: "p".into() }, Code::PriceInactive, "price p is inactive"),
            (
                Refusal::CouponExpired {
                    kind: "coupon".into(),
                    id: "c".into(),
                    reason: "it was deleted".into(),
                },
                Code::CouponExpired,
                "coupon c can no longer be redeemed: it was deleted",
            ),
            (
                Refusal::InvoiceUpcomingNone { what: "subscription sub_1".into() },
                Code::InvoiceUpcomingNone,
                "no invoice will come for subscription sub_1",
            ),
            (mismatch, Code::CurrencyMismatch, "invoice in_1: expected usd, got eur"),
            (
                Refusal::InvalidCurrency { code: "USD".into() },
                Code::InvalidCurrency,
                "\"USD\" is not a currency code of ISO 4217 in lower case",
            ),
            (
                Refusal::AmountTooLarge { what: what.clone(), limit: limit.clone() },
                Code::AmountTooLarge,
                "unit_amount is too large (the limit is 999)",
            ),
            (
                Refusal::AmountTooSmall { what, limit },
                Code::AmountTooSmall,
                "unit_amount is too small (the limit is 999)",
            ),
            (
                Refusal::InvoiceNoCustomerLineItems { customer: customer() },
                Code::InvoiceNoCustomerLineItems,
                "customer cus_1 has nothing to invoice",
            ),
            (
                Refusal::CustomerMaxSubscriptions { customer: customer(), limit: 500 },
                Code::CustomerMaxSubscriptions,
                "customer cus_1 has 500 subscriptions, which is the limit",
            ),
            (
                Refusal::IdempotencyError { key: "k".into() },
                Code::IdempotencyError,
                "idempotency key \"k\" was used with another command",
            ),
            (conflict, Code::VersionConflict, "stream customer/cus_1 is at version 5, not 3"),
            (meter_event, Code::TimestampInFuture, "meter event \"evt\": 300 seconds is the limit"),
        ]
    }

    #[test]
    fn a_refusal_has_a_code_and_says_what_is_wrong() {
        for (refusal, code, message) in table() {
            assert_eq!(refusal.code(), code);
            assert_eq!(refusal.to_string(), message);
        }
    }

    #[test]
    fn a_refusal_is_kept_whole() {
        for (refusal, ..) in table() {
            let bytes = rmp_serde::to_vec_named(&refusal).unwrap();
            assert_eq!(rmp_serde::from_slice::<Refusal>(&bytes).unwrap(), refusal);
        }
    }

    #[test]
    fn arithmetic_errors_become_refusals() {
        let mixed = ArithmeticError::CurrencyMismatch { left: Currency::USD, right: Currency::EUR };
        for (error, code, message) in [
            (mixed, Code::CurrencyMismatch, "sum: expected usd, got eur"),
            (
                ArithmeticError::Overflow,
                Code::AmountTooLarge,
                "a computed amount is too large (the limit is 9223372036854775807)",
            ),
            (
                ArithmeticError::DivisionByZero,
                Code::AmountTooLarge,
                "a computed amount is too large (the limit is 9223372036854775807)",
            ),
        ] {
            let refusal = Refusal::from(error);
            assert_eq!((refusal.code(), refusal.to_string().as_str()), (code, message));
        }
    }
}
