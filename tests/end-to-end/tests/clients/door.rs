//! How the clients reach the registry, and what an operator sets up for that on a client's machine.

use std::fs;
use std::path::PathBuf;

use longshore_end_to_end::Registry;

use crate::home::Home;

/// containers-policy.json(5): the file must be there; signatures are not what is tried here.
const POLICY: &str = r#"{"default": [{"type": "insecureAcceptAnything"}]}"#;

/// containers-storage.conf(5). `vfs` works on every file system, in a container too, and mounts nothing.
const STORAGE: &str = r#"
[storage]
driver = "vfs"
graphroot = "/var/lib/containers/storage"
runroot = "/run/containers/storage"
"#;

#[derive(Clone)]
pub(crate) struct Door {
    host: String,
    pub(crate) secure: Option<Secure>,
}

#[derive(Clone)]
pub(crate) struct Secure {
    /// The certificate of the private authority.
    pub(crate) authority: PathBuf,
    pub(crate) user: &'static str,
}

impl Door {
    pub(crate) fn plain(registry: &Registry) -> Self {
        Self { host: format!("localhost:{}", port(registry)), secure: None }
    }

    /// docker takes any certificate from 127.0.0.0/8, and ctr speaks plain HTTP to `localhost`. 0.0.0.0 is this
    /// machine as well, and they treat it as they treat a machine elsewhere.
    pub(crate) fn secure(registry: &Registry, secure: Secure) -> Self {
        Self { host: format!("0.0.0.0:{}", port(registry)), secure: Some(secure) }
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// The option without which a client does not speak plain HTTP.
    pub(crate) fn plain_option<'a>(&self, option: &'a str) -> Vec<&'a str> {
        if self.secure.is_none() { vec![option] } else { Vec::new() }
    }

    pub(crate) fn user(&self) -> &'static str {
        self.secure.as_ref().expect("a login goes with TLS").user
    }

    /// `certs.d/HOST:PORT/ca.crt`, in /etc/docker or /etc/containers.
    pub(crate) fn trust_in(&self, home: &Home, directory: &str) {
        let secure = self.secure.as_ref().expect("an authority goes with TLS");
        let certificate = fs::read_to_string(&secure.authority).expect("the authority's certificate");
        home.write(&format!("{directory}/certs.d/{}/ca.crt", self.host), &certificate);
    }

    /// For podman, skopeo and buildah.
    pub(crate) fn furnish_containers(home: &Home) {
        home.write("/etc/containers/policy.json", POLICY);
        home.write("/etc/containers/registries.conf", "");
        home.write("/etc/containers/storage.conf", STORAGE);
    }
}

fn port(registry: &Registry) -> &str {
    registry.address().rsplit_once(':').expect("an address has a port").1
}
