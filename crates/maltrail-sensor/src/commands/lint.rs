//! `sensor lint`: what is wrong with list files.
//!
//! Exit code 0: no error; 1: an error; 2: a file that cannot be read. A folder stands for the `.txt` files in
//! it and in its folders. Files below a folder named `custom` are read as the user's own.

use std::fs;
use std::io::{self, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use maltrail_core::addr::{NetworkSet, parse_net};
use maltrail_core::config::Config;
use maltrail_core::trail::line::Dialect;
use maltrail_feeds::lint::{Finding, Level, LintContext, LintCounts, lint};
use maltrail_feeds::{embedded, load};

use crate::trails;

/// Largest file that is read.
const FILE_BYTES: u64 = 64 << 20;
/// Most files of one call.
const FILES: usize = 100_000;
/// Folders in folders that are looked into.
const DEPTH: usize = 3;

/// What was asked for.
pub(crate) struct Request<'a> {
    pub(crate) files: &'a [PathBuf],
    pub(crate) least: Level,
    pub(crate) json: bool,
}

/// Looks through the files and prints what it finds; whether no error is among it.
///
/// # Errors
/// When a file cannot be read.
pub(crate) fn run(config: &Config, request: &Request<'_>) -> anyhow::Result<bool> {
    let context = context(config)?;
    let mut files = Vec::new();
    for path in request.files {
        collect(path, DEPTH, &mut files)?;
    }
    let mut out = BufWriter::new(io::stdout().lock());
    let mut total = LintCounts::default();
    for path in &files {
        let (name, bytes) = read(path)?;
        let dialect = dialect_of(&name);
        let counts = lint(&name, &bytes, dialect, &context, &mut |finding| {
            if finding.level >= request.least {
                // A closed pipe ends the listing, not the count.
                let _ = writeln!(out, "{}", line(&finding, request.json));
            }
        });
        total.entries += counts.entries;
        for (sum, count) in total.levels.iter_mut().zip(counts.levels) {
            *sum += count;
        }
    }
    let [notes, warnings, errors] = total.levels;
    let summary = if request.json {
        serde_json::json!({
            "files": files.len(), "entries": total.entries, "errors": errors, "warnings": warnings, "notes": notes,
        })
        .to_string()
    } else {
        format!(
            "{} entries in {} files: {errors} errors, {warnings} warnings, {notes} notes",
            total.entries,
            files.len()
        )
    };
    let _ = writeln!(out, "{summary}").and_then(|()| out.flush());
    Ok(errors == 0)
}

fn line(finding: &Finding, as_json: bool) -> String {
    if !as_json {
        return finding.to_string();
    }
    serde_json::json!({
        "file": finding.file, "line": finding.line, "level": finding.level.name(), "rule": finding.rule,
        "text": finding.text, "message": finding.message,
    })
    .to_string()
}

fn dialect_of(name: &str) -> Dialect {
    let own = Path::new(name)
        .components()
        .any(|part| part.as_os_str() == "custom");
    if own {
        Dialect::Custom
    } else {
        Dialect::Static
    }
}

fn context(config: &Config) -> anyhow::Result<LintContext> {
    let ranges = |name: &str| {
        let mut texts = vec![embedded::collection().data(name).into_owned()];
        let places = load::places(&config.trails, &config.root, name);
        let read = |path: &PathBuf| fs::read(path).ok();
        let bytes = places.iter().filter_map(read);
        texts.extend(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()));
        let lines = texts.iter().flat_map(|text| text.lines());
        let net = |line: &str| parse_net(line.split(['#', ',']).next().unwrap_or_default().trim());
        NetworkSet::new(lines.filter_map(net))
    };
    Ok(LintContext {
        whitelist: trails::whitelist(config)?,
        bogons: ranges("bogon_ranges.txt"),
        cdns: ranges("cdn_ranges.txt"),
    })
}

/// The files that a path stands for, by name.
fn collect(path: &Path, depth: usize, files: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    if !path.is_dir() {
        if files.len() >= FILES {
            bail!("more than {FILES} files");
        }
        files.push(path.to_owned());
        return Ok(());
    }
    let entries =
        fs::read_dir(path).with_context(|| format!("cannot read `{}`", path.display()))?;
    let mut inner: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    inner.sort();
    for path in inner {
        let is_list = path.extension().is_some_and(|end| end == "txt");
        if (path.is_dir() && depth > 0) || (is_list && path.is_file()) {
            collect(&path, depth.saturating_sub(1), files)?;
        }
    }
    Ok(())
}

fn read(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    let cannot = || format!("cannot read `{}`", path.display());
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        io::stdin()
            .lock()
            .take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")?;
    } else {
        let file = fs::File::open(path).with_context(cannot)?;
        file.take(FILE_BYTES + 1)
            .read_to_end(&mut bytes)
            .with_context(cannot)?;
    }
    if bytes.len() as u64 > FILE_BYTES {
        bail!("`{}` has more than {FILE_BYTES} bytes", path.display());
    }
    Ok((path.display().to_string(), bytes))
}

#[cfg(test)]
mod tests {
    use maltrail_core::config::Environment;
    use maltrail_engine::lookup;
    use maltrail_feeds::lint::SITE_SUFFIXES;

    use super::*;

    fn check(root: &Path, files: &[&Path]) -> anyhow::Result<bool> {
        let text = format!("TRAILS_FILE {}/out/trails.csv\n", root.display());
        let (config, _) =
            Config::parse(&text, "f", root, &Environment::default()).expect("configuration");
        let files: Vec<PathBuf> = files.iter().map(|path| (*path).to_owned()).collect();
        let request = Request {
            files: &files,
            least: Level::Note,
            json: true,
        };
        run(&config, &request)
    }

    #[test]
    fn folders_are_looked_through_and_errors_decide() {
        let root = tempfile::tempdir().expect("folder");
        let inner = root.path().join("static/malware");
        fs::create_dir_all(&inner).expect("folder");
        fs::write(inner.join("a.txt"), "a.biz\n").expect("file");
        fs::write(inner.join("readme.md"), "5.9.9.256\n").expect("file");
        assert!(check(root.path(), &[root.path()]).expect("lint"));
        fs::write(inner.join("b.txt"), "5.9.9.256\n").expect("file");
        assert!(!check(root.path(), &[root.path()]).expect("lint"));
        assert!(check(root.path(), &[&inner.join("a.txt")]).expect("lint"));
        assert!(check(root.path(), &[&inner.join("none.txt")]).is_err());
        assert_eq!(dialect_of("trails/custom/x.txt"), Dialect::Custom);
        assert_eq!(dialect_of("trails/static/custom_x.txt"), Dialect::Static);
    }

    #[test]
    fn suffixes_are_those_of_the_engine() {
        for suffix in SITE_SUFFIXES {
            assert!(lookup::is_site_name(&format!("x.{suffix}")), "{suffix}");
        }
        assert!(!lookup::is_site_name("x.com"));
    }

    #[test]
    fn the_lists_of_the_product_are_clean() {
        let root = tempfile::tempdir().expect("folder");
        let lists = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../trails/static");
        assert!(check(root.path(), &[&lists]).expect("lint"));
    }
}
