//! The planner's own way of choosing, over a stream.

use burnish_learning::FeatureVector;
use burnish_learning::learner::Learner;
use burnish_learning::policies::{self, UnknownPolicy};
use burnish_learning::selection::{self, LABEL_WEIGHT, Offer, Selection, Wish};
use burnish_types::{Strategy, Timestamp};

use super::stream::Chooser;
use super::{Prepared, PreparedQuery};

/// Chooses as the engine does, and learns from labels.
pub struct Planned {
    selection: Selection,
    learner: Learner,
    strategies: Vec<Strategy>,
    latencies: Vec<f64>,
    /// What the last choice may have cost.
    charge: f64,
    alarms: usize,
}

impl Planned {
    /// One that has seen nothing, over the strategies of `prepared`, whose mean latencies it knows.
    ///
    /// # Errors
    /// If there is no such policy.
    pub fn new(prepared: &Prepared, policy: &str, baseline: Option<&str>) -> Result<Self, UnknownPolicy> {
        let selection = Selection::new(policies::parse(policy)?, baseline.map(str::to_owned));
        let mean = |place: usize| {
            let total: f64 = prepared.queries.iter().map(|query| query.rankings[place].latency_ms).sum();
            total / prepared.queries.len().max(1) as f64
        };
        Ok(Self {
            selection,
            learner: Learner::new(selection::settings(None), selection::prior()),
            strategies: prepared.strategies.clone(),
            latencies: (0..prepared.strategies.len()).map(mean).collect(),
            charge: 0.0,
            alarms: 0,
        })
    }
}

impl Chooser for Planned {
    fn choose(&mut self, query: &PreparedQuery, seed: u64) -> usize {
        let offers: Vec<Offer<'_>> = self
            .strategies
            .iter()
            .zip(&self.latencies)
            .map(|(strategy, latency)| Offer {
                strategy: strategy.as_str(),
                latency_ms: *latency,
                cost_usd: 0.0,
            })
            .collect();
        let x = FeatureVector::new(&query.features);
        // A collection's judgements can always be met better: nothing is good enough.
        let selected = self.selection.decide(&self.learner, &offers, x.as_slice(), Wish::default(), seed);
        self.charge = selected.as_ref().map_or(0.0, |selected| selected.choice.charge);
        selected.map_or(0, |selected| selected.choice.chosen)
    }

    fn learn(&mut self, query: &PreparedQuery, chosen: usize, quality: f64, at: Timestamp) {
        if self.charge > 0.0 {
            self.selection.settle(quality);
        }
        let x = FeatureVector::new(&query.features);
        let arm = self.strategies[chosen].as_str();
        if self.learner.observe(arm, x.as_slice(), quality, LABEL_WEIGHT, at).is_some() {
            self.alarms += 1;
            self.selection.renew();
        }
    }

    fn alarms(&self) -> usize {
        self.alarms
    }
}
