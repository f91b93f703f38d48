//! Edits of activations as data: what to change, where, at which tokens. Written to and read from JSON, applied as a hook.
//!
//! `mod.rs` says what the edits are, `values.rs` how they refer to tensors, `file.rs` how they are kept on disk, and
//! `apply.rs` checks them against a model and carries them out.

use serde::{Deserialize, Serialize};
use tch::Tensor;

use super::Tokens;
use crate::error::Result;

mod apply;
mod file;
mod values;

pub use apply::EditHook;
pub use values::Values;

/// One change of activations: what, where, at which tokens.
///
/// As JSON: `{"points": ["blocks.*.hook_mlp_out"], "tokens": "last", "change": {"scale": 0.5}}`; without `tokens` it is
/// every token.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Edit {
    /// Names or globs, as [`crate::HookSet::parse`] reads them.
    pub points: Vec<String>,
    /// The tokens to change; padding is never touched. [`Tokens::Mean`] is refused, because a mean is not a token.
    #[serde(default = "every")]
    pub tokens: Tokens,
    /// The prompts to change, by their number in the batch from 0; by default all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<Vec<usize>>,
    /// What multiplies [`Change::Add`] in each prompt that it changes: one number for each of `rows`, or for each prompt of
    /// the batch; by default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strengths: Option<Vec<f64>>,
    /// What to do there.
    pub change: Change,
}

fn every() -> Tokens {
    Tokens::All
}

/// What an edit does to an activation x at the tokens it names.
///
/// Shapes are those that [`crate::Activation::select`] gives: `[S, …]`, S tokens and then `…`, the point's own axes:
/// `[D]` in the residual stream, `[H, K]` at `hook_z`, `[F]` inside the MLP. A tensor must have them exactly; nothing is
/// broadcast. Arithmetic is done in f32 (in f64 with [`crate::Precision::F64`]) and rounded to the activation's type.
///
/// At `hook_attn_scores` and `hook_pattern` a token could mean the one that attends or the one attended to, so edits
/// there take [`Tokens::All`] only, and those with a vector (whose length would be the prompt's) are refused. What is
/// masked stays masked, whatever an edit of scores says. Logits are not edited: change what the run returns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Change {
    /// Steers: x + scale · d.
    Add {
        /// d. `[…]`
        direction: Values,
        /// May be negative.
        scale: f64,
    },
    /// x becomes 0.
    Zero,
    /// x times a number.
    Scale(f64),
    /// Removes a direction: x − (x·d̂) d̂ along the last axis, d̂ = d/|d|. `[…]`
    ///
    /// At points with a head axis there is one direction per head; a head whose direction is all zeros keeps its
    /// activation.
    ProjectOut(Values),
    /// x becomes these values, token by token, prompt after prompt, as a [`crate::Capture`] of the same tokens gives
    /// them, perhaps from another run. `[S, …]`
    Patch(Values),
    /// x becomes this vector at every token, usually the mean over some data. `[…]`
    ///
    /// The mean is given and not taken from the batch, because a prompt's numbers would then depend on its neighbors.
    MeanAblate(Values),
    /// The activation of these heads becomes 0, at points with a head axis.
    ///
    /// At `hook_z`, `hook_result` and `hook_pattern` the head then writes nothing into the residual stream, nor at
    /// `hook_v` the query heads that share it. At `hook_q`, `hook_k`, `hook_rot_q` and `hook_rot_k` all its scores are
    /// 0: it attends evenly to all it sees. At `hook_attn_scores` this is refused: no scores make a head write nothing.
    KnockOut {
        /// Counted from 0; at keys and values these are key and value heads.
        heads: Vec<usize>,
    },
}

impl Change {
    /// [`Change::Add`] of a tensor in memory. `direction`: `[…]`
    ///
    /// # Errors
    /// As [`Values::new`].
    pub fn add(direction: &Tensor, scale: f64) -> Result<Self> {
        Ok(Self::Add { direction: Values::new(direction)?, scale })
    }

    /// [`Change::ProjectOut`] of a tensor in memory. `direction`: `[…]`
    ///
    /// # Errors
    /// As [`Values::new`].
    pub fn project_out(direction: &Tensor) -> Result<Self> {
        Ok(Self::ProjectOut(Values::new(direction)?))
    }

    /// [`Change::Patch`] with a tensor in memory. `values`: `[S, …]`
    ///
    /// # Errors
    /// As [`Values::new`].
    pub fn patch(values: &Tensor) -> Result<Self> {
        Ok(Self::Patch(Values::new(values)?))
    }

    /// [`Change::MeanAblate`] with a tensor in memory. `mean`: `[…]`
    ///
    /// # Errors
    /// As [`Values::new`].
    pub fn mean_ablate(mean: &Tensor) -> Result<Self> {
        Ok(Self::MeanAblate(Values::new(mean)?))
    }

    /// [`Change::KnockOut`].
    pub fn knock_out(heads: impl Into<Vec<usize>>) -> Self {
        Self::KnockOut { heads: heads.into() }
    }

    /// The change's name in files and messages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add { .. } => "add",
            Self::Zero => "zero",
            Self::Scale(_) => "scale",
            Self::ProjectOut(_) => "project_out",
            Self::Patch(_) => "patch",
            Self::MeanAblate(_) => "mean_ablate",
            Self::KnockOut { .. } => "knock_out",
        }
    }

    /// The tensor that the change uses, if any.
    pub fn values(&self) -> Option<&Values> {
        match self {
            Self::Add { direction: values, .. }
            | Self::ProjectOut(values)
            | Self::Patch(values)
            | Self::MeanAblate(values) => Some(values),
            Self::Zero | Self::Scale(_) | Self::KnockOut { .. } => None,
        }
    }

    fn values_mut(&mut self) -> Option<&mut Values> {
        match self {
            Self::Add { direction: values, .. }
            | Self::ProjectOut(values)
            | Self::Patch(values)
            | Self::MeanAblate(values) => Some(values),
            Self::Zero | Self::Scale(_) | Self::KnockOut { .. } => None,
        }
    }
}

impl Edit {
    /// A change at one name or glob. For several, fill in [`Edit::points`].
    pub fn new(point: impl Into<String>, tokens: Tokens, change: Change) -> Self {
        Self { points: vec![point.into()], tokens, rows: None, strengths: None, change }
    }

    /// Changes only these prompts of a batch, by their number from 0. So one pass over a prompt that is repeated does what
    /// would take a pass for each edit: here every head of a block is ablated, each in a row of its own.
    ///
    /// ```
    /// # use llama_core::{Batch, Change, Config, Edit, Edits, Llama, Precision, Forward, Tokens};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// let heads = llama.config().n_heads as usize;
    /// let ablate = |h| Edit::new("blocks.1.attn.hook_z", Tokens::All, Change::knock_out([h])).rows([h]);
    /// let edits: Edits = (0..heads).map(ablate).collect();
    ///
    /// let batch = Batch::new(&vec![[1, 2, 3]; heads + 1])?; // the last row stays as it is
    /// let mut hook = edits.hook(llama.config(), llama.device())?;
    /// let logits = llama.forward(&batch, Forward::new().hook(&mut hook).logits(Tokens::Last))?.logits.unwrap();
    /// let effects = logits.f_narrow(0, 0, 2)?.f_sub(&logits.f_narrow(0, 2, 1)?)?; // [H, V]
    /// assert_eq!(effects.size(), [2, 10]);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    #[must_use]
    pub fn rows(mut self, rows: impl Into<Vec<usize>>) -> Self {
        self.rows = Some(rows.into());
        self
    }

    /// Adds with another strength in each prompt, so that one pass, or one generation, compares them.
    ///
    /// ```
    /// # use llama_core::{Change, Config, Edit, Edits, HookPoint, Llama, Precision, Sampling, Tokens, tch};
    /// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
    /// #     vocab_size: 10, ..Config::default() };
    /// # let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
    /// # let direction = tch::Tensor::f_ones([8], (tch::Kind::Float, tch::Device::Cpu))?;
    /// let steer = Edit::new(HookPoint::resid_post(0), Tokens::All, Change::add(&direction, 1.0)?);
    /// let edits: Edits = steer.strengths([-4.0, 0.0, 4.0]).into();
    /// let mut hook = edits.hook(llama.config(), llama.device())?;
    /// let texts = llama.generate_with(&[[1, 2, 3]; 3], &Sampling::default(), &mut hook)?; // one for each strength
    /// # assert_eq!(texts.len(), 3);
    /// # Ok::<(), llama_core::Error>(())
    /// ```
    #[must_use]
    pub fn strengths(mut self, strengths: impl Into<Vec<f64>>) -> Self {
        self.strengths = Some(strengths.into());
        self
    }
}

/// Edits in the order in which they are applied; at one point, each sees what those before it left.
///
/// ```
/// use llama_core::{Batch, Change, Config, Edit, Edits, HookPoint, Llama, Precision, Forward, Tokens, tch};
///
/// # let config = Config { dim: 8, n_layers: 2, n_heads: 2, n_kv_heads: 2, head_dim: 4, hidden_dim: 16,
/// #     vocab_size: 10, ..Config::default() };
/// let llama = Llama::random(&config, 0, Precision::F32, tch::Device::Cpu)?;
/// let batch = Batch::new(&[vec![1, 2, 3], vec![4, 5]])?;
/// let direction = tch::Tensor::f_from_slice(&[1.0f32, 0., 0., 0., 0., 0., 0., 0.])?; // [D]
///
/// let edits: Edits = [
///     Edit::new(HookPoint::resid_post(0), Tokens::Last, Change::add(&direction, 4.0)?),
///     Edit::new("blocks.1.attn.hook_z", Tokens::All, Change::knock_out([1])),
/// ].into_iter().collect();
///
/// let mut hook = edits.hook(llama.config(), llama.device())?;
/// let logits = llama.forward(&batch, Forward::new().hook(&mut hook).logits(Tokens::Last))?.logits;
/// assert_eq!(logits.unwrap().size(), [2, 10]);
///
/// // To a file and back.
/// # let folder = tempfile::tempdir()?;
/// let path = folder.path().join("steer.json");
/// edits.save(&path)?; // and steer.edits.safetensors beside it
/// assert_eq!(Edits::load(&path)?, edits);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Edits(Vec<Edit>);

impl Edits {
    /// The edits in order.
    pub fn iter(&self) -> impl Iterator<Item = &Edit> {
        self.0.iter()
    }

    /// Appends an edit.
    pub fn push(&mut self, edit: Edit) {
        self.0.push(edit);
    }

    /// The same, with these [strengths](Edit::strengths) of every [`Change::Add`].
    #[must_use]
    pub fn with_strengths(mut self, strengths: &[f64]) -> Self {
        for edit in self.0.iter_mut().filter(|edit| matches!(edit.change, Change::Add { .. })) {
            edit.strengths = Some(strengths.to_vec());
        }
        self
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Edit> for Edits {
    fn from_iter<I: IntoIterator<Item = Edit>>(edits: I) -> Self {
        Self(edits.into_iter().collect())
    }
}

impl From<Edit> for Edits {
    fn from(edit: Edit) -> Self {
        Self(vec![edit])
    }
}
