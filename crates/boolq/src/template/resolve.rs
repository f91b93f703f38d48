//! What `--template` means: a built-in name, a Jinja file, a promptsource file, or one template of the latter.

use super::{Template, jinja, promptsource};
use crate::dataset::stem;
use crate::error::{Error, Result};
use crate::suggest::nearest;
use std::collections::BTreeSet;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// llama-ccs' one template, which it hard-codes.
const LLAMA_CCS: &str = "{{ passage }}\n\nAfter reading this passage, I have a question: {{ question }}?\n\n\
                         True or False: {{ answer }}";
const STATEMENT: &str = "{{ statement }} Is this statement true or false? {{ answer }}";
const BUILT_IN: [(&str, &str); 2] = [("llama-ccs", LLAMA_CCS), ("statement", STATEMENT)];

/// The largest template file read, in bytes: forty times the largest of promptsource's.
const LARGEST: u64 = 4 << 20;

impl Template {
    /// The names of the built-in templates; the first is the default.
    pub fn built_in() -> Vec<&'static str> {
        BUILT_IN.iter().map(|(name, _)| *name).collect()
    }

    /// A built-in template.
    ///
    /// # Errors
    /// An unknown name, with the nearest known one.
    pub fn named(name: &str) -> Result<Self> {
        match BUILT_IN.iter().find(|(known, _)| *known == name) {
            Some((_, source)) => Self::from_source(name, source),
            None => Err(Error::UnknownTemplate {
                name: name.to_owned(),
                suggestion: nearest(name, Self::built_in()).map(str::to_owned),
                known: Self::built_in().into_iter().map(str::to_owned).collect(),
            }),
        }
    }

    /// The templates of a file: all of a promptsource file (`.yaml`, `.yml`), in its order; else the one Jinja
    /// template that the file is, called like the file without its extension.
    ///
    /// # Errors
    /// Files over 4 MiB or not UTF-8, what is no YAML, and templates that make no contrast pair.
    pub fn in_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        Ok(read(path.as_ref())?.into_iter().map(|(_, template)| template).collect())
    }

    /// What one `--template` means: a built-in name; a Jinja file; or a promptsource file, as `FILE.yaml` with all
    /// of its templates or as `FILE.yaml:NAME` with one (its id, and `...` for `…`, will do).
    ///
    /// # Errors
    /// Text that is none of these; with a `/` or a `.` in it, it is taken for a file. As [`in_file`](Self::in_file).
    pub fn resolve(spec: &str) -> Result<Vec<Self>> {
        if BUILT_IN.iter().any(|(known, _)| *known == spec) {
            return Ok(vec![Self::named(spec)?]);
        }
        match file_and_name(spec) {
            Some((file, None)) => Self::in_file(file),
            Some((file, Some(name))) => Ok(vec![promptsource::chosen(&file, read(&file)?, name)?]),
            None => Ok(vec![Self::named(spec)?]),
        }
    }

    /// All templates that several `--template` mean, in their order.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); two templates of one name, which the rows of a prompts file could not tell
    /// apart.
    pub fn resolve_all<S: AsRef<str>>(specs: &[S]) -> Result<Vec<Self>> {
        let mut templates = Vec::new();
        for spec in specs {
            templates.extend(Self::resolve(spec.as_ref())?);
        }
        refuse_namesakes(&templates)?;
        Ok(templates)
    }
}

/// Fails if two templates have one name.
pub(crate) fn refuse_namesakes(templates: &[Template]) -> Result<()> {
    let mut names = BTreeSet::new();
    match templates.iter().find(|template| !names.insert(template.name())) {
        None => Ok(()),
        Some(second) => Err(Error::Template {
            template: second.name().to_owned(),
            reason: "two of the templates have this name".to_owned(),
            hint: "choose it once, or rename one: rows of a prompts file are told apart by it".to_owned(),
        }),
    }
}

/// The file that `spec` names, and what stands after its colon; `None` if it looks like no file.
fn file_and_name(spec: &str) -> Option<(PathBuf, Option<&str>)> {
    if Path::new(spec).is_file() {
        return Some((spec.into(), None));
    }
    let cuts = || spec.match_indices(':').filter_map(|(at, _)| Some((spec.get(..at)?, spec.get(at + 1..)?)));
    let is_file = |(file, _): &(&str, &str)| Path::new(file).is_file();
    let is_named = |(file, _): &(&str, &str)| is_yaml(Path::new(file));
    if let Some((file, name)) = cuts().find(is_file).or_else(|| cuts().find(is_named)) {
        return Some((file.into(), Some(name)));
    }
    spec.contains(['/', '\\', '.']).then(|| (spec.into(), None))
}

fn is_yaml(path: &Path) -> bool {
    path.extension().is_some_and(|e| e.eq_ignore_ascii_case("yaml") || e.eq_ignore_ascii_case("yml"))
}

/// The templates of a file with their ids; a Jinja file's id is its name.
fn read(path: &Path) -> Result<Vec<(String, Template)>> {
    let text = text_of(path)?;
    if is_yaml(path) {
        let templates = promptsource::parse(path, &text)?;
        return Ok(templates);
    }
    let name = stem(path);
    let template = Template::from_source(&name, &text)?;
    Ok(vec![(name, template)])
}

fn text_of(path: &Path) -> Result<String> {
    let refuse = |reason: String, hint: &str| Error::TemplateFile {
        path: path.to_owned(),
        reason,
        hint: hint.to_owned(),
    };
    let mut bytes = Vec::new();
    fs_err::File::open(path)?.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(refuse(
            format!("over {} MiB, and no template is that long", LARGEST >> 20),
            "--template is for templates; is this a data file, which goes with --data?",
        ));
    }
    let text = String::from_utf8(bytes).map_err(|e| {
        let line =
            1 + e.as_bytes().iter().take(e.utf8_error().valid_up_to()).filter(|b| **b == b'\n').count();
        refuse(format!("line {line}: not UTF-8"), "convert the file: `iconv -t UTF-8`")
    })?;
    Ok(jinja::newlines(text.strip_prefix('\u{feff}').unwrap_or(&text)))
}
