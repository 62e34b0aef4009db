//! Grows one regression tree over features that are cut into bins once.

use super::{Node, Tree, TreeSettings};

/// The most bins of a feature.
const BINS: usize = 32;
/// Leaf values are drawn towards 0 as by so many rows of the mean weight (L2 regularisation).
const SHRUNK_ROWS: f64 = 5.0;

/// Every feature's values as bins.
pub(crate) struct Bins {
    /// By feature: the upper edges of all bins but the last.
    edges: Vec<Vec<f64>>,
    /// By feature, then by row.
    rows: Vec<Vec<u8>>,
}

impl Bins {
    /// Bins of about equally many rows.
    pub(crate) fn of(x: &[Vec<f64>]) -> Self {
        let features = x.first().map_or(0, Vec::len);
        let edges: Vec<Vec<f64>> =
            (0..features).map(|feature| edges(x.iter().map(|row| row[feature]))).collect();
        let bin = |feature: usize, row: &Vec<f64>| {
            // There are at most 32 bins.
            edges[feature].partition_point(|edge| *edge < row[feature]) as u8
        };
        let rows = (0..features).map(|feature| x.iter().map(|row| bin(feature, row)).collect()).collect();
        Self { edges, rows }
    }
}

fn edges(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.collect();
    values.sort_unstable_by(f64::total_cmp);
    let last = values.last().copied();
    let mut edges: Vec<f64> =
        (1..BINS).filter_map(|bin| values.get(bin * values.len() / BINS).copied()).collect();
    // A value that many rows share is an edge of its own, so that a flag has both sides.
    edges.extend(values.first());
    edges.sort_unstable_by(f64::total_cmp);
    edges.dedup();
    edges.retain(|edge| Some(*edge) != last);
    edges.truncate(BINS - 1);
    edges
}

/// Grows trees over the same rows.
pub(crate) struct Grower<'a> {
    bins: &'a Bins,
    weights: &'a [f64],
    settings: TreeSettings,
    ridge: f64,
}

/// What a set of rows sums up to.
#[derive(Clone, Copy, Debug, Default)]
struct Sum {
    rows: usize,
    weight: f64,
    residual: f64,
}

struct Best {
    gain: f64,
    feature: usize,
    bin: usize,
}

impl<'a> Grower<'a> {
    pub(crate) fn new(bins: &'a Bins, weights: &'a [f64], settings: TreeSettings) -> Self {
        let mean_weight = weights.iter().sum::<f64>() / weights.len().max(1) as f64;
        Self { bins, weights, settings, ridge: SHRUNK_ROWS * mean_weight }
    }

    /// A tree for the residuals, its leaves already shrunk by the rate.
    pub(crate) fn grow(&self, residuals: &[f64]) -> Tree {
        let rows: Vec<usize> = (0..residuals.len()).collect();
        let mut tree = Tree { nodes: vec![Node::Leaf(0.0)] };
        self.split(&mut tree, 0, rows, residuals, self.settings.depth.clamp(1, 4));
        tree
    }

    fn split(&self, tree: &mut Tree, place: usize, rows: Vec<usize>, residuals: &[f64], depth: usize) {
        let total = self.sum(&rows, residuals);
        let best = if depth == 0 { None } else { self.best(&rows, residuals, total) };
        let Some(Best { feature, bin, .. }) = best else {
            let rate = self.settings.rate.clamp(0.0, 1.0);
            tree.nodes[place] = Node::Leaf(rate * total.residual / (total.weight + self.ridge));
            return;
        };
        let low = tree.nodes.len();
        tree.nodes.extend([Node::Leaf(0.0), Node::Leaf(0.0)]);
        tree.nodes[place] = Node::Split { feature, threshold: self.bins.edges[feature][bin], low };
        let of = &self.bins.rows[feature];
        let (below, above) = rows.into_iter().partition(|row| usize::from(of[*row]) <= bin);
        self.split(tree, low, below, residuals, depth - 1);
        self.split(tree, low + 1, above, residuals, depth - 1);
    }

    fn sum(&self, rows: &[usize], residuals: &[f64]) -> Sum {
        rows.iter().fold(Sum::default(), |mut sum, row| {
            sum.add(self.weights[*row], residuals[*row]);
            sum
        })
    }

    /// The split that explains most, where one explains anything and both sides have enough rows.
    fn best(&self, rows: &[usize], residuals: &[f64], total: Sum) -> Option<Best> {
        let least = self.settings.least_rows.max(1);
        let mut best: Option<Best> = None;
        for (feature, edges) in self.bins.edges.iter().enumerate() {
            let mut histogram = [Sum::default(); BINS];
            for row in rows {
                histogram[usize::from(self.bins.rows[feature][*row])]
                    .add(self.weights[*row], residuals[*row]);
            }
            let mut below = Sum::default();
            for (bin, part) in histogram.iter().enumerate().take(edges.len()) {
                below.join(*part);
                let above = total.without(below);
                if below.rows < least || above.rows < least {
                    continue;
                }
                let gain = self.score(below) + self.score(above) - self.score(total);
                if gain > 1e-12 && best.as_ref().is_none_or(|best| gain > best.gain) {
                    best = Some(Best { gain, feature, bin });
                }
            }
        }
        best
    }

    fn score(&self, sum: Sum) -> f64 {
        sum.residual * sum.residual / (sum.weight + self.ridge)
    }
}

impl Sum {
    fn add(&mut self, weight: f64, residual: f64) {
        self.join(Self { rows: 1, weight, residual: weight * residual });
    }

    fn join(&mut self, other: Self) {
        self.rows += other.rows;
        self.weight += other.weight;
        self.residual += other.residual;
    }

    fn without(self, part: Self) -> Self {
        Self {
            rows: self.rows - part.rows,
            weight: self.weight - part.weight,
            residual: self.residual - part.residual,
        }
    }
}
