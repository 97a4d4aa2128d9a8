//! Typed ids: a customer's id cannot be passed where a price's is wanted.

use crate::{Refusal, limits};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use smol_str::{SmolStr, format_smolstr};
use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

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
    /// A schedule of a subscription.
    SubscriptionSchedule "subscription_schedule" "sub_sched";
    /// A quote.
    Quote "quote" "qt";
    /// A pending item that an invoice will take.
    InvoiceItem "invoiceitem" "ii";
    /// An attempt to collect an invoice.
    PaymentAttempt "payment_attempt" "pa";
    /// A payment of an invoice.
    InvoicePayment "invoice_payment" "inpay";
    /// A credit note.
    CreditNote "credit_note" "cn";
    /// A line of a credit note.
    CreditNoteLine "credit_note_line_item" "cnli";
    /// A coupon.
    Coupon "coupon" "coupon";
    /// A code that a customer redeems a coupon with.
    PromotionCode "promotion_code" "promo";
    /// The use of a coupon on an object.
    Discount "discount" "di";
    /// A tax rate.
    TaxRate "tax_rate" "txr";
    /// A tax id of a customer.
    TaxId "tax_id" "txi";
    /// A meter.
    Meter "meter" "mtr";
    /// An alert on the usage of a meter.
    Alert "billing.alert" "alrt";
}

/// The id of an object of kind `K`: 1 to 255 bytes without white space or control characters,
/// chosen by the caller or derived. Nothing depends on its spelling.
///
/// Up to 23 bytes, as all derived ids and those of most gateways have, stand in the value itself, so
/// that ids are compared and copied without going elsewhere; clones of a longer one share its text.
pub struct Id<K> {
    text: SmolStr,
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
        let plain = text.bytes().all(|byte| byte.is_ascii_graphic());
        if !plain && text.chars().any(|c| c.is_whitespace() || c.is_control()) {
            let reason = format!("a {} id has no white space or control character", K::NAME);
            return Err(Refusal::invalid("id", reason));
        }
        Ok(Self { text: text.into(), kind: PhantomData })
    }

    /// Takes an id of up to 255 printable ASCII characters, which nearly all are; none for any other
    /// text, which [`Id::new`] may take or refuse.
    #[must_use]
    pub fn plain(text: &[u8]) -> Option<Self> {
        if text.is_empty() || text.len() > limits::ID_BYTES_MAX {
            return None;
        }
        // All of them, without a branch for each.
        let plain = text.iter().fold(true, |plain, byte| plain & byte.is_ascii_graphic());
        let text = std::str::from_utf8(text).ok().filter(|_| plain)?;
        Some(Self { text: text.into(), kind: PhantomData })
    }

    /// The `n`-th derived id of this kind: `cus_1`.
    #[must_use]
    pub fn derived(n: u64) -> Self {
        Self { text: format_smolstr!("{}_{n}", K::PREFIX), kind: PhantomData }
    }

    /// The `n`-th derived id below the object whose place in the order of creation is `seq`:
    /// `il_7_2`. Where callers may choose ids of this kind, whoever derives one looks first whether
    /// it is taken.
    #[must_use]
    pub fn numbered(seq: u64, n: u64) -> Self {
        Self { text: format_smolstr!("{}_{seq}_{n}", K::PREFIX), kind: PhantomData }
    }

    /// The text of the id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl<K> Clone for Id<K> {
    fn clone(&self) -> Self {
        Self { text: self.text.clone(), kind: PhantomData }
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
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        let (a, b) = (self.text.as_bytes(), other.text.as_bytes());
        // Most ids of a large book differ early, or are equally long and differ late: then two numbers
        // are compared.
        match (a.first_chunk(), b.first_chunk(), a.last_chunk(), b.last_chunk()) {
            (Some(x), Some(y), ..) if x != y => u64::from_be_bytes(*x).cmp(&u64::from_be_bytes(*y)),
            (_, _, Some(x), Some(y)) if a.len() == b.len() && a.len() <= 16 => {
                u64::from_be_bytes(*x).cmp(&u64::from_be_bytes(*y))
            }
            _ => a.cmp(b),
        }
    }
}

/// Ids compare as their text does, so maps by id can be asked by text.
impl<K> Borrow<str> for Id<K> {
    fn borrow(&self) -> &str {
        &self.text
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type CustomerId = Id<kind::Customer>;

    #[test]
    fn limits_of_the_text() {
        for text in ["c", "cus_1", "a/b:c-d.e@f", "käufer", "🧾", &"x".repeat(255)] {
            let id = CustomerId::new(text).unwrap();
            assert_eq!((id.as_str(), id.to_string().as_str()), (text, text));
        }
        // Bytes are counted: 128 times two of them are too many.
        let (long, wide) = ("x".repeat(256), "ü".repeat(128));
        for text in ["", &long, &wide] {
            let refusal = CustomerId::new(text).unwrap_err().to_string();
            let expect = format!("id: a customer id has 1 to 255 bytes, this one {}", text.len());
            assert_eq!(refusal, expect);
        }
        for text in [" ", "a b", "a\t", "\na", "a\u{a0}b", "a\0", "a\u{7f}", "\u{85}"] {
            let refusal = CustomerId::new(text).unwrap_err().to_string();
            assert_eq!(refusal, "id: a customer id has no white space or control character");
        }
    }

    #[test]
    fn every_way_in_is_checked() {
        assert_eq!("cus_1".parse::<CustomerId>(), CustomerId::new("cus_1"));
        assert_eq!(CustomerId::try_from("cus_1"), CustomerId::new("cus_1"));
        assert!("a b".parse::<CustomerId>().is_err());
        assert!(CustomerId::try_from("").is_err());
        for json in [r#""""#, r#""a b""#, "1", "null", r#"["cus_1"]"#] {
            assert!(serde_json::from_str::<CustomerId>(json).is_err(), "{json} was taken");
        }
    }

    #[test]
    fn derived_ids_have_the_prefix_of_their_kind() {
        assert_eq!(Id::<kind::Customer>::derived(1).as_str(), "cus_1");
        assert_eq!(Id::<kind::Invoice>::derived(20).as_str(), "in_20");
        assert_eq!(Id::<kind::InvoiceItem>::derived(0).as_str(), "ii_0");
        assert_eq!(Id::<kind::Meter>::derived(u64::MAX).as_str(), "mtr_18446744073709551615");
    }

    #[test]
    fn clones_of_a_long_id_share_one_text() {
        let id = CustomerId::new(&"x".repeat(24)).unwrap();
        assert!(std::ptr::eq(id.as_str(), id.clone().as_str()));
    }

    #[test]
    fn an_id_is_as_small_as_a_string() {
        assert_eq!(size_of::<Option<CustomerId>>(), size_of::<String>());
    }

    proptest! {
        #[test]
        fn an_id_survives_its_text_and_its_binary_form(text in "[!-~]{1,255}") {
            let id = CustomerId::new(&text).unwrap();
            let json = serde_json::to_string(&id).unwrap();
            prop_assert_eq!(serde_json::from_str::<CustomerId>(&json).unwrap(), id.clone());
            let bytes = rmp_serde::to_vec_named(&id).unwrap();
            prop_assert_eq!(rmp_serde::from_slice::<CustomerId>(&bytes).unwrap(), id);
        }

        #[test]
        fn ids_are_ordered_as_their_text(left in "[a-b]{1,20}", tail in "[a-b]{1,12}", cut in 0_usize..20) {
            // Texts that have a beginning in common, of equal length or not.
            let right = format!("{}{tail}", &left[..cut.min(left.len())]);
            let (a, b) = (CustomerId::new(&left).unwrap(), CustomerId::new(&right).unwrap());
            prop_assert_eq!(a.cmp(&b), left.cmp(&right));
            prop_assert_eq!(a == b, left == right);
        }

        #[test]
        fn a_plain_id_is_the_same_id(bytes in prop::collection::vec(0x20_u8..0x90, 0..260)) {
            let text = std::str::from_utf8(&bytes);
            let graphic = bytes.iter().all(u8::is_ascii_graphic);
            let expected = text.ok().filter(|_| graphic).and_then(|text| CustomerId::new(text).ok());
            prop_assert_eq!(CustomerId::plain(&bytes), expected);
        }

        #[test]
        fn any_text_is_taken_whole_or_refused(text in any::<String>()) {
            if let Ok(id) = CustomerId::new(&text) {
                prop_assert_eq!(id.as_str(), text);
            }
        }
    }
}
