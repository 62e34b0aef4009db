//! The files that templates and operations are read from.

use std::fs;
use std::path::{Path, PathBuf};

use burnish_prompt::{Library, LibraryError, OPERATIONS_FILE};

use crate::EngineError;

/// The ending of a template's file.
const ENDING: &str = "md";
/// A larger file is no template.
const MOST_BYTES: u64 = 256 << 10;

/// What the files say, and what is wrong with them.
pub(super) struct Files {
    directory: Option<PathBuf>,
    contents: Vec<(String, String)>,
    /// The last state of the files that was sound.
    pub(super) library: Library,
    /// What is wrong with the present one.
    pub(super) errors: Vec<String>,
}

impl Files {
    pub(super) fn read(directory: Option<&Path>) -> Result<Self, EngineError> {
        let contents =
            contents(directory).map_err(|reason| EngineError::InvalidSetting(reason.join("; ")))?;
        let library = Library::new(&contents).map_err(|errors| {
            EngineError::InvalidSetting(format!("prompts: {}", said(&errors).join("; ")))
        })?;
        Ok(Self { directory: directory.map(Path::to_owned), contents, library, errors: Vec::new() })
    }

    /// Reads the files again. Whether anything changed that can be used, by what is wrong with it, too; that is kept to be shown.
    pub(super) fn look_again(&mut self, wrong: impl Fn(&Library) -> Option<String>) -> bool {
        let contents = match contents(self.directory.as_deref()) {
            Ok(contents) => contents,
            Err(errors) => {
                self.complain(errors);
                return false;
            }
        };
        if contents == self.contents {
            return false;
        }
        self.contents = contents;
        let read = Library::new(&self.contents).map_err(|errors| said(&errors));
        let sound = read.and_then(|library| match wrong(&library) {
            Some(reason) => Err(vec![reason]),
            None => Ok(library),
        });
        match sound {
            Ok(library) => {
                tracing::info!("the prompts have changed, and are read anew");
                self.library = library;
                self.errors.clear();
                true
            }
            Err(errors) => {
                self.complain(errors);
                false
            }
        }
    }

    fn complain(&mut self, errors: Vec<String>) {
        if self.errors != errors {
            tracing::error!(
                errors = errors.join("; "),
                "the prompts stay as they were, since files are wrong"
            );
        }
        self.errors = errors;
    }
}

/// All that is wrong with the prompts in a directory.
pub fn check(directory: &Path) -> Vec<String> {
    match contents(Some(directory)) {
        Ok(contents) => Library::new(&contents).err().map(|errors| said(&errors)).unwrap_or_default(),
        Err(errors) => errors,
    }
}

fn said(errors: &[LibraryError]) -> Vec<String> {
    errors.iter().map(ToString::to_string).collect()
}

/// Name and content of each file, in the order of names.
fn contents(directory: Option<&Path>) -> Result<Vec<(String, String)>, Vec<String>> {
    let Some(directory) = directory else { return Ok(Vec::new()) };
    let failed = |path: &Path, error: std::io::Error| {
        vec![format!("prompts: cannot read `{}`: {error}", path.display())]
    };
    let mut contents = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(directory, error))? {
        let path = entry.map_err(|error| failed(directory, error))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let is_template = path.extension().is_some_and(|ending| ending == ENDING) && !name.starts_with('.');
        if !is_template && name != OPERATIONS_FILE {
            continue;
        }
        let size = fs::metadata(&path).map_err(|error| failed(&path, error))?.len();
        if size > MOST_BYTES {
            return Err(vec![format!(
                "prompts: `{}` has {size} bytes: no template has more than {MOST_BYTES}",
                path.display()
            )]);
        }
        contents.push((name, fs::read_to_string(&path).map_err(|error| failed(&path, error))?));
    }
    contents.sort_unstable();
    Ok(contents)
}
