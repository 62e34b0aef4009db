//! The encoder against sentence-transformers' own output for all-MiniLM-L6-v2.

use std::path::PathBuf;

use burnish_embedding::LocalEncoder;
use burnish_types::{Embedder, cosine};
use serde::Deserialize;

#[derive(Deserialize)]
struct Row {
    text: String,
    embedding: Vec<f32>,
}

/// `scripts/get-model` puts the model there, or BURNISH_MODEL says where it is.
fn model_folder() -> PathBuf {
    std::env::var_os("BURNISH_MODEL").map_or_else(|| "../../models/all-MiniLM-L6-v2".into(), PathBuf::from)
}

#[test]
fn vectors_are_those_of_sentence_transformers() {
    let folder = model_folder();
    if !folder.join("model.safetensors").exists() {
        eprintln!("skipped: no model in {}; `scripts/get-model` fetches it", folder.display());
        return;
    }
    let rows: Vec<Row> = include_str!("../data/reference.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(rows.len(), 200);
    let encoder = LocalEncoder::load(&folder, 0).unwrap();
    assert_eq!((encoder.dimensions(), encoder.max_tokens()), (384, 254));
    let texts: Vec<&str> = rows.iter().map(|row| row.text.as_str()).collect();
    for (row, vector) in rows.iter().zip(encoder.embed(&texts).unwrap()) {
        let cosine = cosine(&row.embedding, &vector);
        assert!(cosine >= 0.99999, "cosine {cosine} for {:?}", row.text);
    }
}
