//! A state as the parts of a snapshot, and back.

use crate::State;
use crate::answer::Answer;
use crate::base::{
    DueQueue, Forked, Layered, Part, SealedPlace, Shards, Source, Text, TextTable, Unreadable,
};
use crate::closed::Shelf;
use crate::owners::Owners;
use crate::state::Remembered;
use counterfoil_billing::PersonalData;
use counterfoil_billing::credit_note::CreditNoteId;
use counterfoil_billing::customer::CustomerId;
use counterfoil_billing::invoice::{InvoiceId, PaymentAttemptId};
use counterfoil_billing::quote::QuoteId;
use counterfoil_billing::schedule::SubscriptionScheduleId;
use counterfoil_journal::Journal;
use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::sync::Arc;

/// The layout of the parts in words; what reads a snapshot and what wrote it must have the same.
/// The number goes up with every change of what the parts say: a test compares the encoding of a
/// sample with one that was kept under this number.
pub const SNAPSHOT_LAYOUT: &str = "model 6; rkyv 0.8 le p32; small parts and shards rmp named; \
    shard len u32, canonical, personal sealed; tables {text, ends u32} twice; \
    due {at i64, class u8, seq u64, kind u8, id}; \
    shards {id, offset u64, len u32, blake3 32, deleted u8}";

/// Where the parts of a snapshot are written to, one after the other.
pub trait Sink {
    /// What goes wrong with it, or with a state that cannot be written.
    type Error: From<Unreadable>;

    /// Begins a part.
    ///
    /// # Errors
    /// What goes wrong.
    fn begin(&mut self, part: Part) -> Result<(), Self::Error>;

    /// Seals what is personal with the key in a slot, for a place.
    ///
    /// # Errors
    /// Why it cannot be sealed.
    fn seal(
        &mut self,
        place: &SealedPlace,
        key_slot: u64,
        personal: &[u8],
    ) -> Result<Vec<u8>, Self::Error>;

    /// Adds bytes to the part.
    ///
    /// # Errors
    /// What goes wrong.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// What there are few of.
#[derive(Serialize, Deserialize)]
struct Small<'a> {
    attempts: Cow<'a, Forked<PaymentAttemptId, InvoiceId>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    schedules: Cow<'a, Forked<SubscriptionScheduleId, CustomerId>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    quotes: Cow<'a, Forked<QuoteId, CustomerId>>,
    #[serde(default, skip_serializing_if = "is_empty")]
    credit_notes: Cow<'a, Forked<CreditNoteId, CustomerId>>,
    /// With what is sealed of each: what the fingerprint and the answer say that is personal.
    keys: Vec<(Arc<str>, Remembered, Vec<u8>)>,
}

#[expect(clippy::ptr_arg, reason = "serde gives the field as it is")]
fn is_empty<K: Ord + Clone, V: Clone>(map: &Cow<'_, Forked<K, V>>) -> bool {
    map.is_empty()
}

/// What is sealed of what is remembered.
type Secretly = (Option<[u8; 32]>, PersonalData);

impl State {
    /// Writes the state as the parts of a snapshot. Customers that lie in an older snapshot and did
    /// not change are copied from there.
    ///
    /// # Errors
    /// What the sink says, and [`Unreadable`] where the older snapshot cannot be read.
    pub fn write_snapshot<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        sink.begin(Part::Shards)?;
        let table = self.shards.write(sink)?;
        put(sink, Part::ShardTable, &table)?;
        let owners = &self.owners;
        put_table(sink, Part::Subscriptions, &owners.subscriptions)?;
        put_table(sink, Part::SubscriptionItems, &owners.subscription_items)?;
        put_table(sink, Part::Invoices, &owners.invoices)?;
        put_table(sink, Part::InvoiceItems, &owners.invoice_items)?;
        put_table(sink, Part::Prefixes, &owners.prefixes)?;
        put(sink, Part::Due, &self.due.table()?)?;
        put(sink, Part::Journal, &self.journal.checkpoint().map_err(Unreadable::because)?)?;
        let mut keys = Vec::with_capacity(self.keys.len());
        for (key, remembered) in &self.keys {
            let (remembered, sealed) = self.seal_answer(remembered, sink)?;
            keys.push((Arc::clone(key), remembered, sealed));
        }
        let attempts = Cow::Borrowed(&owners.attempts);
        let schedules = Cow::Borrowed(&owners.schedules);
        let quotes = Cow::Borrowed(&owners.quotes);
        let credit_notes = Cow::Borrowed(&owners.credit_notes);
        let small = Small { attempts, schedules, quotes, credit_notes, keys };
        put(sink, Part::Small, &encode(&small)?)?;
        put(sink, Part::Core, &encode(self)?)
    }

    /// The state that a snapshot keeps. What is large stays where it is, and is read when it is
    /// asked for: see [`State::fault`]. Closed invoices of customers that were read go to the shelf.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_snapshot(source: &Arc<dyn Source>, shelf: &Arc<Shelf>) -> Result<Self, Unreadable> {
        let mut state: Self = decode(&source.part(Part::Core)?)?;
        state.shelf = Arc::clone(shelf);
        state.shards = Shards::on(Arc::clone(source), Arc::clone(shelf))?;
        let small: Small<'_> = decode(&source.part(Part::Small)?)?;
        state.owners = Owners {
            subscriptions: get_table(source, Part::Subscriptions)?,
            subscription_items: get_table(source, Part::SubscriptionItems)?,
            invoices: get_table(source, Part::Invoices)?,
            invoice_items: get_table(source, Part::InvoiceItems)?,
            prefixes: get_table(source, Part::Prefixes)?,
            attempts: small.attempts.into_owned(),
            schedules: small.schedules.into_owned(),
            quotes: small.quotes.into_owned(),
            credit_notes: small.credit_notes.into_owned(),
        };
        state.due = DueQueue::open(&source.part(Part::Due)?)?;
        let journal = Journal::from_checkpoint(&source.part(Part::Journal)?);
        state.journal = Arc::new(journal.map_err(Unreadable::because)?);
        for (key, mut remembered, sealed) in small.keys {
            if let (Some(customer), false) = (&remembered.customer, sealed.is_empty()) {
                let place = SealedPlace::of_answer(customer, remembered.at);
                let (fingerprint, personal): Secretly = decode(&source.open(&place, &sealed)?)?;
                remembered.fingerprint = fingerprint;
                if let Answer::Ok(output) = &mut remembered.answer {
                    output.set_personal(personal);
                }
            }
            state.key_times.insert_mut((remembered.at, Arc::clone(&key)));
            state.keys.insert_mut(key, Arc::new(remembered));
        }
        Ok(state)
    }
}

impl State {
    /// What is remembered without what is personal in it, and that sealed. Of a customer that was
    /// erased there is nothing personal left.
    fn seal_answer<S: Sink>(
        &self,
        remembered: &Remembered,
        sink: &mut S,
    ) -> Result<(Remembered, Vec<u8>), S::Error> {
        let mut remembered = remembered.clone();
        let Some(id) = &remembered.customer else { return Ok((remembered, Vec::new())) };
        let shard = self.shards.get(id).filter(|shard| shard.customer.erased.is_none());
        let Some(shard) = shard else { return Ok((remembered, Vec::new())) };
        let personal = remembered.answer.as_ref().map(|output| output.personal());
        let secretly: Secretly = (remembered.fingerprint.take(), personal.unwrap_or_default());
        let place = SealedPlace::of_answer(id, remembered.at);
        let sealed = sink.seal(&place, shard.customer.key_slot, &encode(&secretly)?)?;
        Ok((remembered, sealed))
    }
}

fn put<S: Sink>(sink: &mut S, part: Part, bytes: &[u8]) -> Result<(), S::Error> {
    sink.begin(part)?;
    sink.write(bytes)
}

fn put_table<S: Sink, K: Ord + Clone + Borrow<str>, V: Text>(
    sink: &mut S,
    part: Part,
    map: &Layered<K, V>,
) -> Result<(), S::Error> {
    put(sink, part, &map.table()?)
}

fn get_table<K: Ord + Clone + Borrow<str>, V: Text>(
    source: &Arc<dyn Source>,
    part: Part,
) -> Result<Layered<K, V>, Unreadable> {
    Ok(Layered::on(TextTable::open(&source.part(part)?)?))
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Unreadable> {
    rmp_serde::to_vec_named(value).map_err(Unreadable::because)
}

fn decode<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Unreadable> {
    rmp_serde::from_slice(bytes).map_err(Unreadable::because)
}
