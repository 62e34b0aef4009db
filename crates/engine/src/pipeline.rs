//! Executes a plan: features, decision, passages.

use std::sync::Arc;
use std::time::Instant;

use burnish_learning::{FeatureVector, LIST_FLOOR, Lift, feature_value, list_features, query_features};
use burnish_retrieval::{
    Lists, Means, PassageText, Passages, Request, RetrievalError, Scored, Sources, Writer, lift,
};
use burnish_types::{
    Answer, Answerer, CacheChoice, Characteristics, ChunkId, Decision, Embedding, Evidence, LanguageModel,
    LexicalIndex, Lifted, Money, Prediction, Query, QueryFeatures, Recorded, RequestId, SelectiveChoice,
    SharedPurse, Sketch, Stage, StageTiming, Store, Strategy,
};

use crate::combinations::Asked;
use crate::expenses::Expense;
use crate::planner::Circumstances;
use crate::selective::Comparison;
use crate::writing::{Metered, Spent};
use crate::{Engine, EngineError, Pinned};

/// A ranking is this deep before feedback moves parts of it, so that what it ranks low can still rise.
const LIFTED_DEPTH: usize = 50;
/// What finds passages where a strategy's language model does not answer and the strategy can't do without.
const FALLBACK: &str = "hybrid";
/// What finds them where a strategy fails otherwise: it needs no encoder and no vectors.
const SIMPLEST: &str = "sparse";

/// A search with its decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Answered {
    /// What was planned, and why.
    pub decision: Decision,
    /// The passages; the text is empty.
    pub answer: Answer,
}

/// A plan whose passages were found, and whose decision is on its way to the disk.
pub(crate) struct Retrieved {
    pub(crate) decision: Decision,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) timings: Vec<StageTiming>,
    pub(crate) recorded: Recorded,
    /// What a language model took on the way.
    pub(crate) spent: Spent,
    /// What is paid from.
    pub(crate) purse: Option<SharedPurse>,
    /// Why the plan could not be followed to the letter, where it could not.
    pub(crate) degraded: Option<String>,
    /// What the question is like.
    pub(crate) characteristics: Characteristics,
    /// What could answer without the planned model, where that was looked at.
    pub(crate) selective: Option<SelectiveChoice>,
    /// What the model's answer is to be compared with.
    pub(crate) comparison: Option<Box<Comparison>>,
}

/// What finding passages may use and what it has taken.
struct Effort<'a> {
    writer: Option<&'a Metered<'a>>,
    /// How likely the answer takes several passages.
    complexity: f64,
    timings: Vec<StageTiming>,
}

/// What a first look found.
struct Looked {
    embedding: Embedding,
    lists: Lists,
}

/// The store, as rerankers read it.
pub(crate) struct StoredPassages<'a>(pub(crate) &'a dyn Store);

impl Passages for StoredPassages<'_> {
    fn texts(&self, ids: &[ChunkId]) -> Result<Vec<Option<PassageText>>, String> {
        let chunks = self.0.chunks(ids).map_err(|error| error.to_string())?;
        let text = |id: &ChunkId| {
            let chunk = chunks.iter().find(|chunk| chunk.id == *id)?;
            Some(PassageText { title: chunk.location.heading(&chunk.title), text: chunk.text.clone() })
        };
        Ok(ids.iter().map(text).collect())
    }
}

impl Engine {
    /// Finds passages and nothing more.
    pub async fn search(self: &Arc<Self>, query: Query, pinned: Pinned) -> Result<Answered, EngineError> {
        let depth = Some(query.top_k);
        let pinned = Pinned { answerer: Some(Answerer::Passages), depth, ..pinned };
        let Retrieved { decision, evidence, timings, recorded, spent, degraded, .. } =
            self.retrieve(query, pinned, None).await?;
        let answer = Answer {
            usage: spent.usage,
            cost: spent.cost,
            spent: spent.tries,
            timings,
            degraded,
            ..Answer::of_passages(evidence, self.clock.now())
        };
        // A search takes less time than a sync of the disk: its id survives the process, and soon a loss of power.
        recorded.written.await?;
        // Under way once called; whoever reads the decision waits for it.
        drop(self.store.record_answer(decision.id, answer.clone()));
        Ok(Answered { decision, answer })
    }

    /// Plans, sends the decision on its way to the disk, and finds the passages meanwhile.
    pub(crate) async fn retrieve(
        self: &Arc<Self>,
        query: Query,
        pinned: Pinned,
        cache: Option<CacheChoice>,
    ) -> Result<Retrieved, EngineError> {
        if query.text.trim().is_empty() {
            return Err(EngineError::InvalidQuery("the query is empty: ask something".to_owned()));
        }
        if query.top_k == 0 {
            return Err(EngineError::InvalidQuery("at least one passage must be asked for".to_owned()));
        }
        self.check_pinned(&pinned)?;
        let id = RequestId::from_parts(self.clock.now().0, fastrand::u128(..));
        let mut possible = pinned.strategy.iter().chain(match pinned.strategy {
            Some(_) => [].iter(),
            None => self.planner.candidates().iter(),
        });
        let looks = possible.any(|strategy| self.consults_documents(strategy));
        let work = move |engine: &Self| engine.retrieve_now(id, &query, &pinned, cache);
        // Without a look at anything there is nothing that blocks, and a change of threads takes longer than the plan.
        if looks { self.blocking(work).await } else { work(self) }
    }

    fn retrieve_now(
        &self,
        id: RequestId,
        query: &Query,
        pinned: &Pinned,
        cache: Option<CacheChoice>,
    ) -> Result<Retrieved, EngineError> {
        let started = Instant::now();
        let mut features = query_features(query, &self.corpus.lexical.term_idf(&query.text)?);
        let mut timings = Vec::new();
        let looked = match pinned.strategy {
            None if self.prompts.are_routed()
                || self.planner.wants_a_look(query, &features, &self.learned) =>
            {
                // Whoever can do without what failed here goes on.
                self.look(query, &mut features, &mut timings)
                    .inspect_err(|error| tracing::warn!(%error, "deciding without a first look"))
                    .ok()
            }
            _ => None,
        };
        self.prompts.look_at_files(self.store.as_ref(), self.clock.now());
        let complexity = feature_value(&features, "complexity");
        let sketch = looked.as_ref().and_then(|looked| self.sketches.of(&looked.embedding));
        let known = self.tells(pinned).then(|| self.prompts.characteristics(query, &features));
        let embedding = looked.as_ref().map(|looked| looked.embedding.as_slice());
        let circumstances =
            self.circumstances(id, query, pinned, features, sketch, (embedding, known.as_ref()));
        let mut decision = self.planner.decide(query, circumstances, pinned, &self.learned)?;
        decision.cache = cache;
        if let Some(known) = &known {
            self.prompts.assign(&mut decision, &known.topics);
        }
        self.pace(&decision);
        let plan = decision.choice().map(|candidate| candidate.plan.clone());
        let plan = plan.ok_or_else(|| EngineError::Internal("a decision chose nothing".to_owned()))?;
        let recorded = self.store.record_decision(decision.clone());
        let looking: f64 = timings.iter().map(|timing| timing.ms).sum();
        let planning =
            StageTiming { stage: Stage::Plan, ms: (timing(Stage::Plan, started).ms - looking).max(0.0) };
        timings.push(planning);

        let purse = self.purse(query);
        let metered = self.metered(purse.clone());
        let mut effort = Effort { writer: metered.as_ref(), complexity, timings };
        let (evidence, degraded) =
            self.find_or_fall_back(query, &plan.strategy, plan.depth, looked, &mut effort)?;
        let spent = metered.as_ref().map(Metered::spent).unwrap_or_default();
        Ok(Retrieved {
            decision,
            evidence,
            timings: effort.timings,
            recorded,
            spent,
            purse,
            degraded,
            characteristics: known.unwrap_or_default(),
            selective: None,
            comparison: None,
        })
    }

    /// Whether a model may be shown passages, and has to be told what to do with them.
    pub(crate) fn tells(&self, pinned: &Pinned) -> bool {
        let writes = match &pinned.answerer {
            Some(answerer) => matches!(answerer, Answerer::Model(_)),
            None => !self.models.is_empty(),
        };
        let reads = match &pinned.strategy {
            Some(strategy) => self.consults_documents(strategy),
            None => self.planner.combinations().reads_anything(),
        };
        writes && reads
    }

    pub(crate) fn circumstances(
        &self,
        id: RequestId,
        query: &Query,
        pinned: &Pinned,
        features: QueryFeatures,
        sketch: Option<Sketch>,
        (embedding, known): (Option<&[f32]>, Option<&Characteristics>),
    ) -> Circumstances {
        let routed = embedding.and_then(|embedding| self.learned.route(embedding));
        let asked = Asked {
            chars: query.chars(),
            depth: pinned.depth.unwrap_or(query.top_k),
            depth_is_pinned: pinned.depth.is_some(),
            context_tokens: self.settings.answer.context_tokens,
            answerer: pinned.answerer.clone(),
            given: None,
            counts_money: false,
            prompts: known.map(|known| self.prompts.possible(known, routed.as_ref())).unwrap_or_default(),
        };
        let at = self.clock.now();
        let left = self.budgets.left(&query.user, at);
        // What a request may cost, and what is left for whoever asks.
        let budget = query.budget.into_iter().chain(left).min();
        let asked = Asked { counts_money: budget.is_some(), ..asked };
        // Which model knows what is no matter where none is asked.
        let unasked = matches!(asked.answerer, Some(Answerer::Passages | Answerer::Extractive));
        let sketch = sketch.filter(|_| !unasked);
        Circumstances {
            id,
            at,
            budget,
            worth_of_a_dollar: self.budgets.worth_of_a_dollar(&query.user, at),
            parameters: self.lengths.parameters(&features),
            numbers: self.sketches.numbers(&FeatureVector::new(&features), sketch.as_ref()),
            features,
            sketch,
            asked,
        }
    }

    /// Takes a choice in, so that what may be spent lasts.
    pub(crate) fn pace(&self, decision: &Decision) {
        if let Some(choice) = decision.choice() {
            let Prediction { quality, cost, .. } = choice.prediction;
            self.budgets.observe(&decision.user, decision.at, quality, cost);
        }
    }

    fn metered(&self, purse: Option<SharedPurse>) -> Option<Metered<'_>> {
        self.writer.as_ref().map(|writer| Metered::new(writer, purse))
    }

    /// A strategy that fails, or whose language model does, is no reason to leave a question without passages.
    fn find_or_fall_back(
        &self,
        query: &Query,
        strategy: &Strategy,
        depth: usize,
        looked: Option<Looked>,
        effort: &mut Effort<'_>,
    ) -> Result<(Vec<Evidence>, Option<String>), EngineError> {
        match self.find(query, strategy, depth, looked, effort) {
            Err(EngineError::Retrieval(error @ RetrievalError::Unwritten { .. })) => {
                let alone = Means { embedder: self.embedder.as_ref(), writer: None };
                let retriever = self.registry.get(strategy.as_str());
                let manages = retriever.is_some_and(|retriever| retriever.works_with(alone).is_ok());
                let (instead, how) = match manages {
                    true => (strategy.clone(), "without it".to_owned()),
                    false => (Strategy::new(FALLBACK), format!("by `{FALLBACK}`")),
                };
                tracing::warn!(%error, "finding passages {how}, since the model does not answer");
                effort.writer = None;
                let evidence = self.find(query, &instead, depth, None, effort)?;
                let degraded = format!(
                    "the language model that `{strategy}` asks did not answer; passages were found {how}"
                );
                Ok((evidence, Some(degraded)))
            }
            Err(error @ (EngineError::Retrieval(_) | EngineError::Index(_) | EngineError::Embed(_)))
                if strategy.as_str() != SIMPLEST =>
            {
                tracing::warn!(%error, "finding passages by `{SIMPLEST}`, since `{strategy}` failed");
                let evidence = self.find(query, &Strategy::new(SIMPLEST), depth, None, effort)?;
                let degraded = format!("`{strategy}` failed; passages were found by `{SIMPLEST}`");
                Ok((evidence, Some(degraded)))
            }
            found => Ok((found?, None)),
        }
    }

    /// What the planner sees of a query, and the query's embedding, recording nothing: for measuring.
    pub fn examine(&self, query: &Query) -> Result<(QueryFeatures, Embedding), EngineError> {
        let mut features = query_features(query, &self.corpus.lexical.term_idf(&query.text)?);
        let looked = self.look(query, &mut features, &mut Vec::new())?;
        Ok((features, looked.embedding))
    }

    /// What a first look tells of a query, where one can be had.
    pub(crate) fn look_for_features(&self, query: &Query, features: &mut QueryFeatures) -> Option<Embedding> {
        match self.look(query, features, &mut Vec::new()) {
            Ok(looked) => Some(looked.embedding),
            Err(error) => {
                tracing::warn!(%error, "planning without a first look");
                None
            }
        }
    }

    /// A first look at what words and vectors find, which costs a few milliseconds and says much of the question.
    fn look(
        &self,
        query: &Query,
        features: &mut QueryFeatures,
        timings: &mut Vec<StageTiming>,
    ) -> Result<Looked, EngineError> {
        let embedding = self.query_embedding(query, timings)?;
        let started = Instant::now();
        let passages = StoredPassages(self.store.as_ref());
        let request = Request {
            query: &query.text,
            conversation: &query.conversation,
            embedding: &embedding,
            lists: None,
            complexity: 0.0,
            filter: &query.filter,
            limit: self.planner.combinations().deepest(query.top_k),
        };
        let lists = Lists::find(self.sources(&passages), request)?;
        list_features(features, &lists.lexical, &lists.dense, lists.fused_margin);
        timings.push(timing(Stage::Retrieve, started));
        Ok(Looked { embedding, lists })
    }

    pub(crate) fn query_embedding(
        &self,
        query: &Query,
        timings: &mut Vec<StageTiming>,
    ) -> Result<Embedding, EngineError> {
        let started = Instant::now();
        let embedding = self.embedder.embed(&[&query.text])?.pop().unwrap_or_default();
        timings.push(timing(Stage::Embed, started));
        Ok(embedding)
    }

    pub(crate) fn sources<'a>(&'a self, passages: &'a StoredPassages<'a>) -> Sources<'a> {
        Sources {
            lexical: self.corpus.lexical.as_ref(),
            vectors: self.corpus.vectors.as_ref(),
            embedder: self.embedder.as_ref(),
            passages,
            writer: None,
        }
    }

    /// Finds passages with one strategy, recording nothing: for measuring.
    pub fn probe(
        &self,
        query: &Query,
        strategy: &Strategy,
    ) -> Result<(Vec<Evidence>, Vec<StageTiming>), EngineError> {
        let features = query_features(query, &self.corpus.lexical.term_idf(&query.text)?);
        let metered = self.metered(None);
        let mut effort = Effort {
            writer: metered.as_ref(),
            complexity: feature_value(&features, "complexity"),
            timings: Vec::new(),
        };
        let evidence = self.find(query, strategy, query.top_k, None, &mut effort)?;
        Ok((evidence, effort.timings))
    }

    fn find(
        &self,
        query: &Query,
        strategy: &Strategy,
        depth: usize,
        looked: Option<Looked>,
        effort: &mut Effort<'_>,
    ) -> Result<Vec<Evidence>, EngineError> {
        let name = self.planner.find(strategy.as_str())?;
        let retriever = self
            .registry
            .get(name.as_str())
            .ok_or_else(|| EngineError::Internal(format!("the strategy `{name}` is not registered")))?;
        let (mut embedding, lists) =
            looked.map_or_else(Default::default, |looked| (looked.embedding, Some(looked.lists)));
        let mut remembers = retriever.consults_documents() && self.learned.remembers(&query.user);
        if embedding.is_empty() && (retriever.needs_embedding() || remembers) {
            match self.query_embedding(query, &mut effort.timings) {
                Ok(found) => embedding = found,
                Err(error) if !retriever.needs_embedding() => {
                    tracing::warn!(%error, "finding passages without what feedback said of them");
                    remembers = false;
                }
                Err(error) => return Err(error),
            }
        }
        let started = Instant::now();
        let passages = StoredPassages(self.store.as_ref());
        let writer = effort.writer.map(|writer| writer as &dyn Writer);
        let sources = Sources { writer, ..self.sources(&passages) };
        let request = Request {
            query: &query.text,
            conversation: &query.conversation,
            embedding: &embedding,
            lists: lists.as_ref(),
            complexity: effort.complexity,
            filter: &query.filter,
            limit: if remembers { depth.max(LIFTED_DEPTH) } else { depth },
        };
        let scored = retriever.retrieve(sources, request)?;
        let (mut scored, lifts) =
            if remembers { self.lifted(query, &embedding, scored)? } else { (scored, Vec::new()) };
        scored.truncate(depth);
        let mut evidence = self.evidence(&scored)?;
        explain(&mut evidence, lifts);
        effort.timings.push(timing(Stage::Retrieve, started));
        // The first look is part of it, where there was one.
        let retrieving = effort.timings.iter().filter(|timing| timing.stage == Stage::Retrieve);
        let latency_ms = retrieving.map(|timing| timing.ms).sum();
        // What has no known price is taken to cost nothing.
        let cost = effort.writer.and_then(|writer| writer.spent().cost).unwrap_or(Money::ZERO);
        self.learned.observe_expense(strategy, Expense::new(latency_ms, cost));
        Ok(evidence)
    }

    /// Moves what feedback speaks of, as far as it passes the query's filter.
    fn lifted(
        &self,
        query: &Query,
        embedding: &[f32],
        scored: Vec<Scored>,
    ) -> Result<(Vec<Scored>, Vec<Lift>), EngineError> {
        let mut lifts = self.learned.recall(query, embedding).lifts;
        if !lifts.is_empty() && !query.filter.is_empty() {
            let passing = self.corpus.lexical.matching(&query.filter)?;
            lifts.retain(|lift| passing.contains(lift.chunk.0));
        }
        let moves: Vec<(ChunkId, f32)> = lifts.iter().map(|lift| (lift.chunk, lift.lift)).collect();
        Ok((lift(scored, &moves, LIST_FLOOR), lifts))
    }

    /// Reads what was found. What was removed meanwhile is left out.
    pub(crate) fn evidence(&self, scored: &[Scored]) -> Result<Vec<Evidence>, EngineError> {
        let ids: Vec<ChunkId> = scored.iter().map(|scored| scored.chunk).collect();
        let chunks = self.store.chunks(&ids)?;
        let mut scored = scored.iter();
        let mut evidence = Vec::with_capacity(chunks.len());
        for chunk in chunks {
            if let Some(scored) = scored.by_ref().find(|scored| scored.chunk == chunk.id) {
                evidence.push(Evidence {
                    chunk: chunk.id,
                    document: chunk.document,
                    document_key: chunk.document_key,
                    title: chunk.title,
                    location: chunk.location,
                    text: chunk.text,
                    score: scored.score,
                    components: scored
                        .components
                        .iter()
                        .map(|(name, value)| ((*name).to_owned(), *value))
                        .collect(),
                    lifted: None,
                });
            }
        }
        Ok(evidence)
    }

    /// Whether who is to answer is known.
    pub(crate) fn check_pinned(&self, pinned: &Pinned) -> Result<(), EngineError> {
        match &pinned.answerer {
            Some(Answerer::Model(name)) => self.known_model(name).map(|_| ()),
            _ => Ok(()),
        }
    }

    /// The language model called `name`.
    pub(crate) fn known_model(&self, name: &str) -> Result<&Arc<dyn LanguageModel>, EngineError> {
        let known = self.models.iter().find(|model| model.name() == name);
        known.ok_or_else(|| EngineError::UnknownModel { name: name.to_owned(), known: self.models() })
    }

    /// The language models of which one may answer.
    pub(crate) fn models_for(&self, pinned: &Pinned) -> Vec<&dyn LanguageModel> {
        let answerers = match (&pinned.answerer, &pinned.strategy) {
            (Some(answerer), _) => std::slice::from_ref(answerer),
            // All else is as it is until evidence speaks against it.
            (None, Some(_)) => &self.planner.combinations().answerers()[..1],
            (None, None) => self.planner.combinations().answerers(),
        };
        answerers.iter().filter_map(|answerer| Some(self.model_of(answerer)?.as_ref())).collect()
    }
}

/// Says why feedback moved what it moved.
pub(crate) fn explain(evidence: &mut [Evidence], lifts: Vec<Lift>) {
    for lift in lifts {
        if let Some(moved) = evidence.iter_mut().find(|evidence| evidence.chunk == lift.chunk) {
            let Lift { lift: by, question, likeness, confirmed_by, rejected_by, passed_by, .. } = lift;
            moved.lifted = Some(Lifted { by, question, likeness, confirmed_by, rejected_by, passed_by });
        }
    }
}

pub(crate) fn timing(stage: Stage, started: Instant) -> StageTiming {
    StageTiming { stage, ms: started.elapsed().as_secs_f64() * 1_000.0 }
}
