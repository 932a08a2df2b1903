//! Validation of specs: JSON in, every impossible value rejected with its field named, and limits so that a hostile
//! spec can neither overflow a product nor cause absurd allocations.

use super::{
    Aspp, Bottleneck, Decoder, DeeplabV3, Extractor, FORMAT, Head, MobilenetV1, MobilenetV2, Padding, SeparableBlock,
    Shortcut, Spec, Task,
};
use crate::error::ModelError;

/// Largest input side.
pub const MAX_SIZE: usize = 16_384;
/// Largest number of channels of any layer, and of classes.
pub const MAX_CHANNELS: usize = 65_536;
/// Largest number of blocks of an extractor.
pub const MAX_BLOCKS: usize = 512;
/// Largest width multiplier.
pub const MAX_WIDTH: f64 = 16.0;
/// Largest atrous rate of ASPP.
pub const MAX_RATE: usize = 1024;
/// Largest number of ASPP rates.
pub const MAX_RATES: usize = 16;
/// Largest number of a decoder's skips.
pub const MAX_SKIPS: usize = 8;
/// Largest number of weights of a network: 4 GiB of f32.
pub const MAX_PARAMETERS: u64 = 1 << 30;

/// `channels` scaled by `width` and rounded to a multiple of `divisor`, at least `divisor`, and never below 90 % of the
/// exact value (a rule of the paper's reference code).
pub fn make_divisible(channels: usize, width: f64, divisor: usize) -> usize {
    let exact = channels as f64 * width;
    let rounded = ((exact + divisor as f64 / 2.0) as usize / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * exact { rounded + divisor } else { rounded }
}

/// One block of an extractor, before any map size is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) c_in: usize,
    /// Channels of the depthwise convolution; equal to `c_in` without expansion.
    pub(crate) wide: usize,
    pub(crate) expands: bool,
    pub(crate) c_out: usize,
    /// 1 if an atrous rate replaced the stride.
    pub(crate) stride: usize,
    pub(crate) rate: usize,
    pub(crate) shortcut: Shortcut,
}

/// Converts strides to rates, as TensorFlow's extractors do: once the running stride has reached the output stride, a
/// block's stride becomes 1, its own depthwise convolution keeps the rate so far, and the rate of later blocks is
/// multiplied by the omitted stride. With `dilate_first`, that block has the new rate itself.
struct Atrous {
    output_stride: usize,
    running: usize,
    rate: usize,
    dilate_first: bool,
}

impl Atrous {
    /// After a stem of stride 2.
    fn new(output_stride: usize, dilate_first: bool) -> Self {
        Self { output_stride, running: 2, rate: 1, dilate_first }
    }

    /// Stride and rate of the next block, if its nominal stride is `stride`.
    fn next(&mut self, stride: usize) -> (usize, usize) {
        if self.running == self.output_stride {
            let own = self.rate;
            self.rate *= stride;
            (1, if self.dilate_first { self.rate } else { own })
        } else {
            self.running *= stride;
            (stride, 1)
        }
    }
}

impl MobilenetV2 {
    /// Channels of the stem.
    pub fn stem(&self) -> usize {
        make_divisible(self.stem_channels, self.width, self.divisor)
    }

    /// Channels of the last 1x1 layer: scaled only by widths above 1.0.
    pub fn last(&self) -> usize {
        make_divisible(self.last_channels, self.width.max(1.0), self.divisor)
    }

    /// The whole chain, including dropped blocks. Requires a validated spec.
    pub(crate) fn chain(&self) -> Vec<Link> {
        let mut atrous = Atrous::new(self.output_stride, self.dilate_first);
        let mut c_in = self.stem();
        let mut chain = Vec::new();
        for row in &self.bottlenecks {
            let c_out = make_divisible(row.c, self.width, self.divisor);
            for i in 0..row.n {
                let nominal = if i == 0 { row.s } else { 1 };
                let (stride, rate) = atrous.next(nominal);
                let shortcut = match self.shortcut {
                    // There, the block was made with its stride.
                    _ if self.dilate_first && nominal > 1 => Shortcut::None,
                    Shortcut::Bottleneck if stride == 1 && c_in == c_out => Shortcut::Bottleneck,
                    Shortcut::Expansion if stride == 1 => Shortcut::Expansion,
                    _ => Shortcut::None,
                };
                let expands = row.t != 1;
                chain.push(Link { c_in, wide: c_in * row.t, expands, c_out, stride, rate, shortcut });
                c_in = c_out;
            }
        }
        chain
    }

    fn validate(&self) -> Result<(), ModelError> {
        width("extractor.width", self.width)?;
        at_most("extractor.divisor", self.divisor, 256)?;
        output_stride(self.output_stride)?;
        let channels = |field: String, c: usize| -> Result<(), ModelError> {
            at_most(&field, c, MAX_CHANNELS)?;
            at_most(&format!("{field} times the width"), make_divisible(c, self.width, self.divisor), MAX_CHANNELS)
        };
        channels("extractor.stem_channels".into(), self.stem_channels)?;
        at_most("extractor.last_channels", self.last_channels, MAX_CHANNELS)?;
        at_most("extractor.last_channels times the width", self.last(), MAX_CHANNELS)?;
        count("extractor.bottlenecks", self.bottlenecks.len(), MAX_BLOCKS)?;
        let mut blocks = 0;
        let mut c_in = self.stem();
        let mut stride = 2;
        for (i, &Bottleneck { t, c, n, s }) in self.bottlenecks.iter().enumerate() {
            let field = |f: &str| format!("extractor.bottlenecks[{i}].{f}");
            at_most(&field("t"), t, MAX_CHANNELS)?;
            channels(field("c"), c)?;
            at_most(&field("n"), n, MAX_BLOCKS)?;
            block_stride(&field("s"), s)?;
            blocks += n;
            count("extractor.bottlenecks (total blocks)", blocks, MAX_BLOCKS)?;
            let c_out = make_divisible(c, self.width, self.divisor);
            let widest = if n > 1 { c_in.max(c_out) } else { c_in };
            at_most(&format!("{} times the channels", field("t")), widest.saturating_mul(t), MAX_CHANNELS)?;
            c_in = c_out;
            stride = next_stride(&field("s"), stride, s)?;
        }
        let chain = self.chain();
        for (i, &dropped) in self.dropped_blocks.iter().enumerate() {
            let field = format!("extractor.dropped_blocks[{i}]");
            let link = chain
                .get(dropped)
                .ok_or_else(|| ModelError::spec(&field, format!("there are {} blocks, from 0", chain.len())))?;
            if link.shortcut != Shortcut::Bottleneck {
                let reason = format!("block {dropped} has no shortcut between its bottlenecks and cannot be left out");
                return Err(ModelError::spec(field, reason));
            }
            if self.dropped_blocks[..i].contains(&dropped) {
                return Err(ModelError::spec(field, format!("block {dropped} is listed twice")));
            }
        }
        reaches(self.output_stride, stride)
    }
}

impl MobilenetV1 {
    /// Channels are rounded as for MobileNetV2.
    pub const DIVISOR: usize = 8;

    /// Channels of the stem.
    pub fn stem(&self) -> usize {
        make_divisible(self.stem_channels, self.width, Self::DIVISOR)
    }

    /// The whole chain. Requires a validated spec.
    pub(crate) fn chain(&self) -> Vec<Link> {
        let mut atrous = Atrous::new(self.output_stride, false);
        let mut c_in = self.stem();
        let mut link = |block: &SeparableBlock| {
            let (stride, rate) = atrous.next(block.s);
            let c_out = make_divisible(block.c, self.width, Self::DIVISOR);
            let link = Link { c_in, wide: c_in, expands: false, c_out, stride, rate, shortcut: Shortcut::None };
            c_in = c_out;
            link
        };
        self.blocks.iter().map(&mut link).collect()
    }

    fn validate(&self) -> Result<(), ModelError> {
        width("extractor.width", self.width)?;
        output_stride(self.output_stride)?;
        let channels = |field: String, c: usize| -> Result<(), ModelError> {
            at_most(&field, c, MAX_CHANNELS)?;
            at_most(&format!("{field} times the width"), make_divisible(c, self.width, Self::DIVISOR), MAX_CHANNELS)
        };
        channels("extractor.stem_channels".into(), self.stem_channels)?;
        count("extractor.blocks", self.blocks.len(), MAX_BLOCKS)?;
        let mut stride = 2;
        for (i, block) in self.blocks.iter().enumerate() {
            let field = |f: &str| format!("extractor.blocks[{i}].{f}");
            channels(field("c"), block.c)?;
            block_stride(&field("s"), block.s)?;
            stride = next_stride(&field("s"), stride, block.s)?;
        }
        reaches(self.output_stride, stride)
    }
}

impl DeeplabV3 {
    fn validate(&self) -> Result<(), ModelError> {
        at_most("head.classes", self.classes, MAX_CHANNELS)?;
        at_most("head.channels", self.channels, MAX_CHANNELS)?;
        let rates = match &self.aspp {
            Aspp::None => &[][..],
            Aspp::Plain { rates } | Aspp::Separable { rates } => {
                count("head.aspp.rates", rates.len(), MAX_RATES)?;
                rates
            }
        };
        for (i, &rate) in rates.iter().enumerate() {
            at_most(&format!("head.aspp.rates[{i}]"), rate, MAX_RATE)?;
        }
        at_most("head.channels times the branches", self.channels * (rates.len() + 2), MAX_CHANNELS)
    }
}

impl Decoder {
    /// Channels that each skip's stage writes.
    pub fn written(&self) -> impl Iterator<Item = usize> {
        self.skips.iter().map(|skip| skip.out.unwrap_or(self.channels))
    }

    /// `extractor`: validated; the skips read its maps. `before`: channels of the map that the first stage reads.
    fn validate(&self, extractor: &Extractor, before: usize) -> Result<(), ModelError> {
        at_most("head.decoder.channels", self.channels, MAX_CHANNELS)?;
        count("head.decoder.skips", self.skips.len(), MAX_SKIPS)?;
        let mut coarser = extractor.output_stride();
        let mut channels = before;
        for ((i, skip), written) in self.skips.iter().enumerate().zip(self.written()) {
            let field = |f: &str| format!("head.decoder.skips[{i}].{f}");
            if skip.stride >= coarser {
                let reason = format!("{} is not below {coarser}: skips go from coarse to fine", skip.stride);
                return Err(ModelError::spec(field("stride"), reason));
            }
            if extractor.last_block_at(skip.stride).is_none() {
                let reason = format!("no block of the extractor writes a map at stride {}", skip.stride);
                return Err(ModelError::spec(field("stride"), reason));
            }
            at_most(&field("channels"), skip.channels, MAX_CHANNELS)?;
            at_most(&field("channels with those from below"), channels + skip.channels, MAX_CHANNELS)?;
            at_most(&field("out"), written, MAX_CHANNELS)?;
            coarser = skip.stride;
            channels = written;
        }
        Ok(())
    }
}

impl Extractor {
    /// Input size divided by the size of the last map.
    pub fn output_stride(&self) -> usize {
        match self {
            Self::MobilenetV2(v2) => v2.output_stride,
            Self::MobilenetV1(v1) => v1.output_stride,
        }
    }

    /// The last block that writes a map at `stride` (input size divided by map size), by its index in the whole chain;
    /// omitted blocks do not count. Requires a validated extractor.
    pub(crate) fn last_block_at(&self, stride: usize) -> Option<usize> {
        let (chain, dropped) = match self {
            Self::MobilenetV2(v2) => (v2.chain(), &v2.dropped_blocks[..]),
            Self::MobilenetV1(v1) => (v1.chain(), &[][..]),
        };
        let mut running = 2;
        let mut last = None;
        for (index, link) in chain.iter().enumerate() {
            running *= link.stride;
            if running == stride && !dropped.contains(&index) {
                last = Some(index);
            }
        }
        last
    }
}

impl Spec {
    /// The same network at another output stride.
    #[must_use]
    pub fn with_output_stride(&self, output_stride: usize) -> Self {
        let mut spec = self.clone();
        match &mut spec.extractor {
            Extractor::MobilenetV2(v2) => v2.output_stride = output_stride,
            Extractor::MobilenetV1(v1) => v1.output_stride = output_stride,
        }
        spec
    }

    /// The blocks that can be left out: those still present with a shortcut between their bottlenecks, by their index
    /// in the whole chain.
    pub fn droppable_blocks(&self) -> Vec<usize> {
        let Extractor::MobilenetV2(v2) = &self.extractor else { return Vec::new() };
        let chain = v2.chain().into_iter().enumerate();
        let shortcuts = chain.filter(|(_, link)| link.shortcut == Shortcut::Bottleneck).map(|(index, _)| index);
        shortcuts.filter(|index| !v2.dropped_blocks.contains(index)).collect()
    }

    /// The same network with these blocks left out too; any of [`droppable_blocks`](Self::droppable_blocks).
    ///
    /// # Errors
    /// [`ModelError::Spec`] for a block that has no shortcut between its bottlenecks, does not exist, or is left out
    /// already.
    pub fn without_blocks(&self, blocks: &[usize]) -> Result<Self, ModelError> {
        let mut spec = self.clone();
        match &mut spec.extractor {
            Extractor::MobilenetV2(v2) => v2.dropped_blocks.extend(blocks),
            Extractor::MobilenetV1(_) if blocks.is_empty() => {}
            Extractor::MobilenetV1(_) => {
                return Err(ModelError::spec("extractor", "MobileNetV1 has no residual blocks to leave out"));
            }
        }
        spec.validate()?;
        Ok(spec)
    }

    /// The meaning of the output: `task`, or what the head implies.
    pub fn task(&self) -> Task {
        self.task.unwrap_or(match self.head {
            Head::Classifier(_) => Task::Scores,
            Head::DeeplabV3(_) => Task::Categories,
        })
    }

    /// Number of logits per pixel (or per image): the number of classes, but 1 for an alpha.
    pub fn classes(&self) -> usize {
        match &self.head {
            Head::Classifier(head) => head.classes,
            Head::DeeplabV3(head) => head.classes,
        }
    }

    /// The spec as one line of JSON, as stored in a model file.
    ///
    /// # Panics
    /// Never: a spec is plain data.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("a spec is plain data with string keys")
    }

    /// Reads and validates JSON.
    ///
    /// # Errors
    /// [`ModelError::UnknownFormat`] for another format version, [`ModelError::Spec`] with the field (or the position
    /// in the text) for everything else.
    pub fn from_json(text: &str) -> Result<Self, ModelError> {
        // The version first: a newer format may have fields unknown to this version.
        #[derive(serde::Deserialize)]
        struct Version {
            format: u64,
        }
        let version: Version = serde_json::from_str(text).map_err(json_error)?;
        if version.format != u64::from(FORMAT) {
            return Err(ModelError::UnknownFormat { found: version.format, newest: FORMAT });
        }
        let spec: Self = serde_json::from_str(text).map_err(json_error)?;
        spec.validate()?;
        Ok(spec)
    }

    /// Rejects every spec that does not describe a valid network, or exceeds this library's limits.
    ///
    /// # Errors
    /// [`ModelError::Spec`] with the first invalid field, as a path in the JSON;
    /// [`ModelError::UnknownFormat`] for another format version.
    pub fn validate(&self) -> Result<(), ModelError> {
        if self.format != FORMAT {
            return Err(ModelError::UnknownFormat { found: u64::from(self.format), newest: FORMAT });
        }
        match &self.extractor {
            Extractor::MobilenetV2(v2) => v2.validate()?,
            Extractor::MobilenetV1(v1) => v1.validate()?,
        }
        match &self.head {
            Head::Classifier(head) => at_most("head.classes", head.classes, MAX_CHANNELS)?,
            Head::DeeplabV3(head) => {
                head.validate()?;
                if let Some(decoder) = &head.decoder {
                    decoder.validate(&self.extractor, head.channels)?;
                }
            }
        }
        epsilon("batch_norm_epsilon", self.batch_norm_epsilon)?;
        epsilon("head_batch_norm_epsilon", self.head_batch_norm_epsilon.unwrap_or(self.batch_norm_epsilon))?;
        at_most("input.size", self.input.size, MAX_SIZE)?;
        if self.padding == Padding::BlockInput && self.input.size < 3 {
            return Err(ModelError::spec(
                "input.size",
                "smaller than the first kernel, around which this padding has no zeros",
            ));
        }
        for (i, (mean, std)) in self.input.mean.iter().zip(self.input.std).enumerate() {
            if !mean.is_finite() {
                return Err(ModelError::spec(format!("input.mean[{i}]"), format!("{mean} is not a finite number")));
            }
            if !(std.is_finite() && std.abs() >= 1e-6) {
                return Err(ModelError::spec(format!("input.std[{i}]"), format!("cannot divide by {std}")));
            }
        }
        let task = self.task();
        let logits = self.classes();
        let possible = match task {
            Task::Categories => matches!(self.head, Head::DeeplabV3(_)),
            Task::Alpha => matches!(self.head, Head::DeeplabV3(_)) && logits == 1,
            Task::Scores => matches!(self.head, Head::Classifier(_)),
        };
        if !possible {
            let reason = format!("{task:?} does not match this head with {logits} classes; an alpha has one class");
            return Err(ModelError::spec("task", reason));
        }
        // An alpha is one logit for two classes.
        let classes = if task == Task::Alpha { 2 } else { logits };
        if self.labels.len() != classes {
            let reason = format!("{} labels for {classes} classes", self.labels.len());
            return Err(ModelError::spec("labels", reason));
        }
        if !self.colors.is_empty() && self.colors.len() != classes {
            let reason = format!("{} colours for {classes} classes; none means VOC's palette", self.colors.len());
            return Err(ModelError::spec("colors", reason));
        }
        Ok(())
    }
}

fn json_error(e: serde_json::Error) -> ModelError {
    ModelError::spec(format!("line {} column {}", e.line(), e.column()), e.to_string())
}

fn width(field: &str, width: f64) -> Result<(), ModelError> {
    if width.is_finite() && width > 0.0 && width <= MAX_WIDTH {
        Ok(())
    } else {
        Err(ModelError::spec(field, format!("{width} is not above 0 and at most {MAX_WIDTH}")))
    }
}

fn output_stride(stride: usize) -> Result<(), ModelError> {
    if matches!(stride, 8 | 16 | 32) {
        Ok(())
    } else {
        Err(ModelError::spec("extractor.output_stride", format!("{stride} is not 8, 16 or 32")))
    }
}

fn block_stride(field: &str, stride: usize) -> Result<(), ModelError> {
    if matches!(stride, 1 | 2) { Ok(()) } else { Err(ModelError::spec(field, format!("{stride} is not 1 or 2"))) }
}

/// The product of the strides so far; more than 256 (32 times the smallest output stride, 8) makes no sense.
fn next_stride(field: &str, so_far: usize, stride: usize) -> Result<usize, ModelError> {
    let product = so_far * stride;
    if product > 256 {
        return Err(ModelError::spec(field, format!("the product of the strides so far is {product}, more than 256")));
    }
    Ok(product)
}

fn reaches(output_stride: usize, strides: usize) -> Result<(), ModelError> {
    if strides >= output_stride {
        return Ok(());
    }
    let reason = format!("{output_stride} is never reached: the product of the strides is {strides}");
    Err(ModelError::spec("extractor.output_stride", reason))
}

fn epsilon(field: &str, value: f64) -> Result<(), ModelError> {
    if value.is_finite() && (0.0..=1.0).contains(&value) {
        Ok(())
    } else {
        Err(ModelError::spec(field, format!("{value} is not in 0 to 1")))
    }
}

fn at_most(field: &str, value: usize, limit: usize) -> Result<(), ModelError> {
    if (1..=limit).contains(&value) {
        Ok(())
    } else {
        Err(ModelError::spec(field, format!("{value} is not in 1 to {limit}")))
    }
}

fn count(field: &str, value: usize, limit: usize) -> Result<(), ModelError> {
    match value {
        0 => Err(ModelError::spec(field, "empty")),
        n if n > limit => Err(ModelError::spec(field, format!("{n} exceed the limit of {limit}"))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Feature, Skip};

    #[test]
    fn channels_round_to_eight_and_never_below_ninety_percent() {
        // Widths of the published models.
        assert_eq!(make_divisible(32, 1.4, 8), 48);
        assert_eq!(make_divisible(24, 0.35, 8), 8);
        assert_eq!(make_divisible(32, 0.35, 8), 16); // 11.2 rounds to 8, which is below 90 %
        assert_eq!(make_divisible(160, 0.35, 8), 56);
        assert_eq!(make_divisible(24, 0.5, 1), 12);
        assert_eq!(make_divisible(16, 0.01, 8), 8);
    }

    #[test]
    fn last_layer_does_not_shrink_below_width_one() {
        assert_eq!(MobilenetV2::paper(0.35, 32).last(), 1280);
        assert_eq!(MobilenetV2::paper(1.4, 32).last(), 1792);
    }

    #[test]
    fn strides_past_the_output_stride_become_rates_of_the_blocks_after() {
        let of = |os| MobilenetV2::paper(1.0, os).chain().iter().map(|l| (l.stride, l.rate)).collect::<Vec<_>>();
        let os32 = of(32);
        let os16 = of(16);
        let os8 = of(8);
        assert!(os32.iter().all(|l| l.1 == 1));
        assert_eq!((os32[6], os32[13]), ((2, 1), (2, 1)));
        assert_eq!((os16[6], os16[13], os16[14], os16[16]), ((2, 1), (1, 1), (1, 2), (1, 2)));
        assert_eq!((os8[6], os8[7], os8[13], os8[14]), ((1, 1), (1, 2), (1, 2), (1, 4)));
        // As segmentation_models_pytorch dilates: a whole stage at once.
        let first = |os| MobilenetV2 { dilate_first: true, ..MobilenetV2::paper(1.0, os) }.chain();
        let of = |os| first(os).iter().map(|l| (l.stride, l.rate)).collect::<Vec<_>>();
        let os16 = of(16);
        let os8 = of(8);
        assert_eq!((os16[6], os16[12], os16[13], os16[16]), ((2, 1), (1, 1), (1, 2), (1, 2)));
        assert_eq!((os8[5], os8[6], os8[12], os8[13], os8[16]), ((1, 1), (1, 2), (1, 2), (1, 4), (1, 4)));
        // Where strides are lost, equal channels make no shortcut.
        let narrow = MobilenetV2 { dilate_first: true, ..MobilenetV2::paper(0.1, 8) };
        assert_eq!(narrow.chain()[6].shortcut, Shortcut::None);
        assert_eq!(MobilenetV2::paper(0.1, 8).chain()[6].shortcut, Shortcut::Bottleneck);
        let v1: Vec<_> = MobilenetV1::paper(1.0, 16).chain().iter().map(|l| (l.stride, l.rate)).collect();
        assert_eq!((v1[5], v1[11], v1[12]), ((2, 1), (1, 1), (1, 2)));
    }

    #[test]
    fn shortcuts_where_the_paper_has_them() {
        let chain = MobilenetV2::paper(1.0, 32).chain();
        let with: Vec<_> = (0..17).filter(|&i| chain[i].shortcut == Shortcut::Bottleneck).collect();
        assert_eq!(with, [2, 4, 5, 7, 8, 9, 11, 12, 14, 15]);
        let wide = MobilenetV2 { shortcut: Shortcut::Expansion, ..MobilenetV2::paper(1.0, 32) }.chain();
        assert!(wide.iter().all(|l| (l.stride == 1) == (l.shortcut == Shortcut::Expansion)));
    }

    /// Each edit makes a good spec invalid, and the error names the field.
    #[test]
    fn impossible_specs_are_refused_with_the_field() {
        type Edit = (&'static str, fn(&mut Spec));
        fn v2(spec: &mut Spec) -> &mut MobilenetV2 {
            match &mut spec.extractor {
                Extractor::MobilenetV2(v2) => v2,
                Extractor::MobilenetV1(_) => unreachable!(),
            }
        }
        fn head(spec: &mut Spec) -> &mut DeeplabV3 {
            match &mut spec.head {
                Head::DeeplabV3(head) => head,
                Head::Classifier(_) => unreachable!(),
            }
        }
        const SKIP: Skip = Skip { stride: 8, channels: 4, out: None };
        fn decoder(strides: &[usize]) -> Decoder {
            Decoder { skips: strides.iter().map(|&stride| Skip { stride, ..SKIP }).collect(), channels: 16 }
        }
        let edits: &[Edit] = &[
            ("extractor.width", |s| v2(s).width = f64::NAN),
            ("extractor.width", |s| v2(s).width = 0.0),
            ("extractor.width", |s| v2(s).width = -1.0),
            ("extractor.width", |s| v2(s).width = 1e9),
            ("extractor.divisor", |s| v2(s).divisor = 0),
            ("extractor.output_stride", |s| v2(s).output_stride = 12),
            ("extractor.output_stride", |s| v2(s).bottlenecks.truncate(2)),
            ("extractor.stem_channels", |s| v2(s).stem_channels = 0),
            ("extractor.last_channels", |s| v2(s).last_channels = usize::MAX),
            ("extractor.bottlenecks", |s| v2(s).bottlenecks.clear()),
            ("extractor.bottlenecks[1].t", |s| v2(s).bottlenecks[1].t = 0),
            ("extractor.bottlenecks[1].t", |s| v2(s).bottlenecks[1].t = 60_000),
            ("extractor.bottlenecks[2].c", |s| v2(s).bottlenecks[2].c = usize::MAX),
            ("extractor.bottlenecks[3].n", |s| v2(s).bottlenecks[3].n = 0),
            ("extractor.bottlenecks[3].n", |s| v2(s).bottlenecks[3].n = usize::MAX),
            ("extractor.bottlenecks[4].s", |s| v2(s).bottlenecks[4].s = 3),
            ("extractor.dropped_blocks[0]", |s| v2(s).dropped_blocks = vec![17]),
            ("extractor.dropped_blocks[0]", |s| v2(s).dropped_blocks = vec![1]),
            ("extractor.dropped_blocks[1]", |s| v2(s).dropped_blocks = vec![2, 2]),
            ("head.classes", |s| head(s).classes = 0),
            ("head.channels", |s| head(s).channels = 0),
            ("head.channels", |s| head(s).channels = 60_000),
            ("head.aspp.rates", |s| head(s).aspp = Aspp::Plain { rates: vec![] }),
            ("head.aspp.rates[1]", |s| head(s).aspp = Aspp::Separable { rates: vec![6, 0] }),
            ("head.aspp.rates[0]", |s| head(s).aspp = Aspp::Separable { rates: vec![usize::MAX] }),
            ("head.decoder.skips", |s| head(s).decoder = Some(decoder(&[]))),
            ("head.decoder.skips", |s| head(s).decoder = Some(decoder(&[8; 9]))),
            ("head.decoder.skips[0].stride", |s| head(s).decoder = Some(decoder(&[16, 8]))),
            ("head.decoder.skips[0].stride", |s| head(s).decoder = Some(decoder(&[0]))),
            ("head.decoder.skips[0].stride", |s| head(s).decoder = Some(decoder(&[3]))),
            ("head.decoder.skips[0].stride", |s| head(s).decoder = Some(decoder(&[1]))),
            ("head.decoder.skips[1].stride", |s| head(s).decoder = Some(decoder(&[4, 4]))),
            ("head.decoder.skips[1].stride", |s| head(s).decoder = Some(decoder(&[4, 8]))),
            ("head.decoder.skips[0].stride", |s| {
                // No block writes a map at stride 2: the first one has stride 2 itself.
                v2(s).bottlenecks[0].s = 2;
                head(s).decoder = Some(decoder(&[2]));
            }),
            ("head.decoder.channels", |s| head(s).decoder = Some(Decoder { channels: 0, ..decoder(&[8]) })),
            ("head.decoder.skips[0].out", |s| {
                head(s).decoder = Some(Decoder { channels: 1, skips: vec![Skip { out: Some(0), ..SKIP }] });
            }),
            ("head.decoder.skips[0].channels", |s| {
                head(s).decoder = Some(Decoder { channels: 1, skips: vec![Skip { channels: 0, ..SKIP }] });
            }),
            ("head.decoder.skips[0].channels with those from below", |s| {
                head(s).decoder = Some(Decoder { channels: 1, skips: vec![Skip { channels: MAX_CHANNELS, ..SKIP }] });
            }),
            ("batch_norm_epsilon", |s| s.batch_norm_epsilon = f64::NAN),
            ("head_batch_norm_epsilon", |s| s.head_batch_norm_epsilon = Some(-1.0)),
            ("input.size", |s| s.input.size = 0),
            ("input.size", |s| (s.input.size, s.padding) = (2, Padding::BlockInput)),
            ("input.size", |s| s.input.size = 1 << 20),
            ("input.mean[2]", |s| s.input.mean[2] = f32::INFINITY),
            ("input.std[1]", |s| s.input.std[1] = 0.0),
            ("labels", |s| s.labels.truncate(3)),
            ("colors", |s| s.colors = vec![[0; 3]; 4]),
        ];
        for (field, edit) in edits {
            let mut spec = Spec::preset("deeplabv3_mnv2").unwrap();
            edit(&mut spec);
            match spec.validate() {
                Err(ModelError::Spec { field: named, .. }) => assert!(named.starts_with(field), "{named} for {field}"),
                other => panic!("{field}: {other:?}"),
            }
        }
    }

    #[test]
    fn a_block_with_a_shortcut_can_be_dropped() {
        let mut spec = Spec::preset("deeplabv3_mnv2").unwrap();
        let Extractor::MobilenetV2(v2) = &mut spec.extractor else { unreachable!() };
        v2.dropped_blocks = vec![2, 15];
        v2.feature = Feature::LastLayer;
        spec.validate().unwrap();
        assert_eq!(spec.droppable_blocks(), [4, 5, 7, 8, 9, 11, 12, 14]);
        let less = spec.without_blocks(&[14, 4]).unwrap();
        assert_eq!(less.droppable_blocks(), [5, 7, 8, 9, 11, 12]);
        for wrong in [[15], [3], [99]] {
            assert!(matches!(spec.without_blocks(&wrong), Err(ModelError::Spec { .. })), "{wrong:?}");
        }
        let v1 = Spec::preset("deeplabv3_mnv1_aspp").unwrap();
        assert!(v1.droppable_blocks().is_empty() && v1.without_blocks(&[]).is_ok());
        assert!(matches!(v1.without_blocks(&[4]), Err(ModelError::Spec { .. })));
    }

    #[test]
    fn json_errors_say_where() {
        let good = Spec::preset("fixture").unwrap().to_json();
        let newer = good.replacen("\"format\":1", "\"format\":9", 1);
        assert!(matches!(Spec::from_json(&newer), Err(ModelError::UnknownFormat { found: 9, .. })));
        let unknown = good.replacen("\"divisor\"", "\"divisors\"", 1);
        let text = Spec::from_json(&unknown).unwrap_err().to_string();
        assert!(text.contains("divisors"), "{text}");
        for cut in [0, 1, 20, good.len() - 1] {
            assert!(matches!(Spec::from_json(&good[..cut]), Err(ModelError::Spec { .. })));
        }
    }
}
