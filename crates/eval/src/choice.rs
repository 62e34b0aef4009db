//! `eval choice`: how much quality for how much money a policy gets out of recorded outcomes, online from zero.

use serde::Serialize;

use crate::EvalError;
use crate::bootstrap::{self, MeanInterval};
use crate::outcome_table::{OutcomeTable, RecordedOutcome, TableRow, mean};
use crate::stream::{Played, Player, Request};

/// How a run of choices did; means over rows, and over orders of the rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ChoiceReport {
    /// Rows.
    pub n: usize,
    /// Orders of the rows.
    pub seeds: u64,
    /// The policy, with its settings.
    pub policy: String,
    /// What was reached over all rows.
    #[serde(flatten)]
    pub all: Reached,
    /// What was reached over the second half of the rows.
    pub last_half: Reached,
    /// The arm that is the best for all rows alike.
    pub best_fixed: Fixed,
    /// Always the best arm, and of equally good ones the cheapest.
    pub oracle: Means,
    /// All arms.
    pub fixed: Vec<Fixed>,
    /// The share of requests that explored and what that cost in quality, summed, of a policy that counts it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exploration: Option<Exploration>,
    /// Drift alarms, by order.
    pub alarms: f64,
}

/// Means of recorded outcomes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Means {
    /// In [0, 1].
    pub quality: f64,
    /// In US dollars; `None` where none was recorded.
    pub cost_usd: Option<f64>,
    /// Tokens written; `None` where none were recorded.
    pub output_tokens: Option<f64>,
}

/// One arm for all rows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Fixed {
    /// The arm.
    pub arm: String,
    /// What it reaches.
    #[serde(flatten)]
    pub means: Means,
}

/// What a policy reached.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reached {
    /// Mean quality, with its interval over orders of the rows (`n` is their number).
    pub quality: MeanInterval,
    /// Mean cost in US dollars.
    pub cost_usd: Option<f64>,
    /// Mean tokens written.
    pub output_tokens: Option<f64>,
    /// The share of rows by arm.
    pub shares: Vec<f64>,
    /// How well its predictions rank queries by what the strong arm gains, whatever it chose; `None` where no arm
    /// is stronger than a cheaper one. The strong arm is the one of the best mean quality, the weak one the cheapest.
    #[serde(flatten)]
    pub routing: Option<Routing>,
}

/// The measures of RouteLLM (Ong et al. 2024, arXiv 2406.18665, section 2.3), with the advantage that was
/// expected of the strong arm, when each query came, as the router's score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Routing {
    /// Average performance gap recovered: the share of the gap between weak and strong that is recovered, in
    /// the mean over all shares of calls to the strong arm. 0.5 at random.
    pub apgr: f64,
    /// Call-performance thresholds.
    pub cpt: Thresholds,
    /// The least share of calls to the strong arm that reaches 95 % of its quality.
    pub strong_calls_at_95: f64,
}

/// The least share of calls to the strong arm that recovers this percentage of the gap.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Thresholds {
    /// Half of it.
    #[serde(rename = "50")]
    pub half: f64,
    /// Four fifths of it.
    #[serde(rename = "80")]
    pub four_fifths: f64,
}

/// What exploration cost; means over orders.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Exploration {
    /// Share of requests.
    pub share: f64,
    /// What it may have cost, summed quality.
    pub spent: f64,
    /// What would have been played, summed quality.
    pub expected: f64,
}

/// Runs the policy over the table in several orders.
///
/// # Errors
/// If there is no such policy, or no row.
pub fn evaluate(table: &OutcomeTable, request: &Request) -> Result<ChoiceReport, EvalError> {
    let mut runs = Vec::new();
    for seed in 0..request.seeds.max(1) {
        runs.push(Run::play(table, request, request.seed.wrapping_add(seed))?);
    }
    let (best, _) = table.extremes();
    let fixed: Vec<Fixed> = (0..table.arms.len())
        .map(|arm| Fixed { arm: table.arms[arm].clone(), means: means(table.outcomes(arm)) })
        .collect();
    let half = table.rows.len() / 2;
    let reached = |from: usize| Reached::of(table, &runs, from, request.seed);
    Ok(ChoiceReport {
        n: table.rows.len(),
        seeds: request.seeds.max(1),
        policy: runs.first().map(|run| run.policy.clone()).unwrap_or_default(),
        all: reached(0).ok_or(EvalError::NoRows)?,
        last_half: reached(half).ok_or(EvalError::NoRows)?,
        best_fixed: fixed.get(best).cloned().ok_or(EvalError::NoRows)?,
        oracle: means(table.rows.iter().filter_map(oracle)),
        fixed,
        exploration: exploration(&runs),
        alarms: mean(runs.iter().map(|run| run.alarms)).unwrap_or_default(),
    })
}

/// One order of the rows.
struct Run {
    policy: String,
    steps: Vec<Step>,
    exploration: Option<Exploration>,
    alarms: f64,
}

struct Step {
    arm: usize,
    outcome: RecordedOutcome,
    /// The expected advantage of the strong arm over the weak one, and both recorded qualities.
    routed: Option<Routed>,
}

/// What a router expected the strong arm to gain for a query, and what both were worth.
#[derive(Clone, Copy)]
pub(crate) struct Routed {
    pub(crate) score: f64,
    pub(crate) strong: f64,
    pub(crate) weak: f64,
}

impl Run {
    fn play(table: &OutcomeTable, request: &Request, seed: u64) -> Result<Self, EvalError> {
        let mut order: Vec<usize> = (0..table.rows.len()).collect();
        fastrand::Rng::with_seed(seed).shuffle(&mut order);
        let mut player = Player::new(&table.arms, request, seed)?;
        let pair = strong_and_weak(table);
        let mut steps = Vec::with_capacity(order.len());
        let mut alarms = 0.0;
        for row in order.iter().map(|place| &table.rows[*place]) {
            if let Some(played) = player.play(&row.x, &row.outcomes) {
                alarms += f64::from(u8::from(played.drift.is_some()));
                let routed = pair.and_then(|pair| routed(row, &played, pair));
                steps.push(Step { arm: played.arm, outcome: played.outcome, routed });
            }
        }
        let exploration = player.policy().ledger().map(|ledger| Exploration {
            share: ledger.explored as f64 / ledger.requests.max(1) as f64,
            spent: ledger.spent(),
            expected: ledger.expected,
        });
        Ok(Self { policy: player.policy().name(), steps, exploration, alarms })
    }
}

impl Reached {
    fn of(table: &OutcomeTable, runs: &[Run], from: usize, seed: u64) -> Option<Self> {
        let steps = |run: &'_ Run| run.steps.len().saturating_sub(from);
        let runs: Vec<&[Step]> = runs.iter().map(|run| &run.steps[run.steps.len() - steps(run)..]).collect();
        let by_run: Vec<Means> =
            runs.iter().map(|steps| means(steps.iter().map(|step| step.outcome))).collect();
        let qualities: Vec<f64> = by_run.iter().map(|means| means.quality).collect();
        let total = runs.iter().map(|steps| steps.len()).sum::<usize>().max(1) as f64;
        let share = |arm: usize| {
            runs.iter().flat_map(|steps| steps.iter()).filter(|step| step.arm == arm).count() as f64 / total
        };
        let routings: Vec<Routing> = runs.iter().filter_map(|steps| routing(steps)).collect();
        Some(Self {
            quality: bootstrap::mean(&qualities, seed)?,
            cost_usd: mean(by_run.iter().filter_map(|means| means.cost_usd)),
            output_tokens: mean(by_run.iter().filter_map(|means| means.output_tokens)),
            shares: (0..table.arms.len()).map(share).collect(),
            routing: mean_routing(&routings),
        })
    }
}

fn means(outcomes: impl Iterator<Item = RecordedOutcome>) -> Means {
    let outcomes: Vec<RecordedOutcome> = outcomes.collect();
    Means {
        quality: mean(outcomes.iter().map(|outcome| outcome.quality)).unwrap_or_default(),
        cost_usd: mean(outcomes.iter().filter_map(|outcome| outcome.cost_usd)),
        output_tokens: mean(outcomes.iter().filter_map(|outcome| outcome.output_tokens)),
    }
}

fn oracle(row: &TableRow) -> Option<RecordedOutcome> {
    let cost = |outcome: &RecordedOutcome| outcome.cost_usd.unwrap_or_default();
    row.outcomes
        .iter()
        .flatten()
        .copied()
        .max_by(|left, right| left.quality.total_cmp(&right.quality).then(cost(right).total_cmp(&cost(left))))
}

/// The arm of the best mean quality, and the cheapest other one: of two arms simply the other one.
pub(crate) fn strong_and_weak(table: &OutcomeTable) -> Option<(usize, usize)> {
    let (strong, worst) = table.extremes();
    if table.arms.len() == 2 {
        return (strong != worst).then_some((strong, worst));
    }
    let others = (0..table.arms.len()).filter(|arm| *arm != strong);
    let costs: Option<Vec<(usize, f64)>> =
        others.map(|arm| table.mean_cost(arm).map(|cost| (arm, cost))).collect();
    let weak = costs?.into_iter().min_by(|left, right| left.1.total_cmp(&right.1))?.0;
    Some((strong, weak))
}

fn routed(row: &TableRow, played: &Played, (strong, weak): (usize, usize)) -> Option<Routed> {
    Some(Routed {
        score: played.advantage(strong, weak)?,
        strong: row.outcomes[strong]?.quality,
        weak: row.outcomes[weak]?.quality,
    })
}

fn routing(steps: &[Step]) -> Option<Routing> {
    measure(steps.iter().filter_map(|step| step.routed).collect())
}

/// Sends ever more queries to the strong arm, those of the highest score first.
pub(crate) fn measure(mut routed: Vec<Routed>) -> Option<Routing> {
    routed.sort_by(|left, right| right.score.total_cmp(&left.score));
    let n = routed.len() as f64;
    let strong = mean(routed.iter().map(|row| row.strong))?;
    let weak = mean(routed.iter().map(|row| row.weak))?;
    if strong - weak <= 1e-9 {
        return None;
    }
    let mut qualities = vec![weak];
    for row in &routed {
        qualities.push(qualities[qualities.len() - 1] + (row.strong - row.weak) / n);
    }
    let calls = |quality: f64| {
        let calls = qualities.iter().position(|reached| *reached >= quality - 1e-9);
        calls.map_or(1.0, |calls| calls as f64 / n)
    };
    let recovered = |share: f64| weak + share * (strong - weak);
    // The trapezoid rule over shares of calls, from none to all.
    let area = mean(qualities.windows(2).map(|pair| (pair[0] + pair[1]) / 2.0))?;
    Some(Routing {
        apgr: (area - weak) / (strong - weak),
        cpt: Thresholds { half: calls(recovered(0.5)), four_fifths: calls(recovered(0.8)) },
        strong_calls_at_95: calls(0.95 * strong),
    })
}

fn mean_routing(routings: &[Routing]) -> Option<Routing> {
    let over = |of: fn(&Routing) -> f64| mean(routings.iter().map(of));
    Some(Routing {
        apgr: over(|routing| routing.apgr)?,
        cpt: Thresholds {
            half: over(|routing| routing.cpt.half)?,
            four_fifths: over(|routing| routing.cpt.four_fifths)?,
        },
        strong_calls_at_95: over(|routing| routing.strong_calls_at_95)?,
    })
}

fn exploration(runs: &[Run]) -> Option<Exploration> {
    let over =
        |of: fn(&Exploration) -> f64| mean(runs.iter().filter_map(|run| run.exploration.as_ref()).map(of));
    Some(Exploration {
        share: over(|exploration| exploration.share)?,
        spent: over(|exploration| exploration.spent)?,
        expected: over(|exploration| exploration.expected)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(policy: &str) -> Request {
        Request {
            policy: policy.to_owned(),
            baseline: None,
            quality_target: None,
            budget_usd: None,
            seeds: 3,
            seed: 0,
        }
    }

    /// Two kinds of query, told apart by a feature: only the dear arm can do the hard ones.
    fn table(rows: usize) -> OutcomeTable {
        let outcome = |quality: f64, cost: f64| {
            Some(RecordedOutcome {
                quality,
                cost_usd: Some(cost),
                input_tokens: None,
                output_tokens: Some(5.0),
                latency_ms: None,
            })
        };
        let row = |place: usize| {
            let hard = place.is_multiple_of(2);
            TableRow {
                group: String::new(),
                x: vec![1.0, f64::from(u8::from(hard))],
                outcomes: vec![outcome(1.0, 0.1), outcome(if hard { 0.0 } else { 1.0 }, 0.001)],
            }
        };
        OutcomeTable { arms: vec!["dear".to_owned(), "cheap".to_owned()], rows: (0..rows).map(row).collect() }
    }

    #[test]
    fn fixed_policies_reach_what_the_table_says() {
        let table = table(100);
        let report = evaluate(&table, &request("fixed:cheap")).unwrap();
        assert_eq!((report.n, report.all.quality.mean), (100, 0.5));
        assert_eq!((report.best_fixed.arm.as_str(), report.best_fixed.means.quality), ("dear", 1.0));
        assert_eq!(report.oracle.quality, 1.0);
        // The oracle takes the cheap arm where it is as good.
        assert!((report.oracle.cost_usd.unwrap() - 0.0505).abs() < 1e-9);
        assert_eq!(report.all.output_tokens, Some(5.0));
        assert!(report.exploration.is_none());
    }

    #[test]
    fn a_policy_learns_which_queries_need_the_dear_arm() {
        let request = Request { quality_target: Some(0.8), ..request("thompson") };
        let report = evaluate(&table(600), &request).unwrap();
        assert!(report.last_half.quality.mean > 0.97, "{report:?}");
        assert!(report.last_half.cost_usd.unwrap() < 0.07, "{report:?}");
        let routing = report.last_half.routing.unwrap();
        // Ranked perfectly, half of the calls recover everything: the area is 0.75.
        assert!((routing.apgr - 0.75).abs() < 0.02, "{routing:?}");
        assert!((routing.cpt.half - 0.25).abs() < 0.02, "{routing:?}");
        assert!((routing.strong_calls_at_95 - 0.45).abs() < 0.02, "{routing:?}");
    }

    #[test]
    fn scores_that_say_nothing_recover_half() {
        let step = |place: usize| Step {
            arm: 0,
            outcome: RecordedOutcome {
                quality: 1.0,
                cost_usd: None,
                input_tokens: None,
                output_tokens: None,
                latency_ms: None,
            },
            routed: Some(Routed {
                score: 0.0,
                strong: 1.0,
                weak: f64::from(u8::from(place.is_multiple_of(2))),
            }),
        };
        let steps: Vec<Step> = (0..100).map(step).collect();
        let routing = routing(&steps).unwrap();
        assert!((routing.apgr - 0.5).abs() < 0.01 && (routing.cpt.half - 0.5).abs() < 0.02, "{routing:?}");
    }

    #[test]
    fn exploration_stays_within_its_bound() {
        let report = evaluate(&table(400), &request("conservative:0.02")).unwrap();
        let exploration = report.exploration.unwrap();
        assert!(exploration.spent <= 0.02 * exploration.expected, "{exploration:?}");
        assert!(exploration.share > 0.0);
    }

    #[test]
    fn an_unknown_policy_is_an_error() {
        assert!(matches!(evaluate(&table(3), &request("luck")), Err(EvalError::UnknownPolicy(_))));
    }
}
