//! `eval drift`: how soon a policy is back at its best when two arms swap what they are worth, and how often an
//! alarm is given where nothing has changed.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::EvalError;
use crate::outcome_table::{OutcomeTable, RecordedOutcome};
use crate::stream::{Played, Player, Request};

/// Expected quality is compared as the mean over this many outcomes.
const SMOOTHED: usize = 20;
/// Back means: from there on, for so many outcomes or to the end, never again below.
const STAYS: usize = 200;
/// Back means: at least this share of the new best arm's quality.
const BACK: f64 = 0.95;
/// *Must hold*: back within so many outcomes.
const SOON: usize = 100;
/// Outcomes of a stream without a change.
const STATIONARY: usize = 10_000;

/// How a policy took a change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DriftReport {
    /// Rows.
    pub n: usize,
    /// Streams of each kind.
    pub seeds: u64,
    /// The policy, with its settings.
    pub policy: String,
    /// The arm of the best mean quality, which becomes the worst.
    pub best: String,
    /// The arm of the worst mean quality, which becomes the best.
    pub worst: String,
    /// The means of these two before the swap.
    pub means: [f64; 2],
    /// The row of the swap.
    pub swap_at: usize,
    /// Outcomes after the swap until the expected quality was back, and stayed, by seed; `None` where that never
    /// was.
    pub back_after: Vec<Option<usize>>,
    /// Seeds that were back within 100 outcomes.
    pub back_within_100: usize,
    /// Outcomes after the swap until the first alarm, by seed.
    pub alarm_after: Vec<Option<usize>>,
    /// Alarms before the swap, by seed.
    pub alarms_before: Vec<usize>,
    /// Alarms in 10,000 outcomes drawn from the rows with replacement, by seed.
    pub stationary_alarms: Vec<usize>,
    /// Seeds without such an alarm.
    pub stationary_without_alarm: usize,
}

/// Runs the policy over streams with a swap and without.
///
/// # Errors
/// If there is no such policy, or no row.
pub fn evaluate(table: &OutcomeTable, request: &Request) -> Result<DriftReport, EvalError> {
    if table.rows.is_empty() {
        return Err(EvalError::NoRows);
    }
    let (best, worst) = table.extremes();
    let expected = Expected::of(table, best, worst);
    let swap_at = table.rows.len() / 2;
    let mut report = DriftReport {
        n: table.rows.len(),
        seeds: request.seeds.max(1),
        policy: Player::new(&table.arms, request, 0)?.policy().name(),
        best: table.arms[best].clone(),
        worst: table.arms[worst].clone(),
        means: [table.mean_quality(best), table.mean_quality(worst)],
        swap_at,
        back_after: Vec::new(),
        back_within_100: 0,
        alarm_after: Vec::new(),
        alarms_before: Vec::new(),
        stationary_alarms: Vec::new(),
        stationary_without_alarm: 0,
    };
    for seed in 0..request.seeds.max(1) {
        let seed = request.seed.wrapping_add(seed);
        let swapped = Swapped::play(table, request, seed, &expected, swap_at)?;
        report.back_after.push(swapped.back_after());
        report.alarm_after.push(swapped.alarms.iter().find(|at| **at >= swap_at).map(|at| at - swap_at));
        report.alarms_before.push(swapped.alarms.iter().filter(|at| **at < swap_at).count());
        report.stationary_alarms.push(stationary(table, request, seed)?);
    }
    let soon = report.back_after.iter().flatten().filter(|after| **after <= SOON);
    report.back_within_100 = soon.count();
    report.stationary_without_alarm = report.stationary_alarms.iter().filter(|alarms| **alarms == 0).count();
    Ok(report)
}

/// What each arm is worth after the swap, by kind of query where the table says that, so that a policy that
/// tells kinds apart is not taken for a worse one.
struct Expected {
    groups: BTreeMap<String, Vec<Option<f64>>>,
    arms: Vec<f64>,
    best: usize,
}

impl Expected {
    fn of(table: &OutcomeTable, best: usize, worst: usize) -> Self {
        let mut sums: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for row in &table.rows {
            let group = sums.entry(row.group.clone()).or_insert_with(|| vec![(0.0, 0.0); table.arms.len()]);
            for (sum, outcome) in group.iter_mut().zip(&row.outcomes) {
                if let Some(outcome) = outcome {
                    *sum = (sum.0 + outcome.quality, sum.1 + 1.0);
                }
            }
        }
        let groups = sums.into_iter().map(|(group, mut sums)| {
            sums.swap(best, worst);
            (group, sums.into_iter().map(|(sum, n)| (n > 0.0).then(|| sum / n)).collect())
        });
        let mut arms: Vec<f64> = (0..table.arms.len()).map(|arm| table.mean_quality(arm)).collect();
        arms.swap(best, worst);
        // Where the best was, the worst is now, and the other way round.
        Self { groups: groups.collect(), arms, best: worst }
    }

    fn quality(&self, group: &str, arm: usize) -> f64 {
        let known = self.groups.get(group).and_then(|arms| arms.get(arm).copied().flatten());
        known.unwrap_or(self.arms[arm])
    }

    /// What the policy's probabilities are worth for one query, and what the best arm is.
    fn step(&self, group: &str, played: &Played) -> (f64, f64) {
        let over = played.places.iter().zip(&played.choice.propensities);
        let reached = over.map(|(arm, propensity)| propensity * self.quality(group, *arm)).sum();
        (reached, self.quality(group, self.best))
    }
}

/// One stream with a swap.
struct Swapped {
    /// After the swap: what was reached, and what the new best arm would have reached.
    steps: Vec<(f64, f64)>,
    alarms: Vec<usize>,
}

impl Swapped {
    fn play(
        table: &OutcomeTable,
        request: &Request,
        seed: u64,
        expected: &Expected,
        swap_at: usize,
    ) -> Result<Self, EvalError> {
        let mut order: Vec<usize> = (0..table.rows.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let (best, worst) = table.extremes();
        let mut player = Player::new(&table.arms, request, seed)?;
        let mut swapped = Self { steps: Vec::new(), alarms: Vec::new() };
        for (step, row) in order.iter().map(|place| &table.rows[*place]).enumerate() {
            let mut outcomes = row.outcomes.clone();
            if step >= swap_at {
                swap_quality(&mut outcomes, best, worst);
            }
            let Some(played) = player.play(&row.x, &outcomes) else { continue };
            if step >= swap_at {
                swapped.steps.push(expected.step(&row.group, &played));
            }
            if played.drift.is_some() {
                swapped.alarms.push(step);
            }
        }
        Ok(swapped)
    }

    /// The first outcome after which the smoothed quality stays near the best.
    fn back_after(&self) -> Option<usize> {
        let good = |end: usize| {
            let window = &self.steps[end.saturating_sub(SMOOTHED)..end];
            let (reached, best) =
                window.iter().fold((0.0, 0.0), |sum, step| (sum.0 + step.0, sum.1 + step.1));
            reached >= BACK * best
        };
        let mut since = None;
        for end in 1..=self.steps.len() {
            since = if good(end) { since.or(Some(end)) } else { None };
            if since.is_some_and(|since| end - since >= STAYS) {
                break;
            }
        }
        since
    }
}

/// Quality alone is swapped: what an arm costs stays as it was.
fn swap_quality(outcomes: &mut [Option<RecordedOutcome>], left: usize, right: usize) {
    if let (Some(first), Some(second)) = (outcomes[left], outcomes[right]) {
        outcomes[left] = Some(RecordedOutcome { quality: second.quality, ..first });
        outcomes[right] = Some(RecordedOutcome { quality: first.quality, ..second });
    }
}

/// Alarms in a stream of rows drawn with replacement.
fn stationary(table: &OutcomeTable, request: &Request, seed: u64) -> Result<usize, EvalError> {
    let mut random = fastrand::Rng::with_seed(seed ^ 0x57a7);
    let mut player = Player::new(&table.arms, request, seed)?;
    let mut alarms = 0;
    for _ in 0..STATIONARY {
        let row = &table.rows[random.usize(..table.rows.len())];
        let played = player.play(&row.x, &row.outcomes);
        alarms += usize::from(played.is_some_and(|played| played.drift.is_some()));
    }
    Ok(alarms)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome_table::TableRow;

    fn swapped(reached: &[f64]) -> Swapped {
        Swapped { steps: reached.iter().map(|reached| (*reached, 1.0)).collect(), alarms: Vec::new() }
    }

    #[test]
    fn back_means_that_it_stays() {
        let level = |value: f64, n: usize| vec![value; n];
        let cases = [
            (level(1.0, 400), Some(1)),
            (level(0.5, 400), None),
            // The mean of the last 20 is at 0.95 when 18 of them are good.
            ([level(0.5, 50), level(1.0, 300)].concat(), Some(68)),
            ([level(1.0, 50), level(0.5, 50), level(1.0, 300)].concat(), Some(118)),
            // What happens after it has stayed is another matter.
            ([level(1.0, 300), level(0.5, 50)].concat(), Some(1)),
        ];
        for (reached, expected) in cases {
            assert_eq!(swapped(&reached).back_after(), expected);
        }
    }

    #[test]
    fn a_plain_swap_is_noticed_and_answered() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut outcome = |quality: f64| {
            let quality = f64::from(u8::from(random.f64() < quality));
            Some(RecordedOutcome {
                quality,
                cost_usd: None,
                input_tokens: None,
                output_tokens: None,
                latency_ms: None,
            })
        };
        let row =
            |_| TableRow { group: String::new(), x: vec![1.0], outcomes: vec![outcome(0.9), outcome(0.3)] };
        let table = OutcomeTable {
            arms: vec!["good".to_owned(), "bad".to_owned()],
            rows: (0..1_600).map(row).collect(),
        };
        let request = Request {
            policy: "conservative".to_owned(),
            baseline: None,
            quality_target: None,
            budget_usd: None,
            seeds: 1,
            seed: 0,
        };
        let (best, worst) = table.extremes();
        let expected = Expected::of(&table, best, worst);
        let swapped = Swapped::play(&table, &request, 3, &expected, 800).unwrap();
        assert!(swapped.back_after().is_some_and(|after| after <= 100), "{:?}", swapped.back_after());
        assert!(
            swapped.alarms.iter().all(|at| *at >= 800) && !swapped.alarms.is_empty(),
            "{:?}",
            swapped.alarms
        );
        // A policy that never moves never comes back.
        let stuck = Request { policy: "fixed:good".to_owned(), ..request };
        assert_eq!(Swapped::play(&table, &stuck, 3, &expected, 800).unwrap().back_after(), None);
    }
}
