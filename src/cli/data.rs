//! Which columns of a data file hold what: the flags of the commands that read one.

use std::path::Path;

use llama_ccs::boolq::{Dataset, DatasetOptions, KeepColumns, Template};

use super::named;
use super::values::AnyError;

/// Where these flags stand in the help. (A heading of the struct would hold for all flags that follow it, too.)
const HEADING: &str = "Columns of --data";

#[derive(clap::Args, Debug, Default)]
pub(crate) struct Columns {
    /// The column with the label [default: answer or label; required if both could be it and they differ].
    #[arg(long, value_name = "COLUMN", requires = "data", help_heading = HEADING)]
    label: Option<String>,
    /// The class for which the plus answer is right: a value of the label's column, or a class name of the file
    /// (Parquet files of Hugging Face's datasets have them). All other classes are negative.
    #[arg(long, value_name = "CLASS", requires = "data", allow_hyphen_values = true, help_heading = HEADING)]
    positive: Option<String>,
    /// The column with each row's own choices, as lists; the label says which is right, by its number counted from 0, its
    /// letter, or its text. A pair is the right choice and a wrong one, drawn with the seed.
    #[arg(long, value_name = "COLUMN", requires = "data", conflicts_with = "positive", help_heading = HEADING)]
    choices: Option<String>,
    /// The column with the statement or question. Templates can use it as `statement` and as `question` [default:
    /// question or statement].
    #[arg(long, value_name = "COLUMN", requires = "data", help_heading = HEADING)]
    text: Option<String>,
    /// The column with the rows' own ids [default: question_id, qid, id, or idx].
    #[arg(long, value_name = "COLUMN", requires = "data", help_heading = HEADING)]
    id: Option<String>,
    /// Rows with the same value of this column stay together in splits [default: title, else near-duplicate passages or
    /// subjects].
    #[arg(long, value_name = "COLUMN", requires = "data", help_heading = HEADING)]
    group: Option<String>,
    /// Leave out rows without a label (empty, ?, -1, and the like), and count them. Otherwise such a row is an error.
    #[arg(long, requires = "data", help_heading = HEADING)]
    skip_unlabeled: bool,
}

type Decide = fn(DatasetOptions, String) -> DatasetOptions;

impl Columns {
    /// Reads a data file for `templates`.
    ///
    /// `seed` draws the pairs of a label with more than two classes.
    pub(crate) fn load(
        &self,
        path: &Path,
        templates: &[Template],
        seed: u64,
        keep: KeepColumns,
    ) -> Result<Dataset, AnyError> {
        let mut options = DatasetOptions::new()
            .skip_unlabeled(self.skip_unlabeled)
            .seed(seed)
            .for_templates(templates)
            .keep_columns(keep);
        let decided: [(&Option<String>, Decide); 6] = [
            (&self.label, DatasetOptions::label),
            (&self.positive, DatasetOptions::positive),
            (&self.choices, DatasetOptions::choices),
            (&self.text, DatasetOptions::text),
            (&self.id, DatasetOptions::id),
            (&self.group, DatasetOptions::group),
        ];
        for (value, decide) in decided {
            if let Some(value) = value {
                options = decide(options, value.clone());
            }
        }
        let file = named::data(path)?;
        let mut data = options.load(&file)?;
        if file != path {
            // The file of a name is called 0000.parquet, whatever is in it.
            data.name = path.display().to_string();
        }
        Ok(data)
    }
}
