//! BM25 over headings and text, and the one place where metadata filters are resolved.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burnish_types::{
    ChunkId, Condition, Filter, Generation, Hit, IndexError, IndexedChunk, LexicalIndex, MetadataValue,
};
use parking_lot::Mutex;
use roaring::RoaringTreemap;
use tantivy::collector::{Collector, SegmentCollector, TopDocs};
use tantivy::columnar::Column;
use tantivy::directory::MmapDirectory;
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, ConstScoreQuery, EmptyQuery, Occur, Query, RangeQuery, TermQuery,
};
use tantivy::schema::{
    FAST, Field, INDEXED, IndexRecordOption, JsonObjectOptions, Schema, TextFieldIndexing, TextOptions,
};
use tantivy::tokenizer::{
    AsciiFoldingFilter, Language, LowerCaser, RemoveLongFilter, SimpleTokenizer, Stemmer, StopWordFilter,
    TextAnalyzer,
};
use tantivy::{
    DocId, Index, IndexReader, IndexWriter, ReloadPolicy, Score, SegmentReader, TantivyDocument, Term,
};

const ANALYZER: &str = "burnish_text";
/// One indexing thread: the embedder needs the cores more, and one thread keeps segments few.
const WRITER_MEMORY_BYTES: usize = 48 << 20;
/// Resolved filters that are kept for the generation they were resolved at.
const CACHED_FILTERS: usize = 64;

#[derive(Clone, Copy)]
struct Fields {
    chunk: Field,
    text: Field,
    metadata: Field,
}

/// The lexical engine on tantivy, in one directory.
pub struct TantivyIndex {
    directory: PathBuf,
    index: Index,
    fields: Fields,
    reader: IndexReader,
    writer: Mutex<IndexWriter>,
    state: Mutex<State>,
}

struct State {
    generation: Generation,
    resolved: BTreeMap<String, Arc<RoaringTreemap>>,
}

impl TantivyIndex {
    /// Opens the index in `directory`, or makes an empty one. Every byte of it is checked, so that what was damaged
    /// is noticed here and not by a reader.
    ///
    /// # Errors
    /// If the directory cannot be written, or its files are not those that were written.
    pub fn open(directory: &Path) -> Result<Self, IndexError> {
        let failed = |reason: &dyn std::fmt::Display| failure(directory, reason);
        std::fs::create_dir_all(directory).map_err(|error| failed(&error))?;
        let (schema, fields) = schema();
        let files = MmapDirectory::open(directory).map_err(|error| failed(&error))?;
        let index = Index::open_or_create(files, schema).map_err(|error| failed(&error))?;
        let damaged = index.validate_checksum().map_err(|error| failed(&error))?;
        if let Some(file) = damaged.iter().min() {
            return Err(failed(&format!("the checksum of `{}` is another one", file.display())));
        }
        index.tokenizers().register(ANALYZER, analyzer());
        let writer = index.writer_with_num_threads(1, WRITER_MEMORY_BYTES).map_err(|error| failed(&error))?;
        let reader = index
            .reader_builder()
            .reload_policy(ReloadPolicy::Manual)
            .try_into()
            .map_err(|error| failed(&error))?;
        let payload = index.load_metas().map_err(|error| failed(&error))?.payload;
        let generation = Generation(payload.and_then(|text| text.parse().ok()).unwrap_or(0));
        Ok(Self {
            directory: directory.to_owned(),
            index,
            fields,
            reader,
            writer: Mutex::new(writer),
            state: Mutex::new(State { generation, resolved: BTreeMap::new() }),
        })
    }

    /// Drops every chunk for good, as though none had ever been applied.
    ///
    /// # Errors
    /// If that cannot be written.
    pub fn clear(&self) -> Result<(), IndexError> {
        self.writer.lock().delete_all_documents().map_err(|error| self.failed(&error))?;
        self.commit(Generation(0))
    }

    /// The chunks that pass `filter`, at the generation that is searchable now.
    pub fn matching(&self, filter: &Filter) -> Result<Arc<RoaringTreemap>, IndexError> {
        let key = format!("{filter:?}");
        if let Some(chunks) = self.state.lock().resolved.get(&key) {
            return Ok(Arc::clone(chunks));
        }
        let generation = self.generation();
        let found = self
            .reader
            .searcher()
            .search(&self.filter_query(filter), &ChunkSet)
            .map_err(|error| self.failed(&error))?;
        let found = Arc::new(found);
        let mut state = self.state.lock();
        if state.generation == generation {
            if state.resolved.len() >= CACHED_FILTERS {
                state.resolved.clear();
            }
            state.resolved.insert(key, Arc::clone(&found));
        }
        Ok(found)
    }

    fn failed(&self, reason: &dyn std::fmt::Display) -> IndexError {
        failure(&self.directory, reason)
    }

    fn terms(&self, text: &str) -> Result<Vec<Term>, IndexError> {
        let mut analyzer = self.index.tokenizers().get(ANALYZER).unwrap_or_else(analyzer);
        let mut terms = Vec::new();
        analyzer
            .token_stream(text)
            .process(&mut |token| terms.push(Term::from_field_text(self.fields.text, &token.text)));
        Ok(terms)
    }

    /// A union of the analysed words: no query syntax, so nothing that a person types is an error.
    fn text_query(&self, text: &str) -> Result<Box<dyn Query>, IndexError> {
        let mut weights: BTreeMap<Term, f32> = BTreeMap::new();
        for term in self.terms(text)? {
            *weights.entry(term).or_default() += 1.0;
        }
        let clauses = weights.into_iter().map(|(term, weight)| {
            let word = TermQuery::new(term, IndexRecordOption::WithFreqs);
            let clause: Box<dyn Query> =
                if weight > 1.0 { Box::new(BoostQuery::new(Box::new(word), weight)) } else { Box::new(word) };
            (Occur::Should, clause)
        });
        let clauses: Vec<_> = clauses.collect();
        Ok(if clauses.is_empty() { Box::new(EmptyQuery) } else { Box::new(BooleanQuery::new(clauses)) })
    }

    fn filter_query(&self, filter: &Filter) -> BooleanQuery {
        let mut clauses: Vec<(Occur, Box<dyn Query>)> = vec![(Occur::Must, Box::new(AllQuery))];
        for condition in &filter.all {
            let clause: Box<dyn Query> = match condition {
                Condition::Equals(field, value) => self.value_query(field, value),
                Condition::AnyOf(field, values) => Box::new(BooleanQuery::union(
                    values.iter().map(|value| self.value_query(field, value)).collect(),
                )),
                Condition::Between(field, low, high) => self.range_query(field, *low, *high),
            };
            clauses.push((Occur::Must, clause));
        }
        BooleanQuery::new(clauses)
    }

    fn value_query(&self, field: &str, value: &MetadataValue) -> Box<dyn Query> {
        let mut term = Term::from_field_json_path(self.fields.metadata, &escaped(field), false);
        match value {
            MetadataValue::Text(text) => term.append_type_and_str(text),
            MetadataValue::Bool(flag) => term.append_type_and_fast_value(*flag),
            MetadataValue::Number(number) => return self.range_query(field, *number, *number),
        }
        Box::new(TermQuery::new(term, IndexRecordOption::Basic))
    }

    fn range_query(&self, field: &str, low: f64, high: f64) -> Box<dyn Query> {
        let bound = |value: f64| {
            let mut term = Term::from_field_json_path(self.fields.metadata, &escaped(field), false);
            term.append_type_and_fast_value(value);
            Bound::Included(term)
        };
        Box::new(RangeQuery::new(bound(low), bound(high)))
    }
}

impl LexicalIndex for TantivyIndex {
    fn generation(&self) -> Generation {
        self.state.lock().generation
    }

    fn apply(&self, added: &[IndexedChunk], removed: &[ChunkId]) -> Result<(), IndexError> {
        let writer = self.writer.lock();
        for chunk in added {
            writer.delete_term(Term::from_field_u64(self.fields.chunk, chunk.id.0));
            writer.add_document(document(self.fields, chunk)).map_err(|error| self.failed(&error))?;
        }
        for id in removed {
            writer.delete_term(Term::from_field_u64(self.fields.chunk, id.0));
        }
        Ok(())
    }

    fn commit(&self, generation: Generation) -> Result<(), IndexError> {
        let mut writer = self.writer.lock();
        let outcome = writer.prepare_commit().and_then(|mut prepared| {
            prepared.set_payload(&generation.0.to_string());
            prepared.commit()
        });
        if let Err(error) = outcome {
            // What was not committed is still in the store, and is applied again from there.
            let _ = writer.rollback();
            return Err(self.failed(&error));
        }
        self.reader.reload().map_err(|error| self.failed(&error))?;
        *self.state.lock() = State { generation, resolved: BTreeMap::new() };
        Ok(())
    }

    fn search(&self, query: &str, filter: &Filter, limit: usize) -> Result<Vec<Hit>, IndexError> {
        if limit == 0 {
            return Ok(Vec::new());
        }
        let words = self.text_query(query)?;
        let query: Box<dyn Query> = if filter.is_empty() {
            words
        } else {
            let passing = ConstScoreQuery::new(Box::new(self.filter_query(filter)), 0.0);
            Box::new(BooleanQuery::new(vec![(Occur::Must, words), (Occur::Must, Box::new(passing))]))
        };
        let searcher = self.reader.searcher();
        let top = searcher
            .search(&query, &TopDocs::with_limit(limit).order_by_score())
            .map_err(|error| self.failed(&error))?;
        let mut hits = Vec::with_capacity(top.len());
        for (score, address) in top {
            let segment = searcher.segment_reader(address.segment_ord);
            let column = chunk_column(segment).map_err(|error| self.failed(&error))?;
            let chunk = column.first(address.doc_id).unwrap_or_default();
            hits.push(Hit { chunk: ChunkId(chunk), score });
        }
        Ok(hits)
    }

    fn term_idf(&self, query: &str) -> Result<Vec<(String, f32)>, IndexError> {
        let searcher = self.reader.searcher();
        let total = searcher.num_docs() as f32;
        self.terms(query)?
            .into_iter()
            .map(|term| {
                let frequency = searcher.doc_freq(&term).map_err(|error| self.failed(&error))? as f32;
                // The same idf as BM25's (Robertson 2009, eq. 3.4, made positive).
                let idf = (1.0 + (total - frequency + 0.5).max(0.0) / (frequency + 0.5)).ln();
                Ok((term.value().as_str().unwrap_or_default().to_owned(), idf))
            })
            .collect()
    }

    fn count(&self) -> Result<u64, IndexError> {
        Ok(self.reader.searcher().num_docs())
    }

    fn chunk_ids(&self) -> Result<Vec<ChunkId>, IndexError> {
        let searcher = self.reader.searcher();
        let ids = searcher.search(&AllQuery, &ChunkSet).map_err(|error| self.failed(&error))?;
        Ok(ids.into_iter().map(ChunkId).collect())
    }
}

fn failure(directory: &Path, reason: &dyn std::fmt::Display) -> IndexError {
    IndexError::Engine {
        engine: "lexical",
        path: directory.display().to_string(),
        reason: reason.to_string(),
    }
}

fn schema() -> (Schema, Fields) {
    let mut schema = Schema::builder();
    let words =
        TextFieldIndexing::default().set_tokenizer(ANALYZER).set_index_option(IndexRecordOption::WithFreqs);
    let exact = TextFieldIndexing::default().set_tokenizer("raw").set_index_option(IndexRecordOption::Basic);
    let metadata = JsonObjectOptions::default().set_indexing_options(exact).set_fast("raw");
    let fields = Fields {
        chunk: schema.add_u64_field("chunk", INDEXED | FAST),
        text: schema.add_text_field("text", TextOptions::default().set_indexing_options(words)),
        metadata: schema.add_json_field("metadata", metadata),
    };
    (schema.build(), fields)
}

fn analyzer() -> TextAnalyzer {
    let words = TextAnalyzer::builder(SimpleTokenizer::default())
        .filter(RemoveLongFilter::limit(100))
        .filter(LowerCaser)
        .filter(AsciiFoldingFilter);
    match StopWordFilter::new(Language::English) {
        Some(stop_words) => words.filter(stop_words).filter(Stemmer::new(Language::English)).build(),
        None => words.filter(Stemmer::new(Language::English)).build(),
    }
}

fn document(fields: Fields, chunk: &IndexedChunk) -> TantivyDocument {
    let mut document = TantivyDocument::new();
    document.add_u64(fields.chunk, chunk.id.0);
    document.add_text(fields.text, &chunk.heading);
    document.add_text(fields.text, &chunk.text);
    let metadata = chunk.metadata.iter().map(|(name, value)| {
        let value = match value {
            MetadataValue::Bool(flag) => tantivy::schema::OwnedValue::Bool(*flag),
            MetadataValue::Number(number) => tantivy::schema::OwnedValue::F64(*number),
            MetadataValue::Text(text) => tantivy::schema::OwnedValue::Str(text.clone()),
        };
        (name.clone(), value)
    });
    document.add_object(fields.metadata, metadata.collect());
    document
}

/// A field's name whose dots are part of it, and no path.
fn escaped(field: &str) -> String {
    field.replace('.', "\\.")
}

fn chunk_column(segment: &SegmentReader) -> tantivy::Result<Column<u64>> {
    segment.fast_fields().u64("chunk")
}

/// Collects the chunk ids of everything that matches.
struct ChunkSet;

struct SegmentChunkSet {
    column: Column<u64>,
    found: RoaringTreemap,
}

impl Collector for ChunkSet {
    type Fruit = RoaringTreemap;
    type Child = SegmentChunkSet;

    fn for_segment(&self, _ordinal: u32, segment: &SegmentReader) -> tantivy::Result<Self::Child> {
        Ok(SegmentChunkSet { column: chunk_column(segment)?, found: RoaringTreemap::new() })
    }

    fn requires_scoring(&self) -> bool {
        false
    }

    fn merge_fruits(&self, fruits: Vec<RoaringTreemap>) -> tantivy::Result<RoaringTreemap> {
        Ok(fruits.into_iter().fold(RoaringTreemap::new(), |all, part| all | part))
    }
}

impl SegmentCollector for SegmentChunkSet {
    type Fruit = RoaringTreemap;

    fn collect(&mut self, document: DocId, _score: Score) {
        if let Some(chunk) = self.column.first(document) {
            self.found.insert(chunk);
        }
    }

    fn harvest(self) -> RoaringTreemap {
        self.found
    }
}
