//! A private certificate authority for the tests, and certificates that it signs.

use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, SerialNumber};
use tempfile::TempDir;

use crate::scratch;

pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    directory: TempDir,
}

impl Default for Authority {
    fn default() -> Self {
        Self::new()
    }
}

impl Authority {
    pub fn new() -> Self {
        let directory = scratch::data_directory();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "Longshore test authority");
        let certificate = params.self_signed(&key).expect("a self-signed certificate");
        std::fs::write(directory.path().join("ca.pem"), certificate.pem()).expect("write ca.pem");
        Self { issuer: Issuer::new(params, key), directory }
    }

    /// What clients trust.
    pub fn certificate(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// What `issue` wrote: the certificate, and its key.
    pub fn issued(&self) -> (PathBuf, PathBuf) {
        (self.file("server.pem"), self.file("server.key"))
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Signs and writes a certificate for loopback with this serial number, over the one before.
    pub fn issue(&self, serial: u64) {
        let key = KeyPair::generate().expect("a key");
        // 0.0.0.0 for clients that make exceptions for loopback.
        let names = ["localhost", "127.0.0.1", "0.0.0.0"].map(str::to_owned);
        let mut params = CertificateParams::new(names).expect("parameters");
        params.serial_number = Some(SerialNumber::from(serial));
        params.distinguished_name.push(DnType::CommonName, "longshore");
        let certificate = params.signed_by(&key, &self.issuer).expect("a signed certificate");
        replace(&self.file("server.key"), &key.serialize_pem());
        replace(&self.file("server.pem"), &certificate.pem());
    }

    /// A certificate that does not go with the key.
    pub fn break_key(&self) {
        replace(&self.file("server.key"), &KeyPair::generate().expect("a key").serialize_pem());
    }

    /// The section of the configuration.
    pub fn tls(&self) -> String {
        let (certificate, key) = self.issued();
        format!("[tls]\ncertificate = {certificate:?}\nkey = {key:?}\nreload_every = '100ms'\n")
    }
}

fn replace(path: &Path, content: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, content).expect("write a new file");
    std::fs::rename(&new, path).expect("rename it over the old one");
}
