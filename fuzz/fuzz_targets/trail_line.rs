//! Any text as a line of a trail list: its normal form is stable, has a kind, and is found again in a
//! set that holds it.

#![no_main]

use libfuzzer_sys::fuzz_target;
use maltrail_core::trail::key::normalize;
use maltrail_core::trail::line::{Dialect, entry};
use maltrail_core::trail::{Key, TrailSetBuilder, Whitelist};

fuzz_target!(|line: &str| {
    for dialect in [Dialect::Static, Dialect::Custom] {
        let Some(entry) = entry(line, dialect) else {
            continue;
        };
        let Ok(key) = normalize(&entry, true) else {
            continue;
        };
        assert!(!key.is_empty());
        let mut builder = TrailSetBuilder::new(Whitelist::default());
        builder.push(&key, "info", "(static)");
        let set = builder.finish(true).expect("one row");
        let found = set.find(&key, "(static)").map(|trail| trail.key);
        assert_eq!(found, Some(key.as_ref()), "{:?}", Key::of(&key, "(static)"));
    }
});
