//! Stage two: what the scores of the two candidate lists say. Both cost a few milliseconds, so a plan may look.

use burnish_types::{ChunkId, Hit};

use super::Values;

/// How deep margins, gaps and overlap look.
const TOP: usize = 10;
/// How deep the deviation of scores looks.
const DEVIATION_DEPTH: usize = 100;

/// Puts the features of both lists, best first; `idf_sum` is that of the question's terms.
pub(crate) fn put(lexical: &[Hit], dense: &[Hit], idf_sum: f64, values: &mut Values) {
    values.put("lists", 1.0);
    values.put("lexical_hits", lexical.len().min(TOP) as f64);
    values.put("dense_hits", dense.len().min(TOP) as f64);
    let (bm25, cosine) = (scores(lexical), scores(dense));
    let (best_bm25, best_cosine) = (at(&bm25, 0), at(&cosine, 0));
    values.put("lexical_top", best_bm25);
    values.put("dense_top", best_cosine);
    // BM25 has no scale of its own, so its differences are shares of the best score; those of cosines are not.
    let share =
        |difference: f64| if best_bm25 > 0.0 { (difference / best_bm25).clamp(0.0, 1.0) } else { 0.0 };
    values.put("lexical_margin", share(best_bm25 - at(&bm25, 1)));
    values.put("lexical_gap", share(best_bm25 - at(&bm25, TOP - 1)));
    values.put("dense_margin", margin(&cosine, 1));
    values.put("dense_gap", margin(&cosine, TOP - 1));
    let scale = if idf_sum > 0.0 { idf_sum } else { best_bm25 };
    values.put("lexical_nqc", if scale > 0.0 { deviation(&bm25) / scale } else { 0.0 });
    values.put("dense_nqc", deviation(&cosine));
    put_agreement(lexical, dense, values);
}

fn put_agreement(lexical: &[Hit], dense: &[Hit], values: &mut Values) {
    let (lexical, dense) = (&lexical[..lexical.len().min(TOP)], &dense[..dense.len().min(TOP)]);
    let common = lexical.iter().filter(|hit| rank(dense, hit.chunk).is_some()).count();
    let shorter = lexical.len().min(dense.len());
    values.put("overlap_10", if shorter == 0 { 0.0 } else { common as f64 / shorter as f64 });
    let reciprocal = |best: Option<&Hit>, list: &[Hit]| {
        best.and_then(|hit| rank(list, hit.chunk)).map_or(0.0, |rank| 1.0 / (rank + 1) as f64)
    };
    let (there, back) = (reciprocal(lexical.first(), dense), reciprocal(dense.first(), lexical));
    values.flag("top_agrees", there == 1.0);
    values.put("top_cross_rank", (there + back) / 2.0);
}

fn rank(list: &[Hit], chunk: ChunkId) -> Option<usize> {
    list.iter().position(|hit| hit.chunk == chunk)
}

fn scores(hits: &[Hit]) -> Vec<f64> {
    let finite = |hit: &Hit| if hit.score.is_finite() { f64::from(hit.score) } else { 0.0 };
    hits.iter().take(DEVIATION_DEPTH).map(finite).collect()
}

fn at(scores: &[f64], place: usize) -> f64 {
    scores.get(place).copied().unwrap_or(0.0)
}

/// How far the best cosine is above the one at `place`, or above the last where there are fewer.
fn margin(cosines: &[f64], place: usize) -> f64 {
    let other = cosines.get(place).or(cosines.last()).copied().unwrap_or(0.0);
    (at(cosines, 0) - other).max(0.0)
}

fn deviation(scores: &[f64]) -> f64 {
    if scores.is_empty() {
        return 0.0;
    }
    let mean = scores.iter().sum::<f64>() / scores.len() as f64;
    (scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / scores.len() as f64).sqrt()
}
