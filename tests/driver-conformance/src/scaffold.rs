//! A new driver to begin with: the example of a language, under a name of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// In what it is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    Rust,
    Go,
    Python,
}

/// What a driver begins as.
struct Example {
    /// Its name, in place of which the new driver's is put.
    name: &'static str,
    files: &'static [File],
    /// What to do with a new one, with NAME for its name.
    next: &'static str,
}

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

const RUST: Example = Example {
    name: "driver-rust",
    files: files!(
        "driver-rust":
        "src/main.rs", "src/schema.sql", "README.md" ;
        "hooks/kill", "hooks/start", "hooks/terminate", "hooks/backend-stop", "hooks/backend-start"
    ),
    next: "  cargo build --release     # gives target/release/NAME\n  \
           README.md                 # start it, check it, push and pull through it\n\
           Then put your backend in the place of SQLite, in src/main.rs.",
};

const GO: Example = Example {
    name: "driver-go",
    files: files!(
        "driver-go":
        ".gitignore", "README.md", "driver_test.go", "driverv1/driver.pb.go", "driverv1/driver_grpc.pb.go",
        "endpoint.go", "errors.go", "generate/main.go", "go.mod", "go.sum", "identity.go", "keys.go", "listing.go",
        "main.go", "objects.go", "reading.go", "records.go", "requests.go", "sessions.go", "store.go", "writing.go" ;
        "hooks/kill", "hooks/start", "hooks/terminate", "hooks/backend-stop", "hooks/backend-start"
    ),
    next: "  go build                  # gives ./NAME\n  \
           README.md                 # start it, check it, push and pull through it\n\
           Then put your backend in the place of the directory; README.md tells the files.",
};

const PYTHON: Example = Example {
    name: "driver-python",
    files: files!(
        "driver-python":
        ".gitignore", "README.md", "driver/__init__.py", "driver/__main__.py", "driver/calls.py", "driver/endpoint.py",
        "driver/errors.py", "driver/file_system.py", "driver/identity.py", "driver/keys.py", "driver/limits.py",
        "driver/listing.py", "driver/objects.py", "driver/reading.py", "driver/records.py", "driver/service.py",
        "driver/sessions.py", "driver/store.py", "driver/threads.py", "driver/writing.py", "generate.py",
        "requirements.txt", "test_driver.py" ;
        "run",
        "hooks/kill", "hooks/start", "hooks/terminate", "hooks/backend-stop", "hooks/backend-start"
    ),
    next: "  python3 -m venv .venv\n  \
           . .venv/bin/activate\n  \
           pip install -r requirements.txt\n  \
           python generate.py        # the code of the contract's messages; ./run is the driver then\n  \
           README.md                 # start it, check it, push and pull through it\n\
           Then put your backend in the place of the directory; README.md tells the files.",
};

const PROTO: &str = "proto/longshore/driver/v1/driver.proto";

/// Names that cargo, or Go for the last part of a module's path, refuses; those of devices on Windows are with them.
const RESERVED: &[&str] = &["aux", "build", "con", "deps", "examples", "incremental", "nul", "prn", "vendor"];

impl Language {
    fn example(self) -> Example {
        match self {
            Self::Rust => RUST,
            Self::Go => GO,
            Self::Python => PYTHON,
        }
    }
}

/// Writes it, and gives what to do next.
///
/// # Errors
/// When the directory is not empty or can't be written, or its name can't be that of a driver.
pub fn write(language: Language, directory: &Path, sdk: Option<&Path>) -> Result<String, String> {
    let name = name_of(directory)?;
    if sdk.is_some() && language != Language::Rust {
        return Err("--sdk-path is for a driver in Rust; there is no SDK for other languages".to_owned());
    }
    must_be_new(directory)?;
    let example = language.example();
    for file in example.files {
        let content = file.content.replace(example.name, &name).replace("../../target", "target");
        put(directory, file.path, &content, file.is_program)?;
    }
    put(directory, PROTO, longshore_driver_proto::PROTO_SOURCE, false)?;
    if language == Language::Rust {
        put(directory, "Cargo.toml", &manifest(&name, sdk)?, false)?;
        put(directory, ".gitignore", "/target\n", false)?;
    }
    let (place, next) = (directory.display(), example.next.replace("NAME", &name));
    Ok(format!("{place} is a driver that works. What to do next:\n  cd {place}\n{next}"))
}

/// The last part of the path: the name of a package, a program and a host.
fn name_of(directory: &Path) -> Result<String, String> {
    let name = directory.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let fits = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    if !fits {
        return Err(format!("{name:?} can't name a driver: begin with a letter, and use a-z, 0-9 and `-`"));
    }
    if is_reserved(name) {
        return Err(format!("{name:?} can't name a driver: build tools keep it for themselves"));
    }
    Ok(name.to_owned())
}

fn is_reserved(name: &str) -> bool {
    let port = name.strip_prefix("com").or_else(|| name.strip_prefix("lpt")).unwrap_or_default();
    RESERVED.contains(&name) || (port.len() == 1 && port.bytes().all(|byte| byte.is_ascii_digit()))
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
    use std::collections::BTreeMap;

    use clap::ValueEnum as _;

    use super::*;

    /// What a build makes, or what a scaffold has another of.
    const LEFT_OUT: &[&str] = &["Cargo.toml", "target", "driver-go", "__pycache__", ".venv", "proto"];

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
    fn every_file_of_an_example_goes_along() {
        for language in Language::value_variants() {
            let Example { name, files, .. } = language.example();
            let embedded = files.iter().map(|file| (file.path.to_owned(), file.is_program)).collect();
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples").join(name);
            assert_eq!(found(&folder), embedded, "{name}");
        }
    }

    #[test]
    fn a_scaffold_has_its_own_name_everywhere_and_nothing_outside_itself() {
        let directory = tempfile::tempdir().unwrap();
        for language in Language::value_variants() {
            let example = language.example();
            let place = directory.path().join(format!("my-{}", example.name.replace("driver-", "")));
            let next = write(*language, &place, None).unwrap();
            assert!(!next.contains("NAME"), "{next}");
            let files = found(&place);
            assert!(files.get("hooks/start").is_some_and(|is_program| *is_program), "{files:?}");
            for path in files.keys().chain([&PROTO.to_owned(), &".gitignore".to_owned()]) {
                let content = fs::read_to_string(place.join(path)).unwrap();
                assert!(!content.contains(example.name), "{path} of {language:?}");
                assert!(!content.contains("../"), "{path} of {language:?}");
            }
        }
    }

    /// The files of a folder, and which of them are programs.
    fn found(folder: &Path) -> BTreeMap<String, bool> {
        let mut found = BTreeMap::new();
        let mut folders = vec![folder.to_owned()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap().map(Result::unwrap) {
                let name = entry.file_name().into_string().unwrap();
                if LEFT_OUT.contains(&name.as_str()) || name.starts_with("driver_pb2") {
                    continue;
                }
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                    continue;
                }
                let path = entry.path().strip_prefix(folder).unwrap().display().to_string();
                found.insert(path, entry.metadata().unwrap().permissions().mode() & 0o111 != 0);
            }
        }
        found
    }

    #[test]
    fn an_sdk_is_for_rust_alone() {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().join("my-driver");
        let error = write(Language::Go, &place, Some(directory.path())).unwrap_err();
        assert!(error.contains("--sdk-path") && !place.exists(), "{error}");
    }

    #[test]
    fn a_name_that_no_package_may_have_is_refused() {
        for name in ["My-Driver", "1st", "a b", "x_y", "vendor", "con", "lpt1", "deps"] {
            assert!(name_of(Path::new(name)).is_err(), "{name}");
        }
        for name in ["s3-driver", "com", "common", "con-driver"] {
            assert_eq!(name_of(&Path::new("/tmp").join(name)).unwrap(), name);
        }
    }
}
