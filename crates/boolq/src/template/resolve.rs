//! What the name of a template means: a built-in name, a Jinja file, a promptsource file, or one template of the latter.

use super::{Style, Template, plain, promptsource};
use crate::dataset::stem;
use crate::error::{Error, Result};
use crate::warning::Warning;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// llama-ccs' one template, which it hard-codes.
const LLAMA_CCS: &str = "{{ passage }}\n\nAfter reading this passage, I have a question: {{ question }}?\n\n\
                         True or False: {{ answer }}";
const STATEMENT: &str = "{{ statement }} Is this statement true or false? {{ answer }}";
/// Of single statements: nothing but the statement.
const AS_IS: (&str, &str) = ("as-is", "{{ statement }}");
const BUILT_IN: [(&str, &str); 3] = [("llama-ccs", LLAMA_CCS), ("statement", STATEMENT), AS_IS];

/// The largest template file read, in bytes: forty times the largest of promptsource's.
const LARGEST: u64 = 4 << 20;

impl Template {
    /// The names of the built-in templates; the first is the default. The last is for [single
    /// statements](crate::statements()), the others for pairs.
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
                suggestion: host::nearest(name, Self::built_in()).map(str::to_owned),
                known: Self::built_in().into_iter().map(str::to_owned).collect(),
            }),
        }
    }

    /// The templates of a file: all of a promptsource file (`.yaml`, `.yml`) that can make pairs, in its order; else the
    /// one Jinja template that the file is, called like the file without its extension.
    ///
    /// Of a promptsource file with several templates, one that fails on the data is left out by
    /// [`pairs_with`](crate::pairs_with), with [`Warning::TemplateLeftOut`], unless none is left.
    ///
    /// # Errors
    /// What is no text in UTF-8 or over 4 MiB, what is no YAML, and files without a template that can make pairs.
    pub fn in_file(path: impl AsRef<Path>) -> Result<Vec<Self>> {
        Ok(all_in(path.as_ref())?.0)
    }

    /// What one name means: a built-in name; a Jinja file; or a promptsource file, as `FILE.yaml` with those of
    /// its templates that can make pairs, or as `FILE.yaml:NAME` with one (its id, and `...` for `…`, will do).
    ///
    /// # Errors
    /// Text that is none of these; with a `/` or a `.` in it, it is taken for a file. As [`in_file`](Self::in_file).
    pub fn resolve(spec: &str) -> Result<Vec<Self>> {
        Ok(resolved(spec)?.0)
    }

    /// All templates that several names mean, in their order.
    ///
    /// # Errors
    /// As [`resolve`](Self::resolve); two templates of one name, which the rows of a prompts file could not tell
    /// apart.
    pub fn resolve_all<S: AsRef<str>>(specs: &[S]) -> Result<Vec<Self>> {
        Ok(Self::resolve_with_warnings(specs)?.0)
    }

    /// As [`resolve_all`](Self::resolve_all), with a [`Warning::TemplateLeftOut`] for each template of a promptsource file
    /// that can make no pairs.
    ///
    /// # Errors
    /// As [`resolve_all`](Self::resolve_all).
    pub fn resolve_with_warnings<S: AsRef<str>>(specs: &[S]) -> Result<(Vec<Self>, Vec<Warning>)> {
        let (mut templates, mut warnings) = (Vec::new(), Vec::new());
        for spec in specs {
            let (more, left_out) = resolved(spec.as_ref())?;
            templates.extend(more);
            warnings.extend(left_out);
        }
        refuse_namesakes(&templates)?;
        Ok((templates, warnings))
    }
}

/// See [`Template::as_is`].
pub(super) fn as_is() -> Template {
    let (name, source) = AS_IS;
    let (plus, minus) = plain::TRUE_FALSE;
    let style = Style::Plain { plus: plus.to_owned(), minus: minus.to_owned() };
    Template {
        name: name.to_owned(),
        source: source.to_owned(),
        style,
        prefix: String::new(),
        optional: false,
    }
}

fn resolved(spec: &str) -> Result<(Vec<Template>, Vec<Warning>)> {
    let one = |template: Template| (vec![template], Vec::new());
    if BUILT_IN.iter().any(|(known, _)| *known == spec) {
        return Template::named(spec).map(one);
    }
    match file_and_name(spec) {
        Some((file, None)) => all_in(&file),
        Some((file, Some(name))) if is_yaml(&file) => {
            promptsource::chosen(&file, promptsource::parse(&file, &text_of(&file)?)?, name).map(one)
        }
        Some((file, Some(name))) => match all_in(&file)?.0.into_iter().find(|template| template.name == name)
        {
            Some(template) => Ok(one(template)),
            None => Err(Error::TemplateNotInFile {
                known: vec![stem(&file)],
                suggestion: None,
                name: name.to_owned(),
                path: file,
            }),
        },
        None => Template::named(spec).map(one),
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

/// The templates of a file that can make pairs, and warnings of the others.
fn all_in(path: &Path) -> Result<(Vec<Template>, Vec<Warning>)> {
    let text = text_of(path)?;
    if is_yaml(path) {
        return promptsource::usable(promptsource::parse(path, &text)?);
    }
    Ok((vec![Template::from_source(&stem(path), &text)?], Vec::new()))
}

fn text_of(path: &Path) -> Result<String> {
    let refuse = |reason: String, hint: &str| {
        Err(Error::TemplateFile { path: path.to_owned(), reason, hint: hint.to_owned() })
    };
    let bytes = host::files::read(path, LARGEST)?;
    let utf16 = [(&b"\xff\xfe"[..], "UTF-16LE"), (&b"\xfe\xff"[..], "UTF-16BE")];
    if let Some((_, encoding)) = utf16.iter().find(|(mark, _)| bytes.starts_with(mark)) {
        let hint = format!("convert the file: `iconv -f {encoding} -t UTF-8`");
        return refuse(format!("{encoding}, not UTF-8"), &hint);
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return refuse("empty".to_owned(), "write the template: {{ passage }} {{ question }}? {{ answer }}");
    }
    if bytes.contains(&0) {
        return refuse("no text: it holds zero bytes".to_owned(), "a template is text in UTF-8");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(jinja::newlines(text.strip_prefix('\u{feff}').unwrap_or(&text))),
        Err(e) => {
            let valid = e.as_bytes().iter().take(e.utf8_error().valid_up_to());
            let line = 1 + valid.filter(|b| **b == b'\n').count();
            let hint =
                "convert the file: `iconv -t UTF-8`, with -f and what it is written in, such as LATIN1";
            refuse(format!("line {line}: not UTF-8"), hint)
        }
    }
}
