use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Answers kept for a while, at most so many: for what is asked again and again and costs more than looking it up. Two
/// generations: when the young one is full or old it becomes the old one, and that is forgotten.
#[derive(Debug)]
pub(crate) struct Remembered<K, V> {
    most: usize,
    generation: Duration,
    kept: Mutex<Kept<K, V>>,
}

#[derive(Debug)]
struct Kept<K, V> {
    since: Instant,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Remembered<K, V> {
    /// Keeps at most so many answers, each for one to two generations.
    pub(crate) fn new(most: usize, generation: Duration) -> Self {
        let kept = Kept { since: Instant::now(), young: HashMap::new(), old: HashMap::new() };
        Self { most, generation, kept: Mutex::new(kept) }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.since.elapsed() >= self.generation {
            kept.grow_old();
        }
        kept.young.get(key).or_else(|| kept.old.get(key)).cloned()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.young.len() >= self.most.div_ceil(2) {
            kept.grow_old();
        }
        kept.young.insert(key, value);
    }
}

impl<K, V> Kept<K, V> {
    fn grow_old(&mut self) {
        // What was not used for two generations is gone, too.
        self.old = std::mem::take(&mut self.young);
        self.since = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_allowed() {
        let remembered = Remembered::new(100, Duration::from_secs(3600));
        for number in 0..1_000 {
            remembered.insert(number, number);
            assert_eq!(remembered.get(&number), Some(number));
        }
        let kept = (0..1_000).filter(|number| remembered.get(number).is_some()).count();
        assert!((50..=100).contains(&kept), "{kept}");
        let short = Remembered::new(100, Duration::ZERO);
        short.insert(1, 1);
        // Still there as the old generation, gone with the next look.
        assert_eq!((short.get(&1), short.get(&1)), (Some(1), None));
    }
}
