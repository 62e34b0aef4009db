//! A prompt: a template with the operations that adapt it, and its rendering.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::block::BlockKind;
use crate::operation::{Operation, Slot};
use crate::template::{Inputs, Template};

/// What stands between blocks.
const BETWEEN_BLOCKS: &str = "\n\n";
/// What stands between a block's own words and what is added to them.
const WITHIN_BLOCK: &str = " ";

/// A template with operations. What it comes to does not depend on the order in which operations of different slots were
/// applied, and applying one again changes nothing.
#[derive(Clone, Debug, PartialEq)]
pub struct Prompt {
    template: Arc<Template>,
    operations: BTreeMap<Slot, Arc<Operation>>,
}

/// A prompt that could not be rendered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the block `{block}` of the template `{template}` cannot be rendered: {reason}")]
pub struct RenderError {
    /// The template.
    pub template: String,
    /// The block.
    pub block: BlockKind,
    /// Why.
    pub reason: String,
}

/// A prompt as a model reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rendered {
    /// Everything but the question, in the template's order.
    pub system: String,
    /// The question.
    pub question: String,
}

impl Prompt {
    /// A template as it is.
    pub fn new(template: Arc<Template>) -> Self {
        Self { template, operations: BTreeMap::new() }
    }

    /// Applies an operation, in place of another of its slot.
    #[must_use]
    pub fn with(mut self, operation: Arc<Operation>) -> Self {
        self.operations.insert(operation.slot, operation);
        self
    }

    /// The template.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// The names of the operations, in the order of their slots.
    pub fn operations(&self) -> impl Iterator<Item = &str> {
        self.operations.values().map(|operation| operation.name.as_str())
    }

    /// About how many tokens its own words have.
    pub fn tokens(&self) -> usize {
        let blocks = self.template.blocks().iter();
        let own = blocks.filter(|block| !self.is_replaced(block.kind)).map(|block| block.tokens());
        own.sum::<usize>() + self.operations.values().map(|operation| operation.tokens()).sum::<usize>()
    }

    /// The words of each block, in the order in which a model reads them.
    ///
    /// # Errors
    /// If a block can't be rendered with these inputs.
    pub fn blocks(&self, inputs: &Inputs<'_>) -> Result<Vec<(BlockKind, String)>, RenderError> {
        let failed = |block, error: &minijinja::Error| RenderError {
            template: self.template.id().to_owned(),
            block,
            reason: error.to_string(),
        };
        let mut blocks = Vec::with_capacity(BlockKind::ALL.len());
        for kind in self.order() {
            let mut words = String::new();
            if let Some(own) = self.template.compiled(kind).filter(|_| !self.is_replaced(kind)) {
                words = own.render(inputs).map_err(|error| failed(kind, &error))?;
            }
            for operation in self.operations.values().filter(|operation| operation.block == kind) {
                let added = operation.compiled().render(inputs).map_err(|error| failed(kind, &error))?;
                if !words.is_empty() && !added.is_empty() {
                    // A question stands alone, whatever is said beside it.
                    words.push_str(if kind == BlockKind::Question { BETWEEN_BLOCKS } else { WITHIN_BLOCK });
                }
                words.push_str(&added);
            }
            if !words.is_empty() {
                blocks.push((kind, words));
            }
        }
        Ok(blocks)
    }

    /// What a model is told.
    ///
    /// # Errors
    /// If a block can't be rendered with these inputs.
    pub fn render(&self, inputs: &Inputs<'_>) -> Result<Rendered, RenderError> {
        let mut rendered = Rendered {
            system: String::with_capacity(inputs.passages.len() + 2_048),
            question: String::new(),
        };
        for (kind, words) in self.blocks(inputs)? {
            if kind == BlockKind::Question {
                rendered.question = words;
                continue;
            }
            if !rendered.system.is_empty() {
                // Who answers and what is to be done is one thing.
                let glued = kind == BlockKind::Instructions;
                rendered.system.push_str(if glued { WITHIN_BLOCK } else { BETWEEN_BLOCKS });
            }
            rendered.system.push_str(&words);
        }
        Ok(rendered)
    }

    /// The template's blocks, and those that only operations have words for, before the passages.
    fn order(&self) -> Vec<BlockKind> {
        let mut order: Vec<BlockKind> = self.template.blocks().iter().map(|block| block.kind).collect();
        for operation in self.operations.values() {
            if !order.contains(&operation.block) {
                let at = order.iter().position(|kind| *kind == BlockKind::Context).unwrap_or(0);
                order.insert(at, operation.block);
            }
        }
        order
    }

    fn is_replaced(&self, kind: BlockKind) -> bool {
        self.operations.values().any(|operation| operation.replaces && operation.block == kind)
    }
}
