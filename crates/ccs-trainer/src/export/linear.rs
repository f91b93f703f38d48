//! A linear probe as numbers, which every format writes some of.

use std::path::PathBuf;

use ccs::probe::Affine;
use tch::{Kind, Tensor};

use crate::run_dir::fitted::Fitted;
use crate::{Error, Result};

/// A file to be written.
pub(super) type File = (PathBuf, Vec<u8>);

/// A probe's coefficients on the states of a pair.
pub(super) struct Coefficients {
    /// D.
    pub(super) plus: Vec<f64>,
    /// D.
    pub(super) minus: Vec<f64>,
    pub(super) bias: f64,
}

impl Coefficients {
    fn of(affine: &Affine) -> Result<Self> {
        Ok(Self { plus: numbers(&affine.plus)?, minus: numbers(&affine.minus)?, bias: affine.bias })
    }
}

/// A linear probe as numbers.
pub(super) struct Linear {
    /// For rows of no known template.
    pub(super) all: Coefficients,
    /// By template, where there are several.
    pub(super) templates: Vec<(String, Coefficients)>,
    /// What moves a normalized state by 1 to where a statement is true. D
    pub(super) step: Vec<f64>,
}

impl Linear {
    pub(super) fn of(fitted: &Fitted) -> Result<Self> {
        let probe = &fitted.probe;
        let none = |why| no_direction(fitted, why);
        let affine =
            |template: Option<&str>| -> Result<Coefficients> {
                let found = probe.affine(template)?;
                Coefficients::of(&found.ok_or_else(|| {
                    none("it has hidden layers or reads all tokens, and so no one direction")
                })?)
            };
        let all = affine(None)?;
        let names = Some(probe.normalizer().templates()).filter(|names| names.len() > 1).unwrap_or_default();
        let templates = names.iter().map(|name| Ok((name.clone(), affine(Some(name))?)));
        let templates = templates.collect::<Result<_>>()?;
        let step = numbers(&probe.step()?.ok_or_else(|| none("its weight is zero"))?)?;
        Ok(Self { all, templates, step })
    }
}

pub(super) fn no_direction(fitted: &Fitted, why: &'static str) -> Error {
    Error::NoDirection { method: fitted.method, layer: fitted.layer, why }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f64>> {
    Ok(Vec::try_from(tensor.f_to_kind(Kind::Double)?.f_reshape([-1])?)?)
}

/// Numbers as little-endian f32.
pub(super) fn single(numbers: &[f64]) -> Vec<u8> {
    numbers.iter().flat_map(|x| (*x as f32).to_le_bytes()).collect()
}
