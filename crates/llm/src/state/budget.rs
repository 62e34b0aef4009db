//! Hard budgets of money and requests: what a try may cost at most is reserved before it is sent, and settled once its
//! usage is known, so that no number of requests at one time oversteps them.

use burnish_types::{Money, Period, Reservation, Timestamp};

/// The most that may be spent in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    /// So much money.
    Money(Money),
    /// So many requests to the provider, retries among them.
    Requests(u64),
}

/// A hard budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The most.
    pub cap: Cap,
    /// In which time.
    pub period: Period,
}

/// What is spent and set aside.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    accounts: Vec<Account>,
}

#[derive(Clone, Debug)]
struct Account {
    budget: Budget,
    since: Timestamp,
    until: Timestamp,
    /// Spent or set aside: micro-units of money, or requests.
    taken: u64,
}

impl Ledger {
    pub(crate) fn new(budgets: &[Budget]) -> Self {
        let account =
            |budget: &Budget| Account { budget: *budget, since: Timestamp(0), until: Timestamp(0), taken: 0 };
        Self { accounts: budgets.iter().map(account).collect() }
    }

    /// Whether money is counted.
    pub(crate) fn counts_money(&self) -> bool {
        self.accounts.iter().any(|account| matches!(account.budget.cap, Cap::Money(_)))
    }

    /// Sets aside one request that costs `most` at most, in every budget or in none.
    ///
    /// # Errors
    /// Which budget does not allow it.
    pub(crate) fn reserve(&mut self, now: Timestamp, most: Money) -> Result<Reservation, String> {
        for account in &mut self.accounts {
            account.turn(now);
            let (cap, needed, left) = match account.budget.cap {
                Cap::Money(cap) => {
                    (cap.micros(), most.micros(), cap.saturating_sub(account.money()).to_string())
                }
                Cap::Requests(cap) => (cap, 1, cap.saturating_sub(account.taken).to_string()),
            };
            if account.taken.saturating_add(needed) > cap {
                let seconds = account.until.0.saturating_sub(now.0).div_ceil(1_000);
                let period = account.budget.period;
                return Err(match account.budget.cap {
                    Cap::Money(cap) => format!(
                        "{left} of {cap} a {period} are left, and the request may cost {most}; it begins anew in {seconds} s"
                    ),
                    Cap::Requests(cap) => {
                        format!("{left} of {cap} requests a {period} are left; it begins anew in {seconds} s")
                    }
                });
            }
        }
        self.accounts.iter_mut().for_each(|account| account.add(1, most));
        Ok(Reservation { at: now, most })
    }

    /// Puts what a try did cost in the place of what was set aside for it.
    pub(crate) fn settle(&mut self, reservation: Reservation, cost: Money) {
        for account in &mut self.accounts {
            let Cap::Money(_) = account.budget.cap else { continue };
            // What was set aside in a period that is over counted there.
            if account.covers(reservation.at) {
                account.taken = account.taken.saturating_sub(reservation.most.micros());
                account.taken = account.taken.saturating_add(cost.micros());
            }
        }
    }

    /// The beginning of the longest period at `now`; none without a budget.
    pub(crate) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.accounts.iter().map(|account| account.budget.period.around(now).0).min()
    }

    /// Counts a request that was made at `at`, before this process began.
    pub(crate) fn count_earlier(&mut self, now: Timestamp, at: Timestamp, cost: Money) {
        for account in &mut self.accounts {
            account.turn(now);
            if account.covers(at) {
                account.add(1, cost);
            }
        }
    }
}

impl Account {
    /// Begins anew where the period is over. A clock that is set back begins nothing anew.
    fn turn(&mut self, now: Timestamp) {
        if now >= self.until {
            (self.since, self.until) = self.budget.period.around(now);
            self.taken = 0;
        }
    }

    fn covers(&self, at: Timestamp) -> bool {
        (self.since..self.until).contains(&at)
    }

    fn add(&mut self, requests: u64, cost: Money) {
        let more = match self.budget.cap {
            Cap::Money(_) => cost.micros(),
            Cap::Requests(_) => requests,
        };
        self.taken = self.taken.saturating_add(more);
    }

    fn money(&self) -> Money {
        Money::from_micros(self.taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MINUTE_MS: u64 = 60_000;
    const DAY_MS: u64 = 86_400_000;

    fn money(micros: u64) -> Money {
        Money::from_micros(micros)
    }

    #[test]
    fn budgets_hold_and_begin_anew() {
        let day = Budget { cap: Cap::Money(money(100)), period: Period::Day };
        let minute = Budget { cap: Cap::Requests(2), period: Period::Minute };
        let mut ledger = Ledger::new(&[day, minute]);
        let at = |ms| Timestamp(20_000 * DAY_MS + ms);
        let first = ledger.reserve(at(0), money(60)).unwrap();
        let said = ledger.reserve(at(1), money(41)).unwrap_err();
        assert!(said.contains("$0.000040 of $0.000100 a day are left"), "{said}");
        ledger.settle(first, money(10));
        ledger.reserve(at(2), money(90)).unwrap();
        let said = ledger.reserve(at(3), money(0)).unwrap_err();
        assert!(said.contains("0 of 2 requests a minute are left; it begins anew in 60 s"), "{said}");
        assert!(ledger.reserve(at(MINUTE_MS), money(1)).is_err(), "the money of the day is spent");
        assert!(ledger.reserve(at(DAY_MS), money(100)).is_ok());
        // What was set aside yesterday does not make room today.
        ledger.settle(first, money(0));
        assert!(ledger.reserve(at(DAY_MS + 1), money(1)).is_err());
        let mut again = Ledger::new(&[day, minute]);
        again.count_earlier(at(50), at(10), money(70));
        again.count_earlier(at(50), Timestamp(at(0).0 - 1), money(70));
        assert!(again.reserve(at(60), money(31)).is_err() && again.reserve(at(60), money(30)).is_ok());
        assert_eq!(again.since(at(60)), Some(at(0)));
    }

    proptest! {
        #[test]
        fn what_was_spent_never_oversteps(
            cap in 0_u64..1_000,
            tries in proptest::collection::vec((0_u64..200, 0_u64..200, any::<bool>()), 0..100),
        ) {
            let budget = Budget { cap: Cap::Money(money(cap)), period: Period::Day };
            let mut ledger = Ledger::new(&[budget]);
            let (mut open, mut spent) = (Vec::new(), 0);
            for (most, share, settles) in tries {
                if let Ok(reservation) = ledger.reserve(Timestamp(5), money(most)) {
                    open.push((reservation, most * share.min(100) / 100));
                }
                if settles && !open.is_empty() {
                    let (reservation, cost) = open.remove(0);
                    ledger.settle(reservation, money(cost));
                    spent += cost;
                }
                let under_way: u64 = open.iter().map(|(_, cost)| cost).sum();
                prop_assert!(spent + under_way <= cap);
            }
        }
    }
}
