//! The hook most runs want: keep these activations.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use super::{Action, Activation, Hook, HookPoint, HookSet, Tokens};
use crate::error::{Error, Result};

/// A hook that keeps activations: at which points, of which tokens, in which type, and on which device.
///
/// It keeps copies, which do not keep the run's memory alive. In a run with [`crate::Forward::gradients`], the run
/// continues from what was kept, so that gradients of anything computed later can be taken with respect to it; see
/// there.
#[derive(Debug)]
pub struct Capture {
    set: HookSet,
    tokens: Tokens,
    kind: Option<Kind>,
    device: Option<Device>,
    captured: Captured,
}

impl Capture {
    /// Keeps `tokens` at every point of `set`, in the type and on the device in which they were computed.
    pub fn new(set: impl Into<HookSet>, tokens: Tokens) -> Self {
        Self { set: set.into(), tokens, kind: None, device: None, captured: Captured::default() }
    }

    /// Converts what is kept to another type.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = Some(kind);
        self
    }

    /// Moves what is kept to another device.
    #[must_use]
    pub fn device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self
    }

    /// What was kept; for a point that was visited in several runs, what the last one gave.
    pub fn finish(self) -> Captured {
        self.captured
    }
}

impl Hook for Capture {
    fn points(&self) -> HookSet {
        self.set.clone()
    }

    fn visit(&mut self, activation: &Activation<'_>) -> Result<Action> {
        let mut kept = activation.select(&self.tokens)?;
        if activation.gradients && activation.point != HookPoint::Logits {
            return self.on_the_way(activation, kept);
        }
        if let Some(kind) = self.kind {
            kept = kept.f_to_kind(kind)?;
        }
        if let Some(device) = self.device {
            kept = kept.f_to_device(device)?;
        }
        self.captured.0.insert(activation.point, kept);
        Ok(Action::Keep)
    }
}

impl Capture {
    /// Keeps `kept` and lets the run go on from it.
    fn on_the_way(&mut self, activation: &Activation<'_>, kept: Tensor) -> Result<Action> {
        let same =
            self.kind.is_none_or(|k| k == kept.kind()) && self.device.is_none_or(|d| d == kept.device());
        if !same {
            return Err(Error::NotReplaceable {
                point: activation.point,
                tokens: self.tokens.clone(),
                reason: "a converted copy is not what the run computes with, so it has no gradient",
                hint: "in a run with gradients, capture without kind and device, and convert afterwards",
            });
        }
        // Where nothing before it needs a gradient, this is where the graph begins.
        let kept = if kept.requires_grad() { kept } else { kept.f_set_requires_grad(true)? };
        let whole = activation.replace(&self.tokens, &kept)?;
        self.captured.0.insert(activation.point, kept);
        Ok(Action::Replace(whole))
    }
}

/// Activations by hook point, in execution order.
#[derive(Debug, Default)]
pub struct Captured(BTreeMap<HookPoint, Tensor>);

impl Captured {
    /// The activation at a point, if it was captured.
    ///
    /// # Shapes
    /// `[S, …]`, as [`Activation::select`] gives it.
    pub fn get(&self, point: HookPoint) -> Option<&Tensor> {
        self.0.get(&point)
    }

    /// As [`Captured::get`], but moved out.
    pub fn take(&mut self, point: HookPoint) -> Option<Tensor> {
        self.0.remove(&point)
    }

    /// Points and activations, in execution order.
    pub fn iter(&self) -> impl Iterator<Item = (HookPoint, &Tensor)> {
        self.0.iter().map(|(point, tensor)| (*point, tensor))
    }

    /// The number of captured points.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no point was captured.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Captured {
    type Item = (HookPoint, &'a Tensor);
    type IntoIter = Box<dyn Iterator<Item = Self::Item> + 'a>;

    fn into_iter(self) -> Self::IntoIter {
        Box::new(self.iter())
    }
}

impl IntoIterator for Captured {
    type Item = (HookPoint, Tensor);
    type IntoIter = std::collections::btree_map::IntoIter<HookPoint, Tensor>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}
