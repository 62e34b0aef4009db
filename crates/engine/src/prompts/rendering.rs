//! A prompt as messages: the template and the operations of a plan, with the evidence.

use burnish_prompt::{Example, Inputs, Prompt, Rendered, Source, of_evidence, suspicion};
use burnish_types::{
    AnswerFormat, Characteristics, ChunkId, Message, PromptPlan, Prompted, Query, Role, Timestamp,
};
use serde_json::{Map, Value};

use super::Prompts;
use crate::context::Context;
use crate::prompt::{CONFLICTS_BETWEEN, passage, said_before};
use crate::{Engine, EngineError};

/// So many passages are remembered as suspicious or not.
const MOST_SUSPICIONS: usize = 100_000;
/// Milliseconds of a year, about.
const YEAR_MS: f64 = 365.2425 * 86_400_000.0;

/// A prompt that is about to be sent.
pub(crate) struct Told {
    pub(crate) messages: Vec<Message>,
    pub(crate) prompted: Prompted,
}

/// What a prompt is rendered of, where nothing is sent: for looking at it.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderRequest {
    /// The question, and who asks.
    pub query: Query,
    /// The template; where none is named, the one that the question would get.
    pub template: Option<String>,
    /// Its version; where none is named, the one in use.
    pub version: Option<String>,
    /// Its operations; where none are named, those that the question asks for.
    pub operations: Option<Vec<String>>,
    /// A template that is not kept, in place of one that is.
    pub draft: Option<Draft>,
}

/// The text of a template that is not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft(pub String);

/// A prompt as a model would read it.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedPrompt {
    /// What it was made of.
    pub prompted: Prompted,
    /// The messages.
    pub messages: Vec<Message>,
    /// The words of each block, by its name.
    pub blocks: Vec<(String, String)>,
}

/// What a caller wants of the form of an answer.
pub(crate) struct Form {
    /// Whether it is JSON.
    is_json: bool,
    schema: Option<String>,
}

impl Form {
    /// As OpenAI's `response_format` says.
    pub(crate) fn of(passthrough: &Map<String, Value>) -> Self {
        let format = passthrough.get("response_format");
        let kind = format.and_then(|format| format["type"].as_str());
        let schema =
            format.map(|format| &format["json_schema"]["schema"]).filter(|schema| schema.is_object());
        Self {
            is_json: matches!(kind, Some("json_object" | "json_schema")),
            schema: schema.map(Value::to_string),
        }
    }
}

impl Engine {
    /// What a model is told to answer a question from a context.
    pub(crate) fn told(
        &self,
        query: &Query,
        plan: Option<&PromptPlan>,
        known: Characteristics,
        context: &Context<'_>,
        form: &Form,
    ) -> Result<Told, EngineError> {
        let known =
            Characteristics { format: form.is_json.then_some(AnswerFormat::Json).or(known.format), ..known };
        let known = with_evidence(known, context, self.clock.now());
        let shelf = self.prompts.shelf();
        let plan = match plan {
            Some(plan) => plan.clone(),
            None => self.prompts.plain(&shelf),
        };
        let template = shelf
            .template(&plan.template, &plan.version)
            .ok_or_else(|| EngineError::Internal(format!("there is no template `{}`", plan.template)))?;
        let examples = self.examples_for(query);
        let mut operations = plan.operations.clone();
        let asked = self.prompts.asked_of_evidence(&known, !examples.is_empty());
        for name in asked {
            if !operations.contains(&name) {
                operations.push(name);
            }
        }
        if examples.is_empty() {
            operations.retain(|name| name != "examples");
        }
        let prompt = shelf.library().prompt(template, &operations);
        let (rendered, prompt) =
            self.rendered(&prompt, query, &known, context, &examples, form.schema.as_deref())?;
        let operations = prompt.operations().map(str::to_owned).collect();
        let version = prompt.template().version().to_owned();
        Ok(Told {
            messages: messages(query, rendered),
            prompted: Prompted {
                tokens: u32::try_from(prompt.tokens()).unwrap_or(u32::MAX),
                prompt: PromptPlan {
                    operations,
                    version,
                    template: prompt.template().id().to_owned(),
                    ..plan
                },
                characteristics: known,
                suspicious: self.prompts.suspicious(context),
            },
        })
    }

    fn rendered(
        &self,
        prompt: &Prompt,
        query: &Query,
        known: &Characteristics,
        context: &Context<'_>,
        examples: &[Example],
        schema: Option<&str>,
    ) -> Result<(Rendered, Prompt), EngineError> {
        let (passages, conflicts) = (passages(context), conflicts(context));
        let inputs = Inputs {
            question: &query.text,
            passages: &passages,
            conflicts: conflicts.as_deref(),
            examples,
            language: known.language.as_deref(),
            schema,
        };
        let rendered = prompt.render(&inputs).map(|rendered| (rendered, prompt.clone()));
        rendered.or_else(|error| {
            // What was tried when it was read can still fail for a question; what was shipped can't.
            tracing::error!(%error, "answering by the plain prompt");
            let plain = burnish_prompt::Library::new(&[]).ok();
            let plain = plain.as_ref().and_then(|library| library.template(burnish_prompt::DEFAULT));
            let plain = plain.map(|template| Prompt::new(std::sync::Arc::clone(template)));
            let rendered = plain.and_then(|plain| Some((plain.render(&inputs).ok()?, plain)));
            rendered.ok_or_else(|| EngineError::Internal(error.to_string()))
        })
    }

    /// The answers to follow. A question that may be answered from some documents alone is shown none, for those may rest on others.
    fn examples_for(&self, query: &Query) -> Vec<Example> {
        if !self.prompts.wants_examples() || !query.filter.is_empty() {
            return Vec::new();
        }
        let found = self.embedder.embed(&[&query.text]).map_err(EngineError::from).and_then(|embedding| {
            let embedding = embedding.into_iter().next().unwrap_or_default();
            self.prompts.examples.like(self.store.as_ref(), query.user.tenant.as_deref(), &embedding)
        });
        found.unwrap_or_else(|error| {
            tracing::warn!(%error, "answering without examples");
            Vec::new()
        })
    }

    /// A prompt as a model would read it, from what is found for the question now. Nothing is recorded.
    ///
    /// # Errors
    /// If nothing is asked, there is no such template, version or operation, or the draft can't be used.
    pub async fn render_prompt(
        self: &std::sync::Arc<Self>,
        request: RenderRequest,
    ) -> Result<RenderedPrompt, EngineError> {
        if request.query.text.trim().is_empty() {
            return Err(EngineError::InvalidQuery("the query is empty: say what is asked".to_owned()));
        }
        self.blocking(move |engine| engine.render_prompt_now(&request)).await
    }

    fn render_prompt_now(&self, request: &RenderRequest) -> Result<RenderedPrompt, EngineError> {
        let query = &request.query;
        let strategy = self.planner.candidates().first().cloned();
        let strategy = strategy.ok_or_else(|| EngineError::Internal("there is no strategy".to_owned()))?;
        let (evidence, _) = self.probe(query, &strategy)?;
        let context = self.context(
            &query.text,
            &evidence,
            self.settings.answer.context_tokens,
            self.settings.answer.context_reduction,
        );
        self.rendered_prompt(request, &context)
    }

    /// As [`Engine::render_prompt`], from a context.
    pub(super) fn rendered_prompt(
        &self,
        request: &RenderRequest,
        context: &Context<'_>,
    ) -> Result<RenderedPrompt, EngineError> {
        let query = &request.query;
        let features = self.features_of(query)?;
        let known = self.prompts.characteristics(query, &features);
        let shelf = self.prompts.shelf();
        let library = shelf.library();
        let planned = self.prompts.possible(&known, None).prompt(|_| false);
        let planned = planned.map_or_else(|| self.prompts.plain(&shelf), |(planned, _)| planned);
        let known = with_evidence(known, context, self.clock.now());
        let id = request.template.clone().unwrap_or(planned.template);
        let template = match (&request.draft, &request.version) {
            (Some(Draft(text)), _) => std::sync::Arc::new(super::parse(text)?),
            (None, Some(version)) => self.prompts.version(&id, version)?,
            (None, None) => self.prompts.in_use(&id)?,
        };
        let examples = self.examples_for(query);
        let operations = match &request.operations {
            Some(named) => {
                self.prompts.check_operations(named)?;
                named.clone()
            }
            None => {
                let mut asked = planned.operations;
                asked.extend(self.prompts.asked_of_evidence(&known, !examples.is_empty()));
                asked
            }
        };
        let prompt = library.prompt(&template, &operations);
        let (rendered, prompt) = self.rendered(&prompt, query, &known, context, &examples, None)?;
        let (text, conflicts) = (passages(context), conflicts(context));
        let inputs = Inputs {
            question: &query.text,
            passages: &text,
            conflicts: conflicts.as_deref(),
            examples: &examples,
            language: known.language.as_deref(),
            schema: None,
        };
        let blocks =
            prompt.blocks(&inputs).map_err(|error| EngineError::InvalidTemplate(error.to_string()))?;
        Ok(RenderedPrompt {
            prompted: Prompted {
                prompt: PromptPlan {
                    template: template.id().to_owned(),
                    version: template.version().to_owned(),
                    operations: prompt.operations().map(str::to_owned).collect(),
                    by_rule: request.template.is_none() && request.draft.is_none(),
                },
                tokens: u32::try_from(prompt.tokens()).unwrap_or(u32::MAX),
                characteristics: known,
                suspicious: self.prompts.suspicious(context),
            },
            messages: messages(query, rendered),
            blocks: blocks.into_iter().map(|(kind, words)| (kind.name().to_owned(), words)).collect(),
        })
    }
}

/// Instructions and passages, the conversation so far, the question.
fn messages(query: &Query, rendered: Rendered) -> Vec<Message> {
    let system = Message { role: Role::System, content: rendered.system };
    let question = Message { role: Role::User, content: rendered.question };
    std::iter::once(system).chain(said_before(query)).chain(std::iter::once(question)).collect()
}

/// The passages between their delimiters.
fn passages(context: &Context<'_>) -> String {
    let shown = context.passages.iter().map(|shown| passage(shown.number, shown.passage, &shown.text));
    shown.collect::<Vec<_>>().join("\n\n")
}

fn conflicts(context: &Context<'_>) -> Option<String> {
    let pairs: Vec<String> =
        context.conflicts.iter().map(|[one, other]| format!("[{one}]{CONFLICTS_BETWEEN}[{other}]")).collect();
    (!pairs.is_empty()).then(|| pairs.join(", "))
}

impl Prompts {
    /// The numbers of passages that seem to tell the model what to do. The text of a stored passage never changes, so that it is
    /// looked at once.
    fn suspicious(&self, context: &Context<'_>) -> Vec<u32> {
        let remembered = |chunk: ChunkId| self.suspicions.lock().get(&chunk).copied();
        let flagged = context.passages.iter().filter(|shown| {
            let chunk = shown.passage.chunk;
            remembered(chunk).unwrap_or_else(|| {
                let found = suspicion(&shown.passage.text).is_some();
                // What is not stored has no number of its own.
                if chunk != ChunkId(0) {
                    let mut known = self.suspicions.lock();
                    if known.len() >= MOST_SUSPICIONS {
                        known.clear();
                    }
                    known.insert(chunk, found);
                }
                found
            })
        });
        flagged.filter_map(|shown| u32::try_from(shown.number).ok()).collect()
    }
}

/// What a question is like, with what the evidence says.
fn with_evidence(known: Characteristics, context: &Context<'_>, now: Timestamp) -> Characteristics {
    let sources: Vec<Source<'_>> = context
        .passages
        .iter()
        .map(|shown| Source { text: &shown.text, is_table: shown.passage.location.rows.is_some() })
        .collect();
    of_evidence(known, &sources, &context.conflicts, year(now))
}

/// The year of a time, by the calendar.
pub(super) fn year(now: Timestamp) -> i32 {
    1970 + (now.0 as f64 / YEAR_MS) as i32
}
