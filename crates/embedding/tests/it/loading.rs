//! What is said of a folder that is not what it should be.

use std::fs;
use std::path::Path;

use burnish_embedding::LocalEncoder;
use burnish_types::Embedder;
use safetensors::Dtype;
use serde_json::{Value, json};

use super::tiny::{Tiny, Weights, write_json, write_weights};

/// What is done to a good folder.
type Damage = Box<dyn Fn(&Path)>;

fn edit_json(folder: &Path, name: &str, change: impl FnOnce(&mut Value)) {
    let mut value = serde_json::from_slice(&fs::read(folder.join(name)).unwrap()).unwrap();
    change(&mut value);
    write_json(folder, name, &value);
}

fn set(name: &'static str, key: &'static str, value: Value) -> Damage {
    Box::new(move |folder| edit_json(folder, name, |file| file[key] = value.clone()))
}

fn remove(name: &'static str) -> Damage {
    Box::new(move |folder| fs::remove_file(folder.join(name)).unwrap())
}

fn reweigh(change: impl Fn(&mut Weights) + 'static) -> Damage {
    Box::new(move |folder| {
        let mut weights = Tiny::default().weights();
        change(&mut weights);
        write_weights(folder, &weights, "", Dtype::F32);
    })
}

/// Breaks a good folder and expects an error that names the file and says `reason`.
fn check(damage: &dyn Fn(&Path), file: &str, reason: &str) {
    let parent = Tiny::default().write();
    let folder = parent.path().join("tiny");
    damage(&folder);
    let error = LocalEncoder::load(&folder, 1).unwrap_err().to_string();
    let named = folder.join(file);
    assert!(error.contains(named.to_string_lossy().trim_end_matches('/')), "{error} does not name {file}");
    assert!(error.contains(reason), "{error} does not say {reason}");
}

#[test]
fn every_defect_has_its_reason() {
    let config = "config.json";
    let cases: Vec<(Damage, &str, &str)> = vec![
        (Box::new(|folder| fs::remove_dir_all(folder).unwrap()), "", "there is no such folder"),
        (remove("modules.json"), "modules.json", "No such file"),
        (remove(config), config, "No such file"),
        (remove("tokenizer.json"), "tokenizer.json", "No such file"),
        (remove("model.safetensors"), "model.safetensors", "No such file"),
        (remove("1_Pooling/config.json"), "1_Pooling/config.json", "No such file"),
        (Box::new(|folder| fs::write(folder.join("config.json"), "{").unwrap()), config, "EOF"),
        (
            Box::new(|folder| fs::write(folder.join("model.safetensors"), "no").unwrap()),
            "model.safetensors",
            "header",
        ),
        (
            Box::new(|folder| fs::write(folder.join("tokenizer.json"), "{}").unwrap()),
            "tokenizer.json",
            "Model missing",
        ),
        (set(config, "model_type", json!("mpnet")), config, "model_type is `mpnet`"),
        (set(config, "model_type", json!("distilbert")), config, "model_type is `distilbert`"),
        (set(config, "hidden_act", json!("silu")), config, "hidden_act is `silu`"),
        (set(config, "position_embedding_type", json!("relative_key")), config, "`relative_key`"),
        (set(config, "is_decoder", json!(true)), config, "is_decoder"),
        (set(config, "num_attention_heads", json!(5)), config, "hidden_size 24 is not a multiple"),
        (set(config, "num_attention_heads", json!(0)), config, "not a multiple of num_attention_heads 0"),
        (set(config, "num_hidden_layers", json!(0)), config, "num_hidden_layers is 0"),
        (set(config, "max_position_embeddings", json!(2)), config, "leaves no room"),
        (set(config, "hidden_size", json!("wide")), config, "invalid type"),
        (
            set(config, "num_hidden_layers", json!(3)),
            "model.safetensors",
            "encoder.layer.2.attention.self.query.weight` is missing",
        ),
        (set(config, "num_hidden_layers", json!(1)), "model.safetensors", "more layers than the 1"),
        (
            set(config, "intermediate_size", json!(41)),
            "model.safetensors",
            "has shape [40, 24], the configuration asks for [41, 24]",
        ),
        (set(config, "vocab_size", json!(50)), "model.safetensors", "asks for [50, 24]"),
        (
            set("sentence_bert_config.json", "max_seq_length", json!(2)),
            "tokenizer.json",
            "a maximum of 2 tokens",
        ),
        (
            set("1_Pooling/config.json", "pooling_mode_max_tokens", json!(true)),
            "1_Pooling/config.json",
            r#"["mean", "max"]"#,
        ),
        (
            set("1_Pooling/config.json", "pooling_mode_mean_tokens", json!(false)),
            "1_Pooling/config.json",
            "its pooling is []",
        ),
        (
            Box::new(|folder| {
                edit_json(folder, "modules.json", |file| {
                    file[2]["type"] = json!("sentence_transformers.models.Dense")
                })
            }),
            "modules.json",
            "it has a module `sentence_transformers.models.Dense`",
        ),
        (
            Box::new(|folder| {
                edit_json(folder, "modules.json", |file| file.as_array_mut().unwrap().truncate(1))
            }),
            "modules.json",
            "it names no Pooling module",
        ),
        (
            Box::new(|folder| {
                edit_json(folder, "tokenizer.json", |file| file["model"]["vocab"]["qu"] = json!(56))
            }),
            "tokenizer.json",
            "it has 57 tokens, the model's word embeddings only 56 rows",
        ),
        (
            reweigh(|weights| drop(weights.remove("embeddings.LayerNorm.bias"))),
            "model.safetensors",
            "`embeddings.LayerNorm.bias` is missing",
        ),
        (
            reweigh(|weights| drop(weights.remove("embeddings.word_embeddings.weight"))),
            "model.safetensors",
            "no tensor `embeddings.word_embeddings.weight`",
        ),
        (
            Box::new(|folder| write_weights(folder, &Tiny::default().weights(), "", Dtype::I32)),
            "model.safetensors",
            "has type I32",
        ),
    ];
    for (damage, file, reason) in &cases {
        check(damage, file, reason);
    }
}

#[test]
fn forms_that_mean_the_same() {
    let text = ["the quick brown fox", "jumps"];
    let expected = Tiny::default().load(1).embed(&text).unwrap();

    let renamed = Tiny::default().write();
    let folder = renamed.path().join("tiny");
    let weights = Tiny::default().weights().into_iter();
    let weights = weights.map(|(name, tensor)| {
        (
            name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"),
            tensor,
        )
    });
    write_weights(&folder, &weights.collect(), "bert.", Dtype::F32);
    assert_eq!(LocalEncoder::load(&folder, 1).unwrap().embed(&text).unwrap(), expected);

    let lowered = Tiny::default().write();
    let folder = lowered.path().join("tiny");
    edit_json(&folder, "tokenizer.json", |file| file["normalizer"]["lowercase"] = json!(false));
    let shouted = ["The QUICK brown fox", "JUMPS"];
    assert_ne!(LocalEncoder::load(&folder, 1).unwrap().embed(&shouted).unwrap(), expected);
    edit_json(&folder, "sentence_bert_config.json", |file| file["do_lower_case"] = json!(true));
    assert_eq!(LocalEncoder::load(&folder, 1).unwrap().embed(&shouted).unwrap(), expected);

    let named = Tiny::default().write();
    let folder = named.path().join("tiny");
    write_json(&folder, "1_Pooling/config.json", &json!({"pooling_mode": "mean"}));
    assert_eq!(LocalEncoder::load(&folder, 1).unwrap().embed(&text).unwrap(), expected);
}

#[test]
fn limits_come_from_the_folder() {
    let parent = Tiny::default().write();
    let folder = parent.path().join("tiny");
    fs::remove_file(folder.join("sentence_bert_config.json")).unwrap();
    assert_eq!(LocalEncoder::load(&folder, 1).unwrap().max_tokens(), 30);
    write_json(&folder, "sentence_bert_config.json", &json!({"max_seq_length": 1000, "do_lower_case": true}));
    assert_eq!(LocalEncoder::load(&folder, 1).unwrap().max_tokens(), 30);
}

#[test]
fn names_tell_models_apart() {
    let name = |tiny: Tiny| tiny.load(1).model().to_owned();
    let first = name(Tiny::default());
    assert!(first.starts_with("tiny@") && first.len() == "tiny@".len() + 8, "{first}");
    assert_eq!(first, name(Tiny::default()));
    for other in [
        Tiny { seed: 8, ..Tiny::default() },
        Tiny { pooling: "max", ..Tiny::default() },
        Tiny { max_length: 20, ..Tiny::default() },
    ] {
        assert_ne!(first, name(other));
    }
}
