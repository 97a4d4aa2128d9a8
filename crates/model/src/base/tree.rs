//! An ordered map whose clones share what they have in common: a tree of broad nodes.
//!
//! A fork of the state copies the few nodes that lead to what it changes. What no fork shares is
//! changed where it stands, as in a replay; and because a node holds many entries beside each other,
//! few places in memory are gone to on the way.

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::slice;
use std::sync::Arc;

/// Entries of a leaf and children of an inner node, at most.
const NODE_MAX: usize = 32;
/// A node of fewer joins a neighbour, if both together leave room for some more.
const NODE_MIN: usize = 8;
const JOINED_MAX: usize = 24;

/// A child with a key that it begins at.
type Child<K, V> = (K, Arc<Node<K, V>>);

enum Node<K, V> {
    /// Entries in order.
    Leaf(Vec<(K, V)>),
    /// Children in order. Each but the first comes with a key that none of its own is below, and
    /// all before it are; the key beside the first means nothing.
    Inner(Vec<Child<K, V>>),
}

/// An ordered map.
pub(crate) struct Tree<K, V> {
    root: Option<Arc<Node<K, V>>>,
    len: usize,
}

/// Where in a tree a key was found last. It is a guess: the tree may have changed since.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Near {
    /// The places of children from the root down.
    path: [u8; 12],
    /// The place in the leaf.
    entry: u8,
}

impl<K, V> Clone for Tree<K, V> {
    fn clone(&self) -> Self {
        Self { root: self.root.clone(), len: self.len }
    }
}

impl<K: Clone, V: Clone> Clone for Node<K, V> {
    fn clone(&self) -> Self {
        // One entry often follows: room for it is taken at once.
        fn copy<T: Clone>(items: &[T]) -> Vec<T> {
            let mut copy = Vec::with_capacity(items.len().saturating_add(1));
            copy.extend_from_slice(items);
            copy
        }
        match self {
            Self::Leaf(entries) => Self::Leaf(copy(entries)),
            Self::Inner(children) => Self::Inner(copy(children)),
        }
    }
}

impl<K, V> Default for Tree<K, V> {
    fn default() -> Self {
        Self { root: None, len: 0 }
    }
}

/// The place among children of the one that a key belongs to.
fn place<K: Borrow<Q>, C, Q: Ord + ?Sized>(children: &[(K, C)], key: &Q) -> usize {
    let others = children.get(1..).unwrap_or_default();
    others.partition_point(|(first, _)| first.borrow() <= key)
}

impl<K, V> Tree<K, V> {
    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The entries, in order of the keys.
    pub(crate) fn iter(&self) -> Iter<'_, K, V> {
        let mut iter = Iter { above: Vec::new(), leaf: [].iter(), left: self.len };
        if let Some(root) = &self.root {
            iter.descend(root);
        }
        iter
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = &K> {
        self.iter().map(|(key, _)| key)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &V> {
        self.iter().map(|(_, value)| value)
    }

    /// The entry with the smallest key.
    pub(crate) fn first(&self) -> Option<(&K, &V)> {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(entries) => return entries.first().map(|(key, value)| (key, value)),
                Node::Inner(children) => node = &children.first()?.1,
            }
        }
    }

    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(_, value)| value)
    }

    fn entry<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut node = self.root.as_deref()?;
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return entries.get(at);
                }
                Node::Inner(children) => node = &children.get(place(children, key))?.1,
            }
        }
    }

    /// The key as the tree has it.
    pub(crate) fn get_key<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&K>
    where
        K: Borrow<Q>,
    {
        self.entry(key).map(|(key, _)| key)
    }

    pub(crate) fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.get(key).is_some()
    }

    /// Whether it is a clone of another and neither has changed since.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.root, &other.root) {
            (Some(own), Some(other)) => Arc::ptr_eq(own, other),
            (own, other) => own.is_none() && other.is_none(),
        }
    }

    /// Makes it what it was a clone of. Nothing is touched where nothing changed.
    pub(crate) fn return_to(&mut self, base: &Self) {
        if !self.is_same(base) {
            self.clone_from(base);
        }
    }

    /// Whether a clone has the same root, so that a change would copy nodes.
    pub(crate) fn is_shared(&self) -> bool {
        self.root.as_ref().is_some_and(|root| Arc::strong_count(root) > 1)
    }
}

impl<K: Ord + Clone, V: Clone> Tree<K, V> {
    /// The value of a key, to be changed. A node that a clone shares is copied first.
    pub(crate) fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let mut node = Arc::make_mut(self.root.as_mut()?);
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(other, _)| other.borrow().cmp(key)).ok()?;
                    return entries.get_mut(at).map(|(_, value)| value);
                }
                Node::Inner(children) => {
                    let at = place(children, key);
                    node = Arc::make_mut(&mut children.get_mut(at)?.1);
                }
            }
        }
    }

    /// The value of a key, to be changed, which is looked for first where one was found last and
    /// beside it: what is changed together, or in turn, is often near.
    pub(crate) fn get_mut_near(&mut self, key: &K, near: &mut Near) -> Option<&mut V> {
        if !self.is_near(key, near) {
            let Some(found) = self.locate(key) else { return self.get_mut(key) };
            *near = found;
        }
        let mut node = Arc::make_mut(self.root.as_mut()?);
        let mut path = near.path.iter();
        loop {
            match node {
                Node::Leaf(entries) => {
                    let (found, value) = entries.get_mut(usize::from(near.entry))?;
                    return (found == key).then_some(value);
                }
                Node::Inner(children) => {
                    let at = usize::from(*path.next()?);
                    node = Arc::make_mut(&mut children.get_mut(at)?.1);
                }
            }
        }
    }

    /// The value of a key, which is looked for first where one was found last and beside it.
    pub(crate) fn get_near(&self, key: &K, near: &mut Near) -> Option<&V> {
        if !self.is_near(key, near) {
            let Some(found) = self.locate(key) else { return self.get(key) };
            *near = found;
        }
        let mut node = self.root.as_deref()?;
        let mut path = near.path.iter();
        loop {
            match node {
                Node::Leaf(entries) => {
                    let (found, value) = entries.get(usize::from(near.entry))?;
                    return (found == key).then_some(value);
                }
                Node::Inner(children) => node = &children.get(usize::from(*path.next()?))?.1,
            }
        }
    }

    /// Whether a key is at a place or is the next of its leaf, which is then the place.
    fn is_near(&self, key: &K, near: &mut Near) -> bool {
        let (mut node, mut path) = (self.root.as_deref(), near.path.iter());
        loop {
            match node {
                None => return false,
                Some(Node::Leaf(entries)) => {
                    let next = near.entry.saturating_add(1);
                    let at = [near.entry, next].into_iter().find(|at| {
                        entries.get(usize::from(*at)).is_some_and(|(found, _)| found == key)
                    });
                    near.entry = at.unwrap_or(near.entry);
                    return at.is_some();
                }
                Some(Node::Inner(children)) => {
                    let child = path.next().and_then(|at| children.get(usize::from(*at)));
                    node = child.map(|(_, child)| &**child);
                }
            }
        }
    }

    /// Where a key is; none where the tree has it not, or lies deeper than a place can say.
    fn locate(&self, key: &K) -> Option<Near> {
        let mut near = Near::default();
        let (mut node, mut path) = (self.root.as_deref()?, near.path.iter_mut());
        loop {
            match node {
                Node::Leaf(entries) => {
                    let at = entries.binary_search_by(|(other, _)| other.cmp(key)).ok()?;
                    near.entry = u8::try_from(at).ok()?;
                    return Some(near);
                }
                Node::Inner(children) => {
                    let at = place(children, key);
                    *path.next()? = u8::try_from(at).ok()?;
                    node = &children.get(at)?.1;
                }
            }
        }
    }

    /// Puts a value in the place of a key, whether it has one or not.
    pub(crate) fn insert_mut(&mut self, key: K, value: V) {
        let Some(root) = &mut self.root else {
            self.root = Some(Arc::new(Node::Leaf(vec![(key, value)])));
            self.len = 1;
            return;
        };
        let (added, split) = Arc::make_mut(root).insert(key, value);
        self.len = self.len.saturating_add(usize::from(added));
        if let Some((first, right)) = split {
            let left = (first.clone(), Arc::clone(root));
            *root = Arc::new(Node::Inner(vec![left, (first, right)]));
        }
    }

    /// Removes a key, and says whether it was there. Where it was not, nothing is copied that a
    /// clone of the whole shares.
    pub(crate) fn remove_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        let shared = self.root.as_mut().is_some_and(|root| Arc::get_mut(root).is_none());
        if shared && !self.contains_key(key) {
            return false;
        }
        let Some(root) = &mut self.root else { return false };
        if !Arc::make_mut(root).remove(key) {
            return false;
        }
        self.len = self.len.saturating_sub(1);
        if self.len == 0 {
            self.root = None;
        } else if let Node::Inner(children) = &**root
            && let [(_, only)] = children.as_slice()
        {
            *root = Arc::clone(only);
        }
        true
    }
}

/// What a node that became too large leaves to a new one on its right, and the first key there.
type Split<K, V> = Option<Child<K, V>>;

/// Inserts at a place. Where the node becomes too large its right part is cut off: half of it, or
/// only what came where that came last, so that keys that ascend leave full nodes behind.
fn insert_at<T>(items: &mut Vec<T>, at: usize, item: T) -> Option<Vec<T>> {
    if items.len() < NODE_MAX {
        items.insert(at.min(items.len()), item);
        return None;
    }
    let half = NODE_MAX.div_euclid(2);
    if at >= items.len() {
        return Some(vec![item]);
    }
    let mut right = items.split_off(half);
    match at.checked_sub(half) {
        Some(at) => right.insert(at.min(right.len()), item),
        None => items.insert(at, item),
    }
    Some(right)
}

impl<K: Ord + Clone, V: Clone> Node<K, V> {
    fn len(&self) -> usize {
        match self {
            Self::Leaf(entries) => entries.len(),
            Self::Inner(children) => children.len(),
        }
    }

    /// Whether the key is new, and what does not fit any more.
    fn insert(&mut self, key: K, value: V) -> (bool, Split<K, V>) {
        match self {
            Self::Leaf(entries) => {
                let at = match entries.binary_search_by(|(other, _)| other.cmp(&key)) {
                    Ok(at) => {
                        if let Some((_, old)) = entries.get_mut(at) {
                            *old = value;
                        }
                        return (false, None);
                    }
                    Err(at) => at,
                };
                let right = insert_at(entries, at, (key, value));
                let split = right.and_then(|right| {
                    Some((right.first()?.0.clone(), Arc::new(Self::Leaf(right))))
                });
                (true, split)
            }
            Self::Inner(children) => {
                let at = place(children, &key);
                let Some((_, child)) = children.get_mut(at) else { return (false, None) };
                let (added, split) = Arc::make_mut(child).insert(key, value);
                let right =
                    split.and_then(|child| insert_at(children, at.saturating_add(1), child));
                let split = right.and_then(|right| {
                    Some((right.first()?.0.clone(), Arc::new(Self::Inner(right))))
                });
                (added, split)
            }
        }
    }

    /// Removes a key, and says whether it was there.
    fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        match self {
            Self::Leaf(entries) => {
                let found = entries.binary_search_by(|(other, _)| other.borrow().cmp(key));
                if let Ok(at) = found {
                    entries.remove(at);
                }
                found.is_ok()
            }
            Self::Inner(children) => {
                let at = place(children, key);
                let Some((_, child)) = children.get_mut(at) else { return false };
                let child = Arc::make_mut(child);
                let removed = child.remove(key);
                let len = child.len();
                if len == 0 {
                    children.remove(at);
                } else if len < NODE_MIN {
                    join(children, at);
                }
                removed
            }
        }
    }

    /// Takes over all that its right neighbour has, whose keys begin with `first`.
    fn append(&mut self, first: K, right: Self) {
        match (self, right) {
            (Self::Leaf(left), Self::Leaf(mut right)) => left.append(&mut right),
            (Self::Inner(left), Self::Inner(mut right)) => {
                if let Some(child) = right.first_mut() {
                    child.0 = first;
                }
                left.append(&mut right);
            }
            // All leaves lie equally deep.
            _ => {}
        }
    }
}

/// Joins the child at a place with a neighbour, if there is one that is small enough.
fn join<K: Ord + Clone, V: Clone>(children: &mut Vec<Child<K, V>>, at: usize) {
    let len = |at: usize| children.get(at).map(|(_, child)| child.len());
    let fits = |left: usize| {
        let both = len(left)?.saturating_add(len(left.checked_add(1)?)?);
        (both <= JOINED_MAX).then_some(left)
    };
    let Some(left) = at.checked_sub(1).and_then(fits).or_else(|| fits(at)) else { return };
    let (first, right) = children.remove(left.saturating_add(1));
    if let Some((_, left)) = children.get_mut(left) {
        Arc::make_mut(left).append(first, Arc::unwrap_or_clone(right));
    }
}

/// The entries of a [`Tree`] in order.
pub(crate) struct Iter<'a, K, V> {
    /// What is left of the inner nodes above, from the root down.
    above: Vec<slice::Iter<'a, Child<K, V>>>,
    leaf: slice::Iter<'a, (K, V)>,
    left: usize,
}

impl<'a, K, V> Iter<'a, K, V> {
    fn descend(&mut self, mut node: &'a Node<K, V>) {
        loop {
            match node {
                Node::Leaf(entries) => {
                    self.leaf = entries.iter();
                    return;
                }
                Node::Inner(children) => {
                    let mut children = children.iter();
                    let first = children.next();
                    self.above.push(children);
                    let Some((_, first)) = first else { return };
                    node = first;
                }
            }
        }
    }
}

impl<'a, K, V> Iterator for Iter<'a, K, V> {
    type Item = (&'a K, &'a V);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some((key, value)) = self.leaf.next() {
                self.left = self.left.saturating_sub(1);
                return Some((key, value));
            }
            match self.above.last_mut()?.next() {
                Some((_, child)) => self.descend(child),
                None => drop(self.above.pop()),
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl<'a, K, V> IntoIterator for &'a Tree<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Iter<'a, K, V> {
        self.iter()
    }
}

impl<K: fmt::Debug, V: fmt::Debug> fmt::Debug for Tree<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self).finish()
    }
}

/// As any map.
impl<K: Serialize, V: Serialize> Serialize for Tree<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self)
    }
}

impl<'de, K, V> Deserialize<'de> for Tree<K, V>
where
    K: Deserialize<'de> + Ord + Clone,
    V: Deserialize<'de> + Clone,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<K, V>(PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Entries<K, V>
        where
            K: Deserialize<'de> + Ord + Clone,
            V: Deserialize<'de> + Clone,
        {
            type Value = Tree<K, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a map")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree<K, V>, A::Error> {
                let mut tree = Tree::default();
                while let Some((key, value)) = map.next_entry()? {
                    tree.insert_mut(key, value);
                }
                Ok(tree)
            }
        }
        deserializer.deserialize_map(Entries(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    /// Checks what must hold of every node; returns how deep the leaves lie.
    fn check(node: &Node<u16, u32>, low: Option<u16>, high: Option<u16>) -> usize {
        assert!((1..=NODE_MAX).contains(&node.len()));
        match node {
            Node::Leaf(entries) => {
                assert!(entries.is_sorted_by(|(a, _), (b, _)| a < b));
                assert!(entries.iter().all(|(key, _)| low.is_none_or(|low| low <= *key)));
                assert!(entries.iter().all(|(key, _)| high.is_none_or(|high| *key < high)));
                1
            }
            Node::Inner(children) => {
                let mut depths = children.iter().enumerate().map(|(n, (first, child))| {
                    let low = if n == 0 { low } else { Some(*first) };
                    let high = children.get(n + 1).map(|(first, _)| *first).or(high);
                    check(child, low, high)
                });
                let depth = depths.next().unwrap();
                assert!(depths.all(|other| other == depth));
                depth + 1
            }
        }
    }

    fn same(tree: &Tree<u16, u32>, expected: &BTreeMap<u16, u32>) {
        assert!(tree.iter().eq(expected.iter()));
        assert!(tree.keys().eq(expected.keys()) && tree.values().eq(expected.values()));
        assert_eq!(tree.first(), expected.first_key_value());
        assert_eq!((tree.len(), tree.is_empty()), (expected.len(), expected.is_empty()));
        assert_eq!(tree.iter().size_hint(), (expected.len(), Some(expected.len())));
        if let Some(root) = &tree.root {
            check(root, None, None);
        }
    }

    proptest! {
        /// It is the map that it should be, and so is every clone that was made on the way.
        #[test]
        fn a_tree_is_a_map_and_its_clones_stay_as_they_were(
            steps in prop::collection::vec((0_u16..3_000, 0_u32..8), 1..3_000),
            ascending in any::<bool>(),
            kept in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
        ) {
            let (mut tree, mut expected) = (Tree::default(), BTreeMap::new());
            let kept: Vec<usize> = kept.iter().map(|at| at.index(steps.len())).collect();
            let (mut clones, mut near) = (Vec::new(), Near::default());
            let steps = (0..).zip(steps).map(|(n, step)| if ascending { (n, step.1) } else { step });
            for (n, (key, step)) in steps.enumerate() {
                match step {
                    0..5 => {
                        tree.insert_mut(key, step);
                        expected.insert(key, step);
                    }
                    5 => {
                        prop_assert_eq!(tree.get_mut(&key), expected.get_mut(&key));
                        // From the key itself, the one after it, and one that lies elsewhere.
                        for key in [key, key, key.saturating_add(1), key / 2] {
                            if let Some(value) = tree.get_mut_near(&key, &mut near) {
                                *value += 1;
                            }
                            expected.entry(key).and_modify(|value| *value += 1);
                            prop_assert_eq!(tree.get(&key), expected.get(&key));
                        }
                    }
                    // A run of neighbours, so that nodes become empty.
                    _ => for key in key..key.saturating_add(20) {
                        prop_assert_eq!(tree.remove_mut(&key), expected.remove(&key).is_some());
                    }
                }
                prop_assert_eq!(tree.get(&key), expected.get(&key));
                prop_assert_eq!(tree.contains_key(&key), expected.contains_key(&key));
                if kept.contains(&n) {
                    clones.push((tree.clone(), expected.clone()));
                }
            }
            clones.push((tree, expected));
            for (tree, expected) in &clones {
                same(tree, expected);
                let bytes = rmp_serde::to_vec_named(tree).unwrap();
                prop_assert_eq!(&bytes, &rmp_serde::to_vec_named(expected).unwrap());
                same(&rmp_serde::from_slice(&bytes).unwrap(), expected);
            }
        }
    }

    #[test]
    fn keys_that_ascend_leave_full_nodes_and_all_of_them_go_again() {
        let mut tree = Tree::default();
        for key in 0..10_000_u16 {
            tree.insert_mut(key, u32::from(key));
        }
        let leaves = |node: &Node<u16, u32>| match node {
            Node::Leaf(_) => 1,
            Node::Inner(children) => children.len(),
        };
        assert_eq!(check(tree.root.as_ref().unwrap(), None, None), 3);
        assert!(leaves(tree.root.as_ref().unwrap()) <= 10_000 / (32 * 32) + 1);
        for key in (0..10_000_u16).rev().step_by(3).chain(0..10_000) {
            tree.remove_mut(&key);
        }
        same(&tree, &BTreeMap::new());
        assert!(tree.root.is_none());
    }
}
