//! Normalization of states, fitted on training rows and applied unchanged to all others.
//!
//! Both sides lose their own mean, so that no linear probe can tell plus from minus by the answer's wording
//! (Burns et al. 2022, §2.2); what else is done is a [`Normalization`]. Where rows say their template, every template
//! has statistics of its own as far as its rows carry them ([`FEWEST_FOR_SPREAD`]), since wording differs between
//! templates as it does between sides; a row of a template that was not among the training rows is given the statistics
//! of all of them together.

mod affine;
mod cluster;
pub mod erase;
mod file;
mod kind;
mod moments;
mod templates;
mod tokens;

use tch::{Kind, Tensor};

use crate::normalize::erase::{LeaceOptions, erased, leace};
use crate::{Contrast, Error, Result};

pub use cluster::{MIN_CLUSTER_SIZE, MOST_CLUSTERED, clusters};
pub(crate) use file::Header;
pub use kind::Normalization;
pub use moments::{Moments, SMALLEST_STD};
pub(crate) use templates::Templates;
pub use templates::{FEWEST_FOR_MEAN, FEWEST_FOR_SPREAD, few_rows_note};

/// The normalization of both sides; part of every probe.
#[derive(Debug)]
pub struct Normalizer {
    /// Of the plus side, all templates together.
    pub plus: Moments,
    /// Of the minus side, all templates together.
    pub minus: Moments,
    pub(crate) kind: Normalization,
    /// With means of their own; none where there was one template alone.
    pub(crate) templates: Option<Templates>,
    /// Of the rows that it was fitted on.
    pub(crate) seen: Vec<String>,
    /// Those of them with too few rows for statistics of their own.
    pub(crate) few: Vec<String>,
    /// What is erased after the mean: left \[D, M\] and right \[M, D\].
    pub(crate) erasure: Option<(Tensor, Tensor)>,
    pub(crate) reestimated: bool,
}

impl Normalizer {
    /// Takes the statistics of the training rows for the default normalization, [`Normalization::ElementWise`].
    ///
    /// # Errors
    /// As [`Normalizer::fit_as`].
    pub fn fit(train: &Contrast) -> Result<Self> {
        Self::fit_as(Normalization::default(), train)
    }

    /// Takes the statistics of the training rows. Labels are not used.
    ///
    /// ```
    /// use ccs::Contrast;
    /// use ccs::normalize::{Normalization, Normalizer};
    /// use tch::{Kind, Tensor};
    ///
    /// let states = |values: [f32; 2]| Tensor::from_slice(&values).reshape([2, 1]);
    /// let groups = vec!["a".to_owned(), "b".to_owned()];
    /// let pairs = Contrast::new(states([1.0, 3.0]), states([0.0, 8.0]), vec![true, false], groups)?;
    /// let normalizer = Normalizer::fit_as(Normalization::MeanOnly, &pairs)?;
    /// let (plus, minus) = normalizer.apply(&pairs, Kind::Float)?;
    /// assert_eq!(Vec::<f32>::try_from(plus.reshape(-1))?, [-1.0, 1.0]);
    /// assert_eq!(Vec::<f32>::try_from(minus.reshape(-1))?, [-4.0, 4.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// LibTorch's; for LEACE those of [`leace`].
    pub fn fit_as(kind: Normalization, train: &Contrast) -> Result<Self> {
        match kind {
            Normalization::Leace => Self::fit_leace(train),
            Normalization::Cluster => Ok(cluster::fit(train)?.0),
            Normalization::MeanOnly | Normalization::ElementWise | Normalization::Burns => {
                Self::fit_moments(kind, train)
            }
        }
    }

    /// Mean and spread, of all rows and by template.
    fn fit_moments(kind: Normalization, train: &Contrast) -> Result<Self> {
        let (plus, minus) = moments::fit(kind, train.plus(), train.minus())?;
        let templates = Templates::fit(kind, train)?;
        let (seen, few) = (templates::names(train), templates::few(kind, train));
        Ok(Self { plus, minus, kind, templates, seen, few, erasure: None, reestimated: false })
    }

    /// Takes the statistics of the training rows and gives these rows as a fit should see them, which under
    /// [`Normalization::Cluster`] is not as [`Normalizer::apply`] gives them.
    ///
    /// # Shapes
    /// `train`: N pairs of length D; the result: two tensors \[N, D\] of `kind`, plus and minus.
    ///
    /// # Errors
    /// As [`Normalizer::fit_as`].
    pub fn fit_transform(
        normalization: Normalization,
        train: &Contrast,
        kind: Kind,
    ) -> Result<(Self, Tensor, Tensor)> {
        if normalization == Normalization::Cluster {
            let (normalizer, plus, minus) = cluster::fit(train)?;
            return Ok((normalizer, plus.f_to_kind(kind)?, minus.f_to_kind(kind)?));
        }
        let normalizer = Self::fit_as(normalization, train)?;
        let (plus, minus) = normalizer.apply(train, kind)?;
        Ok((normalizer, plus, minus))
    }

    /// Both sides' states are rows of one matrix; z says in one-hot form which template and side each is of.
    fn fit_leace(train: &Contrast) -> Result<Self> {
        let parts = templates::classes(train);
        let kept: Vec<usize> = parts.iter().flatten().copied().collect();
        let part = train.select(&kept)?; // template after template
        let states = Tensor::f_cat(&[part.plus(), part.minus()], 0)?; // [2N, D]
        let (rows, classes) = (kept.len(), 2 * parts.len());
        let mut z = vec![0f64; 2 * rows * classes];
        let templates =
            parts.iter().enumerate().flat_map(|(template, part)| part.iter().map(move |_| template));
        for (row, template) in templates.enumerate() {
            for (at, class) in [(row, 2 * template), (rows + row, 2 * template + 1)] {
                if let Some(one) = z.get_mut(at * classes + class) {
                    *one = 1.0;
                }
            }
        }
        let z = Tensor::f_from_slice(&z)?.f_reshape([2 * rows as i64, classes as i64])?;
        // Means are to be equal to rounding, also where they differ by less than the states' noise.
        let eraser = leace(&states, &z, &LeaceOptions { tolerance: 1e-6, ..LeaceOptions::default() })?;
        let center = |mean: &Tensor| -> Result<Moments> {
            Ok(Moments { mean: mean.f_alias()?, std: mean.f_ones_like()? })
        };
        Ok(Self {
            plus: center(&eraser.mean)?,
            minus: center(&eraser.mean)?,
            kind: Normalization::Leace,
            templates: None,
            seen: templates::names(train),
            few: templates::few(Normalization::Leace, train),
            erasure: Some((eraser.left, eraser.right)),
            reestimated: false,
        })
    }

    /// The same normalization with the statistics of other rows, such as those of the data set that a probe is
    /// transferred to. This is transductive: what a row is given depends on the rows it comes with. A probe that
    /// uses it says so ([`Normalizer::is_reestimated`]).
    ///
    /// # Errors
    /// Another D, and as [`Normalizer::fit_as`].
    pub fn reestimated(&self, target: &Contrast) -> Result<Self> {
        self.check(target)?;
        Ok(Self { reestimated: true, ..Self::fit_as(self.kind, target)? })
    }

    /// The same normalizer once more.
    pub fn duplicate(&self) -> Result<Self> {
        let templates = self.templates.as_ref().map(Templates::duplicate).transpose()?;
        let erasure = match &self.erasure {
            Some((left, right)) => Some((left.f_alias_copy()?, right.f_alias_copy()?)),
            None => None,
        };
        let (plus, minus) = (self.plus.duplicate()?, self.minus.duplicate()?);
        let (seen, few) = (self.seen.clone(), self.few.clone());
        Ok(Self {
            plus,
            minus,
            kind: self.kind,
            templates,
            seen,
            few,
            erasure,
            reestimated: self.reestimated,
        })
    }

    /// Whether the statistics were taken anew on the rows that a probe is applied to.
    pub fn is_reestimated(&self) -> bool {
        self.reestimated
    }

    /// Which normalization this is.
    pub fn kind(&self) -> Normalization {
        self.kind
    }

    /// The templates of the rows that it was fitted on, in the order of their first rows; none where rows did not say
    /// theirs, or where the file of a probe of one template does not yet name it.
    pub fn templates(&self) -> &[String] {
        &self.seen
    }

    /// Those of [`Normalizer::templates`] that had too few rows for statistics of their own ([`FEWEST_FOR_SPREAD`],
    /// [`FEWEST_FOR_MEAN`]): they are scaled by the spread of all templates, and a single row is treated as if its
    /// template were not known.
    pub fn templates_with_few_rows(&self) -> &[String] {
        &self.few
    }

    /// The name that a template has here: its own, else the only `NAME/TEMPLATE` of data sets pooled. None where there is
    /// none or the data set would have to be guessed: its rows are then given the statistics of all templates together.
    pub fn template(&self, name: &str) -> Option<&str> {
        templates::known_as(&self.seen, name).and_then(|at| self.seen.get(at)).map(String::as_str)
    }

    /// The normalized states of both sides.
    ///
    /// # Shapes
    /// `pairs`: N pairs of length D; the result: two tensors \[N, D\] of `kind`.
    ///
    /// # Errors
    /// A different D than the normalizer was fitted on.
    pub fn apply(&self, pairs: &Contrast, kind: Kind) -> Result<(Tensor, Tensor)> {
        self.check(pairs)?;
        let (plus, minus) = (like(pairs.plus(), kind)?, like(pairs.minus(), kind)?);
        self.by_parts(pairs, |(from, rows), part, other| {
            plus.f_narrow(0, from, rows)?.f_copy_(&part)?;
            Ok(minus.f_narrow(0, from, rows)?.f_copy_(&other()?)?)
        })?;
        Ok((plus, minus))
    }

    /// Normalized plus minus normalized minus; of single statements, the normalized state. \[N, D\]
    ///
    /// # Errors
    /// As [`Normalizer::apply`].
    pub fn differences(&self, pairs: &Contrast, kind: Kind) -> Result<Tensor> {
        self.check(pairs)?;
        let differences = like(pairs.plus(), kind)?;
        self.by_parts(pairs, |(from, rows), mut part, other| {
            if !pairs.is_single() {
                let _ = part.f_sub_(&other()?)?;
            }
            Ok(differences.f_narrow(0, from, rows)?.f_copy_(&part)?)
        })?;
        Ok(differences)
    }

    /// Normalizes some rows at a time in f64: what is made on the way stays in the processor's cache, and no more than a part
    /// of it is held. `take` gets the part's first row and number of rows, its plus states, and what makes its minus states.
    fn by_parts(
        &self,
        pairs: &Contrast,
        take: impl Fn((i64, i64), Tensor, &dyn Fn() -> Result<Tensor>) -> Result<()>,
    ) -> Result<()> {
        let index = self.templates.as_ref().map(|templates| templates.places(pairs)).transpose()?; // [N]
        let (rows, dim) = (pairs.rows() as i64, pairs.dim() as i64);
        // Products that erase would be rounded otherwise in parts; a GPU wants all its work at once.
        let whole = self.erasure.is_some() || pairs.plus().device().is_cuda();
        let step = if whole { rows } else { (PART / dim.max(1)).max(1) };
        for from in (0..rows).step_by(step as usize) {
            let count = step.min(rows - from);
            let side = |states: &Tensor, pooled: &Moments, own: Option<&Moments>| -> Result<Tensor> {
                let states = states.f_narrow(0, from, count)?;
                let states = match (own, &index) {
                    (Some(own), Some(index)) => {
                        own.rows(pooled, &index.f_narrow(0, from, count)?)?.apply(&states)?
                    }
                    _ => pooled.apply(&states)?,
                };
                match &self.erasure {
                    Some((left, right)) => Ok(states.f_sub(&erased(&states, left, right)?)?),
                    None => Ok(states),
                }
            };
            let own = self.templates.as_ref();
            let plus = side(pairs.plus(), &self.plus, own.map(|templates| &templates.plus))?;
            let minus = || side(pairs.minus(), &self.minus, own.map(|templates| &templates.minus));
            take((from, count), plus, &minus)?;
        }
        Ok(())
    }

    fn check(&self, pairs: &Contrast) -> Result<()> {
        let dim = self.plus.mean.size();
        if dim == [pairs.dim() as i64] {
            return Ok(());
        }
        Err(Error::Shape {
            what: "the states".to_owned(),
            expected: format!(
                "[N, {}], as the probe was fitted on",
                dim.first().copied().unwrap_or_default()
            ),
            found: pairs.plus().size(),
            hint: "a probe works on states of the model and hook point it was fitted on",
        })
    }
}

/// Numbers of a part of the rows: 1 MiB in f64.
const PART: i64 = 1 << 17;

/// Room for states of another kind.
fn like(states: &Tensor, kind: Kind) -> Result<Tensor> {
    Ok(Tensor::f_empty(states.size(), (kind, states.device()))?)
}

#[cfg(test)]
mod tests;
