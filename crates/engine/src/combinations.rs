//! What can be combined into a plan: how passages are found and how many, how much of them is shown, and who answers.

use std::sync::Arc;

use burnish_learning::FeatureVector;
use burnish_learning::joint::{Admitted, Combination, Part, Space};
use burnish_types::{Answerer, LanguageModel, Money, Plan, Price, PromptPlan, Strategy};

use crate::expenses::{Expense, Expenses, Use};
use crate::prompts::Possible;
use crate::sketches::Sketches;
use crate::{EngineError, PlannerSettings};

/// Tokens of a prompt beside question and passages, where it is not known.
const PROMPT_TOKENS: f64 = 200.0;
/// Characters of a token, about.
const TOKEN_CHARS: f64 = 4.0;
/// Tokens of a passage, about.
const PASSAGE_TOKENS: f64 = 150.0;
/// More are not chosen from: each decision looks at all of them.
const MOST_COMBINATIONS: usize = 10_000;
/// The strategy of a plan whose passages the caller has found.
pub(crate) const GIVEN: &str = "given";

/// What stays the same over the combinations of a query, as far as it decides what they take.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Characters of the question and of what was said before it.
    pub(crate) chars: usize,
    /// Passages, where their number is not to be chosen, and whether it is not.
    pub(crate) depth: usize,
    pub(crate) depth_is_pinned: bool,
    /// The most tokens of passages.
    pub(crate) context_tokens: u32,
    /// Who answers, where that is not to be chosen.
    pub(crate) answerer: Option<Answerer>,
    /// What is asked where the caller finds the passages: then nothing but who answers is to be chosen.
    pub(crate) given: Option<Given>,
    /// Whether money is counted, so that what has no known price can't be taken. Else it is taken to cost nothing.
    pub(crate) counts_money: bool,
    /// What a model that is shown passages may be told.
    pub(crate) prompts: Possible,
}

/// A prompt that the caller makes.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Given {
    /// Its tokens, where they are known.
    pub(crate) input_tokens: Option<u64>,
    /// The models that may answer; none stands for all.
    pub(crate) models: Vec<Answerer>,
}

/// The options of each part of a plan, and the space that they span.
pub(crate) struct Combinations {
    /// Those to choose from, and at last, where there are several to answer, [`GIVEN`].
    strategies: Vec<Strategy>,
    chosen_from: usize,
    /// Which of them look at documents.
    reads: Vec<bool>,
    /// None stands for as many as are asked for.
    depths: Vec<Option<usize>>,
    reductions: Vec<f64>,
    answerers: Vec<Answerer>,
    /// On prompts; each with it and without.
    operations: Vec<String>,
    /// All that are configured.
    models: Vec<Arc<dyn LanguageModel>>,
    space: Space,
}

/// The first part that is an operation on the prompt.
const OPERATIONS_FROM: usize = 4;

/// What a prompt takes.
struct PromptTerms {
    /// About how many tokens its own words are, where that is known.
    tokens: Option<f64>,
    /// How long answers to it are, beside those to all prompts.
    output_ratio: f64,
}

/// A prompt's tokens.
#[derive(Clone, Copy)]
enum Tokens {
    /// As the caller says.
    Known(f64),
    /// As [`input_tokens`] guesses, which each model's own ratio corrects.
    Guessed(f64),
}

impl Asked {
    /// Of a prompt with so many passages, whose own words are `prompt` tokens, where that is known.
    fn tokens(&self, prompt: Option<f64>, passages: usize, reduction: f64) -> Tokens {
        match self.given.as_ref().and_then(|given| given.input_tokens) {
            Some(known) => Tokens::Known(known as f64),
            None => {
                Tokens::Guessed(input_tokens(prompt, passages, reduction, self.context_tokens, self.chars))
            }
        }
    }
}

impl Combinations {
    pub(crate) fn new(
        mut strategies: Vec<Strategy>,
        reads: impl Fn(&Strategy) -> bool,
        settings: &PlannerSettings,
        context_reduction: f64,
        models: &[Arc<dyn LanguageModel>],
        operations: &[String],
    ) -> Result<Self, EngineError> {
        let answerers = answerers(&settings.models, models)?;
        let chosen_from = strategies.len();
        if answerers.len() > 1 {
            strategies.push(Strategy::new(GIVEN));
        }
        let reads = strategies
            .iter()
            .map(|strategy| strategy.as_str() != GIVEN && reads(strategy))
            .collect::<Vec<bool>>();
        let depths: Vec<Option<usize>> = match settings.depths.as_slice() {
            [] => vec![None],
            depths => each_once(depths.iter().copied().map(Some)),
        };
        let reductions = match settings.reductions.as_slice() {
            [] => vec![context_reduction],
            reductions => each_once(reductions.iter().copied()),
        };
        let operations = each_once(operations.iter().cloned());
        let prompts = u32::try_from(operations.len())
            .ok()
            .and_then(|operations| 2_usize.checked_pow(operations))
            .unwrap_or(usize::MAX);
        let count =
            (strategies.len() * depths.len() * reductions.len() * answerers.len()).saturating_mul(prompts);
        if count > MOST_COMBINATIONS {
            return Err(EngineError::InvalidSetting(format!(
                "planner: the strategies, depths, reductions, models and operations make {count} \
                 combinations; at most {MOST_COMBINATIONS} are chosen from: name fewer"
            )));
        }
        let numbers: Vec<usize> = (1..FeatureVector::LENGTH).collect();
        let part = |name: &str, options: Vec<String>, scale: Vec<f64>, places: Vec<usize>| Part {
            name: name.to_owned(),
            options,
            scale,
            places,
            baseline: 0,
        };
        let known = depths.iter().flatten().copied();
        let depth_names = depths
            .iter()
            .map(|depth| depth.map_or("as asked".to_owned(), |depth| format!("{depth} passages")));
        let about = || (1..Sketches::WIDTH).collect::<Vec<usize>>();
        let mut parts = vec![
            part("strategy", strategies.iter().map(Strategy::to_string).collect(), Vec::new(), Vec::new()),
            part(
                "depth",
                depth_names.collect(),
                known.map(|depth| (depth as f64).ln()).collect(),
                numbers.clone(),
            ),
            part(
                "reduction",
                reductions.iter().map(|share| format!("{:.0} % left out", 100.0 * share)).collect(),
                reductions.clone(),
                numbers.clone(),
            ),
            part(
                "answerer",
                answerers.iter().map(|answerer| answerer.name().to_owned()).collect(),
                Vec::new(),
                // Which one answers best hangs on what is asked, too.
                about(),
            ),
        ];
        parts.extend(
            operations
                .iter()
                .map(|name| part(name, vec![format!("no {name}"), name.clone()], Vec::new(), about())),
        );
        let space = Space::new(parts);
        Ok(Self {
            strategies,
            chosen_from,
            reads,
            depths,
            reductions,
            answerers,
            operations,
            models: models.to_vec(),
            space,
        })
    }

    /// The strategies to choose from.
    pub(crate) fn strategies(&self) -> &[Strategy] {
        &self.strategies[..self.chosen_from]
    }

    /// Whether any strategy to choose from looks at documents.
    pub(crate) fn reads_anything(&self) -> bool {
        self.reads[..self.chosen_from].contains(&true)
    }

    /// Who may answer, the one first who does so until evidence speaks against it.
    pub(crate) fn answerers(&self) -> &[Answerer] {
        &self.answerers
    }

    pub(crate) fn space(&self) -> &Space {
        &self.space
    }

    /// The most passages that may be asked for.
    pub(crate) fn deepest(&self, asked: usize) -> usize {
        self.depths.iter().flatten().copied().chain([asked]).max().unwrap_or(asked)
    }

    /// By part, what may be chosen. What is decided already and not among the options is taken for the baseline.
    pub(crate) fn admitted(&self, asked: &Asked) -> Vec<Admitted> {
        let first = match asked.given {
            Some(_) => self.chosen_from..self.strategies.len(),
            None => 0..self.chosen_from,
        };
        let depth = asked.depth_is_pinned || asked.given.is_some();
        let depth = depth.then(|| vec![place(&self.depths, &Some(asked.depth)).unwrap_or_default()]);
        // Nothing is left out where nobody is shown anything, or not by us.
        let unread = matches!(asked.answerer, Some(Answerer::Passages | Answerer::Extractive));
        let reduction = (unread || asked.given.is_some()).then(|| vec![0]);
        let may: Vec<Answerer> = match (&asked.answerer, &asked.given) {
            (Some(answerer), _) => vec![answerer.clone()],
            (None, Some(given)) => given.models.clone(),
            (None, None) => Vec::new(),
        };
        let answerers: Vec<u16> =
            may.iter().map(|answerer| place(&self.answerers, answerer).unwrap_or_default()).collect();
        let answerers = (!answerers.is_empty()).then_some(answerers);
        // Nothing is told where nobody writes, or not for us.
        let untold = || (unread || asked.given.is_some()).then(|| vec![0]);
        let mut admitted =
            vec![Some(first.map(|option| option as u16).collect()), depth, reduction, answerers];
        admitted.resize_with(self.space.parts().len(), untold);
        admitted
    }

    /// The combination that a plan is; none where something of it is not among the options.
    pub(crate) fn of(&self, plan: &Plan) -> Option<Combination> {
        let depth = match self.depths.as_slice() {
            [None] => 0,
            depths => place(depths, &Some(plan.depth))?,
        };
        let mut combination = vec![
            place(&self.strategies, &plan.strategy)?,
            depth,
            place(&self.reductions, &plan.reduction)?,
            place(&self.answerers, &plan.answerer)?,
        ];
        let has = |name| plan.prompt.as_ref().is_some_and(|prompt| prompt.operations.contains(name));
        combination.extend(self.operations.iter().map(|name| u16::from(has(name))));
        Some(combination)
    }

    /// The plan of a combination, without parameters.
    pub(crate) fn plan(&self, combination: &[u16], asked: &Asked) -> Plan {
        let option = |part: usize| combination.get(part).copied().map(usize::from).unwrap_or_default();
        let [strategy, depth, reduction, answerer] = std::array::from_fn(option);
        let answerer = asked.answerer.clone().unwrap_or_else(|| self.answerers[answerer].clone());
        let told = self.reads[strategy] && matches!(answerer, Answerer::Model(_));
        let prompt = self.prompt(combination, asked);
        Plan {
            strategy: self.strategies[strategy].clone(),
            depth: self.depth(depth, asked),
            context_tokens: asked.context_tokens,
            reduction: self.reductions[reduction],
            answerer,
            parameters: None,
            prompt: prompt.filter(|_| told).map(|(prompt, _)| prompt),
        }
    }

    /// What each combination is expected to take, in the order of their places: US dollars, infinitely many where money is counted
    /// and no price is known, and milliseconds.
    pub(crate) fn terms(&self, asked: &Asked, expenses: &Expenses) -> (Vec<f64>, Vec<f64>) {
        let prompts = self.prompts(asked, expenses);
        // With passages and without.
        let [without, with] = [false, true].map(|reads| {
            let mut answering = Vec::new();
            for depth in 0..self.depths.len() {
                for reduction in &self.reductions {
                    let passages = if reads { self.depth(depth, asked) } else { 0 };
                    for known in &self.answerers {
                        let answerer = asked.answerer.as_ref().unwrap_or(known);
                        answering.extend(prompts.iter().map(|prompt| {
                            let tokens = asked.tokens(prompt.tokens, passages, *reduction);
                            self.answering(
                                answerer,
                                tokens,
                                prompt.output_ratio,
                                asked.counts_money,
                                expenses,
                            )
                        }));
                    }
                }
            }
            answering
        });
        let takes = self.strategies.iter().zip(&self.reads).flat_map(|(strategy, reads)| {
            let finding = expenses.of(strategy);
            let answering = if *reads { &with } else { &without };
            answering.iter().map(move |answering| {
                (finding.cost_usd + answering.cost_usd, finding.latency_ms + answering.latency_ms)
            })
        });
        takes.unzip()
    }

    /// What a plan is expected to take.
    pub(crate) fn expense(&self, plan: &Plan, asked: &Asked, expenses: &Expenses) -> Expense {
        let known = place(&self.strategies, &plan.strategy).map(usize::from);
        let reads = known.is_none_or(|place| self.reads[place]);
        let prompt = self.of(plan).and_then(|combination| self.prompt(&combination, asked));
        let output_ratio = plan.prompt.as_ref().map_or(1.0, |prompt| expenses.of_prompt(prompt));
        let own = prompt.map(|(_, tokens)| tokens);
        let tokens = asked.tokens(own, if reads { plan.depth } else { 0 }, plan.reduction);
        let finding = expenses.of(&plan.strategy);
        let answering = self.answering(&plan.answerer, tokens, output_ratio, asked.counts_money, expenses);
        Expense {
            latency_ms: finding.latency_ms + answering.latency_ms,
            cost_usd: finding.cost_usd + answering.cost_usd,
        }
    }

    /// The prompt of a combination, and about how many tokens its own words are.
    fn prompt(&self, combination: &[u16], asked: &Asked) -> Option<(PromptPlan, f64)> {
        asked
            .prompts
            .prompt(|place| combination.get(OPERATIONS_FROM + place).is_some_and(|option| *option > 0))
    }

    /// What each prompt takes, in the order of places.
    fn prompts(&self, asked: &Asked, expenses: &Expenses) -> Vec<PromptTerms> {
        let last = self.operations.len();
        (0..1_usize << last)
            .map(|kind| {
                // The last operation changes fastest.
                let has = |place: usize| kind >> (last - 1 - place) & 1 == 1;
                match asked.prompts.prompt(has) {
                    Some((prompt, tokens)) => {
                        PromptTerms { tokens: Some(tokens), output_ratio: expenses.of_prompt(&prompt) }
                    }
                    None => PromptTerms { tokens: None, output_ratio: 1.0 },
                }
            })
            .collect()
    }

    fn answering(
        &self,
        answerer: &Answerer,
        tokens: Tokens,
        output_ratio: f64,
        counts_money: bool,
        expenses: &Expenses,
    ) -> Expense {
        let Answerer::Model(name) = answerer else { return Expense::default() };
        let price = self.models.iter().find(|model| model.name() == name).and_then(|model| model.price());
        let Use { latency_ms, input_ratio, output_tokens } = expenses.of_model(name);
        let cost = |price: Price| {
            let usd = |tokens: f64, million: Money| tokens * million.micros() as f64 / 1e12;
            let input_tokens = match tokens {
                Tokens::Known(tokens) => tokens,
                Tokens::Guessed(tokens) => tokens * input_ratio,
            };
            usd(input_tokens, price.input) + usd(output_tokens * output_ratio, price.output)
        };
        let unknown = if counts_money { f64::INFINITY } else { 0.0 };
        Expense { latency_ms, cost_usd: price.map_or(unknown, cost) }
    }

    fn depth(&self, place: usize, asked: &Asked) -> usize {
        let option = self.depths.get(place).copied().flatten().filter(|_| !asked.depth_is_pinned);
        option.unwrap_or(asked.depth)
    }
}

/// Tokens of a prompt, about, of which `own` are its own words.
pub(crate) fn input_tokens(
    own: Option<f64>,
    depth: usize,
    reduction: f64,
    context_tokens: u32,
    chars: usize,
) -> f64 {
    let passages = (PASSAGE_TOKENS * depth as f64).min(f64::from(context_tokens));
    own.unwrap_or(PROMPT_TOKENS) + chars as f64 / TOKEN_CHARS + passages * (1.0 - reduction)
}

/// The options without those that were named before.
pub(crate) fn each_once<T: PartialEq>(options: impl Iterator<Item = T>) -> Vec<T> {
    options.fold(Vec::new(), |mut known, option| {
        if !known.contains(&option) {
            known.push(option);
        }
        known
    })
}

/// Who may answer by the settings: all models where none are named, and quotation where there is none.
fn answerers(named: &[String], models: &[Arc<dyn LanguageModel>]) -> Result<Vec<Answerer>, EngineError> {
    let all = || models.iter().map(|model| Answerer::Model(model.name().to_owned()));
    if named.is_empty() {
        let all: Vec<Answerer> = all().collect();
        return Ok(if all.is_empty() { vec![Answerer::Extractive] } else { all });
    }
    let mut answerers = Vec::new();
    for name in named {
        let known = all().find(|answerer| answerer.name() == name);
        let answerer = match known {
            Some(answerer) => answerer,
            None if name == Answerer::EXTRACTIVE => Answerer::Extractive,
            None => {
                let known = models.iter().map(|model| model.name().to_owned()).collect();
                return Err(EngineError::UnknownModel { name: name.clone(), known });
            }
        };
        if !answerers.contains(&answerer) {
            answerers.push(answerer);
        }
    }
    Ok(answerers)
}

fn place<T: PartialEq>(options: &[T], option: &T) -> Option<u16> {
    options.iter().position(|known| known == option).and_then(|place| u16::try_from(place).ok())
}
