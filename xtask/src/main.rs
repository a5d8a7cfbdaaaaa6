//! `cargo xtask`: the chores of the project. This file owns the command line.

mod bench;
mod console;
mod distribution;
mod docker_registry;
mod fuzz;
mod go_tool;
mod old_drivers;
mod process;
mod proto;
mod python27;
mod run;
mod s3_servers;
mod step;
mod tests;
mod tool_directory;
mod tools;

use std::process::ExitCode;

use tests::Tier;

const USAGE: &str = "\
usage: cargo xtask run [--listen ADDR] [--data DIR] [--storage s3|swift]
                                                      build, then serve a registry until Ctrl-C; s3: from a bucket
                                                      of a versitygw of its own; swift: from a container of a Swift
       cargo xtask test [--full] [FILTER]             every check; with FILTER only the tests so named; with --full also
                                                      what takes longer: MinIO and Garage, long loads
       cargo xtask ci                                 the same as test, without a filter
       cargo xtask proto [--new-image]                lint the driver protocol, and see that it breaks no peer
       cargo xtask fuzz [--seconds N] [TARGET]        feed every parser with what nobody would write; needs nightly
       cargo xtask bench [--assert] [--rounds N] [--size-mib N] [--only LOAD]
                                                      compare with distribution and nginx; writes docs/performance.md
       cargo xtask bench s3 [--assert] [--rounds N] [--size-mib N] [--only requests|throughput]
                                                      the same over S3: requests, and throughput beside the AWS SDK's
       cargo xtask bench swift [--assert] [--rounds N] [--size-mib N] [--only requests|throughput]
                                                      over Swift and RGW: requests, and throughput beside plain HTTP's";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match arguments.as_slice() {
        ["run", options @ ..] => run::Options::parse(options).and_then(|options| run::run(&options)),
        ["test"] | ["ci"] => tests::everything(Tier::Ordinary),
        ["test", "--full"] => tests::everything(Tier::Full),
        ["test", "--full", filter] if !filter.starts_with('-') => tests::filtered(Tier::Full, filter),
        ["test", filter] if !filter.starts_with('-') => tests::filtered(Tier::Ordinary, filter),
        ["proto"] => proto::check(),
        ["proto", "--new-image"] => proto::new_image(),
        ["bench", options @ ..] => bench::start(options),
        ["fuzz", options @ ..] => fuzz::start(options),
        ["help" | "--help" | "-h"] => {
            console::say(USAGE);
            return ExitCode::SUCCESS;
        }
        _ => Err(USAGE.to_owned()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            console::complain(&reason);
            ExitCode::FAILURE
        }
    }
}
