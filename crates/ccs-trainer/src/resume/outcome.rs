//! A layer's outcome as files: a probe each, and `outcome.json` with all else and the hashes of the probes.

use ccs::baselines::Predictions;
use ccs::probe::Probe;
use ccs_report::{Comparison, LayerReport, Method};
use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::engine::outcome::LayerOutcome;
use crate::resume::sealed;
use crate::{Result, files};

/// What `outcome.json` says; probes are files beside it.
#[derive(Serialize)]
struct Written<'a> {
    report: &'a LayerReport,
    /// With the hash of each one's file.
    probes: Vec<(Method, String)>,
    predictions: &'a IndexMap<Method, Predictions>,
    beyond_random: &'a IndexMap<Method, Comparison>,
}

/// The same as it is read.
#[derive(Deserialize)]
struct Read {
    report: LayerReport,
    probes: Vec<(Method, String)>,
    predictions: IndexMap<Method, Predictions>,
    beyond_random: IndexMap<Method, Comparison>,
}

const OUTCOME: &str = "outcome.json";

/// The files by their names.
pub(crate) fn to_files(outcome: &LayerOutcome) -> Result<Vec<(String, Vec<u8>)>> {
    let LayerOutcome { report, probes, predictions, beyond_random } = outcome;
    let (mut files, mut written) = (Vec::new(), Vec::new());
    for (method, probe) in probes {
        let bytes = probe.to_bytes()?;
        written.push((*method, files::hash(&bytes)));
        files.push((probe_file(*method), bytes));
    }
    // No `json!`: its objects are sorted, and a report's methods have an order of their own.
    let about = Written { report, probes: written, predictions, beyond_random };
    files.push((OUTCOME.to_owned(), sealed::to_bytes(&about)?));
    Ok(files)
}

/// The outcome, from what `read` gives for a file's name; the name of the file at fault where one is not as it was written.
pub(crate) fn from_files(
    read: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> std::result::Result<LayerOutcome, String> {
    let about = read(OUTCOME).and_then(|bytes| sealed::parse(&bytes).ok());
    let Some(Read { report, probes, predictions, beyond_random }) = about else {
        return Err(OUTCOME.to_owned());
    };
    let load = |(method, hash): (Method, String)| {
        let name = probe_file(method);
        let bytes = read(&name).filter(|bytes| files::hash(bytes) == hash);
        let probe = bytes.and_then(|bytes| Probe::parse(&bytes).ok());
        probe.map(|probe| (method, probe)).ok_or(name)
    };
    let probes = probes.into_iter().map(load).collect::<std::result::Result<_, _>>()?;
    Ok(LayerOutcome { report, probes, predictions, beyond_random })
}

fn probe_file(method: Method) -> String {
    format!("{method}.safetensors")
}
