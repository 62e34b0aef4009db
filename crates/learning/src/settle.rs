//! What all reports on one request say together: how good it was, and how much that may be trusted.
//!
//! | signal | quality | trust |
//! |---|---|---|
//! | `score` (a label, a judge) | the score | 1 |
//! | `passage`, `cited` | nDCG@10 of what was shown against the passages that hold the answer | 0.8, 0.5 |
//! | `thumb` | 1 or 0 | 0.6 |
//! | `completed` | 1 or 0 | 0.5 |
//! | `asked_again` | 0 | 0.3 |
//! | `opened` | nDCG@10, with the opened passages as those that hold the answer | 0.1 |
//! | `supported` (automatic) | the support | 0.05, and only as long as there is nothing else |
//!
//! The trust is that of one person's word relative to a label: an observation of trust `w` has the variance of a
//! label divided by `w`. Of what one person said, the last word of each kind counts, so that repeating oneself
//! changes nothing; several people are averaged, and together count at most as [`MOST_TRUST`] labels.

use std::collections::BTreeMap;

use burnish_types::{ChunkId, Judgement, Outcome};

/// What all reports on a request together weigh at most, in labels.
pub const MOST_TRUST: f64 = 2.0;

/// Only so many of the passages shown count for their order.
const CUTOFF: usize = 10;

/// What a request was worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Settled {
    /// In [0, 1].
    pub quality: f64,
    /// How many labels that is worth, in (0, [`MOST_TRUST`]].
    pub trust: f64,
}

/// What one person said of a request, the last word of each kind.
#[derive(Default)]
struct Word {
    score: Option<f64>,
    thumb: Option<bool>,
    completed: Option<bool>,
    asked_again: bool,
    supported: Option<f64>,
    verdicts: BTreeMap<ChunkId, bool>,
    used: Vec<ChunkId>,
    opened: Vec<ChunkId>,
}

impl Word {
    fn hear(&mut self, judgement: &Judgement) {
        match *judgement {
            Judgement::Score { value } => self.score = Some(value.clamp(0.0, 1.0)),
            Judgement::Thumb { up } => self.thumb = Some(up),
            Judgement::Completed { done } => self.completed = Some(done),
            Judgement::AskedAgain => self.asked_again = true,
            Judgement::Supported { value } => self.supported = Some(value.clamp(0.0, 1.0)),
            Judgement::Passage { chunk, correct } => {
                self.verdicts.insert(chunk, correct);
            }
            Judgement::Cited { chunk } => self.used.push(chunk),
            Judgement::Opened { chunk } => self.opened.push(chunk),
            Judgement::Compared { .. } => {}
        }
    }

    /// Quality and trust of each kind of signal.
    fn signals(&self, shown: &[ChunkId]) -> Vec<(f64, f64)> {
        let yes = |said: bool| f64::from(u8::from(said));
        let mut signals = Vec::new();
        signals.extend(self.score.map(|score| (score, 1.0)));
        signals.extend(self.thumb.map(|up| (yes(up), 0.6)));
        signals.extend(self.completed.map(|done| (yes(done), 0.5)));
        signals.extend(self.asked_again.then_some((0.0, 0.3)));
        let holding: Vec<ChunkId> =
            self.verdicts.iter().filter(|(_, correct)| **correct).map(|(chunk, _)| *chunk).collect();
        for (holding, trust) in [(&holding, 0.8), (&self.used, 0.5), (&self.opened, 0.1)] {
            if !holding.is_empty() {
                signals.push((gain(shown, holding), trust));
            }
        }
        signals
    }
}

/// What the reports on one request, oldest first, say together; `None` where they say nothing of its quality, as
/// when a single passage was rejected. `shown` are the passages, best first.
pub fn settle(outcomes: &[Outcome], shown: &[ChunkId]) -> Option<Settled> {
    let mut words: BTreeMap<Option<&str>, Word> = BTreeMap::new();
    for outcome in outcomes {
        words.entry(outcome.user.as_deref()).or_default().hear(&outcome.judgement);
    }
    let signals: Vec<(f64, f64)> = words.values().flat_map(|word| word.signals(shown)).collect();
    let trust: f64 = signals.iter().map(|(_, trust)| trust).sum();
    if trust > 0.0 {
        let quality = signals.iter().map(|(quality, trust)| quality * trust).sum::<f64>() / trust;
        return Some(Settled { quality, trust: trust.min(MOST_TRUST) });
    }
    let automatic = words.values().find_map(|word| word.supported)?;
    Some(Settled { quality: automatic, trust: 0.05 })
}

/// nDCG@10 of `shown`, with `holding` as the passages that hold the answer (Järvelin & Kekäläinen 2002).
fn gain(shown: &[ChunkId], holding: &[ChunkId]) -> f64 {
    let discount = |place: usize| 1.0 / (place as f64 + 2.0).log2();
    let found = shown.iter().take(CUTOFF).enumerate().filter(|(_, chunk)| holding.contains(chunk));
    let reached: f64 = found.map(|(place, _)| discount(place)).sum();
    let mut distinct = holding.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let ideal: f64 = (0..distinct.len().min(CUTOFF)).map(discount).sum();
    if ideal > 0.0 { (reached / ideal).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use burnish_types::{RequestId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    fn said(user: Option<&str>, judgement: Judgement) -> Outcome {
        let request = RequestId::from_parts(1, 1);
        Outcome { request, at: Timestamp(1), judgement, comment: None, user: user.map(str::to_owned) }
    }

    const UP: Judgement = Judgement::Thumb { up: true };
    const DOWN: Judgement = Judgement::Thumb { up: false };

    fn holds(chunk: u64) -> Judgement {
        Judgement::Passage { chunk: ChunkId(chunk), correct: true }
    }

    #[test]
    fn reports_are_weighed_as_the_table_says() {
        let shown = [ChunkId(7), ChunkId(8)];
        let rejected = Judgement::Passage { chunk: ChunkId(7), correct: false };
        let support = Judgement::Supported { value: 0.9 };
        let second = 1.0 / 3f64.log2();
        type Case<'a> = (&'a [Judgement], Option<(f64, f64)>);
        let cases: &[Case<'_>] = &[
            (&[], None),
            (std::slice::from_ref(&rejected), None),
            (&[UP], Some((1.0, 0.6))),
            (&[UP, DOWN], Some((0.0, 0.6))),
            (&[holds(7)], Some((1.0, 0.8))),
            (&[holds(8)], Some((second, 0.8))),
            (&[holds(9)], Some((0.0, 0.8))),
            (&[holds(7), rejected.clone()], None),
            (&[Judgement::Opened { chunk: ChunkId(8) }], Some((second, 0.1))),
            (std::slice::from_ref(&support), Some((0.9, 0.05))),
            (&[support.clone(), DOWN], Some((0.0, 0.6))),
            (&[UP, Judgement::AskedAgain], Some((0.6 / 0.9, 0.9))),
            (&[Judgement::Score { value: 0.25 }, UP], Some(((0.25 + 0.6) / 1.6, 1.6))),
        ];
        for (judgements, expected) in cases {
            let outcomes: Vec<Outcome> =
                judgements.iter().map(|judgement| said(None, judgement.clone())).collect();
            match (settle(&outcomes, &shown), expected) {
                (Some(settled), Some((quality, trust))) => {
                    assert!((settled.quality - quality).abs() < 1e-9, "{judgements:?}: {settled:?}");
                    assert!((settled.trust - trust).abs() < 1e-9, "{judgements:?}: {settled:?}");
                }
                (settled, expected) => assert_eq!(settled.is_some(), expected.is_some(), "{judgements:?}"),
            }
        }
    }

    #[test]
    fn repeating_oneself_changes_nothing_and_a_crowd_is_bounded() {
        let once = settle(&[said(Some("a"), UP)], &[]);
        let often: Vec<Outcome> = (0..1_000).map(|_| said(Some("a"), UP)).collect();
        assert_eq!(settle(&often, &[]), once);
        let crowd: Vec<Outcome> = (0..100).map(|n| said(Some(&format!("u{n}")), UP)).collect();
        assert_eq!(settle(&crowd, &[]), Some(Settled { quality: 1.0, trust: MOST_TRUST }));
    }

    proptest! {
        #[test]
        fn settled_figures_stay_in_their_ranges(
            signals in proptest::collection::vec((0u8..3, 0u8..7, 0u64..5, -1.0f64..2.0), 0..30),
        ) {
            let outcomes: Vec<Outcome> = signals.iter().map(|&(user, kind, chunk, value)| {
                let chunk = ChunkId(chunk);
                let judgement = match kind {
                    0 => UP,
                    1 => Judgement::Score { value },
                    2 => Judgement::Passage { chunk, correct: value > 0.5 },
                    3 => Judgement::Cited { chunk },
                    4 => Judgement::Opened { chunk },
                    5 => Judgement::AskedAgain,
                    _ => Judgement::Supported { value },
                };
                said(Some(["a", "b", "c"][usize::from(user)]), judgement)
            }).collect();
            if let Some(Settled { quality, trust }) = settle(&outcomes, &[ChunkId(1), ChunkId(2), ChunkId(3)]) {
                prop_assert!((0.0..=1.0).contains(&quality));
                prop_assert!(trust > 0.0 && trust <= MOST_TRUST);
            }
        }
    }
}
