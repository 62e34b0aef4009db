//! The seam to embedding models.

/// A unit-length vector that stands for a text's meaning.
pub type Embedding = Vec<f32>;

/// One unit-length vector for each token of a text, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenEmbeddings {
    /// Rows of `dimensions` numbers each, one a token, special tokens left out.
    pub values: Vec<f32>,
    /// The length of a row.
    pub dimensions: usize,
}

impl TokenEmbeddings {
    /// The rows, one a token.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &[f32]> {
        self.values.chunks_exact(self.dimensions.max(1))
    }
}

/// Why a text could not be embedded.
#[derive(Debug, thiserror::Error)]
pub enum EmbedError {
    /// The model's files are missing or are not what they should be.
    #[error("the embedding model at `{path}` cannot be loaded: {reason}")]
    Load {
        /// The model's folder or file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A remote endpoint failed.
    #[error("the embedding endpoint `{endpoint}` failed: {reason}")]
    Remote {
        /// Its address.
        endpoint: String,
        /// What it said.
        reason: String,
    },
    /// The computation failed.
    #[error("embedding failed: {0}")]
    Compute(String),
}

/// Turns texts into unit-length vectors. Implementations batch as they see fit.
pub trait Embedder: Send + Sync {
    /// Names the model; vectors of different models are never compared.
    fn model(&self) -> &str;

    /// The length of a vector.
    fn dimensions(&self) -> usize;

    /// The most tokens of a text that are looked at, special tokens left out.
    fn max_tokens(&self) -> usize;

    /// How many tokens `text` has, special tokens left out, without a limit.
    fn count_tokens(&self, text: &str) -> usize;

    /// One vector a text, in the order given. An empty text has a vector too.
    fn embed(&self, texts: &[&str]) -> Result<Vec<Embedding>, EmbedError>;

    /// The same model token by token, where it can be had.
    fn tokenwise(&self) -> Option<&dyn TokenEmbedder> {
        None
    }
}

/// An encoder whose last hidden layer can be read, for late interaction.
pub trait TokenEmbedder: Send + Sync {
    /// One matrix a text, in the order given.
    fn embed_tokens(&self, texts: &[&str]) -> Result<Vec<TokenEmbeddings>, EmbedError>;
}

/// The inner product of two vectors of one length.
pub fn dot(left: &[f32], right: &[f32]) -> f32 {
    debug_assert_eq!(left.len(), right.len());
    let mut lanes = [0.0f32; 16];
    let (left_blocks, left_rest) = left.as_chunks::<16>();
    let (right_blocks, right_rest) = right.as_chunks::<16>();
    for (a, b) in left_blocks.iter().zip(right_blocks) {
        for lane in 0..16 {
            lanes[lane] += a[lane] * b[lane];
        }
    }
    let rest: f32 = left_rest.iter().zip(right_rest).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// The cosine of the angle between two vectors; 0 where one of them is null.
pub fn cosine(left: &[f32], right: &[f32]) -> f32 {
    let norms = (dot(left, left) * dot(right, right)).sqrt();
    if norms > 0.0 { dot(left, right) / norms } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_products_match_the_plain_sum() {
        for length in [0, 1, 15, 16, 17, 384] {
            let left: Vec<f32> = (0..length).map(|i| (i as f32 * 0.37).sin()).collect();
            let right: Vec<f32> = (0..length).map(|i| (i as f32 * 0.11).cos()).collect();
            let plain: f64 = left.iter().zip(&right).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum();
            assert!((f64::from(dot(&left, &right)) - plain).abs() < 1e-4);
        }
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
    }
}
