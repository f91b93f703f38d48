//! What to do about each error.

use crate::error::Error;

const COLUMNS: &str = "`llama-ccs store info` lists the columns";

impl Error {
    /// What to do about the error, as the end of a sentence. Every error of this crate has a hint.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io(error) => Some(host::hint::hint(error).to_owned()),
            Self::TooManyFiles { files, .. } => {
                Some(format!("raise the limit (`ulimit -n {}`) or store fewer hook points", files + 64))
            }
            other => other.of_damage().or_else(|| other.of_use()).map(str::to_owned),
        }
    }

    /// Where a file of the store is not as it was written.
    fn of_damage(&self) -> Option<&'static str> {
        Some(match self {
            Self::Manifest { .. } => {
                "FORMAT.md lists what a manifest may contain; if this file was edited, restore it or extract again"
            }
            Self::NotAFile { .. } => {
                "move it away and put the file back; what `extract` can compute again, it makes anew"
            }
            Self::TooLarge { .. } => {
                "it is not the file that was written; restore it from a copy, or extract again"
            }
            Self::Damaged { .. } => {
                "the disk or another program changed them; run the same `extract` command again: it finds what is \
                 damaged and computes it anew. `llama-ccs store verify` lists all of it"
            }
            Self::OtherBytes { .. } => {
                "another machine, number of threads, or version rounds differently, and a store must not mix the two; \
                 run `extract` where the store was made, restore the file from a copy, or extract anew into another \
                 folder. Nothing was written"
            }
            Self::Rows { .. } => {
                "run the same `extract` command again, which writes the file anew if it comes out the same; else \
                 restore it from a copy"
            }
            Self::TokenFile { .. } => {
                "run the same `extract` command again, which writes the file anew, or restore it from a copy"
            }
            Self::Journal { .. } => {
                "the disk or another program changed the file; run the same `extract` command again, which restores \
                 what the values prove and computes the rest anew, or restore the file from a copy"
            }
            Self::Header { .. } => {
                "the file was damaged, or another one put in its place: run the same `extract` command again, which \
                 repairs it; if that says the same, move the file away first, and it is made anew"
            }
            Self::Length { .. } => {
                "the file was cut off or replaced; run the same `extract` command again, which repairs it, or restore \
                 it from a copy"
            }
            Self::Missing { .. } => {
                "run the same `extract` command again, which makes arrays and rows anew, or restore the file from a \
                 copy"
            }
            Self::BothNames { .. } => {
                "a store has one of them; move away the one that was copied or made by hand, `llama-ccs store verify` \
                 checks the other"
            }
            _ => return None,
        })
    }

    /// Where the store is sound, and what was asked for or given does not fit it.
    fn of_use(&self) -> Option<&'static str> {
        Some(match self {
            Self::DiskFull { .. } => {
                "free some space, choose another folder, or keep fewer hook points or rows; what was made so far of a \
                 new store has been removed"
            }
            Self::NotAStore { .. } => "`llama-ccs extract` makes a store; give its folder",
            Self::ForeignFiles { .. } => "choose a new or empty folder; nothing has been changed",
            Self::Locked { .. } => "wait until it ends or stop it; readers need not wait",
            Self::Different { .. } => {
                "use the stored settings to continue it, or another folder for these; nothing has been changed"
            }
            Self::Incomplete { .. } => "run the same extract command again, it continues where it stopped",
            Self::Schema { .. } => "make the store again in another folder, with the command that made it",
            Self::Memory { .. } => "read fewer rows at a time, or on a machine with more memory",
            Self::RowText { .. } => {
                "shorten the prompts, or extract fewer pairs into one store; nothing has been written"
            }
            Self::PromptTokens { .. } => {
                "give the number of its tokens, and of a pair the first token of the answer and the one after its last; \
                 nothing has been written"
            }
            Self::RowKind { .. } | Self::BatchKind { .. } => {
                "all rows of a store are pairs, or all are statements; `Manifest::of` says which"
            }
            Self::NoSide { .. } => "pairs have plus and minus, statements have the side `statement`",
            Self::TokenIds { .. } => {
                "give the ids of every prompt of the rows, and the manifest that `with_tokens` makes of them"
            }
            Self::Ragged { .. } => {
                "read it with `Store::token_column`, or name a token rule of one state for each row, such as last"
            }
            Self::NotRagged { .. } => "read it with `Store::column`; columns of all tokens end in @all",
            Self::RowCount { .. } => "give one row for every row of the manifest's plan, in order",
            Self::Parts { .. } => "give the store of every part, made by the same command but for its number",
            Self::BatchOrder { .. } => "commit the batches in the order of `remaining()`",
            Self::BatchColumns { .. } => "give every column of the manifest, in its order",
            Self::BatchLength { .. } => "the plan in the manifest says which rows the batch has",
            Self::NonFinite { .. } => {
                "a non-finite state usually means an overflow in half precision: look at this prompt, or compute in f32"
            }
            Self::Overflow { .. } => "keep the states in f32",
            Self::Unfinished { .. } => {
                "commit every batch of `remaining()` before `finish`; the store can be continued"
            }
            Self::Stopped => {
                "fix that error and open the store again, it continues at the last durable batch"
            }
            Self::UnknownLayer { .. } | Self::UnknownColumn { .. } => COLUMNS,
            Self::RowRange { .. } => "rows count from 0; the end is exclusive",
            Self::Export { .. } => {
                "the layout needs hook_embed and every blocks.*.hook_resid_post of one width, and a different idx for \
                 every row; give a folder that does not exist"
            }
            _ => return None,
        })
    }
}
