//! Chooses a combination: a few that may be the right one at some price, and a policy's choice among them.

use crate::policies::{Alternative, Choice, Policy, Situation};
use crate::predictor::{Estimate, Forecast};
use crate::selection::Wish;

use super::change::Change;
use super::pace::{Goal, Pace};
use super::posterior::JointPredictor;
use super::space::Combination;

/// Levels of price, evenly spaced in its logarithm, at each of which the best is looked at.
const LEVELS: usize = 8;
/// How many of the best at any price are looked at.
const BEST: usize = 3;
/// How many of the cheapest that are, or may be, good enough are looked at.
const SUFFICIENT: usize = 2;
/// How many standard deviations above what is expected something may be.
const OPTIMISM: f64 = 1.0;
/// How far an option may have moved where it has changed.
const LOOSENED: f64 = 0.35;

/// How combinations are chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JointSettings {
    /// The place of the combination that is played until evidence speaks against it.
    pub baseline: usize,
}

/// What each combination costs, in the order of their places.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// In US dollars.
    pub costs_usd: &'a [f64],
    /// In milliseconds.
    pub latencies_ms: &'a [f64],
}

/// Decides among combinations, and learns what they are worth.
pub struct JointPlanner {
    predictor: JointPredictor,
    change: Change,
    policy: Box<dyn Policy>,
    settings: JointSettings,
    pace: Option<Pace>,
    changes: u64,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq)]
pub struct Planned {
    /// The combination.
    pub combination: Combination,
    /// Its place.
    pub place: usize,
    /// The places of those that were looked at closely, in the order of `choice`.
    pub considered: Vec<usize>,
    /// The choice among them.
    pub choice: Choice,
    /// What was expected of each.
    pub estimates: Vec<Estimate>,
    /// Of those the ones than which none is both cheaper and better, cheapest first, as places among `considered`.
    pub front: Vec<usize>,
    /// The one before the chosen one on the front: the next cheaper plan.
    pub cheaper: Option<usize>,
    /// The one after it: the next better plan.
    pub better: Option<usize>,
}

impl JointPlanner {
    /// One that goes on from what `predictor` knows.
    pub fn new(predictor: JointPredictor, policy: Box<dyn Policy>, settings: JointSettings) -> Self {
        let change = Change::new(predictor.space().parts().iter().map(|part| part.options.len()));
        Self { predictor, change, policy, settings, pace: None, changes: 0 }
    }

    /// What it predicts from.
    pub fn predictor(&self) -> &JointPredictor {
        &self.predictor
    }

    /// What chooses.
    pub fn policy(&self) -> &dyn Policy {
        self.policy.as_ref()
    }

    /// From now on keeps a goal in the mean over requests; `None` for what each request wants alone.
    pub fn keep(&mut self, goal: Option<Goal>) {
        self.pace = goal.map(Pace::new);
    }

    /// How often an option was found to have changed.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Chooses for a request of the numbers `x`. `None` where there is nothing to choose from, or `terms` are not those of
    /// this space.
    pub fn plan(&mut self, x: &[f64], terms: Terms<'_>, wish: Wish, seed: u64) -> Option<Planned> {
        let count = self.predictor.space().len();
        if count == 0 || terms.costs_usd.len() != count || terms.latencies_ms.len() != count {
            return None;
        }
        let considered = self.considered(x, terms, wish);
        let combinations: Vec<Combination> =
            considered.iter().map(|place| self.predictor.space().at(*place)).collect();
        let borrowed: Vec<&[u16]> = combinations.iter().map(Vec::as_slice).collect();
        let forecast = self.predictor.forecast(&borrowed, x);
        // At a price for money, quality is what is left beyond it.
        let spent = |place: &usize| self.worth_of_a_dollar() * terms.costs_usd[*place];
        let net =
            forecast.clone().corrected(&considered.iter().map(|place| -spent(place)).collect::<Vec<_>>());
        let alternatives: Vec<Alternative> = considered
            .iter()
            .zip(&combinations)
            .map(|(place, combination)| Alternative {
                arm: self.predictor.space().describe(combination),
                is_baseline: *place == self.settings.baseline,
                ..priced(terms, *place)
            })
            .collect();
        let situation = Situation {
            alternatives: &alternatives,
            forecast: &net,
            target_quality: wish.target_quality,
            budget_usd: wish.budget_usd,
        };
        let choice = self.policy.choose(&situation, &mut fastrand::Rng::with_seed(seed))?;
        let place = *considered.get(choice.chosen)?;
        if let Some(pace) = &mut self.pace {
            pace.observe(mean(&forecast, choice.chosen), terms.costs_usd[place]);
        }
        let front = front(&alternatives, &forecast);
        let (price, quality) = (alternatives[choice.chosen].price(), mean(&forecast, choice.chosen));
        let cheaper = front.iter().rev().find(|other| alternatives[**other].price() < price).copied();
        let better = front.iter().find(|other| mean(&forecast, **other) > quality).copied();
        let combination = combinations.get(choice.chosen)?.clone();
        let estimates = forecast.estimates().to_vec();
        Some(Planned { combination, place, considered, choice, estimates, front, cheaper, better })
    }

    /// Learns what a combination was worth. The part and the option that turn out to have changed, where one has.
    pub fn observe(
        &mut self,
        combination: &[u16],
        x: &[f64],
        quality: f64,
        weight: f64,
    ) -> Option<(usize, u16)> {
        let (error, deviation) = self.predictor.observe(combination, x, quality, weight)?;
        let changed = self.change.observe(combination, error / deviation.max(f64::MIN_POSITIVE))?;
        self.predictor.loosen(changed.0, changed.1, LOOSENED);
        self.policy.renew();
        self.changes += 1;
        Some(changed)
    }

    /// A request whose choice had a charge turned out to be worth this.
    pub fn settle(&mut self, quality: f64) {
        self.policy.settle(quality);
    }

    fn worth_of_a_dollar(&self) -> f64 {
        self.pace.map_or(0.0, |pace| pace.worth_of_a_dollar())
    }

    /// The places that are worth a closer look: the best, and the likeliest surprise, at each level of price; the best of all, with and
    /// without what it costs;
    /// the cheapest that will or may do; and the baseline.
    fn considered(&self, x: &[f64], terms: Terms<'_>, wish: Wish) -> Vec<usize> {
        let space = self.predictor.space();
        let worth = self.predictor.worth(x);
        let mut means = vec![0.0; space.len()];
        space.sums(&worth.singles, &worth.pairs, |place, sum| means[place] = worth.base + sum);
        let mut hopes = vec![0.0; space.len()];
        space.sums(&worth.single_variances, &worth.pair_variances, |place, sum| {
            hopes[place] = means[place] + OPTIMISM * sum.max(0.0).sqrt();
        });
        let prices: Vec<f64> =
            (0..space.len()).map(|place| priced(terms, place).price().max(1e-12)).collect();
        let affordable =
            |place: &usize| wish.budget_usd.is_none_or(|budget| terms.costs_usd[*place] <= budget);
        let (mut low, mut high) = (f64::INFINITY, 0.0_f64);
        prices.iter().for_each(|price| (low, high) = (low.min(*price), high.max(*price)));
        let span = (high / low).ln().max(1e-9);
        let level =
            |place: usize| (((prices[place] / low).ln() / span * LEVELS as f64) as usize).min(LEVELS - 1);
        let mut best = [[None; 2]; LEVELS];
        let mut leaders = Leaders::default();
        let (mut gains, mut hopeful) = (Leaders::default(), Leaders::default());
        let dollar = self.worth_of_a_dollar();
        let mut sufficient = [Leaders::default(), Leaders::default()];
        let mut cheapest = Leaders::default();
        for place in 0..space.len() {
            cheapest.offer(-prices[place], place, 1);
            if !affordable(&place) {
                continue;
            }
            for (which, values) in [&means, &hopes].into_iter().enumerate() {
                let leader: &mut Option<usize> = &mut best[level(place)][which];
                if leader.is_none_or(|leader| values[place] > values[leader]) {
                    *leader = Some(place);
                }
                if wish.target_quality.is_some_and(|target| values[place] >= target) {
                    sufficient[which].offer(-prices[place], place, SUFFICIENT);
                }
            }
            leaders.offer(means[place], place, BEST);
            gains.offer(means[place] - dollar * terms.costs_usd[place], place, BEST);
            hopeful.offer(hopes[place] - dollar * terms.costs_usd[place], place, BEST);
        }
        let mut considered: Vec<usize> = std::iter::once(self.settings.baseline.min(space.len() - 1))
            .chain(best.into_iter().flatten().flatten())
            .chain(leaders.places())
            .chain(gains.places())
            .chain(hopeful.places())
            .chain(sufficient.iter().flat_map(Leaders::places))
            .chain(cheapest.places())
            .collect();
        considered.sort_unstable();
        considered.dedup();
        considered
    }
}

fn priced(terms: Terms<'_>, place: usize) -> Alternative {
    Alternative {
        arm: String::new(),
        latency_ms: terms.latencies_ms[place],
        cost_usd: terms.costs_usd[place],
        is_baseline: false,
    }
}

fn mean(forecast: &Forecast, place: usize) -> f64 {
    forecast.estimates().get(place).map_or(0.0, |estimate| estimate.mean)
}

/// Those than which none is both cheaper and better, cheapest first.
fn front(alternatives: &[Alternative], forecast: &Forecast) -> Vec<usize> {
    let mut order: Vec<usize> = (0..alternatives.len()).collect();
    let price = |place: usize| alternatives[place].price();
    order.sort_by(|one, other| {
        price(*one).total_cmp(&price(*other)).then(mean(forecast, *other).total_cmp(&mean(forecast, *one)))
    });
    let mut best = f64::NEG_INFINITY;
    order.retain(|place| {
        let better = mean(forecast, *place) > best;
        best = best.max(mean(forecast, *place));
        better
    });
    order
}

/// The few of the largest value.
#[derive(Default)]
struct Leaders(Vec<(f64, usize)>);

impl Leaders {
    fn offer(&mut self, value: f64, place: usize, most: usize) {
        if self.0.len() < most || self.0.last().is_some_and(|last| value > last.0) {
            let at = self.0.partition_point(|other| other.0 >= value);
            self.0.insert(at, (value, place));
            self.0.truncate(most);
        }
    }

    fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|(_, place)| *place)
    }
}
