//! What `longshore v1 list --json` says of a store. Two of the same store are equal, whichever drivers they came through.

use std::process::Command;

use serde_json::Value;

use crate::process::run_command;
use crate::registry::CORE;
use crate::scratch;

#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// In the order in which they came.
    pub lines: Vec<Value>,
}

impl Listing {
    /// Through the driver at this endpoint; the command must succeed.
    pub fn through(endpoint: &str, options: &[&str]) -> Self {
        let mut command = Command::new(scratch::binary(CORE));
        command.args(["v1", "list", "--json", "--from", endpoint]).args(options);
        let said = run_command(&mut command);
        let line = |line: &str| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        Self { lines: said.lines().map(line).collect() }
    }

    /// `NAMESPACE/NAME`.
    pub fn tag(&self, repository: &str, tag: &str) -> &Value {
        self.one(|line| line["kind"] == "tag" && line["repository"] == repository && line["tag"] == tag)
    }

    pub fn repository(&self, repository: &str) -> &Value {
        self.one(|line| line["kind"] == "repository" && line["repository"] == repository)
    }

    /// Those that no tag reaches, with `--unreferenced`.
    pub fn unreferenced(&self) -> Vec<&str> {
        let images = self.lines.iter().filter(|line| line["kind"] == "image");
        images.map(|line| line["image"].as_str().expect("an id")).collect()
    }

    pub fn summary(&self) -> &Value {
        self.one(|line| line["kind"] == "summary")
    }

    fn one(&self, fits: impl Fn(&Value) -> bool) -> &Value {
        let mut lines = self.lines.iter().filter(|line| fits(line));
        match (lines.next(), lines.next()) {
            (Some(line), None) => line,
            (first, second) => panic!("{first:?} and {second:?} in {:#?}", self.lines),
        }
    }
}

/// The findings in a field of a line (`damage` or `notes`): what, and of which image.
pub fn findings(line: &Value, field: &str) -> Vec<(String, Option<String>)> {
    let findings = line[field].as_array().unwrap_or_else(|| panic!("no {field} in {line}"));
    let text = |value: &Value| value.as_str().map(str::to_owned);
    findings.iter().map(|one| (text(&one["what"]).expect("a word"), text(&one["image"]))).collect()
}
