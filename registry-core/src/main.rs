//! The registry: see [`longshore_core`].

fn main() -> std::process::ExitCode {
    longshore_core::cli::main()
}
