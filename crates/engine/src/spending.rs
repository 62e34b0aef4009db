//! What was spent before this process began counts towards budgets, too: it is read from the log.

use std::sync::Arc;

use burnish_types::{Answerer, LanguageModel, RequestId, Store, Timestamp};

use crate::caching::was_planned;
use crate::{EngineError, log};

/// Counts the answers since the longest budget began, each towards the model that was planned for it.
pub(crate) fn count(
    store: &dyn Store,
    models: &[Arc<dyn LanguageModel>],
    now: Timestamp,
) -> Result<(), EngineError> {
    let Some(since) = models.iter().filter_map(|model| model.budgeted_since(now)).min() else {
        return Ok(());
    };
    for stored in log::decisions(store, Some(RequestId::from_parts(since.0, 0))) {
        let stored = stored?;
        let planned = stored.decision.choice().map(|choice| &choice.plan.answerer);
        let (Some(Answerer::Model(name)), Some(answer)) = (planned, &stored.answer) else { continue };
        // A kept answer asked nobody.
        if let Some(model) = models.iter().find(|model| model.name() == name)
            && was_planned(&stored.decision)
        {
            model.count_earlier(stored.decision.at, answer.cost);
        }
    }
    Ok(())
}
