//! The tree of categories: checked, and put in an order in which parents come first.

use std::collections::{HashMap, HashSet};

use crate::{Category, Flaw, Item, Warning};

/// Orders a block of categories and reports what is wrong with it. `known` are the ids of earlier
/// blocks; this one's are added. A category whose parent is missing, or which is its own ancestor,
/// becomes a top one, so that its offers aren't lost.
pub(crate) fn arrange(block: Vec<Category>, known: &mut HashSet<String>) -> Vec<Item> {
    let mut items = Vec::with_capacity(block.len());
    let mut categories: Vec<Category> = Vec::with_capacity(block.len());
    let mut places: HashMap<String, usize> = HashMap::with_capacity(block.len());
    for category in block {
        if known.contains(&category.id) || places.contains_key(&category.id) {
            items.push(warning(category.line, Flaw::DuplicateCategory { id: category.id }));
            continue;
        }
        places.insert(category.id.clone(), categories.len());
        categories.push(category);
    }

    // Where each one's parent stands, if it is in this block.
    let mut above: Vec<Option<usize>> = vec![None; categories.len()];
    for (place, category) in categories.iter_mut().enumerate() {
        let Some(parent) = &category.parent_id else { continue };
        above[place] = places.get(parent).copied();
        if above[place].is_none() && !known.contains(parent) {
            // "0" is how many shops write "none".
            if parent != "0" {
                let flaw = Flaw::UnknownParent { id: category.id.clone(), parent: parent.clone() };
                items.push(warning(category.line, flaw));
            }
            category.parent_id = None;
        }
    }

    for place in cycles(&above) {
        let category = &mut categories[place];
        category.parent_id = None;
        above[place] = None;
        items.push(warning(category.line, Flaw::CategoryCycle { id: category.id.clone() }));
    }

    let mut below: Vec<Vec<usize>> = vec![Vec::new(); categories.len()];
    let mut order = Vec::with_capacity(categories.len());
    for (place, parent) in above.iter().enumerate() {
        match parent {
            Some(parent) => below[*parent].push(place),
            None => order.push(place),
        }
    }
    let mut next = 0;
    while let Some(place) = order.get(next).copied() {
        order.append(&mut below[place]);
        next += 1;
    }

    known.extend(places.into_keys());
    let mut categories: Vec<Option<Category>> = categories.into_iter().map(Some).collect();
    items.extend(order.into_iter().filter_map(|place| categories[place].take()).map(Item::Category));
    items
}

/// The places that are their own ancestors, in order.
fn cycles(above: &[Option<usize>]) -> Vec<usize> {
    // Which walk came by first; a walk that meets its own track has closed a cycle.
    let mut walked: Vec<Option<usize>> = vec![None; above.len()];
    let mut found = Vec::new();
    for start in 0..above.len() {
        let mut at = start;
        while walked[at].is_none() {
            walked[at] = Some(start);
            match above[at] {
                Some(parent) => at = parent,
                None => break,
            }
        }
        if above[at].is_some() && walked[at] == Some(start) {
            let first = at;
            loop {
                found.push(at);
                match above[at] {
                    Some(parent) if parent != first => at = parent,
                    _ => break,
                }
            }
        }
    }
    found.sort_unstable();
    found
}

fn warning(line: u64, flaw: Flaw) -> Item {
    Item::Warning(Warning { offer_id: None, line, flaw })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn category(id: &str, parent: &str) -> Category {
        let parent_id = (!parent.is_empty()).then(|| parent.to_owned());
        Category { id: id.into(), parent_id, name: id.into(), line: 1 }
    }

    /// "id<parent" for categories, the flaw for reports.
    fn arranged(pairs: &[(&str, &str)], known: &mut HashSet<String>) -> Vec<String> {
        let block = pairs.iter().map(|(id, parent)| category(id, parent)).collect();
        let show = |item| match item {
            Item::Category(Category { id, parent_id, .. }) => {
                format!("{id}<{}", parent_id.unwrap_or_default())
            }
            Item::Warning(Warning { flaw: Flaw::UnknownParent { id, .. }, .. }) => format!("orphan {id}"),
            Item::Warning(Warning { flaw: Flaw::CategoryCycle { id }, .. }) => format!("cycle {id}"),
            Item::Warning(Warning { flaw: Flaw::DuplicateCategory { id }, .. }) => format!("double {id}"),
            other => panic!("{other:?}"),
        };
        arrange(block, known).into_iter().map(show).collect()
    }

    #[test]
    fn parents_come_first() {
        let items = arranged(&[("c", "b"), ("b", "a"), ("a", ""), ("d", "0")], &mut HashSet::new());
        assert_eq!(items, ["a<", "d<", "b<a", "c<b"]);
    }

    #[test]
    fn an_unknown_parent_is_reported() {
        let items = arranged(&[("a", "x"), ("b", "a")], &mut HashSet::new());
        assert_eq!(items, ["orphan a", "a<", "b<a"]);
    }

    #[test]
    fn cycles_are_cut_and_what_hangs_on_them_stays() {
        let items = arranged(&[("a", "b"), ("b", "a"), ("c", "a"), ("s", "s")], &mut HashSet::new());
        assert_eq!(items, ["cycle a", "cycle b", "cycle s", "a<", "b<", "s<", "c<a"]);
    }

    #[test]
    fn doubles_and_a_second_block() {
        let mut known = HashSet::new();
        assert_eq!(arranged(&[("a", ""), ("a", "")], &mut known), ["double a", "a<"]);
        assert_eq!(arranged(&[("a", ""), ("b", "a")], &mut known), ["double a", "b<a"]);
    }

    proptest! {
        #[test]
        fn each_comes_once_after_its_parent(parents in proptest::collection::vec(0..24_usize, 0..20)) {
            let block = parents.iter().enumerate()
                .map(|(id, parent)| category(&id.to_string(), &parent.to_string()))
                .collect();
            let mut known = HashSet::new();
            let mut came = HashSet::new();
            for item in arrange(block, &mut known) {
                let Item::Category(category) = item else { continue };
                if let Some(parent) = &category.parent_id {
                    prop_assert!(came.contains(parent));
                }
                prop_assert!(came.insert(category.id));
            }
            prop_assert_eq!(came.len(), parents.len());
            prop_assert_eq!(known, came);
        }
    }
}
