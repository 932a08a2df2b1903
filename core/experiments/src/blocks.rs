//! Residual blocks left out of a trained network, without retraining: one at a time, then cumulatively, starting with
//! the least important one. A block with a shortcut is the identity plus something (paper, section 3.4), so the rest is
//! still a network; how much worse it is shows what each block contributes.

use serde::Serialize;
use silhouette::eval::Confusion;
use silhouette::{Model, Result};
use silhouette_network::network::{Conv, Network, Size};

use crate::chart::{Axis, Figure, Panel, Series, Style};

/// The quality of a network's masks.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Score {
    /// mIOU in percent: against the ground truth, or against the whole network's masks.
    pub miou: f64,
    /// Share of pixels with the same class, in percent.
    pub pixels: f64,
    /// Median time per image, in milliseconds.
    pub ms: f64,
}

impl Score {
    /// The counts.
    pub fn of(confusion: &Confusion, ms: f64) -> Self {
        let percent = |share: Option<f64>| 100.0 * share.unwrap_or(0.0);
        Self { miou: percent(confusion.miou()), pixels: percent(confusion.pixel_accuracy()), ms }
    }
}

/// A network without some blocks.
#[derive(Clone, Debug, Serialize)]
pub struct Dropped {
    /// The blocks left out, by their index in the whole chain.
    pub blocks: Vec<usize>,
    /// Multiply-adds per image.
    pub macs: u64,
    /// Parameters (including batch norm's, as the paper counts).
    pub parameters: u64,
    /// Its quality.
    pub score: Score,
}

/// All networks that were scored.
#[derive(Clone, Debug, Serialize)]
pub struct Experiment {
    /// Nothing left out.
    pub whole: Dropped,
    /// One block left out, in the order of the blocks.
    pub single: Vec<Dropped>,
    /// One more block left out each time, in the order of their cost when left out alone.
    pub cumulative: Vec<Dropped>,
}

/// Leaves out blocks of `model` and has `judge` score the rest, for inputs of `size`; `most`: maximum number of blocks
/// left out together.
///
/// # Errors
/// The error of `judge`, or ours converted with `From`.
pub fn experiment<E: From<silhouette::Error>>(
    model: &Model,
    size: usize,
    most: usize,
    mut judge: impl FnMut(&Model, &[usize]) -> std::result::Result<Score, E>,
) -> std::result::Result<Experiment, E> {
    let mut without = |blocks: &[usize]| -> std::result::Result<Dropped, E> {
        let less = model.without_blocks(blocks)?;
        let (macs, parameters) = cost(&less, size)?;
        Ok(Dropped { blocks: blocks.to_vec(), macs, parameters, score: judge(&less, blocks)? })
    };
    let whole = without(&[])?;
    let blocks = model.spec().droppable_blocks();
    let single = blocks.iter().map(|&block| without(&[block])).collect::<std::result::Result<Vec<_>, E>>()?;
    let mut order: Vec<&Dropped> = single.iter().collect();
    order.sort_by(|a, b| b.score.miou.total_cmp(&a.score.miou));
    let order: Vec<usize> = order.into_iter().flat_map(|dropped| dropped.blocks.clone()).collect();
    // One block left out was computed above.
    let mut cumulative: Vec<Dropped> = single.iter().filter(|d| d.blocks[..] == order[..1]).cloned().collect();
    for count in 2..=order.len().min(most) {
        cumulative.push(without(&order[..count])?);
    }
    Ok(Experiment { whole, single, cumulative })
}

/// Multiply-adds and parameters.
fn cost(model: &Model, size: usize) -> Result<(u64, u64)> {
    let network = Network::new(model.spec(), Size::square(size))?;
    let parameters = silhouette_network::cost::Cost::of(&network).total.parameters;
    Ok((network.convs().map(Conv::macs).sum(), parameters))
}

/// mIOU of each; `against`: the reference.
pub fn figure(experiment: &Experiment, name: &str, against: &str) -> Figure {
    let names = |list: &[Dropped]| {
        list.iter().map(|d| d.blocks.last().map_or(String::new(), usize::to_string)).collect::<Vec<_>>()
    };
    let scores = |list: &[Dropped]| list.iter().enumerate().map(|(i, d)| (i as f64, d.score.miou)).collect::<Vec<_>>();
    let whole = experiment.whole.score.miou;
    let across = |count: usize| vec![(-0.6, whole), (count as f64 - 0.4, whole)];
    let y = || Axis { range: Some((0.0, 100.0)), ..Axis::linear("mIOU, %") };
    let start = experiment.whole.macs as f64;
    let macs = experiment.cumulative.iter().enumerate().map(|(i, d)| (i as f64, 100.0 * d.macs as f64 / start));
    Figure {
        title: format!("Residual blocks of {name} left out, without retraining; mIOU against {against}"),
        columns: 2,
        panels: vec![
            Panel {
                title: "One block left out".into(),
                x: Axis::names("the block", names(&experiment.single)),
                y: y(),
                square: false,
                series: vec![
                    Series::new("without it", Style::Bars, 0, scores(&experiment.single)),
                    Series::new("whole network", Style::Dashed, 1, across(experiment.single.len())),
                ],
            },
            Panel {
                title: "One more left out each time".into(),
                x: Axis::names("the block left out in addition to those before", names(&experiment.cumulative)),
                y: Axis { label: "%".into(), ..y() },
                square: false,
                series: vec![
                    Series::new("mIOU", Style::Line, 0, scores(&experiment.cumulative)),
                    Series::new("multiply-adds", Style::Line, 2, macs.collect()),
                    Series::new("whole network", Style::Dashed, 1, across(experiment.cumulative.len())),
                ],
            },
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use silhouette_network::spec::Spec;
    use silhouette_weights::{ModelFile, seeded};

    fn model() -> Model {
        let spec = Spec::preset("fixture").unwrap();
        let weights = seeded(&Network::native(&spec).unwrap(), 3);
        Model::from_file(ModelFile::new(spec, weights).unwrap()).unwrap()
    }

    #[test]
    fn blocks_go_one_by_one_and_then_from_the_one_missed_least() {
        let model = model();
        let possible = model.spec().droppable_blocks();
        // Later blocks are missed less.
        let score = |blocks: &[usize]| 90.0 - blocks.iter().map(|b| 10.0 / *b as f64).sum::<f64>();
        let judge = |less: &Model, blocks: &[usize]| -> Result<Score> {
            assert_eq!(less.spec().droppable_blocks().len(), possible.len() - blocks.len());
            Ok(Score { miou: score(blocks), pixels: 0.0, ms: 1.0 })
        };
        let result = experiment(&model, 65, 4, judge).unwrap();
        assert_eq!(result.single.iter().flat_map(|d| d.blocks.clone()).collect::<Vec<_>>(), possible);
        assert_eq!(result.cumulative.len(), 4);
        let last: Vec<usize> = possible.iter().rev().copied().take(4).collect();
        assert_eq!(result.cumulative[3].blocks, last);
        assert!((result.cumulative[0].score.miou - score(&last[..1])).abs() < 1e-12);
        for pair in result.cumulative.windows(2) {
            assert!(pair[1].macs < pair[0].macs && pair[1].parameters < pair[0].parameters);
        }
        assert!(result.whole.macs > result.single[0].macs);
        let svg = figure(&result, "fixture", "true masks").svg();
        assert!(svg.contains("whole network") && svg.contains("mIOU, %"));
    }

    #[test]
    fn a_judges_error_ends_it() {
        let refuse = |_: &Model, blocks: &[usize]| match blocks {
            [4] => Err(silhouette::Error::from(silhouette_network::ModelError::Unsupported {
                what: "block 4".into(),
                why: "on purpose".into(),
            })),
            _ => Ok(Score { miou: 1.0, pixels: 1.0, ms: 1.0 }),
        };
        assert!(experiment(&model(), 65, 2, refuse).unwrap_err().to_string().contains("on purpose"));
    }
}
