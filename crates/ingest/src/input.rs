//! Where the bytes of a file come from: the disk or an upload.

use std::fs::File;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use crate::fault::Fault;

/// A file on disk, or the bytes of one.
pub(crate) enum Input<'a> {
    File(File),
    Bytes(Cursor<&'a [u8]>),
}

impl Input<'_> {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> io::Result<u64> {
        match self {
            Self::File(file) => Ok(file.metadata()?.len()),
            Self::Bytes(bytes) => Ok(bytes.get_ref().len() as u64),
        }
    }

    /// The first `limit` bytes; the input is at its start again afterwards.
    pub(crate) fn head(&mut self, limit: u64) -> io::Result<Vec<u8>> {
        let mut head = Vec::new();
        self.by_ref().take(limit).read_to_end(&mut head)?;
        self.seek(SeekFrom::Start(0))?;
        Ok(head)
    }

    /// All bytes, unless there are more than `limit`.
    pub(crate) fn read_all(&mut self, limit: u64) -> Result<Vec<u8>, Fault> {
        let mut bytes = Vec::new();
        self.by_ref().take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
        match bytes.len() as u64 > limit {
            true => Err(Fault::TextTooLarge { limit }),
            false => Ok(bytes),
        }
    }
}

impl Read for Input<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Bytes(bytes) => bytes.read(buffer),
        }
    }
}

impl Seek for Input<'_> {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        match self {
            Self::File(file) => file.seek(position),
            Self::Bytes(bytes) => bytes.seek(position),
        }
    }
}
