//! Bringing what was stored in an older form to the present one.

use crate::EventType;
use counterfoil_billing::{Stored, UPCASTS, Upcast};

/// The steps of the events of the book itself.
const OWN: &[Upcast] = &[Upcast { type_id: 1, schema: 1, step: no_policies }];

/// Conventions became settings. A book without them has those that were the only ones.
fn no_policies(_: &mut Stored) {}

/// Why a stored event cannot be brought to the present form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UpcastError {
    /// The type was added by a later version of the program.
    #[error("events of type {type_id} are not known here: a newer version wrote them")]
    UnknownType {
        /// The number of the type.
        type_id: u16,
    },
    /// The form was changed by a later version of the program.
    #[error("{name} has form {schema}, and {known} is the newest one known here")]
    NewerForm {
        /// The name of the type.
        name: &'static str,
        /// The version of the form.
        schema: u16,
        /// The newest version that is known.
        known: u16,
    },
    /// No version of the program ever wrote this form.
    #[error("there never was a form {schema} of {name}")]
    NoSuchForm {
        /// The name of the type.
        name: &'static str,
        /// The version of the form.
        schema: u16,
    },
}

/// The type of a stored event, if its form is the present one or leads to it by steps.
///
/// # Errors
/// [`UpcastError`] names type and form.
pub fn known_type(type_id: u16, schema: u16) -> Result<EventType, UpcastError> {
    let known = EventType::of(type_id).ok_or(UpcastError::UnknownType { type_id })?;
    let name = known.name;
    if schema > known.schema {
        return Err(UpcastError::NewerForm { name, schema, known: known.schema });
    }
    if (schema..known.schema).any(|from| step(type_id, from).is_none()) {
        return Err(UpcastError::NoSuchForm { name, schema });
    }
    Ok(known)
}

/// Brings a stored event step by step to the present form of its type.
///
/// # Errors
/// As [`known_type`]; then nothing was changed.
pub fn upcast(type_id: u16, schema: u16, stored: &mut Stored) -> Result<EventType, UpcastError> {
    let known = known_type(type_id, schema)?;
    for from in schema..known.schema {
        if let Some(step) = step(type_id, from) {
            step(stored);
        }
    }
    Ok(known)
}

fn step(type_id: u16, schema: u16) -> Option<fn(&mut Stored)> {
    let all = UPCASTS.iter().chain(OWN);
    let found = all.clone().find(|upcast| (upcast.type_id, upcast.schema) == (type_id, schema));
    found.map(|upcast| upcast.step)
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::Value;
    use std::collections::BTreeSet;

    #[test]
    fn every_form_of_every_type_leads_to_the_present_one() {
        for known in EventType::ALL {
            for schema in 1..=known.schema {
                assert_eq!(known_type(known.id, schema), Ok(*known));
            }
            let name = known.name;
            let newer = known.schema + 1;
            let error = UpcastError::NewerForm { name, schema: newer, known: known.schema };
            assert_eq!(known_type(known.id, newer), Err(error));
            assert_eq!(known_type(known.id, 0), Err(UpcastError::NoSuchForm { name, schema: 0 }));
        }
        assert_eq!(known_type(9, 1), Err(UpcastError::UnknownType { type_id: 9 }));
    }

    #[test]
    fn there_is_no_step_from_nowhere_or_twice() {
        let mut seen = BTreeSet::new();
        for upcast in UPCASTS.iter().chain(OWN) {
            let known = EventType::of(upcast.type_id).unwrap();
            assert!((1..known.schema).contains(&upcast.schema), "{upcast:?}");
            assert!(seen.insert((upcast.type_id, upcast.schema)), "{upcast:?}");
        }
    }

    #[test]
    fn the_texts_of_an_item_leave_its_body() {
        let value = |json: &str| serde_json::from_str::<Value>(json).unwrap();
        for (body, personal, body_now, personal_now) in [
            (
                r#"{"id":"ii_1","description":"work","metadata":{"a":"1"}}"#,
                "null",
                r#"{"id":"ii_1","name":"Invoice item"}"#,
                r#"{"texts":{"description":"work","metadata":{"a":"1"}}}"#,
            ),
            (
                r#"{"id":"ii_1","description":"work","later":7}"#,
                "null",
                r#"{"id":"ii_1","later":7,"name":"Invoice item"}"#,
                r#"{"texts":{"description":"work"}}"#,
            ),
            ("null", "null", r#"{"name":"Invoice item"}"#, r#"{"texts":{}}"#),
        ] {
            for type_id in [400, 401] {
                let mut stored = Stored { body: value(body), personal: value(personal) };
                upcast(type_id, 1, &mut stored).unwrap();
                assert_eq!(serde_json::to_string(&stored.body).unwrap(), body_now);
                assert_eq!(serde_json::to_string(&stored.personal).unwrap(), personal_now);
            }
        }
        let mut stored = Stored { body: value("{}"), personal: value("{}") };
        let before = stored.clone();
        upcast(400, 3, &mut stored).unwrap();
        assert!(upcast(400, 4, &mut stored).is_err());
        assert_eq!(stored, before, "the present form is left as it is");
    }
}
