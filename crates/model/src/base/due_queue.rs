//! What falls due, in order: a table that is used up from its front, and what came since.

use super::table::{TextColumn, lower_bound};
use super::{Archive, Forked, Unreadable};
use crate::due::{DueClass, DueKey, DueTarget};
use counterfoil_core::{Id, Timestamp};
use rkyv::rancor;
use rkyv::util::AlignedVec;
use rpds::RedBlackTreeSetSync;
use std::cmp::Ordering;
use std::sync::Arc;

/// The columns of due work, in its order.
#[derive(Debug, Default, rkyv::Archive, rkyv::Serialize)]
pub(crate) struct DueColumns {
    at: Vec<i64>,
    class: Vec<u8>,
    seq: Vec<u64>,
    kind: Vec<u8>,
    id: TextColumn,
}

impl ArchivedDueColumns {
    fn get(&self, index: usize) -> Option<DueKey> {
        let id = self.id.get(index)?;
        Some(DueKey {
            at: Timestamp::from_unix(self.at.get(index)?.to_native()).ok()?,
            class: DueClass::of_number(*self.class.get(index)?)?,
            seq: self.seq.get(index)?.to_native(),
            target: match self.kind.get(index)? {
                0 => DueTarget::Subscription(Id::new(id).ok()?),
                1 => DueTarget::Invoice(Id::new(id).ok()?),
                2 => DueTarget::SubscriptionSchedule(Id::new(id).ok()?),
                3 => DueTarget::Quote(Id::new(id).ok()?),
                _ => return None,
            },
        })
    }

    /// How the row compares with a key, without reading all of it where that is not needed.
    fn compare(&self, index: usize, key: &DueKey) -> Option<Ordering> {
        let at = self.at.get(index)?.to_native().cmp(&key.at.unix());
        if at != Ordering::Equal {
            return Some(at);
        }
        Some(self.get(index)?.cmp(key))
    }
}

/// The set of due work. Without a table under it, it is the set of what came and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct DueQueue {
    base: Option<Arc<Archive<DueColumns>>>,
    /// The rows before this one are done.
    from: usize,
    /// The row at `from`.
    front: Option<DueKey>,
    /// Rows behind `from` that are done or dropped.
    dead: RedBlackTreeSetSync<usize>,
    added: Forked<DueKey, ()>,
}

impl Default for DueQueue {
    fn default() -> Self {
        let (dead, added) = (RedBlackTreeSetSync::new_sync(), Forked::default());
        Self { base: None, from: 0, front: None, dead, added }
    }
}

impl DueQueue {
    pub(crate) fn open(bytes: &[u8]) -> Result<Self, Unreadable> {
        let base = Archive::<DueColumns>::open(bytes)?;
        let front = base.get().and_then(|columns| columns.get(0));
        Ok(Self { base: Some(Arc::new(base)), front, ..Self::default() })
    }

    fn columns(&self) -> Option<&ArchivedDueColumns> {
        self.base.as_ref()?.get()
    }

    /// The row of a key that is not yet passed, done or not.
    fn find(&self, key: &DueKey) -> Option<usize> {
        let columns = self.columns()?;
        let before = |index| columns.compare(index, key) == Some(Ordering::Less);
        let index = lower_bound(self.from, columns.id.len(), before);
        (columns.compare(index, key)? == Ordering::Equal).then_some(index)
    }

    /// What is due first.
    pub(crate) fn first(&self) -> Option<&DueKey> {
        match (&self.front, self.added.first().map(|(key, ())| key)) {
            (Some(front), Some(added)) => Some(front.min(added)),
            (front, added) => front.as_ref().or(added),
        }
    }

    /// As [`Forked::return_to`].
    pub(crate) fn return_to(&mut self, base: &Self) {
        self.added.return_to(&base.added);
        if self.base.is_some() {
            self.from = base.from;
            self.front.clone_from(&base.front);
            self.dead.clone_from(&base.dead);
        }
    }

    /// As [`Forked::settle`].
    pub(crate) fn settle(&mut self) {
        self.added.settle();
    }

    pub(crate) fn insert_mut(&mut self, key: DueKey) {
        match self.find(&key) {
            Some(index) => drop(self.dead.remove_mut(&index)),
            None => self.added.insert_mut(key, ()),
        }
    }

    pub(crate) fn remove_mut(&mut self, key: &DueKey) {
        if self.added.remove_mut(key) {
            return;
        }
        match self.find(key) {
            Some(index) if index == self.from => {
                self.from = index.saturating_add(1);
                while self.dead.remove_mut(&self.from) {
                    self.from = self.from.saturating_add(1);
                }
                self.front = self.columns().and_then(|columns| columns.get(self.from));
            }
            Some(index) => self.dead.insert_mut(index),
            None => {}
        }
    }

    /// All of it, in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = DueKey> {
        let columns = self.columns();
        let rows = columns.into_iter().flat_map(|columns| {
            (self.from..columns.id.len())
                .filter(|index| !self.dead.contains(index))
                .filter_map(|index| columns.get(index))
        });
        let (mut rows, mut added) = (rows.peekable(), self.added.keys().peekable());
        std::iter::from_fn(move || match (rows.peek(), added.peek()) {
            (Some(row), Some(other)) if row < *other => rows.next(),
            (Some(_), None) => rows.next(),
            _ => added.next().cloned(),
        })
    }

    /// The bytes of a table of all of it.
    pub(crate) fn table(&self) -> Result<AlignedVec, Unreadable> {
        let mut columns = DueColumns::default();
        for key in self.iter() {
            columns.at.push(key.at.unix());
            columns.class.push(key.class.number());
            columns.seq.push(key.seq);
            let (kind, id) = match &key.target {
                DueTarget::Subscription(id) => (0, id.as_str()),
                DueTarget::Invoice(id) => (1, id.as_str()),
                DueTarget::SubscriptionSchedule(id) => (2, id.as_str()),
                DueTarget::Quote(id) => (3, id.as_str()),
            };
            columns.kind.push(kind);
            columns.id.push(id)?;
        }
        rkyv::to_bytes::<rancor::Error>(&columns).map_err(Unreadable::because)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn key(n: u64) -> DueKey {
        let at = Timestamp::from_unix(i64::try_from(n / 8).unwrap()).unwrap();
        let class = DueClass::of_number(u8::try_from(n % 6).unwrap()).unwrap();
        let target = match n % 3 {
            0 => DueTarget::Subscription(Id::derived(n)),
            1 => DueTarget::SubscriptionSchedule(Id::derived(n)),
            _ => DueTarget::Invoice(Id::derived(n)),
        };
        DueKey { at, class, seq: n % 3, target }
    }

    proptest! {
        /// Whenever it is put into a table and opened again, it is the set it was.
        #[test]
        fn a_queue_is_a_set(steps in prop::collection::vec((0_u64..40, 0_u8..10), 1..200)) {
            let (mut queue, mut expected) = (DueQueue::default(), BTreeSet::new());
            for (n, step) in steps {
                match step {
                    0..4 => {
                        queue.insert_mut(key(n));
                        expected.insert(key(n));
                    }
                    4..7 => {
                        queue.remove_mut(&key(n));
                        expected.remove(&key(n));
                    }
                    7..9 => {
                        // The front, as those do who work.
                        if let Some(first) = queue.first().cloned() {
                            queue.remove_mut(&first);
                            expected.remove(&first);
                        }
                    }
                    _ => queue = DueQueue::open(&queue.table().unwrap()).unwrap(),
                }
                prop_assert_eq!(queue.first(), expected.first());
                prop_assert!(queue.iter().eq(expected.iter().cloned()));
            }
        }
    }
}
