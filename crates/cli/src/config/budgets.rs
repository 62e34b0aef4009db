//! `[[budgets]]`: what may be spent for everyone, tenants and users.

use anyhow::{Result, bail};
use burnish_engine::{BudgetSettings, Who};
use burnish_llm::ModelSettings;
use burnish_types::Period;
use serde::Deserialize;

use super::money;

/// A budget as it was written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct RawBudget {
    who: Option<String>,
    tenant: Option<String>,
    user: Option<String>,
    usd: Option<f64>,
    period: Option<String>,
}

/// Budgets in types that cannot be wrong, for these models.
pub(super) fn validate(raw: Vec<RawBudget>, models: &[ModelSettings]) -> Result<Vec<BudgetSettings>> {
    let mut budgets: Vec<BudgetSettings> = Vec::new();
    for raw in raw {
        let budget = validate_one(&raw)?;
        let BudgetSettings { who, period, .. } = &budget;
        if budgets.iter().any(|known| known.who == *who && known.period == *period) {
            bail!("budgets: two of {} begin anew with each {period}; write one of them", name(who));
        }
        if let Some(model) = models.iter().find(|model| model.price.is_none())
            && counts_all(who)
        {
            bail!(
                "budgets: the model `{}` has no price, so that nobody knows what it takes of the budget of {}; set \
                 input_usd_per_million and output_usd_per_million, to 0 where it is free",
                model.name,
                name(who)
            );
        }
        budgets.push(budget);
    }
    Ok(budgets)
}

fn validate_one(raw: &RawBudget) -> Result<BudgetSettings> {
    let who = who(raw)?;
    let name = name(&who);
    let Some(usd) = raw.usd else {
        bail!("budgets: that of {name} has no usd; write the most that may be spent, like 20.0");
    };
    let periods = Period::NAMES.map(|(name, _)| name).join(", ");
    let Some(written) = &raw.period else {
        bail!("budgets: that of {name} has no period; write one of {periods}");
    };
    let Some((_, period)) = Period::NAMES.into_iter().find(|(known, _)| known == written) else {
        bail!("budgets: the period `{written}` of {name} is none of {periods}");
    };
    let most = money(&format!("budgets: usd of {name}"), usd)?;
    Ok(BudgetSettings { who, most, period })
}

fn who(raw: &RawBudget) -> Result<Who> {
    let who = match (raw.who.as_deref(), &raw.tenant, &raw.user) {
        (Some("everyone"), None, None) => Who::Everyone,
        (Some("each tenant"), None, None) => Who::EachTenant,
        (Some("each user"), None, None) => Who::EachUser,
        (Some(other), None, None) => {
            bail!("budgets: who: `{other}` is none of everyone, each tenant, each user")
        }
        (None, Some(tenant), None) => Who::Tenant(tenant.clone()),
        (None, None, Some(user)) => Who::User(user.clone()),
        _ => bail!(
            "budgets: each says by one of who, tenant and user for whom it is, like who = \"each tenant\" or \
             tenant = \"acme\""
        ),
    };
    Ok(who)
}

/// Whether no request is without this budget.
fn counts_all(who: &Who) -> bool {
    matches!(who, Who::Everyone | Who::EachTenant | Who::EachUser)
}

fn name(who: &Who) -> String {
    match who {
        Who::Everyone => "everyone".to_owned(),
        Who::EachTenant => "each tenant".to_owned(),
        Who::EachUser => "each user".to_owned(),
        Who::Tenant(tenant) => format!("the tenant `{tenant}`"),
        Who::User(user) => format!("the user `{user}`"),
    }
}

#[cfg(test)]
mod tests {
    use burnish_types::Money;

    use super::*;

    #[derive(Deserialize)]
    struct File {
        budgets: Vec<RawBudget>,
    }

    fn read(text: &str, models: &[ModelSettings]) -> Result<Vec<BudgetSettings>> {
        validate(toml::from_str::<File>(text)?.budgets, models)
    }

    #[test]
    fn budgets_say_whose_they_are() {
        let cases = [
            ("who = \"everyone\"", Who::Everyone),
            ("who = \"each tenant\"", Who::EachTenant),
            ("who = \"each user\"", Who::EachUser),
            ("tenant = \"acme\"", Who::Tenant("acme".to_owned())),
            ("user = \"ann\"", Who::User("ann".to_owned())),
        ];
        let unpriced = ModelSettings::new("m", "http://a", "x");
        for (text, who) in cases {
            let text = format!("[[budgets]]\n{text}\nusd = 1.5\nperiod = \"day\"");
            let expected =
                BudgetSettings { who: who.clone(), most: Money::from_micros(1_500_000), period: Period::Day };
            assert_eq!(read(&text, &[]).unwrap(), [expected]);
            let refused = read(&text, std::slice::from_ref(&unpriced));
            assert_eq!(refused.is_err(), counts_all(&who), "{who:?} with a model that has no price");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        let cases = [
            ("usd = 1\nperiod = \"day\"", "one of who, tenant and user"),
            (
                "who = \"everyone\"\ntenant = \"acme\"\nusd = 1\nperiod = \"day\"",
                "one of who, tenant and user",
            ),
            ("who = \"nobody\"\nusd = 1\nperiod = \"day\"", "none of everyone, each tenant, each user"),
            ("who = \"everyone\"\nperiod = \"day\"", "everyone has no usd"),
            ("tenant = \"acme\"\nusd = 1", "the tenant `acme` has no period; write one of minute, hour"),
            ("user = \"ann\"\nusd = 1\nperiod = \"year\"", "the period `year` of the user `ann` is none of"),
            ("who = \"each user\"\nusd = -1\nperiod = \"day\"", "usd of each user: -1 is not between"),
            ("who = \"everyone\"\nrequests = 1\nperiod = \"day\"", "requests"),
            (
                "who = \"everyone\"\nusd = 1\nperiod = \"day\"\n[[budgets]]\nwho = \"everyone\"\nusd = 2\nperiod = \"day\"",
                "two of everyone begin anew with each day",
            ),
        ];
        for (text, expected) in cases {
            let error = format!("{:#}", read(&format!("[[budgets]]\n{text}"), &[]).unwrap_err());
            assert!(error.contains(expected), "{text:?} gave {error:?}");
        }
    }
}
