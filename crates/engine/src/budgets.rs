//! Hard budgets of money for everyone, tenants, users and single requests: what a request may cost is set aside in all that
//! it counts towards, or in none, before it is sent. How dear money is, so that a budget lasts, is said by `pacing`.

mod account;
mod forecast;
mod pacing;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use burnish_types::{Clock, Money, Purse, Reservation, SharedPurse, Timestamp, UserContext};
use parking_lot::Mutex;

use crate::settings::{BudgetSettings, Who};

use account::{Account, Payer};

/// So many accounts are kept without a look at which of them are over.
const KEPT: usize = 1_024;

/// All budgets, and what is left of them.
#[derive(Debug)]
pub struct Budgets {
    settings: Vec<BudgetSettings>,
    book: Arc<Mutex<Book>>,
}

/// The accounts that anything was spent from, or chosen for.
#[derive(Debug)]
struct Book {
    accounts: HashMap<Payer, Account>,
    /// With so many accounts, those that are over are dropped.
    crowded: usize,
    /// The latest time that anybody came with.
    latest: Timestamp,
}

impl Budgets {
    /// Budgets of which nothing is spent.
    pub fn new(settings: Vec<BudgetSettings>) -> Self {
        let book = Book { accounts: HashMap::new(), crowded: KEPT, latest: Timestamp(0) };
        Self { settings, book: Arc::new(Mutex::new(book)) }
    }

    /// What a request of `user` is paid from, which may cost `own` at most with all its tries; none where nobody counts.
    pub fn purse(
        &self,
        user: &UserContext,
        own: Option<Money>,
        clock: &Arc<dyn Clock>,
    ) -> Option<SharedPurse> {
        let payers = self.payers(user);
        (!payers.is_empty() || own.is_some()).then(|| {
            let own = own.map(|most| Mutex::new(Own { most, taken: Money::ZERO }));
            SharedPurse::new(RequestPurse {
                payers,
                own,
                book: Arc::clone(&self.book),
                clock: Arc::clone(clock),
            })
        })
    }

    /// The most that a request of `user` could cost now; none where nobody counts.
    pub fn left(&self, user: &UserContext, now: Timestamp) -> Option<Money> {
        let mut book = self.book.lock();
        let now = book.at(now);
        self.payers(user).iter().map(|payer| book.left(payer, now)).min()
    }

    /// How much quality a US dollar is worth in a choice for `user`: 0 where money is no matter.
    pub fn worth_of_a_dollar(&self, user: &UserContext, now: Timestamp) -> f64 {
        let mut book = self.book.lock();
        let now = book.at(now);
        let payers = self.payers(user);
        let worth = payers.iter().filter_map(|payer| Some(book.known(payer, now)?.worth_of_a_dollar(now)));
        worth.fold(0.0, f64::max)
    }

    /// Takes a choice for `user` in: what quality is expected of it, and what cost.
    pub fn observe(&self, user: &UserContext, now: Timestamp, quality: f64, cost: Money) {
        let mut book = self.book.lock();
        let now = book.at(now);
        for payer in self.payers(user) {
            book.account(&payer, now).observe(now, quality, cost);
        }
    }

    /// The beginning of the longest period at `now`; none without a budget.
    pub(crate) fn since(&self, now: Timestamp) -> Option<Timestamp> {
        self.settings.iter().map(|budget| budget.period.around(now).0).min()
    }

    /// Counts what was spent at `at`, before this process began.
    pub(crate) fn count_earlier(&self, user: &UserContext, now: Timestamp, at: Timestamp, cost: Money) {
        let mut book = self.book.lock();
        let now = book.at(now);
        for payer in self.payers(user) {
            if payer.period.around(now) == payer.period.around(at) {
                book.account(&payer, now).count_earlier(cost);
            }
        }
    }

    /// Whether two users of one tenant may be paid for from different accounts.
    pub(crate) fn tell_users_apart(&self) -> bool {
        self.settings.iter().any(|budget| matches!(budget.who, Who::EachUser | Who::User(_)))
    }

    /// The accounts that a request of `user` counts towards.
    fn payers(&self, user: &UserContext) -> Vec<Payer> {
        let numbered = self.settings.iter().enumerate();
        numbered.filter_map(|(number, budget)| Payer::of(number, budget, user)).collect()
    }
}

impl Book {
    /// The time as all accounts go by it, which never goes back: what is set aside counts in a period that runs, though
    /// somebody with a later time came first, or the clock was set back.
    fn at(&mut self, now: Timestamp) -> Timestamp {
        self.latest = self.latest.max(now);
        self.latest
    }

    /// The account in the period of `now`, opened where there is none yet.
    fn account(&mut self, payer: &Payer, now: Timestamp) -> &mut Account {
        if self.accounts.len() >= self.crowded && !self.accounts.contains_key(payer) {
            self.accounts.retain(|_, account| !account.is_forgotten(now));
            self.crowded = KEPT.max(2 * self.accounts.len());
        }
        let account = self.accounts.entry(payer.clone()).or_insert_with(|| Account::new(payer, now));
        account.turn(now);
        account
    }

    /// As [`Self::account`], opening none.
    fn known(&mut self, payer: &Payer, now: Timestamp) -> Option<&mut Account> {
        let account = self.accounts.get_mut(payer)?;
        account.turn(now);
        Some(account)
    }

    fn left(&mut self, payer: &Payer, now: Timestamp) -> Money {
        self.known(payer, now).map_or(payer.most, |account| account.left())
    }
}

/// All that pays for one request.
struct RequestPurse {
    payers: Vec<Payer>,
    /// What the request itself may cost.
    own: Option<Mutex<Own>>,
    book: Arc<Mutex<Book>>,
    clock: Arc<dyn Clock>,
}

/// The budget of a single request.
struct Own {
    most: Money,
    /// Spent or set aside.
    taken: Money,
}

impl RequestPurse {
    /// The least that is left of any of its budgets.
    fn left_in(&self, book: &mut Book, now: Timestamp) -> Money {
        let left = self.payers.iter().map(|payer| book.left(payer, now));
        left.chain(self.left_of_own()).min().unwrap_or_default()
    }

    fn left_of_own(&self) -> Option<Money> {
        self.own.as_ref().map(|own| {
            let own = own.lock();
            own.most.saturating_sub(own.taken)
        })
    }

    /// Why not even `least` can be set aside: the words of the first budget that has less.
    fn refusal(&self, book: &mut Book, now: Timestamp, least: Money) -> String {
        for payer in &self.payers {
            let left = book.left(payer, now);
            if left < least {
                let seconds = payer.period.around(now).1.0.saturating_sub(now.0).div_ceil(1_000);
                let Payer { most, period, .. } = payer;
                return format!(
                    "{left} of {most} by the {period} are left for {payer}, and it takes {least} at least; it begins anew in \
                     {seconds} s"
                );
            }
        }
        let left = self.left_of_own().unwrap_or_default();
        format!("{left} are left of what this request may cost, and it takes {least} at least")
    }
}

impl Purse for RequestPurse {
    fn reserve(&self, least: Money, most: Money) -> Result<Reservation, String> {
        // Held to the end, so that nobody else takes what is found to be left.
        let mut book = self.book.lock();
        let now = book.at(self.clock.now());
        let most = most.min(self.left_in(&mut book, now));
        if most < least {
            return Err(self.refusal(&mut book, now, least));
        }
        self.payers.iter().for_each(|payer| book.account(payer, now).set_aside(most));
        if let Some(own) = &self.own {
            own.lock().taken += most;
        }
        Ok(Reservation { at: now, most })
    }

    fn settle(&self, reservation: Reservation, cost: Money) {
        let mut book = self.book.lock();
        for payer in &self.payers {
            if let Some(account) = book.accounts.get_mut(payer) {
                account.settle(reservation, cost);
            }
        }
        if let Some(own) = &self.own {
            let mut own = own.lock();
            own.taken = own.taken.saturating_sub(reservation.most) + cost;
        }
    }

    fn left(&self) -> Money {
        let mut book = self.book.lock();
        let now = book.at(self.clock.now());
        self.left_in(&mut book, now)
    }
}

impl fmt::Debug for RequestPurse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestPurse").field("payers", &self.payers).finish_non_exhaustive()
    }
}
