//! `silhouette info --table paper`: the paper's tables of cost, counted from our networks, each figure next to the
//! published one.

use crate::failure::Failure;
use serde_json::{Value, json};
use silhouette_network::cost::{self, BlockFormula, Cost, MEMORY, Macs, PAPER, RESNET, Resnet};
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::{Aspp, Classifier, Extractor, Head, MobilenetV1, Spec};
use std::fmt::Write as _;

/// Our networks without a row in the paper, shown among the paper's own.
const BESIDE: &[(&str, &str)] = &[
    ("deeplabv3_mnv2_aspp_separable", "V2*, separable ASPP"),
    ("deeplabv3_mnv2_last_layer", "V2, last feature map"),
    ("deeplabv3_mnv2_dm05", "V2* 0.5"),
];

/// A row of the segmentation table.
struct Row {
    name: String,
    output_stride: usize,
    aspp: &'static str,
    six_scales_and_flips: bool,
    parameters: u64,
    macs: Macs,
    /// Parameters and multiply-adds in millions, mIOU, as printed in the paper.
    paper: Option<(f64, f64, f64)>,
    /// Why ours differs from the paper's by more than 1 %.
    note: Option<&'static str>,
}

/// The three tables as text.
pub(super) fn text() -> Result<String, Failure> {
    let mut text = String::from(
        "DeepLabV3 on PASCAL VOC, input 513x513 (paper, table 7). Multiply-adds 'counted' as the paper does: atrous maps padded to\n\
         a multiple of the rate; MF: six scales, each with its mirror image.\n\n",
    );
    let rows = segmentation()?;
    // Writing to a `String` cannot fail, here and below.
    let _ = writeln!(
        text,
        "{:22} {:>3} {:10} {:3} {:>9} {:>9} {:>9} {:>9} {:>9} {:>11}",
        "network", "OS", "ASPP", "MF", "params", "paper", "counted", "paper", "executed", "paper mIOU"
    );
    for row in &rows {
        let (parameters, macs, miou) = row.paper.map_or_else(
            || ("-".to_owned(), "-".to_owned(), "-".to_owned()),
            |(parameters, macs, miou)| (digits(parameters * 1e6), digits(macs * 1e6), format!("{miou:.2}")),
        );
        let _ = writeln!(
            text,
            "{:22} {:>3} {:10} {:3} {:>9} {parameters:>9} {:>9} {macs:>9} {:>9} {miou:>11}",
            row.name,
            row.output_stride,
            row.aspp,
            if row.six_scales_and_flips { "yes" } else { "" },
            digits(row.parameters as f64),
            digits(row.macs.paper as f64),
            digits(row.macs.executed as f64),
        );
    }
    for row in rows.iter().filter(|row| row.note.is_some()) {
        let _ = writeln!(text, "  {}: {}", row.name, row.note.unwrap_or_default());
    }
    text += "  ResNet-101: cost only, not a network of this library\n";

    text += "\nLargest map to materialise at each resolution, input 224x224, 16-bit values: channels / KB (paper, table 3)\n\n";
    let _ = writeln!(
        text,
        "{:>9} {:>14} {:>14} {:>14} {:>14} {:>16} {:>16}",
        "map", "V1", "paper", "V2", "paper", "V2, unfused", "ShuffleNet*"
    );
    for row in memory()? {
        let pair = |(channels, kb): (u64, u64)| format!("{channels} / {kb}");
        let published = |(channels, kb): (u32, u32)| pair((channels.into(), kb.into()));
        let _ = writeln!(
            text,
            "{:>9} {:>14} {:>14} {:>14} {:>14} {:>16} {:>16}",
            format!("{0}x{0}", row.side),
            pair(row.v1),
            published(row.paper.v1),
            pair(row.v2),
            published(row.paper.v2),
            pair(row.v2_unfused),
            published(row.paper.shufflenet),
        );
    }
    text += "  V2: between blocks, the expanded tensor never whole; 'unfused': of any layer. * 2x, g = 3, published figures only.\n\
             \x20 The paper gives V2's three middle resolutions the channels that the following stage writes, and V1's 7x7 twice the bytes.\n";

    text += "\nA 3x3 convolution against a depthwise-separable one, multiply-adds of MobileNetV1's blocks at 224x224 (paper, section 3.1:\n\
             '8 to 9 times smaller'; separable / convolution = 1 / d_o + 1 / k^2)\n\n";
    let _ = writeln!(
        text,
        "{:>9} {:>6} {:>6} {:>12} {:>10} {:>8} {:>17} {:>14}",
        "map", "d_i", "d_o", "convolution", "separable", "ratio", "1/d_o + 1/k^2", "times smaller"
    );
    for row in blocks()? {
        let ratio = row.formula.separable_ratio();
        let _ = writeln!(
            text,
            "{:>9} {:>6} {:>6} {:>12} {:>10} {ratio:>8.4} {:>17.4} {:>14.2}",
            format!("{0}x{0}", row.side),
            row.c_in,
            row.c_out,
            digits(row.formula.convolution as f64),
            digits(row.formula.separable as f64),
            1.0 / row.c_out as f64 + 1.0 / 9.0,
            1.0 / ratio,
        );
    }
    Ok(text)
}

/// A number with four digits and the paper's suffixes: 2.114 M, 2.741 B.
fn digits(number: f64) -> String {
    let (value, unit) = if number >= 1e9 { (number / 1e9, "B") } else { (number / 1e6, "M") };
    let before = value.max(1.0).log10() as usize + 1;
    format!("{value:.*} {unit}", 4usize.saturating_sub(before))
}

/// The same tables as one JSON object.
pub(super) fn json() -> Result<Value, Failure> {
    let segmentation = segmentation()?.into_iter().map(|row| {
        json!({
            "network": row.name,
            "output_stride": row.output_stride,
            "aspp": row.aspp,
            "six_scales_and_flips": row.six_scales_and_flips,
            "parameters": row.parameters,
            "macs_paper": row.macs.paper,
            "macs": row.macs.executed,
            "published": row.paper.map(|(parameters, macs, miou)| json!({
                "parameters_m": parameters, "macs_m": macs, "miou": miou,
            })),
            "exception": row.note,
        })
    });
    let memory = memory()?.into_iter().map(|row| {
        let pair = |(channels, kb): (u64, u64)| json!({ "channels": channels, "kb": kb });
        json!({
            "side": row.side,
            "v1": pair(row.v1),
            "v2": pair(row.v2),
            "v2_unfused": pair(row.v2_unfused),
            "published": row.paper,
        })
    });
    let blocks = blocks()?.into_iter().map(|row| {
        json!({
            "side": row.side,
            "c_in": row.c_in,
            "c_out": row.c_out,
            "convolution": row.formula.convolution,
            "separable": row.formula.separable,
            "ratio": row.formula.separable_ratio(),
        })
    });
    Ok(json!({
        "segmentation": segmentation.collect::<Vec<_>>(),
        "memory": memory.collect::<Vec<_>>(),
        "blocks": blocks.collect::<Vec<_>>(),
    }))
}

fn segmentation() -> Result<Vec<Row>, Failure> {
    let mut rows = Vec::new();
    for paper in PAPER {
        let Some(miou) = paper.miou else { continue };
        let name = paper.name.split(',').next().unwrap_or(paper.name).replace("MNet ", "");
        let published = Some((paper.parameters_m, paper.macs_m, miou));
        rows.push(Row {
            paper: published,
            note: paper.exception,
            ..row(paper.preset, name, paper.six_scales_and_flips)?
        });
    }
    for (preset, name) in BESIDE {
        rows.push(row(preset, (*name).to_owned(), false)?);
    }
    for paper in RESNET {
        let stride = paper.output_stride;
        let count =
            if paper.six_scales_and_flips { Resnet::six_scales_and_flips(stride) } else { Resnet::count(513, stride) };
        rows.push(Row {
            name: "ResNet-101".to_owned(),
            output_stride: stride,
            aspp: "yes",
            six_scales_and_flips: paper.six_scales_and_flips,
            parameters: count.parameters,
            macs: count.macs,
            paper: Some((paper.parameters_m, paper.macs_m, paper.miou)),
            note: None,
        });
    }
    Ok(rows)
}

/// The row of a preset.
fn row(preset: &str, name: String, six_scales_and_flips: bool) -> Result<Row, Failure> {
    let spec = Spec::preset(preset).map_err(Failure::general)?;
    let total = Cost::of(&Network::native(&spec).map_err(Failure::general)?).total;
    let macs = if six_scales_and_flips {
        cost::six_scales_and_flips(&spec).map_err(Failure::general)?
    } else {
        Macs { executed: total.macs, paper: total.macs_paper }
    };
    let output_stride = match &spec.extractor {
        Extractor::MobilenetV2(v2) => v2.output_stride,
        Extractor::MobilenetV1(v1) => v1.output_stride,
    };
    let aspp = match &spec.head {
        Head::DeeplabV3(head) => match head.aspp {
            Aspp::None => "",
            Aspp::Plain { .. } => "yes",
            Aspp::Separable { .. } => "separable",
        },
        Head::Classifier(_) => "",
    };
    let parameters = total.parameters;
    Ok(Row { name, output_stride, aspp, six_scales_and_flips, parameters, macs, paper: None, note: None })
}

/// A row of the memory table; channels and KB of 1000 bytes.
struct Memory {
    side: usize,
    v1: (u64, u64),
    v2: (u64, u64),
    v2_unfused: (u64, u64),
    paper: &'static cost::MemoryRow,
}

/// The classifiers that the paper compares, at 224x224.
fn classifiers() -> Result<(Network, Network), Failure> {
    let v2 = Spec::preset("mobilenet_v2").map_err(Failure::general)?;
    let mut v1 = v2.clone();
    v1.extractor = Extractor::MobilenetV1(MobilenetV1::paper(1.0, 32));
    v1.head = Head::Classifier(Classifier { classes: 1000 });
    let network = |spec: &Spec| Network::native(spec).map_err(Failure::general);
    Ok((network(&v1)?, network(&v2)?))
}

fn memory() -> Result<Vec<Memory>, Failure> {
    let (v1, v2) = classifiers()?;
    let v1 = cost::resolutions(&v1);
    let v2 = cost::resolutions(&v2);
    let at = |rows: &[cost::Resolution], side: usize| rows.iter().find(|row| row.height == side).copied();
    let kb = |bytes: u64| (bytes as f64 / 1e3).round() as u64;
    Ok(MEMORY
        .iter()
        .filter_map(|paper| {
            let v1 = at(&v1, paper.side)?;
            let v2 = at(&v2, paper.side)?;
            Some(Memory {
                side: paper.side,
                v1: (v1.between_blocks as u64, kb(v1.bytes_between_blocks(2))),
                v2: (v2.between_blocks as u64, kb(v2.bytes_between_blocks(2))),
                v2_unfused: (v2.any_layer as u64, kb(v2.bytes_any_layer(2))),
                paper,
            })
        })
        .collect())
}

/// A block of MobileNetV1 as a full convolution and as it is.
struct Block {
    side: usize,
    c_in: usize,
    c_out: usize,
    formula: BlockFormula,
}

/// The blocks of stride 1, each distinct shape once.
fn blocks() -> Result<Vec<Block>, Failure> {
    let (v1, _) = classifiers()?;
    let mut rows: Vec<Block> = Vec::new();
    for block in v1.blocks().filter(|block| block.depthwise.stride == 1) {
        let map = block.project.output;
        let c_in = block.c_in();
        let c_out = block.project.c_out;
        if rows.last().is_some_and(|last| (last.side, last.c_in, last.c_out) == (map.height, c_in, c_out)) {
            continue;
        }
        let formula = BlockFormula::of(Size::square(map.height), c_in as u64, c_out as u64, 3, 1);
        rows.push(Block { side: map.height, c_in, c_out, formula });
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_published_figure_is_beside_ours_and_near_or_explained() {
        let rows = segmentation().unwrap();
        assert_eq!(rows.iter().filter(|row| row.paper.is_some()).count(), 8);
        for row in &rows {
            let Some((parameters, macs, _)) = row.paper else { continue };
            let near = |ours: u64, paper: f64| (ours as f64 / 1e6 / paper - 1.0).abs() < 0.01;
            let good = near(row.parameters, parameters) && near(row.macs.paper, macs);
            assert_eq!(good, row.note.is_none(), "{}, OS {}", row.name, row.output_stride);
        }
        let memory = memory().unwrap();
        assert_eq!(memory.len(), MEMORY.len());
        // The largest row determines the memory, and there the paper and our count agree.
        assert_eq!((memory[0].v1, memory[0].v2), ((64, 1606), (16, 401)));
        assert_eq!((memory[0].paper.v1, memory[0].paper.v2), ((64, 1600), (16, 400)));
        for block in blocks().unwrap() {
            let ratio = block.formula.separable_ratio();
            assert!((ratio - (1.0 / block.c_out as f64 + 1.0 / 9.0)).abs() < 1e-12);
            assert!((7.8..9.0).contains(&(1.0 / ratio)), "{ratio}");
        }
        let text = text().unwrap();
        assert!(text.contains("4871 B") && text.contains("2.114 M"), "{text}");
        assert_eq!([999e3, 2.1e6, 11.15e6, 152.6e9].map(digits), ["0.999 M", "2.100 M", "11.15 M", "152.6 B"]);
    }
}
