//! Who pays, how much, and never more than there is.

use std::sync::atomic::{AtomicU64, Ordering};

use burnish_types::Period;
use proptest::prelude::*;

use super::*;

const HOUR: u64 = 3_600_000;
const DAY: u64 = 24 * HOUR;

#[derive(Default)]
struct Set(AtomicU64);

impl Clock for Set {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}

fn clock(at: u64) -> (Arc<Set>, Arc<dyn Clock>) {
    let set = Arc::new(Set(AtomicU64::new(at)));
    (Arc::clone(&set), set)
}

fn micros(micros: u64) -> Money {
    Money::from_micros(micros)
}

fn budget(who: Who, most: u64, period: Period) -> BudgetSettings {
    BudgetSettings { who, most: micros(most), period }
}

fn user(tenant: &str, name: &str) -> UserContext {
    let named = |name: &str| (!name.is_empty()).then(|| name.to_owned());
    UserContext { tenant: named(tenant), user: named(name), ..UserContext::default() }
}

/// What is left for each of these after `ann` of `acme` has spent 10 of 100.
#[test]
fn a_budget_counts_whom_it_says() {
    let cases = [
        (Who::Everyone, [Some(90), Some(90), Some(90), Some(90)]),
        (Who::EachTenant, [Some(90), Some(90), Some(100), Some(100)]),
        (Who::EachUser, [Some(90), Some(100), Some(100), Some(100)]),
        (Who::Tenant("acme".to_owned()), [Some(90), Some(90), None, None]),
        (Who::User("ann".to_owned()), [Some(90), None, Some(100), None]),
    ];
    let asking = [user("acme", "ann"), user("acme", "bob"), user("other", "ann"), user("", "")];
    for (who, expected) in cases {
        let budgets = Budgets::new(vec![budget(who.clone(), 100, Period::Day)]);
        let (_, clock) = clock(5);
        let purse = budgets.purse(&asking[0], None, &clock).unwrap();
        let reservation = purse.reserve(micros(30), micros(30)).unwrap();
        assert_eq!(budgets.left(&asking[0], Timestamp(5)), Some(micros(70)));
        purse.settle(reservation, micros(10));
        let left = asking.each_ref().map(|user| budgets.left(user, Timestamp(5)).map(Money::micros));
        assert_eq!(left, expected, "{who:?}");
        let purses = asking.each_ref().map(|user| budgets.purse(user, None, &clock).is_some());
        assert_eq!(purses, expected.map(|left| left.is_some()), "{who:?}");
    }
    assert!(Budgets::new(Vec::new()).purse(&asking[0], None, &clock(5).1).is_none());
}

#[test]
fn a_request_that_names_nobody_counts_too() {
    let budgets = Budgets::new(vec![budget(Who::EachUser, 100, Period::Day)]);
    let purse = budgets.purse(&user("", ""), None, &clock(0).1).unwrap();
    purse.reserve(micros(60), micros(60)).unwrap();
    let again = budgets.purse(&user("", ""), None, &clock(0).1).unwrap();
    let said = again.reserve(micros(41), micros(50)).unwrap_err();
    assert!(said.contains("users without a name of whoever names no tenant"), "{said}");
}

#[test]
fn all_budgets_pay_or_none() {
    let budgets = Budgets::new(vec![
        budget(Who::Everyone, 1_000, Period::Day),
        budget(Who::EachTenant, 100, Period::Hour),
        budget(Who::User("ann".to_owned()), 500, Period::Month),
    ]);
    let (set, clock) = clock(DAY + 5 * HOUR + 1);
    let ann = user("acme", "ann");
    let left = |user: &UserContext, at: u64| budgets.left(user, Timestamp(at)).unwrap().micros();
    let purse = budgets.purse(&ann, Some(micros(130)), &clock).unwrap();
    let said = purse.reserve(micros(101), micros(500)).unwrap_err();
    assert_eq!(
        said,
        "$0.000100 of $0.000100 by the hour are left for the tenant `acme`, and it takes $0.000101 at least; it begins anew in \
         3600 s"
    );
    assert_eq!((left(&ann, set.0.load(Ordering::Relaxed)), purse.left()), (100, micros(100)));
    let first = purse.reserve(micros(1), micros(500)).unwrap();
    assert_eq!((first.most, purse.left()), (micros(100), Money::ZERO));
    // In the next hour the tenant has money again, and the request itself has not.
    set.0.fetch_add(HOUR, Ordering::Relaxed);
    let second = purse.reserve(micros(1), micros(500)).unwrap();
    assert_eq!(second.most, micros(30));
    let said = purse.reserve(micros(1), micros(1)).unwrap_err();
    assert_eq!(said, "$0.000000 are left of what this request may cost, and it takes $0.000001 at least");
    // What was set aside in the first hour makes no room in the second one, but does in the day.
    purse.settle(first, micros(20));
    assert_eq!(purse.left(), micros(70));
    purse.settle(second, micros(30));
    let other = user("other", "bob");
    assert_eq!(left(&other, set.0.load(Ordering::Relaxed)), 100);
    let book = budgets.book.lock();
    let mut left: Vec<u64> = book.accounts.values().map(|account| account.left().micros()).collect();
    left.sort_unstable();
    assert_eq!(left, [70, 450, 950]);
}

#[test]
fn a_clock_that_is_set_back_begins_nothing_anew_and_holds_nothing_back() {
    let budgets = Budgets::new(vec![budget(Who::Everyone, 100, Period::Hour)]);
    let (set, clock) = clock(HOUR);
    let purse = budgets.purse(&user("acme", "ann"), None, &clock).unwrap();
    purse.reserve(micros(90), micros(90)).unwrap();
    set.0.store(HOUR - 1, Ordering::Relaxed);
    let reservation = purse.reserve(micros(10), micros(20)).unwrap();
    assert_eq!((reservation.most, purse.left()), (micros(10), Money::ZERO));
    purse.settle(reservation, micros(3));
    assert_eq!(purse.left(), micros(7));
}

#[test]
fn what_was_spent_before_counts_in_its_period() {
    let budgets = Budgets::new(vec![
        budget(Who::EachTenant, 100, Period::Day),
        budget(Who::Tenant("acme".to_owned()), 1_000, Period::Month),
    ]);
    let now = Timestamp(3 * DAY + HOUR);
    assert_eq!(budgets.since(now), Some(Timestamp(0)));
    let ann = user("acme", "ann");
    for (at, cost) in [(3 * DAY, 40), (3 * DAY - 1, 50)] {
        budgets.count_earlier(&ann, now, Timestamp(at), micros(cost));
    }
    assert_eq!(budgets.left(&ann, now), Some(micros(60)));
    assert_eq!(budgets.left(&user("other", "ann"), now), Some(micros(100)));
    assert_eq!(budgets.left(&ann, Timestamp(4 * DAY)), Some(micros(100)));
}

#[test]
fn accounts_that_are_over_are_dropped() {
    let budgets = Budgets::new(vec![budget(Who::EachUser, 100, Period::Minute)]);
    let (set, clock) = clock(0);
    let mut most = 0;
    for number in 0..50 * KEPT as u64 {
        set.0.store(number * 100, Ordering::Relaxed);
        let purse = budgets.purse(&user("acme", &number.to_string()), None, &clock).unwrap();
        purse.reserve(micros(1), micros(1)).unwrap();
        most = most.max(budgets.book.lock().accounts.len());
    }
    // Of two minutes there are 1,200.
    assert!(most <= 2 * (1_200 + KEPT), "{most}");
}

/// What a process before this one has spent says nothing of what choices cost.
#[test]
fn money_is_as_dear_after_a_restart_as_with_what_is_left() {
    let half = DAY / 2;
    let worth = |most: u64, earlier: u64| {
        let budgets = Budgets::new(vec![budget(Who::Everyone, most, Period::Day)]);
        let (set, clock) = clock(half);
        let ann = user("acme", "ann");
        budgets.count_earlier(&ann, Timestamp(half), Timestamp(half - 1), micros(earlier));
        let (most, purse) = (micros(2_000), budgets.purse(&ann, None, &clock).unwrap());
        for minute in 0..300 {
            let now = Timestamp(half + minute * 60_000);
            set.0.store(now.0, Ordering::Relaxed);
            budgets.observe(&ann, now, 0.5, most);
            let reservation = purse.reserve(most, most).unwrap();
            purse.settle(reservation, most);
        }
        budgets.worth_of_a_dollar(&ann, Timestamp(half + 300 * 60_000))
    };
    let (after, fresh) = (worth(2_000_000, 1_200_000), worth(800_000, 0));
    assert!(fresh > 10.0 && (after / fresh - 1.0).abs() < 0.02, "{after} and {fresh}");
    assert_eq!(worth(20_000_000, 0), 0.0);
}

proptest! {
    #[test]
    fn no_budget_is_ever_overstepped(
        caps in (0_u64..500, 0_u64..500, 0_u64..500, 0_u64..500),
        tries in proptest::collection::vec((0_usize..4, 0_u64..100, 0_u64..200, 0_u64..101, any::<bool>(), 0_u64..HOUR), 0..150),
    ) {
        let budgets = Budgets::new(vec![
            budget(Who::Everyone, caps.0, Period::Day),
            budget(Who::EachTenant, caps.1, Period::Hour),
            budget(Who::EachUser, caps.2, Period::Hour),
        ]);
        let (set, clock) = clock(0);
        let users = [user("a", "x"), user("a", "y"), user("b", "x"), user("", "")];
        let purses = users.each_ref().map(|user| budgets.purse(user, Some(micros(caps.3)), &clock).unwrap());
        let mut open = Vec::new();
        // By when and for whom.
        let mut spent: Vec<(u64, usize, u64)> = Vec::new();
        for (who, least, more, share, settles, pause) in tries {
            let now = set.0.fetch_add(pause / 8, Ordering::Relaxed) + pause / 8;
            let left = purses[who].left();
            match purses[who].reserve(micros(least), micros(least + more)) {
                Ok(reservation) => {
                    prop_assert_eq!(reservation.most, left.min(micros(least + more)));
                    open.push((who, reservation, reservation.most.micros() * share / 100));
                }
                Err(_) => prop_assert!(left < micros(least)),
            }
            if settles && !open.is_empty() {
                let (who, reservation, cost) = open.remove(open.len() / 2);
                purses[who].settle(reservation, micros(cost));
                spent.push((reservation.at.0, who, cost));
            }
            let sum = |counts: &dyn Fn(u64, usize) -> bool| -> u64 {
                let settled = spent.iter().copied();
                let reserved = open.iter().map(|(who, reservation, _)| (reservation.at.0, *who, reservation.most.micros()));
                settled.chain(reserved).filter(|(at, who, _)| counts(*at, *who)).map(|(_, _, cost)| cost).sum()
            };
            let of = |who: usize| (users[who].tenant.clone(), users[who].user.clone());
            prop_assert!(sum(&|at, _| at / DAY == now / DAY) <= caps.0);
            prop_assert!(sum(&|at, one| at / HOUR == now / HOUR && of(one).0 == of(who).0) <= caps.1);
            prop_assert!(sum(&|at, one| at / HOUR == now / HOUR && of(one) == of(who)) <= caps.2);
            prop_assert!(sum(&|_, one| one == who) <= caps.3);
        }
    }
}
