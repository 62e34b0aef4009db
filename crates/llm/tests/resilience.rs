//! What a model does when its providers do not do what they should: retries, failover, limits and budgets, against the
//! test provider.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use burnish_llm::{ApiKey, Budget, Cap, EndpointSettings, GoingOn, Kind, Model, ModelSettings, SingleFlight};
use burnish_test_provider::{Asked, Counts, Faults, Knobs, Provider, say};
use burnish_types::{
    LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Money, Parameters, Period, Price, Role,
    Spending, Usage,
};
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Map, Value, json};

const KEY: &str = "sk-very-secret";

fn object(value: Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap()
}

fn request(question: &str) -> ModelRequest {
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    ModelRequest {
        messages: vec![message(Role::System, "Be brief."), message(Role::User, question)],
        temperature: Some(0.0),
        ..ModelRequest::default()
    }
}

fn free(question: &str) -> ModelRequest {
    ModelRequest { temperature: None, ..request(question) }
}

fn expected(request: &ModelRequest, knobs: &Knobs) -> String {
    say(&Asked::from_openai(&json!({"messages": request.messages})), knobs.seed, knobs.tokens, 0).text()
}

fn settings(name: &str, providers: &[&Provider]) -> ModelSettings {
    let mut settings = ModelSettings::new(name, "", "test-model");
    settings.endpoints =
        providers.iter().map(|provider| EndpointSettings::new(provider.base_url(), "test-model")).collect();
    settings.patience.first_token = Duration::from_millis(400);
    settings.patience.idle = Duration::from_millis(400);
    settings.retries.first_pause = Duration::from_millis(1);
    settings
}

#[derive(Debug, Default)]
struct Told {
    text: String,
    extra: Vec<Value>,
    spent: Vec<Spending>,
    end: Option<(String, Option<Usage>)>,
}

async fn ask(model: &Model, request: ModelRequest) -> (Told, Option<ModelError>) {
    let mut told = Told::default();
    let mut events = match model.stream(request).await {
        Ok(events) => events,
        Err(error) => return (told, Some(error)),
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(ModelEvent::Text(more)) => told.text.push_str(&more),
            Ok(ModelEvent::Extra(extra)) => told.extra.push(Value::Object(extra)),
            Ok(ModelEvent::Spent(spending)) => told.spent.push(spending),
            Ok(ModelEvent::Finished { reason, usage }) => told.end = Some((reason, usage)),
            Err(error) => return (told, Some(error)),
        }
    }
    (told, None)
}

async fn start(knobs: Knobs) -> Provider {
    Provider::start(knobs).await.unwrap()
}

fn always(faults: Faults) -> Knobs {
    Knobs { faults, token_ms: 0.2, ..Knobs::default() }
}

#[tokio::test]
async fn every_api_is_spoken() {
    let knobs = Knobs { key: Some(KEY.to_owned()), ..Knobs::default() };
    let provider = start(knobs.clone()).await;
    let host = format!("http://{}", provider.address());
    let question = request("How long are answers kept?");
    for (kind, base) in [
        (Kind::OpenAi, "/v1"),
        (Kind::Azure, "/openai/deployments/d"),
        (Kind::Anthropic, "/v1"),
        (Kind::Gemini, "/v1beta"),
    ] {
        let mut settings = settings("one", &[&provider]);
        let endpoint = &mut settings.endpoints[0];
        (endpoint.kind, endpoint.base_url) = (kind, format!("{host}{base}"));
        endpoint.api_version = Some("2024-10-21".to_owned());
        let (_, refused) = ask(&Model::new(&settings).unwrap(), question.clone()).await;
        assert!(matches!(refused, Some(ModelError::Refused { status: 401, .. })), "{kind:?}: {refused:?}");
        settings.endpoints[0].api_key = Some(ApiKey::new(KEY));
        let model = Model::new(&settings).unwrap();
        let (told, error) = ask(&model, question.clone()).await;
        assert_eq!((told.text, error), (expected(&question, &knobs), None), "{kind:?}");
        let (reason, usage) = told.end.unwrap();
        let usage = usage.unwrap();
        assert!(
            reason == "stop" && usage.input_tokens > 5 && usage.output_tokens >= 8,
            "{kind:?}: {usage:?}"
        );
        let short = ModelRequest { max_tokens: Some(2), ..question.clone() };
        let (told, _) = ask(&model, short).await;
        assert_eq!(told.end.unwrap().0, "length", "{kind:?}");

        provider.turn(Knobs { context_tokens: Some(3), ..knobs.clone() });
        let (_, error) = ask(&model, question.clone()).await;
        assert!(matches!(error, Some(ModelError::TooLong { .. })), "{kind:?}: {error:?}");
        provider.turn(knobs.clone());

        // Calls of functions come in OpenAI's words, and go back with what they have come to.
        for name in ["find_at_once", "find"] {
            let tool = json!({"type": "function", "function": {"name": name, "parameters": {}}});
            let passthrough = object(json!({"tools": [tool], "tool_choice": "required"}));
            let (told, error) = ask(&model, ModelRequest { passthrough, ..question.clone() }).await;
            assert_eq!((error, told.end.unwrap().0.as_str()), (None, "tool_calls"), "{kind:?}");
            let calls: Vec<&Value> = told.extra.iter().map(|extra| &extra["tool_calls"][0]).collect();
            assert!(calls.iter().all(|call| call["index"] == 0), "{kind:?}: {calls:?}");
            assert_eq!(
                (&calls[0]["type"], &calls[0]["function"]["name"]),
                (&json!("function"), &json!(name))
            );
            assert!(calls[0]["id"].as_str().is_some_and(|id| id.starts_with("call_")));
            let words: String =
                calls.iter().filter_map(|call| call["function"]["arguments"].as_str()).collect();
            assert_eq!(serde_json::from_str::<Value>(&words).unwrap(), json!({"of": "it"}), "{kind:?}");
        }
        let call = json!({"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}});
        let verbatim = vec![
            json!({"role": "user", "content": "How long?"}),
            json!({"role": "assistant", "content": null, "tool_calls": [call]}),
            json!({"role": "tool", "tool_call_id": "c1", "content": "thirty minutes"}),
        ];
        let (told, error) = ask(&model, ModelRequest { verbatim, ..question.clone() }).await;
        assert_eq!((error, told.end.unwrap().0.as_str()), (None, "stop"), "{kind:?}");
        assert!(!told.text.is_empty());

        // What others do not have is refused in words, and nothing is sent.
        let sent = provider.counts().requests;
        let passthrough = object(json!({"logit_bias": {"50256": -100}}));
        let (_, error) = ask(&model, ModelRequest { passthrough, ..question.clone() }).await;
        match kind {
            Kind::OpenAi | Kind::Azure => assert_eq!(error, None),
            Kind::Anthropic | Kind::Gemini => {
                assert!(matches!(&error, Some(ModelError::Unsupported { .. })), "{kind:?}: {error:?}");
                assert_eq!(provider.counts().requests, sent);
            }
        }
    }
}

#[tokio::test]
async fn what_a_stream_breaks_off_is_gone_on_with() {
    let cutting = always(Faults { cut: 1.0, ..Faults::default() });
    let whole = always(Faults::default());
    let anthropic = |provider: &Provider| EndpointSettings {
        kind: Kind::Anthropic,
        goes_on: GoingOn::LastMessage,
        ..EndpointSettings::new(provider.base_url(), "test-model")
    };
    for round in 0..6 {
        let (first, second) =
            (start(Knobs { seed: round, ..cutting.clone() }).await, start(whole.clone()).await);
        let question = free(&format!("Question {round}?"));
        // Nobody can say the same again without being told what was said.
        let text = expected(&question, &whole);
        let text_of_the_first = expected(&question, &Knobs { seed: round, ..whole.clone() });
        let mut settings = settings("one", &[&first, &second]);
        settings.balance = burnish_llm::Balance::Order;
        let (told, error) = ask(&Model::new(&settings).unwrap(), question.clone()).await;
        match error {
            // The cut came before the first word.
            None => assert_eq!(told.text, text),
            Some(ModelError::Interrupted { characters, .. }) => {
                assert!(characters > 0 && text_of_the_first.starts_with(&told.text), "{}", told.text);
                assert_eq!(characters, told.text.chars().count());
            }
            Some(error) => panic!("{error}"),
        }
        // Told what was said, another one goes on from there, by whatever API.
        second.turn(Knobs { seed: round, ..whole.clone() });
        for goes_on in [GoingOn::FinalMessage, GoingOn::Prefix] {
            settings.endpoints[1].goes_on = goes_on;
            let (told, error) = ask(&Model::new(&settings).unwrap(), question.clone()).await;
            assert_eq!((told.text, error), (text_of_the_first.clone(), None));
        }
        settings.endpoints[1] = anthropic(&second);
        let (told, error) = ask(&Model::new(&settings).unwrap(), question.clone()).await;
        assert_eq!((told.text, error), (text_of_the_first.clone(), None));
        // So does one that says the same again, with what is known left out; and not one that says something else.
        settings.endpoints[1].goes_on = GoingOn::No;
        let precise = ModelRequest { temperature: Some(0.0), ..question.clone() };
        let (told, error) = ask(&Model::new(&settings).unwrap(), precise.clone()).await;
        assert_eq!((told.text, error), (text_of_the_first.clone(), None));
        second.turn(Knobs { seed: 99, ..whole.clone() });
        let (told, error) = ask(&Model::new(&settings).unwrap(), precise).await;
        let other = expected(&question, &Knobs { seed: 99, ..whole.clone() });
        match error {
            None => assert_eq!(told.text, other, "the cut came before the first word"),
            Some(_) => assert!(text_of_the_first.starts_with(&told.text), "{}", told.text),
        }
        // What is shown at its end alone is begun anew.
        let (told, error) =
            ask(&Model::new(&settings).unwrap(), ModelRequest { whole: true, ..question.clone() }).await;
        assert_eq!((told.text, error), (expected(&question, &Knobs { seed: 99, ..whole.clone() }), None));
    }
}

#[tokio::test]
async fn another_model_answers_in_its_place() {
    let broken = start(always(Faults { server_error: 1.0, ..Faults::default() })).await;
    let whole = start(Knobs { seed: 5, ..Knobs::default() }).await;
    let mut first = settings("first", &[&broken]);
    first.retries.tries = 3;
    first.fallbacks = vec!["second".to_owned()];
    let models = Model::all(&[first.clone(), settings("second", &[&whole])]).unwrap();
    let question = free("Question?");
    let (told, error) = ask(&models[0], question.clone()).await;
    assert_eq!((told.text, error), (expected(&question, &whole.knobs()), None));
    assert_eq!(told.spent.last().unwrap().model, "second");
    assert_eq!(broken.counts().requests, 3);
    for (name, fallback) in [("first", "third"), ("first", "first")] {
        let mut settings = settings(name, &[&broken]);
        settings.fallbacks = vec![fallback.to_owned()];
        let error = Model::all(&[settings]).unwrap_err().to_string();
        assert!(error.contains(&format!("the fallback `{fallback}`")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_suggested_is_taken_up_unless_the_caller_or_the_model_says_otherwise() {
    let knobs = Knobs { tokens: (30, 30), ..Knobs::default() };
    let provider = start(knobs.clone()).await;
    let model = Model::new(&settings("one", &[&provider])).unwrap();
    let suggested = Some(Parameters { max_tokens: 5, temperature: 0.0 });
    let suggesting = ModelRequest { suggested, ..free("How long is it?") };
    let reason = |told: Told| told.end.map(|(reason, _)| reason);
    let (cut, error) = ask(&model, suggesting.clone()).await;
    assert_eq!((reason(cut).as_deref(), error), (Some("length"), None));
    for named in ["max_tokens", "max_completion_tokens"] {
        let passthrough = object(json!({named: 40}));
        let (whole, error) = ask(&model, ModelRequest { passthrough, ..suggesting.clone() }).await;
        assert_eq!((reason(whole).as_deref(), error), (Some("stop"), None), "{named}");
    }
    provider.turn(Knobs { refused_fields: vec!["temperature".to_owned()], ..knobs.clone() });
    let before = provider.counts();
    for _ in 0..2 {
        let (whole, error) = ask(&model, suggesting.clone()).await;
        assert_eq!((reason(whole).as_deref(), error), (Some("stop"), None));
    }
    let after = provider.counts();
    assert_eq!((after.requests - before.requests, after.refused - before.refused), (3, 1));
    // What the caller wants is refused as ever.
    let (_, error) = ask(&model, ModelRequest { temperature: Some(0.5), ..suggesting }).await;
    assert!(matches!(error, Some(ModelError::Refused { status: 400, .. })), "{error:?}");
}

#[tokio::test]
async fn refusals_for_what_was_asked_are_not_repeated() {
    let provider = start(Knobs { context_tokens: Some(1), ..Knobs::default() }).await;
    let (_, error) = ask(&Model::new(&settings("one", &[&provider, &provider])).unwrap(), free("?")).await;
    assert!(matches!(error, Some(ModelError::TooLong { .. })), "{error:?}");
    assert_eq!(provider.counts().requests, 1);
    let limited =
        start(Knobs { retry_after: Some(60), ..always(Faults { rate_limit: 1.0, ..Faults::default() }) })
            .await;
    let began = Instant::now();
    let (_, error) = ask(&Model::new(&settings("one", &[&limited])).unwrap(), free("?")).await;
    let Some(ModelError::Refused { status: 429, retry_after, .. }) = error else { panic!("{error:?}") };
    assert_eq!((retry_after, limited.counts().requests), (Some(Duration::from_secs(60)), 1));
    assert!(began.elapsed() < Duration::from_secs(5), "nobody waits for a minute");
}

#[tokio::test]
async fn identical_requests_of_one_moment_are_made_once() {
    let provider = start(Knobs { first_token_ms: 50.0, token_ms: 1.0, ..Knobs::default() }).await;
    let mut settings = settings("one", &[&provider]);
    settings.price = Some(price());
    let model = Model::new(&settings).unwrap();
    let question = request("Question?");
    let all = join_all((0..20).map(|_| ask(&model, question.clone()))).await;
    assert!(
        all.iter()
            .all(|(told, error)| told.text == expected(&question, &provider.knobs()) && error.is_none())
    );
    assert!(all.iter().all(|(told, _)| told.end.is_some()));
    let costs = || all.iter().flat_map(|(told, _)| &told.spent).filter_map(|spent| spent.cost);
    assert_eq!(costs().filter(|cost| !cost.is_zero()).count(), 1, "one of them pays");
    assert!(all.iter().all(|(told, _)| told.spent.last().is_some_and(|spent| spent.model == "one")));
    assert_eq!(provider.counts().requests, 1);
    ask(&model, question.clone()).await;
    assert_eq!(provider.counts().requests, 2, "nothing is kept");
    join_all([ask(&model, free("Question?")), ask(&model, free("Question?"))]).await;
    assert_eq!(provider.counts().requests, 4, "answers that may differ are not shared");
    settings.single_flight = SingleFlight::All;
    let model = Model::new(&settings).unwrap();
    join_all([ask(&model, free("Question?")), ask(&model, free("Question?")), ask(&model, free("Another?"))])
        .await;
    assert_eq!(provider.counts().requests, 6);
    // Nobody listens any more, so that the request ends, too.
    let slow = start(Knobs { token_ms: 10_000.0, ..Knobs::default() }).await;
    let model = Model::new(&self::settings("one", &[&slow])).unwrap();
    let mut events = model.stream(question).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(ModelEvent::Text(_)))));
    assert_eq!(model.figures()[0].in_flight, 1);
    drop(events);
    let patience = Instant::now() + Duration::from_secs(5);
    while model.figures()[0].in_flight > 0 {
        assert!(Instant::now() < patience, "it is still under way");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn slow_endpoints_are_hedged() {
    let fast = start(Knobs::default()).await;
    let slow = start(Knobs { first_token_ms: 300.0, ..Knobs::default() }).await;
    let mut settings = settings("one", &[&fast, &slow]);
    settings.hedge = true;
    settings.patience.first_token = Duration::from_secs(30);
    settings.balance = burnish_llm::Balance::Order;
    let model = Model::new(&settings).unwrap();
    for number in 0..30 {
        ask(&model, free(&format!("Question {number}?"))).await;
    }
    let hedges = model.figures()[1].hedges;
    fast.turn(Knobs { first_token_ms: 20_000.0, ..Knobs::default() });
    slow.turn(Knobs::default());
    let began = Instant::now();
    let (told, error) = ask(&model, free("Question?")).await;
    assert!(told.end.is_some() && error.is_none(), "{error:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let figures = model.figures();
    assert_eq!((figures[1].hedges, figures[0].in_flight, figures[1].in_flight), (hedges + 1, 0, 0));
}

#[tokio::test]
async fn what_is_too_much_is_refused_at_once() {
    let slow = start(Knobs { first_token_ms: 200.0, ..Knobs::default() }).await;
    let mut settings = settings("one", &[&slow]);
    (settings.limits.concurrent, settings.limits.waiting) = (2, 3);
    settings.limits.tools = 1;
    settings.limits.request_bytes = 1_000;
    let model = Model::new(&settings).unwrap();
    let questions = (0..12).map(|number| format!("Question {number}?")).collect::<Vec<_>>();
    let all = join_all(questions.iter().map(|question| ask(&model, free(question)))).await;
    let busy = all.iter().filter(|(_, error)| matches!(error, Some(ModelError::Busy { .. }))).count();
    let answered = all.iter().filter(|(told, _)| told.end.is_some()).count();
    assert_eq!((busy, answered), (7, 5));
    let tools = ModelRequest { passthrough: object(json!({"tools": [{}, {}]})), ..free("?") };
    for (request, expected) in [(tools, "2 tools"), (free(&"x".repeat(1_000)), "bytes")] {
        let (_, error) = ask(&model, request).await;
        let Some(ModelError::Unsupported { reason, .. }) = error else { panic!("{error:?}") };
        assert!(reason.contains(expected), "{reason}");
    }
    // An answer without end is one that is too long.
    let endless = start(Knobs { tokens: (2_000, 2_000), ..Knobs::default() }).await;
    let mut settings = self::settings("one", &[&endless]);
    settings.limits.answer_bytes = 100_000;
    settings.patience.first_token = Duration::from_secs(5);
    settings.retries.tries = 2;
    let (_, error) = ask(&Model::new(&settings).unwrap(), ModelRequest { whole: true, ..free("?") }).await;
    assert!(
        matches!(&error, Some(ModelError::Garbled { reason, .. }) if reason.contains("longer than allowed")),
        "{error:?}"
    );
}

fn price() -> Price {
    Price {
        input: Money::from_micros(1_000_000),
        cached_input: Money::from_micros(500_000),
        output: Money::from_micros(4_000_000),
    }
}

/// 1,000 requests at one time, some of which fail and are made again, never overstep a budget.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn budgets_are_never_overstepped() {
    let faults = Faults { server_error: 0.2, cut: 0.1, ..Faults::default() };
    for cap in [Cap::Money(Money::from_micros(60_000)), Cap::Requests(137)] {
        let provider = start(Knobs { seed: 3, ..always(faults) }).await;
        let mut settings = settings("one", &[&provider]);
        settings.price = Some(price());
        settings.limits.concurrent = 1_000;
        settings.budgets = vec![Budget { cap, period: Period::Month }];
        let model = Arc::new(Model::new(&settings).unwrap());
        let asked = (0..1_000).map(|number| {
            let model = Arc::clone(&model);
            let question = ModelRequest { max_tokens: Some(60), ..free(&format!("Question {number}?")) };
            tokio::spawn(async move { ask(&model, question).await })
        });
        let all: Vec<_> = join_all(asked).await.into_iter().map(Result::unwrap).collect();
        let over =
            all.iter().filter(|(_, error)| matches!(error, Some(ModelError::OverBudget { .. }))).count();
        let answered = all.iter().filter(|(told, _)| told.end.is_some()).count();
        let counts = provider.counts();
        assert!(over > 100 && answered > 20, "{over} over, {answered} answered: {counts:?}");
        match cap {
            Cap::Money(cap) => {
                let spent = all.iter().flat_map(|(told, _)| &told.spent).filter_map(|spent| spent.cost);
                let spent: Money = spent.sum();
                assert!(spent <= cap && spent > Money::ZERO, "{spent} of {cap}");
                // What counts is the provider's own bill, for answers that broke off, too.
                let Counts { prompt_tokens, answer_tokens, .. } = counts;
                let usage = Usage {
                    input_tokens: prompt_tokens,
                    cached_input_tokens: 0,
                    output_tokens: answer_tokens,
                };
                let bill = price().of(usage);
                assert!(bill <= cap && bill.micros() > cap.micros() / 4, "{bill} of {cap}");
            }
            Cap::Requests(cap) => assert_eq!(counts.requests, cap),
        }
    }
}

#[tokio::test]
async fn spending_is_told_with_its_cost_or_without_a_price() {
    let provider = start(Knobs::default()).await;
    for price in [Some(price()), None] {
        let mut settings = settings("one", &[&provider]);
        settings.price = price;
        let (told, _) = ask(&Model::new(&settings).unwrap(), free("Question?")).await;
        let usage = told.end.unwrap().1.unwrap();
        let cost = price.map(|price| price.of(usage));
        assert_eq!(told.spent, [Spending { model: "one".to_owned(), usage, cost }]);
    }
    let mut unpriced = settings("one", &[&provider]);
    unpriced.budgets = vec![Budget { cap: Cap::Money(Money::ZERO), period: Period::Day }];
    assert!(Model::new(&unpriced).unwrap_err().to_string().contains("no price"));
}
