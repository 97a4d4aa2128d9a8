//! A state as the parts of a snapshot, and back.

use crate::State;
use crate::answer::Answer;
use crate::base::{DueQueue, Layered, Part, Shards, Source, Text, TextTable, Unreadable};
use crate::state::{Owners, Remembered};
use counterfoil_billing::PersonalData;
use counterfoil_billing::invoice::{InvoiceId, PaymentAttemptId};
use counterfoil_journal::Journal;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use std::borrow::{Borrow, Cow};
use std::sync::Arc;

/// The layout of the parts in words; what reads a snapshot and what wrote it must have the same.
/// The number goes up with every change of what the parts say: a test compares the encoding of a
/// sample with one that was kept under this number.
pub const SNAPSHOT_LAYOUT: &str = "model 1; rkyv 0.8 le p32; small parts and shards rmp named; \
    shard len u32, canonical, personal; tables {text, ends u32} twice; \
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

    /// Adds bytes to the part.
    ///
    /// # Errors
    /// What goes wrong.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Self::Error>;
}

/// What there are few of.
#[derive(Serialize, Deserialize)]
struct Small<'a> {
    attempts: Cow<'a, RedBlackTreeMapSync<PaymentAttemptId, InvoiceId>>,
    keys: Vec<(Arc<str>, Remembered, PersonalData)>,
}

impl State {
    /// Writes the state as the parts of a snapshot. Customers that lie in an older snapshot and did
    /// not change are copied from there.
    ///
    /// # Errors
    /// What the sink says, and [`Unreadable`] where the older snapshot cannot be read.
    pub fn write_snapshot<S: Sink>(&self, sink: &mut S) -> Result<(), S::Error> {
        sink.begin(Part::Shards)?;
        let table = self.shards.write(|bytes| sink.write(bytes))?;
        put(sink, Part::ShardTable, &table)?;
        let owners = &self.owners;
        put_table(sink, Part::Subscriptions, &owners.subscriptions)?;
        put_table(sink, Part::SubscriptionItems, &owners.subscription_items)?;
        put_table(sink, Part::Invoices, &owners.invoices)?;
        put_table(sink, Part::InvoiceItems, &owners.invoice_items)?;
        put_table(sink, Part::Prefixes, &owners.prefixes)?;
        put(sink, Part::Due, &self.due.table()?)?;
        put(sink, Part::Journal, &self.journal.checkpoint().map_err(Unreadable::because)?)?;
        let keys = self.keys.iter().map(|(key, remembered)| {
            let personal = remembered.answer.as_ref().map(|output| output.personal());
            (Arc::clone(key), Remembered::clone(remembered), personal.unwrap_or_default())
        });
        let small = Small { attempts: Cow::Borrowed(&owners.attempts), keys: keys.collect() };
        put(sink, Part::Small, &encode(&small)?)?;
        put(sink, Part::Core, &encode(self)?)
    }

    /// The state that a snapshot keeps. What is large stays where it is, and is read when it is
    /// asked for: see [`State::fault`].
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read_snapshot(source: &Arc<dyn Source>) -> Result<Self, Unreadable> {
        let mut state: Self = decode(&source.part(Part::Core)?)?;
        state.shards = Shards::on(Arc::clone(source))?;
        let small: Small<'_> = decode(&source.part(Part::Small)?)?;
        state.owners = Owners {
            subscriptions: get_table(source, Part::Subscriptions)?,
            subscription_items: get_table(source, Part::SubscriptionItems)?,
            invoices: get_table(source, Part::Invoices)?,
            invoice_items: get_table(source, Part::InvoiceItems)?,
            prefixes: get_table(source, Part::Prefixes)?,
            attempts: small.attempts.into_owned(),
        };
        state.due = DueQueue::open(&source.part(Part::Due)?)?;
        let journal = Journal::from_checkpoint(&source.part(Part::Journal)?);
        state.journal = Arc::new(journal.map_err(Unreadable::because)?);
        for (key, mut remembered, personal) in small.keys {
            if let Answer::Ok(output) = &mut remembered.answer {
                output.set_personal(personal);
            }
            state.key_times.insert_mut((remembered.at, Arc::clone(&key)));
            state.keys.insert_mut(key, Arc::new(remembered));
        }
        Ok(state)
    }
}

fn put<S: Sink>(sink: &mut S, part: Part, bytes: &[u8]) -> Result<(), S::Error> {
    sink.begin(part)?;
    sink.write(bytes)
}

fn put_table<S: Sink, K: Ord + Borrow<str>, V: Text>(
    sink: &mut S,
    part: Part,
    map: &Layered<K, V>,
) -> Result<(), S::Error> {
    put(sink, part, &map.table()?)
}

fn get_table<K: Ord + Borrow<str>, V: Text>(
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
