//! The texts of rows' tokens, and of a token with those around it.

use std::borrow::Cow;

use ccs::{Contrast, TokenStates};

use crate::Result;
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;

/// Tokens before and after one, for people to see where it stands.
const AROUND: usize = 6;

/// The texts of all rows' tokens, by side.
pub(crate) struct TokenTexts(Vec<Side>);

struct Side {
    /// M
    texts: Vec<String>,
    /// Where each row's tokens begin, and where the last row's end. N + 1
    offsets: Vec<usize>,
}

impl TokenTexts {
    /// Those of a run's rows; none where the source does not know them.
    pub(crate) fn of(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<Option<Self>> {
        let Some(all) = plan.source.token_texts()? else { return Ok(None) };
        let sides = if data.test.is_single() { 1 } else { 2 };
        let side = |(side, texts)| Some(Side { offsets: offsets(plan, data, side)?, texts });
        let found: Option<Vec<Side>> = all.into_iter().take(sides).enumerate().map(side).collect();
        let fits = |side: &Side| side.offsets.last() == Some(&side.texts.len());
        Ok(found.filter(|found| found.iter().all(fits)).map(Self))
    }

    /// The tokens of a row on a side: 0 is plus, or the statement.
    pub(crate) fn row(&self, side: usize, row: usize) -> Option<&[String]> {
        let Side { texts, offsets } = self.0.get(side)?;
        texts.get(*offsets.get(row)?..*offsets.get(row + 1)?)
    }
}

/// Where each row's tokens begin on a side, where every row trains or tests.
fn offsets(plan: &Plan<'_>, data: &LayerData<'_>, side: usize) -> Option<Vec<usize>> {
    let tokens = |rows: &Contrast| -> Option<Vec<usize>> {
        let (plus, minus) = rows.tokens()?;
        let of_side: &TokenStates = if side == 0 { plus } else { minus };
        Some(of_side.lengths().collect())
    };
    let split = &plan.split.rows;
    let mut lengths = vec![0; plan.source.rows().labels.len()];
    for (rows, of_rows) in [(&split.train, tokens(&data.train)?), (&split.test, tokens(&data.test)?)] {
        for (row, length) in rows.iter().zip(of_rows) {
            *lengths.get_mut(*row)? = length;
        }
    }
    let mut end = 0;
    let ends = lengths.into_iter().map(|length| {
        end += length;
        end
    });
    Some(std::iter::once(0).chain(ends).collect())
}

/// A token for people to read, with what is before and after it: `▁` is a space, and an ellipsis stands for what was cut.
pub(crate) fn in_context(tokens: &[String], at: usize) -> Option<[String; 3]> {
    let join = |tokens: &[String]| -> String { tokens.iter().map(|token| plain(token)).collect() };
    let (from, to) = (at.saturating_sub(AROUND), (at + 1 + AROUND).min(tokens.len()));
    let mut before = join(tokens.get(from..at)?);
    let mut after = join(tokens.get(at + 1..to)?);
    if from > 0 {
        before = format!("…{}", before.trim_start());
    }
    if to < tokens.len() {
        after.push('…');
    }
    Some([before, plain(tokens.get(at)?).into_owned(), after])
}

/// A token as it stands in the text.
fn plain(token: &str) -> Cow<'_, str> {
    if token.contains(['▁', '\n']) {
        return Cow::Owned(token.replace('▁', " ").replace('\n', "↵"));
    }
    Cow::Borrowed(token)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_stands_among_its_neighbors() {
        let tokens: Vec<String> =
            "<s> ▁The ▁city ▁of ▁Kr as nod ar ▁is ▁in ▁Russia . \n".split(' ').map(str::to_owned).collect();
        let of = |at| in_context(&tokens, at).unwrap().join("|");
        assert_eq!(of(0), "|<s>| The city of Krasnod…");
        assert_eq!(of(7), "…The city of Krasnod|ar| is in Russia.↵");
        assert_eq!(of(12), "…nodar is in Russia.|↵|");
        assert_eq!(in_context(&tokens, 13), None);
    }
}
