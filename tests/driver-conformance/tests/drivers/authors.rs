//! Whether docs/driver-authors.md is true: its `sh` blocks run as they stand, in one shell, and what they print is what
//! the `text` block right below says.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

use crate::{processors, shell};

/// Before each block on standard output.
const MARK: &str = "@@ block";
const PLACEHOLDERS: &[&str] = &["<VERSION>", "<INSTANCE>", "<TIME>", "<ETAG>"];

/// A block of commands, and what it prints where the document says so.
struct Block {
    line: usize,
    script: String,
    printed: Option<String>,
}

#[test]
fn what_is_told_to_authors_of_drivers_works_as_it_stands() {
    let text = fs::read_to_string(root().join("docs/driver-authors.md")).expect("the document");
    let blocks = blocks(&text);
    let compared = blocks.iter().filter(|block| block.printed.is_some()).count();
    assert!(blocks.len() >= 10 && compared >= 6, "{} blocks, {compared} with output", blocks.len());
    let _busy = processors::for_compilers();
    let scratch = tempfile::tempdir().expect("a directory");
    let output = scratch.path().join("output");
    let status = run(&script(&blocks), scratch.path(), &output);
    let output = fs::read_to_string(&output).expect("the output");
    let parts = parts(&output);
    assert!(status.success(), "{status} in the block at line {}\n{output}", blocks[parts.len() - 1].line);
    assert_eq!(parts.len(), blocks.len(), "{output}");
    for (block, printed) in blocks.iter().zip(parts) {
        if let Some(expected) = &block.printed {
            assert!(
                is_as_told(expected, printed),
                "line {}: the document says\n{expected}\nbut it printed\n{printed}",
                block.line
            );
        }
    }
}

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
    let text =
        "```sh\nfirst\n```\n\n```text\nsaid\n```\nprose\n```sh\nsecond\n```\nprose\n```text\nother\n```\n";
    let found: Vec<_> =
        blocks(text).into_iter().map(|block| (block.line, block.script, block.printed)).collect();
    assert_eq!(
        found,
        [(1, "first\n".to_owned(), Some("said\n".to_owned())), (9, "second\n".to_owned(), None)]
    );
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the repository")
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

fn run(script: &str, scratch: &Path, output: &Path) -> ExitStatus {
    let file = scratch.join("script");
    fs::write(&file, script).expect("write the script");
    let temporary = scratch.join("tmp");
    fs::create_dir(&temporary).expect("make a directory");
    let mut command = Command::new("bash");
    command.arg("-eu").arg(&file).current_dir(root());
    command.env("PATH", path()).env("TMPDIR", temporary).env("NO_COLOR", "1");
    shell::run(&mut command, output)
}

/// The binaries of this build, then what `cargo xtask test` provides, then the machine's.
fn path() -> OsString {
    let kit = Path::new(env!("CARGO_BIN_EXE_longshore-driver-check"));
    let release = kit.parent().expect("the directory of the binaries").to_owned();
    let grpcurl = root().join("target/tools/grpcurl-v1.9.4");
    let examples = release.join("examples");
    let needed = [
        (release.join("longshore"), "cargo build --release"),
        (
            examples.join("longshore-driver-memory"),
            "cargo build --release -p longshore-driver-sdk --examples",
        ),
        (grpcurl.join("grpcurl"), "cargo xtask test"),
    ];
    for (program, made_by) in needed {
        assert!(program.is_file(), "{} is missing: `{made_by}` builds it", program.display());
    }
    let before = std::env::var_os("PATH").unwrap_or_default();
    let all = [release, examples, grpcurl].into_iter().chain(std::env::split_paths(&before));
    std::env::join_paths(all).expect("a PATH")
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
