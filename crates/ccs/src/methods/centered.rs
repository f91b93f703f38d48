//! A direction on differences of normalized states as a probe. Of single statements, the state itself takes the place of
//! the difference.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor};

use crate::contrast::both_labels;
use crate::normalize::{Normalization, Normalizer};
use crate::probe::{Calibration, HiddenLayers, Probe, ProbeInput, Sign};
use crate::{Contrast, Result};

/// Training rows as the methods of this module's neighbors take them.
pub(crate) struct Train<'a> {
    pairs: &'a Contrast,
    normalizer: Normalizer,
    /// φ⁺ less its mean over the rows. \[N, D\], f64
    pub(crate) plus: Tensor,
    /// φ⁻ less its mean over the rows; zeros of single statements. \[N, D\], f64
    pub(crate) minus: Tensor,
    /// The mean of φ⁺ − φ⁻ as the probe will see the training rows, which under [`Normalization::Cluster`] is not as the
    /// fit sees them: the boundary belongs where later rows are. \[D\]
    offset: Tensor,
}

impl<'a> Train<'a> {
    /// Normalizes and centers.
    pub(crate) fn new(pairs: &'a Contrast, normalization: Normalization) -> Result<Self> {
        both_labels(pairs.labels(), "the training rows")?;
        let (normalizer, plus, minus) = Normalizer::fit_transform(normalization, pairs, Kind::Double)?;
        let minus = if pairs.is_single() { minus.f_zeros_like()? } else { minus };
        let mean = |x: &Tensor| x.f_mean_dim(0, false, Kind::Double);
        let (plus_mean, minus_mean) = (mean(&plus)?, mean(&minus)?);
        let offset = if normalization == Normalization::Cluster {
            mean(&normalizer.differences(pairs, Kind::Double)?)?
        } else {
            plus_mean.f_sub(&minus_mean)?
        };
        Ok(Self {
            plus: plus.f_sub(&plus_mean)?,
            minus: minus.f_sub(&minus_mean)?,
            offset,
            pairs,
            normalizer,
        })
    }

    /// φ⁺ − φ⁻, centered. \[N, D\]
    pub(super) fn differences(&self) -> Result<Tensor> {
        Ok(self.plus.f_sub(&self.minus)?)
    }

    /// The labels as 1 and 0, beside the states. \[N\]
    pub(super) fn labels(&self) -> Result<Tensor> {
        let labels: Vec<f64> = self.pairs.labels().iter().map(|&l| f64::from(u8::from(l))).collect();
        Ok(Tensor::f_from_slice(&labels)?.f_to_device(self.plus.device())?)
    }

    /// The probe wᵀ(φ⁺ − φ⁻ − mean) + b, its sign from the training labels.
    pub(super) fn probe(self, weight: &Tensor, bias: f64) -> Result<Probe> {
        let pairs = self.pairs;
        let mut probe = self.supervised(weight, bias)?;
        probe.orient(pairs)?;
        Ok(probe)
    }

    /// The same, where the fit itself knew the labels: a high score means true.
    pub(super) fn supervised(self, weight: &Tensor, bias: f64) -> Result<Probe> {
        let bias = self.moved(weight, bias)?;
        linear(weight, bias, self.normalizer, input(self.pairs), Calibration::NONE)
    }

    /// As [`Train::supervised`], for more than one probe, each a logistic regression's.
    pub(super) fn another(&self, weight: &Tensor, bias: f64) -> Result<Probe> {
        let (bias, normalizer) = (self.moved(weight, bias)?, self.normalizer.duplicate()?);
        linear(weight, bias, normalizer, input(self.pairs), Calibration::OWN)
    }

    /// The bias for differences that are not centered.
    fn moved(&self, weight: &Tensor, bias: f64) -> Result<f64> {
        Ok(bias - weight.f_dot(&self.offset)?.f_double_value(&[])?)
    }
}

fn input(train: &Contrast) -> ProbeInput {
    if train.is_single() { ProbeInput::Single } else { ProbeInput::Difference }
}

fn linear(
    weight: &Tensor,
    bias: f64,
    normalizer: Normalizer,
    input: ProbeInput,
    calibration: Calibration,
) -> Result<Probe> {
    Ok(Probe {
        weight: weight.f_to_device(Device::Cpu)?.f_contiguous()?,
        bias,
        hidden_layers: HiddenLayers::Linear,
        sign: Sign::Plus,
        input,
        calibration,
        normalizer,
        meta: BTreeMap::new(),
    })
}

/// Of unit length, with its largest entry positive: a direction found without labels has no sign of its own, and so
/// gets the same one every time.
pub(super) fn canonical(direction: &Tensor) -> Result<Tensor> {
    let largest = direction.f_abs()?.f_argmax(0, false)?.f_int64_value(&[])?;
    let length = direction.f_norm()?.f_double_value(&[])?.max(f64::MIN_POSITIVE);
    Ok(direction.f_mul_scalar(direction.f_double_value(&[largest])?.signum() / length)?)
}
