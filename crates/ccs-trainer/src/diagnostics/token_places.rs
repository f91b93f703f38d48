//! Which tokens probes read that read all of them, on test rows.

use std::collections::HashMap;

use ccs::probe::Probe;
use ccs::{Contrast, TokenReader, TokenStates, probe::HiddenLayers};
use ccs_report::{HeadPlaces, TokenPlaces, TokenShare};
use tch::Tensor;
use torch_runtime::TensorExt as _;

use crate::Result;
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;

/// Places from the last token back.
const PLACES: usize = 16;
/// Texts of tokens.
const TEXTS: usize = 10;
/// A text that fewer tokens have is not shown: its mean share would be one token's.
const FEWEST: usize = 5;

/// Where a probe's heads look; none of a probe without heads.
pub(crate) fn token_places(
    plan: &Plan<'_>,
    data: &LayerData<'_>,
    probe: &Probe,
) -> Result<Option<TokenPlaces>> {
    let HiddenLayers::Tokens(TokenReader::Attention { .. } | TokenReader::MultiMax { .. }) =
        probe.hidden_layers()
    else {
        return Ok(None);
    };
    let Some((shares, (plus, minus))) = probe.token_shares(&data.test)?.zip(data.test.tokens()) else {
        return Ok(None);
    };
    let texts = test_texts(plan, data)?;
    let mut sides = vec![Side { tokens: plus, shares: &shares.plus, texts: side(texts.as_ref(), 0) }];
    if !data.test.is_single() {
        sides.push(Side { tokens: minus, shares: &shares.minus, texts: side(texts.as_ref(), 1) });
    }
    let (_, heads) = shares.plus.dims2("shares").map_err(ccs::Error::from)?;
    let heads = (0..heads).map(|head| of_head(&sides, head)).collect::<Result<Vec<_>>>()?;
    Ok(Some(TokenPlaces { layer: data.layer.layer, heads }))
}

/// One side's test prompts.
struct Side<'a> {
    tokens: &'a TokenStates,
    shares: &'a Tensor, // [M, H]
    /// Of each token; none where they are not known.
    texts: Option<&'a [String]>,
}

fn side(texts: Option<&[Vec<String>; 2]>, at: usize) -> Option<&[String]> {
    texts.and_then(|sides| sides.get(at)).map(Vec::as_slice)
}

fn of_head(sides: &[Side<'_>], head: i64) -> Result<HeadPlaces> {
    let (mut from_end, mut earlier, mut prompts) = (vec![0.0; PLACES], 0.0, 0usize);
    let mut by_text: HashMap<&str, (f64, usize)> = HashMap::new();
    for side in sides {
        let shares: Vec<f64> = Vec::try_from(side.shares.f_select(1, head)?.f_contiguous()?)?;
        for (place, share) in side.tokens.positions().iter().zip(&shares) {
            match from_end.get_mut(place.unsigned_abs() as usize) {
                Some(sum) => *sum += share,
                None => earlier += share,
            }
        }
        for (text, share) in side.texts.unwrap_or_default().iter().zip(&shares) {
            let (sum, count) = by_text.entry(text).or_default();
            *sum += share;
            *count += 1;
        }
        prompts += side.tokens.rows();
    }
    let mean = 1.0 / prompts.max(1) as f64;
    for sum in &mut from_end {
        *sum *= mean;
    }
    // A place that no prompt has says nothing.
    let longest = sides.iter().flat_map(|side| side.tokens.lengths()).max().unwrap_or_default();
    from_end.truncate(longest);
    let mut tokens: Vec<TokenShare> = by_text
        .into_iter()
        .filter(|(_, (_, count))| *count >= FEWEST)
        .map(|(text, (sum, count))| TokenShare { text: text.to_owned(), share: sum / count as f64, count })
        .collect();
    tokens.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.text.cmp(&b.text)));
    tokens.truncate(TEXTS);
    Ok(HeadPlaces { from_end, earlier: earlier * mean, tokens })
}

/// The texts of the test rows' tokens, side by side.
fn test_texts(plan: &Plan<'_>, data: &LayerData<'_>) -> Result<Option<[Vec<String>; 2]>> {
    let Some(all) = plan.source.token_texts()? else { return Ok(None) };
    let [plus, minus] = all;
    let of = |texts: Vec<String>, pick: fn(&Contrast) -> Option<&TokenStates>| -> Option<Vec<String>> {
        let mut lengths = vec![0; plan.split.rows.train.len() + plan.split.rows.test.len()];
        for (rows, part) in
            [(&plan.split.rows.train, pick(&data.train)?), (&plan.split.rows.test, pick(&data.test)?)]
        {
            for (row, length) in rows.iter().zip(part.lengths()) {
                *lengths.get_mut(*row)? = length;
            }
        }
        let ends: Vec<usize> = lengths
            .iter()
            .scan(0, |end, length| {
                *end += length;
                Some(*end)
            })
            .collect();
        let of_row = |&row: &usize| {
            let end = *ends.get(row)?;
            texts.get(end - lengths.get(row)?..end)
        };
        let rows = plan.split.rows.test.iter().map(of_row).collect::<Option<Vec<_>>>()?;
        Some(rows.concat())
    };
    let plus = of(plus, |rows| rows.tokens().map(|sides| sides.0));
    let minus = if data.test.is_single() {
        Some(Vec::new())
    } else {
        of(minus, |rows| rows.tokens().map(|sides| sides.1))
    };
    Ok(plus.zip(minus).map(|(plus, minus)| [plus, minus]))
}
