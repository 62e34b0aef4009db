//! How good probabilities of a yes or no are: accuracy, the area under the curve, calibration.

use serde::Serialize;

/// Bins of equal width for the calibration error.
const BINS: usize = 10;

/// The figures of one set of probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Classification {
    /// How many there were.
    pub n: usize,
    /// The share that is truly yes.
    pub positive: f64,
    /// The share that falls on the right side of 0.5.
    pub accuracy: f64,
    /// The probability that a yes has a higher one than a no, ties counted half (the Mann-Whitney statistic);
    /// `None` where only one of them is there.
    pub auc: Option<f64>,
    /// Expected calibration error: the mean distance between probability and frequency over ten bins of equal
    /// width, weighted by their sizes (Naeini et al. 2015, "Obtaining Well Calibrated Probabilities Using Bayesian
    /// Binning").
    pub ece: f64,
}

/// The figures of `predictions`, each a probability and the truth; `None` where there are none.
pub fn classification(predictions: &[(f64, bool)]) -> Option<Classification> {
    if predictions.is_empty() {
        return None;
    }
    let n = predictions.len();
    let positive = predictions.iter().filter(|(_, truth)| *truth).count();
    let right = predictions.iter().filter(|(probability, truth)| (*probability >= 0.5) == *truth).count();
    Some(Classification {
        n,
        positive: positive as f64 / n as f64,
        accuracy: right as f64 / n as f64,
        auc: area_under_curve(predictions, positive),
        ece: calibration_error(predictions),
    })
}

fn area_under_curve(predictions: &[(f64, bool)], positive: usize) -> Option<f64> {
    let negative = predictions.len() - positive;
    if positive == 0 || negative == 0 {
        return None;
    }
    let mut sorted = predictions.to_vec();
    sorted.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let mut below = 0;
    let mut wins = 0.0;
    for tied in sorted.chunk_by(|a, b| a.0 == b.0) {
        let yes = tied.iter().filter(|(_, truth)| *truth).count();
        let no = tied.len() - yes;
        wins += yes as f64 * (below as f64 + no as f64 / 2.0);
        below += no;
    }
    Some(wins / (positive as f64 * negative as f64))
}

fn calibration_error(predictions: &[(f64, bool)]) -> f64 {
    // Probability minus truth, summed by bin: the distance of the means times the bin's size.
    let mut bins = [0.0; BINS];
    for (probability, truth) in predictions {
        let bin = ((probability * BINS as f64) as usize).min(BINS - 1);
        bins[bin] += probability - f64::from(*truth);
    }
    bins.iter().map(|sum: &f64| sum.abs()).sum::<f64>() / predictions.len() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_follow_their_definitions() {
        assert_eq!(classification(&[]), None);
        // By hand: the pairs (yes, no) are (.9, .2), (.9, .4), (.4, .2), (.4, .4): 3 wins and a tie.
        let figures = classification(&[(0.9, true), (0.4, true), (0.4, false), (0.2, false)]).unwrap();
        assert_eq!(
            (figures.n, figures.positive, figures.accuracy, figures.auc),
            (4, 0.5, 0.75, Some(3.5 / 4.0))
        );
        // Bins: .2 → .2 off, .4 twice → |.8 − 1| off, .9 → .1 off.
        assert!((figures.ece - (0.2 + 0.2 + 0.1) / 4.0).abs() < 1e-12);
        assert_eq!(classification(&[(1.0, true), (1.0, true)]).unwrap().auc, None);
        assert_eq!(classification(&[(1.0, true), (1.0, false)]).unwrap().auc, Some(0.5));
    }
}
