//! The catalog: which repositories hold a manifest, over all storages. Owns its order, that of the escaped names, in which
//! `/` stands behind every other character (docs/adr/0016).

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use futures_util::{StreamExt, TryStreamExt};

use super::store::Store;
use super::{Registry, Repository, Result, layout};
use crate::oci::RepositoryName;

/// Markers read at once from one storage.
const BATCH: usize = 100;
const LOOKS_AT_ONCE: usize = 8;

/// A page of repositories.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CatalogPage {
    pub names: Vec<RepositoryName>,
    pub more: bool,
}

/// What one storage has of the catalog, read as it is needed.
struct Source<'a> {
    store: &'a Arc<Store>,
    next: VecDeque<RepositoryName>,
    /// `None`: nothing is left in the store.
    start_after: Option<String>,
}

impl Registry {
    /// Up to `limit` repositories behind `last`, of those that `may_see` lets through. A storage that can't answer fails the
    /// whole: a catalog with a gap would look like one without.
    pub async fn catalog(
        &self,
        last: Option<&RepositoryName>,
        limit: usize,
        may_see: impl Fn(&RepositoryName) -> bool,
    ) -> Result<CatalogPage> {
        let mut names = Vec::new();
        if limit == 0 {
            return Ok(CatalogPage { names, more: false });
        }
        let start_after = last.map(layout::catalog_entry).transpose()?;
        let start_after = start_after.map(|key| key.as_str().to_owned()).unwrap_or_default();
        let new = |store| Source { store, next: VecDeque::new(), start_after: Some(start_after.clone()) };
        let mut sources: Vec<_> = self.storages().all().into_iter().map(new).collect();
        loop {
            let wanted = (limit + 1 - names.len()).min(BATCH);
            let candidates = self.next_marked(&mut sources, wanted, &may_see).await?;
            if candidates.is_empty() {
                return Ok(CatalogPage { names, more: false });
            }
            let looks: Vec<_> =
                candidates.into_iter().map(|name| self.repository(&name).that_holds_a_manifest()).collect();
            let mut found = futures_util::stream::iter(looks).buffered(LOOKS_AT_ONCE);
            while let Some(found) = found.try_next().await? {
                match found {
                    Some(_) if names.len() == limit => return Ok(CatalogPage { names, more: true }),
                    Some(name) => names.push(name),
                    None => {}
                }
            }
        }
    }

    /// The next names in order, of all storages.
    async fn next_marked(
        &self,
        sources: &mut [Source<'_>],
        wanted: usize,
        may_see: impl Fn(&RepositoryName) -> bool,
    ) -> Result<Vec<RepositoryName>> {
        let mut names = Vec::new();
        while names.len() < wanted {
            for source in &mut *sources {
                // A marker that stayed behind when the routes changed names a repository that lives elsewhere now.
                let store = source.store.clone();
                let shows =
                    |name: &RepositoryName| Arc::ptr_eq(self.storages().of(name), &store) && may_see(name);
                source.fill(shows).await?;
            }
            let filled = sources.iter_mut().filter(|source| !source.next.is_empty());
            let first = filled.min_by(|a, b| order(a.next.front(), b.next.front()));
            let Some(name) = first.and_then(|source| source.next.pop_front()) else { break };
            names.push(name);
        }
        Ok(names)
    }
}

impl Source<'_> {
    /// Reads on until there is a next name, or nothing is left.
    async fn fill(&mut self, shows: impl Fn(&RepositoryName) -> bool) -> Result<()> {
        let prefix = layout::catalog()?;
        while self.next.is_empty()
            && let Some(start_after) = self.start_after.take()
        {
            let (markers, more) = self.store.list_page(&prefix, start_after, BATCH).await?;
            self.start_after = markers.last().filter(|_| more).map(|marker| marker.key.as_str().to_owned());
            let names = markers.iter().filter_map(|marker| layout::cataloged(&marker.key));
            self.next.extend(names.filter(&shows));
        }
        Ok(())
    }
}

impl Repository {
    /// Its name, if it does. A marker stays when the last manifest is deleted, so that a push never races with its removal.
    async fn that_holds_a_manifest(self) -> Result<Option<RepositoryName>> {
        let manifests = layout::manifests(&self.name)?;
        Ok(self.store.holds_any(&manifests).await?.then_some(self.name))
    }
}

fn order(a: Option<&RepositoryName>, b: Option<&RepositoryName>) -> Ordering {
    let escaped = |name: Option<&RepositoryName>| name.map(layout::escape);
    escaped(a).cmp(&escaped(b))
}
