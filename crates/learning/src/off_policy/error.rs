//! What can be wrong with a log that a policy's value is estimated from.

use std::error::Error;
use std::fmt;

/// Why a log tells nothing of the target. Rows are counted from 0.
#[derive(Clone, Debug, PartialEq)]
pub enum OffPolicyError {
    /// The log has no row.
    Empty,
    /// A propensity is not a probability above 0, or so small that weights overflow.
    Propensity {
        /// The row.
        row: usize,
        /// Its propensity.
        value: f64,
    },
    /// A reward is not a finite number, or too large to be added up.
    Reward {
        /// The row.
        row: usize,
        /// Its reward.
        value: f64,
    },
    /// The action is none of those that the target's probabilities are of.
    Action {
        /// The row.
        row: usize,
        /// Its action.
        action: usize,
        /// How many there are.
        actions: usize,
    },
    /// The target's probabilities are not a distribution over as many actions as in the first row.
    Target {
        /// The row.
        row: usize,
        /// What is wrong with them.
        reason: String,
    },
    /// A context is not as long as the first, or has a number that is not finite.
    Context {
        /// The row.
        row: usize,
    },
    /// The target never does what was logged.
    NoOverlap,
    /// There is not one prediction a row.
    Predictions {
        /// The log's rows.
        rows: usize,
        /// The predictions.
        predictions: usize,
    },
    /// A prediction is not a finite number.
    Prediction {
        /// The row.
        row: usize,
    },
}

impl fmt::Display for OffPolicyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "the log has no rows: nothing can be estimated from it"),
            Self::Propensity { row, value } => write!(
                f,
                "row {row}: the propensity {value} is not in (0, 1]: it is the probability with which the logged \
                 action was chosen"
            ),
            Self::Reward { row, value } => {
                write!(f, "row {row}: the reward {value} is not a finite number that can be added up")
            }
            Self::Action { row, action, actions } => write!(
                f,
                "row {row}: the action {action} is none of the {actions} that the target's probabilities are of"
            ),
            Self::Target { row, reason } => write!(f, "row {row}: the target's probabilities {reason}"),
            Self::Context { row } => write!(
                f,
                "row {row}: its context must have as many numbers as the first row's, all of them finite"
            ),
            Self::NoOverlap => write!(
                f,
                "the target never does what the log shows, so the log says nothing of it: log a policy that \
                 explores the target's actions"
            ),
            Self::Predictions { rows, predictions } => write!(
                f,
                "a doubly robust estimate needs one prediction a row: there are {rows} rows and {predictions} \
                 predictions"
            ),
            Self::Prediction { row } => write!(f, "row {row}: the prediction is not a finite number"),
        }
    }
}

impl Error for OffPolicyError {}
