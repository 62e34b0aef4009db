//! Runs the PDF parser in a child process with bounds on its time, memory and output, so that no file can take this
//! process down with it.
//!
//! The child is the running program itself, started with a hidden first argument. It gets the file on its standard
//! input, and writes one JSON value after [`MARK`] to its standard output.

use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::fault::Fault;
use crate::input::Input;
use crate::limits::Limits;
use crate::pages::Pages;
use crate::pdf::{self, Parsed};

/// The first argument that makes a program of this house the parser of one PDF.
pub const PARSE_PDF: &str = "__parse-pdf";

/// What stands before the result, so that a program that is no parser, and whatever a library prints, is noticed.
const MARK: &[u8] = b"\x02burnish-pdf\n";

/// Objects nest, and their parser calls itself for each level.
const STACK_BYTES: usize = 64 << 20;

/// Becomes the parser of one PDF if `arguments`, which begin with the program's name, say so: the caller's `main` then
/// returns the code. Call it before anything else, with [`std::env::args_os`].
pub fn run_isolated_parser(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter().skip(1);
    if arguments.next()? != PARSE_PDF {
        return None;
    }
    let numbers: Vec<u64> = arguments.filter_map(|argument| argument.to_str()?.parse().ok()).collect();
    let [seconds, memory, max_text_bytes] = numbers[..] else { return Some(ExitCode::FAILURE) };
    limit(Resource::Cpu, seconds.saturating_add(1));
    limit(Resource::Core, 0);
    limit(Resource::As, memory);
    let worker = thread::Builder::new().stack_size(STACK_BYTES).spawn(move || answer(max_text_bytes));
    let written = worker.ok().and_then(|worker| worker.join().ok()).is_some_and(|written| written.is_ok());
    Some(if written { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The pages of the PDF `input`, which is read from its start.
pub(crate) fn parse_pdf(input: &mut Input<'_>, limits: &Limits) -> Result<Pages, Fault> {
    let output = match input {
        Input::File(file) => run(limits, Stdio::from(file.try_clone()?), None)?,
        Input::Bytes(bytes) => run(limits, Stdio::piped(), Some(bytes.get_ref()))?,
    };
    let start = after(MARK, &output).ok_or_else(|| {
        Fault::Isolation(
            "the parser ended without a result; it needs too much memory, or the file is hostile".to_owned(),
        )
    })?;
    match serde_json::from_slice(&output[start..]) {
        Ok(Parsed::Pages(pages)) => Ok(pages),
        Ok(Parsed::Encrypted) => Err(Fault::Encrypted),
        Ok(Parsed::Malformed(reason)) => Err(Fault::Malformed { format: "PDF", reason }),
        Ok(Parsed::TextTooLarge) => Err(Fault::TextTooLarge { limit: limits.max_text_bytes }),
        Err(error) => Err(Fault::Isolation(format!("the parser's result is damaged: {error}"))),
    }
}

/// Where the platform doesn't know a limit, the time limit of the parent still holds.
fn limit(resource: Resource, most: u64) {
    let _ = setrlimit(resource, Rlimit { current: Some(most), maximum: Some(most) });
}

fn answer(max_text_bytes: u64) -> io::Result<()> {
    let mut bytes = Vec::new();
    io::stdin().lock().read_to_end(&mut bytes)?;
    let parsed = pdf::parse(&bytes, max_text_bytes);
    let mut output = io::stdout().lock();
    output.write_all(MARK)?;
    serde_json::to_writer(&mut output, &parsed)?;
    output.flush()
}

/// Starts the parser and returns what it wrote.
fn run(limits: &Limits, stdin: Stdio, bytes: Option<&[u8]>) -> Result<Vec<u8>, Fault> {
    let program = match &limits.parser {
        Some(program) => program.clone(),
        None => this_program()?,
    };
    let mut child = Command::new(&program)
        .arg(PARSE_PDF)
        .args(
            [limits.max_seconds, limits.max_memory_bytes, limits.max_text_bytes]
                .map(|limit| limit.to_string()),
        )
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| Fault::Isolation(format!("`{}` cannot be started: {error}", program.display())))?;
    let output = thread::scope(|scope| {
        if let (Some(mut stdin), Some(bytes)) = (child.stdin.take(), bytes) {
            // A parser that ends early closes the pipe, which is its right.
            scope.spawn(move || stdin.write_all(bytes).is_ok());
        }
        let output = collect(&mut child, limits);
        // Whatever it does now, it has answered or had its time; this also ends the writer above.
        let _ = child.kill();
        output
    });
    child.wait()?;
    output
}

fn this_program() -> Result<PathBuf, Fault> {
    std::env::current_exe()
        .map_err(|error| Fault::Isolation(format!("this program's file is not known: {error}")))
}

fn collect(child: &mut Child, limits: &Limits) -> Result<Vec<u8>, Fault> {
    let Some(stdout) = child.stdout.take() else {
        return Err(Fault::Isolation("the parser has no output".to_owned()));
    };
    // JSON escapes control characters with six bytes; text that is mostly that is cut off, and so refused.
    let most = limits.max_text_bytes.saturating_mul(2).saturating_add(1 << 20);
    let (sender, receiver) = mpsc::channel();
    // Detached on purpose: it ends with the child's output, and the wait for it must be able to end earlier.
    thread::spawn(move || {
        let mut output = Vec::new();
        let read = stdout.take(most).read_to_end(&mut output).map(|_| output);
        sender.send(read).is_ok()
    });
    match receiver.recv_timeout(Duration::from_secs(limits.max_seconds)) {
        Ok(read) => Ok(read?),
        Err(_) => Err(Fault::TooSlow { seconds: limits.max_seconds }),
    }
}

/// Where what follows `mark` begins.
fn after(mark: &[u8], output: &[u8]) -> Option<usize> {
    output.windows(mark.len()).position(|window| window == mark).map(|start| start + mark.len())
}
