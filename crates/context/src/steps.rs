//! The steps by which evidence becomes smaller, each with what it saved, and undone where it lost too much.

use std::collections::HashMap;

use crate::relevance::{Kind, Piece, overlap};
use crate::words::Word;

/// A sentence of which another one has this part of the words says nothing new.
const REPEATED: f32 = 0.85;
/// Of the sentences that have a word so many are looked at.
const MOST_HOLDERS: usize = 64;
/// Shorter ones are headings, which often share their few words.
const SMALLEST_REPEATED: usize = 4;
/// What a step may lose of the question's words in the evidence, by their weight.
const MOST_LOST: f32 = 0.02;
/// How examples begin.
const EXAMPLES: [&str; 7] =
    ["for example", "for instance", "e.g", "an example", "as an example", "suppose ", "imagine "];
/// How a sentence begins that leads up to something.
const BACKGROUND: [&str; 14] = [
    "in general",
    "generally",
    "historically",
    "traditionally",
    "as mentioned",
    "in this article",
    "in this section",
    "in this chapter",
    "this article",
    "this section",
    "background",
    "introduction",
    "it is well known",
    "in recent years",
];

/// What a step leaves out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepKind {
    /// Sentences that another one says, too.
    Redundancy,
    /// Examples.
    Examples,
    /// What leads up to something, and has no word of the question, no number and no name.
    Background,
    /// What bears least on the question.
    LowRelevance,
    /// Whatever does not fit into the budget.
    Budget,
}

impl StepKind {
    /// In the order in which they are taken, with the share of the evidence that each may take at most.
    const ALL: [(Self, f64); 4] = [
        (Self::Redundancy, 0.10),
        (Self::Examples, 0.15),
        (Self::Background, 0.20),
        (Self::LowRelevance, 0.25),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redundancy => "redundancy",
            Self::Examples => "examples",
            Self::Background => "background",
            Self::LowRelevance => "low_relevance",
            Self::Budget => "budget",
        }
    }
}

/// One step, and what came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// What it leaves out.
    pub kind: StepKind,
    /// Tokens that it saved, or would have.
    pub saved: usize,
    /// The share of the question's words in the evidence that it lost, by their weight.
    pub lost: f32,
    /// Whether it was undone, because that is too much.
    pub undone: bool,
}

pub(crate) struct Plan {
    /// Which sentences are left.
    pub(crate) alive: Vec<bool>,
    pub(crate) steps: Vec<Step>,
}

/// Comes down to `wished` tokens as far as that loses nothing, and to `most` tokens whatever that loses.
pub(crate) fn run(pieces: &[Piece], original: usize, wished: usize, most: Option<usize>) -> Plan {
    let mut plan = Plan { alive: vec![true; pieces.len()], steps: Vec::new() };
    let target = most.unwrap_or(usize::MAX).min(wished);
    // Of equally worthless ones the last goes first.
    let mut order: Vec<usize> = (0..pieces.len()).collect();
    order.sort_by(|one, other| pieces[*one].worth.total_cmp(&pieces[*other].worth).then(other.cmp(one)));
    for (kind, share) in StepKind::ALL {
        let excess = plan.tokens(pieces) - target as f64;
        if excess <= 0.0 {
            break;
        }
        let allowed = (share * original as f64).min(excess.max(1.0));
        plan.step(pieces, &order, kind, allowed);
    }
    if let Some(most) = most {
        plan.fit(pieces, &order, most);
    }
    plan
}

impl Plan {
    fn tokens(&self, pieces: &[Piece]) -> f64 {
        self.living(pieces).map(|(_, piece)| piece.tokens).sum()
    }

    fn living<'a>(&'a self, pieces: &'a [Piece]) -> impl Iterator<Item = (usize, &'a Piece)> {
        pieces.iter().enumerate().filter(|(place, _)| self.alive[*place])
    }

    /// Leaves sentences of a kind out, those of least worth first, up to `allowed` tokens.
    fn step(&mut self, pieces: &[Piece], order: &[usize], kind: StepKind, allowed: f64) {
        let before = self.alive.clone();
        let holders = if kind == StepKind::Redundancy { Holders::of(pieces) } else { Holders::default() };
        let mut saved = 0.0;
        for &place in order {
            let piece = &pieces[place];
            if self.alive[place] && saved + piece.tokens <= allowed && self.is(pieces, place, kind, &holders)
            {
                self.alive[place] = false;
                saved += piece.tokens;
            }
        }
        self.close(pieces, before, kind, true);
    }

    /// Notes a step, and undoes it where it lost too much and that can be helped.
    fn close(&mut self, pieces: &[Piece], before: Vec<bool>, kind: StepKind, can_be_undone: bool) {
        self.keep_headers(pieces);
        let was = Self { alive: before, steps: Vec::new() };
        let saved = was.tokens(pieces) - self.tokens(pieces);
        if saved < 0.5 {
            self.alive = was.alive;
            return;
        }
        let lost = lost(&was.answered(pieces), &self.answered(pieces));
        let undone = can_be_undone && lost > MOST_LOST;
        if undone {
            self.alive = was.alive;
        }
        self.steps.push(Step { kind, saved: saved.round() as usize, lost, undone });
    }

    fn is(&self, pieces: &[Piece], place: usize, kind: StepKind, holders: &Holders) -> bool {
        let piece = &pieces[place];
        let begins = |with: &[&str]| with.iter().any(|words| piece.beginning.starts_with(words));
        if piece.kind == Kind::Header {
            return false;
        }
        match kind {
            StepKind::Redundancy => self.is_repeated(pieces, place, holders),
            StepKind::Examples => begins(&EXAMPLES),
            StepKind::Background => {
                let bare = piece.asked == 0.0 && piece.said.numbers.is_empty() && !piece.said.names;
                begins(&BACKGROUND) && piece.said.numbers.is_empty() || bare && !piece.said.denies
            }
            StepKind::LowRelevance | StepKind::Budget => true,
        }
    }

    /// Whether another sentence that is left, and worth at least as much, says it too: with the same numbers, and denying it
    /// or not.
    fn is_repeated(&self, pieces: &[Piece], place: usize, holders: &Holders) -> bool {
        let piece = &pieces[place];
        piece.said.topics.len() >= SMALLEST_REPEATED
            && holders.near(piece).any(|other| {
                let another = &pieces[other];
                self.alive[other]
                    && other != place
                    && another.said.topics.len() >= piece.said.topics.len()
                    && (another.worth, other) > (piece.worth, place)
                    && another.said.denies == piece.said.denies
                    && another.said.numbers == piece.said.numbers
                    && overlap(&piece.said, &another.said) >= REPEATED
            })
    }

    /// A row says nothing without the names of its columns, and these nothing without rows, where there were any.
    fn keep_headers(&mut self, pieces: &[Piece]) {
        // The table that is gone through, and whether one of its rows is left; none before its first row.
        let mut rows: Option<(usize, bool)> = None;
        for place in (0..pieces.len()).rev() {
            let piece = &pieces[place];
            let of_table = rows.filter(|(table, _)| *table == piece.table);
            match piece.kind {
                Kind::Row => {
                    rows = Some((piece.table, self.alive[place] || of_table.is_some_and(|(_, left)| left)))
                }
                Kind::Header => {
                    if let Some((_, left)) = of_table {
                        self.alive[place] = left;
                    }
                }
                Kind::Sentence => {}
            }
        }
    }

    /// Keeps what is worth most, as far as it fits.
    fn fit(&mut self, pieces: &[Piece], order: &[usize], most: usize) {
        if self.tokens(pieces) <= most as f64 {
            return;
        }
        let before = std::mem::replace(&mut self.alive, vec![false; pieces.len()]);
        let mut left = most as f64;
        let candidates =
            order.iter().rev().filter(|place| before[**place] && pieces[**place].kind != Kind::Header);
        for &place in candidates {
            let nothing_yet = left == most as f64;
            if pieces[place].tokens > left && !nothing_yet {
                continue;
            }
            let headers: Vec<usize> = headers(pieces, place).filter(|header| !self.alive[*header]).collect();
            let needed: f64 = headers.iter().chain([&place]).map(|place| pieces[*place].tokens).sum();
            if needed <= left || nothing_yet {
                headers.iter().chain([&place]).for_each(|place| self.alive[*place] = true);
                left -= needed;
            }
        }
        // A table may be nothing but the names of its columns.
        if let Some(best) =
            order.iter().rev().find(|place| before[**place]).filter(|_| !self.alive.contains(&true))
        {
            self.alive[*best] = true;
        }
        self.close(pieces, before, StepKind::Budget, false);
    }

    /// How well each word of the question is answered for: by the worth of the best sentence that has it.
    fn answered(&self, pieces: &[Piece]) -> Vec<f32> {
        let mut answered: Vec<f32> = Vec::new();
        for (_, piece) in self.living(pieces) {
            let share = piece.asked / piece.answers.len().max(1) as f32;
            for word in &piece.answers {
                if answered.len() <= *word {
                    answered.resize(word + 1, 0.0);
                }
                answered[*word] = answered[*word].max(share);
            }
        }
        answered
    }
}

/// Which sentences have each word.
#[derive(Default)]
struct Holders(HashMap<Word, Vec<usize>>);

impl Holders {
    fn of(pieces: &[Piece]) -> Self {
        let mut holders: HashMap<Word, Vec<usize>> = HashMap::new();
        for (place, piece) in pieces.iter().enumerate() {
            piece.said.topics.iter().for_each(|word| holders.entry(*word).or_default().push(place));
        }
        Self(holders)
    }

    /// The sentences that can have so many of the words of `piece` that they repeat it: each has at least one of its rarest
    /// ones, of which one more is taken than may be missing.
    fn near<'a>(&'a self, piece: &Piece) -> impl Iterator<Item = usize> + 'a {
        let mut lists: Vec<&[usize]> =
            piece.said.topics.iter().filter_map(|word| self.0.get(word).map(Vec::as_slice)).collect();
        lists.sort_by_key(|list| list.len());
        let missing = ((1.0 - REPEATED) * lists.len() as f32).ceil() as usize;
        lists.into_iter().take(missing + 1).flat_map(|list| list.iter().take(MOST_HOLDERS)).copied()
    }
}

/// The headers of the table that a row stands in: they are at its beginning.
fn headers(pieces: &[Piece], row: usize) -> impl Iterator<Item = usize> {
    (pieces[row].table..row).take_while(move |place| pieces[*place].kind == Kind::Header)
}

/// Which share of what was answered before is not answered any more.
fn lost(before: &[f32], after: &[f32]) -> f32 {
    let total: f32 = before.iter().sum();
    let gone = before.iter().enumerate().filter(|(word, _)| after.get(*word).is_none_or(|left| *left == 0.0));
    if total > 0.0 { gone.map(|(_, answered)| answered).sum::<f32>() / total } else { 0.0 }
}
