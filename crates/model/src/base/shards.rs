//! The customers' shards: those that changed, over those that lie in a snapshot until one is asked
//! for.

use super::table::TextColumn;
use super::{Archive, Forked, Near, Part, SealedPlace, Source, Unreadable};
use crate::closed::Shelf;
use crate::shard::Shard;
use crate::snapshot::Sink;
use counterfoil_billing::customer::CustomerId;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// Where each shard lies, by customer.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct ShardColumns {
    id: TextColumn,
    offset: Vec<u64>,
    len: Vec<u32>,
    /// 32 bytes each: [`Blob::hash`].
    hash: Vec<u8>,
    /// 1 for a customer that was deleted: usage is judged by it, for any customer at any time.
    deleted: Vec<u8>,
}

impl ArchivedShardColumns {
    fn hash(&self, index: usize) -> Option<&[u8; 32]> {
        let from = index.checked_mul(32)?;
        self.hash.get(from..from.checked_add(32)?)?.first_chunk()
    }
}

/// A shard as bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// The length of the first part, the first part, the second: the canonical encoding of the
    /// shard, and what is personal in it.
    pub(crate) bytes: Vec<u8>,
}

impl Blob {
    pub(crate) fn of(shard: &Shard) -> Result<Self, Unreadable> {
        let mut bytes = vec![0; 4];
        rmp_serde::encode::write_named(&mut bytes, shard).map_err(Unreadable::because)?;
        let len = u32::try_from(bytes.len().saturating_sub(4)).map_err(Unreadable::because)?;
        if let Some(first) = bytes.first_chunk_mut() {
            *first = len.to_le_bytes();
        }
        let personal = shard.personal();
        if !personal.is_empty() {
            rmp_serde::encode::write_named(&mut bytes, &personal).map_err(Unreadable::because)?;
        }
        Ok(Self { bytes })
    }

    /// The hash of all of it.
    pub(crate) fn hash(&self) -> [u8; 32] {
        blake3::hash(&self.bytes).into()
    }

    /// The same as it lies in a snapshot: what is personal is sealed.
    fn sealed<S: Sink>(mut self, shard: &Shard, sink: &mut S) -> Result<Vec<u8>, S::Error> {
        let place = split(&self.bytes)?.0.len();
        if place < self.bytes.len() {
            let personal = self.bytes.split_off(place);
            let place = SealedPlace::of_shard(shard);
            self.bytes.extend(sink.seal(&place, shard.customer.key_slot, &personal)?);
        }
        Ok(self.bytes)
    }

    /// A shard, and the blob of it, from how it lies in a snapshot.
    fn opened(mut stored: Vec<u8>, source: &dyn Source) -> Result<(Shard, Self), Unreadable> {
        let (head, sealed) = split(&stored)?;
        let canonical = head.get(4..).unwrap_or_default();
        let mut shard: Shard = rmp_serde::from_slice(canonical).map_err(Unreadable::because)?;
        if !sealed.is_empty() {
            let personal = source.open(&SealedPlace::of_shard(&shard), sealed)?;
            stored.truncate(head.len());
            stored.extend_from_slice(&personal);
            shard.set_personal(rmp_serde::from_slice(&personal).map_err(Unreadable::because)?);
        }
        Ok((shard, Self { bytes: stored }))
    }
}

/// The length with the first part, and the second.
fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), Unreadable> {
    let cut = || Unreadable::because("a customer's part ends early");
    let len = u32::from_le_bytes(*bytes.first_chunk().ok_or_else(cut)?);
    let len = usize::try_from(len).ok().and_then(|len| len.checked_add(4)).ok_or_else(cut)?;
    bytes.split_at_checked(len).ok_or_else(cut)
}

/// The shards of a snapshot. One that was asked for is kept; one that could not be read when it
/// was needed makes a fault, which stays: whoever decided or answered without it must say so.
pub(crate) struct ShardBase {
    table: Archive<ShardColumns>,
    source: Arc<dyn Source>,
    read: Box<[OnceLock<Arc<Shard>>]>,
    fault: OnceLock<Unreadable>,
    /// Where the closed invoices of a shard lie once that was read.
    shelf: Arc<Shelf>,
}

impl fmt::Debug for ShardBase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShardBase").field("shards", &self.read.len()).finish_non_exhaustive()
    }
}

impl ShardBase {
    fn open(source: Arc<dyn Source>, shelf: Arc<Shelf>) -> Result<Self, Unreadable> {
        let table = Archive::<ShardColumns>::open(&source.part(Part::ShardTable)?)?;
        let columns = table.get().ok_or_else(|| Unreadable::because("no table of customers"))?;
        let rows = columns.id.len();
        let all = [columns.offset.len(), columns.len.len(), columns.deleted.len()];
        if all != [rows; 3] || Some(columns.hash.len()) != rows.checked_mul(32) {
            return Err(Unreadable::because("the columns of the customers differ in length"));
        }
        let read = (0..rows).map(|_| OnceLock::new()).collect();
        Ok(Self { table, source, read, fault: OnceLock::new(), shelf })
    }

    fn index(&self, id: &str) -> Option<usize> {
        self.table.get()?.id.find(id)
    }

    /// How a shard lies in the snapshot, and the shard. Its hash is that of what was sealed.
    fn read(&self, index: usize) -> Result<(Vec<u8>, Shard), Unreadable> {
        let columns = self.table.get();
        let place = columns.and_then(|columns| {
            let len = usize::try_from(columns.len.get(index)?.to_native()).ok()?;
            Some((columns.offset.get(index)?.to_native(), len, columns.hash(index)?))
        });
        let (from, len, hash) = place.ok_or_else(|| Unreadable::because("no such customer"))?;
        let stored = self.source.range(Part::Shards, from, len)?;
        let (shard, blob) = Blob::opened(stored.clone(), &*self.source)?;
        if blob.hash() != *hash {
            return Err(Unreadable::because("a customer's part does not fit its hash"));
        }
        Ok((stored, shard))
    }

    fn get(&self, index: usize) -> Option<&Arc<Shard>> {
        let cell = self.read.get(index)?;
        if cell.get().is_none() {
            match self.read(index) {
                Ok((_, mut shard)) => {
                    shard.invoices.pack_all(&self.shelf);
                    drop(cell.set(Arc::new(shard)));
                }
                Err(fault) => drop(self.fault.set(fault)),
            }
        }
        cell.get()
    }
}

/// All customers with what they own.
#[derive(Clone, Default)]
pub(crate) struct Shards {
    base: Option<Arc<ShardBase>>,
    delta: Forked<CustomerId, Arc<Shard>>,
    /// Where the shard was that changed last: the next event is often of the same customer, or of
    /// the one beside it.
    near: Near,
}

/// Without where the last one was, which says nothing.
impl fmt::Debug for Shards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shards").field("base", &self.base).field("delta", &self.delta).finish()
    }
}

/// A shard, read or not.
enum Row<'a> {
    Here(&'a CustomerId, &'a Arc<Shard>),
    Base(&'a str, usize),
}

impl Shards {
    pub(crate) fn on(source: Arc<dyn Source>, shelf: Arc<Shelf>) -> Result<Self, Unreadable> {
        Ok(Self { base: Some(Arc::new(ShardBase::open(source, shelf)?)), ..Self::default() })
    }

    /// What could not be read when it was needed, if anything: then no answer counts.
    pub(crate) fn fault(&self) -> Option<&Unreadable> {
        self.base.as_ref()?.fault.get()
    }

    pub(crate) fn get(&self, id: &CustomerId) -> Option<&Arc<Shard>> {
        if let Some(shard) = self.delta.get(id) {
            return Some(shard);
        }
        let base = self.base.as_ref()?;
        base.get(base.index(id.as_str())?)
    }

    /// How many events happened to a customer: one that is likely the one that changed last, or beside
    /// it.
    pub(crate) fn version(&self, id: &CustomerId) -> Option<u64> {
        let near = self.delta.get_near(id, self.near);
        near.or_else(|| self.get(id)).map(|shard| shard.version)
    }

    /// The shard of a customer whose id somebody has as a text.
    pub(crate) fn get_by_text(&self, id: &str) -> Option<&Arc<Shard>> {
        self.get(&CustomerId::new(id).ok()?)
    }

    /// As [`Forked::bring_near`].
    pub(crate) fn bring_near(&mut self, id: &CustomerId) -> Option<&Arc<Shard>> {
        if self.base.is_some() && !self.delta.contains_key(id) {
            return self.get(id);
        }
        self.delta.bring_near(id)
    }

    pub(crate) fn get_mut(&mut self, id: &CustomerId) -> Option<&mut Arc<Shard>> {
        if self.base.is_some() && !self.delta.contains_key(id) {
            let shard = self.get(id).cloned()?;
            self.delta.insert_mut(id.clone(), shard);
        }
        self.delta.get_mut(id, &mut self.near)
    }

    pub(crate) fn contains_key(&self, id: &CustomerId) -> bool {
        let in_base = || self.base.as_ref().is_some_and(|base| base.index(id.as_str()).is_some());
        self.delta.contains_key(id) || in_base()
    }

    /// As [`Forked::return_to`].
    pub(crate) fn return_to(&mut self, base: &Self) {
        self.delta.return_to(&base.delta);
        self.near = base.near;
    }

    /// As [`Forked::settle`].
    pub(crate) fn settle(&mut self) {
        self.delta.settle();
    }

    pub(crate) fn insert_mut(&mut self, id: CustomerId, shard: Arc<Shard>) {
        self.delta.insert_mut(id, shard);
    }

    /// Whether there is such a customer and it was not deleted; reads no shard.
    pub(crate) fn is_live(&self, id: &str) -> bool {
        if let Some(shard) = self.delta.get(id) {
            return !shard.customer.deleted;
        }
        let base = self.base.as_ref();
        let deleted = base.and_then(|base| {
            let columns = base.table.get()?;
            columns.deleted.get(columns.id.find(id)?)
        });
        deleted == Some(&0)
    }

    /// All of them by id, each read.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<Shard>> {
        self.rows().filter_map(|row| match row {
            Row::Here(_, shard) => Some(shard),
            Row::Base(_, index) => self.base.as_ref()?.get(index),
        })
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let columns = self.base.as_ref().and_then(|base| base.table.get());
        let base = columns.into_iter().flat_map(|columns| {
            (0..columns.id.len()).filter_map(|index| Some((columns.id.get(index)?, index)))
        });
        let (mut base, mut delta) = (base.peekable(), self.delta.iter().peekable());
        std::iter::from_fn(move || {
            if let (Some((id, _)), Some((other, _))) = (base.peek(), delta.peek())
                && *id == other.as_str()
            {
                base.next();
            }
            match (base.peek(), delta.peek()) {
                (Some((id, _)), other) if other.is_none_or(|(other, _)| *id < other.as_str()) => {
                    base.next().map(|(id, index)| Row::Base(id, index))
                }
                _ => delta.next().map(|(id, shard)| Row::Here(id, shard)),
            }
        })
    }

    /// Every id with the hash of its shard, by id. Nothing is read.
    pub(crate) fn each_hash(&self, mut each: impl FnMut(&str, &[u8; 32])) {
        for row in self.rows() {
            match row {
                // What cannot be encoded cannot be kept either; nothing of a shard is like that.
                Row::Here(id, shard) => {
                    let hash = Blob::of(shard).map(|blob| blob.hash()).unwrap_or_default();
                    each(id.as_str(), &hash);
                }
                Row::Base(id, index) => {
                    let columns = self.base.as_ref().and_then(|base| base.table.get());
                    if let Some(hash) = columns.and_then(|columns| columns.hash(index)) {
                        each(id, hash);
                    }
                }
            }
        }
    }

    /// Every shard as bytes, by id; and then the bytes of the table of where they lie. Shards that
    /// did not change are copied as they are.
    pub(crate) fn write<S: Sink>(&self, sink: &mut S) -> Result<AlignedVec, S::Error> {
        let mut columns = ShardColumns::default();
        let mut offset: u64 = 0;
        for row in self.rows() {
            let (id, stored, hash, deleted) = match row {
                Row::Here(id, shard) => {
                    let blob = Blob::of(shard)?;
                    let (hash, deleted) = (blob.hash(), u8::from(shard.customer.deleted));
                    (id.as_str(), blob.sealed(shard, sink)?, hash, deleted)
                }
                Row::Base(id, index) => {
                    let base = self.base.as_ref();
                    let base = base.ok_or_else(|| Unreadable::because("no base"))?;
                    let columns = base.table.get();
                    let deleted = columns.and_then(|columns| columns.deleted.get(index));
                    let hash = columns.and_then(|columns| columns.hash(index));
                    let (hash, deleted) = (hash.copied(), deleted.copied());
                    let stored = base.read(index)?.0;
                    (id, stored, hash.unwrap_or_default(), deleted.unwrap_or_default())
                }
            };
            sink.write(&stored)?;
            columns.id.push(id)?;
            columns.offset.push(offset);
            columns.len.push(u32::try_from(stored.len()).map_err(Unreadable::because)?);
            columns.hash.extend_from_slice(&hash);
            columns.deleted.push(deleted);
            offset = offset.saturating_add(u64::from(*columns.len.last().unwrap_or(&0)));
        }
        Ok(rkyv::to_bytes::<rancor::Error>(&columns).map_err(Unreadable::because)?)
    }
}
