use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};

/// Work in lanes: what shares a key is done one after the other, what doesn't is done side by side.
#[derive(Debug)]
pub(crate) struct Lanes<T> {
    /// A lane that exists is busy; what stands in it waits.
    busy: HashMap<String, VecDeque<T>>,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self { busy: HashMap::new() }
    }
}

impl<T> Lanes<T> {
    /// Gives the work back where it can start now; otherwise it waits behind the work of its key.
    pub fn enter(&mut self, key: &str, work: T) -> Option<T> {
        match self.busy.entry(key.to_owned()) {
            Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(work);
                None
            }
            Entry::Vacant(lane) => {
                lane.insert(VecDeque::new());
                Some(work)
            }
        }
    }

    /// Says that the work of a key is done; gives what is to start next in that lane.
    pub fn leave(&mut self, key: &str) -> Option<T> {
        let next = self.busy.get_mut(key)?.pop_front();
        if next.is_none() {
            self.busy.remove(key);
        }
        next
    }

    /// How much waits behind other work.
    pub fn waiting(&self) -> usize {
        self.busy.values().map(VecDeque::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_is_serial_and_others_are_not_held_up() {
        let mut lanes = Lanes::default();
        assert_eq!(lanes.enter("a", 1), Some(1));
        assert_eq!(lanes.enter("a", 2), None);
        assert_eq!(lanes.enter("a", 3), None);
        assert_eq!(lanes.enter("b", 4), Some(4));
        assert_eq!(lanes.waiting(), 2);
        assert_eq!(lanes.leave("a"), Some(2));
        assert_eq!(lanes.leave("b"), None);
        assert_eq!(lanes.leave("a"), Some(3));
        assert_eq!(lanes.leave("a"), None);
        assert_eq!(lanes.enter("a", 5), Some(5), "an empty lane is free again");
    }
}
