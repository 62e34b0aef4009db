//! What the options of all parts but the first add to the first one's, as one normal distribution over all coefficients.
//!
//! Of the first part, the retrieval strategies, more is known than outcomes of combinations say: what is believed before any, and
//! when they changed. What this says is therefore only by how much a combination differs from its first part with the
//! baseline of all others; with nothing else to choose that is nothing at all. Where there are numbers of a request that the first
//! part's own predictor does not look at, what they say is part of that difference.

use burnish_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::change::Change;
use super::space::{Part, Space, pair};
use crate::predictor::matrix::Matrix;
use crate::predictor::{Estimate, Forecast};

/// The expected quality of anything of which nothing is known.
const LEVEL: f64 = 0.6;
/// Standard deviations before any outcome: of what all combinations have in common, its constant and each slope; of an option's
/// constant and slopes; of a pair.
const SHARED: (f64, f64) = (0.3, 0.05);
const OPTION: (f64, f64) = (0.15, 0.04);
/// Of an option that has a place on a scale, its constant beside what the scale says; and of the scale, from one end to the
/// other's middle, constant and slopes.
const PLACED: f64 = 0.05;
const TREND: (f64, f64) = (0.15, 0.04);
const PAIR: f64 = 0.04;
/// The variance of single outcomes around what is expected of them.
const NOISE: f64 = 0.16;
/// After so many outcomes what was never tried is new.
const SETTLED: u64 = 100;
/// So many newcomers are tried at one time.
const MOST_NEWCOMERS: usize = 4;
/// Outcomes after which a newcomer is one among others.
const TRIALS: u64 = 100;
/// How far an option may have moved where it has changed.
const LOOSENED: f64 = 0.35;
/// The form of a snapshot; it changes whenever the form does, or what is believed before any outcome.
const VERSION: u32 = 1;

/// What options add.
#[derive(Clone, Debug)]
pub struct Effects {
    space: Space,
    /// How many numbers a request has, and how many of them the predictor of the first part looks at.
    width: usize,
    known: usize,
    /// Where the coefficients of each part are, and those of each pair of parts begin.
    parts: Vec<Layout>,
    pairs: Vec<usize>,
    covariance: Matrix,
    mean: Vec<f64>,
    outcomes: u64,
    /// Outcomes by part and option.
    tried: Vec<Vec<u64>>,
    /// Options that came when much was known of others, by part.
    newcomers: Vec<(usize, u16)>,
    /// When an option last turned out to have changed, by the requests' own time.
    loosened: Option<Timestamp>,
    change: Change,
}

/// What can be chosen, and what of it is new, as part and option.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Known {
    space: Space,
    newcomers: Vec<(String, String)>,
}

/// What is known of one option of a part with several.
#[derive(Clone, Debug, PartialEq)]
pub struct OptionStanding {
    /// The part's name.
    pub part: String,
    /// The option's.
    pub option: String,
    /// Outcomes that have it.
    pub outcomes: u64,
    /// What it is expected to add beside the part's first option, for a request of which nothing is known.
    pub added: f64,
    /// The standard deviation of that.
    pub deviation: f64,
    /// Whether it is new, and tried until more is known.
    pub is_new: bool,
}

/// A snapshot; of the covariance the lower triangle, row by row.
#[derive(Serialize, Deserialize)]
struct Snapshot {
    version: u32,
    space: Space,
    width: usize,
    covariance: Vec<f64>,
    mean: Vec<f64>,
    outcomes: u64,
    tried: Vec<Vec<u64>>,
    newcomers: Vec<(usize, u16)>,
    loosened: Option<Timestamp>,
    change: Change,
}

/// Where the coefficients of a part are.
#[derive(Clone, Debug)]
struct Layout {
    /// Where those of its options begin, and how many each has.
    begin: usize,
    stride: usize,
    /// Where those of its scale begin, and where each option stands on it, from -1 to 1.
    trend: Option<(usize, Vec<f64>)>,
}

impl Layout {
    fn option(&self, option: usize) -> usize {
        self.begin + option * self.stride
    }
}

/// Coefficients, with what each is multiplied by.
type Row = Vec<(usize, f64)>;

/// What is known of every option and pair for one request, before they are put together.
pub(crate) struct Worth {
    /// What all have in common.
    pub(crate) base: f64,
    pub(crate) singles: Vec<Vec<f64>>,
    pub(crate) pairs: Vec<Vec<f64>>,
    /// Variances, as though options and pairs were independent.
    pub(crate) single_variances: Vec<Vec<f64>>,
    pub(crate) pair_variances: Vec<Vec<f64>>,
}

impl Effects {
    /// Those of which nothing is known, for requests of `width` numbers, the first of which is always 1. Of these the first `known`
    /// are what the first part's own predictor looks at.
    pub fn new(space: Space, width: usize, known: usize) -> Self {
        let width = width.max(1);
        let mut variances = vec![SHARED.1.powi(2); width];
        variances[0] = SHARED.0.powi(2);
        let (mut parts, mut pairs) = (Vec::new(), Vec::new());
        for part in space.parts() {
            let scale = centred(&part.scale, part.options.len());
            let begin = variances.len();
            let stride = if scale.is_some() { 1 } else { 1 + part.places.len() };
            for _ in &part.options {
                variances.push(if scale.is_some() { PLACED } else { OPTION.0 }.powi(2));
                variances.extend(vec![OPTION.1.powi(2); stride - 1]);
            }
            let trend = scale.map(|scale| {
                let begin = variances.len();
                variances.push(TREND.0.powi(2));
                variances.extend(vec![TREND.1.powi(2); part.places.len()]);
                (begin, scale)
            });
            parts.push(Layout { begin, stride, trend });
        }
        for (second, part) in space.parts().iter().enumerate() {
            for before in &space.parts()[..second] {
                pairs.push(variances.len());
                variances.extend(vec![PAIR.powi(2); before.options.len() * part.options.len()]);
            }
        }
        let mut mean = vec![0.0; variances.len()];
        mean[0] = LEVEL;
        let tried = space.parts().iter().map(|part| vec![0; part.options.len()]).collect();
        let change = Change::new(space.parts().iter().map(|part| part.options.len()));
        let covariance = Matrix::diagonal(&variances);
        Self {
            space,
            width,
            known,
            parts,
            pairs,
            covariance,
            mean,
            outcomes: 0,
            tried,
            newcomers: Vec::new(),
            loosened: None,
            change,
        }
    }

    /// What can be combined.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// Outcomes that it rests on.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Everything as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        let snapshot = Snapshot {
            version: VERSION,
            space: self.space.clone(),
            width: self.width,
            covariance: self.covariance.lower(),
            mean: self.mean.clone(),
            outcomes: self.outcomes,
            tried: self.tried.clone(),
            newcomers: self.newcomers.clone(),
            loosened: self.loosened,
            change: self.change.clone(),
        };
        postcard::to_allocvec(&snapshot).unwrap_or_default()
    }

    /// The state of a snapshot. `None` where that is of another form, of other options or of other numbers, so that the log is
    /// folded anew.
    pub fn from_bytes(space: Space, width: usize, known: usize, bytes: &[u8]) -> Option<Self> {
        let snapshot: Snapshot = postcard::from_bytes(bytes).ok()?;
        let new = Self::new(space, width, known);
        let size = new.mean.len();
        let same = snapshot.version == VERSION && snapshot.space == new.space && snapshot.width == new.width;
        let exists = |(part, option): &(usize, u16)| {
            new.tried.get(*part).is_some_and(|part| usize::from(*option) < part.len())
        };
        let fits = snapshot.mean.len() == size
            && snapshot.newcomers.iter().all(exists)
            && snapshot.tried.iter().map(Vec::len).eq(new.tried.iter().map(Vec::len));
        if !same || !fits {
            return None;
        }
        let Snapshot { covariance, mean, outcomes, tried, newcomers, loosened, change, .. } = snapshot;
        let covariance = Matrix::from_lower(size, &covariance)?;
        Some(Self { covariance, mean, outcomes, tried, newcomers, loosened, change, ..new })
    }

    /// Folds in that `combination` had `quality` for a request of the numbers `x`, made at `at`; `weight` labels. What is not
    /// finite changes nothing. The part and the option that turn out to have changed, where one has.
    pub fn observe(
        &mut self,
        combination: &[u16],
        x: &[f64],
        quality: f64,
        weight: f64,
        at: Timestamp,
    ) -> Option<(usize, u16)> {
        let (error, deviation) = self.fold(combination, x, quality, weight)?;
        let changed = self.change.observe(combination, error / deviation.max(f64::MIN_POSITIVE))?;
        self.loosen(changed.0, changed.1, LOOSENED);
        self.loosened = self.loosened.max(Some(at));
        Some(changed)
    }

    /// Folds in an outcome that says too little to tell of a change.
    pub fn hint(&mut self, combination: &[u16], x: &[f64], quality: f64, weight: f64) {
        self.fold(combination, x, quality, weight);
    }

    /// Puts one outcome of a request made at `at` in the place of another. Of a request from before an option was found to have
    /// changed nothing is revised: what it had taught is in part let go of, and could not be taken out again.
    pub fn revise(
        &mut self,
        combination: &[u16],
        x: &[f64],
        [before, after]: [(f64, f64); 2],
        at: Timestamp,
    ) {
        if self.take_back(combination, x, before, at) {
            self.fold(combination, x, after.0, after.1);
        }
    }

    /// Takes an outcome, and its weight, back that was folded in with the same values. Whether it could be.
    pub fn take_back(
        &mut self,
        combination: &[u16],
        x: &[f64],
        (quality, weight): (f64, f64),
        at: Timestamp,
    ) -> bool {
        self.loosened.is_none_or(|since| at > since) && self.fold(combination, x, quality, -weight).is_some()
    }

    /// Where much is known already, what could not be chosen before is new: it may be anything. `before` is what could be, and what
    /// of it was new. Whether anything is.
    pub fn welcome(&mut self, before: &Known) -> bool {
        let is_new = |part: &Part, option: &String| {
            let earlier = before.space.parts().iter().find(|earlier| earlier.name == part.name);
            let named = (part.name.clone(), option.clone());
            earlier.is_some_and(|earlier| !earlier.options.contains(option))
                || before.newcomers.contains(&named)
        };
        let parts = self.space.parts().iter().enumerate().skip(1);
        let new: Vec<(usize, u16)> = parts
            .flat_map(|(place, part)| {
                let options = part.options.iter().enumerate().filter(move |(_, option)| is_new(part, option));
                options.map(move |(option, _)| (place, option as u16))
            })
            .filter(|newcomer| !self.newcomers.contains(newcomer))
            .collect();
        if self.outcomes < SETTLED {
            return false;
        }
        for (part, option) in &new {
            self.loosen(*part, *option, LOOSENED);
        }
        self.newcomers.extend(&new);
        !new.is_empty()
    }

    /// What can be chosen, and what of it is new.
    pub fn known(&self) -> Known {
        let name = |(part, option): (usize, u16)| {
            let part = &self.space.parts()[part];
            (part.name.clone(), part.options[usize::from(option)].clone())
        };
        Known { space: self.space.clone(), newcomers: self.newcomers().into_iter().map(name).collect() }
    }

    /// What could be chosen when a snapshot was taken, and what of it was new.
    pub fn known_of(bytes: &[u8]) -> Option<Known> {
        let Snapshot { space, newcomers, .. } = postcard::from_bytes(bytes).ok()?;
        let name = |(part, option): (usize, u16)| {
            let part = space.parts().get(part)?;
            Some((part.name.clone(), part.options.get(usize::from(option))?.clone()))
        };
        Some(Known { newcomers: newcomers.into_iter().filter_map(name).collect(), space })
    }

    /// What is known of each option of all parts but the first, as far as they have several.
    pub fn standing(&self) -> Vec<OptionStanding> {
        let newcomers = self.newcomers();
        let parts = self.space.parts().iter().enumerate().skip(1);
        let options = parts.filter(|(_, part)| part.options.len() > 1).flat_map(|(place, part)| {
            part.options.iter().enumerate().map(move |(option, name)| (place, &part.name, option, name))
        });
        options
            .map(|(part, name, option, option_name)| {
                let row = self.difference(part, option as u16, &[1.0]);
                OptionStanding {
                    part: name.clone(),
                    option: option_name.clone(),
                    outcomes: self.tried[part][option],
                    added: self.mean_of(&row),
                    deviation: self.variance_of(&row).sqrt(),
                    is_new: newcomers.contains(&(part, option as u16)),
                }
            })
            .collect()
    }

    /// The options, by part, that are new until so much is known of each, the one first that was tried least.
    pub(crate) fn newcomers(&self) -> Vec<(usize, u16)> {
        let tried = |(part, option): &(usize, u16)| self.tried[*part][usize::from(*option)];
        let open = self.newcomers.iter().copied().filter(|newcomer| tried(newcomer) < TRIALS);
        let mut open: Vec<(usize, u16)> = open.collect();
        open.sort_by_key(tried);
        open.truncate(MOST_NEWCOMERS);
        open
    }

    /// How far an outcome lies from what was expected, and the deviation of that. With a negative weight it is taken out again.
    fn fold(&mut self, combination: &[u16], x: &[f64], quality: f64, weight: f64) -> Option<(f64, f64)> {
        let usable = quality.is_finite() && weight.is_finite() && weight != 0.0;
        if !usable || x.iter().any(|value| !value.is_finite()) || !self.space.holds(combination) {
            return None;
        }
        let row = self.row(combination, x);
        let moved = self.times(&row);
        let variance = row.iter().map(|(place, value)| value * moved[*place]).sum::<f64>().max(0.0);
        let total = variance + NOISE / weight;
        // What is taken out was in: then what is left is less certain than one label.
        if weight < 0.0 && total >= 0.0 {
            return None;
        }
        let error = quality.clamp(0.0, 1.0) - self.mean_of(&row);
        self.covariance.add_outer(&moved, -total.recip());
        self.mean.iter_mut().zip(&moved).for_each(|(mean, moved)| *mean += moved * error / total);
        let count =
            |known: &mut u64| *known = if weight > 0.0 { *known + 1 } else { known.saturating_sub(1) };
        count(&mut self.outcomes);
        for (part, option) in combination.iter().enumerate() {
            count(&mut self.tried[part][usize::from(*option)]);
        }
        Some((error, total.abs().sqrt()))
    }

    /// From now on the constant of an option may be anything within so much of what it was.
    fn loosen(&mut self, part: usize, option: u16, deviation: f64) {
        let place = self.parts[part].option(usize::from(option));
        let variance = self.covariance.at(place, place) + deviation * deviation;
        self.covariance.set(place, place, variance);
    }

    /// What each of some combinations adds to its first part with the baseline of all others, and how the errors of that go
    /// together.
    pub fn forecast(&self, combinations: &[&[u16]], x: &[f64]) -> Forecast {
        if self.space.has_one_part() {
            let nothing = Estimate { mean: 0.0, deviation: 0.0, outcomes: u64::MAX };
            return Forecast::new(vec![nothing; combinations.len()], Vec::new());
        }
        let rows: Vec<Row> = combinations.iter().map(|combination| self.added(combination, x)).collect();
        let moved = self.moved(combinations, x);
        let size = rows.len();
        let mut covariance = vec![0.0; size * size];
        for (left, row) in rows.iter().enumerate() {
            for (right, moved) in moved.iter().enumerate().take(left + 1) {
                let value = row.iter().map(|(place, value)| value * moved[*place]).sum();
                covariance[left * size + right] = value;
                covariance[right * size + left] = value;
            }
        }
        let estimate = |(place, row): (usize, &Row)| Estimate {
            mean: self.mean_of(row),
            deviation: covariance[place * size + place].max(0.0).sqrt(),
            outcomes: self.least_tried(combinations[place]),
        };
        let estimates = rows.iter().enumerate().map(estimate).collect();
        Forecast::new(estimates, covariance)
    }

    /// The place of the combination of the best expected quality for a request of the numbers `x`, by what is known here alone.
    pub fn best(&self, x: &[f64]) -> usize {
        let mut worth = self.worth(x);
        if let Some((first, part)) = worth.singles.first_mut().zip(self.space.parts().first()) {
            let plain = |option: usize| self.mean_of(&self.row(&self.space.plain(option as u16), x));
            *first = (0..part.options.len()).map(plain).collect();
        }
        let mut best = (f64::NEG_INFINITY, 0);
        self.space.sums(&worth.singles, &worth.pairs, |place, sum| {
            if sum > best.0 {
                best = (sum, place);
            }
        });
        best.1
    }

    /// What every option and pair adds for a request of the numbers `x`.
    pub(crate) fn worth(&self, x: &[f64]) -> Worth {
        let (mut singles, mut single_variances) = (Vec::new(), Vec::new());
        for (part, known) in self.space.parts().iter().enumerate() {
            let rows: Vec<Row> =
                (0..known.options.len()).map(|option| self.difference(part, option as u16, x)).collect();
            singles.push(rows.iter().map(|row| self.mean_of(row)).collect());
            single_variances.push(rows.iter().map(|row| self.variance_of(row)).collect());
        }
        let (mut pairs, mut pair_variances) = (Vec::new(), Vec::new());
        for (second, part) in self.space.parts().iter().enumerate() {
            for (first, before) in self.space.parts()[..second].iter().enumerate() {
                let rows: Vec<Row> = (0..before.options.len() as u16)
                    .flat_map(|one| (0..part.options.len() as u16).map(move |other| (one, other)))
                    .map(|(one, other)| self.pair_difference((first, one), (second, other)))
                    .collect();
                pairs.push(rows.iter().map(|row| self.mean_of(row)).collect());
                pair_variances.push(rows.iter().map(|row| self.variance_of(row)).collect());
            }
        }
        let base = self.mean_of(&self.unknown(x));
        Worth { base, singles, pairs, single_variances, pair_variances }
    }

    /// Outcomes of that option, other than a baseline, that was tried least.
    fn least_tried(&self, combination: &[u16]) -> u64 {
        let parts = combination.iter().zip(self.space.parts()).zip(&self.tried).skip(1);
        let others = parts.filter(|((option, part), _)| **option != part.baseline);
        let tried = others.filter_map(|((option, _), tried)| tried.get(usize::from(*option)));
        tried.copied().min().unwrap_or(u64::MAX)
    }

    fn mean_of(&self, row: &Row) -> f64 {
        row.iter().map(|(place, value)| value * self.mean[*place]).sum()
    }

    fn variance_of(&self, row: &Row) -> f64 {
        let along = |place: usize| {
            let covariance = self.covariance.row(place);
            row.iter().map(|(place, value)| value * covariance[*place]).sum::<f64>()
        };
        row.iter().map(|(place, value)| value * along(*place)).sum::<f64>().max(0.0)
    }

    /// All coefficients of a combination.
    fn row(&self, combination: &[u16], x: &[f64]) -> Row {
        let mut row: Row = (0..self.width).map(|place| (place, at(x, place))).collect();
        for (part, option) in combination.iter().enumerate() {
            self.option_row(part, *option, x, 1.0, &mut row);
        }
        for second in 1..combination.len() {
            for first in 0..second {
                row.push((self.pair_place((first, combination[first]), (second, combination[second])), 1.0));
            }
        }
        row
    }

    /// By what a combination differs from its first part with the baseline of all others.
    fn added(&self, combination: &[u16], x: &[f64]) -> Row {
        let mut row = self.unknown(x);
        for (part, option) in combination.iter().enumerate() {
            row.extend(self.difference(part, *option, x));
        }
        self.added_pairs(combination, |place, value| row.push((place, value)));
        row
    }

    fn added_pairs(&self, combination: &[u16], mut take: impl FnMut(usize, f64)) {
        for second in 1..combination.len() {
            for first in 0..second {
                let (one, other) = ((first, combination[first]), (second, combination[second]));
                for (place, value) in self.pair_difference(one, other) {
                    take(place, value);
                }
            }
        }
    }

    /// What the numbers that the first part's own predictor does not look at say of all combinations.
    fn unknown(&self, x: &[f64]) -> Row {
        (self.known..self.width).map(|place| (place, at(x, place))).collect()
    }

    /// By what an option differs from its part's baseline as the first part's own predictor sees it; of the first part nothing does.
    fn difference(&self, part: usize, option: u16, x: &[f64]) -> Row {
        let baseline = self.space.parts()[part].baseline;
        let mut row = Row::new();
        if part > 0 && (option != baseline || self.known < self.width) {
            self.option_row(part, option, x, 1.0, &mut row);
            self.option_row(part, baseline, &x[..self.known.min(x.len())], -1.0, &mut row);
        }
        row
    }

    /// By what a pair differs from that of the baselines; the first part's option has no baseline.
    fn pair_difference(&self, one: (usize, u16), other: (usize, u16)) -> Row {
        let baseline = |(part, option): (usize, u16)| {
            (part, if part == 0 { option } else { self.space.parts()[part].baseline })
        };
        let (place, plain) = (self.pair_place(one, other), self.pair_place(baseline(one), baseline(other)));
        if place == plain { Row::new() } else { vec![(place, 1.0), (plain, -1.0)] }
    }

    fn pair_place(&self, (first, one): (usize, u16), (second, other): (usize, u16)) -> usize {
        let options = self.space.parts()[second].options.len();
        self.pairs[pair(first, second)] + usize::from(one) * options + usize::from(other)
    }

    /// Adds `factor` times the coefficients of an option.
    fn option_row(&self, part: usize, option: u16, x: &[f64], factor: f64, row: &mut Row) {
        let (layout, places) = (&self.parts[part], &self.space.parts()[part].places);
        let numbers = || std::iter::once(1.0).chain(places.iter().map(|place| at(x, *place)));
        let begin = layout.option(usize::from(option));
        let own = numbers().take(layout.stride).enumerate();
        row.extend(own.map(|(at, value)| (begin + at, factor * value)));
        if let Some((trend, scale)) = &layout.trend {
            let place = factor * scale.get(usize::from(option)).copied().unwrap_or_default();
            row.extend(numbers().enumerate().map(|(at, value)| (trend + at, place * value)));
        }
    }

    fn times(&self, row: &Row) -> Vec<f64> {
        let mut product = vec![0.0; self.mean.len()];
        for (place, value) in row.iter().filter(|(_, value)| *value != 0.0) {
            add(&mut product, self.covariance.row(*place), *value);
        }
        product
    }

    /// The covariance times what each combination adds. What combinations have in common is computed once.
    fn moved(&self, combinations: &[&[u16]], x: &[f64]) -> Vec<Vec<f64>> {
        let mut options: Vec<Vec<Option<Vec<f64>>>> =
            self.space.parts().iter().map(|part| vec![None; part.options.len()]).collect();
        let mut moved = Vec::with_capacity(combinations.len());
        let base = self.times(&self.unknown(x));
        for combination in combinations {
            let mut sum = base.clone();
            for (part, option) in combination.iter().enumerate().skip(1) {
                let known = &mut options[part][usize::from(*option)];
                let known = known.get_or_insert_with(|| self.times(&self.difference(part, *option, x)));
                add(&mut sum, known, 1.0);
            }
            self.added_pairs(combination, |place, value| add(&mut sum, self.covariance.row(place), value));
            moved.push(sum);
        }
        moved
    }
}

/// Where the options stand from -1 to 1; `None` where they have no order.
fn centred(scale: &[f64], options: usize) -> Option<Vec<f64>> {
    let (low, high) = scale
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), at| (low.min(*at), high.max(*at)));
    let usable = scale.len() == options && high > low && (high - low).is_finite();
    usable.then(|| scale.iter().map(|at| 2.0 * (at - low) / (high - low) - 1.0).collect())
}

fn at(x: &[f64], place: usize) -> f64 {
    x.get(place).copied().unwrap_or_default()
}

fn add(sum: &mut [f64], row: &[f64], factor: f64) {
    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += factor * value);
}
