//! Which candidates go, and which combinations come in their place.

use fastrand::Rng;

use super::{Born, Candidate, DRAWS, Event, Search, highest};
use crate::credit::{Credit, length};

/// Draws whose best combinations are proposed at one step.
const PROPOSED: usize = 12;
/// One place of so many is made free at every step, those of the least likely first.
const ROOM: usize = 4;
/// Expected loss of quality up to which a shorter block is said to cost nothing.
const COSTS_NOTHING: f64 = 0.005;

struct Proposal {
    options: Vec<u16>,
    parents: Vec<u64>,
    born: Born,
    context: Option<u16>,
}

impl Search {
    /// All but the champion that are hardly ever the best of the pool, for no kind of request.
    pub(super) fn drop_worse(&mut self, random: &mut Rng) -> Vec<Event> {
        let Some(credit) = self.model.0.as_deref() else { return Vec::new() };
        let most = 4 * DRAWS;
        let mut wins = vec![0usize; self.pool.len()];
        let contexts: Vec<Option<u16>> = match self.contexts.len() {
            0 | 1 => vec![None],
            count => std::iter::once(None).chain((0..count as u16).map(Some)).collect(),
        };
        for _ in 0..most {
            let draw = credit.draw(random);
            let mut won = vec![false; self.pool.len()];
            for context in &contexts {
                let values =
                    self.pool.iter().map(|one| self.value(credit, Some(&draw), &one.options, *context));
                won[highest(values)] = true;
            }
            wins.iter_mut().zip(won).for_each(|(wins, won)| *wins += usize::from(won));
        }
        let share = |place: usize| wins[place] as f64 / most as f64;
        let mut gone: Vec<(u64, f64)> = (self.pool.iter().enumerate())
            .filter(|(place, one)| one.id != self.champion && share(*place) < self.settings.drop_below)
            .map(|(place, one)| (one.id, share(place)))
            .collect();
        // There has to be room for what is new.
        let kept = self.settings.pool - (self.settings.pool / ROOM).max(1);
        let mut others: Vec<(u64, f64)> = (self.pool.iter().enumerate())
            .filter(|(_, one)| one.id != self.champion && gone.iter().all(|(id, _)| *id != one.id))
            .map(|(place, one)| (one.id, share(place)))
            .collect();
        others.sort_by(|one, other| one.1.total_cmp(&other.1).then(one.0.cmp(&other.0)));
        let surplus = (others.len() + 1).saturating_sub(kept);
        gone.extend(others.into_iter().take(surplus));
        self.pool.retain(|one| gone.iter().all(|(id, _)| *id != one.id));
        let dropped = gone.into_iter().map(|(candidate, share)| {
            let reason = format!("the best of the pool with a probability of {:.1} %", 100.0 * share);
            Event::Dropped { candidate, reason }
        });
        dropped.collect()
    }

    /// Fills the pool: what is best by what is expected, then what a shorter block would do, then what may be the best.
    pub(super) fn propose(&mut self, random: &mut Rng) -> Vec<Event> {
        let Some(credit) = self.model.0.as_deref() else { return Vec::new() };
        let mut proposals = vec![self.recombined(credit.best(self.goal(None), None, &|_, _| true).options)];
        proposals.extend(self.shortened(credit));
        if self.contexts.len() > 1 {
            proposals.extend(self.of_contexts(credit, random));
        }
        // Where there is room for one only, each kind has its turn.
        random.shuffle(&mut proposals);
        for place in 0..PROPOSED {
            let draw = credit.draw(random);
            let best = credit.best(self.goal(None), Some(&draw), &|_, _| true).options;
            proposals.push(match place % 3 {
                0 | 1 => self.recombined(best),
                _ => self.mutated(&best, random),
            });
        }
        let proposals = proposals.into_iter();
        let admitted =
            proposals.filter_map(|one| self.admit(one.options, one.parents, one.born, one.context));
        admitted.collect()
    }

    /// With one as its parent that it is a shorter form of, or else with the fewest candidates that have its blocks
    /// between them, where there are such.
    fn recombined(&self, options: Vec<u16>) -> Proposal {
        let shorter = |one: &&Candidate| {
            let differing = one.options.iter().zip(&options).filter(|(one, other)| one != other).count();
            differing == 1 && length(&self.slots, &options) < length(&self.slots, &one.options)
        };
        if let Some(parent) = self.pool.iter().find(shorter).map(|parent| parent.id) {
            return Proposal { options, parents: vec![parent], born: Born::Shortened, context: None };
        }
        let mut parents = Vec::new();
        let mut missing: Vec<usize> = (0..options.len()).collect();
        while !missing.is_empty() {
            let given = |one: &Candidate| {
                missing.iter().filter(|slot| one.options[**slot] == options[**slot]).count()
            };
            let Some(parent) = self.pool.iter().max_by_key(|one| (given(one), std::cmp::Reverse(one.id)))
            else {
                break;
            };
            if given(parent) == 0 {
                break;
            }
            missing.retain(|slot| parent.options[*slot] != options[*slot]);
            parents.push(parent.id);
        }
        if parents.is_empty() {
            parents.push(self.champion);
        }
        Proposal { options, parents, born: Born::Recombined, context: None }
    }

    /// The pool's best with one block less or a shorter one, that which gains most.
    fn shortened(&self, credit: &Credit) -> Option<Proposal> {
        let values = self.pool.iter().map(|one| self.value(credit, None, &one.options, None));
        let parent = self.pool.get(highest(values))?;
        let before = length(&self.slots, &parent.options);
        let mut best: Option<(f64, Vec<u16>)> = None;
        for (slot, known) in self.slots.iter().enumerate() {
            for option in 0..known.options.len() as u16 {
                let mut options = parent.options.clone();
                options[slot] = option;
                let shorter = before - length(&self.slots, &options);
                let costs = credit
                    .difference(&parent.options, &options, None)
                    .map_or(f64::INFINITY, |cost| cost.mean);
                let gain = self.settings.length_price * shorter - costs;
                if shorter > 0.0
                    && (costs <= COSTS_NOTHING || gain > 0.0)
                    && best.as_ref().is_none_or(|(most, _)| gain > *most)
                {
                    best = Some((gain, options));
                }
            }
        }
        best.map(|(_, options)| Proposal {
            options,
            parents: vec![parent.id],
            born: Born::Shortened,
            context: None,
        })
    }

    /// A candidate with one block as a draw would have it.
    fn mutated(&self, drawn: &[u16], random: &mut Rng) -> Proposal {
        let parent = &self.pool[random.usize(..self.pool.len())];
        let mut options = parent.options.clone();
        let other: Vec<usize> = (0..options.len()).filter(|slot| options[*slot] != drawn[*slot]).collect();
        if !other.is_empty() {
            let slot = other[random.usize(..other.len())];
            options[slot] = drawn[slot];
        }
        Proposal { options, parents: vec![parent.id], born: Born::Recombined, context: None }
    }

    /// The best for one label, and what a candidate that was made for one would have to be for all.
    fn of_contexts(&self, credit: &Credit, random: &mut Rng) -> Vec<Proposal> {
        let context = random.usize(..self.contexts.len()) as u16;
        let special = credit.best(self.goal(Some(context)), None, &|_, _| true).options;
        let mut proposals =
            vec![Proposal { born: Born::Specialised, context: Some(context), ..self.recombined(special) }];
        if let Some(parent) = self.pool.iter().find(|one| one.context.is_some()) {
            let kept = random.usize(..self.slots.len());
            let only = |slot: usize, option: u16| slot != kept || option == parent.options[kept];
            let options = credit.best(self.goal(None), None, &only).options;
            proposals.push(Proposal {
                options,
                parents: vec![parent.id],
                born: Born::Generalised,
                context: None,
            });
        }
        proposals
    }
}
