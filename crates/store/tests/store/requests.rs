//! Decisions, answers, outcomes and snapshots.

use burnish_types::{
    BatchResult, BatchState, ChunkId, Judgement, LoggedOutcome, Recorded, Store, StoreError, StoredDecision,
    Timestamp, Totals,
};

use crate::fixtures::{answer, decision, open, outcome, request, resolve, thumb};

#[test]
fn a_decision_comes_back_with_all_that_became_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let id = request(1);
    let outcomes = [
        thumb(id),
        outcome(id, Judgement::Score { value: 1.0 / 3.0 }),
        outcome(id, Judgement::Passage { chunk: ChunkId(7), correct: false }),
    ];

    assert_eq!(resolve(store.decision(id)).unwrap(), None);
    // None of these is waited for before the next: each finds what was sent before it.
    let Recorded { written, durable } = store.record_decision(decision(id));
    let recorded = [
        written,
        durable,
        store.record_outcomes(outcomes[..2].to_vec()),
        store.record_answer(id, answer(1)),
        store.record_outcomes(outcomes[2..].to_vec()),
        store.record_answer(id, answer(2)),
    ];
    let found = resolve(store.decision(id)).unwrap().unwrap();
    assert_eq!((found.decision, found.answer), (decision(id), Some(answer(2))));
    assert_eq!(found.outcomes, outcomes);
    recorded.into_iter().for_each(|future| resolve(future).unwrap());

    drop(store);
    let store = open(directory.path());
    let expected = outcomes.iter().enumerate().map(|(place, outcome)| LoggedOutcome {
        position: place as u64 + 1,
        outcome: outcome.clone(),
        decision: decision(id),
        answer: Some(answer(2)),
        earlier: outcomes[..place].to_vec(),
    });
    assert_eq!(store.outcome_log(0, 100).unwrap(), expected.collect::<Vec<_>>());
    let whole =
        StoredDecision { decision: decision(id), answer: Some(answer(2)), outcomes: outcomes.to_vec() };
    assert_eq!(store.decision_log(None, 9).unwrap(), [whole]);
    assert_eq!(store.decision_log(Some(id), 9).unwrap(), []);
}

#[test]
fn what_a_person_reported_can_be_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let asked = |number: u64, tenant: Option<&str>, user: Option<&str>| {
        let mut decision = decision(request(number));
        decision.user.tenant = tenant.map(str::to_owned);
        decision.user.user = user.map(str::to_owned);
        drop(store.record_decision(decision));
        request(number)
    };
    let (here, unnamed) = (asked(1, Some("acme"), Some("ada")), asked(2, Some("acme"), None));
    let (elsewhere, alone) = (asked(3, Some("other"), Some("ada")), asked(4, None, Some("ada")));
    let named = |id, user: &str| burnish_types::Outcome { user: Some(user.to_owned()), ..thumb(id) };
    let outcomes = vec![
        thumb(here),
        named(here, "bob"),
        named(unnamed, "ada"),
        thumb(unnamed),
        thumb(elsewhere),
        thumb(alone),
    ];
    resolve(store.record_outcomes(outcomes)).unwrap();
    store.put_snapshot("mean", 6, b"x").unwrap();
    assert_eq!(store.forget_user(Some("acme"), "ada").unwrap(), 2);
    assert_eq!(store.snapshot("mean").unwrap(), None, "it holds what was learned from them");
    let left = |store: &burnish_store::SqliteStore| {
        let log = store.outcome_log(0, 100).unwrap().into_iter();
        log.map(|logged| logged.position).collect::<Vec<_>>()
    };
    assert_eq!(left(&store), [2, 4, 5, 6]);
    assert_eq!(store.forget_user(None, "ada").unwrap(), 1);
    assert_eq!(left(&store), [2, 4, 5]);
    assert_eq!(store.forget_user(None, "nobody").unwrap(), 0);
}

#[test]
fn the_first_record_of_a_decision_stands() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let first = decision(request(1));
    let mut second = first.clone();
    second.chosen = 1;
    resolve(store.record_decision(first.clone()).durable).unwrap();
    resolve(store.record_decision(second).durable).unwrap();
    assert_eq!(resolve(store.decision(first.id)).unwrap().unwrap().decision, first);
}

#[test]
fn what_names_an_unknown_request_is_refused_whole() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let (known, unknown) = (request(1), request(2));
    resolve(store.record_decision(decision(known)).durable).unwrap();
    let refused = [
        store.record_outcomes(vec![thumb(known), thumb(unknown), thumb(known)]),
        store.record_answer(unknown, answer(1)),
    ];
    for future in refused {
        let error = resolve(future).unwrap_err();
        assert!(matches!(error, StoreError::UnknownRequest(id) if id == unknown), "{error}");
    }
    let expected = Totals { decisions: 1, ..Totals::default() };
    assert_eq!(store.totals().unwrap(), expected);
}

#[test]
fn figures_that_json_cannot_hold_are_refused_before_they_spoil_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    let id = request(1);
    resolve(store.record_decision(decision(id)).durable).unwrap();

    let mut boundless = decision(request(2));
    boundless.candidates[0].prediction.quality_deviation = f64::INFINITY;
    let mut timeless = answer(1);
    timeless.timings[0].ms = f64::NAN;
    let Recorded { written, durable } = store.record_decision(boundless);
    let refused = [
        (written, "a record of a decision was refused"),
        (durable, "a record of a decision was refused"),
        (store.record_answer(id, timeless), "a record of an answer was refused"),
        (
            store.record_outcomes(vec![thumb(id), outcome(id, Judgement::Score { value: f64::NAN })]),
            "a record of an outcome was refused",
        ),
    ];
    for (future, expected) in refused {
        let error = resolve(future).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    let expected = Totals { decisions: 1, ..Totals::default() };
    assert_eq!(store.totals().unwrap(), expected);
}

#[test]
fn the_log_is_read_in_pages() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    for number in 0..7 {
        drop(store.record_decision(decision(request(number))));
        drop(store.record_outcomes(vec![thumb(request(number))]));
    }
    // Behind all of them in the writer's queue.
    store.check().unwrap();
    let (mut after, mut seen) = (0, Vec::new());
    loop {
        let page = store.outcome_log(after, 3).unwrap();
        assert!(page.len() <= 3);
        let Some(last) = page.last() else { break };
        after = last.position;
        seen.extend(page.into_iter().map(|logged| (logged.outcome.request, logged.decision.id)));
    }
    assert_eq!(seen, (0..7).map(|number| (request(number), request(number))).collect::<Vec<_>>());
}

#[test]
fn outcomes_of_many_callers_share_commits() {
    const CALLERS: u64 = 4;
    const EACH: u64 = 250;
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    resolve(store.record_decision(decision(request(1))).durable).unwrap();
    let before = store.commits();
    std::thread::scope(|scope| {
        for _ in 0..CALLERS {
            scope.spawn(|| {
                let futures: Vec<_> =
                    (0..EACH).map(|_| store.record_outcomes(vec![thumb(request(1))])).collect();
                futures.into_iter().for_each(|future| resolve(future).unwrap());
            });
        }
    });
    assert_eq!(store.totals().unwrap().outcomes, CALLERS * EACH);
    let commits = store.commits() - before;
    assert!(commits < CALLERS * EACH / 2, "{commits} commits");
}

#[test]
fn snapshots_take_the_place_of_the_last_one() {
    let directory = tempfile::tempdir().unwrap();
    let store = open(directory.path());
    assert_eq!(store.snapshot("mean").unwrap(), None);
    store.put_snapshot("mean", 3, b"three").unwrap();
    store.put_snapshot("other", 1, b"").unwrap();
    store.put_snapshot("mean", 5, &[0, 255]).unwrap();
    drop(store);
    let store = open(directory.path());
    assert_eq!(store.snapshot("mean").unwrap(), Some((5, vec![0, 255])));
    assert_eq!(store.snapshot("other").unwrap(), Some((1, Vec::new())));
}

#[test]
fn a_batch_is_kept_with_how_far_it_is_until_it_ends() {
    let directory = tempfile::tempdir().unwrap();
    let (first, second) = (request(1), request(2));
    let result = |place, failed, record: &str| BatchResult { place, failed, record: record.to_owned() };
    {
        let store = open(directory.path());
        assert_eq!((store.batch_standing(first).unwrap(), store.batch_record(first).unwrap()), (None, None));
        for (id, questions) in [(first, 3), (second, 1)] {
            resolve(store.put_batch(id, Timestamp(7), questions, format!("{questions}"))).unwrap();
        }
        // The first word on a question stands.
        for given in [result(2, false, "c"), result(0, true, "a"), result(0, false, "again")] {
            resolve(store.put_batch_result(first, given)).unwrap();
        }
        assert!(resolve(store.put_batch_result(request(9), result(0, false, "stray"))).is_err());
    }
    let store = open(directory.path());
    assert_eq!(store.open_batches().unwrap(), [first, second]);
    assert_eq!(store.batch_record(first).unwrap().as_deref(), Some("3"));
    assert_eq!(store.batch_results(first, 0, 9).unwrap(), [result(0, true, "a"), result(2, false, "c")]);
    assert_eq!(store.batch_results(first, 1, 9).unwrap(), [result(2, false, "c")]);
    assert_eq!(store.batch_results(first, 0, 1).unwrap(), [result(0, true, "a")]);
    let standing = store.batch_standing(first).unwrap().unwrap();
    assert_eq!((standing.questions, standing.answered, standing.failed), (3, 1, 1));
    assert_eq!((standing.at, standing.state), (Timestamp(7), BatchState::Open));
    assert!(resolve(store.end_batch(first, BatchState::Cancelled)).unwrap());
    assert!(!resolve(store.end_batch(first, BatchState::Completed)).unwrap());
    let states: Vec<_> = store.batches(9).unwrap().iter().map(|batch| (batch.id, batch.state)).collect();
    assert_eq!(states, [(second, BatchState::Open), (first, BatchState::Cancelled)]);
    assert_eq!(store.open_batches().unwrap(), [second]);
}
