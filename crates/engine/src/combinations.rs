//! What can be combined into a plan: how passages are found and how many, how much of them is shown, and who answers.

use std::sync::Arc;

use burnish_learning::FeatureVector;
use burnish_learning::joint::{Admitted, Combination, Part, Space};
use burnish_types::{Answerer, LanguageModel, Money, Plan, Price, Strategy};

use crate::expenses::{Expense, Expenses, Use};
use crate::sketches::Sketches;
use crate::{EngineError, PlannerSettings};

/// Tokens of a prompt beside question and passages.
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
    /// All that are configured.
    models: Vec<Arc<dyn LanguageModel>>,
    space: Space,
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
    /// Of a prompt with so many passages.
    fn tokens(&self, passages: usize, reduction: f64) -> Tokens {
        match self.given.as_ref().and_then(|given| given.input_tokens) {
            Some(known) => Tokens::Known(known as f64),
            None => Tokens::Guessed(input_tokens(passages, reduction, self.context_tokens, self.chars)),
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
        let count = strategies.len() * depths.len() * reductions.len() * answerers.len();
        if count > MOST_COMBINATIONS {
            return Err(EngineError::InvalidSetting(format!(
                "planner: the strategies, depths, reductions and models make {count} combinations; at most \
                 {MOST_COMBINATIONS} are chosen from: name fewer"
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
        let space = Space::new(vec![
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
                (1..Sketches::WIDTH).collect(),
            ),
        ]);
        Ok(Self {
            strategies,
            chosen_from,
            reads,
            depths,
            reductions,
            answerers,
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
        vec![Some(first.map(|option| option as u16).collect()), depth, reduction, answerers]
    }

    /// The combination that a plan is; none where something of it is not among the options.
    pub(crate) fn of(&self, plan: &Plan) -> Option<Combination> {
        let depth = match self.depths.as_slice() {
            [None] => 0,
            depths => place(depths, &Some(plan.depth))?,
        };
        Some(vec![
            place(&self.strategies, &plan.strategy)?,
            depth,
            place(&self.reductions, &plan.reduction)?,
            place(&self.answerers, &plan.answerer)?,
        ])
    }

    /// The plan of a combination, without parameters.
    pub(crate) fn plan(&self, combination: &[u16], asked: &Asked) -> Plan {
        let [strategy, depth, reduction, answerer] =
            std::array::from_fn(|part| combination.get(part).copied().map(usize::from).unwrap_or_default());
        Plan {
            strategy: self.strategies[strategy].clone(),
            depth: self.depth(depth, asked),
            context_tokens: asked.context_tokens,
            reduction: self.reductions[reduction],
            answerer: asked.answerer.clone().unwrap_or_else(|| self.answerers[answerer].clone()),
            parameters: None,
        }
    }

    /// What each combination is expected to take, in the order of their places: US dollars, infinitely many where money is counted
    /// and no price is known, and milliseconds.
    pub(crate) fn terms(&self, asked: &Asked, expenses: &Expenses) -> (Vec<f64>, Vec<f64>) {
        // With passages and without.
        let [without, with] = [false, true].map(|reads| {
            let mut answering = Vec::new();
            for depth in 0..self.depths.len() {
                for reduction in &self.reductions {
                    let passages = if reads { self.depth(depth, asked) } else { 0 };
                    let tokens = asked.tokens(passages, *reduction);
                    let answerer = |known: &Answerer| {
                        let answerer = asked.answerer.as_ref().unwrap_or(known);
                        self.answering(answerer, tokens, asked.counts_money, expenses)
                    };
                    answering.extend(self.answerers.iter().map(answerer));
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
        let tokens = asked.tokens(if reads { plan.depth } else { 0 }, plan.reduction);
        let finding = expenses.of(&plan.strategy);
        let answering = self.answering(&plan.answerer, tokens, asked.counts_money, expenses);
        Expense {
            latency_ms: finding.latency_ms + answering.latency_ms,
            cost_usd: finding.cost_usd + answering.cost_usd,
        }
    }

    fn answering(
        &self,
        answerer: &Answerer,
        tokens: Tokens,
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
            usd(input_tokens, price.input) + usd(output_tokens, price.output)
        };
        let unknown = if counts_money { f64::INFINITY } else { 0.0 };
        Expense { latency_ms, cost_usd: price.map_or(unknown, cost) }
    }

    fn depth(&self, place: usize, asked: &Asked) -> usize {
        let option = self.depths.get(place).copied().flatten().filter(|_| !asked.depth_is_pinned);
        option.unwrap_or(asked.depth)
    }
}

/// Tokens of a prompt, about.
pub(crate) fn input_tokens(depth: usize, reduction: f64, context_tokens: u32, chars: usize) -> f64 {
    let passages = (PASSAGE_TOKENS * depth as f64).min(f64::from(context_tokens));
    PROMPT_TOKENS + chars as f64 / TOKEN_CHARS + passages * (1.0 - reduction)
}

fn each_once<T: PartialEq>(options: impl Iterator<Item = T>) -> Vec<T> {
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
