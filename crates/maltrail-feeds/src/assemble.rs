//! Files of a collection and of the user → rows.
//!
//! Shipped lists go in this order, a later one replacing an earlier one: `malicious` and
//! `suspicious`, files directly in `trails/static`, `malware`, any other folder; inside a folder by
//! name, files with `history` in their name first (`spec` trails §4, made deterministic).

use std::collections::BTreeMap;

use ipnet::IpNet;
use maltrail_core::addr::{NetworkSet, parse_net};
use maltrail_core::trail::Whitelist;
use maltrail_core::trail::build::{BuildOptions, Built, SourceId, Stage, TrailBuilder};
use maltrail_core::trail::line::{Dialect, entry};

use crate::catalog::{Blocks, FeedFacts, ListId, ListKind, Listings};
use crate::collection::{Collection, ListFile};
use crate::report::{Reason, Report};
use crate::store::FeedRows;

/// What decides about a build beside the files.
#[derive(Clone, Debug, Default)]
pub struct AssembleOptions {
    /// `IP_MINIMUM_FEEDS`.
    pub ip_minimum_feeds: u32,
    /// `DISABLED_TRAILS_INFO_REGEX`, compiled.
    pub disabled_info: Option<regex::Regex>,
    /// Text of the user's whitelist.
    pub user_whitelist: String,
    /// `DISABLED_FEEDS` names `static`.
    pub without_static: bool,
    /// `DISABLED_FEEDS` names `custom`.
    pub without_custom: bool,
}

/// Where rows come from. Each kind is merged by its own rule.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Shipped lists, in order.
    pub collections: Vec<Collection>,
    /// The user's own files.
    pub custom: Vec<ListFile>,
    /// Entries of the feeds, in order of the feeds' names.
    pub feeds: Vec<FeedRows>,
    /// Bodies of the user's lists elsewhere (`CUSTOM_TRAILS_URL`).
    pub remote: Vec<String>,
    /// When the entries of a feed were fetched, in seconds since 1970, by its name.
    pub fetched: BTreeMap<String, u64>,
}

/// Label of the user's lists elsewhere.
const REMOTE_INFO: &str = "blacklisted";
/// Largest network of a remote list that is also written out as single addresses (`spec` trails §3):
/// up to /22.
const EXPANDED: usize = 1025;

/// Entries and lists between two calls of `progress`.
const PROGRESS_LISTS: usize = 16;

/// Builds the rows of `sources`. `progress` hears lists done and lists in all.
pub fn assemble(
    sources: &Sources,
    options: &AssembleOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> (Built, Report) {
    let (built, report, _) = Assembly::new(sources, options, None).run(sources, options, progress);
    (built, report)
}

/// The same, and which list names which key: for [`crate::catalog::Catalog::record`].
pub fn assemble_listed(
    sources: &Sources,
    options: &AssembleOptions,
    progress: &mut dyn FnMut(usize, usize),
) -> (Built, Report, Listings) {
    Assembly::new(sources, options, Some(Listings::default())).run(sources, options, progress)
}

/// A build under way.
struct Assembly {
    builder: TrailBuilder,
    report: Report,
    /// `None` when nobody asks for them.
    listings: Option<Listings>,
}

/// A source, and the list that it is in the catalog.
#[derive(Clone, Copy)]
struct Origin {
    source: SourceId,
    list: Option<ListId>,
}

impl Assembly {
    fn new(sources: &Sources, options: &AssembleOptions, listings: Option<Listings>) -> Self {
        Self {
            builder: TrailBuilder::new(build_options(&sources.collections, options)),
            report: Report::default(),
            listings,
        }
    }

    fn run(
        mut self,
        sources: &Sources,
        options: &AssembleOptions,
        progress: &mut dyn FnMut(usize, usize),
    ) -> (Built, Report, Listings) {
        self.add_feeds(sources);
        let shipped = if options.without_static {
            Vec::new()
        } else {
            in_order(&sources.collections)
        };
        let own = if options.without_custom {
            [].as_slice()
        } else {
            sources.custom.as_slice()
        };
        let total = shipped.len() + own.len();
        let lists = own
            .iter()
            .map(|file| (file, Stage::Custom))
            .chain(shipped.iter().map(|file| (*file, Stage::Static)));
        for (done, (file, stage)) in lists.enumerate() {
            self.add_file(file, stage);
            if done % PROGRESS_LISTS == 0 {
                progress(done, total);
            }
        }
        for (number, body) in (1..).zip(&sources.remote) {
            self.add_remote(number, body);
        }
        progress(total, total);
        let mut listings = self.listings.unwrap_or_default();
        listings.close_all();
        let built = self.builder.finish();
        self.report.dropped.clone_from(built.dropped());
        (built, self.report, listings)
    }

    fn origin(
        &mut self,
        stage: Stage,
        kind: ListKind,
        name: &str,
        info: &str,
        reference: &str,
    ) -> Origin {
        let list = self.listings.as_mut();
        Origin {
            source: self.builder.source(info, reference, stage),
            list: list.map(|listings| listings.list(kind, name, info, reference)),
        }
    }

    /// Adds an entry; `text` is how it was written, for the report.
    fn add(&mut self, origin: Origin, entry: &str, file: &str, at: usize, text: &str) {
        self.report.entries += 1;
        match self.builder.add(origin.source, entry) {
            Ok(hash) => {
                if let (Some(listings), Some(list)) = (&mut self.listings, origin.list) {
                    listings.name(list, hash, at);
                }
            }
            Err(error) => self.report.refuse(file, at, Reason::Key(error), text),
        }
    }

    fn add_feeds(&mut self, sources: &Sources) {
        for rows in &sources.feeds {
            let facts = FeedFacts {
                confidence: Some(rows.confidence),
                fetched_at: sources.fetched.get(&rows.feed).copied(),
            };
            let mut last: Option<(String, String, Origin)> = None;
            let read = rows.each(|text, info, reference| {
                let known = last.as_ref().filter(|(last_info, last_reference, _)| {
                    last_info == info && last_reference == reference
                });
                let origin = known.map(|(_, _, origin)| *origin);
                let origin = origin.unwrap_or_else(|| {
                    let origin =
                        self.origin(Stage::Feed, ListKind::Feed, &rows.feed, info, reference);
                    if let (Some(listings), Some(list)) = (&mut self.listings, origin.list) {
                        listings.vouch(list, &facts);
                    }
                    last = Some((info.to_owned(), reference.to_owned(), origin));
                    origin
                });
                self.add(origin, text, reference, 0, text);
            });
            if let Err(error) = read {
                self.report.refuse(
                    &rows.feed,
                    rows.len(),
                    Reason::Unreadable,
                    &error.to_string(),
                );
            }
        }
    }

    /// A list of `CUSTOM_TRAILS_URL`: custom lines, and each small network also as its addresses.
    fn add_remote(&mut self, number: usize, body: &str) {
        let name = format!("CUSTOM_TRAILS_URL {number}");
        let origin = self.origin(
            Stage::RemoteCustom,
            ListKind::Remote,
            &name,
            REMOTE_INFO,
            "(remote custom)",
        );
        for (at, line) in (1..).zip(body.lines()) {
            let Some(entry) = entry(line, Dialect::Custom) else {
                continue;
            };
            self.add(origin, &entry, &name, at, line);
            let Some(IpNet::V4(net)) = parse_net(&entry) else {
                continue;
            };
            let addresses = net.network()..=net.broadcast();
            if 32 - u32::from(net.prefix_len()) <= EXPANDED.ilog2() {
                for address in addresses {
                    // A dotted quad is never refused.
                    let _ = self.builder.add(origin.source, &address.to_string());
                }
            }
        }
    }

    fn add_file(&mut self, file: &ListFile, stage: Stage) {
        self.report.files += 1;
        let (name, category) = label(&file.path);
        if file.path.ends_with(".csv") {
            return self.add_csv(file, &category);
        }
        let (dialect, origin) = match stage {
            Stage::Static => {
                let info = format!("{name}{category}");
                let kind = ListKind::Static;
                let origin = self.origin(stage, kind, &file.path, &info, "(static)");
                (Dialect::Static, origin)
            }
            _ => {
                let kind = ListKind::Custom;
                let origin = self.origin(stage, kind, &file.path, &name, "(custom)");
                (Dialect::Custom, origin)
            }
        };
        let mut blocks = Blocks::default();
        let listed = self.listings.is_some();
        for (at, line) in lines(&file.bytes) {
            let Some(text) = self.text(file, at, line) else {
                continue;
            };
            let Some(entry) = entry(text, dialect) else {
                if listed {
                    blocks.remark(text);
                }
                continue;
            };
            if listed {
                blocks.entry(u32::try_from(at).unwrap_or(u32::MAX));
            }
            self.add(origin, &entry, &file.path, at, text.trim());
        }
        if let (Some(listings), Some(list)) = (&mut self.listings, origin.list) {
            listings.describe(list, blocks);
            listings.close(list);
        }
    }

    /// A line's text; one that is not UTF-8 is refused.
    fn text<'a>(&mut self, file: &ListFile, at: usize, line: &'a [u8]) -> Option<&'a str> {
        let text = std::str::from_utf8(line).ok();
        if text.is_none() {
            let text = String::from_utf8_lossy(line);
            self.report.refuse(&file.path, at, Reason::Encoding, &text);
        }
        text
    }

    /// `entry,info` rows; the info gets the folder's category.
    fn add_csv(&mut self, file: &ListFile, category: &str) {
        let stem = file
            .path
            .rsplit('/')
            .next()
            .and_then(|name| name.strip_suffix(".csv"))
            .unwrap_or_default();
        let reference = format!("{stem} (static)");
        for (at, line) in lines(&file.bytes) {
            let Some(text) = self.text(file, at, line) else {
                continue;
            };
            let text = text.trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let Some((value, info)) = text.split_once(',') else {
                self.report.refuse(&file.path, at, Reason::Columns, text);
                continue;
            };
            let info = info.split(',').next().unwrap_or_default();
            let info = format!("{}{category}", info.trim().trim_matches('"'));
            let kind = ListKind::Static;
            let origin = self.origin(Stage::Static, kind, &file.path, &info, &reference);
            if let Some(entry) = entry(value, Dialect::Static) {
                self.add(origin, &entry, &file.path, at, value.trim());
            }
        }
    }
}

fn build_options(collections: &[Collection], options: &AssembleOptions) -> BuildOptions {
    let data = |name: &str| {
        collections
            .iter()
            .map(|collection| collection.data(name))
            .collect::<Vec<_>>()
    };
    let whitelists = data("whitelist.txt");
    let excluded = [data("bogon_ranges.txt"), data("cdn_ranges.txt")].concat();
    BuildOptions {
        ip_minimum_feeds: options.ip_minimum_feeds,
        disabled_info: options.disabled_info.clone(),
        whitelist: Whitelist::parse(
            whitelists
                .iter()
                .map(AsRef::as_ref)
                .chain([options.user_whitelist.as_str()]),
        ),
        excluded: ranges(excluded.iter().map(AsRef::as_ref)),
    }
}

fn ranges<'a>(texts: impl Iterator<Item = &'a str>) -> NetworkSet {
    let lines = texts
        .flat_map(str::lines)
        .map(|line| line.split(['#', ',']).next().unwrap_or_default().trim());
    NetworkSet::new(lines.filter_map(parse_net))
}

fn in_order(collections: &[Collection]) -> Vec<&ListFile> {
    let rank = |file: &ListFile| {
        let inner = file.path.strip_prefix("trails/static/").unwrap_or_default();
        let (folder, name) = inner.split_once('/').unwrap_or(("", inner));
        let folder_rank = match folder {
            "malicious" => 0,
            "suspicious" => 1,
            "" => 2,
            "malware" => 3,
            _ => 4,
        };
        (
            folder_rank,
            folder.to_owned(),
            !name.contains("history"),
            name.to_owned(),
        )
    };
    let mut files: Vec<&ListFile> = collections.iter().flat_map(Collection::lists).collect();
    files.sort_by_cached_key(|file| rank(file));
    files
}

/// `trails/static/malware/apt_foo-1.txt` → (`apt foo-1`, ` (malware)`).
fn label(path: &str) -> (String, String) {
    let inner = path
        .strip_prefix("trails/static/")
        .or_else(|| path.strip_prefix("trails/custom/"))
        .unwrap_or(path);
    let (folder, name) = inner
        .rsplit_once('/')
        .map_or(("", inner), |(folder, name)| (folder, name));
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    let category = if folder.is_empty() {
        String::new()
    } else {
        format!(" ({folder})")
    };
    (stem.replace('_', " "), category)
}

fn lines(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    (1..).zip(bytes.split(|byte| *byte == b'\n'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(collection: Collection, progress: &mut dyn FnMut(usize, usize)) -> (Built, Report) {
        let sources = Sources {
            collections: vec![collection],
            ..Sources::default()
        };
        assemble(&sources, &AssembleOptions::default(), progress)
    }

    fn rows(files: &[(&str, &str)]) -> (Vec<[String; 3]>, Report) {
        let collection = Collection::of(
            files
                .iter()
                .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())),
        );
        let (built, report) = built(collection, &mut |_, _| {});
        (
            built
                .rows()
                .map(|row| [row.key, row.info, row.reference].map(str::to_owned))
                .collect(),
            report,
        )
    }

    #[test]
    fn specific_files_win_over_history_inside_a_folder() {
        let (rows, _) = rows(&[
            ("trails/static/suspicious/bad_history.txt", "m3.biz\n"),
            ("trails/static/suspicious/pua.txt", "m3.biz\n"),
        ]);
        assert_eq!(rows, [["m3.biz", "pua (suspicious)", "(static)"]]);
    }

    #[test]
    fn one_bad_line_costs_one_line_and_is_named() {
        let bytes = b"ok.biz\nbad\xff.biz\n5.9.9.256\nlast.biz".to_vec();
        let collection = Collection::of([("trails/static/malware/zeus.txt".to_owned(), bytes)]);
        let (built, report) = built(collection, &mut |_, _| {});
        assert_eq!(
            built.rows().map(|row| row.key).collect::<Vec<_>>(),
            ["last.biz", "ok.biz"]
        );
        let lines: Vec<String> = report.lines.iter().map(ToString::to_string).collect();
        assert_eq!(
            lines[0],
            "trails/static/malware/zeus.txt:2: `bad\u{fffd}.biz`: not UTF-8"
        );
        assert!(
            lines[1]
                .starts_with("trails/static/malware/zeus.txt:3: `5.9.9.256`: not an IPv4 address")
        );
    }

    #[test]
    fn progress_ends_at_the_total() {
        let collection = Collection::of(
            (0..40).map(|at| (format!("trails/static/{at}.txt"), b"a.biz".to_vec())),
        );
        let mut last = (0, 0);
        built(collection, &mut |done, total| last = (done, total));
        assert_eq!(last, (40, 40));
    }
}
