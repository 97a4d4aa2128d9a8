//! From the form that an event had when it was written to the one that it has now.
//!
//! When the form of an event changes in a way that missing fields with defaults do not cover, its
//! schema number goes up in the table of types, and a step from the former number to the next is
//! added here. A step never changes afterwards, and none is ever removed: logs that hold the old
//! form are opened for ever.

use counterfoil_core::Value;

/// An event as it was stored: its body, and what is personal, if there is anything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stored {
    /// What is inside the variants of the event.
    pub body: Value,
    /// What stands apart from the body; nothing where it was erased.
    pub personal: Value,
}

/// A step from one version of a form to the next.
#[derive(Debug, Clone, Copy)]
pub struct Upcast {
    /// The number of the type.
    pub type_id: u16,
    /// The version that it begins from.
    pub schema: u16,
    /// What it does.
    pub step: fn(&mut Stored),
}

/// The steps of all events of this crate.
pub const UPCASTS: &[Upcast] = &[
    Upcast { type_id: 110, schema: 1, step: nothing_selected },
    Upcast { type_id: 111, schema: 1, step: nothing_selected },
    Upcast { type_id: 120, schema: 1, step: nothing_selected },
    Upcast { type_id: 121, schema: 1, step: nothing_selected },
    Upcast { type_id: 122, schema: 1, step: nothing_selected },
    Upcast { type_id: 123, schema: 1, step: nothing_selected },
    Upcast { type_id: 400, schema: 1, step: item_texts_apart },
    Upcast { type_id: 401, schema: 1, step: item_texts_apart },
    Upcast { type_id: 110, schema: 2, step: later_rules },
    Upcast { type_id: 111, schema: 2, step: later_rules },
    Upcast { type_id: 200, schema: 1, step: later_rules },
    Upcast { type_id: 201, schema: 1, step: later_rules },
    Upcast { type_id: 203, schema: 1, step: later_rules },
    Upcast { type_id: 300, schema: 1, step: later_rules },
    Upcast { type_id: 301, schema: 1, step: later_rules },
    Upcast { type_id: 303, schema: 1, step: later_rules },
    Upcast { type_id: 304, schema: 1, step: later_rules },
    Upcast { type_id: 400, schema: 2, step: later_rules },
    Upcast { type_id: 401, schema: 2, step: later_rules },
    Upcast { type_id: 410, schema: 1, step: later_rules },
    Upcast { type_id: 412, schema: 1, step: later_rules },
    Upcast { type_id: 415, schema: 1, step: later_rules },
    Upcast { type_id: 417, schema: 1, step: later_rules },
    Upcast { type_id: 418, schema: 1, step: later_rules },
    Upcast { type_id: 421, schema: 1, step: later_rules },
];

/// Meters got dimensions, and prices select usage by them. Where neither is there, there are none; the
/// number went up so that a program that knows nothing of them does not bill all usage instead.
fn nothing_selected(_: &mut Stored) {}

/// Discounts, taxes, prorations, pauses and parts of payments came. Where none of them is there, none
/// was; the number went up so that a program that knows nothing of them does not bill without them.
fn later_rules(_: &mut Stored) {}

/// The description and the metadata of an invoice item stood in its body. They became personal, and
/// the body was given a name to fall back on.
fn item_texts_apart(event: &mut Stored) {
    let mut texts = event.personal.take("texts").unwrap_or_else(Value::map);
    for field in ["description", "metadata"] {
        if let Some(text) = event.body.take(field) {
            texts.put(field, text);
        }
    }
    event.personal.put("texts", texts);
    event.body.put("name", Value::from("Invoice item"));
}
