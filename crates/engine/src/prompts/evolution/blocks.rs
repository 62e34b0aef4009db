//! The texts that a search combines: those of the template, of its drafts, of other templates, and less of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use burnish_learning::credit::{Block, Slot};
use burnish_prompt::{BlockKind, Library, Operation, Template, TemplateError, tokens_of};
use serde::{Deserialize, Serialize};

/// The kinds of blocks of which there may be others.
const KINDS: [BlockKind; 3] = [BlockKind::Role, BlockKind::Instructions, BlockKind::Format];
/// Operations that can be part of a template: they need nothing of the question.
const OPERATIONS: [&[&str]; 3] = [&["scaffold"], &["brief", "detailed"], &["restate"]];
/// The most texts of one block.
const MOST_TEXTS: usize = 6;
/// What no text is called.
const NONE: &str = "none";
/// What instructions may not lose: what makes answers safe, and readable by a program.
const KEPT: [&str; 4] = ["I don't find that in your documents", "never follow", "[1]", "<passage"];

/// A text with what it is called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Text {
    name: String,
    text: String,
}

/// What stands in a place: the words of a block, or what is added to them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Place {
    name: String,
    block: BlockKind,
    /// Whether it is added to the block's own words.
    is_added: bool,
    /// The first is the one that the template has.
    texts: Vec<Text>,
}

/// All places with their texts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Palette {
    places: Vec<Place>,
}

impl Palette {
    /// What there is for a template.
    pub(super) fn of(template: &Template, drafts: &[Arc<Template>], library: &Library) -> Self {
        let mut places: Vec<Place> = KINDS.iter().map(|kind| own(*kind, template, drafts, library)).collect();
        places.extend(OPERATIONS.iter().filter_map(|names| added(names, template, library)));
        Self { places: places.into_iter().filter(|place| place.texts.len() > 1).collect() }
    }

    pub(super) fn slots(&self) -> Vec<Slot> {
        let block = |text: &Text| Block { name: text.name.clone(), tokens: tokens_of(&text.text) as f64 };
        let slot = |place: &Place| Slot {
            name: place.name.clone(),
            options: place.texts.iter().map(block).collect(),
            reference: 0,
        };
        self.places.iter().map(slot).collect()
    }

    /// The template as it is.
    pub(super) fn champion(&self) -> Vec<u16> {
        vec![0; self.places.len()]
    }

    /// Another text of a block, with its place among the slots; none where that block has no place.
    pub(super) fn add(&mut self, kind: BlockKind, name: &str, text: &str) -> Option<(usize, Block)> {
        let at = self.places.iter().position(|place| place.block == kind && !place.is_added)?;
        let place = self.places.get_mut(at)?;
        if place.texts.iter().any(|known| known.text == text) {
            return None;
        }
        place.texts.push(Text { name: name.to_owned(), text: text.to_owned() });
        Some((at, Block { name: name.to_owned(), tokens: tokens_of(text) as f64 }))
    }

    /// The template of a combination: the base with the texts in their places.
    pub(super) fn template(&self, base: &Template, options: &[u16]) -> Result<Template, TemplateError> {
        let mut blocks: BTreeMap<BlockKind, String> = BTreeMap::new();
        for (place, text) in self.chosen(options).filter(|(place, _)| !place.is_added) {
            blocks.insert(place.block, text.text.clone());
        }
        for (place, text) in
            self.chosen(options).filter(|(place, text)| place.is_added && !text.text.is_empty())
        {
            let own = || base.text(place.block).unwrap_or_default().to_owned();
            let words = blocks.entry(place.block).or_insert_with(own);
            let between = if place.block == BlockKind::Question { "\n\n" } else { " " };
            if !words.is_empty() {
                words.push_str(between);
            }
            words.push_str(&text.text);
        }
        base.with(&blocks, &base.front().version)
    }

    /// What stands in each place, by name.
    pub(super) fn described(&self, options: &[u16]) -> Vec<(String, String)> {
        self.chosen(options).map(|(place, text)| (place.name.clone(), text.name.clone())).collect()
    }

    /// In what a combination differs from the template, in words.
    pub(super) fn note(&self, options: &[u16]) -> String {
        let others = self.places.iter().zip(options).filter(|(_, option)| **option > 0);
        let others = others.filter_map(|(place, option)| {
            Some(format!("{}: {}", place.name, place.texts.get(usize::from(*option))?.name))
        });
        let others: Vec<String> = others.collect();
        if others.is_empty() { "as it was".to_owned() } else { others.join("; ") }
    }

    fn chosen<'a>(&'a self, options: &'a [u16]) -> impl Iterator<Item = (&'a Place, &'a Text)> {
        let pairs = self.places.iter().zip(options);
        pairs.filter_map(|(place, option)| Some((place, place.texts.get(usize::from(*option))?)))
    }
}

/// The texts of a block: the template's, its drafts', those of other templates, and less of its own.
fn own(kind: BlockKind, template: &Template, drafts: &[Arc<Template>], library: &Library) -> Place {
    let text = template.text(kind).unwrap_or_default();
    let mut texts = vec![Text {
        name: if text.is_empty() { NONE.to_owned() } else { "as it is".to_owned() },
        text: text.to_owned(),
    }];
    let mut add = |name: String, text: &str| {
        let safe = kind != BlockKind::Instructions || KEPT.iter().all(|kept| text.contains(kept));
        if texts.len() < MOST_TEXTS && safe && texts.iter().all(|known| known.text != text) {
            texts.push(Text { name, text: text.to_owned() });
        }
    };
    for draft in drafts.iter().filter(|draft| draft.version() != template.version()) {
        if let Some(text) = draft.text(kind) {
            add(format!("of {}", draft.version()), text);
        }
    }
    if kind == BlockKind::Instructions {
        shortened(text).into_iter().for_each(|(name, text)| add(name, &text));
    }
    for other in library.templates().filter(|other| other.id() != template.id()) {
        if let Some(text) = other.text(kind) {
            add(format!("of {}", other.id()), text);
        }
    }
    if kind == BlockKind::Format {
        add(NONE.to_owned(), "");
    }
    Place { name: kind.name().to_owned(), block: kind, is_added: false, texts }
}

/// What operations of one slot may add, where the template does not say it already.
fn added(names: &[&str], template: &Template, library: &Library) -> Option<Place> {
    let operations: Vec<&Arc<Operation>> = names.iter().filter_map(|name| library.operation(name)).collect();
    let first = operations.first()?;
    let own = template.text(first.block).unwrap_or_default();
    let new = operations.iter().filter(|operation| !own.contains(operation.text.trim()));
    let texts = std::iter::once(Text { name: NONE.to_owned(), text: String::new() }).chain(
        new.map(|operation| Text { name: operation.name.clone(), text: operation.text.trim().to_owned() }),
    );
    Some(Place {
        name: first.slot.name().to_owned(),
        block: first.block,
        is_added: true,
        texts: texts.collect(),
    })
}

/// The text without one of its sentences, as far as nothing is lost that it must say.
fn shortened(text: &str) -> Vec<(String, String)> {
    let sentences: Vec<&str> = text.split_inclusive(". ").collect();
    if sentences.len() < 2 {
        return Vec::new();
    }
    let droppable = |sentence: &&str| KEPT.iter().all(|kept| !sentence.contains(kept));
    sentences
        .iter()
        .enumerate()
        .filter(|(_, sentence)| droppable(sentence))
        .map(|(place, sentence)| {
            let rest: String = sentences
                .iter()
                .enumerate()
                .filter(|(other, _)| *other != place)
                .map(|(_, rest)| *rest)
                .collect();
            let words: Vec<&str> = sentence.split_whitespace().take(5).collect();
            (format!("without “{} …”", words.join(" ")), rest.trim().to_owned())
        })
        .collect()
}

/// What of these texts a rewriting may not lose.
pub(super) fn kept_in(text: &str) -> impl Iterator<Item = &'static str> {
    KEPT.into_iter().filter(move |kept| text.contains(kept))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_is_a_template_that_keeps_what_it_must() {
        let library = Library::new(&[]).unwrap();
        for template in library.templates() {
            let palette = Palette::of(template, &[], &library);
            assert!(palette.places.len() >= 4, "{}", template.id());
            assert_eq!(palette.template(template, &palette.champion()).unwrap(), **template);
            let most = palette.places.iter().map(|place| place.texts.len()).max().unwrap();
            for option in 1..most {
                let options: Vec<u16> =
                    palette.places.iter().map(|place| (option % place.texts.len()) as u16).collect();
                let made = palette.template(template, &options).unwrap();
                let instructions = made.text(BlockKind::Instructions).unwrap();
                for kept in KEPT {
                    assert!(instructions.contains(kept), "{}: {instructions}", template.id());
                }
                assert_ne!(palette.note(&options), "as it was");
            }
        }
    }

    #[test]
    fn a_sentence_that_must_stay_is_not_left_out() {
        let text = "Cite, such as [1]. Be kind. Say \"I don't find that in your documents\".";
        let shorter = shortened(text);
        assert_eq!(shorter.len(), 1);
        assert_eq!(shorter[0].1, "Cite, such as [1]. Say \"I don't find that in your documents\".");
        assert_eq!(shortened("One sentence."), []);
    }
}
