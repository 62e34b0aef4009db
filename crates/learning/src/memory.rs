//! Feedback memory: what people confirmed and rejected for earlier questions moves the same passages for new
//! questions that are like them.
//!
//! It is a memory of cases (k nearest neighbours), not a model of the language: a question that resembles nothing
//! remembered is ranked as if there were no memory, which is what keeps it from harming what no feedback has touched.
//!
//! - The **likeness** of two questions is the mean of the cosine of their embeddings and the Jaccard index of their
//!   words; what lies above [`LIKENESS_FLOOR`] is their **closeness**.
//! - For a passage, each person's vote on the closest question counts, with the square of its closeness and the trust
//!   of its kind; the **balance** of the votes lies in [-1, 1].
//! - The **lift** is [`LIFT`] × the largest closeness × the balance.
//!
//! What was opened or used is no verdict: what stands higher is looked at more often, and so opened more often. How often
//! each place is looked at is learned from the tenant's own log, and both count by its inverse; what somebody passed
//! over on the way counts a little against it.
//!
//! Constants were chosen on SciFact's train split, with the questions that share an abstract held out for half of the
//! figure (`docs/measurements.md`). Votes are last-writer-wins registers, so the order in which they arrive, and how
//! often, changes nothing, and two replicas merge into what one would have been.

mod examination;
mod question;
mod vote;

use std::collections::{BTreeMap, BTreeSet};

use burnish_types::{ChunkId, Judgement, RequestId, Timestamp};
use serde::{Deserialize, Serialize};

use examination::Examination;
use question::Question;
use vote::{Signals, Vote};

/// Likeness up to which two questions have nothing to do with each other.
pub const LIKENESS_FLOOR: f32 = 0.38;
/// How far a passage rises for each unit of closeness, on a scale where the best passage of a list has 1 and the
/// fiftieth [`LIST_FLOOR`].
pub const LIFT: f32 = 0.9;
/// The score that the end of a list has before lifts are added.
pub const LIST_FLOOR: f32 = 0.7;
/// Votes count less the fewer they are: as if this much trust, undecided, were there already.
const DOUBT: f32 = 0.15;
const VERSION: u32 = 3;

/// What a request started from. Each kind is remembered apart: that two passages are related says nothing of which of
/// them answers a question, however much the question's words are those of the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Start {
    /// A question that somebody asked.
    #[default]
    Question,
    /// A passage or document, for others like it; [`Testimony::question`] is its text.
    Passage,
    /// A person, for whom something was recommended. Votes count as what the person likes, and move no ranking.
    Person,
}

/// What a person said of a request, as far as it concerns the ranking.
#[derive(Clone, Copy, Debug)]
pub struct Testimony<'a> {
    /// The request.
    pub request: RequestId,
    /// Whose memory it belongs to.
    pub tenant: Option<&'a str>,
    /// Who said it.
    pub reporter: Option<&'a str>,
    /// What the request started from.
    pub start: Start,
    /// The question, or the text that stands for what the request started from.
    pub question: &'a str,
    /// When it was said.
    pub at: Timestamp,
    /// What was said.
    pub judgement: &'a Judgement,
    /// The passages that were shown, best first.
    pub shown: &'a [ChunkId],
    /// The score of each of them beside the best one, at most 1; empty where that is not known.
    pub standing: &'a [f32],
    /// Those that the answer cites.
    pub cited: &'a [ChunkId],
}

impl Testimony<'_> {
    /// Whether it says anything of a passage. What does not need not be embedded.
    pub fn concerns_passages(&self) -> bool {
        !self.votes().is_empty()
    }

    fn votes(&self) -> Vec<(ChunkId, Signals)> {
        vote::votes(self)
    }

    fn place_of(&self, chunk: ChunkId) -> Option<usize> {
        self.shown.iter().position(|shown| *shown == chunk)
    }
}

/// A passage that is moved, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Lift {
    /// The passage.
    pub chunk: ChunkId,
    /// How far, up or down.
    pub lift: f32,
    /// The remembered question that is closest.
    pub question: String,
    /// How like it is, in [0, 1].
    pub likeness: f32,
    /// How many people spoke for it.
    pub confirmed_by: u32,
    /// How many against it.
    pub rejected_by: u32,
    /// How many passed it over on the way to another passage, and said nothing else of it.
    pub passed_by: u32,
}

/// What the memory says of a question.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recall {
    /// The passages that are moved, the farthest first.
    pub lifts: Vec<Lift>,
    /// The likeness of the closest question remembered, in [0, 1]; 0 where there is none.
    pub likeness: f32,
}

/// Everything remembered, apart for each tenant.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    version: u32,
    /// The most votes that are kept for a tenant.
    capacity: usize,
    tenants: BTreeMap<Option<String>, Tenant>,
}

/// One tenant's questions by their kind and normalised text, and where its people look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Tenant {
    questions: BTreeMap<(Start, String), Question>,
    examination: Examination,
}

impl Default for Memory {
    fn default() -> Self {
        Self::new(50_000)
    }
}

impl Memory {
    /// An empty memory of at most `capacity` votes for each tenant. Beyond, the person with the most votes loses the
    /// oldest of them, so that nobody drives out the others.
    pub fn new(capacity: usize) -> Self {
        Self { version: VERSION, capacity: capacity.max(1), tenants: BTreeMap::new() }
    }

    /// Remembers what was said; `embedding` is the question's, of unit length.
    pub fn observe(&mut self, testimony: &Testimony<'_>, embedding: &[f32]) {
        let votes = testimony.votes();
        if votes.is_empty() {
            return;
        }
        let tenant = self.tenants.entry(testimony.tenant.map(str::to_owned)).or_default();
        let key = (testimony.start, question::normalised(testimony.question));
        let question =
            tenant.questions.entry(key).or_insert_with_key(|(_, key)| Question::new(key, embedding));
        for (chunk, signals) in votes {
            question.vote(chunk, testimony.reporter, &signals);
        }
        if let Judgement::Opened { chunk } | Judgement::Cited { chunk } = *testimony.judgement
            && let Some(place) = testimony.place_of(chunk)
        {
            tenant.examination.opened(testimony.request, testimony.standing, place);
        }
        tenant.keep_within(self.capacity);
    }

    /// What is remembered that concerns `question`.
    pub fn recall(&self, tenant: Option<&str>, question: &str, embedding: &[f32]) -> Recall {
        self.tenant(tenant)
            .map(|tenant| tenant.recall(Start::Question, question, embedding))
            .unwrap_or_default()
    }

    /// What is remembered of passages that are related to the one with this `text`, or to one like it.
    pub fn recall_related(&self, tenant: Option<&str>, text: &str, embedding: &[f32]) -> Recall {
        self.tenant(tenant).map(|tenant| tenant.recall(Start::Passage, text, embedding)).unwrap_or_default()
    }

    /// Whether any question is remembered for `tenant`, so that another one is worth embedding.
    pub fn knows(&self, tenant: Option<&str>) -> bool {
        // Questions come first in the order of the keys.
        let first = self.tenant(tenant).and_then(|tenant| tenant.questions.keys().next());
        first.is_some_and(|(start, _)| *start == Start::Question)
    }

    /// The passages that any vote speaks of.
    pub fn chunks(&self) -> BTreeSet<ChunkId> {
        let questions = self.tenants.values().flat_map(|tenant| tenant.questions.values());
        questions.flat_map(|question| question.votes.iter().map(|vote| vote.chunk)).collect()
    }

    /// What `user` confirmed, used or opened, each with its trust in (0, 1], the most trusted first.
    pub fn liked_by(&self, tenant: Option<&str>, user: &str) -> Vec<(ChunkId, f32)> {
        let mut liked: BTreeMap<ChunkId, f32> = BTreeMap::new();
        let examination = self.tenant(tenant).map(|tenant| &tenant.examination);
        for (vote, examination) in self.votes_of(tenant, user).zip(examination.into_iter().cycle()) {
            let word = vote.signals.word(examination);
            if word.value > 0.0 {
                let known = liked.entry(vote.chunk).or_default();
                *known = known.max(word.value * word.trust);
            }
        }
        let mut liked: Vec<_> = liked.into_iter().collect();
        liked.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
        liked
    }

    /// The passages of which `user` said anything, for better or worse.
    pub fn seen_by(&self, tenant: Option<&str>, user: &str) -> BTreeSet<ChunkId> {
        let said = self.votes_of(tenant, user).filter(|vote| vote.signals.is_said());
        said.map(|vote| vote.chunk).collect()
    }

    /// Drops every vote on passages for which `gone` holds.
    pub fn forget_passages(&mut self, gone: impl Fn(ChunkId) -> bool) {
        self.retain(|vote| !gone(vote.chunk));
    }

    /// Adds what another replica saw.
    pub fn merge(&mut self, other: &Self) {
        for (name, theirs) in &other.tenants {
            let tenant = self.tenants.entry(name.clone()).or_default();
            for (key, question) in &theirs.questions {
                match tenant.questions.get_mut(key) {
                    Some(known) => known.merge(question),
                    None => {
                        tenant.questions.insert(key.clone(), question.clone());
                    }
                }
            }
            tenant.examination.merge(&theirs.examination);
            tenant.keep_within(self.capacity);
        }
    }

    /// Questions and votes that are remembered.
    pub fn size(&self) -> (usize, usize) {
        let questions = || self.tenants.values().flat_map(|tenant| tenant.questions.values());
        (questions().count(), questions().map(|question| question.votes.len()).sum())
    }

    /// The state as bytes for a snapshot.
    pub fn to_bytes(&self) -> Vec<u8> {
        postcard::to_allocvec(self).unwrap_or_default()
    }

    /// The state of a snapshot; `None` where it is of another form, so that the log is folded anew.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        postcard::from_bytes(bytes).ok().filter(|memory: &Self| memory.version == VERSION)
    }

    // A borrowed key would need a type of its own; there are few tenants' names and they are short.
    fn tenant(&self, name: Option<&str>) -> Option<&Tenant> {
        self.tenants.get(&name.map(str::to_owned))
    }

    fn votes_of(&self, tenant: Option<&str>, user: &str) -> impl Iterator<Item = &Vote> {
        let questions = self.tenant(tenant).into_iter().flat_map(|tenant| tenant.questions.values());
        questions
            .flat_map(|question| &question.votes)
            .filter(move |vote| vote.reporter.as_deref() == Some(user))
    }

    fn retain(&mut self, keep: impl Fn(&Vote) -> bool) {
        for tenant in self.tenants.values_mut() {
            tenant.questions.retain(|_, question| {
                question.votes.retain(&keep);
                !question.votes.is_empty()
            });
        }
        self.tenants.retain(|_, tenant| !tenant.questions.is_empty() || !tenant.examination.is_empty());
    }
}

/// The votes on one passage that count for a question.
#[derive(Default)]
struct Ballot<'a> {
    /// The closest vote of each person.
    by_reporter: BTreeMap<Option<&'a str>, (f32, &'a Vote)>,
    closest: f32,
    question: Option<&'a Question>,
}

impl Tenant {
    fn recall(&self, start: Start, question: &str, embedding: &[f32]) -> Recall {
        let asked = Question::new(&question::normalised(question), embedding);
        let mut ballots: BTreeMap<ChunkId, Ballot<'_>> = BTreeMap::new();
        let mut likeness = 0.0f32;
        let alike =
            self.questions.range((start, String::new())..).take_while(|((kind, _), _)| *kind == start);
        for (_, known) in alike {
            let like = asked.likeness(known);
            likeness = likeness.max(like);
            if like <= LIKENESS_FLOOR {
                continue;
            }
            let closeness = like - LIKENESS_FLOOR;
            for vote in &known.votes {
                let ballot = ballots.entry(vote.chunk).or_default();
                let said = ballot.by_reporter.entry(vote.reporter.as_deref()).or_insert((closeness, vote));
                if closeness > said.0 {
                    *said = (closeness, vote);
                }
                if closeness > ballot.closest {
                    ballot.closest = closeness;
                    ballot.question = Some(known);
                }
            }
        }
        let mut lifts: Vec<Lift> = ballots
            .into_iter()
            .filter_map(|(chunk, ballot)| ballot.count(chunk, &self.examination))
            .collect();
        lifts.sort_by(|a, b| b.lift.abs().total_cmp(&a.lift.abs()).then(a.chunk.cmp(&b.chunk)));
        Recall { lifts, likeness }
    }

    fn keep_within(&mut self, capacity: usize) {
        let mut votes: usize = self.questions.values().map(|question| question.votes.len()).sum();
        while votes > capacity {
            self.drop_one_of_the_most_talkative();
            votes -= 1;
        }
    }

    fn drop_one_of_the_most_talkative(&mut self) {
        let mut counts: BTreeMap<Option<&str>, usize> = BTreeMap::new();
        for vote in self.questions.values().flat_map(|question| &question.votes) {
            *counts.entry(vote.reporter.as_deref()).or_default() += 1;
        }
        let most = counts.into_iter().max_by_key(|(_, count)| *count).map(|(reporter, _)| reporter);
        let Some(reporter) = most.map(|reporter| reporter.map(str::to_owned)) else { return };
        let theirs = self.questions.iter().flat_map(|(key, question)| {
            question
                .votes
                .iter()
                .filter(|vote| vote.reporter == reporter)
                .map(move |vote| (vote.signals.last(), key, vote.chunk))
        });
        let Some((_, key, chunk)) = theirs.min().map(|(at, key, chunk)| (at, key.clone(), chunk)) else {
            return;
        };
        if let Some(question) = self.questions.get_mut(&key) {
            question.votes.retain(|vote| vote.chunk != chunk || vote.reporter != reporter);
            if question.votes.is_empty() {
                self.questions.remove(&key);
            }
        }
    }
}

impl Ballot<'_> {
    fn count(&self, chunk: ChunkId, examination: &Examination) -> Option<Lift> {
        let (mut spoken, mut trusted) = (0.0, 0.0);
        let (mut confirmed_by, mut rejected_by, mut passed_by) = (0, 0, 0);
        for (closeness, vote) in self.by_reporter.values() {
            let word = vote.signals.word(examination);
            let weight = closeness * closeness * word.trust;
            spoken += weight * word.value;
            trusted += weight;
            confirmed_by += u32::from(word.value > 0.0);
            rejected_by += u32::from(word.value < 0.0 && !word.passed);
            passed_by += u32::from(word.passed);
        }
        let balance = (1.0 + DOUBT) * spoken / (trusted + DOUBT * self.closest * self.closest);
        let lift = LIFT * self.closest * balance.clamp(-1.0, 1.0);
        let question = self.question?;
        (lift != 0.0).then(|| Lift {
            chunk,
            lift,
            question: question.text.clone(),
            likeness: self.closest + LIKENESS_FLOOR,
            confirmed_by,
            rejected_by,
            passed_by,
        })
    }
}

#[cfg(test)]
mod tests;
