//! Which retrieval strategy a question gets, and which depth, context and model with it: what is believed of each strategy
//! before any outcome, what was learned since, and the policy that decides.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::features::FeatureVector;
use crate::joint::{Admitted, Bounds, Combination, Effects, Terms, considered};
use crate::learner::Learner;
use crate::patterns::normal_above;
pub use crate::policies::Wish;
use crate::policies::{Alternative, Choice, Ledger, Policy, QUALITY_TOLERANCE, Situation};
use crate::predictor::{ArmPrior, Estimate, Forecast, Predictor, PredictorSettings, Prior};
use crate::trees::BoostedTrees;

/// The inverse of the variance that single labels have around the quality to expect.
pub const LABEL_WEIGHT: f64 = 1.0 / 0.16;

/// What is believed of a strategy before any outcome: how much better than `hybrid` it is, as a linear function of
/// the numbers in [`FeatureVector`], and how long it takes.
struct Belief {
    strategy: &'static str,
    latency_ms: f64,
    advantage: &'static [(&'static str, f64)],
}

/// Measured on SciFact's train split and, for `decomposed`, on BeerQA's questions (`docs/measurements.md`); the
/// latencies are those of two cores.
const BELIEFS: [Belief; 10] = [
    Belief { strategy: "none", latency_ms: 0.0, advantage: &[("bias", -0.7)] },
    Belief { strategy: "sparse", latency_ms: 1.0, advantage: &[("bias", -0.04)] },
    Belief { strategy: "dense", latency_ms: 5.0, advantage: &[("bias", -0.065)] },
    Belief { strategy: "hybrid", latency_ms: 5.0, advantage: &[] },
    Belief { strategy: "rrf", latency_ms: 5.0, advantage: &[("bias", -0.017)] },
    Belief { strategy: "expanded", latency_ms: 10.0, advantage: &[("bias", -0.004)] },
    Belief { strategy: "decomposed", latency_ms: 30.0, advantage: &[("bias", 0.014), ("complexity", 0.017)] },
    Belief { strategy: "reranked", latency_ms: 200.0, advantage: &[("fused_margin", 0.04)] },
    Belief { strategy: "rewritten", latency_ms: 1_500.0, advantage: &[("turns", 0.05)] },
    Belief { strategy: "hyde", latency_ms: 2_500.0, advantage: &[("bias", 0.0)] },
];
/// The quality to expect of `hybrid` where nothing is known.
const LEVEL: f64 = 0.75;
/// How far beliefs may be off, as standard deviations: of the advantage in all, and by feature.
const ADVANTAGE_DEVIATION: f64 = 0.05;
const SLOPE_DEVIATION: f64 = 0.02;
/// How long an unknown strategy is taken to take.
const UNKNOWN_LATENCY_MS: f64 = 50.0;

/// How the predictor of strategies is built.
pub fn settings(half_life_days: Option<f64>) -> PredictorSettings {
    PredictorSettings { dimensions: FeatureVector::LENGTH, half_life_days }
}

/// What is believed before any outcome.
pub fn prior() -> Prior {
    let place = |name: &str| FeatureVector::NAMES.iter().position(|known| *known == name);
    let arms: BTreeMap<String, ArmPrior> = BELIEFS
        .iter()
        .map(|belief| {
            let offsets = belief.advantage.iter().filter_map(|(name, value)| Some((place(name)?, *value)));
            (belief.strategy.to_owned(), arm(offsets.collect()))
        })
        .collect();
    Prior { level: LEVEL, other: arm(vec![(0, -0.05)]), arms, ..Prior::default() }
}

fn arm(offsets: Vec<(usize, f64)>) -> ArmPrior {
    ArmPrior { offsets, deviation: ADVANTAGE_DEVIATION, slope_deviation: SLOPE_DEVIATION }
}

/// How long `strategy` takes, in milliseconds, as far as nothing was measured.
pub fn believed_latency_ms(strategy: &str) -> f64 {
    let known = BELIEFS.iter().find(|belief| belief.strategy == strategy);
    known.map_or(UNKNOWN_LATENCY_MS, |belief| belief.latency_ms)
}

/// What a decision's policy is called where it was drawn between what trees make of it and what would be played
/// without them; the share that goes without follows, as in `trees:0.1`.
pub const HOLDBACK: &str = "trees";
/// The share of the decisions that trees change which is made without them all the same, so that it stays known
/// whether they are for the better.
const HELD_BACK: f64 = 0.1;
/// In at least and at most this share of the requests something new is tried; between, as often as it may be the better choice.
const TRIAL_SHARES: [f64; 2] = [0.1, 0.95];
/// How many standard deviations below what is played something new is given up.
const HOPE: f64 = 2.0;
/// A smaller correction is not worth a word.
const SMALLEST_CORRECTION: f64 = 0.0005;

/// By what trees move what is expected of each alternative, and which of these may take the baseline's place for it.
#[derive(Clone, Copy)]
struct Corrections<'a> {
    known: &'a [f64],
    leads: &'a dyn Fn(usize) -> bool,
}

/// Something new that may be tried.
struct Trial {
    place: usize,
    /// The share of the requests.
    share: f64,
    /// What is played otherwise, and what that is expected to be worth.
    played: usize,
    charge: f64,
}

/// Decides, by a policy.
pub struct Selection {
    policy: Box<dyn Policy>,
    believed: Predictor,
    baseline: Option<String>,
    trees: Option<Arc<BoostedTrees>>,
}

/// A strategy that could be taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Offer<'a> {
    /// Its name.
    pub strategy: &'a str,
    /// How long it takes, in milliseconds.
    pub latency_ms: f64,
    /// What it costs, in US dollars.
    pub cost_usd: f64,
}

/// What was decided, with what it rests on.
#[derive(Clone, Debug, PartialEq)]
pub struct Selected {
    /// The policy that chose, with its settings.
    pub policy: String,
    /// The choice.
    pub choice: Choice,
    /// The quality to expect of each option, in the order given.
    pub estimates: Vec<Estimate>,
}

/// A request whose strategy is decided together with everything else.
#[derive(Clone, Copy, Debug)]
pub struct Jointly<'a> {
    /// What is known of strategies, which are the options of the first part.
    pub learner: &'a Learner,
    /// What is known of all other parts.
    pub effects: &'a Effects,
    /// What each combination takes.
    pub terms: Terms<'a>,
    /// The request's numbers, as the learner takes them.
    pub x: &'a [f64],
    /// The same, as the effects take them.
    pub numbers: &'a [f64],
    /// What it wants.
    pub wish: Wish,
    /// What a US dollar is worth in quality, so that a quality is kept or a budget lasts; 0 where only the wish counts.
    pub worth_of_a_dollar: f64,
    /// By part, the options that may be taken.
    pub admitted: &'a [Admitted],
    /// For all chance.
    pub seed: u64,
}

/// What was decided over combinations.
#[derive(Clone, Debug, PartialEq)]
pub struct JointlySelected {
    /// Those that were looked at closely.
    pub considered: Vec<Considered>,
    /// The policy that chose, with its settings.
    pub policy: String,
    /// The choice among them.
    pub choice: Choice,
}

/// A combination that was looked at closely.
#[derive(Clone, Debug, PartialEq)]
pub struct Considered {
    /// Its place.
    pub place: usize,
    /// The combination.
    pub combination: Combination,
    /// The quality to expect of it.
    pub estimate: Estimate,
    /// What of that its parts add to its strategy with the baseline of all others.
    pub added: f64,
}

impl JointlySelected {
    /// The chosen one.
    pub fn chosen(&self) -> Option<&Considered> {
        self.considered.get(self.choice.chosen)
    }
}

impl Selection {
    /// One that plays `baseline` until evidence speaks against it; where none is named, what is believed to be best
    /// for each question.
    pub fn new(policy: Box<dyn Policy>, baseline: Option<String>) -> Self {
        Self { policy, believed: Predictor::new(settings(None), prior()), baseline, trees: None }
    }

    /// The same, with the same state, so that what would be decided can be tried without counting.
    pub fn rehearsal(&self) -> Self {
        let Self { policy, believed, baseline, trees } = self;
        Self {
            policy: policy.copy(),
            believed: believed.clone(),
            baseline: baseline.clone(),
            trees: trees.clone(),
        }
    }

    /// The policy's name with its settings.
    pub fn policy(&self) -> String {
        self.policy.name()
    }

    /// From now on trees correct what is learned, and what is best by that takes the baseline's place; `None` for what is
    /// learned alone.
    pub fn correct_by(&mut self, trees: Option<Arc<BoostedTrees>>) {
        self.trees = trees;
    }

    /// Decides among `options` for a question with the numbers `x`. `None` where there are none.
    pub fn decide(
        &mut self,
        learner: &Learner,
        options: &[Offer<'_>],
        x: &[f64],
        wish: Wish,
        seed: u64,
    ) -> Option<Selected> {
        let learned = learner.forecast(options.iter().map(|option| option.strategy), x);
        let corrections = self.corrections(options.iter().map(|option| option.strategy), x);
        let alternatives = self.alternatives(options, x, wish);
        let corrected_by = corrections.as_deref().map(|known| Corrections { known, leads: &|_| true });
        let (policy, choice) = self.choose(&alternatives, &learned, corrected_by, wish, seed)?;
        let corrected = corrected(learned, corrections.as_deref());
        Some(Selected { policy, choice, estimates: corrected.estimates().to_vec() })
    }

    /// Decides among combinations. `None` where there are none, or `request.terms` are not those of their space.
    pub fn decide_jointly(&mut self, request: &Jointly<'_>) -> Option<JointlySelected> {
        let Jointly { learner, effects, terms, x, numbers, wish, worth_of_a_dollar, admitted, seed } =
            *request;
        let space = effects.space();
        if space.is_empty() || [terms.costs_usd.len(), terms.latencies_ms.len()] != [space.len(); 2] {
            return None;
        }
        let strategies = &space.parts()[0].options;
        let names = || strategies.iter().map(String::as_str);
        let played = self.baseline(request);
        let baseline = space.place(&played);
        let learned = learner.forecast(names(), x);
        let corrections = self.corrections(names(), x);
        let first = corrected(learned.clone(), corrections.as_deref());
        let bounds = Bounds { terms, wish, worth_of_a_dollar, admitted };
        let places = considered(effects, &first, numbers, &bounds, baseline);
        let combinations: Vec<Combination> = places.iter().map(|place| space.at(*place)).collect();
        let added = effects.forecast(&combinations.iter().map(Vec::as_slice).collect::<Vec<_>>(), numbers);
        let taken: Vec<usize> = combinations.iter().map(|combination| usize::from(combination[0])).collect();
        let corrections: Option<Vec<f64>> =
            corrections.map(|known| taken.iter().map(|strategy| known[*strategy]).collect());
        let learned = learned.at(&taken).plus(&added);
        let named = places.iter().zip(&combinations).map(|(place, combination)| Alternative {
            arm: space.describe(combination),
            spent: bounds.spent(*place),
            is_baseline: *place == baseline,
            ..terms.alternative(*place)
        });
        let named: Vec<Alternative> = named.collect();
        let with = |(part, option): (usize, u16)| -> Vec<usize> {
            (0..combinations.len()).filter(|place| combinations[*place].get(part) == Some(&option)).collect()
        };
        let mut newcomers = effects.newcomers().into_iter();
        let trial = newcomers.find_map(|new| self.trial(&situation(&named, &learned, wish), &with(new)));
        // Trees know strategies: of the other parts they say nothing.
        let leads = |place: usize| combinations[place][1..] == played[1..];
        let corrected_by = corrections.as_deref().map(|known| Corrections { known, leads: &leads });
        let (policy, choice) = self.choose(&named, &learned, corrected_by, wish, seed)?;
        let choice = match trial {
            // Of these it is to be known what they were without what is new.
            Some(_) if policy.starts_with(HOLDBACK) => choice,
            Some(trial) => self.tried(choice, trial, &named, seed),
            None => choice,
        };
        let expected = corrected(learned, corrections.as_deref());
        let estimates = expected.estimates().iter().zip(added.estimates());
        let considered = places.into_iter().zip(combinations).zip(estimates);
        let considered = considered
            .map(|((place, combination), (estimate, added))| Considered {
                place,
                combination,
                estimate: *estimate,
                added: added.mean,
            })
            .collect();
        Some(JointlySelected { considered, policy, choice })
    }

    /// The best with an option that is new, as long as that may yet be better than what is played.
    fn trial(&self, situation: &Situation<'_>, newest: &[usize]) -> Option<Trial> {
        let mean = |place: usize| situation.forecast.estimates()[place].mean;
        let affordable = newest.iter().copied().filter(|place| situation.is_affordable(*place));
        let place = affordable.max_by(|one, other| mean(*one).total_cmp(&mean(*other)))?;
        let played = self.policy.incumbent(situation).or_else(|| situation.preferred())?;
        let (advantage, deviation) = situation.advantage(place, played);
        let hopeless = advantage + HOPE * deviation < 0.0;
        let charge = mean(played).max(0.0);
        let tried = !hopeless && !newest.contains(&played) && self.policy.may_try(charge);
        let share = probability_above_0(advantage, deviation).clamp(TRIAL_SHARES[0], TRIAL_SHARES[1]);
        tried.then_some(Trial { place, share, played, charge })
    }

    /// The choice, or now and then what is new.
    fn tried(&mut self, mut choice: Choice, trial: Trial, alternatives: &[Alternative], seed: u64) -> Choice {
        choice.propensities.iter_mut().for_each(|propensity| *propensity *= 1.0 - trial.share);
        choice.propensities[trial.place] += trial.share;
        // Of another sequence than the one that the policy draws from.
        if fastrand::Rng::with_seed(!seed).f64() < trial.share {
            choice.reason = format!(
                "{}: new, and tried in place of {} until more is known of it, as often as it may be the better choice \
                 ({:.0} %)",
                alternatives[trial.place].arm,
                alternatives[trial.played].arm,
                100.0 * trial.share
            );
            choice.chosen = trial.place;
            if choice.charge == 0.0 {
                choice.charge = self.policy.charge(trial.charge);
            }
        }
        choice
    }

    /// The combination that is played until evidence speaks against it.
    fn baseline(&self, request: &Jointly<'_>) -> Combination {
        let space = request.effects.space();
        let may = |part: usize, option: u16| {
            let admitted = request.admitted.get(part).and_then(Option::as_ref);
            admitted.is_none_or(|admitted| admitted.contains(&option))
        };
        let firsts: Vec<u16> =
            (0..space.parts()[0].options.len() as u16).filter(|option| may(0, *option)).collect();
        let offers = firsts.iter().map(|option| {
            let strategy = space.parts()[0].options[usize::from(*option)].as_str();
            let place = space.place(&space.plain(*option));
            let (latency_ms, cost_usd) = (request.terms.latencies_ms[place], request.terms.costs_usd[place]);
            Offer { strategy, latency_ms, cost_usd }
        });
        let offers: Vec<Offer<'_>> = offers.collect();
        let alternatives = self.alternatives(&offers, request.x, request.wish);
        let first = alternatives.iter().position(|alternative| alternative.is_baseline).unwrap_or_default();
        let mut plain = space.plain(firsts.get(first).copied().unwrap_or_default());
        for (part, option) in plain.iter_mut().enumerate().skip(1) {
            if !may(part, *option) {
                let admitted = request.admitted.get(part).and_then(Option::as_ref);
                *option = admitted.and_then(|admitted| admitted.first().copied()).unwrap_or(*option);
            }
        }
        plain
    }

    /// The policy's choice, as trees correct what is learned.
    fn choose(
        &mut self,
        alternatives: &[Alternative],
        learned: &Forecast,
        corrections: Option<Corrections<'_>>,
        wish: Wish,
        seed: u64,
    ) -> Option<(String, Choice)> {
        let mut random = fastrand::Rng::with_seed(seed);
        let Some(Corrections { known: corrections, leads }) = corrections else {
            let choice = self.policy.choose(&situation(alternatives, learned, wish), &mut random)?;
            return Some((self.policy(), choice));
        };
        let corrected = learned.clone().corrected(corrections);
        let led = led(alternatives.to_vec(), &corrected, corrections, leads, wish);
        let mut choice = self.policy.choose(&situation(&led, &corrected, wish), &mut random)?;
        let mut policy = self.policy();
        if let Some(without) = self.policy.incumbent(&situation(alternatives, learned, wish))
            && without != choice.chosen
            && choice.propensities.get(choice.chosen) == Some(&1.0)
        {
            policy = format!("{HOLDBACK}:{HELD_BACK}");
            choice.propensities[choice.chosen] = 1.0 - HELD_BACK;
            choice.propensities[without] = HELD_BACK;
            if random.f64() < HELD_BACK {
                choice.reason = format!(
                    "{}: what would be played without the trees, as in {:.0} % of the requests that they change; with \
                     them {}",
                    alternatives[without].arm,
                    100.0 * HELD_BACK,
                    choice.reason
                );
                choice.chosen = without;
            }
        }
        let correction = corrections.get(choice.chosen).copied().unwrap_or_default();
        if correction.abs() >= SMALLEST_CORRECTION {
            let arm = &alternatives[choice.chosen].arm;
            choice.reason +=
                &format!("; boosted trees move what is expected of {arm} here by {correction:+.3}");
        }
        Some((policy, choice))
    }

    /// The quality to expect of a strategy, trees included.
    pub fn predict(&self, learner: &Learner, strategy: &str, x: &[f64]) -> Estimate {
        let mut estimate = learner.predict(strategy, x);
        if let Some(trees) = &self.trees {
            let correction: f64 = trees.corrections([strategy], x).iter().sum();
            estimate.mean = (estimate.mean + correction).clamp(0.0, 1.0);
        }
        estimate
    }

    /// What is played without exploring: by what is learned alone, and as the trees correct it.
    pub(crate) fn incumbents(
        &self,
        learner: &Learner,
        options: &[Offer<'_>],
        x: &[f64],
        wish: Wish,
    ) -> Option<[usize; 2]> {
        let names = || options.iter().map(|option| option.strategy);
        let learned = learner.forecast(names(), x);
        let alternatives = self.alternatives(options, x, wish);
        let without = self.policy.incumbent(&situation(&alternatives, &learned, wish))?;
        let corrections = self.corrections(names(), x)?;
        let corrected = learned.corrected(&corrections);
        let led = led(alternatives, &corrected, &corrections, &|_| true, wish);
        Some([without, self.policy.incumbent(&situation(&led, &corrected, wish))?])
    }

    fn corrections<'a>(&self, strategies: impl IntoIterator<Item = &'a str>, x: &[f64]) -> Option<Vec<f64>> {
        Some(self.trees.as_ref()?.corrections(strategies, x))
    }

    /// Whether looking at what the indexes find can't change the decision for a question of which only `x` is known:
    /// the cheapest option is sure to be good enough.
    pub fn is_settled(&self, learner: &Learner, options: &[Offer<'_>], x: &[f64], wish: Wish) -> bool {
        let alternatives = self.alternatives(options, x, wish);
        let names = || options.iter().map(|option| option.strategy);
        let forecast = corrected(learner.forecast(names(), x), self.corrections(names(), x).as_deref());
        options.len() < 2 || situation(&alternatives, &forecast, wish).is_settled_by_the_cheapest()
    }

    /// A request whose choice had a charge turned out to be worth this; of a revised outcome, the difference.
    pub fn settle(&mut self, quality: f64) {
        self.policy.settle(quality);
    }

    /// After a drift alarm.
    pub fn renew(&mut self) {
        self.policy.renew();
    }

    /// What exploration has cost, of a policy that bounds it.
    pub fn ledger(&self) -> Option<Ledger> {
        self.policy.ledger()
    }

    /// Goes on from an earlier ledger.
    pub fn resume(&mut self, ledger: Ledger) {
        self.policy.resume(ledger);
    }

    fn alternatives(&self, options: &[Offer<'_>], x: &[f64], wish: Wish) -> Vec<Alternative> {
        let alternative = |option: &Offer<'_>| Alternative {
            arm: option.strategy.to_owned(),
            latency_ms: option.latency_ms,
            cost_usd: option.cost_usd,
            spent: 0.0,
            is_baseline: self.baseline.as_deref() == Some(option.strategy),
        };
        let mut alternatives: Vec<Alternative> = options.iter().map(alternative).collect();
        if alternatives.iter().all(|alternative| !alternative.is_baseline) {
            let believed = self.believed.forecast(options.iter().map(|option| option.strategy), x);
            let wish = Wish { target_quality: None, ..wish };
            if let Some(best) = situation(&alternatives, &believed, wish).preferred() {
                alternatives[best].is_baseline = true;
            }
        }
        alternatives
    }
}

/// The alternatives with what is best by the corrected forecast as the baseline, where it is the corrections that make it
/// better than the one that was.
fn led(
    mut alternatives: Vec<Alternative>,
    corrected: &Forecast,
    corrections: &[f64],
    leads: &dyn Fn(usize) -> bool,
    wish: Wish,
) -> Vec<Alternative> {
    let wish = Wish { target_quality: None, ..wish };
    let situation = situation(&alternatives, corrected, wish);
    let baseline = situation.baseline();
    let best = situation.best(&situation.values(), &situation.lower_bounds(), leads);
    if let Some(best) = best.map(|verdict| verdict.place)
        && corrections[best] - corrections[baseline] >= QUALITY_TOLERANCE
    {
        alternatives.iter_mut().enumerate().for_each(|(place, one)| one.is_baseline = place == best);
    }
    alternatives
}

fn situation<'a>(alternatives: &'a [Alternative], forecast: &'a Forecast, wish: Wish) -> Situation<'a> {
    Situation { alternatives, forecast, wish }
}

/// How likely a normal value of this mean and deviation is above 0.
fn probability_above_0(mean: f64, deviation: f64) -> f64 {
    let z = mean / deviation.max(1e-9);
    if z < 0.0 { normal_above(-z) } else { 1.0 - normal_above(z) }
}

fn corrected(forecast: Forecast, corrections: Option<&[f64]>) -> Forecast {
    match corrections {
        Some(corrections) => forecast.corrected(corrections),
        None => forecast,
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::QueryFeatures;

    use super::*;
    use crate::policies;

    fn vector(features: &[(&str, f64)]) -> FeatureVector {
        let values = features.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
        FeatureVector::new(&QueryFeatures { version: crate::FEATURES_VERSION, values })
    }

    fn options<'a>(strategies: &[&'a str]) -> Vec<Offer<'a>> {
        let option =
            |strategy: &&'a str| Offer { strategy, latency_ms: believed_latency_ms(strategy), cost_usd: 0.0 };
        strategies.iter().map(option).collect()
    }

    const ALL: [&str; 6] = ["sparse", "dense", "hybrid", "rrf", "decomposed", "reranked"];

    #[test]
    fn every_belief_names_a_number_of_the_vector() {
        for belief in &BELIEFS {
            for (name, _) in belief.advantage {
                assert!(FeatureVector::NAMES.contains(name), "{}: {name}", belief.strategy);
            }
        }
    }

    #[test]
    fn without_outcomes_the_question_decides() {
        let learner = Learner::new(settings(None), prior());
        let cases: &[(&[(&str, f64)], &str)] = &[
            (&[("fused_margin", 0.3), ("complexity", 0.0)], "hybrid"),
            (&[("fused_margin", 0.01), ("complexity", 0.0)], "reranked"),
            (&[("fused_margin", 0.3), ("complexity", 0.95)], "decomposed"),
        ];
        for (features, expected) in cases {
            let mut selection = Selection::new(policies::parse("conservative:0").unwrap(), None);
            let options = options(&ALL);
            let selected = selection
                .decide(&learner, &options, vector(features).as_slice(), Wish::default(), 1)
                .unwrap();
            assert_eq!(options[selected.choice.chosen].strategy, *expected, "{features:?}");
        }
    }

    #[test]
    fn a_named_baseline_is_played_until_evidence_speaks_against_it() {
        let mut learner = Learner::new(settings(None), prior());
        let x = vector(&[("fused_margin", 0.01)]);
        let mut selection =
            Selection::new(policies::parse("conservative:0").unwrap(), Some("dense".to_owned()));
        let options = options(&ALL);
        let mut chosen = |learner: &Learner| {
            let selected = selection.decide(learner, &options, x.as_slice(), Wish::default(), 1).unwrap();
            options[selected.choice.chosen].strategy
        };
        assert_eq!(chosen(&learner), "dense");
        for second in 0..300 {
            let at = burnish_types::Timestamp(second * 1_000);
            let noise = if second % 2 == 0 { 0.1 } else { -0.1 };
            learner.observe("dense", x.as_slice(), 0.4 + noise, LABEL_WEIGHT, at);
            learner.observe("sparse", x.as_slice(), 0.8 + noise, LABEL_WEIGHT, at);
        }
        assert_eq!(chosen(&learner), "sparse");
    }

    #[test]
    fn what_trees_change_is_drawn_with_a_true_propensity_and_explained() {
        let long = vector(&[("words", 40.0), ("fused_margin", 0.3)]);
        let short = vector(&[("words", 3.0), ("fused_margin", 0.3)]);
        let options = options(&ALL);
        let rows: Vec<crate::trees::TrainingRow> = (0..400)
            .map(|place| crate::trees::TrainingRow {
                arm: ["sparse", "hybrid"][place % 2].to_owned(),
                x: if place % 4 < 2 { long } else { short }.to_vec(),
                quality: if place % 4 == 0 { 0.95 } else { 0.7 },
                expected: 0.7,
                weight: 1.0,
            })
            .collect();
        let trees = BoostedTrees::fit(&rows, crate::trees::TreeSettings::default(), 1).unwrap();
        let learner = Learner::new(settings(None), prior());
        let mut selection =
            Selection::new(policies::parse("conservative:0").unwrap(), Some("hybrid".to_owned()));
        let decide = |selection: &mut Selection, x: &FeatureVector, seed| {
            selection.decide(&learner, &options, x.as_slice(), Wish::default(), seed).unwrap()
        };
        let before = decide(&mut selection, &long, 1);
        selection.correct_by(Some(Arc::new(trees)));
        assert_eq!(decide(&mut selection, &short, 1).policy, "conservative:0");
        let mut without = 0;
        for seed in 0..1_000 {
            let Selected { policy, choice, .. } = decide(&mut selection, &long, seed);
            let held_back = options[choice.chosen].strategy == "hybrid";
            assert_eq!(policy, "trees:0.1");
            assert!((choice.propensities.iter().sum::<f64>() - 1.0).abs() < 1e-12);
            assert!((choice.propensities[choice.chosen] - if held_back { 0.1 } else { 0.9 }).abs() < 1e-12);
            assert!(held_back || options[choice.chosen].strategy == "sparse");
            let words = if held_back { "without the trees" } else { "boosted trees move" };
            assert!(choice.reason.contains(words), "{}", choice.reason);
            without += usize::from(held_back);
        }
        assert!((60..140).contains(&without), "{without}");
        selection.correct_by(None);
        assert_eq!(decide(&mut selection, &long, 1), before);
    }
}
