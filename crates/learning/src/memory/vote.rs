//! What one person said of one passage for one question.

use burnish_types::{ChunkId, Judgement, Timestamp};
use serde::{Deserialize, Serialize};

use super::Testimony;

/// Trust of an explicit verdict on a passage, of its use, of praise or blame for an answer that cites it, and of
/// its being opened as the first of the list.
const VERDICT_TRUST: f32 = 1.0;
const USE_TRUST: f32 = 0.7;
const PRAISE_TRUST: f32 = 0.3;
const OPENING_TRUST: f32 = 0.1;
/// People look at the place `rank` with probability (1 + rank)^-η (position-based model; Joachims et al. 2017), so
/// an opening there says the inverse of that, up to a limit that keeps its variance bounded.
const EXAMINATION_EXPONENT: f32 = 0.5;
const LARGEST_CORRECTION: f32 = 3.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Vote {
    pub(super) chunk: ChunkId,
    pub(super) reporter: Option<String>,
    pub(super) signals: Signals,
}

/// The last word of each kind.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Signals {
    verdict: Option<(Timestamp, bool)>,
    used: Option<(Timestamp, bool)>,
    praise: Option<(Timestamp, bool)>,
    /// With the place at which it was opened, from 0.
    opened: Option<(Timestamp, u32)>,
}

impl Signals {
    /// Takes what is later; of what is equally late, the larger.
    pub(super) fn hear(&mut self, other: &Self) {
        self.verdict = self.verdict.max(other.verdict);
        self.used = self.used.max(other.used);
        self.praise = self.praise.max(other.praise);
        self.opened = self.opened.max(other.opened);
    }

    /// When the last of it was said.
    pub(super) fn last(&self) -> Timestamp {
        let times = [
            self.verdict.map(|(at, _)| at),
            self.used.map(|(at, _)| at),
            self.praise.map(|(at, _)| at),
            self.opened.map(|(at, _)| at),
        ];
        times.into_iter().flatten().max().unwrap_or_default()
    }

    /// What it comes to in [-1, 1], and how far it is trusted. An explicit verdict silences everything else.
    pub(super) fn word(&self) -> (f32, f32) {
        let sign = |yes: bool| if yes { 1.0 } else { -1.0 };
        if let Some((_, holds)) = self.verdict {
            return (sign(holds), VERDICT_TRUST);
        }
        let opening = |rank: u32| {
            let correction = (1.0 + rank as f32).powf(EXAMINATION_EXPONENT);
            OPENING_TRUST * correction.min(LARGEST_CORRECTION)
        };
        let signals = [
            self.used.map(|(_, used)| (sign(used), USE_TRUST)),
            self.praise.map(|(_, praised)| (sign(praised), PRAISE_TRUST)),
            self.opened.map(|(_, rank)| (1.0, opening(rank))),
        ];
        let trust: f32 = signals.iter().flatten().map(|(_, trust)| trust).sum();
        let said: f32 = signals.iter().flatten().map(|(word, trust)| word * trust).sum();
        if trust > 0.0 { (said / trust, trust.min(VERDICT_TRUST)) } else { (0.0, 0.0) }
    }
}

/// The votes in what was said. A thumb, a score far from the middle and a completed task speak of the passages that
/// the answer cites; where it cites none, of none.
pub(super) fn votes(testimony: &Testimony<'_>) -> Vec<(ChunkId, Signals)> {
    let at = testimony.at;
    let none = Signals::default;
    let praise = |praised: bool| {
        let signals = Signals { praise: Some((at, praised)), ..none() };
        testimony.cited.iter().map(|chunk| (*chunk, signals.clone())).collect()
    };
    match *testimony.judgement {
        Judgement::Passage { chunk, correct } => {
            vec![(chunk, Signals { verdict: Some((at, correct)), ..none() })]
        }
        Judgement::Cited { chunk } => vec![(chunk, Signals { used: Some((at, true)), ..none() })],
        Judgement::Opened { chunk } => {
            let rank = testimony.shown.iter().position(|shown| *shown == chunk).unwrap_or(0);
            let rank = u32::try_from(rank).unwrap_or(u32::MAX);
            vec![(chunk, Signals { opened: Some((at, rank)), ..none() })]
        }
        Judgement::Thumb { up } => praise(up),
        Judgement::Score { value } if value >= 0.75 => praise(true),
        Judgement::Score { value } if value <= 0.25 => praise(false),
        Judgement::Completed { done: true } => praise(true),
        Judgement::AskedAgain => praise(false),
        Judgement::Score { .. } | Judgement::Completed { done: false } | Judgement::Supported { .. } => {
            Vec::new()
        }
    }
}
