//! Betting that a conditional mean lies above a margin, and the confidence bound that follows from the bets.
//!
//! The wealth of a gambler who stakes `λ` on each value, `Π (1 + λ (x − m))`, is an e-process for "the mean is
//! at most `m`" as long as each `λ` is fixed before its value is seen and keeps every factor positive
//! (Waudby-Smith & Ramdas 2024, section 4.1): by Ville's inequality it ever reaches `1 / level` with a
//! probability of at most `level`. A fixed mixture of such gamblers is an e-process, too.

use serde::{Deserialize, Serialize};

/// Multiples of the effect of interest that a gambler's stake is right for (Kelly's stake, to second order), with
/// the share of the wealth that this gambler starts with.
///
/// What the share costs is `ln(1 / share)` of the `ln(1 / level)` that a verdict needs, so the effect of
/// interest itself, where a verdict is slowest, has the largest.
const TARGETS: [(f64, f64); 3] = [(1.0, 0.5), (2.0, 0.25), (4.0, 0.15)];
/// The share of the gambler whose stakes shrink as `√(1 / (t ln t))`, without whom the bound would stop
/// narrowing (Waudby-Smith & Ramdas 2024, equation 26).
const SHRINKING_SHARE: f64 = 0.1;
const GAMBLERS: usize = TARGETS.len() + 1;
/// Of a portfolio that is made for the effect of interest alone: the shares, and how much larger an effect its
/// stakes are right for.
const FOCUSED_SHARES: [f64; GAMBLERS] = [0.9, 0.05, 0.02, 0.03];
const BOLDNESS: f64 = 1.25;
/// The most of its wealth that a gambler could lose on one value.
const LARGEST_LOSS: f64 = 0.9;
/// How far above the margin the bound is followed, in effects and at least: the further, the more careful the
/// stakes have to be, for they are the same against every margin.
const BOUND_EFFECTS: f64 = 4.0;
const BOUND_REACH: f64 = 0.25;

/// One value, with what is known of it before it is seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value {
    pub(super) value: f64,
    /// The least that it could have been.
    pub(super) least: f64,
    /// Its expected squared distance from the mean.
    pub(super) variance: f64,
}

/// Gamblers who bet that the mean lies above a margin.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Portfolio {
    margin: f64,
    effect: f64,
    level: f64,
    /// The largest margin that the bound can reach.
    ceiling: f64,
    values: u64,
    /// The logarithm of each gambler's wealth, its share counted in.
    log_wealth: [f64; GAMBLERS],
    bounds: [Parabola; GAMBLERS],
    bound: f64,
}

/// A lower bound of a gambler's log-wealth against any margin `m`, as `constant + linear m − square m²`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Parabola {
    constant: f64,
    linear: f64,
    square: f64,
}

impl Portfolio {
    /// `effect` is how far above `margin` the mean would be of interest; `level` the probability of a mistake.
    pub(super) fn new(margin: f64, effect: f64, level: f64) -> Self {
        Self::with_shares(margin, effect, level, shares())
    }

    /// Nearly all of the wealth is one gambler's, whose stakes are right for an effect that is somewhat larger than
    /// the one of interest: half the verdicts on that effect fall sooner, and the late ones later.
    pub(super) fn focused(margin: f64, effect: f64, level: f64) -> Self {
        Self::with_shares(margin, BOLDNESS * effect, level, FOCUSED_SHARES)
    }

    fn with_shares(margin: f64, effect: f64, level: f64, shares: [f64; GAMBLERS]) -> Self {
        Self {
            margin,
            effect,
            level,
            ceiling: (margin + (BOUND_EFFECTS * effect).max(BOUND_REACH)).min(1.0),
            values: 0,
            log_wealth: shares.map(f64::ln),
            bounds: shares.map(|share| Parabola { constant: share.ln(), ..Parabola::default() }),
            bound: -1.0,
        }
    }

    pub(super) fn observe(&mut self, value: Value) {
        // What a whole stake loses on the least value against the largest margin.
        let reach = self.ceiling - value.least;
        let stakes = self.stakes(value.variance).map(|stake| stake.min(LARGEST_LOSS / reach));
        self.values += 1;
        for (gambler, stake) in stakes.into_iter().enumerate() {
            self.log_wealth[gambler] += (stake * (value.value - self.margin)).ln_1p();
            self.bounds[gambler].observe(stake, value.value, stake * reach);
        }
        let needed = self.needed();
        let bound = self.bounds.iter().filter_map(|bound| bound.largest_margin(needed)).fold(-1.0, f64::max);
        self.bound = self.bound.max(bound.min(self.ceiling));
        if self.has_won() {
            self.bound = self.bound.max(self.margin);
        }
    }

    /// Whether the mean has been shown to lie above the margin.
    pub(super) fn has_won(&self) -> bool {
        self.log_wealth() >= self.needed()
    }

    /// The logarithm of the wealth of all together; it starts at 0.
    pub(super) fn log_wealth(&self) -> f64 {
        let most = self.log_wealth.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + self.log_wealth.iter().map(|wealth| (wealth - most).exp()).sum::<f64>().ln()
    }

    /// What the mean lies above with probability `1 − level`, at all times together; in [−1, `ceiling`].
    ///
    /// A margin lies below it only if the same stakes against that margin would have won, and it is above the
    /// portfolio's own margin as soon as that bet is won, so verdict and bound share one `level`.
    pub(super) fn bound(&self) -> f64 {
        self.bound
    }

    fn needed(&self) -> f64 {
        -self.level.ln()
    }

    fn stakes(&self, variance: f64) -> [f64; GAMBLERS] {
        let time = self.values as f64 + 1.0;
        let mut stakes = [(2.0 * self.needed() / (variance * time * (time + 1.0).ln())).sqrt(); GAMBLERS];
        for (stake, (multiple, _)) in stakes.iter_mut().zip(TARGETS) {
            let effect = multiple * self.effect;
            *stake = effect / (variance + effect * effect);
        }
        stakes
    }
}

fn shares() -> [f64; GAMBLERS] {
    let mut shares = [SHRINKING_SHARE; GAMBLERS];
    for (share, (_, target)) in shares.iter_mut().zip(TARGETS) {
        *share = target;
    }
    shares
}

impl Parabola {
    /// `ln(1 + y) ≥ y − c y²` for `y ≥ −loss`, with `c = (−loss − ln(1 − loss)) / loss²` (Fan, Grama & Liu 2015,
    /// lemma 4.1). `loss`, in (0, 1), is the share lost on the least value against the largest margin.
    fn observe(&mut self, stake: f64, value: f64, loss: f64) {
        let curvature = if loss > 1e-3 { (-loss - (-loss).ln_1p()) / (loss * loss) } else { 0.5 + loss };
        let square = curvature * stake * stake;
        self.constant += stake * value - square * value * value;
        self.linear += 2.0 * square * value - stake;
        self.square += square;
    }

    /// The largest margin at which the parabola reaches `needed`.
    fn largest_margin(&self, needed: f64) -> Option<f64> {
        let under_root = self.linear * self.linear + 4.0 * self.square * (self.constant - needed);
        (self.square > 0.0 && under_root >= 0.0)
            .then(|| (self.linear + under_root.sqrt()) / (2.0 * self.square))
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::{prop_assert, proptest};

    use super::{LARGEST_LOSS, Portfolio, TARGETS, Value};

    const LEVEL: f64 = 0.05;

    #[test]
    fn shares_are_one_fortune() {
        let portfolio = Portfolio::new(0.0, 0.1, LEVEL);
        assert!(portfolio.log_wealth().abs() < 1e-12);
        assert_eq!((portfolio.bound(), portfolio.has_won()), (-1.0, false));
    }

    #[test]
    fn the_bound_approaches_the_mean() {
        let mut portfolio = Portfolio::new(0.0, 0.1, LEVEL);
        let mut after = |values: usize| {
            // A coin of -0.5 and 1 with mean 0.25.
            for place in 0..values {
                portfolio.observe(Value { value: [1.0, -0.5][place % 2], least: -1.0, variance: 0.56 });
            }
            portfolio.bound()
        };
        let (early, late) = (after(400), after(20_000));
        assert!(0.05 < early && early < 0.2, "{early}");
        assert!(early + 0.05 < late && late < 0.25, "{late}");
    }

    proptest! {
        /// The same stakes against a margin that the bound excludes would have won at some time.
        #[test]
        fn the_bound_claims_no_more_than_bets_against_its_margin(values in vec(-0.4f64..=1.0, 1..200), variance in 0.01f64..1.0) {
            let mut portfolio = Portfolio::new(0.0, 0.1, LEVEL);
            let mut stakes_and_values = Vec::new();
            for &value in &values {
                let largest = LARGEST_LOSS / (portfolio.ceiling + 1.0);
                stakes_and_values.push((portfolio.stakes(variance).map(|stake| stake.min(largest)), value));
                portfolio.observe(Value { value, least: -1.0, variance });
            }
            let excluded = portfolio.bound() - 1e-9;
            let mut wealth = super::shares();
            let won = stakes_and_values.iter().any(|(stakes, value)| {
                wealth.iter_mut().zip(stakes).for_each(|(wealth, stake)| *wealth *= 1.0 + stake * (value - excluded));
                wealth.iter().sum::<f64>() >= 1.0 / LEVEL
            });
            prop_assert!(won || portfolio.bound() == -1.0, "{excluded}");
            prop_assert!(!portfolio.has_won() || portfolio.bound() >= 0.0);
        }
    }

    #[test]
    fn targets_leave_a_share_for_the_gambler_whose_stakes_shrink() {
        let targets: f64 = TARGETS.iter().map(|(_, share)| share).sum();
        assert!((targets + super::SHRINKING_SHARE - 1.0).abs() < 1e-12);
    }
}
