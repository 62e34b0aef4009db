//! One budget of one payer: what is spent and set aside in the period that runs.

use std::fmt;

use burnish_types::{Money, Period, Reservation, Timestamp, UserContext};

use crate::settings::{BudgetSettings, Who};

use super::pacing::{Pacing, Standing};

/// Who pays, and what for a budget there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Payer {
    /// The place of the budget in the settings.
    number: usize,
    /// Whose it is; nobody's in particular where it is everyone's.
    whose: Whose,
    pub(super) most: Money,
    pub(super) period: Period,
}

/// Whom an account belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Whose {
    Everyone,
    Tenant(Option<String>),
    User { tenant: Option<String>, user: Option<String> },
}

impl Payer {
    /// Who pays for `user` from a budget; none where it does not count such requests.
    pub(super) fn of(number: usize, budget: &BudgetSettings, user: &UserContext) -> Option<Self> {
        let (tenant, name) = (&user.tenant, &user.user);
        let whose = match &budget.who {
            Who::Everyone => Whose::Everyone,
            Who::EachTenant => Whose::Tenant(tenant.clone()),
            Who::Tenant(one) if Some(one) == tenant.as_ref() => Whose::Tenant(tenant.clone()),
            Who::EachUser => Whose::User { tenant: tenant.clone(), user: name.clone() },
            Who::User(one) if Some(one) == name.as_ref() => {
                Whose::User { tenant: tenant.clone(), user: name.clone() }
            }
            Who::Tenant(_) | Who::User(_) => return None,
        };
        Some(Self { number, whose, most: budget.most, period: budget.period })
    }
}

impl fmt::Display for Payer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenant = |tenant: &Option<String>| match tenant {
            Some(name) => format!("the tenant `{name}`"),
            None => "whoever names no tenant".to_owned(),
        };
        match &self.whose {
            Whose::Everyone => f.write_str("everyone"),
            Whose::Tenant(name) => f.write_str(&tenant(name)),
            Whose::User { tenant: of, user: Some(name) } => write!(f, "the user `{name}` of {}", tenant(of)),
            Whose::User { tenant: of, user: None } => write!(f, "users without a name of {}", tenant(of)),
        }
    }
}

/// What a payer has spent and set aside.
#[derive(Clone, Debug)]
pub(super) struct Account {
    most: Money,
    period: Period,
    since: Timestamp,
    until: Timestamp,
    spent: Money,
    /// For tries that are under way.
    set_aside: Money,
    pacing: Pacing,
}

impl Account {
    pub(super) fn new(payer: &Payer, now: Timestamp) -> Self {
        let (since, until) = payer.period.around(now);
        Self {
            most: payer.most,
            period: payer.period,
            since,
            until,
            spent: Money::ZERO,
            set_aside: Money::ZERO,
            pacing: Pacing::new(share(since, now, until)),
        }
    }

    /// Begins anew where the period is over.
    pub(super) fn turn(&mut self, now: Timestamp) {
        if now >= self.until {
            self.pacing.turn();
            (self.since, self.until) = self.period.around(now);
            (self.spent, self.set_aside) = (Money::ZERO, Money::ZERO);
        }
    }

    /// Whether a whole period has passed in which nobody used it.
    pub(super) fn is_forgotten(&self, now: Timestamp) -> bool {
        let length = self.until.0 - self.since.0;
        now.0 >= self.until.0.saturating_add(length)
    }

    pub(super) fn left(&self) -> Money {
        self.most.saturating_sub(self.spent + self.set_aside)
    }

    pub(super) fn set_aside(&mut self, most: Money) {
        self.set_aside += most;
    }

    /// Counts what was spent before this process began.
    pub(super) fn count_earlier(&mut self, cost: Money) {
        self.spent += cost;
        self.pacing.spent_earlier(cost);
    }

    /// Puts a cost in the place of what was set aside; in a period that is over, it counted there.
    pub(super) fn settle(&mut self, reservation: Reservation, cost: Money) {
        if (self.since..self.until).contains(&reservation.at) {
            self.set_aside = self.set_aside.saturating_sub(reservation.most);
            self.spent += cost;
        }
    }

    pub(super) fn worth_of_a_dollar(&self, now: Timestamp) -> f64 {
        self.pacing.worth_of_a_dollar(self.standing(now))
    }

    pub(super) fn observe(&mut self, now: Timestamp, quality: f64, cost: Money) {
        self.pacing.observe(self.standing(now), quality, cost);
    }

    fn standing(&self, now: Timestamp) -> Standing {
        let place = share(self.since, now, self.until);
        Standing { most: self.most, spent: self.spent, left: self.left(), place }
    }
}

/// How much of the time from `since` to `until` is over.
fn share(since: Timestamp, now: Timestamp, until: Timestamp) -> f64 {
    let whole = until.0.saturating_sub(since.0).max(1) as f64;
    (now.0.saturating_sub(since.0) as f64 / whole).min(1.0)
}
