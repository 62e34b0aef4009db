//! `burnish prompts` and `burnish experiments`: files are looked at here; what is in use and tried is asked of the running server.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use burnish_engine::check_prompts;
use burnish_prompt::{SHIPPED, SHIPPED_OPERATIONS, Template};
use clap::Subcommand;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

use super::Context;
use crate::output;

/// Where the running server is asked.
#[derive(Debug, clap::Args)]
pub(crate) struct At {
    /// The address of the running server; without it `server.listen` of the settings.
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
}

/// What models are told.
#[derive(Debug, clap::Args)]
pub(crate) struct PromptsArgs {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: PromptsCommand,
}

#[derive(Debug, Subcommand)]
enum PromptsCommand {
    /// The templates, the version in use of each, and what became of it.
    List,
    /// A template with its versions.
    Show {
        /// The template's id.
        id: String,
    },
    /// Say what is wrong with templates and operations in a directory.
    Check {
        /// The directory; without it `prompts.directory` of the settings.
        directory: Option<PathBuf>,
    },
    /// Write the templates and operations that come with the program into a directory, to start from.
    Export {
        /// The directory; what is there already stays.
        directory: PathBuf,
    },
    /// Show the prompt that a question would get.
    Render {
        /// The question.
        query: String,
        /// A template, in place of the one that the question would get.
        #[arg(long, short, value_name = "ID")]
        template: Option<String>,
        /// One of its versions, in place of the one in use.
        #[arg(long, value_name = "VERSION")]
        version: Option<String>,
    },
    /// Add a file as a version of its template, which no request gets before it is put into use or tried.
    Draft {
        /// The file.
        file: PathBuf,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
    },
    /// Put a version into use; an earlier one, too, which takes a change back.
    Use {
        /// The template's id.
        id: String,
        /// The version.
        version: String,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: Option<String>,
    },
    /// Pin a template to the version in use, so that no experiment changes it.
    Pin {
        /// The template's id.
        id: String,
    },
    /// Let experiments concern a template again.
    Unpin {
        /// The template's id.
        id: String,
    },
    /// Search for a better version of a template among other combinations of blocks, or look at the search.
    Search {
        /// The template's id.
        id: String,
        /// Begin it.
        #[arg(long, conflicts_with = "stop")]
        start: bool,
        /// End it.
        #[arg(long)]
        stop: bool,
    },
    /// Have the language model rewrite a template's instructions by answers that were judged wrong, as a draft.
    Rewrite {
        /// The template's id.
        id: String,
        /// Show it answers of this tenant, and not those of no tenant.
        #[arg(long, value_name = "NAME")]
        tenant: Option<String>,
    },
    /// What outcomes say of blocks and operations.
    Insights {
        /// Only versions of this template.
        id: Option<String>,
        /// How likely a finding must have the right sign.
        #[arg(long, default_value_t = 0.95, value_name = "SHARE")]
        confidence: f64,
    },
    /// What was changed, the newest change first.
    Log,
}

/// Versions of templates that are tried.
#[derive(Debug, clap::Args)]
pub(crate) struct ExperimentsArgs {
    #[command(flatten)]
    at: At,
    #[command(subcommand)]
    command: ExperimentsCommand,
}

#[derive(Debug, Subcommand)]
enum ExperimentsCommand {
    /// All experiments, the newest first.
    List,
    /// An experiment with what was found so far.
    Show {
        /// Its id.
        id: String,
    },
    /// Put an experiment down.
    Create {
        /// The template whose version in use is the champion.
        template: String,
        /// The versions that challenge it.
        #[arg(required = true, value_name = "VERSION")]
        challengers: Vec<String>,
        /// What it is called.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        /// The share of the requests that challengers get together.
        #[arg(long, default_value_t = 0.5, value_name = "SHARE")]
        share: f64,
        /// Assign users, with all of their requests, and not requests.
        #[arg(long)]
        by_user: bool,
        /// Only questions of this topic take part; may be repeated.
        #[arg(long = "topic", value_name = "NAME")]
        topics: Vec<String>,
        /// The largest probability of promoting a challenger that is not better.
        #[arg(long, value_name = "SHARE")]
        level: Option<f64>,
        /// The smallest effect of interest.
        #[arg(long, value_name = "Q")]
        effect: Option<f64>,
        /// After this many outcomes an undecided challenger is dropped.
        #[arg(long, value_name = "N")]
        horizon: Option<u64>,
        /// Do not promote by itself what costs more than so many times as much.
        #[arg(long, value_name = "TIMES")]
        most_cost: Option<f64>,
        /// Only propose a better challenger, and leave it to people to promote it.
        #[arg(long)]
        propose: bool,
        /// Begin at once.
        #[arg(long)]
        start: bool,
    },
    /// Begin a draft.
    Start {
        /// Its id.
        id: String,
    },
    /// Give it no requests for now.
    Freeze {
        /// Its id.
        id: String,
    },
    /// Go on with a frozen one.
    Resume {
        /// Its id.
        id: String,
    },
    /// End it and keep the champion.
    Stop {
        /// Its id.
        id: String,
    },
    /// End it and put a challenger into use.
    Promote {
        /// Its id.
        id: String,
        /// Which one, where there are several.
        version: Option<String>,
    },
}

/// The running server.
struct Server {
    base: String,
    client: Client,
}

impl Server {
    fn at(at: &At, context: &Context) -> Self {
        let listens = || format!("http://{}", context.config.listen);
        let base = at.url.clone().unwrap_or_else(listens).trim_end_matches('/').to_owned();
        Self { base, client: Client::new() }
    }

    fn get(&self, path: &str) -> Result<Value> {
        self.answer(self.client.get(format!("{}{path}", self.base)))
    }

    fn post(&self, path: &str, body: &Value) -> Result<Value> {
        self.answer(self.client.post(format!("{}{path}", self.base)).json(body))
    }

    fn delete(&self, path: &str) -> Result<Value> {
        self.answer(self.client.delete(format!("{}{path}", self.base)))
    }

    fn answer(&self, request: RequestBuilder) -> Result<Value> {
        let response = request.send().with_context(|| {
            format!(
                "no server answers at `{}`: start `burnish serve`, or name another one with --url",
                self.base
            )
        })?;
        let status = response.status();
        let body: Value = response.json().with_context(|| format!("`{}` is no Burnish server", self.base))?;
        if status.is_success() {
            return Ok(body);
        }
        Err(anyhow!("{}", body["error"]["message"].as_str().unwrap_or("the server refused")))
    }
}

pub(crate) fn prompts(context: &Context, args: PromptsArgs) -> Result<()> {
    let server = Server::at(&args.at, context);
    let told = |value: Value, words: fn(&Value) -> String| {
        if context.json { output::json(&value) } else { output::say(words(&value).trim_end()) }
    };
    match args.command {
        PromptsCommand::List => told(server.get("/v1/templates")?, templates),
        PromptsCommand::Show { id } => told(server.get(&format!("/v1/templates/{id}"))?, template),
        PromptsCommand::Check { directory } => {
            let directory = directory.or_else(|| context.config.engine.prompts.directory.clone());
            let Some(directory) = directory else {
                bail!("which directory? Name one, or set prompts.directory");
            };
            check(context, &directory)
        }
        PromptsCommand::Export { directory } => export(context, &directory),
        PromptsCommand::Render { query, template, version } => {
            let body = json!({"query": query, "template": template, "version": version});
            told(server.post("/v1/templates/render", &body)?, rendered)
        }
        PromptsCommand::Draft { file, note } => {
            let text =
                fs::read_to_string(&file).with_context(|| format!("cannot read `{}`", file.display()))?;
            let template =
                Template::parse(&text).map_err(|error| anyhow!("`{}`: {error}", file.display()))?;
            let body = json!({"text": text, "note": note});
            let path = format!("/v1/templates/{}/versions", template.id());
            told(server.post(&path, &body)?, |drafted| {
                format!(
                    "{} has the version {} now, as a draft",
                    text_of(&drafted["template"]),
                    text_of(&drafted["version"])
                )
            })
        }
        PromptsCommand::Use { id, version, reason } => {
            let body = json!({"version": version, "reason": reason});
            told(server.post(&format!("/v1/templates/{id}/use"), &body)?, in_use)
        }
        PromptsCommand::Pin { id } => {
            told(server.post(&format!("/v1/templates/{id}/pin"), &json!({"pinned": true}))?, in_use)
        }
        PromptsCommand::Unpin { id } => {
            told(server.post(&format!("/v1/templates/{id}/pin"), &json!({"pinned": false}))?, in_use)
        }
        PromptsCommand::Search { id, start, stop } => {
            let path = format!("/v1/templates/{id}/search");
            let found = match (start, stop) {
                (true, _) => server.post(&path, &json!({}))?,
                (_, true) => server.delete(&path)?,
                _ => server.get(&path)?,
            };
            told(found, search)
        }
        PromptsCommand::Rewrite { id, tenant } => {
            let written = server.post(&format!("/v1/templates/{id}/rewrite"), &json!({"tenant": tenant}))?;
            told(written, |written| {
                format!(
                    "{} has the version {} now, as a draft, after {} wrong answers:\n\n{}",
                    text_of(&written["template"]),
                    text_of(&written["version"]),
                    written["failures"],
                    text_of(&written["instructions"]),
                )
            })
        }
        PromptsCommand::Insights { id, confidence } => {
            let of = id.map(|id| format!("&template={id}")).unwrap_or_default();
            told(server.get(&format!("/v1/prompts/insights?confidence={confidence}{of}"))?, insights)
        }
        PromptsCommand::Log => told(server.get("/v1/prompts/changes")?, changes),
    }
}

pub(crate) fn experiments(context: &Context, args: ExperimentsArgs) -> Result<()> {
    let server = Server::at(&args.at, context);
    let told = |value: Value, words: fn(&Value) -> String| {
        if context.json { output::json(&value) } else { output::say(words(&value).trim_end()) }
    };
    let act =
        |id: &str, action: &str, body: &Value| server.post(&format!("/v1/experiments/{id}/{action}"), body);
    match args.command {
        ExperimentsCommand::List => told(server.get("/v1/experiments")?, |found| {
            let lines: Vec<String> = list(&found["experiments"]).iter().map(experiment_line).collect();
            if lines.is_empty() { "there is no experiment yet".to_owned() } else { lines.join("\n") }
        }),
        ExperimentsCommand::Show { id } => told(server.get(&format!("/v1/experiments/{id}"))?, experiment),
        ExperimentsCommand::Create {
            template,
            challengers,
            name,
            share,
            by_user,
            topics,
            level,
            effect,
            horizon,
            most_cost,
            propose,
            start,
        } => {
            let body = json!({
                "template": template, "challengers": challengers, "name": name, "share": share,
                "sticky": if by_user { "user" } else { "request" }, "topics": topics,
                "promotes_itself": !propose, "start": start, "level": level, "effect": effect, "horizon": horizon,
                "most_cost": most_cost,
            });
            told(server.post("/v1/experiments", &body)?, experiment)
        }
        ExperimentsCommand::Start { id } => told(act(&id, "start", &json!({}))?, experiment),
        ExperimentsCommand::Freeze { id } => told(act(&id, "freeze", &json!({}))?, experiment),
        ExperimentsCommand::Resume { id } => told(act(&id, "resume", &json!({}))?, experiment),
        ExperimentsCommand::Stop { id } => told(act(&id, "stop", &json!({}))?, experiment),
        ExperimentsCommand::Promote { id, version } => {
            told(act(&id, "promote", &json!({"version": version}))?, experiment)
        }
    }
}

fn check(context: &Context, directory: &Path) -> Result<()> {
    let errors = check_prompts(directory);
    if context.json {
        output::json(&json!({"directory": directory, "errors": errors}))?;
    }
    match errors.as_slice() {
        [] if context.json => Ok(()),
        [] => output::say(format!("the prompts in `{}` are fine", directory.display())),
        errors => bail!("{}", errors.join("\n")),
    }
}

fn export(context: &Context, directory: &Path) -> Result<()> {
    let failed = || format!("cannot write into `{}`", directory.display());
    fs::create_dir_all(directory).with_context(failed)?;
    let mut written = Vec::new();
    for (name, text) in SHIPPED.into_iter().chain([("operations.toml", SHIPPED_OPERATIONS)]) {
        let file = directory.join(name);
        if !file.exists() {
            fs::write(&file, text).with_context(failed)?;
            written.push(name);
        }
    }
    if context.json {
        return output::json(&json!({"directory": directory, "written": written}));
    }
    output::say(format!(
        "{} files are in `{}` now; set prompts.directory to it to have them used",
        written.len(),
        directory.display()
    ))
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> String {
    list(value).iter().map(text_of).collect::<Vec<_>>().join(", ")
}

fn templates(found: &Value) -> String {
    let line = |known: &Value| {
        let pinned = if known["pinned"] == true { ", pinned" } else { "" };
        format!(
            "{:<12} {}{pinned}, {} tokens, {} versions. {}\n",
            text_of(&known["id"]),
            text_of(&known["version"]),
            known["tokens"],
            list(&known["versions"]).len(),
            text_of(&known["purpose"]),
        )
    };
    let errors = list(&found["errors"]).iter().map(|error| format!("wrong: {}\n", text_of(error)));
    list(&found["templates"]).iter().map(line).chain(errors).collect()
}

fn template(known: &Value) -> String {
    let mut words = format!("{}: {}\n", text_of(&known["id"]), text_of(&known["purpose"]));
    for version in list(&known["versions"]) {
        let mark = if version["in_use"] == true { "in use" } else { "" };
        let parents = texts(&version["parents"]);
        let of = if parents.is_empty() { String::new() } else { format!(", of {parents}") };
        let outcomes: u64 =
            list(&version["outcomes"]).iter().filter_map(|row| row["outcomes"].as_u64()).sum();
        words.push_str(&format!(
            "  {} {:<11} {}{of}: {} ({outcomes} judged) {mark}\n",
            text_of(&version["version"]),
            text_of(&version["origin"]),
            text_of(&version["at"]),
            text_of(&version["note"]),
        ));
    }
    for block in list(&known["blocks"]) {
        words.push_str(&format!("\n[{}]\n{}\n", text_of(&block["kind"]), text_of(&block["text"])));
    }
    words
}

fn in_use(known: &Value) -> String {
    let pinned = if known["pinned"] == true { ", pinned" } else { "" };
    format!("{} is in use as {}{pinned}", text_of(&known["id"]), text_of(&known["version"]))
}

fn rendered(prompt: &Value) -> String {
    let operations = texts(&prompt["operations"]);
    let operations = if operations.is_empty() { "no operations".to_owned() } else { operations };
    let mut words = format!(
        "{} {} with {operations}, about {} tokens of its own\n",
        text_of(&prompt["template"]),
        text_of(&prompt["version"]),
        prompt["tokens"],
    );
    for message in list(&prompt["messages"]) {
        words.push_str(&format!("\n[{}]\n{}\n", text_of(&message["role"]), text_of(&message["content"])));
    }
    words
}

fn changes(log: &Value) -> String {
    let line = |change: &Value| {
        let before = match change["before"].as_str() {
            Some(before) => format!(" (before: {before})"),
            None => String::new(),
        };
        format!(
            "{} {:<9} {} {}{before}: {}\n",
            text_of(&change["at"]),
            text_of(&change["kind"]),
            text_of(&change["template"]),
            text_of(&change["version"]),
            text_of(&change["reason"]),
        )
    };
    let lines: String = list(&log["changes"]).iter().map(line).collect();
    if lines.is_empty() { "nothing was changed yet".to_owned() } else { lines }
}

fn search(found: &Value) -> String {
    let state = match found["running"] == true {
        true => "runs".to_owned(),
        false => format!("ended: {}", text_of(&found["reason"])),
    };
    let mut words = format!(
        "the search for a better `{}` {state}, after {} outcomes\n",
        text_of(&found["template"]),
        found["outcomes"]
    );
    if let Some(experiment) = found["experiment"].as_str() {
        words.push_str(&format!("the best one is being confirmed by the experiment {experiment}\n"));
    }
    for row in list(&found["pool"]) {
        let blocks: Vec<String> = row["blocks"]
            .as_object()
            .map(|blocks| {
                blocks.iter().map(|(slot, option)| format!("{slot}: {}", text_of(option))).collect()
            })
            .unwrap_or_default();
        let proposed = row["proposed"].as_object().map(|proposed| {
            let share = |name: &str| 100.0 * proposed[name].as_f64().unwrap_or_default();
            let (points, sure) = (share("gain"), share("certainty"));
            format!(" (proposed: {points:+.1} points, and better at all with {sure:.0} % certainty)")
        });
        words.push_str(&format!(
            "  {}{}{} {:.2} ± {:.2}, {} tokens, {:.0} % of the search, {} judged; {}\n",
            text_of(&row["version"]),
            if row["champion"] == true { " (champion)" } else { "" },
            proposed.unwrap_or_default(),
            row["quality"].as_f64().unwrap_or_default(),
            row["quality_deviation"].as_f64().unwrap_or_default(),
            row["tokens"],
            100.0 * row["share"].as_f64().unwrap_or_default(),
            row["outcomes"],
            blocks.join("; "),
        ));
    }
    words
}

fn insights(found: &Value) -> String {
    let lines: String =
        list(&found["insights"]).iter().map(|insight| format!("{}\n", text_of(&insight["text"]))).collect();
    match lines.is_empty() {
        true => format!("nothing is that sure yet, after {} outcomes", found["outcomes"]),
        false => lines,
    }
}

fn experiment_line(known: &Value) -> String {
    let state = if known["frozen"] == true { "frozen" } else { text_of(&known["state"]) };
    format!(
        "{:<5} {:<9} {}: {} against {}, {:.0} %",
        text_of(&known["id"]),
        state,
        text_of(&known["template"]),
        list(&known["challengers"]).iter().map(|row| text_of(&row["version"])).collect::<Vec<_>>().join(", "),
        text_of(&known["champion"]),
        100.0 * known["share"].as_f64().unwrap_or_default(),
    )
}

fn experiment(known: &Value) -> String {
    let mut words = format!("{}\n", experiment_line(known));
    for row in list(&known["challengers"]) {
        let points = |value: &Value| 100.0 * value.as_f64().unwrap_or_default();
        words.push_str(&format!(
            "  {}: {:+.1} points ({:+.1} to {:+.1}), {} outcomes; {}\n",
            text_of(&row["version"]),
            points(&row["difference"]),
            points(&row["interval"][0]),
            points(&row["interval"][1]),
            row["observations"],
            text_of(&row["reason"]),
        ));
    }
    words
}
