//! Programs that a benchmark starts, and ends.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use super::Context;
use crate::config::EmbeddingConfig;

/// How long a program has to end by itself.
const GRACE: Duration = Duration::from_secs(15);

/// A program that says on one line of JSON that it is ready. It is ended with this value.
pub(crate) struct Program {
    process: Child,
    /// Of one that ends with its input.
    stdin: Option<ChildStdin>,
    /// What it said.
    pub(crate) said: Value,
}

impl Program {
    /// Waits until it is ready.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        Self::started(command.stdin(Stdio::null()))
    }

    /// As [`Self::start`], of a program that is to end when its input does.
    pub(crate) fn start_with_input(command: &mut Command) -> Result<Self> {
        Self::started(command.stdin(Stdio::piped()))
    }

    fn started(command: &mut Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        let spawned = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut process = spawned.with_context(|| format!("`{name}` cannot be started"))?;
        let (stdin, stdout) = (process.stdin.take(), process.stdout.take());
        let mut program = Self { process, stdin, said: Value::Null };
        let mut line = String::new();
        BufReader::new(stdout.context("it has no stdout")?).read_line(&mut line)?;
        program.said =
            serde_json::from_str(&line).with_context(|| format!("`{name}` did not say that it is ready"))?;
        Ok(program)
    }

    /// A text of what it said.
    pub(crate) fn text(&self, field: &str) -> Result<&str> {
        self.said[field].as_str().with_context(|| format!("the program did not say its `{field}`"))
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let end = Instant::now() + GRACE;
        if self.stdin.take().is_some() {
            while Instant::now() < end && matches!(self.process.try_wait(), Ok(None)) {
                thread::sleep(Duration::from_millis(50));
            }
        }
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// This program as a server over `data`, on a free port.
pub(crate) fn serving(context: &Context, data: &Path, config: Option<&Path>) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("--json").arg("--data").arg(data);
    if let Some(config) = config {
        command.arg("--config").arg(config);
    }
    command.args(["serve", "--listen", "127.0.0.1:0"]);
    if let EmbeddingConfig::Local { path, .. } = &context.config.embedding {
        command.env("BURNISH_EMBEDDING_PATH", path);
    }
    Ok(command)
}

/// The test provider, with its knobs turned so.
pub(crate) fn provider(knobs: &Value) -> Result<Program> {
    let name = "burnish-test-provider";
    let path = std::env::current_exe()?.with_file_name(name);
    if !path.exists() {
        bail!("`{}` is not there: build it with `cargo build --release --package {name}`", path.display());
    }
    Program::start(Command::new(path).args(["--listen", "127.0.0.1:0", "--knobs", &knobs.to_string()]))
}

/// This program in front of a model, whose settings are `model`, with planner, cache, log and metrics as they are by default,
/// and without documents to look at. All its files lie in `folder`.
pub(crate) fn serving_model(context: &Context, folder: &Path, model: &str) -> Result<Program> {
    let config = folder.join("burnish.toml");
    let settings = format!(
        "[server]\nmax_concurrent_requests = 4096\n[planner]\nstrategies = [\"none\"]\nbaseline = \"none\"\n\
         [[models]]\nmax_concurrent = 4096\n{model}"
    );
    fs::write(&config, settings)?;
    Program::start(&mut serving(context, &folder.join("data"), Some(&config))?)
}

/// A command line, whose words are parted by spaces.
pub(crate) fn worded(line: &str) -> Result<Command> {
    let mut words = line.split_whitespace();
    let Some(program) = words.next() else { bail!("a command is empty") };
    let mut command = Command::new(program);
    command.args(words);
    Ok(command)
}

/// A figure of `/proc/PROCESS/status`, in mebibytes; 0 where the system has none.
pub(crate) fn memory_mib(process: &str, figure: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok()).unwrap_or(0.0) / 1_024.0
}

/// What all processes of a group have in memory, in mebibytes.
pub(crate) fn group_memory_mib(group: u64) -> f64 {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = processes.filter_map(|entry| entry.file_name().to_str().map(str::to_owned));
    let member = |id: &String| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // After the name, which may hold anything, stand the state, the parent and the group.
        let place = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_whitespace().nth(2));
        place.and_then(|place| place.parse::<u64>().ok()) == Some(group)
    };
    ids.filter(|id| id.bytes().all(|byte| byte.is_ascii_digit()))
        .filter(member)
        .map(|id| memory_mib(&id, "VmRSS:"))
        .sum()
}
