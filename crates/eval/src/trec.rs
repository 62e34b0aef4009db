//! TREC's formats: runs (`query Q0 document rank score tag`) and qrels (`query 0 document grade`).

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io::Write;
use std::path::Path;

use crate::EvalError;
use crate::dataset::{Lines, Qrels};
use crate::measures::Ranking;

/// What was found for each query: documents with their scores, in the file's order.
pub type Run = BTreeMap<String, Vec<(String, f32)>>;

/// Writes one query's ranking; `tag` names the system. Scores have as many digits as they need to be read
/// back as the same number, so that ties and order survive.
///
/// # Errors
/// If an id or the tag is empty or has white space, a score is not finite, or `file` can't be written.
pub fn write_ranking(
    file: &mut impl Write,
    query: &str,
    ranking: &Ranking<'_>,
    tag: &str,
) -> Result<(), EvalError> {
    check_word("the query id", query)?;
    check_word("the tag", tag)?;
    for (place, (document, score)) in ranking.scored().iter().enumerate() {
        check_word("the document id", document)?;
        if !score.is_finite() {
            let rule = "a score is a finite number";
            return Err(EvalError::Unwritable { what: "the score", value: score.to_string(), rule });
        }
        writeln!(file, "{query} Q0 {document} {} {score} {tag}", place + 1).map_err(EvalError::Write)?;
    }
    Ok(())
}

/// Writes judgements in TREC's form.
///
/// # Errors
/// If an id is empty or has white space, or `file` can't be written.
pub fn write_qrels(file: &mut impl Write, qrels: &Qrels) -> Result<(), EvalError> {
    for (query, grades) in qrels {
        check_word("the query id", query)?;
        let ordered: BTreeMap<_, _> = grades.iter().collect();
        for (document, grade) in ordered {
            check_word("the document id", document)?;
            writeln!(file, "{query} 0 {document} {grade}").map_err(EvalError::Write)?;
        }
    }
    Ok(())
}

/// Reads a run, gzip'd where its name ends in `.gz`. Ranks are not looked at: scores order a run, as in trec_eval.
///
/// # Errors
/// If the file can't be read, a line has another form, or a query names a document twice.
pub fn read_run(path: &Path) -> Result<Run, EvalError> {
    let mut run = Run::new();
    let mut documents = std::collections::HashSet::new();
    for line in Lines::open(path)? {
        let (number, line) = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [query, _, document, _, score, _] = fields[..] else {
            let reason =
                format!("`query Q0 document rank score tag` has six fields, this line {}", fields.len());
            return Err(EvalError::line(path, number, reason));
        };
        let score: f32 = score.parse().ok().filter(|score: &f32| score.is_finite()).ok_or_else(|| {
            EvalError::line(path, number, format!("the score `{score}` is not a finite number"))
        })?;
        if !documents.insert((query.to_owned(), document.to_owned())) {
            let reason = format!("query `{query}` has the document `{document}` twice: keep one of them");
            return Err(EvalError::line(path, number, reason));
        }
        run.entry(query.to_owned()).or_default().push((document.to_owned(), score));
    }
    Ok(run)
}

/// Reads judgements in TREC's form, gzip'd where the name ends in `.gz`.
///
/// # Errors
/// If the file can't be read, has no judgement, a line has another form, or a document is judged twice.
pub fn read_qrels(path: &Path) -> Result<Qrels, EvalError> {
    let mut qrels = Qrels::new();
    for line in Lines::open(path)? {
        let (number, line) = line?;
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let [query, _, document, grade] = fields[..] else {
            let reason = format!("`query 0 document grade` has four fields, this line {}", fields.len());
            return Err(EvalError::line(path, number, reason));
        };
        let grade = grade.parse().map_err(|_| {
            EvalError::line(path, number, format!("the grade `{grade}` is not a whole number"))
        })?;
        insert_grade(&mut qrels, query, document, grade)
            .map_err(|reason| EvalError::line(path, number, reason))?;
    }
    if qrels.is_empty() {
        return Err(EvalError::NoJudgements { path: path.to_owned() });
    }
    Ok(qrels)
}

/// Adds a judgement, or says why not. `true` where it is the query's first.
pub(crate) fn insert_grade(
    qrels: &mut Qrels,
    query: &str,
    document: &str,
    grade: i32,
) -> Result<bool, String> {
    let (grades, first) = match qrels.entry(query.to_owned()) {
        Entry::Vacant(place) => (place.insert(Default::default()), true),
        Entry::Occupied(place) => (place.into_mut(), false),
    };
    match grades.insert(document.to_owned(), grade) {
        None => Ok(first),
        Some(_) => Err(format!("query `{query}` judges the document `{document}` twice: keep one of them")),
    }
}

fn check_word(what: &'static str, value: &str) -> Result<(), EvalError> {
    if !value.is_empty() && !value.contains(char::is_whitespace) {
        return Ok(());
    }
    let rule = "it is not empty and has no white space, since white space separates the fields";
    Err(EvalError::Unwritable { what, value: value.to_owned(), rule })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stored(text: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn runs_are_written_in_trec_form() {
        let ranking = Ranking::new([("d2", 0.1), ("d#1", 1.5), ("d3", 0.1)]);
        let mut text = Vec::new();
        write_ranking(&mut text, "q1", &ranking, "hybrid").unwrap();
        let expected = "q1 Q0 d#1 1 1.5 hybrid\nq1 Q0 d3 2 0.1 hybrid\nq1 Q0 d2 3 0.1 hybrid\n";
        assert_eq!(String::from_utf8(text).unwrap(), expected);
    }

    #[test]
    fn what_trec_form_cannot_say_is_refused() {
        let cases =
            [("q 1", "d", 1.0, "t"), ("", "d", 1.0, "t"), ("q", "d\t1", 1.0, "t"), ("q", "d", 1.0, "a b")];
        let infinite = ("q", "d", f32::INFINITY, "t");
        for (query, document, score, tag) in cases.into_iter().chain([infinite]) {
            let written = write_ranking(&mut Vec::new(), query, &Ranking::new([(document, score)]), tag);
            assert!(matches!(written, Err(EvalError::Unwritable { .. })), "{query:?} {document:?} {tag:?}");
        }
    }

    #[test]
    fn broken_lines_are_named() {
        let cases: [(&[u8], &str); 5] = [
            (
                b"q Q0 d 1 0.5 t\nq Q0 d 2",
                ":2: `query Q0 document rank score tag` has six fields, this line 4",
            ),
            (b"q Q0 d 1 high t\n", ":1: the score `high` is not a finite number"),
            (b"q Q0 d 1 NaN t\n", ":1: the score `NaN` is not a finite number"),
            (b"q Q0 d 1 2 t\n\nq Q0 d 2 1 t\n", ":3: query `q` has the document `d` twice: keep one of them"),
            (b"q Q0 \xff 1 2 t\n", ":1: it is not UTF-8 text"),
        ];
        for (text, expected) in cases {
            let file = stored(text);
            let message = read_run(file.path()).unwrap_err().to_string();
            assert_eq!(message, format!("{}{expected}", file.path().display()));
        }
        let qrels: [(&[u8], &str); 3] =
            [(b"q 0 d", ":1: "), (b"q 0 d x", "is not a whole number"), (b"q 0 d 1\nq 0 d 1", "twice")];
        for (text, expected) in qrels {
            let message = read_qrels(stored(text).path()).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert!(matches!(read_qrels(stored(b"\n").path()), Err(EvalError::NoJudgements { .. })));
    }

    proptest! {
        #[test]
        fn runs_survive_writing_and_reading(scores in proptest::collection::vec(any::<f32>(), 1..20)) {
            let ids: Vec<String> = (0..scores.len()).map(|i| format!("d{i}")).collect();
            let finite = scores.iter().map(|score| if score.is_finite() { *score } else { 0.0 });
            let ranking = Ranking::new(ids.iter().map(String::as_str).zip(finite));
            let mut text = Vec::new();
            write_ranking(&mut text, "q", &ranking, "t").unwrap();
            let run = read_run(stored(&text).path()).unwrap();
            let again = Ranking::new(run["q"].iter().map(|(id, score)| (id.as_str(), *score)));
            prop_assert_eq!(ranking, again);
        }

        #[test]
        fn qrels_survive_writing_and_reading(
            judged in proptest::collection::btree_map(
                "[a-z]{1,3}", proptest::collection::hash_map("[a-z#]{1,3}", -2..4i32, 1..5), 1..5)
        ) {
            let mut text = Vec::new();
            write_qrels(&mut text, &judged).unwrap();
            prop_assert_eq!(read_qrels(stored(&text).path()).unwrap(), judged);
        }
    }
}
