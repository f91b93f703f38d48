//! Sets that are joined: union by size, with path halving.

/// Nodes, each in one set.
pub(super) struct Union {
    parent: Vec<usize>,
    size: Vec<usize>,
}

impl Union {
    /// Every node in a set of its own.
    pub(super) fn new(nodes: usize) -> Self {
        Self { parent: (0..nodes).collect(), size: vec![1; nodes] }
    }

    /// The node that stands for the set of `node`.
    pub(super) fn root(&mut self, mut node: usize) -> usize {
        while let Some(&above) = self.parent.get(node)
            && above != node
        {
            let next = self.parent.get(above).copied().unwrap_or(above);
            if let Some(parent) = self.parent.get_mut(node) {
                *parent = next;
            }
            node = next;
        }
        node
    }

    /// Makes the sets of two nodes one.
    pub(super) fn join(&mut self, one: usize, other: usize) {
        let (one, other) = (self.root(one), self.root(other));
        let size = |of: usize| self.size.get(of).copied().unwrap_or_default();
        let (all, one_is_larger) = (size(one) + size(other), size(one) >= size(other));
        if one == other {
            return;
        }
        let (large, small) = if one_is_larger { (one, other) } else { (other, one) };
        if let (Some(parent), Some(size)) = (self.parent.get_mut(small), self.size.get_mut(large)) {
            (*parent, *size) = (large, all);
        }
    }
}
