//! Hard budgets of money and requests: what a try may cost at most is reserved before it is sent, and settled once its
//! usage is known, so that no number of requests at one time oversteps them.

use std::fmt;

use burnish_types::{Money, Timestamp};

const MINUTE_MS: u64 = 60_000;
const HOUR_MS: u64 = 60 * MINUTE_MS;
const DAY_MS: u64 = 24 * HOUR_MS;

/// Over what a budget counts; each period begins anew, by UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Period {
    /// From minute to minute.
    Minute,
    /// From hour to hour.
    Hour,
    /// From midnight to midnight.
    Day,
    /// From the first of a month to the next one's.
    Month,
}

impl Period {
    /// The names that settings use.
    pub const NAMES: [(&'static str, Self); 4] =
        [("minute", Self::Minute), ("hour", Self::Hour), ("day", Self::Day), ("month", Self::Month)];

    /// The first moment of the period that `at` lies in, and that of the next one.
    fn around(self, at: Timestamp) -> (Timestamp, Timestamp) {
        let every = |ms: u64| {
            let start = at.0 - at.0 % ms;
            (Timestamp(start), Timestamp(start + ms))
        };
        match self {
            Self::Minute => every(MINUTE_MS),
            Self::Hour => every(HOUR_MS),
            Self::Day => every(DAY_MS),
            Self::Month => {
                let (year, month) = month_of(at.0 / DAY_MS);
                let next = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
                (
                    Timestamp(days_before(year, month) * DAY_MS),
                    Timestamp(days_before(next.0, next.1) * DAY_MS),
                )
            }
        }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, period)| period == self).map_or("", |(name, _)| name);
        f.write_str(name)
    }
}

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

/// What was set aside for one try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Reservation {
    at: Timestamp,
    most: Money,
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

/// Year and month of a day after 1970-01-01 in the Gregorian calendar (Hinnant, *chrono-Compatible Low-Level Date
/// Algorithms*, `civil_from_days`).
fn month_of(day: u64) -> (u64, u64) {
    let day = day + 719_468;
    let (era, day) = (day / 146_097, day % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    if month < 10 { (era * 400 + year, month + 3) } else { (era * 400 + year + 1, month - 9) }
}

/// Days from 1970-01-01 to the first of a month (`days_from_civil` of the same).
fn days_before(year: u64, month: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let (era, year) = (year / 400, year % 400);
    era * 146_097 + year * 365 + year / 4 - year / 100 + (153 * month + 2) / 5 - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn money(micros: u64) -> Money {
        Money::from_micros(micros)
    }

    #[test]
    fn periods_begin_where_the_calendar_says() {
        // 2024-02-29T12:34:56.789Z, and December, where the year ends.
        let leap = Timestamp(1_709_210_096_789);
        let cases = [
            (Period::Minute, leap, 1_709_210_040_000, 1_709_210_100_000),
            (Period::Hour, leap, 1_709_208_000_000, 1_709_211_600_000),
            (Period::Day, leap, 1_709_164_800_000, 1_709_251_200_000),
            (Period::Month, leap, 1_706_745_600_000, 1_709_251_200_000),
            (Period::Month, Timestamp(1_766_000_000_000), 1_764_547_200_000, 1_767_225_600_000),
            (Period::Month, Timestamp(0), 0, 2_678_400_000),
        ];
        for (period, at, since, until) in cases {
            assert_eq!(period.around(at), (Timestamp(since), Timestamp(until)), "{period} of {}", at.0);
        }
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
