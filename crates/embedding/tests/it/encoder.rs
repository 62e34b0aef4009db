//! The encoder against its plain definition, over shapes, batches and threads.

use burnish_types::{Embedder, TokenEmbedder, dot};
use proptest::prelude::*;
use safetensors::Dtype;

use super::naive;
use super::tiny::{Tiny, tokens_of};

fn tinies() -> impl Strategy<Value = Tiny> {
    let shape =
        (1usize..4, prop::sample::select(vec![3usize, 8, 16, 33]), 1usize..3, 1usize..70, 100usize..140);
    let kind = (
        prop::sample::select(vec!["bert", "roberta"]),
        prop::sample::select(vec!["gelu", "gelu_new", "relu"]),
        prop::sample::select(vec!["mean", "cls", "max"]),
        prop::sample::select(vec![Dtype::F32, Dtype::F16, Dtype::BF16]),
        prop::sample::select(vec!["", "bert."]),
        any::<u64>(),
    );
    (shape, kind).prop_map(
        |(
            (heads, head_width, layers, intermediate, positions),
            (model_type, activation, pooling, precision, prefix, seed),
        )| {
            let max_length = positions - 10;
            Tiny {
                model_type,
                heads,
                head_width,
                layers,
                intermediate,
                positions,
                max_length,
                activation,
                pooling,
                precision,
                prefix,
                seed,
            }
        },
    )
}

fn close(found: &[f32], expected: &[f64]) -> bool {
    found.len() == expected.len() && found.iter().zip(expected).all(|(a, b)| (f64::from(*a) - b).abs() < 5e-5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 30, ..ProptestConfig::default() })]

    #[test]
    fn vectors_are_those_of_the_definition(
        tiny in tinies(),
        texts in prop::collection::vec("([a-z]{1,9}( [a-z]{1,9}){0,24})?", 1..8),
        threads in 1usize..4,
    ) {
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let (encoder, weights) = (tiny.load(threads), tiny.weights());
        let vectors = encoder.embed(&texts).unwrap();
        let matrices = encoder.embed_tokens(&texts).unwrap();
        prop_assert_eq!(vectors.len(), texts.len());
        prop_assert_eq!(matrices.len(), texts.len());
        for ((text, vector), matrix) in texts.iter().zip(&vectors).zip(&matrices) {
            let tokens = tokens_of(text, tiny.max_length);
            let states = naive::states(&tiny, &weights, &tokens);
            let expected = naive::pool(tiny.pooling, &states);
            prop_assert!(close(vector, &expected), "{text}: {vector:?} instead of {expected:?}");
            prop_assert_eq!(matrix.rows().len(), tokens.len() - 2);
            for (row, state) in matrix.rows().zip(&states[1..]) {
                prop_assert!(close(row, &naive::unit(state)));
            }
        }
    }

    #[test]
    fn counts_are_what_the_tokenizer_makes(
        text in "([a-c\u{0}\u{7}\u{b}\u{85}\u{a0}\u{200b}\u{301}é中,\\[ \t\r\n]|\\[SEP\\]){0,30}",
    ) {
        let encoder = Tiny { max_length: 200, positions: 200, layers: 1, ..Tiny::default() }.load(1);
        let tokens = encoder.embed_tokens(&[&text]).unwrap()[0].rows().len();
        prop_assert_eq!(encoder.count_tokens(&text), tokens);
        prop_assert_eq!(encoder.count_tokens(&text), tokens, "the second time, from memory");
    }
}

#[test]
fn a_batch_changes_nothing() {
    let encoder = Tiny { positions: 140, max_length: 130, ..Tiny::default() }.load(2);
    let texts: Vec<String> = (0..60).map(|i| "abc defgh i ".repeat(i % 13) + &"z".repeat(i % 5)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = encoder.embed(&texts).unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        let alone = &encoder.embed(&[text]).unwrap()[0];
        assert!(alone.iter().zip(vector).all(|(a, b)| (a - b).abs() < 1e-5), "{text}");
        assert!((dot(vector, vector) - 1.0).abs() < 1e-5);
    }
}

#[test]
fn nothing_and_next_to_nothing() {
    let encoder = Tiny::default().load(2);
    assert!(encoder.embed(&[]).unwrap().is_empty());
    assert!(encoder.embed_tokens(&[]).unwrap().is_empty());
    assert_eq!(encoder.count_tokens(""), 0);
    let blank = encoder.embed(&["", " \n\t "]).unwrap();
    assert_eq!(blank[0].len(), encoder.dimensions());
    assert_eq!(blank[0], blank[1]);
    assert!(encoder.embed_tokens(&[""]).unwrap()[0].values.is_empty());
}

#[test]
fn long_texts_are_cut_but_counted_in_full() {
    let encoder = Tiny::default().load(1);
    assert_eq!(encoder.max_tokens(), 22);
    let (long, cut) = ("ab ".repeat(50), "ab ".repeat(11));
    assert_eq!(encoder.count_tokens(&long), 100);
    assert_eq!(encoder.embed(&[&long]).unwrap(), encoder.embed(&[&cut]).unwrap());
    assert_eq!(encoder.embed_tokens(&[&long]).unwrap()[0].rows().len(), 22);
}

#[test]
fn many_threads_share_an_encoder() {
    let encoder = Tiny::default().load(2);
    let texts = ["a", "bc def", "ghi jkl mno", ""];
    let expected = encoder.embed(&texts).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(encoder.embed(&texts).unwrap(), expected));
        }
    });
}
