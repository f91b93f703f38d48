//! A run's probes on other data: control text, and models that err when one of two speakers asks.

use std::error::Error;

use ccs::stats::metrics::Scored;
use ccs::{Probe, SeedTree};
use ccs_report::{AnswerScore, Method};
use ccs_trainer::{EvalOptions, Overwrite, Quirky, Run, eval_with_control, quirky};
use rand::RngExt as _;

use crate::cells::Cell;
use crate::claims::{Claims, FALSE_ROWS, GAP, RECALL, RECOVERED, outside, probe};
use crate::pairs::{Drawn, Population};

/// Rows of control text, and of the data that probes are evaluated on.
const CONTROL: usize = 800;
const THERE: usize = 200;
/// Rows of the samples that probes are compared with; of control text, one in a hundred of which counts.
const MANY: usize = 6000;
const MANY_CONTROL: usize = 30_000;

const METHOD: Method = Method::LR;

fn options() -> EvalOptions {
    EvalOptions { methods: Some(vec![METHOD]), zero_shot: Some(AnswerScore::Sum), ..EvalOptions::default() }
}

fn scores(probe: &Probe, run: &Run, rows: &Drawn) -> ccs::Result<Vec<f64>> {
    probe.score_pairs(&rows.pairs(run.report.chosen_layer(METHOD).unwrap_or_default())?)
}

/// The claims of control text: what share of rows is above the score that 1% of it exceeds.
pub(crate) fn control(
    run: &Run,
    population: &Population,
    seeds: &SeedTree,
) -> Result<Claims, Box<dyn Error>> {
    let mut rng = seeds.child("control").rng();
    let unrelated = population.unrelated(&mut rng);
    let text = unrelated.rows_of(CONTROL, &mut rng).elsewhere().memory();
    let there = population.rows_of(THERE, &mut rng).elsewhere().memory();
    let dir = tempfile::tempdir()?;
    run.write(dir.path().join("run"), Overwrite::No)?;
    let found = eval_with_control(dir.path().join("run"), &there, &text, &options())?;
    let (mut claims, probe) = (Claims::new(), probe(run, METHOD));
    let Some((recall, probe)) = found.probes.get(METHOD.name()).and_then(|of| of.recall.as_ref()).zip(probe)
    else {
        return Ok(claims);
    };

    let mut of_text = scores(probe, run, &unrelated.rows_of(MANY_CONTROL, &mut rng))?;
    of_text.sort_by(|a, b| b.total_cmp(a));
    let threshold = of_text.get(MANY_CONTROL / 100).copied().unwrap_or(f64::NAN);
    let many = population.rows_of(MANY, &mut rng);
    let of_rows = scores(probe, run, &many)?;
    for (name, label, share) in [(RECALL, true, &recall.true_rows), (FALSE_ROWS, false, &recall.false_rows)] {
        let own: Vec<f64> =
            of_rows.iter().zip(&many.labels).filter(|(_, l)| **l == label).map(|(score, _)| *score).collect();
        let above = own.iter().filter(|score| **score > threshold).count() as f64 / own.len() as f64;
        claims.extend(share.as_ref().map(|share| (name.to_owned(), outside(share.ci, above))));
    }
    Ok(claims)
}

/// The claims of a model that answers one of two speakers worse, or as well where the cell has nothing planted.
pub(crate) fn gap(
    run: &Run,
    population: &Population,
    cell: &Cell,
    seeds: &SeedTree,
) -> Result<Claims, Box<dyn Error>> {
    let mut rng = seeds.child("quirky").rng();
    let better = rng.random_range(0.4..1.4);
    let worse = if cell.planted { better - rng.random_range(0.3..1.5) } else { better };
    let speakers = [("Alice", population.answering(better)), ("Bob", population.answering(worse))];
    let [alice, bob] = speakers.map(|(name, of)| of.rows_of(THERE, &mut rng).elsewhere().said_by(name));
    let dir = tempfile::tempdir()?;
    run.write(dir.path().join("run"), Overwrite::No)?;
    let asked = Quirky {
        speaker: "speaker".to_owned(),
        truthful: "Alice".to_owned(),
        untruthful: "Bob".to_owned(),
        truth: None,
    };
    let found = quirky(dir.path().join("run"), &alice.and(bob).memory(), &asked, &options())?;
    let (mut claims, probe) = (Claims::new(), probe(run, METHOD));
    let Some((recovered, probe)) = found.probes.get(METHOD.name()).zip(probe) else { return Ok(claims) };

    let many = population.rows_of(MANY, &mut rng);
    let own = auroc(&scores(probe, run, &many)?, &many)?;
    let [ceiling, floor] = [better, worse].map(|strength| {
        let many = population.answering(strength).rows_of(MANY, &mut rng);
        auroc(&many.answers[0], &many)
    });
    let (ceiling, floor) = (ceiling?, floor?);
    let is_gap = cell.planted;
    claims.insert(GAP.to_owned(), recovered.gap_recovered.is_some() && !is_gap);
    if let Some(share) = recovered.gap_recovered.filter(|_| is_gap) {
        claims.insert(RECOVERED.to_owned(), outside(share.ci, (own - floor) / (ceiling - floor)));
    }
    Ok(claims)
}

fn auroc(scores: &[f64], rows: &Drawn) -> ccs::Result<f64> {
    Ok(Scored::new(scores, &rows.labels, 0.0)?.auroc().unwrap_or(0.5))
}
