//! Puts the engine together from the settings.

use std::sync::Arc;

use anyhow::{Result, bail};
use burnish_embedding::{CachedEmbedder, LocalEncoder, RemoteEmbedder, RemoteSettings};
use burnish_engine::{Engine, Parts};
use burnish_llm::{Model, ModelSettings};
use burnish_types::{Embedder, LanguageModel, SystemClock};

use crate::config::{Config, EmbeddingConfig};

/// Opens the data directory with everything that the settings name.
pub(crate) fn engine(config: &Config) -> Result<Arc<Engine>> {
    let parts = Parts {
        embedder: fitting_embedder(config)?,
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

/// As [`embedder`], where its limit is one for the chunks as well.
pub(crate) fn fitting_embedder(config: &Config) -> Result<Arc<dyn Embedder>> {
    let embedder = embedder(&config.embedding)?;
    // How much a remote model looks at is not known.
    if matches!(config.embedding, EmbeddingConfig::Local { .. }) {
        check_chunks(config.engine.chunking.max_tokens, embedder.max_tokens())?;
    }
    Ok(embedder)
}

/// What the encoder does not look at would not be found by meaning, and nothing would say so.
fn check_chunks(max_tokens: usize, limit: usize) -> Result<()> {
    if max_tokens > limit {
        bail!(
            "chunking.max_tokens: {max_tokens} is more than the {limit} tokens that the embedding model looks at; \
             set {limit} or less"
        );
    }
    Ok(())
}

/// The language models of the settings.
pub(crate) fn models(settings: &[ModelSettings]) -> Result<Vec<Arc<dyn LanguageModel>>> {
    let models = Model::all(settings)?.into_iter();
    Ok(models.map(|model| Arc::new(model) as Arc<dyn LanguageModel>).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_fit_into_what_the_encoder_looks_at() {
        assert!(check_chunks(254, 254).is_ok());
        let said = check_chunks(255, 254).unwrap_err().to_string();
        assert!(said.contains("chunking.max_tokens: 255") && said.contains("254 or less"), "{said}");
    }
}
