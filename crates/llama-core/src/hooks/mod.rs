//! Hooks: code that visits the forward pass at named points.
//!
//! A hook says once per run which points it wants ([`Hook::points`]), is shown each activation as it is made, and keeps
//! it, replaces it or stops the run. It is borrowed for that one run, so nothing is registered and nothing leaks.

use tch::Tensor;

use crate::batch::Batch;
use crate::error::{Error, Result};

mod capture;
mod point;
mod set;
mod tokens;

pub use capture::{Capture, Captured};
pub use point::{Axis, HookPoint, Site};
pub use set::HookSet;
pub use tokens::Tokens;

/// What a hook's visit leads to.
#[derive(Debug)]
pub enum Action {
    /// Go on with the activation as it is.
    Keep,
    /// Go on with this tensor instead; it has the activation's shape.
    Replace(Tensor),
    /// End the run here; no later point is computed.
    Stop,
}

/// Code that visits some points of a forward pass.
pub trait Hook {
    /// The points to visit; asked once per run.
    fn points(&self) -> HookSet;

    /// One activation, at one of those points.
    ///
    /// # Errors
    /// Any error ends the run; errors of other crates go into [`Error::Hook`] by way of [`Activation::failed`].
    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action>;
}

impl<H: Hook + ?Sized> Hook for &mut H {
    fn points(&self) -> HookSet {
        (**self).points()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        (**self).visit(activation)
    }
}

/// A closure as a hook: `At(points, |activation| Ok(Action::Keep))`.
pub struct At<F>(pub HookSet, pub F);

impl<F> std::fmt::Debug for At<F> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("At").field(&self.0).finish_non_exhaustive()
    }
}

impl<F: FnMut(&Activation<'_>) -> Result<Action>> Hook for At<F> {
    fn points(&self) -> HookSet {
        self.0.clone()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        (self.1)(activation)
    }
}

/// One activation of a running forward pass.
#[derive(Debug)]
pub struct Activation<'a> {
    /// Where it was made.
    pub point: HookPoint,
    /// The activation itself, of shape [`HookPoint::shape`], in the batch's own layout: padding included.
    /// To read tokens of prompts use [`Activation::select`].
    pub tensor: &'a Tensor,
    /// The prompts and their layout.
    pub batch: &'a Batch,
    /// The tokens whose logits were computed.
    logits_of: &'a Tokens,
}

impl Activation<'_> {
    /// The activation at some tokens of each prompt, padding excluded: always a copy, never a view that would keep the
    /// whole activation alive.
    ///
    /// # Shapes
    /// `[S, …]`: S selected tokens, prompt after prompt (for `Last`, `First` and `Mean` one per prompt), then the
    /// activation's axes after batch and token. Attention scores and patterns are selected by query: `[S, H, T]`, their
    /// keys in the batch's layout. Logits are computed for the tokens that [`crate::Run::logits`] names, or for all if it
    /// names none, and can be selected from among those.
    ///
    /// # Errors
    /// [`Error::Position`] or [`Error::Selection`] for positions that a prompt does not have, [`Error::NoLogits`] for
    /// tokens whose logits were not computed.
    pub fn select(&self, tokens: &Tokens) -> Result<Tensor> {
        let by_query;
        let tensor = match self.point.axes() {
            [Axis::Selected, ..] => return self.select_logits(tokens),
            [_, Axis::Head, ..] => {
                by_query = self.tensor.f_transpose(1, 2)?; // [B, T, H, T]
                &by_query
            }
            _ => self.tensor,
        };
        let places = tokens.places(self.batch)?;
        let index = Tensor::f_from_slice(&places)?.f_to_device(tensor.device())?;
        let flat = tensor.f_flatten(0, 1)?; // [B·T, …]
        let selected = flat.f_index_select(0, &index)?; // [S, …]
        match tokens {
            Tokens::Mean => mean_by_prompt(&selected, &self.batch.lengths()),
            _ => Ok(selected),
        }
    }

    /// Logits of some of the tokens they were computed for.
    fn select_logits(&self, tokens: &Tokens) -> Result<Tensor> {
        if tokens == self.logits_of {
            return Ok(self.tensor.f_alias_copy()?);
        }
        if *self.logits_of == Tokens::Mean {
            return Err(Error::NoLogits); // only their means were kept
        }
        let computed = self.logits_of.places(self.batch)?;
        let row = |place| computed.iter().position(|c| *c == place).map(|row| row as i64);
        let rows: Option<Vec<i64>> = tokens.places(self.batch)?.into_iter().map(row).collect();
        let index = Tensor::f_from_slice(&rows.ok_or(Error::NoLogits)?)?.f_to_device(self.tensor.device())?;
        let selected = self.tensor.f_index_select(0, &index)?;
        match tokens {
            Tokens::Mean => mean_by_prompt(&selected, &self.batch.lengths()),
            _ => Ok(selected),
        }
    }

    /// Wraps a hook's own error so that it says where it happened.
    pub fn failed(&self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
        Error::Hook { point: self.point, source: source.into() }
    }
}

/// # Shapes
/// `[ΣT, …]`, prompt after prompt → `[prompts, …]`.
pub(crate) fn mean_by_prompt(tokens: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let mut means = Vec::with_capacity(lengths.len());
    let mut from = 0;
    for &length in lengths {
        let own = tokens.f_narrow(0, from, length as i64)?;
        means.push(own.f_mean_dim(Some([0i64].as_slice()), false, tokens.kind())?);
        from += length as i64;
    }
    Ok(Tensor::f_stack(&means, 0)?)
}

/// Why a forward pass ends before its end: the last wanted point was reached, a hook said stop, or an error.
pub(crate) enum Halt {
    Done,
    Error(Error),
}

impl<E: Into<Error>> From<E> for Halt {
    fn from(error: E) -> Self {
        Self::Error(error.into())
    }
}

/// The hooks of one run, with what they want worked out once.
pub(crate) struct Hooks<'h, 'b> {
    visitors: Vec<(HookSet, &'h mut dyn Hook)>,
    wanted: HookSet,
    /// The tokens whose logits the run returns.
    logits: Option<Tokens>,
    batch: &'b Batch,
}

impl<'h, 'b> Hooks<'h, 'b> {
    /// # Errors
    /// [`Error::NoSuchBlock`] if a hook wants a block that the model does not have.
    pub(crate) fn new(
        hooks: Vec<&'h mut dyn Hook>,
        logits: Option<Tokens>,
        batch: &'b Batch,
        n_layers: usize,
    ) -> Result<Self> {
        let visitors: Vec<_> = hooks.into_iter().map(|h| (h.points(), h)).collect();
        let wanted = visitors.iter().fold(HookSet::new(), |all, (points, _)| all | points.clone());
        wanted.check_blocks(n_layers)?;
        Ok(Self { visitors, wanted, logits, batch })
    }

    /// The prompts the run is over.
    pub(crate) fn batch(&self) -> &'b Batch {
        self.batch
    }

    /// The tokens whose logits are computed if the run gets that far.
    pub(crate) fn logits_of(&self) -> &Tokens {
        self.logits.as_ref().unwrap_or(&Tokens::All)
    }

    /// Whether any hook wants this point.
    pub(crate) fn want(&self, point: HookPoint) -> bool {
        self.wanted.contains(point)
    }

    /// Whether the run has anything to do at this or a later point.
    pub(crate) fn want_from(&self, point: HookPoint) -> bool {
        self.logits.is_some() || self.wanted.last().is_some_and(|last| last >= point)
    }

    /// Shows an activation to the hooks that want it, in the order they were given, and gives it back, or what replaced
    /// it; `Halt::Done` when nothing after it is wanted.
    pub(crate) fn visit(&mut self, point: HookPoint, tensor: Tensor) -> Result<Tensor, Halt> {
        Ok(self.look(point, &tensor)?.unwrap_or(tensor))
    }

    /// As [`Hooks::visit`], for points whose activation is made only to be looked at: what replaced it, if anything did.
    /// Where nothing did, the pass goes on by its usual way, so that looking changes no number.
    pub(crate) fn look(&mut self, point: HookPoint, tensor: &Tensor) -> Result<Option<Tensor>, Halt> {
        if !self.want(point) {
            return Ok(None);
        }
        let (mut replaced, mut stop) = (None, false);
        let logits_of = self.logits.as_ref().unwrap_or(&Tokens::All);
        for (points, hook) in &mut self.visitors {
            if !points.contains(point) {
                continue;
            }
            let tensor = replaced.as_ref().unwrap_or(tensor);
            match hook.visit(&Activation { point, tensor, batch: self.batch, logits_of })? {
                Action::Keep => {}
                Action::Replace(new) if new.defined() && new.size() == tensor.size() => {
                    replaced = Some(new.f_to_device(tensor.device())?.f_to_kind(tensor.kind())?);
                }
                Action::Replace(new) => {
                    let found = if new.defined() { new.size() } else { Vec::new() };
                    return Err(Error::Replacement { point, expected: tensor.size(), found }.into());
                }
                Action::Stop => stop = true, // after the other hooks at this point
            }
        }
        let last = self.logits.is_none() && self.wanted.last() == Some(point);
        if stop || last { Err(Halt::Done) } else { Ok(replaced) }
    }
}
