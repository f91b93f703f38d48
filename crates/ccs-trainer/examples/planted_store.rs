//! Writes a store of contrast pairs with a planted truth, of any size and without a model: what fits are timed on.
//!
//! ```sh
//! cargo run --release -p ccs-trainer --example planted_store -- --out templates --questions 300 --templates 10 --dim 576 --layers 31
//! cargo run --release -p ccs-trainer --example planted_store -- --out rows --questions 100000 --dim 64 --layers 5
//! ccs fit templates --out run --methods all
//! ccs fit rows --out run --methods ccs,lr --directions 200 --shuffles 2 --seeds 2
//! ```
//!
//! States are made as a model's look to a probe: a few directions carry most of their variance, rows of a question and rows
//! of a template have much in common, and truth grows from layer to layer along one direction, hidden in noise.

use std::path::PathBuf;

use activations::{BatchStates, Column, ColumnStates, Manifest, Row, Side, Sides, StoreDtype, StoreWriter};
use clap::Parser;
use tch::{Device, Kind, Tensor};

/// Writes a store of contrast pairs with a planted truth.
#[derive(Parser)]
struct Args {
    /// The folder to write.
    #[arg(long)]
    out: PathBuf,
    #[arg(long, default_value_t = 300)]
    questions: usize,
    /// Rows of each question.
    #[arg(long, default_value_t = 1)]
    templates: usize,
    #[arg(long, default_value_t = 576)]
    dim: usize,
    #[arg(long, default_value_t = 31)]
    layers: usize,
    #[arg(long, default_value_t = 0)]
    seed: i64,
}

/// Questions of a batch.
const BATCH: usize = 256;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// How states come about at a layer.
struct Layer {
    /// Directions of falling length. \[K, D\]
    wide: Tensor,
    /// \[D\]
    truth: Tensor,
    /// What every template adds to either side. \[T, 2, D\]
    wording: Tensor,
    strength: f64,
}

fn normal(shape: &[i64]) -> Result<Tensor> {
    Ok(Tensor::f_randn(shape, (Kind::Float, Device::Cpu))?)
}

impl Layer {
    fn draw(number: usize, args: &Args) -> Result<Self> {
        let dim = args.dim as i64;
        let count = dim.min(48);
        let falling =
            (Tensor::f_arange(count, (Kind::Float, Device::Cpu))? + 1.0).f_pow_tensor_scalar(-0.7)?;
        let truth = normal(&[dim])?;
        Ok(Self {
            wide: normal(&[count, dim])?.f_mul(&falling.f_unsqueeze(1)?)?,
            truth: truth.f_div(&truth.f_norm()?)?,
            wording: normal(&[args.templates as i64, 2, dim])?,
            strength: 2.5 * number as f64 / args.layers as f64,
        })
    }

    /// Plus and minus states of some questions, template after template within a question; `signs`: \[Q\], 1 or −1.
    fn states(&self, signs: &Tensor, templates: i64) -> Result<[Tensor; 2]> {
        let (questions, dim) = (signs.size1()?, self.truth.size1()?);
        let count = self.wide.size2()?.0;
        let of_question = normal(&[questions, 1, count])? + normal(&[questions, templates, count])? * 0.5;
        let shared = of_question.f_matmul(&self.wide)?; // [Q, T, D]
        let shift = signs.f_view([questions, 1, 1])?.f_mul(&self.truth)? * self.strength;
        let side = |at: i64, sign: f64| -> Result<Tensor> {
            let noise = normal(&[questions, templates, dim])? * 0.8;
            let wording = self.wording.f_select(1, at)?;
            Ok((&shared + noise + wording + &shift * sign).f_reshape([questions * templates, dim])?)
        };
        Ok([side(0, 1.0)?, side(1, -1.0)?])
    }
}

fn row(idx: usize, label: bool, args: &Args) -> Row {
    let (question, template) = (idx / args.templates, idx % args.templates);
    let side = |answer: &str| Side {
        prompt: format!("Passage {question}. Question {question}, asked in way {template}? {answer}"),
        tokens: 16,
        answer_start: 15,
        answer_end: 16,
        captured_id: 1,
        captured_text: answer.to_owned(),
    };
    Row {
        idx: idx as u64,
        label,
        question_id: format!("q{question}"),
        group: format!("passage {question}"),
        template: format!("template {template}"),
        dataset: "planted".to_owned(),
        sides: Sides::Pair { plus: side("True"), minus: side("False") },
        columns: [].into(),
    }
}

fn numbers(tensor: &Tensor) -> Result<Vec<f32>> {
    Ok(Vec::try_from(tensor.f_reshape([-1])?)?)
}

fn main() -> Result<()> {
    let args = Args::parse();
    tch::manual_seed(args.seed);
    let labels: Vec<bool> =
        Vec::try_from(Tensor::f_rand([args.questions as i64], (Kind::Float, Device::Cpu))?.f_gt(0.4)?)?;
    let rows: Vec<Row> = (0..args.questions * args.templates)
        .map(|idx| row(idx, labels[idx / args.templates], &args))
        .collect();
    let hook = |layer: usize| match layer {
        0 => "hook_embed".to_owned(),
        l => format!("blocks.{}.hook_resid_post", l - 1),
    };
    let states =
        (0..args.layers).map(|layer| Column::new(&hook(layer), &["d_model"], &[args.dim]).at("last"));
    let columns = states.chain([Column::scalar("answer_logprob")]).collect();
    let in_batch = BATCH * args.templates;
    let plan = (0..rows.len()).collect::<Vec<_>>().chunks(in_batch).map(<[usize]>::to_vec).collect();
    let settings = serde_json::json!({ "dataset": "planted", "model": { "name": "planted", "identity": "0123456789abcdef" } });
    let manifest = Manifest::new(StoreDtype::F32, columns, plan, serde_json::from_value(settings)?);
    let layers: Vec<Layer> =
        (0..args.layers).map(|layer| Layer::draw(layer, &args)).collect::<Result<_>>()?;
    let mut writer = StoreWriter::open(&args.out, manifest, &rows)?;
    for batch in writer.remaining().to_vec() {
        let labels: Vec<f32> =
            labels[batch * BATCH..].iter().take(BATCH).map(|&l| if l { 1.0 } else { -1.0 }).collect();
        let signs = Tensor::f_from_slice(&labels)?;
        let mut columns = Vec::new();
        for layer in &layers {
            let [plus, minus] = layer.states(&signs, args.templates as i64)?;
            columns.push(ColumnStates::Pair { plus: numbers(&plus)?, minus: numbers(&minus)? });
        }
        let answers = normal(&[signs.size1()?, args.templates as i64])? + signs.f_unsqueeze(1)? * 0.4;
        columns.push(ColumnStates::Pair { plus: numbers(&answers)?, minus: numbers(&answers.f_neg()?)? });
        writer.commit(batch, BatchStates { columns })?;
    }
    writer.finish()?;
    Ok(())
}
