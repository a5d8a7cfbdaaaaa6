//! MinIO over one directory. It lists multipart uploads by their exact key only.

use std::path::Path;
use std::process::Command;

use super::{Credentials, Port, Prepared, provided};

pub(super) fn prepare(data: &Path, port: &Port, credentials: &Credentials) -> Prepared {
    let root = data.join("objects");
    std::fs::create_dir(&root).expect("a directory for the objects");
    let mut front = Command::new(provided("minio-v0.0.0-20260212201848-7aac2a2c5b7c/minio"));
    front.arg("server").arg("--quiet").arg("--address").arg(format!("127.0.0.1:{}", port.number()));
    // Else it looks for them in the home of whoever runs the tests.
    front.arg("--certs-dir").arg(data.join("certificates")).arg(&root);
    front.env("MINIO_ROOT_USER", &credentials.access_key);
    front.env("MINIO_ROOT_PASSWORD", &credentials.secret_key);
    // No console on a port that nobody chose, and no look for a newer version.
    front.env("MINIO_BROWSER", "off").env("MINIO_UPDATE", "off");
    Prepared { name: "minio", front, behind: Vec::new(), ports: Vec::new() }
}
