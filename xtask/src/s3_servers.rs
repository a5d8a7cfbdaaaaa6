//! The S3 servers that the tests start, implementations that differ: versitygw, Swift with s3api and Ceph's RGW in every run,
//! MinIO and Garage, which take minutes to build, in the full tier.

mod garage;
mod rgw;
mod swift;
pub(crate) mod versitygw;

use crate::go_tool::GoTool;
use crate::tests::Tier;

/// Its releases are no versions of a Go module, so it goes by the time of a commit.
const MINIO: GoTool = GoTool {
    name: "minio",
    package: "github.com/minio/minio",
    version: "v0.0.0-20260212201848-7aac2a2c5b7c",
};

/// Those of a tier, each fetched or built first where it is missing.
pub(crate) fn provide(tier: Tier) -> Result<(), String> {
    versitygw::provide()?;
    swift::provide()?;
    rgw::provide()?;
    if tier == Tier::Full {
        MINIO.provide()?;
        garage::provide()?;
    }
    Ok(())
}
