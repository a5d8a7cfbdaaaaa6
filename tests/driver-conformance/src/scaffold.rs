//! A new driver to begin with: the example of a language, under a name of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// In what it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    Rust,
}

/// A file of an example.
struct File {
    path: &'static str,
    content: &'static str,
    is_program: bool,
}

macro_rules! files {
    ($folder:literal: $($path:literal),* ; $($program:literal),*) => {
        &[
            $(File { path: $path, content: include_str!(concat!("../../../examples/", $folder, "/", $path)), is_program: false },)*
            $(File { path: $program, content: include_str!(concat!("../../../examples/", $folder, "/", $program)), is_program: true },)*
        ]
    };
}

const RUST: &[File] = files!(
    "driver-rust":
    "src/main.rs", "src/schema.sql", "README.md" ;
    "hooks/kill", "hooks/start", "hooks/terminate", "hooks/backend-stop", "hooks/backend-start"
);
/// What the example is called.
const EXAMPLE: &str = "driver-rust";
const PROTO: &str = "proto/longshore/driver/v1/driver.proto";

/// Writes it, and gives what to do next.
///
/// # Errors
/// When the directory is not empty or can't be written, or its name can't be that of a driver.
pub fn write(language: Language, directory: &Path, sdk: Option<&Path>) -> Result<String, String> {
    let name = name_of(directory)?;
    must_be_new(directory)?;
    let Language::Rust = language;
    for file in RUST {
        let content = file.content.replace(EXAMPLE, &name).replace("../../target", "target");
        put(directory, file.path, &content, file.is_program)?;
    }
    put(directory, PROTO, longshore_driver_proto::PROTO_SOURCE, false)?;
    put(directory, "Cargo.toml", &manifest(&name, sdk)?, false)?;
    let place = directory.display();
    Ok(format!(
        "{place} is a driver over one SQLite file. What to do next:\n  \
         cd {place}\n  \
         cargo build --release     # gives target/release/{name}\n  \
         README.md                 # start it, check it, push and pull through it\n\
         Then put your backend in the place of SQLite, in src/main.rs."
    ))
}

/// The last part of the path: the name of a package, a program and a host.
fn name_of(directory: &Path) -> Result<String, String> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if fits {
        Ok(name.to_owned())
    } else {
        Err(format!("{name:?} can't name a driver: begin with a letter, and use a-z, 0-9 and `-`"))
    }
}

fn must_be_new(directory: &Path) -> Result<(), String> {
    match fs::read_dir(directory) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("cannot look into {}: {error}", directory.display())),
        Ok(entries) => match entries.count() {
            0 => Ok(()),
            _ => Err(format!("{} is not empty; name a directory that is not there yet", directory.display())),
        },
    }
}

fn put(directory: &Path, path: &str, content: &str, is_program: bool) -> Result<(), String> {
    let path = directory.join(path);
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    fs::create_dir_all(path.parent().unwrap_or(directory)).map_err(failed)?;
    fs::write(&path, content).map_err(failed)?;
    let mode = if is_program { 0o755 } else { 0o644 };
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).map_err(failed)
}

/// The example's own belongs to its workspace; this one stands alone.
fn manifest(name: &str, sdk: Option<&Path>) -> Result<String, String> {
    let sdk = match sdk {
        Some(path) => {
            let path =
                path.canonicalize().map_err(|error| format!("--sdk-path {}: {error}", path.display()))?;
            format!("{{ path = {:?} }}", path.display().to_string())
        }
        None => {
            "{ git = \"https://github.com/longshore/longshore\" } # or path = \".../driver-sdk\"".to_owned()
        }
    };
    Ok(format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\nrust-version = \"1.95\"\n\n\
         [dependencies]\nlongshore-driver-sdk = {sdk}\n\
         rusqlite = {{ version = \"0.43\", default-features = false, features = [\"bundled\", \"cache\", \"fallible_uint\"] }}\n\
         serde = {{ version = \"1\", features = [\"derive\"] }}\n\n[workspace]\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_with_something_in_it_is_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("my-driver");
        write(Language::Rust, &place, None).unwrap();
        let manifest = fs::read_to_string(place.join("Cargo.toml")).unwrap();
        assert!(manifest.contains("name = \"my-driver\""), "{manifest}");
        let error = write(Language::Rust, &place, None).unwrap_err();
        assert!(error.contains("is not empty"), "{error}");
    }

    #[test]
    fn a_name_that_no_package_may_have_is_refused() {
        for name in ["My-Driver", "1st", "a b", "x_y"] {
            assert!(name_of(Path::new(name)).is_err(), "{name}");
        }
        assert_eq!(name_of(Path::new("/tmp/s3-driver")).unwrap(), "s3-driver");
    }
}
