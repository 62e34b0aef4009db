//! All templates and operations that are in use: those that come with the program, and those of a directory.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::composition::Prompt;
use crate::operation::{self, Operation, OperationError};
use crate::template::{Template, TemplateError};

/// What comes with the program, by file name.
pub const SHIPPED: [(&str, &str); 8] = [
    ("answer.md", include_str!("../../../prompts/answer.md")),
    ("compare.md", include_str!("../../../prompts/compare.md")),
    ("procedure.md", include_str!("../../../prompts/procedure.md")),
    ("summary.md", include_str!("../../../prompts/summary.md")),
    ("table.md", include_str!("../../../prompts/table.md")),
    ("multi-hop.md", include_str!("../../../prompts/multi-hop.md")),
    ("code.md", include_str!("../../../prompts/code.md")),
    ("strict.md", include_str!("../../../prompts/strict.md")),
];
/// The operations that come with the program.
pub const SHIPPED_OPERATIONS: &str = include_str!("../../../prompts/operations.toml");
/// The file of a directory that holds operations.
pub const OPERATIONS_FILE: &str = "operations.toml";
/// The template that is used where no other fits.
pub const DEFAULT: &str = "answer";

/// What is wrong with a file of a directory of prompts.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibraryError {
    /// A template.
    #[error("`{file}`: {error}")]
    Template {
        /// Its file.
        file: String,
        /// Why.
        error: TemplateError,
    },
    /// The operations.
    #[error("`{file}`: {error}")]
    Operations {
        /// Their file.
        file: String,
        /// Why.
        error: OperationError,
    },
    /// Two files have the same template.
    #[error("`{file}` has the template `{id}`, which `{other}` has already: give it another id")]
    Double {
        /// The second file.
        file: String,
        /// The template.
        id: String,
        /// The first file.
        other: String,
    },
}

/// Templates by id, and operations by name.
#[derive(Clone, Debug, Default)]
pub struct Library {
    templates: BTreeMap<String, Arc<Template>>,
    /// Those that are as they came with the program.
    shipped: BTreeSet<String>,
    operations: BTreeMap<String, Arc<Operation>>,
}

impl Library {
    /// What comes with the program, and the files of a directory, as name and content, over it: a template of the same id, or an
    /// operation of the same name, takes the place of the shipped one.
    ///
    /// # Errors
    /// All that is wrong with the files.
    pub fn new(files: &[(String, String)]) -> Result<Self, Vec<LibraryError>> {
        let mut library = Self::default();
        let shipped = SHIPPED.map(|(file, text)| (file.to_owned(), text.to_owned()));
        library.take(&shipped)?;
        library.shipped = library.templates.keys().cloned().collect();
        library.take_operations("operations.toml", SHIPPED_OPERATIONS).map_err(|error| vec![error])?;
        library.take(files)?;
        Ok(library)
    }

    fn take(&mut self, files: &[(String, String)]) -> Result<(), Vec<LibraryError>> {
        let (mut errors, mut seen) = (Vec::new(), BTreeMap::<String, &str>::new());
        for (file, text) in files {
            if file == OPERATIONS_FILE {
                errors.extend(self.take_operations(file, text).err());
                continue;
            }
            match Template::parse(text) {
                Ok(template) => match seen.insert(template.id().to_owned(), file) {
                    Some(other) => errors.push(LibraryError::Double {
                        file: file.clone(),
                        id: template.id().to_owned(),
                        other: other.to_owned(),
                    }),
                    None => {
                        self.shipped.remove(template.id());
                        self.templates.insert(template.id().to_owned(), Arc::new(template));
                    }
                },
                Err(error) => errors.push(LibraryError::Template { file: file.clone(), error }),
            }
        }
        if errors.is_empty() { Ok(()) } else { Err(errors) }
    }

    fn take_operations(&mut self, file: &str, text: &str) -> Result<(), LibraryError> {
        let operations = operation::read(text)
            .map_err(|error| LibraryError::Operations { file: file.to_owned(), error })?;
        let operations = operations.into_iter().map(|(name, operation)| (name, Arc::new(operation)));
        self.operations.extend(operations);
        Ok(())
    }

    /// All templates, by id.
    pub fn templates(&self) -> impl Iterator<Item = &Arc<Template>> {
        self.templates.values()
    }

    /// The template with this id.
    pub fn template(&self, id: &str) -> Option<&Arc<Template>> {
        self.templates.get(id)
    }

    /// Whether the template with this id came with the program.
    pub fn is_shipped(&self, id: &str) -> bool {
        self.shipped.contains(id)
    }

    /// Puts a template in the place of the one with its id.
    pub fn put(&mut self, template: Arc<Template>) {
        self.templates.insert(template.id().to_owned(), template);
    }

    /// All operations, by name.
    pub fn operations(&self) -> impl Iterator<Item = &Arc<Operation>> {
        self.operations.values()
    }

    /// The operation of this name.
    pub fn operation(&self, name: &str) -> Option<&Arc<Operation>> {
        self.operations.get(name)
    }

    /// The id of the template that was made for a question of these topics: the one that names the most of them, and of several
    /// the one that names the fewest others.
    pub fn fitting(&self, topics: &[String]) -> &str {
        let fit = |template: &&Arc<Template>| {
            let named = &template.front().applies_when;
            let met = named.iter().filter(|topic| topics.contains(topic)).count();
            (met, std::cmp::Reverse(named.len()))
        };
        let made = self.templates.values().filter(|template| fit(template).0 > 0);
        // The first of several equal ones, so that the order of ids decides and not that of files.
        made.rev().max_by_key(fit).map_or(DEFAULT, |template| template.id())
    }

    /// The prompt of a template with operations; names that there are not are passed over.
    pub fn prompt(&self, template: &Arc<Template>, operations: &[String]) -> Prompt {
        let known = operations.iter().filter_map(|name| self.operations.get(name));
        known.fold(Prompt::new(Arc::clone(template)), |prompt, operation| prompt.with(Arc::clone(operation)))
    }
}
