//! Pairs made of other pairs: of several layers side by side, and told apart by polarity.

use tch::{Kind, Tensor};

use super::Contrast;
use crate::{Error, Result};

impl Contrast {
    /// The states of several layers side by side: one row has all of them. Labels, groups, questions and templates are the
    /// first's.
    ///
    /// ```
    /// use ccs::Contrast;
    /// use tch::Tensor;
    ///
    /// let layer = |value: f32| {
    ///     let states = || Tensor::from_slice(&[value, -value]).reshape([2, 1]);
    ///     Contrast::new(states(), -states(), vec![true, false], vec!["a".into(), "b".into()])
    /// };
    /// let both = Contrast::concatenate(&[&layer(1.0)?, &layer(2.0)?])?;
    /// assert_eq!(both.plus(), &Tensor::from_slice(&[1f32, 2.0, -1.0, -2.0]).reshape([2, 2]));
    /// # Ok::<(), ccs::Error>(())
    /// ```
    ///
    /// # Shapes
    /// `layers`: N pairs of length Dᵢ each; the result: N pairs as long as all of them together.
    ///
    /// # Errors
    /// No layers, or layers whose rows are not the same.
    pub fn concatenate(layers: &[&Self]) -> Result<Self> {
        let Some(first) = layers.first() else {
            return Err(Error::Setting {
                name: "layers",
                value: "none".to_owned(),
                reason: "there must be one",
                hint: "give the layers whose states are to stand side by side",
            });
        };
        for other in layers {
            if other.rows() != first.rows() {
                return Err(Error::Length { what: "layers", expected: first.rows(), found: other.rows() });
            }
            let differs = |row: usize| {
                other.labels.get(row) != first.labels.get(row)
                    || other.groups.get(row) != first.groups.get(row)
            };
            if let Some(row) = (0..first.rows()).find(|&row| differs(row) || other.single != first.single) {
                let problem = "its label or group is another in another layer".to_owned();
                return Err(Error::Variant { row, problem });
            }
        }
        let beside = |side: fn(&Self) -> &Tensor| -> Result<Tensor> {
            Ok(Tensor::f_cat(&layers.iter().map(|layer| side(layer)).collect::<Vec<_>>(), 1)?)
        };
        let plus = beside(Self::plus)?;
        let minus = if first.single { plus.f_alias()? } else { beside(Self::minus)? };
        Ok(first.with(plus, minus, first.all_columns()))
    }

    /// The root mean square of the states about the mean of their side: how far apart rows lie, in one number.
    ///
    /// # Errors
    /// [`Error::Constant`] where no row differs from another on its side.
    pub fn spread(&self) -> Result<f64> {
        let variance = |side: &Tensor| -> Result<f64> {
            let side = side.f_to_kind(Kind::Double)?; // [N, D]
            let mean = side.f_mean_dim(0, true, Kind::Double)?; // [1, D]
            Ok(side.f_sub(&mean)?.f_square()?.f_mean(Kind::Double)?.f_double_value(&[])?)
        };
        let spread = (0.5 * (variance(self.plus())? + variance(self.minus())?)).sqrt();
        if spread > 0.0 { Ok(spread) } else { Err(Error::Constant) }
    }

    /// The same rows with every state times `factor`.
    ///
    /// # Errors
    /// LibTorch's.
    pub fn scaled(&self, factor: f64) -> Result<Self> {
        let plus = self.plus.f_mul_scalar(factor)?;
        let minus = if self.single { plus.f_alias()? } else { self.minus.f_mul_scalar(factor)? };
        Ok(self.with(plus, minus, self.all_columns()))
    }

    /// The same rows with affirmative and negated ones as templates of their own, `NAME/affirmative` and `NAME/negated`: every
    /// normalization then takes its statistics within polarity, on training rows and on others that are told apart in the
    /// same way. What "not" does to states by itself is so taken away, as each side's wording is (Laurito et al. 2024 do it
    /// for clusters that nobody knows).
    ///
    /// # Errors
    /// Rows whose polarity is not known.
    pub fn by_polarity(&self) -> Result<Self> {
        let Some(affirmative) = &self.polarity else {
            return Err(Error::Setting {
                name: "polarity",
                value: "not known".to_owned(),
                reason: "rows do not say which of them are negated",
                hint: "give it with `with_polarity`",
            });
        };
        let template = |number: &usize| self.template_names().get(*number).map_or("", String::as_str);
        let numbers = self.templates();
        let named = numbers.iter().map(template).zip(affirmative).map(|(name, &affirmative)| {
            let polarity = if affirmative { "affirmative" } else { "negated" };
            if name.is_empty() { polarity.to_owned() } else { format!("{name}/{polarity}") }
        });
        let question = |number: &usize| {
            self.question_names().get(*number).cloned().unwrap_or_else(|| number.to_string())
        };
        let (questions, templates) = (self.questions().iter().map(question).collect(), named.collect());
        self.alias()?.with_variants(questions, templates)
    }
}
