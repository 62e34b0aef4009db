//! Features of a query, in two stages: what its words and circumstances say before anything is retrieved, and
//! what the scores of the two candidate lists say once they are there.
//!
//! [`FEATURES`] says what each one means; `docs/features.md` is that table for people. They are kept sparse: a
//! feature at its neutral value is left out, so a log of an earlier version reads like a query that shows nothing
//! of what came later. Read them with [`feature_value`], never from the map.
//!
//! Sources: the idf statistics and NQC are those of Shtok et al. 2012 ("Predicting Query Performance by
//! Query-Drift Estimation"), with the sum of the terms' idf in place of the corpus' own score, which no index here
//! tells. SCQ needs collection frequencies, which none tells either, and so is not among them.

mod lexicon;
mod lists;
mod table;
mod text;
mod vector;

use std::collections::BTreeMap;

use burnish_types::{Hit, Query, QueryFeatures};

pub use table::{FEATURES, FeatureDefinition, neutral_value};
pub use vector::FeatureVector;

use crate::query_type::QueryTypeModel;

/// The version of the definitions in [`FEATURES`]; it changes whenever one of them does.
pub const FEATURES_VERSION: u32 = 2;

/// Stage one: the features of `query`, given the inverse document frequency of each of its analysed terms, with
/// its type and complexity by the model that is compiled in. Bounded in time whatever the text: its first 4,000
/// characters are read closely, the rest is only counted.
pub fn query_features(query: &Query, term_idf: &[(String, f32)]) -> QueryFeatures {
    let mut features = text_features(query);
    let mut values = Values(features.values);
    put_idf(term_idf, &mut values);
    features.values = values.0;
    QueryTypeModel::shipped().annotate(&mut features);
    features
}

/// What stage one says of the text and its circumstances alone: no corpus, no type, no complexity. This is what
/// a [`QueryTypeModel`] is trained on.
pub fn text_features(query: &Query) -> QueryFeatures {
    let mut values = Values(BTreeMap::new());
    text::put(query, &mut values);
    QueryFeatures { version: FEATURES_VERSION, values: values.0 }
}

/// Stage two: adds what the two candidate lists say, each best first, with BM25 scores and cosines, and how far the best
/// chunk of their fusion is above its second one. Lists of any
/// length will do; beyond 100 hits nothing is looked at.
pub fn list_features(features: &mut QueryFeatures, lexical: &[Hit], dense: &[Hit], fused_margin: f32) {
    let idf_sum = feature_value(features, "idf_sum");
    let mut values = Values(std::mem::take(&mut features.values));
    lists::put(lexical, dense, idf_sum, &mut values);
    values.put("fused_margin", f64::from(fused_margin));
    features.values = values.0;
}

/// The value of the feature called `name`; where it is missing or no finite number, its neutral value.
pub fn feature_value(features: &QueryFeatures, name: &str) -> f64 {
    features
        .values
        .get(name)
        .copied()
        .filter(|value| value.is_finite())
        .unwrap_or_else(|| neutral_value(name))
}

/// Features on their way into the map, which holds none at its neutral value.
pub(crate) struct Values(pub(crate) BTreeMap<String, f64>);

impl Values {
    pub(crate) fn put(&mut self, name: &str, value: f64) {
        if !value.is_finite() || value == neutral_value(name) {
            self.0.remove(name);
        } else {
            self.0.insert(name.to_owned(), value);
        }
    }

    fn flag(&mut self, name: &str, holds: bool) {
        self.put(name, f64::from(holds));
    }
}

fn put_idf(term_idf: &[(String, f32)], values: &mut Values) {
    let idf = || term_idf.iter().map(|(_, idf)| f64::from(*idf)).filter(|idf| idf.is_finite());
    let count = idf().count();
    let sum: f64 = idf().sum();
    let mean = if count == 0 { 0.0 } else { sum / count as f64 };
    let spread = idf().map(|idf| (idf - mean).powi(2)).sum::<f64>() / count.max(1) as f64;
    values.put("terms", count as f64);
    values.put("idf_max", idf().fold(0.0, f64::max));
    values.put("idf_mean", mean);
    values.put("idf_sum", sum);
    values.put("idf_deviation", spread.sqrt());
}

#[cfg(test)]
mod tests;
