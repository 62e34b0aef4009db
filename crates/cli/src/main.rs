//! `burnish`, the single binary: parses the command line, puts the engine together and runs one command.

mod args;
mod commands;
mod config;
mod output;
mod parts;

use std::process::ExitCode;

use clap::Parser;

/// A request makes hundreds of small allocations, on whatever thread takes it up.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    // A PDF is parsed in a process of its own, which is this program called again.
    if let Some(code) = burnish_ingest::run_isolated_parser(std::env::args_os()) {
        return code;
    }
    let args = args::Args::parse();
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,burnish=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false).init();
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}
