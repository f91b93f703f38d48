//! Libraries speak of settings; here their errors get the flags that set them.

use llama_ccs::{Error, activations, boolq, llama_core};

/// The hint of an error, with the flags that it means at the end.
pub(super) fn hint(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    Some(llama_ccs::hint(error)? + &meant(error)?)
}

fn meant(error: &(dyn std::error::Error + 'static)) -> Option<String> {
    let of_ours = || error.downcast_ref().and_then(of_ours);
    let of_data = || error.downcast_ref().and_then(of_data);
    let of_model = || error.downcast_ref().and_then(of_model);
    of_ours().or_else(of_data).or_else(of_model).or_else(|| error.downcast_ref().and_then(of_store))
}

fn of_ours(error: &Error) -> Option<String> {
    let flags = match error {
        Error::Store(error) => return of_store(error),
        Error::Boolq(error) => return of_data(error),
        Error::Llama(error) => return of_model(error),
        Error::NoPairs => ": --max-seq-len, --limit, --offset",
        Error::TooLittleMemory { .. } => ": --max-memory, --dtype, --batch-tokens",
        Error::OtherModel { .. } => "; to go on all the same: --any-model",
        Error::NoTemplate { .. } => ": --template NAME|FILE",
        _ => return None,
    };
    Some(flags.to_owned())
}

fn of_model(error: &llama_core::Error) -> Option<String> {
    use llama_core::Error::{NoEmbedding, NoTokenizer, Tokenizer, TooLong, Vocabulary};
    let flags = match error {
        NoTokenizer { .. } | Vocabulary { .. } | NoEmbedding { .. } => ": --tokenizer FILE",
        Tokenizer { hint, .. } if hint.contains("the model's own tokenizer") => ": --tokenizer FILE",
        TooLong { .. } => ": --max-seq-len",
        _ => return None,
    };
    Some(flags.to_owned())
}

fn of_store(error: &activations::Error) -> Option<String> {
    let flags = match error {
        activations::Error::NonFinite { .. } => ": --dtype f32",
        activations::Error::Overflow { .. } => ": --store-dtype f32",
        _ => return None,
    };
    Some(flags.to_owned())
}

fn of_data(error: &boolq::Error) -> Option<String> {
    Some(match error {
        boolq::Error::SeveralLabels { columns: [one, other], .. } => {
            format!(": --label {} or --label {}", quoted(one), quoted(other))
        }
        boolq::Error::LabelNotNamed { column, .. } => format!(": --label {}", quoted(column)),
        boolq::Error::MissingColumns { missing, .. }
            if missing.iter().any(|names| names.contains("label")) =>
        {
            ": --label COLUMN".to_owned()
        }
        boolq::Error::Classes { names, .. } => {
            let first = names.first().map_or_else(|| "CLASS".to_owned(), |name| quoted(name));
            format!(": --positive {first}, for example")
        }
        boolq::Error::Render { hint, .. } if hint.contains("is a single statement, not a pair") => {
            ": --single".to_owned()
        }
        boolq::Error::Unlabeled { .. } => ": --skip-unlabeled, or --positive CLASS".to_owned(),
        _ => return None,
    })
}

/// A name as a shell takes it.
fn quoted(name: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "_-.".contains(c);
    if !name.is_empty() && name.chars().all(plain) {
        name.to_owned()
    } else {
        format!("'{}'", name.replace('\'', "'\\''"))
    }
}
