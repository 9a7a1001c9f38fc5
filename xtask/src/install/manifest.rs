//! The list of what an installation wrote: `PREFIX/lib/maltrail/manifest`, tab-separated lines.
//!
//! Only what stands here is ever overwritten or removed. While an installation runs, a file may have two digests, that
//! of the old and that of the new version, so that one which was cut off can go on. After an `uninstall` without `--purge`
//! the list keeps what was left in place.
//!
//! Bounds: [`ENTRIES`] lines; more is no manifest of ours.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context as _, bail, ensure};

/// Most lines; an installation has about sixty.
const ENTRIES: usize = 10_000;
/// The first line.
const HEAD: &str = "maltrail-install\t1";

/// SHA-256 of a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Digest([u8; 32]);

impl Digest {
    /// Of these bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let digest = ring::digest::digest(&ring::digest::SHA256, bytes);
        let mut out = [0; 32];
        out.copy_from_slice(digest.as_ref());
        Self(out)
    }

    /// The first bytes as a number.
    pub(crate) const fn number(self) -> u16 {
        u16::from_be_bytes([self.0[0], self.0[1]])
    }

    fn parse(text: &str) -> Option<Self> {
        if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut out = [0; 32];
        for (index, byte) in out.iter_mut().enumerate() {
            *byte = u8::from_str_radix(text.get(index * 2..index * 2 + 2)?, 16).ok()?;
        }
        Some(Self(out))
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(out, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{self}")
    }
}

/// What is done with a file that is not as it was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Care {
    /// It is nobody's to change: the installation stops and names it.
    Plain,
    /// It may be changed, and is kept then.
    Editable,
    /// It is the user's as soon as it is there; the new one goes beside it.
    Config,
}

/// One thing that was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Entry {
    /// A file with these contents.
    File { care: Care, digests: Vec<Digest> },
    /// A symbolic link.
    Link(PathBuf),
    /// A folder that was not there before; removed when empty.
    Folder,
    /// A folder with data, that was not there before; removed with `--purge` only.
    Data,
}

/// Everything that was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Manifest {
    /// By path.
    pub(crate) entries: BTreeMap<PathBuf, Entry>,
    /// The user, when the installation made it.
    pub(crate) user: Option<String>,
}

impl Manifest {
    /// Whether a file of these contents is one that was written.
    pub(crate) fn wrote(&self, path: &Path, digest: Digest) -> bool {
        matches!(self.entries.get(path), Some(Entry::File { digests, .. }) if digests.contains(&digest))
    }

    /// Both lists; of a file, both versions.
    pub(crate) fn joined(&self, other: &Self) -> Self {
        let mut all = self.clone();
        all.user = other.user.clone().or(all.user);
        for (path, entry) in &other.entries {
            match (all.entries.get_mut(path), entry) {
                (Some(Entry::File { digests, .. }), Entry::File { digests: more, .. }) => {
                    let new = more.iter().filter(|one| !digests.contains(one)).copied();
                    let new: Vec<Digest> = new.collect();
                    digests.extend(new);
                }
                _ => {
                    all.entries.insert(path.clone(), entry.clone());
                }
            }
        }
        all
    }

    /// The file's text.
    pub(crate) fn text(&self) -> String {
        let mut out = format!("{HEAD}\n");
        if let Some(user) = &self.user {
            let _ = writeln!(out, "user\t{user}");
        }
        for (path, entry) in &self.entries {
            let path = path.display();
            let _ = match entry {
                Entry::File { care, digests } => {
                    let digests: Vec<String> = digests.iter().map(Digest::to_string).collect();
                    writeln!(out, "{}\t{}\t{path}", word(*care), digests.join(","))
                }
                Entry::Link(target) => writeln!(out, "link\t{}\t{path}", target.display()),
                Entry::Folder => writeln!(out, "folder\t{path}"),
                Entry::Data => writeln!(out, "data\t{path}"),
            };
        }
        out
    }

    /// Reads it.
    ///
    /// # Errors
    /// When a line is none of ours: nothing is to be removed by a list that something else has written.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let mut lines = (1..).zip(text.lines());
        ensure!(
            lines.next().is_some_and(|(_, line)| line == HEAD),
            "line 1: not `{HEAD}`"
        );
        let mut manifest = Self::default();
        for (at, line) in lines {
            ensure!(at <= ENTRIES, "more than {ENTRIES} lines");
            manifest
                .take(line)
                .with_context(|| format!("line {at}: `{line}`"))?;
        }
        Ok(manifest)
    }

    fn take(&mut self, line: &str) -> anyhow::Result<()> {
        let fields: Vec<&str> = line.split('\t').collect();
        let (path, entry) = match fields.as_slice() {
            ["user", name] => {
                self.user = Some((*name).to_owned());
                return Ok(());
            }
            ["folder", path] => (path, Entry::Folder),
            ["data", path] => (path, Entry::Data),
            ["link", target, path] => (path, Entry::Link(target.into())),
            [kind, digests, path] => {
                let care = [Care::Plain, Care::Editable, Care::Config]
                    .into_iter()
                    .find(|care| word(*care) == *kind)
                    .context("no such kind")?;
                let digests: Option<Vec<Digest>> = digests.split(',').map(Digest::parse).collect();
                let digests = digests.context("not a digest")?;
                (path, Entry::File { care, digests })
            }
            _ => bail!("not a line of a manifest"),
        };
        let path = PathBuf::from(path);
        let clean = path
            .components()
            .all(|part| !matches!(part, Component::ParentDir | Component::CurDir));
        ensure!(
            path.is_absolute() && clean && path != Path::new("/"),
            "not an absolute path"
        );
        self.entries.insert(path, entry);
        Ok(())
    }
}

const fn word(care: Care) -> &'static str {
    match care {
        Care::Plain => "file",
        Care::Editable => "editable",
        Care::Config => "config",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(care: Care, texts: &[&str]) -> Entry {
        let digests = texts.iter().map(|text| Digest::of(text.as_bytes()));
        Entry::File {
            care,
            digests: digests.collect(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        // FIPS 180-2, appendix B.1.
        assert_eq!(
            Digest::of(b"abc").to_string(),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
        );
        let mut manifest = Manifest {
            user: Some("maltrail".into()),
            ..Manifest::default()
        };
        for (path, entry) in [
            ("/a/b c", file(Care::Plain, &["x", "y"])),
            ("/a/conf", file(Care::Config, &["x"])),
            ("/a/unit", file(Care::Editable, &["x"])),
            ("/a/link", Entry::Link("../x".into())),
            ("/a", Entry::Folder),
            ("/var/log/maltrail", Entry::Data),
        ] {
            manifest.entries.insert(path.into(), entry);
        }
        assert_eq!(Manifest::parse(&manifest.text()).expect("valid"), manifest);
        assert!(manifest.wrote(Path::new("/a/b c"), Digest::of(b"y")));
        assert!(!manifest.wrote(Path::new("/a/b c"), Digest::of(b"z")));
        assert!(!manifest.wrote(Path::new("/a"), Digest::of(b"y")));
    }

    #[test]
    fn a_list_of_somebody_else_is_refused() {
        for bad in [
            "",
            "something else\n",
            "maltrail-install\t1\nfile\tabc\t/x\n",
            "maltrail-install\t1\nfolder\tetc\n",
            "maltrail-install\t1\nfolder\t/\n",
            "maltrail-install\t1\ndata\t/var/../etc\n",
            "maltrail-install\t1\nfile\t/x\n",
        ] {
            assert!(Manifest::parse(bad).is_err(), "{bad:?}");
        }
        let many = format!("{HEAD}\n{}", "folder\t/x\n".repeat(ENTRIES));
        assert!(Manifest::parse(&many).is_err());
    }

    #[test]
    fn joined_lists_know_both_versions() {
        let path = Path::new("/x");
        let [mut old, mut new] = [Manifest::default(), Manifest::default()];
        old.entries.insert(path.into(), file(Care::Plain, &["old"]));
        new.entries.insert(path.into(), file(Care::Plain, &["new"]));
        new.entries.insert("/y".into(), Entry::Folder);
        let all = old.joined(&new);
        assert!(all.wrote(path, Digest::of(b"old")) && all.wrote(path, Digest::of(b"new")));
        assert_eq!(all.entries.len(), 2);
        assert_eq!(all.joined(&new), all);
    }
}
