//! What can be ingested below some paths, and the hash by which an unchanged file is known again.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::fault::{Fault, Refusal};

/// What was found below some paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Discovery {
    /// Files, in the order of the paths asked for, sorted within a folder, each once.
    pub files: Vec<PathBuf>,
    /// Paths that do not exist or can't be opened.
    pub refused: Vec<Refusal>,
}

/// The files below `paths`. Hidden files and folders are passed over unless asked for by name, and a folder that
/// symbolic links lead to twice is read once.
pub fn discover(paths: &[PathBuf]) -> Discovery {
    let mut walk = Walk::default();
    for path in paths {
        walk.visit(path);
    }
    walk.found
}

/// BLAKE3 of the file's bytes in hexadecimal, read in a stream.
pub fn content_hash(path: &Path) -> Result<String, Refusal> {
    let hash = || -> io::Result<String> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(File::open(path)?)?;
        Ok(hasher.finalize().to_hex().to_string())
    };
    hash().map_err(|error| Fault::Io(error).refuse(path.display().to_string()))
}

#[derive(Default)]
struct Walk {
    found: Discovery,
    seen: HashSet<PathBuf>,
}

impl Walk {
    /// Depth first with a stack of its own: how deep folders nest is not ours to decide.
    fn visit(&mut self, root: &Path) {
        let mut pending = vec![root.to_path_buf()];
        while let Some(path) = pending.pop() {
            match self.open(&path) {
                Ok(children) => pending.extend(children.into_iter().rev()),
                Err(error) => self.found.refused.push(Fault::Io(error).refuse(path.display().to_string())),
            }
        }
    }

    /// Notes a file, or returns the children of a folder.
    fn open(&mut self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let kind = fs::metadata(path)?;
        if !self.seen.insert(fs::canonicalize(path)?) {
            return Ok(Vec::new());
        }
        if kind.is_dir() {
            return children(path);
        }
        if kind.is_file() {
            self.found.files.push(path.to_path_buf());
            return Ok(Vec::new());
        }
        Err(io::Error::other("it is neither a file nor a folder"))
    }
}

fn children(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut children = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_name().as_encoded_bytes().starts_with(b".") {
            children.push(entry.path());
        }
    }
    children.sort();
    Ok(children)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_walked_in_order_without_hidden_files() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        fs::create_dir_all(root.join("b/.git")).unwrap();
        for name in ["c.txt", "a.md", "b/z.csv", "b/.git/config", ".hidden"] {
            fs::write(root.join(name), "x").unwrap();
        }
        let found = discover(&[root.to_path_buf(), root.join("a.md"), root.join("missing")]);
        let names: Vec<_> = found.files.iter().map(|file| file.strip_prefix(root).unwrap()).collect();
        assert_eq!(names, [Path::new("a.md"), Path::new("b/z.csv"), Path::new("c.txt")]);
        assert_eq!(found.refused.len(), 1);
        assert!(found.refused[0].path.ends_with("missing"));
        let hidden = discover(&[root.join(".hidden")]);
        assert_eq!(hidden.files.len(), 1, "what is asked for by name is found");
    }

    #[cfg(unix)]
    #[test]
    fn loops_of_links_end() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("a.txt"), "x").unwrap();
        std::os::unix::fs::symlink(folder.path(), folder.path().join("self")).unwrap();
        std::os::unix::fs::symlink("/nowhere/at/all", folder.path().join("dangling")).unwrap();
        let found = discover(&[folder.path().to_path_buf()]);
        assert_eq!((found.files.len(), found.refused.len()), (1, 1));
    }

    #[test]
    fn the_hash_is_of_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        fs::write(&path, "burnish").unwrap();
        assert_eq!(content_hash(&path).unwrap(), blake3::hash(b"burnish").to_hex().to_string());
        assert!(content_hash(&folder.path().join("b")).is_err());
    }
}
