//! Kept answers: by their key, and by likeness within their scope; bounded in bytes and in age; gone with what they
//! rest on.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::RandomState;
use std::sync::Arc;

use burnish_types::RequestId;
use quick_cache::unsync::Cache;
use quick_cache::{Lifecycle, Weighter};
use serde::{Deserialize, Serialize};
use zstd::bulk::{Compressor, Decompressor};

use crate::evidence::conflict;
use crate::guarantee::Record;
use crate::nearest::Nearest;
use crate::question::{Packed, Question};

/// What an entry takes beside its answer, its question, its embedding and its chunks.
const OVERHEAD: usize = 512;
/// What one chunk takes that an entry rests on.
const CHUNK_OVERHEAD: usize = 40;
/// Entries are expected to be about this large, which only sizes tables.
const USUAL_ENTRY: u64 = 2_048;
/// Removals that are remembered, so that an answer that was under way meanwhile is not kept.
const REMEMBERED_REMOVALS: usize = 65_536;
/// Answers are compressed as hard as costs next to nothing.
const LEVEL: i32 = 3;

/// What makes two requests the same request, hashed by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Key(pub [u8; 32]);

/// Within which requests may share answers: tenant, model, parameters, template and conversation, hashed by the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Scope(pub [u8; 32]);

/// An answer to be kept.
#[derive(Clone, Debug)]
pub struct Fresh<'a> {
    /// The request that it was written for.
    pub request: RequestId,
    /// What it is found by when the same is asked again.
    pub key: Key,
    /// With whom it is shared when something similar is asked; `None` keeps it from that.
    pub similar: Option<(Scope, &'a Question)>,
    /// The question's text.
    pub text: &'a str,
    /// The answer, in whatever form the caller reads again.
    pub answer: &'a [u8],
    /// The chunks that it rests on.
    pub chunks: &'a [u64],
    /// The corpus's generation when the chunks were read.
    pub generation: u64,
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq)]
pub struct Kept {
    /// Names the entry.
    pub id: u64,
    /// The request that it was written for.
    pub request: RequestId,
    /// The question that it answers.
    pub text: String,
    /// The answer.
    pub answer: Vec<u8>,
    /// Its age in milliseconds.
    pub age: u64,
}

/// A similar question whose answer is kept.
#[derive(Clone, Debug)]
pub struct Similar {
    /// Names the entry.
    pub id: u64,
    /// The question.
    pub question: Question,
    /// What became of its answer.
    pub record: Record,
}

/// An answer on its way to or from a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StoredAnswer {
    request: RequestId,
    key: [u8; 32],
    similar: Option<([u8; 32], f32, Vec<i8>)>,
    text: String,
    answer: Vec<u8>,
    chunks: Vec<u64>,
    kept_at: u64,
    right: u32,
    wrong: u32,
}

impl StoredAnswer {
    /// The chunks that it rests on.
    pub fn chunks(&self) -> &[u64] {
        &self.chunks
    }

    /// The request that it was written for.
    pub fn request(&self) -> RequestId {
        self.request
    }
}

#[derive(Debug)]
struct Entry {
    id: u64,
    request: RequestId,
    scope: Option<Scope>,
    text: Box<str>,
    answer: Box<[u8]>,
    chunks: Box<[u64]>,
    kept_at: u64,
    dimensions: usize,
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Key, Arc<Entry>> for Weigh {
    fn weight(&self, _: &Key, entry: &Arc<Entry>) -> u64 {
        let Entry { text, answer, chunks, dimensions, .. } = entry.as_ref();
        (OVERHEAD + text.len() + answer.len() + dimensions + CHUNK_OVERHEAD * chunks.len()) as u64
    }
}

/// Hands out what was put out.
#[derive(Clone, Debug)]
struct Evicted;

impl Lifecycle<Key, Arc<Entry>> for Evicted {
    type RequestState = Vec<Arc<Entry>>;

    fn begin_request(&self) -> Self::RequestState {
        Vec::new()
    }

    fn on_evict(&self, gone: &mut Self::RequestState, _: Key, entry: Arc<Entry>) {
        gone.push(entry);
    }
}

/// What an answer takes once it is kept; `None` where it can't be compressed.
pub fn compressed_size(answer: &[u8]) -> Option<usize> {
    zstd::bulk::compress(answer, LEVEL).ok().map(|bytes| bytes.len())
}

/// All kept answers. The library's eviction is of the S3-FIFO kind: what is asked once does not put out what is asked
/// often.
pub struct Answers {
    entries: Cache<Key, Arc<Entry>, Weigh, RandomState, Evicted>,
    keys: HashMap<u64, (Key, Record)>,
    scopes: HashMap<Scope, Nearest>,
    dependents: HashMap<u64, Vec<u64>>,
    /// Chunks that were removed, with the generation that they were removed by.
    removed: VecDeque<(u64, u64)>,
    removed_chunks: HashSet<u64>,
    /// Removals up to this generation are forgotten.
    forgotten: u64,
    lifetime: u64,
    next: u64,
    /// Kept, since making one takes longer than using it; none where there was no memory for it.
    compressor: Option<Compressor<'static>>,
    decompressor: Option<Decompressor<'static>>,
}

impl Answers {
    /// Room for `bytes`; an answer lives `lifetime` milliseconds.
    pub fn new(bytes: u64, lifetime: u64) -> Self {
        let expected = usize::try_from(bytes / USUAL_ENTRY).unwrap_or(usize::MAX).clamp(16, 1 << 20);
        Self {
            entries: Cache::with(expected, bytes, Weigh, RandomState::new(), Evicted),
            keys: HashMap::new(),
            scopes: HashMap::new(),
            dependents: HashMap::new(),
            removed: VecDeque::new(),
            removed_chunks: HashSet::new(),
            forgotten: 0,
            lifetime,
            next: 1,
            compressor: Compressor::new(LEVEL).ok(),
            decompressor: Decompressor::new().ok(),
        }
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.entries.len() == 0
    }

    /// What they take, in bytes.
    pub fn bytes(&self) -> u64 {
        self.entries.weight()
    }

    /// Keeps an answer, unless something that it rests on is gone meanwhile. Returns the entry's id.
    pub fn keep(&mut self, fresh: &Fresh<'_>, now: u64) -> Option<u64> {
        let unsure = fresh.generation < self.forgotten;
        if unsure || fresh.chunks.iter().any(|chunk| self.removed_chunks.contains(chunk)) {
            return None;
        }
        let answer = self.compressor.as_mut()?.compress(fresh.answer).ok()?;
        let mut chunks = fresh.chunks.to_vec();
        chunks.sort_unstable();
        chunks.dedup();
        let similar = fresh.similar.map(|(scope, question)| (scope, &question.embedding));
        let entry = Entry {
            id: self.next,
            request: fresh.request,
            scope: similar.map(|(scope, _)| scope),
            text: fresh.text.into(),
            answer: answer.into(),
            chunks: chunks.into(),
            kept_at: now,
            dimensions: similar.map_or(0, |(_, vector)| vector.values.len()),
        };
        self.insert(fresh.key, entry, similar, Record::default())
    }

    fn insert(
        &mut self,
        key: Key,
        entry: Entry,
        similar: Option<(Scope, &Packed)>,
        record: Record,
    ) -> Option<u64> {
        self.drop_key(&key);
        let id = entry.id;
        self.next = self.next.max(id) + 1;
        self.keys.insert(id, (key, record));
        if let Some((scope, vector)) = similar {
            self.scopes.entry(scope).or_insert_with(|| Nearest::new(vector.values.len())).insert(id, vector);
        }
        for chunk in &entry.chunks {
            self.dependents.entry(*chunk).or_default().push(id);
        }
        let evicted = self.entries.insert_with_lifecycle(key, Arc::new(entry));
        evicted.iter().for_each(|entry| self.forget(entry));
        self.keys.contains_key(&id).then_some(id)
    }

    /// From now on an entry that was kept for the same request alone is found by likeness, too.
    pub fn liken(&mut self, id: u64, scope: Scope, question: &Question) {
        let Some((key, record)) = self.keys.get(&id).copied() else { return };
        let Some(entry) = self.entries.peek(&key).filter(|entry| entry.scope.is_none()) else { return };
        let vector = &question.embedding;
        let entry = Entry {
            id,
            request: entry.request,
            scope: Some(scope),
            text: entry.text.clone(),
            answer: entry.answer.clone(),
            chunks: entry.chunks.clone(),
            kept_at: entry.kept_at,
            dimensions: vector.values.len(),
        };
        self.insert(key, entry, Some((scope, vector)), record);
    }

    /// Everything that is kept, to be written out.
    pub fn stored(&self) -> Vec<StoredAnswer> {
        let stored = self.entries.iter().filter_map(|(key, entry)| {
            let (_, Record { right, wrong }) = self.keys.get(&entry.id)?;
            let similar = entry.scope.and_then(|scope| {
                let Packed { values, scale } = self.scopes.get(&scope)?.get(entry.id)?;
                Some((scope.0, scale, values.into_vec()))
            });
            Some(StoredAnswer {
                request: entry.request,
                key: key.0,
                similar,
                text: entry.text.to_string(),
                answer: entry.answer.to_vec(),
                chunks: entry.chunks.to_vec(),
                kept_at: entry.kept_at,
                right: *right,
                wrong: *wrong,
            })
        });
        stored.collect()
    }

    /// Takes in what was written out.
    pub fn restore(&mut self, stored: StoredAnswer) {
        let StoredAnswer { request, key, similar, text, answer, chunks, kept_at, right, wrong } = stored;
        let similar =
            similar.map(|(scope, scale, values)| (Scope(scope), Packed { values: values.into(), scale }));
        let entry = Entry {
            id: self.next,
            request,
            scope: similar.as_ref().map(|(scope, _)| *scope),
            text: text.into(),
            answer: answer.into(),
            chunks: chunks.into(),
            kept_at,
            dimensions: similar.as_ref().map_or(0, |(_, vector)| vector.values.len()),
        };
        let similar = similar.as_ref().map(|(scope, vector)| (*scope, vector));
        self.insert(Key(key), entry, similar, Record { right, wrong });
    }

    /// The answer to the same request.
    pub fn same(&mut self, key: &Key, now: u64) -> Option<Kept> {
        let entry = self.entries.get(key).cloned()?;
        self.hand_out(&entry, now)
    }

    /// The answer of an entry.
    pub fn answer(&mut self, id: u64, now: u64) -> Option<Kept> {
        let (key, _) = self.keys.get(&id)?;
        let entry = self.entries.get(key).cloned()?;
        self.hand_out(&entry, now)
    }

    fn hand_out(&mut self, entry: &Entry, now: u64) -> Option<Kept> {
        let age = now.saturating_sub(entry.kept_at);
        if age >= self.lifetime {
            self.drop_entry(entry.id);
            return None;
        }
        // The frame says how long it is.
        let length = zstd::zstd_safe::get_frame_content_size(&entry.answer).ok()??;
        let length = usize::try_from(length).ok()?;
        let answer = self.decompressor.as_mut()?.decompress(&entry.answer, length).ok()?;
        Some(Kept { id: entry.id, request: entry.request, text: entry.text.to_string(), answer, age })
    }

    /// Up to `count` similar questions of the scope, the nearest first, up to the first one that can have the same answer;
    /// none that is not at least so near.
    pub fn similar(
        &mut self,
        scope: &Scope,
        asked: &Question,
        count: usize,
        least: f32,
        now: u64,
    ) -> Vec<Similar> {
        let Some(nearest) = self.scopes.get(scope) else { return Vec::new() };
        let mut similar = Vec::new();
        let mut aged = Vec::new();
        for (cosine, id) in nearest.search(&asked.embedding, count) {
            let Some((key, record)) = self.keys.get(&id).filter(|_| cosine >= least) else { continue };
            let Some(entry) = self.entries.peek(key) else { continue };
            if now.saturating_sub(entry.kept_at) >= self.lifetime {
                aged.push(id);
                continue;
            }
            let embedding: Packed = nearest.get(id).unwrap_or_default();
            let question = Question::restore(&entry.text, embedding);
            // Nobody looks beyond the nearest one whose answer can be the same.
            let last = conflict(&question.wording, &asked.wording).is_none();
            similar.push(Similar { id, question, record: *record });
            if last {
                break;
            }
        }
        aged.into_iter().for_each(|id| self.drop_entry(id));
        similar
    }

    /// Takes note of whether an entry's answer was right for a question like its own.
    pub fn judge(&mut self, id: u64, right: bool) {
        if let Some((_, record)) = self.keys.get_mut(&id) {
            let count = if right { &mut record.right } else { &mut record.wrong };
            *count = count.saturating_add(1);
        }
    }

    /// Drops every answer that rests on one of these chunks, which `generation` has removed.
    pub fn remove_chunks(&mut self, chunks: &[u64], generation: u64) {
        for chunk in chunks {
            for id in self.dependents.remove(chunk).unwrap_or_default() {
                self.drop_entry(id);
            }
            if self.removed_chunks.insert(*chunk) {
                self.removed.push_back((generation, *chunk));
            }
        }
        while self.removed.len() > REMEMBERED_REMOVALS {
            if let Some((generation, chunk)) = self.removed.pop_front() {
                self.removed_chunks.remove(&chunk);
                self.forgotten = self.forgotten.max(generation);
            }
        }
    }

    /// Drops an entry.
    pub fn drop_entry(&mut self, id: u64) {
        if let Some((key, _)) = self.keys.get(&id) {
            let key = *key;
            self.drop_key(&key);
        }
    }

    /// Drops the answer that was written for a request. All are looked through: somebody finding one wrong is rare, and a
    /// table would take some fifty bytes of each.
    pub fn drop_request(&mut self, request: RequestId) {
        let mut entries = self.entries.iter();
        let found = entries.find(|(_, entry)| entry.request == request).map(|(key, _)| *key);
        drop(entries);
        found.iter().for_each(|key| self.drop_key(key));
    }

    fn drop_key(&mut self, key: &Key) {
        if let Some((_, entry)) = self.entries.remove(key) {
            self.forget(&entry);
        }
    }

    fn forget(&mut self, entry: &Entry) {
        self.keys.remove(&entry.id);
        if let Some(scope) = entry.scope
            && let Some(nearest) = self.scopes.get_mut(&scope)
        {
            nearest.remove(entry.id);
            if nearest.is_empty() {
                self.scopes.remove(&scope);
            }
        }
        for chunk in &entry.chunks {
            if let Some(dependents) = self.dependents.get_mut(chunk) {
                dependents.retain(|id| *id != entry.id);
                if dependents.is_empty() {
                    self.dependents.remove(chunk);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const LIFETIME: u64 = 1_000;

    fn request(number: u8) -> RequestId {
        RequestId::from_parts(1, u128::from(number))
    }

    fn fresh<'a>(
        key: u8,
        question: Option<(u8, &'a Question)>,
        answer: &'a [u8],
        chunks: &'a [u64],
    ) -> Fresh<'a> {
        Fresh {
            request: request(key),
            key: Key([key; 32]),
            similar: question.map(|(scope, question)| (Scope([scope; 32]), question)),
            text: "what is it",
            answer,
            chunks,
            generation: 1,
        }
    }

    #[test]
    fn an_answer_comes_back_until_it_is_old() {
        let mut answers = Answers::new(1 << 20, LIFETIME);
        let question = Question::new("what is it", &[0.6, 0.8]);
        let id = answers.keep(&fresh(1, Some((7, &question)), b"this", &[3]), 100);
        let kept = answers.same(&Key([1; 32]), 600).map(|kept| (Some(kept.id), kept.answer, kept.age));
        assert_eq!(kept, Some((id, b"this".to_vec(), 500)));
        assert_eq!(answers.similar(&Scope([7; 32]), &question, 3, 0.9, 600).len(), 1);
        assert!(answers.similar(&Scope([7; 32]), &question, 3, 0.9, 1_100).is_empty());
        assert!(answers.same(&Key([1; 32]), 1_100).is_none() && answers.is_empty());
        assert!(answers.scopes.is_empty() && answers.dependents.is_empty() && answers.keys.is_empty());
    }

    #[test]
    fn an_answer_goes_with_what_it_rests_on() {
        let mut answers = Answers::new(1 << 20, LIFETIME);
        answers.keep(&fresh(1, None, b"a", &[1, 2]), 0);
        answers.keep(&fresh(2, None, b"b", &[3]), 0);
        answers.remove_chunks(&[2], 5);
        assert!(answers.same(&Key([1; 32]), 0).is_none() && answers.same(&Key([2; 32]), 0).is_some());
        // Its chunks were read before the removal, and it comes after.
        assert_eq!(answers.keep(&fresh(1, None, b"a", &[1, 2]), 0), None);
        let many: Vec<u64> = (10..10 + REMEMBERED_REMOVALS as u64 + 1).collect();
        answers.remove_chunks(&many, 6);
        assert_eq!(answers.keep(&fresh(4, None, b"c", &[4]), 0), None, "what was removed since is not known");
        assert!(answers.keep(&Fresh { generation: 6, ..fresh(4, None, b"c", &[4]) }, 0).is_some());
    }

    #[test]
    fn an_answer_goes_with_its_request_and_is_found_by_likeness_once_that_is_known() {
        let mut answers = Answers::new(1 << 20, LIFETIME);
        let question = Question::new("what is it", &[0.6, 0.8]);
        let id = answers.keep(&fresh(1, None, b"this", &[3]), 0).unwrap();
        answers.judge(id, true);
        assert!(answers.similar(&Scope([7; 32]), &question, 3, 0.9, 0).is_empty());
        answers.liken(id, Scope([7; 32]), &question);
        answers.liken(99, Scope([7; 32]), &question);
        let similar = answers.similar(&Scope([7; 32]), &question, 3, 0.9, 0);
        assert_eq!(
            similar.iter().map(|similar| (similar.id, similar.record)).collect::<Vec<_>>(),
            [(id, Record { right: 1, wrong: 0 })]
        );
        assert_eq!(answers.same(&Key([1; 32]), 0).unwrap().request, request(1));
        answers.drop_request(request(2));
        assert_eq!(answers.len(), 1);
        answers.drop_request(request(1));
        assert!(answers.is_empty() && answers.scopes.is_empty());
    }

    #[test]
    fn what_was_written_out_comes_back() {
        let mut answers = Answers::new(1 << 20, LIFETIME);
        let question = Question::new("what is it", &[0.6, 0.8]);
        let id = answers.keep(&fresh(1, Some((7, &question)), b"this", &[3]), 100).unwrap();
        answers.keep(&fresh(2, None, b"that", &[]), 100);
        answers.judge(id, true);
        let mut again = Answers::new(1 << 20, LIFETIME);
        answers.stored().into_iter().for_each(|stored| again.restore(stored));
        assert_eq!(again.same(&Key([2; 32]), 100).unwrap().answer, b"that");
        let similar = again.similar(&Scope([7; 32]), &question, 3, 0.9, 100).remove(0);
        assert_eq!(similar.record, Record { right: 1, wrong: 0 });
        again.remove_chunks(&[3], 1);
        assert_eq!(again.len(), 1);
    }

    proptest! {
        #[test]
        fn the_bound_on_bytes_holds_and_nothing_is_left_behind(
            sizes in prop::collection::vec((0_u8..=255, 0_usize..4_000, 0_u64..12), 1..200),
        ) {
            let room = 24_000;
            let mut answers = Answers::new(room, LIFETIME);
            let mut random = fastrand::Rng::with_seed(9);
            for (key, size, chunk) in sizes {
                let answer: Vec<u8> = (0..size).map(|_| random.u8(..)).collect();
                let question = Question::new("q", &[random.f32(), 1.0]);
                answers.keep(&fresh(key, Some((key % 3, &question)), &answer, &[chunk]), 0);
                prop_assert!(answers.bytes() <= room);
                prop_assert_eq!(answers.keys.len(), answers.len());
            }
            answers.remove_chunks(&(0..12).collect::<Vec<_>>(), 2);
            prop_assert!(answers.is_empty() && answers.keys.is_empty());
            prop_assert!(answers.scopes.is_empty() && answers.dependents.is_empty());
        }

        #[test]
        fn nothing_is_shared_across_scopes(
            entries in prop::collection::vec((0_u8..4, -1.0_f32..1.0), 1..60), asked in -1.0_f32..1.0,
        ) {
            let mut answers = Answers::new(1 << 20, LIFETIME);
            let mut owners = HashMap::new();
            for (place, (scope, value)) in entries.into_iter().enumerate() {
                let question = Question::new("q", &[value, 1.0]);
                if let Some(id) = answers.keep(&fresh(place as u8, Some((scope, &question)), b"a", &[]), 0) {
                    owners.insert(id, scope);
                }
            }
            for scope in 0..5 {
                let found = answers.similar(&Scope([scope; 32]), &Question::new("q", &[asked, 1.0]), 8, -1.0, 0);
                prop_assert!(found.iter().all(|similar| owners.get(&similar.id) == Some(&scope)));
                prop_assert_eq!(found.is_empty(), !owners.values().any(|owner| *owner == scope));
            }
        }
    }
}
