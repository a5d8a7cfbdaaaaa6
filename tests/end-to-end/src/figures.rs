//! What /proc tells about a process: peak memory, children, open files.

use std::fs;
use std::path::{Path, PathBuf};

/// Peak resident memory in bytes since the start or the last `reset_peak_memory`.
pub fn peak_memory(process: u32) -> u64 {
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("VmHWM in the status");
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse().expect("VmHWM is a number of kB");
    kib * 1024
}

/// 5 resets the peak to what is resident now: proc(5), clear_refs.
pub fn reset_peak_memory(process: u32) {
    let path = format!("/proc/{process}/clear_refs");
    fs::write(&path, "5").unwrap_or_else(|error| panic!("{path}: {error}"));
}

/// Whether a SIGSTOP has reached every thread: the call that sends it does not wait for that.
pub fn is_stopped(process: u32) -> bool {
    let path = format!("/proc/{process}/task");
    let tasks = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let states = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("status")).ok());
    states.into_iter().all(|status| status.lines().any(|line| line.starts_with("State:\tT")))
}

/// The processes that any thread of this one has started and that still run.
pub fn children(process: u32) -> Vec<u32> {
    let tasks = format!("/proc/{process}/task");
    let Ok(tasks) = fs::read_dir(tasks) else { return Vec::new() };
    let lists = tasks.flatten().filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let mut children: Vec<u32> = lists
        .flat_map(|list| list.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
        .filter_map(|id| id.parse().ok())
        .collect();
    children.sort_unstable();
    children
}

/// The file name of the program that this process runs; none if it is gone.
pub fn program(process: u32) -> Option<String> {
    let path = fs::read_link(format!("/proc/{process}/exe")).ok()?;
    // A build may have replaced the program meanwhile.
    Some(path.file_name()?.to_string_lossy().trim_end_matches(" (deleted)").to_owned())
}

/// Every file that this process holds open below `directory`.
pub fn open_files_below(process: u32, directory: &Path) -> Vec<PathBuf> {
    let path = format!("/proc/{process}/fd");
    let descriptors = fs::read_dir(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let targets = descriptors.flatten().filter_map(|descriptor| fs::read_link(descriptor.path()).ok());
    targets.filter(|target| target.starts_with(directory)).collect()
}

pub fn mib(bytes: u64) -> String {
    let tenths = bytes * 10 / (1 << 20);
    format!("{}.{} MiB", tenths / 10, tenths % 10)
}
