//! For programs: what a person gives on a command line, with a bar on the terminal while it is downloaded.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use host::program::{self, Bar};

use crate::error::{Error, Result};
use crate::model::Hub;
use crate::observer::Observer;
use crate::path::{self, Place};
use crate::settings::Settings;

/// A model that is given as a path or as a name ([`Hub::model_at`]), by the environment's settings.
///
/// # Errors
/// As [`Hub::model`].
pub fn model(given: &Path) -> Result<PathBuf> {
    match path::of_model(given)? {
        Place::Here(path) => Ok(path),
        Place::Name(_) => shown(|hub, observer| hub.model_at(given, observer)),
    }
}

/// As [`model`], with the model's tokenizer alone ([`Hub::tokenizer_at`]).
///
/// # Errors
/// As [`Hub::model`].
pub fn tokenizer(given: &Path) -> Result<PathBuf> {
    match path::of_model(given)? {
        Place::Here(path) => Ok(path),
        Place::Name(_) => shown(|hub, observer| hub.tokenizer_at(given, observer)),
    }
}

/// The one file of data that are given as a path or as a name ([`Hub::data_at`]).
///
/// # Errors
/// As [`Hub::data`]; a split of several files.
pub fn data(given: &Path) -> Result<PathBuf> {
    if let Place::Here(path) = path::of_data(given) {
        return Ok(path);
    }
    let mut parts = shown(|hub, observer| hub.data_at(given, observer))?;
    if parts.len() > 1 {
        let what = format!("`{}` has {} files, and one is read", given.display(), parts.len());
        return Err(Error::Choose {
            what,
            names: parts.iter().map(|path| path.display().to_string()).collect(),
        });
    }
    Ok(parts.remove(0))
}

/// Looks with the environment's settings, which paths do without.
fn shown<T>(look: impl FnOnce(&Hub, &mut dyn Observer) -> Result<T>) -> Result<T> {
    let mut shown = Shown::default();
    let found = look(&Hub::new(Settings::from_env()?), &mut shown);
    if let Some((bar, _)) = shown.bar {
        bar.clear();
    }
    found
}

/// A bar, once there is something to download, and the bytes that it ends at.
#[derive(Debug, Default)]
struct Shown {
    bar: Option<(Bar, u64)>,
}

impl Observer for Shown {
    fn bytes(&mut self, done: u64, total: u64) -> ControlFlow<()> {
        let style = "{bar:32} {bytes}/{total_bytes} downloaded  {bytes_per_sec}  {eta} left";
        let (bar, end) = self.bar.get_or_insert_with(|| (Bar::new(total as usize, style), total));
        bar.more(total.saturating_sub(*end) as usize);
        *end = total;
        bar.set(done as usize);
        ControlFlow::Continue(())
    }

    fn notice(&mut self, text: &str) {
        match &self.bar {
            Some((bar, _)) => bar.note(text),
            None => program::note(text),
        }
    }
}
