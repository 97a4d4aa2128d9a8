//! Bipartite matching: each on the left gets a partner of its own on the right.

use std::collections::VecDeque;

/// A matching with as many pairs as there can be.
pub(super) struct Pairing {
    /// The partner on the right of each on the left.
    left: Vec<Option<usize>>,
    /// The partner on the left of each on the right.
    right: Vec<Option<usize>>,
}

impl Pairing {
    /// Whether each on the left has a partner.
    pub(super) fn is_perfect(&self) -> bool {
        self.left.iter().all(Option::is_some)
    }

    /// Those on the left without a partner.
    pub(super) fn left_alone(&self) -> impl Iterator<Item = usize> {
        alone(&self.left)
    }

    /// Those on the right without a partner.
    pub(super) fn right_alone(&self) -> impl Iterator<Item = usize> {
        alone(&self.right)
    }

    /// The partner on the left of one on the right.
    pub(super) fn partner_of_right(&self, index: usize) -> Option<usize> {
        self.right.get(index).copied().flatten()
    }

    fn join(&mut self, left: usize, right: usize) {
        if let (Some(to), Some(from)) = (self.left.get_mut(left), self.right.get_mut(right)) {
            *to = Some(right);
            *from = Some(left);
        }
    }
}

fn alone(side: &[Option<usize>]) -> impl Iterator<Item = usize> {
    side.iter().enumerate().filter(|(_, partner)| partner.is_none()).map(|(index, _)| index)
}

/// Pairs `left` with `right`, where `fits` tells which may be a pair.
///
/// First each takes the first free partner from its own position on, which settles lists in equal
/// order at once; then augmenting paths find a place for who was left. Nothing recurses, and the
/// memory is that of the fitting pairs of those that the paths visit.
pub(super) fn pair(left: usize, right: usize, fits: impl Fn(usize, usize) -> bool) -> Pairing {
    let mut pairing = Pairing { left: vec![None; left], right: vec![None; right] };
    for i in 0..left {
        let from_here = (i..right).chain(0..i.min(right));
        let free = |j: &usize| pairing.partner_of_right(*j).is_none();
        if let Some(j) = from_here.filter(free).find(|j| fits(i, *j)) {
            pairing.join(i, j);
        }
    }
    let mut fitting: Vec<Option<Vec<usize>>> = vec![None; left];
    let lonely: Vec<_> = pairing.left_alone().collect();
    for start in lonely {
        augment(start, right, &mut pairing, |i| {
            let known = fitting.get_mut(i)?;
            Some(known.get_or_insert_with(|| (0..right).filter(|j| fits(i, *j)).collect()).clone())
        });
    }
    pairing
}

/// Finds a partner for `start` by moving others to other partners, breadth first.
fn augment(
    start: usize,
    right: usize,
    pairing: &mut Pairing,
    mut fitting: impl FnMut(usize) -> Option<Vec<usize>>,
) {
    let mut came_from: Vec<Option<usize>> = vec![None; right];
    let mut queue = VecDeque::from([start]);
    while let Some(i) = queue.pop_front() {
        for j in fitting(i).unwrap_or_default() {
            match came_from.get_mut(j) {
                Some(seen @ None) => *seen = Some(i),
                _ => continue,
            }
            match pairing.partner_of_right(j) {
                Some(other) => queue.push_back(other),
                None => return shift(start, j, &came_from, pairing),
            }
        }
    }
}

/// Moves every pair along the path that ends at the free `end` one step on.
fn shift(start: usize, end: usize, came_from: &[Option<usize>], pairing: &mut Pairing) {
    let mut j = end;
    while let Some(i) = came_from.get(j).copied().flatten() {
        let before = pairing.left.get(i).copied().flatten();
        pairing.join(i, j);
        match before {
            Some(next) if i != start => j = next,
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The size of a largest matching, by trying everything.
    fn largest(edges: &[Vec<bool>], from: usize, taken: &mut Vec<bool>) -> usize {
        let Some(row) = edges.get(from) else { return 0 };
        let mut best = largest(edges, from + 1, taken);
        for (j, fits) in row.iter().enumerate() {
            if *fits && !taken[j] {
                taken[j] = true;
                best = best.max(1 + largest(edges, from + 1, taken));
                taken[j] = false;
            }
        }
        best
    }

    #[test]
    fn a_greedy_choice_is_taken_back() {
        let edges = [[true, true, true], [true, false, false], [true, true, false]];
        let pairing = pair(3, 3, |i, j| edges[i][j]);
        assert_eq!(pairing.left, [Some(2), Some(0), Some(1)]);
        assert_eq!(pairing.right, [Some(1), Some(2), Some(0)]);
    }

    #[test]
    fn long_lists_do_not_exhaust_the_stack() {
        let n = 2_000;
        // Each fits its own place and the one before: the last one's coming moves all others.
        let pairing = pair(n, n, |i, j| if i == n - 1 { j == 0 } else { j == i || j == i + 1 });
        assert!(pairing.is_perfect());
    }

    proptest! {
        #[test]
        fn as_many_pairs_as_there_can_be(
            edges in (1_usize..6, 1_usize..6).prop_flat_map(|(left, right)| {
                prop::collection::vec(prop::collection::vec(any::<bool>(), right), left)
            })
        ) {
            let right = edges[0].len();
            let pairing = pair(edges.len(), right, |i, j| edges[i][j]);
            let pairs: Vec<_> = pairing.left.iter().enumerate()
                .filter_map(|(i, j)| Some((i, (*j)?))).collect();
            prop_assert!(pairs.iter().all(|(i, j)| edges[*i][*j] && pairing.right[*j] == Some(*i)));
            prop_assert_eq!(pairing.right.iter().flatten().count(), pairs.len());
            prop_assert_eq!(pairs.len(), largest(&edges, 0, &mut vec![false; right]));
        }
    }
}
