//! Categories as a tree. Nothing that storage may hold makes it loop: a category whose parent is gone, and one that is
//! its own ancestor, stands at the top.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use artel_proto::catalog::{Category, CategoryNode};

/// Answers nest no deeper than this, for messages and JSON are read by recursion; what lies deeper is listed at this
/// depth, and its `parent_id` still says where it belongs.
const DEEPEST: usize = 32;

/// All categories of a workspace.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    categories: HashMap<String, Place>,
    top: Vec<String>,
}

#[derive(Debug)]
struct Place {
    name: String,
    parent_id: String,
    below: Vec<String>,
}

impl Tree {
    /// The tree of these categories.
    pub(crate) fn new(categories: impl IntoIterator<Item = Category>) -> Self {
        let mut places: HashMap<String, Place> = categories
            .into_iter()
            .map(|category| {
                let Category { id, name, parent_id, .. } = category;
                (id, Place { name, parent_id, below: Vec::new() })
            })
            .collect();
        let mut ids: Vec<String> = places.keys().cloned().collect();
        // By name as people read lists, and by id where names agree.
        let keys: HashMap<&String, String> =
            places.iter().map(|(id, place)| (id, place.name.to_lowercase())).collect();
        ids.sort_unstable_by(|one, other| keys[one].cmp(&keys[other]).then_with(|| one.cmp(other)));

        let mut top = Vec::new();
        for id in &ids {
            let parent = places.get(id).map(|place| place.parent_id.clone()).unwrap_or_default();
            match places.get_mut(&parent) {
                Some(above) => above.below.push(id.clone()),
                None => top.push(id.clone()),
            }
        }
        let mut tree = Self { categories: places, top };
        tree.cut_loops(&ids);
        tree
    }

    /// A category and all below it; itself alone where it is not known (storage may know more by now).
    pub(crate) fn subtree(&self, id: &str) -> Vec<String> {
        let mut found = vec![id.to_owned()];
        let mut next = 0;
        while let Some(place) = found.get(next).map(|id| self.categories.get(id)) {
            if let Some(place) = place {
                found.extend(place.below.iter().cloned());
            }
            next += 1;
        }
        // In one order whatever the process: page tokens are bound to the question.
        found.sort_unstable();
        found
    }

    /// A category's name.
    pub(crate) fn name(&self, id: &str) -> Option<&str> {
        self.categories.get(id).map(|place| place.name.as_str())
    }

    /// The categories at the top with those below them, by name.
    pub(crate) fn nodes(&self) -> Vec<CategoryNode> {
        self.top.iter().map(|id| self.node(id, 1)).collect()
    }

    fn node(&self, id: &str, depth: usize) -> CategoryNode {
        let Some(place) = self.categories.get(id) else { return CategoryNode::default() };
        let children = if depth + 1 < DEEPEST {
            place.below.iter().map(|id| self.node(id, depth + 1)).collect()
        } else {
            let mut all = self.subtree(id);
            all.retain(|below| below != id);
            all.sort_unstable_by(|one, other| self.by_name(one, other));
            all.iter().map(|id| self.leaf(id)).collect()
        };
        CategoryNode { children, ..self.leaf(id) }
    }

    fn leaf(&self, id: &str) -> CategoryNode {
        let place = self.categories.get(id);
        CategoryNode {
            id: id.to_owned(),
            name: place.map(|place| place.name.clone()).unwrap_or_default(),
            parent_id: place.map(|place| place.parent_id.clone()).unwrap_or_default(),
            children: Vec::new(),
        }
    }

    fn by_name(&self, one: &str, other: &str) -> Ordering {
        let key = |id: &str| self.name(id).unwrap_or_default().to_lowercase();
        key(one).cmp(&key(other)).then_with(|| one.cmp(other))
    }

    /// What cannot be reached from the top hangs on a loop; its first member goes to the top.
    fn cut_loops(&mut self, ids: &[String]) {
        let mut reached: HashSet<String> = self.top.iter().flat_map(|id| self.subtree(id)).collect();
        for id in ids {
            if reached.contains(id) {
                continue;
            }
            // Upwards from here the walk ends in the loop: after as many steps as there are categories it is in it.
            let mut member = id.clone();
            let mut passed = HashSet::new();
            while passed.insert(member.clone()) {
                let Some(place) = self.categories.get(&member) else { break };
                member.clone_from(&place.parent_id);
            }
            let parent =
                self.categories.get(&member).map(|place| place.parent_id.clone()).unwrap_or_default();
            if let Some(above) = self.categories.get_mut(&parent) {
                above.below.retain(|below| *below != member);
            }
            if let Some(place) = self.categories.get_mut(&member) {
                place.parent_id.clear();
            }
            reached.extend(self.subtree(&member));
            self.top.push(member);
        }
        let mut top = std::mem::take(&mut self.top);
        top.sort_unstable_by(|one, other| self.by_name(one, other));
        self.top = top;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn category(id: &str, parent: &str, name: &str) -> Category {
        Category { id: id.into(), parent_id: parent.into(), name: name.into(), ..Category::default() }
    }

    fn shown(nodes: &[CategoryNode]) -> String {
        let node = |node: &CategoryNode| match node.children.as_slice() {
            [] => node.name.clone(),
            below => format!("{}({})", node.name, shown(below)),
        };
        nodes.iter().map(node).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_tree_by_name() {
        let tree = Tree::new([
            category("1", "", "электроника"),
            category("2", "1", "Чайники"),
            category("3", "1", "ноутбуки"),
            category("4", "", "Дом"),
            category("5", "gone", "Книги"),
        ]);
        assert_eq!(shown(&tree.nodes()), "Дом Книги электроника(ноутбуки Чайники)");
        assert_eq!(tree.subtree("1"), ["1", "2", "3"]);
        assert_eq!(tree.subtree("unknown"), ["unknown"]);
        assert_eq!(tree.name("2"), Some("Чайники"));
    }

    #[test]
    fn a_loop_is_cut_once() {
        let tree = Tree::new([
            category("1", "2", "a"),
            category("2", "1", "b"),
            category("3", "1", "c"),
            category("4", "4", "d"),
        ]);
        assert_eq!(shown(&tree.nodes()), "a(b c) d");
        assert_eq!(tree.subtree("1"), ["1", "2", "3"]);
    }

    #[test]
    fn a_deep_chain_is_listed_at_the_deepest_level() {
        let id = |place: usize| format!("{place:05}");
        let tree = Tree::new((0..3_000).map(|place| {
            let parent = if place == 0 { String::new() } else { id(place - 1) };
            category(&id(place), &parent, &id(place))
        }));
        let (mut nodes, mut depth, mut count) = (tree.nodes(), 0, 0);
        while !nodes.is_empty() {
            depth += 1;
            count += nodes.len();
            nodes = nodes.into_iter().flat_map(|node| node.children).collect();
        }
        assert_eq!((depth, count), (DEEPEST, 3_000));
        assert_eq!(tree.subtree("00000").len(), 3_000);
    }

    proptest! {
        #[test]
        fn every_category_is_shown_once(parents in proptest::collection::vec(0..24_usize, 0..20)) {
            let categories = parents.iter().enumerate()
                .map(|(id, parent)| category(&id.to_string(), &parent.to_string(), "same"));
            let tree = Tree::new(categories);
            let (mut nodes, mut seen) = (tree.nodes(), Vec::new());
            while let Some(node) = nodes.pop() {
                nodes.extend(node.children);
                seen.push(node.id.parse::<usize>().unwrap());
            }
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..parents.len()).collect::<Vec<_>>());
        }
    }
}
