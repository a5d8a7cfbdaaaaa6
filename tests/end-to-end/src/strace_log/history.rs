//! What was not durable at each answer of the driver.
//!
//! The rule: an answer that acknowledges may leave the driver only when every byte written into the store
//! has been followed by an fsync of that file, and every entry made in a directory by an fsync of that
//! directory. An fsync covers what had happened before it was entered, and counts once it has returned.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::call::Call;
use super::paths::{below, number_of_descriptor, of_descriptor, parent, split};

/// An answer that a client got: the moment, and what it was for.
#[derive(Clone, Debug)]
pub struct Ack {
    pub what: String,
    /// Seconds since 1970 at which the client had it.
    pub at: f64,
    /// Whether the removal of entries is part of what it acknowledges.
    pub removes: bool,
}

/// What the check of one log found.
#[derive(Debug, Default)]
pub struct Verdict {
    pub violations: Vec<String>,
    /// Acknowledgements checked, and those among them before which the store had changed at all.
    pub checked: usize,
    pub with_changes: usize,
    pub fsyncs: usize,
}

/// The store as the log builds it up.
#[derive(Default)]
pub struct History {
    store: String,
    /// Paths that are known to be there, so that opening one with O_CREAT makes no entry.
    existing: HashSet<String>,
    descriptors: HashMap<i32, String>,
    /// path -> line at which the last change was done; gone once an fsync covers it.
    bytes: BTreeMap<String, usize>,
    entries: BTreeMap<String, usize>,
    removals: BTreeMap<String, usize>,
    /// Directories of upload sessions whose file has become an object.
    published: HashSet<String>,
    /// Journals of sessions that were synced after the last byte of the session's data: a line added to one of
    /// them tells who writes now, not how many bytes there are.
    settled: HashSet<String>,
    changes: usize,
    verdict: Verdict,
}

struct Answer {
    at: f64,
    changes: usize,
    unsafe_bytes_and_entries: Vec<String>,
    unsafe_removals: Vec<String>,
}

impl History {
    /// `existing`: the files and directories of the store when the tracing began.
    pub fn new(store: &str, existing: impl IntoIterator<Item = String>) -> Self {
        Self { store: store.to_owned(), existing: existing.into_iter().collect(), ..Self::default() }
    }

    pub fn check(mut self, calls: &[Call], acks: &[Ack]) -> Verdict {
        let answers = self.replay(calls);
        let mut changes_before = 0;
        for ack in acks {
            let Some(answer) = answers.iter().rev().find(|answer| answer.at < ack.at) else {
                self.verdict.violations.push(format!("{}: no answer of the driver before it", ack.what));
                continue;
            };
            self.verdict.checked += 1;
            self.verdict.with_changes += usize::from(answer.changes > changes_before);
            changes_before = answer.changes;
            let removals = answer.unsafe_removals.iter().filter(|_| ack.removes);
            let missing: Vec<_> = answer.unsafe_bytes_and_entries.iter().chain(removals).collect();
            if !missing.is_empty() {
                let (number, first) = (missing.len(), missing[0].replace(&self.store, ""));
                let what = format!("{}: acknowledged before {number} fsyncs, as the {first}", ack.what);
                self.verdict.violations.push(what);
            }
        }
        self.verdict
    }

    /// Entries and exits in the order of the log's lines.
    fn replay(&mut self, calls: &[Call]) -> Vec<Answer> {
        let mut events: Vec<(usize, bool, &Call)> = Vec::with_capacity(calls.len() * 2);
        for call in calls {
            events.push((call.entry, false, call));
            events.push((call.exit, true, call));
        }
        events.sort_by_key(|(line, is_exit, _)| (*line, *is_exit));
        let mut answers = Vec::new();
        for (_, is_exit, call) in events {
            if is_exit {
                self.exit(call);
            } else {
                self.enter(call);
                answers.extend(self.answer(call));
            }
        }
        answers
    }

    fn enter(&mut self, call: &Call) {
        if call.name.starts_with("io_uring") {
            self.verdict.violations.push("the driver uses io_uring, which strace can't see into".into());
        }
        let Some((from, to)) = self.renamed_or_linked(call) else { return };
        if self.inside(&to) && self.bytes.contains_key(&from) {
            self.verdict.violations.push(format!("{to} got its name before its bytes were fsynced"));
        }
        self.check_record_order(&to);
    }

    /// The order of the layout: object, then holder, then link; manifest, then tag. Each must be durable
    /// before the next one gets its name, or a cut between them leaves a record of nothing.
    fn check_record_order(&mut self, made: &str) {
        let Some(key) = made.strip_prefix(&self.store) else { return };
        let earlier: &[&str] = match key {
            _ if key.contains("/_blobs/") => &["/objects/", "/blobs/"],
            _ if key.starts_with("/blobs/") => &["/objects/"],
            _ if key.contains("/_tags/") => &["/_manifests/"],
            _ => return,
        };
        let open = self.bytes.keys().chain(self.entries.keys());
        let loose = |path: &&String| {
            path.strip_prefix(&self.store).is_some_and(|key| earlier.iter().any(|part| key.contains(part)))
        };
        if let Some(path) = open.filter(|path| !path.contains("/_blobs/")).find(loose) {
            self.verdict.violations.push(format!("{made} was made before {path} was durable"));
        }
    }

    fn exit(&mut self, call: &Call) {
        if !call.succeeded() {
            return;
        }
        let arguments = split(&call.arguments);
        match call.name.as_str() {
            "open" | "openat" | "openat2" | "creat" => self.opened(call, &arguments),
            "write" | "pwrite64" | "writev" | "pwritev" | "pwritev2" | "fallocate" => {
                self.wrote(of_descriptor(arguments[0]), call.exit);
            }
            "sendfile" => self.wrote(of_descriptor(arguments[0]), call.exit),
            "copy_file_range" | "splice" => {
                self.wrote(arguments.get(2).and_then(|to| of_descriptor(to)), call.exit);
            }
            "fsync" | "fdatasync" => self.synced(of_descriptor(arguments[0]), call.entry),
            "mkdir" => self.made(below("", arguments[0]), call.exit),
            "mkdirat" => self.made(below(arguments[0], arguments[1]), call.exit),
            "unlink" => self.removed(below("", arguments[0]), call.exit),
            "rmdir" => self.folder_removed(below("", arguments[0])),
            "unlinkat" if call.arguments.contains("AT_REMOVEDIR") => {
                self.folder_removed(below(arguments[0], arguments[1]));
            }
            "unlinkat" => self.removed(below(arguments[0], arguments[1]), call.exit),
            "syncfs" => self.forget_before(call.entry),
            _ => {
                if let Some((from, to)) = self.renamed_or_linked(call) {
                    self.named(&from, to, call);
                }
            }
        }
    }

    fn opened(&mut self, call: &Call, arguments: &[&str]) {
        let Some(path) = of_descriptor(&call.result) else { return };
        if let Some(number) = number_of_descriptor(&call.result) {
            self.descriptors.insert(number, path.clone());
        }
        let creates = call.name == "creat" || arguments.iter().any(|argument| argument.contains("O_CREAT"));
        if creates && !self.existing.contains(&path) {
            self.made(Some(path), call.exit);
        }
    }

    fn wrote(&mut self, path: Option<String>, line: usize) {
        if let Some(path) = path.filter(|path| self.inside(path)) {
            self.changes += 1;
            if let Some(session) = path.strip_suffix("/data") {
                self.settled.remove(&format!("{session}/journal"));
            }
            self.bytes.insert(path, line);
        }
    }

    fn made(&mut self, path: Option<String>, line: usize) {
        if let Some(path) = path.filter(|path| self.inside(path)) {
            self.changes += 1;
            self.existing.insert(path.clone());
            // What lies there is meant to be lost: it is renamed before it counts.
            if !path.contains("/.driver/tmp") {
                self.entries.insert(path, line);
            }
        }
    }

    fn removed(&mut self, path: Option<String>, line: usize) {
        if let Some(path) = path.filter(|path| self.inside(path)) {
            self.changes += 1;
            self.forget_below(&path);
            self.removals.insert(path, line);
        }
    }

    /// An empty folder that comes back after a cut harms nobody.
    fn folder_removed(&mut self, path: Option<String>) {
        if let Some(path) = path.filter(|path| self.inside(path)) {
            self.changes += 1;
            self.forget_below(&path);
        }
    }

    fn forget_below(&mut self, path: &str) {
        let gone = |known: &str| is_or_lies_below(known, path);
        for changes in [&mut self.bytes, &mut self.entries, &mut self.removals] {
            changes.retain(|known, _| !gone(known));
        }
        self.existing.retain(|known| !gone(known));
    }

    /// A rename keeps nothing of the old name; a link keeps both. A directory takes along what is in it.
    fn named(&mut self, from: &str, to: String, call: &Call) {
        if let Some((session, "data")) = from.rsplit_once('/')
            && parent(&to) != session
        {
            self.published.insert(session.to_owned());
        }
        self.entries.remove(from);
        for changes in [&mut self.bytes, &mut self.entries, &mut self.removals] {
            let moved = std::mem::take(changes);
            *changes = moved.into_iter().map(|(path, line)| (moved_path(path, from, &to), line)).collect();
        }
        if call.name.starts_with("rename") {
            for paths in [&mut self.existing, &mut self.settled] {
                *paths = paths.drain().map(|path| moved_path(path, from, &to)).collect();
            }
        }
        self.made(Some(to), call.exit);
    }

    fn synced(&mut self, path: Option<String>, entered: usize) {
        let Some(path) = path.filter(|path| *path == self.store || self.inside(path)) else { return };
        self.verdict.fsyncs += 1;
        if path.ends_with("/journal") {
            self.settled.insert(path.clone());
        }
        self.bytes.retain(|known, line| *known != path || *line > entered);
        self.entries.retain(|known, line| parent(known) != path || *line > entered);
        self.removals.retain(|known, line| parent(known) != path || *line > entered);
    }

    fn forget_before(&mut self, entered: usize) {
        for changes in [&mut self.bytes, &mut self.entries, &mut self.removals] {
            changes.retain(|_, line| *line > entered);
        }
    }

    fn renamed_or_linked(&self, call: &Call) -> Option<(String, String)> {
        let arguments = split(&call.arguments);
        match (call.name.as_str(), arguments.as_slice()) {
            ("rename" | "link", [from, to]) => Some((below("", from)?, below("", to)?)),
            ("renameat" | "renameat2" | "linkat", [from_directory, from, to_directory, to, ..]) => {
                Some((self.source(from_directory, from)?, below(to_directory, to)?))
            }
            _ => None,
        }
    }

    /// An unnamed file is linked through /proc/self/fd.
    fn source(&self, directory: &str, quoted: &str) -> Option<String> {
        let path = below(directory, quoted)?;
        match path.strip_prefix("/proc/self/fd/").and_then(|number| number.parse::<i32>().ok()) {
            Some(number) => self.descriptors.get(&number).cloned(),
            None => Some(path),
        }
    }

    fn answer(&self, call: &Call) -> Option<Answer> {
        if !matches!(call.name.as_str(), "write" | "writev" | "sendto" | "sendmsg") {
            return None;
        }
        let to = of_descriptor(split(&call.arguments)[0])?;
        if !(to.starts_with("socket:") || to.starts_with("UNIX")) {
            return None;
        }
        let bytes = self.bytes.keys().filter(|path| self.counts(path)).map(|path| format!("fsync of {path}"));
        let entries = self.entries.keys().map(|path| format!("fsync of the directory of {path}"));
        let removals = self.removals.keys().map(|path| format!("fsync of the directory without {path}"));
        Some(Answer {
            at: call.entered_at,
            changes: self.changes,
            unsafe_bytes_and_entries: bytes.chain(entries).collect(),
            unsafe_removals: removals.collect(),
        })
    }

    /// A line that only tells who writes may be lost, and so may what a session notes after its file has become
    /// the object: the object tells as much.
    fn counts(&self, path: &str) -> bool {
        let journal = path.ends_with("/journal");
        !(journal && (self.settled.contains(path) || self.published.contains(parent(path))))
    }

    /// A lock's file is no data: it may be gone after a cut, and nobody misses it.
    fn inside(&self, path: &str) -> bool {
        let below = path.strip_prefix(&self.store).and_then(|rest| rest.strip_prefix('/'));
        below.is_some_and(|key| !key.split('/').any(|part| part.contains("lock")))
    }
}

fn is_or_lies_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn moved_path(path: String, from: &str, to: &str) -> String {
    if is_or_lies_below(&path, from) { format!("{to}{}", &path[from.len()..]) } else { path }
}
