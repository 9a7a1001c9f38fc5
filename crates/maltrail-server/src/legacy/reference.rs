//! `/reference`: which shipped list has a trail, and what that list names as its source.
//!
//! Asks the catalog beside `TRAILS_FILE`, which knows every list of the last build; else it looks into the lists
//! that are compiled in and those of the installation (`trails/static` below the root). The user's own lists
//! are never named. Bounds: [`BUDGET`] per question, one question at a time, [`MAX_KNOWN`] remembered answers.

use std::collections::HashMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use maltrail_core::config::Config;
use maltrail_core::trail::key::normalize;
use maltrail_feeds::catalog::{CatalogError, ListKind};
use maltrail_feeds::{Catalog, Collection, embedded};
use serde::Serialize;

use crate::store::lock;

/// Time for one question.
const BUDGET: Duration = Duration::from_secs(2);
/// Answers that are remembered; beyond it all are forgotten.
const MAX_KNOWN: usize = 8192;
/// Answers older than this are looked up anew: lists change.
const MAX_AGE: Duration = Duration::from_secs(600);
/// Largest list file that is read in bytes.
const FILE_BYTES: u64 = 64 << 20;

/// compat: this shape; a miss is two empty texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Found {
    reference: String,
    source: String,
}

/// The lists and what was found in them.
#[derive(Debug)]
pub(crate) struct References {
    /// Where the catalog is.
    beside: PathBuf,
    folder: PathBuf,
    embedded: OnceLock<Collection>,
    /// std lock: held for map operations only.
    known: Mutex<(Option<Instant>, HashMap<String, Found>)>,
    /// std lock: held while files are read, so that questions take turns.
    turn: Mutex<()>,
}

impl References {
    pub(crate) fn new(config: &Config) -> Self {
        let beside = config.trails.file.parent();
        Self::of(beside.unwrap_or_else(|| Path::new(".")), &config.root)
    }

    /// The catalog in `beside`, lists of the installation `root`.
    fn of(beside: &Path, root: &Path) -> Self {
        Self {
            beside: beside.to_owned(),
            folder: root.join("trails/static"),
            embedded: OnceLock::new(),
            known: Mutex::default(),
            turn: Mutex::default(),
        }
    }

    /// Where a trail comes from. Blocks while files are read.
    pub(crate) fn find(&self, trail: &str) -> Found {
        let trail = trail
            .strip_suffix('/')
            .unwrap_or(trail)
            .to_ascii_lowercase();
        if trail.is_empty() {
            return Found::default();
        }
        {
            let mut known = lock(&self.known);
            if known.0.is_none_or(|since| since.elapsed() > MAX_AGE) || known.1.len() >= MAX_KNOWN {
                *known = (Some(Instant::now()), HashMap::new());
            }
            if let Some(found) = known.1.get(&trail) {
                return found.clone();
            }
        }
        let _turn = lock(&self.turn);
        let deadline = Instant::now() + BUDGET;
        let embedded = self.embedded.get_or_init(embedded::collection);
        let built_in = || {
            let mut lists = embedded.lists();
            lists.find_map(|list| find_in(&list.bytes, &list.path, &trail))
        };
        let (found, complete) = match self.find_in_catalog(&trail).or_else(built_in) {
            Some(found) => (Some(found), true),
            None => self.find_in_folder(&trail, deadline),
        };
        let found = found.unwrap_or_default();
        if complete {
            lock(&self.known).1.insert(trail, found.clone());
        }
        found
    }

    /// What the catalog knows of shipped lists that still have the trail.
    fn find_in_catalog(&self, trail: &str) -> Option<Found> {
        let key = normalize(trail, false).ok()?;
        let listings = Catalog::open(&self.beside).and_then(|catalog| catalog.find(&key));
        let listings = match listings {
            Ok(listings) => listings,
            Err(CatalogError::Missing(_) | CatalogError::Other(_)) => return None,
            Err(error) => {
                tracing::warn!(%error, "reference: the catalog is passed over");
                return None;
            }
        };
        let shipped = listings
            .into_iter()
            .find(|listing| listing.kind == ListKind::Static && listing.last.is_none())?;
        Some(Found {
            reference: shipped.urls.join(" "),
            source: shipped.list,
        })
    }

    /// What the installation's own lists say, and whether all were read in time.
    fn find_in_folder(&self, trail: &str, deadline: Instant) -> (Option<Found>, bool) {
        let mut bytes = Vec::new();
        for path in list_files(&self.folder) {
            if Instant::now() >= deadline {
                return (None, false);
            }
            bytes.clear();
            let Ok(file) = std::fs::File::open(&path) else {
                continue;
            };
            if file.take(FILE_BYTES).read_to_end(&mut bytes).is_err() {
                continue;
            }
            let below = path.strip_prefix(&self.folder).unwrap_or(&path);
            let name = format!("trails/static/{}", below.display());
            if let Some(found) = find_in(&bytes, &name, trail) {
                return (Some(found), true);
            }
        }
        (None, true)
    }
}

/// The lists in a folder and its folders, in order.
fn list_files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
        paths.sort_unstable();
        paths
    };
    let is_list = |path: &PathBuf| path.extension().is_some_and(|ending| ending == "txt");
    let mut files = Vec::new();
    for path in entries(folder) {
        if path.is_dir() {
            files.extend(entries(&path).into_iter().filter(is_list));
        } else if is_list(&path) {
            files.push(path);
        }
    }
    files
}

/// Looks for the line of `trail` (lower case, no slash at its end); the header above it is its reference.
fn find_in(bytes: &[u8], path: &str, trail: &str) -> Option<Found> {
    let mut reference: &[u8] = b"";
    for line in bytes.split(|&byte| byte == b'\n') {
        if let Some(comment) = line.strip_prefix(b"#") {
            let comment = comment.trim_ascii();
            let label = comment.get(..10).unwrap_or_default();
            if label.eq_ignore_ascii_case(b"reference:") {
                reference = comment.get(10..).unwrap_or_default().trim_ascii();
            }
        } else if is_line_of(line, trail) {
            return Some(Found {
                reference: String::from_utf8_lossy(reference).into_owned(),
                source: path.to_owned(),
            });
        }
    }
    None
}

/// Optional scheme, optional dot, the trail, then a slash, a blank, a comment or the end.
fn is_line_of(line: &[u8], trail: &str) -> bool {
    let line = [b"http://".as_slice(), b"https://"]
        .iter()
        .find_map(|scheme| line.strip_prefix(*scheme))
        .unwrap_or(line);
    let line = line.strip_prefix(b".").unwrap_or(line);
    let Some((head, rest)) = line.split_at_checked(trail.len()) else {
        return false;
    };
    head.eq_ignore_ascii_case(trail.as_bytes())
        && rest
            .first()
            .is_none_or(|byte| matches!(byte, b'/' | b' ' | b'\t' | b'\r' | b'#'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use maltrail_feeds::assemble::assemble_listed;
    use maltrail_feeds::collection::ListFile;
    use maltrail_feeds::{AssembleOptions, Sources};

    #[test]
    fn the_header_above_the_line_is_the_reference() {
        let list = b"# (c)\n# Reference: https://one.example/\n\nhttp://evil.biz/gate.php\n.bad.biz # x\n# Reference:  https://two.example/a\r\nWorse.biz\n";
        let ask = |trail: &str| {
            find_in(list, "trails/static/malware/x.txt", trail).map(|found| found.reference)
        };
        assert_eq!(ask("evil.biz").as_deref(), Some("https://one.example/"));
        assert_eq!(
            ask("evil.biz/gate.php").as_deref(),
            Some("https://one.example/")
        );
        assert_eq!(ask("bad.biz").as_deref(), Some("https://one.example/"));
        assert_eq!(ask("worse.biz").as_deref(), Some("https://two.example/a"));
        for miss in ["vil.biz", "evil.bi", "evil.biz/gate", "x", "reference:"] {
            assert_eq!(ask(miss), None, "{miss}");
        }
    }

    #[test]
    fn the_catalog_is_asked_first_and_names_no_list_of_the_user() {
        let root = tempfile::tempdir().unwrap();
        let file = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec());
        let sources = Sources {
            collections: vec![Collection::of([file(
                "trails/static/malware/lumma.txt",
                "# Reference: https://a.example/1\n\nshipped-name.biz\nboth-names.biz\n",
            )])],
            custom: vec![ListFile {
                path: "trails/custom/projectx.txt".to_owned(),
                bytes: b"own-name.biz\nboth-names.biz\n".to_vec(),
            }],
            ..Sources::default()
        };
        let (_, _, listings) =
            assemble_listed(&sources, &AssembleOptions::default(), &mut |_, _| {});
        Catalog::record(root.path(), listings, 86_400, None).unwrap();
        let references = References::of(root.path(), root.path());
        let wanted = Found {
            reference: "https://a.example/1".into(),
            source: "trails/static/malware/lumma.txt".into(),
        };
        assert_eq!(references.find("Shipped-Name.biz"), wanted);
        assert_eq!(references.find("both-names.biz/"), wanted);
        assert_eq!(references.find("own-name.biz"), Found::default());
    }

    #[test]
    fn lists_of_the_installation_are_read_and_answers_remembered() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("trails/static/malware");
        std::fs::create_dir_all(&folder).unwrap();
        let list = folder.join("lumma.txt");
        std::fs::write(&list, "# Reference: r1\n\nlumma-test-name.biz\n").unwrap();
        let references = References::of(root.path(), root.path());
        let wanted = Found {
            reference: "r1".into(),
            source: "trails/static/malware/lumma.txt".into(),
        };
        assert_eq!(references.find("LUMMA-test-name.biz/"), wanted);
        std::fs::remove_file(&list).unwrap();
        assert_eq!(references.find("lumma-test-name.biz"), wanted);
        assert_eq!(references.find("other-test-name.biz"), Found::default());
        assert_eq!(references.find("/"), Found::default());
    }
}
