//! What was spent before this process began counts towards budgets, too: it is read from the log.

use std::sync::Arc;

use burnish_types::{Answerer, LanguageModel, RequestId, Store, Timestamp};

use crate::EngineError;
use crate::caching::was_planned;

/// Decisions that are read in one go.
const PAGE: usize = 1_000;

/// Counts the answers since the longest budget began, each towards the model that was planned for it.
pub(crate) fn count(
    store: &dyn Store,
    models: &[Arc<dyn LanguageModel>],
    now: Timestamp,
) -> Result<(), EngineError> {
    let Some(since) = models.iter().filter_map(|model| model.budgeted_since(now)).min() else {
        return Ok(());
    };
    let mut after = Some(RequestId::from_parts(since.0, 0));
    loop {
        let page = store.decision_log(after, PAGE)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.decision.id);
        // A kept answer asked nobody.
        for stored in page.iter().filter(|stored| was_planned(&stored.decision)) {
            let planned = stored.decision.choice().map(|choice| &choice.plan.answerer);
            let (Some(Answerer::Model(name)), Some(answer)) = (planned, &stored.answer) else { continue };
            if let Some(model) = models.iter().find(|model| model.name() == name) {
                model.count_earlier(stored.decision.at, answer.cost);
            }
        }
    }
}
