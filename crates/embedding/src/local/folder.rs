//! The folder of a sentence-transformers model: what its JSON files say, checked against what can be computed here.

use std::fs;
use std::path::{Path, PathBuf};

use burnish_types::EmbedError;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::load_error;
use super::rows::Activation;

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// The first one's.
    First,
    /// The largest value of each column.
    Max,
}

/// Everything that a folder says about its model, apart from weights and vocabulary.
#[derive(Debug)]
pub(super) struct ModelFolder {
    /// The weights.
    pub(super) weights: PathBuf,
    /// The tokenizer.
    pub(super) tokenizer: PathBuf,
    /// Width of a hidden state.
    pub(super) hidden: usize,
    /// Attention heads.
    pub(super) heads: usize,
    /// Layers.
    pub(super) layers: usize,
    /// Width between the feed-forward layers.
    pub(super) intermediate: usize,
    /// The non-linearity between them.
    pub(super) activation: Activation,
    /// Added to variances.
    pub(super) epsilon: f32,
    /// Rows of the word embeddings.
    pub(super) vocabulary: usize,
    /// Rows of the position embeddings.
    pub(super) positions: usize,
    /// The row of the first token's position.
    pub(super) first_position: usize,
    /// Rows of the token type embeddings.
    pub(super) token_types: usize,
    /// The most tokens of a text, special tokens included.
    pub(super) max_length: usize,
    /// Whether texts are lowercased before they are tokenised.
    pub(super) lowercase: bool,
    /// How the vectors of a text's tokens become one.
    pub(super) pooling: Pooling,
}

impl ModelFolder {
    /// Reads and checks the folder at `path`.
    pub(super) fn read(path: &Path) -> Result<Self, EmbedError> {
        if !path.is_dir() {
            return Err(load_error(
                path,
                "there is no such folder; `scripts/get-model` fetches the default model",
            ));
        }
        let modules = Modules::read(path)?;
        let transformer = path.join(&modules.transformer);
        let config_file = transformer.join("config.json");
        let config: Config = read_json(&config_file)?;
        let sentence: SentenceConfig = read_json_or_default(&transformer.join("sentence_bert_config.json"))?;
        let pooling_file = path.join(&modules.pooling).join("config.json");
        let pooling = read_json::<PoolingConfig>(&pooling_file)?
            .pooling()
            .map_err(|reason| load_error(&pooling_file, reason))?;

        let fail = |reason: String| load_error(&config_file, reason);
        config.check().map_err(fail)?;
        let first_position = config.first_position();
        let positions = config.max_position_embeddings;
        let longest =
            positions.checked_sub(first_position).filter(|&longest| longest > 2).ok_or_else(|| {
                fail(format!("max_position_embeddings is {positions}, which leaves no room for a text"))
            })?;
        Ok(Self {
            weights: transformer.join("model.safetensors"),
            tokenizer: transformer.join("tokenizer.json"),
            hidden: config.hidden_size,
            heads: config.num_attention_heads,
            layers: config.num_hidden_layers,
            intermediate: config.intermediate_size,
            activation: config.activation().map_err(fail)?,
            epsilon: config.layer_norm_eps,
            vocabulary: config.vocab_size,
            positions,
            first_position,
            token_types: config.type_vocab_size,
            max_length: sentence.max_seq_length.unwrap_or(longest).min(longest),
            lowercase: sentence.do_lower_case,
            pooling,
        })
    }
}

/// `modules.json`, by what each module is.
struct Modules {
    transformer: String,
    pooling: String,
}

impl Modules {
    fn read(folder: &Path) -> Result<Self, EmbedError> {
        #[derive(Deserialize)]
        struct Module {
            path: String,
            #[serde(rename = "type")]
            kind: String,
        }

        let file = folder.join("modules.json");
        let (mut transformer, mut pooling) = (None, None);
        for Module { path, kind } in read_json::<Vec<Module>>(&file)? {
            match kind.rsplit('.').next().unwrap_or_default() {
                "Transformer" => transformer = Some(path),
                "Pooling" => pooling = Some(path),
                // Every vector is brought to unit length, whether or not the model asks for it.
                "Normalize" => {}
                _ => {
                    return Err(load_error(
                        &file,
                        format!(
                            "it has a module `{kind}`; Transformer, Pooling and Normalize are understood"
                        ),
                    ));
                }
            }
        }
        let missing = |name: &str| load_error(&file, format!("it names no {name} module"));
        Ok(Self {
            transformer: transformer.ok_or_else(|| missing("Transformer"))?,
            pooling: pooling.ok_or_else(|| missing("Pooling"))?,
        })
    }
}

/// The parts of `config.json` that matter.
#[derive(Deserialize)]
struct Config {
    model_type: String,
    hidden_size: usize,
    num_attention_heads: usize,
    num_hidden_layers: usize,
    intermediate_size: usize,
    vocab_size: usize,
    max_position_embeddings: usize,
    #[serde(default = "default_token_types")]
    type_vocab_size: usize,
    #[serde(default = "default_activation")]
    hidden_act: String,
    #[serde(default = "default_epsilon")]
    layer_norm_eps: f32,
    pad_token_id: Option<usize>,
    position_embedding_type: Option<String>,
    #[serde(default)]
    is_decoder: bool,
}

fn default_token_types() -> usize {
    2
}

fn default_activation() -> String {
    "gelu".to_owned()
}

fn default_epsilon() -> f32 {
    1e-12
}

impl Config {
    fn check(&self) -> Result<(), String> {
        let Self { hidden_size: hidden, num_attention_heads: heads, .. } = *self;
        match self.model_type.as_str() {
            "bert" | "roberta" | "xlm-roberta" | "camembert" => {}
            other => {
                return Err(format!(
                    "model_type is `{other}`; bert, roberta, xlm-roberta and camembert can be computed"
                ));
            }
        }
        if let Some(kind) = self.position_embedding_type.as_deref().filter(|&kind| kind != "absolute") {
            return Err(format!(
                "position_embedding_type is `{kind}`; only absolute positions can be computed"
            ));
        }
        if self.is_decoder {
            return Err("is_decoder is true; a decoder does not embed texts".to_owned());
        }
        if heads == 0 || hidden == 0 || !hidden.is_multiple_of(heads) {
            return Err(format!("hidden_size {hidden} is not a multiple of num_attention_heads {heads}"));
        }
        for (name, value) in [
            ("num_hidden_layers", self.num_hidden_layers),
            ("intermediate_size", self.intermediate_size),
            ("vocab_size", self.vocab_size),
            ("type_vocab_size", self.type_vocab_size),
        ] {
            if value == 0 {
                return Err(format!("{name} is 0"));
            }
        }
        Ok(())
    }

    fn activation(&self) -> Result<Activation, String> {
        match self.hidden_act.as_str() {
            "gelu" => Ok(Activation::Gelu),
            "gelu_new" | "gelu_pytorch_tanh" => Ok(Activation::GeluTanh),
            "relu" => Ok(Activation::Relu),
            other => Err(format!(
                "hidden_act is `{other}`; gelu, gelu_new, gelu_pytorch_tanh and relu can be computed"
            )),
        }
    }

    /// RoBERTa and its kin count positions from the one after the padding token's.
    fn first_position(&self) -> usize {
        if self.model_type == "bert" { 0 } else { self.pad_token_id.unwrap_or(1) + 1 }
    }
}

/// `sentence_bert_config.json`.
#[derive(Default, Deserialize)]
struct SentenceConfig {
    max_seq_length: Option<usize>,
    #[serde(default)]
    do_lower_case: bool,
}

/// The pooling module's configuration: a flag a mode, or the mode's name.
#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct PoolingConfig {
    pooling_mode: Option<String>,
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

impl PoolingConfig {
    fn pooling(&self) -> Result<Pooling, String> {
        let flags = [
            (self.pooling_mode_cls_token, "cls"),
            (self.pooling_mode_mean_tokens, "mean"),
            (self.pooling_mode_max_tokens, "max"),
            (self.pooling_mode_mean_sqrt_len_tokens, "mean_sqrt_len_tokens"),
            (self.pooling_mode_weightedmean_tokens, "weightedmean"),
            (self.pooling_mode_lasttoken, "lasttoken"),
        ];
        let flagged = flags.into_iter().filter_map(|(on, name)| on.then_some(name));
        let modes: Vec<&str> = self.pooling_mode.as_deref().into_iter().chain(flagged).collect();
        match modes[..] {
            ["mean"] => Ok(Pooling::Mean),
            ["cls"] => Ok(Pooling::First),
            ["max"] => Ok(Pooling::Max),
            _ => Err(format!("its pooling is {modes:?}; one of cls, mean and max can be computed")),
        }
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, EmbedError> {
    let bytes = fs::read(path).map_err(|error| load_error(path, error))?;
    serde_json::from_slice(&bytes).map_err(|error| load_error(path, error))
}

fn read_json_or_default<T: DeserializeOwned + Default>(path: &Path) -> Result<T, EmbedError> {
    if path.exists() { read_json(path) } else { Ok(T::default()) }
}
