//! How the clients reach the registry, and what an operator sets up for that on a client's machine.

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

pub(crate) struct Door {
    port: String,
}

impl Door {
    pub(crate) fn of(registry: &Registry) -> Self {
        let (_, port) = registry.address().rsplit_once(':').expect("an address has a port");
        Self { port: port.to_owned() }
    }

    /// `HOST:PORT`.
    pub(crate) fn host(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// For podman, skopeo and buildah.
    pub(crate) fn furnish_containers(&self, home: &Home) {
        home.write("/etc/containers/policy.json", POLICY);
        home.write("/etc/containers/registries.conf", "");
        home.write("/etc/containers/storage.conf", STORAGE);
    }
}
