//! Age by path: objects whose manifests carry no `creationTimestamp` are the older the earlier their file comes by path.
//!
//! Each file gets a label, an artificial time of creation. Labels follow the order of the paths, depend on the set of paths
//! alone (not on the order in which files came), and hardly change when a file comes or goes: about `2 ln n` other files get
//! another label. They are the places of nodes in a treap, whose shape the set determines because priorities are hashes.

/// Smallest label, in seconds since the Unix epoch: the year 881.
const FROM: i64 = -(1 << 35);
/// Above the greatest label: 1970. What carries a real time of creation is younger than what carries none.
const TO: i64 = 0;

/// Labelled paths.
#[derive(Default)]
pub struct Ages {
    root: Tree,
    count: usize,
}

type Tree = Option<Box<Node>>;

struct Node {
    path: String,
    priority: u64,
    left: Tree,
    right: Tree,
}

impl Ages {
    /// The label of a path, in seconds since the Unix epoch; `None` when it is the only one, or is not there.
    ///
    /// Among more than some ten thousand paths, a few neighbours may share one.
    pub fn label(&self, path: &str) -> Option<i64> {
        let (mut node, mut from, mut to) = (self.root.as_ref().filter(|_| self.count > 1)?, FROM, TO);
        loop {
            let middle = middle(from, to);
            node = match path.cmp(&node.path) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => {
                    to = middle;
                    node.left.as_ref()?
                }
                std::cmp::Ordering::Greater => {
                    from = middle;
                    node.right.as_ref()?
                }
            };
        }
    }

    /// Adds a path, and says which paths now have another label; itself among them. It is not there yet.
    pub fn insert(&mut self, path: &str) -> Vec<String> {
        let node = Node { path: path.to_owned(), priority: priority(path), left: None, right: None };
        let mut changed = Vec::new();
        self.root = Some(insert(self.root.take(), Box::new(node), &mut changed));
        self.count += 1;
        if self.count == 2 { self.paths() } else { changed }
    }

    /// Removes a path, which is there, and says which of the others now have another label.
    pub fn remove(&mut self, path: &str) -> Vec<String> {
        let mut changed = Vec::new();
        self.root = remove(self.root.take(), path, &mut changed);
        self.count -= 1;
        if self.count == 1 { self.paths() } else { changed }
    }

    /// Whether the path is there.
    pub fn contains(&self, path: &str) -> bool {
        let mut place = &self.root;
        while let Some(node) = place {
            place = match path.cmp(&node.path) {
                std::cmp::Ordering::Equal => return true,
                std::cmp::Ordering::Less => &node.left,
                std::cmp::Ordering::Greater => &node.right,
            };
        }
        false
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        collect(&self.root, &mut paths);
        paths
    }
}

impl Node {
    fn outranks(&self, priority: u64, path: &str) -> bool {
        (self.priority, self.path.as_str()) > (priority, path)
    }
}

fn middle(from: i64, to: i64) -> i64 {
    from + (to - from) / 2
}

/// Puts a node where its priority belongs. `changed` are the paths from there on.
fn insert(tree: Tree, mut new: Box<Node>, changed: &mut Vec<String>) -> Box<Node> {
    match tree {
        Some(mut node) if node.outranks(new.priority, &new.path) => {
            let side = if new.path < node.path { &mut node.left } else { &mut node.right };
            *side = Some(insert(side.take(), new, changed));
            node
        }
        tree => {
            (new.left, new.right) = split(tree, &new.path);
            collect(&new.left, changed);
            changed.push(new.path.clone());
            collect(&new.right, changed);
            new
        }
    }
}

/// Takes a node out. `changed` are the paths that were below it.
fn remove(tree: Tree, path: &str, changed: &mut Vec<String>) -> Tree {
    let mut node = tree?;
    if node.path == path {
        let merged = merge(node.left, node.right);
        collect(&merged, changed);
        return merged;
    }
    let side = if path < node.path.as_str() { &mut node.left } else { &mut node.right };
    *side = remove(side.take(), path, changed);
    Some(node)
}

fn split(tree: Tree, path: &str) -> (Tree, Tree) {
    let Some(mut node) = tree else { return (None, None) };
    if node.path.as_str() < path {
        let (left, right) = split(node.right.take(), path);
        node.right = left;
        (Some(node), right)
    } else {
        let (left, right) = split(node.left.take(), path);
        node.left = right;
        (left, Some(node))
    }
}

fn merge(left: Tree, right: Tree) -> Tree {
    match (left, right) {
        (None, tree) | (tree, None) => tree,
        (Some(mut left), Some(mut right)) => {
            if left.outranks(right.priority, &right.path) {
                left.right = merge(left.right.take(), Some(right));
                Some(left)
            } else {
                right.left = merge(Some(left), right.left.take());
                Some(right)
            }
        }
    }
}

fn collect(tree: &Tree, paths: &mut Vec<String>) {
    if let Some(node) = tree {
        collect(&node.left, paths);
        paths.push(node.path.clone());
        collect(&node.right, paths);
    }
}

fn priority(path: &str) -> u64 {
    let mut bytes = [0; 8];
    blake3::Hasher::new().update(path.as_bytes()).finalize_xof().fill(&mut bytes);
    u64::from_le_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::{Ages, FROM, TO};

    fn labels(ages: &Ages) -> BTreeMap<String, Option<i64>> {
        ages.paths().into_iter().map(|path| (path.clone(), ages.label(&path))).collect()
    }

    proptest! {
        #[test]
        fn labels_follow_the_paths_and_their_set_alone(steps in prop::collection::vec((any::<bool>(), "[a-c]{1,3}"), 0..80)) {
            let (mut ages, mut paths) = (Ages::default(), BTreeSet::new());
            for (put, path) in steps {
                let before = labels(&ages);
                let changed = match (put, paths.contains(&path)) {
                    (true, false) => ages.insert(&path),
                    (false, true) => ages.remove(&path),
                    _ => continue,
                };
                if put { paths.insert(path) } else { paths.remove(&path) };
                let after = labels(&ages);
                prop_assert_eq!(after.keys().collect::<Vec<_>>(), paths.iter().collect::<Vec<_>>());
                for (path, label) in &after {
                    prop_assert!(changed.contains(path) || before.get(path) == Some(label), "{} changed unsaid", path);
                }
                if paths.len() > 1 {
                    let values: Vec<i64> = after.values().map(|label| label.unwrap()).collect();
                    prop_assert!(values.is_sorted_by(|a, b| a < b) && values.iter().all(|label| (FROM..TO).contains(label)));
                }
            }
            let mut again = Ages::default();
            paths.iter().rev().for_each(|path| drop(again.insert(path)));
            prop_assert_eq!(labels(&again), labels(&ages));
        }
    }

    #[test]
    fn among_thousands_labels_differ_and_a_new_one_moves_few() {
        let mut ages = Ages::default();
        (0..5000).for_each(|index| drop(ages.insert(&format!("routes/{index:05}.yaml"))));
        let distinct: BTreeSet<_> = labels(&ages).into_values().collect();
        assert_eq!(distinct.len(), 5000);
        let moved: usize = (0..100).map(|index| ages.insert(&format!("routes/{:05}-b.yaml", index * 50)).len()).sum();
        assert!(moved < 100 * 60, "{moved} labels moved for 100 files");
    }
}
