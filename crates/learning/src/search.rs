//! The evolution of prompts over abstract blocks: a small pool of combinations that credit keeps renewing, until one is
//! good enough to be tried against the champion.

mod candidate;
mod propose;

use serde::{Deserialize, Serialize};

use crate::credit::{Block, Credit, Draw, Goal, Row, Slot, length};
use crate::patterns::normal_above;
use crate::sequential::ComparisonSettings;
use candidate::Cell;
pub use candidate::{Born, Candidate, Event};

/// Draws from the model by which shares and chances are counted.
const DRAWS: usize = 64;
/// Distinct combinations whose outcomes are kept; beyond, those that were seen longest ago go.
const MOST_CELLS: usize = 4_096;
/// Outcomes that may wait for the next step, in steps' worth.
const MOST_WAITING: u64 = 8;
/// Texts that one slot may have.
const MOST_OPTIONS: u16 = 64;
/// Combinations that failed their trial and are remembered.
const MOST_REFUSED: usize = 32;
/// Outcomes that a failed combination has to wait, per failure, until it may be nominated again.
const SECOND_CHANCE: u64 = 500;
/// By how much more than its price length counts for what is held for the best: what helps is known less surely than what
/// it costs.
const BREVITY: f64 = 0.5;

/// How the search goes about it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSettings {
    /// How many candidates there are at one time, the champion with them.
    pub pool: usize,
    /// How much quality a token of the prompt has to bring.
    pub length_price: f64,
    /// The least share of requests that goes to the champion, in [0, 1).
    pub floor: f64,
    /// A candidate is dropped once the probability that it is the best of the pool is below this.
    pub drop_below: f64,
    /// A candidate is nominated once its value is above the champion's with this probability.
    pub confidence: f64,
    /// And once what better ones might bring is no more than this share of what it brings.
    pub patience: f64,
    /// Outcomes after which a step is due.
    pub every: u64,
    /// A gain of value that is worth looking for.
    pub least_gain: f64,
}

impl Default for SearchSettings {
    fn default() -> Self {
        Self {
            pool: 8,
            length_price: 0.0002,
            floor: 0.1,
            drop_below: 0.01,
            confidence: 0.95,
            patience: 0.2,
            every: 25,
            least_gain: 0.01,
        }
    }
}

impl SearchSettings {
    fn bounded(self) -> Self {
        let share = |share: f64, instead: f64, most: f64| {
            if share.is_finite() { share.clamp(0.0, most) } else { instead }
        };
        Self {
            pool: self.pool.clamp(2, 64),
            length_price: share(self.length_price, 0.0, 1.0),
            floor: share(self.floor, 0.1, 0.9),
            drop_below: share(self.drop_below, 0.01, 0.5),
            confidence: share(self.confidence, 0.95, 0.9999).max(0.5),
            patience: share(self.patience, 0.2, 100.0),
            every: self.every.clamp(1, 10_000),
            least_gain: share(self.least_gain, 0.01, 1.0),
        }
    }
}

/// Who serves a request.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Chosen {
    /// The candidate's id.
    pub candidate: u64,
    /// The place of the option of each slot.
    pub options: Vec<u16>,
    /// How likely each candidate of the pool was to be chosen, by id.
    pub propensities: Vec<(u64, f64)>,
}

/// A candidate that is to be tried against the champion.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Nominee {
    /// The candidate's id.
    pub candidate: u64,
    /// How much more value than the champion's it is expected to have.
    pub gain: f64,
    /// The probability that it has more.
    pub certainty: f64,
    /// What a comparison of qualities has to show for its value to be above the champion's, and the effect that makes it
    /// quickest; levels and horizon are the defaults.
    pub comparison: ComparisonSettings,
}

/// The candidate that is held for the best, however sure that is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Favourite {
    /// The candidate's id.
    pub candidate: u64,
    /// How much more value than the champion's it is expected to have.
    pub gain: f64,
    /// The probability that it has more.
    pub certainty: f64,
}

/// The state of a search, in bounded memory. The same calls give the same state, and a state that was stored goes on as
/// if it had not been.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Search {
    settings: SearchSettings,
    slots: Vec<Slot>,
    contexts: Vec<String>,
    champion: u64,
    pool: Vec<Candidate>,
    next: u64,
    outcomes: u64,
    cells: Vec<Cell>,
    /// Outcomes that came after the last step; the model does not know them yet.
    waiting: Vec<Row>,
    refused: Vec<Refused>,
    #[serde(skip)]
    model: Model,
}

/// A combination that failed, how often, and after how many outcomes last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Refused {
    options: Vec<u16>,
    times: u64,
    after: u64,
}

/// What follows from the cells; it is fitted again where it is missing.
#[derive(Clone, Debug, Default)]
struct Model(Option<Box<Credit>>);

impl PartialEq for Model {
    /// It says nothing that the rest of the state does not.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Search {
    /// A search that has seen nothing. Options of the champion that there are not become the slot's reference. Without
    /// contexts, all requests are alike.
    pub fn new(settings: SearchSettings, slots: Vec<Slot>, contexts: Vec<String>, champion: &[u16]) -> Self {
        let slots: Vec<Slot> = slots.into_iter().filter(|slot| !slot.options.is_empty()).collect();
        let options = (slots.iter().enumerate())
            .map(|(place, slot)| {
                let known = |option: &u16| usize::from(*option) < slot.options.len();
                champion
                    .get(place)
                    .copied()
                    .filter(known)
                    .or(Some(slot.reference).filter(known))
                    .unwrap_or_default()
            })
            .collect();
        let founder = Candidate {
            id: 0,
            options,
            parents: Vec::new(),
            born: Born::Founder,
            context: None,
            outcomes: 0,
        };
        Self {
            settings: settings.bounded(),
            slots,
            contexts,
            champion: 0,
            pool: vec![founder],
            next: 1,
            outcomes: 0,
            cells: Vec::new(),
            waiting: Vec::new(),
            refused: Vec::new(),
            model: Model::default(),
        }
    }

    /// The settings in force.
    pub fn settings(&self) -> &SearchSettings {
        &self.settings
    }

    /// The slots with all options.
    pub fn slots(&self) -> &[Slot] {
        &self.slots
    }

    /// All candidates, the champion with them.
    pub fn pool(&self) -> &[Candidate] {
        &self.pool
    }

    /// The one in use.
    pub fn champion(&self) -> Option<&Candidate> {
        self.candidate(self.champion)
    }

    /// How many outcomes were seen.
    pub fn outcomes(&self) -> u64 {
        self.outcomes
    }

    /// Whether enough outcomes came since the last step.
    pub fn is_due(&self) -> bool {
        self.waiting.len() as u64 >= self.settings.every
    }

    /// Adds a text to a slot, with a candidate that is the champion with it where there is room. `None` where there is no
    /// such slot, or no room for more options.
    pub fn add_option(&mut self, slot: usize, block: Block) -> Option<(u16, Option<Event>)> {
        let options = &mut self.slots.get_mut(slot)?.options;
        let option = u16::try_from(options.len()).ok().filter(|option| *option < MOST_OPTIONS)?;
        options.push(block);
        self.model = Model::default();
        let mut with = self.champion()?.options.clone();
        with[slot] = option;
        let event = self.admit(with, vec![self.champion], Born::Rewritten, None);
        Some((option, event))
    }

    /// Who serves a request with that label: each candidate as often as it is the best by what is known, and the champion
    /// no less often than its floor. The propensities are exactly those that the choice is drawn with.
    pub fn draw(&mut self, context: Option<u16>, seed: u64) -> Option<Chosen> {
        self.ensure();
        let credit = self.model.0.as_deref()?;
        let mut random = fastrand::Rng::with_seed(seed);
        let mut shares = vec![0.0; self.pool.len()];
        for _ in 0..DRAWS {
            let draw = credit.draw(&mut random);
            let values = self
                .pool
                .iter()
                .map(|candidate| self.value(credit, Some(&draw), &candidate.options, context));
            shares[highest(values)] += 1.0 / DRAWS as f64;
        }
        let place = self.pool.iter().position(|candidate| candidate.id == self.champion)?;
        if shares[place] < self.settings.floor {
            let rest = (1.0 - self.settings.floor) / (1.0 - shares[place]);
            shares.iter_mut().for_each(|share| *share *= rest);
            shares[place] = self.settings.floor;
        }
        let mut left = random.f64();
        let chosen = shares.iter().position(|share| {
            left -= share;
            left < 0.0
        });
        let chosen = &self.pool[chosen.unwrap_or(place)];
        Some(Chosen {
            candidate: chosen.id,
            options: chosen.options.clone(),
            propensities: self.pool.iter().map(|candidate| candidate.id).zip(shares).collect(),
        })
    }

    /// Folds in what came of a candidate's answer. Returns whether it could be used: a candidate that is still in the
    /// pool, a label that there is, and a quality in [0, 1].
    pub fn observe(
        &mut self,
        candidate: u64,
        context: u16,
        quality: f64,
        output_tokens: Option<f64>,
    ) -> bool {
        let known = usize::from(context) < self.contexts.len().max(1) && (0.0..=1.0).contains(&quality);
        let Some(candidate) = self.pool.iter_mut().find(|one| known && one.id == candidate) else {
            return false;
        };
        candidate.outcomes += 1;
        self.outcomes += 1;
        let options = candidate.options.clone();
        self.waiting.push(Row { options, context, quality, weight: 1.0, output_tokens });
        if self.waiting.len() as u64 > MOST_WAITING * self.settings.every {
            self.learn();
        }
        true
    }

    /// Renews the pool by all that was seen: drops what is surely not the best and adds what may be. While a candidate is
    /// in its trial no step should be taken, for it might be dropped.
    pub fn step(&mut self, seed: u64) -> Vec<Event> {
        self.learn();
        let mut random = fastrand::Rng::with_seed(seed);
        let mut events = self.drop_worse(&mut random);
        events.extend(self.propose(&mut random));
        events
    }

    /// The candidate that is to be tried against the champion, if there is one by now: it is the best by what is
    /// expected, better than the champion with the confidence asked for, and not much would be gained by looking on.
    pub fn nominate(&mut self, seed: u64) -> Option<Nominee> {
        self.ensure();
        let credit = self.model.0.as_deref()?;
        let champion = self.candidate(self.champion)?;
        let value = |candidate: &Candidate| self.value(credit, None, &candidate.options, None);
        let nominee = (self.pool.iter())
            .filter(|candidate| candidate.id != champion.id && !self.is_refused(&candidate.options))
            .max_by(|one, other| value(one).total_cmp(&value(other)))?;
        let (gain, deviation) = self.gain(credit, &nominee.options, &champion.options)?;
        let certainty = certainty(gain, deviation);
        let looking = self.still_to_gain(credit, &nominee.options, &mut fastrand::Rng::with_seed(seed));
        let ripe = looking <= (self.settings.patience * gain).max(self.settings.least_gain);
        if gain < self.settings.least_gain || certainty < self.settings.confidence || !ripe {
            return None;
        }
        let longer = length(&self.slots, &nominee.options) - length(&self.slots, &champion.options);
        let promote_above = (self.settings.length_price * longer).clamp(-0.5, 0.5);
        let effect = (0.75 * gain).clamp(0.03, 0.4);
        let comparison = ComparisonSettings {
            promote_above,
            retire_below: promote_above + effect,
            ..ComparisonSettings::default()
        };
        Some(Nominee { candidate: nominee.id, gain, certainty, comparison })
    }

    /// The candidate that should be the champion if nothing more could be seen, with some regard for brevity; `None` where
    /// that is the champion, or gains less than is worth looking for.
    pub fn favourite(&mut self) -> Option<Favourite> {
        self.ensure();
        let credit = self.model.0.as_deref()?;
        let champion = self.candidate(self.champion)?;
        let brevity = BREVITY * self.settings.length_price;
        let worth = |candidate: &Candidate| {
            let options = &candidate.options;
            self.value(credit, None, options, None) - brevity * length(&self.slots, options)
        };
        let best = self.pool.iter().max_by(|one, other| worth(one).total_cmp(&worth(other)))?;
        let (gain, deviation) = self.gain(credit, &best.options, &champion.options)?;
        let favourite = Favourite { candidate: best.id, gain, certainty: certainty(gain, deviation) };
        Some(favourite).filter(|_| best.id != champion.id && gain >= self.settings.least_gain)
    }

    /// How much more value the best combination may be expected to have than the champion: the search is over once that
    /// is less than is worth looking for.
    pub fn outlook(&mut self, seed: u64) -> f64 {
        self.ensure();
        let (Some(credit), Some(champion)) = (self.model.0.as_deref(), self.candidate(self.champion)) else {
            return 0.0;
        };
        self.still_to_gain(credit, &champion.options, &mut fastrand::Rng::with_seed(seed))
    }

    /// Makes a candidate the champion. Returns whether it is in the pool.
    pub fn promote(&mut self, candidate: u64) -> bool {
        let known = self.candidate(candidate).is_some();
        if known {
            self.champion = candidate;
        }
        known
    }

    /// Drops a candidate that failed its trial. It may come back when more has been seen.
    pub fn refuse(&mut self, candidate: u64) -> Option<Event> {
        let place = self.pool.iter().position(|one| one.id == candidate && candidate != self.champion)?;
        let gone = self.pool.remove(place);
        match self.refused.iter_mut().find(|refused| refused.options == gone.options) {
            Some(refused) => (refused.times, refused.after) = (refused.times + 1, self.outcomes),
            None => self.refused.push(Refused { options: gone.options, times: 1, after: self.outcomes }),
        }
        if self.refused.len() > MOST_REFUSED {
            self.refused.remove(0);
        }
        Some(Event::Dropped { candidate, reason: "failed its trial against the champion".to_owned() })
    }

    /// What the model says of blocks; fitted to all outcomes up to the last step.
    pub fn credit(&mut self) -> Option<&Credit> {
        self.ensure();
        self.model.0.as_deref()
    }

    fn candidate(&self, id: u64) -> Option<&Candidate> {
        self.pool.iter().find(|candidate| candidate.id == id)
    }

    fn ensure(&mut self) {
        if self.model.0.is_none() {
            let rows: Vec<Row> = self.cells.iter().flat_map(Cell::rows).collect();
            self.model = Model(Some(Box::new(Credit::fit(&self.slots, &self.contexts, &rows))));
        }
    }

    /// Folds what waits into the cells and fits the model.
    fn learn(&mut self) {
        for row in std::mem::take(&mut self.waiting) {
            // What was seen last stands last.
            let known = self.cells.iter().position(|cell| cell.is_of(&row));
            let mut cell = known.map_or_else(|| Cell::new(&row), |place| self.cells.remove(place));
            cell.observe(&row);
            self.cells.push(cell);
        }
        let surplus = self.cells.len().saturating_sub(MOST_CELLS);
        self.cells.drain(..surplus);
        self.model = Model::default();
        self.ensure();
    }

    /// Quality less what the length costs.
    fn value(&self, credit: &Credit, draw: Option<&Draw>, options: &[u16], context: Option<u16>) -> f64 {
        let quality = credit.quality(draw, options, context).unwrap_or(f64::NEG_INFINITY);
        quality - self.settings.length_price * length(&self.slots, options)
    }

    /// How much more value one has than the other, and the deviation of what is not known of that.
    fn gain(&self, credit: &Credit, one: &[u16], other: &[u16]) -> Option<(f64, f64)> {
        let difference = credit.difference(one, other, None)?;
        let longer = length(&self.slots, one) - length(&self.slots, other);
        Some((difference.mean - self.settings.length_price * longer, difference.deviation))
    }

    /// By how much the combination that is best by what is expected of draws is better than this one, on average: of
    /// combinations that might be better, that which could be found.
    fn still_to_gain(&self, credit: &Credit, options: &[u16], random: &mut fastrand::Rng) -> f64 {
        let goal = self.goal(None);
        let gains = (0..DRAWS / 4).map(|_| {
            let draw = credit.draw(random);
            credit.best(goal, Some(&draw), &|_, _| true).value
                - self.value(credit, Some(&draw), options, None)
        });
        gains.sum::<f64>() / (DRAWS / 4) as f64
    }

    fn goal(&self, context: Option<u16>) -> Goal {
        Goal { context, length_price: self.settings.length_price }
    }

    fn is_refused(&self, options: &[u16]) -> bool {
        let waits = |refused: &Refused| self.outcomes < refused.after + refused.times * SECOND_CHANCE;
        self.refused.iter().any(|refused| refused.options == options && waits(refused))
    }

    fn admit(
        &mut self,
        options: Vec<u16>,
        parents: Vec<u64>,
        born: Born,
        context: Option<u16>,
    ) -> Option<Event> {
        let known = self.pool.iter().any(|candidate| candidate.options == options);
        if known || self.pool.len() >= self.settings.pool || self.is_refused(&options) {
            return None;
        }
        let candidate = Candidate { id: self.next, options, parents, born, context, outcomes: 0 };
        self.next += 1;
        self.pool.push(candidate.clone());
        Some(Event::Added(candidate))
    }
}

fn certainty(mean: f64, deviation: f64) -> f64 {
    let above = if deviation > 0.0 { normal_above(mean.abs() / deviation) } else { 0.0 };
    if mean >= 0.0 { 1.0 - above } else { above }
}

/// The place of the first of the highest.
fn highest(values: impl Iterator<Item = f64>) -> usize {
    let best = |(place, most): (usize, f64), (at, value): (usize, f64)| {
        if value > most { (at, value) } else { (place, most) }
    };
    values.enumerate().fold((0, f64::NEG_INFINITY), best).0
}

#[cfg(test)]
mod tests;
