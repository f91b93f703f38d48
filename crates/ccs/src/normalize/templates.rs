//! Statistics by template, as far as a template's training rows carry them.
//!
//! A mean of n rows is off by their spread over √n, which is little beside what a template's wording moves states by,
//! so a template is centered by its own mean from [`FEWEST_FOR_MEAN`] rows on; a single row is its own mean, and would
//! give all it says to the template's other rows. A spread is worse: of n Gaussian rows it is less than a tenth of
//! the true one in 2 dimensions of 1000 for n = 4, which other rows then exceed tenfold, and in 1 of a million for
//! n = 8. Below [`FEWEST_FOR_SPREAD`] rows it is that of all templates' deviations from their own means, each
//! square counted n/(n − 1) times for the mean taken from the same rows.

use tch::Tensor;

use super::kind::Normalization;
use super::moments::{Estimate, Moments, Variation};
use crate::{Contrast, Result};

/// A template of at least so many training rows is centered by its own mean; another as templates that are not known.
pub const FEWEST_FOR_MEAN: usize = 2;
/// A template of at least so many training rows is scaled by its own spread; another by that of all templates.
pub const FEWEST_FOR_SPREAD: usize = 8;

/// Statistics by template.
#[derive(Debug)]
pub(crate) struct Templates {
    pub(crate) names: Vec<String>, // K
    pub(crate) plus: Moments,      // [K, D]
    pub(crate) minus: Moments,     // [K, D]
}

impl Templates {
    /// Of the training rows' templates, where there are several and one has a mean of its own.
    pub(super) fn fit(kind: Normalization, train: &Contrast) -> Result<Option<Self>> {
        let parts = train.rows_by_template();
        if parts.len() < 2 {
            return Ok(None);
        }
        let (mut names, mut own) = (Vec::new(), Vec::new());
        for (number, rows) in parts.into_iter().filter(|(_, rows)| rows.len() >= FEWEST_FOR_MEAN) {
            let part = train.select(&rows)?;
            names.push(name(train, number));
            own.push(Estimate::of(kind, part.plus(), part.minus())?);
        }
        if own.is_empty() {
            return Ok(None);
        }
        let of_all = Variation::of_all(&own)?;
        let sides = own
            .iter()
            .map(|own| own.scaled_by(if own.rows < FEWEST_FOR_SPREAD { &of_all } else { &own.variation }))
            .collect::<Result<Vec<_>>>()?;
        let plus = Moments::stack(sides.iter().map(|s| &s.0))?;
        let minus = Moments::stack(sides.iter().map(|s| &s.1))?;
        Ok(Some(Self { names, plus, minus }))
    }

    /// Every row's place in the statistics; K, where the pooled ones are put, for a template that is not known. \[N\]
    pub(super) fn places(&self, pairs: &Contrast) -> Result<Tensor> {
        let place = |name: &String| known_as(&self.names, name);
        let known: Vec<Option<usize>> = pairs.template_names().iter().map(place).collect();
        let rows = pairs.templates();
        let places: Vec<i64> = rows
            .iter()
            .map(|&number| known.get(number).copied().flatten().unwrap_or(self.names.len()) as i64)
            .collect();
        Ok(Tensor::f_from_slice(&places)?)
    }

    pub(super) fn duplicate(&self) -> Result<Self> {
        let (plus, minus) = (self.plus.duplicate()?, self.minus.duplicate()?);
        Ok(Self { names: self.names.clone(), plus, minus })
    }
}

/// The place of a template among those known, by its own name, else as the only `NAME/TEMPLATE` of data sets pooled.
pub(super) fn known_as(known: &[String], name: &str) -> Option<usize> {
    let of =
        |known: &String| known.strip_suffix(name).is_some_and(|rest| rest.ends_with('/')) && !name.is_empty();
    let mut pooled = known.iter().enumerate().filter(|(_, known)| of(known)).map(|(at, _)| at);
    let exact = known.iter().position(|known| known == name);
    exact.or_else(|| pooled.next().filter(|_| pooled.next().is_none()))
}

fn name(train: &Contrast, number: usize) -> String {
    train.template_names().get(number).cloned().unwrap_or_default()
}

/// The training rows' templates in the order of their first rows, where rows say theirs.
pub(super) fn names(train: &Contrast) -> Vec<String> {
    let all: Vec<String> =
        train.rows_by_template().into_iter().map(|(number, _)| name(train, number)).collect();
    // Rows that say their questions alone are all of a template without a name.
    if all.iter().all(String::is_empty) { Vec::new() } else { all }
}

/// The templates with too few rows for statistics of their own of this kind, each with its number of rows; none
/// where there is one template, whose statistics are those of all rows.
fn with_few(kind: Normalization, train: &Contrast) -> Vec<(String, usize)> {
    let fewest = match kind {
        Normalization::ElementWise | Normalization::Burns => FEWEST_FOR_SPREAD,
        Normalization::MeanOnly | Normalization::Leace | Normalization::Cluster => FEWEST_FOR_MEAN,
    };
    let parts = train.rows_by_template();
    let few = parts.iter().filter(|(_, rows)| parts.len() > 1 && rows.len() < fewest);
    few.map(|(number, rows)| (name(train, *number), rows.len())).collect()
}

/// Their names.
pub(super) fn few(kind: Normalization, train: &Contrast) -> Vec<String> {
    with_few(kind, train).into_iter().map(|(name, _)| name).collect()
}

/// What a report says of templates with few rows.
pub fn few_rows_note(kind: Normalization, train: &Contrast) -> Option<String> {
    let few: Vec<String> =
        with_few(kind, train).into_iter().map(|(name, rows)| format!("`{name}` ({rows})")).collect();
    let scaled = match kind {
        Normalization::ElementWise | Normalization::Burns => {
            format!("below {FEWEST_FOR_SPREAD} they are scaled by the spread of all templates, ")
        }
        Normalization::MeanOnly | Normalization::Leace | Normalization::Cluster => String::new(),
    };
    (!few.is_empty()).then(|| {
        format!(
            "templates with few training rows: {}; {scaled}below {FEWEST_FOR_MEAN} treated as templates that are not known",
            few.join(", ")
        )
    })
}

/// The rows that LEACE takes for one class a side each: those of every template with a mean of its own, or else all.
pub(super) fn classes(train: &Contrast) -> Vec<Vec<usize>> {
    let parts = train.rows_by_template();
    let own: Vec<Vec<usize>> =
        parts.into_iter().map(|(_, rows)| rows).filter(|rows| rows.len() >= FEWEST_FOR_MEAN).collect();
    if own.is_empty() { vec![(0..train.rows()).collect()] } else { own }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "these values are exact")]
mod tests {
    use super::super::Normalizer;
    use super::*;
    use tch::Kind;

    /// Rows of one dimension, each with its template; plus and minus are the same.
    fn pairs(rows: &[(&str, f64)]) -> Contrast {
        let states = || Tensor::from_slice(&rows.iter().map(|row| row.1).collect::<Vec<_>>()).unsqueeze(1);
        let text = || (0..rows.len()).map(|i| i.to_string()).collect::<Vec<_>>();
        let labels = (0..rows.len()).map(|i| i % 2 == 0).collect();
        let pairs = Contrast::new(states(), states(), labels, text()).unwrap();
        pairs.with_variants(text(), rows.iter().map(|row| row.0.to_owned()).collect()).unwrap()
    }

    /// Eight rows of spread 2 about 10, two of distance 0.002 about 50, and one.
    fn unequal() -> Contrast {
        let mut rows: Vec<(&str, f64)> =
            (0..8).map(|i| ("many", 10.0 + 2.0 * f64::from(2 * (i % 2) - 1))).collect();
        rows.extend([("two", 49.999), ("two", 50.001), ("one", 30.0)]);
        pairs(&rows)
    }

    fn plus(normalizer: &Normalizer, of: &Contrast) -> Vec<f64> {
        Vec::try_from(normalizer.apply(of, Kind::Double).unwrap().0.reshape([-1])).unwrap()
    }

    #[test]
    fn few_rows_keep_their_mean_and_take_the_spread_of_all_templates() {
        let train = unequal();
        let normalizer = Normalizer::fit(&train).unwrap();
        assert_eq!(normalizer.templates(), ["many", "two", "one"]);
        assert_eq!(normalizer.templates_with_few_rows(), ["two", "one"]);
        // Squares 4·8/7 of eight rows and (0.001)²·2 of two.
        let spread = ((8.0 * 4.0 * 8.0 / 7.0 + 2.0 * 1e-6 * 2.0) / 10.0f64).sqrt();
        let seen = plus(&normalizer, &train);
        assert_eq!(seen[..2], [-1.0, 1.0], "its own spread");
        assert!((seen[9] - 0.001 / spread).abs() < 1e-9, "not 1: {}", seen[9]);
        assert!(seen[10] != 0.0 && (seen[10] - plus(&normalizer, &pairs(&[("new", 30.0)]))[0]).abs() < 1e-12);
        // A row that was not seen does not stand a thousand spreads off.
        assert!((plus(&normalizer, &pairs(&[("two", 53.0)]))[0] - 3.0 / spread).abs() < 1e-9);
    }

    #[test]
    fn what_is_centered_only_or_scaled_as_a_whole_asks_for_as_many_rows_as_it_needs() {
        let train = unequal();
        for (kind, few) in [
            (Normalization::MeanOnly, vec!["one"]),
            (Normalization::Burns, vec!["two", "one"]),
            (Normalization::Leace, vec!["one"]),
            (Normalization::Cluster, vec!["one"]),
        ] {
            let normalizer = Normalizer::fit_as(kind, &train).unwrap();
            assert_eq!(normalizer.templates_with_few_rows(), few, "{kind}");
            assert_eq!(normalizer.templates().len(), 3, "{kind}");
            let note = few_rows_note(kind, &train).unwrap();
            assert!(note.contains("`one` (1)") && note.contains("`two` (2)") == (few.len() == 2), "{note}");
        }
        let burns = Normalizer::fit_as(Normalization::Burns, &train).unwrap();
        // Lengths √2·2 of eight rows and √2·0.001 of two, over √2.
        let scale = (8.0 * 2.0 * (8.0f64 / 7.0).sqrt() + 2.0 * 0.001 * 2f64.sqrt()) / 10.0;
        assert!((plus(&burns, &pairs(&[("two", 53.0)]))[0] - 3.0 / scale).abs() < 1e-9);
    }

    #[test]
    fn templates_of_one_row_each_are_normalized_together() {
        let train = pairs(&[("a", 1.0), ("b", 2.0), ("c", 6.0)]);
        for kind in Normalization::ALL.into_iter().filter(|kind| *kind != Normalization::Leace) {
            let normalizer = Normalizer::fit_as(kind, &train).unwrap();
            assert!(normalizer.templates.is_none() && normalizer.templates().len() == 3);
            let seen = plus(&normalizer, &train);
            assert!(seen[0] < seen[1] && seen[2] > 0.0 && seen.iter().sum::<f64>().abs() < 1e-12, "{seen:?}");
        }
    }

    #[test]
    fn enough_rows_everywhere_leave_nothing_to_say() {
        let rows: Vec<(&str, f64)> = (0..16).map(|i| (["a", "b"][i % 2], (i * i) as f64)).collect();
        let train = pairs(&rows);
        assert!(Normalizer::fit(&train).unwrap().templates_with_few_rows().is_empty());
        assert!(few_rows_note(Normalization::ElementWise, &train).is_none());
        // Rows that say their questions only are of a template without a name.
        let unnamed: Vec<(&str, f64)> = rows.iter().map(|row| ("", row.1)).collect();
        assert!(Normalizer::fit(&pairs(&unnamed)).unwrap().templates().is_empty());
    }
}
