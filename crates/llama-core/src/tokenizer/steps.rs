//! The steps before merging, run one by one so that none fails in silence: what changes the text, what cuts it.
//!
//! The `tokenizers` crate ends a cut where a regular expression runs into its backtracking limit, ignores a
//! normalizer's error, and lets `Replace` grow a text without end. Here the first two are errors and the third has a
//! bound.

use std::sync::OnceLock;

use fancy_regex::Regex;
use tokenizers::normalizer::Range;
use tokenizers::pattern::{Invert, Pattern};
use tokenizers::{
    NormalizedString, Normalizer, NormalizerWrapper, Offsets, PreTokenizedString, PreTokenizer,
    PreTokenizerWrapper, SplitDelimiterBehavior,
};

type StepResult<T> = std::result::Result<T, tokenizers::Error>;

/// A normalizer may make this many bytes of one (NFKC's largest growth is 11), and [`ROOM`] more.
const GROWTH: usize = 32;
const ROOM: usize = 4096;

/// What is looked for in a text.
#[derive(Debug)]
pub(super) enum Find {
    /// This text. Never empty.
    Text(String),
    /// What a regular expression matches.
    Regex(Regex),
}

impl Find {
    pub(super) fn regex(pattern: &str) -> Result<Self, String> {
        Regex::new(pattern)
            .map(Self::Regex)
            .map_err(|e| format!("the regular expression {}: {e}", short(pattern)))
    }
}

/// All of a text, in order: its matches and what lies between.
impl Pattern for &Find {
    fn find_matches(&self, inside: &str) -> StepResult<Vec<(Offsets, bool)>> {
        if inside.is_empty() {
            return Ok(vec![((0, 0), false)]);
        }
        let (mut parts, mut last) = (Vec::new(), 0);
        let mut found = |start: usize, end: usize| {
            if last != start {
                parts.push(((last, start), false));
            }
            parts.push(((start, end), true));
            last = end;
            end
        };
        match self {
            Find::Text(text) => {
                for (at, text) in inside.match_indices(text) {
                    found(at, at + text.len());
                }
            }
            Find::Regex(regex) => {
                let mut after = 0;
                for one in regex.find_iter(inside) {
                    let one = one.map_err(|_| GaveUp { after, pattern: short(regex.as_str()) })?;
                    after = found(one.start(), one.end());
                }
            }
        }
        if last != inside.len() {
            parts.push(((last, inside.len()), false));
        }
        Ok(parts)
    }
}

/// A regular expression that ran into its backtracking limit, after so many bytes of what it was given.
#[derive(Debug, thiserror::Error)]
#[error("the regular expression {pattern} backtracks without end")]
struct GaveUp {
    after: usize,
    pattern: String,
}

/// Matches found before.
struct Known(Vec<(Offsets, bool)>);

impl Pattern for Known {
    fn find_matches(&self, _: &str) -> StepResult<Vec<(Offsets, bool)>> {
        Ok(self.0.clone())
    }
}

/// What changes the text.
#[derive(Debug)]
pub(super) enum Change {
    Replace {
        find: Find,
        by: String,
    },
    /// Before a text that is not empty.
    Prepend(String),
    Other(NormalizerWrapper),
}

impl Change {
    fn apply(&self, text: &mut NormalizedString, most: usize) -> StepResult<()> {
        match self {
            Self::Replace { find, by } => {
                let parts = find.find_matches(text.get())?;
                let count = parts.iter().filter(|(_, found)| *found).count();
                check_growth(text.get().len().saturating_add(count.saturating_mul(by.len())), most)?;
                text.replace(Known(parts), by)
            }
            Self::Prepend(before) => {
                check_growth(text.get().len().saturating_add(before.len()), most)?;
                if !text.is_empty() {
                    text.prepend(before);
                }
                Ok(())
            }
            Self::Other(step) => {
                step.normalize(text)?;
                check_growth(text.get().len(), most)
            }
        }
    }
}

fn check_growth(bytes: usize, most: usize) -> StepResult<()> {
    if bytes <= most {
        return Ok(());
    }
    Err(format!("its normalizer makes {bytes} bytes of a piece of the text, and at most {most} are allowed")
        .into())
}

/// The changes in their order. The `tokenizers` crate asks for a normalizer and forgets its error: it is kept here.
pub(super) struct Changes<'a> {
    steps: &'a [Change],
    failure: OnceLock<String>,
}

impl<'a> Changes<'a> {
    pub(super) fn new(steps: &'a [Change]) -> Self {
        Self { steps, failure: OnceLock::new() }
    }

    /// The first error since the beginning.
    pub(super) fn result(self) -> Result<(), String> {
        self.failure.into_inner().map_or(Ok(()), Err)
    }
}

impl Normalizer for Changes<'_> {
    fn normalize(&self, text: &mut NormalizedString) -> StepResult<()> {
        let most = text.get().len().saturating_mul(GROWTH).saturating_add(ROOM);
        for step in self.steps {
            if let Err(error) = step.apply(text, most) {
                let offset = text.offsets_original().0;
                let _ = self.failure.set(located(offset, error.as_ref())); // the first one counts
                return Err(error);
            }
        }
        Ok(())
    }
}

fn located(start: usize, error: &(dyn std::error::Error + 'static)) -> String {
    let after = error.downcast_ref::<GaveUp>().map_or(0, |gave_up| gave_up.after);
    format!("{error} (at byte {} of the text)", start + after)
}

/// What cuts the text into words.
#[derive(Debug)]
pub(super) enum Cut {
    Split {
        find: Find,
        behavior: SplitDelimiterBehavior,
        invert: bool,
    },
    /// A space before every piece that begins with none.
    Space,
    Other(PreTokenizerWrapper),
}

impl Cut {
    pub(super) fn apply(&self, text: &mut PreTokenizedString) -> Result<(), String> {
        let mut offset = 0;
        let cut = match self {
            Self::Split { find, behavior, invert } => text.split(|_, piece| {
                offset = piece.offsets_original().0;
                let parts = if *invert {
                    Invert(find).find_matches(piece.get())
                } else {
                    find.find_matches(piece.get())
                };
                let parts = parts.inspect_err(|error| {
                    let after = error.downcast_ref::<GaveUp>().map_or(0, |gave_up| gave_up.after);
                    let range = piece.convert_offsets(Range::Normalized(0..after));
                    offset += range.map_or(after, |range| range.end);
                })?;
                if *behavior == SplitDelimiterBehavior::Removed {
                    check_removed(&piece, &parts, &mut offset)?;
                }
                piece.split(Known(parts), *behavior)
            }),
            Self::Space => text.split(|_, mut piece| {
                if !piece.get().starts_with(' ') {
                    piece.prepend(" ");
                }
                Ok([piece])
            }),
            Self::Other(step) => step.pre_tokenize(text),
        };
        cut.map_err(|error| format!("{error} (at byte {offset} of the text)"))
    }
}

/// What a cut takes out of the text is space, or the text would not be the one that was asked for.
fn check_removed(piece: &NormalizedString, parts: &[(Offsets, bool)], offset: &mut usize) -> StepResult<()> {
    for ((start, end), removed) in parts {
        let lost = &piece.get()[*start..*end];
        if *removed && lost.contains(|c: char| !c.is_whitespace() && c != '▁') {
            let range = piece.convert_offsets(Range::Normalized(0..*start));
            *offset += range.map_or(*start, |range| range.end);
            return Err(format!("its pre_tokenizer leaves out {}", short(lost)).into());
        }
    }
    Ok(())
}

/// A text in quotes, its beginning if it is long.
pub(super) fn short(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return format!("{text:?}");
    }
    let beginning: String = text.chars().take(MOST).collect();
    format!("{beginning:?}…")
}
