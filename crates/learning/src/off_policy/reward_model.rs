//! A model of the reward, trained apart from the rows that it predicts.

use fastrand::Rng;

use super::log::{Log, Logged};
use super::ridge::{Ridge, dot};

/// Into how many parts the log is cut; each is predicted from the others.
const FOLDS: usize = 5;
/// One row in so many of a training set is kept apart to choose the penalty by.
const HELD_OUT: usize = 5;
const PENALTIES: [f64; 5] = [0.3, 3.0, 30.0, 300.0, 3_000.0];

/// What a model expects at one row, without having seen its reward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Predicted {
    /// The reward of the action that was logged.
    pub chosen: f64,
    /// The mean reward of the target's actions, by their probabilities.
    pub target: f64,
}

/// Predicts each row from the rows of other folds (cross-fitting: Chernozhukov et al. 2018, §3).
///
/// The model is a ridge regression on action, position and context, followed by one an action on what the first
/// leaves, on position and context; the penalty is chosen on a part of the training rows, and predictions are kept
/// within the rewards trained on. Context is scaled to a mean square of 1. Memory and time grow with the square and
/// the cube of the number of actions: it is made for hundreds.
pub fn cross_fitted(log: &Log<'_>, seed: u64) -> Vec<Predicted> {
    let nothing = Predicted { chosen: 0.0, target: 0.0 };
    cross_fit(log, seed, nothing, |model, layout, row| model.predict(layout, row))
}

/// As [`cross_fitted`], but what is expected of every action: by row, then by action.
pub fn cross_fitted_actions(log: &Log<'_>, seed: u64) -> Vec<Vec<f64>> {
    cross_fit(log, seed, Vec::new(), |model, layout, row| {
        let surroundings = layout.surroundings(row);
        (0..layout.actions).map(|action| model.of(layout, action, &surroundings)).collect()
    })
}

fn cross_fit<T: Clone>(
    log: &Log<'_>,
    seed: u64,
    nothing: T,
    predict: impl Fn(&Model, &Layout, &Logged<'_>) -> T,
) -> Vec<T> {
    let layout = Layout::of(log);
    let mut order: Vec<usize> = (0..log.rows().len()).collect();
    Rng::with_seed(seed).shuffle(&mut order);
    let mut predictions = vec![nothing; order.len()];
    for fold in 0..FOLDS {
        let (held, training): (Vec<_>, Vec<_>) =
            order.iter().enumerate().partition(|(place, _)| place % FOLDS == fold);
        let training: Vec<&Logged<'_>> = training.iter().map(|(_, row)| &log.rows()[**row]).collect();
        let model = train(&layout, &training);
        for (_, &row) in held {
            predictions[row] = predict(&model, &layout, &log.rows()[row]);
        }
    }
    predictions
}

/// Where things stand among the features: actions, then positions, then context.
struct Layout {
    actions: usize,
    positions: usize,
    scales: Vec<f64>,
}

impl Layout {
    fn of(log: &Log<'_>) -> Self {
        let mut squares = vec![0.0; log.context_length()];
        for row in log.rows() {
            for (square, number) in squares.iter_mut().zip(row.context) {
                *square += number * number;
            }
        }
        let count = log.rows().len() as f64;
        let scales = squares
            .into_iter()
            .map(|square| if square > 0.0 { (square / count).sqrt().recip() } else { 0.0 })
            .collect();
        Self { actions: log.actions(), positions: log.positions(), scales }
    }

    /// Position and context, which each action weighs for itself.
    fn surroundings(&self, row: &Logged<'_>) -> Vec<(usize, f64)> {
        let context = row.context.iter().zip(&self.scales).enumerate();
        std::iter::once((row.position, 1.0))
            .chain(context.map(|(place, (number, scale))| (self.positions + place, number * scale)))
            .filter(|(_, value)| *value != 0.0)
            .collect()
    }

    /// The same with the action before them.
    fn main(&self, action: usize, surroundings: &[(usize, f64)]) -> Vec<(usize, f64)> {
        let after = surroundings.iter().map(|&(place, value)| (self.actions + place, value));
        std::iter::once((action, 1.0)).chain(after).collect()
    }

    fn surrounding_dimensions(&self) -> usize {
        self.positions + self.scales.len()
    }
}

struct Model {
    mean: f64,
    least: f64,
    most: f64,
    main: Vec<f64>,
    by_action: Vec<Vec<f64>>,
}

impl Model {
    fn of(&self, layout: &Layout, action: usize, surroundings: &[(usize, f64)]) -> f64 {
        let (actions, shared) = self.main.split_at(layout.actions);
        let main = self.mean + actions[action] + dot(surroundings, shared);
        (main + dot(surroundings, &self.by_action[action])).clamp(self.least, self.most)
    }

    fn predict(&self, layout: &Layout, row: &Logged<'_>) -> Predicted {
        let surroundings = layout.surroundings(row);
        let likely = row.target.iter().enumerate().filter(|(_, probability)| **probability > 0.0);
        let target =
            likely.map(|(action, probability)| probability * self.of(layout, action, &surroundings)).sum();
        Predicted { chosen: self.of(layout, row.action, &surroundings), target }
    }
}

fn train(layout: &Layout, rows: &[&Logged<'_>]) -> Model {
    let (held, fitted): (Vec<_>, Vec<_>) =
        rows.iter().enumerate().partition(|(place, _)| place % HELD_OUT == 0);
    let fitted: Vec<&Logged<'_>> = fitted.into_iter().map(|(_, row)| *row).collect();
    let mut design = Design::new(layout, &fitted);
    let mut best = (f64::INFINITY, PENALTIES[PENALTIES.len() - 1]);
    for penalty in PENALTIES {
        let model = design.fit(penalty);
        let error: f64 = held
            .iter()
            .map(|(_, row)| (row.reward - model.of(layout, row.action, &layout.surroundings(row))).powi(2))
            .sum();
        if error < best.0 {
            best = (error, penalty);
        }
    }
    Design::new(layout, rows).fit(best.1)
}

/// A training row, taken apart.
struct TrainingRow {
    action: usize,
    surroundings: Vec<(usize, f64)>,
    /// The reward above the mean.
    outcome: f64,
}

/// Training rows with the sums that do not depend on the penalty.
struct Design<'a> {
    layout: &'a Layout,
    mean: f64,
    least: f64,
    most: f64,
    rows: Vec<TrainingRow>,
    main: Ridge,
    by_action: Vec<Ridge>,
}

impl<'a> Design<'a> {
    fn new(layout: &'a Layout, rows: &[&Logged<'_>]) -> Self {
        let sum: f64 = rows.iter().map(|row| row.reward).sum();
        let mean = sum / rows.len().max(1) as f64;
        let bounds =
            |(least, most): (f64, f64), row: &&Logged<'_>| (least.min(row.reward), most.max(row.reward));
        let (least, most) = rows.iter().fold((mean, mean), bounds);
        let mut main = Ridge::new(layout.actions + layout.surrounding_dimensions());
        let mut by_action = vec![Ridge::new(layout.surrounding_dimensions()); layout.actions];
        let rows = rows
            .iter()
            .map(|row| {
                let surroundings = layout.surroundings(row);
                let features = layout.main(row.action, &surroundings);
                main.add_row(&features);
                main.add_outcome(&features, row.reward - mean);
                by_action[row.action].add_row(&surroundings);
                TrainingRow { action: row.action, surroundings, outcome: row.reward - mean }
            })
            .collect();
        Self { layout, mean, least, most, rows, main, by_action }
    }

    fn fit(&mut self, penalty: f64) -> Model {
        let main = self.main.solve(penalty);
        let (actions, shared) = main.split_at(self.layout.actions);
        for ridge in &mut self.by_action {
            ridge.clear_outcomes();
        }
        for TrainingRow { action, surroundings, outcome } in &self.rows {
            let rest = outcome - actions[*action] - dot(surroundings, shared);
            self.by_action[*action].add_outcome(surroundings, rest);
        }
        let by_action = self.by_action.iter().map(|ridge| ridge.solve(penalty)).collect();
        Model { mean: self.mean, least: self.least, most: self.most, main, by_action }
    }
}
