//! A probe as scikit-learn's `LogisticRegression` keeps it, on a pair's states one after the other, with where it belongs.

use indexmap::IndexMap;
use serde::Serialize;

use super::linear::{Coefficients, Linear};
use crate::Result;
use crate::error::write_error;
use crate::run_dir::fitted::Fitted;

/// The version of the file.
const SCHEMA: u32 = 1;

#[derive(Serialize)]
struct Exported<'a> {
    schema: u32,
    program: &'static str,
    method: &'a str,
    layer: usize,
    hook: &'a str,
    tokens: &'a str,
    model: Option<String>,
    model_identity: Option<String>,
    /// False, true: whether the plus side is the true one.
    classes: [bool; 2],
    #[serde(flatten)]
    all: Model,
    /// For rows of each template, where there are several.
    #[serde(skip_serializing_if = "IndexMap::is_empty")]
    templates: IndexMap<&'a str, Model>,
    /// What to add to a state.
    direction: &'a [f64],
}

/// With the shapes of `coef_` and `intercept_`.
#[derive(Serialize)]
struct Model {
    /// \[1, 2D\]: on the plus state, then on the minus state.
    coef: [Vec<f64>; 1],
    intercept: [f64; 1],
}

impl Model {
    fn of(found: &Coefficients) -> Self {
        Self { coef: [[found.plus.as_slice(), &found.minus].concat()], intercept: [found.bias] }
    }
}

pub(super) fn bytes(fitted: &Fitted, linear: &Linear) -> Result<Vec<u8>> {
    let made_by = fitted.made_by();
    let exported = Exported {
        schema: SCHEMA,
        program: concat!("ccs ", env!("CARGO_PKG_VERSION")),
        method: fitted.method.name(),
        layer: fitted.layer,
        hook: &fitted.hook,
        tokens: &fitted.tokens,
        model: made_by.model_name().map(str::to_owned),
        model_identity: made_by.model_identity().map(str::to_owned),
        classes: [false, true],
        all: Model::of(&linear.all),
        templates: linear.templates.iter().map(|(name, of)| (name.as_str(), Model::of(of))).collect(),
        direction: &linear.step,
    };
    let mut text = serde_json::to_vec_pretty(&exported).map_err(|e| write_error("the probe as JSON", &e))?;
    text.push(b'\n');
    Ok(text)
}
