//! Edits checked against a model, and carried out.

use std::borrow::Cow;

use tch::{Device, Kind, Tensor};
use torch_runtime::TensorChain as _;

use super::file::UNREAD;
use super::{Change, Edit, Edits};
use crate::batch::Batch;
use crate::config::Config;
use crate::error::{Error, Result};
use crate::hooks::{Action, Activation, Axis, Hook, HookPoint, HookSet, Site, Tokens};

/// Edits ready to be carried out in a model; made by [`Edits::hook`].
#[derive(Debug)]
pub struct EditHook {
    points: HookSet,
    edits: Vec<Ready>,
}

/// One edit with its points looked up and its tensor in memory.
#[derive(Debug)]
struct Ready {
    /// Its position in the list.
    number: usize,
    points: HookSet,
    tokens: Tokens,
    rows: Option<Vec<usize>>,
    strengths: Option<Vec<f64>>,
    change: Change,
    /// The tensor of `change`, in its own type; a direction to be projected out in f64 and of length 1.
    tensor: Option<Tensor>,
}

impl Edits {
    /// The edits as a hook for models of this configuration.
    ///
    /// # Errors
    /// A point that the model does not have; an edit that has no meaning at one of its points, names heads that are not
    /// there, or whose tensor has another shape than the point, is not finite or was not read. All before any forward;
    /// only how many tokens a [`Change::Patch`] is for is seen when the batch is.
    pub fn hook(&self, config: &Config, device: Device) -> Result<EditHook> {
        let ready = |(number, edit)| Ready::new(number, edit, config, device);
        let edits = self.iter().enumerate().map(ready).collect::<Result<Vec<_>>>()?;
        let points = edits.iter().flat_map(|edit| edit.points.iter()).collect();
        Ok(EditHook { points, edits })
    }
}

impl Hook for EditHook {
    fn points(&self) -> HookSet {
        self.points.clone()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        let mut edited: Option<Tensor> = None;
        for edit in self.edits.iter().filter(|edit| edit.points.contains(activation.point)) {
            let tensor = edited.as_ref().unwrap_or(activation.tensor);
            edited = Some(edit.apply(&Activation { tensor, ..*activation })?);
        }
        Ok(edited.map_or(Action::Keep, Action::Replace))
    }
}

/// The axes after batch and token: those of one token. Scores and patterns have their tokens after the heads.
fn own_axes(point: HookPoint) -> Vec<Axis> {
    let mut axes = point.axes().to_vec();
    if per_pair(point) {
        axes.swap(1, 2);
    }
    axes.split_off(2.min(axes.len()))
}

/// Whether an activation belongs to pairs of tokens.
fn per_pair(point: HookPoint) -> bool {
    matches!(point, HookPoint::Block(_, Site::AttnScores | Site::Pattern))
}

impl Ready {
    fn new(number: usize, edit: &Edit, config: &Config, device: Device) -> Result<Self> {
        let points = HookSet::parse(&edit.points, config.n_layers)?;
        let Edit { tokens, rows, strengths, change, .. } = edit.clone();
        let mut ready = Self { number, points, tokens, rows, strengths, change, tensor: None };
        let Some(first) = ready.points.first() else {
            return Err(Error::NoPoints { edit: number, change: edit.change.name() });
        };
        if let Some(values) = edit.change.values() {
            let Some(tensor) = values.tensor(device)? else {
                return Err(ready.refuse(first, "its tensor was not read".to_owned(), UNREAD));
            };
            ready.tensor = Some(tensor);
        }
        for point in ready.points.iter() {
            ready.check_meaning(point)?;
            ready.check_heads(point, config)?;
            ready.check_tensor(point, config)?;
        }
        if let (Change::ProjectOut(_), Some(direction)) = (&ready.change, &ready.tensor) {
            ready.tensor = Some(ready.unit(first, direction)?);
        }
        Ok(ready)
    }

    fn refuse(&self, point: HookPoint, reason: String, hint: &'static str) -> Error {
        Error::Edit { edit: self.number, change: self.change.name(), point, reason, hint }
    }

    /// Whether this change at these tokens says what is to happen at this point.
    fn check_meaning(&self, point: HookPoint) -> Result<()> {
        let refuse = |reason: &str, hint| Err(self.refuse(point, reason.to_owned(), hint));
        if point == HookPoint::Logits {
            return refuse("logits are not edited", "change the logits that the run returns");
        }
        if self.tokens == Tokens::Mean {
            return refuse("the mean over tokens is no place to edit", "use last, first, all or positions");
        }
        if let Change::Add { scale: number, .. } | Change::Scale(number) = self.change
            && !number.is_finite()
        {
            return refuse("its factor is not finite", "give a number");
        }
        match (&self.strengths, &self.change) {
            (Some(strengths), Change::Add { .. }) if strengths.iter().all(|own| own.is_finite()) => {}
            (Some(_), Change::Add { .. }) => return refuse("a strength is not finite", "give numbers"),
            (Some(_), _) => {
                return refuse("it has strengths", "strengths multiply what `add` adds; take them out");
            }
            (None, _) => {}
        }
        if !per_pair(point) {
            return Ok(());
        }
        if self.tokens != Tokens::All {
            return refuse(
                "a token here could be the one that attends or the one attended to",
                "edit all tokens here, or write a hook; to silence heads at some tokens edit hook_z",
            );
        }
        match self.change {
            Change::Add { .. } | Change::ProjectOut(_) | Change::MeanAblate(_) => refuse(
                "a vector here would be as long as the prompt",
                "zero, scale, patch or knock_out can be used here",
            ),
            _ => Ok(()),
        }
    }

    /// Whether the heads it names are there.
    fn check_heads(&self, point: HookPoint, config: &Config) -> Result<()> {
        let Change::KnockOut { heads } = &self.change else { return Ok(()) };
        let refuse = |reason, hint| Err(self.refuse(point, reason, hint));
        let own = own_axes(point);
        let (count, kind) = match own.first() {
            Some(Axis::Head) => (config.n_heads, "heads"),
            Some(Axis::KvHead) => (config.n_kv_heads, "key and value heads"),
            _ => {
                let hint = "heads are at attn.hook_q, _k, _v, _rot_q, _rot_k, _pattern, _z and _result";
                return refuse("this point has no heads".to_owned(), hint);
            }
        };
        if let HookPoint::Block(_, Site::AttnScores) = point {
            let hint = "knock it out at hook_pattern or hook_z";
            return refuse("no scores make a head write nothing".to_owned(), hint);
        }
        if heads.is_empty() {
            return refuse("it names no heads".to_owned(), "give the heads' numbers, counted from 0");
        }
        match heads.iter().find(|head| **head as i64 >= count) {
            Some(head) => refuse(
                format!("there is no head {head}: the model has {count} {kind} here"),
                "heads are counted from 0; at keys and values several query heads share one",
            ),
            None => Ok(()),
        }
    }

    /// Whether its tensor has the point's shape and is finite.
    fn check_tensor(&self, point: HookPoint, config: &Config) -> Result<()> {
        let Some(tensor) = &self.tensor else { return Ok(()) };
        let (axes, shape) = (point.axes(), point.shape(config, 1, 1));
        let size = |axis: &Axis| axes.iter().zip(&shape).find(|(a, _)| *a == axis).map_or(0, |(_, n)| *n);
        let own = own_axes(point);
        let mut expected: Vec<i64> = own.iter().map(size).collect();
        let mut found = tensor.size();
        let patch = matches!(self.change, Change::Patch(_));
        let fits = if patch && !found.is_empty() {
            found.remove(0); // tokens: known when the batch is
            let pairs = expected.iter_mut().zip(&found).zip(&own);
            pairs.filter(|(_, axis)| **axis == Axis::Key).for_each(|((e, f), _)| *e = *f);
            found == expected
        } else {
            !patch && found == expected
        };
        if !fits {
            let names: Vec<_> = own.iter().zip(&expected).map(|(a, n)| format!("{} {n}", a.name())).collect();
            let tokens = if patch { "tokens, " } else { "" };
            let reason = format!(
                "its tensor has shape {:?}, the point takes [{tokens}{}]",
                tensor.size(),
                names.join(", ")
            );
            return Err(self.refuse(
                point,
                reason,
                "give the tensor the shape of what a capture takes there",
            ));
        }
        // Scores are −inf where masked.
        let bad = if let HookPoint::Block(_, Site::AttnScores) = point {
            tensor.f_isnan()?.f_any()?
        } else {
            tensor.f_isfinite()?.f_logical_not()?.f_any()?
        };
        if bad.f_int64_value(&[])? != 0 {
            let reason = "its tensor holds values that are not finite".to_owned();
            return Err(self.refuse(point, reason, "look at where the tensor comes from"));
        }
        Ok(())
    }

    /// A direction of length 1 along its last axis, in f64; zeros stay zeros. `[…]`
    fn unit(&self, point: HookPoint, direction: &Tensor) -> Result<Tensor> {
        let direction = direction.f_to_kind(Kind::Double)?;
        let length = direction.f_square().sum_dim(-1, true).sqrt()?;
        if length.f_max()?.f_double_value(&[])? == 0.0 {
            return Err(self.refuse(
                point,
                "its direction is zero".to_owned(),
                "give a direction with a length",
            ));
        }
        let one = length.f_ones_like()?;
        Ok(direction.f_div(&one.f_where_self(&length.f_eq(0.0)?, &length)?)?)
    }

    /// The activation with this edit made.
    fn apply(&self, activation: &Activation<'_>) -> Result<Tensor> {
        let tokens = self.tokens_of(activation.point, activation.batch)?;
        let x = activation.select(&tokens)?; // [S, …]
        if x.size().first() == Some(&0) {
            return Ok(activation.tensor.f_alias()?); // in a generation: its tokens are not in this pass
        }
        let wide = if x.kind() == Kind::Double { Kind::Double } else { Kind::Float };
        let own = |tensor: &Option<Tensor>, kind| -> Result<Tensor> {
            let Some(tensor) = tensor else { return Ok(x.f_zeros_like()?) };
            Ok(tensor.f_to_device(x.device())?.f_to_kind(kind)?)
        };
        let new = match &self.change {
            Change::Zero => x.f_zeros_like()?,
            Change::Scale(factor) => x.f_to_kind(wide).mul(*factor)?,
            Change::Add { scale, .. } => {
                let added = own(&self.tensor, wide)?.f_mul_scalar(*scale)?; // […]
                let added = match self.strengths_of(activation, &tokens)? {
                    Some(strengths) => added.f_unsqueeze(0)?.f_mul(&strengths.f_to_kind(wide)?)?, // [S, …]
                    None => added,
                };
                x.f_to_kind(wide).add(&added)?
            }
            Change::ProjectOut(_) => {
                let (x, unit) = (x.f_to_kind(wide)?, own(&self.tensor, wide)?);
                let along = x.f_mul(&unit).sum_dim(-1, true)?; // [S, …, 1]
                x.f_sub(&along.f_mul(&unit)?)?
            }
            Change::Patch(_) => self.patch(activation.point, &x, own(&self.tensor, x.kind())?)?,
            Change::MeanAblate(_) => own(&self.tensor, x.kind())?.f_expand_as(&x)?,
            Change::KnockOut { heads } => {
                let heads: Vec<i64> = heads.iter().map(|&head| head as i64).collect();
                x.f_index_fill(1, &Tensor::f_from_slice(&heads)?.f_to_device(x.device())?, 0.0)?
            }
        };
        let mut new = new.f_to_kind(x.kind())?;
        if let HookPoint::Block(_, Site::AttnScores) = activation.point {
            new = x.f_where_self(&x.f_isinf()?, &new)?; // what is masked stays masked
        }
        activation.replace(&tokens, &new)
    }

    /// The tokens to change in a batch: those of the rows that are named.
    fn tokens_of(&self, point: HookPoint, batch: &Batch) -> Result<Cow<'_, Tokens>> {
        let Some(rows) = &self.rows else { return Ok(Cow::Borrowed(&self.tokens)) };
        if let Some(row) = rows.iter().find(|row| **row >= batch.len()) {
            let reason = format!("there is no row {row}: the batch has {} prompts", batch.len());
            return Err(self.refuse(point, reason, "rows are the batch's prompts, counted from 0"));
        }
        let mut positions = self.tokens.positions(batch)?;
        for (_, own) in positions.iter_mut().enumerate().filter(|(row, _)| !rows.contains(row)) {
            own.clear();
        }
        // Named positions are those of the whole text.
        for (own, past) in positions.iter_mut().zip(batch.past().unwrap_or_default()) {
            for position in own {
                *position += past;
            }
        }
        Ok(Cow::Owned(Tokens::At(positions)))
    }

    /// What multiplies the addition to each of these tokens: the strength of its prompt. \[S, 1, …\]
    fn strengths_of(&self, activation: &Activation<'_>, tokens: &Tokens) -> Result<Option<Tensor>> {
        let Some(strengths) = &self.strengths else { return Ok(None) };
        let (batch, device) = (activation.batch, activation.tensor.device());
        let all: Vec<usize> = (0..batch.len()).collect();
        let rows = self.rows.as_ref().unwrap_or(&all);
        if strengths.len() != rows.len() {
            let reason =
                format!("it has {} strengths, and it changes {} prompts", strengths.len(), rows.len());
            let hint = "give one for each prompt of the batch, or for each of `rows`";
            return Err(self.refuse(activation.point, reason, hint));
        }
        let mut own = vec![0.0; batch.len()];
        rows.iter().zip(strengths).for_each(|(&row, &strength)| own[row] = strength);
        let positions = tokens.positions(batch)?;
        let by_token: Vec<f64> =
            positions.iter().zip(own).flat_map(|(own, strength)| own.iter().map(move |_| strength)).collect();
        let mut shape = vec![1; own_axes(activation.point).len() + 1];
        shape[0] = by_token.len() as i64;
        Ok(Some(Tensor::f_from_slice(&by_token)?.f_view(shape.as_slice())?.f_to_device(device)?))
    }

    /// The values of a patch, if they are for as many tokens as are chosen. `[S, …]`
    fn patch(&self, point: HookPoint, x: &Tensor, values: Tensor) -> Result<Tensor> {
        if values.size() == x.size() {
            return Ok(values);
        }
        let reason =
            format!("its tensor has shape {:?}, these tokens of this batch {:?}", values.size(), x.size());
        let hint =
            "a patch is for one batch: capture it with the same tokens, over prompts of the same lengths";
        Err(self.refuse(point, reason, hint))
    }
}
