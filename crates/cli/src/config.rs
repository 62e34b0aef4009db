//! Settings in two stages: as they were written, then as values that cannot be wrong.

mod budgets;
mod models;
mod prompts;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use burnish_engine::{
    AnswerSettings, BatchSettings, CacheSettings, ContextOrder, EngineSettings, ParameterSettings,
    PlannerSettings, SelectiveSettings,
};
use burnish_ingest::{Chunking, Limits};
use burnish_learning::router::RouterSettings;
use burnish_llm::ModelSettings;
use burnish_server::ServerSettings;
use burnish_types::{Answerer, Money};
use serde::Deserialize;

/// The defaults, as `burnish config default` prints them.
pub(crate) const DEFAULT: &str = include_str!("default.toml");
/// The file that is read when none is named.
const DEFAULT_FILE: &str = "burnish.toml";
const VARIABLE_PREFIX: &str = "BURNISH_";
/// What a file may list beside its sections.
const LISTS: [&str; 2] = ["models", "budgets"];
/// Variables that are no settings: where the settings are, and what tests and measurements go by.
const OTHER_VARIABLES: [&str; 7] = [
    "BURNISH_CONFIG",
    "BURNISH_SHARED_DATA",
    "BURNISH_MODEL",
    "BURNISH_BLESS",
    "BURNISH_CRASH_ROUNDS",
    "BURNISH_STORE_CRASH_DIRECTORY",
    "BURNISH_STORE_CRASH_ROUND",
];
/// What serde calls numbers, in words.
const NUMBERS: [(&str, &str); 5] = [
    ("usize", "a whole number, not below 0"),
    ("u64", "a whole number, not below 0"),
    ("u32", "a whole number, not below 0"),
    ("f64", "a number"),
    ("f32", "a number"),
];

/// Settings as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    store: RawStore,
    server: RawServer,
    embedding: RawEmbedding,
    planner: RawPlanner,
    answer: RawAnswer,
    batch: RawBatch,
    cache: RawCache,
    selective: RawSelective,
    prompts: prompts::RawPrompts,
    chunking: RawChunking,
    limits: RawLimits,
    #[serde(default)]
    models: Vec<models::RawModel>,
    #[serde(default)]
    budgets: Vec<budgets::RawBudget>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawStore {
    data: PathBuf,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawServer {
    listen: String,
    max_concurrent_requests: usize,
    max_query_chars: usize,
    max_upload_mib: usize,
    host_names: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEmbedding {
    kind: String,
    path: PathBuf,
    threads: usize,
    cached_queries: usize,
    url: String,
    model: String,
    api_key_env: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawPlanner {
    strategies: Vec<String>,
    baseline: String,
    models: Vec<String>,
    depths: Vec<usize>,
    reductions: Vec<f64>,
    templates: Vec<String>,
    template_price: f64,
    template_loss: f64,
    operations: Vec<String>,
    policy: String,
    half_life_days: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    context_tokens: u32,
    context_reduction: f64,
    context_order: String,
    smallest_support: f32,
    parameters: bool,
    max_tokens: [u32; 2],
    max_temperature: f32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch {
    size: usize,
    kept_context: f64,
    parallel: usize,
    gather_ms: u64,
    max_requests: usize,
    max_inline: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCache {
    enabled: bool,
    similar: bool,
    delta: f64,
    max_mib: u64,
    lifetime_seconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawSelective {
    enabled: bool,
    delta: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawChunking {
    max_tokens: usize,
    min_tokens: usize,
    overlap_tokens: usize,
    record_max_tokens: usize,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLimits {
    max_file_mib: u64,
    max_text_mib: u64,
    max_seconds: u64,
    max_memory_mib: u64,
}

/// Settings that are known to make sense.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) engine: EngineSettings,
    pub(crate) listen: SocketAddr,
    pub(crate) server: ServerSettings,
    pub(crate) embedding: EmbeddingConfig,
    pub(crate) models: Vec<ModelSettings>,
}

/// Which encoder.
#[derive(Clone, Debug)]
pub(crate) enum EmbeddingConfig {
    Local { path: PathBuf, threads: usize, cached_queries: usize },
    Remote { url: String, model: String, api_key: Option<String>, cached_queries: usize },
}

/// What flags say.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) data: Option<PathBuf>,
    pub(crate) listen: Option<String>,
}

/// Reads defaults, file, variables and flags, each winning over those before it.
pub(crate) fn load(file: Option<&Path>, overrides: Overrides) -> Result<Config> {
    let mut settings: toml::Table = toml::from_str(DEFAULT).context("the built-in defaults")?;
    let file = file.map(Path::to_owned).or_else(|| std::env::var_os("BURNISH_CONFIG").map(PathBuf::from));
    match file {
        Some(file) => merge_file(&mut settings, &file)?,
        None if Path::new(DEFAULT_FILE).exists() => merge_file(&mut settings, Path::new(DEFAULT_FILE))?,
        None => {}
    }
    // What is not UTF-8 can't be one of ours.
    let variables = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    merge_variables(&mut settings, variables)?;
    if let Some(data) = overrides.data {
        set(&mut settings, "store", "data", toml::Value::String(data.display().to_string()));
    }
    if let Some(listen) = overrides.listen {
        set(&mut settings, "server", "listen", toml::Value::String(listen));
    }
    validate(typed(settings)?)
}

/// The settings in the types that they have to have.
fn typed(settings: toml::Table) -> Result<Raw> {
    settings.try_into().map_err(|error: toml::de::Error| {
        // The key comes after the message, in a line of its own.
        let said = error.to_string();
        let key = said.lines().last().and_then(|line| line.strip_prefix("in `")?.strip_suffix('`'));
        let reason = NUMBERS.iter().fold(error.message().to_owned(), |text, (name, words)| {
            text.replace(&format!("expected {name}"), &format!("expected {words}"))
        });
        match key {
            Some(key) => anyhow::anyhow!("{key}: {reason}"),
            None => anyhow::anyhow!("{reason}"),
        }
    })
}

fn merge_file(settings: &mut toml::Table, file: &Path) -> Result<()> {
    let text = std::fs::read_to_string(file)
        .with_context(|| format!("cannot read the settings in `{}`", file.display()))?;
    let written: toml::Table = toml::from_str(&text)
        .map_err(|error| anyhow::anyhow!("`{}` is not valid TOML: {error}", file.display()))?;
    for (section, value) in written {
        match (settings.get_mut(&section), value) {
            (Some(toml::Value::Table(known)), toml::Value::Table(new)) => {
                for (key, value) in new {
                    if !known.contains_key(&key) {
                        let keys: Vec<&str> = known.keys().map(String::as_str).collect();
                        bail!(
                            "`{}`: [{section}] has no setting `{key}`; there are: {}",
                            file.display(),
                            keys.join(", ")
                        );
                    }
                    known.insert(key, value);
                }
            }
            (None, value @ toml::Value::Array(_)) if LISTS.contains(&section.as_str()) => {
                settings.insert(section, value);
            }
            (Some(_), _) => bail!("`{}`: `{section}` is a section, write it as [{section}]", file.display()),
            (None, _) => {
                let sections: Vec<&str> = settings.keys().map(String::as_str).collect();
                bail!(
                    "`{}`: there is no section [{section}]; there are: {}, and as lists {}",
                    file.display(),
                    sections.join(", "),
                    LISTS.map(|list| format!("[[{list}]]")).join(", ")
                );
            }
        }
    }
    Ok(())
}

/// `BURNISH_SERVER_LISTEN` sets `listen` in `[server]`, in the type that the default has.
fn merge_variables(
    settings: &mut toml::Table,
    variables: impl Iterator<Item = (String, String)>,
) -> Result<()> {
    let mut unknown = Vec::new();
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        let name = name.to_lowercase();
        let place = settings.iter().find_map(|(section, value)| {
            let key = name.strip_prefix(section.as_str())?.strip_prefix('_')?;
            value.as_table()?.contains_key(key).then(|| (section.clone(), key.to_owned()))
        });
        let Some((section, key)) = place else {
            unknown.push((variable, text));
            continue;
        };
        let default = &settings[&section][&key];
        let value = match default {
            toml::Value::Integer(_) => text.parse().map(toml::Value::Integer).ok(),
            toml::Value::Float(_) => text.parse().map(toml::Value::Float).ok(),
            toml::Value::Boolean(_) => text.parse().map(toml::Value::Boolean).ok(),
            toml::Value::Array(_) => {
                let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
                Some(toml::Value::Array(items.map(|item| toml::Value::String(item.to_owned())).collect()))
            }
            _ => Some(toml::Value::String(text.clone())),
        };
        let value = value.with_context(|| format!("{variable}: `{text}` is not {}", default.type_str()))?;
        set(settings, &section, &key, value);
    }
    let stray =
        unknown.iter().find(|(variable, text)| !is_other(variable, text) && !is_secret(settings, variable));
    match stray {
        Some((variable, _)) => bail!("{variable}: {}", no_setting(settings, variable)),
        None => Ok(()),
    }
}

/// Whether a variable that begins as ours do is known not to be a setting. Kubernetes tells every container of
/// services by such names: of `burnish` by `BURNISH_SERVICE_HOST`, `BURNISH_PORT`, `BURNISH_PORT_80_TCP`, ….
fn is_other(variable: &str, text: &str) -> bool {
    let of_service = ["_SERVICE_HOST", "_SERVICE_PORT", "_TCP", "_UDP", "_SCTP"];
    let is_address = ["tcp://", "udp://", "sctp://"].iter().any(|scheme| text.starts_with(scheme));
    OTHER_VARIABLES.contains(&variable)
        || of_service[..2].iter().any(|part| variable.contains(part))
        || variable.contains("_PORT_") && of_service[2..].iter().any(|part| variable.contains(part))
        || variable.ends_with("_PORT") && is_address
}

/// Whether a setting names the variable as one that holds a key, in whatever depth.
fn is_secret(settings: &toml::Table, variable: &str) -> bool {
    settings.iter().any(|(key, value)| match value {
        toml::Value::String(name) => key.ends_with("_env") && name == variable,
        toml::Value::Table(section) => is_secret(section, variable),
        toml::Value::Array(items) => {
            items.iter().filter_map(toml::Value::as_table).any(|item| is_secret(item, variable))
        }
        _ => false,
    })
}

/// What to do about a variable that sets nothing.
fn no_setting(settings: &toml::Table, variable: &str) -> String {
    let named = |list: &str| variable.starts_with(&format!("{VARIABLE_PREFIX}{list}").to_uppercase());
    if let Some(list) = LISTS.iter().find(|list| named(list)) {
        return format!(
            "{list} are set in the file, as [[{list}]]; a variable may hold the key that `api_key_env` of a model names"
        );
    }
    let sections = settings.iter().filter_map(|(section, value)| Some((section, value.as_table()?)));
    let names = sections.flat_map(|(section, keys)| {
        keys.keys().map(move |key| format!("{VARIABLE_PREFIX}{section}_{key}").to_uppercase())
    });
    let nearest = names.map(|name| (distance(variable, &name), name)).min();
    match nearest {
        Some((far, name)) if far <= variable.len() / 4 => {
            format!("there is no such setting; is {name} meant?")
        }
        _ => "there is no such setting; `burnish config default` prints all, and a variable is named \
              BURNISH_SECTION_KEY"
            .to_owned(),
    }
}

/// How many characters must be put in, left out or changed to make `a` of `b` (Levenshtein 1966).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (place, in_a) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], place + 1);
        for (column, in_b) in b.iter().enumerate() {
            let changed = diagonal + usize::from(in_a != *in_b);
            diagonal = row[column + 1];
            row[column + 1] = changed.min(diagonal + 1).min(row[column] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

fn set(settings: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    if let Some(table) = settings.get_mut(section).and_then(toml::Value::as_table_mut) {
        table.insert(key.to_owned(), value);
    }
}

fn validate(raw: Raw) -> Result<Config> {
    let Raw { store, server, embedding, planner, answer, batch, cache, selective, chunking, limits, .. } =
        raw;
    let listen = server.listen.parse().with_context(|| {
        format!("server.listen: `{}` is not an address such as 127.0.0.1:8080", server.listen)
    })?;
    within("planner.half_life_days", planner.half_life_days, 0.0, 36_500.0)?;
    within("planner.template_price", planner.template_price, 0.0, 100.0)?;
    within("planner.template_loss", planner.template_loss, 0.0001, 0.5)?;
    check_planner(&planner)?;
    within("answer.smallest_support", f64::from(answer.smallest_support), 0.0, 1.0)?;
    within("cache.delta", cache.delta, 0.0001, 0.5)?;
    within("selective.delta", selective.delta, 0.0001, 0.5)?;
    at_least("cache.max_mib", cache.max_mib as usize, 1)?;
    at_least("server.max_concurrent_requests", server.max_concurrent_requests, 1)?;
    at_least("server.max_query_chars", server.max_query_chars, 1)?;
    at_least("server.max_upload_mib", server.max_upload_mib, 1)?;
    at_least("answer.context_tokens", answer.context_tokens as usize, 1)?;
    let [least, most] = answer.max_tokens;
    at_least("answer.max_tokens", least as usize, 1)?;
    if least > most {
        bail!("answer.max_tokens: the least, {least}, is more than the most, {most}");
    }
    within("answer.max_temperature", answer.max_temperature.into(), 0.0, 2.0)?;
    for (name, value) in
        [("size", batch.size), ("parallel", batch.parallel), ("max_requests", batch.max_requests)]
    {
        at_least(&format!("batch.{name}"), value, 1)?;
    }
    within("answer.context_reduction", answer.context_reduction, 0.0, 0.95)?;
    let order = ContextOrder::NAMES.iter().find(|(name, _)| *name == answer.context_order);
    let Some((_, order)) = order.copied() else {
        bail!("answer.context_order: `{}` is neither rank nor edges", answer.context_order);
    };
    within("batch.kept_context", batch.kept_context, 0.01, 1.0)?;
    within("batch.gather_ms", batch.gather_ms as f64, 0.0, 10_000.0)?;
    at_least("chunking.max_tokens", chunking.max_tokens, 8)?;
    at_least("limits.max_seconds", limits.max_seconds as usize, 1)?;
    if chunking.min_tokens > chunking.max_tokens {
        bail!(
            "chunking.min_tokens: {} is more than chunking.max_tokens, {}",
            chunking.min_tokens,
            chunking.max_tokens
        );
    }
    if chunking.overlap_tokens * 2 > chunking.max_tokens {
        bail!(
            "chunking.overlap_tokens: {} is more than half of chunking.max_tokens",
            chunking.overlap_tokens
        );
    }
    let models = validate_models(raw.models)?;
    check_models(&planner, &models)?;
    let prompts = prompts::validate(raw.prompts)?;
    burnish_engine::check_templates(&planner.templates, &planner.operations, prompts.directory.as_deref())?;
    let engine = EngineSettings {
        budgets: budgets::validate(raw.budgets, &models)?,
        prompts,
        data: store.data,
        planner: PlannerSettings {
            strategies: planner.strategies,
            baseline: Some(planner.baseline).filter(|name| !name.is_empty()),
            models: planner.models,
            depths: planner.depths,
            reductions: planner.reductions,
            templates: planner.templates,
            router: RouterSettings { price: planner.template_price, loss: planner.template_loss },
            operations: planner.operations,
            policy: planner.policy,
            half_life_days: Some(planner.half_life_days).filter(|days| *days > 0.0),
        },
        answer: AnswerSettings {
            context_tokens: answer.context_tokens,
            context_reduction: answer.context_reduction,
            order,
            smallest_support: answer.smallest_support,
            parameters: ParameterSettings {
                enabled: answer.parameters,
                max_tokens: answer.max_tokens,
                max_temperature: answer.max_temperature,
            },
        },
        batch: BatchSettings {
            size: batch.size,
            kept_context: batch.kept_context,
            parallel: batch.parallel,
            gather: Duration::from_millis(batch.gather_ms),
        },
        selective: SelectiveSettings { enabled: selective.enabled, delta: selective.delta },
        cache: CacheSettings {
            enabled: cache.enabled,
            similar: cache.similar,
            delta: cache.delta,
            max_bytes: cache.max_mib << 20,
            lifetime_ms: cache.lifetime_seconds.saturating_mul(1_000),
        },
        chunking: Chunking {
            max_tokens: chunking.max_tokens,
            min_tokens: chunking.min_tokens,
            overlap_tokens: chunking.overlap_tokens,
            record_max_tokens: chunking.record_max_tokens,
        },
        limits: Limits {
            max_file_bytes: limits.max_file_mib << 20,
            max_text_bytes: limits.max_text_mib << 20,
            max_seconds: limits.max_seconds,
            max_memory_bytes: limits.max_memory_mib << 20,
            ..Limits::default()
        },
    };
    let server = ServerSettings {
        max_concurrent_requests: server.max_concurrent_requests,
        max_query_chars: server.max_query_chars,
        max_batch_requests: batch.max_requests,
        max_inline_batch: batch.max_inline,
        max_upload_bytes: server.max_upload_mib << 20,
        host_names: server.host_names,
        ..ServerSettings::default()
    };
    Ok(Config { engine, listen, server, embedding: validate_embedding(embedding)?, models })
}

fn validate_models(raw: Vec<models::RawModel>) -> Result<Vec<ModelSettings>> {
    let models = raw.into_iter().map(models::validate).collect::<Result<Vec<_>>>()?;
    let mut names = BTreeSet::new();
    if let Some(twice) = models.iter().find(|model| !names.insert(model.name.as_str())) {
        bail!("models: two are called `{}`; give one of them another name", twice.name);
    }
    Ok(models)
}

fn money(setting: &str, usd: f64) -> Result<Money> {
    within(setting, usd, 0.0, 1e9)?;
    Ok(Money::from_micros((usd * 1e6).round() as u64))
}

fn validate_embedding(raw: RawEmbedding) -> Result<EmbeddingConfig> {
    let RawEmbedding { kind, path, threads, cached_queries, url, model, api_key_env } = raw;
    match kind.as_str() {
        "local" => Ok(EmbeddingConfig::Local { path, threads, cached_queries }),
        "remote" => {
            if url.is_empty() || model.is_empty() {
                bail!("embedding.kind = \"remote\" needs embedding.url and embedding.model");
            }
            let api_key = secret("embedding.api_key_env", &api_key_env)?;
            Ok(EmbeddingConfig::Remote { url, model, api_key, cached_queries })
        }
        other => bail!("embedding.kind: `{other}` is neither \"local\" nor \"remote\""),
    }
}

/// The value of the variable that a setting names; no name, no secret.
fn secret(setting: &str, variable: &str) -> Result<Option<String>> {
    if variable.is_empty() {
        return Ok(None);
    }
    let value = std::env::var(variable)
        .with_context(|| format!("{setting}: the variable `{variable}` is not set"))?;
    Ok(Some(value))
}

fn check_planner(planner: &RawPlanner) -> Result<()> {
    burnish_engine::check_policy(&planner.policy).map_err(|error| anyhow!("planner.policy: {error}"))?;
    let known = burnish_engine::strategy_names();
    let check = |key: &str, name: &String| match known.contains(&name.as_str()) {
        true => Ok(()),
        false => Err(anyhow!("planner.{key}: `{name}` is no strategy; there are: {}", known.join(", "))),
    };
    planner.strategies.iter().try_for_each(|name| check("strategies", name))?;
    Some(&planner.baseline).filter(|name| !name.is_empty()).map_or(Ok(()), |name| check("baseline", name))?;
    for depth in &planner.depths {
        within("planner.depths", *depth as f64, 1.0, 1_000.0)?;
    }
    for share in &planner.reductions {
        within("planner.reductions", *share, 0.0, 0.95)?;
    }
    Ok(())
}

/// A planner that chooses from models that there are.
fn check_models(planner: &RawPlanner, models: &[ModelSettings]) -> Result<()> {
    let known: Vec<&str> =
        models.iter().map(|model| model.name.as_str()).chain([Answerer::EXTRACTIVE]).collect();
    let is_known = |name: &&String| match burnish_engine::cascade_of(name) {
        Some(models) => models.iter().all(|name| known.contains(name) && *name != Answerer::EXTRACTIVE),
        None => known.contains(&name.as_str()),
    };
    match planner.models.iter().find(|name| !is_known(name)) {
        Some(name) => bail!("planner.models: `{name}` is no model; there are: {}", known.join(", ")),
        None => Ok(()),
    }
}

fn within(setting: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        Ok(())
    } else {
        bail!("{setting}: {value} is not between {low} and {high}")
    }
}

fn at_least(setting: &str, value: usize, low: usize) -> Result<()> {
    if value >= low { Ok(()) } else { bail!("{setting}: {value} is less than {low}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(file: &str, variables: &[(&str, &str)]) -> Result<Config> {
        let mut settings: toml::Table = toml::from_str(DEFAULT)?;
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("burnish.toml");
        std::fs::write(&path, file)?;
        merge_file(&mut settings, &path)?;
        let variables = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        merge_variables(&mut settings, variables)?;
        validate(typed(settings)?)
    }

    #[test]
    fn defaults_are_valid_and_are_those_of_the_engine() {
        let config = with("", &[]).unwrap();
        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        let defaults = EngineSettings::new("data");
        assert_eq!(format!("{:?}", config.engine), format!("{defaults:?}"));
    }

    #[test]
    fn variables_win_over_the_file() {
        let file = "[server]\nlisten = \"127.0.0.1:1\"\n[planner]\nbaseline = \"sparse\"\n";
        let variables = [
            ("BURNISH_SERVER_LISTEN", "127.0.0.1:2"),
            ("BURNISH_PLANNER_STRATEGIES", "dense, rrf"),
            ("BURNISH_ANSWER_CONTEXT_TOKENS", "99"),
            ("OTHER_UNRELATED", "x"),
        ];
        let config = with(file, &variables).unwrap();
        assert_eq!(config.listen.port(), 2);
        assert_eq!(config.engine.planner.baseline.as_deref(), Some("sparse"));
        assert_eq!(config.engine.planner.strategies, ["dense", "rrf"]);
        assert_eq!(config.engine.answer.context_tokens, 99);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("[servers]\nlisten = \"x\"", "[servers]"),
            ("[server]\nlisten_on = \"x\"", "listen_on"),
            ("[server]\nlisten = \"here\"", "server.listen"),
            ("[planner]\nhalf_life_days = -1", "planner.half_life_days"),
            ("[planner]\npolicy = \"oracle\"", "planner.policy"),
            ("[planner]\npolicy = \"conservative:2\"", "planner.policy"),
            ("[planner]\nstrategies = [\"hybrid\", \"magic\"]", "planner.strategies: `magic`"),
            ("[planner]\nbaseline = \"magic\"", "planner.baseline: `magic`"),
            ("[planner]\nmodels = [\"magic\"]", "planner.models: `magic`"),
            ("[planner]\nmodels = [\"extractive > magic\"]", "planner.models: `extractive > magic`"),
            ("[planner]\ndepths = [5, 0]", "planner.depths: 0"),
            ("[planner]\nreductions = [0.5, 1.0]", "planner.reductions: 1"),
            ("[chunking]\nmin_tokens = 500", "chunking.min_tokens"),
            ("[embedding]\nkind = \"cloud\"", "embedding.kind"),
            ("[[models]]\nname = \"burnish\"\nurl = \"http://x\"\nmodel = \"m\"", "burnish"),
            ("[[models]]\nname = \"m\"\nurl = \"x\"\nmodel = \"m\"", "http://"),
            (
                "[[models]]\nname = \"m\"\nurl = \"http://x\"\nmodel = \"m\"\napi_key_env = \"BURNISH_NO_SUCH\"",
                "BURNISH_NO_SUCH",
            ),
            (
                "[[models]]\nname = \"m\"\nurl = \"http://x\"\nmodel = \"a\"\n\
                 [[models]]\nname = \"m\"\nurl = \"http://y\"\nmodel = \"b\"",
                "two are called `m`",
            ),
            ("[[models]]\nname = \"extractive\"\nurl = \"http://x\"\nmodel = \"m\"", "taken"),
            ("[[models]]\nname = \"m\"\nmodel = \"m\"", "url"),
            ("[[budgets]]\nusd = 1", "budgets: each says"),
            ("[budgets]\nusd = 1", "[[models]], [[budgets]]"),
            ("[[models]]\nname = 7\nurl = \"http://x\"\nmodel = \"m\"", "models.name: "),
            ("[server]\nmax_upload_mib = \"64\"", "server.max_upload_mib: "),
            ("[server]\nmax_upload_mib = -1", "a whole number, not below 0"),
            ("[server]\nhost_names = \"x\"", "server.host_names: "),
            ("[answer]\nsmallest_support = \"x\"", "expected a number"),
            ("[answer]\nmax_tokens = [9, 3]", "answer.max_tokens"),
            ("[answer]\nmax_temperature = 3.0", "answer.max_temperature"),
            ("[batch]\nsize = 0", "batch.size"),
            ("[batch]\nkept_context = 1.5", "batch.kept_context"),
            ("[batch]\ngather_ms = 60000", "batch.gather_ms"),
            ("listen = 1", "no section"),
            ("[server", "not valid TOML"),
        ];
        for (file, expected) in cases {
            let error = format!("{:#}", with(file, &[]).unwrap_err());
            assert!(error.contains(expected), "{file:?} gave {error:?}");
        }
        let error = with("", &[("BURNISH_ANSWER_CONTEXT_TOKENS", "many")]).unwrap_err();
        assert!(format!("{error:#}").contains("many"));
    }

    #[test]
    fn variables_that_set_nothing_are_refused() {
        let file = "[embedding]\napi_key_env = \"BURNISH_KEY_A\"\n\
                    [[models]]\nname = \"m\"\nurl = \"http://x\"\nmodel = \"m\"\napi_key_env = \"BURNISH_KEY_B\"\n";
        let mut settings: toml::Table = toml::from_str(DEFAULT).unwrap();
        settings.extend(toml::from_str::<toml::Table>(file).unwrap());
        let cases = [
            ("BURNISH_SERVER_LISTN", "x", Some("is BURNISH_SERVER_LISTEN meant")),
            ("BURNISH_LISTEN", "x", Some("config default")),
            ("BURNISH_STORE_DATE", "x", Some("is BURNISH_STORE_DATA meant")),
            ("BURNISH_MODELS_NAME", "x", Some("[[models]]")),
            ("BURNISH_BUDGETS_USD", "x", Some("[[budgets]]")),
            ("BURNISH_UNRELATED", "x", Some("config default")),
            ("BURNISH_PORT", "8080", Some("no such setting")),
            ("BURNISH_KEY_C", "x", Some("no such setting")),
            ("BURNISH_KEY_A", "x", None),
            ("BURNISH_KEY_B", "x", None),
            ("BURNISH_SHARED_DATA", "x", None),
            ("BURNISH_CONFIG", "x", None),
            ("BURNISH_SERVICE_HOST", "10.0.0.1", None),
            ("BURNISH_REDIS_SERVICE_PORT_HTTP", "80", None),
            ("BURNISH_PORT", "tcp://10.0.0.1:80", None),
            ("BURNISH_PORT_80_TCP_ADDR", "10.0.0.1", None),
        ];
        for (variable, value, expected) in cases {
            let variables = std::iter::once((variable.to_owned(), value.to_owned()));
            let outcome = merge_variables(&mut settings.clone(), variables);
            match expected {
                None => assert!(outcome.is_ok(), "{variable}: {outcome:?}"),
                Some(expected) => {
                    let error = outcome.unwrap_err().to_string();
                    assert!(error.starts_with(variable) && error.contains(expected), "{error}");
                }
            }
        }
    }

    #[test]
    fn distances_count_edits() {
        for (a, b, expected) in [("", "", 0), ("abc", "abc", 0), ("abc", "", 3), ("kitten", "sitting", 3)] {
            assert_eq!((distance(a, b), distance(b, a)), (expected, expected), "{a} {b}");
        }
    }
}
