//! Searches over abstract blocks.

use fastrand::Rng;

use super::*;

fn slots() -> Vec<Slot> {
    let slot = |name: &str, tokens: &[f64]| Slot {
        name: name.to_owned(),
        options: tokens.iter().map(|tokens| Block { name: format!("{tokens}"), tokens: *tokens }).collect(),
        reference: 0,
    };
    vec![slot("role", &[0.0, 30.0]), slot("format", &[0.0, 40.0, 80.0]), slot("examples", &[0.0, 200.0])]
}

/// The second format is good, the third bad, and examples do nothing.
fn quality(options: &[u16]) -> f64 {
    0.4 + [0.0, 0.3, -0.2][usize::from(options[1])] + 0.1 * f64::from(options[0])
}

fn search() -> Search {
    Search::new(SearchSettings::default(), slots(), Vec::new(), &[0, 0, 1])
}

/// Serves so many requests with steps in between.
fn serve(search: &mut Search, count: usize, random: &mut Rng) -> Vec<Event> {
    let mut events = Vec::new();
    for _ in 0..count {
        let chosen = search.draw(None, random.u64(..)).unwrap();
        let good = f64::from(random.f64() < quality(&chosen.options));
        assert!(search.observe(chosen.candidate, 0, good, Some(50.0)));
        if search.is_due() {
            events.extend(search.step(random.u64(..)));
        }
    }
    events
}

#[test]
fn a_better_and_shorter_prompt_is_found_and_nominated() {
    let mut found = 0;
    for seed in 0..5 {
        let (mut search, mut random) = (search(), Rng::with_seed(seed));
        let events = serve(&mut search, 600, &mut random);
        assert!(events.iter().any(|event| matches!(event, Event::Added(one) if one.born == Born::Shortened)));
        assert!(events.iter().any(|event| matches!(event, Event::Dropped { .. })));
        let Some(nominee) = search.nominate(seed) else { continue };
        assert!(nominee.gain > 0.1 && nominee.certainty >= 0.95, "{nominee:?}");
        assert!(nominee.comparison.promote_above < nominee.comparison.retire_below, "{nominee:?}");
        assert!(search.promote(nominee.candidate));
        let champion = search.champion().unwrap();
        found += usize::from(champion.options == [1, 1, 0]);
        assert_eq!(champion.options[1], 1, "{champion:?}");
        assert!(search.outlook(seed) < 0.1);
    }
    assert!(found >= 3, "{found} of 5");
}

#[test]
fn what_is_held_for_the_best_is_known_before_it_is_sure() {
    let (mut search, mut random) = (search(), Rng::with_seed(2));
    assert_eq!(search.favourite(), None, "nothing is known");
    serve(&mut search, 300, &mut random);
    let favourite = search.favourite().unwrap();
    let best = search.candidate(favourite.candidate).unwrap().clone();
    assert_eq!((best.options[1], best.options[2]), (1, 0), "{best:?}");
    assert!(favourite.gain > 0.15 && favourite.certainty > 0.9, "{favourite:?}");
    assert!(search.promote(best.id));
    assert!(search.favourite().is_none_or(|next| next.candidate != best.id));
}

#[test]
fn the_pool_is_bounded_and_everybody_has_parents() {
    let (mut search, mut random) = (search(), Rng::with_seed(3));
    let mut last = 0;
    for event in serve(&mut search, 500, &mut random) {
        if let Event::Added(candidate) = event {
            assert!(candidate.id > last && !candidate.parents.is_empty(), "{candidate:?}");
            assert!(candidate.parents.iter().all(|parent| *parent < candidate.id), "{candidate:?}");
            last = candidate.id;
        }
    }
    assert!((2..=8).contains(&search.pool().len()));
    assert!(search.champion().is_some());
    assert!(search.cells.len() <= 12);
}

#[test]
fn propensities_are_those_of_the_choice_and_the_champion_has_its_floor() {
    let (mut search, mut random) = (search(), Rng::with_seed(4));
    serve(&mut search, 400, &mut random);
    let chosen = search.draw(None, 9).unwrap();
    assert_eq!(search.draw(None, 9).unwrap(), chosen);
    let total: f64 = chosen.propensities.iter().map(|(_, share)| share).sum();
    assert!((total - 1.0).abs() < 1e-9, "{chosen:?}");
    let share = |id: u64| chosen.propensities.iter().find(|one| one.0 == id).unwrap().1;
    assert!(share(search.champion().unwrap().id) >= 0.1 - 1e-12 && share(chosen.candidate) > 0.0);
}

#[test]
fn a_text_that_is_added_gets_its_chance() {
    let (mut search, mut random) = (search(), Rng::with_seed(5));
    serve(&mut search, 100, &mut random);
    let full = search.pool().len() == 8;
    let (option, event) = search.add_option(2, Block { name: "new".to_owned(), tokens: 10.0 }).unwrap();
    assert_eq!(option, 2);
    match &event {
        Some(Event::Added(candidate)) => {
            assert_eq!((candidate.born, candidate.options[2]), (Born::Rewritten, 2));
        }
        None => assert!(full),
        other => panic!("{other:?}"),
    }
    assert!(search.add_option(7, Block { name: String::new(), tokens: 0.0 }).is_none());
    let tried = |event: &Event| matches!(event, Event::Added(one) if one.options[2] == 2);
    assert!(event.is_some() || serve(&mut search, 200, &mut random).iter().any(tried));
}

#[test]
fn what_failed_waits_and_the_champion_cannot_be_dropped() {
    let (mut search, mut random) = (search(), Rng::with_seed(6));
    serve(&mut search, 300, &mut random);
    let champion = search.champion().unwrap().id;
    assert_eq!(search.refuse(champion), None);
    let other = search.pool().iter().find(|one| one.id != champion).unwrap().clone();
    assert!(matches!(search.refuse(other.id), Some(Event::Dropped { .. })));
    search.step(1);
    assert!(search.pool().iter().all(|one| one.options != other.options));
    assert!(!search.promote(other.id) && !search.observe(other.id, 0, 1.0, None));
    assert!(!search.observe(champion, 1, 1.0, None) && !search.observe(champion, 0, 1.5, None));
}

#[test]
fn kinds_of_requests_get_their_own() {
    let contexts = vec!["facts".to_owned(), "procedures".to_owned()];
    let settings = SearchSettings { pool: 4, ..SearchSettings::default() };
    let mut search = Search::new(settings, slots(), contexts, &[0, 0, 0]);
    let mut random = Rng::with_seed(7);
    let mut events = Vec::new();
    for _ in 0..1_000 {
        let context = random.u16(..2);
        let chosen = search.draw(Some(context), random.u64(..)).unwrap();
        let good = 0.4 + if chosen.options[1] == context + 1 { 0.4 } else { 0.0 };
        search.observe(chosen.candidate, context, f64::from(random.f64() < good), None);
        if search.is_due() {
            events.extend(search.step(random.u64(..)));
        }
    }
    for born in [Born::Specialised, Born::Recombined] {
        assert!(
            events.iter().any(|event| matches!(event, Event::Added(one) if one.born == born)),
            "{born:?}"
        );
    }
    for context in 0..2 {
        let served: Vec<Chosen> = (0..40).map(|seed| search.draw(Some(context), seed).unwrap()).collect();
        let right = served.iter().filter(|chosen| chosen.options[1] == context + 1).count();
        assert!(right >= 24, "{right} of 40 for {context}");
    }
}

#[test]
fn a_stored_search_goes_on_as_if_it_had_not_been() {
    for seed in 0..3 {
        let (mut whole, mut random) = (search(), Rng::with_seed(seed));
        serve(&mut whole, 90 + 7 * seed as usize, &mut random);
        let mut stored: Search = serde_json::from_str(&serde_json::to_string(&whole).unwrap()).unwrap();
        assert_eq!(stored, whole);
        let mut other = random.clone();
        assert_eq!(serve(&mut stored, 120, &mut random), serve(&mut whole, 120, &mut other));
        assert_eq!(stored, whole);
        assert_eq!(stored.nominate(1), whole.nominate(1));
    }
}
