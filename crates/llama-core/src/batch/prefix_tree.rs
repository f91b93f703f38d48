//! Prompts with common beginnings as a tree of tokens, each shared token once.

/// A node of the tree: a token after the tokens above it.
#[derive(Debug)]
struct Node {
    id: u32,
    parent: Option<usize>,
    depth: usize,
    children: Vec<usize>,
}

/// The prompts of one row of a batch as a tree, its nodes laid out so that every node comes after its parent and a
/// branch's tokens stand together.
#[derive(Debug)]
pub(super) struct Tree {
    /// Token ids in layout order.
    pub(super) ids: Vec<u32>,
    /// Each token's position in its prompts: its depth.
    pub(super) positions: Vec<usize>,
    /// Each token's parent in layout order.
    pub(super) parents: Vec<Option<usize>>,
    /// For each prompt the slots of its tokens.
    pub(super) paths: Vec<Vec<usize>>,
}

impl Tree {
    /// The tree of some prompts, none of them empty.
    pub(super) fn of<P: AsRef<[u32]>>(prompts: &[P]) -> Self {
        let (mut nodes, mut roots) = (Vec::<Node>::new(), Vec::new());
        let mut paths = Vec::with_capacity(prompts.len());
        for prompt in prompts {
            let (mut path, mut parent) = (Vec::with_capacity(prompt.as_ref().len()), None::<usize>);
            for (depth, &id) in prompt.as_ref().iter().enumerate() {
                let siblings = parent.map_or(&roots, |p| &nodes[p].children);
                let node =
                    siblings.iter().copied().find(|&child| nodes[child].id == id).unwrap_or_else(|| {
                        let new = nodes.len();
                        match parent {
                            Some(p) => nodes[p].children.push(new),
                            None => roots.push(new),
                        }
                        nodes.push(Node { id, parent, depth, children: Vec::new() });
                        new
                    });
                path.push(node);
                parent = Some(node);
            }
            paths.push(path);
        }
        Self::lay_out(&nodes, roots, paths)
    }

    /// Depth first, children in the order they came.
    fn lay_out(nodes: &[Node], mut stack: Vec<usize>, mut paths: Vec<Vec<usize>>) -> Self {
        stack.reverse();
        let mut slot = vec![0; nodes.len()];
        let mut order = Vec::with_capacity(nodes.len());
        while let Some(node) = stack.pop() {
            slot[node] = order.len();
            order.push(node);
            stack.extend(nodes[node].children.iter().rev());
        }
        paths.iter_mut().flatten().for_each(|node| *node = slot[*node]);
        Self {
            ids: order.iter().map(|&node| nodes[node].id).collect(),
            positions: order.iter().map(|&node| nodes[node].depth).collect(),
            parents: order.iter().map(|&node| nodes[node].parent.map(|parent| slot[parent])).collect(),
            paths,
        }
    }

    /// Tokens of the tree.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether it is one line, where causal attention is what a tree's attention is.
    pub(super) fn is_a_line(&self) -> bool {
        self.parents.iter().enumerate().all(|(slot, parent)| *parent == slot.checked_sub(1))
    }

    /// Which slots each slot attends to: those above it and itself. Written into a row's `[T, T]` part of a mask.
    pub(super) fn attend(&self, mask: &mut [bool], width: usize) {
        for (slot, parent) in self.parents.iter().enumerate() {
            if let Some(parent) = parent {
                mask.copy_within(parent * width..parent * width + slot, slot * width);
            }
            mask[slot * width + slot] = true;
        }
    }
}

/// How many tokens are left when prompts with common beginnings share them.
pub(super) fn shared_len<P: AsRef<[u32]>>(prompts: &[P]) -> usize {
    Tree::of(prompts).len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_prompt_is_a_path_and_no_token_is_there_twice(
            prompts in prop::collection::vec(prop::collection::vec(0u32..3, 1..12), 1..8)
        ) {
            let tree = Tree::of(&prompts);
            for (prompt, path) in prompts.iter().zip(&tree.paths) {
                let ids: Vec<u32> = path.iter().map(|&slot| tree.ids[slot]).collect();
                prop_assert_eq!(&ids, prompt);
                for (position, pair) in path.windows(2).enumerate() {
                    prop_assert_eq!(tree.parents[pair[1]], Some(pair[0]));
                    prop_assert!(pair[0] < pair[1]);
                    prop_assert_eq!(tree.positions[pair[0]], position);
                }
            }
            // As many tokens as the prompts have different beginnings.
            let mut beginnings: Vec<&[u32]> = prompts.iter().flat_map(|p| (1..=p.len()).map(|n| &p[..n])).collect();
            beginnings.sort_unstable();
            beginnings.dedup();
            prop_assert_eq!(tree.len(), beginnings.len());
        }

        #[test]
        fn a_token_attends_to_its_own_prompt_and_nothing_else(
            prompts in prop::collection::vec(prop::collection::vec(0u32..3, 1..9), 1..6), padding in 0usize..3
        ) {
            let tree = Tree::of(&prompts);
            let width = tree.len() + padding;
            let mut mask = vec![false; width * width];
            tree.attend(&mut mask, width);
            for path in &tree.paths {
                for (position, &slot) in path.iter().enumerate() {
                    let seen: Vec<usize> = (0..width).filter(|&other| mask[slot * width + other]).collect();
                    prop_assert_eq!(seen.as_slice(), &path[..=position]);
                }
            }
        }
    }
}
