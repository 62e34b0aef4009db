//! What blocks do, in figures and in words.

use serde::Serialize;

use super::Credit;
use super::regression::{Regression, gathered};
use crate::patterns::normal_above;

/// Of the normal distribution, 95 % of which lie within ± this many deviations.
const DEVIATIONS: f64 = 1.959_964;
/// Smaller effects are not worth words.
const LEAST_EFFECT: f64 = 0.01;

type Sum = Vec<(usize, f64)>;

/// What an option does beside its slot's reference, over the other slots' options as they were used.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Effect {
    /// The place of the slot.
    pub slot: usize,
    /// The place of the option.
    pub option: u16,
    /// The place of the label of the requests; `None` over all of them as they were met.
    pub context: Option<u16>,
    /// How much better the answers are expected to be.
    pub quality: f64,
    /// Holds the true effect with a probability of 95 %, if effects are as large as they are believed to be.
    pub interval: [f64; 2],
    /// How much more is generated; `None` where no counts are known.
    pub output_tokens: Option<f64>,
    /// Of that.
    pub output_tokens_interval: Option<[f64; 2]>,
}

/// A finding about one block, or two together.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Insight {
    /// In words and figures.
    pub text: String,
    /// The label of the requests that it holds for; `None` for all.
    pub context: Option<String>,
    /// The places of slot and option, one or two.
    pub blocks: Vec<(usize, u16)>,
    /// How much better answers are than with the references of these slots.
    pub quality: f64,
    /// 95 % of what may be.
    pub interval: [f64; 2],
    /// The probability that the effect has this sign.
    pub certainty: f64,
    /// By how much the blocks are longer than the references.
    pub prompt_tokens: f64,
    /// By how much more is generated, where that is as certain.
    pub output_tokens: Option<f64>,
}

impl Credit {
    /// What each option but the references does, over all requests and by label.
    pub fn effects(&self) -> Vec<Effect> {
        let mut effects = Vec::new();
        for context in self.scopes() {
            for (slot, option) in self.others() {
                let sum = self.contrast(&[(slot, option)], context);
                let (quality, reach) = figures(&self.quality, &sum);
                let tokens = self.output_tokens.as_ref().map(|tokens| figures(tokens, &sum));
                effects.push(Effect {
                    slot,
                    option,
                    context,
                    quality,
                    interval: around(quality, reach),
                    output_tokens: tokens.map(|(tokens, _)| tokens),
                    output_tokens_interval: tokens.map(|(tokens, reach)| around(tokens, reach)),
                });
            }
        }
        effects
    }

    /// What is known of blocks with at least that probability, the largest effects first: of single ones; of single ones
    /// for a kind of request, where that is not as for all; and of two, where they do not just add up.
    pub fn insights(&self, confidence: f64) -> Vec<Insight> {
        let mut insights = Vec::new();
        let blocks: Vec<(usize, u16)> = self.others().collect();
        for context in self.scopes() {
            for block in &blocks {
                let own = self.contrast(&[*block], context);
                let special = context.map(|_| minus(&own, &self.contrast(&[*block], None)));
                insights.extend(self.insight(&[*block], context, &own, special.as_ref(), confidence));
            }
        }
        for (place, one) in blocks.iter().enumerate() {
            for other in blocks[place..].iter().filter(|other| other.0 != one.0) {
                let both = self.contrast(&[*one, *other], None);
                let apart =
                    minus(&minus(&both, &self.contrast(&[*one], None)), &self.contrast(&[*other], None));
                let scopes = self.scopes().filter(|context| context.is_none() || self.contexts.len() > 1);
                for context in scopes {
                    let sum = self.contrast(&[*one, *other], context);
                    // Pairs do not depend on the kind of request, but what their blocks do may.
                    let special = match context {
                        None => apart.clone(),
                        Some(_) => minus(&sum, &both),
                    };
                    if self.is_certain(&apart, confidence) {
                        insights.extend(self.insight(
                            &[*one, *other],
                            context,
                            &sum,
                            Some(&special),
                            confidence,
                        ));
                    }
                }
            }
        }
        insights.sort_by(|one, other| other.quality.abs().total_cmp(&one.quality.abs()));
        insights
    }

    /// All requests together, and each label where there are several.
    fn scopes(&self) -> impl Iterator<Item = Option<u16>> {
        let contexts = if self.contexts.len() > 1 { self.contexts.len() as u16 } else { 0 };
        std::iter::once(None).chain((0..contexts).map(Some))
    }

    /// All options but the references.
    fn others(&self) -> impl Iterator<Item = (usize, u16)> + '_ {
        self.slots.iter().enumerate().flat_map(|(slot, known)| {
            let options = 0..known.options.len() as u16;
            options.filter(|option| *option != known.reference).map(move |option| (slot, option))
        })
    }

    /// What blocks, of different slots, do beside the references, over the other slots' options as they were used.
    fn contrast(&self, blocks: &[(usize, u16)], context: Option<u16>) -> Sum {
        let mut sum = Sum::new();
        let shares: Vec<(u16, f64)> = match context {
            Some(context) => vec![(context, 1.0)],
            None => self.met.iter().enumerate().map(|(place, share)| (place as u16, *share)).collect(),
        };
        for (sign, with) in [(1.0, true), (-1.0, false)] {
            let option =
                |(slot, option): (usize, u16)| if with { option } else { self.slots[slot].reference };
            for (place, block) in blocks.iter().enumerate() {
                let (slot, own) = (block.0, option(*block));
                sum.push((self.layout.block(slot, own), sign));
                for (context, share) in &shares {
                    let at = self.layout.context_block(*context, slot, own);
                    sum.extend(at.map(|at| (at, sign * share)));
                }
                for other in &blocks[..place] {
                    sum.push((self.layout.pair((other.0, option(*other)), (slot, own)), sign));
                }
                let free = self.used.iter().enumerate();
                for (beside, used) in free.filter(|(beside, _)| blocks.iter().all(|block| block.0 != *beside))
                {
                    sum.extend(used.iter().enumerate().map(|(other, share)| {
                        (self.layout.pair((beside, other as u16), (slot, own)), sign * share)
                    }));
                }
            }
        }
        gathered(sum)
    }

    fn is_certain(&self, sum: &Sum, confidence: f64) -> bool {
        let (mean, deviation) = figures(&self.quality, sum);
        certainty(mean, deviation) >= confidence
    }

    /// `None` where it is too small or not certain, or what makes it special is not.
    fn insight(
        &self,
        blocks: &[(usize, u16)],
        context: Option<u16>,
        sum: &Sum,
        special: Option<&Sum>,
        confidence: f64,
    ) -> Option<Insight> {
        let (quality, deviation) = figures(&self.quality, sum);
        let certain = certainty(quality, deviation);
        if certain < confidence || quality.abs() < LEAST_EFFECT {
            return None;
        }
        if special.is_some_and(|special| !self.is_certain(special, confidence)) {
            return None;
        }
        let output_tokens = self.output_tokens.as_ref().and_then(|tokens| {
            let (more, deviation) = figures(tokens, sum);
            (certainty(more, deviation) >= confidence && more.abs() >= 0.5).then_some(more)
        });
        let tokens = |(slot, option): (usize, u16)| {
            let of = |option: u16| {
                self.slots[slot].options.get(usize::from(option)).map_or(0.0, |block| block.tokens)
            };
            of(option) - of(self.slots[slot].reference)
        };
        let prompt_tokens = blocks.iter().map(|block| tokens(*block)).sum();
        let context = context.and_then(|context| self.contexts.get(usize::from(context)).cloned());
        let mut insight = Insight {
            text: String::new(),
            context,
            blocks: blocks.to_vec(),
            quality,
            interval: around(quality, deviation),
            certainty: certain,
            prompt_tokens,
            output_tokens,
        };
        insight.text = self.words(&insight, DEVIATIONS * deviation);
        Some(insight)
    }

    fn words(&self, insight: &Insight, reach: f64) -> String {
        let name = |(slot, option): &(usize, u16)| {
            let slot = &self.slots[*slot];
            let option = slot.options.get(usize::from(*option)).map_or("", |block| block.name.as_str());
            format!("{}={option}", slot.name)
        };
        let blocks: Vec<String> = insight.blocks.iter().map(name).collect();
        let scope = insight.context.as_ref().map_or_else(String::new, |context| format!("for {context}, "));
        let mut words = format!(
            "{scope}{}: {:+.0} points ± {:.0}",
            blocks.join(" + "),
            100.0 * insight.quality,
            (100.0 * reach).max(1.0)
        );
        let counts =
            [(Some(insight.prompt_tokens), "tokens of prompt"), (insight.output_tokens, "tokens of answer")];
        for (count, what) in counts {
            if let Some(count) = count.filter(|count| count.abs() >= 0.5) {
                let more = if count > 0.0 { "more" } else { "fewer" };
                words.push_str(&format!(", {:.0} {more} {what}", count.abs()));
            }
        }
        words
    }
}

/// Mean and deviation.
fn figures(regression: &Regression, sum: &Sum) -> (f64, f64) {
    (regression.mean(sum), regression.variance(sum).sqrt())
}

fn certainty(mean: f64, deviation: f64) -> f64 {
    if deviation > 0.0 { 1.0 - normal_above(mean.abs() / deviation) } else { 0.5 }
}

fn around(mean: f64, deviation: f64) -> [f64; 2] {
    [mean - DEVIATIONS * deviation, mean + DEVIATIONS * deviation]
}

fn minus(one: &Sum, other: &Sum) -> Sum {
    gathered(one.iter().copied().chain(other.iter().map(|(place, value)| (*place, -value))).collect())
}
