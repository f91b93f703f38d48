//! Single statements with a known truth, some of them negated.
//!
//! In half of the sets that carry truth, what the states show turns round with a negation: a probe that follows it ranks
//! the statements of one polarity the wrong way round.

use ccs::stats::metrics::Scored;
use ccs::tch::Tensor;
use ccs::{Contrast, SeedTree, Statements};
use ccs_report::{Finding, Method, Verdict};
use ccs_trainer::{MemoryStatements, Rows, Run};
use rand::RngExt as _;
use rand_distr::StandardNormal;

use crate::cells::Cell;
use crate::claims::{CROSSES, Claims, TURNS, Truths, probe};

const DIM: usize = 8;
/// Rows of the sample that probes are compared with.
const MANY: usize = 6000;

/// Where statements come from.
pub(crate) struct Population {
    /// How far true and false statements lie apart, the same for both polarities.
    general: f64,
    /// The same, turned round by a negation.
    sensitive: f64,
    /// How far negated statements lie from affirmative ones.
    polarity: f64,
    negated_share: f64,
    seeds: SeedTree,
}

struct Drawn {
    labels: Vec<bool>,
    negated: Vec<bool>,
    groups: Vec<String>,
    states: Vec<f32>,
}

impl Population {
    pub(crate) fn draw(cell: &Cell, seeds: &SeedTree) -> Self {
        let mut rng = seeds.child("population").rng();
        let strength = 1.2 * rng.random_range(0.2..1.0);
        let (general, sensitive) = match (cell.planted, rng.random_bool(0.5)) {
            (false, _) => (0.0, 0.0),
            (true, true) => (strength, 0.0),
            (true, false) => (0.0, strength),
        };
        let (polarity, negated_share) = (rng.random_range(0.0..2.0), rng.random_range(0.3..0.5));
        Self { general, sensitive, polarity, negated_share, seeds: *seeds }
    }

    /// Statements to fit on.
    pub(crate) fn sample(&self, rows: usize) -> Result<MemoryStatements, String> {
        let Drawn { labels, negated, groups, states } = self.rows_of(rows, "sample");
        let word = |&negated: &bool| Some(if negated { "negated" } else { "affirmative" }.to_owned());
        let columns = [("polarity".to_owned(), negated.iter().map(word).collect())].into_iter().collect();
        let ids = (0..rows).map(|row| row.to_string()).collect();
        let rows = Rows { ids, labels, groups, columns, ..Rows::default() };
        rows.check().map_err(|error| error.to_string())?;
        Ok(MemoryStatements::new(rows).with_layer("hook_embed", states))
    }

    /// Whether a sentence says of either direction what is not so. All truth is along one axis: a probe that predicts its own
    /// polarity has the sign of general + sensitive there, or of their difference, and ranks the other polarity by the
    /// other of the two. Where either is 0, it ranks nothing.
    fn is_denied_by(&self, text: &str) -> bool {
        let relation = (self.general + self.sensitive) * (self.general - self.sensitive);
        text.contains("it ranks true above false") && relation <= 0.0
            || text.contains("it ranks true below false") && relation >= 0.0
    }

    fn rows_of(&self, rows: usize, stream: &str) -> Drawn {
        let mut rng = self.seeds.child(stream).rng();
        let (mut labels, mut negated, mut groups, mut states) = (vec![], vec![], vec![], vec![]);
        let sign = |yes: bool| if yes { 1.0 } else { -1.0 };
        for row in 0..rows {
            let (label, is_negated) = (rng.random_bool(0.5), rng.random_bool(self.negated_share));
            for axis in 0..DIM {
                let noise: f64 = rng.sample(StandardNormal);
                let of_axis = match axis {
                    1 => self.general * sign(label) + self.sensitive * sign(label) * sign(!is_negated),
                    2 => self.polarity * sign(is_negated),
                    _ => 0.0,
                };
                states.push((noise + of_axis) as f32);
            }
            labels.push(label);
            negated.push(is_negated);
            groups.push(format!("subject {}", row / 2));
        }
        Drawn { labels, negated, groups, states }
    }
}

impl Drawn {
    fn statements(&self) -> ccs::Result<Contrast> {
        let states = Tensor::f_from_slice(&self.states)?.f_reshape([-1, DIM as i64])?;
        let rows = Statements::new(states, self.labels.clone(), self.groups.clone())?;
        let rows = rows.with_polarity(self.negated.iter().map(|negated| !negated).collect())?;
        rows.as_contrast().select(&(0..self.labels.len()).collect::<Vec<_>>())
    }
}

/// The claims of a run on a sample of a population.
pub(crate) fn judge(run: &Run, population: &Population) -> ccs::Result<Claims> {
    let many = population.rows_of(MANY, "many");
    let truths = Truths::of(run, &|_| many.statements())?;
    let mut found = truths.claims(&run.report, Method::MASS_MEAN);
    let turned = run.report.verdicts.iter().filter(|v| v.finding == Finding::TurnsWithNegation);
    let mut wrong = false;
    for verdict in turned {
        wrong |= !ranks_the_wrong_way(run, verdict, &many)?;
    }
    found.insert(TURNS.to_owned(), wrong);
    let crossing = run.report.verdicts.iter().filter(|v| v.finding.is_about_transfer());
    let wrong = crossing.into_iter().any(|verdict| population.is_denied_by(&verdict.text));
    found.insert(CROSSES.to_owned(), wrong);
    Ok(found)
}

/// Whether the probe ranks true below false in the polarity that the sentence names.
fn ranks_the_wrong_way(run: &Run, verdict: &Verdict, many: &Drawn) -> ccs::Result<bool> {
    let Some(probe) = probe(run, verdict.method) else { return Ok(false) };
    let of_negated = verdict.text.contains("true below false among negated rows");
    let rows: Vec<usize> = (0..many.labels.len()).filter(|&row| many.negated[row] == of_negated).collect();
    let part = many.statements()?.select(&rows)?;
    let scores = probe.score_pairs(&part)?;
    let scored = Scored::new(&scores, part.labels(), 0.0)?;
    Ok(scored.auroc().is_some_and(|auroc| auroc < 0.5))
}
