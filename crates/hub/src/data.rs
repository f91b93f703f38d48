//! Which files of a repository are a data set's split.

use std::collections::BTreeSet;

use crate::error::Error;
use crate::name::DataName;

/// A Parquet file of a data set.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Part {
    config: String,
    split: String,
    path: String,
}

/// The parts among the files of a repository: `CONFIG/SPLIT/0000.parquet` of the hub's conversion, and the layouts in
/// which `datasets` for Python uploads: `data/SPLIT-00000-of-00001.parquet`, `CONFIG/SPLIT-00000-of-00001.parquet`.
pub(crate) fn parts<'a>(files: impl IntoIterator<Item = &'a str>) -> Vec<Part> {
    let mut parts: Vec<Part> = files.into_iter().filter_map(part).collect();
    parts.sort();
    parts
}

fn part(path: &str) -> Option<Part> {
    let pieces: Vec<&str> = path.strip_suffix(".parquet")?.split('/').collect();
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let split_of = |stem: &str| -> Option<String> {
        let (rest, of) = stem.rsplit_once("-of-")?;
        let (split, number) = rest.rsplit_once('-')?;
        (digits(of) && digits(number)).then(|| split.to_owned())
    };
    let (config, split) = match pieces.as_slice() {
        [config, split, number] if digits(number) => ((*config).to_owned(), (*split).to_owned()),
        ["data", stem] => ("default".to_owned(), split_of(stem)?),
        [config, stem] => ((*config).to_owned(), split_of(stem)?),
        _ => return None,
    };
    Some(Part { config, split, path: path.to_owned() })
}

/// The files of the split that a name means: the one that it names, else the only one that there is.
pub(crate) fn chosen(name: &DataName, parts: &[Part]) -> Result<Vec<String>, Error> {
    let id = name.repository().id();
    let configs: BTreeSet<&str> = parts.iter().map(|part| part.config.as_str()).collect();
    let config = one(name.config(), &configs, Some("default")).ok_or_else(|| {
        let what = missing(id, "configuration", name.config(), configs.len());
        Error::Choose { what, names: configs.iter().map(|config| format!("{id}/{config}")).collect() }
    })?;
    let splits: BTreeSet<&str> =
        parts.iter().filter(|part| part.config == config).map(|part| part.split.as_str()).collect();
    let split = one(name.split(), &splits, None).ok_or_else(|| {
        let within = if configs.len() > 1 || name.config().is_some() {
            format!("{id}/{config}")
        } else {
            id.to_owned()
        };
        let what = missing(&within, "split", name.split(), splits.len());
        Error::Choose { what, names: splits.iter().map(|split| format!("{within}:{split}")).collect() }
    })?;
    let fits = |part: &&Part| part.config == config && part.split == split;
    Ok(parts.iter().filter(fits).map(|part| part.path.clone()).collect())
}

fn one<'a>(named: Option<&str>, known: &BTreeSet<&'a str>, otherwise: Option<&str>) -> Option<&'a str> {
    match named {
        Some(named) => known.get(named).copied(),
        None if known.len() == 1 => known.first().copied(),
        None => otherwise.and_then(|name| known.get(name).copied()),
    }
}

fn missing(of: &str, thing: &str, named: Option<&str>, known: usize) -> String {
    match named {
        Some(named) => format!("the data set {of} has no {thing} `{named}`"),
        None => format!("the data set {of} has {known} {thing}s, and one has to be named"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(name: &str, files: &[&str]) -> Result<Vec<String>, String> {
        chosen(&name.parse().unwrap(), &parts(files.iter().copied())).map_err(|error| error.to_string())
    }

    #[test]
    fn the_split_that_is_meant() {
        let glue = [
            "README.md",
            "rte/train/0000.parquet",
            "rte/train/0001.parquet",
            "rte/test/0000.parquet",
            "cola/train/0000.parquet",
        ];
        assert_eq!(
            files("a/glue/rte:train", &glue).unwrap(),
            ["rte/train/0000.parquet", "rte/train/0001.parquet"]
        );
        assert_eq!(files("a/glue/cola", &glue).unwrap(), ["cola/train/0000.parquet"]);
        let several = files("a/glue:train", &glue).unwrap_err();
        assert!(
            several.contains("2 configurations") && several.contains("a/glue/cola, a/glue/rte"),
            "{several}"
        );
        let several = files("a/glue/rte", &glue).unwrap_err();
        assert!(
            several.contains("2 splits") && several.contains("a/glue/rte:test, a/glue/rte:train"),
            "{several}"
        );
        let none = files("a/glue/rte:validation", &glue).unwrap_err();
        assert!(none.contains("no split `validation`"), "{none}");

        let with_default = ["default/train/0000.parquet", "other/train/0000.parquet"];
        assert_eq!(files("a/b:train", &with_default).unwrap(), ["default/train/0000.parquet"]);
        let own =
            ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet", "data/x.parquet"];
        assert_eq!(files("a/b", &own).unwrap(), own[..2]);
        assert_eq!(files("a/b/c:d-e", &["c/d-e-00000-of-00001.parquet"]).unwrap().len(), 1);
    }
}
