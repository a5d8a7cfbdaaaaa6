//! One system call out of a log of `strace -f -ttt -y`.

use std::collections::HashMap;

/// What must be traced for the history to be whole.
pub const TRACED: &str = "trace=open,openat,openat2,creat,close,write,pwrite64,writev,pwritev,pwritev2,ftruncate,\
fallocate,copy_file_range,sendfile,splice,fsync,fdatasync,syncfs,rename,renameat,renameat2,link,linkat,\
mkdir,mkdirat,unlink,unlinkat,rmdir,sendto,sendmsg,io_uring_setup";

/// A system call. Lines of the log are in the order of events: a call that another thread's event
/// interrupted has one line for its entry and one for its exit.
#[derive(Clone, Debug)]
pub struct Call {
    pub name: String,
    pub arguments: String,
    pub result: String,
    /// Line numbers.
    pub entry: usize,
    pub exit: usize,
    /// Seconds since 1970.
    pub entered_at: f64,
}

impl Call {
    pub fn succeeded(&self) -> bool {
        !self.result.starts_with('-') && !self.result.starts_with('?')
    }
}

/// Every call of the log that came to its end, in the order of their exits.
pub fn parse(log: &str) -> Vec<Call> {
    let mut unfinished: HashMap<String, (usize, f64, String)> = HashMap::new();
    let mut calls = Vec::new();
    for (number, line) in log.lines().enumerate() {
        let Some((thread, time, text)) = split_line(line) else { continue };
        if let Some(begun) = text.strip_suffix("<unfinished ...>") {
            unfinished.insert(thread.to_owned(), (number, time, begun.trim_end().to_owned()));
        } else if let Some(resumed) = text.strip_prefix("<... ") {
            let Some((entry, entered_at, begun)) = unfinished.remove(thread) else { continue };
            let Some((_, rest)) = resumed.split_once(" resumed>") else { continue };
            calls.extend(parse_call(&format!("{begun}{rest}"), entry, number, entered_at));
        } else {
            calls.extend(parse_call(text, number, number, time));
        }
    }
    calls
}

fn split_line(line: &str) -> Option<(&str, f64, &str)> {
    let (thread, rest) = line.trim_start().split_once(char::is_whitespace)?;
    let (time, text) = rest.trim_start().split_once(' ')?;
    Some((thread, time.parse().ok()?, text.trim()))
}

fn parse_call(text: &str, entry: usize, exit: usize, entered_at: f64) -> Option<Call> {
    let (before, result) = text.rsplit_once(" = ")?;
    let (name, arguments) = before.split_once('(')?;
    let arguments = arguments.trim_end().strip_suffix(')')?;
    let [name, arguments, result] = [name, arguments, result.trim()].map(str::to_owned);
    Some(Call { name, arguments, result, entry, exit, entered_at })
}
