//! A linear probe in the model's own space: its normalization undone.

use tch::{Device, Kind, Tensor};

use super::{HiddenLayers, Probe, ProbeInput};
use crate::{Error, Result};

/// A probe's logits as linear functions of states as the model yields them: z± = v±ᵀx± + c±, the sign applied. They are those of
/// [`Probe::statement_logits`]: the score is z⁺ − z⁻, for CCS ½(σ(z⁺) + 1 − σ(z⁻)), and for a probe on single statements z⁺.
///
/// The sides differ in v where each has a scale of its own ([`crate::Normalization::ElementWise`]), and in c by what their
/// answers' wording does to states.
#[derive(Debug, Clone, PartialEq)]
pub struct LinearForm {
    /// v⁺. D
    pub plus: Vec<f32>,
    /// v⁻; of a probe on single statements, v⁺. D
    pub minus: Vec<f32>,
    /// c⁺.
    pub plus_bias: f64,
    /// c⁻.
    pub minus_bias: f64,
}

impl LinearForm {
    /// ½(v⁺ + v⁻): the one direction for steering and for comparing probes. D
    pub fn direction(&self) -> Vec<f32> {
        self.plus.iter().zip(&self.minus).map(|(p, m)| 0.5 * (p + m)).collect()
    }
}

impl Probe {
    /// The probe without its normalization: for rows of one of its templates, or with `None`, or a name that it does not know,
    /// for rows of no known template.
    ///
    /// ```
    /// use ccs::{Contrast, Fit, MeanDifference, SeedTree};
    /// use tch::Tensor;
    ///
    /// let plus = Tensor::from_slice(&[5.0, 2.0, 3.0, 1.0]).reshape([4, 1]);
    /// let groups = (0..4).map(|i| i.to_string()).collect();
    /// let train = Contrast::new(plus.copy(), 9.0 - plus, vec![true, false, true, false], groups)?;
    /// let probe = MeanDifference::default().fit(&train, &SeedTree::new(0))?.probe;
    /// let form = probe.linear_form(None)?;
    /// let score = form.plus[0] as f64 * 5.0 + form.plus_bias - form.minus[0] as f64 * 4.0 - form.minus_bias;
    /// assert!((score - probe.score_pairs(&train)?[0]).abs() < 1e-5);
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Errors
    /// A probe with hidden layers.
    pub fn linear_form(&self, template: Option<&str>) -> Result<LinearForm> {
        if let HiddenLayers::Mlp(layers) = &self.hidden_layers {
            return Err(Error::Setting {
                name: "hidden",
                value: layers.len().to_string(),
                reason: "a probe with hidden layers is no linear function of states",
                hint: "fit one without hidden layers",
            });
        }
        let weight = self.weight.f_to_device(Device::Cpu)?.f_to_kind(Kind::Double)?;
        let dim = self.dim() as i64;
        let (plus, minus) = match self.input {
            ProbeInput::Concatenated => (weight.f_narrow(0, 0, dim)?, weight.f_narrow(0, dim, dim)?.f_neg()?),
            _ => (weight.f_alias()?, weight),
        };
        // As `statement_logits` divides the bias of a pair.
        let (plus_bias, minus_bias) = match self.input {
            ProbeInput::Difference | ProbeInput::Concatenated => (0.5 * self.bias, -0.5 * self.bias),
            _ => (self.bias, self.bias),
        };
        let (plus_moments, minus_moments) = self.normalizer.moments(template)?;
        let sign = f64::from(i8::from(self.sign));
        let undone = |w: &Tensor, bias: f64, (mean, std): &(Tensor, Tensor)| -> Result<(Vec<f32>, f64)> {
            let v = self.normalizer.before_erasure(w)?.f_div(std)?.f_mul_scalar(sign)?;
            let bias = sign * bias - v.f_dot(mean)?.f_double_value(&[])?;
            Ok((Vec::try_from(v.f_to_kind(Kind::Float)?)?, bias))
        };
        let (plus, plus_bias) = undone(&plus, plus_bias, &plus_moments)?;
        let (minus, minus_bias) = undone(&minus, minus_bias, &minus_moments)?;
        Ok(LinearForm { plus, minus, plus_bias, minus_bias })
    }
}
