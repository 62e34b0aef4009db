//! The endpoints of one model and what is seen of them: who is asked next, who may be asked at all, and what each
//! request leaves behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use burnish_types::{
    Clock, EndpointFigures, ModelError, ModelRequest, Money, Price, Reservation, Spending, SystemClock,
    Timestamp, Usage,
};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::endpoint::{Endpoint, NO_CONNECTION};
use crate::payment::{Costs, Payment};
use crate::settings::{Limits, ModelSettings, Patience, Retries, SettingsError};
use crate::state::breaker::Breaker;
use crate::state::budget::{Cap, Ledger};
use crate::state::choice::{Balance, Choice, Seen, choose};
use crate::state::latency::{PeakEwma, Recent};
use crate::state::retry::RetryBudget;
use crate::tokens;

/// When a request that was refused for want of room is worth another try.
const COME_AGAIN: Duration = Duration::from_secs(1);
/// Why a model that has no price can't be asked where somebody pays.
const UNPRICED: &str = "it has no price, so that nobody knows what it takes of a budget; set \
     input_usd_per_million and output_usd_per_million, to 0 where it is free";
/// Without samples, a trial is doubted after this share of the time that it may take.
const DOUBTED_AFTER: f64 = 0.1;

/// One model.
pub(crate) struct Pool {
    pub(crate) name: String,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) patience: Patience,
    pub(crate) retries: Retries,
    pub(crate) limits: Limits,
    pub(crate) price: Option<Price>,
    balance: Balance,
    hedge: bool,
    seen: Mutex<State>,
    permits: Arc<Semaphore>,
    waiting: AtomicUsize,
    /// Whether it has refused what the caller had not asked for, and answered without.
    plain: AtomicBool,
}

struct State {
    endpoints: Vec<EndpointState>,
    recent: Recent,
    retries: RetryBudget,
    ledger: Ledger,
}

#[derive(Default)]
struct EndpointState {
    breaker: Breaker,
    latency: PeakEwma,
    in_flight: u64,
    figures: EndpointFigures,
}

/// Why a request is sent to an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Because {
    First,
    Retry,
    Hedge,
}

/// What one request has met at one endpoint.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Met {
    pub(crate) failures: u32,
    /// It can't be had there at all.
    pub(crate) barred: bool,
    pub(crate) not_before: Option<Instant>,
    /// It is under way there.
    pub(crate) under_way: bool,
}

impl Pool {
    pub(crate) fn new(settings: &ModelSettings) -> Result<Self, SettingsError> {
        if settings.endpoints.is_empty() {
            return Err(SettingsError::NoEndpoint(settings.name.clone()));
        }
        let money = settings.budgets.iter().any(|budget| matches!(budget.cap, Cap::Money(_)));
        if money && settings.price.is_none() {
            return Err(SettingsError::NoPrice(settings.name.clone()));
        }
        let endpoints = settings.endpoints.iter().map(|endpoint| Endpoint::new(settings, endpoint));
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let state = |(place, endpoint): (usize, &Endpoint)| EndpointState {
            figures: EndpointFigures {
                model: settings.name.clone(),
                endpoint: format!("{}#{place}", endpoint.host()),
                ..EndpointFigures::default()
            },
            ..EndpointState::default()
        };
        Ok(Self {
            name: settings.name.clone(),
            seen: Mutex::new(State {
                endpoints: endpoints.iter().enumerate().map(state).collect(),
                recent: Recent::default(),
                retries: RetryBudget::new(settings.retries.per_request, Instant::now()),
                ledger: Ledger::new(&settings.budgets),
            }),
            endpoints,
            patience: settings.patience,
            retries: settings.retries,
            limits: settings.limits,
            price: settings.price,
            balance: settings.balance,
            hedge: settings.hedge,
            permits: Arc::new(Semaphore::new(settings.limits.concurrent.min(Semaphore::MAX_PERMITS))),
            waiting: AtomicUsize::new(0),
            plain: AtomicBool::new(false),
        })
    }

    /// Whether a request is within the limits.
    pub(crate) fn check(&self, request: &ModelRequest) -> Result<(), ModelError> {
        let refused = |reason| Err(ModelError::Unsupported { model: self.name.clone(), reason });
        let tools = request.passthrough.get("tools").and_then(Value::as_array).map_or(0, Vec::len);
        if tools > self.limits.tools {
            return refused(format!(
                "{tools} tools are more than the {} that are allowed",
                self.limits.tools
            ));
        }
        let (bytes, most) = (tokens::bytes(request), self.limits.request_bytes);
        if bytes > most {
            return refused(format!("its {bytes} bytes are more than the {most} that are allowed"));
        }
        Ok(())
    }

    /// Whether it refuses parameters that the caller has not asked for.
    pub(crate) fn takes_no_suggestions(&self) -> bool {
        self.plain.load(Ordering::Relaxed)
    }

    /// From now on it is asked as callers say.
    pub(crate) fn suggest_nothing_more(&self) {
        if !self.plain.swap(true, Ordering::Relaxed) {
            tracing::info!(
                model = self.name,
                "it refuses suggested parameters, which are left out from now on"
            );
        }
    }

    /// A place among the requests under way, waited for within bounds.
    pub(crate) async fn enter(&self) -> Result<OwnedSemaphorePermit, ModelError> {
        let busy = || ModelError::Busy { model: self.name.clone(), retry_after: COME_AGAIN };
        if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
            return Ok(permit);
        }
        let _waiting = Waiting::enter(&self.waiting, self.limits.waiting).ok_or_else(busy)?;
        let permit = timeout(self.limits.longest_wait, Arc::clone(&self.permits).acquire_owned()).await;
        permit.ok().and_then(Result::ok).ok_or_else(busy)
    }

    /// A request has come, which later ones of it can draw on.
    pub(crate) fn arrived(&self) {
        self.seen.lock().retries.deposit(Instant::now());
    }

    /// Whether a request may be made again.
    pub(crate) fn may_retry(&self) -> bool {
        self.seen.lock().retries.withdraw(Instant::now())
    }

    /// Who is asked next by a request that has `met` this at each endpoint; `fits` says who could be asked at all.
    pub(crate) fn choose(&self, met: &[Met], fits: impl Fn(&Endpoint) -> bool) -> Choice {
        let now = Instant::now();
        let state = self.seen.lock();
        let seen = |((endpoint, state), met): ((&Endpoint, &EndpointState), &Met)| Seen {
            access: state.breaker.access(now),
            seconds: state.latency.seconds(now),
            in_flight: state.in_flight,
            weight: endpoint.weight,
            fresh: met.failures == 0,
            allowed: !met.barred && !met.under_way && fits(endpoint),
            not_before: met.not_before,
        };
        let all: Vec<Seen> = self.endpoints.iter().zip(&state.endpoints).zip(met).map(seen).collect();
        choose(&all, self.balance, now, [fastrand::f64(), fastrand::f64()])
    }

    /// After which time another endpoint is asked as well.
    pub(crate) fn hedge_after(&self, trial: bool) -> Option<Duration> {
        if !trial && !self.hedge || self.endpoints.len() < 2 {
            return None;
        }
        let p95 = self.seen.lock().recent.p95();
        p95.or_else(|| trial.then(|| self.patience.first_token.mul_f64(DOUBTED_AFTER)))
    }

    /// Sets aside what a request may cost and counts it as under way. `begun` is what its answer has to go on from.
    pub(crate) fn send(
        self: &Arc<Self>,
        endpoint: usize,
        because: Because,
        request: &ModelRequest,
        begun: &str,
    ) -> Result<Ticket, ModelError> {
        let now = Instant::now();
        let refused = |reason| ModelError::OverBudget { model: self.name.clone(), reason };
        let costs = self.costs(request, begun);
        let payment = self.pay(request, costs, because).map_err(refused)?;
        let whole = costs.map_or(Money::ZERO, |costs| costs.most());
        let most = payment.as_ref().map_or(whole, Payment::most);
        let mut state = self.seen.lock();
        let reservation = state.ledger.reserve(SystemClock.now(), most).map_err(|reason| {
            if let Some(payment) = &payment {
                payment.settle(Some(Money::ZERO));
            }
            refused(reason)
        })?;
        let seen = &mut state.endpoints[endpoint];
        seen.breaker.sent(now);
        seen.in_flight += 1;
        seen.figures.requests += 1;
        match because {
            Because::First => {}
            Because::Retry => seen.figures.retries += 1,
            Because::Hedge => seen.figures.hedges += 1,
        }
        drop(state);
        Ok(Ticket {
            pool: Arc::clone(self),
            endpoint,
            since: now,
            reservation,
            payment,
            input_tokens: tokens::estimate_request(request) + tokens::estimate(begun),
            written: String::new(),
            over: false,
        })
    }

    /// Sets aside what a try may cost from the purse of whoever asks. A second try beside one is not worth a shorter answer.
    fn pay(
        &self,
        request: &ModelRequest,
        costs: Option<Costs>,
        because: Because,
    ) -> Result<Option<Payment>, String> {
        let Some(purse) = &request.purse else { return Ok(None) };
        let costs = costs.ok_or(UNPRICED)?;
        Payment::reserve(purse, costs, because != Because::Hedge).map(Some)
    }

    /// The most that an answer may have where money is budgeted and the request sets no limit.
    pub(crate) fn output_limit(&self, request: &ModelRequest) -> Option<u32> {
        let asked = request.max_tokens.or_else(|| {
            let named = request.passthrough.get("max_completion_tokens").and_then(Value::as_u64);
            named.map(|most| u32::try_from(most).unwrap_or(u32::MAX))
        });
        let counted = || request.purse.is_some() || self.seen.lock().ledger.counts_money();
        asked.or_else(|| counted().then_some(self.limits.output_tokens))
    }

    /// What a request costs at most; none without a price.
    fn costs(&self, request: &ModelRequest, begun: &str) -> Option<Costs> {
        Some(Costs {
            price: self.price?,
            input_tokens: tokens::most(request, begun),
            output_tokens: self.output_limit(request).unwrap_or(self.limits.output_tokens),
        })
    }

    pub(crate) fn figures(&self) -> Vec<EndpointFigures> {
        let now = Instant::now();
        let state = self.seen.lock();
        let figures = state.endpoints.iter().map(|seen| EndpointFigures {
            breaker: seen.breaker.figure(now),
            first_token_seconds: seen.latency.seconds(now),
            in_flight: seen.in_flight,
            ..seen.figures.clone()
        });
        figures.collect()
    }

    pub(crate) fn budgeted_since(&self, now: Timestamp) -> Option<Timestamp> {
        self.seen.lock().ledger.since(now)
    }

    pub(crate) fn count_earlier(&self, at: Timestamp, cost: Option<Money>) {
        self.seen.lock().ledger.count_earlier(SystemClock.now(), at, cost.unwrap_or_default());
    }
}

/// A place in the queue.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn enter(waiting: &'a AtomicUsize, most: usize) -> Option<Self> {
        let place = Self(waiting);
        // The place is given back in any case, as it was taken.
        (waiting.fetch_add(1, Ordering::Relaxed) < most).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One request at one endpoint. However it ends, it is counted and paid for.
pub(crate) struct Ticket {
    pool: Arc<Pool>,
    pub(crate) endpoint: usize,
    since: Instant,
    reservation: Reservation,
    payment: Option<Payment>,
    input_tokens: u64,
    /// What came of it, for an estimate where the provider does not tell.
    written: String,
    over: bool,
}

impl Ticket {
    /// The first words came.
    pub(crate) fn spoke(&self) {
        let now = Instant::now();
        let took = now.saturating_duration_since(self.since);
        let mut state = self.pool.seen.lock();
        state.recent.push(took);
        let seen = &mut state.endpoints[self.endpoint];
        if seen.breaker.spoke() {
            seen.latency.forget();
        }
        seen.latency.observe(took, now);
    }

    /// The most tokens that the answer may have, where somebody pays for it.
    pub(crate) fn output_limit(&self) -> Option<u32> {
        self.payment.as_ref().map(|payment| payment.output_tokens)
    }

    /// Bytes of text so far.
    pub(crate) fn written(&self) -> usize {
        self.written.len()
    }

    pub(crate) fn wrote(&mut self, text: &str) {
        self.written.push_str(text);
    }

    /// The answer came to its end.
    pub(crate) fn succeed(mut self, usage: Option<Usage>) -> Spending {
        let known = usage.is_some();
        let usage = usage.unwrap_or_else(|| self.estimate());
        self.end(Some(usage), known, |seen, _| seen.breaker.succeeded())
    }

    /// Nothing came, or not all of it.
    pub(crate) fn fail(mut self, error: &ModelError) -> Option<Spending> {
        // Refusals cost nothing, nor does what never arrived.
        let free = match error {
            ModelError::Refused { .. } | ModelError::TooLong { .. } | ModelError::Unsupported { .. } => {
                self.written.is_empty()
            }
            ModelError::Unreachable { reason, .. } => reason.starts_with(NO_CONNECTION),
            _ => false,
        };
        let usage = (!free).then(|| self.estimate());
        let kind = kind(error);
        let spending = self.end(usage, free, |seen, now| {
            match seen.figures.errors.iter_mut().find(|(known, _)| *known == kind) {
                Some((_, count)) => *count += 1,
                None => seen.figures.errors.push((kind, 1)),
            }
            match error {
                ModelError::Refused { status: 429, retry_after, .. } => {
                    seen.breaker.refused(now, *retry_after);
                    seen.latency.punish(now);
                }
                // The endpoint works; it is what it was asked that does not.
                ModelError::Refused { status: 400 | 413 | 422, .. }
                | ModelError::TooLong { .. }
                | ModelError::Unsupported { .. } => {
                    seen.breaker.spoke();
                }
                _ => {
                    seen.breaker.failed(now, fastrand::f64());
                    seen.latency.punish(now);
                }
            }
        });
        usage.map(|_| spending)
    }

    /// It was told to stop, without a fault of the endpoint.
    pub(crate) fn leave(mut self) -> Spending {
        let usage = self.estimate();
        self.end(Some(usage), false, |seen, now| seen.breaker.abandoned(now))
    }

    fn estimate(&self) -> Usage {
        Usage {
            input_tokens: self.input_tokens,
            cached_input_tokens: 0,
            output_tokens: tokens::estimate(&self.written),
        }
    }

    fn end(
        &mut self,
        usage: Option<Usage>,
        known: bool,
        tell: impl FnOnce(&mut EndpointState, Instant),
    ) -> Spending {
        self.over = true;
        let now = Instant::now();
        let cost = usage.and_then(|usage| Some(self.pool.price?.of(usage)));
        let mut state = self.pool.seen.lock();
        let seen = &mut state.endpoints[self.endpoint];
        seen.in_flight -= 1;
        tell(seen, now);
        // What a try took that had no end only the provider knows: all of what was set aside for it stays taken.
        if known {
            state.ledger.settle(self.reservation, cost.unwrap_or_default());
        }
        drop(state);
        if let Some(payment) = &self.payment {
            payment.settle(known.then(|| cost.unwrap_or_default()));
        }
        Spending { model: self.pool.name.clone(), usage: usage.unwrap_or_default(), cost }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.over {
            let usage = self.estimate();
            self.end(Some(usage), false, |seen, now| seen.breaker.abandoned(now));
        }
    }
}

/// The kind of an error, as figures name it (OpenTelemetry's `error.type`).
fn kind(error: &ModelError) -> &'static str {
    match error {
        ModelError::Unreachable { reason, .. } if reason.starts_with("no word came") => "timeout",
        ModelError::Unreachable { reason, .. } if reason.contains("after") => "broken_off",
        ModelError::Unreachable { .. } => "unreachable",
        ModelError::Refused { status: 429, .. } => "rate_limited",
        ModelError::Refused { status, .. } if *status >= 500 => "server_error",
        ModelError::Refused { .. } => "refused",
        ModelError::Garbled { .. } => "garbled",
        ModelError::TooLong { .. } => "too_long",
        ModelError::Interrupted { .. } => "broken_off",
        ModelError::Busy { .. } => "busy",
        ModelError::OverBudget { .. } => "over_budget",
        ModelError::Unsupported { .. } => "unsupported",
    }
}
