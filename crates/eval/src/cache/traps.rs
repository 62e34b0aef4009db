//! Pairs of questions that read alike and have two answers, from templates.

/// What one question of a trap has in place of the other's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A denial.
    Negation,
    /// The opposite.
    Opposite,
    /// Another number.
    Number,
    /// Another name.
    Name,
}

/// Two questions that must not share an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// Where they differ.
    pub kind: Kind,
    /// The question whose answer is kept.
    pub kept: String,
    /// The one that is asked.
    pub asked: String,
}

const THINGS: [&str; 10] = [
    "the nightly backup",
    "two-factor login",
    "the search index",
    "a shared folder",
    "the billing service",
    "my work laptop",
    "the audit log",
    "a guest account",
    "the staging cluster",
    "an expired licence",
];
/// `{}` is the thing, `[…]` what a denial adds.
const DENIED: [&str; 6] = [
    "Why does {} [not] start after an update?",
    "Is it [not] safe to share {} with contractors?",
    "Which teams are [not] allowed to change {}?",
    "When should {} [never] be restored by hand?",
    "What happens if {} is [not] renewed in time?",
    "Can {} work with[out] a network connection?",
];
const OPPOSED: [(&str, &str, &str); 10] = [
    ("How do I # {}?", "enable", "disable"),
    ("How do I # {} on Windows?", "install", "uninstall"),
    ("What is the # size of {}?", "maximum", "minimum"),
    ("What are the # of {}?", "advantages", "disadvantages"),
    ("Who may # access to {}?", "grant", "revoke"),
    ("What should I do # I move {}?", "before", "after"),
    ("How can I # the load of {}?", "increase", "reduce"),
    ("How do I # data from {}?", "import", "export"),
    ("How do I # {} for a single user?", "lock", "unlock"),
    ("Which is the # version of {}?", "oldest", "newest"),
];
/// `#` is the number.
const NUMBERED: [&str; 6] = [
    "What changed for {} in version #?",
    "How do I keep {} for # days?",
    "Does {} work with # users at once?",
    "Why does {} fail with error #?",
    "What did {} cost in the year 20#?",
    "Can {} use more than # GB of memory?",
];
const NUMBERS: [(u32, u32); 5] = [(12, 13), (30, 90), (11, 10), (24, 42), (19, 21)];
/// `#` is the name.
const NAMED: [&str; 5] = [
    "Who is responsible for {} in #?",
    "How many people use {} in #?",
    "What does # say about {}?",
    "When did # ask for {}?",
    "Where is {} kept for customers from #?",
];
const NAMES: [(&str, &str); 6] = [
    ("Berlin", "Munich"),
    ("Austria", "Australia"),
    ("Anna Fischer", "Anne Fischer"),
    ("Oracle", "Microsoft"),
    ("Toyota", "Honda"),
    ("January", "June"),
];

/// `count` traps, drawn from all that the templates give in equal parts of the four kinds.
pub fn traps(count: usize, seed: u64) -> Vec<Trap> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut kinds = [negations(), opposites(), numbers(), names()];
    kinds.iter_mut().for_each(|traps| random.shuffle(traps));
    let mut drawn: Vec<Trap> = Vec::with_capacity(count);
    for round in 0.. {
        let before = drawn.len();
        drawn.extend(kinds.iter().filter_map(|traps| traps.get(round)).take(count - before).cloned());
        if drawn.len() == before {
            break;
        }
    }
    drawn
}

fn both_ways(kind: Kind, one: String, other: String) -> [Trap; 2] {
    [Trap { kind, kept: one.clone(), asked: other.clone() }, Trap { kind, kept: other, asked: one }]
}

fn over_things(make: impl Fn(&str) -> Vec<Trap>) -> Vec<Trap> {
    THINGS.iter().flat_map(|thing| make(thing)).collect()
}

fn negations() -> Vec<Trap> {
    over_things(|thing| {
        let pair = |template: &&str| {
            let text = template.replace("{}", thing);
            let (head, rest) = text.split_once('[').unwrap_or((&text, ""));
            let (denial, tail) = rest.split_once(']').unwrap_or((rest, ""));
            let plain = format!("{head}{tail}").replace("  ", " ");
            both_ways(Kind::Negation, plain, format!("{head}{denial}{tail}"))
        };
        let polite = |template: &&str| {
            pair(template).map(|trap| Trap {
                kept: format!("Please tell me: {}", trap.kept),
                asked: format!("I would like to know: {}", trap.asked),
                ..trap
            })
        };
        DENIED.iter().flat_map(pair).chain(DENIED.iter().flat_map(polite)).collect()
    })
}

fn opposites() -> Vec<Trap> {
    over_things(|thing| {
        let pair = |(template, one, other): &(&str, &str, &str)| {
            let text = template.replace("{}", thing);
            both_ways(Kind::Opposite, text.replace('#', one), text.replace('#', other))
        };
        let hurried = |sides: &(&str, &str, &str)| {
            pair(sides).map(|trap| Trap { asked: trap.asked.to_lowercase().replace('?', ""), ..trap })
        };
        OPPOSED.iter().flat_map(pair).chain(OPPOSED.iter().flat_map(hurried)).collect()
    })
}

fn numbers() -> Vec<Trap> {
    over_things(|thing| {
        let pairs = |template: &&str| {
            let text = template.replace("{}", thing);
            NUMBERS
                .iter()
                .flat_map(move |(one, other)| {
                    let with = |number: &u32| text.replace('#', &number.to_string());
                    both_ways(Kind::Number, with(one), with(other))
                })
                .collect::<Vec<_>>()
        };
        NUMBERED.iter().flat_map(pairs).collect()
    })
}

fn names() -> Vec<Trap> {
    over_things(|thing| {
        let pairs = |template: &&str| {
            let text = template.replace("{}", thing);
            NAMES
                .iter()
                .flat_map(move |(one, other)| {
                    both_ways(Kind::Name, text.replace('#', one), text.replace('#', other))
                })
                .collect::<Vec<_>>()
        };
        NAMED.iter().flat_map(pairs).collect()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_thousand_traps_of_four_kinds_differ() {
        let drawn = traps(1_000, 0);
        assert_eq!(drawn.len(), 1_000);
        let distinct: HashSet<(&str, &str)> =
            drawn.iter().map(|trap| (trap.kept.as_str(), trap.asked.as_str())).collect();
        assert_eq!(distinct.len(), 1_000);
        for kind in [Kind::Negation, Kind::Opposite, Kind::Number, Kind::Name] {
            assert!(drawn.iter().filter(|trap| trap.kind == kind).count() >= 200, "{kind:?}");
        }
        assert!(drawn.iter().all(|trap| trap.kept != trap.asked && !trap.kept.contains(['{', '#', '['])));
    }
}
