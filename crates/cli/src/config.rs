//! Settings in two stages: as they were written, then as values that cannot be wrong.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail};
use burnish_engine::{AnswerSettings, EngineSettings, PlannerSettings};
use burnish_ingest::{Chunking, Limits};
use burnish_server::ServerSettings;
use serde::Deserialize;

/// The defaults, as `burnish config default` prints them.
pub(crate) const DEFAULT: &str = include_str!("default.toml");
/// The file that is read when none is named.
const DEFAULT_FILE: &str = "burnish.toml";
const VARIABLE_PREFIX: &str = "BURNISH_";

/// Settings as they were written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    store: RawStore,
    server: RawServer,
    embedding: RawEmbedding,
    planner: RawPlanner,
    answer: RawAnswer,
    chunking: RawChunking,
    limits: RawLimits,
    #[serde(default)]
    models: Vec<RawModel>,
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
    policy: String,
    half_life_days: f64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawAnswer {
    context_tokens: u32,
    smallest_support: f32,
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

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawModel {
    name: String,
    url: String,
    model: String,
    #[serde(default)]
    api_key_env: String,
}

/// Settings that are known to make sense.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) engine: EngineSettings,
    pub(crate) listen: SocketAddr,
    pub(crate) server: ServerSettings,
    pub(crate) embedding: EmbeddingConfig,
    pub(crate) models: Vec<ModelConfig>,
}

/// Which encoder.
#[derive(Clone, Debug)]
pub(crate) enum EmbeddingConfig {
    Local { path: PathBuf, threads: usize, cached_queries: usize },
    Remote { url: String, model: String, api_key: Option<String>, cached_queries: usize },
}

/// One language model.
#[derive(Clone, Debug)]
pub(crate) struct ModelConfig {
    pub(crate) name: String,
    pub(crate) url: String,
    pub(crate) model: String,
    pub(crate) api_key: Option<String>,
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
    let raw: Raw =
        settings.try_into().map_err(|error: toml::de::Error| anyhow::anyhow!("{}", error.message()))?;
    validate(raw)
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
            (None, value @ toml::Value::Array(_)) if section == "models" => {
                settings.insert(section, value);
            }
            (Some(_), _) => bail!("`{}`: `{section}` is a section, write it as [{section}]", file.display()),
            (None, _) => {
                let sections: Vec<&str> = settings.keys().map(String::as_str).collect();
                bail!(
                    "`{}`: there is no section [{section}]; there are: {}, models",
                    file.display(),
                    sections.join(", ")
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
    for (variable, text) in variables {
        let Some(name) = variable.strip_prefix(VARIABLE_PREFIX) else { continue };
        let name = name.to_lowercase();
        let place = settings.iter().find_map(|(section, value)| {
            let key = name.strip_prefix(section.as_str())?.strip_prefix('_')?;
            value.as_table()?.contains_key(key).then(|| (section.clone(), key.to_owned()))
        });
        let Some((section, key)) = place else { continue };
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
    Ok(())
}

fn set(settings: &mut toml::Table, section: &str, key: &str, value: toml::Value) {
    if let Some(table) = settings.get_mut(section).and_then(toml::Value::as_table_mut) {
        table.insert(key.to_owned(), value);
    }
}

fn validate(raw: Raw) -> Result<Config> {
    let Raw { store, server, embedding, planner, answer, chunking, limits, models } = raw;
    let listen = server.listen.parse().with_context(|| {
        format!("server.listen: `{}` is not an address such as 127.0.0.1:8080", server.listen)
    })?;
    within("planner.half_life_days", planner.half_life_days, 0.0, 36_500.0)?;
    check_planner(&planner)?;
    within("answer.smallest_support", f64::from(answer.smallest_support), 0.0, 1.0)?;
    at_least("server.max_concurrent_requests", server.max_concurrent_requests, 1)?;
    at_least("server.max_query_chars", server.max_query_chars, 1)?;
    at_least("server.max_upload_mib", server.max_upload_mib, 1)?;
    at_least("answer.context_tokens", answer.context_tokens as usize, 1)?;
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
    let engine = EngineSettings {
        data: store.data,
        planner: PlannerSettings {
            strategies: planner.strategies,
            baseline: Some(planner.baseline).filter(|name| !name.is_empty()),
            policy: planner.policy,
            half_life_days: Some(planner.half_life_days).filter(|days| *days > 0.0),
        },
        answer: AnswerSettings {
            context_tokens: answer.context_tokens,
            smallest_support: answer.smallest_support,
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
        max_upload_bytes: server.max_upload_mib << 20,
        host_names: server.host_names,
        ..ServerSettings::default()
    };
    let models = models.into_iter().map(validate_model).collect::<Result<Vec<_>>>()?;
    Ok(Config { engine, listen, server, embedding: validate_embedding(embedding)?, models })
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

fn validate_model(raw: RawModel) -> Result<ModelConfig> {
    let RawModel { name, url, model, api_key_env } = raw;
    if name.is_empty() || name == "burnish" || name.starts_with("burnish/") {
        bail!("models: the name `{name}` is empty or taken; give the model another one");
    }
    if !url.starts_with("http://") && !url.starts_with("https://") {
        bail!("models: the address `{url}` of `{name}` does not begin with http:// or https://");
    }
    let api_key = secret(&format!("models: api_key_env of `{name}`"), &api_key_env)?;
    Ok(ModelConfig { name, url, model, api_key })
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
    Some(&planner.baseline).filter(|name| !name.is_empty()).map_or(Ok(()), |name| check("baseline", name))
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
        validate(settings.try_into()?)
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
            ("BURNISH_UNRELATED", "x"),
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
            ("[chunking]\nmin_tokens = 500", "chunking.min_tokens"),
            ("[embedding]\nkind = \"cloud\"", "embedding.kind"),
            ("[[models]]\nname = \"burnish\"\nurl = \"http://x\"\nmodel = \"m\"", "burnish"),
            ("[[models]]\nname = \"m\"\nurl = \"x\"\nmodel = \"m\"", "http://"),
            (
                "[[models]]\nname = \"m\"\nurl = \"http://x\"\nmodel = \"m\"\napi_key_env = \"BURNISH_NO_SUCH\"",
                "BURNISH_NO_SUCH",
            ),
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
}
