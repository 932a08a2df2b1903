//! From unrolled blocks back to the tables of specifications: atrous rates become the strides that they replaced,
//! blocks are grouped into rows, and the width multiplier is found at which the papers' tables have these channels.

use silhouette_network::spec::{Bottleneck, Feature, MobilenetV1, MobilenetV2, make_divisible};

/// A block as found: the elements of tables.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FoundBlock {
    /// Expansion; 1 without an expansion layer.
    pub(crate) t: usize,
    pub(crate) c_out: usize,
    pub(crate) stride: usize,
    pub(crate) rate: usize,
}

/// The width multipliers to try, the published ones first.
fn widths() -> impl Iterator<Item = f64> {
    let published = [1.0, 0.35, 0.5, 0.75, 1.3, 1.4];
    published.into_iter().chain((2..=40).map(|n| f64::from(n) * 0.05)).chain((1..=200).map(|n| f64::from(n) * 0.01))
}

/// The original stride of each block: its own, or the one that became the next block's rate.
fn nominal_strides(blocks: &[FoundBlock]) -> Vec<usize> {
    (0..blocks.len())
        .map(|i| {
            let next = blocks.get(i + 1).map_or(blocks[i].rate, |b| b.rate);
            let grown =
                if blocks[i].rate > 0 && next.is_multiple_of(blocks[i].rate) { next / blocks[i].rate } else { 1 };
            if blocks[i].stride > 1 { blocks[i].stride } else { grown.max(1) }
        })
        .collect()
}

/// Blocks grouped into rows of equal expansion and channels, each beginning at a stride.
pub(crate) fn rows(blocks: &[FoundBlock]) -> Vec<Bottleneck> {
    let mut rows: Vec<Bottleneck> = Vec::new();
    for (block, s) in blocks.iter().zip(nominal_strides(blocks)) {
        match rows.last_mut() {
            Some(row) if s == 1 && (row.t, row.c) == (block.t, block.c_out) => row.n += 1,
            _ => rows.push(Bottleneck { t: block.t, c: block.c_out, n: 1, s }),
        }
    }
    rows
}

/// Sets width, divisor, stem, table and last layer to match the channels found. If the paper's table matches at no
/// width, the channels become the table, at width 1.0 and rounded to 1.
pub(crate) fn fit_v2(v2: &mut MobilenetV2, rows: &[Bottleneck], last: Option<usize>) {
    let stem = v2.stem_channels;
    v2.feature = if last.is_some() { Feature::LastLayer } else { Feature::LastBottleneck };
    let paper = MobilenetV2::paper(1.0, v2.output_stride);
    let table = &paper.bottlenecks;
    let same_shape = rows.len() == table.len()
        && rows.iter().zip(table).all(|(row, paper)| (row.t, row.n, row.s) == (paper.t, paper.n, paper.s));
    let fits = |&(width, divisor): &(f64, usize)| {
        make_divisible(paper.stem_channels, width, divisor) == stem
            && rows.iter().zip(table).all(|(row, paper)| make_divisible(paper.c, width, divisor) == row.c)
            && last.is_none_or(|last| make_divisible(paper.last_channels, width.max(1.0), divisor) == last)
    };
    let found = widths().flat_map(|width| [(width, 8), (width, 1)]).find(|candidate| same_shape && fits(candidate));
    if let Some((width, divisor)) = found {
        (v2.width, v2.divisor) = (width, divisor);
        (v2.stem_channels, v2.last_channels) = (paper.stem_channels, paper.last_channels);
        v2.bottlenecks = paper.bottlenecks;
    } else {
        (v2.width, v2.divisor) = (1.0, 1);
        v2.last_channels = last.unwrap_or(paper.last_channels);
        v2.bottlenecks = rows.to_vec();
    }
}

/// The same if only channels and expansions are known and no strides: the paper's table or nothing. Blocks are
/// (expansion, output channels).
pub(crate) fn fit_v2_without_strides(
    stem: usize,
    blocks: &[(usize, usize)],
    last: Option<usize>,
) -> Option<MobilenetV2> {
    let mut v2 = MobilenetV2 { stem_channels: stem, ..MobilenetV2::paper(1.0, 32) };
    let unrolled = v2.bottlenecks.iter().flat_map(|row| std::iter::repeat_n(row, row.n));
    let channels = v2.bottlenecks.iter().scan(0, |at, row| {
        *at += row.n;
        blocks.get(*at - 1).map(|block| block.1)
    });
    let rows: Vec<Bottleneck> = v2.bottlenecks.iter().zip(channels).map(|(row, c)| Bottleneck { c, ..*row }).collect();
    let shape_fits = rows.len() == v2.bottlenecks.len()
        && unrolled.clone().count() == blocks.len()
        && unrolled.zip(blocks).all(|(row, block)| row.t == block.0)
        && rows.iter().flat_map(|row| std::iter::repeat_n(row.c, row.n)).eq(blocks.iter().map(|block| block.1));
    if !shape_fits {
        return None;
    }
    fit_v2(&mut v2, &rows, last);
    // The table kept its paper's shape, so its strides are the paper's.
    Some(v2)
}

/// The same for MobileNetV1: width, stem and blocks (output channels, stride); `None` if they cannot be expressed.
#[allow(clippy::type_complexity, reason = "one caller, which destructures it")]
pub(crate) fn fit_v1(stem: usize, blocks: &[FoundBlock]) -> Option<(f64, usize, Vec<(usize, usize)>)> {
    let strides = nominal_strides(blocks);
    let found: Vec<(usize, usize)> = blocks.iter().map(|b| b.c_out).zip(strides).collect();
    let paper = MobilenetV1::paper(1.0, 32);
    let table: Vec<(usize, usize)> = paper.blocks.iter().map(|block| (block.c, block.s)).collect();
    let same_shape = found.len() == table.len() && found.iter().zip(&table).all(|(found, paper)| found.1 == paper.1);
    let fits = |&width: &f64| {
        make_divisible(paper.stem_channels, width, 8) == stem
            && found.iter().zip(&table).all(|(found, paper)| make_divisible(paper.0, width, 8) == found.0)
    };
    if let Some(width) = widths().find(|width| same_shape && fits(width)) {
        return Some((width, paper.stem_channels, table));
    }
    let whole = stem.is_multiple_of(8) && found.iter().all(|(c, _)| c.is_multiple_of(8));
    whole.then_some((1.0, stem, found))
}
