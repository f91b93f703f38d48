//! From a name to files: the cache first, then the hub.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::AtomicBool;

use crate::cache::Cached;
use crate::choice::{self, Choice, Unfit, Weights};
use crate::client::{About, Client, Line};
use crate::data;
use crate::download::{Totals, Way};
use crate::error::{Error, Result};
use crate::listing::{Listing, Remote};
use crate::name::{CONVERSION, DataName, ModelName, Repository};
use crate::observer::Observer;
use crate::settings::Settings;

/// The most bytes of an index of weights.
const LONGEST_INDEX: u64 = 16 << 20;

/// A cache, and the hub behind it.
#[derive(Debug)]
pub struct Hub {
    settings: Settings,
    /// Made when it is first needed: what is in the cache needs no certificates.
    client: OnceLock<Client>,
}

/// How much of a model is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Extent {
    Whole,
    /// What is beside the weights.
    Tokenizer,
}

/// What the cache has of something.
enum Found {
    /// All of it.
    All(Vec<PathBuf>),
    /// All that is known to be needed, by a snapshot that may lack some of what the commit has.
    Perhaps(Vec<PathBuf>),
    /// Not this file.
    Without(String),
    /// Nothing that says what it is.
    Nothing,
}

impl Hub {
    /// By these settings. Nothing is read or asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, client: OnceLock::new() }
    }

    /// The settings.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The folder of a model in the cache, or its one file (a GGUF file, or what the name says); downloaded, if it is not
    /// there.
    ///
    /// # Errors
    /// No such repository, revision, or file; several GGUF files and none named; terms that are not accepted; no
    /// network; an answer that is no hub's; contents that do not have the hub's hash; a stop by the observer.
    pub fn model(&self, name: &ModelName, observer: &mut dyn Observer) -> Result<PathBuf> {
        self.some_of_model(name, Extent::Whole, observer)
    }

    /// As [`Hub::model`], without weights: the folder holds configuration and tokenizer. (A GGUF file holds all.)
    ///
    /// # Errors
    /// As [`Hub::model`].
    pub fn tokenizer(&self, name: &ModelName, observer: &mut dyn Observer) -> Result<PathBuf> {
        self.some_of_model(name, Extent::Tokenizer, observer)
    }

    /// The Parquet files of a data set's split, in order; downloaded, if they are not in the cache.
    ///
    /// # Errors
    /// As [`Hub::model`]; several configurations or splits and none named; a data set that the hub has not converted.
    pub fn data(&self, name: &DataName, observer: &mut dyn Observer) -> Result<Vec<PathBuf>> {
        let repository = name.repository();
        let cached = Cached::of(&self.settings.cache, repository);
        // The conversion; or the data set's own Parquet files, where another program downloaded those.
        let mut found = Found::Nothing;
        for revision in [CONVERSION, "main"] {
            found = data_in(&cached, name, revision)?;
            if !matches!(found, Found::Nothing) {
                break;
            }
        }
        self.or_from_hub(repository, &cached, found, observer, &mut |observer| {
            let listing = self.listing(repository, CONVERSION, observer).map_err(|error| match error {
                Error::NoRevision { repository, .. } => Error::NoConversion { repository },
                other => other,
            })?;
            let files = data::chosen(name, &data::parts(listing.names()))?;
            let way = self.way(repository, CONVERSION, &cached, &listing)?;
            way.download(&remotes(&listing, &files), &mut Totals::default(), observer)?;
            Ok(paths(&cached, &listing.commit, &files))
        })
    }

    fn some_of_model(
        &self,
        name: &ModelName,
        extent: Extent,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        let repository = name.repository();
        let cached = Cached::of(&self.settings.cache, repository);
        let found = model_in(&cached, name, extent)?;
        let paths = self.or_from_hub(repository, &cached, found, observer, &mut |observer| {
            let listing = self.listing(repository, name.revision(), observer)?;
            let choice = choice::of_model(&listing.names(), name.file())
                .map_err(|unfit| unfit_for(name, &listing, unfit))?;
            let way = self.way(repository, name.revision(), &cached, &listing)?;
            let mut totals = Totals::default();
            let (beside, weights) = match choice {
                Choice::File(file) => {
                    way.download(&remotes(&listing, std::slice::from_ref(&file)), &mut totals, observer)?;
                    return Ok(paths(&cached, &listing.commit, &[file]));
                }
                Choice::Folder { beside, weights } => (beside, weights),
            };
            // A snapshot with weights has all that belongs to them.
            way.download(&remotes(&listing, &beside), &mut totals, observer)?;
            if extent == Extent::Whole {
                let files = match weights {
                    Weights::Are(files) => files,
                    Weights::By(index) => {
                        way.download(
                            &remotes(&listing, std::slice::from_ref(&index)),
                            &mut totals,
                            observer,
                        )?;
                        named_by(&cached, &listing.commit, &index)?.ok_or_else(|| no_index(name, &index))?
                    }
                };
                if let Some(file) = files.iter().find(|file| listing.file(file).is_none()) {
                    return Err(unfit_for(name, &listing, Unfit::NoFile(file.clone())));
                }
                way.download(&remotes(&listing, &files), &mut totals, observer)?;
            }
            Ok(vec![cached.snapshot(&listing.commit)])
        })?;
        paths.into_iter().next().ok_or(Error::Stopped)
    }

    /// What was found in the cache, or what the hub gives in its place.
    fn or_from_hub(
        &self,
        repository: &Repository,
        cached: &Cached,
        found: Found,
        observer: &mut dyn Observer,
        from_hub: &mut dyn FnMut(&mut dyn Observer) -> Result<Vec<PathBuf>>,
    ) -> Result<Vec<PathBuf>> {
        let offline = || {
            let (repository, cache) = (repository.clone(), self.settings.cache.clone());
            Error::Offline { repository, cache }
        };
        match found {
            Found::All(paths) => Ok(paths),
            Found::Perhaps(paths) if self.settings.offline => Ok(paths),
            Found::Perhaps(paths) => match from_hub(observer) {
                Err(Error::Unreachable { .. }) => Ok(paths),
                other => other,
            },
            Found::Nothing if self.settings.offline => Err(offline()),
            Found::Without(missing) if self.settings.offline => Err(Error::Incomplete {
                repository: repository.clone(),
                snapshot: cached.root().to_owned(),
                missing,
            }),
            Found::Without(_) | Found::Nothing => from_hub(observer),
        }
    }

    fn listing(
        &self,
        repository: &Repository,
        revision: &str,
        observer: &mut dyn Observer,
    ) -> Result<Listing> {
        let observer = RefCell::new(observer);
        let say = |text: String| observer.borrow_mut().notice(&text);
        let (stop, about) = (AtomicBool::new(false), About { repository, revision, file: None });
        self.client()?.listing(about, Line { say: &say, stop: &stop })
    }

    /// The way from the hub into the cache, which from here on knows the commit and its files.
    fn way<'a>(
        &'a self,
        repository: &'a Repository,
        revision: &'a str,
        cached: &'a Cached,
        listing: &'a Listing,
    ) -> Result<Way<'a>> {
        cached.prepare()?;
        cached.set_commit(revision, &listing.commit)?;
        cached.set_tree(listing)?;
        let about = About { repository, revision, file: None };
        Ok(Way { client: self.client()?, cached, about, commit: &listing.commit })
    }

    fn client(&self) -> Result<&Client> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = Client::new(&self.settings)?;
        Ok(self.client.get_or_init(|| client))
    }
}

/// What the cache has of a model.
fn model_in(cached: &Cached, name: &ModelName, extent: Extent) -> Result<Found> {
    let Some(commit) = cached.commit(name.revision())? else { return Ok(Found::Nothing) };
    let tree = cached.tree(&commit);
    let there = cached.files(&commit)?;
    let names = tree.as_ref().map_or_else(|| there.iter().map(String::as_str).collect(), Listing::names);
    let choice = match choice::of_model(&names, name.file()) {
        Ok(choice) => choice,
        Err(unfit) if there.is_empty() || tree.is_none() => {
            return Ok(if let Unfit::NoFile(file) = unfit { Found::Without(file) } else { Found::Nothing });
        }
        // What the commit has is known, so the hub would say nothing else.
        Err(unfit) => {
            let listing = tree.unwrap_or(Listing { commit, files: Vec::new() });
            return Err(unfit_for(name, &listing, unfit));
        }
    };
    let (mut files, path) = match &choice {
        Choice::File(file) => (vec![file.clone()], cached.snapshot(&commit).join(file)),
        Choice::Folder { beside, .. } => (beside.clone(), cached.snapshot(&commit)),
    };
    if let (Choice::Folder { weights, .. }, Extent::Whole) = (&choice, extent) {
        match weights {
            Weights::Are(weights) => files.extend(weights.iter().cloned()),
            Weights::By(index) => match named_by(cached, &commit, index)? {
                Some(weights) => files.extend(weights.into_iter().chain([index.clone()])),
                None => return Ok(Found::Without(index.clone())),
            },
        }
    }
    let known: Vec<Remote> = match &tree {
        Some(listing) => remotes(listing, &files),
        None => files.into_iter().map(Remote::named).collect(),
    };
    if let Some(missing) = cached.missing(&commit, &known)? {
        return Ok(Found::Without(missing.to_owned()));
    }
    let has_tokenizer = there.iter().any(|file| file == "tokenizer.json" || file == "tokenizer.model");
    let sure =
        tree.is_some() || name.file().is_some() || (matches!(choice, Choice::Folder { .. }) && has_tokenizer);
    Ok(if sure { Found::All(vec![path]) } else { Found::Perhaps(vec![path]) })
}

/// What the cache has of a data set at a revision.
fn data_in(cached: &Cached, name: &DataName, revision: &str) -> Result<Found> {
    let Some(commit) = cached.commit(revision)? else { return Ok(Found::Nothing) };
    let there = cached.files(&commit)?;
    let tree = cached.tree(&commit);
    let names = tree.as_ref().map_or_else(|| there.iter().map(String::as_str).collect(), Listing::names);
    let parts = data::parts(names);
    if parts.is_empty() {
        return Ok(Found::Nothing);
    }
    let files = match data::chosen(name, &parts) {
        Ok(files) => files,
        Err(error) if tree.is_some() => return Err(error),
        Err(_) => return Ok(Found::Nothing),
    };
    let known = tree.as_ref().map_or_else(
        || files.iter().cloned().map(Remote::named).collect(),
        |listing| remotes(listing, &files),
    );
    if let Some(missing) = cached.missing(&commit, &known)? {
        return Ok(Found::Without(missing.to_owned()));
    }
    let paths = paths(cached, &commit, &files);
    // Without a list, there may be further parts.
    Ok(if tree.is_some() { Found::All(paths) } else { Found::Perhaps(paths) })
}

/// The weights that an index in the cache names; `None` where it is not there or is none.
fn named_by(cached: &Cached, commit: &str, index: &str) -> Result<Option<Vec<String>>> {
    let path = cached.snapshot(commit).join(index);
    if !path.is_file() {
        return Ok(None);
    }
    let files = choice::by_index(&host::files::read(&path, LONGEST_INDEX)?);
    // Beside the index and nowhere else.
    Ok(files.filter(|files| files.iter().all(|file| !file.contains('/') && crate::name::relative(file))))
}

fn remotes(listing: &Listing, files: &[String]) -> Vec<Remote> {
    let of = |file: &String| listing.file(file).cloned().unwrap_or_else(|| Remote::named(file.clone()));
    files.iter().map(of).collect()
}

fn paths(cached: &Cached, commit: &str, files: &[String]) -> Vec<PathBuf> {
    files.iter().map(|file| cached.snapshot(commit).join(file)).collect()
}

fn no_index(name: &ModelName, index: &str) -> Error {
    let found = format!("`{index}` is no index of weights");
    Error::NoModel { repository: format!("the {}", name.repository()), found }
}

/// Why no files of a repository were chosen, as an error with what was meant.
fn unfit_for(name: &ModelName, listing: &Listing, unfit: Unfit) -> Error {
    let repository = format!("the {}", name.repository());
    match unfit {
        Unfit::Several(files) => Error::SeveralFiles { repository, files },
        Unfit::NoModel(found) => Error::NoModel { repository, found },
        Unfit::NoFile(file) => {
            let gguf: Vec<&str> =
                listing.names().into_iter().filter(|other| choice::is_gguf(other)).collect();
            let near = host::nearest(&file, listing.names()).map(|near| format!("did you mean `{near}`?"));
            let all = (!gguf.is_empty()).then(|| format!("its GGUF files are {}", gguf.join(", ")));
            Error::NoFile {
                repository: name.repository().clone(),
                revision: name.revision().to_owned(),
                file,
                meant: near.or(all),
            }
        }
    }
}
