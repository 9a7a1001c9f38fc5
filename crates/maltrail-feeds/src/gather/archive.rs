//! The archive of the public static list: kept as it came, read by the build. It counts only when it can be
//! read to its end and holds lists; when its whitelist or ranges changed, the next one must confirm them, as
//! these decide what is never reported.

use std::path::PathBuf;

use ring::digest::{Context, SHA256};

use super::ask::{Origin, Trouble};
use crate::collection::Collection;
use crate::fetch::{Body, hex};
use crate::store::Store;

/// Lists of an archive that hide trails.
const HIDING: [&str; 3] = ["whitelist.txt", "cdn_ranges.txt", "bogon_ranges.txt"];

/// An archive that was read to its end.
#[derive(Debug)]
pub(super) struct Archive {
    pub(super) path: PathBuf,
    pub(super) digest: String,
    /// Lines of its lists.
    pub(super) entries: usize,
    /// Digest of the lists that hide trails.
    pub(super) lists_digest: String,
    pub(super) origin: Origin,
}

/// Keeps a body that is such an archive.
pub(super) fn keep(
    store: &Store,
    name: &str,
    body: &mut Body,
    origin: Origin,
) -> Result<Archive, Trouble> {
    let path = store
        .keep_archive(name, body)
        .map_err(|error| format!("cannot keep it: {error}"))?;
    let collection = Collection::read(&path, &mut |_| {}).map_err(|error| error.to_string())?;
    let entries = collection.lists().map(|list| lines(&list.bytes)).sum();
    let mut digest = Context::new(&SHA256);
    for name in HIDING {
        digest.update(collection.data(name).as_bytes());
        digest.update(b"\0");
    }
    Ok(Archive {
        path,
        digest: body.digest().to_owned(),
        entries,
        lists_digest: hex(digest.finish().as_ref()),
        origin,
    })
}

/// Lines that are neither empty nor comments.
fn lines(bytes: &[u8]) -> usize {
    bytes
        .split(|byte| *byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty() && !line.starts_with(b"#"))
        .count()
}
