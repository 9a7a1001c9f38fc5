//! What a build is made of, and the digest that tells whether any of it changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use ring::digest::{Context, SHA256};

use super::record::former_source;
use super::{Phase, Update, UpdateError};
use crate::assemble::AssembleOptions;
use crate::collection::{Collection, ListFile};
use crate::embedded;
use crate::gather::Gathered;

/// Changes whenever a build of the same inputs gives other rows.
const RULES: &str = "1";

/// A digest of texts, each with its length, so that no two lists of texts look alike.
pub(super) struct Digest(Context);

impl Digest {
    pub(super) fn new() -> Self {
        let mut digest = Self(Context::new(&SHA256));
        digest.add(&[env!("CARGO_PKG_VERSION"), RULES]);
        digest
    }

    /// Adds texts.
    pub(super) fn add(&mut self, texts: &[&str]) {
        for text in texts {
            self.bytes(text.as_bytes());
        }
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }

    fn files(&mut self, files: &[ListFile]) {
        self.bytes(&(files.len() as u64).to_le_bytes());
        for file in files {
            self.bytes(file.path.as_bytes());
            self.bytes(&file.bytes);
        }
    }

    /// In hexadecimal.
    pub(super) fn finish(self) -> String {
        let digest = self.0.finish();
        digest
            .as_ref()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect()
    }
}

/// The shipped lists of a build. Archives are read only when the build needs them.
pub(super) enum Lists {
    /// Archives.
    Archives(Vec<PathBuf>),
    /// A folder, which has to be read to be compared.
    Folder(Collection),
}

impl Lists {
    /// All collections, the built-in one first when it is wanted: a later one replaces an earlier one.
    pub(super) fn read(
        self,
        built_in: bool,
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Vec<Collection>, UpdateError> {
        let mut collections = Vec::new();
        if built_in {
            collections.push(embedded::collection());
        }
        match self {
            Self::Folder(collection) => collections.push(collection),
            Self::Archives(paths) => {
                for path in paths {
                    let size = fs::metadata(&path).map_or(0, |meta| meta.len());
                    collections.push(Collection::read(&path, &mut |read| {
                        progress(Phase::Reading(read, size))
                    })?);
                }
            }
        }
        Ok(collections)
    }
}

impl Update<'_> {
    /// Where the shipped lists come from: what a person names, else what was fetched, else what a person
    /// named last, so that a machine without a network does not lose its set.
    pub(super) fn lists(
        &self,
        fetched: &[PathBuf],
        progress: &mut dyn FnMut(Phase),
    ) -> Result<Lists, UpdateError> {
        let former = if self.from.is_none() && fetched.is_empty() && self.built_in {
            former_source(&self.config.file)
        } else {
            None
        };
        match self.from.or(former.as_deref()) {
            None => Ok(Lists::Archives(fetched.to_vec())),
            Some(path) if path.is_dir() => {
                Ok(Lists::Folder(Collection::read(path, &mut |read| {
                    progress(Phase::Reading(read, 0))
                })?))
            }
            Some(path) => Ok(Lists::Archives(vec![path.to_owned()])),
        }
    }

    /// The digest of everything that decides about the rows.
    pub(super) fn digest(
        &self,
        options: &AssembleOptions,
        lists: &Lists,
        custom: &[ListFile],
        fetched: &Gathered,
    ) -> String {
        let mut digest = Digest::new();
        digest.add(&[
            &options.ip_minimum_feeds.to_string(),
            self.config.disabled_info.as_deref().unwrap_or_default(),
            &options.user_whitelist,
            &format!(
                "{} {} {}",
                self.built_in, options.without_static, options.without_custom
            ),
        ]);
        if self.built_in {
            digest.files(embedded::collection().files());
        }
        match lists {
            Lists::Folder(collection) => digest.files(collection.files()),
            Lists::Archives(paths) => {
                for path in paths {
                    // One that cannot be read is told by the build.
                    digest.bytes(&fs::read(path).unwrap_or_default());
                }
            }
        }
        digest.files(custom);
        for rows in &fetched.feeds {
            digest.add(&[&rows.feed, rows.digest()]);
        }
        digest.add(&["lists elsewhere"]);
        for body in &fetched.remote {
            digest.add(&[body]);
        }
        digest.finish()
    }
}

/// Each `*.txt` directly in the user's folder; no folder means no lists.
pub(super) fn own_lists(folder: &Path) -> Result<Vec<ListFile>, UpdateError> {
    let read_error = |path: &Path, source| UpdateError::Read {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(|source| read_error(folder, source))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(|source| read_error(folder, source))?.path();
        let name = path
            .file_name()
            .and_then(|name| name.to_str())
            .filter(|name| name.ends_with(".txt"));
        if let Some(name) = name.filter(|_| path.is_file()) {
            let bytes = fs::read(&path).map_err(|source| read_error(&path, source))?;
            files.push(ListFile {
                path: format!("trails/custom/{name}"),
                bytes,
            });
        }
    }
    files.sort_by(|left, right| left.path.cmp(&right.path));
    Ok(files)
}
