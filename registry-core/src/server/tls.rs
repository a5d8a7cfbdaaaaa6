//! TLS for the TCP listeners: one certificate and key, read again when the files change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use crate::config::tls::Tls;

/// Why a certificate and a key can't be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsProblem {
    #[error("cannot read {path}: {error}")]
    Read { path: PathBuf, error: std::io::Error },
    #[error("{path} holds no certificate in PEM form: {error}")]
    Certificate { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("{0} holds no certificate in PEM form")]
    NoCertificate(PathBuf),
    #[error("{path} holds no private key in PEM form: {error}")]
    Key { path: PathBuf, error: rustls::pki_types::pem::Error },
    #[error("the certificate in {certificate} and the key in {key} can't be used together: {error}")]
    Pair { certificate: PathBuf, key: PathBuf, error: rustls::Error },
}

/// The pair that new connections get.
#[derive(Clone)]
pub(super) struct Acceptors(watch::Receiver<Arc<ServerConfig>>);

impl Acceptors {
    pub(super) fn current(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.borrow().clone())
    }
}

/// The two files as they were read.
#[derive(PartialEq, Eq)]
struct Pair {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Pair {
    async fn read(tls: &Tls) -> Result<Self, TlsProblem> {
        Ok(Self { certificate: read(&tls.certificate).await?, key: read(&tls.key).await? })
    }

    /// TLS 1.2 and 1.3, with HTTP/2 and HTTP/1.1 by ALPN.
    fn server_config(&self, tls: &Tls) -> Result<Arc<ServerConfig>, TlsProblem> {
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&self.certificate)
            .collect::<Result<_, _>>()
            .map_err(|error| TlsProblem::Certificate { path: tls.certificate.clone(), error })?;
        if certificates.is_empty() {
            return Err(TlsProblem::NoCertificate(tls.certificate.clone()));
        }
        let key = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|error| TlsProblem::Key { path: tls.key.clone(), error })?;
        let pair =
            |error| TlsProblem::Pair { certificate: tls.certificate.clone(), key: tls.key.clone(), error };
        let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_protocol_versions(rustls::ALL_VERSIONS)
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .map_err(pair)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

async fn read(path: &Path) -> Result<Vec<u8>, TlsProblem> {
    tokio::fs::read(path).await.map_err(|error| TlsProblem::Read { path: path.to_owned(), error })
}

/// Reads the pair, and goes on looking at the files in a task that ends with the last of the acceptors.
///
/// # Errors
/// When there is no usable pair at the start.
pub(super) async fn start(tls: Tls) -> Result<Acceptors, TlsProblem> {
    let pair = Pair::read(&tls).await?;
    let (current, acceptors) = watch::channel(pair.server_config(&tls)?);
    tokio::spawn(reload(tls, pair, current));
    Ok(Acceptors(acceptors))
}

/// By content, not by time stamp: a volume that is mounted anew, or a link that is switched, keeps none that can be trusted.
async fn reload(tls: Tls, mut seen: Pair, current: watch::Sender<Arc<ServerConfig>>) {
    let mut told_unreadable = false;
    let every = tls.reload_every.max(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = current.closed() => return,
        }
        let pair = match Pair::read(&tls).await {
            Ok(pair) => pair,
            Err(error) => {
                if !told_unreadable {
                    tracing::error!(%error, "the certificate can't be read again: the old one stays in use");
                }
                told_unreadable = true;
                continue;
            }
        };
        told_unreadable = false;
        if pair == seen {
            continue;
        }
        match pair.server_config(&tls) {
            Ok(config) => {
                current.send_replace(config);
                tracing::info!(certificate = %tls.certificate.display(), "new connections get the new certificate");
            }
            Err(error) => tracing::error!(%error, "the new certificate is broken: the old one stays in use"),
        }
        seen = pair;
    }
}
