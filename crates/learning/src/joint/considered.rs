//! Of thousands of combinations the few that are worth a closer look: each may be the right one at some price.

use crate::policies::{Alternative, Wish};
use crate::predictor::Forecast;

use super::effects::Effects;

/// Levels of price, evenly spaced in its logarithm, at each of which the best is looked at.
const LEVELS: usize = 8;
/// How many of the best at any price are looked at.
const BEST: usize = 3;
/// How many of the cheapest that are, or may be, good enough are looked at.
const SUFFICIENT: usize = 2;
/// Far above what anything with a price can come to.
const MOST_SPENT: f64 = 1e15;
/// So few are all looked at.
const FEW: usize = 12;
/// How many standard deviations above what is expected something may be.
const OPTIMISM: f64 = 1.0;

/// What each combination takes, in the order of their places.
#[derive(Clone, Copy, Debug)]
pub struct Terms<'a> {
    /// In US dollars.
    pub costs_usd: &'a [f64],
    /// In milliseconds.
    pub latencies_ms: &'a [f64],
}

impl Terms<'_> {
    /// The combination of a place as an alternative without a name.
    pub(crate) fn alternative(&self, place: usize) -> Alternative {
        Alternative {
            arm: String::new(),
            latency_ms: self.latencies_ms[place],
            cost_usd: self.costs_usd[place],
            spent: 0.0,
            is_baseline: false,
        }
    }
}

/// What a request may be given.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds<'a> {
    pub(crate) terms: Terms<'a>,
    pub(crate) wish: Wish,
    /// What a US dollar is worth in quality.
    pub(crate) worth_of_a_dollar: f64,
    pub(crate) admitted: &'a [Admitted],
}

/// Which options of a part may be taken; `None` stands for all.
pub type Admitted = Option<Vec<u16>>;

impl Bounds<'_> {
    /// What the cost of a place is worth in quality.
    pub(crate) fn spent(&self, place: usize) -> f64 {
        match self.worth_of_a_dollar {
            0.0 => 0.0,
            // What may cost anything is worth nothing.
            worth => (worth * self.terms.costs_usd[place]).min(MOST_SPENT),
        }
    }

    fn fits(&self, place: usize) -> bool {
        let Alternative { cost_usd, latency_ms, .. } = self.terms.alternative(place);
        self.wish.budget_usd.is_none_or(|budget| cost_usd <= budget)
            && self.wish.latency_ms.is_none_or(|budget| latency_ms <= budget)
    }
}

/// The places that are worth a closer look, `baseline` among them: the best, and the likeliest surprise, at each level of price;
/// the best of all, with and without what it costs; the cheapest that will or may do; and the cheapest. `first` says what each
/// option of the first part is worth with the baseline of all others.
pub(crate) fn considered(
    effects: &Effects,
    first: &Forecast,
    x: &[f64],
    bounds: &Bounds<'_>,
    baseline: usize,
) -> Vec<usize> {
    let space = effects.space();
    let admits = |place: usize| {
        space.options_at(place).all(|(part, option)| {
            let admitted = bounds.admitted.get(part).and_then(Option::as_ref);
            admitted.is_none_or(|admitted| admitted.contains(&option))
        })
    };
    let admitted: Vec<usize> = (0..space.len()).filter(|place| admits(*place)).collect();
    if admitted.len() <= FEW {
        return admitted;
    }
    let (means, hopes) = values(effects, first, x);
    let price = |place: usize| bounds.terms.alternative(place).price().max(1e-12);
    let (low, high) = admitted
        .iter()
        .map(|place| price(*place))
        .filter(|price| price.is_finite())
        .fold((f64::INFINITY, 0.0_f64), |(low, high), price| (low.min(price), high.max(price)));
    let span = (high / low).ln().max(1e-9);
    let level = |place: usize| (((price(place) / low).ln() / span * LEVELS as f64) as usize).min(LEVELS - 1);
    let mut best = [[None; 2]; LEVELS];
    let (mut leaders, mut gains, mut hopeful) = (Leaders::default(), Leaders::default(), Leaders::default());
    let (mut sufficient, mut cheapest) = ([Leaders::default(), Leaders::default()], Leaders::default());
    let newcomers = effects.newcomers();
    let mut newest: Vec<Leaders> = newcomers.iter().map(|_| Leaders::default()).collect();
    for place in admitted {
        cheapest.offer(-price(place), place, 1);
        if !bounds.fits(place) {
            continue;
        }
        for (which, values) in [&means, &hopes].into_iter().enumerate() {
            let leader: &mut Option<usize> = &mut best[level(place)][which];
            if leader.is_none_or(|leader| values[place] > values[leader]) {
                *leader = Some(place);
            }
            if bounds.wish.target_quality.is_some_and(|target| values[place] >= target) {
                sufficient[which].offer(-price(place), place, SUFFICIENT);
            }
        }
        let spent = bounds.spent(place);
        for (newest, newcomer) in newest.iter_mut().zip(&newcomers) {
            if space.options_at(place).any(|option| option == *newcomer) {
                newest.offer(means[place], place, 1);
            }
        }
        leaders.offer(means[place], place, BEST);
        gains.offer(means[place] - spent, place, BEST);
        hopeful.offer(hopes[place] - spent, place, BEST);
    }
    let mut considered: Vec<usize> = std::iter::once(baseline)
        .chain(newest.iter().flat_map(Leaders::places))
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

/// What is expected of each combination, and what it may be worth.
fn values(effects: &Effects, first: &Forecast, x: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let space = effects.space();
    let mut worth = effects.worth(x);
    if let (Some(singles), Some(variances)) = (worth.singles.first_mut(), worth.single_variances.first_mut())
    {
        for (place, estimate) in first.estimates().iter().enumerate().take(singles.len()) {
            singles[place] = estimate.mean;
            variances[place] = estimate.deviation.powi(2);
        }
    }
    let mut means = vec![0.0; space.len()];
    space.sums(&worth.singles, &worth.pairs, |place, sum| means[place] = worth.base + sum);
    let mut hopes = vec![0.0; space.len()];
    space.sums(&worth.single_variances, &worth.pair_variances, |place, sum| {
        hopes[place] = means[place] + OPTIMISM * sum.max(0.0).sqrt();
    });
    (means, hopes)
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
