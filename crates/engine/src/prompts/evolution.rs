//! Evolution: a template's blocks in other combinations, tried on a share of its requests, until one is good enough to be
//! confirmed by an experiment, and put into use by it.

mod blocks;
mod insights;
mod rewriting;

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_learning::search::{Born, Candidate, Event, Favourite, Nominee, Search, SearchSettings};
use burnish_learning::{ComparisonSettings, History, Measured, TrialSettings};
use burnish_prompt::{Library, TOPICS, Template};
use burnish_types::{Assignment, Timestamp};
use serde::{Deserialize, Serialize};

use blocks::Palette;
pub use insights::{Finding, Insights};
pub use rewriting::Rewritten;

use super::changes::ChangeKind;
use super::experiments::{Action, Arms, Experiment, ExperimentState, NewExperiment, Running, Sticky};
use super::standing::{Origin, Standing};
use crate::EngineError;
use crate::settings::EvolutionSettings;

/// The topic of questions of which it is not known.
const OTHER: &str = "other";
/// What stands before a template's id in the name of its search.
const NAME: &str = "search:";
/// The share of the requests that the challenger gets while it is confirmed.
const CONFIRMED_WITH: f64 = 0.5;
/// Outcomes before a search may end for want of anything better, or propose what it holds for the best.
const LEAST_OUTCOMES: u64 = 300;
/// Length is priced in the search; what answers cost beside is not held against a candidate.
const ANY_COST: f64 = 1e9;
/// A thousand tokens, which prices are said for.
const THOUSAND: f64 = 1_000.0;

/// The search for a better version of a template.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evolution {
    /// The template.
    pub template: String,
    /// Whether it goes on.
    pub is_running: bool,
    /// Why it ended, where it did.
    pub reason: String,
    /// When it began.
    pub started: Timestamp,
    /// The blocks that it combines.
    palette: Palette,
    /// The share of the requests that it gets.
    pub share: f64,
    /// The version that everything is compared with.
    pub champion: String,
    /// The template that it began with, as a text: what the blocks of every candidate are put into.
    founder: String,
    /// The experiment that confirms a candidate now.
    pub trial: Option<(u64, String)>,
    search: Search,
    /// The version of each candidate, by its number, whether it is in the pool or was.
    versions: BTreeMap<u64, String>,
    /// The versions that requests get, with their probabilities.
    arms: Vec<(String, f64)>,
    /// Steps so far, which the next one's chance comes from.
    steps: u64,
}

/// A candidate of a search.
#[derive(Clone, Debug, PartialEq)]
pub struct CandidateStanding {
    /// Its version.
    pub version: String,
    /// How it came to be.
    pub origin: Origin,
    /// What it was made of, as versions.
    pub parents: Vec<String>,
    /// The blocks that it has, slot by slot, in words.
    pub blocks: Vec<(String, String)>,
    /// Tokens of these.
    pub tokens: f64,
    /// Outcomes of its own.
    pub outcomes: u64,
    /// The probability with which a request of the search gets it.
    pub share: f64,
    /// The quality to expect of it, and the standard deviation of that.
    pub quality: f64,
    /// The same.
    pub deviation: f64,
    /// Whether it is the one that everything is compared with.
    pub is_champion: bool,
    /// What speaks for it, where it is held for the best and is not the champion.
    pub proposed: Option<Proposed>,
}

/// What speaks for the candidate that is held for the best, confirmed or not.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Proposed {
    /// By how much more quality, less what its length costs, than the champion's.
    pub gain: f64,
    /// With which probability it is more.
    pub certainty: f64,
}

impl Evolution {
    /// Outcomes that it has seen.
    pub fn outcomes(&self) -> u64 {
        self.search.outcomes()
    }

    /// The pool, with what is expected of each. Nothing is proposed in place of a version that is not in use anymore.
    pub(super) fn pool(&self, in_use: &str) -> Vec<CandidateStanding> {
        // What is known is fitted again where it was not kept.
        let mut search = self.search.clone();
        let pool: Vec<Candidate> = search.pool().to_vec();
        let champion = search.champion().map(|champion| champion.id);
        let proposes = self.outcomes() >= LEAST_OUTCOMES && self.champion == in_use;
        let favourite = search.favourite().filter(|_| proposes);
        let Some(credit) = search.credit() else { return Vec::new() };
        let standing = |candidate: &Candidate| {
            let version = self.versions.get(&candidate.id)?.clone();
            let estimate = credit.estimate(&candidate.options, None)?;
            let share =
                self.arms.iter().find(|(known, _)| *known == version).map_or(0.0, |(_, share)| *share);
            Some(CandidateStanding {
                origin: origin(candidate.born),
                parents: candidate.parents.iter().filter_map(|id| self.versions.get(id).cloned()).collect(),
                blocks: self.palette.described(&candidate.options),
                tokens: credit.length(&candidate.options),
                outcomes: candidate.outcomes,
                share,
                quality: estimate.mean.clamp(0.0, 1.0),
                deviation: estimate.deviation,
                is_champion: Some(candidate.id) == champion,
                proposed: favourite
                    .filter(|best| best.candidate == candidate.id)
                    .map(|Favourite { gain, certainty, .. }| Proposed { gain, certainty }),
                version,
            })
        };
        pool.iter().filter_map(standing).collect()
    }

    fn new(template: &Arc<Template>, palette: Palette, settings: &EvolutionSettings, at: Timestamp) -> Self {
        let search_settings = SearchSettings {
            pool: settings.pool,
            length_price: settings.length_price / THOUSAND,
            confidence: settings.confidence,
            ..SearchSettings::default()
        };
        // And one for what none of them is.
        let contexts = TOPICS.into_iter().chain([OTHER]).map(str::to_owned).collect();
        let champion = palette.champion();
        let search = Search::new(search_settings, palette.slots(), contexts, &champion);
        let version = template.version().to_owned();
        Self {
            template: template.id().to_owned(),
            is_running: true,
            reason: String::new(),
            started: at,
            palette,
            share: settings.share,
            champion: version.clone(),
            founder: template.to_text(),
            trial: None,
            search,
            versions: BTreeMap::from([(0, version.clone())]),
            arms: vec![(version, 1.0)],
            steps: 0,
        }
    }

    pub(super) fn running(&self) -> Option<Running> {
        let runs = self.is_running && self.trial.is_none() && self.arms.len() > 1;
        runs.then(|| {
            let arms = self.arms.iter().map(|(version, share)| {
                let own = self.share * share;
                match *version == self.champion {
                    // What the search leaves alone gets the champion, too.
                    true => (version.clone(), 1.0 - self.share + own),
                    false => (version.clone(), own),
                }
            });
            let arms: Arms = arms.collect();
            Running::new(
                format!("{NAME}{}", self.template),
                self.template.clone(),
                self.champion.clone(),
                arms,
            )
        })
    }

    /// Whether it is about this version. What one that has ended had in its pool may still be put into use.
    pub(super) fn names(&self, version: &str) -> bool {
        self.champion == version || self.versions.values().any(|known| known == version)
    }

    fn end(&mut self, reason: &str) {
        (self.is_running, self.reason) = (false, reason.to_owned());
    }

    /// Drops what is known of candidates that are neither in the pool nor parents of any there.
    fn forget(&mut self) {
        let pool = self.search.pool();
        let needed: Vec<u64> =
            pool.iter().flat_map(|known| known.parents.iter().copied().chain([known.id])).collect();
        let trial = self.trial.as_ref().map(|(candidate, _)| *candidate);
        self.versions.retain(|id, _| needed.contains(id) || Some(*id) == trial);
    }

    /// By which probabilities requests get the versions from now on.
    fn refresh(&mut self) {
        let chosen = self.search.draw(None, self.steps);
        let shares = chosen.map(|chosen| chosen.propensities).unwrap_or_default();
        let arm = |(id, share): (u64, f64)| Some((self.versions.get(&id)?.clone(), share));
        self.arms = shares.into_iter().filter_map(arm).filter(|(_, share)| *share > 0.0).collect();
    }
}

fn origin(born: Born) -> Origin {
    match born {
        Born::Founder => Origin::File,
        Born::Recombined => Origin::Recombined,
        Born::Shortened => Origin::Shortened,
        Born::Specialised => Origin::Specialised,
        Born::Generalised => Origin::Generalised,
        Born::Rewritten => Origin::Rewritten,
    }
}

impl Standing {
    /// The search of a template, where there is or was one.
    pub(super) fn evolution(&self, template: &str) -> Option<&Evolution> {
        self.evolutions.get(template)
    }

    /// Begins to search for a better version of a template.
    pub(super) fn evolve(
        &mut self,
        id: &str,
        library: &Library,
        settings: &EvolutionSettings,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        let line = self.line(id)?.clone();
        let refuse = |reason: String| Err(EngineError::InvalidExperiment(reason));
        if line.pinned {
            return refuse(format!("`{id}` is pinned: let it go before it is searched for a better version"));
        }
        if self.evolutions.get(id).is_some_and(|known| known.is_running) {
            return refuse(format!("a better version of `{id}` is searched for already"));
        }
        let template = self.template(&line.in_use).ok_or_else(|| {
            EngineError::InvalidTemplate(format!(
                "the version of `{id}` in use cannot be used by this program"
            ))
        })?;
        let drafts: Vec<Arc<Template>> = self
            .versions_of(id)
            .iter()
            .filter(|record| !self.was_dropped(&record.version))
            .filter_map(|record| self.template(&record.version))
            .collect();
        let palette = Palette::of(&template, &drafts, library);
        let mut evolution = Evolution::new(&template, palette, settings, at);
        self.step(&mut evolution, &|_| None, at)?;
        self.evolutions.insert(id.to_owned(), evolution);
        let reason = "a better version is searched for".to_owned();
        self.note(ChangeKind::Searching, id, &line.in_use, None, None, reason, at);
        Ok(())
    }

    /// Ends the search of a template.
    pub(super) fn end_evolution(&mut self, id: &str, reason: &str, at: Timestamp) -> Result<(), EngineError> {
        self.line(id)?;
        let running = self.evolutions.get_mut(id).filter(|known| known.is_running);
        let Some(evolution) = running else {
            let reason = format!("no better version of `{id}` is searched for: there is nothing to stop");
            return Err(EngineError::InvalidExperiment(reason));
        };
        evolution.end(reason);
        let version = evolution.champion.clone();
        self.note(ChangeKind::Settled, id, &version, None, None, reason.to_owned(), at);
        Ok(())
    }

    /// Counts an outcome of a request of a search, or of the experiment that confirms what it has found. Whether that changed what
    /// requests get.
    pub(super) fn hear_search(
        &mut self,
        assignment: &Assignment,
        topics: &[String],
        measured: &Measured,
        history: &dyn Fn(&str) -> Option<History>,
        at: Timestamp,
    ) -> bool {
        let confirms = |known: &Evolution| {
            known.trial.as_ref().is_some_and(|(_, trial)| *trial == assignment.experiment)
        };
        let id = match assignment.experiment.strip_prefix(NAME) {
            Some(id) => id.to_owned(),
            None => match self.evolutions.values().find(|known| confirms(known)) {
                Some(known) => known.template.clone(),
                None => return false,
            },
        };
        let Some(mut evolution) = self.evolutions.remove(&id) else { return false };
        let mut changed = false;
        // One that was dropped and came back is another candidate with the same version.
        let version_of = |candidate: &&Candidate| evolution.versions.get(&candidate.id);
        let is_it = |candidate: &&Candidate| version_of(candidate) == Some(&assignment.version);
        let candidate = evolution.search.pool().iter().find(is_it).map(|candidate| candidate.id);
        if let Some(candidate) = candidate.filter(|_| evolution.is_running) {
            let topic = topics.first().and_then(|topic| TOPICS.iter().position(|known| known == topic));
            let topic = topic.unwrap_or(TOPICS.len()) as u16;
            evolution.search.observe(candidate, topic, measured.quality, measured.output_tokens);
            if evolution.search.is_due() && evolution.trial.is_none() {
                changed = true;
                if let Err(error) = self.step(&mut evolution, history, at) {
                    tracing::error!(%error, "the search of `{id}` ends");
                    evolution.end(&error.to_string());
                }
            }
        }
        self.evolutions.insert(id, evolution);
        changed
    }

    /// Takes note of how experiments that confirm candidates have ended. To be called when any may have.
    pub(super) fn settle_searches(&mut self, at: Timestamp) {
        let ids: Vec<String> = self.evolutions.keys().cloned().collect();
        for id in ids {
            let Some(mut evolution) = self.evolutions.remove(&id) else { continue };
            if evolution.is_running {
                self.settle_search(&mut evolution, at);
            }
            self.evolutions.insert(id, evolution);
        }
    }

    fn settle_search(&mut self, evolution: &mut Evolution, at: Timestamp) {
        let in_use = self.line(&evolution.template).map(|line| line.in_use.clone()).unwrap_or_default();
        if evolution.champion != in_use {
            let favourite = evolution.search.favourite().map(|favourite| favourite.candidate);
            let trial = evolution.trial.as_ref().map(|(candidate, _)| *candidate);
            // What is tried won, or a person took what is proposed without waiting for that.
            let is_taken = |candidate: &u64| evolution.versions.get(candidate) == Some(&in_use);
            let taken = favourite.into_iter().chain(trial).find(is_taken);
            if let Some(candidate) = taken {
                evolution.search.promote(candidate);
                evolution.champion.clone_from(&in_use);
                evolution.trial = None;
                evolution.refresh();
            }
        }
        if let Some((candidate, experiment)) = evolution.trial.clone() {
            let state = self.experiment(&experiment).map_or(ExperimentState::Retired, |known| known.state);
            if matches!(state, ExperimentState::Draft | ExperimentState::Running) {
                return;
            }
            evolution.search.refuse(candidate);
            evolution.trial = None;
            evolution.refresh();
        }
        if evolution.champion != in_use {
            evolution.end("another version is in use");
            let (id, reason) = (evolution.template.clone(), evolution.reason.clone());
            self.note(ChangeKind::Settled, &id, &in_use, None, None, reason, at);
        }
    }

    /// Renews the pool, and begins an experiment where a candidate is good enough to be confirmed.
    fn step(
        &mut self,
        evolution: &mut Evolution,
        history: &dyn Fn(&str) -> Option<History>,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        evolution.steps += 1;
        let seed = evolution.steps;
        let events = evolution.search.step(seed);
        self.take_events(evolution, events, at)?;
        let nominee = evolution.search.nominate(seed).filter(|_| self.may_confirm(&evolution.template));
        if let Some(nominee) = nominee {
            let experiment = self.confirm(evolution, &nominee, at)?;
            let known = history(&evolution.champion);
            self.act(&experiment, Action::Start, "as the search proposes", known, at)?;
            evolution.trial = Some((nominee.candidate, experiment));
        } else if evolution.search.outcomes() >= LEAST_OUTCOMES
            && evolution.search.outlook(seed) < evolution.search.settings().least_gain
        {
            evolution.end("nothing better is in sight");
            let (id, version) = (evolution.template.clone(), evolution.champion.clone());
            self.note(ChangeKind::Settled, &id, &version, None, None, evolution.reason.clone(), at);
        }
        evolution.refresh();
        evolution.forget();
        Ok(())
    }

    /// Whether an experiment can begin on a template.
    fn may_confirm(&self, template: &str) -> bool {
        let runs = |experiment: &Experiment| {
            experiment.template == template && experiment.state == ExperimentState::Running
        };
        self.line(template).is_ok_and(|line| !line.pinned) && !self.experiments.iter().any(runs)
    }

    fn take_events(
        &mut self,
        evolution: &mut Evolution,
        events: Vec<Event>,
        at: Timestamp,
    ) -> Result<(), EngineError> {
        for event in events {
            let Event::Added(candidate) = event else { continue };
            let parents: Vec<String> =
                candidate.parents.iter().filter_map(|id| evolution.versions.get(id).cloned()).collect();
            let base = super::parse(&evolution.founder)?;
            let made = evolution.palette.template(&base, &candidate.options);
            let template = made.map_err(|error| EngineError::InvalidTemplate(error.to_string()))?;
            let note = evolution.palette.note(&candidate.options);
            let version = self.draft(template, origin(candidate.born), parents, &note, at)?;
            evolution.versions.insert(candidate.id, version);
        }
        Ok(())
    }

    fn confirm(
        &mut self,
        evolution: &Evolution,
        nominee: &Nominee,
        at: Timestamp,
    ) -> Result<String, EngineError> {
        let version = evolution.versions.get(&nominee.candidate).cloned().unwrap_or_default();
        let ComparisonSettings { promote_above, retire_below, .. } = nominee.comparison;
        let mut trial = TrialSettings::default();
        // What the search has seen speaks for it already.
        let level = 1.0 - evolution.search.settings().confidence;
        trial.comparison = ComparisonSettings {
            level,
            retire_level: 2.0 * level,
            promote_above,
            retire_below,
            ..trial.comparison
        };
        self.create(
            NewExperiment {
                name: format!("{}, as its search proposes", evolution.template),
                template: evolution.template.clone(),
                challengers: vec![version],
                share: CONFIRMED_WITH,
                sticky: Sticky::Request,
                topics: Vec::new(),
                promotes_itself: true,
                most_cost: ANY_COST,
                trial,
            },
            at,
        )
    }
}

#[cfg(test)]
mod tests {
    use burnish_prompt::BlockKind;

    use super::*;

    /// So sure that no outcome here is enough for an experiment, and all steps go on.
    const SURE: f64 = 0.9999;

    /// A search for a better `answer` that asks for so much confidence.
    fn searching(confidence: f64) -> Standing {
        let library = Library::new(&[]).unwrap();
        let mut standing = Standing::default();
        standing.take_files(&library, Timestamp(1));
        let settings = EvolutionSettings { confidence, ..EvolutionSettings::default() };
        standing.evolve("answer", &library, &settings, Timestamp(1)).unwrap();
        standing
    }

    fn hear(standing: &mut Standing, experiment: &str, version: &str, quality: f64) {
        let champion = standing.evolution("answer").unwrap().champion.clone();
        let assignment = Assignment {
            experiment: experiment.to_owned(),
            version: version.to_owned(),
            challenger: version != champion,
            propensity: 0.5,
            champion: 0.5,
        };
        standing.hear(&assignment, None, &Measured::of(quality), Timestamp(2));
        standing.hear_search(&assignment, &[], &Measured::of(quality), &|_| None, Timestamp(2));
        standing.settle_searches(Timestamp(2));
        standing.forget_versions();
    }

    fn any_arm(standing: &Standing, random: &mut fastrand::Rng) -> String {
        let arms = &standing.evolution("answer").unwrap().arms;
        arms[random.usize(..arms.len())].0.clone()
    }

    fn is_brief(standing: &Standing, version: &str) -> bool {
        standing.template(version).unwrap().to_text().contains("Be brief")
    }

    fn quality(standing: &Standing, version: &str, random: &mut fastrand::Rng) -> f64 {
        f64::from(random.f64() < if is_brief(standing, version) { 0.9 } else { 0.3 })
    }

    #[test]
    fn no_version_that_a_search_needs_is_forgotten() {
        let mut standing = searching(SURE);
        let mut random = fastrand::Rng::with_seed(1);
        let mut made = std::collections::BTreeSet::new();
        for _ in 0..1_500 {
            let evolution = standing.evolution("answer").unwrap();
            assert!(evolution.is_running, "{}", evolution.reason);
            for needed in evolution.versions.values() {
                assert!(standing.template(needed).is_some(), "{needed} after {} versions", made.len());
            }
            made.extend(evolution.versions.values().cloned());
            let version = any_arm(&standing, &mut random);
            hear(&mut standing, &format!("{NAME}answer"), &version, f64::from(random.bool()));
        }
        // More than are kept of those that nothing names.
        assert!(made.len() > 100, "{}", made.len());
        assert!(standing.versions_of("answer").len() < made.len());
    }

    /// What is proposed after as many outcomes as that takes, before an experiment begins.
    fn proposed(standing: &mut Standing) -> CandidateStanding {
        let first = standing.line("answer").unwrap().in_use.clone();
        let mut random = fastrand::Rng::with_seed(1);
        for seen in 0..LEAST_OUTCOMES {
            let pool = standing.evolution("answer").unwrap().pool(&first);
            assert!(pool.iter().all(|known| known.proposed.is_none()), "after {seen}: {pool:?}");
            let version = any_arm(standing, &mut random);
            let chance = if is_brief(standing, &version) { 0.6 } else { 0.4 };
            hear(standing, &format!("{NAME}answer"), &version, f64::from(random.f64() < chance));
        }
        let evolution = standing.evolution("answer").unwrap();
        assert_eq!(evolution.trial, None);
        let mut proposed = evolution.pool(&first);
        proposed.retain(|known| known.proposed.is_some());
        assert_eq!(proposed.len(), 1, "{proposed:?}");
        proposed.remove(0)
    }

    #[test]
    fn what_is_proposed_can_be_put_into_use_and_the_search_goes_on() {
        let mut standing = searching(SURE);
        let candidate = proposed(&mut standing);
        let Proposed { gain, certainty } = candidate.proposed.unwrap();
        assert!(is_brief(&standing, &candidate.version) && !candidate.is_champion, "{candidate:?}");
        assert!(gain > 0.05 && certainty > 0.8, "{candidate:?}");
        let first = standing.line("answer").unwrap().in_use.clone();
        for (version, goes_on) in [(&candidate.version, true), (&first, false)] {
            let by_hand = "by hand".to_owned();
            standing.put_into_use("answer", version, ChangeKind::Used, None, by_hand, Timestamp(3)).unwrap();
            standing.settle_searches(Timestamp(3));
            let evolution = standing.evolution("answer").unwrap();
            assert_eq!((evolution.is_running, &evolution.champion), (goes_on, &candidate.version));
        }
        let pool = standing.evolution("answer").unwrap().pool(&first);
        assert!(pool.iter().all(|known| known.proposed.is_none()), "{pool:?}");
    }

    #[test]
    fn what_a_search_proposed_is_kept_when_it_has_ended() {
        let mut standing = searching(SURE);
        let candidate = proposed(&mut standing);
        standing.end_evolution("answer", "by hand", Timestamp(3)).unwrap();
        let template = standing.template(&standing.line("answer").unwrap().in_use).unwrap();
        for number in 0..100 {
            let changed = BTreeMap::from([(BlockKind::Role, format!("You are number {number}."))]);
            let other = template.with(&changed, "1").unwrap();
            standing.draft(other, Origin::Recombined, Vec::new(), "another", Timestamp(4)).unwrap();
        }
        standing.forget_versions();
        assert!(standing.versions_of("answer").len() < 100);
        standing.usable("answer", &candidate.version).unwrap();
    }

    #[test]
    fn a_search_learns_from_the_experiment_that_confirms_what_it_found() {
        let mut standing = searching(0.9);
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..2_000 {
            let evolution = standing.evolution("answer").unwrap();
            if evolution.trial.is_some() {
                break;
            }
            let version = any_arm(&standing, &mut random);
            let quality = quality(&standing, &version, &mut random);
            hear(&mut standing, &format!("{NAME}answer"), &version, quality);
        }
        let evolution = standing.evolution("answer").unwrap();
        let (candidate, experiment) = evolution.trial.clone().unwrap();
        let (challenger, seen) = (evolution.versions[&candidate].clone(), evolution.outcomes());
        assert!(is_brief(&standing, &challenger));
        hear(&mut standing, &experiment, &challenger, 1.0);
        hear(&mut standing, "of another template", &challenger, 1.0);
        assert_eq!(standing.evolution("answer").unwrap().outcomes(), seen + 1);
        for _ in 0..500 {
            hear(&mut standing, &experiment, &challenger, 1.0);
            let champion = standing.evolution("answer").unwrap().champion.clone();
            if champion == challenger {
                break;
            }
            hear(&mut standing, &experiment, &champion, 0.0);
        }
        assert_eq!(standing.evolution("answer").unwrap().champion, challenger);
        assert_eq!(standing.line("answer").unwrap().in_use, challenger);
        assert!(standing.evolution("answer").unwrap().is_running);
    }
}
