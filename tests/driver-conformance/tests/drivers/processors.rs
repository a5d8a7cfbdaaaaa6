//! Who may be busy at once. Swift is interpreters, and answers within a driver's deadlines only if no compiler takes the
//! processors away from it.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

static COMPILERS: RwLock<()> = RwLock::new(());

/// Held by a test that compiles; others may compile with it.
pub(crate) fn for_compilers() -> RwLockReadGuard<'static, ()> {
    COMPILERS.read().unwrap_or_else(PoisonError::into_inner)
}

/// Held by a test beside which nothing is compiled.
pub(crate) fn without_compilers() -> RwLockWriteGuard<'static, ()> {
    COMPILERS.write().unwrap_or_else(PoisonError::into_inner)
}
