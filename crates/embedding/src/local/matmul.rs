//! Matrix products in single precision with the right-hand side packed into panels.
//!
//! The scheme is that of BLIS (Low et al., "Analytical Modeling Is Enough for High-Performance BLIS", TOMS 2016),
//! cut down to what an encoder needs: the left-hand rows are read where they lie, the right-hand side is packed once
//! (weights at load, keys and values a head at a time), and a tile of the product stays in registers over the whole
//! depth, so that the bias and what is added to cost no extra pass.

use rten_simd::ops::{BitOps, NumOps};
use rten_simd::{Isa, Simd, SimdOp};

/// The most rows of a tile.
pub(super) const TILE_ROWS: usize = 6;

/// The right-hand side of a product, `depth` × `columns`, in panels of adjacent columns that a tile reads in order.
///
/// The last panel is as wide as it must be, rounded up to a whole vector and filled with zeros.
#[derive(Debug, Default)]
pub(super) struct Packed {
    values: Vec<f32>,
    depth: usize,
    columns: usize,
    shape: PanelShape,
}

impl Packed {
    /// Packs the transpose of `columns` rows of `depth` numbers that start `stride` apart, as weights and keys are kept.
    pub(super) fn pack_transposed(&mut self, source: &[f32], stride: usize, columns: usize, depth: usize) {
        self.reset(depth, columns);
        for panel in panels(self.shape, columns) {
            let target = &mut self.values[panel.first * depth..][..panel.width * depth];
            for column in 0..panel.used {
                let row = &source[(panel.first + column) * stride..][..depth];
                for (slot, &value) in target[column..].iter_mut().step_by(panel.width).zip(row) {
                    *slot = value;
                }
            }
        }
    }

    /// Packs `depth` rows of `columns` numbers that start `stride` apart, as values are kept.
    pub(super) fn pack(&mut self, source: &[f32], stride: usize, depth: usize, columns: usize) {
        self.reset(depth, columns);
        for panel in panels(self.shape, columns) {
            let target = &mut self.values[panel.first * depth..][..panel.width * depth];
            for (slots, row) in target.chunks_exact_mut(panel.width).zip(source.chunks(stride)) {
                slots[..panel.used].copy_from_slice(&row[panel.first..][..panel.used]);
            }
        }
    }

    /// The columns, rounded up to whole vectors.
    pub(super) fn padded_columns(&self) -> usize {
        self.columns.next_multiple_of(self.shape.lanes)
    }

    fn reset(&mut self, depth: usize, columns: usize) {
        self.depth = depth;
        self.columns = columns;
        self.values.clear();
        self.values.resize(depth * self.padded_columns(), 0.0);
    }
}

/// How wide vectors and panels are.
#[derive(Clone, Copy, Debug)]
struct PanelShape {
    lanes: usize,
    width: usize,
}

impl PanelShape {
    const fn of(lanes: usize) -> Self {
        Self { lanes, width: lanes * panel_vectors(lanes) }
    }
}

impl Default for PanelShape {
    /// The shape for this machine.
    fn default() -> Self {
        Self::of(LanesOp.dispatch())
    }
}

struct LanesOp;

impl SimdOp for LanesOp {
    type Output = usize;

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) -> usize {
        isa.f32().len()
    }
}

/// Vectors a panel: six rows of four accumulators want more than the 16 registers there are before AVX-512.
#[inline(always)]
const fn panel_vectors(lanes: usize) -> usize {
    if lanes >= 16 { 4 } else { 2 }
}

/// One panel: its first column, its width in memory and how many of its columns are real.
struct Panel {
    first: usize,
    width: usize,
    used: usize,
}

fn panels(shape: PanelShape, columns: usize) -> impl Iterator<Item = Panel> {
    (0..columns).step_by(shape.width).map(move |first| {
        let used = shape.width.min(columns - first);
        Panel { first, width: used.next_multiple_of(shape.lanes), used }
    })
}

/// What a product is added to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Onto<'a> {
    /// Nothing.
    Nothing,
    /// A bias a column, padded to whole vectors.
    Bias(&'a [f32]),
    /// What the output holds, and a bias a column, padded to whole vectors.
    Output(&'a [f32]),
}

/// Rows that start `stride` apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rows<'a> {
    /// The numbers, from the first row's first.
    pub(super) values: &'a [f32],
    /// The distance from row to row.
    pub(super) stride: usize,
    /// How many rows.
    pub(super) count: usize,
}

/// Writes `left` × `right` (+ `onto`) to the first `width` columns of rows that start `stride` apart in `output`.
///
/// `width` is the number of columns, or that number padded to whole vectors where the output has room for it.
pub(super) fn multiply(
    left: Rows<'_>,
    right: &Packed,
    onto: Onto<'_>,
    output: &mut [f32],
    stride: usize,
    width: usize,
) {
    debug_assert!(width == right.columns || width == right.padded_columns());
    Multiply { left, right, onto, output, stride, width }.dispatch();
}

struct Multiply<'a> {
    left: Rows<'a>,
    right: &'a Packed,
    onto: Onto<'a>,
    output: &'a mut [f32],
    stride: usize,
    width: usize,
}

impl SimdOp for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn eval<I: Isa>(self, isa: I) {
        let Self { left, right, onto, output, stride, width } = self;
        for panel in panels(right.shape, width) {
            let block = Block {
                left,
                panel: &right.values[panel.first * right.depth..][..panel.width * right.depth],
                depth: right.depth,
                onto,
                first: panel.first,
                used: panel.used,
                stride,
            };
            let lanes = isa.f32().len();
            match panel.width / lanes {
                1 => block.multiply::<I, 1>(isa, output),
                2 => block.multiply::<I, 2>(isa, output),
                3 if panel_vectors(lanes) > 2 => block.multiply::<I, 3>(isa, output),
                4 if panel_vectors(lanes) > 2 => block.multiply::<I, 4>(isa, output),
                _ => {}
            }
        }
    }
}

/// All rows against one panel.
#[derive(Clone, Copy)]
struct Block<'a> {
    left: Rows<'a>,
    panel: &'a [f32],
    depth: usize,
    onto: Onto<'a>,
    first: usize,
    used: usize,
    stride: usize,
}

impl Block<'_> {
    /// Cuts the rows into tiles of even height, so that no tile is left with one row to a panel's worth of loads.
    #[inline(always)]
    fn multiply<I: Isa, const VECTORS: usize>(self, isa: I, output: &mut [f32]) {
        let tiles = self.left.count.div_ceil(TILE_ROWS).max(1);
        let (height, taller) = (self.left.count / tiles, self.left.count % tiles);
        let mut row = 0;
        for tile in 0..tiles {
            let rows = height + usize::from(tile < taller);
            match rows {
                6 => self.tile::<I, 6, VECTORS>(isa, row, output),
                5 => self.tile::<I, 5, VECTORS>(isa, row, output),
                4 => self.tile::<I, 4, VECTORS>(isa, row, output),
                3 => self.tile::<I, 3, VECTORS>(isa, row, output),
                2 => self.tile::<I, 2, VECTORS>(isa, row, output),
                1 => self.tile::<I, 1, VECTORS>(isa, row, output),
                _ => {}
            }
            row += rows;
        }
    }

    #[inline(always)]
    fn tile<I: Isa, const ROWS: usize, const VECTORS: usize>(self, isa: I, row: usize, output: &mut [f32]) {
        let ops = isa.f32();
        let lanes = ops.len();
        let target = &mut output[row * self.stride + self.first..];
        let rows: [&[f32]; ROWS] =
            std::array::from_fn(|r| &self.left.values[(row + r) * self.left.stride..][..self.depth]);

        let mut sums = [[ops.zero(); VECTORS]; ROWS];
        if let Onto::Bias(bias) | Onto::Output(bias) = self.onto {
            sums = [ops.load_many::<VECTORS>(&bias[self.first..]); ROWS];
        }
        for (k, line) in self.panel.chunks_exact(VECTORS * lanes).enumerate().take(self.depth) {
            let line = ops.load_many::<VECTORS>(line);
            for r in 0..ROWS {
                let factor = ops.splat(rows[r][k]);
                for v in 0..VECTORS {
                    sums[r][v] = ops.mul_add(factor, line[v], sums[r][v]);
                }
            }
        }

        // The sums stay in registers only as long as no index into them is computed: hence a copy for what follows.
        let sums = sums;
        self.write(isa, &sums, target);
    }

    #[inline(always)]
    fn write<I: Isa, const ROWS: usize, const VECTORS: usize>(
        self,
        isa: I,
        sums: &[[I::F32; VECTORS]; ROWS],
        target: &mut [f32],
    ) {
        let ops = isa.f32();
        let lanes = ops.len();
        let add = matches!(self.onto, Onto::Output(_));
        for (r, sums) in sums.iter().enumerate() {
            let slots = &mut target[r * self.stride..][..self.used];
            for (&sum, slot) in sums.iter().zip(slots.chunks_mut(lanes)) {
                let sum = if add { ops.add(sum, ops.load_pad(slot).0) } else { sum };
                if slot.len() == lanes {
                    ops.store(sum, slot);
                } else {
                    slot.copy_from_slice(&sum.to_array().as_ref()[..slot.len()]);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rten_simd::isa::GenericIsa;

    use super::*;

    /// Runs a product with every instruction set that there is here.
    fn products(
        left: Rows<'_>,
        pack: impl Fn(&mut Packed),
        onto: Onto<'_>,
        before: &[f32],
        stride: usize,
        padded: bool,
    ) -> Vec<(usize, Vec<f32>)> {
        let mut found = Vec::new();
        let mut run = |lanes: Option<usize>, multiply: &dyn Fn(Multiply<'_>)| {
            let shape = lanes.map_or_else(PanelShape::default, PanelShape::of);
            let mut right = Packed { shape, ..Packed::default() };
            pack(&mut right);
            let mut output = before.to_vec();
            let width = if padded { right.padded_columns() } else { right.columns };
            multiply(Multiply { left, right: &right, onto, output: &mut output, stride, width });
            found.push((width, output));
        };
        run(None, &|product| product.dispatch());
        run(Some(4), &|product| product.eval(GenericIsa::new()));
        #[cfg(target_arch = "x86_64")]
        if let Some(isa) = rten_simd::isa::Avx2Isa::new() {
            run(Some(8), &|product| product.eval(isa));
        }
        found
    }

    fn numbers(count: usize, seed: usize) -> Vec<f32> {
        (0..count).map(|i| ((i * 31 + seed * 17) % 101) as f32 / 50.0 - 1.0).collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]
        #[test]
        fn products_match_the_definition(
            rows in 1usize..20,
            depth in 1usize..40,
            columns in 1usize..150,
            gap in 0usize..5,
            padded: bool,
        ) {
            let (left_stride, right_stride, stride) = (depth + gap, columns + gap, columns.next_multiple_of(16) + gap);
            let left = numbers(rows * left_stride, 1);
            let right_rows = numbers(depth * right_stride, 2);
            let mut bias = numbers(columns, 3);
            let before = numbers(rows * stride, 4);
            let mut transposed = vec![0.0; columns * depth];
            for (place, slot) in transposed.iter_mut().enumerate() {
                *slot = right_rows[place % depth * right_stride + place / depth];
            }
            bias.resize(columns.next_multiple_of(16), 0.0);

            let mut by_row = Packed::default();
            by_row.pack(&right_rows, right_stride, depth, columns);
            let mut by_column = Packed::default();
            by_column.pack_transposed(&transposed, depth, columns, depth);
            prop_assert_eq!(&by_row.values, &by_column.values);

            let operand = Rows { values: &left, stride: left_stride, count: rows };
            for (onto, biased, added) in
                [(Onto::Nothing, 0.0, 0.0), (Onto::Bias(&bias), 1.0, 0.0), (Onto::Output(&bias), 1.0, 1.0)]
            {
                let pack = |right: &mut Packed| right.pack(&right_rows, right_stride, depth, columns);
                for (width, output) in products(operand, pack, onto, &before, stride, padded) {
                    for (place, &found) in output.iter().enumerate() {
                        let (row, column) = (place / stride, place % stride);
                        if column < columns {
                            let product: f32 = (0..depth)
                                .map(|k| left[row * left_stride + k] * right_rows[k * right_stride + column])
                                .sum();
                            let expected = product + biased * bias[column] + added * before[place];
                            prop_assert!((found - expected).abs() < 1e-4);
                        } else if column >= width {
                            prop_assert_eq!(found, before[place], "wrote past the row");
                        }
                    }
                }
            }
        }
    }
}
