//! What a question is about, as a few numbers: its embedding, projected.

use super::Values;

/// The numbers.
const NAMES: [&str; 16] = [
    "topic_00", "topic_01", "topic_02", "topic_03", "topic_04", "topic_05", "topic_06", "topic_07",
    "topic_08", "topic_09", "topic_10", "topic_11", "topic_12", "topic_13", "topic_14", "topic_15",
];

/// Puts what the projection of `embedding`, which should be of length 1, says.
///
/// The projection adds the embedding's parts with signs that are fixed for ever (Achlioptas 2003, theorem 1.1), so
/// it keeps distances for any encoder and needs no data: what was learned at different times, and by several
/// replicas, adds up. The numbers have a mean square of about 1.
pub(super) fn put(embedding: &[f32], values: &mut Values) {
    for (place, name) in NAMES.into_iter().enumerate() {
        let signed = embedding.iter().enumerate().map(|(part, value)| sign(place, part) * f64::from(*value));
        values.put(name, signed.sum());
    }
}

/// By the finaliser of SplitMix64 (Steele, Lea and Flood 2014), whose bits do not depend on a library's version.
fn sign(place: usize, part: usize) -> f64 {
    let mut bits = ((place as u64) << 32 | part as u64).wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    if (bits ^ (bits >> 31)) & 1 == 0 { 1.0 } else { -1.0 }
}
