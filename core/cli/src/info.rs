//! `silhouette info`: the layers and costs of a network; without arguments, the presets.

mod paper;

use crate::args::{Info, Table};
use crate::failure::Failure;
use crate::{load, output};
use serde_json::{Value, json};
use silhouette_network::cost::{self, Cost, JoinKind, LayerCost, LayerKind, PAPER, PaperRow};
use silhouette_network::network::{Network, Size};
use silhouette_network::spec::{Spec, Task};
use std::fmt::Write as _;

/// Runs the command.
///
/// # Errors
/// If a model or spec cannot be read or is impossible.
pub(crate) fn info(args: &Info) -> Result<(), Vec<Failure>> {
    show(args).map_err(|failure| vec![failure])
}

fn show(args: &Info) -> Result<(), Failure> {
    if let Some(Table::Paper) = args.table {
        let text = if args.json { paper::json()?.to_string() } else { paper::text()? };
        output::say(text.trim_end());
        return Ok(());
    }
    let spec = match (&args.model, &args.spec) {
        (Some(path), _) => load::model(path)?.spec().clone(),
        (None, Some(name)) => load::spec(name)?,
        (None, None) => {
            presets(args.json);
            return Ok(());
        }
    };
    let size = args.size.unwrap_or(spec.input.size);
    let about = |error: silhouette_network::ModelError| match &args.model {
        Some(path) => Failure::new(path, error),
        None => Failure::general(error),
    };
    let network = Network::new(&spec, Size::square(size)).map_err(about)?;
    let cost = Cost::of(&network);
    let paper = if size == spec.input.size { figures(&spec, &cost)? } else { Vec::new() };
    if args.json {
        let paper: Vec<Value> = paper.iter().map(Figures::json).collect();
        let memory: Vec<_> = cost::resolutions(&network);
        output::say(&json!({ "spec": spec, "cost": cost, "resolutions": memory, "paper": paper }).to_string());
    } else {
        output::say(table(&spec, &cost, &network, &paper).trim_end());
    }
    Ok(())
}

fn presets(json: bool) {
    if json {
        let presets: Vec<Value> =
            Spec::presets().map(|(name, about)| json!({ "name": name, "about": about })).collect();
        output::say(&json!({ "presets": presets }).to_string());
        return;
    }
    let width = Spec::presets().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, about) in Spec::presets() {
        output::say(&format!("{name:width$}  {about}"));
    }
}

/// A row of the paper next to our counts.
struct Figures {
    row: &'static PaperRow,
    parameters: u64,
    executed: u64,
    counted: u64,
}

/// The paper's figures for this network, if it is one of the paper's.
fn figures(spec: &Spec, cost: &Cost) -> Result<Vec<Figures>, Failure> {
    let rows = PAPER.iter().filter(|row| row.preset == spec.name);
    rows.map(|row| {
        let (executed, counted) = if row.six_scales_and_flips {
            let sum = cost::six_scales_and_flips(spec).map_err(Failure::general)?;
            (sum.executed, sum.paper)
        } else {
            (cost.total.macs, cost.total.macs_paper)
        };
        Ok(Figures { row, parameters: cost.total.parameters, executed, counted })
    })
    .collect()
}

impl Figures {
    fn json(&self) -> Value {
        json!({
            "row": self.row,
            "parameters": self.parameters,
            "macs": self.executed,
            "macs_paper": self.counted,
        })
    }

    fn text(&self) -> String {
        let percent = |ours: u64, theirs: f64| (ours as f64 / 1e6 / theirs - 1.0) * 100.0;
        let mut text = format!(
            "paper, '{}': {} M parameters (ours {:+.1} %), {} M MACs (ours counted the same way {} {:+.1} %, executed {})",
            self.row.name,
            self.row.parameters_m,
            percent(self.parameters, self.row.parameters_m),
            self.row.macs_m,
            short(self.counted),
            percent(self.counted, self.row.macs_m),
            short(self.executed),
        );
        if let Some(exception) = self.row.exception {
            let _ = write!(text, "; {exception}");
        }
        text
    }
}

/// Writing to a `String` cannot fail.
fn table(spec: &Spec, cost: &Cost, network: &Network, paper: &[Figures]) -> String {
    let mut text = String::new();
    let mut line = |line: &str| {
        let _ = writeln!(text, "{}", output::one_line(line).trim_end());
    };
    let Size { height, width } = cost.input;
    let gives = match spec.task() {
        Task::Alpha => "an alpha".to_owned(),
        Task::Categories | Task::Scores => format!("{} classes", spec.labels.len()),
    };
    line(&format!("'{}': {gives}, input {width}x{height}", spec.name));
    for (what, value) in [("licence", &spec.licence), ("from", &spec.provenance)] {
        if !value.is_empty() {
            line(&format!("{what}: {value}"));
        }
    }
    line("");
    let names = cost.layers.iter().map(|layer| &layer.name).chain(cost.joins.iter().map(|join| &join.name));
    let name = names.map(String::len).max().unwrap_or(0).max(5);
    line(&format!(
        "{:name$}  {:20} {:>15} {:>9} {:>9} {:>9} {:>9}",
        "layer", "kind", "output (H W C)", "params", "macs", "as paper", "values"
    ));
    for layer in &cost.layers {
        let shape = format!("{} {} {}", layer.output.height, layer.output.width, layer.output.channels);
        let paper = if layer.macs_paper == layer.macs { String::new() } else { short(layer.macs_paper) };
        line(&format!(
            "{:name$}  {:20} {shape:>15} {:>9} {:>9} {paper:>9} {:>9}",
            layer.name,
            kind(layer),
            short(layer.parameters),
            short(layer.macs),
            short(layer.activation)
        ));
    }
    for join in &cost.joins {
        let shape = format!("{} {} {}", join.output.height, join.output.width, join.output.channels);
        let kind = match join.kind {
            JoinKind::Average => "average".to_owned(),
            JoinKind::Resize => "resize".to_owned(),
            JoinKind::Concat => format!("concat of {}", join.inputs),
            JoinKind::Sum => format!("sum of {}", join.inputs),
        };
        let values = short(join.output.values());
        line(&format!("{:name$}  {kind:20} {shape:>15} {:>9} {:>9} {:>9} {values:>9}", join.name, "", "", ""));
    }
    line("");
    let total = &cost.total;
    line(&format!(
        "{} parameters with batch norm (as the paper counts), {} with it folded, biases not counted",
        short(total.parameters),
        short(total.weights)
    ));
    line(&format!("{} MACs executed", short(total.macs)));
    if total.macs_paper != total.macs {
        line(&format!("{} MACs as the paper counts (atrous maps padded)", short(total.macs_paper)));
    }
    line(&format!("largest map: {} of {} values", total.largest_layer, short(total.largest_activation)));
    for figures in paper {
        line(&figures.text());
    }
    line("");
    line("largest maps by resolution, 16-bit values (the paper's table 3): between blocks, of any layer");
    for row in cost::resolutions(network) {
        line(&format!(
            "{:>9}  {:>9} B ({} channels)  {:>9} B ({} channels)",
            format!("{}x{}", row.width, row.height),
            short(row.bytes_between_blocks(2)),
            row.between_blocks,
            short(row.bytes_any_layer(2)),
            row.any_layer
        ));
    }
    text
}

fn kind(layer: &LayerCost) -> String {
    let mut text = match layer.kind {
        LayerKind::Depthwise => format!("depthwise {0}x{0}", layer.kernel),
        LayerKind::Convolution | LayerKind::Pointwise => format!("{0}x{0}", layer.kernel),
    };
    if layer.stride > 1 {
        let _ = write!(text, " /{}", layer.stride);
    }
    if layer.rate > 1 {
        let _ = write!(text, " rate {}", layer.rate);
    }
    text
}

/// A number with three or four digits: 864, 12.3 k, 3.47 M, 2.74 G.
fn short(number: u64) -> String {
    let (value, unit) = match number {
        0..1_000 => return number.to_string(),
        1_000..1_000_000 => (number as f64 / 1e3, "k"),
        1_000_000..1_000_000_000 => (number as f64 / 1e6, "M"),
        _ => (number as f64 / 1e9, "G"),
    };
    let digits = match value {
        small if small < 10.0 => 2,
        middle if middle < 100.0 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_short_and_keep_three_digits() {
        let texts = [0, 999, 1_000, 12_345, 3_470_000, 299_600_000, 2_741_000_000].map(short);
        assert_eq!(texts, ["0", "999", "1.00 k", "12.3 k", "3.47 M", "300 M", "2.74 G"]);
    }
}
