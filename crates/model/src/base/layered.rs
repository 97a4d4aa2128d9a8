//! A map whose bulk lies still in a table, with what changed since above it.

use super::{Forked, TextTable, TextTableBuilder, Unreadable};
use counterfoil_core::{Id, Kind};
use rkyv::util::AlignedVec;
use std::borrow::{Borrow, Cow};
use std::sync::Arc;

/// A value that a table can hold.
pub(crate) trait Text: Clone {
    /// Its text.
    fn text(&self) -> Cow<'_, str>;
    /// The value of a text.
    fn of_text(text: &str) -> Option<Self>;
}

impl<K: Kind> Text for Id<K> {
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed(self.as_str())
    }

    fn of_text(text: &str) -> Option<Self> {
        Self::new(text).ok()
    }
}

/// A map by text. Without a table under it, it is the map that changes and nothing else.
#[derive(Debug, Clone)]
pub(crate) struct Layered<K: Ord, V> {
    base: Option<Arc<TextTable>>,
    /// What changed since: `None` for what the table has and the map no longer.
    delta: Forked<K, Option<V>>,
}

impl<K: Ord, V> Default for Layered<K, V> {
    fn default() -> Self {
        Self { base: None, delta: Forked::default() }
    }
}

impl<K: Ord + Clone + Borrow<str>, V: Text> Layered<K, V> {
    pub(crate) fn on(base: TextTable) -> Self {
        Self { base: Some(Arc::new(base)), ..Self::default() }
    }

    pub(crate) fn get(&self, key: &K) -> Option<Cow<'_, V>> {
        match self.delta.get::<K>(key) {
            Some(changed) => changed.as_ref().map(Cow::Borrowed),
            None => V::of_text(self.base.as_ref()?.get(key.borrow())?).map(Cow::Owned),
        }
    }

    pub(crate) fn contains_key(&self, key: &K) -> bool {
        match self.delta.get::<K>(key) {
            Some(changed) => changed.is_some(),
            None => self.base.as_ref().is_some_and(|base| base.get(key.borrow()).is_some()),
        }
    }

    /// As [`Forked::bring_near`].
    pub(crate) fn bring_near(&mut self, key: &K) -> Option<V> {
        match self.delta.bring_near(key) {
            Some(changed) => changed.clone(),
            None => V::of_text(self.base.as_ref()?.get(key.borrow())?),
        }
    }

    /// As [`Forked::return_to`].
    pub(crate) fn return_to(&mut self, base: &Self) {
        self.delta.return_to(&base.delta);
    }

    /// As [`Forked::settle`].
    pub(crate) fn settle(&mut self) {
        self.delta.settle();
    }

    pub(crate) fn insert_mut(&mut self, key: K, value: V) {
        self.delta.insert_mut(key, Some(value));
    }

    pub(crate) fn remove_mut(&mut self, key: &K) {
        let text: &str = key.borrow();
        if self.base.as_ref().is_some_and(|base| base.get(text).is_some()) {
            self.delta.insert_mut(key.clone(), None);
        } else {
            self.delta.remove_mut(text);
        }
    }

    /// Every key with the text of its value, in order of the keys.
    pub(crate) fn each(&self, mut row: impl FnMut(&str, &str)) {
        let mut delta = self.delta.iter().peekable();
        let changed = |key: &str, value: &Option<V>, row: &mut dyn FnMut(&str, &str)| {
            if let Some(value) = value {
                row(key, &value.text());
            }
        };
        for (key, value) in self.base.iter().flat_map(|base| base.rows()) {
            while let Some((before, value)) = delta.next_if(|(other, _)| (*other).borrow() < key) {
                changed(before.borrow(), value, &mut row);
            }
            match delta.next_if(|(other, _)| (*other).borrow() == key) {
                Some((_, value)) => changed(key, value, &mut row),
                None => row(key, value),
            }
        }
        for (key, value) in delta {
            changed(key.borrow(), value, &mut row);
        }
    }

    /// The bytes of a table of all of it.
    pub(crate) fn table(&self) -> Result<AlignedVec, Unreadable> {
        let mut builder = TextTableBuilder::default();
        let mut pushed = Ok(());
        self.each(|key, value| {
            if pushed.is_ok() {
                pushed = builder.push(key, value);
            }
        });
        pushed?;
        builder.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use counterfoil_core::kind;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    type Map = Layered<Id<kind::Invoice>, Id<kind::Customer>>;

    fn rows(map: &Map) -> Vec<(String, String)> {
        let mut rows = Vec::new();
        map.each(|key, value| rows.push((key.to_owned(), value.to_owned())));
        rows
    }

    proptest! {
        /// Whenever it is put into a table and opened again, it is the map it was.
        #[test]
        fn a_layered_map_is_a_map(steps in prop::collection::vec((0_u64..40, 0_u64..9), 1..200)) {
            let (mut map, mut expected) = (Map::default(), BTreeMap::new());
            for (key, step) in steps {
                let id = Id::derived(key);
                match step {
                    0..4 => {
                        map.insert_mut(id.clone(), Id::derived(step));
                        expected.insert(id.to_string(), format!("cus_{step}"));
                    }
                    4..8 => {
                        map.remove_mut(&id);
                        expected.remove(id.as_str());
                    }
                    _ => map = Map::on(TextTable::open(&map.table().unwrap()).unwrap()),
                }
                let found = map.get(&id).map(|value| value.to_string());
                prop_assert_eq!(found.as_ref(), expected.get(id.as_str()));
                prop_assert_eq!(map.contains_key(&id), found.is_some());
                prop_assert_eq!(rows(&map), expected.clone().into_iter().collect::<Vec<_>>());
            }
        }
    }
}
