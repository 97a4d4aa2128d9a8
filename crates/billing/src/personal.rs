//! What is personal in objects and events: recorded apart from everything else, so that it can be
//! erased without it (rule 2.4).
//!
//! The fields that hold it are left out of an object's serialized form. `personal` takes a copy of
//! them, `set_personal` puts one in their place: an empty one erases.

use crate::credit_note::CreditNote;
use crate::customer::{BalanceTransaction, Customer, Personal};
use crate::invoice::{Charge, Finalized, Invoice, InvoiceItem};
use crate::quote::Quote;
use crate::schedule::SubscriptionSchedule;
use crate::subscription::Subscription;
use counterfoil_core::Metadata;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A caller's own words on an object.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Texts {
    /// Free text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Metadata (rule 1.6).
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    pub metadata: Metadata,
}

/// All that is personal in one object or event.
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct PersonalData {
    /// Who a customer is.
    #[serde(skip_serializing_if = "Personal::is_empty")]
    pub customer: Personal,
    /// The texts of an object that is not a customer.
    #[serde(skip_serializing_if = "Texts::is_empty")]
    pub texts: Texts,
    /// The texts of its parts, by their place: items of a subscription, lines of an invoice.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub parts: BTreeMap<u32, Texts>,
}

impl Texts {
    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.description.is_none() && self.metadata.is_empty()
    }

    fn of(description: &Option<String>, metadata: &Metadata) -> Self {
        Self { description: description.clone(), metadata: metadata.clone() }
    }
}

impl PersonalData {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.customer.is_empty() && self.texts.is_empty() && self.parts.is_empty()
    }

    fn of(texts: Texts) -> Self {
        Self { texts, ..Self::default() }
    }

    fn with_parts(mut self, parts: impl Iterator<Item = Texts>) -> Self {
        self.parts = (0..).zip(parts).filter(|(_, texts)| !texts.is_empty()).collect();
        self
    }

    /// Puts the texts of each part in its place.
    fn give_parts<'p, P: 'p>(
        mut self,
        parts: impl Iterator<Item = &'p mut P>,
        put: impl Fn(&mut P, Texts),
    ) {
        for (place, part) in (0..).zip(parts) {
            put(part, self.parts.remove(&place).unwrap_or_default());
        }
    }
}

impl Customer {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal_data(&self) -> PersonalData {
        PersonalData { customer: Personal::clone(&self.personal), ..PersonalData::default() }
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, data: PersonalData) {
        self.personal = data.customer.into();
    }
}

impl BalanceTransaction {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        PersonalData::of(Texts::of(&self.description, &self.metadata))
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, data: PersonalData) {
        (self.description, self.metadata) = (data.texts.description, data.texts.metadata);
    }
}

impl InvoiceItem {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        PersonalData::of(Texts::of(&self.description, &self.metadata))
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, data: PersonalData) {
        (self.description, self.metadata) = (data.texts.description, data.texts.metadata);
    }
}

impl CreditNote {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let parts = self.lines.iter();
        let parts = parts.map(|line| Texts::of(&line.description, &Metadata::default()));
        PersonalData::of(Texts::of(&self.memo, &self.metadata)).with_parts(parts)
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        let texts = std::mem::take(&mut data.texts);
        (self.memo, self.metadata) = (texts.description, texts.metadata);
        data.give_parts(self.lines.iter_mut(), |line, texts| line.description = texts.description);
    }
}

impl Subscription {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let parts = self.items.iter().map(|item| Texts::of(&None, &item.metadata));
        PersonalData::of(Texts::of(&self.description, &self.metadata)).with_parts(parts)
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        let texts = std::mem::take(&mut data.texts);
        (self.description, self.metadata) = (texts.description, texts.metadata);
        data.give_parts(self.items.iter_mut(), |item, texts| item.metadata = texts.metadata);
    }
}

impl Quote {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        PersonalData::of(Texts::of(&self.description, &self.metadata))
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, data: PersonalData) {
        (self.description, self.metadata) = (data.texts.description, data.texts.metadata);
    }
}

impl SubscriptionSchedule {
    /// A copy of what is personal: its metadata, and that of its phases.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let parts = self.phases.iter().map(|phase| Texts::of(&None, &phase.metadata));
        PersonalData::of(Texts::of(&None, &self.metadata)).with_parts(parts)
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        self.metadata = std::mem::take(&mut data.texts).metadata;
        data.give_parts(self.phases.iter_mut(), |phase, texts| phase.metadata = texts.metadata);
    }
}

impl Invoice {
    /// A copy of what is personal. The texts of its items are the items' own.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let parts = self.charges.iter().map(|charge| match charge {
            Charge::Line(line) => Texts::of(&line.description, &Metadata::default()),
            Charge::Item(_) | Charge::Usage(_) | Charge::LateUsage(_) => Texts::default(),
        });
        let own = PersonalData::of(Texts::of(&self.description, &self.metadata)).with_parts(parts);
        PersonalData { customer: Personal::clone(&self.customer_details), ..own }
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        self.customer_details = std::mem::take(&mut data.customer).into();
        let texts = std::mem::take(&mut data.texts);
        (self.description, self.metadata) = (texts.description, texts.metadata);
        data.give_parts(self.charges.iter_mut(), |charge, texts| {
            if let Charge::Line(line) = charge {
                Arc::make_mut(line).description = texts.description;
            }
        });
        for transaction in &mut self.balance_transactions {
            transaction.set_personal(PersonalData::default());
        }
    }
}

impl Finalized {
    /// A copy of what is personal.
    #[must_use]
    pub fn personal(&self) -> PersonalData {
        let parts =
            self.lines.iter().map(|line| Texts::of(&line.description, &Metadata::default()));
        let own = PersonalData::default().with_parts(parts);
        PersonalData { customer: Personal::clone(&self.customer_details), ..own }
    }

    /// Puts something else in its place.
    pub fn set_personal(&mut self, mut data: PersonalData) {
        self.customer_details = std::mem::take(&mut data.customer).into();
        data.give_parts(self.lines.iter_mut(), |line, texts| {
            Arc::make_mut(line).description = texts.description;
        });
    }
}
