//! `cargo xtask proto`: the driver protocol held against its rules by buf, and against the image of version 1 that
//! drivers out there were built from. Owns the versions of buf and grpcurl.

use std::path::Path;
use std::process::Command;

use crate::console;
use crate::go_tool::GoTool;
use crate::step::{root, succeed};

const BUF: GoTool = GoTool { name: "buf", package: "github.com/bufbuild/buf/cmd/buf", version: "v1.75.0" };
/// The tests run what docs/driver-authors.md does with it.
const GRPCURL: GoTool =
    GoTool { name: "grpcurl", package: "github.com/fullstorydev/grpcurl/cmd/grpcurl", version: "v1.9.4" };
/// Below driver-proto: what `buf breaking` compares with.
const IMAGE: &str = "descriptors/v1.binpb";

/// Lints the proto, and refuses what would break a peer that was built from the image.
pub(crate) fn check() -> Result<(), String> {
    let buf = BUF.provide()?;
    if !root().join("driver-proto").join(IMAGE).is_file() {
        return Err(format!(
            "driver-proto/{IMAGE} is missing: it is committed, and must not be made anew here"
        ));
    }
    run(&buf, &["lint"])?;
    run(&buf, &["breaking", "--against", IMAGE])?;
    console::say("the proto keeps the rules, and every promise of the image");
    Ok(())
}

/// Writes the image anew. Only a proto that breaks nothing gets that far, so an image only ever grows; a first one has
/// nothing to be compared with.
pub(crate) fn new_image() -> Result<(), String> {
    let buf = BUF.provide()?;
    let image = root().join("driver-proto").join(IMAGE);
    if image.is_file() {
        check()?;
    } else {
        run(&buf, &["lint"])?;
        let directory = image.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(directory)
            .map_err(|error| format!("cannot make {}: {error}", directory.display()))?;
    }
    // Without comments, so that it changes with the protocol alone.
    run(&buf, &["build", "--exclude-source-info", "--output", IMAGE])?;
    console::say(&format!("driver-proto/{IMAGE} is written: commit it with the proto"));
    Ok(())
}

/// grpcurl, for the tests.
pub(crate) fn provide_grpcurl() -> Result<(), String> {
    GRPCURL.provide().map(drop)
}

fn run(buf: &Path, arguments: &[&str]) -> Result<(), String> {
    succeed(Command::new(buf).args(arguments).current_dir(root().join("driver-proto")))
}
