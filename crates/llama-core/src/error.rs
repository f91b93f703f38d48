//! Everything that can go wrong between a checkpoint's path and a tensor.
//!
//! Long because all errors of the crate are one enum, each with its fields, so that a caller finds them in one place.

use std::path::PathBuf;

use tch::{Kind, TchError};

use crate::hooks::{HookPoint, Tokens};
use crate::model::Kernels;

/// What a fallible call of this crate returns.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a checkpoint, a tokenizer, a prompt, or a hook was refused; [`Error::hint`] says what to do about it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written; the message names it.
    #[error("{0}")]
    Io(#[from] std::io::Error),

    /// The path is not a checkpoint that this crate knows.
    #[error("{path} is not a model: {found}", path = path.display())]
    NotAModel {
        /// The path as given.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },

    /// The configuration (`params.json`, `config.json`, a GGUF file's metadata) does not describe a model this crate
    /// computes.
    #[error("{path}: {reason}", path = path.display())]
    ModelConfig {
        /// The configuration file.
        path: PathBuf,
        /// The key and what is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// A file of weights does not follow its format: it is truncated, damaged, or of another kind.
    #[error("{path}: {reason}", path = path.display())]
    WeightFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: String,
    },

    /// The pickle inside a `.pth` file is malformed, or needs an instruction that a list of tensors never needs.
    #[error("{path}: the pickle is refused at byte {offset}: {reason}", path = path.display())]
    Pickle {
        /// The `.pth` file.
        path: PathBuf,
        /// Where in `data.pkl`.
        offset: usize,
        /// Which instruction, and why not.
        reason: String,
    },

    /// A tensor that every LLaMA has is not in the checkpoint.
    #[error("{path}: tensor `{name}` is missing", path = path.display())]
    MissingTensor {
        /// The file it was looked for in.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
    },

    /// A tensor has another shape than the configuration implies.
    #[error("{path}: tensor `{name}` has shape {found:?}, and the configuration implies {expected:?}", path = path.display())]
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
    #[error("{path}: the weights are one of {expected} model-parallel shards, and {found} of them are here", path = path.display())]
    Shards {
        /// The checkpoint's folder.
        path: PathBuf,
        /// How many the tensors' shapes imply.
        expected: i64,
        /// How many files there are.
        found: i64,
    },

    /// A weight holds NaN or an infinity.
    #[error("{path}: tensor `{name}` holds values that are not finite", path = path.display())]
    NonFiniteWeight {
        /// The file.
        path: PathBuf,
        /// The tensor's name in the file.
        name: String,
    },

    /// A tokenizer file cannot be read.
    #[error("{path}: {reason}", path = path.display())]
    Tokenizer {
        /// The tokenizer's file.
        path: PathBuf,
        /// What the reader found.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// A tokenizer's engine failed on a text or on ids.
    #[error("the tokenizer failed: {reason}")]
    Tokenize {
        /// What the engine says.
        reason: String,
    },

    /// An id that the tokenizer has no token for.
    #[error("no token has id {id}; the tokenizer's ids end before {tokens}")]
    UnknownToken {
        /// The id.
        id: u32,
        /// One more than the tokenizer's highest id.
        tokens: usize,
    },

    /// No tokenizer was given and none is in or beside the checkpoint.
    #[error("no tokenizer.json or tokenizer.model in or beside {path}", path = path.display())]
    NoTokenizer {
        /// The checkpoint's folder.
        path: PathBuf,
    },

    /// A chat was asked for, and the tokenizer has no template for one.
    #[error("{path} has no chat template", path = path.display())]
    NoChatTemplate {
        /// The tokenizer's file.
        path: PathBuf,
    },

    /// A tokenizer has several chat templates, and none of that name.
    #[error("{}", unknown_chat_template(name.as_deref(), known))]
    UnknownChatTemplate {
        /// The name as given.
        name: Option<String>,
        /// The names there are.
        known: Vec<String>,
    },

    /// A chat template cannot be read or rendered.
    #[error("the chat template {template} fails: {reason}")]
    ChatTemplate {
        /// Where the template came from.
        template: String,
        /// What is wrong, with the line.
        reason: String,
    },

    /// A chat template refused the messages (`raise_exception`).
    #[error("the chat template {template} refuses the messages: {message}")]
    ChatRefused {
        /// Where the template came from.
        template: String,
        /// What the template says.
        message: String,
    },

    /// A date for a chat template that is none.
    #[error("{reason}")]
    ChatDate {
        /// What is wrong.
        reason: String,
    },

    /// The tokenizer belongs to another model.
    #[error("ordinary text has tokens up to id {last} with this tokenizer, and the model has {model} embeddings", last = tokenizer.saturating_sub(1))]
    Vocabulary {
        /// One more than the highest id that ordinary text can have.
        tokenizer: usize,
        /// Rows of the embedding.
        model: usize,
    },

    /// A token that the tokenizer has and the model has no embedding for.
    #[error("the token `{token}` has id {id}, and the model has {embeddings} embeddings")]
    NoEmbedding {
        /// The token, as people read it.
        token: String,
        /// Its id.
        id: u32,
        /// Rows of the embedding.
        embeddings: usize,
    },

    /// A prompt longer than a model's rotary embedding is computed for.
    #[error("prompt {prompt} has {tokens} tokens, and this model's rotary embedding is computed for {most}")]
    TooLong {
        /// Its position in the batch.
        prompt: usize,
        /// How many tokens it has.
        tokens: usize,
        /// The most that it may have.
        most: usize,
    },

    /// A hook point that models of this kind do not have.
    #[error("{point}: {reason}")]
    NoSuchPoint {
        /// The point.
        point: HookPoint,
        /// Why there is none.
        reason: &'static str,
    },

    /// A weight that models of this kind do not have.
    #[error("this model has no weight {weight}")]
    NoSuchWeight {
        /// The weight.
        weight: String,
    },

    /// A prompt without tokens.
    #[error("prompt {prompt} has no tokens")]
    EmptyPrompt {
        /// Its position in the batch.
        prompt: usize,
    },

    /// A token id that the model has no embedding for.
    #[error("prompt {prompt}, token {position}: id {id} is outside the model's vocabulary of {vocab}")]
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
    #[error("prompt {prompt} has {tokens} tokens, and token {position} was asked for")]
    Position {
        /// Its position in the batch.
        prompt: usize,
        /// How many tokens it has.
        tokens: usize,
        /// The position asked for.
        position: usize,
    },

    /// A selection names positions for another number of prompts than the batch holds.
    #[error("positions for {found} prompts were given, and the batch holds {expected}")]
    Selection {
        /// Prompts in the batch.
        expected: usize,
        /// Lists given.
        found: usize,
    },

    /// Next tokens for another number of states than were given, or one outside the vocabulary.
    #[error("{found} where {expected} is needed")]
    NextTokens {
        /// What was given.
        found: String,
        /// What is needed.
        expected: String,
    },

    /// A continuation that cannot be scored.
    #[error("the continuation {text:?} cannot be scored: {reason}")]
    NoContinuation {
        /// Its text, or its ids.
        text: String,
        /// Why not.
        reason: &'static str,
    },

    /// States that are not as wide as the model.
    #[error("`{what}` has states of {found} numbers, and the model's have {expected}")]
    Width {
        /// Which argument.
        what: &'static str,
        /// The model's `dim`.
        expected: i64,
        /// The width that was given.
        found: i64,
    },

    /// A text that names no tokens.
    #[error("`{text}` names no tokens")]
    TokensName {
        /// The text as given.
        text: String,
    },

    /// Tokens that cannot be written to.
    #[error("the activation at {point} cannot be replaced at these tokens ({tokens}): {reason}")]
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
    #[error("the run cannot start at layer {layer}: {reason}")]
    Start {
        /// The layer as given.
        layer: usize,
        /// Why not.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// An edit that does not fit the model, the point or the batch.
    #[error("edit {edit} ({change}) at {point}: {reason}")]
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
    #[error("edit {edit} ({change}) names no points")]
    NoPoints {
        /// Its position in the list, from 0.
        edit: usize,
        /// What it does, by its name in files.
        change: &'static str,
    },

    /// A tensor of a type that edits do not take.
    #[error("an edit cannot use a tensor of kind {kind:?}")]
    EditKind {
        /// The tensor's.
        kind: Kind,
    },

    /// A file of edits, or a tensor that one refers to, cannot be used.
    #[error("{path}: {reason}", path = path.display())]
    EditFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },

    /// No hook point has this name.
    #[error("unknown hook point `{name}`{}", did_you_mean(suggestion.as_deref(), note))]
    UnknownHookPoint {
        /// The name as given.
        name: String,
        /// The nearest name there is: ours for what another library calls so, or the one spelled most like it.
        suggestion: Option<String>,
        /// Where the other library's activation is not quite that one; otherwise empty.
        note: &'static str,
    },

    /// A hook name or pattern for a block the model does not have.
    #[error("`{pattern}` names a block this model does not have: it has {n_layers}, blocks 0 to {last}", last = n_layers.saturating_sub(1))]
    NoSuchBlock {
        /// The pattern as given.
        pattern: String,
        /// Blocks of the model.
        n_layers: usize,
    },

    /// Logits were wanted for tokens for which none were computed.
    #[error("the logits of these tokens were not computed")]
    NoLogits,

    /// Logits were wanted from a model without an unembedding.
    #[error("the model has no unembedding (`lm_head.weight`), so there are no logits")]
    Headless,

    /// A configuration that no model can have.
    #[error("this is no model: {reason}")]
    Config {
        /// The number at fault.
        reason: String,
    },

    /// Logits with no likeliest token among them.
    #[error("the logits of prompt {prompt} are not finite")]
    NonFiniteLogits {
        /// Its position in the batch.
        prompt: usize,
    },

    /// A hook replaced an activation by a tensor of another shape.
    #[error("the replacement at {point} has shape {found:?}, the activation {expected:?}")]
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
    #[error("{setting} is {value}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// Its value.
        value: f64,
        /// The range.
        hint: &'static str,
    },

    /// A cache of keys and values that does not fit the pass.
    #[error("the cache of keys and values: {reason}")]
    Cache {
        /// What does not fit.
        reason: String,
    },

    /// A hook looked at a token that [`crate::Forward::reads`] left out.
    #[error("{point} was not computed for a token that is looked at")]
    NotComputed {
        /// Where.
        point: HookPoint,
    },

    /// A model whose blocks are on disk was asked for something that needs them in memory.
    #[error("the model is streamed from disk, so {what}")]
    Streamed {
        /// What is not possible.
        what: &'static str,
    },

    /// Some blocks of a model ([`Llama::stage`](crate::Llama::stage)) were asked for something that they cannot do, or were
    /// given what does not fit them.
    #[error("of a stage of the model: {reason}")]
    Stage {
        /// What does not fit.
        reason: String,
    },

    /// A model that cannot be divided among ranks ([`Llama::sharded`](crate::Llama::sharded)), or a rank's part of one that was
    /// asked for something that it cannot do.
    #[error("tensor parallel: {reason}")]
    Shard {
        /// What does not go.
        reason: String,
    },

    /// Ranks that hold a model together could not exchange something.
    #[error("rank {rank} and the others: {source}")]
    Together {
        /// This rank.
        rank: usize,
        /// What their [`Together`](crate::Together) says.
        source: Box<dyn std::error::Error + Send + Sync>,
    },

    /// A model with packed weights was asked for something that needs them plain.
    #[error("the model's weights are packed for its kernels, so {what}")]
    Packed {
        /// What is not possible.
        what: &'static str,
    },

    /// Kernels that a model cannot be computed by.
    #[error("the kernels {kernels} cannot compute this model: {reason}")]
    Kernels {
        /// The kernels asked for.
        kernels: Kernels,
        /// Why not.
        reason: &'static str,
    },

    /// The thread that reads a streamed model's weights ended without reporting an error.
    #[error("the thread that reads weights died")]
    WeightsThread,

    /// LibTorch refused an operation.
    #[error("LibTorch: {0}")]
    Torch(#[from] TchError),

    /// LibTorch itself is not usable.
    #[error(transparent)]
    Runtime(#[from] torch_runtime::Error),
}

impl Error {
    /// Whether LibTorch ran out of memory for a tensor, on any device; a smaller batch may work.
    pub fn is_out_of_memory(&self) -> bool {
        let Self::Torch(TchError::Torch(text)) = self else { return false };
        // CUDA's allocator; the CPU's; the CPU's in older releases.
        ["out of memory", "can't allocate memory", "not enough memory"].iter().any(|said| text.contains(said))
    }
}

fn unknown_chat_template(name: Option<&str>, known: &[String]) -> String {
    let known = known.join(", ");
    match name {
        Some(name) => format!("there is no chat template `{name}`: there are {known}"),
        None => format!("there are several chat templates, and none is called default: {known}"),
    }
}

fn did_you_mean(suggestion: Option<&str>, note: &str) -> String {
    let Some(suggestion) = suggestion else { return String::new() };
    let note = if note.is_empty() { String::new() } else { format!(" ({note})") };
    format!("; did you mean `{suggestion}`?{note}")
}
