//! Which tokens probes read that read all of them.

use serde::Serialize;

use crate::figures::heat::Scale;
use crate::figures::palette::class;
use crate::numbers::percent;
use crate::report::{HeadPlaces, Report, TokenExample, TokenPlaces, TokenShare};

/// One method at its chosen layer.
#[derive(Debug, Serialize)]
pub(super) struct TokenPlacesView {
    method: String,
    class: &'static str,
    layer: usize,
    /// Places from the last token back.
    places: Vec<usize>,
    heads: Vec<HeadView>,
    has_tokens: bool,
}

#[derive(Debug, Serialize)]
struct HeadView {
    /// From the last token back, and then all earlier ones: a share and its shade.
    shares: Vec<(String, String)>,
    tokens: Vec<TokenView>,
}

/// A text that is read.
#[derive(Debug, Serialize)]
struct TokenView {
    text: String,
    share: String,
    count: usize,
    /// Where it is read most.
    most: Option<TokenExample>,
    /// How much of it there.
    share_there: String,
}

pub(super) fn token_places(report: &Report) -> Vec<TokenPlacesView> {
    let of = |(method, found): (&crate::Method, &TokenPlaces)| TokenPlacesView {
        method: report.title(*method),
        class: class(*method),
        layer: found.layer,
        places: (0..found.heads.iter().map(|head| head.from_end.len()).max().unwrap_or_default()).collect(),
        heads: found.heads.iter().map(head).collect(),
        has_tokens: found.heads.iter().any(|head| !head.tokens.is_empty()),
    };
    report.token_places.iter().map(of).collect()
}

fn head(found: &HeadPlaces) -> HeadView {
    let share = |&share: &f64| (percent(share), Scale::share().style(share));
    HeadView {
        shares: found.from_end.iter().chain([&found.earlier]).map(share).collect(),
        tokens: found.tokens.iter().map(token).collect(),
    }
}

fn token(found: &TokenShare) -> TokenView {
    TokenView {
        // Spaces and line breaks are part of it.
        text: found.text.replace('▁', "␣").replace('\n', "↵"),
        share: percent(found.share),
        count: found.count,
        share_there: found.most.as_ref().map(|most| percent(most.share)).unwrap_or_default(),
        most: found.most.clone(),
    }
}
