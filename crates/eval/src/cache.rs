//! The semantic cache over pairs of questions of which it is known whether one is answered by the other's answer.

mod pairs;
mod traps;

use burnish_cache::{Guarantee, Offer, Promise, Question, Record};
use serde::Serialize;

pub use pairs::{LabelledPair, Paraphrase, Texts, read_pairs, read_paraphrases};
pub use traps::{Trap, traps};

/// How many of the nearest originals are offered for a paraphrase.
const NEAREST: usize = 4;
/// Thresholds on the cosine that are tabled.
const TABLED: std::ops::RangeInclusive<u32> = 70..=99;

/// How the pairs are run through.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Request {
    /// What is promised.
    pub promise: Promise,
    /// The share of served answers of which it is told whether they were right.
    pub feedback: f64,
    /// Orders of the pairs.
    pub orders: u64,
    /// For the orders, the coins and the model.
    pub seed: u64,
}

/// One order of the pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Run {
    /// Its seed.
    pub seed: u64,
    /// Requests that were served.
    pub hits: u64,
    /// Those of them that were served a wrong answer.
    pub wrong: u64,
    /// Requests that might have been served, and were answered freshly to compare.
    pub explored: u64,
    /// The most by which the wrong ones were ever above what may be; at most 0 where the promise was kept.
    pub largest_excess: f64,
    /// The cache's own bound on the wrong ones, at the end.
    pub bound: f64,
    /// Exact 95 % upper bound on the error rate (Clopper & Pearson 1934).
    pub error_upper95: f64,
}

/// What one threshold on the cosine would have served.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Threshold {
    /// Served from this cosine on.
    pub threshold: f32,
    /// Requests that would have been served.
    pub hits: u64,
    /// Those of them that would have been served a wrong answer.
    pub wrong: u64,
}

/// What came of the pairs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Pairs in each order.
    pub n: usize,
    /// What was promised.
    pub delta: f64,
    /// Mean over the orders.
    pub hits: f64,
    /// Mean over the orders.
    pub wrong: f64,
    /// Mean over the orders.
    pub explored: f64,
    /// Wrong answers in a request, mean over the orders.
    pub error_rate: f64,
    /// The largest over the orders.
    pub error_upper95: f64,
    /// Orders in which more was wrong, at any moment, than may be.
    pub broken: usize,
    /// Hits over those of the best threshold.
    pub ratio: f64,
    /// The threshold that serves most while the upper bound on its error rate is at most δ, chosen in hindsight.
    pub best_static: Threshold,
    /// Others.
    #[serde(rename = "static")]
    pub thresholds: Vec<Threshold>,
    /// The orders.
    pub runs: Vec<Run>,
}

/// Runs through the pairs: the first question's answer is kept, the second one is asked. Whether it would be right is
/// learned where it was not served, and of a share of those served. Returns the guarantee as the first order left it, too.
pub fn evaluate(
    pairs: &[LabelledPair],
    questions: &[Question],
    dimensions: usize,
    request: &Request,
) -> (Report, Guarantee) {
    let delta = request.promise.delta;
    let mut first = None;
    let mut runs = Vec::new();
    for seed in (request.seed..).take(request.orders.max(1) as usize) {
        let (run, guarantee) = run(pairs, questions, dimensions, request, seed);
        runs.push(run);
        first = first.or(Some(guarantee));
    }
    let mut scored: Vec<(f32, bool)> =
        pairs.iter().map(|pair| (questions[pair.kept].cosine(&questions[pair.asked]), pair.right)).collect();
    scored.sort_by(|one, other| other.0.total_cmp(&one.0));
    let best_static = best_static(&scored, delta);
    let count = runs.len() as f64;
    let mean = |figure: fn(&Run) -> u64| runs.iter().map(|run| figure(run) as f64).sum::<f64>() / count;
    let (hits, wrong, explored) = (mean(|run| run.hits), mean(|run| run.wrong), mean(|run| run.explored));
    let report = Report {
        n: pairs.len(),
        delta,
        hits,
        wrong,
        explored,
        error_rate: wrong / pairs.len().max(1) as f64,
        error_upper95: runs.iter().map(|run| run.error_upper95).fold(0.0, f64::max),
        broken: runs.iter().filter(|run| run.largest_excess > 0.0).count(),
        ratio: hits / best_static.hits.max(1) as f64,
        best_static,
        thresholds: TABLED.map(|hundredths| threshold(&scored, hundredths as f32 / 100.0)).collect(),
        runs,
    };
    let guarantee = first.unwrap_or_else(|| Guarantee::new(request.promise, dimensions, request.seed));
    (report, guarantee)
}

fn run(
    pairs: &[LabelledPair],
    questions: &[Question],
    dimensions: usize,
    request: &Request,
    seed: u64,
) -> (Run, Guarantee) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut order: Vec<&LabelledPair> = pairs.iter().collect();
    random.shuffle(&mut order);
    let mut guarantee = Guarantee::new(request.promise, dimensions, seed);
    let (mut hits, mut wrong, mut largest_excess) = (0, 0, f64::NEG_INFINITY);
    for (past, pair) in order.into_iter().enumerate() {
        let offer = Offer { question: &questions[pair.kept], record: Record::default() };
        let verdict = guarantee.judge(&questions[pair.asked], &[offer], random.f64());
        let Some(verdict) = verdict else { continue };
        if verdict.serves() {
            hits += 1;
            wrong += u64::from(!pair.right);
            largest_excess = largest_excess.max(wrong as f64 - request.promise.delta * (past + 1) as f64);
            if random.f64() < request.feedback {
                guarantee.learn(verdict.into_ticket(), pair.right);
            }
        } else {
            guarantee.learn(verdict.into_ticket(), pair.right);
        }
    }
    let standing = guarantee.standing();
    let run = Run {
        seed,
        hits,
        wrong,
        explored: standing.explored,
        largest_excess: if hits == 0 { 0.0 } else { largest_excess },
        bound: standing.wrong_bound,
        error_upper95: upper_bound(wrong, pairs.len() as u64, 0.95),
    };
    (run, guarantee)
}

fn threshold(scored: &[(f32, bool)], threshold: f32) -> Threshold {
    let served = &scored[..scored.partition_point(|(cosine, _)| *cosine >= threshold)];
    let wrong = served.iter().filter(|(_, right)| !right).count() as u64;
    Threshold { threshold, hits: served.len() as u64, wrong }
}

/// `scored` has the largest cosine first.
fn best_static(scored: &[(f32, bool)], delta: f64) -> Threshold {
    let mut best = Threshold { threshold: f32::INFINITY, hits: 0, wrong: 0 };
    let mut wrong = 0;
    for (place, (cosine, right)) in scored.iter().enumerate() {
        wrong += u64::from(!right);
        let last_of_its_cosine = scored.get(place + 1).is_none_or(|next| next.0 < *cosine);
        if last_of_its_cosine {
            if upper_bound(wrong, scored.len() as u64, 0.95) > delta {
                break;
            }
            best = Threshold { threshold: *cosine, hits: place as u64 + 1, wrong };
        }
    }
    best
}

/// Clopper and Pearson's upper bound on a share of which `count` of `n` were seen: where so few or fewer come about with
/// probability 1 − `confidence`.
fn upper_bound(count: u64, n: u64, confidence: f64) -> f64 {
    if count >= n {
        return 1.0;
    }
    let (mut low, mut high) = (count as f64 / n as f64, 1.0);
    for _ in 0..40 {
        let middle = f64::midpoint(low, high);
        if at_most(count, n, middle) > 1.0 - confidence { low = middle } else { high = middle }
    }
    high
}

/// The probability that at most `count` of `n` come about, each with probability `share`.
fn at_most(count: u64, n: u64, share: f64) -> f64 {
    let odds = (share / (1.0 - share)).ln();
    let mut term = n as f64 * (-share).ln_1p();
    let mut sum = term.exp();
    for place in 1..=count {
        term += ((n - place + 1) as f64 / place as f64).ln() + odds;
        sum += term.exp();
    }
    sum
}

/// What a bar on the predicted risk serves of the paraphrases.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Bar {
    /// Served up to this risk.
    pub risk: f64,
    /// Paraphrases that were given their own original's answer.
    pub right: u64,
    /// Those that were given another's.
    pub wrong: u64,
}

/// Looks each paraphrase up among all originals.
pub fn paraphrases(
    paraphrases: &[Paraphrase],
    questions: &[Question],
    guarantee: &mut Guarantee,
    bars: &[f64],
) -> Vec<Bar> {
    let mut report: Vec<Bar> = bars.iter().map(|&risk| Bar { risk, right: 0, wrong: 0 }).collect();
    for (own, paraphrase) in paraphrases.iter().enumerate() {
        let asked = &questions[paraphrase.asked];
        let mut nearest: Vec<(f32, usize)> = paraphrases
            .iter()
            .enumerate()
            .map(|(place, other)| (asked.cosine(&questions[other.kept]), place))
            .collect();
        nearest.sort_by(|one, other| other.0.total_cmp(&one.0));
        nearest.truncate(NEAREST);
        let offers: Vec<Offer<'_>> = nearest
            .iter()
            .map(|(_, place)| Offer {
                question: &questions[paraphrases[*place].kept],
                record: Record::default(),
            })
            .collect();
        let Some((chosen, risk)) = guarantee.assess(asked, &offers) else { continue };
        let is_own = nearest[chosen].1 == own;
        for bar in report.iter_mut().filter(|bar| risk <= bar.risk) {
            bar.right += u64::from(is_own);
            bar.wrong += u64::from(!is_own);
        }
    }
    report
}

/// How many traps are served by a guarantee that goes on from where it is.
pub fn sprung(
    traps: &[Trap],
    texts: &Texts,
    questions: &[Question],
    guarantee: &mut Guarantee,
    seed: u64,
) -> u64 {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut served = 0;
    for trap in traps {
        let (Some(kept), Some(asked)) = (texts.place(&trap.kept), texts.place(&trap.asked)) else { continue };
        let offer = Offer { question: &questions[kept], record: Record::default() };
        if let Some(verdict) = guarantee.judge(&questions[asked], &[offer], random.f64()) {
            if verdict.serves() {
                served += 1;
            } else {
                guarantee.learn(verdict.into_ticket(), false);
            }
        }
    }
    served
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upper_bound_is_clopper_and_pearsons() {
        // By R: binom.test(k, n, alternative = "less")$conf.int[2].
        for (count, n, expected) in [(0, 100, 0.029_513), (3, 100, 0.075_723), (64, 8_000, 0.009_852)] {
            let bound = upper_bound(count, n, 0.95);
            assert!((bound - expected).abs() < 2e-4, "{count} of {n}: {bound}");
        }
    }

    #[test]
    fn a_thousand_traps_are_seen_by_their_words() {
        use burnish_cache::Why;
        for Trap { kept, asked, .. } in traps(1_000, 0) {
            let [kept, asked] = [kept, asked].map(|text| Question::new(&text, &[1.0]));
            let offer = Offer { question: &kept, record: Record::default() };
            let verdict = Guarantee::new(Promise::default(), 1, 0).judge(&asked, &[offer], 0.0);
            assert!(
                verdict.is_some_and(|verdict| matches!(verdict.why, Why::Conflict(_))),
                "{kept:?} {asked:?}"
            );
        }
    }

    #[test]
    fn the_best_threshold_stays_within_the_bound() {
        let scored: Vec<(f32, bool)> =
            (0..1_000).map(|place| (1.0 - place as f32 / 1_000.0, place < 400)).collect();
        let best = best_static(&scored, 0.01);
        assert_eq!((best.hits, best.wrong), (404, 4));
        assert!(
            upper_bound(best.wrong, 1_000, 0.95) <= 0.01 && upper_bound(best.wrong + 1, 1_000, 0.95) > 0.01
        );
    }
}
