//! Whether the kit finds what is wrong: it is run against `longshore-faulty-driver` with each of its faults planted, and
//! the checks that fail are held against the table in faults.txt.
//!
//! A line of the table is `fault: check, check, ...`, all the checks that fail. `(check)` may fail or pass, where the
//! outcome is a race; `...` at the end says that others fail too. `fault tcp: check` runs over TCP. When a check is added, the differences that this test prints are
//! the lines to be put in.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use longshore_driver_check::check::Need;
use longshore_driver_check::checks;
use tempfile::TempDir;

const KIT: &str = env!("CARGO_BIN_EXE_longshore-driver-check");
const TABLE: &str = include_str!("faults.txt");
/// Runs at once. A run waits more than it works.
const LANES: usize = 8;
/// The longest that a run may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(300);

/// A line of the table.
struct Row {
    fault: String,
    wire: Wire,
    fails: BTreeSet<String>,
    may_fail: BTreeSet<String>,
    /// Others may fail too.
    is_open: bool,
}

impl Row {
    fn may(&self, check: &str) -> bool {
        self.is_open || self.may_fail.contains(check)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wire {
    Unix,
    Tcp,
}

/// What the kit said of each check.
#[derive(Default)]
struct Outcome {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
    skipped: BTreeSet<String>,
    log: String,
}

#[test]
fn a_driver_without_fault_passes_every_check_and_none_is_skipped() {
    let mut passed = BTreeSet::new();
    for wire in [Wire::Unix, Wire::Tcp] {
        let outcome = run("none", wire);
        assert!(outcome.failed.is_empty() && outcome.skipped.is_empty(), "{}", outcome.log);
        passed.extend(outcome.passed);
    }
    assert_eq!(passed, names());
}

#[test]
fn every_fault_is_found_by_the_checks_of_the_table_and_by_no_others() {
    let rows = table();
    let known = faults();
    let unknown: Vec<_> =
        rows.iter().filter(|row| !known.contains(&row.fault)).map(|row| &row.fault).collect();
    assert!(unknown.is_empty(), "--list-faults does not have {unknown:?}");
    assert!(rows.len() >= 40, "{} faults", rows.len());
    let queue = Mutex::new(rows.iter());
    let found = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..LANES {
            scope.spawn(|| {
                loop {
                    let Some(row) = queue.lock().unwrap().next() else { break };
                    let outcome = run(&row.fault, row.wire);
                    found.lock().unwrap().push((row, outcome));
                }
            });
        }
    });
    let found = found.into_inner().unwrap();
    // What differs is looked at once more, alone: a machine that is busy may delay a driver beyond what a check bears.
    let suspect = found.iter().filter(|(row, outcome)| difference(row, outcome).is_some());
    let differences: Vec<_> =
        suspect.filter_map(|(row, _)| difference(row, &run(&row.fault, row.wire))).collect();
    assert!(differences.is_empty(), "{} faults differ:\n{}", differences.len(), differences.join("\n"));
}

#[test]
fn every_check_is_failed_by_a_fault() {
    let failed: BTreeSet<_> = table().into_iter().flat_map(|row| row.fails).collect();
    let never: Vec<_> = names().into_iter().filter(|name| !failed.contains(name)).collect();
    assert!(never.is_empty(), "no fault fails these checks: {never:#?}");
    let gone: Vec<_> = failed.difference(&names()).cloned().collect();
    assert!(gone.is_empty(), "the table names checks that are not there: {gone:#?}");
}

/// How many checks there are for this kind of endpoint.
fn applicable(wire: Wire) -> usize {
    let there = |needs: &[Need]| wire == Wire::Unix || !needs.contains(&Need::Unix);
    checks::all().iter().filter(|check| there(check.needs)).count()
}

fn names() -> BTreeSet<String> {
    checks::all().iter().map(|check| check.name.to_owned()).collect()
}

fn difference(row: &Row, outcome: &Outcome) -> Option<String> {
    let missed: Vec<_> = row.fails.difference(&outcome.failed).cloned().collect();
    let new: Vec<_> = outcome.failed.difference(&row.fails).filter(|name| !row.may(name)).cloned().collect();
    if missed.is_empty() && new.is_empty() {
        return None;
    }
    let failed: Vec<_> = outcome.failed.iter().cloned().collect();
    Some(format!(
        "{}{}: {}\n    not in the table: {new:?}\n    in the table, and passed: {missed:?}",
        row.fault,
        if row.wire == Wire::Tcp { " tcp" } else { "" },
        failed.join(", "),
    ))
}

fn table() -> Vec<Row> {
    TABLE.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(row).collect()
}

fn row(line: &str) -> Row {
    let (head, checks) = line.split_once(':').unwrap_or_else(|| panic!("no colon in {line:?}"));
    let (fault, wire) = match head.split_once(' ') {
        Some((fault, "tcp")) => (fault, Wire::Tcp),
        Some((_, wire)) => panic!("{wire:?} in {line:?}"),
        None => (head, Wire::Unix),
    };
    let mut row = Row {
        fault: fault.to_owned(),
        wire,
        fails: BTreeSet::new(),
        may_fail: BTreeSet::new(),
        is_open: false,
    };
    for check in checks.split(',').map(str::trim) {
        if check == "..." {
            row.is_open = true;
            continue;
        }
        match check.strip_prefix('(').and_then(|check| check.strip_suffix(')')) {
            Some(check) => row.may_fail.insert(check.to_owned()),
            None => row.fails.insert(check.to_owned()),
        };
    }
    assert!(row.fails.iter().any(|check| !check.is_empty()), "nothing is sure to find {fault}");
    row
}

fn driver() -> PathBuf {
    longshore_end_to_end::scratch::binary("longshore-faulty-driver")
}

fn faults() -> BTreeSet<String> {
    let output = Command::new(driver()).arg("--list-faults").output().expect("the faulty driver runs");
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines().filter_map(|line| line.split_once(": ")).map(|(name, _)| name.to_owned()).collect()
}

/// Two instances of the driver over one store, and the kit against them.
fn run(fault: &str, wire: Wire) -> Outcome {
    let place = scratch();
    let first = Instance::start(place.path(), "first", fault, wire);
    let second = Instance::start(place.path(), "second", fault, wire);
    let log = place.path().join("kit.log");
    let mut kit = Command::new(KIT);
    first.describe(&mut kit);
    kit.args(["--endpoint", &first.endpoint, "--second", &second.endpoint, "--no-figures"]);
    kit.arg("--hooks").arg(hooks());
    let errors = place.path().join("kit.errors");
    // Apart: what a check that panics says would fall into the middle of a line.
    kit.stdin(Stdio::null()).stdout(File::create(&log).expect("a log"));
    kit.stderr(File::create(&errors).expect("a second log"));
    let status = ended(&mut kit);
    let log = fs::read_to_string(&log).expect("what the kit printed");
    let errors = fs::read_to_string(&errors).expect("what the kit complained of");
    assert!(!errors.contains("panicked"), "fault {fault}: a check panicked:\n{errors}");
    assert!(matches!(status.code(), Some(0 | 1)), "fault {fault}: the kit ended with {status}:\n{log}");
    let mut outcome = Outcome { log: format!("fault {fault}:\n{log}"), ..Outcome::default() };
    for line in log.lines() {
        let mut words = line.split_whitespace();
        let (Some(verdict), Some(name)) = (words.next(), words.next()) else { continue };
        let set = match verdict {
            "PASS" => &mut outcome.passed,
            "FAIL" => &mut outcome.failed,
            "SKIP" => &mut outcome.skipped,
            _ => continue,
        };
        set.insert(name.to_owned());
    }
    let told = outcome.passed.len() + outcome.failed.len() + outcome.skipped.len();
    assert_eq!(told, applicable(wire), "fault {fault}: not every check was told of:\n{log}");
    outcome
}

fn ended(kit: &mut Command) -> ExitStatus {
    let mut child = kit.spawn().expect("the kit starts");
    let begin = Instant::now();
    loop {
        if let Some(status) = child.try_wait().expect("the kit's status") {
            return status;
        }
        if begin.elapsed() > PATIENCE {
            child.kill().expect("the kit is killed");
            return child.wait().expect("the kit's status");
        }
        thread::sleep(Duration::from_millis(20));
    }
}

/// In memory if possible: hundreds of drivers sync every write, and a disk tells no more about the kit.
fn scratch() -> TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("faults-");
    builder.tempdir_in("/dev/shm").or_else(|_| builder.tempdir()).expect("a temporary directory")
}

fn hooks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../faulty-driver/hooks")
}

/// A driver, which its hooks start, kill and start again.
struct Instance {
    endpoint: String,
    root: PathBuf,
    state: PathBuf,
    fault: String,
}

impl Instance {
    fn start(place: &Path, name: &str, fault: &str, wire: Wire) -> Self {
        let state = place.join(name);
        let endpoint = match wire {
            Wire::Unix => format!("unix://{}/driver.sock", state.display()),
            Wire::Tcp => format!("tcp://{}", free_address()),
        };
        let instance = Self { endpoint, root: place.join("root"), state, fault: fault.to_owned() };
        let status = instance.hook("start");
        assert!(status.success(), "fault {fault}: the driver does not start");
        instance
    }

    /// What the hooks work with.
    fn describe(&self, command: &mut Command) {
        command.env("DRIVER", driver()).env("ROOT", &self.root).env("STATE", &self.state);
        command.env("FAULT", &self.fault).env("LONGSHORE_CHECK_ENDPOINT", &self.endpoint);
    }

    fn hook(&self, name: &str) -> ExitStatus {
        let mut command = Command::new(hooks().join(name));
        self.describe(&mut command);
        command.stdin(Stdio::null()).stdout(Stdio::null()).status().expect("the hook runs")
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        self.hook("kill");
    }
}

/// A port that was free a moment ago.
fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address").to_string()
}

#[test]
fn the_table_is_read_as_it_is_written() {
    let row = row("some-fault tcp: a.b, (c.d), e.f");
    assert_eq!(row.fault, "some-fault");
    assert!(row.wire == Wire::Tcp);
    assert_eq!(row.fails, BTreeSet::from(["a.b".to_owned(), "e.f".to_owned()]));
    assert_eq!(row.may_fail, BTreeSet::from(["c.d".to_owned()]));
    let outcome = Outcome { failed: BTreeSet::from(["a.b".to_owned()]), ..Outcome::default() };
    let text = difference(&row, &outcome).expect("e.f did not fail");
    assert!(text.contains("passed: [\"e.f\"]"), "{text}");
}
