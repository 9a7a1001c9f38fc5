//! The public static list at its real size, when a copy of its archive lies beside the project:
//! `../shared/upstream-data/maltrail-master.tar.gz`, or where `MALTRAIL_TEST_ARCHIVE` says. Without
//! one the test says that it is skipped.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use maltrail_core::config::{Config, Environment};
use maltrail_core::trail::{Key, TrailSet, Whitelist};
use maltrail_feeds::Update;

/// Keys that the old updater makes of this archive (one row of its 1,630,834 is a custom one).
const REFERENCE_KEYS: usize = 1_630_833;
/// Old spellings that are other keys here, and keys that stand in their place or are new
/// (`docs/compatibility.md`, Trails): runs of slashes 6 → 2, paths 40 → 39, IPv6 4 → 4, `localhost…`
/// 23, names that look like loopback and private addresses 2.
const GONE: usize = 6 + 40 + 4;
const NEW: usize = 2 + 39 + 4 + 23 + 2;

fn archive() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../../shared/upstream-data/maltrail-master.tar.gz");
    let named = std::env::var_os("MALTRAIL_TEST_ARCHIVE").map(PathBuf::from);
    named.or(Some(beside)).filter(|path| path.is_file())
}

#[test]
fn the_public_list_gives_its_keys_and_each_is_found_again() {
    let Some(archive) = archive() else {
        println!(
            "SKIPPED the_public_list_gives_its_keys_and_each_is_found_again: no archive beside the project"
        );
        return;
    };
    let root = tempfile::tempdir().expect("folder");
    let text = format!("TRAILS_FILE {}/trails.csv\n", root.path().display());
    let (config, _) =
        Config::parse(&text, "f", root.path(), &Environment::default()).expect("config");
    let update = Update {
        config: &config.trails,
        root: root.path(),
        from: Some(&archive),
        built_in: false,
        fetch: None,
        feeds: false,
        force: false,
        owner: None,
    };
    let mut phases = 0;
    let outcome = update.run(&mut |_| phases += 1).expect("update");
    assert_eq!(outcome.rows, REFERENCE_KEYS - GONE + NEW);
    assert_eq!(outcome.report.lines, [], "nothing of it is refused");
    assert!(phases > 100, "progress is shown");
    assert_eq!(
        fs::metadata(&config.trails.file).expect("file").len(),
        outcome.bytes
    );

    let file = File::open(&config.trails.file).expect("file");
    let set = TrailSet::from_csv(file, Whitelist::default(), true).expect("set");
    assert_eq!(set.report().patterns.usable, 27);
    let mut other_spelling = Vec::new();
    for row in set.rows() {
        let found = set
            .find(row.key, row.reference)
            .unwrap_or_else(|| panic!("{} is not found", row.key));
        if found.key != row.key {
            assert_eq!(
                Key::of(found.key, "(static)"),
                Key::of(row.key, "(static)"),
                "{}",
                row.key
            );
            other_spelling.push(row.key.to_owned());
        }
    }
    // Ports with leading zeros name the same number as a row without.
    assert_eq!(other_spelling.len(), 2, "{other_spelling:?}");
}
