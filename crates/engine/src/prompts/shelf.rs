//! What requests look at: templates and operations in use, and the experiments that run.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_prompt::{Library, Template};

use super::experiments::Running;
use super::standing::Standing;
use crate::settings::PromptSettings;

/// A state of everything that is in use. It never changes: another one takes its place.
pub(crate) struct Shelf {
    library: Library,
    /// Every version that requests may be sent, by its content.
    versions: BTreeMap<String, Arc<Template>>,
    running: Vec<Running>,
    /// Changes where other answers are to be expected.
    fingerprint: blake3::Hash,
}

impl Shelf {
    pub(super) fn new(files: &Library, standing: &Standing, settings: &PromptSettings) -> Self {
        let mut library = files.clone();
        let mut versions = BTreeMap::new();
        for (id, line) in standing.lines() {
            if let Some(template) = standing.template(&line.in_use).filter(|template| template.id() == id) {
                library.put(template);
            }
        }
        for template in library.templates() {
            versions.insert(template.version().to_owned(), Arc::clone(template));
        }
        let running = standing.running();
        for version in running.iter().flat_map(Running::challengers) {
            if let Some(template) = standing.template(version) {
                versions.insert(version.to_owned(), template);
            }
        }
        let mut hasher = blake3::Hasher::new();
        library.templates().for_each(|template| {
            hasher.update(template.version().as_bytes());
        });
        library.operations().for_each(|operation| {
            hasher.update(operation.text.as_bytes());
        });
        let PromptSettings { adapt, examples, thresholds, .. } = settings;
        hasher.update(format!("{adapt} {examples} {thresholds:?}").as_bytes());
        Self { library, versions, running, fingerprint: hasher.finalize() }
    }

    pub(crate) fn library(&self) -> &Library {
        &self.library
    }

    pub(crate) fn fingerprint(&self) -> blake3::Hash {
        self.fingerprint
    }

    /// The template of a version; where it is not known anymore, the one in use of that id.
    pub(crate) fn template(&self, id: &str, version: &str) -> Option<&Arc<Template>> {
        self.versions.get(version).or_else(|| self.library.template(id))
    }

    pub(super) fn running(&self) -> &[Running] {
        &self.running
    }
}
