//! A child process with its log. It is killed by its own handle when the test is done with it.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// How much of a log is shown when a test fails.
const LOG_SHOWN: usize = 80;
/// A log may stay open behind a process that has ended: a child of its holds it too.
const LAST_WORDS: Duration = Duration::from_secs(3);
/// A SIGSTOP has reached every thread within this.
const PAUSED: Duration = Duration::from_secs(60);

pub struct Process {
    name: String,
    child: Child,
    log: Arc<Log>,
    /// Several lives of one program (before and after a kill) share the name, not the log.
    ended: Option<ExitStatus>,
}

#[derive(Default)]
struct Log {
    lines: Mutex<LogLines>,
    grown: Condvar,
}

#[derive(Default)]
struct LogLines {
    lines: Vec<String>,
    closed: bool,
}

impl Process {
    /// Starts it with nothing on its input and its standard error kept as a log.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {name} ({command:?}): {error}"));
        let log = Arc::new(Log::default());
        let output = child.stderr.take().expect("standard error is piped");
        thread::spawn({
            let log = Arc::clone(&log);
            move || log.follow(output)
        });
        Self { name: name.to_owned(), child, log, ended: None }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn pid(&self) -> Pid {
        pid(self.child.id())
    }

    /// The process is not reaped before `wait`, so its number is its own until then.
    pub fn signal(&self, signal: Signal) {
        if self.ended.is_none() {
            kill_process(self.pid(), signal)
                .unwrap_or_else(|error| panic!("signal to {}: {error}", self.name));
        }
    }

    /// kill -9, then waits until the kernel has let go of its files and sockets.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        self.await_end(Duration::from_secs(10));
    }

    /// SIGSTOP: its sockets stay open, and it does nothing until `resume`.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
        let begin = Instant::now();
        while !crate::figures::is_stopped(self.id()) {
            assert!(begin.elapsed() < PAUSED, "{} does not stop", self.name);
            thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    /// A graceful stop.
    pub fn terminate(&mut self, patience: Duration) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait(patience)
    }

    /// Waits for its end, and until its last words are in the log.
    pub fn wait(&mut self, patience: Duration) -> ExitStatus {
        let status = self.await_end(patience);
        let seen = self.log.lines.lock().expect("the log");
        let closed = self.log.grown.wait_timeout_while(seen, LAST_WORDS, |seen| !seen.closed);
        drop(closed.expect("the log"));
        status
    }

    fn await_end(&mut self, patience: Duration) -> ExitStatus {
        let begin = Instant::now();
        while begin.elapsed() < patience {
            if let Some(status) = self.poll() {
                return status;
            }
            thread::sleep(Duration::from_millis(1));
        }
        panic!("{} still runs after {patience:?}\n{}", self.name, self.log());
    }

    /// Its exit status, if it has ended.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("wait for a child");
        }
        self.ended
    }

    /// The first line of the log that contains `text`, waited for.
    pub fn await_line(&self, text: &str, patience: Duration) -> String {
        self.await_line_where(text, |line| line.contains(text), patience)
    }

    /// The first line of the log that fits, waited for; `what` says which one.
    pub fn await_line_where(&self, what: &str, fits: impl Fn(&str) -> bool, patience: Duration) -> String {
        let deadline = Instant::now() + patience;
        let mut seen = self.log.lines.lock().expect("the log");
        let mut next = 0;
        loop {
            if let Some(line) = seen.lines[next..].iter().find(|line| fits(line)) {
                return line.clone();
            }
            next = seen.lines.len();
            let left = deadline.saturating_duration_since(Instant::now());
            if seen.closed || left.is_zero() {
                let why = if seen.closed { "ended" } else { "said nothing of the kind" };
                let said = tail(&seen.lines);
                drop(seen);
                panic!("{} {why} while waiting for {what:?} in its log:\n{said}", self.name);
            }
            seen = self.log.grown.wait_timeout(seen, left).expect("the log").0;
        }
    }

    /// The end of its log.
    pub fn log(&self) -> String {
        format!("--- log of {}\n{}", self.name, tail(&self.log.lines.lock().expect("the log").lines))
    }

    /// The lines of its log so far.
    pub fn lines(&self) -> Vec<String> {
        self.log.lines.lock().expect("the log").lines.clone()
    }

    pub fn log_contains(&self, text: &str) -> bool {
        self.log.lines.lock().expect("the log").lines.iter().any(|line| line.contains(text))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.ended.is_none() {
            let _already_gone = self.child.kill();
            let _already_reaped = self.child.wait();
        }
        if thread::panicking() {
            crate::report::line(&self.log());
        }
    }
}

impl Log {
    fn follow(&self, output: impl Read) {
        for line in BufReader::new(output).split(b'\n') {
            let Ok(line) = line else { break };
            let mut seen = self.lines.lock().expect("the log");
            seen.lines.push(String::from_utf8_lossy(&line).into_owned());
            self.grown.notify_all();
        }
        self.lines.lock().expect("the log").closed = true;
        self.grown.notify_all();
    }
}

fn tail(lines: &[String]) -> String {
    lines[lines.len().saturating_sub(LOG_SHOWN)..].join("\n")
}

pub fn pid(id: u32) -> Pid {
    let raw = i32::try_from(id).expect("a process id fits an i32");
    Pid::from_raw(raw).expect("a process id is not zero")
}

/// Runs a tool to its end and gives what it printed; fails the test with all it said otherwise.
pub fn run<A: AsRef<OsStr>>(program: &std::path::Path, arguments: &[A]) -> String {
    let mut command = Command::new(program);
    run_command(command.args(arguments))
}

pub fn run_command(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} ended with {}:\n{said}{complained}", output.status);
    said
}

/// Whether any process is left of a group.
pub fn group_exists(leader: u32) -> bool {
    rustix::process::test_kill_process_group(pid(leader)).is_ok()
}
