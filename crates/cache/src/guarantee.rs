//! Decides which similar answers are served, so that few enough of all requests are answered wrongly.
//!
//! Whatever the model believes, an answer is served only while the ledger's bound on the wrong ones stays within δ of all
//! requests. So the share of requests that are answered wrongly from the cache is at most δ at every moment, with the
//! confidence that was asked for. What it rests on: the coins are fair, and a comparison with a fresh answer
//! tells right from wrong. A bad model costs hits, not correctness.

use crate::evidence::{Conflict, Frequencies, conflict, figures};
use crate::ledger::{Ledger, Stake};
use crate::model::{Model, Pair};
use crate::pacing::{Pacing, SMALLEST_RISK};
use crate::question::Question;

/// How many comparisons of an entry's own weigh as much as what all entries taught.
const SHARED_WEIGHT: f64 = 6.0;

/// What is promised.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Promise {
    /// The largest share of all requests that may be answered wrongly from the cache, in (0, 1).
    pub delta: f64,
    /// The probability with which it holds, in (0, 1).
    pub confidence: f64,
}

impl Default for Promise {
    fn default() -> Self {
        Self { delta: 0.01, confidence: 0.95 }
    }
}

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
    /// It is likely enough to be right, and was drawn to be served.
    Served,
    /// It is likely enough to be right, and was drawn to be compared.
    Explored,
    /// It is not likely enough to be right.
    Unlikely,
    /// The two questions can't have one answer.
    Conflict(Conflict),
    /// As much was answered wrongly as may be, or it can't be told yet that it was not.
    Spent,
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
        self.why == Why::Served
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
    stake: Stake,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing was at stake.
    Passed,
    Served,
    Explored,
}

/// Figures of what was promised and kept.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Standing {
    /// Requests so far.
    pub requests: u64,
    /// Answers that were served.
    pub served: u64,
    /// Answers that might have been served, and were compared instead.
    pub explored: u64,
    /// An upper bound on the wrong ones among those served, with the promised confidence.
    pub wrong_bound: f64,
}

/// Keeps the promise.
#[derive(Clone, Debug)]
pub struct Guarantee {
    promise: Promise,
    frequencies: Frequencies,
    model: Model,
    ledger: Ledger,
    pacing: Pacing,
    requests: u64,
    served: u64,
    explored: u64,
}

impl Guarantee {
    /// A guarantee for embeddings of so many `dimensions`; `seed` is for what the model draws.
    pub fn new(promise: Promise, dimensions: usize, seed: u64) -> Self {
        Self {
            promise,
            frequencies: Frequencies::default(),
            model: Model::new(dimensions, seed),
            ledger: Ledger::new(1.0 - promise.confidence),
            pacing: Pacing::new(),
            requests: 0,
            served: 0,
            explored: 0,
        }
    }

    /// Counts a request, and decides about the nearest of the answers that are offered for it; `None` where there
    /// is none. `coin` is uniform in [0, 1) and known to nobody before.
    pub fn judge(&mut self, asked: &Question, offers: &[Offer<'_>], coin: f64) -> Option<Verdict> {
        self.requests += 1;
        let judged = self.nearest(asked, offers);
        self.frequencies.count(&asked.wording);
        self.pacing.observe(judged.as_ref().map_or(1.0, |judged| judged.risk));
        let verdict = judged.map(|judged| self.decide(judged, coin));
        self.pacing.adjust(&self.ledger, self.requests, self.promise.delta);
        verdict
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

    fn decide(&mut self, judged: Judged, coin: f64) -> Verdict {
        let Judged { chosen, cosine, pair, conflict, risk } = judged;
        let share = if conflict.is_some() { 0.0 } else { self.pacing.share(risk) };
        let mut stake = Stake { propensity: share, predicted: risk };
        let mut state = State::Passed;
        let why = if let Some(conflict) = conflict {
            Why::Conflict(conflict)
        } else if share == 0.0 {
            if self.pacing.is_open() { Why::Unlikely } else { Why::Spent }
        } else {
            self.ledger.admit(stake);
            // The bound rises by the risk where it is served, so this keeps it within what is allowed.
            if self.ledger.bound() + risk > self.promise.delta * self.requests as f64 {
                stake.propensity = 0.0;
                Why::Spent
            } else if coin < share {
                self.ledger.serve(stake);
                self.served += 1;
                state = State::Served;
                Why::Served
            } else {
                self.ledger.explore(stake);
                self.explored += 1;
                state = State::Explored;
                Why::Explored
            }
        };
        let propensity = stake.propensity;
        Verdict { chosen, cosine, risk, propensity, why, ticket: Ticket { pair, stake, state } }
    }

    /// Learns whether the answer that a decision was about is right: from a comparison with a fresh one where it was
    /// not served, from what somebody said where it was.
    pub fn learn(&mut self, ticket: Ticket, right: bool) {
        let Ticket { pair, stake, state } = ticket;
        let unseen = match state {
            State::Explored => {
                if right {
                    self.ledger.acquit(stake);
                }
                stake.propensity
            }
            State::Served => {
                if !right {
                    self.ledger.report();
                }
                0.0
            }
            State::Passed => 0.0,
        };
        self.model.learn(pair, right, unseen);
    }

    /// What was promised and kept so far.
    pub fn standing(&self) -> Standing {
        let Self { requests, served, explored, .. } = *self;
        // Nothing wrong can have been served where nothing was.
        let wrong_bound = self.ledger.bound().min(served as f64);
        Standing { requests, served, explored, wrong_bound }
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
