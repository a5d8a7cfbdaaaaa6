//! The way to drivers: which storage a repository lives in, and the driver processes that the core minds.

pub mod advice;
pub mod minder;

use std::sync::Arc;

use crate::oci::RepositoryName;
use crate::registry::store::Store;

/// All storages, and which repositories live where: the longest prefix wins.
#[derive(Debug)]
pub struct Storages {
    /// Longest prefix first; the last one has none.
    routes: Vec<Route>,
}

/// Repositories below a prefix live in this store.
#[derive(Debug, Clone)]
pub struct Route {
    /// Whole parts of a name, without a slash at its end; empty: every repository.
    pub prefix: String,
    pub store: Arc<Store>,
}

/// Routes that leave some repository without a storage, or with two.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RouteProblem {
    #[error(
        "no storage takes the repositories that no prefix fits: give one storage no prefixes, or the prefix \"\""
    )]
    NoDefault,
    #[error("two storages claim the prefix {0:?}")]
    Twice(String),
}

impl Storages {
    /// # Errors
    /// When a repository would have no storage, or two.
    pub fn new(mut routes: Vec<Route>) -> Result<Self, RouteProblem> {
        for route in &mut routes {
            route.prefix = route.prefix.trim_end_matches('/').to_owned();
        }
        routes.sort_by(|a, b| b.prefix.len().cmp(&a.prefix.len()).then_with(|| a.prefix.cmp(&b.prefix)));
        check_prefixes(routes.iter().map(|route| route.prefix.as_str()))?;
        Ok(Self { routes })
    }

    /// Where a repository lives.
    pub fn of(&self, name: &RepositoryName) -> &Arc<Store> {
        let fits = |route: &&Route| {
            let rest = name.as_str().strip_prefix(route.prefix.as_str());
            route.prefix.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        // `new` saw to it that the last route fits every name.
        let route = self.routes.iter().find(fits).unwrap_or(&self.routes[self.routes.len() - 1]);
        &route.store
    }

    /// Each store once.
    pub fn all(&self) -> Vec<&Arc<Store>> {
        let mut stores: Vec<&Arc<Store>> = Vec::new();
        for route in &self.routes {
            if !stores.iter().any(|store| Arc::ptr_eq(store, &route.store)) {
                stores.push(&route.store);
            }
        }
        stores
    }
}

/// Whether storages with these prefixes leave every repository with exactly one.
///
/// # Errors
/// When not.
pub fn check_prefixes<'a>(prefixes: impl Iterator<Item = &'a str>) -> Result<(), RouteProblem> {
    let mut prefixes: Vec<&str> = prefixes.map(|prefix| prefix.trim_end_matches('/')).collect();
    prefixes.sort_unstable();
    if let Some(pair) = prefixes.windows(2).find(|pair| pair[0] == pair[1]) {
        return Err(RouteProblem::Twice(pair[0].to_owned()));
    }
    // The empty one is the first.
    if prefixes.first() == Some(&"") { Ok(()) } else { Err(RouteProblem::NoDefault) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_driver_sdk::memory::MemoryDriver;

    fn route(prefix: &str, name: &str) -> Route {
        Route {
            prefix: prefix.to_owned(),
            store: Arc::new(Store::new(name.to_owned(), Arc::new(MemoryDriver::default()))),
        }
    }

    #[test]
    fn the_longest_prefix_of_whole_parts_wins() {
        let storages =
            Storages::new(vec![route("", "main"), route("team/", "team"), route("team/app", "app")]).unwrap();
        for (name, store) in [
            ("x", "main"),
            ("team", "team"),
            ("teams/x", "main"),
            ("team/b", "team"),
            ("team/app", "app"),
            ("team/app/x", "app"),
            ("team/apps", "team"),
        ] {
            assert_eq!(storages.of(&name.parse().unwrap()).name(), store, "{name}");
        }
        assert_eq!(storages.all().len(), 3);
    }

    #[test]
    fn every_repository_has_one_storage() {
        assert_eq!(Storages::new(vec![route("a", "x")]).unwrap_err(), RouteProblem::NoDefault);
        assert_eq!(
            Storages::new(vec![route("a", "x"), route("a/", "y"), route("", "z")]).unwrap_err(),
            RouteProblem::Twice("a".into())
        );
        assert_eq!(Storages::new(vec![]).unwrap_err(), RouteProblem::NoDefault);
    }
}
