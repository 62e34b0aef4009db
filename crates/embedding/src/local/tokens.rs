//! Texts to token numbers, and quick counts of them.

use std::path::Path;

use burnish_types::EmbedError;
use quick_cache::sync::Cache;
use tokenizers::{
    AddedToken, Encoding, NormalizerWrapper, PreTokenizerWrapper, Token, Tokenizer, tokenizer::PostProcessor,
};

use super::load_error;

/// Words whose counts are remembered, and the longest of them in bytes: about 4 MB in all.
const COUNTED_WORDS: usize = 32_768;
const COUNTED_WORD_BYTES: usize = 64;

/// A tokenizer that keeps to a model's limits.
pub(super) struct Tokens {
    tokenizer: Tokenizer,
    /// The special tokens before and after a text.
    before: Vec<u32>,
    after: Vec<u32>,
    max_tokens: usize,
    lowercase: bool,
    /// Tokens of each word met, where words do not influence one another.
    counts: Option<Cache<Box<str>, u32>>,
}

impl Tokens {
    /// Reads a `tokenizer.json`. Texts are cut so that no more than `max_length` tokens come of them, specials included.
    pub(super) fn load(path: &Path, max_length: usize, lowercase: bool) -> Result<Self, EmbedError> {
        let mut tokenizer = Tokenizer::from_file(path).map_err(|error| load_error(path, error))?;
        tokenizer.with_truncation(None).map_err(|error| load_error(path, error))?;
        tokenizer.with_padding(None);
        let (before, after) = special_tokens(&tokenizer).map_err(|error| load_error(path, error))?;
        let specials = before.len() + after.len();
        let max_tokens = max_length.checked_sub(specials).filter(|&tokens| tokens > 0).ok_or_else(|| {
            load_error(
                path,
                format!("a maximum of {max_length} tokens leaves none beside {specials} special ones"),
            )
        })?;
        let counts = splits_at_spaces(&tokenizer).then(|| Cache::new(COUNTED_WORDS));
        Ok(Self { tokenizer, before, after, max_tokens, lowercase, counts })
    }

    /// The most tokens of a text, specials left out.
    pub(super) fn max_tokens(&self) -> usize {
        self.max_tokens
    }

    /// How many special tokens stand before and after a text.
    pub(super) fn specials(&self) -> (usize, usize) {
        (self.before.len(), self.after.len())
    }

    /// One more than the largest number of a token.
    pub(super) fn vocabulary(&self) -> usize {
        self.tokenizer.get_vocab_size(true)
    }

    /// The tokens of `text`, cut to the limit, with the special ones around them.
    pub(super) fn encode(&self, text: &str) -> Result<Vec<u32>, EmbedError> {
        let encoding = self.tokenise(text).map_err(|error| EmbedError::Compute(error.to_string()))?;
        let kept = &encoding.get_ids()[..encoding.len().min(self.max_tokens)];
        Ok([&self.before, kept, &self.after].concat())
    }

    /// How many tokens `text` has, without specials and without a limit.
    pub(super) fn count(&self, text: &str) -> usize {
        match &self.counts {
            Some(counts) => text.split(SPACES).map(|word| self.count_word(counts, word)).sum(),
            None => self.count_afresh(text),
        }
    }

    fn count_word(&self, counts: &Cache<Box<str>, u32>, word: &str) -> usize {
        if word.is_empty() {
            return 0;
        }
        if word.len() > COUNTED_WORD_BYTES {
            return self.count_afresh(word);
        }
        if let Some(count) = counts.get(word) {
            return count as usize;
        }
        let count = self.count_afresh(word);
        counts.insert(word.into(), u32::try_from(count).unwrap_or(u32::MAX));
        count
    }

    fn count_afresh(&self, text: &str) -> usize {
        // A text that the tokenizer refuses cannot be embedded either, and says so there.
        self.tokenise(text).map_or(0, |encoding| encoding.len())
    }

    fn tokenise(&self, text: &str) -> tokenizers::Result<Encoding> {
        let text = text.trim();
        if self.lowercase {
            self.tokenizer.encode_fast(text.to_lowercase(), false)
        } else {
            self.tokenizer.encode_fast(text, false)
        }
    }
}

/// The white space that every normaliser leaves in place. Others, such as U+0085, may be removed and join two words.
const SPACES: [char; 4] = [' ', '\n', '\t', '\r'];

/// Whether words parted by white space are tokenised independently, so that their counts add up.
fn splits_at_spaces(tokenizer: &Tokenizer) -> bool {
    let splits = matches!(
        tokenizer.get_pre_tokenizer(),
        Some(
            PreTokenizerWrapper::BertPreTokenizer(_)
                | PreTokenizerWrapper::Whitespace(_)
                | PreTokenizerWrapper::WhitespaceSplit(_)
        )
    );
    let normalises = matches!(
        tokenizer.get_normalizer(),
        None | Some(NormalizerWrapper::BertNormalizer(_) | NormalizerWrapper::Lowercase(_))
    );
    let spans = |token: &AddedToken| token.content.contains(char::is_whitespace);
    splits && normalises && !tokenizer.get_added_tokens_decoder().values().any(spans)
}

/// What the tokenizer puts before and after a text, found out by letting it do so to a single token.
fn special_tokens(tokenizer: &Tokenizer) -> tokenizers::Result<(Vec<u32>, Vec<u32>)> {
    let token = Encoding::from_tokens(vec![Token::new(0, String::new(), (0, 0))], 0);
    let whole = match tokenizer.get_post_processor() {
        Some(processor) => processor.process(token, None, true)?,
        None => token,
    };
    let place = whole.get_special_tokens_mask().iter().position(|&special| special == 0);
    let place = place.ok_or("its post-processor drops the text")?;
    let ids = whole.get_ids();
    Ok((ids[..place].to_vec(), ids[place + 1..].to_vec()))
}
