//! The encoder that runs in this process.

mod bert;
mod folder;
mod matmul;
mod rows;
mod tokens;
mod weights;

use std::fmt;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;

use burnish_types::{EmbedError, Embedder, Embedding, TokenEmbedder, TokenEmbeddings};

use self::bert::{Bert, Layer, Linear, Scratch};
use self::folder::{ModelFolder, Pooling};
use self::rows::{Norm, to_unit_length};
use self::tokens::Tokens;
use self::weights::{Tensors, WeightFile, WordTable};

/// Tokens that go through the layers together: enough to stream the weights seldom, few enough to stay near the caches.
/// From 128 to 1024 the speed is the same within 5 %; memory and the unevenness between threads grow with it.
const BATCH_TOKENS: usize = 256;
/// Texts of fewer bytes in all are tokenised sooner than another thread is started.
const QUICKLY_TOKENISED_BYTES: usize = 16 * 1024;

/// A BERT-type sentence-transformers model, computed on the CPU.
///
/// Texts of all lengths are laid end to end without padding; batches of them are spread over the caller's thread and as
/// many more as it was loaded for. Vectors always have unit length, whether or not the model asks for it.
pub struct LocalEncoder {
    name: String,
    tokens: Tokens,
    bert: Bert,
    pooling: Pooling,
    threads: usize,
    scratch: Mutex<Vec<Scratch>>,
}

impl LocalEncoder {
    /// Loads the model in `folder`, to be computed on up to `threads` threads at a time (0: one a core).
    ///
    /// The folder is in sentence-transformers form: `modules.json`, `config.json`, `tokenizer.json`,
    /// `model.safetensors` in F32, F16 or BF16, and the pooling module's folder (mean, cls or max).
    /// Models of BERT's and RoBERTa's build can be computed; anything else is refused with the reason.
    pub fn load(folder: &Path, threads: usize) -> Result<Self, EmbedError> {
        let model = ModelFolder::read(folder)?;
        let (tokens, bert, hash) = thread::scope(|scope| {
            let hash = scope.spawn(|| fingerprint(&model));
            let tokens = scope.spawn(|| Tokens::load(&model.tokenizer, model.max_length, model.lowercase));
            let bert = load_bert(&model);
            (join(tokens), bert, join(hash))
        });
        let (tokens, bert, hash) = (tokens?, bert?, hash?);
        let (known, rows) = (tokens.vocabulary(), bert.words.rows());
        if known > rows {
            let reason = format!("it has {known} tokens, the model's word embeddings only {rows} rows");
            return Err(load_error(&model.tokenizer, reason));
        }
        let threads =
            if threads > 0 { threads } else { thread::available_parallelism().map_or(1, Into::into) };
        let name = format!("{}@{hash}", folder_name(folder));
        Ok(Self { name, tokens, bert, pooling: model.pooling, threads, scratch: Mutex::default() })
    }

    /// Encodes `texts` and makes of each one's hidden states what `finish` makes of them, in the order given.
    fn encode<T: Send>(
        &self,
        texts: &[&str],
        finish: impl Fn(&[f32]) -> T + Sync,
    ) -> Result<Vec<T>, EmbedError> {
        let bytes: usize = texts.iter().map(|text| text.len()).sum();
        let tokenising = if bytes < QUICKLY_TOKENISED_BYTES { 1 } else { self.threads };
        let sequences = spread(tokenising, texts.len(), |text| self.tokenise(texts[text]));
        let sequences = sequences.into_iter().collect::<Result<Vec<_>, _>>()?;
        let lengths: Vec<usize> = sequences.iter().map(Vec::len).collect();
        let batches = batches(&lengths, self.threads);
        let encoded = spread(self.threads, batches.len(), |batch| {
            let members: Vec<&[u32]> = batches[batch].iter().map(|&text| &sequences[text][..]).collect();
            let mut scratch = self.scratch().pop().unwrap_or_default();
            let mut states = self.bert.forward(&members, &mut scratch);
            let mut finished = Vec::with_capacity(members.len());
            for member in members {
                let (own, rest) = states.split_at(member.len() * self.bert.hidden);
                finished.push(finish(own));
                states = rest;
            }
            self.give_back(scratch);
            finished
        });
        let mut placed: Vec<(usize, T)> =
            batches.into_iter().flatten().zip(encoded.into_iter().flatten()).collect();
        placed.sort_unstable_by_key(|&(text, _)| text);
        Ok(placed.into_iter().map(|(_, finished)| finished).collect())
    }

    fn tokenise(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        let tokens = self.tokens.encode(text)?;
        match tokens.iter().find(|&&token| token as usize >= self.bert.words.rows()) {
            Some(token) => Err(EmbedError::Compute(format!(
                "the tokenizer made a token {token} that the model has no row for"
            ))),
            None => Ok(tokens),
        }
    }

    fn pool(&self, states: &[f32]) -> Embedding {
        let mut rows = states.chunks_exact(self.bert.hidden);
        let mut pooled = rows.next().map_or_else(|| vec![0.0; self.bert.hidden], <[f32]>::to_vec);
        match self.pooling {
            Pooling::First => {}
            // The sum has the mean's direction, and only that is kept.
            Pooling::Mean => {
                rows.for_each(|row| pooled.iter_mut().zip(row).for_each(|(sum, value)| *sum += value))
            }
            Pooling::Max => {
                rows.for_each(|row| {
                    pooled.iter_mut().zip(row).for_each(|(most, value)| *most = most.max(*value))
                });
            }
        }
        to_unit_length(&mut pooled);
        pooled
    }

    fn scratch(&self) -> MutexGuard<'_, Vec<Scratch>> {
        self.scratch.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, scratch: Scratch) {
        let mut kept = self.scratch();
        if kept.len() < self.threads {
            kept.push(scratch);
        }
    }
}

impl Embedder for LocalEncoder {
    fn model(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        self.bert.hidden
    }

    fn max_tokens(&self) -> usize {
        self.tokens.max_tokens()
    }

    fn count_tokens(&self, text: &str) -> usize {
        self.tokens.count(text)
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError> {
        self.encode(texts, |states| self.pool(states))
    }

    fn tokenwise(&self) -> Option<&dyn TokenEmbedder> {
        Some(self)
    }
}

impl TokenEmbedder for LocalEncoder {
    fn embed_tokens(&self, texts: &[&str]) -> Result<Vec<TokenEmbeddings>, EmbedError> {
        let dimensions = self.bert.hidden;
        let (before, after) = self.tokens.specials();
        self.encode(texts, |states| {
            let mut values = states[before * dimensions..states.len() - after * dimensions].to_vec();
            values.chunks_exact_mut(dimensions).for_each(to_unit_length);
            TokenEmbeddings { values, dimensions }
        })
    }
}

impl fmt::Debug for LocalEncoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalEncoder").field("model", &self.name).field("threads", &self.threads).finish()
    }
}

/// Groups texts of these lengths, longest first, into batches of about [`BATCH_TOKENS`], or less where that would leave
/// threads without one.
fn batches(lengths: &[usize], threads: usize) -> Vec<Vec<usize>> {
    let share = lengths.iter().sum::<usize>().div_ceil(threads.max(1));
    let budget = share.min(BATCH_TOKENS);
    let mut order: Vec<usize> = (0..lengths.len()).collect();
    order.sort_by_key(|&text| std::cmp::Reverse(lengths[text]));
    let mut batches: Vec<Vec<usize>> = Vec::new();
    let mut room = 0;
    for text in order {
        match batches.last_mut() {
            Some(batch) if lengths[text] <= room => batch.push(text),
            _ => {
                batches.push(vec![text]);
                room = budget.max(lengths[text]);
            }
        }
        room -= lengths[text];
    }
    batches
}

/// Does `work` for every number below `count` on up to `threads` threads, this one among them; results come in order.
fn spread<T: Send>(threads: usize, count: usize, work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    if threads < 2 || count < 2 {
        return (0..count).map(work).collect();
    }
    let next = AtomicUsize::new(0);
    let take = || {
        let mut done = Vec::new();
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                return done;
            }
            done.push((item, work(item)));
        }
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads.min(count)).map(|_| scope.spawn(take)).collect();
        let mut done = take();
        done.extend(others.into_iter().flat_map(join));
        done
    });
    done.sort_unstable_by_key(|&(item, _)| item);
    done.into_iter().map(|(_, result)| result).collect()
}

/// What a thread came to; its panic goes on in this one.
fn join<T>(thread: thread::ScopedJoinHandle<'_, T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn load_bert(model: &ModelFolder) -> Result<Bert, EmbedError> {
    let words = WordTable::open(&model.weights, model.vocabulary, model.hidden)?;
    let file = WeightFile::open(&model.weights)?;
    let tensors = file.tensors()?;
    let layers =
        (0..model.layers).map(|layer| load_layer(&tensors, model, layer)).collect::<Result<_, _>>()?;
    if tensors.contains(&format!("encoder.layer.{}.output.dense.weight", model.layers)) {
        let reason = format!("it has more layers than the {} of the configuration", model.layers);
        return Err(load_error(&model.weights, reason));
    }
    Ok(Bert {
        hidden: model.hidden,
        heads: model.heads,
        intermediate: model.intermediate,
        activation: model.activation,
        words,
        positions: load_positions(&tensors, model)?,
        embedding_norm: load_norm(&tensors, model, "embeddings")?,
        layers,
    })
}

/// The positions that texts can have, each with the embedding of the first token type, the only one there is.
fn load_positions(tensors: &Tensors<'_>, model: &ModelFolder) -> Result<Vec<f32>, EmbedError> {
    let hidden = model.hidden;
    let mut positions =
        tensors.numbers("embeddings.position_embeddings.weight", &[model.positions, hidden])?;
    let types = tensors.numbers("embeddings.token_type_embeddings.weight", &[model.token_types, hidden])?;
    positions.drain(..model.first_position * hidden);
    positions.truncate(model.max_length * hidden);
    positions.shrink_to_fit();
    for row in positions.chunks_exact_mut(hidden) {
        row.iter_mut().zip(&types).for_each(|(value, offset)| *value += offset);
    }
    Ok(positions)
}

fn load_layer(tensors: &Tensors<'_>, model: &ModelFolder, layer: usize) -> Result<Layer, EmbedError> {
    let (hidden, intermediate) = (model.hidden, model.intermediate);
    let name = format!("encoder.layer.{layer}");
    Ok(Layer {
        attention_input: load_attention_input(tensors, model, &name)?,
        attention_output: load_linear(tensors, &format!("{name}.attention.output.dense"), hidden, hidden)?,
        attention_norm: load_norm(tensors, model, &format!("{name}.attention.output"))?,
        up: load_linear(tensors, &format!("{name}.intermediate.dense"), hidden, intermediate)?,
        down: load_linear(tensors, &format!("{name}.output.dense"), intermediate, hidden)?,
        output_norm: load_norm(tensors, model, &format!("{name}.output"))?,
    })
}

/// Queries, keys and values as one layer, the queries divided by what their products with the keys would be divided by.
fn load_attention_input(
    tensors: &Tensors<'_>,
    model: &ModelFolder,
    layer: &str,
) -> Result<Linear, EmbedError> {
    let hidden = model.hidden;
    let scale = ((hidden / model.heads) as f32).sqrt().recip();
    let (mut weights, mut bias) = (Vec::with_capacity(3 * hidden * hidden), Vec::with_capacity(3 * hidden));
    for (part, factor) in [("query", scale), ("key", 1.0), ("value", 1.0)] {
        let name = format!("{layer}.attention.self.{part}");
        let numbers = tensors.numbers(&format!("{name}.weight"), &[hidden, hidden])?;
        weights.extend(numbers.iter().map(|weight| weight * factor));
        bias.extend(tensors.numbers(&format!("{name}.bias"), &[hidden])?.iter().map(|bias| bias * factor));
    }
    Ok(Linear::new(&weights, bias, hidden))
}

fn load_linear(
    tensors: &Tensors<'_>,
    name: &str,
    inputs: usize,
    outputs: usize,
) -> Result<Linear, EmbedError> {
    let weights = tensors.numbers(&format!("{name}.weight"), &[outputs, inputs])?;
    Ok(Linear::new(&weights, tensors.numbers(&format!("{name}.bias"), &[outputs])?, inputs))
}

/// Checkpoints converted from TensorFlow call scale and shift gamma and beta.
fn load_norm(tensors: &Tensors<'_>, model: &ModelFolder, part: &str) -> Result<Norm, EmbedError> {
    let converted = tensors.contains(&format!("{part}.LayerNorm.gamma"));
    let (scale, shift) = if converted { ("gamma", "beta") } else { ("weight", "bias") };
    Ok(Norm {
        scale: tensors.numbers(&format!("{part}.LayerNorm.{scale}"), &[model.hidden])?,
        shift: tensors.numbers(&format!("{part}.LayerNorm.{shift}"), &[model.hidden])?,
        epsilon: model.epsilon,
    })
}

/// Eight hexadecimal digits that tell apart models whose vectors must not be compared: a hash of weights, tokenizer
/// and how they are used. The files are read, not mapped: a mapping would count as this process's memory.
fn fingerprint(model: &ModelFolder) -> Result<String, EmbedError> {
    let mut hasher = blake3::Hasher::new();
    for path in [&model.weights, &model.tokenizer] {
        let file = File::open(path).map_err(|error| load_error(path, error))?;
        hasher.update_reader(file).map_err(|error| load_error(path, error))?;
    }
    hasher.update(format!("{:?} {} {}", model.pooling, model.max_length, model.lowercase).as_bytes());
    Ok(hasher.finalize().to_hex()[..8].to_owned())
}

fn folder_name(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| PathBuf::from(folder));
    folder.file_name().map_or_else(|| "model".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn load_error(path: &Path, reason: impl fmt::Display) -> EmbedError {
    EmbedError::Load { path: path.display().to_string(), reason: reason.to_string() }
}
