//! Whether a document is true: its `sh` blocks run as they stand, in one shell at the root of the repository, and what they print
//! is what the `text` block right below says.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::shell;

/// Before each block on standard output.
const MARK: &str = "@@ block";
const PLACEHOLDERS: &[&str] = &["<VERSION>", "<INSTANCE>", "<TIME>", "<ETAG>"];

/// A block of commands, and what it prints where the document says so.
#[derive(Debug, PartialEq, Eq)]
struct Block {
    line: usize,
    script: String,
    printed: Option<String>,
}

/// A document of the repository.
pub struct Document {
    name: &'static str,
    blocks: Vec<Block>,
}

impl Document {
    pub fn read(name: &'static str) -> Self {
        let text = fs::read_to_string(root().join(name)).expect("the document");
        Self { name, blocks: blocks(&text) }
    }

    /// So that a document without blocks does not pass for a true one.
    pub fn has(&self, blocks: usize, with_output: usize) {
        let compared = self.blocks.iter().filter(|block| block.printed.is_some()).count();
        let found = self.blocks.len();
        assert!(found >= blocks && compared >= with_output, "{found} blocks, {compared} with output");
    }

    /// With these directories before the others of the PATH.
    pub fn is_true(&self, programs: &[PathBuf], equip: impl FnOnce(&mut Command, &Path)) {
        let place = crate::scratch::socket_directory();
        let output = place.path().join("output");
        let file = place.path().join("script");
        fs::write(&file, script(&self.blocks)).expect("write the script");
        let temporary = place.path().join("t");
        fs::create_dir(&temporary).expect("make a directory");
        let mut command = Command::new("bash");
        command.arg("-eu").arg(&file).current_dir(root());
        command.env("PATH", path(programs)).env("TMPDIR", temporary).env("NO_COLOR", "1");
        equip(&mut command, place.path());
        let status = shell::run(&mut command, &output);
        let output = fs::read_to_string(&output).expect("the output");
        let parts = parts(&output);
        let line = |at: usize| self.blocks.get(at).map_or(0, |block| block.line);
        let last = line(parts.len().saturating_sub(1));
        assert!(status.success(), "{status} in the block of {} at line {last}\n{output}", self.name);
        assert_eq!(parts.len(), self.blocks.len(), "{output}");
        for (block, printed) in self.blocks.iter().zip(parts) {
            let Some(expected) = &block.printed else { continue };
            assert!(
                is_as_told(expected, printed),
                "line {} of {}: the document says\n{expected}\nbut it printed\n{printed}",
                block.line,
                self.name
            );
        }
    }
}

/// The repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
}

fn path(programs: &[PathBuf]) -> OsString {
    let before = std::env::var_os("PATH").unwrap_or_default();
    let all = programs.iter().cloned().chain(std::env::split_paths(&before));
    std::env::join_paths(all).expect("a PATH")
}

fn blocks(text: &str) -> Vec<Block> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut right_above = false;
    let mut lines = text.lines().enumerate();
    while let Some((at, line)) = lines.next() {
        let Some(kind) = line.strip_prefix("```") else {
            right_above &= line.is_empty();
            continue;
        };
        let inside = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```");
        let content: String = inside.flat_map(|line| [line, "\n"]).collect();
        match (kind, blocks.last_mut()) {
            ("sh", _) => blocks.push(Block { line: at + 1, script: content, printed: None }),
            ("text", Some(last)) if right_above => last.printed = Some(content),
            _ => {}
        }
        right_above = kind == "sh";
    }
    blocks
}

fn script(blocks: &[Block]) -> String {
    blocks.iter().map(|block| format!("printf '{MARK}\\n'\n{}", block.script)).collect()
}

/// What each block that was begun has printed.
fn parts(output: &str) -> Vec<&str> {
    output.split(&format!("{MARK}\n")).skip(1).collect()
}

/// Equal, but that a placeholder stands for one or more characters of a value.
fn is_as_told(expected: &str, printed: &str) -> bool {
    let next = PLACEHOLDERS.iter().filter_map(|name| Some((expected.find(name)?, name.len()))).min();
    let Some((at, length)) = next else { return expected == printed };
    let Some(rest) = printed.strip_prefix(&expected[..at]) else { return false };
    let is_of_value = |character: char| character.is_ascii_alphanumeric() || "-:.+_".contains(character);
    // A full stop or the like behind a placeholder is the document's, so try the longest value first.
    let value = rest.find(|character| !is_of_value(character)).unwrap_or(rest.len());
    (1..=value).rev().any(|end| is_as_told(&expected[at + length..], &rest[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placeholder_stands_for_one_value_and_nothing_else_differs() {
        assert!(is_as_told("\"now\": \"<TIME>\"\n", "\"now\": \"2026-11-25T18:26:43Z\"\n"));
        assert!(is_as_told("a <ETAG>, <ETAG>.", "a 1, 2."));
        assert!(!is_as_told("\"now\": \"<TIME>\"", "\"now\": \"\""));
        assert!(!is_as_told("\"now\": \"<TIME>\"", "\"now\": \"1\", \"then\": \"2\""));
        assert!(!is_as_told("one\ntwo\n", "one\n"));
        assert!(!is_as_told("one\n", "one\ntwo\n"));
    }

    #[test]
    fn a_block_of_output_belongs_to_the_commands_right_above_it() {
        let text = "```sh\nfirst\n```\n\n```text\nsaid\n```\nprose\n```sh\nsecond\n```\nprose\n```text\nother\n```\n";
        let block = |line, script: &str, printed: Option<&str>| Block {
            line,
            script: script.to_owned(),
            printed: printed.map(str::to_owned),
        };
        assert_eq!(blocks(text), [block(1, "first\n", Some("said\n")), block(9, "second\n", None)]);
    }
}
