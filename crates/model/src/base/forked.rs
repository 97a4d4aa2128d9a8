//! An ordered map of which forks are made all the time, and few things change in each.
//!
//! A fork of a tree copies the nodes on the way to what it changes, which is most of what a small
//! decision on a large book would cost. So as long as a tree is shared, changes stand beside it;
//! once the fork is all that is left of it, [`Forked::settle`] puts them into it, where nothing has to
//! be copied any more.

use super::{Near, Tree};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;

/// Changes beside a tree, at most: with one more they go into it, shared or not.
const BESIDE_MAX: usize = 48;

/// An ordered map.
pub(crate) struct Forked<K, V> {
    tree: Tree<K, V>,
    /// What changed or is about to, in order of the keys.
    beside: Vec<(K, Beside<V>)>,
    /// Where in the tree what was brought near last was: the next is often beside it.
    brought: Near,
}

/// What stands beside a tree for a key.
#[derive(Clone)]
enum Beside<V> {
    /// What the tree has for it too, brought near.
    Same(V),
    /// Another value, or one that the tree does not have.
    Set(V),
    /// The tree has one, and the map no longer.
    Gone,
}

impl<V> Beside<V> {
    fn value(&self) -> Option<&V> {
        match self {
            Self::Same(value) | Self::Set(value) => Some(value),
            Self::Gone => None,
        }
    }

    /// The value, to be changed.
    fn change(&mut self) -> Option<&mut V> {
        if let Self::Same(_) = self
            && let Self::Same(value) = std::mem::replace(self, Self::Gone)
        {
            *self = Self::Set(value);
        }
        match self {
            Self::Same(value) | Self::Set(value) => Some(value),
            Self::Gone => None,
        }
    }
}

impl<K: Clone, V: Clone> Clone for Forked<K, V> {
    fn clone(&self) -> Self {
        Self { tree: self.tree.clone(), beside: self.beside.clone(), brought: self.brought }
    }
}

impl<K, V> Default for Forked<K, V> {
    fn default() -> Self {
        Self { tree: Tree::default(), beside: Vec::new(), brought: Near::default() }
    }
}

impl<K, V> Forked<K, V> {
    /// The place of a key beside the tree, or where it would be.
    fn place<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.beside.binary_search_by(|(other, _)| other.borrow().cmp(key))
    }

    /// What changed of a key since the tree was shared, if anything.
    fn changed<Q: Ord + ?Sized>(&self, key: &Q) -> Option<Option<&V>>
    where
        K: Borrow<Q>,
    {
        if self.beside.is_empty() {
            return None;
        }
        let place = self.place(key).ok()?;
        self.beside.get(place).map(|(_, beside)| beside.value())
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        match self.changed(key) {
            Some(changed) => changed,
            None => self.tree.get(key),
        }
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }
}

impl<K: Ord, V> Forked<K, V> {
    pub(crate) fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// The entry with the smallest key.
    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        if self.beside.is_empty() {
            return self.tree.first();
        }
        self.iter().next()
    }

    /// The entries, in order of the keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &V)> {
        let (mut tree, mut beside) = (self.tree.iter().peekable(), self.beside.iter().peekable());
        let merged = std::iter::from_fn(move || match (tree.peek(), beside.peek()) {
            (Some((old, _)), Some((new, _))) if *old == new => {
                tree.next();
                beside.next().map(|(key, beside)| (key, beside.value()))
            }
            (Some((old, _)), new) if new.is_none_or(|(new, _)| *old < new) => {
                tree.next().map(|(key, value)| (key, Some(value)))
            }
            _ => beside.next().map(|(key, beside)| (key, beside.value())),
        });
        merged.filter_map(|(key, value)| Some((key, value?)))
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }
}

impl<K: Ord + Clone, V: Clone> Forked<K, V> {
    /// Puts all that stands beside the tree into it. Whoever drops a state of which this is a fork,
    /// and keeps the fork, does so then: nothing is copied any more that only both of them had.
    pub(crate) fn settle(&mut self) {
        if self.beside.is_empty() {
            return;
        }
        for (key, beside) in std::mem::take(&mut self.beside) {
            match beside {
                Beside::Same(_) => {}
                Beside::Set(value) => self.tree.insert_mut(key, value),
                Beside::Gone => drop(self.tree.remove_mut(&key)),
            }
        }
    }

    /// Makes it what it was a clone of.
    pub(crate) fn return_to(&mut self, base: &Self) {
        self.tree.return_to(&base.tree);
        self.beside.clear();
        self.beside.extend_from_slice(&base.beside);
    }

    /// The value of a key, which is looked for first in a place and beside it.
    pub(crate) fn get_near(&self, key: &K, mut near: Near) -> Option<&V> {
        match self.changed(key) {
            Some(changed) => changed,
            None => self.tree.get_near(key, &mut near),
        }
    }

    /// Puts the value of a key beside the tree, as long as that is shared: who is going to ask for it
    /// again and again finds it there.
    pub(crate) fn bring_near(&mut self, key: &K) -> Option<&V> {
        if !self.tree.is_shared() || self.beside.len() >= BESIDE_MAX {
            return self.get(key);
        }
        let place = match self.place(key) {
            Ok(place) => place,
            Err(place) => {
                let same = Beside::Same(self.tree.get_near(key, &mut self.brought)?.clone());
                self.beside.insert(place.min(self.beside.len()), (key.clone(), same));
                place
            }
        };
        self.beside.get(place).and_then(|(_, beside)| beside.value())
    }

    /// Whether changes go beside the tree. Whatever stands there is in the tree where not.
    fn goes_beside(&mut self) -> bool {
        if self.tree.is_shared() && self.beside.len() < BESIDE_MAX {
            return true;
        }
        self.settle();
        false
    }

    fn set(&mut self, place: Result<usize, usize>, key: K, value: Beside<V>) {
        match place {
            Ok(place) => {
                if let Some((_, old)) = self.beside.get_mut(place) {
                    *old = value;
                }
            }
            Err(place) => self.beside.insert(place.min(self.beside.len()), (key, value)),
        }
    }

    /// The value of a key, to be changed. What else has it keeps it as it is.
    pub(crate) fn get_mut(&mut self, key: &K, near: &mut Near) -> Option<&mut V> {
        if !self.goes_beside() {
            return self.tree.get_mut_near(key, near);
        }
        let place = match self.place(key) {
            Ok(place) => place,
            Err(place) => {
                let value = self.tree.get(key)?.clone();
                self.set(Err(place), key.clone(), Beside::Set(value));
                place
            }
        };
        self.beside.get_mut(place).and_then(|(_, beside)| beside.change())
    }

    /// Puts a value in the place of a key, whether it has one or not.
    pub(crate) fn insert_mut(&mut self, key: K, value: V) {
        if self.goes_beside() {
            self.set(self.place(&key), key, Beside::Set(value));
        } else {
            self.tree.insert_mut(key, value);
        }
    }

    /// Removes a key, and says whether it was there.
    pub(crate) fn remove_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        if !self.goes_beside() {
            return self.tree.remove_mut(key);
        }
        let place = self.place(key);
        let was_there = match place.ok().and_then(|place| self.beside.get(place)) {
            Some((_, beside)) => beside.value().is_some(),
            None => self.tree.contains_key(key),
        };
        match (self.tree.get_key(key).cloned(), place) {
            (Some(own), place) if was_there => self.set(place, own, Beside::Gone),
            (None, Ok(place)) => drop(self.beside.remove(place)),
            _ => {}
        }
        was_there
    }
}

impl<K: Ord + Clone, V: Clone> From<Tree<K, V>> for Forked<K, V> {
    fn from(tree: Tree<K, V>) -> Self {
        Self { tree, beside: Vec::new(), brought: Near::default() }
    }
}

impl<K: fmt::Debug + Ord, V: fmt::Debug> fmt::Debug for Forked<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// As any map.
impl<K: Ord + Serialize, V: Serialize> Serialize for Forked<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(self.iter().count()))?;
        for (key, value) in self.iter() {
            map.serialize_entry(key, value)?;
        }
        map.end()
    }
}

impl<'de, K, V> Deserialize<'de> for Forked<K, V>
where
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Tree::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn same(map: &Forked<u16, u32>, expected: &BTreeMap<u16, u32>) {
        assert!(map.iter().eq(expected.iter()));
        assert!(map.keys().eq(expected.keys()));
        assert_eq!(map.first(), expected.first_key_value());
        assert_eq!(map.is_empty(), expected.is_empty());
        let bytes = rmp_serde::to_vec_named(map).unwrap();
        assert_eq!(bytes, rmp_serde::to_vec_named(expected).unwrap());
        let read: Forked<u16, u32> = rmp_serde::from_slice(&bytes).unwrap();
        assert!(read.iter().eq(expected.iter()));
    }

    proptest! {
        /// It is the map that it should be, and so is every fork: those that were dropped for what
        /// they came from, those that took its place, and those that somebody keeps.
        #[test]
        fn a_forked_map_is_a_map_and_so_is_each_fork(
            steps in prop::collection::vec((0_u16..300, 0_u32..12), 1..1_500),
        ) {
            let (mut map, mut expected) = (Forked::default(), BTreeMap::new());
            let mut before = None;
            let mut kept = Vec::new();
            let mut near = Near::default();
            for (key, step) in steps {
                match step {
                    0..4 => {
                        map.insert_mut(key, step);
                        expected.insert(key, step);
                    }
                    4..6 => {
                        let expected = expected.get_mut(&key);
                        let found = map.get_mut(&key, &mut near);
                        prop_assert_eq!(&found, &expected);
                        if let (Some(found), Some(expected)) = (found, expected) {
                            *found += 1;
                            *expected += 1;
                        }
                    }
                    6..9 => {
                        prop_assert_eq!(map.remove_mut(&key), expected.remove(&key).is_some());
                    }
                    9 => {
                        before = Some((map.clone(), expected.clone()));
                        prop_assert_eq!(map.bring_near(&key), expected.get(&key));
                    }
                    // The fork is accepted, as a decision is, or it is refused.
                    10 => {
                        drop(before.take());
                        map.settle();
                        prop_assert!(map.beside.is_empty());
                        if key % 16 == 0 {
                            kept.push((map.clone(), expected.clone()));
                        }
                    }
                    _ => if let Some((old, of_old)) = before.take() {
                        (map, expected) = (old, of_old);
                    }
                }
                prop_assert_eq!(map.get(&key), expected.get(&key));
                prop_assert_eq!(map.contains_key(&key), expected.contains_key(&key));
                prop_assert!(map.beside.len() <= BESIDE_MAX);
            }
            kept.extend(before);
            kept.push((map, expected));
            for (map, expected) in &kept {
                same(map, expected);
            }
        }
    }

    #[test]
    fn what_one_fork_alone_has_is_changed_where_it_stands() {
        let mut map: Forked<u16, u32> =
            (0..100).map(|n| (n, 0)).fold(Forked::default(), |mut map, (key, value)| {
                map.insert_mut(key, value);
                map
            });
        assert!(map.beside.is_empty());
        let old = map.clone();
        map.insert_mut(7, 1);
        assert!(map.remove_mut(&8));
        map.insert_mut(200, 1);
        assert_eq!((map.beside.len(), old.get(&7), map.get(&7)), (3, Some(&0), Some(&1)));
        // A key that came after the fork and went again leaves nothing behind.
        assert!(map.remove_mut(&200));
        assert_eq!(map.beside.len(), 2);
        drop(old);
        map.settle();
        map.insert_mut(9, 1);
        assert!(map.beside.is_empty());
        assert_eq!((map.get(&7), map.get(&8), map.get(&9)), (Some(&1), None, Some(&1)));
    }
}
