//! `llama-ccs model info`, `llama-ccs model check` (see `check`), `llama-ccs model families`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use host::files::in_json;
use llama_ccs::llama_core::{self, Checkpoint, Config, Error, IdentityCache, Layers, RopeScaling};
use serde_json::json;

use super::hashing::Hashing;
use super::values::AnyError;
use super::{check, named, output};

#[derive(clap::Args, Debug)]
#[command(after_help = "\
Examples:
  llama-ccs model info llama-7b                                  # Meta's layout
  llama-ccs model info Llama-3.2-1B                              # Hugging Face's
  llama-ccs model info SmolLM2-135M-Instruct.Q4_1.gguf --json
  llama-ccs model check Llama-3.2-1B                             # does it compute what it was trained to?
  llama-ccs model families                                       # what can be read")]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Show layout, sizes, types, tokenizer, and identity (a hash of every byte).
    Info {
        /// A model: a folder in Meta's or Hugging Face's layout, a .gguf file, or a name on the Hugging Face hub,
        /// ORG/NAME[@REVISION][:FILE].
        model: PathBuf,
    },
    /// Check a model by a text: sizes of weights and states, how likely the text is, and whether it would be likelier if
    /// the weights were read otherwise, which names what went wrong in a conversion. Exit code 1 if something looks wrong.
    Check(check::Args),
    /// List the families of models that are computed, and what each does otherwise than LLaMA.
    Families,
}

impl Args {
    pub(crate) fn run(&self, json: bool) -> Result<ExitCode, AnyError> {
        match &self.command {
            Command::Info { model } => info(model, json),
            Command::Check(args) => args.run(json),
            Command::Families => families(json),
        }
    }
}

/// The table of families, as Markdown.
fn families(json: bool) -> Result<ExitCode, AnyError> {
    let all = llama_core::families();
    if json {
        let row = |family: &llama_core::Family| {
            json!({ "name": family.name, "model_type": family.model_type, "architecture": family.architecture,
                "differs": family.differs })
        };
        output::json(&json!(all.iter().map(row).collect::<Vec<_>>()))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::page("| family | config.json | GGUF | otherwise than LLaMA |")?;
    output::page("|---|---|---|---|")?;
    for family in all {
        let llama_core::Family { name, model_type, architecture, differs, .. } = family;
        output::page(&format!("| {name} | `{model_type}` | `{architecture}` | {differs} |"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn info(model: &Path, json: bool) -> Result<ExitCode, AnyError> {
    let checkpoint = Checkpoint::open(named::model(model)?)?;
    let config = checkpoint.config();
    // A model without a tokenizer is a model; with a broken one it is worth knowing.
    let tokenizer = match checkpoint.tokenizer() {
        Err(Error::NoTokenizer { .. }) => None,
        other => Some(other?),
    };
    if let Some(tokenizer) = &tokenizer {
        tokenizer.check_fits(config)?;
    }
    let (types, bytes) = (checkpoint.stored_as()?, checkpoint.stored_bytes()?);
    let described = tokenizer.as_ref().map(|t| {
        let bos = t.bos().map(|id| t.piece(id).to_owned());
        (t.kind(), t.vocab_size(), bos)
    });
    let mut hashing = Hashing::default();
    let identity =
        checkpoint.identity(&IdentityCache::of_user(), &mut |_, total| hashing.tell(total, output::say))?;
    if json {
        output::json(&json!({
            "path": in_json(model), "layout": checkpoint.layout(), "identity": identity,
            "family": checkpoint.family().model_type,
            "parameters": config.n_params(), "config": config, "stored_as": types, "stored_bytes": bytes,
            "tokenizer": described.map(|(kind, size, bos)| json!({ "kind": kind, "vocab_size": size, "bos": bos })),
        }))?;
        return Ok(ExitCode::SUCCESS);
    }
    let line = |name: &str, value: String| output::page(&format!("{name:<12} {value}"));
    line("layout", checkpoint.layout())?;
    line("family", checkpoint.family().name.to_owned())?;
    line("parameters", thousands(config.n_params()))?;
    line("blocks", format!("{} of width {}, MLP {}", config.n_layers, config.dim, config.hidden_dim))?;
    line("heads", heads(config))?;
    line("positions", positions(config))?;
    let tied = match (config.tied_embeddings, config.headless) {
        (true, _) => "; the unembedding is the embedding",
        (_, true) => "; no unembedding, so no logits",
        _ => "",
    };
    line("vocabulary", format!("{}{tied}", thousands(config.vocab_size)))?;
    line("weights", format!("{}, {} on disk", types.join(", "), size(bytes as f64)))?;
    let in_memory = |width: f64| size(config.n_params() as f64 * width);
    line("in memory", format!("{} as f32, {} as bf16", in_memory(4.0), in_memory(2.0)))?;
    line(
        "tokenizer",
        described.map_or("none in or beside it".to_owned(), |(kind, size, bos)| {
            let bos = bos.map_or("no token in front".to_owned(), |bos| format!("`{bos}` in front"));
            format!("{kind}, {} tokens, {bos}", thousands(size as i64))
        }),
    )?;
    line("identity", identity)?;
    Ok(ExitCode::SUCCESS)
}

fn heads(config: &Config) -> String {
    let shared = config.n_heads / config.n_kv_heads;
    let keys = match shared {
        1 => String::new(),
        _ => format!(", {} for keys and values (groups of {shared})", config.n_kv_heads),
    };
    format!("{} of width {}{keys}", config.n_heads, config.head_dim)
}

fn positions(config: &Config) -> String {
    let scaling = match &config.rope_scaling {
        RopeScaling::None => "not scaled".to_owned(),
        RopeScaling::Linear { factor } => format!("scaled linearly by {factor}"),
        RopeScaling::Llama3 { factor, original_context, .. } => {
            format!("scaled as in LLaMA 3 by {factor} beyond {original_context}")
        }
        RopeScaling::Factors(_) => "each wavelength scaled by the file's own factor".to_owned(),
        RopeScaling::Yarn { factor, original_context, .. } => {
            format!("scaled by YaRN by {factor} beyond {original_context}")
        }
        RopeScaling::Dynamic { most } => format!("not scaled; prompts of at most {most} tokens"),
        RopeScaling::Long { most, .. } => {
            format!("each wavelength scaled by the file's own factor; prompts of at most {most} tokens")
        }
        _ => "scaled".to_owned(),
    };
    let of = |layers: &Layers| match layers {
        Layers::Only(some) => format!(" in {} of {} layers", some.len(), config.n_layers),
        _ => String::new(),
    };
    let window = config.sliding_window;
    let window =
        window.map_or(String::new(), |w| format!("; a window of {w} tokens{}", of(&config.window_layers)));
    let local = config.local_rope_theta.map_or(String::new(), |base| format!(", base {base} there"));
    let rotated = of(&config.rotated_layers);
    format!("rotary{rotated}, base {}, {scaling}{window}{local}", config.rope_theta)
}

/// `6,738,415,616`
fn thousands(n: i64) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|g| std::str::from_utf8(g).unwrap_or_default()).collect();
    groups.join(",")
}

/// `12.6 GB`
fn size(bytes: f64) -> String {
    if bytes >= 1e9 { format!("{:.1} GB", bytes / 1e9) } else { format!("{:.1} MB", bytes / 1e6) }
}
