//! The journal of one session in a directory: a line for each state that became durable, the last one counts. Owns its
//! format, what a torn line means, and when it is written anew.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::OFlags;
use serde::{Deserialize, Serialize};

use super::dir::Dir;
use crate::driver::Fence;

const NAME: &str = "journal";
const NEW_NAME: &str = "journal.new";
/// Longer than this it is begun anew.
const COMPACT_AT: u64 = 256 * 1024;

/// How far a session is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    Open,
    /// All bytes are durable and are about to become the object.
    Committing,
    Committed,
}

/// One state of a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    pub state: Phase,
    pub key: String,
    pub fence: Fence,
    pub durable: u64,
    /// In base64.
    bookmark: String,
    /// Milliseconds since 1970.
    updated: u64,
}

impl Line {
    /// A state of now.
    pub fn new(state: Phase, key: &str, fence: &Fence, durable: u64, bookmark: &[u8]) -> Self {
        Self::of(state, key, fence, durable, bookmark, SystemTime::now())
    }

    pub(super) fn of(
        state: Phase,
        key: &str,
        fence: &Fence,
        durable: u64,
        bookmark: &[u8],
        updated: SystemTime,
    ) -> Self {
        let since_1970 = updated.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self {
            state,
            key: key.to_owned(),
            fence: fence.clone(),
            durable,
            bookmark: STANDARD.encode(bookmark),
            updated: u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// `None`: no base64.
    pub fn bookmark(&self) -> Option<Vec<u8>> {
        STANDARD.decode(&self.bookmark).ok()
    }

    pub fn updated(&self) -> SystemTime {
        UNIX_EPOCH.checked_add(Duration::from_millis(self.updated)).unwrap_or(UNIX_EPOCH)
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        // Texts and numbers: there is nothing in it that can't be JSON.
        let json = serde_json::to_vec(self).unwrap_or_default();
        let mut line = format!("{:08x} ", crc32c::crc32c(&json)).into_bytes();
        line.extend_from_slice(&json);
        line.push(b'\n');
        line
    }

    pub(super) fn decode(line: &[u8]) -> Option<Self> {
        let (sum, json) = line.split_at_checked(9)?;
        let sum = u32::from_str_radix(std::str::from_utf8(sum).ok()?.strip_suffix(' ')?, 16).ok()?;
        if crc32c::crc32c(json) == sum { serde_json::from_slice(json).ok() } else { None }
    }
}

/// What a journal says.
struct Told {
    last: Option<Line>,
    /// Up to where its lines are whole.
    whole: u64,
}

fn told(text: &[u8]) -> Told {
    let mut told = Told { last: None, whole: 0 };
    for line in text.split_inclusive(|byte| *byte == b'\n') {
        let Some(state) = line.strip_suffix(b"\n").and_then(Line::decode) else { break };
        told.last = Some(state);
        told.whole += line.len() as u64;
    }
    told
}

/// A journal open for writing; only who holds the session has one.
#[derive(Debug)]
pub struct Journal {
    file: File,
    length: u64,
    sync: bool,
}

impl Journal {
    /// Begins the journal of a new session.
    ///
    /// # Errors
    /// Those of the system.
    pub fn create(dir: &Dir, first: &Line, sync: bool) -> io::Result<Self> {
        let file = dir.file(NAME, OFlags::RDWR | OFlags::CREATE | OFlags::EXCL)?;
        let mut journal = Self { file, length: 0, sync };
        journal.append(first)?;
        Ok(journal)
    }

    /// Opens a journal, and gives the state it ends with; `None`: not one whole line is in it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn open(dir: &Dir, sync: bool) -> io::Result<Option<(Self, Line)>> {
        let mut file = dir.file(NAME, OFlags::RDWR)?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let told = told(&text);
        let Some(last) = told.last else { return Ok(None) };
        if told.whole < text.len() as u64 {
            file.set_len(told.whole)?;
        }
        file.seek(SeekFrom::Start(told.whole))?;
        Ok(Some((Self { file, length: told.whole, sync }, last)))
    }

    /// The last state in a journal that may be somebody else's; `None`: not one whole line is in it.
    ///
    /// # Errors
    /// Those of the system.
    pub fn read(dir: &Dir) -> io::Result<Option<Line>> {
        let mut text = Vec::new();
        dir.file(NAME, OFlags::RDONLY)?.read_to_end(&mut text)?;
        Ok(told(&text).last)
    }

    /// Adds a state, durably.
    ///
    /// # Errors
    /// Those of the system; then the journal must be dropped.
    pub fn append(&mut self, line: &Line) -> io::Result<()> {
        self.append_lazily(line)?;
        if self.sync { self.file.sync_data() } else { Ok(()) }
    }

    /// Adds a state that need not outlive a power cut.
    ///
    /// # Errors
    /// Those of the system; then the journal must be dropped.
    pub fn append_lazily(&mut self, line: &Line) -> io::Result<()> {
        let line = line.encode();
        self.file.write_all(&line)?;
        self.length += line.len() as u64;
        Ok(())
    }

    /// Begins anew with the last state, once the journal has grown long.
    ///
    /// # Errors
    /// Those of the system; then the journal must be dropped.
    pub fn compact(&mut self, dir: &Dir, last: &Line) -> io::Result<()> {
        if self.length <= COMPACT_AT {
            return Ok(());
        }
        let file = dir.file(NEW_NAME, OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC)?;
        let mut shorter = Self { file, length: 0, sync: self.sync };
        shorter.append(last)?;
        dir.rename(NEW_NAME, dir, NAME)?;
        if self.sync {
            dir.sync()?;
        }
        *self = shorter;
        Ok(())
    }
}

/// The files a journal may consist of.
pub(super) const FILES: [&str; 2] = [NAME, NEW_NAME];

#[cfg(test)]
mod tests {
    use super::*;

    fn line(durable: u64) -> Line {
        Line::new(Phase::Open, "a/b", &Fence { counter: 1, owner: "o".into() }, durable, &[0, 255, 10])
    }

    fn journal_of(lines: &[Line]) -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let dir = Dir::open_root(temp.path()).unwrap();
        let mut journal = Journal::create(&dir, &lines[0], true).unwrap();
        for line in &lines[1..] {
            journal.append(line).unwrap();
        }
        (temp, dir)
    }

    #[test]
    fn the_last_whole_line_counts_wherever_the_journal_was_torn() {
        let (temp, dir) = journal_of(&[line(0), line(7)]);
        let path = temp.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        let first = whole.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        for cut in 0..whole.len() {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let expected = if cut < first { None } else { Some(0) };
            assert_eq!(Journal::read(&dir).unwrap().map(|line| line.durable), expected, "cut at {cut}");
        }
    }

    #[test]
    fn a_torn_line_is_gone_before_the_next_is_written() {
        let (temp, dir) = journal_of(&[line(0), line(7)]);
        let path = temp.path().join(NAME);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, &whole[..whole.len() - 3]).unwrap();
        let (mut journal, last) = Journal::open(&dir, true).unwrap().unwrap();
        assert_eq!(last.durable, 0);
        journal.append(&line(9)).unwrap();
        assert_eq!(Journal::read(&dir).unwrap().unwrap().durable, 9);
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let (temp, dir) = journal_of(&[line(5)]);
        let path = temp.path().join(NAME);
        let text = std::fs::read_to_string(&path).unwrap().replace("\"durable\":5", "\"durable\":6");
        std::fs::write(&path, text).unwrap();
        assert_eq!(Journal::read(&dir).unwrap(), None);
    }

    #[test]
    fn a_long_journal_is_begun_anew_and_says_the_same() {
        let (temp, dir) = journal_of(&[line(0)]);
        let (mut journal, _) = Journal::open(&dir, true).unwrap().unwrap();
        for durable in 0..4000 {
            journal.append_lazily(&line(durable)).unwrap();
            journal.compact(&dir, &line(durable)).unwrap();
        }
        assert_eq!(Journal::read(&dir).unwrap().unwrap().durable, 3999);
        assert!(std::fs::metadata(temp.path().join(NAME)).unwrap().len() <= COMPACT_AT + 1024);
        assert_eq!(line(1).bookmark().unwrap(), [0, 255, 10]);
    }
}
