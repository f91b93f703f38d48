//! Hooks: code that visits the forward pass at named points.
//!
//! A hook says once per run which points it wants ([`Hook::points`]), is shown each activation as it is made, and keeps
//! it, replaces it or stops the run. It is borrowed for that one run, so nothing is registered and nothing leaks.

use tch::Tensor;

use crate::batch::{Batch, KeptTokens};
use crate::config::{BlockNorms, Config};
use crate::error::{Error, Result};
use crate::shard::Shard;

mod capture;
mod edit;
mod fn_hook;
pub mod names;
mod point;
mod set;
mod tokens;
mod whole;

pub use capture::{Capture, Captured};
pub use edit::{Change, Edit, EditHook, Edits, Values};
pub use fn_hook::FnHook;
pub use point::{Axis, HookPoint, Site};
pub use set::HookSet;
pub use tokens::Tokens;

/// What the run does after a hook's visit.
#[derive(Debug)]
pub enum Action {
    /// Continue with the activation as it is.
    Keep,
    /// Continue with this tensor instead; it has the activation's shape.
    Replace(Tensor),
    /// End the run here; no later point is computed.
    Stop,
}

/// Code that visits some points of a forward pass.
pub trait Hook {
    /// The points to visit; asked once per run.
    fn points(&self) -> HookSet;

    /// Visits one activation, at one of those points.
    ///
    /// # Errors
    /// Any error ends the run. Errors of other crates become [`Error::Hook`] through [`Activation::failed`].
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

/// One activation of a running forward pass.
#[derive(Clone, Copy, Debug)]
pub struct Activation<'a> {
    /// Where it was made.
    pub point: HookPoint,
    /// The activation itself, of shape [`HookPoint::shape`], in the batch's own layout, padding included. (It has fewer
    /// columns if [`crate::Forward::reads`] left tokens out.) To read the tokens of prompts, use
    /// [`Activation::select`].
    pub tensor: &'a Tensor,
    /// The prompts and their layout.
    pub batch: &'a Batch,
    /// Whether the run records its operations, so that gradients can be taken.
    pub gradients: bool,
    /// The tokens whose logits were computed.
    logits_of: &'a Tokens,
    /// The tokens that are left, if some were left out ([`crate::Forward::reads`]).
    kept: Option<&'a KeptTokens>,
}

impl Activation<'_> {
    /// The activation at some tokens of each prompt, padding excluded: always a copy, never a view that would keep the
    /// whole activation alive.
    ///
    /// # Shapes
    /// `[S, …]`: S selected tokens, prompt after prompt (for `Last`, `First` and `Mean` one per prompt), then the
    /// activation's axes after batch and token. Attention scores and patterns are selected by query: `[S, H, T]`, their
    /// keys in the batch's layout. Logits are computed for the tokens that [`crate::Forward::logits`] names, or for all if it
    /// names none, and can be selected from among those.
    ///
    /// # Errors
    /// [`Error::Position`] or [`Error::Selection`] for positions that a prompt does not have, [`Error::NoLogits`] for
    /// tokens whose logits were not computed, [`Error::NotComputed`] for tokens that [`crate::Forward::reads`] left out.
    pub fn select(&self, tokens: &Tokens) -> Result<Tensor> {
        if let [Axis::Selected, ..] = self.point.axes() {
            return self.select_logits(tokens);
        }
        let index = self.index(&slots_in(self.kept, self.point, &tokens.slots(self.batch)?)?)?;
        let selected = self.by_token()?.f_flatten(0, 1)?.f_index_select(0, &index)?; // [S, …]
        match tokens {
            Tokens::Mean => mean_by_prompt(&selected, &self.batch.lengths()),
            _ => Ok(selected),
        }
    }

    /// The activation with other values at some tokens of each prompt, for [`Action::Replace`]: the inverse of
    /// [`Activation::select`]. Everything else stays, padding included.
    ///
    /// ```
    /// # use llama_core::{Action, Activation, FnHook, Batch, Config, HookPoint, Llama, Precision, Forward, Tokens, tch};
    /// # let config = Config { dim: 8, n_layers: 1, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// // What the MLP writes, doubled at every prompt's last token.
    /// let mut double = FnHook::new("blocks.0.hook_mlp_out".parse::<HookPoint>()?, |activation: &Activation<'_>| {
    ///     let twice = activation.select(&Tokens::Last)?.f_mul_scalar(2.0)?;
    ///     Ok(Action::Replace(activation.replace(&Tokens::Last, &twice)?))
    /// });
    /// llama.forward(&Batch::new(&[[1, 2, 3]])?, Forward::new().hook(&mut double).logits(Tokens::Last))?;
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `values` `[S, …]`, as `select` gives them → the activation's own shape
    ///
    /// # Errors
    /// [`Error::Replacement`] for values of another shape; [`Error::NotReplaceable`] for means, for a token given twice
    /// and for logits; positions as `select` refuses them.
    pub fn replace(&self, tokens: &Tokens, values: &Tensor) -> Result<Tensor> {
        let slots = self.slots(tokens)?;
        let by_token = self.by_token()?; // [B, T, …]
        let flat = by_token.f_flatten(0, 1)?; // [B·T, …]
        let mut expected = flat.size();
        expected[0] = slots.len() as i64;
        if values.size() != expected {
            return Err(Error::Replacement { point: self.point, expected, found: values.size() });
        }
        let values = values.f_to_device(flat.device())?.f_to_kind(flat.kind())?;
        let whole = flat.f_index_copy(0, &self.index(&slots)?, &values)?.f_view(&*by_token.size())?;
        if self.by_query() { Ok(whole.f_transpose(1, 2)?) } else { Ok(whole) }
    }

    /// Slots of tokens that can be written to, each once.
    fn slots(&self, tokens: &Tokens) -> Result<Vec<i64>> {
        let refuse = |reason, hint| {
            Err(Error::NotReplaceable { point: self.point, tokens: tokens.clone(), reason, hint })
        };
        if let [Axis::Selected, ..] = self.point.axes() {
            return refuse(
                "logits belong to the tokens they were asked for",
                "change the logits that the run returns",
            );
        }
        if *tokens == Tokens::Mean {
            return refuse("a mean has no place of its own", "name tokens: last, first, all or positions");
        }
        let slots = tokens.slots(self.batch)?;
        let mut sorted = slots.clone();
        sorted.sort_unstable();
        if sorted.windows(2).any(|pair| pair[0] == pair[1]) {
            if self.batch.shares() {
                return refuse(
                    "prompts of this batch share one of them",
                    "lay the prompts out with Batch::new",
                );
            }
            return refuse("one of them is named twice", "name each position of a prompt once");
        }
        slots_in(self.kept, self.point, &slots)
    }

    /// Attention scores and patterns have their tokens, the queries, after the heads.
    fn by_query(&self) -> bool {
        matches!(self.point.axes(), [_, Axis::Head, ..])
    }

    /// A view with tokens right after the batch. \[B, T, …\]
    fn by_token(&self) -> Result<Tensor> {
        Ok(if self.by_query() { self.tensor.f_transpose(1, 2)? } else { self.tensor.f_alias()? })
    }

    /// Slots as an index on the activation's device. \[S\]
    fn index(&self, slots: &[i64]) -> Result<Tensor> {
        Ok(Tensor::f_from_slice(slots)?.f_to_device(self.tensor.device())?)
    }

    /// Logits of some of the tokens they were computed for.
    fn select_logits(&self, tokens: &Tokens) -> Result<Tensor> {
        if tokens == self.logits_of {
            return Ok(self.tensor.f_alias_copy()?);
        }
        if *self.logits_of == Tokens::Mean {
            return Err(Error::NoLogits); // only their means were kept
        }
        let computed = self.logits_of.slots(self.batch)?;
        let row = |slot| computed.iter().position(|c| *c == slot).map(|row| row as i64);
        let rows: Option<Vec<i64>> = tokens.slots(self.batch)?.into_iter().map(row).collect();
        let index = self.index(&rows.ok_or(Error::NoLogits)?)?;
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

/// The indices of slots among the tokens that are left.
fn slots_in(kept: Option<&KeptTokens>, point: HookPoint, slots: &[i64]) -> Result<Vec<i64>> {
    let Some(kept) = kept else { return Ok(slots.to_vec()) };
    slots.iter().map(|&slot| kept.index_of(slot).ok_or(Error::NotComputed { point })).collect()
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
    /// The last point that any hook wants.
    last: Option<HookPoint>,
    /// The tokens whose logits the run returns.
    logits: Option<Tokens>,
    gradients: bool,
    batch: &'b Batch,
    /// Who has the rest of an activation, where others have.
    shard: &'b Shard,
    /// The tokens that are left, once some were left out.
    kept: Option<KeptTokens>,
}

impl<'h, 'b> Hooks<'h, 'b> {
    /// # Errors
    /// [`Error::NoSuchBlock`] if a hook wants a block that the model does not have, [`Error::NoSuchPoint`] if it wants a norm
    /// that the model's blocks do not have.
    pub(crate) fn new(
        hooks: Vec<&'h mut dyn Hook>,
        logits: Option<Tokens>,
        gradients: bool,
        (batch, shard): (&'b Batch, &'b Shard),
        config: &Config,
    ) -> Result<Self> {
        let visitors: Vec<_> = hooks.into_iter().map(|h| (h.points(), h)).collect();
        let wanted = visitors.iter().fold(HookSet::new(), |all, (points, _)| all | points.clone());
        wanted.check_blocks(config.n_layers)?;
        if config.norms == BlockNorms::After
            && let Some(point) = wanted.iter().find(|point| point.is_in_a_block_norm())
        {
            let reason = "this model normalizes what attention and the MLP give, not what they read";
            return Err(Error::NoSuchPoint { point, reason });
        }
        Ok(Self { last: wanted.last(), visitors, wanted, logits, gradients, batch, shard, kept: None })
    }

    /// The first point that any hook wants.
    pub(crate) fn first(&self) -> Option<HookPoint> {
        self.wanted.first()
    }

    /// The prompts the run is over.
    pub(crate) fn batch(&self) -> &'b Batch {
        self.batch
    }

    /// The tokens whose logits are computed if the run gets that far.
    pub(crate) fn logits_of(&self) -> &Tokens {
        self.logits.as_ref().unwrap_or(&Tokens::All)
    }

    /// The tokens whose logits the run returns.
    pub(crate) fn logits(&self) -> Option<&Tokens> {
        self.logits.as_ref()
    }

    /// How many blocks have to be computed for what is wanted.
    pub(crate) fn blocks(&self, n_layers: usize) -> usize {
        match self.last {
            _ if self.logits.is_some() => n_layers,
            None | Some(HookPoint::Embed) => 0,
            Some(HookPoint::Block(index, _)) => usize::from(index) + 1,
            Some(_) => n_layers,
        }
    }

    /// From now on activations are of these tokens only.
    pub(crate) fn keep(&mut self, kept: KeptTokens) {
        self.kept = Some(kept);
    }

    /// The tokens that are left, if some were left out.
    pub(crate) fn kept(&self) -> Option<&KeptTokens> {
        self.kept.as_ref()
    }

    /// The indices of slots among the tokens that are left.
    pub(crate) fn slots_left(&self, point: HookPoint, slots: &[i64]) -> Result<Vec<i64>> {
        slots_in(self.kept.as_ref(), point, slots)
    }

    /// Whether any hook wants this point.
    pub(crate) fn want(&self, point: HookPoint) -> bool {
        self.wanted.contains(point)
    }

    /// Whether the run has anything to do at this or a later point.
    pub(crate) fn want_from(&self, point: HookPoint) -> bool {
        self.logits.is_some() || self.last.is_some_and(|last| last >= point)
    }

    /// Shows an activation to the hooks that want it, in the order they were given, and gives it back, or what replaced
    /// it; `Halt::Done` when nothing after it is wanted.
    pub(crate) fn visit(&mut self, point: HookPoint, tensor: Tensor) -> Result<Tensor, Halt> {
        if !self.want(point) {
            return Ok(tensor);
        }
        let whole = whole::gathered(self.shard, point, &tensor)?;
        match self.show(point, whole.as_ref().unwrap_or(&tensor))? {
            None => Ok(tensor),
            Some(new) => Ok(whole::own(self.shard, point, new, &tensor)?),
        }
    }

    /// As [`Hooks::visit`], for points whose activation is made only to be looked at: what replaced it, if anything did.
    /// Where nothing did, or by the same values, the pass goes on by its usual way: neither looking nor putting back what
    /// was there changes a number. (What gradients flow through counts as replaced.)
    pub(crate) fn look(&mut self, point: HookPoint, tensor: &Tensor) -> Result<Option<Tensor>, Halt> {
        if !self.want(point) {
            return Ok(None);
        }
        let whole = whole::gathered(self.shard, point, tensor)?;
        let shown = whole.as_ref().unwrap_or(tensor);
        match self.show(point, shown)? {
            Some(new) if !new.requires_grad() && new.f_equal(shown)? => Ok(None),
            replaced => Ok(replaced.map(|new| whole::own(self.shard, point, new, tensor)).transpose()?),
        }
    }

    /// Lets each hook that wants a point visit it; what replaced the activation, if anything did.
    fn show(&mut self, point: HookPoint, tensor: &Tensor) -> Result<Option<Tensor>, Halt> {
        let (mut replaced, mut stop) = (None, false);
        let (batch, gradients, kept) = (self.batch, self.gradients, self.kept.as_ref());
        let logits_of = self.logits.as_ref().unwrap_or(&Tokens::All);
        for (points, hook) in &mut self.visitors {
            if !points.contains(point) {
                continue;
            }
            let tensor = replaced.as_ref().unwrap_or(tensor);
            match hook.visit(&Activation { point, tensor, batch, gradients, logits_of, kept })? {
                Action::Keep => {}
                Action::Replace(new) if new.defined() && new.size() == tensor.size() => {
                    replaced = Some(whole::laid_out_like(tensor, &new)?);
                }
                Action::Replace(new) => {
                    let found = if new.defined() { new.size() } else { Vec::new() };
                    return Err(Error::Replacement { point, expected: tensor.size(), found }.into());
                }
                Action::Stop => stop = true, // after the other hooks at this point
            }
        }
        let last = self.logits.is_none() && self.last == Some(point);
        if stop || last { Err(Halt::Done) } else { Ok(replaced) }
    }
}
