//! `decomposed`: `hybrid` for questions whose answer takes several passages.
//!
//! The question is split into the names it asks about; the best passage of the first hop, and the best one
//! about another name of the question, are anchors. A second hop looks for what an anchor names and the
//! question does not (the bridge), and a third one for what the best bridge names. Passages that are about
//! such a name rise; the first anchor stays on top, so that a question of one hop loses nothing there. It costs
//! four short searches by words, no embedding and no model.
//!
//! Where there is a language model and the question is likely to take several hops, the model splits it into simple
//! ones, and the best passages for each of them rise, too. Following a passage's names to the passages about them is
//! the idea of graph-based multi-hop retrievers (Asai et al. 2020, "Learning to Retrieve Reasoning Paths"), with
//! the titles and first words of passages in place of hyperlinks.

mod parts;

use std::collections::{HashMap, HashSet};

use burnish_types::{ChunkId, Hit, dot};

use crate::candidates::Candidates;
use crate::fusion::{convex, ranked};
use crate::hybrid::DENSE_WEIGHT;
use crate::names::{Mentions, asked_names, names, raw_words, subject};
use crate::{PassageText, Request, RetrievalError, Retriever, Scored, Sources};
use parts::Part;

const NAME: &str = "decomposed";
/// A model is asked for the parts of a question from this complexity on: below, there is most likely one.
const SPLIT_COMPLEXITY: f64 = 0.5;
/// What is added to the score of the best passage for a part of the question; as much as for a bridge, since both are
/// what a hop leads to. The passages after it gain less, by equal steps.
const PART_WEIGHT: f32 = 0.3;
/// Passages that rise for a part.
const PART_DEPTH: usize = 3;
/// Names that are filled in for the answer of an earlier part.
const FILLED_NAMES: usize = 4;
/// What is added to the fused score of a passage about a name; chosen on half of BeerQA's multi-hop questions
/// (`docs/measurements.md`).
const BRIDGE_WEIGHT: f32 = 0.3;
const ASKED_WEIGHT: f32 = 0.1;
const CHAIN_WEIGHT: f32 = 0.1;
/// Passages of the first hop that are looked at.
const FIRST_HOP: usize = 50;
/// Passages of the first hop among which a second anchor is looked for.
const ANCHOR_DEPTH: usize = 5;
/// How many passages a search for names brings.
const NAMES_DEPTH: usize = 50;
/// Names of one text that are searched for, the first ones: a passage says early what it is about.
const SEARCHED_NAMES: usize = 32;
/// Passages about one subject that rise, so that a long document does not fill the head.
const PASSAGES_A_SUBJECT: usize = 2;

pub(crate) struct Decomposed;

impl Retriever for Decomposed {
    fn name(&self) -> &'static str {
        NAME
    }

    fn retrieve(&self, sources: Sources<'_>, request: Request<'_>) -> Result<Vec<Scored>, RetrievalError> {
        let parts = match sources.writer {
            Some(writer) if request.complexity >= SPLIT_COMPLEXITY => {
                parts::split(writer, NAME, request.query)?
            }
            _ => Vec::new(),
        };
        let mut candidates = Candidates::find(sources, request)?;
        candidates.complete(sources, request.embedding)?;
        let first = convex(&candidates.lexical, &candidates.dense, DENSE_WEIGHT);
        let Some(anchor) = first.first().map(|scored| scored.chunk) else { return Ok(first) };
        let mut hops = Hops::start(sources, request, candidates, &first)?;
        let mut bonuses = hops.follow(anchor, &first)?;
        for (id, bonus) in hops.answer(&parts)? {
            gain(&mut bonuses, id, bonus);
        }
        let mut fused = convex(&hops.candidates.lexical, &hops.candidates.dense, DENSE_WEIGHT);
        raise(&mut fused, &bonuses, &hops.texts, anchor);
        let mut result = ranked(fused);
        result.truncate(request.limit);
        Ok(result)
    }
}

/// What is known while hops are made.
struct Hops<'a> {
    sources: Sources<'a>,
    request: Request<'a>,
    candidates: Candidates,
    /// Every passage that may rise.
    texts: HashMap<ChunkId, PassageText>,
    /// The question's analysed terms.
    terms: HashSet<String>,
    /// A word with a smaller idf names too much to be followed alone.
    rare: f32,
}

/// What is added to a passage's score.
type Bonuses = HashMap<ChunkId, f32>;

impl<'a> Hops<'a> {
    fn start(
        sources: Sources<'a>,
        request: Request<'a>,
        candidates: Candidates,
        first: &[Scored],
    ) -> Result<Self, RetrievalError> {
        let terms = sources.lexical.term_idf(request.query)?.into_iter().map(|(term, _)| term).collect();
        // Half of the largest idf there is: the word stands in at most about √n of n passages.
        let rare = 0.5 * (1.0 + (sources.lexical.count()? as f32 - 0.5).max(0.0) / 1.5).ln();
        let mut hops = Self { sources, request, candidates, texts: HashMap::new(), terms, rare };
        let ids: Vec<ChunkId> = first.iter().take(FIRST_HOP).map(|scored| scored.chunk).collect();
        hops.read(&ids)?;
        Ok(hops)
    }

    /// Finds the anchors and the bridges, and says what each passage gains by them.
    fn follow(&mut self, anchor: ChunkId, first: &[Scored]) -> Result<Bonuses, RetrievalError> {
        let question = self.request.query;
        let asked = asked_names(question);
        let asked_about = Mentions::new(question, &asked, "");
        self.search(&asked)?;
        let anchors: Vec<ChunkId> =
            std::iter::once(anchor).chain(self.second_anchor(anchor, first, &asked_about)).collect();
        let bridges = anchors.iter().map(|id| self.mentioned(*id)).collect::<Result<Vec<_>, _>>()?;

        let mut bonuses = Bonuses::new();
        for (id, passage) in &self.texts {
            let strength = asked_about.strength(passage);
            if strength > 0.0 && self.is_telling(subject(passage))? {
                gain(&mut bonuses, *id, ASKED_WEIGHT * strength);
            }
        }
        let mut bridged = Bonuses::new();
        for (from, mentions) in anchors.iter().zip(&bridges) {
            self.bridge(&mut bridged, *from, mentions, BRIDGE_WEIGHT)?;
        }
        if let Some(next) = self.best_bridge(&bridged, &anchors) {
            let mentions = self.mentioned(next)?;
            self.bridge(&mut bonuses, next, &mentions, CHAIN_WEIGHT)?;
        }
        for (id, bonus) in bridged {
            gain(&mut bonuses, id, bonus);
        }
        Ok(bonuses)
    }

    /// The best passage of the first hop about another name of the question than the first anchor's.
    fn second_anchor(&self, anchor: ChunkId, first: &[Scored], asked: &Mentions) -> Option<ChunkId> {
        let known = subject(self.texts.get(&anchor)?);
        let other = |id: &ChunkId| {
            let passage = self.texts.get(id);
            passage.is_some_and(|passage| subject(passage) != known && asked.strength(passage) > 0.0)
        };
        first.iter().take(ANCHOR_DEPTH).skip(1).map(|scored| scored.chunk).find(other)
    }

    /// What the passage names and the question does not, searched for.
    fn mentioned(&mut self, id: ChunkId) -> Result<Mentions, RetrievalError> {
        let Some(passage) = self.texts.get(&id) else { return Ok(Mentions::new("", &[], "")) };
        let new = self.new_names(passage)?;
        let mentions = Mentions::new(&passage.text, &new, subject(passage));
        self.search(&new)?;
        Ok(mentions)
    }

    /// What the passage names and the question does not.
    fn new_names(&self, passage: &PassageText) -> Result<Vec<String>, RetrievalError> {
        let mut new = Vec::new();
        for name in names(&passage.text) {
            if self.is_new(&name)? {
                new.push(name);
            }
        }
        Ok(new)
    }

    /// Asks the parts one after the other, and says what the best passages for each gain. A part that needs an earlier
    /// answer is asked with the names in the best passage for that one.
    fn answer(&mut self, parts: &[Part]) -> Result<Bonuses, RetrievalError> {
        let mut bonuses = Bonuses::new();
        let mut best: Vec<Option<ChunkId>> = Vec::new();
        for part in parts {
            let before = part.needs.and_then(|place| *best.get(place)?);
            let mut names = match before.and_then(|id| self.texts.get(&id)) {
                Some(passage) => self.new_names(passage)?,
                None => Vec::new(),
            };
            names.truncate(FILLED_NAMES);
            let asked = part.asked_with(&names);
            let embedding = self.sources.embedder.embed(&[&asked])?.pop().unwrap_or_default();
            let mut found = Candidates::find_by(self.sources, self.request, &asked, &embedding)?;
            found.complete(self.sources, &embedding)?;
            let fused = convex(&found.lexical, &found.dense, DENSE_WEIGHT);
            let ids: Vec<ChunkId> = fused.iter().map(|scored| scored.chunk).take(PART_DEPTH).collect();
            self.bring_in(&ids)?;
            for (place, id) in ids.iter().enumerate() {
                gain(&mut bonuses, *id, PART_WEIGHT * (1.0 - place as f32 / PART_DEPTH as f32));
            }
            best.push(ids.first().copied());
        }
        Ok(bonuses)
    }

    /// Whether `name` says anything that the question does not say.
    fn is_new(&self, name: &str) -> Result<bool, RetrievalError> {
        let terms = self.sources.lexical.term_idf(name)?;
        Ok(terms.iter().any(|(term, _)| !self.terms.contains(term)))
    }

    /// Whether a title tells one subject from most others; a title of several words, or none, does.
    fn is_telling(&self, title: &str) -> Result<bool, RetrievalError> {
        if raw_words(title).count() != 1 {
            return Ok(true);
        }
        Ok(self.sources.lexical.term_idf(title)?.iter().any(|(_, idf)| *idf >= self.rare))
    }

    fn bridge(
        &self,
        bonuses: &mut Bonuses,
        from: ChunkId,
        mentions: &Mentions,
        weight: f32,
    ) -> Result<(), RetrievalError> {
        for (id, passage) in &self.texts {
            let strength = mentions.strength(passage);
            let title = subject(passage);
            let followed = *id != from && strength > 0.0;
            if followed && self.is_telling(title)? && (title.is_empty() || self.is_new(title)?) {
                gain(bonuses, *id, weight * strength);
            }
        }
        Ok(())
    }

    /// The passage that a third hop starts from.
    fn best_bridge(&self, bridged: &Bonuses, anchors: &[ChunkId]) -> Option<ChunkId> {
        let fused = convex(&self.candidates.lexical, &self.candidates.dense, DENSE_WEIGHT);
        let raised = fused.into_iter().filter_map(|scored| {
            let bonus = bridged.get(&scored.chunk).filter(|_| !anchors.contains(&scored.chunk))?;
            Some(Scored { score: scored.score + bonus, ..scored })
        });
        ranked(raised.collect()).first().map(|scored| scored.chunk)
    }

    /// Brings in passages with these names.
    fn search(&mut self, names: &[String]) -> Result<(), RetrievalError> {
        let names = &names[..SEARCHED_NAMES.min(names.len())];
        if names.is_empty() {
            return Ok(());
        }
        let hits = self.sources.lexical.search(&names.join(" "), self.request.filter, NAMES_DEPTH)?;
        let found: Vec<ChunkId> = hits.iter().map(|hit| hit.chunk).collect();
        self.bring_in(&found)
    }

    /// Makes candidates of those passages that are none.
    fn bring_in(&mut self, found: &[ChunkId]) -> Result<(), RetrievalError> {
        let new = found.iter().copied().filter(|id| !self.texts.contains_key(id));
        let new: Vec<ChunkId> = new.collect();
        let known: HashSet<ChunkId> = self.candidates.dense.iter().map(|hit| hit.chunk).collect();
        for (id, vector) in new.iter().zip(self.sources.vectors.embeddings(&new)?) {
            if let Some(vector) = vector.filter(|_| !known.contains(id)) {
                let score = dot(self.request.embedding, &vector);
                self.candidates.dense.push(Hit { chunk: *id, score });
            }
        }
        self.read(&new)
    }

    fn read(&mut self, ids: &[ChunkId]) -> Result<(), RetrievalError> {
        let texts = self.sources.passages.texts(ids).map_err(RetrievalError::Passages)?;
        let there = ids.iter().zip(texts).filter_map(|(id, text)| Some((*id, text?)));
        self.texts.extend(there);
        Ok(())
    }
}

fn gain(bonuses: &mut Bonuses, id: ChunkId, bonus: f32) {
    if bonus > 0.0 {
        let known = bonuses.entry(id).or_default();
        *known = known.max(bonus);
    }
}

/// Adds the bonuses, to the best passages of each subject only, and keeps the anchor on top.
fn raise(fused: &mut [Scored], bonuses: &Bonuses, texts: &HashMap<ChunkId, PassageText>, anchor: ChunkId) {
    fused.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.chunk.cmp(&b.chunk)));
    let mut raised: HashMap<&str, usize> = HashMap::new();
    for scored in fused.iter_mut().filter(|scored| scored.chunk != anchor) {
        let Some(bonus) = bonuses.get(&scored.chunk) else { continue };
        let title = texts.get(&scored.chunk).map(subject).unwrap_or_default();
        let count = raised.entry(title).or_default();
        if title.is_empty() || *count < PASSAGES_A_SUBJECT {
            *count += 1;
            scored.score += bonus;
            scored.components.push(("named", *bonus));
        }
    }
    let top = fused.iter().map(|scored| scored.score).fold(0.0, f32::max);
    if let Some(first) = fused.iter_mut().find(|scored| scored.chunk == anchor)
        && first.score <= top
    {
        first.score = top + 1e-6;
    }
}
