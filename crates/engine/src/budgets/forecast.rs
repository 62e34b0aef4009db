//! How many requests are still to come in a period: by how they were spread over the periods before, by how many have come,
//! and, for what comes next, by how many have come of late.

/// A period is looked at in so many parts: the hours of a day.
const PARTS: usize = 24;
/// Requests are counted over so many parts before it is said how often they come: a burst is not yet a rate.
const FIRST_LOOK: f64 = 0.12;
/// Requests come for so many parts as they have come of late.
const LASTS: f64 = 2.0;
/// How much of what was usual is kept where another period is over.
const KEPT: f32 = 0.5;
/// How much of the requests may come at any time, whatever was usual.
const ANY_TIME: f64 = 0.05;

/// Requests of one account by the part of the period.
#[derive(Clone, Debug)]
pub(super) struct Forecast {
    /// What was usual in the periods before; none before the first one is over.
    usual: Option<[f32; PARTS]>,
    counts: [u32; PARTS],
    /// Since when requests are counted, in parts.
    first: f64,
}

impl Forecast {
    /// One that begins where the share `place` of the period is over.
    pub(super) fn new(place: f64) -> Self {
        Self { usual: None, counts: [0; PARTS], first: place * PARTS as f64 }
    }

    /// A request comes where the share `place` of the period is over.
    pub(super) fn count(&mut self, place: f64) {
        if let Some(count) = self.counts.get_mut((place * PARTS as f64) as usize) {
            *count = count.saturating_add(1);
        }
    }

    /// The period is over.
    pub(super) fn turn(&mut self) {
        let seen = (PARTS as f64 - self.first).max(FIRST_LOOK);
        let mean = self.total() / seen;
        let mut usual = [0.0; PARTS];
        for (part, usual) in usual.iter_mut().enumerate() {
            // Before it was looked, it is taken to have been as after.
            let missed = (self.first - part as f64).clamp(0.0, 1.0);
            let now = self.counts[part] as f32 + (missed * mean) as f32;
            *usual = self.usual.map_or(now, |before| KEPT * before[part] + (1.0 - KEPT) * now);
        }
        *self = Self { usual: Some(usual), counts: [0; PARTS], first: 0.0 };
    }

    /// Requests that are expected where the share `place` of the period is over, the one at hand among them.
    pub(super) fn remaining(&self, place: f64) -> f64 {
        let now = place * PARTS as f64;
        let mean = self.expected(0.0, PARTS as f64) / PARTS as f64;
        let so_far = self.expected(self.first, now);
        // By how much more comes than is usual, on the whole and of late.
        let on_the_whole = match self.usual {
            Some(_) => (self.total() + mean) / (so_far + mean).max(f64::MIN_POSITIVE),
            None => self.total() / so_far.max(FIRST_LOOK),
        };
        let from = (now - 1.0).max(self.first);
        let little = mean / 4.0;
        let of_late = (self.counted(from, now) + little * on_the_whole)
            / (self.expected(from, now) + little).max(f64::MIN_POSITIVE);
        let soon = (now + LASTS).min(PARTS as f64);
        (of_late * self.expected(now, soon) + on_the_whole * self.expected(soon, PARTS as f64)).max(1.0)
    }

    fn total(&self) -> f64 {
        self.counts.iter().map(|count| f64::from(*count)).sum()
    }

    /// What has come between two places; a part is even in itself, the last one as far as it has come.
    fn counted(&self, from: f64, now: f64) -> f64 {
        let share = |part: usize| {
            let (begin, end) = (self.first.max(part as f64), now.min(part as f64 + 1.0));
            if end > begin { (end - from.max(begin)).max(0.0) / (end - begin) } else { 0.0 }
        };
        self.counts.iter().enumerate().map(|(part, count)| f64::from(*count) * share(part)).sum()
    }

    /// What is usual between two places; the same everywhere before anything is.
    fn expected(&self, from: f64, to: f64) -> f64 {
        let Some(usual) = self.usual else { return (to - from).max(0.0) };
        let mean = f64::from(usual.iter().sum::<f32>()) / PARTS as f64;
        let overlap = |part: usize| (to.min(part as f64 + 1.0) - from.max(part as f64)).max(0.0);
        let requests = |part: usize| (1.0 - ANY_TIME) * f64::from(usual[part]) + ANY_TIME * mean;
        (0..PARTS).map(|part| overlap(part) * requests(part)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts requests that come by `rate`, a part of a period, until `place`, and says what is expected then.
    fn after(forecast: &mut Forecast, rate: impl Fn(usize) -> usize, place: f64) -> f64 {
        let steps = 1_000;
        for step in 0..PARTS * steps {
            let at = step as f64 / (PARTS * steps) as f64;
            let per_part = rate(step / steps);
            if at < place && per_part > 0 && step % (steps / per_part) == 0 {
                forecast.count(at);
            }
        }
        forecast.remaining(place)
    }

    #[test]
    fn what_is_usual_comes_again_as_far_as_it_does() {
        let even = |_: usize| 100;
        let late = |part: usize| if part < 12 { 0 } else { 100 };
        let near =
            |found: f64, expected: f64| assert!((found / expected - 1.0).abs() < 0.05, "{found} {expected}");
        near(after(&mut Forecast::new(0.0), even, 0.25), 1_800.0);
        near(after(&mut Forecast::new(0.5), late, 0.75), 600.0);
        // Of the second period it is known where its requests come, and of the first it was not.
        near(after(&mut Forecast::new(0.0), late, 0.75), 307.0);
        let mut known = Forecast::new(0.0);
        after(&mut known, late, 1.0);
        known.turn();
        near(known.remaining(0.0), 1_200.0);
        near(after(&mut known.clone(), late, 0.75), 600.0);
        // Twice as many come as usual.
        near(after(&mut known.clone(), |part| 2 * late(part), 0.75), 1_180.0);
        // What was not looked at is taken to have been as what was.
        let mut half = Forecast::new(0.5);
        after(&mut half, late, 1.0);
        half.turn();
        near(half.remaining(0.0), 2_400.0);
        // One burst is no rate; nothing at all is one request, which asks.
        let mut burst = Forecast::new(0.1);
        (0..20).for_each(|_| burst.count(0.1));
        assert!(burst.remaining(0.1) < 20.0 / FIRST_LOOK * 22.0);
        assert_eq!(Forecast::new(0.0).remaining(1.0), 1.0);
    }
}
