//! L-BFGS (Liu and Nocedal 1989) with a strong Wolfe line search, all restarts as one batch: each has its own memory, its own
//! step and its own end.
//!
//! What the objective reads of the states is linear in the parameters, z = Xθ: along a search direction it is z + t·Δz, so a
//! line search reads no states, and an iteration is one product for Δz and one for the gradient.

mod wolfe;

use std::collections::VecDeque;

use tch::{Device, Kind, Tensor};

use crate::Result;
use wolfe::Search;

/// Pairs of steps and gradient differences that are kept.
const MEMORY: usize = 20;
/// A restart is done when its gradient's norm is this small,
const SMALLEST_GRADIENT: f64 = 1e-7;
/// or when an iteration lowers its objective by less than this.
const SMALLEST_DECREASE: f64 = 1e-9;

/// Vectors of parameters, R at once, and what is linear in them.
pub(in crate::methods) trait Space {
    /// What the loss reads of the states, linear in the parameters: a probe's logits. \[K, R\]
    fn logits(&self, vector: &Tensor) -> Result<Tensor>;
    /// The gradient of loss and penalty at `vector`. `slope`: the loss's derivative by the logits, \[K, R\].
    fn gradient(&self, slope: &Tensor, vector: &Tensor) -> Result<Tensor>;
    /// Inner products. \[R, 1\], of the vectors' kind
    fn inner(&self, u: &Tensor, v: &Tensor) -> Result<Tensor>;
    /// λ⟨u, v⟩ of what is penalized. R
    fn penalty(&self, u: &Tensor, v: &Tensor) -> Result<Vec<f64>>;
}

/// The objective in the logits, without penalty.
pub(in crate::methods) trait Loss {
    /// R, of logits \[K, R\].
    fn values(&self, z: &Tensor) -> Result<Vec<f64>>;
    /// Its gradient in the logits. \[K, R\]
    fn slopes(&self, z: &Tensor) -> Result<Tensor>;
    /// Both, where that is less work than either alone.
    fn values_and_slopes(&self, z: &Tensor) -> Result<(Vec<f64>, Tensor)> {
        Ok((self.values(z)?, self.slopes(z)?))
    }
}

impl<L: Loss> Loss for &L {
    fn values_and_slopes(&self, z: &Tensor) -> Result<(Vec<f64>, Tensor)> {
        (*self).values_and_slopes(z)
    }

    fn values(&self, z: &Tensor) -> Result<Vec<f64>> {
        (*self).values(z)
    }

    fn slopes(&self, z: &Tensor) -> Result<Tensor> {
        (*self).slopes(z)
    }
}

/// A step s, the change y of the gradient over it, and 1/⟨y, s⟩; 0 where a restart has no such pair.
struct Pair {
    s: Tensor,   // vectors
    y: Tensor,   // vectors
    rho: Tensor, // [R, 1]
}

/// The state of all restarts.
pub(in crate::methods) struct Lbfgs<'a, S: Space, L: Loss> {
    space: &'a S,
    loss: L,
    /// The iterates.
    pub(in crate::methods) x: Tensor,
    z: Tensor, // [K, R]
    /// Of objective and penalty, at the iterates.
    pub(in crate::methods) gradient: Tensor,
    /// The objective of every restart, penalty included.
    pub(in crate::methods) values: Vec<f64>,
    active: Vec<bool>,
    memory: VecDeque<Pair>,
    scale: Tensor, // ⟨s, y⟩/⟨y, y⟩ of each restart's last pair, [R, 1]
    has_memory: Vec<bool>,
}

impl<'a, S: Space, L: Loss> Lbfgs<'a, S, L> {
    pub(in crate::methods) fn new(space: &'a S, loss: L, x: Tensor) -> Result<Self> {
        let z = space.logits(&x)?;
        let gradient = space.gradient(&loss.slopes(&z)?, &x)?;
        let penalty = space.penalty(&x, &x)?;
        let values: Vec<f64> = loss.values(&z)?.iter().zip(penalty).map(|(l, p)| l + 0.5 * p).collect();
        let active: Vec<bool> = values.iter().map(|v| v.is_finite()).collect();
        let scale = space.inner(&gradient, &gradient)?.f_ones_like()?;
        let has_memory = vec![false; values.len()];
        Ok(Self { space, loss, x, z, gradient, values, active, memory: VecDeque::new(), scale, has_memory })
    }

    /// The logits of the iterates. \[2N, R\]
    pub(in crate::methods) fn logits(&self) -> &Tensor {
        &self.z
    }

    /// One iteration of every restart that is not done; false when all are.
    pub(in crate::methods) fn iterate(&mut self) -> Result<bool> {
        let squared = numbers(&self.space.inner(&self.gradient, &self.gradient)?)?;
        for (active, squared) in self.active.iter_mut().zip(&squared) {
            *active &= squared.max(0.0).sqrt() > SMALLEST_GRADIENT;
        }
        if !self.active.contains(&true) {
            return Ok(false);
        }
        let mut direction = self.direction()?;
        let slopes = numbers(&self.space.inner(&self.gradient, &direction)?)?;
        let uphill: Vec<bool> = slopes.iter().map(|s| s.is_nan() || *s >= 0.0).collect();
        if uphill.contains(&true) {
            // Rounding has spoiled the memory; begin again with the gradient.
            self.forget(&uphill)?;
            direction = self.choose(&uphill, &self.gradient.f_neg()?, &direction)?;
        }
        direction = self.choose(&self.active, &direction, &direction.f_zeros_like()?)?;
        let steps = self.search(&direction, &squared)?;
        self.advance(&direction, &steps)?;
        Ok(true)
    }

    /// −H·gradient by the two-loop recursion (Nocedal and Wright, Algorithm 7.4).
    fn direction(&self) -> Result<Tensor> {
        let mut q = self.gradient.f_alias_copy()?;
        let mut alphas = Vec::with_capacity(self.memory.len());
        for pair in self.memory.iter().rev() {
            let alpha = self.space.inner(&pair.s, &q)?.f_mul(&pair.rho)?; // [R, 1]
            let _ = q.f_sub_(&pair.y.f_mul(&alpha)?)?;
            alphas.push(alpha);
        }
        let mut r = q.f_mul(&self.scale)?;
        for (pair, alpha) in self.memory.iter().zip(alphas.iter().rev()) {
            let beta = self.space.inner(&pair.y, &r)?.f_mul(&pair.rho)?;
            let _ = r.f_add_(&pair.s.f_mul(&alpha.f_sub(&beta)?)?)?;
        }
        Ok(r.f_neg()?)
    }

    /// The step of every restart along its direction; 0 for those that are done.
    fn search(&mut self, direction: &Tensor, squared: &[f64]) -> Result<Vec<Search>> {
        let along = self.space.logits(direction)?; // [K, R]
        let slopes = numbers(&self.space.inner(&self.gradient, direction)?)?;
        let (xx, xd, dd) = (
            self.space.penalty(&self.x, &self.x)?,
            self.space.penalty(&self.x, direction)?,
            self.space.penalty(direction, direction)?,
        );
        let mut searches: Vec<Search> = (0..self.values.len())
            .map(|r| {
                let at = |v: &[f64]| v.get(r).copied().unwrap_or(f64::NAN);
                let active = self.active.get(r).copied().unwrap_or_default();
                // Without a memory the gradient's length says nothing about the step's: begin with a step of at most 1.
                let known = self.has_memory.get(r).copied().unwrap_or_default();
                let first = if known { 1.0 } else { 1f64.min(1.0 / at(squared).sqrt()) };
                Search::new(at(&self.values), if active { at(&slopes) } else { 0.0 }, first)
            })
            .collect();
        while searches.iter().any(|s| s.next().is_some()) {
            let steps: Vec<f64> = searches.iter().map(|s| s.next().unwrap_or(s.step())).collect();
            let z = self.z.f_add(&along.f_mul(&self.row(&steps)?)?)?;
            let (values, slopes) = self.loss.values_and_slopes(&z)?;
            let rises = slopes.f_mul(&along)?.f_sum_dim_intlist(0, false, Kind::Double)?;
            for (r, (search, (value, rise))) in
                searches.iter_mut().zip(values.iter().zip(numbers(&rises)?)).enumerate()
            {
                let at = |v: &[f64]| v.get(r).copied().unwrap_or(f64::NAN);
                let t = at(&steps);
                let penalty = 0.5 * (at(&xx) + 2.0 * t * at(&xd) + t * t * at(&dd));
                search.tell(value + penalty, rise + at(&xd) + t * at(&dd));
            }
        }
        let _ = self
            .z
            .f_add_(&along.f_mul(&self.row(&searches.iter().map(Search::step).collect::<Vec<_>>())?)?)?;
        Ok(searches)
    }

    /// Takes the steps, keeps what they say about the curvature, and ends restarts that do not get lower.
    fn advance(&mut self, direction: &Tensor, searches: &[Search]) -> Result<()> {
        let steps: Vec<f64> = searches.iter().map(Search::step).collect();
        let s = direction.f_mul(&self.row(&steps)?.f_tr()?)?;
        let _ = self.x.f_add_(&s)?;
        let gradient = self.space.gradient(&self.loss.slopes(&self.z)?, &self.x)?;
        let y = gradient.f_sub(&self.gradient)?;
        self.gradient = gradient;
        let (sy, yy) = (numbers(&self.space.inner(&y, &s)?)?, numbers(&self.space.inner(&y, &y)?)?);
        let curved: Vec<bool> = sy.iter().zip(&yy).map(|(sy, yy)| *sy > 1e-10 * yy && *yy > 0.0).collect();
        let inverse: Vec<f64> =
            sy.iter().zip(&curved).map(|(sy, ok)| if *ok { 1.0 / sy } else { 0.0 }).collect();
        let scales: Vec<f64> = sy.iter().zip(&yy).map(|(sy, yy)| sy / yy).collect();
        self.scale = self.choose(&curved, &self.row(&scales)?.f_tr()?, &self.scale)?;
        // A pair that is not curved may hold what is not finite; times 0 that is not 0.
        let s = self.choose(&curved, &s, &s.f_zeros_like()?)?;
        let y = self.choose(&curved, &y, &y.f_zeros_like()?)?;
        self.memory.push_back(Pair { s, y, rho: self.row(&inverse)?.f_tr()? });
        if self.memory.len() > MEMORY {
            self.memory.pop_front();
        }
        let mut stuck = vec![false; steps.len()];
        for (r, search) in searches.iter().enumerate() {
            let entry = self.active.get_mut(r).zip(self.values.get_mut(r)).zip(self.has_memory.get_mut(r));
            let Some(((active, value), memory)) = entry else { continue };
            if !*active {
                continue;
            }
            let decrease = *value - search.value();
            *value = search.value();
            if decrease <= SMALLEST_DECREASE {
                // No step at all along a remembered direction: the gradient itself gets one more try.
                let again = search.step() <= 0.0 && *memory;
                *active = again;
                if let Some(stuck) = stuck.get_mut(r) {
                    *stuck = again;
                }
            } else {
                *memory |= curved.get(r).copied().unwrap_or_default();
            }
        }
        if stuck.contains(&true) { self.forget(&stuck) } else { Ok(()) }
    }

    /// Empties the memory of the restarts marked.
    fn forget(&mut self, marked: &[bool]) -> Result<()> {
        let kept: Vec<f64> = marked.iter().map(|m| f64::from(u8::from(!m))).collect();
        let kept = self.row(&kept)?.f_tr()?;
        for pair in &mut self.memory {
            pair.rho = pair.rho.f_mul(&kept)?;
        }
        self.scale = self.choose(marked, &self.scale.f_ones_like()?, &self.scale)?;
        self.has_memory.iter_mut().zip(marked).for_each(|(memory, m)| *memory &= !m);
        Ok(())
    }

    /// `a` for the restarts marked, `b` for the others.
    fn choose(&self, marked: &[bool], a: &Tensor, b: &Tensor) -> Result<Tensor> {
        let mask = Tensor::f_from_slice(marked)?.f_to_device(self.x.device())?.f_unsqueeze(1)?; // [R, 1]
        Ok(a.f_where_self(&mask, b)?)
    }

    /// One number for each restart. \[1, R\]
    fn row(&self, values: &[f64]) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(values)?
            .f_to_kind(self.x.kind())?
            .f_to_device(self.x.device())?
            .f_unsqueeze(0)?)
    }
}

/// R numbers on the host.
pub(in crate::methods) fn numbers(column: &Tensor) -> Result<Vec<f64>> {
    let column = column.f_reshape([-1])?.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
    Ok(Vec::try_from(column)?)
}
