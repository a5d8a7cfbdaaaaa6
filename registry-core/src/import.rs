//! Bringing in what another registry keeps on a file system. The foreign tree is only read, and is not trusted; everything
//! goes into our stores by the steps of a push (`Repository::upload_whole`, `put_manifest`, and mounts), so an import may
//! run beside cores on the same stores, and one that was killed goes on by finding what is there (docs/adr/0015).

mod content;
mod registry2;
mod report;
mod repository;
mod tree;
mod walk;

use std::path::PathBuf;
use std::sync::Arc;

use longshore_driver_sdk::{DriverError, UploadId};
use tokio_util::sync::CancellationToken;

use self::registry2::Source;
pub use self::registry2::SourceProblem;
use self::report::{Count, Report};
use self::walk::Walk;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::oci::{InvalidRepositoryName, RepositoryName};
use crate::registry::{Registry, RegistryError};
use crate::server::{self, ServeError};

/// What to import, and how.
#[derive(Debug, Clone)]
pub struct Options {
    /// The root directory of the foreign store, or the `docker/registry/v2` in it.
    pub directory: PathBuf,
    /// Names, or `NAME/*` for all below one; empty: every repository.
    pub repositories: Vec<String>,
    /// Blobs and manifests under way at once.
    pub jobs: usize,
    pub overwrite_tags: bool,
    pub dry_run: bool,
}

/// Why not all was imported.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    #[error(transparent)]
    Source(#[from] SourceProblem),
    #[error(transparent)]
    Serve(#[from] ServeError),
    #[error("--repository: {0}")]
    Filter(#[from] InvalidRepositoryName),
    #[error("--repository {0}: there is no such repository in the store that is read")]
    NoRepository(String),
    #[error("the system gives no random bits: {0}")]
    Random(DriverError),
    #[error("the import stopped, because the store that is written failed: {0}; run it again to go on")]
    Store(RegistryError),
    #[error("the import was stopped; run it again to go on")]
    Interrupted,
    #[error("{0} problems: what they name was not imported, everything else was")]
    Problems(u64),
}

/// Why an import ends before its end.
#[derive(Debug)]
enum Halt {
    Interrupted,
    Store(RegistryError),
}

impl From<RegistryError> for Halt {
    fn from(error: RegistryError) -> Self {
        Self::Store(error)
    }
}

struct Importer {
    source: Source,
    registry: Registry,
    report: Arc<Report>,
    options: Options,
    stop: CancellationToken,
}

/// Imports until all is there or `stop` resolves. What was done is told on standard output.
///
/// # Errors
/// When anything was not imported.
pub async fn registry2(
    config: Config,
    options: Options,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ImportError> {
    let filters = options.repositories.iter().map(|text| Filter::parse(text)).collect::<Result<_, _>>()?;
    let source = Source::open(&options.directory)?;
    let instance = UploadId::random().map_err(ImportError::Random)?.as_str().to_owned();
    let mut minders = Vec::new();
    let outcome = match server::open_registry(&config, &instance, &mut minders, &Metrics::default()).await {
        Ok(registry) => {
            let (token, report) = (CancellationToken::new(), Arc::new(Report::new()));
            let stopper = tokio::spawn({
                let token = token.clone();
                async move {
                    stop.await;
                    token.cancel();
                }
            });
            let importer = Importer { source, registry, report, options, stop: token };
            let outcome = importer.run(filters).await;
            stopper.abort();
            outcome
        }
        Err(error) => Err(error.into()),
    };
    for minder in minders {
        minder.stop().await;
    }
    outcome
}

impl Importer {
    #[expect(clippy::print_stdout, reason = "the sums are what the command is for")]
    async fn run(&self, filters: Vec<Filter>) -> Result<(), ImportError> {
        let outcome = tokio::select! {
            outcome = self.everything(filters) => outcome,
            () = self.report.tell() => Ok(()),
        };
        println!("{}", self.report.summary(self.options.dry_run));
        outcome?;
        match self.report.of(Count::Problems) {
            0 => Ok(()),
            problems => Err(ImportError::Problems(problems)),
        }
    }

    async fn everything(&self, mut filters: Vec<Filter>) -> Result<(), ImportError> {
        let all = filters.is_empty();
        let mut walk = Walk::new();
        loop {
            let report = self.report.clone();
            let (rest, name) = self
                .blocking(move |source| {
                    let name = walk.next(source, &report);
                    (walk, name)
                })
                .await;
            walk = rest;
            let Some(name) = name else { break };
            let mut wanted = all;
            for filter in &mut filters {
                wanted |= filter.takes(&name);
            }
            if wanted {
                self.repository(&name).await.map_err(|halt| match halt {
                    Halt::Interrupted => ImportError::Interrupted,
                    Halt::Store(error) => ImportError::Store(error),
                })?;
            }
            if self.stop.is_cancelled() {
                return Err(ImportError::Interrupted);
            }
        }
        match filters.into_iter().find(|filter| !filter.met) {
            Some(filter) => Err(ImportError::NoRepository(filter.text)),
            None => Ok(()),
        }
    }

    fn go_on(&self) -> Result<(), Halt> {
        if self.stop.is_cancelled() { Err(Halt::Interrupted) } else { Ok(()) }
    }

    fn problem(&self, path: &str, reason: &str) {
        self.report.problem(&self.source.shown(path), reason);
    }

    /// The foreign tree is read off the runtime's threads.
    async fn blocking<T: Send + 'static>(&self, work: impl FnOnce(&Source) -> T + Send + 'static) -> T {
        let source = self.source.clone();
        match tokio::task::spawn_blocking(move || work(&source)).await {
            Ok(done) => done,
            Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
            // The runtime is going down, and everything that waits for it.
            Err(_) => std::future::pending().await,
        }
    }
}

/// Which repositories are asked for.
struct Filter {
    text: String,
    name: RepositoryName,
    below: bool,
    met: bool,
}

impl Filter {
    fn parse(text: &str) -> Result<Self, InvalidRepositoryName> {
        let (name, below) = text.strip_suffix("/*").map_or((text, false), |name| (name, true));
        Ok(Self { text: text.to_owned(), name: name.parse()?, below, met: false })
    }

    fn takes(&mut self, name: &RepositoryName) -> bool {
        let rest = name.as_str().strip_prefix(self.name.as_str());
        let takes = rest.is_some_and(|rest| if self.below { rest.starts_with('/') } else { rest.is_empty() });
        self.met |= takes;
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_takes_a_name_or_all_below_it() {
        let takes = |filter: &str, name: &str| Filter::parse(filter).unwrap().takes(&name.parse().unwrap());
        assert!(takes("team/app", "team/app"));
        assert!(!takes("team/app", "team/app/x") && !takes("team/app", "team/apps"));
        assert!(takes("team/*", "team/app/x") && !takes("team/*", "team") && !takes("team/*", "teams/x"));
        assert!(Filter::parse("*").is_err() && Filter::parse("../x").is_err());
    }
}
