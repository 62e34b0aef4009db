//! Random little models in sentence-transformers form, written to disk.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use burnish_embedding::LocalEncoder;
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A letter is a token, and so is a letter that goes on a word.
pub(crate) const VOCABULARY: usize = 4 + 26 + 26;
pub(crate) const CLS: u32 = 2;
pub(crate) const SEP: u32 = 3;

/// What a model is made of.
#[derive(Clone, Debug)]
pub(crate) struct Tiny {
    pub(crate) model_type: &'static str,
    pub(crate) heads: usize,
    pub(crate) head_width: usize,
    pub(crate) layers: usize,
    pub(crate) intermediate: usize,
    pub(crate) positions: usize,
    pub(crate) max_length: usize,
    pub(crate) activation: &'static str,
    pub(crate) pooling: &'static str,
    pub(crate) precision: Dtype,
    pub(crate) prefix: &'static str,
    pub(crate) seed: u64,
}

impl Default for Tiny {
    fn default() -> Self {
        Self {
            model_type: "bert",
            heads: 3,
            head_width: 8,
            layers: 2,
            intermediate: 40,
            positions: 32,
            max_length: 24,
            activation: "gelu",
            pooling: "mean",
            precision: Dtype::F32,
            prefix: "",
            seed: 7,
        }
    }
}

/// Shape and numbers by name.
pub(crate) type Weights = BTreeMap<String, (Vec<usize>, Vec<f32>)>;

impl Tiny {
    pub(crate) fn hidden(&self) -> usize {
        self.heads * self.head_width
    }

    /// RoBERTa counts positions from the one after its padding token's, which is 1.
    pub(crate) fn first_position(&self) -> usize {
        if self.model_type == "bert" { 0 } else { 2 }
    }

    pub(crate) fn weights(&self) -> Weights {
        let (hidden, wide) = (self.hidden(), self.intermediate);
        let mut shapes = vec![
            ("embeddings.word_embeddings.weight".to_owned(), vec![VOCABULARY, hidden]),
            ("embeddings.position_embeddings.weight".to_owned(), vec![self.positions, hidden]),
            ("embeddings.token_type_embeddings.weight".to_owned(), vec![2, hidden]),
            ("embeddings.LayerNorm.weight".to_owned(), vec![hidden]),
            ("embeddings.LayerNorm.bias".to_owned(), vec![hidden]),
        ];
        for layer in 0..self.layers {
            for (part, outputs, inputs) in [
                ("attention.self.query", hidden, hidden),
                ("attention.self.key", hidden, hidden),
                ("attention.self.value", hidden, hidden),
                ("attention.output.dense", hidden, hidden),
                ("intermediate.dense", wide, hidden),
                ("output.dense", hidden, wide),
            ] {
                shapes.push((format!("encoder.layer.{layer}.{part}.weight"), vec![outputs, inputs]));
                shapes.push((format!("encoder.layer.{layer}.{part}.bias"), vec![outputs]));
            }
            for part in ["attention.output", "output"] {
                shapes.push((format!("encoder.layer.{layer}.{part}.LayerNorm.weight"), vec![hidden]));
                shapes.push((format!("encoder.layer.{layer}.{part}.LayerNorm.bias"), vec![hidden]));
            }
        }
        let mut state = self.seed;
        let mut fill = |name: &str, shape: &[usize]| {
            let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
            (0..shape.iter().product::<usize>()).map(|_| centre + grain(&mut state)).collect::<Vec<f32>>()
        };
        shapes
            .into_iter()
            .map(|(name, shape)| {
                let numbers = fill(&name, &shape);
                (name, (shape, numbers))
            })
            .collect()
    }

    pub(crate) fn config(&self) -> Value {
        json!({
            "model_type": self.model_type,
            "hidden_size": self.hidden(),
            "num_attention_heads": self.heads,
            "num_hidden_layers": self.layers,
            "intermediate_size": self.intermediate,
            "vocab_size": VOCABULARY,
            "max_position_embeddings": self.positions,
            "type_vocab_size": 2,
            "hidden_act": self.activation,
            "layer_norm_eps": 1e-12,
            "pad_token_id": self.first_position().saturating_sub(1),
        })
    }

    /// Writes the model to a folder called `tiny`.
    pub(crate) fn write(&self) -> TempDir {
        let parent = TempDir::new().unwrap();
        let folder = parent.path().join("tiny");
        fs::create_dir_all(folder.join("1_Pooling")).unwrap();
        let modules = json!([
            {"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"},
            {"idx": 1, "name": "1", "path": "1_Pooling", "type": "sentence_transformers.models.Pooling"},
            {"idx": 2, "name": "2", "path": "2_Normalize", "type": "sentence_transformers.models.Normalize"},
        ]);
        let pooling = json!({
            "word_embedding_dimension": self.hidden(),
            "pooling_mode_cls_token": self.pooling == "cls",
            "pooling_mode_mean_tokens": self.pooling == "mean",
            "pooling_mode_max_tokens": self.pooling == "max",
            "pooling_mode_mean_sqrt_len_tokens": false,
        });
        write_json(&folder, "config.json", &self.config());
        write_json(&folder, "modules.json", &modules);
        write_json(&folder, "1_Pooling/config.json", &pooling);
        write_json(
            &folder,
            "sentence_bert_config.json",
            &json!({"max_seq_length": self.max_length, "do_lower_case": false}),
        );
        write_json(&folder, "tokenizer.json", &tokenizer());
        write_weights(&folder, &self.weights(), self.prefix, self.precision);
        parent
    }

    pub(crate) fn load(&self, threads: usize) -> LocalEncoder {
        LocalEncoder::load(&self.write().path().join("tiny"), threads).unwrap()
    }
}

pub(crate) fn write_json(folder: &Path, name: &str, value: &Value) {
    fs::write(folder.join(name), value.to_string()).unwrap();
}

pub(crate) fn write_weights(folder: &Path, weights: &Weights, prefix: &str, precision: Dtype) {
    let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = weights
        .iter()
        .map(|(name, (shape, numbers))| {
            (format!("{prefix}{name}"), shape.clone(), encode(numbers, precision))
        })
        .collect();
    let views = tensors.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(precision, shape.clone(), bytes).unwrap())
    });
    fs::write(folder.join("model.safetensors"), safetensors::serialize(views, None).unwrap()).unwrap();
}

/// The tokens that the tiny tokenizer makes of words of small letters, specials and the limit included.
pub(crate) fn tokens_of(text: &str, max_length: usize) -> Vec<u32> {
    let letters = text.split(' ').flat_map(|word| {
        word.bytes()
            .enumerate()
            .map(|(place, letter)| u32::from(letter - b'a') + if place == 0 { 4 } else { 30 })
    });
    [CLS].into_iter().chain(letters.take(max_length - 2)).chain([SEP]).collect()
}

fn tokenizer() -> Value {
    let mut vocabulary: BTreeMap<String, usize> = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
        .into_iter()
        .enumerate()
        .map(|(id, token)| (token.to_owned(), id))
        .collect();
    for (place, letter) in ('a'..='z').enumerate() {
        vocabulary.insert(letter.to_string(), 4 + place);
        vocabulary.insert(format!("##{letter}"), 30 + place);
    }
    let special = |id: usize, content: &str| json!({"id": id, "content": content, "special": true, "single_word": false, "lstrip": false, "rstrip": false, "normalized": false});
    json!({
        "version": "1.0",
        "truncation": {"max_length": 5, "strategy": "LongestFirst", "stride": 0, "direction": "Right"},
        "padding": {"strategy": {"Fixed": 9}, "direction": "Right", "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"},
        "added_tokens": [special(0, "[PAD]"), special(1, "[UNK]"), special(2, "[CLS]"), special(3, "[SEP]")],
        "normalizer": {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "strip_accents": null, "lowercase": true},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "[SEP]", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {
                "[CLS]": {"id": "[CLS]", "ids": [2], "tokens": ["[CLS]"]},
                "[SEP]": {"id": "[SEP]", "ids": [3], "tokens": ["[SEP]"]},
            },
        },
        "decoder": {"type": "WordPiece", "prefix": "##", "cleanup": true},
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100, "vocab": vocabulary},
    })
}

/// A multiple of 1/128 in [-1/2, 1/2], which every precision holds exactly.
fn grain(state: &mut u64) -> f32 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    ((*state >> 33) % 129) as f32 / 128.0 - 0.5
}

fn encode(numbers: &[f32], precision: Dtype) -> Vec<u8> {
    let half = |number: f32| {
        let bits = number.to_bits();
        let magnitude = if number == 0.0 { 0 } else { ((bits & 0x7fff_ffff) >> 13) - ((127 - 15) << 10) };
        u16::try_from(bits >> 16 & 0x8000 | magnitude).unwrap()
    };
    match precision {
        Dtype::F32 => numbers.iter().flat_map(|number| number.to_le_bytes()).collect(),
        Dtype::F16 => numbers.iter().flat_map(|&number| half(number).to_le_bytes()).collect(),
        Dtype::BF16 => {
            numbers.iter().flat_map(|number| ((number.to_bits() >> 16) as u16).to_le_bytes()).collect()
        }
        Dtype::I32 => numbers.iter().flat_map(|&number| (number as i32).to_le_bytes()).collect(),
        other => panic!("no test writes {other:?}"),
    }
}
