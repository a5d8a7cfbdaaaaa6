//! The registry that most operators come from: what `cargo xtask bench` compares with and the tests import from.

use std::path::PathBuf;

use crate::go_tool::GoTool;

const DISTRIBUTION: GoTool = GoTool {
    name: "distribution",
    package: "github.com/distribution/distribution/v3/cmd/registry",
    version: "v3.1.2",
};

/// The program, built first where it is missing (about two minutes).
pub(crate) fn provide() -> Result<PathBuf, String> {
    DISTRIBUTION.provide()
}
