//! The objective of R probes and its gradient, block by block of rows: while a block of states is in the processor's
//! cache it serves the logits of all restarts and their gradients, so memory is read once an epoch.

use tch::{Kind, Tensor};
use torch_runtime::TensorExt as _;

use super::architecture::{Cache, ProbeArchitecture};
use super::parameters::Parameters;
use crate::Result;
use crate::loss::{CcsLoss, Questions, Terms, Weights, terms};

/// Bytes of states in a block: a core's share of the last cache. Larger blocks spend less time in calls.
const BLOCK_BYTES: usize = 1 << 23;
/// Bytes of states that one product takes: with the parameters, less than a core's own cache.
const STRIP_BYTES: usize = 3 << 18;

/// Slopes are kept to about this times the precision they are computed in.
const SMALLEST: f64 = 1e-20;

/// The normalized states, both sides of a block of pairs side by side.
#[derive(Debug)]
pub(super) struct Data {
    blocks: Vec<Block>,
    /// N, pairs.
    pub(super) pairs: i64,
    kind: Kind,
}

/// Plus rows, then minus rows of some pairs.
#[derive(Debug)]
struct Block {
    x: Tensor, // [2n, D]
    /// Rows of a strip, the last one apart; all of them where products gain nothing by being cut.
    strip: i64,
}

impl Data {
    /// `whole` keeps all rows in one block, which terms that compare rows need.
    ///
    /// # Shapes
    /// `plus`, `minus`: \[N, D\].
    pub(super) fn new(plus: &Tensor, minus: &Tensor, whole: bool) -> Result<Self> {
        let (pairs, dim) = plus.dims2("plus")?;
        let kind = plus.kind();
        let bytes = if kind == Kind::Double { 8 } else { 4 };
        let rows_in = |all: usize| all as i64 / (dim * bytes).max(1);
        // A GPU wants all its work at once; and small products waste time on their calls.
        let at_once = plus.device().is_cuda();
        let step = if whole || at_once { pairs } else { (rows_in(BLOCK_BYTES) / 2).clamp(16, pairs.max(16)) };
        let strip = if at_once { 2 * pairs } else { rows_in(STRIP_BYTES).max(32) };
        let mut blocks = Vec::new();
        let mut at = 0;
        while at < pairs {
            let length = step.min(pairs - at);
            let side = |states: &Tensor| states.f_narrow(0, at, length);
            blocks.push(Block { x: Tensor::f_cat(&[side(plus)?, side(minus)?], 0)?, strip });
            at += length;
        }
        Ok(Self { blocks, pairs, kind })
    }
}

/// What one block's rows give: logits, probabilities and slopes. Views of one buffer each.
#[derive(Debug)]
struct Views {
    z: Tensor,     // [2n, R]
    p: Tensor,     // [2n, R]
    slope: Tensor, // [2n, R]
    z_plus: Tensor,
    z_minus: Tensor,
    p_plus: Tensor,
    p_minus: Tensor,
    slope_plus: Tensor,
    slope_minus: Tensor,
    base: Tensor,    // [n, R]
    smaller: Tensor, // [n, R]
    strips: Vec<Strip>,
}

/// Some rows of a block, for the products.
#[derive(Debug)]
struct Strip {
    x: Tensor,     // [s, D]
    z: Tensor,     // [s, R and empty columns]
    slope: Tensor, // [s, R]
    cache: Cache,
}

/// The objective on given rows, with the buffers that its gradient needs; one per fit.
#[derive(Debug)]
pub(super) struct Objective<'a> {
    body: &'a ProbeArchitecture,
    weights: Weights,
    questions: Option<&'a Questions>,
    views: Vec<Views>,
    pairs: i64,
    probes: usize,
}

impl<'a> Objective<'a> {
    pub(super) fn new(
        data: &Data,
        body: &'a ProbeArchitecture,
        mix: &CcsLoss,
        questions: Option<&'a Questions>,
        probes: usize,
    ) -> Result<Self> {
        let views = data.blocks.iter().map(|block| Views::new(block, body, data.kind));
        let views = views.collect::<Result<_>>()?;
        Ok(Self { body, weights: mix.weights(), questions, views, pairs: data.pairs, probes })
    }

    /// The gradient of every probe's objective, written into `gradient`. Where p⁺ = p⁻ the minimum's is shared by
    /// both sides. [`Objective::terms`] then gives the terms at `theta`.
    pub(super) fn gradient(&mut self, theta: &Parameters, gradient: &mut Parameters) -> Result<()> {
        let _ = gradient.flat.f_zero_()?;
        let first = self.body.first(theta)?;
        for views in &mut self.views {
            for strip in &mut views.strips {
                self.body.forward(&strip.x, &first, theta, &strip.z, &mut strip.cache)?;
            }
            views.slopes(&self.weights, self.questions)?;
            for strip in &views.strips {
                self.body.backward(&strip.x, theta, &strip.slope, &strip.cache, gradient)?;
            }
        }
        let _ = gradient.flat.f_mul_scalar_(1.0 / self.pairs as f64)?;
        Ok(())
    }

    /// Computes logits and probabilities at `theta`, for [`Objective::terms`] and [`Objective::values`].
    pub(super) fn evaluate(&mut self, theta: &Parameters) -> Result<()> {
        let first = self.body.first(theta)?;
        for views in &mut self.views {
            for strip in &mut views.strips {
                self.body.forward(&strip.x, &first, theta, &strip.z, &mut strip.cache)?;
            }
            let _ = views.z.f_sigmoid_out(&views.p)?;
        }
        Ok(())
    }

    /// The terms of each probe where it was evaluated last. R
    pub(super) fn terms(&self) -> Result<Vec<Terms>> {
        let mut sums = vec![Terms { consistency: 0.0, confidence: 0.0 }; self.probes];
        for views in &self.views {
            let _ = views.z.f_sigmoid_out(&views.p)?;
            let share = views.base.dims2("rows")?.0 as f64 / self.pairs as f64;
            for (sum, block) in sums.iter_mut().zip(terms(&views.p_plus, &views.p_minus)?) {
                sum.consistency += share * block.consistency;
                sum.confidence += share * block.confidence;
            }
        }
        Ok(sums)
    }

    /// The objective of each probe where it was evaluated last, without penalties. R
    pub(super) fn values(&self) -> Result<Vec<f64>> {
        if self.weights.only_ccs() {
            let mix =
                |t: Terms| self.weights.consistency * t.consistency + self.weights.confidence * t.confidence;
            return Ok(self.terms()?.into_iter().map(mix).collect());
        }
        let mut sums = vec![0.0; self.probes];
        for views in &self.views {
            let value = self.weights.values(&views.z_plus, &views.z_minus, self.questions)?;
            let value: Vec<f64> = Vec::try_from(
                value.f_sum_dim_intlist(0, false, Kind::Double)?.f_to_device(tch::Device::Cpu)?,
            )?;
            sums.iter_mut().zip(value).for_each(|(sum, v)| *sum += v / self.pairs as f64);
        }
        Ok(sums)
    }
}

impl Views {
    fn new(block: &Block, body: &ProbeArchitecture, kind: Kind) -> Result<Self> {
        let (rows, _) = block.x.dims2("states")?;
        let (half, probes, options) = (rows / 2, body.probes, (kind, block.x.device()));
        let all = || Tensor::f_zeros([rows, probes], options);
        let (p, slope) = (all()?, all()?);
        let whole = Tensor::f_zeros([rows, body.columns()], options)?;
        let z = whole.f_narrow(1, 0, probes)?;
        let plus = |t: &Tensor| t.f_narrow(0, 0, half);
        let minus = |t: &Tensor| t.f_narrow(0, half, half);
        let mut strips = Vec::new();
        let mut at = 0;
        while at < rows {
            let length = block.strip.min(rows - at);
            let part = |t: &Tensor| t.f_narrow(0, at, length);
            let (x, z, slope) = (part(&block.x)?, part(&whole)?, part(&slope)?);
            strips.push(Strip { x, z, slope, cache: Cache::default() });
            at += length;
        }
        Ok(Self {
            z_plus: plus(&z)?,
            z_minus: minus(&z)?,
            p_plus: plus(&p)?,
            p_minus: minus(&p)?,
            slope_plus: plus(&slope)?,
            slope_minus: minus(&slope)?,
            base: Tensor::f_zeros([half, probes], options)?,
            smaller: Tensor::f_zeros([half, probes], options)?,
            strips,
            z,
            p,
            slope,
        })
    }

    /// ∂/∂z of every row, not divided by N.
    fn slopes(&mut self, weights: &Weights, questions: Option<&Questions>) -> Result<()> {
        if !weights.only_ccs() {
            let (plus, minus) = weights.slopes(&self.z_plus, &self.z_minus, questions)?;
            self.slope_plus.f_copy_(&plus)?;
            self.slope_minus.f_copy_(&minus)?;
            return self.flush();
        }
        let _ = self.z.f_sigmoid_out(&self.p)?;
        // With r = p⁺ + p⁻ − 1, m = min(p⁺, p⁻), s = sign(p⁻ − p⁺) and weights a and c:
        // ∂L/∂p⁺ = 2a·r + c·(1 + s)·m and ∂L/∂p⁻ = 2a·r + c·(1 − s)·m.
        let _ = self.p_plus.f_minimum_out(&self.smaller, &self.p_minus)?;
        if weights.is_scaled() {
            let _ = self.smaller.f_mul_scalar_(weights.confidence)?;
        }
        let _ = self.p_plus.f_add_out(&self.base, &self.p_minus)?;
        let twice = 2.0 * weights.consistency;
        let _ = self.base.f_sub_scalar_(1.0)?.f_mul_scalar_(twice)?.f_add_(&self.smaller)?; // 2a·r + c·m
        let _ = self.p_minus.f_sub_out(&self.slope_plus, &self.p_plus)?;
        let _ = self.slope_plus.f_sign_()?.f_mul_(&self.smaller)?; // c·s·m
        let _ = self.base.f_sub_out(&self.slope_minus, &self.slope_plus)?;
        let _ = self.slope_plus.f_add_(&self.base)?;
        // Through the logistic function, ∂p/∂z = p(1 − p).
        let _ = Tensor::f_sigmoid_backward_grad_input(&self.slope, &self.slope, &self.p)?;
        self.flush()
    }

    /// Makes zeros of the slopes of rows that a probe has long been sure of. They shrink into denormal numbers, for which
    /// processors leave their fast path: products take three times as long. Slopes that move anything are not changed,
    /// for 1e-20 is lost in their rounding.
    fn flush(&self) -> Result<()> {
        let _ = self.slope.f_alias()?.f_add_scalar_(SMALLEST)?.f_sub_scalar_(SMALLEST)?;
        Ok(())
    }
}
