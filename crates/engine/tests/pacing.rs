//! How a budget lasts: a day of requests on a clock that is simulated, paced and greedy. `cargo test -p burnish-engine --test
//! pacing -- --nocapture --test-threads 1` shows the figures.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test says so by failing, and shows its figures"
)]

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

/// How often requests come at a time of the day, both from 0 to 1.
type Spread = fn(f64) -> f64;

fn evenly(_: f64) -> f64 {
    1.0
}

/// Most at noon, and few at midnight.
fn by_day(time: f64) -> f64 {
    0.525 - 0.475 * (std::f64::consts::TAU * time).cos()
}

/// One day's requests in the order of time. What money gains differs from request to request, and so does what it takes.
fn day(number: u64, seed: u64, spread: Spread) -> Vec<Request> {
    let mut random = fastrand::Rng::with_seed(seed * 1_000 + number);
    let mut times = Vec::with_capacity(REQUESTS);
    while times.len() < REQUESTS {
        let time = random.f64();
        if random.f64() < spread(time) {
            times.push(number * DAY_MS + (time * DAY_MS as f64) as u64);
        }
    }
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

/// How requests are answered.
#[derive(Clone, Copy)]
enum Manner {
    /// As well as can be, for as long as there is money.
    Greedy,
    /// At what money is worth, where what a choice costs is so many times what was expected.
    Paced(f64),
}

#[derive(Debug)]
struct Reached {
    spent: Money,
    quality: f64,
    /// Requests that were given less than the best.
    less: usize,
}

/// Answers a day's requests from the purse of each.
fn run(budgets: &Budgets, requests: &[Request], manner: Manner) -> Reached {
    let time = Arc::new(Simulated::default());
    let clock: Arc<dyn Clock> = Arc::clone(&time) as _;
    let user = UserContext { tenant: Some("acme".to_owned()), ..UserContext::default() };
    let mut reached = Reached { spent: Money::ZERO, quality: 0.0, less: 0 };
    for Request { at, options } in requests {
        time.0.store(at.0, Ordering::Relaxed);
        let (worth, dearer) = match manner {
            Manner::Greedy => (0.0, 1.0),
            Manner::Paced(dearer) => (budgets.worth_of_a_dollar(&user, *at), dearer),
        };
        let expected = |cost: Money| cost.micros() as f64 / dearer;
        let net = |(quality, cost): &(f64, Money)| quality - worth * expected(*cost) / 1e6;
        let mut order = options.to_vec();
        order.sort_by(|left, right| net(right).total_cmp(&net(left)));
        let (quality, cost) = order[0];
        budgets.observe(&user, *at, quality, Money::from_micros(expected(cost) as u64));
        let purse = budgets.purse(&user, None, &clock).unwrap();
        // What can't be paid for is replaced by what can.
        let paid = order.into_iter().find(|(_, cost)| {
            // A try sets more aside than it takes in the end.
            let most = *cost + *cost;
            purse.reserve(most, most).is_ok_and(|reservation| {
                purse.settle(reservation, *cost);
                true
            })
        });
        let (quality, cost) = paid.unwrap();
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

/// The quality that could be reached with `most` if all requests were known beforehand: at one price of money for all.
fn hindsight(requests: &[Request], most: Money) -> f64 {
    let at = |worth: f64| {
        let net = |(quality, cost): &(f64, Money)| quality - worth * cost.micros() as f64 / 1e6;
        let best =
            |request: &Request| request.options.into_iter().max_by(|a, b| net(a).total_cmp(&net(b))).unwrap();
        let chosen: Vec<(f64, Money)> = requests.iter().map(best).collect();
        let quality = chosen.iter().map(|(quality, _)| quality).sum::<f64>() / requests.len() as f64;
        (quality, chosen.into_iter().map(|(_, cost)| cost).sum::<Money>())
    };
    let (mut little, mut much) = (0.0, 1e4);
    for _ in 0..40 {
        let middle = (little + much) / 2.0;
        *(if at(middle).1 > most { &mut little } else { &mut much }) = middle;
    }
    at(much).0
}

/// Three days one after the other, of which the first `unknown` ones come as nobody could know.
fn check(seed: u64, ratio: u64, (spread, unknown): (Spread, u64), dearer: f64, smallest_share: f64) {
    let most = Money::from_micros(demand(&day(0, seed, spread)).micros() / ratio);
    let (paced, greedy) = (budgets(most), budgets(most));
    for number in 0..3 {
        let requests = day(number, seed, spread);
        let with = run(&paced, &requests, Manner::Paced(dearer));
        let without = run(&greedy, &requests, Manner::Greedy);
        let share = with.spent.micros() as f64 / most.micros() as f64;
        let (quality, greed) = (with.quality, without.quality);
        let known = hindsight(&requests, most);
        println!(
            "demand {ratio} times the budget, day {}: {share:.4} of it spent, quality {quality:.4} paced, {greed:.4} greedy, \
             {known:.4} with all known beforehand",
            number + 1
        );
        assert!(with.spent <= most, "{ratio}, day {number}: {share} spent");
        assert!(share > smallest_share || number < unknown, "{ratio}, day {number}: {share} spent");
        assert!(quality > greed, "{ratio}, day {number}: {quality} and {greed}");
    }
}

#[test]
fn a_budget_lasts_over_its_period_and_buys_more_than_greed() {
    for (seed, ratio) in [(1, 2), (2, 3), (3, 4), (4, 5)] {
        check(seed, ratio, (evenly, 0), 1.0, 0.995);
    }
}

#[test]
fn requests_that_cost_otherwise_than_expected_are_paced_as_well() {
    for (seed, dearer) in [(5, 0.7), (6, 1.4)] {
        check(seed, 3, (evenly, 0), dearer, 0.995);
    }
}

#[test]
fn when_requests_come_is_known_from_the_day_before() {
    for (seed, ratio) in [(7, 2), (8, 3), (9, 5)] {
        check(seed, ratio, (by_day, 1), 1.0, 0.99);
    }
}

#[test]
fn nothing_is_held_back_where_there_is_enough() {
    for seed in 1..4 {
        let requests = day(0, seed, evenly);
        let enough = Money::from_micros(demand(&requests).micros() / 4 * 5);
        let budgets = budgets(enough);
        let reached = run(&budgets, &requests, Manner::Paced(1.0));
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
