//! Typed ids: a customer's id cannot be passed where a price's is wanted.

use crate::{Refusal, limits};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;
use std::sync::Arc;

/// A kind of object: its name in errors and the prefix of the ids that are derived for it (1.5).
pub trait Kind: 'static {
    /// The name in errors: `customer`.
    const NAME: &'static str;
    /// The prefix of derived ids, without the underscore: `cus`.
    const PREFIX: &'static str;
}

macro_rules! kinds {
    ($($(#[$meta:meta])* $kind:ident $name:literal $prefix:literal;)*) => {
        /// The registry of kinds.
        pub mod kind {
            $(
                $(#[$meta])*
                #[derive(Debug)]
                pub enum $kind {}
                impl super::Kind for $kind {
                    const NAME: &'static str = $name;
                    const PREFIX: &'static str = $prefix;
                }
            )*
        }
    };
}

kinds! {
    /// A customer.
    Customer "customer" "cus";
    /// A transaction on a customer's balance.
    CustomerBalanceTransaction "customer_balance_transaction" "cbtxn";
    /// A product.
    Product "product" "prod";
    /// A price.
    Price "price" "price";
    /// A subscription.
    Subscription "subscription" "sub";
    /// An item of a subscription.
    SubscriptionItem "subscription_item" "si";
    /// An invoice.
    Invoice "invoice" "in";
    /// A line of an invoice.
    InvoiceLine "line_item" "il";
    /// A pending item that an invoice will take.
    InvoiceItem "invoiceitem" "ii";
    /// An attempt to collect an invoice.
    PaymentAttempt "payment_attempt" "pa";
    /// A meter.
    Meter "meter" "mtr";
}

/// The id of an object of kind `K`: 1 to 255 bytes without white space or control characters,
/// chosen by the caller or derived. Nothing depends on its spelling. Clones share one allocation.
pub struct Id<K> {
    text: Arc<str>,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Id<K> {
    /// Checks and takes an id that a caller chose.
    ///
    /// # Errors
    /// [`Refusal::ParameterInvalid`] with the limit that the text breaks.
    pub fn new(text: &str) -> Result<Self, Refusal> {
        if text.is_empty() || text.len() > limits::ID_BYTES_MAX {
            let reason = format!(
                "a {} id has 1 to {} bytes, this one {}",
                K::NAME,
                limits::ID_BYTES_MAX,
                text.len()
            );
            return Err(Refusal::invalid("id", reason));
        }
        if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let reason = format!("a {} id has no white space or control character", K::NAME);
            return Err(Refusal::invalid("id", reason));
        }
        Ok(Self { text: text.into(), kind: PhantomData })
    }

    /// The `n`-th derived id of this kind: `cus_1`.
    #[must_use]
    pub fn derived(n: u64) -> Self {
        Self { text: format!("{}_{n}", K::PREFIX).into(), kind: PhantomData }
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        Self { text: Arc::clone(&self.text), kind: PhantomData }
    }
}

impl<K> PartialEq for Id<K> {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl<K> Eq for Id<K> {}

impl<K> PartialOrd for Id<K> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K> Ord for Id<K> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.text.cmp(&other.text)
    }
}

impl<K> Hash for Id<K> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

impl<K> fmt::Debug for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<K> fmt::Display for Id<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl<K: Kind> std::str::FromStr for Id<K> {
    type Err = Refusal;

    fn from_str(text: &str) -> Result<Self, Refusal> {
        Self::new(text)
    }
}

impl<K: Kind> TryFrom<&str> for Id<K> {
    type Error = Refusal;

    fn try_from(text: &str) -> Result<Self, Refusal> {
        Self::new(text)
    }
}

impl<K> Serialize for Id<K> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de, K: Kind> Deserialize<'de> for Id<K> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<K>(PhantomData<K>);
        impl<K: Kind> de::Visitor<'_> for Visitor<K> {
            type Value = Id<K>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "the id of a {}", K::NAME)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Id<K>, E> {
                Id::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor(PhantomData))
    }
}
