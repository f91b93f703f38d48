//! Pairs with a known truth.
//!
//! Every set is a population of its own: how strong truth is in the states, how well the model answers, how much
//! rows of a passage have in common, and whether a column of the data is in the states too, all drawn by seed.

use ccs::stats::metrics::Scored;
use ccs::tch::Tensor;
use ccs::{Contrast, SeedTree};
use ccs_report::{AnswerScore, DirectionsReport, Finding, Method, Report, ZeroShot};
use ccs_trainer::{Memory, Rows, Run};
use indexmap::IndexMap;
use rand::RngExt as _;
use rand_distr::StandardNormal;

use crate::cells::Cell;
use crate::claims::{
    BEYOND_ANSWERS, COLUMN, Claims, MANY_DIRECTIONS, MINUS_ANSWERS, STANDS_OUT, Truths, outside,
};

/// Dimensions of a state.
const DIM: usize = 8;
/// Rows of the sample that probes are compared with.
const MANY: usize = 6000;
/// Topics of passages, which say nothing of truth.
const TOPICS: usize = 3;

/// Where rows come from.
#[derive(Clone)]
pub(crate) struct Population {
    rows: usize,
    true_share: f64,
    /// How far true and false statements lie apart in the states of the second layer.
    truth: f64,
    /// How far the sides lie apart there, whatever is true.
    offset: f64,
    /// How far the model's answers tell them apart, by the sum and by the mean of log-probabilities.
    answers: [f64; 2],
    /// How much of the states is the passage's.
    shared: f64,
    /// How far the values of the column `relation` lie apart in the states.
    relation: f64,
    /// Rows of a passage, at most.
    passage: usize,
    seeds: SeedTree,
}

/// Rows of a population.
pub(crate) struct Drawn {
    pub(crate) labels: Vec<bool>,
    pub(crate) groups: Vec<String>,
    /// The model's preference for the plus answer, by the sum and by the mean.
    pub(crate) answers: [Vec<f64>; 2],
    relation: Vec<bool>,
    topic: Vec<usize>,
    /// Who says them; of rows that nobody in particular says, empty.
    speaker: Vec<Option<String>>,
    /// Plus and minus of two layers.
    layers: [[Vec<f32>; 2]; 2],
}

impl Population {
    pub(crate) fn draw(cell: &Cell, seeds: &SeedTree) -> Self {
        let mut rng = seeds.child("population").rng();
        let strength = |rng: &mut rand_chacha::ChaCha12Rng, most: f64| most * rng.random_range(0.2..1.0);
        let drawn = [(); 3].map(|()| strength(&mut rng, 1.4));
        let [truth, sum, mean] = if cell.planted { drawn } else { [0.0; 3] };
        Self {
            rows: cell.rows,
            true_share: cell.true_share,
            truth,
            offset: 0.0,
            answers: [sum, mean],
            shared: rng.random_range(0.0..0.6),
            relation: if rng.random_bool(0.5) { 2.5 } else { 0.0 },
            passage: rng.random_range(1..4),
            seeds: *seeds,
        }
    }

    /// Whether the column `relation` is in the states.
    pub(crate) fn has_relation(&self) -> bool {
        self.relation > 0.0
    }

    /// Whether anything in the states of a layer is opposite on the two sides of a pair.
    pub(crate) fn has_contrast(&self, layer: usize) -> bool {
        self.has_relation() || self.has_truth(layer)
    }

    /// Whether the states of a layer carry the truth.
    pub(crate) fn has_truth(&self, layer: usize) -> bool {
        layer > 0 && self.truth > 0.0
    }

    /// The rows of the set.
    pub(crate) fn sample(&self, seeds: &SeedTree) -> Memory {
        self.rows_of(self.rows, &mut seeds.child("sample").rng()).memory()
    }

    /// Text without truth: the same noise, and states that lie elsewhere.
    pub(crate) fn unrelated(&self, rng: &mut rand_chacha::ChaCha12Rng) -> Self {
        Self { truth: 0.0, offset: rng.random_range(-1.0..1.0), relation: 0.0, ..self.clone() }
    }

    /// The same states, and a model that answers so well.
    pub(crate) fn answering(&self, strength: f64) -> Self {
        Self { answers: [strength; 2], ..self.clone() }
    }

    /// Many rows, which no probe was fitted on.
    pub(crate) fn many(&self) -> Drawn {
        self.rows_of(MANY, &mut self.seeds.child("many").rng())
    }

    /// So many rows.
    pub(crate) fn rows_of(&self, rows: usize, rng: &mut rand_chacha::ChaCha12Rng) -> Drawn {
        let mut drawn = Drawn {
            labels: Vec::new(),
            groups: Vec::new(),
            answers: Default::default(),
            relation: Vec::new(),
            topic: Vec::new(),
            speaker: Vec::new(),
            layers: Default::default(),
        };
        let normal = |rng: &mut rand_chacha::ChaCha12Rng| -> f64 { rng.sample(StandardNormal) };
        let mut passage = 0;
        while drawn.labels.len() < rows {
            let size = rng.random_range(1..=self.passage).min(rows - drawn.labels.len());
            let shared: Vec<f64> = (0..2 * DIM + 2).map(|_| normal(rng)).collect();
            let topic = rng.random_range(0..TOPICS);
            for _ in 0..size {
                let label = rng.random_bool(self.true_share);
                let relation = rng.random_bool(0.5);
                let sign = |yes: bool| if yes { 1.0 } else { -1.0 };
                // Rows of a passage have a part of their noise in common.
                let noise = |at: usize, rng: &mut rand_chacha::ChaCha12Rng| {
                    let of_passage = shared.get(at).copied().unwrap_or_default();
                    self.shared.sqrt() * of_passage + (1.0 - self.shared).sqrt() * normal(rng)
                };
                for (at, (answers, strength)) in drawn.answers.iter_mut().zip(self.answers).enumerate() {
                    answers.push(strength * sign(label) + noise(2 * DIM + at, rng));
                }
                for (layer, truth) in [0.0, self.truth].into_iter().enumerate() {
                    for side in 0..2 {
                        let toward = sign(side == 0);
                        for axis in 0..DIM {
                            let scale = if axis == 0 { 3.0 } else { 1.0 };
                            let of_axis = match axis {
                                1 if layer > 0 => toward * (truth * sign(label) + self.offset),
                                2 => toward * self.relation * sign(relation),
                                3 => topic as f64,
                                _ => 0.0,
                            };
                            let value = scale * noise(side * DIM + axis, rng) + of_axis;
                            if let Some(states) = drawn.layers.get_mut(layer).and_then(|l| l.get_mut(side)) {
                                states.push(value as f32);
                            }
                        }
                    }
                }
                drawn.labels.push(label);
                drawn.relation.push(relation);
                drawn.topic.push(topic);
                drawn.groups.push(format!("passage {passage}"));
            }
            passage += 1;
        }
        drawn
    }
}

/// The claims of a run on a sample of a population.
pub(crate) fn judge(run: &Run, population: &Population) -> ccs::Result<Claims> {
    let (many, report) = (population.many(), &run.report);
    let truths = Truths::of(run, &|layer| many.pairs(layer))?;
    let own = own_answers(report, &many)?;
    let mut found = truths.claims(report, Method::CCS);
    let mut add = |name: &str, wrong: Option<bool>| {
        found.extend(wrong.map(|wrong| (name.to_owned(), wrong)));
    };
    let beyond = truths.wrong(report, &|f| f == Finding::BetterThanZeroShot, &|_, auroc| auroc > own);
    add(BEYOND_ANSWERS, Some(beyond));
    let directions = report.directions.as_ref();
    let by_chance = |d: &DirectionsReport| d.more_than_chance && !population.has_truth(d.layer);
    add(MANY_DIRECTIONS, directions.map(by_chance));
    add(STANDS_OUT, directions.and_then(|d| stands_out(d, population)));
    let named = report.verdicts.iter().filter(|v| v.finding == Finding::ExplainedByColumn);
    let is_other = |text: &str| !(population.has_relation() && text.contains("`relation`"));
    add(COLUMN, Some(named.into_iter().any(|v| is_other(&v.text))));
    let beyond = report.zero_shot.iter().flat_map(|own| &own.beyond);
    let beyond = beyond.filter(|c| c.difference.first == Method::CCS).find_map(|c| c.difference.auroc?.ci);
    add(MINUS_ANSWERS, truths.auroc(Method::CCS).map(|auroc| outside(beyond, auroc - own)));
    Ok(found)
}

/// The AUROC of the model's own answers by the reading that is the bar.
fn own_answers(report: &Report, many: &Drawn) -> ccs::Result<f64> {
    let bar = report.zero_shot.as_ref().and_then(ZeroShot::bar_reading);
    let [sum, mean] = &many.answers;
    let answers = if bar.is_some_and(|bar| bar.score == AnswerScore::Mean) { mean } else { sum };
    Ok(Scored::new(answers, &many.labels, 0.0)?.auroc().unwrap_or(0.5))
}

/// Whether a direction is said to stand out where nothing does; none where something may.
fn stands_out(directions: &DirectionsReport, population: &Population) -> Option<bool> {
    if population.has_contrast(directions.layer) {
        return None;
    }
    let rrc = directions.spectra.iter().find(|spectrum| spectrum.method.name() == "rrc")?;
    Some(rrc.standing_out > 0)
}

impl Drawn {
    /// The rows as a run takes them.
    pub(crate) fn memory(self) -> Memory {
        let text = |values: Vec<String>| values.into_iter().map(Some).collect::<Vec<_>>();
        let relation =
            text(self.relation.iter().map(|&r| if r { "founder" } else { "city" }.to_owned()).collect());
        let topic = text(self.topic.iter().map(|t| format!("topic {t}")).collect());
        let mut columns = IndexMap::from([("relation".to_owned(), relation), ("topic".to_owned(), topic)]);
        if !self.speaker.is_empty() {
            columns.insert("speaker".to_owned(), self.speaker);
        }
        let none = || vec![0.0; self.labels.len()];
        let [sum, mean] = self.answers;
        let rows = Rows {
            ids: (0..self.labels.len()).map(|row| row.to_string()).collect(),
            answer_logprob: Some((sum, none())),
            answer_logprob_mean: Some((mean, none())),
            labels: self.labels,
            groups: self.groups,
            columns,
            ..Rows::default()
        };
        let [[a, b], [c, d]] = self.layers;
        Memory::new(rows).with_layer("hook_embed", a, b).with_layer("blocks.0.hook_resid_post", c, d)
    }

    /// The same rows, of other passages.
    pub(crate) fn elsewhere(mut self) -> Self {
        for group in &mut self.groups {
            group.insert_str(0, "another ");
        }
        self
    }

    /// The same rows, by one who says them.
    pub(crate) fn said_by(mut self, name: &str) -> Self {
        self.speaker = vec![Some(name.to_owned()); self.labels.len()];
        self
    }

    /// These rows, and then others of the same passages.
    pub(crate) fn and(mut self, other: Self) -> Self {
        self.labels.extend(other.labels);
        self.groups.extend(other.groups);
        self.relation.extend(other.relation);
        self.topic.extend(other.topic);
        self.speaker.extend(other.speaker);
        for (own, more) in self.answers.iter_mut().zip(other.answers) {
            own.extend(more);
        }
        for (own, more) in self.layers.iter_mut().flatten().zip(other.layers.into_iter().flatten()) {
            own.extend(more);
        }
        self
    }

    /// The pairs of a layer.
    pub(crate) fn pairs(&self, layer: usize) -> ccs::Result<Contrast> {
        let rows = self.labels.len() as i64;
        let [plus, minus] = self.layers.get(layer).unwrap_or(&self.layers[0]);
        let matrix = |states: &[f32]| -> ccs::Result<Tensor> {
            Ok(Tensor::f_from_slice(states)?.f_reshape([rows, DIM as i64])?)
        };
        Contrast::new(matrix(plus)?, matrix(minus)?, self.labels.clone(), self.groups.clone())
    }
}
