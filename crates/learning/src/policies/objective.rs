//! What all policies want: the cheapest alternative that is good enough, else the best that can be paid for.

use crate::predictor::Forecast;

/// Alternatives whose qualities differ by no more than this count as equally good.
pub const QUALITY_TOLERANCE: f64 = 0.005;
/// What a second of waiting is worth beside money, in US dollars: it decides between alternatives whose costs
/// are equal, and keeps a cent from outweighing a minute.
const USD_PER_SECOND: f64 = 0.001;
/// A difference in price below this share is none: measured times are never the same twice.
const PRICE_TOLERANCE: f64 = 0.05;
/// Saving less than this is not worth any quality: thirty milliseconds, which nobody notices. With five, the choice between
/// strategies that take a few milliseconds each hung on how busy the machine was.
const SMALLEST_SAVING_USD: f64 = 0.03 * USD_PER_SECOND;
/// How many standard deviations below its mean an estimate's lower bound lies: one-sided 95 %.
pub(crate) const LOWER: f64 = 1.645;

/// One thing that could be done.
#[derive(Clone, Debug, PartialEq)]
pub struct Alternative {
    /// The arm's name.
    pub arm: String,
    /// Expected latency in milliseconds.
    pub latency_ms: f64,
    /// Expected cost in US dollars.
    pub cost_usd: f64,
    /// What that is worth in quality, where money has a price; 0 where only the wish counts.
    pub spent: f64,
    /// The one that is played as long as nothing speaks against it. Where none is marked, it is the first.
    pub is_baseline: bool,
}

impl Alternative {
    /// Time and money as one figure, in US dollars.
    pub(crate) fn price(&self) -> f64 {
        Self::price_of(self.cost_usd, self.latency_ms)
    }

    /// Money in US dollars, and time in milliseconds, as one figure.
    pub fn price_of(cost_usd: f64, latency_ms: f64) -> f64 {
        cost_usd + latency_ms / 1000.0 * USD_PER_SECOND
    }
}

/// What a policy decides about.
#[derive(Clone, Copy, Debug)]
pub struct Situation<'a> {
    /// What could be done.
    pub alternatives: &'a [Alternative],
    /// The quality to expect of each, in the same order.
    pub forecast: &'a Forecast,
    /// What the request wants.
    pub wish: Wish,
}

/// What a request wants.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wish {
    /// The quality in [0, 1] that is good enough; `None` where more is always better.
    pub target_quality: Option<f64>,
    /// The most that it may be expected to cost, in US dollars.
    pub budget_usd: Option<f64>,
    /// The longest that it may be expected to take, in milliseconds.
    pub latency_ms: Option<f64>,
}

/// Which alternative the objective prefers, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    pub(crate) place: usize,
    pub(crate) ground: Ground,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ground {
    /// The cheapest of those whose lower bound meets the target.
    MeetsTarget,
    /// Of the best quality.
    Best,
    /// As good as the best one, which is named, and cheaper.
    AsGood(usize),
    /// Nothing fits what may be spent; this is the cheapest.
    OverBudget,
}

impl Situation<'_> {
    /// The alternatives that have an estimate.
    pub(crate) fn places(&self) -> std::ops::Range<usize> {
        0..self.alternatives.len().min(self.forecast.estimates().len())
    }

    pub(crate) fn mean(&self, place: usize) -> f64 {
        self.forecast.estimates().get(place).map_or(0.0, |estimate| estimate.mean)
    }

    /// What is left of the expected qualities beyond what they cost.
    pub(crate) fn values(&self) -> Vec<f64> {
        self.places().map(|place| self.mean(place) - self.alternatives[place].spent).collect()
    }

    /// The expected advantage of one alternative over another beyond what they cost, and its standard deviation.
    pub(crate) fn advantage(&self, of: usize, over: usize) -> (f64, f64) {
        let (advantage, deviation) = self.forecast.advantage(of, over);
        let spent = |place: usize| self.alternatives.get(place).map_or(0.0, |one| one.spent);
        (advantage - spent(of) + spent(over), deviation)
    }

    /// Whether one is cheaper than another, beside what all cost at least.
    pub(crate) fn is_cheaper(&self, one: usize, other: usize) -> bool {
        let price = |place: usize| self.alternatives[place].price();
        let floor = self.places().map(price).fold(f64::INFINITY, f64::min);
        let saved = price(other) - price(one);
        saved > PRICE_TOLERANCE * (price(other) - floor) && saved > SMALLEST_SAVING_USD
    }

    pub(crate) fn lower_bounds(&self) -> Vec<f64> {
        self.forecast.estimates().iter().map(|estimate| estimate.mean - LOWER * estimate.deviation).collect()
    }

    /// What the objective prefers by the expected qualities alone. `None` where there is nothing to choose from.
    pub fn preferred(&self) -> Option<usize> {
        self.best(&self.values(), &self.lower_bounds(), |_| true).map(|verdict| verdict.place)
    }

    /// Whether the cheapest of all alternatives is sure to meet the target, so that nothing can be gained by knowing
    /// more of the question.
    pub fn is_settled_by_the_cheapest(&self) -> bool {
        let price = |place: &usize| self.alternatives[*place].price();
        let cheapest = self.places().min_by(|left, right| price(left).total_cmp(&price(right)));
        let lower = self.lower_bounds();
        cheapest.zip(self.wish.target_quality).is_some_and(|(cheapest, target)| lower[cheapest] >= target)
    }

    pub(crate) fn baseline(&self) -> usize {
        self.places().find(|place| self.alternatives[*place].is_baseline).unwrap_or(0)
    }

    /// Whether it fits what may be spent, of money and of time.
    pub(crate) fn is_affordable(&self, place: usize) -> bool {
        let Alternative { cost_usd, latency_ms, .. } = self.alternatives[place];
        self.wish.budget_usd.is_none_or(|budget| cost_usd <= budget)
            && self.wish.latency_ms.is_none_or(|budget| latency_ms <= budget)
    }

    /// The objective, given a value and a lower bound of quality for each alternative, over those that `admits`
    /// lets in. `None` where that leaves nothing.
    pub(crate) fn best(
        &self,
        values: &[f64],
        lower: &[f64],
        admits: impl Fn(usize) -> bool,
    ) -> Option<Verdict> {
        let price = |place: &usize| self.alternatives[*place].price();
        let admitted = || self.places().filter(|place| admits(*place));
        let affordable = || admitted().filter(|place| self.is_affordable(*place));
        let cheapest = |left: &usize, right: &usize| price(left).total_cmp(&price(right));
        if let Some(target) = self.wish.target_quality {
            let enough = affordable().filter(|place| lower[*place] >= target);
            if let Some(place) = enough.min_by(cheapest) {
                return Some(Verdict { place, ground: Ground::MeetsTarget });
            }
        }
        // Of equals the first one, so that the baseline's place decides ties.
        let best = affordable().rev().max_by(|left, right| values[*left].total_cmp(&values[*right]));
        let Some(best) = best else {
            return admitted().min_by(cheapest).map(|place| Verdict { place, ground: Ground::OverBudget });
        };
        let equals = affordable().filter(|place| {
            values[*place] >= values[best] - QUALITY_TOLERANCE && self.is_cheaper(*place, best)
        });
        Some(match equals.min_by(cheapest) {
            Some(place) => Verdict { place, ground: Ground::AsGood(best) },
            None => Verdict { place: best, ground: Ground::Best },
        })
    }

    /// Says a verdict in words, in terms of the expected qualities.
    pub(crate) fn explain(&self, verdict: Verdict) -> String {
        let name = |place: usize| &self.alternatives[place].arm;
        let (place, mean) = (verdict.place, self.mean(verdict.place));
        match verdict.ground {
            Ground::MeetsTarget => format!(
                "{}: the cheapest whose quality is sure to meet {:.2} (at least {:.3}, expected {mean:.3})",
                name(place),
                self.wish.target_quality.unwrap_or_default(),
                (mean - LOWER * self.deviation(place)).clamp(0.0, 1.0),
            ),
            Ground::AsGood(best) => format!(
                "{}: within {QUALITY_TOLERANCE} of {}'s {:.3} {}",
                name(place),
                name(best),
                self.mean(best),
                self.saving(place, best)
            ),
            Ground::Best => {
                let target =
                    self.wish.target_quality.map(|target| format!("; nothing is sure to meet {target:.2}"));
                format!("{}: the best expected quality, {mean:.3}{}", name(place), target.unwrap_or_default())
            }
            Ground::OverBudget => {
                let Alternative { cost_usd, latency_ms, .. } = self.alternatives[place];
                let money = self.wish.budget_usd.map(|budget| format!("${budget:.6}"));
                let time = self.wish.latency_ms.map(|budget| format!("{budget:.0} ms"));
                let budgets: Vec<String> = money.into_iter().chain(time).collect();
                format!(
                    "{}: nothing is expected to fit the budget of {}, and this takes least, ${cost_usd:.6} and \
                     {latency_ms:.0} ms",
                    name(place),
                    budgets.join(" and "),
                )
            }
        }
    }

    fn deviation(&self, place: usize) -> f64 {
        self.forecast.estimates().get(place).map_or(0.0, |estimate| estimate.deviation)
    }

    /// How much cheaper one is than another, in words.
    pub(crate) fn saving(&self, place: usize, than: usize) -> String {
        let (one, other) = (&self.alternatives[place], &self.alternatives[than]);
        let by_cost = one.cost_usd < other.cost_usd * (1.0 - PRICE_TOLERANCE);
        let (what, ratio) = match by_cost {
            true => ("cost", other.cost_usd / one.cost_usd.max(1e-12)),
            false => ("time", other.latency_ms / one.latency_ms.max(1e-9)),
        };
        match ratio {
            ratio if ratio > 1e6 => format!("at next to none of the {what}"),
            ratio if ratio >= 2.5 => format!("at a {:.0}{} of the {what}", ratio, ordinal(ratio.round())),
            ratio => format!("at {:.0} % of the {what}", 100.0 / ratio),
        }
    }
}

fn ordinal(number: f64) -> &'static str {
    match (number % 10.0, number % 100.0) {
        (_, 11.0..=13.0) => "th",
        (1.0, _) => "st",
        (2.0, _) => "nd",
        (3.0, _) => "rd",
        _ => "th",
    }
}
