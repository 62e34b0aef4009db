//! What was spent before this process began counts towards budgets, too: it is read from the log.

use std::sync::Arc;

use burnish_types::{LanguageModel, Money, RequestId, Spending, Store, Timestamp, Usage};

use crate::{Budgets, EngineError, log};

/// Counts every try since the longest budget began, towards the model that was tried and whoever asked.
pub(crate) fn count(
    store: &dyn Store,
    models: &[Arc<dyn LanguageModel>],
    budgets: &Budgets,
    now: Timestamp,
) -> Result<(), EngineError> {
    let of_models = models.iter().filter_map(|model| model.budgeted_since(now));
    let Some(since) = of_models.chain(budgets.since(now)).min() else {
        return Ok(());
    };
    for stored in log::decisions(store, Some(RequestId::from_parts(since.0, 0))) {
        let stored = stored?;
        let tries = stored.answer.iter().flat_map(|answer| &answer.spent);
        for Spending { model: name, usage, cost } in tries {
            // Whoever was given what another had asked for paid nothing.
            if *usage == Usage::default() && *cost == Some(Money::ZERO) {
                continue;
            }
            let at = stored.decision.at;
            if let Some(model) = models.iter().find(|model| model.name() == name) {
                model.count_earlier(at, *cost);
            }
            budgets.count_earlier(&stored.decision.user, now, at, cost.unwrap_or_default());
        }
    }
    Ok(())
}
