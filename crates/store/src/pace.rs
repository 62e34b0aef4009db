//! How long work that is done in groups waits for a group to gather.

use std::thread;
use std::time::{Duration, Instant};

/// Keeps a distance between groups, as long as they are groups.
pub(crate) struct Pace {
    distance: Duration,
    /// When the next group may begin.
    next: Option<Instant>,
}

impl Pace {
    pub(crate) fn new(distance: Duration) -> Self {
        Self { distance, next: None }
    }

    /// Waits until the next group may begin.
    pub(crate) fn wait(&self) {
        if let Some(next) = self.next {
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
    }

    /// A group of so many begins. One that comes alone keeps nobody waiting.
    pub(crate) fn begin(&mut self, members: usize) {
        self.next = (members > 1).then(|| Instant::now() + self.distance);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_are_kept_apart() {
        let mut pace = Pace::new(Duration::from_secs(3_600));
        for _ in 0..3 {
            pace.begin(1);
            pace.wait();
        }
        let mut pace = Pace::new(Duration::from_millis(20));
        let started = Instant::now();
        pace.begin(2);
        pace.wait();
        assert!(started.elapsed() >= Duration::from_millis(20));
    }
}
