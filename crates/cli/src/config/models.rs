//! `[[models]]`: language models, where they can be had, what is borne with, and what they may cost.

use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use burnish_llm::{
    ApiKey, Balance, Budget, Cap, EndpointSettings, GoingOn, Kind, Limits, ModelSettings, Patience, Retries,
    SingleFlight, known_price,
};
use burnish_types::{Period, Price};
use serde::Deserialize;

use super::{money, secret, within};

/// Where the providers are that have one address for all.
const ADDRESSES: [(Kind, &str); 2] = [
    (Kind::Anthropic, "https://api.anthropic.com/v1"),
    (Kind::Gemini, "https://generativelanguage.googleapis.com/v1beta"),
];
const DAY_SECONDS: f64 = 86_400.0;

/// A model as it was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawModel {
    name: String,
    url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    kind: Option<String>,
    api_version: Option<String>,
    goes_on: Option<String>,
    endpoints: Vec<RawEndpoint>,
    balance: Option<String>,
    connect_seconds: Option<f64>,
    first_token_seconds: Option<f64>,
    idle_seconds: Option<f64>,
    whole_seconds: Option<f64>,
    tries: Option<u32>,
    retries_per_request: Option<f64>,
    hedge: bool,
    single_flight: Option<String>,
    max_concurrent: Option<usize>,
    max_waiting: Option<usize>,
    max_output_tokens: Option<u32>,
    input_usd_per_million: Option<f64>,
    cached_input_usd_per_million: Option<f64>,
    output_usd_per_million: Option<f64>,
    budgets: Vec<RawBudget>,
    fallbacks: Vec<String>,
}

/// One of several places where the model can be had; what it does not say, the model says.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawEndpoint {
    url: Option<String>,
    model: Option<String>,
    api_key_env: Option<String>,
    kind: Option<String>,
    api_version: Option<String>,
    goes_on: Option<String>,
    weight: Option<f64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct RawBudget {
    usd: Option<f64>,
    requests: Option<u64>,
    period: String,
}

/// A model in types that cannot be wrong.
pub(super) fn validate(raw: RawModel) -> Result<ModelSettings> {
    let name = raw.name.clone();
    if ["", "burnish", "extractive"].contains(&name.as_str()) || name.starts_with("burnish/") {
        bail!("models: the name `{name}` is empty or taken; give the model another one");
    }
    let seconds = |key: &str, value: Option<f64>, usual: Duration| match value {
        Some(value) => {
            within(&format!("models: {key} of `{name}`"), value, 0.001, DAY_SECONDS)?;
            Ok(Duration::from_secs_f64(value))
        }
        None => Ok::<_, anyhow::Error>(usual),
    };
    let (usual, retries, limits) = (Patience::default(), Retries::default(), Limits::default());
    let patience = Patience {
        connect: seconds("connect_seconds", raw.connect_seconds, usual.connect)?,
        first_token: seconds("first_token_seconds", raw.first_token_seconds, usual.first_token)?,
        idle: seconds("idle_seconds", raw.idle_seconds, usual.idle)?,
        whole: seconds("whole_seconds", raw.whole_seconds, usual.whole)?,
    };
    let tries = raw.tries.unwrap_or(retries.tries);
    let per_request = raw.retries_per_request.unwrap_or(retries.per_request);
    within(&format!("models: tries of `{name}`"), f64::from(tries), 1.0, 100.0)?;
    within(&format!("models: retries_per_request of `{name}`"), per_request, 0.0, 10.0)?;
    let concurrent = raw.max_concurrent.unwrap_or(limits.concurrent);
    within(&format!("models: max_concurrent of `{name}`"), concurrent as f64, 1.0, 1e6)?;
    let output_tokens = raw.max_output_tokens.unwrap_or(limits.output_tokens);
    within(&format!("models: max_output_tokens of `{name}`"), f64::from(output_tokens), 1.0, 1e7)?;
    let endpoints = endpoints(&raw)?;
    let balances = [("latency", Balance::Latency), ("order", Balance::Order)];
    Ok(ModelSettings {
        balance: named(&name, "balance", raw.balance.as_deref(), &balances)?.unwrap_or_default(),
        patience,
        retries: Retries { tries, per_request, ..retries },
        hedge: raw.hedge,
        single_flight: named(&name, "single_flight", raw.single_flight.as_deref(), &SingleFlight::NAMES)?
            .unwrap_or_default(),
        limits: Limits {
            concurrent,
            waiting: raw.max_waiting.unwrap_or(limits.waiting),
            output_tokens,
            ..limits
        },
        price: price(&raw, &endpoints)?,
        budgets: raw.budgets.iter().map(|budget| validate_budget(&name, budget)).collect::<Result<_>>()?,
        fallbacks: raw.fallbacks,
        name,
        endpoints,
    })
}

fn endpoints(raw: &RawModel) -> Result<Vec<EndpointSettings>> {
    let own = RawEndpoint {
        url: raw.url.clone(),
        model: raw.model.clone(),
        api_key_env: raw.api_key_env.clone(),
        kind: raw.kind.clone(),
        api_version: raw.api_version.clone(),
        goes_on: raw.goes_on.clone(),
        weight: None,
    };
    match raw.endpoints.as_slice() {
        [] => Ok(vec![validate_endpoint(&raw.name, own)?]),
        endpoints => endpoints
            .iter()
            .cloned()
            .map(|endpoint| {
                let RawEndpoint { url, model, api_key_env, kind, api_version, goes_on, weight } = endpoint;
                validate_endpoint(
                    &raw.name,
                    RawEndpoint {
                        url: url.or_else(|| own.url.clone()),
                        model: model.or_else(|| own.model.clone()),
                        api_key_env: api_key_env.or_else(|| own.api_key_env.clone()),
                        kind: kind.or_else(|| own.kind.clone()),
                        api_version: api_version.or_else(|| own.api_version.clone()),
                        goes_on: goes_on.or_else(|| own.goes_on.clone()),
                        weight,
                    },
                )
            })
            .collect(),
    }
}

fn validate_endpoint(name: &str, raw: RawEndpoint) -> Result<EndpointSettings> {
    let RawEndpoint { url, model, api_key_env, kind, api_version, goes_on, weight } = raw;
    let kind = named(name, "kind", kind.as_deref(), &Kind::NAMES)?.unwrap_or_default();
    let usual = ADDRESSES.iter().find(|(known, _)| *known == kind).map(|(_, url)| (*url).to_owned());
    let Some(base_url) = url.or(usual) else {
        bail!(
            "models: `{name}` has no url; write one like \"http://127.0.0.1:11434/v1\", or endpoints that have one"
        );
    };
    if !base_url.starts_with("http://") && !base_url.starts_with("https://") {
        bail!("models: the address `{base_url}` of `{name}` does not begin with http:// or https://");
    }
    let Some(model) = model.filter(|model| !model.is_empty()) else {
        bail!("models: `{name}` has no model; write what the endpoint calls it");
    };
    if kind == Kind::Azure && api_version.is_none() {
        bail!(
            "models: `{name}` is of the kind \"azure\" and has no api_version; write one like \"2024-10-21\""
        );
    }
    let weight = weight.unwrap_or(1.0);
    within(&format!("models: weight of an endpoint of `{name}`"), weight, 1e-6, 1e6)?;
    let api_key =
        secret(&format!("models: api_key_env of `{name}`"), api_key_env.as_deref().unwrap_or_default())?;
    Ok(EndpointSettings {
        kind,
        base_url,
        model,
        api_key: api_key.map(ApiKey::new),
        api_version,
        goes_on: named(name, "goes_on", goes_on.as_deref(), &GoingOn::NAMES)?.unwrap_or_default(),
        weight,
    })
}

/// The price of the settings, else the list price where all endpoints have the same; a part of a price is none.
fn price(raw: &RawModel, endpoints: &[EndpointSettings]) -> Result<Option<Price>> {
    let name = &raw.name;
    let usd = |key: &str, value: Option<f64>| {
        value.map(|value| money(&format!("models: {key} of `{name}`"), value)).transpose()
    };
    let input = usd("input_usd_per_million", raw.input_usd_per_million)?;
    let cached = usd("cached_input_usd_per_million", raw.cached_input_usd_per_million)?;
    let output = usd("output_usd_per_million", raw.output_usd_per_million)?;
    match (input, cached, output) {
        (Some(input), cached, Some(output)) => {
            Ok(Some(Price { input, cached_input: cached.unwrap_or(input), output }))
        }
        (None, None, None) => {
            let mut prices = endpoints.iter().map(|endpoint| known_price(&endpoint.model));
            let first = prices.next().flatten();
            Ok(first.filter(|_| prices.all(|price| price == first)))
        }
        _ => bail!(
            "models: `{name}` has a part of a price; set both input_usd_per_million and output_usd_per_million"
        ),
    }
}

fn validate_budget(name: &str, raw: &RawBudget) -> Result<Budget> {
    let Some(period) = named(name, "period of a budget", Some(&raw.period), &Period::NAMES)? else {
        bail!("models: a budget of `{name}` has no period");
    };
    let cap = match (raw.usd, raw.requests) {
        (Some(usd), None) => Cap::Money(money(&format!("models: usd of a budget of `{name}`"), usd)?),
        (None, Some(requests)) => Cap::Requests(requests),
        _ => bail!("models: a budget of `{name}` has either usd or requests"),
    };
    Ok(Budget { cap, period })
}

/// One of `known`, by its name.
fn named<T: Copy>(model: &str, key: &str, name: Option<&str>, known: &[(&str, T)]) -> Result<Option<T>> {
    let Some(name) = name else { return Ok(None) };
    let found = known.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    found.map(Some).ok_or_else(|| {
        let known: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
        anyhow!("models: {key} of `{model}`: `{name}` is none of {}", known.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use burnish_types::Money;

    use super::*;

    fn read(text: &str) -> Result<ModelSettings> {
        validate(toml::from_str(&format!("name = \"m\"\n{text}"))?)
    }

    #[test]
    fn endpoints_take_over_what_they_do_not_say() {
        let settings = read(
            "model = \"llama\"\ngoes_on = \"final_message\"\nbalance = \"order\"\nfirst_token_seconds = 2.5\n\
             input_usd_per_million = 0.15\noutput_usd_per_million = 0.6\nfallbacks = [\"other\"]\n\
             budgets = [{ usd = 1.5, period = \"month\" }, { requests = 9, period = \"minute\" }]\n\
             endpoints = [{ url = \"http://a/v1\", weight = 3 }, { kind = \"anthropic\", model = \"claude\" }]",
        )
        .unwrap();
        let [first, second] = settings.endpoints.as_slice() else { panic!("{settings:?}") };
        assert_eq!(
            (first.model.as_str(), first.goes_on, first.weight),
            ("llama", GoingOn::FinalMessage, 3.0)
        );
        assert_eq!((second.model.as_str(), second.kind), ("claude", Kind::Anthropic));
        assert_eq!(second.base_url, "https://api.anthropic.com/v1");
        assert_eq!((settings.balance, settings.patience.first_token.as_millis()), (Balance::Order, 2_500));
        let price = settings.price.unwrap();
        assert_eq!(
            (price.input.micros(), price.cached_input.micros(), price.output.micros()),
            (150_000, 150_000, 600_000)
        );
        let money = Budget { cap: Cap::Money(Money::from_micros(1_500_000)), period: Period::Month };
        assert_eq!(settings.budgets, [money, Budget { cap: Cap::Requests(9), period: Period::Minute }]);
    }

    #[test]
    fn prices_are_known_or_none() {
        let cases = [
            ("model = \"gpt-4o-mini\"\nurl = \"http://a\"", Some(150_000)),
            ("model = \"openai/gpt-4o-mini\"\nurl = \"http://a\"", Some(150_000)),
            ("model = \"my-own\"\nurl = \"http://a\"", None),
            (
                "model = \"gpt-4o-mini\"\nendpoints = [{ url = \"http://a\" }, { url = \"http://b\", model = \"x\" }]",
                None,
            ),
        ];
        for (text, expected) in cases {
            let price = read(text).unwrap().price;
            assert_eq!(price.map(|price| price.input.micros()), expected, "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let base = "url = \"http://a\"\nmodel = \"x\"\n";
        let cases = [
            ("model = \"x\"", "has no url"),
            ("url = \"http://a\"", "has no model"),
            ("kind = \"azure\"\nurl = \"http://a\"\nmodel = \"x\"", "api_version"),
            (&format!("{base}kind = \"cohere\""), "none of openai, azure, anthropic, gemini"),
            (&format!("{base}goes_on = \"yes\""), "none of no, last_message, prefix, final_message"),
            (&format!("{base}first_token_seconds = 0"), "first_token_seconds of `m`: 0 is not between"),
            (&format!("{base}tries = 0"), "tries of `m`"),
            (&format!("{base}input_usd_per_million = 1"), "a part of a price"),
            (&format!("{base}budgets = [{{ period = \"day\" }}]"), "either usd or requests"),
            (
                &format!("{base}budgets = [{{ usd = 1, period = \"year\" }}]"),
                "none of minute, hour, day, month",
            ),
            (&format!("{base}endpoints = [{{ url = \"http://a\", weight = 0 }}]"), "weight"),
            (&format!("{base}endpoints = [{{ address = \"http://a\" }}]"), "address"),
        ];
        for (text, expected) in cases {
            let error = format!("{:#}", read(text).unwrap_err());
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }
}
