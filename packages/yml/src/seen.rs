//! Which ids were there already, in about nine bytes each.

use std::hash::{BuildHasher, RandomState};

const SHARDS: usize = 1 << 12;

/// A set of hashes. A `HashSet` takes 18 bytes an entry on average and three times that while it
/// grows; many small sorted runs take nine and grow a little at a time. A false "seen" at four
/// million ids has a chance of one in two million.
pub(crate) struct Seen {
    hasher: RandomState,
    shards: Vec<Vec<u64>>,
    len: usize,
}

impl Seen {
    pub(crate) fn new() -> Self {
        Self { hasher: RandomState::new(), shards: vec![Vec::new(); SHARDS], len: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Remembers the id; says whether it is new.
    pub(crate) fn insert(&mut self, id: &str) -> bool {
        let hash = self.hasher.hash_one(id);
        let shard = &mut self.shards[(hash as usize) % SHARDS];
        let Err(at) = shard.binary_search(&hash) else { return false };
        if shard.len() == shard.capacity() {
            shard.reserve_exact(shard.len() / 8 + 4);
        }
        shard.insert(at, hash);
        self.len += 1;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_new_once() {
        let mut seen = Seen::new();
        for round in [true, false] {
            for id in 0..20_000 {
                assert_eq!(seen.insert(&format!("sku-{id}")), round);
            }
        }
        assert_eq!(seen.len(), 20_000);
    }
}
