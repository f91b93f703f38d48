//! Recursive CCS (RCCS): CCS again and again, each time with the directions found before taken out of the data.
//!
//! If many mutually orthogonal directions reach the same accuracy, the first was nothing special (Roger 2023). Iteration k's
//! states have no part along the unit directions w₁ … wₖ of earlier iterations, X ← X − (Xw)wᵀ in normalized coordinates, and
//! its parameters are kept orthogonal to them; so its probe gives the same scores on the states as they were.

use tch::{Device, Kind, Tensor};

use super::ccs::{Ccs, CcsFit, Start, States, fit_of, linear, mean_difference, take_out};
use crate::SeedTree;
use crate::contrast::both_labels;
use crate::loss::CONSTANT_GUESS;
use crate::normalize::{Normalization, Normalizer};
use crate::probe::{Calibration, HiddenLayers, Probe, ProbeInput, Sign};
use crate::{Contrast, Error, Result};

/// When the iterations end.
#[derive(Debug, Clone, PartialEq)]
pub struct RecursiveOptions {
    /// At most so many, and never more than dimensions.
    pub iterations: usize,
    /// Ends after an iteration whose best training loss is at least this: with 0.2 when nothing beats a constant guess.
    /// Asked only where the CCS loss is what is minimized ([`crate::loss::CcsLoss::is_ccs`]): of another loss's minimum it says nothing.
    pub until_loss: Option<f64>,
    /// Begins without the difference of the training rows' means by label: what is found then is not what labels would
    /// have found at once. Uses labels.
    pub without_mean_difference: bool,
}

impl Default for RecursiveOptions {
    fn default() -> Self {
        Self { iterations: 20, until_loss: Some(CONSTANT_GUESS), without_mean_difference: false }
    }
}

/// Why the iterations ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// As many as asked for.
    Iterations,
    /// The loss reached [`RecursiveOptions::until_loss`].
    Loss,
    /// The caller asked for it.
    Asked,
    /// No dimension is left.
    Dimensions,
}

/// Fits with mutually orthogonal directions.
#[derive(Debug)]
pub struct Recursive {
    /// In the order found; at least one.
    pub fits: Vec<CcsFit>,
    /// Their unit directions in normalized coordinates; with [`RecursiveOptions::without_mean_difference`] preceded by that
    /// difference's. \[k, D\], f64
    pub directions: Tensor,
    /// Why there are no more.
    pub stop: Stop,
}

/// Fits CCS until asked to stop. The first iteration is [`super::ccs::ccs`] with the same stream; `go_on` gets the number of fits
/// so far and the last one.
///
/// # Shapes
/// `train`: N pairs of length D.
///
/// # Errors
/// As [`super::ccs::ccs`]; hidden layers, which have no direction; or no iterations.
pub fn recursive(
    train: &Contrast,
    options: &Ccs,
    recursion: &RecursiveOptions,
    stream: &SeedTree,
    mut go_on: impl FnMut(usize, &CcsFit) -> bool,
) -> Result<Recursive> {
    options.check()?;
    let unusable =
        |name, value: &str, reason, hint| Error::Setting { name, value: value.to_owned(), reason, hint };
    if !options.hidden.is_empty() {
        let hint = "recursive CCS is for linear probes";
        return Err(unusable(
            "hidden",
            &format!("{:?}", options.hidden),
            "such a probe has no direction",
            hint,
        ));
    }
    if recursion.iterations == 0 {
        return Err(unusable("iterations", "0", "there must be a first one", "the usual number is 20"));
    }
    both_labels(train.labels(), "the training rows")?;
    let (mut states, normalizer) = States::new(train, options)?;
    let mut found = Tensor::f_zeros([0, states.dim()?], (Kind::Double, states.plus.device()))?;
    if recursion.without_mean_difference || options.remove_mean_difference {
        let direction = mean_difference(&states, train.labels())?;
        found = take_out(&mut states, &found, &direction)?.ok_or(Error::Diverged)?;
    }
    let mut fits = Vec::new();
    let stop = loop {
        let from = if fits.is_empty() { *stream } else { stream.indexed("iteration", fits.len()) };
        let start = Start::of(options.init, &states.differences()?, options.n_init, &from)?;
        let against = (found.size().first() != Some(&0)).then_some(&found);
        let solution = linear(&states, &start, options, against)?;
        // Each probe owns its normalization; it is that of the states as they were.
        let fit = fit_of(train, normalizer.duplicate()?, options, solution.lifted(&states)?)?;
        let mut direction = fit.probe.weight.f_to_kind(Kind::Double)?.f_to_device(found.device())?;
        if let Some(basis) = &states.basis {
            direction = basis.f_to_kind(Kind::Double)?.f_mv(&direction)?;
        }
        let (loss, asked) = (fit.terms.total(), !go_on(fits.len() + 1, &fit));
        fits.push(fit);
        match take_out(&mut states, &found, &direction)? {
            Some(more) => found = more,
            None => break Stop::Dimensions,
        }
        if asked {
            break Stop::Asked;
        }
        if options.loss.is_ccs() && recursion.until_loss.is_some_and(|most| loss >= most) {
            break Stop::Loss;
        }
        if fits.len() >= recursion.iterations {
            break Stop::Iterations;
        }
        if found.size().first() >= found.size().get(1) {
            break Stop::Dimensions;
        }
    };
    if let Some(basis) = &states.basis {
        found = found.f_mm(&basis.f_to_kind(Kind::Double)?)?;
    }
    Ok(Recursive { fits, directions: found.f_to_device(Device::Cpu)?, stop })
}

/// Probes that nothing was fitted to, beside which recursive CCS is seen: unit directions without bias, read as CCS's
/// are on states normalized as its are, with their signs from the training rows. Direction i draws from `stream`'s
/// `restart i`.
///
/// # Errors
/// Training rows of one label, or those of [`Normalizer::fit_as`].
pub fn untrained(
    train: &Contrast,
    count: usize,
    normalization: Normalization,
    stream: &SeedTree,
) -> Result<Vec<Probe>> {
    both_labels(train.labels(), "the training rows")?;
    let normalizer = Normalizer::fit_as(normalization, train)?;
    let start = Start::unit_sphere(train.dim(), count, stream)?;
    (0..count as i64)
        .map(|index| {
            let mut probe = Probe {
                weight: start.weight.f_select(1, index)?.f_contiguous()?,
                bias: 0.0,
                hidden_layers: HiddenLayers::Linear,
                sign: Sign::Plus,
                input: ProbeInput::Pair,
                calibration: Calibration::OWN,
                normalizer: normalizer.duplicate()?,
                meta: std::collections::BTreeMap::new(),
            };
            probe.orient(train)?;
            Ok(probe)
        })
        .collect()
}

/// |cos| between every two directions: of iterations, of restarts ([`CcsFit::directions`]), or of fits with different seeds.
///
/// # Shapes
/// `directions`: \[R, D\]; the result: R rows of R. A direction of length 0 has cosine 0 with all.
///
/// # Errors
/// Not a matrix.
pub fn cosines(directions: &Tensor) -> Result<Vec<Vec<f64>>> {
    let w = directions.f_to_kind(Kind::Double)?.f_to_device(Device::Cpu)?;
    let lengths =
        w.f_square()?.f_sum_dim_intlist(1, true, Kind::Double)?.f_sqrt()?.f_clamp_min(f64::MIN_POSITIVE)?;
    let unit = w.f_div(&lengths)?;
    Ok(Vec::try_from(unit.f_mm(&unit.f_tr()?)?.f_abs()?.f_clamp_max(1.0)?)?)
}
