//! Who pays for a request: what each try sets aside in its purse, and what of it is paid in the end, against the test provider.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use burnish_llm::{Budget, Cap, EndpointSettings, Model, ModelSettings, SingleFlight};
use burnish_test_provider::{Faults, Knobs, Provider};
use burnish_types::{
    LanguageModel, Message, ModelError, ModelEvent, ModelRequest, Money, Period, Price, Purse, Reservation,
    Role, SharedPurse, Spending, Timestamp,
};
use futures_util::StreamExt;

/// What the prompt of [`request`] costs at most: a token for each of its 9 bytes, and the frames of two messages.
const PROMPT: u64 = 9 + 8 + 8;
/// Answers of the provider are longer than this.
const SHORTEST: u64 = 20;

/// A purse with so much money in it.
#[derive(Debug)]
struct Pot {
    most: u64,
    taken: Arc<Mutex<u64>>,
}

impl Purse for Pot {
    fn reserve(&self, least: Money, most: Money) -> Result<Reservation, String> {
        let mut taken = self.taken.lock().unwrap();
        let most = most.micros().min(self.most - *taken);
        if most < least.micros() {
            return Err("the pot is empty".to_owned());
        }
        *taken += most;
        Ok(Reservation { at: Timestamp(0), most: Money::from_micros(most) })
    }

    fn settle(&self, reservation: Reservation, cost: Money) {
        let mut taken = self.taken.lock().unwrap();
        *taken = *taken - reservation.most.micros() + cost.micros();
    }

    fn left(&self) -> Money {
        Money::from_micros(self.most - *self.taken.lock().unwrap())
    }
}

/// A request with a pot of `most`, and what is taken of it.
fn request(most: u64) -> (ModelRequest, Arc<Mutex<u64>>) {
    let taken = Arc::default();
    let purse = SharedPurse::new(Pot { most, taken: Arc::clone(&taken) });
    let messages = vec![Message { role: Role::User, content: "Question?".to_owned() }];
    (ModelRequest { messages, purse: Some(purse), ..ModelRequest::default() }, taken)
}

fn model(name: &str, providers: &[&Provider]) -> ModelSettings {
    let micros = Money::from_micros(1_000_000);
    let mut settings = ModelSettings::new(name, "", "test-model");
    settings.endpoints =
        providers.iter().map(|provider| EndpointSettings::new(provider.base_url(), "test-model")).collect();
    settings.retries.tries = 1;
    settings.price = Some(Price { input: micros, cached_input: micros, output: micros });
    settings
}

#[derive(Debug, Default)]
struct Told {
    spent: Vec<Spending>,
    end: Option<String>,
    error: Option<ModelError>,
}

impl Told {
    fn cost(&self) -> u64 {
        self.spent.iter().filter_map(|spending| spending.cost).map(Money::micros).sum()
    }
}

async fn ask(model: &Model, request: ModelRequest) -> Told {
    let mut told = Told::default();
    let mut events = match model.stream(request).await {
        Ok(events) => events,
        Err(error) => return Told { error: Some(error), ..told },
    };
    while let Some(event) = events.next().await {
        match event {
            Ok(ModelEvent::Spent(spending)) => told.spent.push(spending),
            Ok(ModelEvent::Finished { reason, .. }) => told.end = Some(reason),
            Ok(_) => {}
            Err(error) => told.error = Some(error),
        }
    }
    told
}

async fn start(faults: Faults) -> Provider {
    Provider::start(Knobs { faults, tokens: (SHORTEST, 40), ..Knobs::default() }).await.unwrap()
}

#[tokio::test]
async fn an_answer_is_as_long_as_can_be_paid_for() {
    let provider = start(Faults::default()).await;
    let model = Model::new(&model("one", &[&provider])).unwrap();
    for (most, asked, expected) in [
        (10_000, None, Ok("stop")),
        (PROMPT + SHORTEST - 1, None, Ok("length")),
        (PROMPT + 16, None, Ok("length")),
        (PROMPT + 15, None, Err("the pot is empty")),
        (PROMPT + 5, Some(5), Ok("length")),
        (PROMPT + 4, Some(5), Err("the pot is empty")),
        (0, None, Err("the pot is empty")),
    ] {
        let (request, taken) = request(most);
        let told = ask(&model, ModelRequest { max_tokens: asked, ..request }).await;
        let case = format!("{most} for {asked:?}: {told:?}");
        match expected {
            Ok(end) => assert_eq!((told.end.as_deref(), told.error.clone()), (Some(end), None), "{case}"),
            Err(reason) => {
                let error = told.error.clone().unwrap();
                assert!(matches!(error, ModelError::OverBudget { .. }), "{case}");
                assert!(error.to_string().contains(reason), "{error}");
            }
        }
        let taken = *taken.lock().unwrap();
        assert_eq!(taken, told.cost(), "{case}");
        assert!(taken <= most, "{case}");
    }
    assert_eq!(provider.counts().requests, 4);
}

#[tokio::test]
async fn what_is_in_vain_is_paid_as_far_as_it_took_something() {
    let all = |most| (Some(most), "all that was set aside, since only the provider knows what it took");
    for (faults, refused, (taken_of, why)) in [
        (Faults { rate_limit: 1.0, ..Faults::default() }, false, (None, "a refusal costs nothing")),
        (Faults::default(), true, (None, "a refusal costs nothing")),
        (Faults { cut: 1.0, ..Faults::default() }, false, all(500)),
        (Faults { garbage: 1.0, ..Faults::default() }, false, all(500)),
    ] {
        let provider = start(faults).await;
        if refused {
            provider.turn(Knobs { refused_fields: vec!["max_tokens".to_owned()], ..Knobs::default() });
        }
        let (request, taken) = request(500);
        let told = ask(&Model::new(&model("one", &[&provider])).unwrap(), request).await;
        assert!(told.error.is_some(), "{faults:?}: {told:?}");
        assert_eq!(*taken.lock().unwrap(), taken_of.unwrap_or(0), "{faults:?}: {why}");
    }
}

#[tokio::test]
async fn a_reader_who_leaves_has_paid() {
    let provider = start(Faults::default()).await;
    provider.turn(Knobs { token_ms: 50.0, ..Knobs::default() });
    let (request, taken) = request(500);
    let model = Model::new(&model("one", &[&provider])).unwrap();
    let mut events = model.stream(request).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(ModelEvent::Text(_)))));
    drop(events);
    assert_eq!(*taken.lock().unwrap(), 500);
}

#[tokio::test]
async fn retries_and_other_models_are_paid_from_the_same_purse() {
    let (broken, works) =
        (start(Faults { garbage: 1.0, ..Faults::default() }).await, start(Faults::default()).await);
    let first = ModelSettings { fallbacks: vec!["two".to_owned()], ..model("one", &[&broken]) };
    let models = Model::all(&[first.clone(), model("two", &[&works])]).unwrap();
    // The first try takes an answer of 100 tokens, which leaves an answer of 16, or nothing.
    let first_try = PROMPT + 100;
    for (most, expected) in [(first_try + PROMPT + 16, Some("length")), (first_try + PROMPT + 15, None)] {
        let (request, taken) = request(most);
        let request = ModelRequest { max_tokens: Some(100), whole: true, ..request };
        let told = ask(&models[0], request).await;
        assert_eq!(told.end.as_deref(), expected, "{told:?}");
        assert!(*taken.lock().unwrap() >= first_try && *taken.lock().unwrap() <= most);
    }
    // A model that is too dear, or whose price nobody knows, is passed over for one that is not.
    for price in [None, Some(Price { input: Money::from_micros(1_000_000_000), ..first.price.unwrap() })] {
        let models =
            Model::all(&[ModelSettings { price, ..first.clone() }, model("two", &[&works])]).unwrap();
        let told = ask(&models[0], request(1_000).0).await;
        assert_eq!((told.end.as_deref(), told.spent[0].model.as_str()), (Some("stop"), "two"), "{price:?}");
    }
    let unpriced = Model::new(&ModelSettings { price: None, ..model("one", &[&works]) }).unwrap();
    let error = ask(&unpriced, request(1_000).0).await.error.unwrap().to_string();
    assert!(error.contains("no price") && error.contains("output_usd_per_million"), "{error}");
    let free = Some(Price { input: Money::ZERO, cached_input: Money::ZERO, output: Money::ZERO });
    let free = Model::new(&ModelSettings { price: free, ..model("one", &[&works]) }).unwrap();
    assert_eq!(ask(&free, request(0).0).await.end.as_deref(), Some("stop"));
}

#[tokio::test]
async fn a_model_without_money_of_its_own_takes_none() {
    let provider = start(Faults::default()).await;
    let budgets = vec![Budget { cap: Cap::Requests(0), period: Period::Month }];
    let model = Model::new(&ModelSettings { budgets, ..model("one", &[&provider]) }).unwrap();
    let (request, taken) = request(500);
    let error = ask(&model, request).await.error.unwrap();
    assert!(error.to_string().contains("0 of 0 requests a month are left"), "{error}");
    assert_eq!((*taken.lock().unwrap(), provider.counts().requests), (0, 0));
}

#[tokio::test]
async fn a_second_try_beside_a_slow_one_is_paid_in_full_or_not_made() {
    let (slow, quick) = (start(Faults::default()).await, start(Faults::default()).await);
    let mut settings = model("one", &[&slow, &quick]);
    settings.balance = burnish_llm::Balance::Order;
    settings.hedge = true;
    settings.patience.first_token = Duration::from_secs(2);
    for (most, requests) in [(2 * (PROMPT + 100), 1), (2 * (PROMPT + 100) - 1, 0)] {
        slow.turn(Knobs::default());
        let model = Model::new(&settings).unwrap();
        // How long is usual.
        for _ in 0..40 {
            assert!(ask(&model, ModelRequest { max_tokens: Some(20), ..request(500).0 }).await.end.is_some());
        }
        slow.turn(Knobs { first_token_ms: 300.0, ..Knobs::default() });
        let before = quick.counts().requests;
        let (request, taken) = request(most);
        let told = ask(&model, ModelRequest { max_tokens: Some(100), ..request }).await;
        assert!(told.end.is_some(), "{told:?}");
        assert_eq!(quick.counts().requests - before, requests, "{told:?}");
        // The slower one is let go of before it says what it took.
        assert_eq!(*taken.lock().unwrap(), told.cost() + requests * (PROMPT + 100));
    }
}

#[tokio::test]
async fn nobody_rides_on_what_another_pays() {
    let provider = start(Faults::default()).await;
    provider.turn(Knobs { first_token_ms: 100.0, ..Knobs::default() });
    let settings = ModelSettings { single_flight: SingleFlight::All, ..model("one", &[&provider]) };
    let model = Model::new(&settings).unwrap();
    let ((first, first_taken), (second, second_taken)) = (request(500), request(500));
    let unpaid = || ModelRequest { purse: None, ..first.clone() };
    let (unpaid, again) = (unpaid(), unpaid());
    let all = tokio::join!(ask(&model, first), ask(&model, second), ask(&model, unpaid), ask(&model, again));
    assert_eq!(provider.counts().requests, 3, "of those that nobody counts, one is made for both");
    for (told, taken) in [(all.0, first_taken), (all.1, second_taken)] {
        assert!(told.cost() > 0);
        assert_eq!(*taken.lock().unwrap(), told.cost());
    }
}
