//! What was found out lately, by image: base images are come by again and again. Bounded: a listing of any store takes the same
//! memory.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::image_id::ImageId;

/// Two generations. What is asked for moves into the younger one; when that is full, the older one goes.
pub(super) struct Cache<V> {
    generations: Mutex<[HashMap<ImageId, Arc<V>>; 2]>,
    /// Entries of one generation.
    most: usize,
}

impl<V: Default> Cache<V> {
    /// No more than `most` entries, and the younger half of them for sure.
    pub(super) fn new(most: usize) -> Self {
        Self { generations: Mutex::default(), most: (most / 2).max(1) }
    }

    /// What is kept of an image, which may be a place for it.
    pub(super) fn of(&self, id: ImageId) -> Arc<V> {
        let mut generations = self.generations.lock().unwrap_or_else(PoisonError::into_inner);
        let [young, old] = &mut *generations;
        if let Some(kept) = young.get(&id) {
            return kept.clone();
        }
        let kept = old.remove(&id).unwrap_or_default();
        if young.len() >= self.most {
            *old = std::mem::take(young);
        }
        young.insert(id, kept.clone());
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u32) -> ImageId {
        format!("{number:016x}").parse().unwrap()
    }

    #[test]
    fn what_is_asked_for_stays_and_no_more_than_the_bound_is_kept() {
        let cache = Cache::<u32>::new(10);
        let first = cache.of(id(0));
        for number in 1..1000 {
            cache.of(id(number));
            assert!(Arc::ptr_eq(&first, &cache.of(id(0))), "forgotten after {number}");
            let generations = cache.generations.lock().unwrap();
            assert!(generations.iter().map(HashMap::len).sum::<usize>() <= 10);
        }
        let last = cache.of(id(999));
        for number in 2000..2010 {
            cache.of(id(number));
        }
        assert!(!Arc::ptr_eq(&last, &cache.of(id(999))), "kept although ten others came after it");
    }
}
