//! The compiled plan as one candle operation: tensor in, tensor out, so that it can be part of a candle program.

use std::sync::Mutex;

use candle_core::{CpuStorage, CustomOp1, DType, Error, Layout, Result, Shape, Tensor, bail};
use silhouette_kernels::rows::Planes;
use silhouette_plan::{ModelError, Plan, PlanState};

/// A plan with an arena of its own: (N, 3, H, W) to the logits (N, classes, h, w), f32, on the CPU.
#[derive(Debug)]
pub struct PlanOp {
    plan: Plan,
    state: Mutex<PlanState>,
}

impl PlanOp {
    /// Allocates the plan's arena. Calls from several threads wait for each other.
    ///
    /// # Errors
    /// As [`Plan::new_state`].
    pub fn new(plan: Plan) -> std::result::Result<Self, ModelError> {
        let state = Mutex::new(plan.new_state()?);
        Ok(Self { plan, state })
    }

    /// Runs the plan on `x` (N, 3, H, W).
    ///
    /// # Errors
    /// candle's, for another shape, type or device.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        if x.dtype() != DType::F32 {
            bail!("{} wants f32, got {:?}", self.name(), x.dtype());
        }
        x.contiguous()?.apply_op1_no_bwd(self)
    }
}

impl CustomOp1 for PlanOp {
    fn name(&self) -> &'static str {
        "silhouette-plan"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let size = self.plan.input();
        let (n, 3, height, width) = layout.shape().dims4()? else {
            bail!("{} expects three channels, got {:?}", self.name(), layout.shape());
        };
        if (height, width) != (size.height, size.width) {
            bail!("{} was compiled for {size}, got {height} rows of {width}", self.name());
        }
        let Some((from, to)) = layout.contiguous_offsets() else {
            bail!("{} expects a contiguous tensor", self.name())
        };
        let input = &storage.as_slice::<f32>()?[from..to];
        let (map, classes) = self.plan.logits();
        let pixels = map.height * map.width;
        let mut logits = vec![0.0f32; pixels * classes];
        let mut out = Vec::with_capacity(n * pixels * classes);
        // A panic elsewhere cannot corrupt the arena: the next run overwrites it.
        let mut state = self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        for picture in input.chunks_exact(3 * height * width) {
            state.run(&Planes::new(picture, width, height), &mut logits).map_err(|e| Error::Msg(e.to_string()))?;
            out.extend((0..classes).flat_map(|c| logits[c..].iter().step_by(classes)));
        }
        Ok((CpuStorage::F32(out), Shape::from((n, classes, map.height, map.width))))
    }
}
