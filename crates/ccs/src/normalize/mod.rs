//! Normalisation of states, fitted on training rows and applied unchanged to all others.
//!
//! Both sides lose their own mean, so that no linear probe can tell plus from minus by the answer's wording
//! (Burns et al. 2022, §2.2); what else is done is a [`Normalization`]. Where rows say their template, every template
//! has statistics of its own as far as its rows carry them ([`FEWEST_FOR_SPREAD`]), since wording differs between
//! templates as it does between sides; a row of a template that was not among the training rows is given the statistics
//! of all of them together.

mod cluster;
mod file;
mod moments;
mod templates;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

use crate::erase::{LeaceOptions, erased, leace};
use crate::{Contrast, Error, Result};

pub use cluster::{MIN_CLUSTER_SIZE, MOST_CLUSTERED, clusters};
pub(crate) use file::Header;
pub use moments::{Moments, SMALLEST_STD};
pub(crate) use templates::Templates;
pub use templates::{FEWEST_FOR_MEAN, FEWEST_FOR_SPREAD, few_rows_note};

/// What is done to states before a probe sees them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Each side loses its mean: x − μ±.
    MeanOnly,
    /// Each side loses its mean, each dimension is scaled to unit spread: (x − μ±)/s± (the paper's text).
    #[default]
    ElementWise,
    /// Each side loses its mean, and one number scales both sides and all dimensions so that the mean length of a
    /// pair (φ⁺, φ⁻) is √(2D) (the paper's code). The same number is used at fit and later.
    Burns,
    /// LEACE of template × side ([`crate::erase`]), then the mean that all of them share is taken away: which side and
    /// template a state is of cannot be told linearly. One affine map for all rows, whatever their template.
    Leace,
    /// Each side loses the mean of its pair's cluster, at fit ([`Normalizer::fit_transform`]); all other rows, later,
    /// that of their template. One number scales everything, so chosen as Burns' is, on the training rows.
    Cluster,
}

impl Normalization {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::MeanOnly, Self::ElementWise, Self::Burns, Self::Leace, Self::Cluster];

    /// The name in reports and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::MeanOnly => "mean_only",
            Self::ElementWise => "element_wise",
            Self::Burns => "burns",
            Self::Leace => "leace",
            Self::Cluster => "cluster",
        }
    }
}

impl fmt::Display for Normalization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Normalization {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let plain = name.trim().to_lowercase().replace('-', "_");
        Self::ALL.into_iter().find(|n| n.name() == plain).ok_or_else(|| Error::Setting {
            name: "--normalize",
            value: name.to_owned(),
            reason: "no normalisation has this name",
            hint: "give mean_only, element_wise, burns, leace or cluster",
        })
    }
}

/// The normalisation of both sides; part of every probe.
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
    /// Takes the statistics of the training rows for the default normalisation, [`Normalization::ElementWise`].
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
        let centre = |mean: &Tensor| -> Result<Moments> {
            Ok(Moments { mean: mean.f_alias()?, std: mean.f_ones_like()? })
        };
        Ok(Self {
            plus: centre(&eraser.mean)?,
            minus: centre(&eraser.mean)?,
            kind: Normalization::Leace,
            templates: None,
            seen: templates::names(train),
            few: templates::few(Normalization::Leace, train),
            erasure: Some((eraser.left, eraser.right)),
            reestimated: false,
        })
    }

    /// The same normalisation with the statistics of other rows, such as those of the data set that a probe is
    /// transferred to. This is transductive: what a row is given depends on the rows it comes with. A probe that
    /// uses it says so ([`Normalizer::is_reestimated`]).
    ///
    /// # Errors
    /// Another D, and as [`Normalizer::fit_as`].
    pub fn reestimated(&self, target: &Contrast) -> Result<Self> {
        self.check(target)?;
        Ok(Self { reestimated: true, ..Self::fit_as(self.kind, target)? })
    }

    /// The same normaliser once more.
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

    /// Which normalisation this is.
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

    /// The normalised states of both sides.
    ///
    /// # Shapes
    /// `pairs`: N pairs of length D; the result: two tensors \[N, D\] of `kind`.
    ///
    /// # Errors
    /// A different D than the normaliser was fitted on.
    pub fn apply(&self, pairs: &Contrast, kind: Kind) -> Result<(Tensor, Tensor)> {
        self.check(pairs)?;
        let finish = |states: Tensor| -> Result<Tensor> {
            let states = match &self.erasure {
                Some((left, right)) => states.f_sub(&erased(&states, left, right)?)?,
                None => states,
            };
            Ok(states.f_to_kind(kind)?)
        };
        let Some(templates) = &self.templates else {
            let sides = (self.plus.apply(pairs.plus())?, self.minus.apply(pairs.minus())?);
            return Ok((finish(sides.0)?, finish(sides.1)?));
        };
        let index = templates.places(pairs)?; // [N]
        let side = |of: &Moments, pooled: &Moments, states: &Tensor| of.rows(pooled, &index)?.apply(states);
        Ok((
            finish(side(&templates.plus, &self.plus, pairs.plus())?)?,
            finish(side(&templates.minus, &self.minus, pairs.minus())?)?,
        ))
    }

    /// Normalised plus minus normalised minus. \[N, D\]
    ///
    /// # Errors
    /// As [`Normalizer::apply`].
    pub fn differences(&self, pairs: &Contrast, kind: Kind) -> Result<Tensor> {
        let (plus, minus) = self.apply(pairs, Kind::Double)?;
        Ok(plus.f_sub(&minus)?.f_to_kind(kind)?)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn contrast(plus: &[f32], minus: &[f32]) -> Contrast {
        let rows = plus.len() as i64;
        let column = |v: &[f32]| Tensor::from_slice(v).reshape([rows, 1]);
        let labels = (0..rows).map(|i| i % 2 == 0).collect();
        let groups = (0..rows).map(|i| i.to_string()).collect();
        Contrast::new(column(plus), column(minus), labels, groups).unwrap()
    }

    #[test]
    fn population_statistics_per_side() {
        let train = contrast(&[1.0, 3.0], &[5.0, 5.0]);
        let normalizer = Normalizer::fit(&train).unwrap();
        let (plus, minus) = normalizer.apply(&contrast(&[1.0, 4.0], &[5.0, 5.5]), Kind::Double).unwrap();
        assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [-1.0, 2.0]); // ddof 0: std is 1, not √2
        assert_eq!(Vec::<f64>::try_from(minus.reshape(-1)).unwrap(), [0.0, 0.5]); // constant: only centred
    }

    #[test]
    fn a_constant_dimension_that_drifts_does_not_drown_the_others() {
        let pair = |values: &[f32]| Tensor::from_slice(values).reshape([2, 2]);
        let make = |values: &[f32]| {
            let groups = vec!["a".to_owned(), "b".to_owned()];
            Contrast::new(pair(values), pair(values), vec![true, false], groups).unwrap()
        };
        let normalizer = Normalizer::fit(&make(&[1.0, 7.0, 3.0, 7.0])).unwrap();
        let (plus, _) = normalizer.apply(&make(&[3.0, 7.25, 1.0, 6.5]), Kind::Double).unwrap();
        assert_eq!(Vec::<f64>::try_from(plus.reshape(-1)).unwrap(), [1.0, 0.25, -1.0, -0.5]);
    }

    #[test]
    fn a_large_offset_does_not_cancel() {
        let train = contrast(&[1e4, 1e4 + 0.01], &[0.0, 1.0]);
        let (plus, _) = Normalizer::fit(&train).unwrap().apply(&train, Kind::Double).unwrap();
        let values = Vec::<f64>::try_from(plus.reshape(-1)).unwrap();
        assert!((values[0] + 1.0).abs() < 1e-9 && (values[1] - 1.0).abs() < 1e-9, "{values:?}");
    }

    #[test]
    fn another_dimension_is_refused() {
        let normalizer = Normalizer::fit(&contrast(&[1.0, 3.0], &[5.0, 5.0])).unwrap();
        let wide = Contrast::new(
            Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
            Tensor::zeros([1, 2], (Kind::Float, tch::Device::Cpu)),
            vec![true],
            vec![String::new()],
        )
        .unwrap();
        assert!(matches!(normalizer.apply(&wide, Kind::Float), Err(crate::Error::Shape { .. })));
    }

    /// Two templates of eight questions; everything in the second is ten times larger and shifted.
    fn templated() -> Contrast {
        let text =
            |prefix: &str, of: fn(usize) -> usize| (0..16).map(|i| format!("{prefix}{}", of(i))).collect();
        let column = |a: [f32; 2], b: [f32; 2]| {
            let values: Vec<f32> = [a; 4].into_iter().chain([b; 4]).flatten().collect();
            Tensor::from_slice(&values).reshape([16, 1])
        };
        let (plus, minus) = (column([1.0, 3.0], [110.0, 130.0]), column([5.0, 7.0], [-50.0, -10.0]));
        let labels = (0..16).map(|i| i % 2 == 0).collect();
        let pairs = Contrast::new(plus, minus, labels, text("g", |i| i % 8)).unwrap();
        let templates = (0..16).map(|i| if i < 8 { "a".to_owned() } else { "b".to_owned() }).collect();
        pairs.with_variants(text("q", |i| i % 8), templates).unwrap()
    }

    fn values(t: &Tensor) -> Vec<f64> {
        Vec::try_from(t.reshape([-1])).unwrap()
    }

    #[test]
    fn every_template_has_its_own_statistics_and_unknown_ones_the_pooled() {
        let train = templated();
        let normalizer = Normalizer::fit(&train).unwrap();
        assert_eq!(normalizer.templates(), ["a", "b"]);
        let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
        assert_eq!(values(&plus), [-1.0, 1.0].repeat(8));
        assert_eq!(values(&minus), [-1.0, 1.0].repeat(8));
        // By name, not by number: here b is the first template.
        let b = train.select(&[8, 0]).unwrap();
        let text = |names: [&str; 2]| names.map(str::to_owned).to_vec();
        let renamed =
            Contrast::new(b.plus().copy(), b.minus().copy(), vec![true, true], text(["g", "h"])).unwrap();
        let renamed = renamed.with_variants(text(["q0", "q1"]), text(["b", "c"])).unwrap();
        let plus = values(&normalizer.apply(&renamed, Kind::Double).unwrap().0);
        let pooled = (1.0 - normalizer.plus.mean.double_value(&[0])) / normalizer.plus.std.double_value(&[0]);
        assert_eq!(plus, [-1.0, pooled]);
        // One template among the training rows is no reason for a table, but its name is kept.
        for kind in Normalization::ALL {
            let one = Normalizer::fit_as(kind, &train.select(&[0, 1]).unwrap()).unwrap();
            assert!(one.templates.is_none() && one.templates() == ["a"], "{kind}");
            assert!(
                one.templates_with_few_rows().is_empty(),
                "{kind}: there are no others to take a spread from"
            );
        }
    }

    #[test]
    fn a_template_of_pooled_data_sets_is_known_by_its_own_name_where_only_one_of_them_has_it() {
        // The first eight rows are of one template, the others of another.
        let named = |names: [&str; 2]| {
            let questions = (0..16).map(|i| format!("q{}", i % 8)).collect();
            let templates = (0..16).map(|i| names[i / 8].to_owned()).collect();
            templated().with_variants(questions, templates).unwrap()
        };
        let pool = |names: [&str; 2]| Normalizer::fit(&named(names)).unwrap();
        let two = pool(["boolq/exam", "imdb/review"]);
        assert_eq!(two.template("exam"), Some("boolq/exam"));
        assert_eq!(two.template("imdb/review"), Some("imdb/review"));
        assert_eq!((two.template("am"), two.template("claim"), two.template("")), (None, None, None));
        let plus = values(&two.apply(&named(["exam", "review"]), Kind::Double).unwrap().0);
        assert!(plus.chunks(2).all(|pair| pair == [-1.0, 1.0]), "{plus:?}");
        // Both data sets have it, so its name alone does not say whose statistics are meant.
        let same = pool(["boolq/exam", "imdb/exam"]);
        assert_eq!((same.template("exam"), same.template("imdb/exam")), (None, Some("imdb/exam")));
    }

    #[test]
    fn burns_scales_both_sides_by_one_number() {
        let train = contrast(&[1.0, 3.0], &[5.0, 11.0]);
        let normalizer = Normalizer::fit_as(Normalization::Burns, &train).unwrap();
        let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
        // Centred pairs (∓1, ∓3) have length √10, which becomes √2.
        let want = 2f64.sqrt() / 10f64.sqrt();
        for (got, want) in
            values(&plus).into_iter().chain(values(&minus)).zip([-want, want, -3.0 * want, 3.0 * want])
        {
            assert!((got - want).abs() < 1e-12);
        }
        let flat = Normalizer::fit_as(Normalization::Burns, &contrast(&[1.0, 1.0], &[2.0, 2.0])).unwrap();
        assert_eq!(values(&flat.plus.std), [1.0], "nothing to scale by");
    }

    #[test]
    fn leace_leaves_sides_and_templates_with_equal_means() {
        let train = templated();
        let normalizer = Normalizer::fit_as(Normalization::Leace, &train).unwrap();
        let (plus, minus) = normalizer.apply(&train, Kind::Double).unwrap();
        for rows in [0, 8] {
            for side in [&plus, &minus] {
                assert!(side.narrow(0, rows, 8).mean(Kind::Double).double_value(&[]).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn statistics_taken_anew_are_marked() {
        let normalizer =
            Normalizer::fit_as(Normalization::MeanOnly, &contrast(&[1.0, 3.0], &[5.0, 5.0])).unwrap();
        let target = contrast(&[11.0, 13.0], &[6.0, 8.0]);
        let anew = normalizer.reestimated(&target).unwrap();
        assert!(anew.is_reestimated() && !normalizer.is_reestimated());
        assert_eq!((anew.kind(), values(&anew.plus.mean)), (Normalization::MeanOnly, vec![12.0]));
    }

    #[test]
    fn names_are_read_back() {
        for kind in Normalization::ALL {
            assert_eq!(kind.name().parse::<Normalization>().unwrap(), kind);
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        assert!("elementwise2".parse::<Normalization>().is_err());
    }
}
