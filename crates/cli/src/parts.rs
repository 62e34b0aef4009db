//! Puts the engine together from the settings.

use std::sync::Arc;

use anyhow::{Context, Result};
use burnish_embedding::{CachedEmbedder, LocalEncoder, RemoteEmbedder, RemoteSettings};
use burnish_engine::{Engine, Parts};
use burnish_llm::{ApiKey, OpenAiModel, Settings};
use burnish_types::{Embedder, LanguageModel, SystemClock};

use crate::config::{Config, EmbeddingConfig, ModelConfig};

/// Opens the data directory with everything that the settings name.
pub(crate) fn engine(config: &Config) -> Result<Arc<Engine>> {
    let parts = Parts {
        embedder: embedder(&config.embedding)?,
        models: models(&config.models)?,
        clock: Arc::new(SystemClock),
    };
    Ok(Engine::open(config.engine.clone(), parts)?)
}

/// The encoder of the settings.
pub(crate) fn embedder(config: &EmbeddingConfig) -> Result<Arc<dyn Embedder>> {
    match config {
        EmbeddingConfig::Local { path, threads, cached_queries } => {
            let encoder = LocalEncoder::load(path, *threads)?;
            Ok(Arc::new(CachedEmbedder::new(encoder, *cached_queries)))
        }
        EmbeddingConfig::Remote { url, model, api_key, cached_queries } => {
            let mut settings = RemoteSettings::new(url, model);
            settings.api_key = api_key.clone();
            Ok(Arc::new(CachedEmbedder::new(RemoteEmbedder::connect(settings)?, *cached_queries)))
        }
    }
}

fn models(configs: &[ModelConfig]) -> Result<Vec<Arc<dyn LanguageModel>>> {
    let model = |config: &ModelConfig| -> Result<Arc<dyn LanguageModel>> {
        let mut settings = Settings::new(&config.url, &config.model);
        settings.name = config.name.clone();
        settings.api_key = config.api_key.as_ref().map(ApiKey::new);
        Ok(Arc::new(OpenAiModel::new(settings).with_context(|| format!("the model `{}`", config.name))?))
    };
    configs.iter().map(model).collect()
}
