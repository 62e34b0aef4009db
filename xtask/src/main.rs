//! The workspace's own checks and chores: `cargo xtask tidy` and `cargo xtask handbook`.

mod finding;
mod handbook;
mod tidy;

use std::env;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::finding::Finding;

const USAGE: &str = "usage: cargo xtask tidy      check the rules that compilers and linters do not know
       cargo xtask handbook  write handbook/beir from the handbook's articles and questions";

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let root = root()?;
    let findings = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["tidy"] => tidy::check(&root)?,
        ["handbook"] => handbook::write(&root)?,
        _ => {
            writeln!(io::stderr(), "{USAGE}")?;
            return Ok(ExitCode::from(2));
        }
    };
    report(&findings)?;
    Ok(if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The workspace's root: cargo says where this crate is, and elsewhere it is where we stand.
fn root() -> Result<PathBuf> {
    let Some(manifest) = env::var_os("CARGO_MANIFEST_DIR") else { return Ok(env::current_dir()?) };
    PathBuf::from(manifest).parent().map(PathBuf::from).context("this crate lies in no workspace")
}

fn report(findings: &[Finding]) -> io::Result<()> {
    let mut output = io::stderr().lock();
    for finding in findings {
        writeln!(output, "{finding}")?;
    }
    if !findings.is_empty() {
        writeln!(output, "{} to put right", findings.len())?;
    }
    Ok(())
}
