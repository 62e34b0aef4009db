//! One request on its way to a whole answer: tries, pauses, other endpoints, other models, and how an answer that
//! breaks off in its midst goes on without repeating or losing text.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use burnish_types::{BoxFuture, ModelError, ModelEvent, ModelRequest, Parameters, Spending, Usage};
use futures_util::FutureExt;
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, sleep_until};

use crate::answer::Answer;
use crate::dialect::GoingOn;
use crate::endpoint::Endpoint;
use crate::pool::{Because, Met, Pool, Ticket};
use crate::state::choice::Choice;
use crate::state::retry::pause;
use crate::tokens;

/// All that a request waits between its tries.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A request with what has become of it.
pub(crate) struct Session {
    /// The model that was asked for, then those that answer in its place.
    chain: Vec<Arc<Pool>>,
    /// Which of them is asked.
    at: usize,
    /// Which of them all the text so far came from.
    origin: Option<usize>,
    request: Arc<ModelRequest>,
    /// Whether the model was asked with suggested parameters and would not have them, and by which of the chain.
    unsuggested: Option<usize>,
    end: Instant,
    permit: Option<OwnedSemaphorePermit>,
    met: Vec<Met>,
    tries: u32,
    round: u32,
    waited: Duration,
    live: Option<Live>,
    /// The text so far; it was given out unless the answer is wanted whole.
    text: String,
    /// What was said beside text.
    extras: Vec<Map<String, Value>>,
    ready: VecDeque<Result<ModelEvent, ModelError>>,
    last: Option<ModelError>,
    over: bool,
}

/// An answer that is being received.
struct Live {
    answer: Answer,
    ticket: Ticket,
    first: Option<ModelEvent>,
    known: Known,
    /// Whether it was told to go on from what was there.
    goes_on: bool,
}

/// What of the text that comes is known already.
enum Known {
    Nothing,
    /// It has to begin with the text so far; so much of that has come.
    Has(usize),
    /// It may begin with this white space, which it was not told of.
    May(String),
}

/// A try that was in vain.
struct Failed {
    endpoint: usize,
    error: ModelError,
    /// What it took nevertheless.
    spending: Option<Spending>,
}

/// A try that is being made.
type Try = BoxFuture<'static, Result<Live, Box<Failed>>>;

impl Session {
    pub(crate) fn new(chain: Vec<Arc<Pool>>, request: ModelRequest) -> Self {
        let whole = chain.first().map_or(Duration::ZERO, |pool| pool.patience.whole);
        let met = vec![Met::default(); chain.first().map_or(0, |pool| pool.endpoints.len())];
        Self {
            chain,
            at: 0,
            origin: None,
            request: Arc::new(request),
            unsuggested: None,
            end: Instant::now() + whole,
            permit: None,
            met,
            tries: 0,
            round: 0,
            waited: Duration::ZERO,
            live: None,
            text: String::new(),
            extras: Vec::new(),
            ready: VecDeque::new(),
            last: None,
            over: false,
        }
    }

    /// The next event; none after the end or an error.
    pub(crate) async fn next(&mut self) -> Option<Result<ModelEvent, ModelError>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let mut live = match self.live.take() {
                Some(live) => live,
                None => match self.connect().await {
                    Ok(live) => live,
                    Err(error) => {
                        self.over = true;
                        self.permit = None;
                        self.ready.push_back(Err(self.verdict(error)));
                        continue;
                    }
                },
            };
            let event = match live.first.take() {
                Some(event) => Some(Ok(event)),
                None => live.answer.next().await,
            };
            self.hear(live, event).await;
        }
    }

    async fn hear(&mut self, mut live: Live, event: Option<Result<ModelEvent, ModelError>>) {
        match event {
            Some(Ok(ModelEvent::Text(text))) => {
                live.ticket.wrote(&text);
                match live.known.rest(&self.text, text) {
                    Some(rest) => {
                        if !rest.is_empty() {
                            self.origin = self.origin.or(Some(self.at));
                            self.text.push_str(&rest);
                            if !self.request.whole {
                                self.ready.push_back(Ok(ModelEvent::Text(rest)));
                            }
                        }
                        self.live = Some(live);
                    }
                    None => self.diverged(live).await,
                }
            }
            Some(Ok(ModelEvent::Extra(extra))) => {
                if !self.request.whole {
                    self.ready.push_back(Ok(ModelEvent::Extra(extra.clone())));
                }
                self.extras.push(extra);
                self.live = Some(live);
            }
            Some(Ok(ModelEvent::Finished { reason, usage })) => match live.known {
                Known::Has(have) if have < self.text.len() => self.diverged(live).await,
                _ => self.finish(live, reason, usage),
            },
            Some(Ok(other @ ModelEvent::Spent(_))) => {
                self.ready.push_back(Ok(other));
                self.live = Some(live);
            }
            Some(Err(error)) => {
                let endpoint = live.ticket.endpoint;
                let spending = live.ticket.fail(&error);
                self.lost(Failed { endpoint, error, spending }).await;
            }
            // An answer always ends with one of the others.
            None => {
                let endpoint = live.ticket.endpoint;
                let error = self.unreachable("its answer had no end");
                let spending = live.ticket.fail(&error);
                self.lost(Failed { endpoint, error, spending }).await;
            }
        }
    }

    fn finish(&mut self, live: Live, reason: String, usage: Option<Usage>) {
        let told = usage.map(|usage| match live.goes_on {
            // What was there before belongs to the answer, too.
            true => {
                let before = self.text.len().saturating_sub(live.ticket.written());
                let before = tokens::estimate(&self.text[..self.text.floor_char_boundary(before)]);
                Usage { output_tokens: usage.output_tokens + before, ..usage }
            }
            false => usage,
        });
        self.ready.push_back(Ok(ModelEvent::Spent(live.ticket.succeed(usage))));
        if self.unsuggested == Some(self.at) {
            self.pool().suggest_nothing_more();
        }
        if self.request.whole {
            if !self.text.is_empty() {
                self.ready.push_front(Ok(ModelEvent::Text(std::mem::take(&mut self.text))));
            }
            self.ready.extend(self.extras.drain(..).map(|extra| Ok(ModelEvent::Extra(extra))));
        }
        self.ready.push_back(Ok(ModelEvent::Finished { reason, usage: told }));
        self.permit = None;
        self.over = true;
    }

    /// The answer began otherwise than the one that it should go on from.
    async fn diverged(&mut self, live: Live) {
        let endpoint = live.ticket.endpoint;
        let spending = live.ticket.leave();
        let error = self.unreachable("asked again, it answered otherwise");
        self.lost(Failed { endpoint, error, spending: Some(spending) }).await;
    }

    /// A try was in vain. What follows is decided by [`Self::connect`], unless nothing can.
    async fn lost(&mut self, failed: Failed) {
        if let Err(error) = self.note(failed).await {
            self.over = true;
            self.permit = None;
            self.ready.push_back(Err(self.verdict(error)));
        }
    }

    /// An answer that has begun, from whatever endpoint and model.
    async fn connect(&mut self) -> Result<Live, ModelError> {
        loop {
            if self.permit.is_none() {
                let pool = self.pool();
                match pool.enter().await {
                    Ok(permit) => {
                        pool.arrived();
                        self.permit = Some(permit);
                    }
                    Err(error) => {
                        self.give_up(error)?;
                        continue;
                    }
                }
            }
            if Instant::now() >= self.end {
                let reason = format!("no whole answer came within {:?}", self.pool().patience.whole);
                return Err(self.unreachable(&reason));
            }
            match self.choose() {
                Choice::Ask { endpoint, trial } => match self.begin(endpoint, trial).await {
                    Ok(live) => return Ok(live),
                    Err(failed) => self.note(*failed).await?,
                },
                Choice::Wait(until) => {
                    let wait = until.saturating_duration_since(std::time::Instant::now());
                    let left = LONGEST_WAIT.saturating_sub(self.waited);
                    let another = self.at + 1 < self.chain.len();
                    if another || wait > left || Instant::now() + wait >= self.end {
                        let error = self.unavailable(Some(wait));
                        self.give_up(error)?;
                    } else {
                        self.waited += wait;
                        sleep_until(Instant::from_std(until)).await;
                    }
                }
                Choice::Nobody => {
                    let error = self.unavailable(None);
                    self.give_up(error)?;
                }
            }
        }
    }

    /// Makes a try, and another one beside it where it is slow and that is wanted.
    async fn begin(&mut self, endpoint: usize, trial: bool) -> Result<Live, Box<Failed>> {
        let because = if self.tries == 0 { Because::First } else { Because::Retry };
        let mut first = self.start(endpoint, because)?;
        let Some(delay) = self.pool().hedge_after(trial) else { return first.await };
        tokio::select! {
            outcome = &mut first => return outcome,
            () = sleep(delay) => {}
        }
        self.met[endpoint].under_way = true;
        let second = match self.choose() {
            Choice::Ask { endpoint, trial: false } if self.pool().may_retry() => {
                self.start(endpoint, Because::Hedge).ok()
            }
            _ => None,
        };
        self.met[endpoint].under_way = false;
        let Some(mut second) = second else { return first.await };
        tokio::select! {
            outcome = &mut first => match outcome {
                Ok(live) => Ok(live),
                Err(failed) => {
                    self.remember(*failed);
                    second.await
                }
            },
            outcome = &mut second => match outcome {
                Ok(live) => Ok(live),
                Err(failed) => {
                    self.remember(*failed);
                    first.await
                }
            },
        }
    }

    /// Takes note of a try that was made beside another one, which goes on.
    fn remember(&mut self, failed: Failed) {
        let Failed { endpoint, error, spending } = failed;
        self.met[endpoint].failures += 1;
        self.last = Some(error);
        self.ready.extend(spending.map(|spending| Ok(ModelEvent::Spent(spending))));
    }

    fn start(&mut self, place: usize, because: Because) -> Result<Try, Box<Failed>> {
        let pool = Arc::clone(self.pool());
        let mut request = Arc::clone(&self.request);
        let goes_on = self.goes_on(&pool.endpoints[place]);
        let mut known = Known::Nothing;
        let mut begun = None;
        if self.is_begun() {
            if goes_on {
                begun = Some(self.text.clone());
                known = Known::May(self.text[self.text.trim_end().len()..].to_owned());
            } else {
                known = Known::Has(0);
            }
        }
        if let Some(suggested) = request.suggested.filter(|_| self.suggests()) {
            request = Arc::new(with(&request, suggested));
        }
        let limit = pool.output_limit(&request);
        let left = match (limit, goes_on) {
            (Some(most), true) => {
                let written = u32::try_from(tokens::estimate(&self.text)).unwrap_or(u32::MAX);
                Some(most.saturating_sub(written).max(1))
            }
            (limit, _) => limit,
        };
        if left != request.max_tokens && left.is_some() {
            request = Arc::new(ModelRequest { max_tokens: left, ..ModelRequest::clone(&request) });
        }
        self.tries += 1;
        let ticket = pool
            .send(place, because, &request, begun.as_deref().unwrap_or_default())
            .map_err(|error| Box::new(Failed { endpoint: place, error, spending: None }))?;
        let paid = ticket.output_limit();
        if paid.is_some() && paid != request.max_tokens {
            request = Arc::new(ModelRequest { max_tokens: paid, ..ModelRequest::clone(&request) });
        }
        let end = self.end;
        let attempt = async move {
            let endpoint = &pool.endpoints[place];
            let mut answer = match endpoint.ask(&request, begun.as_deref(), end).await {
                Ok(answer) => answer,
                Err(error) => {
                    let spending = ticket.fail(&error);
                    return Err(Box::new(Failed { endpoint: place, error, spending }));
                }
            };
            match answer.next().await {
                Some(Ok(first)) => {
                    ticket.spoke();
                    Ok(Live { answer, ticket, first: Some(first), known, goes_on })
                }
                Some(Err(error)) => {
                    let spending = ticket.fail(&error);
                    Err(Box::new(Failed { endpoint: place, error, spending }))
                }
                None => {
                    let reason = "its answer had no end".to_owned();
                    let error = ModelError::Garbled { model: pool.name.clone(), reason };
                    let spending = ticket.fail(&error);
                    Err(Box::new(Failed { endpoint: place, error, spending }))
                }
            }
        };
        Ok(attempt.boxed())
    }

    /// Takes note of a try that was in vain, and waits where the next one should come later.
    async fn note(&mut self, failed: Failed) -> Result<(), ModelError> {
        let Failed { endpoint, error, spending } = failed;
        self.ready.extend(spending.map(|spending| Ok(ModelEvent::Spent(spending))));
        if self.request.whole {
            self.text.clear();
            self.extras.clear();
            self.origin = None;
        }
        tracing::debug!(%error, tries = self.tries, "a try of a model was in vain");
        let suggests = self.suggests();
        let met = &mut self.met[endpoint];
        met.failures += 1;
        match &error {
            // It would be too long for another endpoint, too; whoever asks can make it shorter.
            ModelError::TooLong { .. } => return Err(error),
            ModelError::OverBudget { .. } => return self.give_up(error),
            ModelError::Refused { status: 400 | 422, .. } if suggests => {
                // Some models know only parameters of their own, and they were not the caller's wish.
                self.unsuggested = Some(self.at);
                self.last = Some(error);
                return Ok(());
            }
            ModelError::Refused { status: 400 | 413 | 422, .. } => return self.give_up(error),
            ModelError::Refused { status: 401..=404, .. } | ModelError::Unsupported { .. } => {
                met.barred = true
            }
            ModelError::Refused { retry_after: Some(after), .. } => {
                met.not_before = std::time::Instant::now().checked_add(*after);
            }
            _ => {}
        }
        if !self.extras.is_empty() {
            return Err(error);
        }
        let retries = self.pool().retries;
        if self.tries >= retries.tries || !self.pool().may_retry() {
            return self.give_up(error);
        }
        self.last = Some(error);
        let usable = self.met.iter().filter(|met| !met.barred);
        let failed_everywhere = usable.map(|met| met.failures).min().unwrap_or_default();
        if failed_everywhere > self.round {
            self.round = failed_everywhere;
            let pause = pause(self.round, retries.first_pause, retries.longest_pause, fastrand::f64());
            sleep_until((Instant::now() + pause).min(self.end)).await;
        }
        Ok(())
    }

    /// Turns to the next model, if there is one.
    fn give_up(&mut self, error: ModelError) -> Result<(), ModelError> {
        if self.at + 1 >= self.chain.len() {
            return Err(error);
        }
        tracing::warn!(%error, instead = self.chain[self.at + 1].name, "another model is asked");
        self.at += 1;
        self.met = vec![Met::default(); self.pool().endpoints.len()];
        (self.tries, self.round, self.waited) = (0, 0, Duration::ZERO);
        self.permit = None;
        self.last = Some(error);
        Ok(())
    }

    /// Whether the model is asked with suggested parameters.
    fn suggests(&self) -> bool {
        let refused = self.unsuggested == Some(self.at) || self.pool().takes_no_suggestions();
        self.request.suggested.is_some() && !refused
    }

    fn choose(&self) -> Choice {
        self.pool().choose(&self.met, |endpoint| self.fits(endpoint))
    }

    /// Whether an endpoint can take the request as it stands now.
    fn fits(&self, endpoint: &Endpoint) -> bool {
        !self.is_begun()
            || self.goes_on(endpoint)
            // The same model at temperature 0, or with a seed, says the same again.
            || self.origin == Some(self.at) && is_precise(&self.request)
    }

    /// Whether the endpoint is told to go on from the text so far.
    fn goes_on(&self, endpoint: &Endpoint) -> bool {
        self.is_begun() && endpoint.goes_on != GoingOn::No
    }

    /// Whether text was given out that can't be taken back.
    fn is_begun(&self) -> bool {
        !self.request.whole && !self.text.is_empty()
    }

    fn pool(&self) -> &Arc<Pool> {
        &self.chain[self.at]
    }

    fn unreachable(&self, reason: &str) -> ModelError {
        ModelError::Unreachable { model: self.pool().name.clone(), reason: reason.to_owned() }
    }

    /// Why nobody can be asked.
    fn unavailable(&mut self, wait: Option<Duration>) -> ModelError {
        let reason = || match wait {
            Some(wait) => format!("every endpoint is left alone for another {wait:?}, since all failed"),
            None => "no endpoint can take the request".to_owned(),
        };
        self.last.take().unwrap_or_else(|| self.unreachable(&reason()))
    }

    /// The error that is told: an answer that has begun was interrupted, whatever the reason.
    fn verdict(&self, error: ModelError) -> ModelError {
        if self.request.whole || self.text.is_empty() && self.extras.is_empty() {
            return error;
        }
        let characters = self.text.chars().count();
        let reason = format!("{error}; nobody could go on from there");
        ModelError::Interrupted { model: self.pool().name.clone(), characters, reason }
    }
}

impl Known {
    /// What of `text` is new, after the text `so_far`; none where it is not what it must be.
    fn rest(&mut self, so_far: &str, text: String) -> Option<String> {
        match self {
            Self::Nothing => Some(text),
            Self::Has(have) => {
                let expected = &so_far[*have..];
                let common = expected.len().min(text.len());
                if expected.as_bytes()[..common] != text.as_bytes()[..common] {
                    return None;
                }
                // Both agree up to there, so that one of them ends there, on a boundary.
                let rest = text.get(common..)?.to_owned();
                *have += common;
                if *have == so_far.len() {
                    *self = Self::Nothing;
                }
                Some(rest)
            }
            Self::May(space) => {
                let rest = match text.strip_prefix(space.as_str()) {
                    Some(rest) => rest.to_owned(),
                    None => text,
                };
                *self = Self::Nothing;
                Some(rest)
            }
        }
    }
}

/// The request with what is suggested, where the caller has not said otherwise by any name.
fn with(request: &ModelRequest, suggested: Parameters) -> ModelRequest {
    let named =
        ["max_completion_tokens", "max_tokens"].iter().any(|name| request.passthrough.contains_key(*name));
    let most = if named { None } else { Some(suggested.max_tokens) };
    ModelRequest {
        max_tokens: request.max_tokens.or(most),
        temperature: request.temperature.or(Some(suggested.temperature)),
        ..request.clone()
    }
}

/// Whether the same request is meant to have the same answer.
pub(crate) fn is_precise(request: &ModelRequest) -> bool {
    request.temperature == Some(0.0) || request.passthrough.get("seed").is_some_and(|seed| !seed.is_null())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_known_is_left_out() {
        let cases: [(&str, &[&str], Option<&str>); 6] = [
            ("Grüße, 日本", &["Grü", "ße, 日本語", "!"], Some("語!")),
            ("ab", &["ab"], Some("")),
            ("ab", &["ac"], None),
            ("abc", &["a", "x"], None),
            ("日", &["本"], None),
            ("a", &["", "a", "b"], Some("b")),
        ];
        for (so_far, pieces, expected) in cases {
            let mut known = Known::Has(0);
            let rest: Option<String> =
                pieces.iter().map(|piece| known.rest(so_far, (*piece).to_owned())).collect();
            assert_eq!(rest.as_deref(), expected, "{so_far} and {pieces:?}");
        }
        for (space, text, expected) in [(" ", " b", "b"), (" ", "b", "b"), ("", " b", " b")] {
            let rest = Known::May(space.to_owned()).rest("a", text.to_owned());
            assert_eq!(rest.as_deref(), Some(expected));
        }
    }

    proptest! {
        #[test]
        fn an_answer_cut_anywhere_is_put_together_again(
            pieces in proptest::collection::vec("[a-cé日😀 ]{0,4}", 0..8),
            cut in any::<proptest::sample::Index>(),
        ) {
            let whole = pieces.concat();
            let ends: Vec<usize> = (0..=whole.len()).filter(|end| whole.is_char_boundary(*end)).collect();
            let so_far = &whole[..ends[cut.index(ends.len())]];
            let mut known = if so_far.is_empty() { Known::Nothing } else { Known::Has(0) };
            let rest: Option<String> = pieces.iter().map(|piece| known.rest(so_far, piece.clone())).collect();
            prop_assert_eq!(rest.map(|rest| format!("{so_far}{rest}")), Some(whole));
        }
    }
}
