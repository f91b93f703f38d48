//! What each row of a run is.

use ccs_report::RowText;
use indexmap::IndexMap;

use crate::Result;
use crate::engine::plan::Plan;
use crate::source::Rows;

/// What each row of a run is, in the order of the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunRows {
    /// The rows' own names. N
    pub ids: Vec<String>,
    /// Their questions, which rows of several templates share; the row's own name where the data does not say. N
    pub questions: Vec<String>,
    /// Their templates; empty where there is one. N
    pub templates: Vec<String>,
    /// What stays together in splits. N
    pub groups: Vec<String>,
    /// Whether the plus side is the true one. N
    pub labels: Vec<bool>,
    /// Whether the row trained, or tested; none for a row that did neither. N
    pub train: Vec<Option<bool>>,
    /// The end of each row's text, cut to a few hundred characters; none where the data has no texts. N
    pub texts: Vec<Option<RowText>>,
    /// Further columns of the data by name, N each; none where a row has no value.
    pub columns: IndexMap<String, Vec<Option<String>>>,
}

impl RunRows {
    /// Reads what the rows of a plan are; their texts, too, where the source has them.
    pub(crate) fn of(plan: &Plan<'_>) -> Result<Self> {
        let Rows { ids, labels, groups, questions, templates, columns, .. } = plan.source.rows();
        let mut train = vec![None; labels.len()];
        for (side, rows) in [(true, &plan.split.rows.train), (false, &plan.split.rows.test)] {
            for &row in rows {
                if let Some(of) = train.get_mut(row) {
                    *of = Some(side);
                }
            }
        }
        let or = |own: &Vec<String>, other: Vec<String>| if own.is_empty() { other } else { own.clone() };
        Ok(Self {
            questions: or(questions, ids.clone()),
            templates: or(templates, vec![String::new(); labels.len()]),
            ids: ids.clone(),
            groups: groups.clone(),
            labels: labels.clone(),
            train,
            texts: plan.source.texts()?,
            columns: columns.clone(),
        })
    }
}
