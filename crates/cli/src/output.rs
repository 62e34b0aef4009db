//! What a person or a program reads: results on stdout, everything else on stderr.

use std::fmt::Display;
use std::io::{self, Write};
use std::time::Duration;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Prints a result for people.
pub(crate) fn say(text: impl Display) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{text}")?)
}

/// Prints a piece of a result that is still being made.
pub(crate) fn stream(text: &str) -> Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    Ok(stdout.flush()?)
}

/// Prints a result for programs: one JSON object.
pub(crate) fn json(value: &serde_json::Value) -> Result<()> {
    Ok(writeln!(io::stdout().lock(), "{value}")?)
}

/// Says on stderr what went wrong.
pub(crate) fn complain(text: &str) {
    // Where stderr is closed nobody can be told.
    let _ = writeln!(io::stderr().lock(), "burnish: {text}");
}

/// Says on stderr what is going on.
pub(crate) fn note(text: impl Display) {
    // As above.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A bar on stderr that counts `unit`; draws nothing where stderr is no terminal.
pub(crate) fn bar(length: u64, unit: &str) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length), ProgressDrawTarget::stderr());
    let template = format!("{{bar:30}} {{pos}}/{{len}} {unit}  {{elapsed}} (left {{eta}})  {{msg}}");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}
