//! The user's own file of feeds: the form of `trails/feeds.toml`. Every fault names the file, the line and
//! what to do.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::Feed;

/// Largest file read. Ours has 20 KB.
const FILE_BYTES: u64 = 4 << 20;
/// Most feeds of a file.
const FEEDS: usize = 1000;

/// Why a file of feeds cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeedsError {
    /// It cannot be read.
    #[error("cannot read `{}`: {reason}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// Something in it is wrong.
    #[error("{}:{line}: {reason}", path.display())]
    Fault {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What, and what to do.
        reason: String,
    },
}

/// Reads the feeds of a file.
pub(super) fn load(path: &Path) -> Result<Vec<Feed>, FeedsError> {
    let unreadable = |reason: String| FeedsError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let file = fs::File::open(path).map_err(|error| unreadable(error.to_string()))?;
    let mut text = String::new();
    file.take(FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(|error| unreadable(error.to_string()))?;
    if text.len() as u64 > FILE_BYTES {
        return Err(unreadable(format!("it has more than {FILE_BYTES} bytes")));
    }
    read(&text, path)
}

/// Reads the feeds of a text; `path` is only named in errors.
///
/// # Errors
/// When it is no TOML, or a feed is not complete or occurs twice.
pub fn read(text: &str, path: &Path) -> Result<Vec<Feed>, FeedsError> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        #[serde(default)]
        feed: Vec<Spanned<Feed>>,
    }
    let fault = |at: usize, reason: String| FeedsError::Fault {
        path: path.to_owned(),
        line: 1 + text
            .get(..at)
            .map_or(0, |before| before.matches('\n').count()),
        reason,
    };
    let file: File = toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        fault(
            at,
            format!("{} (docs/feeds.md lists the fields)", error.message()),
        )
    })?;
    let mut feeds: Vec<Feed> = Vec::new();
    for feed in file.feed {
        let (at, feed) = (feed.span().start, feed.into_inner());
        if let Some(reason) = feed.fault() {
            return Err(fault(at, format!("feed `{}`: {reason}", feed.name)));
        }
        if feeds.iter().any(|other| other.name == feed.name) {
            return Err(fault(
                at,
                format!("feed `{}` occurs twice: rename one", feed.name),
            ));
        }
        if feeds.len() >= FEEDS {
            return Err(fault(
                at,
                format!("more than {FEEDS} feeds: use several machines"),
            ));
        }
        feeds.push(feed);
    }
    feeds.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(feeds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "[[feed]]\nname = \"mine\"\nurls = [\"https://lists.example.com/x\"]\nformat = \"lines\"\n\
        info = \"internal\"\nreference = \"soc\"\n";

    #[test]
    fn faults_name_file_line_and_remedy() {
        let twice = format!("{GOOD}\n{GOOD}");
        let cases = [
            ("[[feed]\n", "own.toml:1: "),
            ("# x\n\n[[feed]]\nname = 1\n", "own.toml:4: "),
            (&GOOD.replace("lines", "rss"), "own.toml:4: "),
            (&GOOD.replace("info", "colour"), "own.toml:5: "),
            (
                &GOOD.replace("https", "ftp"),
                "own.toml:1: feed `mine`: `urls` must name",
            ),
            (
                &GOOD.replace("\"mine\"", "\"../x\""),
                "own.toml:1: feed `../x`: its name may have",
            ),
            (
                &GOOD.replace("lines", "csv"),
                "own.toml:1: feed `mine`: columns need separator",
            ),
            (
                &GOOD.replace("lines", "regex"),
                "own.toml:1: feed `mine`: pattern must be",
            ),
            (&twice, "own.toml:8: feed `mine` occurs twice"),
        ];
        for (text, start) in cases {
            let error = read(text, Path::new("own.toml"))
                .expect_err(text)
                .to_string();
            assert!(error.starts_with(start), "{error}");
        }
        assert_eq!(read(GOOD, Path::new("x")).expect("good").len(), 1);
    }

    #[test]
    fn an_own_feed_adds_or_replaces_and_a_bad_file_costs_itself() {
        let folder = tempfile::tempdir().expect("folder");
        let path = folder.path().join("feeds.toml");
        let ours = super::super::feeds().expect("ours").len();
        fs::write(&path, GOOD).expect("file");
        let (feeds, error) = super::super::all(Some(&path));
        assert_eq!((feeds.len(), error), (ours + 1, None));
        fs::write(&path, GOOD.replace("mine", "blackbook")).expect("file");
        let (feeds, _) = super::super::all(Some(&path));
        assert_eq!(feeds.len(), ours);
        let replaced = feeds.iter().find(|feed| feed.name == "blackbook");
        assert_eq!(replaced.expect("feed").reference, "soc");
        fs::write(&path, "no").expect("file");
        let (feeds, error) = super::super::all(Some(&path));
        assert_eq!(feeds.len(), ours);
        assert!(error.is_some());
    }
}
