//! Making the compressed files of one state of `TRAILS_FILE`.
//!
//! A file's name in the cache holds all that is needed to use it again after a restart: digest of the CSV, form,
//! audience, ETag, and its sizes. A file of another size is not used.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::Path;
use std::sync::Arc;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use maltrail_core::config::TrailsConfig;
use maltrail_core::trail::{Origin, TrailSetBuilder, Whitelist, csv as rows};
use ring::digest::{Context, SHA256};
use tempfile::NamedTempFile;

use super::Audience;

/// Bytes copied at a time.
const PIECE: usize = 64 * 1024;
/// Hex digits of a digest that are kept.
const DIGITS: usize = 32;

/// A compressed file, held open.
#[derive(Debug)]
pub(crate) struct Prepared {
    file: File,
    etag: String,
    gzip_bytes: u64,
    plain_bytes: u64,
}

/// Both audiences' files.
pub(super) type Made = [(Audience, Arc<Prepared>); 2];

impl Prepared {
    /// Names the content, whatever its encoding.
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    /// Size as it is kept.
    pub(crate) const fn gzip_bytes(&self) -> u64 {
        self.gzip_bytes
    }

    /// Size inflated.
    pub(crate) const fn plain_bytes(&self) -> u64 {
        self.plain_bytes
    }

    /// Its bytes as they are kept.
    pub(crate) const fn gzip(&self) -> impl Read {
        At {
            file: &self.file,
            at: 0,
        }
    }

    /// Its bytes inflated.
    pub(crate) fn plain(&self) -> impl Read {
        GzDecoder::new(self.gzip())
    }
}

/// Reads from a place of its own, so that several may read one file.
struct At<'a> {
    file: &'a File,
    at: u64,
}

impl Read for At<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// The rows of `trails.csv`, for both audiences.
pub(super) fn csv(path: &Path, cache: &Path) -> io::Result<Made> {
    let digest = digest_of(path)?;
    if let Some(made) = reuse(cache, &format!("{digest}-csv")) {
        return Ok(made);
    }
    let mut all = Output::new(cache)?;
    let mut public = Output::new(cache)?;
    let line_end = line_end_of(path)?;
    let mut hidden = false;
    {
        let mut writer = csv::WriterBuilder::new()
            .terminator(line_end)
            .flexible(true)
            .from_writer(&mut public);
        let source = Tee {
            source: File::open(path)?,
            copy: &mut all,
        };
        let mut failed = Ok(());
        let counts = rows::read(source, |key, info, reference| {
            if !Audience::Public.takes(info, reference) {
                hidden = true;
            } else if failed.is_ok() {
                failed = writer.write_record([key, info, reference]);
            }
        })?;
        // A row without three columns has no origin that could be judged.
        hidden |= counts.malformed > 0;
        failed.map_err(io::Error::other)?;
        writer.flush()?;
    }
    if all.digest() != digest {
        return Err(io::Error::other("it changed while it was read"));
    }
    place_both(
        cache,
        &format!("{digest}-csv"),
        all,
        hidden.then_some(public),
    )
}

/// The mapped form, for both audiences.
pub(super) fn image(
    config: &TrailsConfig,
    whitelist: &Whitelist,
    cache: &Path,
) -> io::Result<Made> {
    let digest = digest_of(&config.file)?;
    let white = hex(&whitelist.digest(), 8);
    let repair = u8::from(config.repair_truncated);
    let prefix = format!("{digest}-img{white}{repair}");
    if let Some(made) = reuse(cache, &prefix) {
        return Ok(made);
    }
    let (all, _) = image_for(Audience::Operator, config, whitelist, cache)?;
    let (public, hidden) = image_for(Audience::Public, config, whitelist, cache)?;
    place_both(cache, &prefix, all, hidden.then_some(public))
}

fn image_for(
    audience: Audience,
    config: &TrailsConfig,
    whitelist: &Whitelist,
    cache: &Path,
) -> io::Result<(Output, bool)> {
    let source = File::open(&config.file)?;
    let origin = Origin::of(&source.metadata()?, whitelist, config.repair_truncated);
    let mut builder = TrailSetBuilder::new(whitelist.clone());
    let mut hidden = false;
    rows::read(source, |key, info, reference| {
        if audience.takes(info, reference) {
            builder.push(key, info, reference);
        } else {
            hidden = true;
        }
    })?;
    let mut output = Output::new(cache)?;
    let image = NamedTempFile::new_in(cache)?;
    builder.write(image.as_file(), &origin)?;
    let mut image = At {
        file: image.as_file(),
        at: 0,
    };
    copy(&mut image, &mut output)?;
    Ok((output, hidden))
}

/// A file being made: compresses, counts and digests what it is given.
struct Output {
    gzip: GzEncoder<BufWriter<NamedTempFile>>,
    digest: Context,
    bytes: u64,
}

impl Output {
    fn new(cache: &Path) -> io::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o750)
            .create(cache)?;
        let file = BufWriter::with_capacity(PIECE, NamedTempFile::new_in(cache)?);
        Ok(Self {
            gzip: GzEncoder::new(file, Compression::default()),
            digest: Context::new(&SHA256),
            bytes: 0,
        })
    }

    fn digest(&self) -> String {
        hex(self.digest.clone().finish().as_ref(), DIGITS)
    }

    /// Gives it its name and opens it.
    fn place(self, cache: &Path, prefix: &str, audience: &str) -> io::Result<Arc<Prepared>> {
        let (etag, plain_bytes) = (self.digest(), self.bytes);
        let file = self
            .gzip
            .finish()?
            .into_inner()
            .map_err(|error| error.into_error())?;
        let gzip_bytes = file.as_file().metadata()?.len();
        let name = format!("{prefix}-{audience}-{etag}-{plain_bytes}-{gzip_bytes}.gz");
        let file = file
            .persist(cache.join(name))
            .map_err(|error| error.error)?;
        Ok(Arc::new(Prepared {
            file,
            etag,
            gzip_bytes,
            plain_bytes,
        }))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gzip.write_all(bytes)?;
        self.digest.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies what is read.
struct Tee<'a> {
    source: File,
    copy: &'a mut Output,
}

impl Read for Tee<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.copy
            .write_all(buffer.get(..count).unwrap_or_default())?;
        Ok(count)
    }
}

/// Places one or two files; `None` means that the public may have all of it. Files of former states go.
fn place_both(cache: &Path, prefix: &str, all: Output, public: Option<Output>) -> io::Result<Made> {
    let all = all.place(cache, prefix, Audience::Operator.word())?;
    let public = match public {
        Some(public) => public.place(cache, prefix, Audience::Public.word())?,
        None => Arc::clone(&all),
    };
    let digest = prefix.split('-').next().unwrap_or_default();
    for entry in fs::read_dir(cache)?.flatten() {
        let name = entry.file_name();
        if !name.as_encoded_bytes().starts_with(digest.as_bytes()) {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok([(Audience::Operator, all), (Audience::Public, public)])
}

/// The files that an earlier run made of the same state, when they are whole. A state without a file for
/// the public has one for all.
fn reuse(cache: &Path, prefix: &str) -> Option<Made> {
    let names: HashSet<String> = fs::read_dir(cache)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with(prefix))
        .collect();
    let find = |audience: Audience| {
        let start = format!("{prefix}-{}-", audience.word());
        names.iter().find(|name| name.starts_with(&start))
    };
    let all = open(cache, find(Audience::Operator)?)?;
    let public = match find(Audience::Public) {
        Some(name) => open(cache, name)?,
        None => Arc::clone(&all),
    };
    Some([(Audience::Operator, all), (Audience::Public, public)])
}

fn open(cache: &Path, name: &str) -> Option<Arc<Prepared>> {
    let mut parts = name.strip_suffix(".gz")?.rsplit('-');
    let gzip_bytes = parts.next()?.parse().ok()?;
    let plain_bytes = parts.next()?.parse().ok()?;
    let etag = parts.next()?.to_owned();
    let file = File::open(cache.join(name)).ok()?;
    let is_whole = file.metadata().ok()?.len() == gzip_bytes;
    is_whole.then(|| {
        Arc::new(Prepared {
            file,
            etag,
            gzip_bytes,
            plain_bytes,
        })
    })
}

/// The line end of a file's first line.
fn line_end_of(path: &Path) -> io::Result<csv::Terminator> {
    let mut head = vec![0; PIECE];
    let count = File::open(path)?.read_at(&mut head, 0)?;
    head.truncate(count);
    let end = head.iter().position(|&byte| byte == b'\n').unwrap_or(0);
    let is_long = end.checked_sub(1).and_then(|before| head.get(before)) == Some(&b'\r');
    Ok(if is_long {
        csv::Terminator::CRLF
    } else {
        csv::Terminator::Any(b'\n')
    })
}

fn digest_of(path: &Path) -> io::Result<String> {
    let mut digest = Context::new(&SHA256);
    let mut file = File::open(path)?;
    let mut buffer = vec![0; PIECE];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(digest.finish().as_ref(), DIGITS)),
            count => digest.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

fn copy(source: &mut impl Read, output: &mut Output) -> io::Result<()> {
    let mut buffer = vec![0; PIECE];
    loop {
        match source.read(&mut buffer)? {
            0 => return Ok(()),
            count => output.write_all(buffer.get(..count).unwrap_or_default())?,
        }
    }
}

fn hex(bytes: &[u8], digits: usize) -> String {
    let text: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    text.chars().take(digits).collect()
}
