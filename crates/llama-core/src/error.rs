//! Everything that can go wrong between a checkpoint's path and a tensor.
//!
//! Long because every case has its fields, its message and its hint in one place.

use std::path::PathBuf;

use tch::{Kind, TchError};

use crate::hooks::{HookPoint, Tokens};

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a checkpoint, a tokenizer, a prompt or a hook was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error("{0}\nhint: {hint}", hint = host::hint::hint(.0))]
    Io(#[from] std::io::Error),

    /// The path is no checkpoint this crate knows.
    #[error("{path} is not a model: {found}\nhint: give a folder with `params.json` and `consolidated.00.pth` (Meta's layout) or with `config.json` and `model.safetensors` or `pytorch_model.bin` (Hugging Face's), or a .gguf file", path = path.display())]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },

    /// The configuration (`params.json`, `config.json`, a GGUF file's metadata) does not describe a model this crate
    /// computes.
    #[error("{path}: {reason}\nhint: {hint}", path = path.display())]
    ModelConfig {
        /// The configuration file.
        path: PathBuf,
        /// The key and what is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A file of weights is not what its format says: truncated, damaged, of another kind.
    #[error("{path}: {reason}\nhint: {hint}", path = path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The pickle inside a `.pth` file is malformed, or asks for what a list of tensors never needs.
    #[error("{path}: the pickle is refused at byte {offset}: {reason}\nhint: only plain tensors in dicts and lists are read; nothing in a checkpoint is ever executed. Re-save it with torch.save(model.state_dict(), …)", path = path.display())]
    Pickle {
        /// The `.pth` file.
        path: PathBuf,
        /// Where in `data.pkl`.
        offset: usize,
        /// Which instruction, and why not.
        reason: String,
    },

    /// A tensor that every LLaMA has is not in the checkpoint.
    #[error("{path}: tensor `{name}` is missing\nhint: the file may belong to another model or be one shard of several", path = path.display())]
    MissingTensor {
        /// The file it was looked for in.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
    },

    /// A tensor has another shape than the configuration implies.
    #[error("{path}: tensor `{name}` has shape {found:?}, and the configuration implies {expected:?}\nhint: configuration and weights belong to different models, or a part is missing", path = path.display())]
    TensorShape {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
        /// The shape that the configuration implies.
        expected: Vec<i64>,
        /// The shape in the file.
        found: Vec<i64>,
    },

    /// Shard files are missing or too many.
    #[error("{path}: the weights are one of {expected} model-parallel shards, and {found} of them are here\nhint: copy every consolidated.NN.pth of the model into this folder", path = path.display())]
    Shards {
        /// The checkpoint's folder.
        path: PathBuf,
        /// How many the tensors' shapes imply.
        expected: i64,
        /// How many files there are.
        found: i64,
    },

    /// A weight holds NaN or an infinity.
    #[error("{path}: tensor `{name}` holds values that are not finite\nhint: the file is damaged, or was saved from a model that had diverged", path = path.display())]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
    },

    /// A tokenizer file cannot be read.
    #[error("{path}: {reason}\nhint: {hint}", path = path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// A tokenizer's engine failed on a text or on ids.
    #[error("the tokenizer failed: {reason}\nhint: is this the model's own tokenizer?")]
    Tokenize {
        /// What the engine says.
        reason: String,
    },

    /// An id that the tokenizer has no token for.
    #[error(
        "no token has id {id}; the tokenizer's ids end before {tokens}\nhint: the ids were made with another tokenizer"
    )]
    UnknownToken {
        /// The id.
        id: u32,
        /// One more than the tokenizer's highest id.
        tokens: usize,
    },

    /// No tokenizer was given and none is in or beside the checkpoint.
    #[error("no tokenizer.json or tokenizer.model in or beside {path}\nhint: give the model's tokenizer file", path = path.display())]
    NoTokenizer {
        /// The checkpoint's folder.
        path: PathBuf,
    },

    /// The tokenizer belongs to another model.
    #[error(
        "ordinary text has tokens up to id {last} with this tokenizer, and the model has {model} embeddings\nhint: give the tokenizer that came with these weights",
        last = tokenizer.saturating_sub(1)
    )]
    Vocabulary {
        /// One more than the highest id that ordinary text can have.
        tokenizer: usize,
        /// Rows of the embedding.
        model: usize,
    },

    /// A token that the tokenizer has and the model has no embedding for.
    #[error(
        "the token `{token}` has id {id}, and the model has {embeddings} embeddings\nhint: it is a special token that was added to the tokenizer and not to the model; leave it out of the text, or give the tokenizer that came with these weights"
    )]
    NoEmbedding {
        /// The token, as people read it.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding.
        embeddings: usize,
    },

    /// A prompt longer than the window of a model whose attention has one.
    #[error(
        "prompt {prompt} has {tokens} tokens, and this model's attention sees {window} at once\nhint: windows are not computed, prompts that fit into one are; shorten or drop the prompt"
    )]
    Window {
        /// Its position in the batch.
        prompt: usize,
        /// How many tokens it has.
        tokens: usize,
        /// Tokens that attention sees.
        window: usize,
    },

    /// A prompt without tokens.
    #[error(
        "prompt {prompt} has no tokens\nhint: every prompt needs at least one; the tokenizer's BOS counts"
    )]
    EmptyPrompt {
        /// Its position in the batch.
        prompt: usize,
    },

    /// A token id that the model has no embedding for.
    #[error(
        "prompt {prompt}, token {position}: id {id} is outside the model's vocabulary of {vocab}\nhint: the prompts were tokenized for another model"
    )]
    TokenOutOfRange {
        /// Its position in the batch.
        prompt: usize,
        /// The token's position in the prompt.
        position: usize,
        /// The id.
        id: i64,
        /// The model's vocabulary size.
        vocab: i64,
    },

    /// A token selection points past a prompt's end.
    #[error(
        "prompt {prompt} has {tokens} tokens, and token {position} was asked for\nhint: positions count a prompt's real tokens from 0, padding excluded"
    )]
    Position {
        /// Its position in the batch.
        prompt: usize,
        /// How many tokens it has.
        tokens: usize,
        /// The position asked for.
        position: usize,
    },

    /// A selection names positions for another number of prompts than the batch holds.
    #[error(
        "positions for {found} prompts were given, and the batch holds {expected}\nhint: Tokens::At takes one list per prompt, in the batch's order"
    )]
    Selection {
        /// Prompts in the batch.
        expected: usize,
        /// Lists given.
        found: usize,
    },

    /// Next tokens for another number of states than were given, or one outside the vocabulary.
    #[error(
        "{found} where {expected} is needed\nhint: log_probs takes for each state the id of the token that follows it"
    )]
    NextTokens {
        /// What was given.
        found: String,
        /// What is needed.
        expected: String,
    },

    /// States that are not as wide as the model.
    #[error(
        "`{what}` has states of {found} numbers, and the model's have {expected}\nhint: were they taken from another model, or at another hook point?"
    )]
    Width {
        /// Which argument.
        what: &'static str,
        /// The model's `dim`.
        expected: i64,
        /// The width that was given.
        found: i64,
    },

    /// A text that names no tokens.
    #[error(
        "`{text}` names no tokens\nhint: `last`, `first`, `mean`, `all`, or positions prompt by prompt: `at:0,3;5`"
    )]
    TokensName {
        /// The text as given.
        text: String,
    },

    /// Tokens that cannot be written to.
    #[error(
        "the activation at {point} cannot be replaced at these tokens ({tokens}): {reason}\nhint: {hint}"
    )]
    NotReplaceable {
        /// Where.
        point: HookPoint,
        /// Which tokens.
        tokens: Tokens,
        /// Why not.
        reason: &'static str,
        /// What to do.
        hint: &'static str,
    },

    /// A run cannot start from this residual stream.
    #[error("the run cannot start at layer {layer}: {reason}\nhint: {hint}")]
    Start {
        /// The layer as given.
        layer: usize,
        /// Why not.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// An edit that does not fit the model, the point or the batch.
    #[error("edit {edit} ({change}) at {point}: {reason}\nhint: {hint}")]
    Edit {
        /// Its position in the list, from 0.
        edit: usize,
        /// What it does, by its name in files.
        change: &'static str,
        /// Where.
        point: HookPoint,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// An edit without a single point.
    #[error(
        "edit {edit} ({change}) names no points\nhint: give names or globs, such as `blocks.3.hook_resid_post`"
    )]
    NoPoints {
        /// Its position in the list, from 0.
        edit: usize,
        /// What it does, by its name in files.
        change: &'static str,
    },

    /// A tensor of a type that edits do not take.
    #[error("an edit cannot use a tensor of kind {kind:?}\nhint: edits take f64, f32, f16 and bf16")]
    EditKind {
        /// The tensor's.
        kind: Kind,
    },

    /// A file of edits, or a tensor that one refers to, cannot be used.
    #[error("{path}: {reason}\nhint: {hint}", path = path.display())]
    EditFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// No hook point has this name.
    #[error("unknown hook point `{name}`{}\nhint: names are TransformerLens', for example `blocks.0.hook_resid_post`, `blocks.*.hook_attn_out`, `hook_embed`", did_you_mean(suggestion.as_deref(), note))]
    UnknownHookPoint {
        /// The name as given.
        name: String,
        /// The nearest name there is: ours for what another library calls so, or the one spelled most like it.
        suggestion: Option<String>,
        /// Where the other library's activation is not quite that one; otherwise empty.
        note: &'static str,
    },

    /// A hook name or pattern for a block the model does not have.
    #[error("`{pattern}` names a block this model does not have: it has {n_layers}, blocks 0 to {last}\nhint: `blocks.*.…` means all of them", last = n_layers.saturating_sub(1))]
    NoSuchBlock {
        /// The pattern as given.
        pattern: String,
        /// Blocks of the model.
        n_layers: usize,
    },

    /// Logits were wanted of tokens for which none were computed.
    #[error("the logits of these tokens were not computed\nhint: name them in Forward::logits")]
    NoLogits,

    /// Logits were wanted of a model without an unembedding.
    #[error(
        "the model has no unembedding (`lm_head.weight`), so there are no logits\nhint: its states are read as usual; for logits take the model as it was saved for generation (transformers' LlamaForCausalLM)"
    )]
    Headless,

    /// A configuration that no model can have.
    #[error("this is no model: {reason}\nhint: see Config's fields for what each number counts")]
    Config {
        /// The number at fault.
        reason: String,
    },

    /// Logits with no likeliest token among them.
    #[error(
        "the logits of prompt {prompt} are not finite\nhint: the model's weights are damaged, or a hook replaced an activation by NaN"
    )]
    NonFiniteLogits {
        /// Its position in the batch.
        prompt: usize,
    },

    /// A hook replaced an activation by a tensor of another shape.
    #[error(
        "the replacement at {point} has shape {found:?}, the activation {expected:?}\nhint: replace a tensor by one of the same shape; Activation::select gives copies of parts"
    )]
    Replacement {
        /// Where.
        point: HookPoint,
        /// The activation's shape.
        expected: Vec<i64>,
        /// The replacement's shape.
        found: Vec<i64>,
    },

    /// A hook failed with an error of its own.
    #[error("the hook at {point} failed: {source}")]
    Hook {
        /// Where.
        point: HookPoint,
        /// The hook's error.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A generation setting outside its range.
    #[error("{setting} is {value}\nhint: {hint}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The range.
        hint: &'static str,
    },

    /// A hook looked at a token that [`crate::Forward::reads`] left out.
    #[error(
        "{point} was not computed for a token that is looked at\nhint: name the token in `Forward::reads`, or leave that away"
    )]
    NotComputed {
        /// Where.
        point: HookPoint,
    },

    /// A model whose blocks are on disk was asked for something that needs them in memory.
    #[error("the model is streamed from disk, so {what}\nhint: load it with `Llama::load`")]
    Streamed {
        /// What is not possible.
        what: &'static str,
    },

    /// The thread that reads a streamed model's weights ended without a word.
    #[error(
        "the thread that reads weights died\nhint: run it again; if it happens again, report it with the checkpoint's name"
    )]
    WeightsThread,

    /// LibTorch refused an operation.
    #[error("LibTorch: {0}\nhint: if memory ran out, use smaller batches or a narrower type")]
    Torch(#[from] TchError),

    /// LibTorch itself is not usable.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
}

impl Error {
    /// Whether LibTorch found no memory for a tensor, on whatever device: with a smaller batch the same may work.
    pub fn is_out_of_memory(&self) -> bool {
        let Self::Torch(TchError::Torch(text)) = self else { return false };
        // CUDA's allocator; the CPU's; the CPU's in older releases.
        ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|said| text.contains(said))
    }
}

fn did_you_mean(suggestion: Option<&str>, note: &str) -> String {
    let Some(suggestion) = suggestion else { return String::new() };
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    format!("; did you mean `{suggestion}`?{note}")
}
