//! How likely people look at each place of a list, learned from what they opened.
//!
//! The position-based model (Richardson et al. 2007, "Predicting Clicks"): a passage is opened where somebody looks at
//! its place and it seems to answer, so P(opened) = θ(place) × γ(passage). γ is taken to depend on the class of the
//! passage's score beside the best one of its list, which tells the two apart wherever scores fall off differently in
//! different lists: regression EM (Wang et al. 2018, "Position Bias Estimation for Unbiased Learning to Rank in
//! Personal Search") with a table as its regression. Counts of places and classes are all that it needs, so it
//! costs microseconds; they are sums over looks, which are remembered by their request, so that a look that is told
//! twice counts once.

use std::collections::BTreeMap;

use burnish_types::RequestId;
use serde::{Deserialize, Serialize};

/// Places of a list that are told apart; what lies beyond is looked at like the last of them.
pub(super) const PLACES: usize = 10;
/// A class holds scores down to this share of the best one; the last holds the rest.
const CLASSES: [f32; 7] = [0.99, 0.97, 0.94, 0.9, 0.85, 0.75, 0.5];
const CLASS_COUNT: usize = CLASSES.len() + 1;
/// Before anything was opened, people are taken to look at the place `n`, from 0, with probability (1 + n)^-η.
const EXPONENT: f32 = 0.5;
/// Looks that it takes to count as much as that belief.
const BELIEF: f32 = 30.0;
/// Rounds in which the two factors are found in turn; they hardly move after ten.
const ROUNDS: usize = 25;
/// No place is looked at less often than this, which bounds what one opening can say.
const LEAST: f32 = 0.1;
/// Looks that are remembered for a tenant, the newest.
const MOST_LOOKS: usize = 10_000;

/// A list that was shown and of which something was opened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
struct Look {
    /// The class of the passage at each place.
    classes: Vec<u8>,
    /// A bit for each place that was opened.
    opened: u16,
}

/// Looks by request, and what they say together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Examination {
    looks: BTreeMap<RequestId, Look>,
    counts: [[Count; CLASS_COUNT]; PLACES],
    /// For each place, beside the first one.
    looked_at: [f32; PLACES],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Count {
    shown: u32,
    opened: u32,
}

impl Default for Examination {
    fn default() -> Self {
        Self {
            looks: BTreeMap::new(),
            counts: [[Count::default(); CLASS_COUNT]; PLACES],
            looked_at: std::array::from_fn(believed),
        }
    }
}

fn believed(place: usize) -> f32 {
    (1.0 + place as f32).powf(-EXPONENT)
}

fn class(standing: f32) -> u8 {
    // There are eight.
    CLASSES.iter().filter(|floor| standing < **floor).count() as u8
}

impl Examination {
    /// The probability in (0, 1] with which somebody looks at `place`, from 0, beside the first one.
    pub(super) fn probability(&self, place: u32) -> f32 {
        self.looked_at[(place as usize).min(PLACES - 1)]
    }

    /// Somebody opened or used what stood at `place` in the list of `request`, whose scores beside its best one are
    /// `standing`. Of a list whose scores are unknown nothing can be learned.
    pub(super) fn opened(&mut self, request: RequestId, standing: &[f32], place: usize) {
        let shown = &standing[..PLACES.min(standing.len())];
        if place < shown.len() {
            let classes = shown.iter().map(|standing| class(*standing)).collect();
            self.take(request, &Look { classes, opened: 1 << place });
            self.estimate();
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        other.looks.iter().for_each(|(request, look)| self.take(*request, look));
        self.estimate();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.looks.is_empty()
    }

    fn take(&mut self, request: RequestId, look: &Look) {
        let mut look = look.clone();
        if let Some(known) = self.looks.remove(&request) {
            self.count(&known, u32::wrapping_sub);
            look.opened |= known.opened;
            // One request has one list; should two be told, it must not matter which came first.
            look.classes = look.classes.max(known.classes);
        }
        self.count(&look, u32::wrapping_add);
        self.looks.insert(request, look);
        if self.looks.len() > MOST_LOOKS
            && let Some((_, oldest)) = self.looks.pop_first()
        {
            self.count(&oldest, u32::wrapping_sub);
        }
    }

    fn count(&mut self, look: &Look, with: fn(u32, u32) -> u32) {
        for (place, class) in look.classes.iter().enumerate() {
            let count = &mut self.counts[place][usize::from(*class)];
            count.shown = with(count.shown, 1);
            count.opened = with(count.opened, u32::from(look.opened >> place & 1));
        }
    }

    /// Finds the two factors in turn. The belief counts as so many looks at every place that were answered as often as
    /// the others; only the ratio of places can be known, so the first one is set to 1.
    fn estimate(&mut self) {
        let opened = |counts: &[Count]| counts.iter().map(|count| count.opened as f32).sum::<f32>();
        let of_place: [f32; PLACES] = std::array::from_fn(|place| opened(&self.counts[place]));
        let of_class: [f32; CLASS_COUNT] =
            std::array::from_fn(|class| self.counts.iter().map(|row| row[class].opened as f32).sum());
        let all: f32 = of_place.iter().sum();
        self.looked_at = std::array::from_fn(believed);
        let rounds = if all > 0.0 { ROUNDS } else { 0 };
        for _ in 0..rounds {
            let looks: [f32; CLASS_COUNT] = std::array::from_fn(|class| {
                let looks = self.looked_at.iter().zip(&self.counts);
                looks.map(|(looked_at, row)| looked_at * row[class].shown as f32).sum()
            });
            let mean = all / looks.iter().sum::<f32>();
            // A class that was hardly shown is like the others.
            let answers: [f32; CLASS_COUNT] =
                std::array::from_fn(|class| (of_class[class] + mean) / (looks[class] + 1.0));
            let belief = BELIEF * mean;
            let looked_at: [f32; PLACES] = std::array::from_fn(|place| {
                let due = answers.iter().zip(&self.counts[place]);
                let due: f32 = due.map(|(answers, count)| answers * count.shown as f32).sum();
                (of_place[place] + belief * believed(place)) / (due + belief)
            });
            let first = looked_at[0];
            self.looked_at = looked_at.map(|looked_at| (looked_at / first).clamp(LEAST, 1.0));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Opens what a person would who looks at places with (1 + n)^-`exponent`, in lists whose scores fall off at
    /// chance and tell how well a passage answers.
    fn learned(exponent: f32, looks: usize) -> Examination {
        let mut random = fastrand::Rng::with_seed(7);
        let mut examination = Examination::default();
        for number in 0..looks {
            let request = RequestId::from_parts(number as u64, 0);
            let mut standing = vec![1.0f32];
            let fall = 0.005 + 0.08 * random.f32();
            while standing.len() < PLACES {
                standing.push(standing.last().unwrap() * (1.0 - 2.0 * fall * random.f32()));
            }
            for (place, score) in standing.iter().enumerate() {
                let looks = random.f32() < (1.0 + place as f32).powf(-exponent);
                if looks && random.f32() < 0.6 * score.powi(6) {
                    let classes = standing.iter().map(|standing| class(*standing)).collect();
                    examination.take(request, &Look { classes, opened: 1 << place });
                }
            }
        }
        examination.estimate();
        examination
    }

    #[test]
    fn it_is_believed_until_it_is_learned() {
        let belief = Examination::default();
        for place in 0..20 {
            let expected = believed(place.min(PLACES - 1));
            assert!((belief.probability(place as u32) - expected).abs() < 1e-6);
        }
        for exponent in [0.0, 0.5, 1.0, 1.5] {
            let learned = learned(exponent, 3_000);
            for place in 0..PLACES {
                let truth = (1.0 + place as f32).powf(-exponent).max(LEAST);
                let found = learned.probability(place as u32);
                // The belief pulls those who look everywhere a little; it is off by 0.68 itself.
                let off = if exponent == 0.0 { 0.3 } else { 0.12 };
                assert!((found - truth).abs() < off, "η = {exponent}, place {place}: {found} for {truth}");
            }
        }
    }

    #[test]
    fn a_look_counts_once_and_the_oldest_go() {
        let mut once = Examination::default();
        let request = |number| RequestId::from_parts(number, 0);
        once.opened(request(1), &[1.0, 0.9, 0.4], 2);
        let mut often = once.clone();
        often.opened(request(1), &[1.0, 0.9, 0.4], 2);
        often.merge(&once);
        assert_eq!(often, once);
        often.opened(request(2), &[1.0, 0.9], 2);
        assert_eq!(often, once, "what was not in the list cannot be opened there");
        for number in 0..MOST_LOOKS as u64 {
            often.take(request(10 + number), &Look { classes: vec![0], opened: 1 });
        }
        assert_eq!((often.looks.len(), often.looks.contains_key(&request(1))), (MOST_LOOKS, false));
        assert_eq!(often.counts[2].iter().map(|count| count.shown).sum::<u32>(), 0);
    }
}
