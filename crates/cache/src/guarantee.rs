//! Decides which similar answers are served, so that few enough of all requests are answered wrongly.
//!
//! What may be wrong is kept by [`Allowance`]; here is what an answer is judged by.

use crate::allowance::{Allowance, Draw, Drawn, Promise, Standing};
use crate::evidence::{Conflict, Frequencies, conflict, figures};
use crate::model::{Model, Pair};
use crate::pacing::SMALLEST_RISK;
use crate::question::Question;

/// How many comparisons of an entry's own weigh as much as what all entries taught.
const SHARED_WEIGHT: f64 = 6.0;

/// What became of an entry's answer when it was compared or judged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// How often it was right.
    pub right: u32,
    /// How often it was wrong.
    pub wrong: u32,
}

/// An entry whose answer may serve.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    /// The question that it answers.
    pub question: &'a Question,
    /// What became of it so far.
    pub record: Record,
}

/// Why an answer was served or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// The two questions can't have one answer.
    Conflict(Conflict),
    /// What may be wrong decided.
    Drawn(Drawn),
}

/// What was decided about the nearest of the entries that were offered.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Its place among those offered.
    pub chosen: usize,
    /// The cosine of the two questions.
    pub cosine: f32,
    /// How likely it is predicted to be wrong.
    pub risk: f64,
    /// The probability with which it is served.
    pub propensity: f64,
    /// What was decided, and why.
    pub why: Why,
    ticket: Ticket,
}

impl Verdict {
    /// Whether its answer is to be served.
    pub fn serves(&self) -> bool {
        self.why == Why::Drawn(Drawn::Served)
    }

    /// What to hand back once it is known whether the answer is right.
    pub fn into_ticket(self) -> Ticket {
        self.ticket
    }
}

/// A decision whose outcome may become known.
#[derive(Clone, Debug)]
pub struct Ticket {
    pair: Pair,
    /// None where a conflict left nothing to draw for.
    draw: Option<Draw>,
}

/// Judges answers to similar questions, and keeps the promise.
#[derive(Clone, Debug)]
pub struct Guarantee {
    frequencies: Frequencies,
    model: Model,
    allowance: Allowance,
}

impl Guarantee {
    /// A guarantee for embeddings of so many `dimensions`; `seed` is for what the model draws.
    pub fn new(promise: Promise, dimensions: usize, seed: u64) -> Self {
        Self {
            frequencies: Frequencies::default(),
            model: Model::new(dimensions, seed),
            allowance: Allowance::new(promise),
        }
    }

    /// Counts a request, and decides about the nearest of the answers that are offered for it; `None` where there
    /// is none. `coin` is uniform in [0, 1) and known to nobody before.
    pub fn judge(&mut self, asked: &Question, offers: &[Offer<'_>], coin: f64) -> Option<Verdict> {
        let judged = self.nearest(asked, offers);
        self.frequencies.count(&asked.wording);
        let Some(Judged { chosen, cosine, pair, conflict, risk }) = judged else {
            self.allowance.count(1.0);
            return None;
        };
        let (draw, why, propensity) = match conflict {
            Some(conflict) => {
                self.allowance.count(1.0);
                (None, Why::Conflict(conflict), 0.0)
            }
            None => {
                let draw = self.allowance.draw(risk, coin);
                (Some(draw), Why::Drawn(draw.drawn()), draw.propensity())
            }
        };
        Some(Verdict { chosen, cosine, risk, propensity, why, ticket: Ticket { pair, draw } })
    }

    /// How likely the nearest of the answers offered is to be wrong, and its place, deciding and counting nothing.
    pub fn assess(&mut self, asked: &Question, offers: &[Offer<'_>]) -> Option<(usize, f64)> {
        self.nearest(asked, offers).map(|judged| (judged.chosen, judged.risk))
    }

    fn nearest(&mut self, asked: &Question, offers: &[Offer<'_>]) -> Option<Judged> {
        // The nearest one that no conflict excludes: how near others are says more than what is predicted of each.
        let ranked = offers.iter().enumerate().map(|(chosen, offer)| {
            let conflict = conflict(&offer.question.wording, &asked.wording);
            (chosen, offer, asked.cosine(offer.question), conflict)
        });
        let (chosen, offer, cosine, conflict) = ranked
            .max_by(|one, other| other.3.is_some().cmp(&one.3.is_some()).then(one.2.total_cmp(&other.2)))?;
        let kept = offer.question;
        let pair = Pair {
            figures: figures(&kept.wording, &asked.wording, cosine, &self.frequencies),
            asked: asked.embedding.clone(),
            kept: kept.embedding.clone(),
        };
        let risk = match conflict {
            Some(_) => 1.0,
            None => sharpened(self.model.risk(&pair), offer.record).clamp(SMALLEST_RISK, 1.0),
        };
        Some(Judged { chosen, cosine, pair, conflict, risk })
    }

    /// Learns whether the answer that a decision was about is right: from a comparison with a fresh one where it was
    /// not served, from what somebody said where it was.
    pub fn learn(&mut self, ticket: Ticket, right: bool) {
        let Ticket { pair, draw } = ticket;
        if let Some(draw) = &draw {
            self.allowance.settle(draw, right);
        }
        self.model.learn(pair, right, draw.map_or(0.0, |draw| draw.unseen()));
    }

    /// What was promised and kept so far.
    pub fn standing(&self) -> Standing {
        self.allowance.standing()
    }
}

struct Judged {
    chosen: usize,
    cosine: f32,
    pair: Pair,
    conflict: Option<Conflict>,
    risk: f64,
}

/// What all entries taught, and what became of this one, as though the former were so many comparisons of its own.
fn sharpened(risk: f64, record: Record) -> f64 {
    let Record { right, wrong } = record;
    (SHARED_WEIGHT * risk + f64::from(wrong)) / (SHARED_WEIGHT + f64::from(right) + f64::from(wrong))
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMENSIONS: usize = 8;
    const WORDS: [&str; 24] = [
        "key", "port", "lamp", "tree", "train", "paper", "cloud", "river", "engine", "garden", "ticket",
        "window", "basket", "bridge", "candle", "dealer", "fabric", "harbor", "island", "jacket", "kernel",
        "ladder", "magnet", "needle",
    ];

    fn question(words: &[&str], random: &mut fastrand::Rng) -> Question {
        let mut embedding: Vec<f32> = (0..DIMENSIONS).map(|_| 0.2 * (random.f32() - 0.5)).collect();
        for word in words {
            let place = WORDS.iter().position(|known| known == word).unwrap_or_default();
            embedding[place % DIMENSIONS] += 1.0;
        }
        let length = embedding.iter().map(|value| value * value).sum::<f32>().sqrt();
        embedding.iter_mut().for_each(|value| *value /= length);
        Question::new(&format!("how does the {} work", words.join(" ")), &embedding)
    }

    /// Pairs of questions, of which half are of the same words; `turns` says when right becomes wrong.
    fn stream(seed: u64, requests: u32, turns: impl Fn(u32) -> bool) -> (Standing, u32, f64) {
        let promise = Promise { delta: 0.05, confidence: 0.95 };
        let mut random = fastrand::Rng::with_seed(seed);
        let mut guarantee = Guarantee::new(promise, DIMENSIONS, seed);
        let (mut wrong, mut excess) = (0, 0.0_f64);
        for request in 1..=requests {
            let [drawn, other] = [(); 2].map(|()| {
                let mut words = WORDS;
                random.shuffle(&mut words);
                words[..3].to_vec()
            });
            let same = random.bool();
            let kept = question(&drawn, &mut random);
            let asked = question(if same { &drawn } else { &other }, &mut random);
            let right = same != turns(request);
            let offer = Offer { question: &kept, record: Record::default() };
            let verdict = guarantee.judge(&asked, &[offer], random.f64()).unwrap();
            if verdict.serves() {
                wrong += u32::from(!right);
                excess = excess.max(f64::from(wrong) - promise.delta * f64::from(request));
            } else {
                guarantee.learn(verdict.into_ticket(), right);
            }
        }
        (guarantee.standing(), wrong, excess)
    }

    #[test]
    fn what_is_alike_comes_to_be_served() {
        let (standing, wrong, _) = stream(1, 3_000, |_| false);
        assert!(standing.served > 600 && wrong <= 10, "{standing:?}, {wrong} wrong");
        assert!(standing.wrong_bound <= 0.05 * 3_000.0 && f64::from(wrong) <= standing.wrong_bound);
    }

    #[test]
    fn the_promise_survives_a_world_turned_upside_down() {
        let broken = (0..4).filter(|seed| stream(*seed, 2_000, |request| request > 1_000).2 > 0.0).count();
        assert!(broken <= 1, "{broken} of 4");
    }

    #[test]
    fn nothing_is_served_where_labels_are_drawn_by_lot() {
        let (standing, wrong, excess) =
            stream(2, 2_000, |request| request.wrapping_mul(0x9E37_79B1) >> 31 == 1);
        assert!(excess <= 0.0, "{standing:?}, {wrong} wrong");
    }

    #[test]
    fn the_same_stream_gives_the_same_decisions() {
        assert_eq!(stream(3, 1_000, |_| false), stream(3, 1_000, |_| false));
    }

    #[test]
    fn an_entry_goes_by_its_own_record_in_the_end() {
        let cases = [
            (Record::default(), 0.3),
            (Record { right: 6, wrong: 0 }, 0.15),
            (Record { right: 0, wrong: 6 }, 0.65),
        ];
        for (record, expected) in cases {
            assert!((sharpened(0.3, record) - expected).abs() < 1e-9, "{record:?}");
        }
    }
}
