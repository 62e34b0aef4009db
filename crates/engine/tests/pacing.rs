//! How a budget lasts: a day of requests on a clock that is simulated, paced and greedy. `cargo test -p burnish-engine --test
//! pacing -- --nocapture` shows the figures.
#![expect(clippy::unwrap_used, reason = "a test says so by failing")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use burnish_engine::{BudgetSettings, Budgets, Who};
use burnish_types::{Clock, Money, Period, Timestamp, UserContext};

const DAY_MS: u64 = 86_400_000;
const REQUESTS: usize = 5_000;

/// A clock that is set.
#[derive(Default)]
struct Simulated(AtomicU64);

impl Clock for Simulated {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

/// A request with what can be had for it: qualities and costs, the free one first and the best one last.
struct Request {
    at: Timestamp,
    options: [(f64, Money); 3],
}

/// One day's requests in the order of time. What money gains differs from request to request, and so does what it takes.
fn day(number: u64, seed: u64) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(seed * 1_000 + number);
    let mut times: Vec<u64> = (0..REQUESTS).map(|_| number * DAY_MS + random.u64(..DAY_MS)).collect();
    times.sort_unstable();
    let request = |at| {
        let (free, gain) = (0.2 + 0.3 * random.f64(), 0.4 * random.f64());
        let length = 0.5 + random.f64();
        let cost = |usd: f64| Money::from_micros((usd * length * 1e6) as u64);
        let cheap = (free + gain * (0.2 + 0.5 * random.f64()), cost(0.002));
        Request { at: Timestamp(at), options: [(free, Money::ZERO), cheap, (free + gain, cost(0.02))] }
    };
    times.into_iter().map(request).collect()
}

/// What the best option of every request would cost.
fn demand(requests: &[Request]) -> Money {
    requests.iter().map(|request| request.options[2].1).sum()
}

#[derive(Debug)]
struct Reached {
    spent: Money,
    quality: f64,
    /// Requests that were given less than the best.
    less: usize,
}

/// Answers a day's requests from the purse of each, at what money is worth or as well as can be.
fn run(budgets: &Budgets, requests: &[Request], paced: bool) -> Reached {
    let time = Arc::new(Simulated::default());
    let clock: Arc<dyn Clock> = Arc::clone(&time) as _;
    let user = UserContext { tenant: Some("acme".to_owned()), ..UserContext::default() };
    let mut reached = Reached { spent: Money::ZERO, quality: 0.0, less: 0 };
    for Request { at, options } in requests {
        time.0.store(at.0, Ordering::Relaxed);
        let worth = if paced { budgets.worth_of_a_dollar(&user, *at) } else { 0.0 };
        let net = |(quality, cost): &(f64, Money)| quality - worth * cost.micros() as f64 / 1e6;
        let mut order = options.to_vec();
        order.sort_by(|left, right| net(right).total_cmp(&net(left)));
        let purse = budgets.purse(&user, None, &clock).unwrap();
        let chosen = order.into_iter().find(|(_, cost)| {
            // A try sets more aside than it takes in the end.
            let most = *cost + *cost;
            purse.reserve(most, most).is_ok_and(|reservation| {
                purse.settle(reservation, *cost);
                true
            })
        });
        let (quality, cost) = chosen.unwrap();
        budgets.observe(&user, *at, quality, cost);
        reached.spent += cost;
        reached.quality += quality / requests.len() as f64;
        reached.less += usize::from(quality < options[2].0);
    }
    reached
}

fn budgets(most: Money) -> Budgets {
    let budget = |who, most| BudgetSettings { who, most, period: Period::Day };
    // The second one is never short, and says nothing.
    Budgets::new(vec![budget(Who::EachTenant, most), budget(Who::Everyone, most + most)])
}

#[test]
fn a_budget_lasts_over_its_period_and_buys_more_than_greed() {
    for (seed, ratio) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
        let most = Money::from_micros(demand(&day(0, seed)).micros() / ratio);
        let (paced, greedy) = (budgets(most), budgets(most));
        for number in 0..3 {
            let requests = day(number, seed);
            let (with, without) = (run(&paced, &requests, true), run(&greedy, &requests, false));
            let share = with.spent.micros() as f64 / most.micros() as f64;
            let (quality, greed) = (with.quality, without.quality);
            println!(
                "demand {ratio} times the budget, day {}: {share:.4} of it spent, quality {quality:.4} paced, {greed:.4} greedy",
                number + 1
            );
            assert!(with.spent <= most && share > 0.995, "{ratio}, day {number}: {share} spent");
            assert!(quality > greed, "{ratio}, day {number}: {quality} and {greed}");
        }
    }
}

#[test]
fn nothing_is_held_back_where_there_is_enough() {
    for seed in 1..4 {
        let requests = day(0, seed);
        let enough = Money::from_micros(demand(&requests).micros() / 4 * 5);
        let budgets = budgets(enough);
        let reached = run(&budgets, &requests, true);
        println!(
            "a budget of 1.25 times the demand: {} of {REQUESTS} were given less than the best",
            reached.less
        );
        assert!(reached.less * 50 < REQUESTS, "{reached:?}");
        let end = requests.last().unwrap().at;
        let user = UserContext { tenant: Some("acme".to_owned()), ..UserContext::default() };
        assert!(budgets.worth_of_a_dollar(&user, end) < 1e-3);
    }
}
