//! The layers of a run: the split, every method's fit at a layer, how well it does, and the choice of a layer.

pub(crate) mod answers;
pub(crate) mod bar;
pub(crate) mod baselines;
pub(crate) mod choose_layer;
pub(crate) mod columns;
pub(crate) mod compare;
pub(crate) mod compute;
pub(crate) mod data;
pub(crate) mod evaluate;
pub(crate) mod layer;
pub(crate) mod negations;
pub(crate) mod on_polarity;
pub(crate) mod outcome;
pub(crate) mod plan;
pub(crate) mod polarity;
pub(crate) mod probe;
pub(crate) mod recipe;
pub(crate) mod split;
pub(crate) mod token_texts;
