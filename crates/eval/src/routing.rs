//! `eval choice --router`: what a router over whole embeddings gets out of recorded outcomes, online from zero, at several prices.

use burnish_learning::router::{Router, RouterSettings};
use burnish_types::Embedding;
use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::outcome_table::{OutcomeTable, RecordedOutcome, mean};

/// Requests after which the quality so far is held against the best arm's.
const SETTLED: usize = 200;

/// What was reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoutingReport {
    /// Rows.
    pub n: usize,
    /// Orders of the rows.
    pub seeds: u64,
    /// The arm that is in use at first.
    pub baseline: String,
    /// What cost means.
    pub cost: Cost,
    /// Always that arm, over the second half of the rows, in the mean over orders.
    pub always: Point,
    /// By price.
    pub prices: Vec<Priced>,
    /// The places of those prices than which none is both cheaper and better, cheapest first.
    pub front: Vec<usize>,
}

/// What is saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cost {
    /// Tokens that are written.
    OutputTokens,
    /// US dollars.
    Usd,
}

/// A quality at a cost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Point {
    /// Mean quality.
    pub quality: f64,
    /// Mean cost.
    pub cost: f64,
}

/// What was reached at one price, over the second half of the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Priced {
    /// The quality that is given up to save the mean cost of the arm in use.
    pub price: f64,
    /// What was reached.
    #[serde(flatten)]
    pub reached: Point,
    /// The quality less that of always the arm in use, row by row, over rows.
    pub over_rows: MeanInterval,
    /// The same over orders.
    pub over_seeds: MeanInterval,
    /// The least share of the quality of the best arm, over the same rows, that was reached up to any request after 200.
    pub least_share: f64,
    /// By arm, the share of the rows.
    pub shares: Vec<f64>,
}

/// Plays the table in several orders at each price.
///
/// # Errors
/// If a row lacks an arm, or there is none.
pub fn evaluate(
    table: &OutcomeTable,
    embeddings: &[Embedding],
    baseline: usize,
    cost: Cost,
    prices: &[f64],
    seeds: u64,
    seed: u64,
) -> Result<RoutingReport, EvalError> {
    let whole: Option<Vec<Vec<RecordedOutcome>>> = table
        .rows
        .iter()
        .map(|row| {
            let mut outcomes = row.outcomes.iter().copied().collect::<Option<Vec<_>>>()?;
            // The arm in use comes first.
            outcomes.swap(0, baseline);
            Some(outcomes)
        })
        .collect();
    let rows = whole.filter(|rows| !rows.is_empty()).ok_or(EvalError::NoRows)?;
    let of = cost;
    let cost = |outcome: &RecordedOutcome| {
        let cost = match of {
            Cost::OutputTokens => outcome.output_tokens,
            Cost::Usd => outcome.cost_usd,
        };
        cost.unwrap_or_default()
    };
    let table_rows = Rows { rows: &rows, embeddings, cost: &cost };
    let orders: Vec<Vec<usize>> = (0..seeds.max(1))
        .map(|turn| {
            let mut order: Vec<usize> = (0..rows.len()).collect();
            fastrand::Rng::with_seed(seed.wrapping_add(turn)).shuffle(&mut order);
            order
        })
        .collect();
    let last = |order: &Vec<usize>| order[rows.len() / 2..].to_vec();
    let half: Vec<usize> = orders.iter().flat_map(last).collect();
    let always = Point {
        quality: mean(half.iter().map(|row| rows[*row][0].quality)).unwrap_or_default(),
        cost: mean(half.iter().map(|row| cost(&rows[*row][0]))).unwrap_or_default(),
    };
    let priced = |price: &f64| table_rows.priced(*price, &orders, seed).ok_or(EvalError::NoRows);
    let mut prices = prices.iter().map(priced).collect::<Result<Vec<_>, _>>()?;
    for priced in &mut prices {
        priced.shares.swap(0, baseline);
    }
    let beats = |one: &Priced, other: &Priced| {
        let (one, other) = (one.reached, other.reached);
        one.quality >= other.quality && one.cost <= other.cost && one != other
    };
    let mut front: Vec<usize> =
        (0..prices.len()).filter(|place| prices.iter().all(|other| !beats(other, &prices[*place]))).collect();
    front.sort_by(|left, right| prices[*left].reached.cost.total_cmp(&prices[*right].reached.cost));
    Ok(RoutingReport {
        n: rows.len(),
        seeds: seeds.max(1),
        baseline: table.arms[baseline].clone(),
        cost: of,
        always,
        prices,
        front,
    })
}

struct Rows<'a> {
    rows: &'a [Vec<RecordedOutcome>],
    embeddings: &'a [Embedding],
    cost: &'a dyn Fn(&RecordedOutcome) -> f64,
}

impl Rows<'_> {
    fn priced(&self, price: f64, orders: &[Vec<usize>], seed: u64) -> Option<Priced> {
        let arms = self.rows.first()?.len();
        let mut by_row = vec![(0.0, 0_u32); self.rows.len()];
        let (mut by_seed, mut reached) = (Vec::new(), Vec::new());
        let (mut least_share, mut shares) = (f64::INFINITY, vec![0.0; arms]);
        for order in orders {
            let taken = self.play(price, order);
            least_share = least_share.min(self.least_share(order, &taken));
            let half = order.len() / 2;
            let mut difference = 0.0;
            for (row, arm) in order.iter().zip(&taken).skip(half) {
                let outcome = &self.rows[*row][*arm];
                let over = outcome.quality - self.rows[*row][0].quality;
                difference += over;
                by_row[*row].0 += over;
                by_row[*row].1 += 1;
                shares[*arm] += 1.0;
                reached.push((outcome.quality, (self.cost)(outcome)));
            }
            by_seed.push(difference / (order.len() - half) as f64);
        }
        let over_rows: Vec<f64> = by_row
            .iter()
            .filter(|(_, turns)| *turns > 0)
            .map(|(over, turns)| over / f64::from(*turns))
            .collect();
        let total = reached.len().max(1) as f64;
        shares.iter_mut().for_each(|share| *share /= total);
        Some(Priced {
            price,
            reached: Point {
                quality: mean(reached.iter().map(|(quality, _)| *quality))?,
                cost: mean(reached.iter().map(|(_, cost)| *cost))?,
            },
            over_rows: bootstrap::mean(&over_rows, seed)?,
            over_seeds: bootstrap::mean(&by_seed, seed)?,
            least_share,
            shares,
        })
    }

    fn play(&self, price: f64, order: &[usize]) -> Vec<usize> {
        let dimensions = self.embeddings.first().map_or(0, Vec::len);
        let settings = RouterSettings { price, ..RouterSettings::default() };
        let mut router = Router::new(self.rows[0].len(), dimensions, settings);
        let turn = |row: &usize| {
            let embedding = &self.embeddings[*row];
            let option = router.route(embedding).option;
            let outcome = &self.rows[*row][option];
            router.observe(option, embedding, outcome.quality, (self.cost)(outcome));
            option
        };
        order.iter().map(turn).collect()
    }

    fn least_share(&self, order: &[usize], taken: &[usize]) -> f64 {
        let arms = self.rows[0].len();
        let total = |arm: usize| self.rows.iter().map(|row| row[arm].quality).sum::<f64>();
        let best = (0..arms).max_by(|left, right| total(*left).total_cmp(&total(*right))).unwrap_or(0);
        let (mut reached, mut of_best, mut least) = (0.0, 0.0, f64::INFINITY);
        for (place, (row, arm)) in order.iter().zip(taken).enumerate() {
            reached += self.rows[*row][*arm].quality;
            of_best += self.rows[*row][best].quality;
            if place + 1 >= SETTLED && of_best > 0.0 {
                least = f64::min(least, reached / of_best);
            }
        }
        least
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome_table::TableRow;

    /// Two kinds of query: the cheap arm does only one of them, as well as the dear one.
    #[test]
    fn a_router_learns_which_queries_the_cheap_arm_does() {
        let outcome = |quality: f64, tokens: f64| {
            Some(RecordedOutcome {
                quality,
                cost_usd: None,
                input_tokens: None,
                output_tokens: Some(tokens),
                latency_ms: None,
            })
        };
        let rows = (0..2_000).map(|place: usize| TableRow {
            group: String::new(),
            x: vec![1.0],
            outcomes: vec![
                outcome(f64::from(u8::from(place.is_multiple_of(2))), 1.0),
                outcome(f64::from(u8::from(!place.is_multiple_of(10))), 100.0),
            ],
        });
        let table = OutcomeTable { arms: vec!["cheap".to_owned(), "dear".to_owned()], rows: rows.collect() };
        let embedding = |place: usize| if place.is_multiple_of(2) { vec![1.0, 0.0] } else { vec![0.0, 1.0] };
        let embeddings: Vec<Embedding> = (0..2_000).map(embedding).collect();
        let report = evaluate(&table, &embeddings, 1, Cost::OutputTokens, &[0.0, 0.1], 3, 1).unwrap();
        assert_eq!((report.baseline.as_str(), report.cost), ("dear", Cost::OutputTokens));
        assert!((report.always.cost - 100.0).abs() < 1e-9);
        let priced = &report.prices[1];
        assert!(priced.reached.cost < 80.0 && priced.over_rows.mean > 0.0, "{report:?}");
        assert!(priced.least_share > 0.97 && priced.shares[0] > 0.2, "{report:?}");
        assert!(!report.front.is_empty());
        assert_eq!(report, evaluate(&table, &embeddings, 1, Cost::OutputTokens, &[0.0, 0.1], 3, 1).unwrap());
    }
}
