use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Answers kept for a while, at most so many: for what is asked again and again and costs more than looking it up. Two
/// generations: when the young one is full or old it becomes the old one, and that is forgotten.
#[derive(Debug)]
pub(crate) struct Remembered<K, V, S = RandomState> {
    most: usize,
    generation: Duration,
    kept: Mutex<Kept<K, V, S>>,
}

#[derive(Debug)]
struct Kept<K, V, S> {
    since: Instant,
    young: HashMap<K, V, S>,
    old: HashMap<K, V, S>,
}

impl<K: Hash + Eq, V: Clone, S: BuildHasher + Default> Remembered<K, V, S> {
    /// Keeps at most so many answers, each for one to two generations.
    pub(crate) fn new(most: usize, generation: Duration) -> Self {
        let kept = Kept { since: Instant::now(), young: HashMap::default(), old: HashMap::default() };
        Self { most, generation, kept: Mutex::new(kept) }
    }

    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        self.get_at(Instant::now(), key)
    }

    fn get_at<Q: Hash + Eq + ?Sized>(&self, now: Instant, key: &Q) -> Option<V>
    where
        K: std::borrow::Borrow<Q>,
    {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let age = now.saturating_duration_since(kept.since);
        if age >= self.generation {
            kept.grow_old(now);
        }
        // After a long silence what was young is too old as well.
        if age >= self.generation * 2 {
            kept.old.clear();
        }
        kept.young.get(key).or_else(|| kept.old.get(key)).cloned()
    }

    pub(crate) fn insert(&self, key: K, value: V) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.young.len() >= self.most.div_ceil(2) {
            kept.grow_old(Instant::now());
        }
        kept.young.insert(key, value);
    }
}

impl<K, V, S: Default> Kept<K, V, S> {
    fn grow_old(&mut self, now: Instant) {
        self.old = std::mem::take(&mut self.young);
        self.since = now;
    }
}

/// Hashes a token by its end, which is a signature: as good as any hash of all of it. Only for what was found good before
/// it is remembered, so that nobody can choose what is in the table.
#[derive(Debug, Default)]
pub(crate) struct Tail(u64);

impl Hasher for Tail {
    fn write(&mut self, bytes: &[u8]) {
        if let Some(tail) = bytes.last_chunk() {
            self.0 = u64::from_le_bytes(*tail).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_is_kept_than_allowed() {
        let remembered: Remembered<u64, u64> = Remembered::new(100, Duration::from_secs(3600));
        for number in 0..1_000 {
            remembered.insert(number, number);
            assert_eq!(remembered.get(&number), Some(number));
        }
        let kept = (0..1_000).filter(|number| remembered.get(number).is_some()).count();
        assert!((50..=100).contains(&kept), "{kept}");
    }

    #[test]
    fn nothing_is_kept_for_longer_than_two_generations() {
        let remembered: Remembered<u64, u64> = Remembered::new(100, Duration::from_secs(10));
        let begin = Instant::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        remembered.insert(1, 1);
        assert_eq!(remembered.get_at(after(11), &1), Some(1));
        assert_eq!(remembered.get_at(after(22), &1), None);
        // Not looked at in between: it is as old as if it had been.
        remembered.insert(2, 2);
        assert_eq!(remembered.get_at(after(60), &2), None);
    }
}
