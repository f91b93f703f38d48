//! Which tokens probes read that read all of them, on test rows.

use std::collections::HashMap;

use ccs::probe::Probe;
use ccs::{TokenReader, TokenStates, probe::HiddenLayers};
use ccs_report::{HeadPlaces, TokenExample, TokenPlaces, TokenShare};
use tch::Tensor;
use torch_runtime::TensorExt as _;

use crate::Result;
use crate::engine::data::LayerData;
use crate::engine::plan::Plan;
use crate::engine::token_texts::{TokenTexts, in_context};

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
    let (texts, rows) = (TokenTexts::of(plan, data)?, &plan.split.rows.test);
    let mut sides = vec![Side::new(plus, &shares.plus, rows, texts.as_ref(), 0)];
    if !data.test.is_single() {
        sides.push(Side::new(minus, &shares.minus, rows, texts.as_ref(), 1));
    }
    let (_, heads) = shares.plus.dims2("shares").map_err(ccs::Error::from)?;
    let heads = (0..heads).map(|head| of_head(&sides, head)).collect::<Result<Vec<_>>>()?;
    Ok(Some(TokenPlaces { layer: data.layer.layer, heads }))
}

/// One side's test prompts.
struct Side<'a> {
    tokens: &'a TokenStates,
    shares: &'a Tensor, // [M, H]
    /// Of each token the row's number, its place in the row, and the row's texts; empty where texts are not known.
    texts: Vec<(usize, usize, &'a [String])>,
}

impl<'a> Side<'a> {
    fn new(
        tokens: &'a TokenStates,
        shares: &'a Tensor,
        rows: &[usize],
        texts: Option<&'a TokenTexts>,
        side: usize,
    ) -> Self {
        let of_row = |&row: &usize| {
            let texts = texts.and_then(|texts| texts.row(side, row)).unwrap_or_default();
            (0..texts.len()).map(move |at| (row, at, texts))
        };
        Self { tokens, shares, texts: rows.iter().flat_map(of_row).collect() }
    }
}

/// How much of one text's tokens is read, and where most.
#[derive(Default)]
struct OfText<'a> {
    sum: f64,
    count: usize,
    most: f64,
    example: Option<(usize, usize, &'a [String])>,
}

fn of_head(sides: &[Side<'_>], head: i64) -> Result<HeadPlaces> {
    let (mut from_end, mut earlier, mut prompts) = (vec![0.0; PLACES], 0.0, 0usize);
    let mut by_text: HashMap<&str, OfText<'_>> = HashMap::new();
    for side in sides {
        let shares: Vec<f64> = Vec::try_from(side.shares.f_select(1, head)?.f_contiguous()?)?;
        for (place, share) in side.tokens.positions().iter().zip(&shares) {
            match from_end.get_mut(place.unsigned_abs() as usize) {
                Some(sum) => *sum += share,
                None => earlier += share,
            }
        }
        for (&(row, at, texts), &share) in side.texts.iter().zip(&shares) {
            let Some(text) = texts.get(at) else { continue };
            let of = by_text.entry(text).or_default();
            of.sum += share;
            of.count += 1;
            if of.example.is_none() || share > of.most {
                (of.most, of.example) = (share, Some((row, at, texts)));
            }
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
        .filter(|(_, of)| of.count >= FEWEST)
        .map(|(text, of)| TokenShare {
            text: text.to_owned(),
            share: of.sum / of.count as f64,
            count: of.count,
            most: example(&of),
        })
        .collect();
    tokens.sort_by(|a, b| b.share.total_cmp(&a.share).then_with(|| a.text.cmp(&b.text)));
    tokens.truncate(TEXTS);
    Ok(HeadPlaces { from_end, earlier: earlier * mean, tokens })
}

/// Where a text is read most.
fn example(of: &OfText<'_>) -> Option<TokenExample> {
    let (row, at, texts) = of.example?;
    let [before, token, after] = in_context(texts, at)?;
    Some(TokenExample { row, share: of.most, before, token, after })
}
