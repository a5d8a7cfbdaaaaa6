//! Who reads a large object. Old drivers write in place, so a read that goes on over a write would give bytes of both (contract
//! clause R14): it is told to end.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

const FIRST_PURGE: usize = 64;

#[derive(Default)]
pub(crate) struct Readers(Mutex<Table>);

#[derive(Default)]
struct Table {
    of: HashMap<String, Weak<AtomicBool>>,
    purge_at: usize,
}

/// One read under way.
pub(crate) struct Reader(Arc<AtomicBool>);

impl Reader {
    /// Whether what it reads was written over. To be asked after each piece.
    pub(crate) fn is_overtaken(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

impl Readers {
    pub(crate) fn begin(&self, key: &str) -> Reader {
        let mut table = self.table();
        if let Some(flag) = table.of.get(key).and_then(Weak::upgrade) {
            return Reader(flag);
        }
        if table.of.len() >= table.purge_at {
            table.of.retain(|_, flag| flag.strong_count() > 0);
            table.purge_at = (table.of.len() * 2).max(FIRST_PURGE);
        }
        let flag = Arc::new(AtomicBool::new(false));
        table.of.insert(key.to_owned(), Arc::downgrade(&flag));
        Reader(flag)
    }

    /// To be called before the first byte is written.
    pub(crate) fn overtake(&self, key: &str) {
        if let Some(flag) = self.table().of.remove(key).and_then(|flag| flag.upgrade()) {
            flag.store(true, Ordering::Release);
        }
    }

    // No code panics while it holds this lock, so a poisoned one guards sound data.
    fn table(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_overtakes_the_reads_before_it_and_none_after_it() {
        let readers = Readers::default();
        let before = [readers.begin("a"), readers.begin("a"), readers.begin("b")];
        readers.overtake("a");
        let after = readers.begin("a");
        assert_eq!(before.each_ref().map(Reader::is_overtaken), [true, true, false]);
        assert!(!after.is_overtaken());
    }
}
