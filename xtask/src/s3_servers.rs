//! The S3 servers that the tests start, three implementations that differ: versitygw, Swift with s3api, Ceph's RGW.

mod rgw;
mod swift;

use crate::go_tool::GoTool;

const VERSITYGW: GoTool =
    GoTool { name: "versitygw", package: "github.com/versity/versitygw/cmd/versitygw", version: "v1.8.0" };

/// All three, each fetched or built first where it is missing.
pub(crate) fn provide() -> Result<(), String> {
    VERSITYGW.provide()?;
    swift::provide()?;
    rgw::provide()
}
