//! Which endpoint is asked: the better one of two that are drawn, by latency and by what is under way there (power of
//! two choices; Mitzenmacher 2001), or the first one in the stated order.

use std::time::Instant;

use super::breaker::Access;

/// One endpoint as it stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) access: Access,
    /// Moving average of the time until the first words.
    pub(crate) seconds: Option<f64>,
    pub(crate) in_flight: u64,
    pub(crate) weight: f64,
    /// Whether this request has not failed there yet.
    pub(crate) fresh: bool,
    /// Whether this request may be made there at all, and from when on.
    pub(crate) allowed: bool,
    pub(crate) not_before: Option<Instant>,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// Ask that one; as a trial if it says so.
    Ask { endpoint: usize, trial: bool },
    /// Nobody can be asked before then.
    Wait(Instant),
    /// Nobody can be asked.
    Nobody,
}

/// How endpoints are chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By latency and load, in proportion to the weights.
    #[default]
    Latency,
    /// The first one that works, in the order in which they are written.
    Order,
}

/// Chooses among `endpoints`. `lots` lie in [0, 1).
pub(crate) fn choose(endpoints: &[Seen], balance: Balance, now: Instant, lots: [f64; 2]) -> Choice {
    let ready = |seen: &Seen| seen.allowed && seen.not_before.is_none_or(|until| until <= now);
    // A trial goes first: without it a broken endpoint would never come back.
    let trial = endpoints.iter().position(|seen| ready(seen) && seen.fresh && seen.access == Access::Trial);
    if let Some(endpoint) = trial {
        return Choice::Ask { endpoint, trial: true };
    }
    let open = |fresh: bool| {
        let fits = move |seen: &Seen| ready(seen) && seen.access == Access::Open && (seen.fresh || !fresh);
        endpoints.iter().enumerate().filter(move |(_, seen)| fits(seen)).map(|(place, _)| place)
    };
    let mut candidates: Vec<usize> = open(true).collect();
    if candidates.is_empty() {
        candidates = open(false).collect();
    }
    if let Some(endpoint) = pick(endpoints, &candidates, balance, lots) {
        return Choice::Ask { endpoint, trial: false };
    }
    let until = |seen: &Seen| {
        let access = match seen.access {
            Access::Closed(until) => until,
            Access::Open | Access::Trial => now,
        };
        access.max(seen.not_before.unwrap_or(now))
    };
    let soonest = endpoints.iter().filter(|seen| seen.allowed).map(until).min();
    match soonest {
        // One that failed in its trial is tried again by this request only once others have had their turn.
        Some(soonest) if soonest <= now => {
            let again = endpoints.iter().position(|seen| ready(seen) && seen.access == Access::Trial);
            again.map_or(Choice::Nobody, |endpoint| Choice::Ask { endpoint, trial: true })
        }
        Some(soonest) => Choice::Wait(soonest),
        None => Choice::Nobody,
    }
}

fn pick(endpoints: &[Seen], candidates: &[usize], balance: Balance, lots: [f64; 2]) -> Option<usize> {
    let first = *candidates.first()?;
    if balance == Balance::Order || candidates.len() == 1 {
        return Some(first);
    }
    let one = draw(endpoints, candidates, lots[0])?;
    let others: Vec<usize> = candidates.iter().copied().filter(|candidate| *candidate != one).collect();
    let other = draw(endpoints, &others, lots[1])?;
    // What nothing is known of counts as what is usual.
    let known: Vec<f64> = candidates.iter().filter_map(|place| endpoints[*place].seconds).collect();
    let usual = known.iter().sum::<f64>() / known.len().max(1) as f64;
    let load = |place: usize| {
        let Seen { seconds, in_flight, weight, .. } = endpoints[place];
        seconds.unwrap_or(usual).max(1e-6) * (in_flight + 1) as f64 / weight
    };
    Some(if load(other) < load(one) { other } else { one })
}

/// One of `candidates`, in proportion to their weights.
fn draw(endpoints: &[Seen], candidates: &[usize], lot: f64) -> Option<usize> {
    let total: f64 = candidates.iter().map(|place| endpoints[*place].weight).sum();
    let mut left = lot * total;
    for place in candidates {
        left -= endpoints[*place].weight;
        if left < 0.0 {
            return Some(*place);
        }
    }
    candidates.last().copied()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    fn open() -> Seen {
        Seen {
            access: Access::Open,
            seconds: Some(0.1),
            in_flight: 0,
            weight: 1.0,
            fresh: true,
            allowed: true,
            not_before: None,
        }
    }

    #[test]
    fn what_is_chosen() {
        let now = Instant::now();
        let later = now + Duration::from_secs(1);
        let ask = |endpoint| Choice::Ask { endpoint, trial: false };
        let slow = Seen { seconds: Some(0.5), ..open() };
        let busy = Seen { in_flight: 7, ..open() };
        let heavy = Seen { in_flight: 7, weight: 10.0, ..open() };
        let failed = Seen { fresh: false, ..open() };
        let closed = Seen { access: Access::Closed(later), ..open() };
        let trial = Seen { access: Access::Trial, ..open() };
        let waits = Seen { not_before: Some(later), ..open() };
        let forbidden = Seen { allowed: false, ..open() };
        let unknown = Seen { seconds: None, ..open() };
        let cases = [
            (vec![slow, open()], ask(1)),
            (vec![busy, open()], ask(1)),
            (vec![heavy, slow], ask(0)),
            (vec![failed, busy], ask(1)),
            (vec![failed], ask(0)),
            (vec![closed, failed], ask(1)),
            (vec![closed, closed], Choice::Wait(later)),
            (vec![waits, closed], Choice::Wait(later)),
            (vec![open(), trial], Choice::Ask { endpoint: 1, trial: true }),
            (vec![Seen { fresh: false, ..trial }], Choice::Ask { endpoint: 0, trial: true }),
            (vec![forbidden], Choice::Nobody),
            (vec![], Choice::Nobody),
            (vec![slow, unknown, slow], ask(1)),
        ];
        for (endpoints, expected) in cases {
            // Both lots of two endpoints draw both of them; of three, the second is among them.
            assert_eq!(choose(&endpoints, Balance::Latency, now, [0.5, 0.0]), expected, "{endpoints:?}");
        }
        assert_eq!(choose(&[slow, open()], Balance::Order, now, [0.9, 0.9]), ask(0));
    }

    proptest! {
        #[test]
        fn only_those_are_asked_that_may_be(
            kinds in proptest::collection::vec((0_u8..4, any::<bool>(), any::<bool>(), 0_u64..9), 0..6),
            lots in [0.0..1.0, 0.0..1.0],
        ) {
            let now = Instant::now();
            let later = now + Duration::from_secs(1);
            let endpoints: Vec<Seen> = kinds
                .into_iter()
                .map(|(access, allowed, fresh, in_flight)| Seen {
                    access: [Access::Open, Access::Trial, Access::Closed(later)][usize::from(access.min(2))],
                    allowed,
                    fresh,
                    in_flight,
                    ..open()
                })
                .collect();
            match choose(&endpoints, Balance::Latency, now, lots) {
                Choice::Ask { endpoint, trial } => {
                    let chosen = &endpoints[endpoint];
                    prop_assert!(chosen.allowed);
                    let expected = if trial { Access::Trial } else { Access::Open };
                    prop_assert_eq!(chosen.access, expected);
                    let fits = |seen: &Seen| seen.allowed && seen.fresh && seen.access == Access::Open;
                    prop_assert!(chosen.fresh || !endpoints.iter().any(fits));
                }
                Choice::Wait(until) => prop_assert_eq!(until, later),
                Choice::Nobody => prop_assert!(!endpoints.iter().any(|seen| seen.allowed)),
            }
        }
    }
}
