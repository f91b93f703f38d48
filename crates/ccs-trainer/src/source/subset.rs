//! Some rows of a data source, chosen by a column, perhaps with the labels of another.

use activations::provenance::{DataRecord, Provenance};
use ccs::pick;
use ccs_report::RowKind;

use crate::source::states::States;
use crate::source::{Layer, Rows, Source};
use crate::{Error, Result};

/// The rows of a source in which a column has one value.
///
/// ```no_run
/// use ccs_trainer::{Fit, StoreSource, Subset};
///
/// let store = StoreSource::open("quirky/store")?;
/// let alice = Subset::new(&store, "speaker", "Alice")?.labeled_by("truth")?;
/// let run = Fit::new(&alice).run()?;
/// # Ok::<(), ccs_trainer::Error>(())
/// ```
pub struct Subset<'a> {
    source: &'a dyn Source,
    rows: Rows,
    kept: Vec<usize>,
    /// `COLUMN=VALUE`
    only: String,
    /// The column that labels are from.
    labels: Option<String>,
}

impl std::fmt::Debug for Subset<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Subset")
            .field("only", &self.only)
            .field("labels", &self.labels)
            .finish_non_exhaustive()
    }
}

impl<'a> Subset<'a> {
    /// The rows whose `column` is `value`.
    ///
    /// # Errors
    /// [`Error::Setting`] where the data has no such column, or no row of that value.
    pub fn new(source: &'a dyn Source, column: &str, value: &str) -> Result<Self> {
        let kept = rows_where(source.rows(), column, value)?;
        let rows = picked(source.rows(), &kept)?;
        Ok(Self { source, rows, kept, only: format!("{column}={value}"), labels: None })
    }

    /// The same rows with the labels that a column has: `true` or `false`, `1` or `0`, `yes` or `no`, whether the plus side
    /// is the true one.
    ///
    /// # Errors
    /// [`Error::Setting`] where the data has no such column, or a row has another value.
    pub fn labeled_by(mut self, column: &str) -> Result<Self> {
        self.rows.labels = labels(&self.rows, column)?;
        self.labels = Some(column.to_owned());
        Ok(self)
    }
}

/// The rows whose column has a value.
pub(crate) fn rows_where(rows: &Rows, column: &str, value: &str) -> Result<Vec<usize>> {
    let values = values(rows, column)?;
    let is = |(row, found): (usize, &Option<String>)| (found.as_deref() == Some(value)).then_some(row);
    let found: Vec<usize> = values.iter().enumerate().filter_map(is).collect();
    if found.is_empty() {
        return Err(Error::Setting {
            name: "column",
            value: format!("`{column}={value}`"),
            reason: "no row has that value",
            hint: "values are compared letter by letter",
        });
    }
    Ok(found)
}

/// The labels that a column has.
pub(crate) fn labels(rows: &Rows, column: &str) -> Result<Vec<bool>> {
    let label = |(row, value): (usize, &Option<String>)| {
        let text = value.as_deref().unwrap_or_default().trim().to_lowercase();
        match text.as_str() {
            "true" | "1" | "yes" => Ok(true),
            "false" | "0" | "no" => Ok(false),
            _ => Err(Error::Setting {
                name: "truth",
                value: format!("`{column}`, which is `{text}` in row {row}"),
                reason: "it is no column of labels",
                hint: "labels are true or false, 1 or 0, yes or no",
            }),
        }
    };
    values(rows, column)?.iter().enumerate().map(label).collect()
}

fn values<'r>(rows: &'r Rows, column: &str) -> Result<&'r [Option<String>]> {
    rows.columns.get(column).map(Vec::as_slice).ok_or_else(|| Error::Setting {
        name: "column",
        value: format!("the column `{column}`"),
        reason: "the data has no such column",
        hint: "columns of the data travel with its prompts; make the store again with this one",
    })
}

fn picked(of: &Rows, kept: &[usize]) -> Result<Rows> {
    let some = |list: &Vec<String>| if list.is_empty() { Ok(Vec::new()) } else { pick(list, kept) };
    let both = |lists: &Option<(Vec<f64>, Vec<f64>)>| -> Result<Option<(Vec<f64>, Vec<f64>)>> {
        match lists {
            Some((plus, minus)) => Ok(Some((pick(plus, kept)?, pick(minus, kept)?))),
            None => Ok(None),
        }
    };
    let columns = of.columns.iter().map(|(name, values)| Ok((name.clone(), pick(values, kept)?)));
    let lengths = &of.prompt_lengths;
    Ok(Rows {
        ids: pick(&of.ids, kept)?,
        labels: pick(&of.labels, kept)?,
        groups: pick(&of.groups, kept)?,
        questions: some(&of.questions)?,
        templates: some(&of.templates)?,
        answer_logprob: both(&of.answer_logprob)?,
        answer_logprob_mean: both(&of.answer_logprob_mean)?,
        prompt_lengths: if lengths.is_empty() { Vec::new() } else { pick(lengths, kept)? },
        both_labels: of.both_labels.clone(),
        columns: columns.collect::<ccs::Result<_>>()?,
    })
}

impl Source for Subset<'_> {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn layers(&self) -> &[Layer] {
        self.source.layers()
    }

    fn kind(&self) -> RowKind {
        self.source.kind()
    }

    fn all_tokens(&self) -> Option<usize> {
        self.source.all_tokens()
    }

    fn load(&self, layer: &Layer) -> Result<States> {
        self.source.load(layer)?.select(&self.kept)
    }

    fn dim(&self, layer: &Layer) -> Option<usize> {
        self.source.dim(layer)
    }

    fn identity(&self) -> DataRecord {
        let mut record = self.source.identity();
        record.rows = Some(self.rows.labels.len() as u64);
        record.other.insert("only".to_owned(), self.only.clone().into());
        if let Some(column) = &self.labels {
            record.other.insert("labels".to_owned(), column.clone().into());
        }
        record
    }

    fn made_by(&self) -> Option<Provenance> {
        self.source.made_by()
    }

    fn tokens(&self) -> Option<&str> {
        self.source.tokens()
    }

    fn locate(&self, row: usize) -> Option<(String, usize)> {
        let row = *self.kept.get(row)?;
        self.source.locate(row).or_else(|| Some((self.source.describe(), row)))
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}
