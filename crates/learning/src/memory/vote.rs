//! What one person said of one passage for one question.

use burnish_types::{ChunkId, Judgement, Timestamp};
use serde::{Deserialize, Serialize};

use super::Testimony;
use super::examination::{Examination, PLACES};

/// Trust of an explicit verdict on a passage, of praise or blame for an answer that cites it, and of its being used or
/// opened at a place that everybody looks at. Where few look, use and opening say the inverse of their share (inverse
/// propensity; Joachims et al. 2017, "Unbiased Learning-to-Rank with Biased Feedback"), but no more than a verdict.
const VERDICT_TRUST: f32 = 1.0;
const PRAISE_TRUST: f32 = 0.3;
const USE_TRUST: f32 = 0.7;
const OPENING_TRUST: f32 = 0.02;
/// The inverse goes up to this, which keeps its variance bounded.
const LARGEST_CORRECTION: f32 = 2.0;
/// Trust of a passage's being passed over, for one that stood above it and was surely seen: most people go from top to
/// bottom (Joachims et al. 2005, "Accurately Interpreting Clickthrough Data as Implicit Feedback", *skip above*).
const PASSING_TRUST: f32 = 0.01;

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
    praise: Option<(Timestamp, bool)>,
    /// With the place at which it stood, from 0.
    used: Option<(Timestamp, u32)>,
    opened: Option<(Timestamp, u32)>,
    /// It stood above what was used or opened, and was not.
    passed: Option<(Timestamp, u32)>,
}

/// What signals come to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Word {
    /// Against or for the passage, in [-1, 1].
    pub(super) value: f32,
    /// How far that is trusted, in [0, 1].
    pub(super) trust: f32,
    /// Whether the passage was passed over, and nothing else.
    pub(super) passed: bool,
}

impl Signals {
    /// Takes what is later; of what is equally late, the larger.
    pub(super) fn hear(&mut self, other: &Self) {
        self.verdict = self.verdict.max(other.verdict);
        self.used = self.used.max(other.used);
        self.praise = self.praise.max(other.praise);
        self.opened = self.opened.max(other.opened);
        self.passed = self.passed.max(other.passed);
    }

    /// When the last of it was said.
    pub(super) fn last(&self) -> Timestamp {
        let times = [
            self.verdict.map(|(at, _)| at),
            self.used.map(|(at, _)| at),
            self.praise.map(|(at, _)| at),
            self.opened.map(|(at, _)| at),
            self.passed.map(|(at, _)| at),
        ];
        times.into_iter().flatten().max().unwrap_or_default()
    }

    /// Whether anything was said of the passage itself.
    pub(super) fn is_said(&self) -> bool {
        self.verdict.is_some() || self.used.is_some() || self.praise.is_some() || self.opened.is_some()
    }

    /// What it comes to. An explicit verdict silences everything else, and whatever else is said that the passage was
    /// passed over.
    pub(super) fn word(&self, examination: &Examination) -> Word {
        let sign = |yes: bool| if yes { 1.0 } else { -1.0 };
        if let Some((_, holds)) = self.verdict {
            return Word { value: sign(holds), trust: VERDICT_TRUST, passed: false };
        }
        if let Some((_, place)) = self.passed.filter(|_| !self.is_said()) {
            let trust = PASSING_TRUST * examination.probability(place);
            return Word { value: -1.0, trust, passed: true };
        }
        let looked_at = |trust: f32, place: u32| {
            let correction = (1.0 / examination.probability(place)).min(LARGEST_CORRECTION);
            (trust * correction).min(VERDICT_TRUST)
        };
        let signals = [
            self.praise.map(|(_, praised)| (sign(praised), PRAISE_TRUST)),
            self.used.map(|(_, place)| (1.0, looked_at(USE_TRUST, place))),
            self.opened.map(|(_, place)| (1.0, looked_at(OPENING_TRUST, place))),
        ];
        let trust: f32 = signals.iter().flatten().map(|(_, trust)| trust).sum();
        let said: f32 = signals.iter().flatten().map(|(word, trust)| word * trust).sum();
        match trust > 0.0 {
            true => Word { value: said / trust, trust: trust.min(VERDICT_TRUST), passed: false },
            false => Word::default(),
        }
    }
}

/// The votes in what was said. A thumb, a score far from the middle and a completed task speak of the passages that
/// the answer cites; where it cites none, of none. What was
/// picked from the list speaks of what stood above it, too.
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
        Judgement::Cited { chunk } => {
            picked(testimony, chunk, |place| Signals { used: Some((at, place)), ..none() })
        }
        Judgement::Opened { chunk } => {
            picked(testimony, chunk, |place| Signals { opened: Some((at, place)), ..none() })
        }
        Judgement::Thumb { up } => praise(up),
        Judgement::Score { value } if value >= 0.75 => praise(true),
        Judgement::Score { value } if value <= 0.25 => praise(false),
        Judgement::Completed { done: true } => praise(true),
        Judgement::AskedAgain => praise(false),
        Judgement::Score { .. }
        | Judgement::Completed { done: false }
        | Judgement::Supported { .. }
        | Judgement::Compared { .. } => Vec::new(),
    }
}

/// A passage that was picked from the list, and those that were passed over on the way to it.
fn picked(
    testimony: &Testimony<'_>,
    chunk: ChunkId,
    signals: impl Fn(u32) -> Signals,
) -> Vec<(ChunkId, Signals)> {
    // What was not shown was found in another way, and passes over nothing.
    let picked = testimony.place_of(chunk).unwrap_or(0);
    let above = (0u32..).zip(testimony.shown).take(picked.min(PLACES));
    let passed = above.map(|(place, chunk)| {
        (*chunk, Signals { passed: Some((testimony.at, place)), ..Signals::default() })
    });
    std::iter::once((chunk, signals(u32::try_from(picked).unwrap_or(u32::MAX)))).chain(passed).collect()
}
