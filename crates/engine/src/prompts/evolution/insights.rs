//! What outcomes say of blocks and operations: by a factorial model over all versions that were used, in figures and in words.

use std::sync::Arc;

use burnish_learning::credit::{Block, Credit, Effect, Insight, Row, Slot};
use burnish_prompt::{BlockKind, Slot as OperationSlot, TOPICS, Template};

use crate::prompts::tallies::TallyRow;
use crate::{Engine, EngineError};

/// The topic of questions of which it is not known.
const OTHER: &str = "other questions";
/// What stands in a slot in which nothing stands.
const NONE: &str = "none";
/// The kinds of blocks that differ from one version to another.
const KINDS: [BlockKind; 4] =
    [BlockKind::Role, BlockKind::Instructions, BlockKind::Examples, BlockKind::Format];
/// The slots of operations.
const SLOTS: [OperationSlot; 8] = [
    OperationSlot::Reasoning,
    OperationSlot::Sources,
    OperationSlot::Depth,
    OperationSlot::Format,
    OperationSlot::Length,
    OperationSlot::Language,
    OperationSlot::Examples,
    OperationSlot::Order,
];

/// What was found about prompts.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Insights {
    /// Outcomes that it rests on.
    pub outcomes: u64,
    /// The effect of each block and operation, over all questions and by topic.
    pub effects: Vec<Finding>,
    /// What holds with the confidence that was asked for, the largest effects first.
    pub insights: Vec<Insight>,
}

/// What a block or an operation does beside what most prompts have in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Where it stands.
    pub slot: String,
    /// What stands there.
    pub option: String,
    /// What it is compared with.
    pub beside: String,
    /// Of which questions; none for all.
    pub topic: Option<String>,
    /// The effect.
    pub effect: Effect,
}

/// A slot in the making.
struct Filling {
    slot: Slot,
    counts: Vec<u64>,
}

impl Filling {
    fn new(name: &str) -> Self {
        Self { slot: Slot { name: name.to_owned(), options: Vec::new(), reference: 0 }, counts: Vec::new() }
    }

    /// The place of an option, which is added where it is new.
    fn place(&mut self, name: &str, tokens: f64, outcomes: u64) -> u16 {
        let known = self.slot.options.iter().position(|option| option.name == name);
        let place = known.unwrap_or_else(|| {
            self.slot.options.push(Block { name: name.to_owned(), tokens });
            self.counts.push(0);
            self.slot.options.len() - 1
        });
        self.counts[place] += outcomes;
        place as u16
    }
}

impl Engine {
    /// What outcomes say of the blocks of templates and of operations, with a confidence in (0.5, 1).
    pub async fn prompt_insights(
        self: &Arc<Self>,
        template: Option<String>,
        confidence: f64,
    ) -> Result<Insights, EngineError> {
        self.blocking(move |engine| {
            if let Some(id) = &template {
                engine.prompts.in_use(id)?;
            }
            Ok(engine.insights_now(template.as_deref(), confidence))
        })
        .await
    }

    fn insights_now(&self, template: Option<&str>, confidence: f64) -> Insights {
        let tallies = self.prompts.tallies();
        let known = self.prompts.templates_of(&tallies);
        let rows: Vec<(Arc<Template>, TallyRow)> = known
            .into_iter()
            .zip(tallies)
            .filter_map(|(found, row)| Some((found?, row)))
            .filter(|(found, _)| template.is_none_or(|id| found.id() == id))
            .collect();
        let shelf = self.prompts.shelf();
        let mut fillings: Vec<Filling> = KINDS
            .iter()
            .map(|kind| Filling::new(kind.name()))
            .chain(SLOTS.iter().map(|slot| Filling::new(&format!("{} operation", slot.name()))))
            .collect();
        let topic =
            |row: &TallyRow| TOPICS.iter().position(|known| *known == row.topic).unwrap_or(TOPICS.len());
        let filled: Vec<Row> = rows
            .iter()
            .map(|(template, row)| {
                let outcomes = row.tally.outcomes;
                let mut options = Vec::with_capacity(fillings.len());
                let (of_blocks, of_operations) = fillings.split_at_mut(KINDS.len());
                for (filling, kind) in of_blocks.iter_mut().zip(KINDS) {
                    let block = template.blocks().iter().find(|block| block.kind == kind);
                    let name = block.map_or_else(
                        || NONE.to_owned(),
                        |block| format!("{} {}", template.id(), &block.version()[..6]),
                    );
                    options.push(filling.place(
                        &name,
                        block.map_or(0.0, |block| block.tokens() as f64),
                        outcomes,
                    ));
                }
                for (filling, slot) in of_operations.iter_mut().zip(SLOTS) {
                    let mut operations =
                        row.operations.iter().filter_map(|name| shelf.library().operation(name));
                    let operation = operations.find(|operation| operation.slot == slot);
                    let name = operation.map_or(NONE, |operation| operation.name.as_str());
                    options.push(filling.place(
                        name,
                        operation.map_or(0.0, |known| known.tokens() as f64),
                        outcomes,
                    ));
                }
                Row {
                    options,
                    context: topic(row) as u16,
                    quality: row.tally.quality(),
                    weight: outcomes as f64,
                    output_tokens: row.tally.is_measured().then(|| row.tally.output_tokens()),
                }
            })
            .collect();
        let outcomes = rows.iter().map(|(_, row)| row.tally.outcomes).sum();
        if filled.is_empty() {
            return Insights::default();
        }
        // What is used most is what everything is compared with.
        let slots: Vec<Slot> = fillings
            .into_iter()
            .map(|Filling { slot, counts }| {
                let most = (0..counts.len()).max_by_key(|place| counts[*place]).unwrap_or_default();
                Slot { reference: most as u16, ..slot }
            })
            .collect();
        let mut contexts = TOPICS.map(|topic| topic.replace('_', " ")).to_vec();
        contexts.push(OTHER.to_owned());
        let credit = Credit::fit(&slots, &contexts, &filled);
        let met: Vec<u16> = filled.iter().map(|row| row.context).collect();
        let finding = |effect: Effect| {
            let slot = slots.get(effect.slot)?;
            let option = slot.options.get(usize::from(effect.option))?;
            let beside = slot.options.get(usize::from(slot.reference))?;
            Some(Finding {
                slot: slot.name.clone(),
                option: option.name.clone(),
                beside: beside.name.clone(),
                topic: effect.context.and_then(|context| contexts.get(usize::from(context)).cloned()),
                effect,
            })
        };
        let seen = |effect: &Effect| effect.context.is_none_or(|context| met.contains(&context));
        Insights {
            outcomes,
            effects: credit.effects().into_iter().filter(seen).filter_map(finding).collect(),
            insights: credit.insights(confidence),
        }
    }
}
