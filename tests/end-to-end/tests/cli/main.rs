//! The command line, and what an operator is told when a store is not what it should be.

mod storage_check;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::Duration;

use longshore_end_to_end::registry::{CORE, DRIVER};
use longshore_end_to_end::{Process, scratch};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

fn longshore(arguments: &[&str]) -> Output {
    Command::new(scratch::binary(CORE)).args(arguments).env("NO_COLOR", "1").output().expect("longshore runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A filesystem driver at a directory that is there and empty. Fields are dropped in order: the driver first.
struct Stand {
    _driver: Process,
    endpoint: String,
    root: PathBuf,
    data: TempDir,
    _sockets: TempDir,
}

impl Stand {
    fn start() -> Self {
        let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
        let endpoint = format!("unix://{}/fs.sock", sockets.path().display());
        let root = data.path().join("store");
        std::fs::create_dir(&root).unwrap();
        Self { _driver: driver(&endpoint, &root), endpoint, root, data, _sockets: sockets }
    }
}

fn driver(endpoint: &str, root: &std::path::Path) -> Process {
    let mut command = Command::new(scratch::binary(DRIVER));
    command.args(["--endpoint", endpoint, &format!("root={}", root.display())]);
    let driver = Process::spawn(DRIVER, &mut command);
    driver.await_line("listening on", PATIENCE);
    driver
}

#[test]
fn a_store_is_initialised_once_and_then_served() {
    let stand = Stand::start();
    let (data, endpoint) = (&stand.data, &stand.endpoint);

    let probe = longshore(&["driver", "probe", endpoint]);
    assert!(probe.status.success() && said(&probe).contains("not initialised"), "{}", said(&probe));
    let config = data.path().join("longshore.toml");
    std::fs::write(&config, format!("listen = '127.0.0.1:0'\n[storage.main]\nendpoint = '{endpoint}'\n"))
        .unwrap();
    let config = config.display().to_string();
    let refused = longshore(&["serve", "--config", &config]);
    assert!(!refused.status.success(), "an empty store may be an unmounted disk");
    assert!(said(&refused).contains("longshore storage init"), "{}", said(&refused));

    let init = longshore(&["storage", "init", endpoint]);
    assert!(init.status.success(), "{}", said(&init));
    let id = std::fs::read_to_string(stand.root.join(".driver/store-id")).unwrap();
    assert!(said(&init).contains(id.trim()), "{} prints {id}", said(&init));
    let again = longshore(&["storage", "init", endpoint]);
    assert!(!again.status.success() && said(&again).contains(id.trim()), "{}", said(&again));
    let probe = longshore(&["driver", "probe", endpoint]);
    assert!(said(&probe).contains(id.trim()) && said(&probe).contains("Stable"), "{}", said(&probe));

    let mut command = Command::new(scratch::binary(CORE));
    let mut core = Process::spawn(CORE, command.args(["serve", "--config", &config]));
    core.await_line("listening on http://", PATIENCE);
    assert!(core.terminate(PATIENCE).success());
}

#[test]
fn another_store_behind_the_same_address_is_refused() {
    let stand = Stand::start();
    let (data, endpoint) = (&stand.data, &stand.endpoint);
    longshore(&["storage", "init", endpoint]);
    let config = data.path().join("longshore.toml");
    let text =
        format!("listen = '127.0.0.1:0'\n[storage.main]\nendpoint = '{endpoint}'\nstore_id = 'another'\n");
    std::fs::write(&config, text).unwrap();
    let refused = longshore(&["serve", "--config", &config.display().to_string()]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("STORE_MISMATCH"), "{}", said(&refused));
}

#[test]
fn a_data_directory_that_is_there_and_empty_is_not_taken_for_a_new_store() {
    let data = scratch::data_directory();
    let mut command = Command::new(scratch::binary(CORE));
    command.args(["serve", "--listen", "127.0.0.1:0", "--data", &data.path().display().to_string()]);
    let mut core = Process::spawn(CORE, &mut command);
    assert!(!core.wait(Duration::from_secs(5)).success());
    assert!(core.log_contains("a disk that is not mounted looks just like this"), "{}", core.log());
    assert!(core.log_contains("ends as soon as it is started"), "{}", core.log());
}

#[test]
fn mistakes_on_the_command_line_and_in_the_configuration_are_told() {
    let data = scratch::data_directory();
    let config = data.path().join("longshore.toml");
    std::fs::write(&config, "[storage.main]\nendpiont = 'unix:///x'\n").unwrap();
    let typo = longshore(&["serve", "--config", &config.display().to_string()]);
    assert!(!typo.status.success());
    assert!(said(&typo).contains("endpiont") && said(&typo).contains("line 2"), "{}", said(&typo));
    let public = longshore(&["serve", "--listen", "0.0.0.0:0"]);
    assert!(!public.status.success() && said(&public).contains("TLS"), "{}", said(&public));
    let remote = longshore(&["driver", "probe", "tcp://10.0.0.1:7000"]);
    assert!(!remote.status.success() && said(&remote).contains("mutual TLS"), "{}", said(&remote));
    let nobody = longshore(&["driver", "probe", "unix:///nonexistent/driver.sock"]);
    assert!(
        !nobody.status.success() && said(&nobody).contains("/nonexistent/driver.sock"),
        "{}",
        said(&nobody)
    );
}

#[test]
fn a_driver_says_what_is_wrong_with_its_settings_or_socket() {
    let (data, sockets) = (scratch::data_directory(), scratch::socket_directory());
    let run = |arguments: &[&str]| {
        Command::new(scratch::binary(DRIVER)).args(arguments).output().expect("the driver runs")
    };
    let endpoint = format!("unix://{}/fs.sock", sockets.path().display());
    let root = format!("root={}", data.path().join("store").display());
    let typo = run(&["--endpoint", &endpoint, &root, "durabilty=os"]);
    assert!(!typo.status.success() && said(&typo).contains("durabilty"), "{}", said(&typo));
    let absent = run(&["--endpoint", &endpoint, &root]);
    assert!(!absent.status.success() && said(&absent).contains("init="), "{}", said(&absent));
    let public = run(&["--endpoint", "tcp://0.0.0.0:7000", &root]);
    assert!(!public.status.success() && said(&public).contains("mutual TLS"), "{}", said(&public));

    std::fs::create_dir(data.path().join("store")).unwrap();
    let _first = driver(&endpoint, &data.path().join("store"));
    let second = run(&["--endpoint", &endpoint, &root]);
    assert!(
        !second.status.success() && said(&second).contains("another process listens"),
        "{}",
        said(&second)
    );
}

#[test]
fn the_default_configuration_is_accepted_and_a_mistake_is_told_with_its_place() {
    let data = scratch::data_directory();
    let file = data.path().join("longshore.toml");
    let path = file.display().to_string();
    let default = longshore(&["config", "default"]);
    assert!(default.status.success());
    std::fs::write(&file, &default.stdout).unwrap();
    let check = longshore(&["config", "check", "--config", &path]);
    assert!(check.status.success() && said(&check).starts_with("ok"), "{}", said(&check));

    for (text, parts) in [
        ("[limits]\nidel = '90s'", ["line 2, column 1", "did you mean `idle`?"]),
        ("[tls]\ncertificate = '/nowhere.pem'\nkey = '/nowhere.key'", ["/nowhere", "No such file"]),
        ("[auth]\nhtpasswd = '/nowhere'", ["/nowhere", "No such file"]),
        ("listen = '0.0.0.0:5000'", ["0.0.0.0:5000", "TLS and login"]),
        ("[storage.a]\nendpoint = 'unix:///a'\nprefixes = ['team']", ["no storage takes", "prefix"]),
    ] {
        std::fs::write(&file, text).unwrap();
        for command in ["config check", "serve"] {
            let mut arguments: Vec<&str> = command.split(' ').collect();
            arguments.extend(["--config", &path]);
            let refused = longshore(&arguments);
            assert_eq!(refused.status.code(), Some(1), "{command}: {}", said(&refused));
            assert!(parts.iter().all(|part| said(&refused).contains(part)), "{command}: {}", said(&refused));
        }
    }
}

#[test]
fn the_environment_is_read_and_a_variable_that_is_no_field_is_refused() {
    let check = |name: &str, value: &str| {
        let mut command = Command::new(scratch::binary(CORE));
        command.args(["config", "check"]).env("NO_COLOR", "1").env(name, value).output().unwrap()
    };
    let well = check("LONGSHORE_STORAGE__QUICK__ENDPOINT", "unix:///run/quick.sock");
    assert!(well.status.success() && said(&well).contains("quick"), "{}", said(&well));
    let wrong = check("LONGSHORE_LIMITS__IDEL", "90s");
    assert_eq!(wrong.status.code(), Some(1));
    for part in ["LONGSHORE_LIMITS__IDEL", "did you mean `idle`?"] {
        assert!(said(&wrong).contains(part), "{}", said(&wrong));
    }
    assert!(check("LONGSHORE_PORT", "tcp://10.0.0.1:5000").status.success(), "Kubernetes sets this one");
}

#[test]
fn version_completions_and_help_are_for_people() {
    let version = longshore(&["version"]);
    for part in [env!("CARGO_PKG_VERSION"), "storage layout", "driver protocol  1.1"] {
        assert!(said(&version).contains(part), "{}", said(&version));
    }
    for (shell, part) in
        [("bash", "complete -F"), ("zsh", "#compdef longshore"), ("fish", "complete -c longshore")]
    {
        let script = longshore(&["completions", shell]);
        assert!(script.status.success() && said(&script).contains(part), "{shell}");
    }
    let help = longshore(&["--help"]);
    for part in ["Examples:", "Exit status:", "config", "import", "LONGSHORE_CONFIG"] {
        assert!(said(&help).contains(part), "{part}: {}", said(&help));
    }
    assert_eq!(longshore(&["serv"]).status.code(), Some(2));
}
