//! Events as bytes and back: MessagePack of the payload alone, with named fields.
//!
//! Which variant of [`Event`] it is, the number of its type says, which stands in the record; so the
//! bytes do not name the enums around the payload, and reading does not look them up.

use crate::msgpack;
use counterfoil_model::{Event, EventType};
use serde::de::value::BorrowedStrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, EnumAccess, Error, VariantAccess, Visitor};
use serde::forward_to_deserialize_any;
use serde::{Deserialize, Serialize};

/// What nearly all events fit in.
const USUAL_BYTES: usize = 640;

/// The payload of an event.
pub(crate) fn encode(event: &Event) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    event
        .serialize(&mut rmp_serde::Serializer::new(&mut bytes).with_struct_map())
        .map_err(|error| error.to_string())?;
    let EventType { name, variants, .. } = event.event_type();
    let mut payload = bytes.as_slice();
    for variant in variants {
        payload = inside(payload, variant)
            .ok_or_else(|| format!("{name} is not encoded as {}", variants.join("::")))?;
    }
    let names = bytes.len().saturating_sub(payload.len());
    bytes.drain(..names);
    Ok(bytes)
}

/// The value of a map whose only key is `variant`: how a variant is encoded.
fn inside<'a>(bytes: &'a [u8], variant: &str) -> Option<&'a [u8]> {
    let (&[map, key], rest) = bytes.split_first_chunk()?;
    let key_len = u8::try_from(variant.len()).ok().filter(|len| *len < 32)?;
    if (map, key) != (0x81, 0xa0 | key_len) {
        return None;
    }
    rest.strip_prefix(variant.as_bytes())
}

/// The event of a type from its payload. Fields that are not known are passed over, fields that are
/// not there have their default where they have one.
pub(crate) fn decode(known: EventType, payload: &[u8]) -> Result<Event, String> {
    let EventType { name, variants, .. } = known;
    msgpack::from_slice(payload, |payload| Event::deserialize(Within { variants, payload }))
        .map_err(|error| format!("{name}: {error}"))
}

/// A payload with the names of the variants around it, from the outside in.
struct Within<D> {
    variants: &'static [&'static str],
    payload: D,
}

impl<'de, D: Deserializer<'de>> Deserializer<'de> for Within<D> {
    type Error = D::Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, D::Error> {
        Err(D::Error::custom("an event is an enum"))
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        visitor.visit_enum(self)
    }

    fn is_human_readable(&self) -> bool {
        self.payload.is_human_readable()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct identifier ignored_any
    }
}

impl<'de, D: Deserializer<'de>> EnumAccess<'de> for Within<D> {
    type Error = D::Error;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), D::Error> {
        let (first, rest) =
            self.variants.split_first().ok_or_else(|| D::Error::custom("a variant too many"))?;
        let name = seed.deserialize(BorrowedStrDeserializer::new(first))?;
        Ok((name, Self { variants: rest, payload: self.payload }))
    }
}

impl<'de, D: Deserializer<'de>> VariantAccess<'de> for Within<D> {
    type Error = D::Error;

    fn unit_variant(self) -> Result<(), D::Error> {
        <()>::deserialize(self.payload)
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, D::Error> {
        if self.variants.is_empty() {
            seed.deserialize(self.payload)
        } else {
            seed.deserialize(self)
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, D::Error> {
        self.payload.deserialize_tuple(len, visitor)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, D::Error> {
        self.payload.deserialize_struct("", fields, visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_billing::invoice::InvoiceEvent;
    use counterfoil_core::{Currency, Id, Timestamp};
    use serde::de::IgnoredAny;
    use std::collections::BTreeMap;

    fn paid() -> Event {
        let event = InvoiceEvent::Paid {
            customer: Id::derived(1),
            id: Id::derived(2),
            at: Timestamp::MIN,
            attempt: Some(Id::derived(3)),
            amount: 2_900,
            currency: Currency::USD,
            recovered: false,
        };
        event.into()
    }

    #[test]
    fn a_payload_is_its_named_fields_and_nothing_around_them() {
        let bytes = encode(&paid()).unwrap();
        let fields: BTreeMap<&str, IgnoredAny> = rmp_serde::from_slice(&bytes).unwrap();
        let names: Vec<_> = fields.into_keys().collect();
        assert_eq!(names, ["amount", "at", "attempt", "currency", "customer", "id"]);
        assert_eq!(decode(EventType::of(416).unwrap(), &bytes), Ok(paid()));
    }

    #[test]
    fn a_field_that_is_not_known_is_passed_over() {
        #[derive(Serialize)]
        struct Newer<'a> {
            customer: &'a str,
            id: &'a str,
            at: i64,
            fees: &'a [(&'a str, i64)],
            attempt: &'a str,
            amount: i64,
            currency: &'a str,
        }
        let at = Timestamp::MIN.unix();
        let newer = Newer {
            customer: "cus_1",
            id: "in_2",
            at,
            fees: &[("card", 30)],
            attempt: "pa_3",
            amount: 2_900,
            currency: "usd",
        };
        let bytes = rmp_serde::to_vec_named(&newer).unwrap();
        assert_eq!(decode(EventType::of(416).unwrap(), &bytes), Ok(paid()));
    }

    #[test]
    fn what_the_number_does_not_stand_for_is_refused() {
        let bytes = encode(&paid()).unwrap();
        let other = decode(EventType::of(415).unwrap(), &bytes).unwrap_err();
        assert!(other.starts_with("invoice.payment_attempted: "), "{other}");
        let cut = decode(EventType::of(416).unwrap(), &bytes[..bytes.len() - 1]).unwrap_err();
        assert_eq!(cut, "invoice.paid: a value is cut off");
        assert_eq!(EventType::of(999), None);
    }

    #[test]
    fn every_number_stands_for_one_type() {
        let mut names = BTreeMap::new();
        for known in (0..=u16::MAX).filter_map(EventType::of) {
            let event_type = names.insert(known.name, known.variants);
            assert_eq!(event_type, None, "{}", known.name);
        }
        assert!(names.contains_key("invoice.paid"));
    }
}
