//! The log that estimates are made from, checked once.

use std::collections::BTreeMap;

use super::OffPolicyError;

/// How far a target's probabilities may be from adding up to 1.
const SUM_TOLERANCE: f64 = 1e-6;

/// One choice of the policy that ran, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Logged<'a> {
    /// What the reward may depend on besides the action, as numbers; as many in every row, perhaps none.
    pub context: &'a [f64],
    /// Where on the page the action was shown; 0 where there is one place.
    pub position: usize,
    /// What was chosen: its place in `target`.
    pub action: usize,
    /// What came of it.
    pub reward: f64,
    /// The probability in (0, 1] with which the policy that ran chose it.
    pub propensity: f64,
    /// The probability of each action under the target, at this context and position. An action that could not be
    /// chosen here has the probability 0.
    pub target: &'a [f64],
}

impl Logged<'_> {
    /// How often the target would have done this, for each time that it was done.
    pub(super) fn weight(&self) -> f64 {
        self.target[self.action] / self.propensity
    }
}

/// Rows that make sense: at least one, every propensity in (0, 1], every target a distribution over the same
/// actions, every number finite, and at least one row that the target could have made.
#[derive(Clone, Debug)]
pub struct Log<'a> {
    rows: Vec<Logged<'a>>,
    positions: usize,
}

impl<'a> Log<'a> {
    /// Takes rows after checking them.
    ///
    /// # Errors
    /// If one of them makes no sense, or the target never does what was logged.
    pub fn new(mut rows: Vec<Logged<'a>>) -> Result<Self, OffPolicyError> {
        let first = *rows.first().ok_or(OffPolicyError::Empty)?;
        for (place, row) in rows.iter().enumerate() {
            check(place, row, &first, rows.len())?;
        }
        if rows.iter().all(|row| row.weight() == 0.0) {
            return Err(OffPolicyError::NoOverlap);
        }
        let positions = number_positions(&mut rows);
        Ok(Self { rows, positions })
    }

    /// The rows; their positions are numbered from 0 without gaps, in the order of the numbers given.
    pub fn rows(&self) -> &[Logged<'a>] {
        &self.rows
    }

    /// How many positions there are.
    pub(super) fn positions(&self) -> usize {
        self.positions
    }

    /// How many actions there are.
    pub(super) fn actions(&self) -> usize {
        self.rows.first().map_or(0, |row| row.target.len())
    }

    /// How many numbers a context has.
    pub(super) fn context_length(&self) -> usize {
        self.rows.first().map_or(0, |row| row.context.len())
    }
}

fn check(place: usize, row: &Logged<'_>, first: &Logged<'_>, count: usize) -> Result<(), OffPolicyError> {
    if !(row.propensity > 0.0 && row.propensity <= 1.0) {
        return Err(OffPolicyError::Propensity { row: place, value: row.propensity });
    }
    let actions = row.target.len();
    if actions != first.target.len() {
        let reason = format!("are of {actions} actions, those of row 0 of {}", first.target.len());
        return Err(OffPolicyError::Target { row: place, reason });
    }
    if row.action >= actions {
        return Err(OffPolicyError::Action { row: place, action: row.action, actions });
    }
    if let Some(wrong) = row.target.iter().find(|&probability| !(0.0..=1.0).contains(probability)) {
        let reason = format!("hold {wrong}, which is not in [0, 1]");
        return Err(OffPolicyError::Target { row: place, reason });
    }
    let sum: f64 = row.target.iter().sum();
    if (sum - 1.0).abs() > SUM_TOLERANCE {
        return Err(OffPolicyError::Target { row: place, reason: format!("add up to {sum}, not to 1") });
    }
    if row.context.len() != first.context.len() || row.context.iter().any(|number| !number.is_finite()) {
        return Err(OffPolicyError::Context { row: place });
    }
    // What would overflow when it is added up.
    let (count, weight) = (count as f64, row.weight());
    if !(weight * count).is_finite() {
        return Err(OffPolicyError::Propensity { row: place, value: row.propensity });
    }
    if !(row.reward * weight.max(1.0) * count).is_finite() {
        return Err(OffPolicyError::Reward { row: place, value: row.reward });
    }
    Ok(())
}

fn number_positions(rows: &mut [Logged<'_>]) -> usize {
    let mut numbers: BTreeMap<usize, usize> = rows.iter().map(|row| (row.position, 0)).collect();
    for (number, place) in numbers.values_mut().enumerate() {
        *place = number;
    }
    for row in rows {
        row.position = numbers.get(&row.position).copied().unwrap_or(0);
    }
    numbers.len()
}
