//! What of the evidence a model is shown: as much as fits, whole sentences of it, the most telling ones. And the same by
//! itself, for callers with a pipeline of their own.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use burnish_context::{Conflict, Kept, Optimized, Passage, Target, edges_first, optimize};
use burnish_learning::query_features;
use burnish_types::{
    Answer, Answerer, Candidate, ChunkId, Decision, DocumentId, Evidence, LexicalIndex, Location, Money,
    Plan, Prediction, Query, Recorded, RequestId, Stage, Strategy, Usage, VectorIndex, dot,
};

use crate::combinations::GIVEN;
use crate::pipeline::timing;
use crate::{ContextOrder, Engine, EngineError};

/// The policy of a decision that is about a context that the caller brought.
const POLICY: &str = "context";
/// How often less is asked for where what was left turns out to be too much.
const MOST_FITTINGS: usize = 4;
/// What a passage without a score loses against the one before it.
const RANK_STEP: f32 = 0.05;

/// Whether `decision` is about nothing but a context.
pub(crate) fn is_of_context(decision: &Decision) -> bool {
    decision.policy == POLICY
}

/// The evidence as a model reads it.
pub(crate) struct Context<'a> {
    /// In the order in which they are read.
    pub(crate) passages: Vec<Shown<'a>>,
    /// How many tokens they are, about.
    pub(crate) tokens: usize,
    /// How many tokens all the evidence is.
    pub(crate) original: usize,
    /// The numbers of passages that speak against each other.
    pub(crate) conflicts: Vec<[usize; 2]>,
}

/// A passage as a model reads it.
pub(crate) struct Shown<'a> {
    /// What it is cited by: its place in the evidence, from 1.
    pub(crate) number: usize,
    pub(crate) passage: &'a Evidence,
    /// What is left of its text.
    pub(crate) text: Cow<'a, str>,
}

impl<'a> Shown<'a> {
    /// All of a passage, by its place in the evidence.
    pub(crate) fn whole(place: usize, passage: &'a Evidence) -> Self {
        Self { number: place + 1, passage, text: Cow::Borrowed(&passage.text) }
    }
}

impl Context<'_> {
    /// The places in the evidence of what is shown.
    pub(crate) fn places(&self) -> Vec<usize> {
        self.passages.iter().map(|shown| shown.number - 1).collect()
    }
}

/// A passage that the caller brings.
#[derive(Clone, Debug, PartialEq)]
pub enum Brought {
    /// Its words.
    Text {
        /// What it is called.
        title: String,
        /// Its text.
        text: String,
    },
    /// A stored one.
    Chunk(ChunkId),
}

/// Passages that are to become smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct ContextRequest {
    /// The question that they are to answer, and who asks.
    pub query: Query,
    /// The passages, best first, each with the score that it was ranked by, where there is one.
    pub passages: Vec<(Brought, Option<f32>)>,
    /// How small.
    pub target: Target,
    /// In which order they are wanted back.
    pub order: ContextOrder,
    /// The model that is to read them, for what that costs.
    pub model: Option<String>,
}

/// Passages that became smaller.
#[derive(Clone, Debug, PartialEq)]
pub struct SmallerContext {
    /// What was decided.
    pub decision: Decision,
    /// The passages in the order in which they are best read.
    pub passages: Vec<SmallerPassage>,
    /// What was done.
    pub optimized: Optimized,
    /// What speaks against each other.
    pub conflicts: Vec<Contradiction>,
    /// What reading all of it, and what is left of it, costs the model; `None` where no model is named, or its price is not
    /// known.
    pub cost: Option<[Money; 2]>,
}

/// Two passages that can't both be right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// Their places among those that were brought.
    pub passages: [usize; 2],
    /// What each of them says.
    pub sentences: [String; 2],
    /// Whether one denies what the other says; else their numbers differ.
    pub denies: bool,
}

/// What is left of a passage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SmallerPassage {
    /// Its place among those that were brought.
    pub place: usize,
    /// Its title.
    pub title: String,
    /// What is left of its text.
    pub text: String,
    /// About how many tokens that is.
    pub tokens: usize,
}

impl Engine {
    /// What of the evidence, best first, fits into `tokens`, with a share of `reduction` saved as far as nothing is lost by it.
    pub(crate) fn context<'a>(
        &self,
        question: &str,
        evidence: &'a [Evidence],
        tokens: u32,
        reduction: f64,
    ) -> Context<'a> {
        let given = self.passages(evidence);
        let target = Target { tokens: Some(tokens as usize), reduction };
        let (optimized, texts) = self.fitted(question, &given, target);
        let shown = |(kept, text): (&Kept, Option<String>)| {
            let passage = &evidence[kept.passage];
            let text = text.map_or(Cow::Borrowed(&*passage.text), Cow::Owned);
            Shown { number: kept.passage + 1, passage, text }
        };
        let passages = optimized.kept.iter().zip(texts).map(shown).collect();
        let mut conflicts: Vec<[usize; 2]> =
            optimized.conflicts.iter().map(|conflict| conflict.passages.map(|place| place + 1)).collect();
        conflicts.iter_mut().for_each(|pair| pair.sort_unstable());
        conflicts.sort_unstable();
        conflicts.dedup();
        Context {
            passages: ordered(passages, self.settings.answer.order),
            tokens: optimized.optimized,
            original: optimized.original,
            conflicts,
        }
    }

    /// What is left, with the text of what is not left whole, all of it counted. The optimiser knows about how many tokens a
    /// sentence is; where that was too few, it is asked for less.
    fn fitted(
        &self,
        question: &str,
        given: &[Passage<'_>],
        target: Target,
    ) -> (Optimized, Vec<Option<String>>) {
        let (mut wanted, mut turn) = (target, 0);
        loop {
            turn += 1;
            let mut optimized = optimize(question, given, wanted);
            let mut texts = Vec::with_capacity(optimized.kept.len());
            for kept in &mut optimized.kept {
                let passage = &given[kept.passage];
                let whole = matches!(kept.parts.as_slice(), [part] if *part == (0..passage.text.len()));
                let text = (!whole).then(|| kept.text(passage.text));
                kept.tokens = text.as_ref().map_or(passage.tokens, |text| self.embedder.count_tokens(text));
                texts.push(text);
            }
            optimized.optimized = optimized.kept.iter().map(|kept| kept.tokens).sum();
            optimized.overlong = target.tokens.is_some_and(|most| optimized.optimized > most);
            let again = target.tokens.filter(|_| optimized.overlong && turn < MOST_FITTINGS);
            let Some(most) = again else { return (optimized, texts) };
            let share = most as f64 / optimized.optimized.max(1) as f64;
            wanted.tokens = wanted.tokens.map(|tokens| (0.95 * share * tokens as f64) as usize);
        }
    }

    /// The evidence as the optimiser takes it.
    pub fn passages<'a>(&self, evidence: &'a [Evidence]) -> Vec<Passage<'a>> {
        let passage = |passage: &'a Evidence| {
            let cosine = passage.components.iter().find(|(name, _)| name == "cosine");
            Passage {
                text: &passage.text,
                tokens: self.embedder.count_tokens(&passage.text),
                score: passage.score,
                likeness: cosine.map(|(_, cosine)| *cosine),
            }
        };
        evidence.iter().map(passage).collect()
    }

    /// Makes passages that the caller brought smaller, and records that, so that feedback can name it.
    ///
    /// # Errors
    /// If nothing is asked, a stored passage is not there, or there is no such model.
    pub async fn optimize_context(
        self: &Arc<Self>,
        request: ContextRequest,
    ) -> Result<SmallerContext, EngineError> {
        if request.query.text.trim().is_empty() {
            return Err(EngineError::InvalidQuery("the query is empty: say what is asked".to_owned()));
        }
        let (recorded, smaller) = self.blocking(move |engine| engine.optimize_context_now(&request)).await?;
        recorded.written.await?;
        Ok(smaller)
    }

    fn optimize_context_now(
        &self,
        request: &ContextRequest,
    ) -> Result<(Recorded, SmallerContext), EngineError> {
        let started = Instant::now();
        let at = self.clock.now();
        let id = RequestId::from_parts(at.0, fastrand::u128(..));
        let price = match &request.model {
            Some(name) => self.known_model(name)?.price(),
            None => None,
        };
        let material = self.brought(request)?;
        let given: Vec<Passage<'_>> = material
            .iter()
            .map(|material| Passage {
                text: &material.text,
                tokens: self.embedder.count_tokens(&material.text),
                score: material.score,
                likeness: material.likeness,
            })
            .collect();
        let (optimized, texts) = self.fitted(&request.query.text, &given, request.target);
        let passages = optimized.kept.iter().zip(texts).map(|(kept, text)| SmallerPassage {
            place: kept.passage,
            title: material[kept.passage].title.clone(),
            text: text.unwrap_or_else(|| material[kept.passage].text.clone()),
            tokens: kept.tokens,
        });
        let passages = ordered(passages.collect(), request.order);
        let contradiction = |conflict: &Conflict| {
            let said = |which: usize| {
                let text = &material[conflict.passages[which]].text;
                text.get(conflict.sentences[which].clone()).unwrap_or_default().to_owned()
            };
            Contradiction {
                passages: conflict.passages,
                sentences: [said(0), said(1)],
                denies: conflict.denies,
            }
        };
        let conflicts = optimized.conflicts.iter().map(contradiction).collect();
        let cost = price.map(|price| {
            [optimized.original, optimized.optimized].map(|tokens| {
                price.of(Usage { input_tokens: tokens as u64, cached_input_tokens: 0, output_tokens: 0 })
            })
        });
        let took = timing(Stage::Plan, started);
        let decision = self.context_decision(id, request, &optimized, took.ms)?;
        let recorded = self.store.record_decision(decision.clone());
        // What is stored of it, as it was handed back.
        let evidence =
            passages.iter().filter_map(|passage| material[passage.place].evidence.clone()).collect();
        let text: Vec<&str> = passages.iter().map(|passage| passage.text.as_str()).collect();
        let answer = Answer {
            text: text.join("\n\n"),
            found: !passages.is_empty(),
            timings: vec![took],
            degraded: optimized
                .overlong
                .then(|| "even the best sentence is longer than what was allowed".to_owned()),
            ..Answer::of_passages(evidence, self.clock.now())
        };
        // Under way once called; whoever reads the decision waits for it.
        drop(self.store.record_answer(id, answer));
        Ok((recorded, SmallerContext { decision, passages, optimized, conflicts, cost }))
    }

    fn brought(&self, request: &ContextRequest) -> Result<Vec<Material>, EngineError> {
        let chunks: Vec<ChunkId> =
            request.passages.iter().filter_map(|(brought, _)| brought.chunk()).collect();
        let (stored, embeddings, asked) = match chunks.is_empty() {
            true => Default::default(),
            false => (
                self.store.chunks(&chunks)?,
                self.corpus.vectors.embeddings(&chunks)?,
                self.embedder.embed(&[&request.query.text])?.pop().unwrap_or_default(),
            ),
        };
        let mut embeddings = chunks.iter().zip(embeddings);
        let mut material = Vec::with_capacity(request.passages.len());
        for (place, (brought, score)) in request.passages.iter().enumerate() {
            let score = score.unwrap_or(1.0 / (1.0 + RANK_STEP * place as f32));
            material.push(match brought {
                Brought::Text { title, text } => Material {
                    title: title.clone(),
                    text: text.clone(),
                    score,
                    likeness: None,
                    evidence: None,
                },
                Brought::Chunk(chunk) => {
                    let embedding = embeddings.next().and_then(|(_, embedding)| embedding);
                    let found = stored.iter().find(|stored| stored.id == *chunk);
                    let found = found.ok_or(EngineError::NoSuchChunk(*chunk))?.clone();
                    Material {
                        title: found.title.clone(),
                        text: found.text.clone(),
                        score,
                        likeness: embedding.map(|embedding| dot(&asked, &embedding)),
                        evidence: Some(Evidence {
                            chunk: found.id,
                            document: found.document,
                            document_key: found.document_key,
                            title: found.title,
                            location: found.location,
                            text: found.text,
                            score,
                            components: Vec::new(),
                            lifted: None,
                        }),
                    }
                }
            });
        }
        Ok(material)
    }

    /// What was brought, as though it had been found: what is not stored has no chunk.
    pub(crate) fn brought_as_evidence(&self, request: &ContextRequest) -> Result<Vec<Evidence>, EngineError> {
        let evidence = |material: Material| {
            let Material { title, text, score, .. } = material;
            material.evidence.unwrap_or(Evidence {
                chunk: ChunkId(0),
                document: DocumentId(0),
                document_key: String::new(),
                title,
                location: Location::default(),
                text,
                score,
                components: Vec::new(),
                lifted: None,
            })
        };
        Ok(self.brought(request)?.into_iter().map(evidence).collect())
    }

    fn context_decision(
        &self,
        id: RequestId,
        request: &ContextRequest,
        optimized: &Optimized,
        latency_ms: f64,
    ) -> Result<Decision, EngineError> {
        let query = &request.query;
        let plan = Plan {
            strategy: Strategy::new(GIVEN),
            depth: request.passages.len(),
            context_tokens: u32::try_from(optimized.optimized).unwrap_or(u32::MAX),
            reduction: 1.0 - optimized.optimized as f64 / optimized.original.max(1) as f64,
            answerer: Answerer::Passages,
            parameters: None,
            prompt: None,
        };
        let prediction = Prediction {
            quality: 1.0,
            quality_deviation: 0.0,
            added: 0.0,
            latency_ms,
            cost: Money::ZERO,
            outcomes: 0,
        };
        Ok(Decision {
            id,
            at: self.clock.now(),
            query: query.text.clone(),
            user: query.user.clone(),
            features: query_features(query, &self.corpus.lexical.term_idf(&query.text)?),
            sketch: None,
            policy: POLICY.to_owned(),
            candidates: vec![Candidate { plan, prediction, propensity: 1.0 }],
            chosen: 0,
            reason: format!("{} of {} tokens are left", optimized.optimized, optimized.original),
            charge: 0.0,
            cache: None,
            experiment: None,
        })
    }
}

/// A passage that was brought, with all that is known of it.
struct Material {
    title: String,
    text: String,
    score: f32,
    likeness: Option<f32>,
    /// What is stored of it.
    evidence: Option<Evidence>,
}

impl Brought {
    fn chunk(&self) -> Option<ChunkId> {
        match self {
            Self::Chunk(chunk) => Some(*chunk),
            Self::Text { .. } => None,
        }
    }
}

fn ordered<T>(ranked: Vec<T>, order: ContextOrder) -> Vec<T> {
    match order {
        ContextOrder::Rank => ranked,
        ContextOrder::Edges => {
            let places = edges_first(ranked.len());
            let mut ranked: Vec<Option<T>> = ranked.into_iter().map(Some).collect();
            places.into_iter().filter_map(|place| ranked.get_mut(place)?.take()).collect()
        }
    }
}
