//! The shape of a value: whether every field that it names exists, whatever the fields hold.

use crate::de::{Deserializer, Path};
use crate::limits::SHAPE_PRUNINGS_MAX;
use crate::node::Node;
use serde::de::DeserializeOwned;
use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

/// A field that its struct does not have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnknownField {
    /// The line it stands on, from 1.
    pub line: usize,
    /// Its path: `items[0].quantiy`.
    pub path: String,
}

/// Finds the fields, at any depth, that `T` has no place for, in the order of the file.
///
/// Values are not judged: one of the wrong type or form, and a field that is missing, hide no
/// unknown field beside them. A map entry that should name a variant of an enum and does not is an
/// unknown field. What a type reads into a plain map has no unknown fields.
///
/// `T` is read again for every value that it refuses. After
/// [`SHAPE_PRUNINGS_MAX`](crate::limits::SHAPE_PRUNINGS_MAX) of them the search ends with what it
/// found; [`decode`](crate::decode) refuses what is left.
#[must_use]
pub fn check_shape<T: DeserializeOwned>(node: &Node) -> Vec<UnknownField> {
    let mut shape = Shape { found: RefCell::default(), pruned: HashSet::new() };
    for _ in 0..SHAPE_PRUNINGS_MAX {
        let root = Deserializer { node, path: Path::Root, shape: Some(&shape) };
        let Err(fault) = T::deserialize(root) else { break };
        let Some(refused) = fault.at(node, &Path::Root).node() else { break };
        // The root refused: all below it has been seen. A node that is already out of sight
        // cannot be refused; should a type contrive it, there is nothing left to take away.
        if std::ptr::eq(refused, node) || !shape.pruned.insert(refused) {
            break;
        }
    }
    let mut found: Vec<_> = shape
        .found
        .into_inner()
        .into_iter()
        .map(|(path, line)| UnknownField { line, path })
        .collect();
    found.sort();
    found
}

/// What the passes over one value have in common.
pub(crate) struct Shape {
    /// Lines of the unknown fields by path.
    found: RefCell<BTreeMap<String, usize>>,
    /// Nodes that were refused, by address, and are passed over from then on.
    pruned: HashSet<*const Node>,
}

impl Shape {
    pub(crate) fn record(&self, path: &Path<'_>, line: usize) {
        self.found.borrow_mut().insert(path.to_string(), line);
    }

    pub(crate) fn is_pruned(&self, node: &Node) -> bool {
        self.pruned.contains(&std::ptr::from_ref(node))
    }
}

#[cfg(test)]
mod tests;
