//! What to do about each error.

use crate::error::Error;

impl Error {
    /// What to do about the error; `None` if a caller's hook failed ([`Error::Hook`]).
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Hook { .. } => None,
            Self::Runtime(error) => error.hint(),
            Self::Io(error) => Some(host::hint::hint(error).to_owned()),
            Self::ModelConfig { hint, .. } | Self::WeightFile { hint, .. } => Some(hint.clone()),
            Self::Tokenizer { hint, .. }
            | Self::NotReplaceable { hint, .. }
            | Self::Start { hint, .. }
            | Self::Edit { hint, .. }
            | Self::EditFile { hint, .. }
            | Self::Setting { hint, .. } => Some((*hint).to_owned()),
            other => {
                other.of_files().or_else(|| other.of_tokens()).or_else(|| other.of_run()).map(str::to_owned)
            }
        }
    }

    /// Where a checkpoint's or a tokenizer's files are at fault.
    fn of_files(&self) -> Option<&'static str> {
        Some(match self {
            Self::NotAModel { .. } => {
                "give a folder with `params.json` and `consolidated.00.pth` (Meta's layout) or with `config.json` and \
                 `model.safetensors` or `pytorch_model.bin` (Hugging Face's), or a .gguf file"
            }
            Self::Pickle { .. } => {
                "only plain tensors in dicts and lists are read; nothing in a checkpoint is ever executed. Re-save it \
                 with torch.save(model.state_dict(), …)"
            }
            Self::MissingTensor { .. } => "the file may belong to another model or be one shard of several",
            Self::TensorShape { .. } => {
                "configuration and weights belong to different models, or a part is missing"
            }
            Self::Shards { .. } => "copy every consolidated.NN.pth of the model into this folder",
            Self::NonFiniteWeight { .. } => {
                "the file is damaged, or was saved from a model that had diverged"
            }
            Self::NoTokenizer { .. } => "give the model's tokenizer file",
            Self::Config { .. } => "see Config's fields for what each number counts",
            Self::WeightsThread => "run it again; if it happens again, report it with the checkpoint's name",
            _ => return None,
        })
    }

    /// Where texts, tokens, and model do not fit each other.
    fn of_tokens(&self) -> Option<&'static str> {
        Some(match self {
            Self::NoChatTemplate { .. } => {
                "a model that was trained on chats has its template in chat_template.jinja or tokenizer_config.json, or in \
                 its GGUF file; a base model has none, and wants prompts without one"
            }
            Self::UnknownChatTemplate { .. } => "name one of them",
            Self::ChatTemplate { .. } => {
                "it is rendered as transformers renders it; is the file the model's own, and whole?"
            }
            Self::ChatRefused { .. } => {
                "these are the template's own words: some allow no system message, or want the user to speak first"
            }
            Self::ChatDate { .. } => "write the date as year-month-day",
            Self::Tokenize { .. } => "is this the model's own tokenizer?",
            Self::UnknownToken { .. } => "the ids were made with another tokenizer",
            Self::Vocabulary { .. } => "give the tokenizer that came with these weights",
            Self::NoEmbedding { .. } => {
                "it is a special token that was added to the tokenizer and not to the model; leave it out of the text, \
                 or give the tokenizer that came with these weights"
            }
            Self::TooLong { .. } => {
                "a longer prompt would turn its tokens by other angles, so that prompts could not share them; shorten or \
                 drop the prompt"
            }
            Self::NoSuchPoint { .. } => {
                "choose points that the model has: the sub-layers' inputs and outputs are there"
            }
            Self::NoSuchWeight { .. } => "the model's configuration says which options it has",
            Self::EmptyPrompt { .. } => "every prompt needs at least one; the tokenizer's BOS counts",
            Self::TokenOutOfRange { .. } => "the prompts were tokenized for another model",
            Self::Position { .. } => "positions count a prompt's real tokens from 0, padding excluded",
            Self::Selection { .. } => "Tokens::At takes one list per prompt, in the batch's order",
            Self::NextTokens { .. } => "log_probs takes for each state the id of the token that follows it",
            Self::NoContinuation { .. } => "a context and a continuation need at least one token each",
            Self::TokensName { .. } => {
                "`last`, `first`, `mean`, `all`, or positions prompt by prompt: `at:0,3;5`"
            }
            _ => return None,
        })
    }

    /// Where a run or its hooks were asked for what cannot be.
    fn of_run(&self) -> Option<&'static str> {
        Some(match self {
            Self::Width { .. } => "were they taken from another model, or at another hook point?",
            Self::NoPoints { .. } => "give names or globs, such as `blocks.3.hook_resid_post`",
            Self::EditKind { .. } => "edits take f64, f32, f16, and bf16",
            Self::UnknownHookPoint { .. } => {
                "names are TransformerLens', for example `blocks.0.hook_resid_post`, `blocks.*.hook_attn_out`, \
                 `hook_embed`"
            }
            Self::NoSuchBlock { .. } => "`blocks.*.…` means all of them",
            Self::NoLogits => "name them in Forward::logits",
            Self::Headless => {
                "its states are read as usual; for logits take the model as it was saved for generation (transformers' \
                 LlamaForCausalLM)"
            }
            Self::NonFiniteLogits { .. } => {
                "the model's weights are damaged, or a hook replaced an activation by NaN"
            }
            Self::Replacement { .. } => {
                "replace a tensor by one of the same shape; Activation::select gives copies of parts"
            }
            Self::NotComputed { .. } => "name the token in `Forward::reads`, or leave that away",
            Self::Cache { .. } => {
                "run the batch that `KvCache::begin` or `KvCache::next` gave last, once, with logits, in the model that it was \
                 made for; for more tokens begin with more room"
            }
            Self::Streamed { .. } => "load it with `Llama::load`",
            Self::Stage { .. } => "`Llama::load` has all blocks",
            Self::Shard { .. } => {
                "take fewer ranks, at most as many as the model has heads; one process with `Llama::load` can do everything"
            }
            Self::Together { .. } => "a rank has ended or cannot be reached; its own message says why",
            Self::Packed { .. } => "use a model without `Llama::with_kernels`",
            Self::Kernels { .. } => "`products=plain` computes every model",
            Self::Torch(_) => "if memory ran out, use smaller batches or a narrower type",
            _ => return None,
        })
    }
}
