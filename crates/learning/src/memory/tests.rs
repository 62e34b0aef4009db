//! What the memory promises, on small examples and on logs made at random.

use burnish_types::{ChunkId, Judgement, RequestId, Timestamp};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const QUESTIONS: [&str; 4] = [
    "How long is the cache kept?",
    "how long  is the CACHE kept",
    "When was the bridge over the river built?",
    "Who writes the quarterly report?",
];

/// A unit vector for the `n`th question; the first two are near each other, the others far from all.
fn embedding(n: usize) -> Vec<f32> {
    match n {
        0 => vec![1.0, 0.0, 0.0, 0.0],
        1 => vec![0.8, 0.6, 0.0, 0.0],
        2 => vec![0.0, 0.0, 1.0, 0.0],
        _ => vec![0.0, 0.0, 0.0, 1.0],
    }
}

fn verdict(chunk: u64, correct: bool) -> Judgement {
    Judgement::Passage { chunk: ChunkId(chunk), correct }
}

fn say(memory: &mut Memory, question: usize, at: u64, reporter: Option<&str>, judgement: &Judgement) {
    say_of(memory, Start::Question, question, at, reporter, judgement);
}

fn say_of(
    memory: &mut Memory,
    start: Start,
    question: usize,
    at: u64,
    reporter: Option<&str>,
    judgement: &Judgement,
) {
    let testimony = Testimony {
        request: RequestId::from_parts(at, question as u128),
        tenant: None,
        reporter,
        start,
        question: QUESTIONS[question],
        at: Timestamp(at),
        judgement,
        shown: &[ChunkId(1), ChunkId(2), ChunkId(3)],
        standing: &[1.0, 0.9, 0.4],
        cited: &[ChunkId(2)],
    };
    memory.observe(&testimony, &embedding(question));
}

fn lift(memory: &Memory, question: usize, chunk: u64) -> f32 {
    let recall = memory.recall(None, QUESTIONS[question], &embedding(question));
    recall.lifts.iter().find(|lift| lift.chunk == ChunkId(chunk)).map_or(0.0, |lift| lift.lift)
}

#[test]
fn what_was_confirmed_rises_for_like_questions_and_for_no_others() {
    let mut memory = Memory::default();
    say(&mut memory, 0, 1, Some("ada"), &verdict(7, true));
    assert!((lift(&memory, 0, 7) - LIFT * (1.0 - LIKENESS_FLOOR)).abs() < 1e-3);
    assert!(lift(&memory, 1, 7) > 0.1 && lift(&memory, 1, 7) < lift(&memory, 0, 7));
    assert_eq!(lift(&memory, 2, 7), 0.0);
    let recall = memory.recall(None, QUESTIONS[1], &embedding(1));
    assert_eq!(recall.lifts[0].question, "how long is the cache kept?");
    assert_eq!((recall.lifts[0].confirmed_by, recall.lifts[0].rejected_by), (1, 0));
    assert_eq!(memory.recall(Some("other"), QUESTIONS[0], &embedding(0)), Recall::default());
}

#[test]
fn signals_count_by_their_trust_and_a_verdict_silences_the_rest() {
    let opened = Judgement::Opened { chunk: ChunkId(3) };
    let cases: &[(&[Judgement], u64, std::ops::Range<f32>)] = &[
        (&[verdict(7, false)], 7, -0.57..-0.54),
        (&[verdict(7, true), verdict(7, false)], 7, -0.57..-0.54),
        (std::slice::from_ref(&opened), 3, 0.08..0.16),
        (&[opened.clone(), opened.clone(), verdict(3, false)], 3, -0.57..-0.54),
        (&[Judgement::Thumb { up: true }], 2, 0.4..0.5),
        (&[Judgement::Thumb { up: false }], 2, -0.5..-0.4),
        (&[Judgement::Thumb { up: true }], 1, 0.0..0.001),
        (&[Judgement::Cited { chunk: ChunkId(1) }], 1, 0.5..0.57),
        (&[Judgement::Supported { value: 1.0 }], 2, 0.0..0.001),
    ];
    for (judgements, chunk, expected) in cases {
        let mut memory = Memory::default();
        for (at, judgement) in judgements.iter().enumerate() {
            say(&mut memory, 0, at as u64, None, judgement);
        }
        let lift = lift(&memory, 0, *chunk);
        assert!(expected.contains(&lift), "{judgements:?} lifts {chunk} by {lift}");
    }
}

#[test]
fn openings_count_by_where_they_stood_and_what_was_passed_over_falls() {
    let memory = |chunk: u64| {
        let mut memory = Memory::default();
        say(&mut memory, 0, 1, Some("ada"), &Judgement::Opened { chunk: ChunkId(chunk) });
        memory
    };
    let (first, third) = (memory(1), memory(3));
    assert!(lift(&third, 0, 3) > 1.1 * lift(&first, 0, 1), "fewer look at the third place");
    assert_eq!(
        (lift(&first, 0, 2), lift(&first, 0, 3)),
        (0.0, 0.0),
        "what stands below may not have been seen"
    );
    for passed in [1, 2] {
        let fallen = lift(&third, 0, passed);
        assert!((-0.05..-0.01).contains(&fallen), "{passed} falls by {fallen}");
    }
    let recall = third.recall(None, QUESTIONS[0], &embedding(0));
    let why = recall.lifts.iter().find(|lift| lift.chunk == ChunkId(1)).unwrap();
    assert_eq!((why.confirmed_by, why.rejected_by, why.passed_by), (0, 0, 1));

    // Whatever else is said of it counts instead, whenever it is said.
    let mut both = third.clone();
    say(&mut both, 0, 0, Some("ada"), &Judgement::Opened { chunk: ChunkId(1) });
    assert!(lift(&both, 0, 1) > 0.0 && lift(&both, 0, 2) < 0.0);
    let seen: Vec<u64> = both.seen_by(None, "ada").into_iter().map(|chunk| chunk.0).collect();
    assert_eq!(seen, [1, 3], "what was passed over may still be recommended");
}

#[test]
fn one_person_counts_once_however_often_they_speak() {
    let mut memory = Memory::default();
    for at in 0..10_000 {
        say(&mut memory, 0, at, Some("eve"), &verdict(9, true));
    }
    assert_eq!(memory.size(), (1, 1));
    for reporter in ["ada", "bob"] {
        say(&mut memory, 0, 20_000, Some(reporter), &verdict(9, false));
    }
    assert!(lift(&memory, 0, 9) < 0.0, "two outvote one");
}

#[test]
fn whoever_talks_most_loses_first() {
    let mut memory = Memory::new(50);
    say(&mut memory, 2, 0, Some("ada"), &verdict(1, true));
    for chunk in 0..500 {
        say(&mut memory, 0, 1 + chunk, Some("eve"), &verdict(chunk, true));
    }
    assert_eq!(memory.size().1, 50);
    assert!(lift(&memory, 2, 1) > 0.0, "an early vote of somebody else is still there");
    assert!(lift(&memory, 0, 499) > 0.0 && lift(&memory, 0, 0) == 0.0);
}

#[test]
fn what_is_gone_moves_nothing() {
    let mut memory = Memory::default();
    say(&mut memory, 0, 1, None, &verdict(7, true));
    say(&mut memory, 0, 1, None, &verdict(8, true));
    assert_eq!(memory.chunks().len(), 2);
    memory.forget_passages(|chunk| chunk == ChunkId(7));
    assert_eq!(lift(&memory, 0, 7), 0.0);
    assert!(lift(&memory, 0, 8) > 0.0);
    memory.forget_passages(|_| true);
    assert_eq!(memory, Memory::default());
}

#[test]
fn what_somebody_liked_is_known() {
    let mut memory = Memory::default();
    say(&mut memory, 0, 1, Some("ada"), &verdict(7, true));
    say(&mut memory, 2, 2, Some("ada"), &Judgement::Opened { chunk: ChunkId(1) });
    say(&mut memory, 0, 1, Some("ada"), &verdict(8, false));
    say(&mut memory, 0, 1, Some("bob"), &verdict(9, true));
    let liked: Vec<u64> = memory.liked_by(None, "ada").into_iter().map(|(chunk, _)| chunk.0).collect();
    assert_eq!(liked, [7, 1]);
    let seen: Vec<u64> = memory.seen_by(None, "ada").into_iter().map(|chunk| chunk.0).collect();
    assert_eq!(seen, [1, 7, 8]);
    assert!(memory.seen_by(Some("other"), "ada").is_empty());
}

#[test]
fn what_is_related_is_no_answer_and_the_reverse() {
    let related = |memory: &Memory, question: usize, chunk: u64| {
        let recall = memory.recall_related(None, QUESTIONS[question], &embedding(question));
        recall.lifts.iter().find(|lift| lift.chunk == ChunkId(chunk)).map_or(0.0, |lift| lift.lift)
    };
    let mut memory = Memory::default();
    say_of(&mut memory, Start::Passage, 0, 1, Some("ada"), &verdict(7, true));
    say_of(&mut memory, Start::Person, 0, 1, Some("ada"), &verdict(8, true));
    assert!(!memory.knows(None), "no question is worth embedding for it");
    assert_eq!((lift(&memory, 0, 7), lift(&memory, 0, 8)), (0.0, 0.0));
    assert!(related(&memory, 0, 7) > 0.5 && related(&memory, 1, 7) > 0.1);
    assert_eq!((related(&memory, 2, 7), related(&memory, 0, 8)), (0.0, 0.0));
    assert_eq!(memory.liked_by(None, "ada").len(), 2, "what was recommended well is liked");
    say(&mut memory, 0, 1, Some("ada"), &verdict(9, true));
    assert!(memory.knows(None) && lift(&memory, 0, 9) > 0.5);
    assert_eq!(related(&memory, 0, 9), 0.0);
}

type Said = (usize, u64, u8, u8, u64, bool);

fn log() -> impl Strategy<Value = Vec<Said>> {
    vec((0usize..4, 0u64..20, 0u8..3, 0u8..5, 0u64..6, any::<bool>()), 0..60)
}

fn hear(memory: &mut Memory, &(question, at, reporter, kind, chunk, yes): &Said) {
    let judgement = match kind {
        0 => verdict(chunk, yes),
        1 => Judgement::Cited { chunk: ChunkId(chunk) },
        2 => Judgement::Opened { chunk: ChunkId(chunk) },
        3 => Judgement::Thumb { up: yes },
        _ => Judgement::AskedAgain,
    };
    let reporter = [None, Some("ada"), Some("bob")][usize::from(reporter)];
    // Two of the questions are asked, one is a passage's text and one stands for a person.
    let start = [Start::Question, Start::Question, Start::Passage, Start::Person][question];
    say_of(memory, start, question, at, reporter, &judgement);
}

fn fold(log: &[Said]) -> Memory {
    let mut memory = Memory::default();
    log.iter().for_each(|said| hear(&mut memory, said));
    memory
}

proptest! {
    #[test]
    fn two_halves_merged_are_the_whole(log in log(), cut in 0usize..60) {
        let cut = cut.min(log.len());
        let mut merged = fold(&log[..cut]);
        merged.merge(&fold(&log[cut..]));
        prop_assert_eq!(merged, fold(&log));
    }

    #[test]
    fn order_and_repetition_change_nothing(log in log()) {
        let mut other: Vec<Said> = log.iter().rev().copied().collect();
        other.extend(&log);
        prop_assert_eq!(fold(&other), fold(&log));
    }

    #[test]
    fn lifts_are_bounded_and_snapshots_keep_everything(log in log()) {
        let memory = fold(&log);
        for (n, question) in QUESTIONS.iter().enumerate() {
            for lift in memory.recall(None, question, &embedding(n)).lifts {
                prop_assert!(lift.lift.abs() <= LIFT && lift.lift.is_finite());
            }
        }
        prop_assert_eq!(Memory::from_bytes(&memory.to_bytes()), Some(memory));
    }
}
