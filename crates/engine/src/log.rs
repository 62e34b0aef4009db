//! The store's logs, read page by page.

use burnish_types::{LoggedOutcome, RequestId, Store, StoreError, StoredDecision};

/// Records that are read in one go.
const PAGE: usize = 1_000;

/// Decisions in the order of time, after `after`. A failure ends it.
pub(crate) fn decisions(
    store: &dyn Store,
    after: Option<RequestId>,
) -> impl Iterator<Item = Result<StoredDecision, StoreError>> {
    paged(after, |after| store.decision_log(after, PAGE), |stored| Some(stored.decision.id))
}

/// Outcomes in the order in which they were recorded, after the `after`th. A failure ends it.
pub(crate) fn outcomes(
    store: &dyn Store,
    after: u64,
) -> impl Iterator<Item = Result<LoggedOutcome, StoreError>> {
    paged(after, |after| store.outcome_log(after, PAGE), |logged| logged.position)
}

fn paged<T, At: Copy>(
    mut after: At,
    read: impl Fn(At) -> Result<Vec<T>, StoreError>,
    place: impl Fn(&T) -> At,
) -> impl Iterator<Item = Result<T, StoreError>> {
    let mut page = Vec::new().into_iter();
    let mut over = false;
    std::iter::from_fn(move || {
        if let Some(record) = page.next() {
            return Some(Ok(record));
        }
        if over {
            return None;
        }
        match read(after) {
            Ok(records) => {
                match records.last() {
                    Some(last) => after = place(last),
                    None => over = true,
                }
                page = records.into_iter();
                page.next().map(Ok)
            }
            Err(error) => {
                over = true;
                Some(Err(error))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_record_comes_once_and_a_failure_is_the_last() {
        let failed = || StoreError::Failed { path: "log".to_owned(), reason: "gone".to_owned() };
        for (count, broken) in [(0, None), (1, None), (7, None), (9, None), (9, Some(3)), (9, Some(0))] {
            let read = |after: u64| match broken {
                Some(place) if after >= place => Err(failed()),
                _ => Ok((after + 1..=count).take(3).collect::<Vec<u64>>()),
            };
            let found: Vec<_> = paged(0, read, |record| *record).collect();
            let records: Vec<u64> = found.iter().filter_map(|record| record.as_ref().ok().copied()).collect();
            assert_eq!(records, (1..=broken.unwrap_or(count)).collect::<Vec<_>>());
            assert_eq!(found.iter().filter(|record| record.is_err()).count(), usize::from(broken.is_some()));
            assert!(found.iter().rev().skip(1).all(Result::is_ok));
        }
    }
}
