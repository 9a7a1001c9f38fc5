//! A collection of list files, read into memory.
//!
//! Layout, relative to the collection's root (of an archive: below its single top folder):
//! `trails/static/**` lists and `data/*.txt` whitelist and ranges. The user's own lists are not part of it.
//! Everything else is skipped unread. Sizes are bounded, so that a hostile archive cannot fill memory;
//! nothing is ever unpacked to disk.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use flate2::read::GzDecoder;

/// Largest single list in bytes. The largest one known has 2.4 MB.
const FILE_BYTES: u64 = 64 << 20;
/// Most bytes of all lists. The public static list has 51 MB.
const TOTAL_BYTES: u64 = 1 << 30;
/// Most files of a collection; the public static list has 3,122.
const FILES: usize = 100_000;

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListFile {
    /// Path below the root, with `/`.
    pub path: String,
    /// Content.
    pub bytes: Vec<u8>,
}

/// Files sorted by path.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collection {
    files: Vec<ListFile>,
}

/// Why a collection cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum CollectionError {
    /// The path is not there or not readable.
    #[error("cannot read `{}`: {source}", path.display())]
    Unreadable {
        /// The path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no gzip-compressed tar archive.
    #[error("`{}` is damaged or no .tar.gz archive: {source}", path.display())]
    Archive {
        /// The archive.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Larger than any list is.
    #[error(
        "`{0}` is too large: lists may have up to {FILE_BYTES} bytes each and {TOTAL_BYTES} in all, {FILES} files"
    )]
    TooLarge(String),
    /// Nothing of the layout was found.
    #[error("`{}` holds no trails/static folder with lists", .0.display())]
    NoLists(PathBuf),
}

impl Collection {
    /// Of files that are already in memory.
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut files: Vec<ListFile> = files
            .into_iter()
            .filter(|(path, _)| is_wanted(path))
            .map(|(path, bytes)| ListFile { path, bytes })
            .collect();
        files.sort_by(|left, right| left.path.cmp(&right.path));
        Self { files }
    }

    /// Reads an archive (`.tar.gz`) or a folder. `progress` hears the number of compressed bytes read.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, too large, or holds no lists.
    pub fn read(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Self, CollectionError> {
        let unreadable = |source| CollectionError::Unreadable {
            path: path.to_owned(),
            source,
        };
        let kind = fs::metadata(path).map_err(unreadable)?;
        let collection = if kind.is_dir() {
            read_folder(path)?
        } else {
            read_archive(path, progress)?
        };
        if collection.lists().next().is_none() {
            return Err(CollectionError::NoLists(path.to_owned()));
        }
        Ok(collection)
    }

    /// The shipped lists: files directly in `trails/static` or in one of its folders.
    pub fn lists(&self) -> impl Iterator<Item = &ListFile> {
        self.files
            .iter()
            .filter(|file| file.path.starts_with("trails/static/"))
    }

    /// Every file, by path.
    pub fn files(&self) -> &[ListFile] {
        &self.files
    }

    /// The text of a list of `data/`; empty when it is not there.
    pub fn data(&self, name: &str) -> std::borrow::Cow<'_, str> {
        let path = format!("data/{name}");
        let found = self.files.iter().find(|file| file.path == path);
        found.map_or_else(Default::default, |file| {
            String::from_utf8_lossy(&file.bytes)
        })
    }
}

/// Whether a path belongs to the layout: lists at most one folder below `trails/static`, and the data
/// lists that a build or the sensor uses.
fn is_wanted(path: &str) -> bool {
    let is_list = |path: &str| path.ends_with(".txt") || path.ends_with(".csv");
    if let Some(rest) = path.strip_prefix("trails/static/") {
        return is_list(rest) && rest.matches('/').count() <= 1;
    }
    path.strip_prefix("data/")
        .is_some_and(|name| DATA.contains(&name))
}

/// Data lists that are taken over.
pub const DATA: [&str; 5] = [
    "whitelist.txt",
    "bogon_ranges.txt",
    "cdn_ranges.txt",
    "ua.txt",
    "worst_asns.txt",
];

struct Budget {
    files: usize,
    bytes: u64,
}

impl Budget {
    const fn new() -> Self {
        Self { files: 0, bytes: 0 }
    }

    fn take(
        &mut self,
        path: &str,
        input: impl Read,
        size: u64,
    ) -> Result<Result<ListFile, io::Error>, CollectionError> {
        self.files += 1;
        self.bytes = self.bytes.saturating_add(size);
        if size > FILE_BYTES || self.bytes > TOTAL_BYTES || self.files > FILES {
            return Err(CollectionError::TooLarge(path.to_owned()));
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
        let read = input.take(FILE_BYTES).read_to_end(&mut bytes);
        Ok(read.map(|_| ListFile {
            path: path.to_owned(),
            bytes,
        }))
    }
}

fn read_archive(path: &Path, progress: &mut dyn FnMut(u64)) -> Result<Collection, CollectionError> {
    let file = fs::File::open(path).map_err(|source| CollectionError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    let broken = |source| CollectionError::Archive {
        path: path.to_owned(),
        source,
    };
    let counted = Counted {
        inner: io::BufReader::with_capacity(1 << 16, file),
        read: 0,
        progress,
    };
    let mut archive = tar::Archive::new(GzDecoder::new(counted));
    let mut budget = Budget::new();
    let mut files = Vec::new();
    for entry in archive.entries().map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let Some(inner) = entry.path().ok().and_then(|path| below_top(&path)) else {
            continue;
        };
        if !is_wanted(&inner) {
            continue;
        }
        let size = entry.size();
        files.push(budget.take(&inner, entry, size)?.map_err(broken)?);
    }
    Ok(Collection::of(
        files.into_iter().map(|file| (file.path, file.bytes)),
    ))
}

/// `maltrail-master/trails/…` → `trails/…`; also accepts archives without a top folder.
fn below_top(path: &Path) -> Option<String> {
    let parts: Vec<&str> = path
        .components()
        .filter(|part| !matches!(part, Component::CurDir))
        .map(|part| match part {
            Component::Normal(name) => name.to_str(),
            _ => None,
        })
        .collect::<Option<_>>()?;
    let from = parts
        .iter()
        .take(2)
        .position(|part| ["trails", "data"].contains(part))?;
    Some(parts.get(from..)?.join("/"))
}

fn read_folder(root: &Path) -> Result<Collection, CollectionError> {
    let mut budget = Budget::new();
    let mut files = Vec::new();
    for (folder, depth) in [("trails/static", 1), ("data", 0)] {
        walk(root, folder, depth, &mut budget, &mut files)?;
    }
    Ok(Collection::of(
        files.into_iter().map(|file| (file.path, file.bytes)),
    ))
}

fn walk(
    root: &Path,
    folder: &str,
    depth: usize,
    budget: &mut Budget,
    files: &mut Vec<ListFile>,
) -> Result<(), CollectionError> {
    let path = root.join(folder);
    let unreadable = |path: &Path, source| CollectionError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(|source| unreadable(&path, source))?,
    };
    for entry in entries {
        let entry = entry.map_err(|source| unreadable(&path, source))?;
        let Some(name) = entry
            .file_name()
            .to_str()
            .map(|name| format!("{folder}/{name}"))
        else {
            continue;
        };
        let meta =
            fs::metadata(entry.path()).map_err(|source| unreadable(&entry.path(), source))?;
        if meta.is_dir() && depth > 0 {
            walk(root, &name, depth - 1, budget, files)?;
        } else if meta.is_file() && is_wanted(&name) {
            let file =
                fs::File::open(entry.path()).map_err(|source| unreadable(&entry.path(), source))?;
            files.push(
                budget
                    .take(&name, file, meta.len())?
                    .map_err(|source| unreadable(&entry.path(), source))?,
            );
        }
    }
    Ok(())
}

/// Tells how far a reader has come.
struct Counted<'a, R> {
    inner: R,
    read: u64,
    progress: &'a mut dyn FnMut(u64),
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.read += count as u64;
        (self.progress)(self.read);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(
            Vec::new(),
            flate2::Compression::fast(),
        ));
        for (path, bytes) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(bytes.len() as u64);
            header.set_mode(0o644);
            builder
                .append_data(&mut header, path, *bytes)
                .expect("memory");
        }
        builder
            .into_inner()
            .and_then(flate2::write::GzEncoder::finish)
            .expect("memory")
    }

    fn paths(collection: &Collection) -> Vec<&str> {
        collection
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect()
    }

    #[test]
    fn only_lists_are_read_from_an_archive() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("a.tar.gz");
        let bytes = archive(&[
            ("top/trails/static/malware/b.txt", b"b"),
            ("top/trails/static/a.txt", b"a"),
            ("top/core/x.py", b"code"),
            ("top/trails/static/malware/deep/x.txt", b"x"),
            ("top/trails/static/malware/x.list", b"x"),
            ("top/data/whitelist.txt", b"w"),
            ("top/data/secret.txt", b"s"),
        ]);
        fs::write(&path, &bytes).expect("file");
        let mut read = 0;
        let collection = Collection::read(&path, &mut |count| read = count).expect("archive");
        assert_eq!(
            paths(&collection),
            [
                "data/whitelist.txt",
                "trails/static/a.txt",
                "trails/static/malware/b.txt"
            ]
        );
        assert_eq!(collection.data("whitelist.txt"), "w");
        assert_eq!(read, bytes.len() as u64);

        fs::write(&path, &bytes[..bytes.len() / 2]).expect("file");
        let error = Collection::read(&path, &mut |_| {}).expect_err("cut");
        assert!(
            error.to_string().contains("damaged or no .tar.gz archive"),
            "{error}"
        );
        fs::write(&path, archive(&[("top/readme.txt", b"")])).expect("file");
        assert!(matches!(
            Collection::read(&path, &mut |_| {}),
            Err(CollectionError::NoLists(_))
        ));
    }

    #[test]
    fn folders_have_the_same_layout() {
        let root = tempfile::tempdir().expect("folder");
        for (path, text) in [
            ("trails/static/malware/z.txt", "z"),
            ("trails/static/malware/deep/x.txt", "x"),
            ("trails/custom/own.txt", "o"),
            ("data/whitelist.txt", "w"),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().expect("parent")).expect("folder");
            fs::write(path, text).expect("file");
        }
        let collection = Collection::read(root.path(), &mut |_| {}).expect("folder");
        assert_eq!(
            paths(&collection),
            ["data/whitelist.txt", "trails/static/malware/z.txt"]
        );
        let missing =
            Collection::read(&root.path().join("nope"), &mut |_| {}).expect_err("missing");
        assert!(
            missing.to_string().starts_with("cannot read `"),
            "{missing}"
        );
    }

    #[test]
    fn too_much_is_refused_before_it_is_read() {
        let mut budget = Budget {
            files: FILES,
            bytes: 0,
        };
        assert!(matches!(
            budget.take("x", io::empty(), 0),
            Err(CollectionError::TooLarge(_))
        ));
        let mut budget = Budget::new();
        assert!(matches!(
            budget.take("x", io::empty(), FILE_BYTES + 1),
            Err(CollectionError::TooLarge(_))
        ));
        let mut budget = Budget {
            files: 0,
            bytes: TOTAL_BYTES,
        };
        assert!(matches!(
            budget.take("x", io::empty(), 1),
            Err(CollectionError::TooLarge(_))
        ));
    }

    #[test]
    fn paths_never_leave_the_collection() {
        assert_eq!(below_top(Path::new("top/../trails/static/x.txt")), None);
        assert_eq!(below_top(Path::new("/trails/static/x.txt")), None);
        assert_eq!(
            below_top(Path::new("./trails/static/x.txt")).as_deref(),
            Some("trails/static/x.txt")
        );
        assert_eq!(below_top(Path::new("a/b/trails/static/x.txt")), None);
    }
}
