//! Tensors of a safetensors file as single-precision numbers, whatever precision they are kept in.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};

use burnish_types::EmbedError;
use memmap2::Mmap;
use safetensors::{Dtype, SafeTensors};

use super::load_error;

/// A mapped weights file.
#[derive(Debug)]
pub(super) struct WeightFile {
    path: PathBuf,
    map: Mmap,
}

impl WeightFile {
    /// Maps the file at `path`.
    pub(super) fn open(path: &Path) -> Result<Self, EmbedError> {
        let file = File::open(path).map_err(|error| load_error(path, error))?;
        #[expect(unsafe_code, reason = "mapping a file has no safe form")]
        // SAFETY: the map is only read. Whoever cuts the file short while the program runs ends the program; model
        // files are replaced by renaming, which leaves the mapped one as it is.
        let map = unsafe { Mmap::map(&file) }.map_err(|error| load_error(path, error))?;
        Ok(Self { path: path.to_path_buf(), map })
    }

    /// The file's tensors, by names that `prefix`es like `bert.` are taken off.
    pub(super) fn tensors(&self) -> Result<Tensors<'_>, EmbedError> {
        let tensors = SafeTensors::deserialize(&self.map).map_err(|error| load_error(&self.path, error))?;
        let prefix = tensors
            .names()
            .into_iter()
            .find_map(|name| name.strip_suffix(WORD_EMBEDDINGS))
            .ok_or_else(|| load_error(&self.path, format!("it has no tensor `{WORD_EMBEDDINGS}`")))?
            .to_owned();
        Ok(Tensors { file: self, tensors, prefix })
    }
}

const WORD_EMBEDDINGS: &str = "embeddings.word_embeddings.weight";

/// What a [`WeightFile`] holds.
pub(super) struct Tensors<'f> {
    file: &'f WeightFile,
    tensors: SafeTensors<'f>,
    prefix: String,
}

impl Tensors<'_> {
    /// The numbers of the tensor `name`, which must have `shape`.
    pub(super) fn numbers(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, EmbedError> {
        let (precision, bytes) = self.raw(name, shape)?;
        let mut numbers = vec![0.0; shape.iter().product()];
        precision.decode(bytes, &mut numbers);
        Ok(numbers)
    }

    /// Whether there is a tensor `name`.
    pub(super) fn contains(&self, name: &str) -> bool {
        self.tensors.tensor(&format!("{}{name}", self.prefix)).is_ok()
    }

    /// Where in the file the word embeddings lie, of which there must be `rows` of `width` numbers.
    fn words(&self, rows: usize, width: usize) -> Result<(Precision, Range<usize>), EmbedError> {
        let (precision, bytes) = self.raw(WORD_EMBEDDINGS, &[rows, width])?;
        let start = bytes.as_ptr().addr() - self.file.map.as_ptr().addr();
        Ok((precision, start..start + bytes.len()))
    }

    fn raw(&self, name: &str, shape: &[usize]) -> Result<(Precision, &[u8]), EmbedError> {
        let name = format!("{}{name}", self.prefix);
        let fail = |reason: String| load_error(&self.file.path, format!("tensor `{name}` {reason}"));
        let tensor = self.tensors.tensor(&name).map_err(|_| fail("is missing".to_owned()))?;
        if tensor.shape() != shape {
            return Err(fail(format!(
                "has shape {:?}, the configuration asks for {shape:?}",
                tensor.shape()
            )));
        }
        let precision = match tensor.dtype() {
            Dtype::F32 => Precision::Single,
            Dtype::F16 => Precision::Half,
            Dtype::BF16 => Precision::Brain,
            other => return Err(fail(format!("has type {other:?}; F32, F16 and BF16 can be read"))),
        };
        Ok((precision, tensor.data()))
    }
}

/// The word embeddings, read where the file is mapped, so that only rows in use take memory.
#[derive(Debug)]
pub(super) struct WordTable {
    file: WeightFile,
    bytes: Range<usize>,
    precision: Precision,
    rows: usize,
}

impl WordTable {
    /// The table of the file at `path`, which must have `rows` rows of `width` numbers.
    ///
    /// It keeps a mapping of its own, so that the pages read for the other tensors are let go with theirs.
    pub(super) fn open(path: &Path, rows: usize, width: usize) -> Result<Self, EmbedError> {
        let file = WeightFile::open(path)?;
        let (precision, bytes) = file.tensors()?.words(rows, width)?;
        Ok(Self { file, bytes, precision, rows })
    }

    /// How many rows there are.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Writes the row of `token` to `row`.
    pub(super) fn copy_row(&self, token: u32, row: &mut [f32]) {
        let size = row.len() * self.precision.bytes();
        let table = &self.file.map[self.bytes.clone()];
        self.precision.decode(&table[token as usize * size..][..size], row);
    }
}

/// How a number is kept.
#[derive(Clone, Copy, Debug)]
enum Precision {
    Single,
    Half,
    Brain,
}

impl Precision {
    fn bytes(self) -> usize {
        match self {
            Self::Single => 4,
            Self::Half | Self::Brain => 2,
        }
    }

    fn decode(self, bytes: &[u8], numbers: &mut [f32]) {
        match self {
            Self::Single => {
                let words = bytes.as_chunks::<4>().0;
                numbers.iter_mut().zip(words).for_each(|(number, &word)| *number = f32::from_le_bytes(word));
            }
            Self::Half => {
                let words = bytes.as_chunks::<2>().0;
                numbers
                    .iter_mut()
                    .zip(words)
                    .for_each(|(number, &word)| *number = half(u16::from_le_bytes(word)));
            }
            Self::Brain => {
                let words = bytes.as_chunks::<2>().0;
                numbers.iter_mut().zip(words).for_each(|(number, &word)| {
                    *number = f32::from_bits(u32::from(u16::from_le_bytes(word)) << 16);
                });
            }
        }
    }
}

/// An IEEE 754 half-precision number.
fn half(bits: u16) -> f32 {
    let sign = u32::from(bits & 0x8000) << 16;
    let magnitude = u32::from(bits & 0x7fff);
    let value = match magnitude {
        // Infinity and NaN keep the all-ones exponent.
        0x7c00.. => f32::from_bits(magnitude << 13 | 0x7f80_0000),
        // A step of the exponent's base: 2^112 moves it from bias 15 to bias 127, subnormals included.
        _ => f32::from_bits(magnitude << 13) * f32::from_bits(0x7780_0000),
    };
    f32::from_bits(value.to_bits() | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_is_exact() {
        for (bits, expected) in [
            (0x0000, 0.0),
            (0x8000, -0.0),
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x3555, 0.333_251_95),
            (0x7bff, 65504.0),
            (0x0400, 6.103_515_6e-5),
            (0x0001, 5.960_464_5e-8),
            (0x7c00, f32::INFINITY),
            (0xfc00, f32::NEG_INFINITY),
        ] {
            assert_eq!(half(bits).to_bits(), f32::to_bits(expected), "{bits:#06x}");
        }
        assert!(half(0x7e00).is_nan());
    }
}
