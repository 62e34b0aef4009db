//! A circuit breaker: an endpoint that only fails is left alone, and tried now and then by single requests.

use std::time::{Duration, Instant};

/// So many failures in a row open it. At a share of failures of one third, which retries cope with, that happens by
/// chance once in 10,000 requests.
const FAILURES_IN_A_ROW: u32 = 8;
/// So do so many of the last [`WINDOW`] outcomes.
const FAILURES_IN_WINDOW: u32 = 26;
const WINDOW: u32 = 32;
/// How long it stays open at first; each try that fails doubles it.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
/// The longest that it stays open. Short, since a try costs one request that is made elsewhere, too, when it is slow.
const LONGEST_PAUSE: Duration = Duration::from_millis(1_500);
/// The longest rest that a provider can order.
const LONGEST_REST: Duration = Duration::from_secs(60);
/// How long an endpoint rests that says "too many requests" and not until when.
const USUAL_REST: Duration = Duration::from_secs(1);
/// So many refusals of that kind in a row are a limit, and not the odd request too many.
const REFUSALS_IN_A_ROW: u32 = 2;

/// Whether an endpoint may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// It may.
    Open,
    /// It may be tried by one request.
    Trial,
    /// Not before then.
    Closed(Instant),
}

/// The state of one endpoint.
#[derive(Clone, Debug, Default)]
pub(crate) struct Breaker {
    state: State,
    /// The last outcomes, the latest in the lowest bit, failures as ones.
    window: u32,
    seen: u32,
    in_a_row: u32,
    /// Tries that failed one after the other.
    failed_trials: u32,
    refusals: u32,
    resting_until: Option<Instant>,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// Requests pass.
    #[default]
    Passing,
    /// None pass until then.
    Broken(Instant),
    /// One is passing as a trial.
    Trying,
}

impl Breaker {
    /// Whether the endpoint may be asked at `now`; asking for it changes nothing.
    pub(crate) fn access(&self, now: Instant) -> Access {
        match (self.state, self.resting_until) {
            (_, Some(until)) if now < until => Access::Closed(until),
            (State::Passing, _) => Access::Open,
            (State::Broken(until), _) if now < until => Access::Closed(until),
            (State::Broken(_), _) => Access::Trial,
            // Until the trial's outcome is known, which the trial's own patience bounds.
            (State::Trying, _) => Access::Closed(now + FIRST_PAUSE),
        }
    }

    /// A request is sent; one that is sent as a trial keeps others off until its outcome.
    pub(crate) fn sent(&mut self, now: Instant) {
        if let State::Broken(until) = self.state
            && now >= until
        {
            self.state = State::Trying;
        }
    }

    /// The first words came. Whether the endpoint is back from being broken.
    pub(crate) fn spoke(&mut self) -> bool {
        self.refusals = 0;
        self.in_a_row = 0;
        let back = !matches!(self.state, State::Passing);
        if back {
            *self = Self::default();
        }
        back
    }

    /// An answer came to its end.
    pub(crate) fn succeeded(&mut self) {
        self.record(false);
        self.failed_trials = 0;
    }

    /// An answer did not come, or not to its end. `jitter` in [0, 1) spreads the next trials of several processes.
    pub(crate) fn failed(&mut self, now: Instant, jitter: f64) {
        self.record(true);
        self.in_a_row = self.in_a_row.saturating_add(1);
        let opens = match self.state {
            State::Trying => true,
            State::Passing => {
                self.in_a_row >= FAILURES_IN_A_ROW
                    || (self.seen >= WINDOW && self.window.count_ones() >= FAILURES_IN_WINDOW)
            }
            // One that was under way when it opened.
            State::Broken(_) => false,
        };
        if opens {
            let doubled = FIRST_PAUSE.saturating_mul(1 << self.failed_trials.min(10));
            self.failed_trials += 1;
            self.state = State::Broken(now + doubled.min(LONGEST_PAUSE).mul_f64(0.9 + 0.1 * jitter));
        }
    }

    /// The endpoint said that it had too many requests, and when it may be asked again.
    pub(crate) fn refused(&mut self, now: Instant, retry_after: Option<Duration>) {
        self.refusals += 1;
        if let State::Trying = self.state {
            // It answers, and says itself from when on.
            self.state = State::Broken(now + FIRST_PAUSE);
        }
        if self.refusals >= REFUSALS_IN_A_ROW {
            self.resting_until = Some(now + retry_after.unwrap_or(USUAL_REST).min(LONGEST_REST));
        }
    }

    /// A request was given up before its outcome was known.
    pub(crate) fn abandoned(&mut self, now: Instant) {
        if let State::Trying = self.state {
            self.state = State::Broken(now);
        }
    }

    /// 0: requests pass, 1: one is being tried, 2: none pass.
    pub(crate) fn figure(&self, now: Instant) -> u8 {
        match (self.state, self.access(now)) {
            (State::Trying, _) | (_, Access::Trial) => 1,
            (_, Access::Open) => 0,
            (_, Access::Closed(_)) => 2,
        }
    }

    fn record(&mut self, failure: bool) {
        self.window = (self.window << 1) | u32::from(failure);
        self.seen = (self.seen + 1).min(WINDOW);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn broken(now: Instant) -> Breaker {
        let mut breaker = Breaker::default();
        (0..FAILURES_IN_A_ROW).for_each(|_| breaker.failed(now, 1.0));
        breaker
    }

    #[test]
    fn a_dead_endpoint_is_tried_by_single_requests_until_it_is_back() {
        let start = Instant::now();
        let mut breaker = broken(start);
        assert_eq!(breaker.access(start), Access::Closed(start + ms(250)));
        let mut now = start + ms(250);
        for pause in [500, 1_000, 1_500, 1_500] {
            assert_eq!(breaker.access(now), Access::Trial);
            breaker.sent(now);
            assert!(matches!(breaker.access(now), Access::Closed(_)), "one trial at a time");
            breaker.failed(now, 1.0);
            assert_eq!(breaker.access(now), Access::Closed(now + ms(pause)));
            now += ms(pause);
        }
        breaker.sent(now);
        breaker.abandoned(now);
        assert_eq!(breaker.access(now), Access::Trial, "a trial that was given up is no outcome");
        breaker.sent(now);
        assert!(breaker.spoke());
        assert_eq!((breaker.access(now), breaker.figure(now)), (Access::Open, 0));
        assert!(!breaker.spoke());
    }

    #[test]
    fn only_failure_upon_failure_opens_it() {
        let now = Instant::now();
        let cases: [(&str, bool); 5] = [
            ("fffffff", false),
            ("ffffffff", true),
            ("fffffffsfffffffsfffffffsfffffff", false),
            ("fffffffsfffffffsfffffffsffffffff", true),
            ("ffsffsffsffsffsffsffsffsffsffsffsffsffsffs", false),
        ];
        for (outcomes, opens) in cases {
            let mut breaker = Breaker::default();
            for outcome in outcomes.chars() {
                if outcome == 'f' {
                    breaker.failed(now, 0.0);
                } else {
                    breaker.spoke();
                    breaker.succeeded();
                }
            }
            assert_eq!(breaker.figure(now) == 2, opens, "{outcomes}");
        }
        let mut cutting = Breaker::default();
        for _ in 0..WINDOW {
            cutting.spoke();
            cutting.failed(now, 0.0);
        }
        assert_eq!(cutting.figure(now), 2, "one that speaks and always breaks off is broken, too");
    }

    #[test]
    fn rests_are_taken_as_ordered_and_only_when_they_are_meant() {
        let now = Instant::now();
        let mut breaker = Breaker::default();
        breaker.refused(now, Some(ms(3_000)));
        assert_eq!(breaker.access(now), Access::Open, "one refusal is the odd request too many");
        breaker.refused(now, Some(ms(3_000)));
        assert_eq!(breaker.access(now), Access::Closed(now + ms(3_000)));
        assert_eq!(breaker.access(now + ms(3_000)), Access::Open);
        let mut breaker = Breaker::default();
        (0..2).for_each(|_| breaker.refused(now, Some(Duration::from_secs(86_400))));
        assert_eq!(breaker.access(now), Access::Closed(now + LONGEST_REST));
        let mut breaker = Breaker::default();
        (0..9).for_each(|_| {
            breaker.refused(now, None);
            breaker.spoke();
        });
        assert_eq!(breaker.access(now), Access::Open);
    }

    proptest! {
        #[test]
        fn whatever_happens_it_can_be_tried_again_soon(
            steps in proptest::collection::vec((0_u8..6, 0_u64..3_000), 0..200),
        ) {
            let mut now = Instant::now();
            let mut breaker = Breaker::default();
            for (step, wait) in steps {
                now += ms(wait);
                match step {
                    0 => breaker.sent(now),
                    1 => { breaker.spoke(); }
                    2 => breaker.succeeded(),
                    3 => breaker.failed(now, 0.5),
                    4 => breaker.refused(now, Some(ms(wait))),
                    _ => breaker.abandoned(now),
                }
            }
            // Whoever was sent as a trial ends in one way or another.
            breaker.abandoned(now);
            let later = now + LONGEST_PAUSE.max(ms(3_000));
            prop_assert!(!matches!(breaker.access(later), Access::Closed(_)));
        }
    }
}
