use std::collections::BTreeMap;
use std::fs;

use super::*;
use crate::FeedRows;
use crate::assemble::{AssembleOptions, Sources, assemble_listed};
use crate::collection::{Collection, ListFile};
use crate::formats::Entry;

const DAY: u64 = 86_400;

#[derive(Default)]
struct World {
    files: BTreeMap<String, String>,
    feeds: Vec<(String, String)>,
}

impl World {
    fn of(files: &[(&str, &str)]) -> Self {
        let files = files.iter();
        Self {
            files: files
                .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()))
                .collect(),
            feeds: Vec::new(),
        }
    }

    fn listings(&self) -> Listings {
        let own = |path: &str| path.starts_with("trails/custom/");
        let bytes = |text: &String| text.clone().into_bytes();
        let files = self.files.iter();
        let sources = Sources {
            collections: vec![Collection::of(
                files
                    .clone()
                    .filter(|(path, _)| !own(path))
                    .map(|(path, text)| (path.clone(), bytes(text))),
            )],
            custom: files
                .filter(|(path, _)| own(path))
                .map(|(path, text)| ListFile {
                    path: path.clone(),
                    bytes: bytes(text),
                })
                .collect(),
            feeds: self
                .feeds
                .iter()
                .map(|(reference, text)| {
                    let entry = Entry {
                        text: text.clone(),
                        info: "known attacker".to_owned(),
                        reference: reference.clone(),
                    };
                    let mut rows = FeedRows::of(reference, vec![entry]);
                    rows.confidence = 70;
                    rows
                })
                .collect(),
            fetched: [("feed.example".to_owned(), 5)].into(),
            ..Sources::default()
        };
        assemble_listed(&sources, &AssembleOptions::default(), &mut |_, _| {}).2
    }

    fn record(&self, folder: &Path, day: u64) -> CatalogOutcome {
        Catalog::record(folder, self.listings(), day * DAY, None).expect("record")
    }
}

/// `file:line info first..last urls` of every list that names `key`.
fn find(folder: &Path, key: &str) -> Vec<String> {
    let found = Catalog::open(folder)
        .expect("open")
        .find(key)
        .expect("find");
    found
        .iter()
        .map(|listing| {
            let day = |day: Option<Day>| day.map_or_else(String::new, |day| day.to_string());
            format!(
                "{}:{} {} {}..{} {}",
                listing.list,
                listing.line.unwrap_or_default(),
                listing.info,
                day(listing.first),
                day(listing.last),
                listing.urls.join(" ")
            )
        })
        .collect()
}

const ZEUS: &str = "trails/static/malware/zeus.txt";
const OTHER: &str = "trails/static/suspicious/pua.txt";

#[test]
fn a_key_knows_its_lists_lines_comments_and_days() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let text = "# Aliases: zbot\n\n# Reference: https://a.example/1\n\nEVIL.biz\n[bad\nevil.biz\n\nhttp://b.biz\n";
    let mut world = World::of(&[
        (ZEUS, text),
        (OTHER, "# Reference: https://b.example\nwww.evil.biz\n"),
        ("trails/custom/mine.txt", "evil.biz # own\n"),
    ]);
    world
        .feeds
        .push(("feed.example".to_owned(), "evil.biz".to_owned()));
    let outcome = world.record(folder, 100);
    assert!(outcome.fresh);
    assert_eq!((outcome.lists, outcome.added, outcome.removed), (4, 6, 0));
    let mut found = find(folder, "evil.biz");
    found.sort();
    assert_eq!(
        found,
        [
            "feed.example:0 known attacker 1970-04-11.. ",
            "trails/custom/mine.txt:1 mine 1970-04-11.. ",
            "trails/static/malware/zeus.txt:5 zeus (malware) 1970-04-11.. https://a.example/1",
            "trails/static/suspicious/pua.txt:2 pua (suspicious) 1970-04-11.. https://b.example",
        ]
    );
    assert_eq!(
        find(folder, "b.biz/"),
        [format!("{ZEUS}:9 zeus (malware) 1970-04-11.. ")]
    );
    assert_eq!(find(folder, "nope.biz"), [""; 0]);
    let catalog = Catalog::open(folder).expect("open");
    let found = catalog.find("evil.biz").expect("find");
    let of = |list| {
        let listing = found.iter().find(|listing| listing.list == list);
        listing.expect("listing")
    };
    assert_eq!(of(ZEUS).aliases, "zbot");
    assert_eq!(of("feed.example").confidence, Some(70));
    let lists = catalog.lists().expect("lists");
    assert_eq!(lists.len(), 4);
    assert_eq!((lists[3].fetched_at, lists[0].fetched_at), (5, 100 * DAY));
    assert_eq!((lists[0].list.as_str(), lists[0].entries), (ZEUS, 3));
    assert_eq!(lists[3].kind, ListKind::Feed);
}

#[test]
fn only_differences_are_written_and_first_days_survive() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let mut world = World::of(&[(ZEUS, "a.biz\nb.biz\n"), (OTHER, "c.biz\n")]);
    world.record(folder, 100);
    let stamp = || {
        fs::metadata(folder.join(FILE))
            .expect("file")
            .modified()
            .expect("time")
    };
    let before = stamp();
    let same = world.record(folder, 101);
    assert_eq!((same.changed, same.fresh, stamp()), (0, false, before));

    // A line in front moves every other one and changes no day.
    world
        .files
        .insert(ZEUS.to_owned(), "# new\n\nd.biz\nb.biz\n".to_owned());
    let outcome = world.record(folder, 102);
    assert_eq!((outcome.changed, outcome.added, outcome.removed), (1, 1, 1));
    assert_eq!(
        find(folder, "a.biz"),
        [format!("{ZEUS}:0 zeus (malware) 1970-04-11..1970-04-13 ")]
    );
    assert_eq!(
        find(folder, "b.biz"),
        [format!("{ZEUS}:4 zeus (malware) 1970-04-11.. ")]
    );
    assert_eq!(
        find(folder, "d.biz"),
        [format!("{ZEUS}:3 zeus (malware) 1970-04-13.. ")]
    );

    // A list that vanishes and one that returns.
    let gone = world.files.remove(OTHER).expect("file");
    assert_eq!(world.record(folder, 103).changed, 1);
    assert_eq!(
        find(folder, "c.biz"),
        [format!(
            "{OTHER}:0 pua (suspicious) 1970-04-11..1970-04-14 "
        )]
    );
    assert_eq!(world.record(folder, 104).changed, 0);
    world.files.insert(OTHER.to_owned(), gone);
    world
        .files
        .insert(ZEUS.to_owned(), "a.biz\nb.biz\nd.biz\n".to_owned());
    world.record(folder, 105);
    assert_eq!(
        find(folder, "c.biz"),
        [format!("{OTHER}:1 pua (suspicious) 1970-04-11.. ")]
    );
    assert_eq!(
        find(folder, "a.biz"),
        [format!("{ZEUS}:1 zeus (malware) 1970-04-11.. ")]
    );
}

#[test]
fn what_is_gone_for_a_year_is_forgotten() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    let mut world = World::of(&[(ZEUS, "a.biz\nb.biz\n"), (OTHER, "c.biz\n")]);
    world.record(folder, 100);
    world.files.remove(OTHER);
    world.files.insert(ZEUS.to_owned(), "a.biz\n".to_owned());
    world.record(folder, 110);
    world.record(folder, 110 + 365);
    assert_eq!(find(folder, "b.biz").len() + find(folder, "c.biz").len(), 2);
    world.record(folder, 110 + 365 + 31);
    assert_eq!(find(folder, "b.biz").len() + find(folder, "c.biz").len(), 0);
    assert_eq!(
        Catalog::open(folder)
            .expect("open")
            .lists()
            .expect("lists")
            .len(),
        1
    );
}

#[test]
fn a_reader_is_never_disturbed_and_a_damaged_file_is_made_anew() {
    let folder = tempfile::tempdir().expect("folder");
    let folder = folder.path();
    assert!(matches!(
        Catalog::open(folder),
        Err(CatalogError::Missing(_))
    ));
    let mut world = World::of(&[(ZEUS, "a.biz\n")]);
    world.record(folder, 100);
    let reader = Catalog::open(folder).expect("open");
    world.files.insert(ZEUS.to_owned(), "b.biz\n".to_owned());
    world.record(folder, 101);
    assert_eq!(reader.find("b.biz").expect("find"), []);
    assert_eq!(find(folder, "b.biz").len(), 1);
    assert_eq!(
        fs::read_dir(folder).expect("folder").count(),
        1,
        "nothing else is left"
    );

    fs::write(folder.join(FILE), "no database").expect("file");
    assert!(Catalog::open(folder).is_err());
    assert!(world.record(folder, 102).fresh);
    let path = folder.join(FILE);
    let bytes = fs::read(&path).expect("file");
    fs::write(&path, &bytes[..bytes.len() / 2]).expect("file");
    let listings = World::of(&[(ZEUS, "c.biz\n")]).listings();
    let first = Catalog::record(folder, listings, 103 * DAY, None);
    let second = world.record(folder, 104);
    assert!(first.is_ok() || second.fresh, "{first:?}");
    assert_eq!(find(folder, "b.biz").len(), 1);
}
